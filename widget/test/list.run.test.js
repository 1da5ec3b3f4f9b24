/* The call list at work: one after another, by one tab, and never two at once. */
'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { translator } = require('./fakes.js');
const { World, people, number, states } = require('./list.world.js');

const Errors = load('js/errors.js');
const Hangups = load('js/hangups.js');

const start = async (options, ...ids) => {
  const world = new World(options);
  const tab = world.tab();
  tab.list.add(people(...(ids.length ? ids : [1, 2, 3])));
  tab.act.start();
  await world.pass(300);
  return { world, tab, telephone: world.telephone };
};

const dialled = (world) => world.telephone.dials.map((dial) => dial.number);

const why = (tab) => tab.list.panel.view.why;

test('three people: reached, busy, no answer, with the interval after each call', async () => {
  const { world, tab, telephone } = await start();
  assert.deepEqual(dialled(world), [number(1)]);
  assert.equal(states(tab), '1 dialling, 2 waiting, 3 waiting');
  telephone.answer('office:1');
  await world.pass(65000);
  assert.equal(states(tab), '1 talking, 2 waiting, 3 waiting');
  telephone.end('office:1', 'answered', 65);
  await world.pass(9000);
  assert.equal(dialled(world).length, 1, 'the interval is not over');
  assert.equal(tab.list.panel.view.phase, 'gap');
  await world.pass(2300);
  assert.deepEqual(dialled(world), [number(1), number(2)]);
  telephone.end('office:2', 'busy');
  await world.pass(12000);
  telephone.end('office:3', 'missed');
  await world.pass(1000);
  assert.equal(states(tab), '1 reached, 2 busy, 3 missed');
  assert.equal(tab.list.panel.view.rows[0].says, 'Reached 01:05');
  assert.match(why(tab), /end of the list/);
  assert.ok(telephone.dials.every((dial) => !dial.busy));
  await world.pass(600000);
  assert.equal(dialled(world).length, 3);
  assert.deepEqual(world.clock.timers, [], 'no timer runs when nothing is called');
});

test('again: only those who were not reached, once more', async () => {
  const { world, tab, telephone } = await start({}, 1, 2);
  telephone.end('office:1', 'answered', 3);
  await world.pass(11000);
  telephone.end('office:2', 'busy');
  await world.pass(1000);
  tab.act.again(); /* so soon that the dialer takes it for a double click */
  await world.pass(3000);
  assert.deepEqual(dialled(world), [number(1), number(2), number(2)]);
  assert.equal(states(tab), '1 reached, 2 dialling');
  telephone.end('office:3', 'answered', 3);
  await world.pass(1000);
  assert.equal(states(tab), '1 reached, 2 reached');
});

test('a result window is open: the next call waits for it, and the interval begins when it is closed', async () => {
  const { world, tab, telephone } = await start();
  telephone.end('office:1', 'answered', 3);
  await world.pass(1000);
  tab.quiet = false;
  await world.pass(120000);
  assert.equal(dialled(world).length, 1);
  assert.equal(tab.list.panel.view.phase, 'held');
  tab.quiet = true;
  await world.pass(9000);
  assert.equal(dialled(world).length, 1);
  await world.pass(3000);
  assert.equal(dialled(world).length, 2);
});

test('a result window in another tab holds the list, too', async () => {
  const { world, telephone } = await start();
  const other = world.tab();
  telephone.end('office:1', 'answered', 3);
  other.quiet = false;
  await world.pass(60000);
  assert.equal(dialled(world).length, 1);
  other.quiet = true;
  await world.pass(14000);
  assert.equal(dialled(world).length, 2);
});

test('call now does not wait', async () => {
  const { world, tab, telephone } = await start();
  telephone.end('office:1', 'busy');
  await world.pass(1000);
  tab.act.now();
  await world.pass(300);
  assert.deepEqual(dialled(world), [number(1), number(2)]);
});

test('pause in one tab stops what another tab drives; start goes on', async () => {
  const { world, tab, telephone } = await start();
  const other = world.tab();
  await world.pass(10);
  other.act.pause();
  telephone.end('office:1', 'missed');
  await world.pass(60000);
  assert.equal(dialled(world).length, 1);
  assert.equal(states(tab), '1 missed, 2 waiting, 3 waiting');
  assert.equal(states(other), states(tab));
  other.act.start();
  await world.pass(3000);
  assert.equal(dialled(world).length, 2);
});

