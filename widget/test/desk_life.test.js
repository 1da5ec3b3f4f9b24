'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { Store, call, settle } = require('./fakes.js');
const { make, found, ivan } = require('./desk.fakes.js');
const { load } = require('./amd.js');

const Hangups = load('js/hangups.js');

const olga = { ...ivan, id: '2', name: 'Olga', url: '/contacts/detail/2' };
const talk = (over) => call({ state: 'talking', ...over });
const notes = (store) => store.keys().filter((key) => key.startsWith('talk.'));
const rings = (seen) => seen.rung.map(([id]) => id);

test('a command disables the card until it is answered; its failure is said there', async () => {
  const { desk, client, seen } = make();
  client.tell('call.dial', talk());
  client.refuse = { hold: 'rejected' };
  const asked = desk.command('c1', 'hold');
  assert.equal(seen.cards.get('c1').busy, 'hold');
  assert.equal(await desk.command('c1', 'mute'), false, 'one at a time');
  assert.equal(await asked, false);
  assert.deepEqual([seen.cards.get('c1').busy, seen.cards.get('c1').trouble], [null, 'The phone or the PBX refused this.']);
  assert.deepEqual(seen.errors, ['hold rejected']);
  client.tell('call.hold', talk({ state: 'held' }));
  assert.equal(seen.cards.get('c1').trouble, '', 'what the call came to counts');
});

test('that the user hung up is known in all his tabs before the call is over', async () => {
  const { desk, client, store } = make();
  const inAnotherTab = new Hangups({ store });
  const known = [];
  client.hangup = async (id) => known.push(inAnotherTab.has(id));
  client.tell('call.dial', talk());
  await desk.command('c1', 'hold');
  assert.equal(inAnotherTab.has('c1'), false);
  await desk.command('c1', 'hangup');
  assert.deepEqual([known, inAnotherTab.has('c2')], [[true], false]);
});

test('a command that outlives its call draws no card', async () => {
  const { desk, client, clock, seen } = make();
  client.tell('call.dial', talk());
  const asked = desk.command('c1', 'hangup');
  client.tell('call.hangup', talk({ state: 'ended', outcome: 'elsewhere' }));
  await asked;
  await clock.pass(10000);
  assert.equal(seen.cards.size, 0);
});

test('muted, asked aside and held since: remembered over a reload, forgotten with the call', async () => {
  const { desk, client, clock, seen, store } = make();
  client.tell('call.dial', talk());
  await desk.command('c1', 'mute');
  await desk.command('c1', 'consult', '102');
  client.tell('call.hold', talk({ state: 'held' }));
  const since = clock.now();
  const again = make({ store });
  await again.clock.pass(60000);
  again.client.calls.set('c1', talk({ state: 'held' }));
  again.client.emit('state', { name: 'live' });
  const { muted, held, note, can } = again.seen.cards.get('c1');
  assert.deepEqual([muted, held, note], [true, since, 'You are asking 102. The caller is waiting.']);
  assert.deepEqual([can.complete, can.cancel, can.hold, can.transfer], [true, true, false, false]);
  again.client.tell('call.unhold', talk());
  assert.equal(again.seen.cards.get('c1').can.complete, false, 'the caller is back');
  assert.equal(seen.cards.size, 1);
  again.client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' }));
  await again.clock.pass(2000);
  assert.deepEqual(store.keys(), []);
});

test('who was asked has hung up: nobody is there to connect', async () => {
  const { desk, client, seen } = make();
  client.tell('call.dial', talk());
  await desk.command('c1', 'consult', '102');
  client.tell('call.hold', talk({ state: 'held' }));
  const over = (raw) => call({ id: 'c' + raw, direction: 'internal', outgoing: true, phone: null, phone_raw: raw, state: 'ended', outcome: 'busy' });
  client.tell('call.hangup', over('103'));
  assert.equal(seen.cards.get('c1').can.complete, true, 'that was another');
  client.tell('call.hangup', over('102'));
  assert.equal(seen.cards.get('c1').can.complete, false);
});

test('a later change of an ended call takes nobody away who is being asked', async () => {
  const { desk, client, seen } = make();
  const aside = { id: 'c0', direction: 'internal', phone: null, phone_raw: '102', state: 'ended', outcome: 'answered' };
  client.tell('call.dial', talk());
  await desk.command('c1', 'consult', '102');
  client.tell('call.update', call({ ...aside, recording: 'https://x/y.mp3' }));
  assert.equal(seen.cards.get('c1').can.complete, true);
  client.tell('call.hangup', call(aside));
  assert.equal(seen.cards.get('c1').can.complete, false);
});

