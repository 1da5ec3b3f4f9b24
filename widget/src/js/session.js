/* One session: the connection of this tab to the gateway and everything that hangs on it. */
define([
  './desk.js?v=%VERSION%', './deck.js?v=%VERSION%', './contacts.js?v=%VERSION%', './notices.js?v=%VERSION%',
  './dialer.js?v=%VERSION%', './link.js?v=%VERSION%', './result.js?v=%VERSION%', './access.js?v=%VERSION%',
], function (Desk, Deck, Contacts, Notices, Dialer, Link, Results, access) {
  'use strict';

  const clock = {
    now: () => Date.now(),
    after(ms, fn) {
      const id = setTimeout(fn, ms);
      return () => clearTimeout(id);
    },
    every(ms, fn) {
      const id = setInterval(fn, ms);
      return () => clearInterval(id);
    },
  };

  return class Session {
    /* app     the CRM's APP object       widget  the CRM's widget object (self)
       t       translator                 ajax    jQuery.ajax as a promise
       url     the gateway's address      Client, Modal  the classes to use */
    constructor({ app, widget, t, ajax, url, Client, Modal }) {
      const user = app.constant('user') || {};
      const dark = Number(user.theme) === 2;
      const notices = new Notices({ notifications: app.notifications, clock, t });
      const contacts = new Contacts({ ajax });

      this.client = new Client({ url, token: access.tokens(widget, url) });
      this.dialer = new Dialer({ client: this.client, notices, clock, t });
      this.deck = new Deck({ clock, t, dark, ns: widget.ns || '.ringcast', onHangUp: (id) => this.dialer.hangUp(id) });
      this.results = new Results({ Modal, contacts, t, dark });
      this.link = new Link({ host: new URL(url).host, notices, clock, t, indicate: (message) => this.deck.indicate(message) });
      this.desk = new Desk({
        client: this.client,
        deck: this.deck,
        results: this.results,
        sdk: app.sdk,
        contacts,
        notices,
        clock,
        t,
        me: () => user.name || '',
        colleague: access.colleagues(widget, app),
        visible: () => document.visibilityState === 'visible',
      });
    }

    start() {
      this.desk.start();
      this.offState = this.client.on('state', (state) => this.link.onState(state));
      this.client.start();
    }

    /* Leaves nothing behind: no socket, no card, no timer, no status. */
    stop() {
      this.offState();
      this.client.stop();
      this.desk.stop();
      this.link.stop();
      this.results.stop();
      this.deck.destroy();
    }
  };
});
