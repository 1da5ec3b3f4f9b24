'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { load } = require('./amd.js');
const { Client, Clock, Store, call, settle } = require('./fakes.js');

const Transfer = load('js/transfer.js', { jquery: null });
const Create = load('js/create.js', { jquery: null });
const Telephone = load('js/telephone.js');
const Status = load('js/status.js');
const Wake = load('js/wake.js');
const Tone = load('js/tone.js');
const Deck = load('js/deck.js', { jquery: null, './card.js': null });

const person = (name, extension, over) => ({ name, extensions: [].concat(extension), online: true, busy: false, away: false, ...over });

test('colleagues: those first who are likely to answer, found by name or extension', () => {
  const team = [person('Emil', '105', { online: false }), person('Boris', '102', { busy: true }), person('Clara', ['103', '113']), person('Dmitri', '104', { away: true })];
  const names = (typed) => Transfer.find(team, typed).map(({ name, extension, state }) => name + extension + state);
  assert.deepEqual(names(''), ['Clara103online', 'Clara113online', 'Boris102busy', 'Dmitri104away', 'Emil105offline']);
  assert.deepEqual(names(' CLA '), ['Clara103online', 'Clara113online']);
  assert.deepEqual(names('4'), ['Dmitri104away']);
});

test('a refusal stands beside the field that it is about', () => {
  assert.equal(Create.fieldOf('name', true), 'deal');
  assert.equal(Create.fieldOf('name', false), 'name');
  assert.equal(Create.fieldOf('_embedded.contacts.0.name', true), 'name');
  assert.equal(Create.fieldOf('_embedded.contacts.0.custom_fields_values.0.values.0.value', true), 'phone');
  assert.equal(Create.fieldOf('pipeline_id', true), null);
});

const telephoneOf = (client, { store = new Store(), clock = new Clock() } = {}) => new Telephone({ client, store, clock });

test('what can be done when', () => {
  const telephone = telephoneOf(new Client());
  const can = (over) => ['answer', 'hangup', 'hold', 'unhold', 'mute', 'transfer', 'park'].filter((deed) => telephone.can(deed, call(over)));
  assert.deepEqual(can({}), ['answer', 'hangup']);
  assert.deepEqual(can({ outgoing: true }), ['hangup']);
  assert.deepEqual(can({ direction: 'outbound' }), ['answer', 'hangup'], 'a colleague has dialled, and hands it on');
  assert.deepEqual(can({ state: 'talking' }), ['hangup', 'hold', 'mute', 'transfer', 'park']);
  assert.deepEqual(can({ state: 'held' }), ['hangup', 'unhold', 'mute', 'transfer', 'park']);
  assert.deepEqual(can({ state: 'ended' }), []);
});

test('what is not permitted is not offered again for that call, and after a second one for that telephone', async () => {
  const client = new Client();
  const telephone = telephoneOf(client);
  const talk = (over) => call({ id: 'office:1', state: 'talking', ...over });
  client.refuse = { hold: 'not_permitted', mute: 'rejected', hangup: 'not_permitted' };
  await assert.rejects(telephone.hold(talk()));
  await assert.rejects(telephone.mute(talk()));
  assert.equal(telephone.can('hold', talk()), false);
  assert.equal(telephone.can('unhold', talk({ state: 'held' })), false);
  assert.equal(telephone.can('mute', talk()), true);
  assert.equal(telephone.can('hold', talk({ id: 'office:2' })), true, 'it was of the first call');
  await assert.rejects(telephone.hold(talk()));
  assert.equal(telephone.can('hold', talk({ id: 'office:2' })), true, 'which is one call still');
  await assert.rejects(telephone.hold(talk({ id: 'office:2' })));
  assert.equal(telephone.can('hold', talk({ id: 'office:3' })), false);
  assert.equal(telephone.can('hold', talk({ extension: '102' })), true);
  assert.equal(telephone.can('hold', talk({ id: 'main:1' })), true);
  for (const id of ['office:1', 'office:2']) await assert.rejects(telephone.hangup(talk({ id })));
  assert.equal(telephone.can('hangup', talk()), true);
});

