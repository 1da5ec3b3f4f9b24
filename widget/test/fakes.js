/* Stand-ins for what surrounds the widget. To extend: a fake records what it was told and answers what the
   test has set; nothing here knows the widget. */
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const dictionary = (lang) => JSON.parse(fs.readFileSync(path.join(__dirname, '..', 'src', 'i18n', lang + '.json'), 'utf8'));

const translator = (lang) => {
  const words = dictionary(lang);
  return (key, values = {}) =>
    key.split('.').reduce((at, part) => at[part], words).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
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
    return this.answer('call', to);
  }
  hangup(id) {
    return this.answer('hangup', id);
  }
  claim(id, what, { done = false } = {}) {
    this.claims.push(what + (done ? ' done' : ''));
    return this.reply('claim:' + what);
  }
  shown(id) {
    this.cards.add(id);
  }
  answer(action, value) {
    this.sent.push([action, value]);
    return this.reply(action);
  }
  async reply(key) {
    if (this.refuse[key]) throw Object.assign(new Error(key), { code: this.refuse[key] });
  }
  /* A call as the gateway would tell it, folded into calls first, as the real client does. */
  tell(event, call, live = true) {
    const previous = this.calls.get(call.id);
    if (call.state === 'ended') this.calls.delete(call.id);
    else this.calls.set(call.id, call);
    this.emit('call', { event, call, previous, live });
  }
}

const call = (over = {}) => ({
  id: 'c1', version: 1, direction: 'inbound', phone: '+79005550111', phone_raw: '89005550111', line: '+74951234567',
  extension: '101', state: 'ringing', outcome: null, answered_by: null, peer: null, started_at: '2023-11-14T22:13:20.000Z',
  answered_at: null, ended_at: null, talk_seconds: 0, contact: null, recording: null, ...over,
});

module.exports = { dictionary, translator, Clock, Client, call, settle };