test('skip hangs up what rings and goes on; in the interval it passes over the next', async () => {
  const { world, tab, telephone } = await start();
  tab.act.skip();
  await world.pass(1000);
  assert.deepEqual(tab.client.hangups, ['office:1']);
  assert.equal(states(tab), '1 skipped, 2 waiting, 3 waiting');
  tab.act.skip();
  await world.pass(11000);
  assert.deepEqual(dialled(world), [number(1), number(3)]);
  assert.equal(states(tab), '1 skipped, 2 skipped, 3 dialling');
  telephone.end('office:2', 'missed');
});

test('hang up ends the call, and the list goes on', async () => {
  const { world, tab, telephone } = await start();
  tab.act.hang_up();
  await world.pass(11000);
  assert.equal(states(tab), '1 missed, 2 dialling, 3 waiting');
  telephone.answer('office:2');
  await world.pass(5000);
  tab.act.hang_up();
  await world.pass(1000);
  assert.equal(states(tab), '1 missed, 2 reached, 3 waiting');
});

test('clear leaves the call alone and dials nobody', async () => {
  const { world, tab, telephone } = await start();
  tab.act.clear();
  await world.pass(60000);
  assert.deepEqual([tab.client.hangups, dialled(world).length, telephone.live().length], [[], 1, 1]);
  assert.deepEqual(world.clock.timers, []);
  tab.list.add(people(1));
  tab.act.start();
  await world.pass(1000);
  assert.match(why(tab), /another call/, 'the call that was left is the user’s own now');
});

test('an inbound call pauses the list, while it waits and while it calls', async () => {
  for (const when of ['dialling', 'gap']) {
    const { world, tab, telephone } = await start();
    if (when === 'gap') telephone.end('office:1', 'busy');
    await world.pass(1000);
    telephone.place({});
    await world.pass(1000);
    assert.match(why(tab), /another call/, when);
    if (when === 'dialling') telephone.end('office:1', 'missed');
    telephone.end('office:2', 'missed');
    await world.pass(60000);
    assert.equal(dialled(world).length, 1, when);
  }
});

test('start during a call dials nothing', async () => {
  const world = new World();
  const tab = world.tab();
  world.telephone.place({ direction: 'internal' });
  tab.list.add(people(1));
  tab.act.start();
  await world.pass(60000);
  assert.deepEqual([dialled(world), /another call/.test(why(tab))], [[], true]);
});

test('what concerns every number pauses and says why; the entry waits still', async () => {
  for (const code of ['pbx_offline', 'not_registered', 'not_permitted', 'busy', 'unavailable', 'strange']) {
    const world = new World();
    const tab = world.tab();
    world.telephone.refusing = code;
    tab.list.add(people(1, 2));
    tab.act.start();
    await world.pass(60000);
    assert.equal(dialled(world).length, 1, code);
    assert.equal(states(tab), '1 waiting, 2 waiting', code);
    assert.match(why(tab), /^Paused: /, code);
    world.telephone.refusing = null;
    tab.act.start();
    await world.pass(300);
    assert.equal(states(tab), '1 dialling, 2 waiting', code);
  }
});

test('a panel that is folded or closed does not hide why the list stopped', async () => {
  for (const put of ['fold', 'hide']) {
    const world = new World();
    const tab = world.tab();
    world.telephone.refusing = 'pbx_offline';
    tab.list.add(people(1, 2));
    tab.act[put]();
    tab.act.start();
    await world.pass(5000);
    assert.deepEqual(world.errors, [why(tab)], put);
    assert.match(why(tab), /PBX is not connected/);
    assert.deepEqual(world.told, ['over list.halt', 'list.halt.pbx_offline'], 'one tab says it, to all');
  }
});

test('the list that was started again and stopped again says so again, however soon', async () => {
  const world = new World();
  const tab = world.tab();
  tab.list.add(people(1));
  const told = [];
  tab.list.errors = new Errors({ notifications: { add_error: (note, { always }) => always(told.push(note.text)) }, store: tab.store, clock: world.clock, t: translator('en') });
  tab.act.fold();
  world.telephone.refusing = 'pbx_offline';
  for (const times of [1, 2]) {
    tab.act.start();
    await world.pass(120000);
    assert.equal(told.length, times);
  }
});

test('what concerns one number fails that one', async () => {
  const { world, tab, telephone } = await start();
  telephone.refusing = 'bad_number';
  telephone.end('office:1', 'busy');
  await world.pass(30000);
  assert.equal(states(tab), '1 busy, 2 failed, 3 failed');
  assert.match(why(tab), /end of the list/);
});