test('it is somebody else’s call now: he is looked up, and who was there before is forgotten', async () => {
  const peer = { user: '99999', name: 'Boris', extension: '102' };
  const inside = { direction: 'internal', phone: null, phone_raw: '102', peer };
  for (const [before, after, name, kind] of [
    [inside, {}, ivan.name, 'known'], /* a consultation that was completed */
    [{ direction: 'outbound', outgoing: true, phone: null, phone_raw: '' }, { direction: 'outbound', outgoing: true }, ivan.name, 'known'],
    [{}, { phone: '+79990000000' }, '+7 999 000-00-00', 'unknown'],
    [{}, inside, 'Boris', 'colleague'],
  ]) {
    const { client, seen } = make();
    client.tell('call.dial', talk(before));
    await settle();
    client.tell('call.transfer', talk({ ...after, version: 2 }));
    await settle();
    const { who } = seen.cards.get('c1');
    assert.deepEqual([who.name, who.kind], [name, kind]);
  }
});

test('the late answer to an earlier number is not taken for the new one’s', async () => {
  let answer;
  const { client, seen } = make({ find: (number) => (number === '+79005550111' ? new Promise((resolve) => (answer = resolve)) : Promise.resolve(found(olga))) });
  client.tell('call.dial', talk());
  client.tell('call.transfer', talk({ phone: '+79990000000', version: 2 }));
  answer(found(ivan));
  await settle();
  assert.equal(seen.cards.get('c1').who.name, 'Olga');
});

