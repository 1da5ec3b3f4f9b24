/* Who is signed in. The page's address says it (?user=), each link keeps it, each request of this page repeats it. */
define(['jquery', 'app/words'], function ($, words) {
  'use strict';

  const boot = JSON.parse(document.getElementById('boot').textContent);
  const asked = new URLSearchParams(location.search);

  const session = {
    ...boot,
    kommo: boot.platform === 'kommo',
    t: { ...words[boot.lang], ...(boot.platform === 'kommo' ? {} : words.amocrm[boot.lang]) },

    /* The same path for the same user. */
    href(path) {
      const url = new URL(path, location.origin);
      url.searchParams.set('user', boot.user.id);
      if (asked.has('lang')) url.searchParams.set('lang', boot.lang);
      return url.pathname + url.search + url.hash;
    },

    userName: (id) => (boot.users.find((user) => user.id === id) || { name: '' }).name,

    post: (url, body) => $.ajax({ url, method: 'POST', contentType: 'application/json', data: JSON.stringify(body), dataType: 'json' }),
  };

  $.ajaxPrefilter((options, original, xhr) => {
    if (!options.crossDomain) xhr.setRequestHeader('X-Sandbox-User', String(boot.user.id));
  });

  return session;
});
