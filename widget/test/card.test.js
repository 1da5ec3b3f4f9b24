'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Client, call } = require('./fakes.js');

const Transfer = load('js/transfer.js', { jquery: null });
const Create = load('js/create.js', { jquery: null });
const Telephone = load('js/telephone.js');
const Status = load('js/status.js');
const Wake = load('js/wake.js');

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

test('what can be done when', () => {
  const telephone = new Telephone({ client: new Client() });
  const can = (over) => ['answer', 'hangup', 'hold', 'unhold', 'mute', 'transfer', 'park'].filter((deed) => telephone.can(deed, call(over)));
  assert.deepEqual(can({}), ['answer', 'hangup']);
  assert.deepEqual(can({ outgoing: true }), ['hangup']);
  assert.deepEqual(can({ direction: 'outbound' }), ['answer', 'hangup'], 'a colleague has dialled, and hands it on');
  assert.deepEqual(can({ state: 'talking' }), ['hangup', 'hold', 'mute', 'transfer', 'park']);
  assert.deepEqual(can({ state: 'held' }), ['hangup', 'unhold', 'mute', 'transfer', 'park']);
  assert.deepEqual(can({ state: 'ended' }), []);
});

test('what is not permitted is not offered again for that telephone', async () => {
  const client = new Client();
  const telephone = new Telephone({ client });
  const talk = call({ id: 'office:1', state: 'talking' });
  client.refuse = { hold: 'not_permitted', mute: 'rejected' };
  await assert.rejects(telephone.hold(talk));
  await assert.rejects(telephone.mute(talk));
  assert.equal(telephone.can('hold', talk), false);
  assert.equal(telephone.can('unhold', { ...talk, state: 'held' }), false);
  assert.equal(telephone.can('mute', talk), true);
  assert.equal(telephone.can('hold', { ...talk, id: 'office:2' }), false);
  assert.equal(telephone.can('hold', { ...talk, extension: '102' }), true);
  assert.equal(telephone.can('hold', { ...talk, id: 'main:1' }), true);
});

test('whom one asked has hung up: going back is taking the caller off hold', async () => {
  const client = new Client();
  client.refuse = { cancel: 'rejected' };
  await new Telephone({ client }).cancel(call({ state: 'held' }));
  assert.deepEqual(client.sent, [['cancel', 'c1'], ['unhold', 'c1']]);
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