test('nobody sits at the telephone: after three calls in vain the list pauses', async () => {
  const { world, tab, telephone } = await start({}, 1, 2, 3, 4, 5);
  for (let i = 1; i <= 3; i += 1) {
    telephone.end('office:' + i, 'cancelled');
    await world.pass(15000);
  }
  assert.equal(dialled(world).length, 3);
  assert.match(why(tab), /several calls in a row/);
  assert.equal(states(tab), '1 cancelled, 2 cancelled, 3 cancelled, 4 waiting, 5 waiting', 'perhaps none of them was rung');
});

test('who hangs up early himself, in the call’s card and in whatever tab, has not called in vain', async () => {
  const { world, tab, telephone } = await start({}, 1, 2, 3, 4, 5);
  const other = world.tab();
  const outcomes = ['cancelled', 'failed', 'cancelled', 'cancelled'];
  for (const [i, outcome] of outcomes.entries()) {
    const id = 'office:' + (i + 1);
    new Hangups(i % 2 ? other : tab).note(id);
    telephone.end(id, outcome);
    await world.pass(15000);
  }
  assert.equal(states(tab), '1 missed, 2 missed, 3 missed, 4 missed, 5 dialling');
});

test('a call that ended on our side is not taken for one that nobody answered, and is offered again', async () => {
  const { world, tab, telephone } = await start({}, 1, 2);
  telephone.end('office:1', 'cancelled');
  await world.pass(12000);
  telephone.end('office:2', 'missed');
  await world.pass(1000);
  assert.equal(states(tab), '1 cancelled, 2 missed');
  assert.equal(tab.list.panel.view.rows[0].says, 'Not put through');
  assert.ok(tab.list.panel.view.buttons.includes('again'));
});

test('the user’s own telephone refuses: the others were not called in vain, and are offered again', async () => {
  const world = new World();
  const tab = world.tab();
  world.telephone.refusing = 'rejected';
  tab.list.add(people(1, 2, 3, 4));
  tab.act.start();
  await world.pass(60000);
  assert.equal(states(tab), '1 cancelled, 2 cancelled, 3 cancelled, 4 waiting');
  world.telephone.refusing = null;
  tab.act.again();
  await world.pass(3000);
  assert.equal(states(tab), '1 dialling, 2 waiting, 3 waiting, 4 waiting');
});

test('skip that is pressed as the call ends skips nobody else', async () => {
  const { world, tab, telephone } = await start();
  telephone.end('office:1', 'missed');
  await world.pass(200);
  tab.act.skip();
  await world.pass(13000);
  assert.equal(states(tab), '1 missed, 2 dialling, 3 waiting');
});

test('a window that opens later than a short interval holds the list, too', async () => {
  const { world, tab, telephone } = await start({ interval: 3 });
  telephone.answer('office:1');
  await world.pass(1000);
  telephone.end('office:1', 'answered', 1);
  await world.pass(6000);
  tab.quiet = false;
  await world.pass(20000);
  assert.equal(dialled(world).length, 1);
  tab.quiet = true;
  await world.pass(5000);
  assert.equal(dialled(world).length, 2, 'the short interval after it');
  telephone.end('office:2', 'busy');
  await world.pass(4000);
  assert.equal(dialled(world).length, 3, 'and after who was not reached');
});

test('pressed in two tabs in the same moment: neither undoes the other', async () => {
  const { world, tab, telephone } = await start();
  const other = world.tab();
  await world.pass(10);
  other.act.pause();
  tab.act.move('contact:3', 0);
  telephone.end('office:1', 'missed');
  await world.pass(30000);
  assert.equal(states(tab), '3 waiting, 1 missed, 2 waiting');
});

test('without a panel that can pause it nothing is dialled', async () => {
  const world = new World();
  const tab = world.tab();
  const { panel } = tab.list;
  panel.ready = false;
  tab.list.add(people(1, 2));
  panel.failed();
  panel.failed();
  tab.act.start();
  await world.pass(60000);
  assert.deepEqual([dialled(world), world.errors.length], [[], 1]);
  assert.deepEqual(world.told.filter((key) => /broken/.test(key)), ['list.broken'], 'one tab says it, to all');
  const other = world.tab();
  await world.pass(3000);
  assert.deepEqual([dialled(world), /interrupted/.test(why(other))], [[], true], 'nobody watched it meanwhile');
  other.act.start();
  await world.pass(3000);
  assert.deepEqual(dialled(world), [number(1)], 'a tab that has one dials');
  tab.client.hangup('office:1');
  world.close(other);
  panel.failed();
  panel.ready = true;
  panel.drawn();
  await world.pass(30000);
  assert.deepEqual([dialled(world), /interrupted/.test(why(tab))], [[number(1)], true], 'it could be drawn at last');
});