test('what another call has done meanwhile is a matter of the calls that refuse it, and not of the telephone', async () => {
  const client = new Client();
  const store = new Store();
  const telephone = telephoneOf(client, { store });
  const talk = (id, over) => call({ id, state: 'talking', ...over });
  client.replies = { park: { slot: '701' } };
  for (const refused of ['office:1', 'office:2']) {
    client.refuse = { park: 'not_permitted', hold: 'not_permitted' };
    await assert.rejects(telephone.park(talk(refused)));
    await assert.rejects(telephone.hold(talk(refused)));
    client.refuse = {};
    assert.deepEqual(await telephone.park(talk('office:3')), { slot: '701' });
  }
  assert.deepEqual(['park', 'hold'].map((deed) => telephone.can(deed, talk('office:4'))), [true, false]);
  await telephone.unhold(talk('office:4', { state: 'held' }));
  assert.equal(telephone.can('hold', talk('office:4')), true);
  assert.deepEqual(store.get('inabilities'), {});
});

test('what is not permitted is kept for a day, over reloads and for all tabs', async () => {
  const client = new Client();
  const [store, clock] = [new Store(), new Clock()];
  const talk = (id, over) => call({ id, state: 'talking', ...over });
  const before = telephoneOf(client, { store, clock });
  const beside = telephoneOf(client, { store: new Store(store.kept), clock });
  assert.equal(beside.can('hold', talk('main:3')), true);
  client.refuse = { hold: 'not_permitted', mute: 'not_permitted' };
  for (const id of ['main:1', 'main:2']) await assert.rejects(before.hold(talk(id)));
  beside.inabilities.store.watched.inabilities();
  const after = telephoneOf(client, { store, clock });
  for (const telephone of [beside, after]) assert.deepEqual([telephone.can('hold', talk('main:3')), telephone.can('mute', talk('main:3'))], [false, true]);
  await clock.pass(24 * 60 * 60 * 1000);
  assert.equal(after.can('hold', talk('main:3')), true);
  for (let i = 0; i < 60; i += 1) await assert.rejects(after.mute(talk('main:4', { extension: String(100 + i) })));
  assert.equal(Object.keys(store.get('inabilities')).length, 50);
  assert.equal(after.can('mute', talk('main:4', { extension: '159' })), false, 'the last are kept');
  assert.equal(after.can('mute', talk('main:4', { extension: '100' })), true);
});

test('a typed number keeps the star and hash of the PBX', () => {
  const all = { '8 (999) 123-45-67': '89991234567', '+7 999 123-45-67': '+79991234567', '*97': '*97', '2#1': '2#1', 5: '5', ' 10-2 ': '102' };
  assert.deepEqual(Object.fromEntries(Object.keys(all).map((typed) => [typed, Transfer.number(typed)])), all);
});

test('a tone that was stopped before the browser answered leaves no timer', async () => {
  const clock = new Clock();
  class AudioContext {
    createBuffer(channels, length) {
      return { getChannelData: () => new Float32Array(length) };
    }
    resume() {
      return new Promise(() => {});
    }
    async suspend() {}
  }
  const tone = new Tone({ page: { AudioContext }, clock });
  const started = tone.start();
  await settle();
  assert.equal(clock.timers.length, 1);
  tone.stop();
  assert.equal(clock.timers.length, 0);
  await assert.rejects(started);
});

