/* Stand-ins for what surrounds the widget. To extend: a fake records what it was told and answers what the
   test has set; nothing here knows the widget. */
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const dictionary = (lang) => JSON.parse(fs.readFileSync(path.join(__dirname, '..', 'src', 'i18n', lang + '.json'), 'utf8'));

const translator = (lang) => {
  const words = dictionary(lang);
  return (key, values = {}) =>
    (key.split('.').reduce((at, part) => at[part], words) || key).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
};

class Clock {
  constructor(at = 1700000000000) {
    this.at = at;
    this.timers = [];
  }
  now() {
    return this.at;
  }
  after(ms, fn) {
    const timer = { at: this.at + ms, fn };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((other) => other !== timer));
  }
  every(ms, fn) {
    let cancel;
    const again = () => {
      cancel = this.after(ms, again);
      fn();
    };
    cancel = this.after(ms, again);
    return () => cancel();
  }
  /* Lets ms pass: what falls due runs, and what it promised settles. */
  async pass(ms) {
    const end = this.at + ms;
    for (;;) {
      await settle();
      const due = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers = this.timers.filter((other) => other !== due);
      this.at = Math.max(this.at, due.at);
      due.fn();
    }
    this.at = end;
    await settle();
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

class Client {
  constructor() {
    this.handlers = {};
    this.calls = new Map();
    this.state = { name: 'live' };
    this.sent = [];
    this.claims = [];
    this.cards = new Set(); /* calls said to be shown */
    this.presence = new Map();
    this.user = { id: '88888' };
    this.onces = new Map(); /* key → the promise of what is to run in one tab */
    this.mine = () => true; /* key → whether that is this one */
    this.refuse = {}; /* action or 'claim:what' → code */
  }
  on(name, fn) {
    (this.handlers[name] = this.handlers[name] || new Set()).add(fn);
    return () => this.handlers[name].delete(fn);
  }
  emit(name, value) {
    [...(this.handlers[name] || [])].forEach((fn) => fn(value));
  }
  start() {
    this.started = true;
  }
  stop() {
    this.started = false;
  }
  call(to) {
    return this.command('call', to);
  }
  transfer(id, to, { attended = false } = {}) {
    return this.command(attended ? 'consult' : 'transfer', id, to);
  }
  async once(key, fn) {
    if (!this.mine(key)) return false;
    this.onces.set(key, fn());
    await this.onces.get(key);
    return true;
  }
  claim(id, what, { done = false } = {}) {
    this.claims.push(what + (done ? ' done' : ''));
    return this.reply('claim:' + what);
  }
  shown(id) {
    this.cards.add(id);
  }
  command(action, ...values) {
    this.sent.push([action, ...values]);
    return this.reply(action);
  }
  async reply(key) {
    if (this.refuse[key]) throw Object.assign(new Error(key), { code: this.refuse[key] });
    return (this.replies || {})[key];
  }
  /* A call as the gateway would tell it, folded into calls first, as the real client does. */
  tell(event, call, live = true) {
    const previous = this.calls.get(call.id);
    if (call.state === 'ended') this.calls.delete(call.id);
    else this.calls.set(call.id, call);
    this.emit('call', { event, call, previous, live });
  }
}

['answer', 'hangup', 'hold', 'unhold', 'mute', 'unmute', 'complete', 'cancel', 'park'].forEach((action) => {
  Client.prototype[action] = function (id) {
    return this.command(action, id);
  };
});

const call = (over = {}) => ({
  id: 'c1', version: 1, direction: 'inbound', phone: '+79005550111', phone_raw: '89005550111', line: '+74951234567',
  extension: '101', state: 'ringing', outcome: null, answered_by: null, peer: null, started_at: '2023-11-14T22:13:20.000Z',
  answered_at: null, ended_at: null, talk_seconds: 0, contact: null, recording: null, ...over,
});

/* What this browser keeps: tabs made with the same map share it. */
class Store {
  constructor(kept = new Map()) {
    this.kept = kept;
  }
  get(key) {
    return this.kept.has(key) ? JSON.parse(this.kept.get(key)) : null;
  }
  set(key, value) {
    if (value === null) this.kept.delete(key);
    else this.kept.set(key, JSON.stringify(value));
  }
  keys() {
    return [...this.kept.keys()];
  }
  /* Of other users nothing is known here. */
  sweep(begin, ends) {
    this.keys().filter((key) => key.startsWith(begin) && ends(this.get(key))).forEach((key) => this.set(key, null));
  }
  watch(key, fn) {
    this.watched = { ...this.watched, [key]: fn };
    return () => delete this.watched[key];
  }
}

module.exports = { dictionary, translator, Clock, Client, Store, call, settle };
