'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Client, call, settle } = require('./fakes.js');

const Results = load('js/result/results.js', { jquery: () => ({}) });

/* Results without a page, and a window of theirs whose draft the CRM saves. */
const make = () => {
  const clock = new Clock();
  const client = new Client();
  const results = Object.assign(Object.create(Results.prototype), {
    client, clock, waits: new Set(), windows: new Map(), offs: [], stopped: false, drafts: { flush() {} }, lookups: { forget() {} },
    save: { mistakes: () => ({}), run: async () => {}, told: () => ({ text: 'Wants a roof' }), made: () => null },
  });
  const draft = { call: call({ state: 'ended', outcome: 'answered' }), form: {}, done: {} };
  const there = { draft, form: { asking: () => false, read: () => ({}), wrong() {}, busy() {} }, modal: { destroy: () => (there.gone = true) } };
  return { clock, client, results, there };
};
const told = ['result', { call: 'c1', text: 'Wants a roof' }];

test('the line was away when the result was saved: the gateway is told again, though the window is gone', async () => {
  const { clock, client, results, there } = make();
  client.refuse.result = 'timeout';
  await results.submit(there);
  await settle();
  assert.deepEqual([there.gone, client.sent], [true, [told]]);
  client.refuse = {};
  await clock.pass(60000);
  assert.deepEqual([client.sent, clock.timers], [[told, told], []]);
});

test('a gateway that never takes the result is told three times; one that has forgotten the call, once', async () => {
  for (const [code, times] of [['timeout', 3], ['not_found', 1]]) {
    const { clock, client, results, there } = make();
    client.refuse.result = code;
    await results.submit(there);
    await clock.pass(60000);
    assert.deepEqual([client.sent.length, clock.timers], [times, []], code);
  }
});

test('stopped while a claim is under way: no timer is made any more', async () => {
  const { clock, client, results } = make();
  client.refuse['claim:result'] = 'stopped';
  const claimed = results.claimed('c1');
  results.stop();
  assert.equal(await claimed, false);
  assert.deepEqual(clock.timers, []);
});
