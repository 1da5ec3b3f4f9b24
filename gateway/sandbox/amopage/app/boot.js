/* Starts the pretend CRM: the loader's names as on the real page, then the page, then the widgets. */
requirejs.config({
  baseUrl: '/amopage',
  paths: { 'jquery': 'third_party/jquery/jquery', 'lib/components/base/modal': 'app/modal' },
});

require(['app/app', 'app/inbox', 'app/router', 'app/widgets'], function (APP, inbox, router, widgets) {
  'use strict';

  window.APP = window.AMOCRM = APP;
  APP.router = router;
  inbox.listen();
  router.start((area) => widgets.load(area));
});
