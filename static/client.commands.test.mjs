// Tests of what a user does with a call. Run: node --test static/
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { started } from './client.fake.mjs';

const asks = {
  call: [['+1', { from: '102' }], { to: '+1', from: '102' }],
  answer: [['office:1'], { call: 'office:1' }],
  hangup: [['office:1'], { call: 'office:1' }],
  hold: [['office:1'], { call: 'office:1' }],
  unhold: [['office:1'], { call: 'office:1' }],
  mute: [['office:1'], { call: 'office:1' }],
  unmute: [['office:1'], { call: 'office:1' }],
  transfer: [['office:1', '102', { attended: true }], { call: 'office:1', to: '102', attended: true }],
  complete: [['office:1'], { call: 'office:1' }],
  cancel: [['office:1'], { call: 'office:1' }],
  park: [['office:1'], { call: 'office:1' }],
};

for (const [action, [given, fields]] of Object.entries(asks)) {
  test(`${action} says so to the gateway, and promises its reply`, async () => {
    const s = await started();
    s.gateway.execute = ({ id }) => ({ id, ok: true, call: 'office:1', slot: '701' });
    const asked = s.client[action](...given);
    await s.clock.advance();
    const { id, ...sent } = s.gateway.commands[0];
    assert.deepEqual(sent, { ...fields, action });
    assert.ok(id);
    const { slot } = await asked;
    assert.equal(slot, '701');
  });
}

test('a transfer is blind unless it is said to be attended, a dial is from the first extension', async () => {
  const s = await started();
  s.client.transfer('office:1', '102');
  s.client.call('+1');
  await s.clock.advance();
  assert.deepEqual(s.gateway.commands.map(({ action, attended, from }) => [action, attended, from]), [['transfer', undefined, undefined], ['call', undefined, undefined]]);
});

test('what the gateway refuses fails with its code and what it says', async () => {
  const s = await started();
  s.gateway.execute = ({ id }) => ({ id, ok: false, error: { code: 'rejected', message: 'nobody is consulted about this call' } });
  const refused = assert.rejects(s.client.complete('office:1'), { code: 'rejected', message: 'nobody is consulted about this call' });
  await s.clock.advance();
  await refused;
});
