'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Client, Store, translator, call, settle } = require('./fakes.js');

const Announce = load('js/announce.js');

const ivan = { id: '1', type: 'contact', name: 'Ivan', url: '/contacts/detail/1', company: null, leads: [], customers: [], responsible: null };
const known = { state: 'found', matches: [ivan], chosen: ivan };
const ended = (over) => call({ state: 'ended', outcome: 'answered', talk_seconds: 65, ...over });

/* Tabs of one user: each a client, and one gateway that gives a claim to one of them. */
const make = ({ notify = 'both', tabs = 1, fails = false } = {}) => {
  const clock = new Clock();
  const store = new Store();
  const page = new EventTarget();
  const raised = [];
  const holders = new Map();
  const made = Array.from({ length: tabs }, (x, i) => {
    const client = new Client();
    client.claim = async (id, what, { done = false } = {}) => {
      client.claims.push(what + (done ? ' done' : ''));
      if (holders.has(what) && holders.get(what) !== i) throw Object.assign(new Error('taken'), { code: 'taken' });
      holders.set(what, i);
    };
    const raise = (kind) => async (...what) => {
      raised.push([i, kind, what]);
      if (fails) throw new Error('the CRM did not take it');
    };
    const notices = { incoming: raise('incoming'), talked: raise('talked') };
    const announce = new Announce({ client, page, store, notices, behaviour: { notify }, clock, t: translator('en'), me: () => 'Anna', colleague: () => '' });
    return { client, announce };
  });
  return { clock, page, raised, holders, tabs: made, ...made[0] };
};
const told = (of, over = {}) => [of, { call: of, search: known, found: Promise.resolve(known), ...over }];

test('at the ring and after the talk, once each for three tabs', async () => {
  const { clock, raised, tabs } = make({ tabs: 3 });
  tabs.forEach(({ announce }) => announce.ringing(...told(call())));
  await clock.pass(7000);
  tabs.forEach(({ announce }) => announce.over(...told(ended({ recording: 'https://pbx/1.mp3' }))));
  await clock.pass(20000);
  assert.deepEqual(raised.map(([tab, kind, what]) => [tab, kind, what.length]), [[0, 'incoming', 2], [0, 'talked', 3]]);
  assert.deepEqual(tabs[0].client.claims, ['notify', 'notify done', 'notify_end', 'notify_end done']);
  const [, , [talk, who, me]] = raised[1];
  assert.deepEqual([talk.talk_seconds, who.name, me], [65, 'Ivan', 'Anna']);
});

test('the account chooses: ring, end, never', async () => {
  for (const [notify, kinds] of [['ring', ['incoming']], ['end', ['talked']], ['never', []]]) {
    const { announce, clock, raised } = make({ notify });
    announce.ringing(...told(call()));
    announce.over(...told(ended()));
    await clock.pass(20000);
    assert.deepEqual(raised.map(([, kind]) => kind), kinds);
  }
});

test('only talks are announced after the call, and never those with a colleague', async () => {
  const { announce, clock, raised, client } = make();
  for (const outcome of ['missed', 'busy', 'cancelled', 'rejected', 'elsewhere', 'transferred', 'failed', null]) announce.over(...told(ended({ outcome })));
  announce.over(...told(ended({ direction: 'internal' })));
  announce.ringing(...told(call({ direction: 'internal' })));
  announce.ringing(...told(call({ direction: 'outbound' })));
  await clock.pass(60000);
  assert.deepEqual([raised, client.claims], [[], []]);
  announce.over(...told(ended({ direction: 'outbound', recording: 'https://pbx/1.mp3' })));
  await settle();
  assert.equal(raised.length, 1);
});

test('the recording becomes known four seconds later', async () => {
  const { announce, clock, raised, client } = make();
  client.calls.set('c1', ended());
  announce.over(...told(ended()));
  await clock.pass(4000);
  assert.deepEqual(raised, []);
  client.tell('call.update', { ...ended(), state: 'ended', recording: 'https://pbx/other.mp3', id: 'other' });
  const update = ended({ recording: 'https://pbx/1.mp3' });
  client.calls.set('c1', update);
  client.emit('call', { event: 'call.update', call: update, previous: null, live: true });
  await clock.pass(0);
  assert.equal(raised[0][2][0].recording, 'https://pbx/1.mp3');
  await clock.pass(60000);
  assert.equal(raised.length, 1);
  assert.equal(client.handlers.call.size, 0);
});

test('a recording that does not come is not waited for longer than ten seconds', async () => {
  const { announce, clock, raised, client } = make();
  announce.over(...told(ended()));
  await clock.pass(9999);
  assert.deepEqual(raised, []);
  await clock.pass(1);
  assert.equal(raised[0][2][0].recording, null);
  assert.equal(client.handlers.call.size, 0);
});

test('the page goes away before the recording is there: announced at once, without', async () => {
  const { announce, clock, page, raised } = make();
  announce.over(...told(ended()));
  await settle();
  page.dispatchEvent(new Event('pagehide'));
  await settle();
  assert.deepEqual(raised.map(([, kind, [talk]]) => [kind, talk.recording]), [['talked', null]]);
  await clock.pass(60000);
  assert.equal(raised.length, 1);
});

