'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Client, translator, dictionary } = require('./fakes.js');

const Dialer = load('js/dialer.js');

const make = (lang = 'en') => {
  const errors = [];
  const parts = { client: new Client(), clock: new Clock(), errors: { show: (message) => errors.push(message) }, t: translator(lang) };
  return { ...parts, errors, dialer: new Dialer(parts) };
};

test('a click dials the cleaned number', async () => {
  const { dialer, client, errors } = make();
  await dialer.dial('+7 (900) 555-01-11');
  assert.deepEqual(client.sent, [['call', '+79005550111']]);
  assert.deepEqual(errors, []);
});

test('a double click dials once, another number at once, the same again after two seconds', async () => {
  const { dialer, client, clock } = make();
  await Promise.all([dialer.dial('89005550111'), dialer.dial('8 900 555 01 11')]);
  await dialer.dial('89005550222');
  assert.equal(client.sent.length, 2);
  await clock.pass(2000);
  await dialer.dial('89005550111');
  assert.equal(client.sent.length, 3);
});

test('each failure is explained in the language of the user', async () => {
  const codes = ['pbx_offline', 'not_registered', 'busy', 'rejected', 'not_permitted', 'timeout', 'offline'];
  for (const lang of ['ru', 'en']) {
    for (const code of codes) {
      const { dialer, client, errors } = make(lang);
      client.refuse.call = code;
      await dialer.dial('89005550111');
      assert.deepEqual(errors, [dictionary(lang).errors[code]]);
    }
  }
});

test('no connection: a time-out is not blamed on the PBX', async () => {
  for (const [code, name] of [['timeout', 'retrying'], ['refused', 'refused'], ['stopped', 'stopped']]) {
    const { dialer, client, errors } = make();
    client.state = { name };
    client.refuse.call = code;
    await dialer.dial('89005550111');
    assert.deepEqual(errors, [dictionary('en').errors.offline]);
  }
});

test('what cannot be dialled is not sent, and said', async () => {
  const { dialer, client, errors } = make();
  await dialer.dial('see the note');
  assert.deepEqual(client.sent, []);
  assert.match(errors[0], /“see the note” is not a number/);
});

test('an unknown failure names its code', async () => {
  const { dialer, client, errors } = make();
  client.refuse.hangup = 'strange';
  await dialer.hangUp('c1');
  assert.match(errors[0], /strange/);
});