test('who writes in a card keeps it when the call is over, and when nobody knows; closed, it goes', async () => {
  for (const [end, revived] of [
    [({ client }) => client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' })), false],
    [({ client }) => client.emit('state', { name: 'retrying' }), true],
    [({ client }) => client.emit('state', { name: 'refused' }), false],
  ]) {
    const all = make();
    const { desk, client, clock, seen } = all;
    client.tell('call.dial', talk({ phone: '+79990000000' }));
    await settle();
    seen.kept.add('c1');
    end(all);
    await clock.pass(301000);
    const { state, can } = seen.cards.get('c1');
    assert.deepEqual([state, Object.values(can).includes(true), seen.status.at(-1)], ['ended', false, false]);
    if (revived) {
      client.emit('state', { name: 'live' });
      assert.deepEqual([seen.cards.get('c1').state, seen.cards.get('c1').can.hangup], ['talking', true]);
      client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' }));
      await clock.pass(2000);
    }
    seen.kept.clear();
    desk.deck.actions.shut('c1');
    assert.equal(seen.cards.size, 0);
  }
});

test('both hang up at once: nothing failed', async () => {
  for (const [deed, over] of [['hangup', false], ['hold', true]]) {
    const { desk, client, seen } = make();
    client.tell('call.dial', talk());
    client.refuse = { [deed]: 'not_found' };
    const asked = desk.command('c1', deed);
    if (over) client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' }));
    assert.deepEqual([await asked, seen.errors, seen.cards.get('c1').trouble], [true, [], '']);
  }
});

test('one of several is chosen: in all tabs, for the links and the result window', async () => {
  const { desk, client, clock, seen, lookups } = make({ find: async () => found(ivan, olga) });
  client.tell('call.dial', talk());
  await settle();
  assert.deepEqual([seen.cards.get('c1').who.name, seen.cards.get('c1').matches.length], [ivan.name, 2]);
  desk.choose('c1', olga);
  assert.deepEqual(lookups.told, [['+79005550111', [olga, ivan]]]);
  assert.equal(seen.cards.get('c1').link.href, '/contacts/detail/2');
  client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' }));
  await clock.pass(0);
  assert.equal(seen.results[0][1].entity, olga);
});

test('the agent’s choice counts more than the contact that the gateway means', async () => {
  const { desk, client, seen } = make({ find: async () => found(ivan, olga) });
  client.tell('call.dial', talk({ contact: { id: '1', type: 'contact', name: 'Иван Петров', url: '' } }));
  await settle();
  desk.choose('c1', olga);
  assert.equal(seen.cards.get('c1').who.name, 'Olga');
});

test('a new contact, with a deal or without, is told to all tabs; a refusal goes back to the form', async () => {
  for (const [lead, made] of [[null, { name: 'New', phone: '+79990000000' }], ['Deal', { name: 'Deal', contact: { name: 'New', phone: '+79990000000' } }]]) {
    const { desk, client, seen, lookups } = make();
    client.tell('call.dial', talk({ phone: '+79990000000' }));
    await settle();
    await desk.deck.actions.create('c1', { name: 'New', lead });
    assert.deepEqual(seen.made, [made]);
    const [[number, [match]]] = lookups.told;
    assert.deepEqual([number, match.id, match.name, match.url], ['+79990000000', '7', 'New', '/contacts/detail/7']);
    assert.deepEqual([seen.cards.get('c1').who.kind, seen.cards.get('c1').form], ['known', null]);
  }
  const refusal = Object.assign(new Error('no'), { code: 'forbidden' });
  const { desk, client } = make({ crm: { createLead: () => Promise.reject(refusal) } });
  client.tell('call.dial', talk({ phone: '+79990000000' }));
  await assert.rejects(desk.deck.actions.create('c1', { name: 'New', lead: 'Deal' }), refusal);
});

test('the CRM did not answer: it is asked once more, after a minute', async () => {
  let asked = 0;
  const { client, clock, seen } = make({ find: async () => ((asked += 1) > 1 ? found(ivan) : { state: 'failed', matches: [] }) });
  client.tell('call.dial', talk());
  await clock.pass(60000);
  assert.equal(asked, 1);
  await clock.pass(1000);
  assert.deepEqual([asked, seen.cards.get('c1').who.name], [2, ivan.name]);
});

test('who has called a moment ago is named at once, and asked for again only if the CRM failed', async () => {
  let asked = 0;
  const { client, clock, seen, lookups } = make({ find: async () => ((asked += 1), found(ivan)) });
  lookups.fresh.set('+79005550111', found(ivan));
  client.tell('call.dial', talk({ state: 'ringing' }));
  assert.deepEqual([seen.cards.get('c1').who.name, seen.rung.map(([, name]) => name)], [ivan.name, [ivan.name]]);
  lookups.fresh.set('+79990000000', { state: 'failed', matches: [] });
  client.tell('call.dial', talk({ id: 'c2', phone: '+79990000000' }));
  assert.equal(seen.cards.get('c2').who.kind, 'unclear');
  await clock.pass(61000);
  assert.deepEqual([asked, seen.cards.get('c2').who.name], [1, ivan.name]);
});

test('where no result is ever asked for, nobody claims to', async () => {
  for (const [result, claims] of [['never', 0], ['always', 1]]) {
    const { client, clock } = make({ behaviour: { result } });
    client.tell('call.dial', talk());
    client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' }));
    await clock.pass(1000);
    assert.equal(client.claims.filter((what) => what === 'result').length, claims, result);
  }
});

/* A page with a talk is loaded anew after ms, and finds the calls that there are then. */
const reloaded = async (ms, { calls = [], behaviour, over = {}, before = () => {} } = {}) => {
  const store = new Store();
  const gone = make({ store });
  gone.client.tell('call.bridge', talk({ state: 'talking', ...over }));
  await before(gone);
  gone.desk.stop();
  const here = make({ store, behaviour });
  here.clock.at = gone.clock.at + ms;
  await here.clock.pass(60000);
  assert.deepEqual(here.seen.results, [], 'nobody knows what became of it');
  calls.forEach((one) => here.client.calls.set(one.id, one));
  for (let i = 0; i < 2; i += 1) here.client.emit('state', { name: 'live' });
  await here.clock.pass(60000);
  return { ...here, store };
};

test('a talk that ended while the page was loaded anew has its result window, once', async () => {
  const { client, desk, seen, store } = await reloaded(1000);
  assert.deepEqual(seen.results.map(([id, { entity }]) => [id, entity]), [['c1', ivan]]);
  assert.deepEqual(client.claims, ['result', 'result done']);
  assert.deepEqual([desk.talks.lost(client.calls), notes(store)], [[], []]);
});

test('so has one whose page went away before its window was there; its length is known then', async () => {
  const over = { state: 'ended', outcome: 'answered', talk_seconds: 65 };
  const opened = [];
  const store = new Store();
  const results = { open: async (ended) => opened.push([ended.id, ended.state, ended.talk_seconds]) };
  for (const hangsUp of [true, false]) {
    const { desk, client, clock } = make({ store, results, visible: () => !hangsUp });
    if (hangsUp) {
      client.tell('call.bridge', talk({ state: 'talking' }));
      client.tell('call.hangup', talk(over));
    } else {
      client.emit('state', { name: 'live' });
      await clock.pass(60000);
    }
    desk.stop();
  }
  assert.deepEqual(opened, [['c1', 'ended', 65]]);
});

test('a claim that nobody else has costs no result window: it is made again when the line stands, and by the next page', async () => {
  for (const [code, ms] of [['timeout', 60000], ['stopped', 1000], ['offline', 1000]]) {
    const { client, clock, seen, store, desk } = make();
    client.refuse = { 'claim:result': code };
    client.tell('call.dial', talk());
    client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered', talk_seconds: 65 }));
    await clock.pass(ms);
    client.refuse = {};
    if (code === 'stopped') desk.stop();
    const here = code === 'stopped' ? make({ store }) : { client, clock, seen };
    for (let i = 0; i < 2; i += 1) here.client.emit('state', { name: 'live' });
    await here.clock.pass(60000);
    assert.deepEqual([code, here.seen.results.map(([id]) => id), notes(store)], [code, ['c1'], []]);
  }
});

test('a call that was not found and comes back has its result window at its end', async () => {
  const { client, clock, seen, store } = make();
  for (const code of ['not_found', null]) {
    client.refuse = { 'claim:result': code };
    client.tell('call.dial', talk());
    client.tell('call.hangup', talk({ state: 'ended', outcome: 'answered' }));
    await clock.pass(10000);
    client.emit('state', { name: 'live' });
    await clock.pass(10000);
    assert.deepEqual([seen.results.length, notes(store)], [code ? 0 : 1, []]);
  }
});

test('no result is asked for of a talk that goes on, is long over, was with a colleague, or where the account wants none', async () => {
  const none = async (ms, how) => assert.deepEqual((await reloaded(ms, how)).seen.results, [], JSON.stringify(how));
  await none(1000, { calls: [talk({ state: 'talking' })] });
  await none(300000);
  await none(1000, { over: { direction: 'internal' } });
  await none(1000, { behaviour: { result: 'never' } });
  await none(1000, { before: ({ client }) => client.tell('call.hangup', talk({ state: 'ended', outcome: 'transferred' })) });
});

test('of a long talk it is noted each minute that it goes on', async () => {
  const { seen } = await reloaded(120000, { before: ({ clock }) => clock.pass(3600000) });
  assert.equal(seen.results.length, 1);
});

test('without a line nobody knows that a talk goes on', async () => {
  const lost = ({ client, clock }) => {
    client.emit('state', { name: 'retrying' });
    return clock.pass(290000);
  };
  assert.deepEqual((await reloaded(60000, { before: lost })).seen.results, []);
});

test('of a talk whose result was asked for, or is not to be asked for any more, nothing is left when the line stands', async () => {
  const { client, clock, desk, seen, store } = make();
  const live = () => client.emit('state', { name: 'live' });
  const ended = talk({ state: 'ended', outcome: 'answered' });
  client.tell('call.dial', talk());
  client.refuse = { 'claim:result': 'timeout' };
  client.tell('call.hangup', ended);
  await clock.pass(1000);
  live();
  client.tell('call.bridge', talk());
  client.tell('call.hangup', ended);
  assert.deepEqual(notes(store), ['talk.c1'], 'it has no window yet');
  client.refuse = {};
  await clock.pass(10000);
  assert.deepEqual([seen.results.length, notes(store)], [1, []]);
  desk.talks.note(talk());
  live();
  assert.deepEqual(notes(store), [], 'the call came back and ended unseen');
  client.refuse = { 'claim:result': 'taken' };
  client.tell('call.bridge', talk({ id: 'c3' }));
  client.tell('call.hangup', { ...ended, id: 'c3' });
  await clock.pass(10000);
  desk.talks.note(talk({ id: 'c3' }));
  live();
  assert.deepEqual(notes(store), [], 'another tab has its window');
  desk.talks.note(talk({ id: 'c2' }));
  clock.at += 300000;
  live();
  await clock.pass(10000);
  assert.deepEqual([seen.results.length, notes(store)], [1, []]);
});

test('what became known meanwhile is not asked for again, nor of a call that is gone', async () => {
  let asked = 0;
  const { client, clock, seen, lookups } = make({ find: async () => ((asked += 1), { state: 'failed', matches: [] }) });
  client.tell('call.dial', talk());
  await settle();
  lookups.learned('+79005550111', [olga]);
  await clock.pass(61000);
  assert.deepEqual([asked, seen.cards.get('c1').who.name], [1, 'Olga']);
  client.tell('call.dial', talk({ id: 'c2', phone: '+79990000000' }));
  await settle();
  client.tell('call.hangup', talk({ id: 'c2', phone: '+79990000000', state: 'ended', outcome: 'answered' }));
  const others = asked;
  await clock.pass(70000);
  assert.ok(asked <= others + 1, 'once for the result window');
});

test('what is learned of a number is of its own calls only', async () => {
  const { client, seen, lookups } = make({ find: async () => found() });
  client.tell('call.dial', talk());
  client.tell('call.dial', talk({ id: 'c2', phone: '+79990000000' }));
  client.tell('call.dial', talk({ id: 'c3', direction: 'internal', peer: { user: '9', name: 'Boris', extension: '102' } }));
  await settle();
  lookups.learned('+79005550111', [olga]);
  assert.deepEqual([...seen.cards.values()].map(({ who }) => who.name), ['Olga', '+7 999 000-00-00', 'Boris']);
});

test('who calls is said and notified when it is known, once; in a talk nothing is said', async () => {
  const { client, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.update', call({ version: 2 }));
  await settle();
  assert.deepEqual(seen.said, ['Incoming call: +7 900 555-01-11', 'Incoming call: ' + ivan.name]);
  assert.equal(seen.rung.at(-1)[1], ivan.name);
  client.tell('call.bridge', talk({ version: 3, phone: '+79990000000' }));
  await settle();
  assert.equal(seen.said.length, 2);
});

test('what a card calls the state of its call', () => {
  const { desk } = make();
  const label = (over) => desk.view.label(call(over));
  assert.deepEqual(
    [{}, { direction: 'internal' }, { direction: 'outbound', outgoing: true }, { direction: 'internal', outgoing: true }, { state: 'talking' }, { state: 'held' }].map(label),
    ['Incoming call', 'Internal call', 'Calling', 'Calling', 'Talking', 'On hold'],
  );
  const elsewhere = (answered_by) => label({ state: 'ended', outcome: 'elsewhere', answered_by });
  assert.deepEqual([elsewhere({ name: 'Boris' }), elsewhere({ name: '' }), elsewhere(null)], ['Answered by Boris', 'Answered by somebody else', 'Answered by somebody else']);
});

test('it rings for who calls, and not for whom one calls; silence at the answer, elsewhere and at the end', () => {
  const { client, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.dial', call({ id: 'c2', direction: 'outbound', outgoing: true }));
  client.tell('call.dial', call({ id: 'c3', direction: 'internal', outgoing: true, phone: null, phone_raw: '102' }));
  assert.deepEqual(rings(seen), ['c1']);
  client.tell('call.bridge', talk());
  client.tell('call.dial', call({ id: 'c4' }));
  assert.deepEqual(seen.rung.at(-1).slice(0, 1).concat(seen.rung.at(-1)[2]), ['c4', true], 'quietly beside a talk');
  client.tell('call.bridge', call({ id: 'c4', state: 'ended', outcome: 'elsewhere' }));
  assert.ok(seen.silenced.includes('c1') && seen.silenced.includes('c4'));
});

test('the caller’s card opens at the answer, if that is wanted and somebody looks', async () => {
  for (const [open, looks, live, want] of [[true, true, true, ['/contacts/detail/1']], [false, true, true, []], [true, false, true, []], [true, true, false, []]]) {
    const { client, seen } = make({ behaviour: { open }, visible: () => looks });
    client.tell('call.dial', call());
    client.tell('call.bridge', talk(), live);
    await settle();
    assert.deepEqual(seen.opened, want);
  }
});

test('asleep: what ended meanwhile is gone at once, whatever timers say', async () => {
  const { client, clock, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.hangup', call({ state: 'ended', outcome: 'missed' }));
  client.tell('call.dial', call({ id: 'c2' }));
  clock.at += 20000; /* and no timer has run */
  client.calls.delete('c2');
  seen.wake.wake();
  assert.equal(seen.cards.size, 0);
});

test('no connection: ringing goes after half a minute, a talk after five, and both come back', async () => {
  const { client, clock, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.bridge', talk({ id: 'c2' }));
  client.emit('state', { name: 'retrying' });
  await clock.pass(29000);
  assert.equal(seen.cards.size, 2);
  await clock.pass(2000);
  assert.deepEqual([[...seen.cards.keys()], seen.sign, seen.status.at(-1)], [['c2'], 'No connection to telephony', true]);
  await clock.pass(270000);
  assert.deepEqual([seen.cards.size, seen.status.at(-1)], [0, false]);
  client.emit('state', { name: 'live' });
  assert.deepEqual([seen.cards.size, seen.sign, seen.status.at(-1)], [2, null, true]);
});

test('the machine slept: nothing is believed until the line has proved itself', async () => {
  const { client, clock, seen } = make();
  client.tell('call.dial', call());
  clock.at += 3600000;
  await clock.pass(1000);
  assert.deepEqual([seen.cards.size, seen.sign], [0, 'No connection to telephony']);
  client.state = { name: 'live' };
  await clock.pass(5000);
  assert.deepEqual([seen.cards.size, seen.sign], [1, null]);
});

test('the page is frozen in a talk: the status is not left on', () => {
  const { client, seen } = make();
  client.tell('call.dial', talk());
  seen.wake.sleep();
  assert.equal(seen.status.at(-1), false);
  seen.wake.wake();
  assert.equal(seen.status.at(-1), true);
});

test('a dialled number is shown at once, until its call comes or it fails', async () => {
  const { desk, client, clock, seen } = make();
  const away = desk.dialling('+79005550111', { name: 'Ivan' });
  assert.deepEqual([...seen.cards.values()].map(({ label, who }) => [label, who.name]), [['Dialling…', 'Ivan']]);
  away('c9');
  assert.equal(seen.cards.size, 1, 'the call has not been seen yet');
  client.tell('call.dial', call({ id: 'c9', direction: 'outbound' }));
  assert.deepEqual([...seen.cards.keys()], ['c9']);
  desk.dialling('102')();
  assert.deepEqual([...seen.cards.keys()], ['c9']);
  desk.dialling('103')('never seen');
  await clock.pass(10000);
  assert.deepEqual([...seen.cards.keys()], ['c9']);
});

test('the dialled card gives way to a call that is told before the reply, and to one that is over at once', async () => {
  const outgoing = (over) => call({ direction: 'outbound', outgoing: true, ...over });
  const { desk, client, seen } = make();
  const away = desk.dialling('89005550111');
  client.tell('call.dial', call({ id: 'c8', phone: '+79990000000' }));
  assert.equal(seen.cards.size, 2, 'another call is not its own');
  client.tell('call.dial', outgoing());
  assert.deepEqual([...seen.cards.keys()], ['c8', 'c1']);
  away('c1');
  desk.dialling('102')('c2');
  client.tell('call.hangup', outgoing({ id: 'c2', phone: null, phone_raw: '102', state: 'ended', outcome: 'failed' }));
  desk.dialling('103');
  client.tell('call.hangup', outgoing({ id: 'c3', phone: null, phone_raw: '103', state: 'ended', outcome: 'failed' }));
  assert.deepEqual([...seen.cards.keys(), desk.placeholders.size], ['c8', 'c1', 0]);
});

test('a queue tries its member again while the card still says that he missed it', async () => {
  const { client, clock, seen } = make();
  client.tell('call.dial', call());
  client.tell('call.hangup', call({ state: 'ended', outcome: 'missed' }));
  await clock.pass(1000);
  client.tell('call.dial', call());
  await clock.pass(30000);
  assert.deepEqual([seen.cards.get('c1').state, rings(seen).length > 1], ['ringing', true]);
});

test('nothing runs when there is no call', async () => {
  const { desk, client, clock } = make();
  client.tell('call.dial', call());
  assert.ok(clock.timers.length > 0);
  client.tell('call.hangup', call({ state: 'ended', outcome: 'missed' }));
  await clock.pass(70000);
  assert.equal(clock.timers.length, 0);
  desk.stop();
});
