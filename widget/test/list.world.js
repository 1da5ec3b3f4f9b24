/* A world for the call list: tabs that share a store and locks, and one telephone. To extend: a fake does what the
   real thing would, and notes what it was told; nothing here knows the list. */
'use strict';
const { load } = require('./amd.js');
const { Clock, translator, settle } = require('./fakes.js');

const List = load('js/list/list.js', { './panel.js': class {
  attach() {}
  draw(view) {
    this.view = view;
  }
  tick() {}
  destroy() {
    this.gone = true;
  }
  constructor({ act, drawn, failed }) {
    Object.assign(this, { act, drawn, failed });
    this.ready = true;
  }
} });

const Store = load('js/store.js');
const Dialer = load('js/dialer.js');

/* As localStorage of all tabs: each hears of what another writes, a moment later. */
class Storage {
  constructor(clock) {
    this.values = new Map();
    this.pages = new Set();
    this.clock = clock;
    this.writes = 0;
  }
  /* A tab's window, as far as it is asked for. */
  page() {
    const heard = new Set();
    const page = {
      addEventListener: (name, fn) => heard.add(fn),
      removeEventListener: (name, fn) => heard.delete(fn),
      heard,
    };
    const { values } = this;
    page.localStorage = {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, value) => this.write(page, key, String(value)),
      removeItem: (key) => this.write(page, key, null),
      key: (i) => [...values.keys()][i],
      get length() {
        return values.size;
      },
    };
    this.pages.add(page);
    return page;
  }
  write(from, key, value) {
    if ((this.values.get(key) ?? null) === value) return;
    this.writes += 1;
    if (value === null) this.values.delete(key);
    else this.values.set(key, value);
    this.pages.forEach((page) => page !== from && this.clock.after(1, () => page.heard.forEach((fn) => fn({ key }))));
  }
}

/* As navigator.locks. end() of a tab is its being closed. */
class Locks {
  constructor() {
    this.queues = new Map();
  }
  of() {
    const mine = new Set();
    const request = (name, { signal }, fn) => new Promise((resolve, reject) => {
      const entry = { fn, resolve, reject };
      const drop = () => {
        mine.delete(entry);
        this.queues.set(name, this.queues.get(name).filter((other) => other !== entry));
        this.grant(name);
      };
      entry.drop = drop;
      entry.done = () => {
        if (!mine.has(entry)) return;
        drop();
        resolve();
      };
      signal.addEventListener('abort', () => {
        if (entry.granted) return;
        drop();
        reject(new Error('aborted'));
      });
      mine.add(entry);
      this.queues.set(name, [...(this.queues.get(name) || []), entry]);
      this.grant(name);
    });
    return { request, end: () => [...mine].forEach((entry) => entry.drop()) };
  }
  grant(name) {
    const [first] = this.queues.get(name);
    if (!first || first.granted) return;
    first.granted = true;
    Promise.resolve().then(() => first.fn()).then(first.done, first.done);
  }
}

/* The user's telephone and the PBX behind it. Every tab has a client of it. */
class Telephone {
  constructor(clock) {
    this.clock = clock;
    this.calls = new Map(); /* of the gateway: the living */
    this.clients = new Set();
    this.dials = []; /* {number, at, busy: whether the user was in a call} */
    this.refusing = null; /* code of the next refusals */
    this.losing = false; /* replies do not come */
    this.silent = false; /* calls are not told */
    this.count = 0;
    this.version = 0;
  }
  client() {
    const client = new Client(this);
    this.clients.add(client);
    return client;
  }
  live() {
    return [...this.calls.values()].filter((call) => call.state !== 'ended');
  }
  dial(number) {
    this.dials.push({ number, at: this.clock.now(), busy: this.live().length > 0 });
    if (this.refusing) throw Object.assign(new Error(this.refusing), { code: this.refusing });
    const id = this.place({ direction: 'outbound', outgoing: true, phone: number });
    if (this.losing) throw Object.assign(new Error('timeout'), { code: 'timeout' });
    return { ok: true, call: id };
  }
  place(over) {
    this.count += 1;
    const id = 'office:' + this.count;
    this.tell({
      id, direction: 'inbound', phone: '+79990000000', phone_raw: '', state: 'ringing', outcome: null, answered_at: null, talk_seconds: 0,
      ...over,
    });
    return id;
  }
  change(id, over) {
    this.tell({ ...this.calls.get(id), ...over });
  }
  answer(id) {
    this.change(id, { state: 'talking', answered_at: new Date(this.clock.now()).toISOString() });
  }
  end(id, outcome, talk = 0) {
    this.change(id, { state: 'ended', outcome, talk_seconds: talk });
  }
  tell(call) {
    this.version += 1;
    const told = { ...call, version: this.version };
    if (call.state === 'ended') this.calls.delete(call.id);
    else this.calls.set(call.id, told);
    if (!this.silent) this.clients.forEach((client) => client.hear(told));
  }
}

