'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { call, settle } = require('./fakes.js');
const { make, found, ivan } = require('./desk.fakes.js');

test('a known caller: card, status, notification, result window', async () => {
  const { client, clock, seen } = make();
  client.tell('call.dial', call());
  assert.equal(seen.cards.get('c1').who.kind, 'looking');
  assert.deepEqual([...client.cards], ['c1'], 'the gateway learns that the card is up');
  await settle();
  assert.deepEqual(
    [seen.cards.get('c1').who.name, seen.cards.get('c1').link.href, seen.cards.get('c1').label],
    ['Иван Петров', '/contacts/detail/1', 'Incoming call'],
  );
  assert.deepEqual(client.claims, ['notify', 'notify done']);
  assert.equal(seen.notes.length, 1);
  assert.equal(seen.notes[0][1], 'Anna');

  client.tell('call.bridge', call({ state: 'talking', answered_at: '2023-11-14T22:13:25.000Z' }));
  assert.equal(seen.cards.get('c1').since, clock.now(), 'the clock of this machine counts, not the server’s');
  client.tell('call.hold', call({ state: 'held' }));
  client.tell('call.unhold', call({ state: 'talking' }));
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered', talk_seconds: 65 }));
  assert.deepEqual(seen.status, [true, false]);
  assert.equal(seen.cards.get('c1').state, 'ended');
  await clock.pass(2000);
  assert.equal(seen.cards.size, 0);
  assert.deepEqual(seen.results.map(([id, who]) => [id, who.entity]), [['c1', ivan]]);
  assert.deepEqual(client.claims.filter((claim) => claim.startsWith('result')), ['result', 'result done']);
});

test('an unknown caller is offered as a new contact, with the plus encoded', async () => {
  const { client, seen } = make();
  client.tell('call.dial', call({ phone: '+79990000000' }));
  await settle();
  assert.equal(seen.cards.get('c1').link, null);
  assert.deepEqual(seen.cards.get('c1').form, { name: '', number: '+7 999 000-00-00', deal: 'Call from +7 999 000-00-00', lead: true, href: '/contacts/add/?phone=%2B79990000000' });
  assert.equal(seen.notes[0][0].kind, 'unknown');
});

test('a search that failed offers no new contact: there may be one', async () => {
  const { client, seen } = make({ find: async () => ({ state: 'failed', matches: [] }) });
  client.tell('call.dial', call());
  await settle();
  const { who, link, form } = seen.cards.get('c1');
  assert.deepEqual([who.kind, link, form], ['unclear', null, null]);
});

test('a hidden number and a colleague are shown and never searched', async () => {
  const { client, seen } = make({ find: () => assert.fail('asked') });
  client.tell('call.dial', call({ phone: null, phone_raw: '' }));
  client.tell('call.dial', call({ id: 'c2', direction: 'internal', phone: null, phone_raw: '102', peer: { user: '9', name: 'Boris', extension: '102' } }));
  await settle();
  assert.equal(seen.cards.get('c1').who.name, 'Hidden number');
  assert.deepEqual([seen.cards.get('c2').who.name, seen.cards.get('c2').who.number], ['Boris', 'ext. 102']);
  assert.equal(seen.notes.length, 1, 'colleagues raise no stored notification');
});

