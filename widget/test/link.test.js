'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator } = require('./fakes.js');

const Link = load('js/link.js');

const make = () => {
  const seen = { errors: [], infos: [], sign: null };
  const clock = new Clock();
  const link = new Link({
    host: 'calls.example.com',
    clock,
    t: translator('en'),
    indicate: (message) => (seen.sign = message),
    errors: { show: (m) => seen.errors.push(m) },
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
  assert.deepEqual(seen, { errors: [], infos: [], sign: null });
});

test('lost for five seconds: told once, with cause and whom to ask, and told when it is back', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'live' });
  link.onState({ name: 'retrying' });
  await clock.pass(3000);
  link.onState({ name: 'connecting' });
  await clock.pass(2000);
  link.onState({ name: 'retrying' });
  await clock.pass(60000);
  assert.equal(seen.errors.length, 1);
  assert.match(seen.errors[0], /calls\.example\.com.*does not answer.*administrator/);
  assert.ok(seen.sign);
  link.onState({ name: 'live' });
  assert.equal(seen.infos.length, 1);
  assert.equal(seen.sign, null);
});

test('a flapping line does not pile up messages', async () => {
  const { link, clock, seen } = make();
  for (let i = 0; i < 10; i++) {
    link.onState({ name: 'retrying' });
    await clock.pass(6000);
    assert.ok(seen.sign, 'the sign shows each time');
    link.onState({ name: 'live' });
  }
  assert.equal(seen.errors.length, 1);
  assert.equal(seen.infos.length, 1);
});

test('a refusal is told at once, with its cause', () => {
  for (const [code, cause] of [['origin', /list of origins/], ['bad_token', /secret key/], ['revoked', /list of users/], ['odd', /code odd/]]) {
    const { link, seen } = make();
    link.onState({ name: 'refused', code });
    assert.match(seen.errors[0], cause);
  }
});

test('a page that was frozen says nothing when it wakes', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'live' });
  link.onState({ name: 'retrying', code: 'asleep' });
  await clock.pass(3600000);
  assert.deepEqual(seen.errors, []);
});

test('nothing is told after stop', async () => {
  const { link, clock, seen } = make();
  link.onState({ name: 'retrying' });
  link.stop();
  await clock.pass(60000);
  assert.deepEqual(seen.errors, []);
});
