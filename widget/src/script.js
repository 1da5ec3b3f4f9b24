/* Calls by Ringcast: the widget that amoCRM and Kommo load. */
define([
  'require', 'jquery', 'lib/components/base/modal', './client.js?v=%VERSION%', './config.js?v=%VERSION%', './js/session.js?v=%VERSION%',
  './js/settings/address.js?v=%VERSION%', './js/text.js?v=%VERSION%',
], function (require, $, Modal, client, config, Session, address, text) {
  'use strict';

  const sheets = ['/style.css', '/css/card.css', '/css/result.css', '/css/list.css', '/css/settings.css'];
  const savePatience = 8000; /* ms that a CRM that can wait does so for the gateway */

  /* The CRM may make the widget anew at any navigation, while this module stays: one connection in a tab. */
  let session = null;
  let connected = ''; /* the gateway's address that the session was made with */
  let handed = ''; /* the switches as the CRM has handed them over last */
  let opened = Promise.resolve(null); /* the settings window that was opened last */

  const app = () => window.APP || window.AMOCRM;

  /* They have no telephony in the CRM. */
  const isFree = () => [true, 'Y'].includes((app().constant('user_rights') || {}).is_free_user);

  return function RingcastWidget() {
    const self = this;

    /* The text at a path such as card.open, in the user's language; the path where there is none. */
    const t = (key, values) => text.fill(self.i18n(key) || key, values);

    /* Where the archive's files are: a developer's are elsewhere. */
    const base = () => config.base || self.get_settings().path;

    const styles = () => {
      const { version } = self.get_settings();
      const linked = new Set($('link').get().map((link) => link.getAttribute('href')));
      sheets
        .map((sheet) => base() + sheet + '?v=' + version)
        .filter((href) => !linked.has(href))
        .forEach((href) => $('<link rel="stylesheet" data-ringcast>').attr('href', href).appendTo('head'));
    };

    const stop = () => {
      if (session) session.stop();
      session = null;
    };

    const switches = () => JSON.stringify(self.get_settings().behaviour ?? null);

    const start = () => {
      handed = switches();
      connected = address.choose(self.get_settings(), config.url);
      session = new Session({
        app: app(),
        widget: self,
        t,
        ajax: (options) => Promise.resolve($.ajax(options)), /* jQuery 2's deferreds are not promises */
        url: connected,
        support: config.support || {},
        base: base(),
        page: window,
        Client: client.Client,
        Modal,
      });
      session.start();
    };

    /* Another address was saved meanwhile, or other switches. What the CRM has handed over before may be older than what
       was saved here. */
    const follow = () => {
      if (address.choose(self.get_settings(), config.url) !== connected) {
        stop();
        start();
      } else if (switches() !== handed) {
        handed = switches();
        session.heed(self.get_settings().behaviour);
      }
    };

    /* Whom the gateway did not know it may know now. A client that was not refused is left alone by that. */
    const startAgain = () => {
      if (session) session.client.start();
    };

    const open = ($body) => {
      const loaded = new Promise((resolve, reject) => {
        require(['./js/settings/window.js?v=%VERSION%'], resolve, reject);
      });
      opened = Promise.all([loaded, opened]).then(([SettingsWindow, before]) => {
        if (before) before.close();
        const memory = before ? before.memory : undefined;
        const settings = new SettingsWindow({ $body, widget: self, app: app(), config, t, page: window, kept: startAgain, memory });
        settings.draw();
        return settings;
      }).catch(() => {
        const note = { header: text.escape(t('widget.name')), text: text.escape(t('settings.not_loaded')), date: Math.floor(Date.now() / 1000) };
        app().notifications.show_message_error(note);
        return null;
      });
    };

    const isKommo = () => /(^|\.)kommo\.com$/.test(window.location.hostname);

    /* At the first installation the form has no switch yet, and "active" is N as if it were switched off. */
    const switchesOff = (active) => active === 'N' && self.get_install_status() === 'installed';

    const pick = (kind) => () => {
      if (session) session.list.pick(kind);
    };

    this.callbacks = {
      /* Called again at every navigation. */
      render() {
        styles();
        if (session) follow();
        if (session) session.attach();
        return true;
      },

      init() {
        if (!session && !isFree()) start();
        self.add_action('phone', ({ value, model }) => {
          if (session) session.dialer.dial(value, { model });
        });
        return true;
      },

      bind_actions() {
        return true;
      },

      settings($body) {
        styles();
        open($body);
        return true;
      },

      /* The CRM's settings are saved, whatever the gateway says to them. get_settings() has the old values still. */
      onSave({ active, fields } = {}) {
        if (switchesOff(active)) return true;
        if (session && fields && fields.behaviour !== undefined) session.saved(fields.behaviour);
        const saved = opened.then((settings) => settings && settings.save(fields));
        if (!isKommo()) return true;
        let timer;
        const late = new Promise((resolve) => {
          timer = setTimeout(resolve, savePatience);
        });
        return Promise.race([saved, late]).then(() => {
          clearTimeout(timer);
          return true;
        });
      },

      destroy() {
        stop();
        opened.then((settings) => settings && settings.close());
        opened = Promise.resolve(null);
        $('link[data-ringcast]').remove();
      },

      contacts: { selected: pick('contacts') },

      leads: { selected: pick('leads') },
    };

    return this;
  };
});