class Client {
  constructor(telephone) {
    this.telephone = telephone;
    this.handlers = { call: new Set(), state: new Set() };
    this.calls = new Map();
    this.state = { name: 'connecting', leader: null };
    this.hangups = [];
    this.onces = [];
  }
  on(name, fn) {
    this.handlers[name].add(fn);
    return () => this.handlers[name].delete(fn);
  }
  emit(name, value) {
    [...this.handlers[name]].forEach((fn) => fn(value));
  }
  connect() {
    const there = this.telephone.calls;
    [...this.calls.values()].filter((call) => call.state !== 'ended' && !there.has(call.id)).forEach((call) => {
      this.put({ ...call, state: 'ended', outcome: null });
    });
    there.forEach((call) => this.put(call));
    this.turn('live');
  }
  turn(name) {
    this.state = { ...this.state, name };
    this.emit('state', this.state);
  }
  hear(call) {
    if (this.state.name === 'live') this.put(call);
  }
  put(call) {
    const previous = this.calls.get(call.id) || null;
    this.calls.set(call.id, call);
    if (call.state === 'ended') this.telephone.clock.after(60000, () => this.calls.delete(call.id));
    this.emit('call', { event: '', call, previous, live: true });
  }
  async call(number) {
    await settle(); /* the events of a call may overtake the reply */
    return this.telephone.dial(number);
  }
  async hangup(id) {
    this.hangups.push(id);
    const call = this.telephone.calls.get(id);
    if (call) this.telephone.end(id, call.state === 'ringing' ? 'cancelled' : 'answered', call.state === 'ringing' ? 0 : 5);
  }
  once(key, fn) {
    this.onces.push(key);
    return Promise.resolve(fn());
  }
}

const words = translator('en');

class World {
  constructor({ locks = true, interval = 10 } = {}) {
    this.clock = new Clock();
    this.storage = new Storage(this.clock);
    this.telephone = new Telephone(this.clock);
    this.locks = locks ? new Locks() : null;
    this.interval = interval;
    this.names = 0;
    this.errors = [];
    this.told = []; /* the keys of errors, and which are over */
    this.quiet = new Set(); /* keys that were told a while ago */
    this.cards = [];
    this.tabs = [];
  }
  /* Opens a tab; its client connects at once. */
  tab({ connect = true } = {}) {
    const page = this.storage.page();
    const client = this.telephone.client();
    const locks = this.locks && this.locks.of();
    const tab = { client, page, locks, quiet: true, visible: true, cards: [] };
    const errors = {
      show: async (message, { key = null } = {}) => {
        if (this.quiet.has(key)) return false;
        this.errors.push(message);
        this.told.push(key);
        return true;
      },
      explain: (code) => this.errors.push(code),
      over: (key) => this.told.push('over ' + key),
    };
    tab.store = new Store({ storage: page.localStorage, prefix: 'p.', page });
    tab.widget = { get_settings: () => ({ path: '/w', version: '1.0.0' }), list_selected: () => tab.selected || false, render() {} };
    tab.app = { data: {} };
    tab.crm = { phones: async () => [], byLeads: async () => [] };
    const dialer = new Dialer({ client, errors, clock: this.clock, t: words, dialling: () => () => {} });
    tab.list = new List({
      client, errors, store: tab.store, clock: this.clock, t: words, dark: false, ns: '.w', widget: tab.widget, app: tab.app,
      crm: tab.crm, behaviour: { interval: this.interval }, locks, scope: 'p.', base: '/w', dialer,
      quiet: () => tab.quiet, visible: () => tab.visible, opener: { open: (url) => tab.cards.push(url) },
      random: () => 'r' + (this.names += 1),
    });
    client.on('call', () => tab.list.onCall());
    if (connect) client.connect();
    tab.list.attach();
    this.tabs.push(tab);
    tab.act = tab.list.panel.act;
    return tab;
  }
  /* As when a tab is closed or crashes: it says nothing any more. */
  close(tab) {
    this.telephone.clients.delete(tab.client);
    this.storage.pages.delete(tab.page);
    tab.client.state = { name: 'stopped' };
    tab.client.handlers = { call: new Set(), state: new Set() };
    tab.page.heard.clear();
    tab.list.stop();
    if (tab.locks) tab.locks.end();
    this.tabs = this.tabs.filter((other) => other !== tab);
  }
  pass(ms) {
    return this.clock.pass(ms);
  }
}

/* People to call: 1 is contact 1 with the number …01. */
const people = (...ids) => ids.map((id) => ({
  entity: 'contact', id: String(id), name: 'Person ' + id, phones: ['+7900555' + String(id).padStart(4, '0')],
}));

const number = (id) => '+7900555' + String(id).padStart(4, '0');

/* What the panel of a tab shows: 'Person 1 reached, …'. */
const states = (tab) => tab.list.panel.view.rows.map((row) => row.name.replace('Person ', '') + ' ' + row.state).join(', ');

module.exports = { World, people, number, states };
