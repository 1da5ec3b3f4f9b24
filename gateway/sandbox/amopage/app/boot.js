/* Starts the pretend CRM: the loader's names as on the real page, then the page, then the widgets. */
requirejs.config({
  baseUrl: '/amopage',
  paths: {
    'jquery': 'third_party/jquery/jquery',
    'underscore': 'third_party/underscore/underscore',
    'twig': 'third_party/twig/twig',
    'twigjs': 'app/twigjs',
    'lib/components/base/modal': 'app/modal',
    'lib/components/base/confirm': 'app/confirm',
  },
});

require(['app/app', 'app/inbox', 'app/router', 'app/widgets', 'underscore', 'twigjs', 'lib/components/base/confirm'], function (APP, inbox, router, widgets) {
  'use strict';

  window.APP = window.AMOCRM = APP;
  APP.router = router;
  inbox.listen();
  router.start((area) => widgets.load(area));
});
