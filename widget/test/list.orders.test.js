/* The call list under events in any order: what must never happen, and what must come out in the end. A failure names
   its seed; ORDERS=seed runs that one alone. */
'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { World, people } = require('./list.world.js');

const runs = 60;
const steps = 70;
const ids = [1, 2, 3, 4, 5];

/* mulberry32 */
const dice = (seed) => {
  let a = seed;
  const next = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { pick: (all) => all[Math.floor(next() * all.length)], chance: (p) => next() < p, upTo: (n) => Math.floor(next() * n) };
};

const kept = (world, key) => JSON.parse(world.storage.values.get('p.' + key) || 'null');

/* Watches every dial: the user is in no call, the list is to be called, the entry's turn has come and was not used.
   Returns what was wrong. */
const watch = (world, log) => {
  const wrong = [];
  const must = (so, what) => so || wrong.push(what + ' after ' + log.slice(-12).join(' '));
  const used = new Set(); /* number and since of dials that made a call, or may have */
  const { telephone } = world;
  const { dial } = telephone;
  telephone.dial = (value) => {
    const list = kept(world, 'list');
    const run = kept(world, 'list.run');
    log.push('dial ' + value);
    must(telephone.live().length === 0, 'dialled during a call');
    must(list && list.run && !(run.halted && run.halted.run === list.run.token), 'dialled while paused');
    const entry = list && list.entries.find(({ phone }) => phone === value);
    must(entry && !entry.skip, 'dialled who is not in line');
    const turn = value + ' ' + (entry || {}).since;
    must(!used.has(turn), 'dialled twice in one turn');
    if (!telephone.refusing || telephone.refusing === 'timeout') used.add(turn);
    return dial.call(telephone, value);
  };
  return wrong;
};

const events = {
  time: (world, { upTo }) => world.pass(upTo(4000)),
  longer: (world, { upTo }) => world.pass(upTo(30000)),
  answered({ telephone }, { pick }) {
    const call = pick(telephone.live().filter(({ state }) => state === 'ringing'));
    if (call) telephone.answer(call.id);
  },
  ended({ telephone }, { pick, upTo }) {
    const call = pick(telephone.live());
    if (!call) return;
    const talked = call.state === 'talking';
    telephone.end(call.id, talked ? 'answered' : pick(['busy', 'missed', 'failed', 'cancelled', 'rejected', null]), talked ? 1 + upTo(90) : 0);
  },
  inbound({ telephone }, { chance }) {
    if (chance(0.3) && !telephone.live().length) telephone.place({});
  },
  start: (world, { tab }) => tab.act.start(),
  pause: (world, { tab, chance }) => chance(0.3) && tab.act.pause(),
  skip: (world, { tab, chance }) => chance(0.5) && tab.act.skip(),
  again: (world, { tab, chance }) => chance(0.3) && tab.act.again(),
  now: (world, { tab }) => tab.act.now(),
  hangUp: (world, { tab, chance }) => chance(0.3) && tab.act.hang_up(),
  move: (world, { tab, pick, upTo }) => tab.act.move('contact:' + pick(ids), upTo(ids.length)),
  clear(world, { tab, chance }) {
    if (!chance(0.1)) return;
    tab.act.clear();
    tab.list.add(people(...ids));
  },
  remove(world, { tab, pick, chance }) {
    if (chance(0.3)) tab.act.remove('contact:' + pick(ids));
  },
  add: (world, { tab }) => tab.list.add(people(...ids)),
  window(world, { tab, chance }) {
    tab.quiet = chance(0.7);
  },
  refusing({ telephone }, { pick }) {
    telephone.refusing = pick([null, null, null, 'pbx_offline', 'bad_number', 'rejected', 'timeout']);
  },
  losing({ telephone }, { chance }) {
    telephone.losing = chance(0.2);
  },
  cut: (world, { tab, chance }) => chance(0.5) && tab.client.turn('retrying'),
  linked: (world, { tab }) => tab.client.connect(),
  opened(world) {
    if (world.tabs.length < 3) world.tab();
  },
  closed(world, { tab }) {
    if (world.tabs.length > 1) world.close(tab);
  },
  async reloaded(world, { tab, upTo }) {
    world.close(tab);
    const fresh = world.tab({ connect: false });
    await world.pass(upTo(3000));
    fresh.client.connect();
  },
};

/* All is well again: the list is called to its end. */
const heal = async (world) => {
  const { telephone } = world;
  Object.assign(telephone, { refusing: null, losing: false });
  world.tabs.forEach((tab) => {
    tab.quiet = true;
    tab.client.connect();
  });
  for (let i = 0; i < 40; i += 1) {
    telephone.live().forEach(({ id }) => telephone.end(id, 'missed'));
    await world.pass(20000);
    const { view } = world.tabs[0].list.panel;
    const open = view.rows.some(({ state }) => ['waiting', 'dialling', 'talking'].includes(state));
    if (!open) break;
    if (view.phase === 'idle') world.tabs[0].act.start();
  }
  await world.pass(100000); /* what the clients remember of ended calls is forgotten */
};

const runOne = async (seed) => {
  const world = new World({ interval: 5, locks: seed % 4 > 0 });
  const log = [];
  const die = dice(seed);
  const wrong = watch(world, log);
  world.tab();
  world.tabs[0].list.add(people(...ids));
  world.tabs[0].act.start();
  for (let i = 0; i < steps; i += 1) {
    const name = die.chance(0.4) ? die.pick(['time', 'longer']) : die.pick(Object.keys(events));
    log.push(name);
    await events[name](world, { ...die, tab: die.pick(world.tabs) });
    await world.pass(5); /* tabs hear of each other: nobody presses things in two of them at once */
  }
  await heal(world);
  const [first, ...others] = world.tabs.map(({ list }) => list.panel.view.rows.map(({ key, state }) => key + ' ' + state).join());
  others.forEach((other) => assert.equal(other, first, 'the tabs show different lists'));
  assert.doesNotMatch(first, /waiting|dialling|talking/, 'somebody was left out');
  assert.deepEqual(world.clock.timers, [], 'timers are left');
  assert.deepEqual(wrong, []);
  return log;
};

test('in any order of events nobody is called twice, during a call, or against the user’s will; and everybody in the end', async () => {
  const seeds = process.env.ORDERS ? [Number(process.env.ORDERS)] : Array.from({ length: runs }, (_, i) => i + 1);
  const failures = [];
  const onRejection = (err) => failures.push(err);
  process.on('unhandledRejection', onRejection);
  let dials = 0;
  for (const seed of seeds) {
    try {
      const log = await runOne(seed);
      dials += log.filter((line) => line.startsWith('dial')).length;
      if (failures.length) throw failures[0];
    } catch (err) {
      err.message += ' (seed ' + seed + ')';
      throw err;
    }
  }
  process.off('unhandledRejection', onRejection);
  assert.ok(dials > seeds.length, 'too little happened to say anything: ' + dials + ' dials');
});
