'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Client, translator } = require('./fakes.js');

const Dialer = load('js/dialer.js');

const make = () => {
  const explained = [];
  const signs = []; /* what was shown as being dialled, and what became of it */
  const client = new Client();
  client.call = async (to) => {
    client.sent.push(['call', to]);
    if (client.refuse.call) throw Object.assign(new Error(), { code: client.refuse.call });
    return { ok: true, call: 'office:' + client.sent.length };
  };
  const parts = {
    client,
    clock: new Clock(),
    t: translator('en'),
    errors: { explain: (code, { number }, { of }) => explained.push([of, code, number]) },
    dialling: (number, { name }) => {
      const sign = { number, name };
      signs.push(sign);
      return (call) => (sign.became = call || 'nothing');
    },
  };
  return { ...parts, explained, signs, dialer: new Dialer(parts) };
};

test('a click dials the cleaned number, and is shown at once', async () => {
  const { dialer, client, explained, signs } = make();
  const dialled = dialer.dial('+7 (900) 555-01-11', { model: { get: (key) => ({ name: 'Ivan' })[key] } });
  assert.deepEqual(signs, [{ number: '+79005550111', name: 'Ivan' }]);
  assert.deepEqual(await dialled, { ok: true, call: 'office:1' });
  assert.deepEqual(client.sent, [['call', '+79005550111']]);
  assert.equal(signs[0].became, 'office:1');
  assert.deepEqual(explained, []);
});

test('numbers as people write them', async () => {
  for (const [raw, number] of [
    ['8 (900) 555-01-11', '89005550111'],
    ['tel:+7-900-555-01-11', '+79005550111'],
    ['+7 495 123-00-00 доб. 7', '+74951230000'],
    ['+7 495 123-00-00 ext. 7', '+74951230000'],
    ['+7 900 555-01-11, 8 800 200-00-00', '+79005550111'],
    ['раб. 8-495-123-45-67', '84951234567'],
    ['＋７（９００）５５５－０１－１１', '+79005550111'],
    ['101', '101'],
    ['*97', '*97'],
    [' #31# ', '#31#'],
  ]) {
    const { dialer, client } = make();
    await dialer.dial(raw);
    assert.deepEqual(client.sent, [['call', number]], raw);
  }
});

test('a double click dials once and has the same outcome, another number at once, the same again after two seconds', async () => {
  const { dialer, client, clock, signs } = make();
  const both = await Promise.all([dialer.dial('89005550111'), dialer.dial('8 900 555 01 11')]);
  assert.deepEqual(both, [{ ok: true, call: 'office:1' }, { ok: true, call: 'office:1' }]);
  await dialer.dial('89005550222');
  assert.deepEqual([client.sent.length, signs.length], [2, 2]);
  await clock.pass(2000);
  await dialer.dial('89005550111');
  assert.equal(client.sent.length, 3);
});

test('a failure is explained once, the sign goes, and the caller has the code', async () => {
  const { dialer, client, explained, signs } = make();
  client.refuse.call = 'busy';
  const both = await Promise.all([dialer.dial('101'), dialer.dial('101')]);
  assert.deepEqual(both, [{ ok: false, code: 'busy' }, { ok: false, code: 'busy' }]);
  assert.deepEqual(explained, [['dial', 'busy', '101']]);
  assert.equal(signs[0].became, 'nothing');
});

test('quiet: nothing is explained', async () => {
  const { dialer, client, explained } = make();
  client.refuse.call = 'busy';
  assert.deepEqual(await dialer.dial('101', { quiet: true }), { ok: false, code: 'busy' });
  assert.deepEqual(await dialer.dial('-', { quiet: true }), { ok: false, code: 'bad_number' });
  assert.deepEqual(explained, []);
});

test('no connection: a time-out is not blamed on the PBX', async () => {
  for (const [code, name] of [['timeout', 'retrying'], ['refused', 'refused'], ['stopped', 'stopped']]) {
    const { dialer, client } = make();
    client.state = { name };
    client.refuse.call = code;
    assert.equal((await dialer.dial('89005550111')).code, 'offline');
  }
  const { dialer, client } = make();
  client.refuse.call = 'timeout';
  assert.equal((await dialer.dial('89005550111')).code, 'timeout');
});

test('what cannot be dialled is not sent, nor shown as dialled, and said', async () => {
  for (const raw of ['see the note', '', undefined, null, '7']) {
    const { dialer, client, explained, signs } = make();
    assert.deepEqual(await dialer.dial(raw), { ok: false, code: 'bad_number' });
    assert.deepEqual([client.sent, signs, explained], [[], [], [['dial', 'bad_number', raw || '']]]);
  }
});

test('models of all sorts: none of them stops a call', async () => {
  for (const model of [undefined, null, {}, { get: () => undefined }, { get: () => { throw new Error(); } }]) {
    const { dialer, signs } = make();
    assert.equal((await dialer.dial('101', { model })).ok, true);
    assert.equal(signs[0].name, '');
  }
  const { dialer, signs } = make();
  await dialer.dial('101', { model: { get: () => ({ text: 'Ivan', url: '/contacts/detail/1' }) } });
  assert.equal(signs[0].name, 'Ivan');
});