test('no connection: a short cut is outlived, a long one pauses', async () => {
  const { world, tab, telephone } = await start();
  telephone.end('office:1', 'busy');
  await world.pass(1000);
  tab.client.turn('retrying');
  await world.pass(14000);
  tab.client.connect();
  await world.pass(1000);
  assert.equal(dialled(world).length, 2, 'went on');
  telephone.end('office:2', 'busy');
  await world.pass(1000);
  tab.client.turn('retrying');
  await world.pass(40000);
  tab.client.connect();
  await world.pass(40000);
  assert.equal(dialled(world).length, 2);
  assert.match(why(tab), /no connection/);
});

test('the reply is lost, the call is made: it is found by its number and followed', async () => {
  const world = new World();
  const tab = world.tab();
  world.telephone.losing = true;
  tab.list.add(people(1, 2));
  tab.act.start();
  await world.pass(300);
  assert.equal(states(tab), '1 dialling, 2 waiting');
  world.telephone.end('office:1', 'answered', 4);
  await world.pass(1000);
  assert.equal(states(tab), '1 reached, 2 waiting');
});

test('the reply is lost and no call is seen: paused, and not dialled again', async () => {
  const world = new World();
  const tab = world.tab();
  world.telephone.refusing = 'timeout';
  tab.list.add(people(1, 2));
  tab.act.start();
  await world.pass(2000);
  assert.match(why(tab), /did not answer in time/);
  assert.equal(states(tab), '1 dialling, 2 waiting', 'it may come still');
  await world.pass(60000);
  assert.equal(states(tab), '1 failed, 2 waiting');
  assert.equal(dialled(world).length, 1);
});

test('an earlier call to the same number is not taken for this one', async () => {
  const { world, tab, telephone } = await start({}, 1);
  telephone.end('office:1', 'busy');
  await world.pass(3000);
  telephone.losing = true;
  tab.act.again();
  await world.pass(300);
  assert.equal(states(tab), '1 dialling');
  telephone.end('office:2', 'answered', 9);
  await world.pass(1000);
  assert.equal(states(tab), '1 reached');
});

test('reloaded in the middle of a talk: the call is found again, and the list goes on after it', async () => {
  const { world, tab, telephone } = await start();
  telephone.answer('office:1');
  await world.pass(30 * 60000);
  world.close(tab);
  const again = world.tab({ connect: false });
  await world.pass(7000);
  again.client.connect();
  await world.pass(3000);
  assert.equal(states(again), '1 talking, 2 waiting, 3 waiting');
  telephone.end('office:1', 'answered', 1804);
  await world.pass(12000);
  assert.equal(states(again), '1 reached, 2 dialling, 3 waiting');
  assert.equal(dialled(world).length, 2);
});

test('the tab that dials is closed: another one takes over, and nobody is called twice', async () => {
  const { world, tab, telephone } = await start();
  const other = world.tab();
  await world.pass(10);
  world.close(tab);
  telephone.end('office:1', 'missed');
  await world.pass(15000);
  assert.equal(states(other), '1 missed, 2 dialling, 3 waiting');
  assert.deepEqual(dialled(world), [number(1), number(2)]);
});

test('closed between reserving and dialling: the entry waits still, and is dialled once', async () => {
  const world = new World();
  const tab = world.tab();
  const other = world.tab();
  tab.list.add(people(1));
  tab.act.start();
  await world.pass(100);
  world.close(tab);
  await world.pass(10000);
  assert.deepEqual(dialled(world), [number(1)]);
  assert.equal(states(other), '1 dialling');
});

test('the browser was closed overnight: the list does not call by itself in the morning', async () => {
  const { world, tab, telephone } = await start();
  telephone.answer('office:1');
  await world.pass(5000);
  world.close(tab);
  telephone.end('office:1', 'answered', 60);
  await world.pass(12 * 3600000);
  const morning = world.tab();
  await world.pass(60000);
  assert.equal(dialled(world).length, 1);
  assert.equal(states(morning), '1 reached, 2 waiting, 3 waiting');
  assert.match(why(morning), /interrupted/);
});

