/* The module twigjs: the function twig of the library, with the library's other parts on it, and the CRM's own
   templates registered under their names. */
define(['twig', 'underscore', 'app/controls'], function (library, _, controls) {
  'use strict';

  const twig = _.extend((params) => library.twig(params), library);

  Object.entries(controls).forEach(([id, data]) => library.twig({ id: '/tmpl/controls/' + id + '.twig', data: data.trim() }));

  return twig;
});