test('the page that waits for the recording goes away, and has announced the talk: no other tab does, nor the page after it', async () => {
  const { clock, page, raised, holders, tabs: [gone, other, next] } = make({ tabs: 3 });
  [gone, other].forEach(({ announce }) => announce.over(...told(ended())));
  await settle();
  const { claim } = gone.client;
  gone.client.claim = (id, what, { done = false } = {}) => (done ? new Promise(() => {}) : claim(id, what)); /* its line is gone */
  page.dispatchEvent(new Event('pagehide'));
  await settle();
  holders.clear();
  next.announce.over(...told(ended({ recording: 'https://pbx/1.mp3' })));
  await clock.pass(60000);
  assert.deepEqual(raised.map(([tab, kind]) => [tab, kind]), [[0, 'talked']]);
});

test('a claim that fails for the moment is made three times in all; one of a call that is forgotten once', async () => {
  for (const [code, times, kinds] of [['offline', 2, ['talked']], ['protocol', 9, []], ['not_found', 1, []]]) {
    const { announce, client, clock, raised } = make();
    const { claim } = client;
    let asked = 0;
    client.claim = async (...what) => {
      asked += 1;
      if (asked <= times) throw Object.assign(new Error(code), { code });
      return claim(...what);
    };
    announce.over(...told(ended({ recording: 'https://pbx/1.mp3' })));
    await clock.pass(60000);
    assert.deepEqual([asked, raised.map(([, kind]) => kind)], [code === 'not_found' ? 1 : kinds.length ? 4 : 3, kinds], code);
  }
});

test('the name is waited for, but not long', async () => {
  const { announce, clock, raised } = make();
  announce.ringing(...told(call(), { search: { state: 'looking', matches: [], chosen: null }, found: new Promise(() => {}) }));
  await clock.pass(1499);
  assert.deepEqual(raised, []);
  await clock.pass(1);
  assert.equal(raised[0][2][0].kind, 'looking');
});

test('answered by a colleague before the name was known: nothing to announce', async () => {
  const { announce, clock, raised, client } = make();
  announce.ringing(...told(call(), { found: new Promise(() => {}) }));
  client.calls.set('c1', call({ state: 'ended', outcome: 'elsewhere' }));
  await clock.pass(10000);
  assert.deepEqual(raised, []);
});

test('the tab that had the claim was closed: another announces, once, and after the talk too', async () => {
  const { clock, raised, holders, tabs } = make({ tabs: 3 });
  holders.set('notify', 'a tab that is gone').set('notify_end', 'a tab that is gone');
  tabs.forEach(({ announce }) => announce.ringing(...told(call())));
  await settle();
  holders.delete('notify');
  await clock.pass(6000);
  tabs.forEach(({ announce }) => announce.over(...told(ended({ recording: 'https://pbx/1.mp3' }))));
  await settle();
  holders.delete('notify_end');
  await clock.pass(16000);
  assert.deepEqual(raised.map(([, kind]) => kind), ['incoming', 'talked']);
});

test('it ends again, with the recording, after the card has gone: announced once', async () => {
  const { announce, clock, raised } = make();
  announce.over(...told(ended({ recording: 'https://pbx/1.mp3' })));
  await clock.pass(5000);
  announce.over(...told(ended({ recording: 'https://pbx/1.mp3', version: 9 }), { found: undefined }));
  await clock.pass(60000);
  assert.equal(raised.length, 1);
});

test('a call that nobody was looked up for offers no new contact', async () => {
  const { announce, clock, raised } = make();
  announce.over(...told(ended({ recording: 'https://pbx/1.mp3' }), { found: undefined, search: { state: 'none', matches: [], chosen: null } }));
  await clock.pass(0);
  assert.equal(raised[0][2][1].kind, 'unclear');
});

test('what the CRM did not take is not tried again, nor confirmed', async () => {
  const { announce, clock, raised, client } = make({ fails: true });
  announce.ringing(...told(call()));
  await clock.pass(60000);
  assert.deepEqual([raised.length, client.claims], [1, ['notify']]);
});

test('stopped while a claim is under way: whatever comes of it, no timer is made any more', async () => {
  for (const answer of [async () => {}, async () => Promise.reject(Object.assign(new Error('stopped'), { code: 'stopped' }))]) {
    const { announce, clock, client, raised } = make();
    client.claim = answer;
    announce.over(...told(ended(), { found: new Promise(() => {}) }));
    announce.stop();
    await settle();
    assert.deepEqual([clock.timers, raised], [[], []]);
  }
});

test('stop: nothing is announced any more, and no timer is left', async () => {
  const { announce, clock, page, raised, client } = make();
  let know;
  announce.ringing(...told(call({ id: 'c3' }), { found: new Promise((resolve) => { know = resolve; }) }));
  announce.ringing(...told(call({ id: 'c2' }), { found: new Promise(() => {}) }));
  announce.over(...told(ended()));
  await settle();
  announce.stop();
  know();
  page.dispatchEvent(new Event('pagehide'));
  await clock.pass(60000);
  assert.deepEqual([raised, clock.timers, client.handlers.call.size], [[], [], 0]);
});
