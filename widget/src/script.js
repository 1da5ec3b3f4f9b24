/* Calls by Ringcast: the widget that amoCRM and Kommo load. */
define([
  'jquery', 'lib/components/base/modal', './client.js?v=%VERSION%', './config.js?v=%VERSION%',
  './js/session.js?v=%VERSION%', './js/settings/consent.js?v=%VERSION%', './js/text.js?v=%VERSION%',
], function ($, Modal, client, config, Session, consent, text) {
  'use strict';

  /* The CRM may make the widget anew at any navigation, while this module stays: one connection in a tab. */
  let session = null;

  return function RingcastWidget() {
    const self = this;

    /* The text at a path such as card.open, in the user's language. */
    const t = (key, values) => text.fill(self.i18n(key) || key, values);

    const app = () => window.APP || window.AMOCRM;

    const styles = () => {
      const { path, version } = self.get_settings();
      const href = path + '/style.css?v=' + version;
      const linked = $('link').filter((i, link) => link.getAttribute('href') === href).length > 0;
      if (!linked) $('<link rel="stylesheet" data-ringcast>').attr('href', href).appendTo('head');
    };

    const start = () => {
      session = new Session({
        app: app(),
        widget: self,
        t,
        ajax: (options) => Promise.resolve($.ajax(options)), /* jQuery 2's deferreds are not promises */
        url: config.url,
        support: config.support || {},
        page: window,
        Client: client.Client,
        Modal,
      });
      session.start();
    };

    this.callbacks = {
      /* Called again at every navigation. */
      render() {
        styles();
        if (session) session.attach();
        return true;
      },

      init() {
        if (!session) start();
        self.add_action('phone', ({ value }) => {
          if (session) session.dialer.dial(value);
        });
        return true;
      },

      bind_actions() {
        return true;
      },

      settings($body) {
        styles();
        consent.draw($body, { ns: self.ns || '.ringcast', label: t('consent.text', { host: new URL(config.url).host }) });
        return true;
      },

      onSave() {
        return true;
      },

      destroy() {
        if (session) session.stop();
        session = null;
        $('link[data-ringcast]').remove();
      },
    };

    return this;
  };
});