test('the CRM is opened again a minute after it was closed: nobody pressed anything, nobody is called', async () => {
  for (const talking of [false, true]) {
    const { world, tab, telephone } = await start();
    if (talking) telephone.answer('office:1');
    else telephone.end('office:1', 'missed');
    await world.pass(1000);
    world.close(tab);
    await world.pass(60000);
    const again = world.tab();
    await world.pass(5000);
    if (talking) telephone.end('office:1', 'answered', 60);
    await world.pass(30000);
    assert.equal(dialled(world).length, 1);
    assert.match(why(again), /interrupted/);
    again.act.start();
    await world.pass(3000);
    assert.equal(dialled(world).length, 2, 'but when somebody says so');
  }
});

test('the lid is closed while a call rings, between reserving and dialling, or in a talk: nobody is called in the morning', async () => {
  for (const when of ['reserved', 'ringing', 'talking']) {
    const world = new World();
    const tab = world.tab();
    tab.list.add(people(1, 2, 3));
    tab.act.start();
    await world.pass(when === 'reserved' ? 100 : 300);
    if (when === 'talking') world.telephone.answer('office:1');
    if (when !== 'reserved') tab.client.turn('retrying'); /* else it is not known yet that the connection is gone */
    world.telephone.calls.clear();
    world.clock.at += 9 * 3600000;
    await world.pass(1000);
    tab.client.connect();
    await world.pass(30000);
    assert.equal(dialled(world).length, when === 'reserved' ? 0 : 1, when);
    assert.match(why(tab), /interrupted/, when);
  }
});

test('the connection is lost in a call: it is followed when it is back, and the next one waits for people', async () => {
  const { world, tab, telephone } = await start();
  telephone.answer('office:1');
  await world.pass(1000);
  tab.client.turn('retrying');
  await world.pass(40000);
  tab.client.connect();
  await world.pass(1000);
  assert.equal(states(tab), '1 talking, 2 waiting, 3 waiting');
  telephone.end('office:1', 'answered', 42);
  await world.pass(60000);
  assert.equal(states(tab), '1 reached, 2 waiting, 3 waiting');
  assert.match(why(tab), /no connection/);
});

test('the machine slept through the interval: nobody is called when it wakes', async () => {
  const { world, tab, telephone } = await start();
  telephone.end('office:1', 'busy');
  await world.pass(1000);
  world.clock.at += 3600000;
  await world.pass(5000);
  assert.equal(dialled(world).length, 1);
  assert.match(why(tab), /interrupted/);
});

test('without locks the leading tab drives, and another one after it', async () => {
  const world = new World({ locks: false });
  const tabs = [world.tab(), world.tab()];
  tabs[0].client.state.leader = false;
  tabs[1].client.state.leader = true;
  tabs[0].list.add(people(1, 2));
  tabs[0].act.start();
  await world.pass(3000);
  assert.deepEqual(dialled(world), [number(1)]);
  assert.equal(states(tabs[0]), '1 dialling, 2 waiting');
});

test('without locks and without a leader two tabs still dial once', async () => {
  const world = new World({ locks: false });
  const tabs = [world.tab(), world.tab()];
  tabs[0].list.add(people(1, 2, 3));
  tabs[0].act.start();
  await world.pass(5000);
  assert.deepEqual(dialled(world), [number(1)]);
  world.telephone.end('office:1', 'answered', 2);
  await world.pass(15000);
  assert.deepEqual(dialled(world), [number(1), number(2)]);
  const writes = world.storage.writes;
  await world.pass(20000);
  assert.ok(world.storage.writes - writes < 10, 'they do not answer each other without end');
});

test('the card is opened once for each call, if the user wants that, and not again after a reload', async () => {
  const world = new World();
  const tab = world.tab();
  tab.act.open(true);
  tab.list.add(people(1, 2));
  tab.act.start();
  await world.pass(5000);
  assert.deepEqual(tab.cards, ['/contacts/detail/1']);
  world.close(tab);
  const again = world.tab();
  await world.pass(5000);
  assert.deepEqual(again.cards, []);
  assert.equal(again.list.panel.view.open, true);
});

test('stopped: no timer, no event, no turn is kept', async () => {
  const { world, tab } = await start();
  tab.list.stop();
  assert.deepEqual([world.clock.timers.length, tab.list.turn.held, tab.list.panel.gone], [0, false, true]);
});