test('answered elsewhere: the card closes at once', async () => {
  const { client, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.bridge', call({ state: 'ended', outcome: 'elsewhere', answered_by: { name: 'Boris' } }));
  assert.equal(seen.cards.size, 0);
  await settle();
  assert.deepEqual(seen.results, []);
});

test('two calls are two cards, and the status ends with the last talk', () => {
  const { client, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.bridge', call({ state: 'talking' }));
  client.tell('call.dial', call({ id: 'c2' }));
  assert.equal(seen.cards.size, 2);
  client.tell('call.hold', call({ state: 'held' }));
  client.tell('call.bridge', call({ id: 'c2', state: 'talking' }));
  client.tell('call.hangup', call({ id: 'c2', state: 'ended', outcome: 'answered' }));
  assert.deepEqual(seen.status, [true]);
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered' }));
  assert.deepEqual(seen.status, [true, false]);
});

test('another tab has the claim: no second notification, no second window', async () => {
  const { client, clock, seen } = make();
  client.refuse = { 'claim:notify': 'taken', 'claim:result': 'taken' };
  client.tell('call.dial', call());
  client.tell('call.bridge', call({ state: 'talking' }));
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered' }));
  await clock.pass(60000);
  assert.deepEqual([seen.notes, seen.results], [[], []]);
  assert.deepEqual(client.claims.filter((claim) => /^(notify|result)( |$)/.test(claim)), ['notify', 'result', 'result'], 'that tab may have been closed, once');
});

test('the tab that had the claim was closed before its window could open: another opens it', async () => {
  const { client, clock, seen } = make();
  client.refuse = { 'claim:result': 'taken' };
  client.tell('call.dial', call({ state: 'talking' }));
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered' }));
  await clock.pass(5999);
  client.refuse = {};
  assert.deepEqual(seen.results, []);
  await clock.pass(1);
  assert.deepEqual(seen.results.map(([id]) => id), ['c1']);
});

test('a gateway that has too much to do for a moment does not cost the result window or the notification', async () => {
  const { client, clock, seen } = make();
  client.refuse = { 'claim:notify': 'too_many', 'claim:result': 'too_many' };
  client.tell('call.dial', call());
  await settle();
  client.refuse = { 'claim:result': 'timeout' };
  await clock.pass(6000);
  assert.equal(seen.notes.length, 1);
  client.tell('call.bridge', call({ state: 'talking' }));
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered' }));
  await clock.pass(13000);
  assert.deepEqual(seen.results, []);
  client.refuse = {};
  await clock.pass(6000);
  assert.equal(seen.results.length, 1);
  await clock.pass(60000);
  assert.equal(client.claims.filter((claim) => claim === 'result').length, 4);
});

test('the tab that had the claim was closed: another raises the notification while it still rings', async () => {
  const { client, clock, seen } = make();
  client.refuse = { 'claim:notify': 'taken' };
  client.tell('call.dial', call());
  await settle();
  client.refuse = {};
  await clock.pass(6000);
  assert.equal(seen.notes.length, 1);
});

test('a hidden tab lets the visible one open the result window', async () => {
  const { client, clock } = make({ visible: () => false });
  client.tell('call.dial', call({ state: 'talking', direction: 'outbound' }));
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered', direction: 'outbound' }));
  const asked = () => client.claims.includes('result');
  await clock.pass(999);
  assert.equal(asked(), false);
  await clock.pass(1);
  assert.equal(asked(), true);
});

test('reloaded in the middle of a talk: the snapshot brings card and status back, with the time so far', () => {
  const { client, clock, seen } = make();
  const answered = new Date(clock.now() - 90000).toISOString();
  client.tell('', call({ state: 'talking', answered_at: answered }), false);
  client.emit('state', { name: 'live' });
  assert.deepEqual(seen.status, [true]);
  assert.equal(seen.cards.get('c1').since, clock.now() - 90000);
});

test('a call that ended unseen is gone after the reset, and so is the status', () => {
  const { client, seen } = make();
  client.tell('call.dial', call({ state: 'talking' }));
  client.calls.clear();
  client.emit('state', { name: 'live' });
  assert.deepEqual([seen.cards.size, seen.status.at(-1)], [0, false]);
});

test('refused or stopped: no card and no status is left behind', () => {
  for (const end of [({ client }) => client.emit('state', { name: 'refused' }), ({ desk }) => desk.stop()]) {
    const all = make();
    all.client.tell('call.dial', call({ state: 'talking' }));
    end(all);
    assert.deepEqual([all.seen.cards.size, all.seen.status.at(-1), all.clock.timers.length], [0, false, 0]);
  }
});

test('a contact made during the talk is found for the result window', async () => {
  let known = null;
  const { client, clock, seen } = make({ find: async () => (known ? found(known) : found()) });
  client.tell('call.dial', call({ state: 'talking' }));
  await settle();
  known = ivan;
  client.tell('call.hangup', call({ state: 'ended', outcome: 'answered' }));
  await clock.pass(0);
  assert.equal(seen.results[0][1].entity, ivan);
});

test('an ended call changes, as when its recording becomes known: its result window is not opened again', async () => {
  const { client, clock, seen } = make();
  client.tell('call.dial', call());
  const over = (more) => call({ state: 'ended', outcome: 'answered', ...more });
  client.tell('call.hangup', over());
  await clock.pass(5000);
  client.tell('call.update', over({ version: 2, recording: 'https://pbx/1.mp3' }));
  client.emit('call', { event: 'call.update', call: over({ version: 3 }), previous: call(), live: true });
  await clock.pass(60000);
  assert.equal(seen.results.length, 1);
});

test('missed, busy, rejected, or with a colleague: no result window', async () => {
  const inside = { direction: 'internal', phone: null, phone_raw: '102' };
  for (const over of [...['missed', 'busy', 'cancelled', 'rejected', 'failed', 'transferred'].map((outcome) => ({ outcome })), { ...inside, outcome: 'answered' }]) {
    const { client, clock, seen } = make();
    client.tell('call.dial', call({ ...over, outcome: null }));
    client.tell('call.hangup', call({ ...over, state: 'ended' }));
    await clock.pass(60000);
    assert.deepEqual([seen.results, seen.cards.size, client.claims.includes('result')], [[], 0, false], JSON.stringify(over));
  }
});

test('who was called and did not take it has missed it, whatever came of it; who calls reads what came of it', async () => {
  const read = async (over) => {
    const { client, clock, seen } = make();
    client.tell('call.dial', call(over));
    client.tell('call.hangup', call({ ...over, state: 'ended' }));
    const { label } = seen.cards.get('c1');
    await clock.pass(2000);
    return label + (seen.cards.size ? ', longer' : '');
  };
  const inside = { direction: 'internal', phone: null, phone_raw: '102' };
  for (const outcome of ['missed', 'cancelled', 'busy']) {
    assert.equal(await read({ outcome }), 'Missed, longer', outcome);
    assert.equal(await read({ outcome, ...inside }), 'Missed, longer', outcome + ' inside');
  }
  for (const [outcome, label] of [['cancelled', 'Cancelled'], ['busy', 'Busy']]) {
    assert.equal(await read({ outcome, direction: 'outbound', outgoing: true }), label);
    assert.equal(await read({ outcome, ...inside, outgoing: true }), label);
    assert.equal(await read({ outcome, direction: 'outbound' }), label, 'a colleague has dialled, and handed it on');
  }
  assert.equal(await read({ outcome: 'missed', direction: 'outbound', outgoing: true }), 'Missed, longer', 'nobody took it there');
  assert.equal(await read({ outcome: 'rejected' }), 'Declined', 'that he has done himself');
});
