'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator, settle } = require('./fakes.js');

const Link = load('js/link.js');

/* say(key) → whether this tab is the one to say it now. */
const make = ({ entitled = true, say = () => true } = {}) => {
  const seen = { errors: [], keys: [], over: [], infos: [], badges: [], sign: null };
  const clock = new Clock();
  const link = new Link({
    host: 'calls.example.com',
    clock,
    t: translator('en'),
    indicate: (message) => (seen.sign = message),
    badge: (status) => seen.badges.push(status),
    entitled: () => entitled,
    errors: {
      ask: () => 'Ask Anna.',
      over: (key) => seen.over.push(key),
      show: async (message, { key }) => {
        seen.keys.push(key);
        const said = say(key);
        if (said) seen.errors.push(message);
        return said;
      },
    },
    notices: { info: (m) => seen.infos.push(m) },
  });
  return { link, clock, seen };
};

test('a short cut is nobody’s business', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'connecting' });
  await clock.pass(4999);
  link.onState({ name: 'live' });
  await clock.pass(60000);
  assert.deepEqual([seen.errors, seen.infos, seen.sign], [[], [], null]);
});

test('lost for five seconds: told once, with cause and whom to ask, and told when it is back', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'live' });
  link.onState({ name: 'retrying' });
  await clock.pass(3000);
  link.onState({ name: 'connecting' });
  await clock.pass(2000);
  link.onState({ name: 'retrying' });
  await clock.pass(600000);
  assert.equal(seen.errors.length, 1);
  assert.match(seen.errors[0], /calls\.example\.com.*does not answer.*Ask Anna\./);
  assert.ok(seen.sign);
  link.onState({ name: 'live' });
  assert.equal(seen.infos.length, 1);
  assert.equal(seen.sign, null);
  assert.deepEqual(seen.over.slice(-2), ['lost', 'refused']);
});

test('of tabs that share a connection the one that holds it tells; the others have the sign', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'retrying', leader: false });
  await clock.pass(30000);
  assert.deepEqual(seen.keys, []);
  assert.ok(seen.sign);
  link.onState({ name: 'retrying', leader: true }); /* the one that held it was closed */
  await clock.pass(60000);
  assert.deepEqual(seen.keys, ['lost']);
});

test('not to be told yet, since the line flaps: told when it stays away', async () => {
  let early = true;
  const { link, clock, seen } = make({ say: () => !early });
  link.onState({ name: 'retrying' });
  await clock.pass(5000);
  assert.deepEqual([seen.errors, Boolean(seen.sign)], [[], true]);
  early = false;
  await clock.pass(60000);
  assert.equal(seen.errors.length, 1);
  await clock.pass(600000);
  assert.equal(seen.errors.length, 1);
});

test('another tab has told: no word that it is back from this one', async () => {
  const { link, clock, seen } = make({ say: () => false });
  link.onState({ name: 'retrying' });
  await clock.pass(70000);
  link.onState({ name: 'live' });
  await clock.pass(600000);
  assert.deepEqual([seen.errors, seen.infos, seen.sign], [[], [], null]);
  assert.equal(seen.keys.length, 2, 'and no more tries when it is back');
});

test('a refusal is told at once, with its cause, and marks the widget in the CRM', async () => {
  for (const [code, cause] of [['origin', /list of origins/], ['bad_token', /secret key/], ['revoked', /list of users/], ['odd', /code odd/]]) {
    const { link, seen } = make();
    link.onState({ name: 'refused', code, leader: false });
    await settle();
    assert.match(seen.errors[0], cause);
    assert.deepEqual([seen.keys, seen.badges], [['refused.' + code], ['error']]);
    link.onState({ name: 'live' });
    assert.deepEqual(seen.badges, ['error', 'installed']);
  }
});

test('who has no extension and is not known to the gateway is left in peace', async () => {
  const { link, clock, seen } = make({ entitled: false });
  link.onState({ name: 'connecting' });
  link.onState({ name: 'refused', code: 'revoked' });
  await clock.pass(60000);
  assert.deepEqual([seen.errors, seen.sign, seen.badges], [[], null, []]);
  link.onState({ name: 'refused', code: 'origin' });
  await settle();
  assert.equal(seen.errors.length, 1);
});

test('a page that was frozen says nothing when it wakes', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'live' });
  link.onState({ name: 'retrying', code: 'asleep' });
  await clock.pass(3600000);
  assert.deepEqual(seen.errors, []);
});

test('nothing is told after stop', async () => {
  const { link, clock, seen } = make({ say: () => false });
  link.onState({ name: 'retrying' });
  await clock.pass(6000);
  link.stop();
  await clock.pass(600000);
  assert.deepEqual([seen.keys.length, seen.sign], [1, null]);
});
