/* One session: the connection of this tab to the gateway and everything that hangs on it. */
define([
  './clock.js?v=%VERSION%', './desk.js?v=%VERSION%', './deck.js?v=%VERSION%', './crm.js?v=%VERSION%', './lookups.js?v=%VERSION%', './notices.js?v=%VERSION%',
  './announce.js?v=%VERSION%', './alerts.js?v=%VERSION%', './telephone.js?v=%VERSION%', './status.js?v=%VERSION%', './store.js?v=%VERSION%',
  './dialer.js?v=%VERSION%', './link.js?v=%VERSION%', './errors.js?v=%VERSION%', './result/results.js?v=%VERSION%', './list/list.js?v=%VERSION%',
  './settings/access.js?v=%VERSION%', './settings/behaviour.js?v=%VERSION%', './wake.js?v=%VERSION%', './opener.js?v=%VERSION%',
], function (
  clock, Desk, Deck, Crm, Lookups, Notices, Announce, Alerts, Telephone, Status, Store, Dialer, Link, Errors, Results, List, access, behaviour, Wake, Opener,
) {
  'use strict';

  const switches = 'behaviour'; /* in the store: what was saved last, {given, at}, for this user's other tabs */

  /* The page may forbid it. */
  const localStorageOf = (page) => {
    try {
      return page.localStorage;
    } catch {
      return null;
    }
  };

  return class Session {
    /* app     the CRM's APP object       widget  the CRM's widget object (self)
       t       translator                 ajax    jQuery.ajax as a promise
       url     the gateway's address      support {email, link, phone}: whom to ask, '' where not known
       base    where the widget's files are
       page    window                     Client, Modal  the classes to use */
    constructor({ app, widget, t, ajax, url, support, base, page, Client, Modal }) {
      const user = app.constant('user') || {};
      const account = app.constant('account') || {};
      const scope = 'ringcast.' + account.id + '.' + user.id + '.'; /* other users may sit at this browser, too */
      const dark = Number(user.theme) === 2;
      const ns = widget.ns || '.ringcast';
      const visible = () => page.document.visibilityState === 'visible';
      const colleague = access.colleagues(widget, app);
      const me = () => user.name || '';
      const channel = (name) => (page.BroadcastChannel ? new page.BroadcastChannel(scope + name) : null);

      this.client = new Client({ url, token: access.tokens(widget, url), presence: true });
      const { client } = this;
      const rules = behaviour(widget.get_settings()); /* one object for all: see heed */
      const store = new Store({ storage: localStorageOf(page), prefix: scope, page });
      const notices = new Notices({ notifications: app.notifications, clock, t });
      const locks = page.navigator.locks || null;
      Object.assign(this, { store, rules });
      const errors = new Errors({ notifications: app.notifications, store, locks, scope, clock, t, support });
      const crm = new Crm({ ajax, app, clock, t });
      this.telephone = new Telephone({ client, store, clock });
      const opener = new Opener({ app, page });

      this.lookups = new Lookups({ crm, client, channel: channel('lookups'), locks, scope, clock });
      this.dialer = new Dialer({ client, errors, clock, t, dialling: (number, known) => this.desk.dialling(number, known) });
      this.alerts = new Alerts({ store, locks, scope, clock, t, page, behaviour: rules, visible });
      this.announce = new Announce({ client, page, store, notices, behaviour: rules, clock, t, me, colleague });
      this.results = new Results({
        Modal, page, crm, store, lookups: this.lookups, clock, t, dark, client, visible, locks, behaviour: rules, lang: app.lang_id, zone: account.timezone, user: Number(user.id),
      });
      this.list = new List({
        client, dialer: this.dialer, errors, store, clock, t, dark, ns, widget, crm, app, behaviour: rules, locks, scope, base, visible,
        opener, alerts: this.alerts,
        quiet: () => this.results.windows.size === 0,
        random: () => Math.random().toString(36).slice(2) + Math.random().toString(36).slice(2),
      });
      this.deck = new Deck({ clock, t, dark, ns, store, alerts: this.alerts });
      this.link = new Link({
        host: new URL(url).host, errors, notices, clock, t,
        indicate: (message) => this.deck.indicate(message),
        badge: (status) => widget.set_status && widget.set_status(status),
        entitled: () => access.extensionsOf(widget.get_settings(), user.id).length > 0,
      });
      this.desk = new Desk({
        client, telephone: this.telephone, crm, store, clock, t, me, colleague, visible, errors, behaviour: rules,
        wake: new Wake({ page }),
        opener,
        deck: this.deck,
        lookups: this.lookups,
        announce: this.announce,
        alerts: this.alerts,
        results: this.results,
        status: new Status({ sdk: app.sdk }),
      });
    }

    start() {
      this.desk.start();
      this.results.start();
      this.offs = [
        this.client.on('state', (state) => this.link.onState(state)),
        this.client.on('call', (change) => this.list.onCall(change)),
        this.store.watch(switches, (saved) => saved && this.heed(saved.given)),
      ];
      this.client.start();
      this.attach();
    }

    /* The CRM's navigation may have taken out of the page what was put there. */
    attach() {
      this.deck.attach();
      this.list.attach();
    }

    /* given: the setting "behaviour". It counts from now on, also for calls that there are. */
    heed(given) {
      Object.assign(this.rules, behaviour({ behaviour: given }));
      this.alerts.chosen();
    }

    /* It was saved in this tab: the CRM hands it to no other page that is open. */
    saved(given) {
      this.heed(given);
      this.store.set(switches, { given, at: clock.now() });
    }

    /* Leaves nothing behind: no socket, no card, no timer, no status. */
    stop() {
      this.offs.forEach((off) => off());
      this.client.stop();
      [this.desk, this.telephone, this.announce, this.alerts, this.lookups, this.link, this.list, this.results].forEach((part) => part.stop());
      this.deck.destroy();
    }
  };
});