/* WCAG's contrast of two colours. */
const contrast = (a, b) => {
  const light = (hex) => {
    const [red, green, blue] = (hex.length === 4 ? hex.replace(/[^#]/g, '$&$&') : hex).match(/[^#]{2}/g).map((two) => {
      const part = parseInt(two, 16) / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark, bright] = [light(a), light(b)].sort((x, y) => x - y);
  return (bright + 0.05) / (dark + 0.05);
};

test('texts and buttons can be read, in the light and in the dark', () => {
  const css = fs.readFileSync(path.join(__dirname, '../src/style.css'), 'utf8');
  const tokens = (selector) => Object.fromEntries([...css.split(selector + ' {')[1].split('}')[0].matchAll(/--rc-([\w-]+): (#\w+);/g)].map(([, name, value]) => [name, value]));
  const on = {
    text: ['bg', 'hover', 'line'], muted: ['bg', 'hover'], accent: ['bg'], link: ['bg', 'hover'], good: ['bg'],
    warn: ['bg', 'warn-bg'], bad: ['bg', 'bad-bg', 'hover'], on: ['accent', 'good', 'bad', 'warn', 'muted'],
  };
  const light = tokens('.ringcast');
  for (const theme of [light, { ...light, ...tokens('.ringcast.ringcast_dark') }]) {
    Object.entries(on).forEach(([text, grounds]) => grounds.forEach((ground) => {
      const is = contrast(theme[text], theme[ground]);
      assert.ok(is >= 4.5, `${text} ${theme[text]} on ${ground} ${theme[ground]}: ${is.toFixed(2)}`);
    }));
  }
});

test('whom one asked has hung up: going back is taking the caller off hold', async () => {
  const client = new Client();
  client.refuse = { cancel: 'rejected' };
  await telephoneOf(client).cancel(call({ state: 'held' }));
  assert.deepEqual(client.sent, [['cancel', 'c1'], ['unhold', 'c1']]);
  client.refuse = { cancel: 'timeout' };
  await assert.rejects(telephoneOf(client).cancel(call({ state: 'held' })), { code: 'timeout' });
  assert.equal(client.sent.length, 3, 'it may have been done: he is not taken off hold twice');
});

test('the calling status: what another widget switched on is left alone, what it switched off comes back', () => {
  const told = [];
  let on = true;
  const status = new Status({ sdk: { getCallingStatus: () => on, setCallingStatus: (value) => told.push((on = value)) } });
  status.tell(true);
  status.tell(false);
  assert.deepEqual(told, []);
  status.tell(true);
  on = false; /* its call is over */
  status.tell(true);
  assert.deepEqual(told, [true]);
  on = false;
  status.tell(true);
  status.tell(false);
  assert.deepEqual(told, [true, true, false]);
  new Status({}).tell(true); /* a CRM without it */
});

test('a sign that stands there already is not set up anew', () => {
  const told = [];
  const $sign = { text: (words) => ({ prop: (name, hidden) => told.push(hidden ? 'gone' : words) }) };
  const deck = Object.assign(Object.create(Deck.prototype), { sign: '', $sign, refresh: () => told.push('refreshed') });
  [null, 'No connection', 'No connection', null, null].forEach((message) => deck.indicate(message));
  assert.deepEqual(told, ['No connection', 'refreshed', 'gone', 'refreshed']);
});

test('the page sleeps and wakes; an element’s event of that name is its own', () => {
  const heard = {};
  const page = {
    document: { visibilityState: 'visible' },
    addEventListener: (type, fn) => (heard[type] = fn),
    removeEventListener: (type) => delete heard[type],
  };
  const said = [];
  const wake = new Wake({ page });
  wake.start({ sleep: () => said.push('sleep'), wake: () => said.push('wake') });
  heard.freeze({ target: { nodeType: 9 } });
  heard.resume({ target: { nodeType: 9 } });
  heard.pageshow({ target: { nodeType: 1 } });
  page.document.visibilityState = 'hidden';
  heard.visibilitychange({ target: { nodeType: 9 } });
  assert.deepEqual(said, ['sleep', 'wake']);
  wake.stop();
  assert.deepEqual(Object.keys(heard), []);
});
