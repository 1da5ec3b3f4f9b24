// Tests of what a client does when another user logs in on its page. Run: node --test static/
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBrowser } from './client.browser.mjs';
import { MINUTE, SECOND, call, jwt, rungOf, started } from './client.fake.mjs';

const token = (sub, exp = 100) => jwt({ iss: 'ringcast', account: 'acme', sub, iat: 0, exp, jti: Math.random() });

for (const [rung, more] of [['ws', {}], ['sse', { WebSocket: null }], ['poll', { WebSocket: null, EventSource: null }]]) {
  test(`a token of another user on ${rung}: the calls end, what waits fails, and a new life begins`, async () => {
    let user = '88888';
    const s = await started({ streams: true, client: { ...more, presence: true, token: async () => token(user) } });
    await s.clock.advance(3 * SECOND);
    assert.equal(rungOf(s), `live ${rung}`);
    s.gateway.present({ user: '77777', name: 'Clara', online: true });
    s.gateway.append('call.dial', call('a', 5, 'ringing'));
    s.gateway.append('call.dial', call('over', 1, 'ringing'));
    s.gateway.append('call.hangup', call('over', 2, 'ended'));
    s.gateway.append('call.bridge', call('a', 1, 'talking'), '99999'); // both are in it
    await s.clock.advance(SECOND);
    s.client.shown('a');
    user = '99999';
    s.gateway.users = [];
    const { answer } = s.gateway; // no command is answered
    const hang = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    s.gateway.execute = () => null;
    s.gateway.answer = (url, request) => (
      JSON.parse(request.body).action === 'call' ? hang(request.signal) : answer.call(s.gateway, url, request));
    const commands = [];
    s.client.on('state', ({ code }) => code === 'user' && assert.equal(s.client.presence.size, 0));
    for (let i = 0; i < 95 && s.client.user && s.client.user.name === 'Anna'; i++) {
      commands.push(s.client.call('1').catch((err) => err.code));
      await s.clock.advance(SECOND);
      for (const line of [...s.gateway.lines, ...s.gateway.streams]) line.push({ type: 'ping' });
    }
    await s.clock.advance(SECOND);
    assert.equal(rungOf(s), `live ${rung}`);
    assert.deepEqual(s.states.map((state) => state.code).filter(Boolean), ['user']);
    assert.equal((await Promise.all(commands)).at(-1), 'user');
    assert.ok(s.gateway.commands.every((frame) => frame.user !== '99999'), 'nothing is done under his name');
    assert.deepEqual(s.log.slice(-2), ['call.hangup a 5 ended', 'snapshot a 1 talking']);
    assert.deepEqual([...s.client.calls.keys()], ['a']);
    assert.equal(s.client.user.name, 'Boris');
    assert.equal(s.gateway.notes.filter(({ action }) => action === 'shown').length, 1, 'what she was shown he was not');
    const openings = [...s.gateway.hellos, ...s.gateway.opened, ...s.gateway.polls].filter(({ cursor }) => cursor === undefined);
    assert.equal(openings.length, 2, 'without the other’s cursor');
    assert.notEqual(openings[0].client, openings[1].client);
    s.gateway.append('call.hangup', call('a', 2, 'ended'), '99999');
    s.gateway.append('call.hangup', call('a', 6, 'ended'));
    await s.clock.advance(SECOND);
    assert.equal(s.log.at(-1), 'call.hangup a 2 ended');
  });
}

test('a token of another user that does not say so: the hello does', async () => {
  for (const epoch of [false, true]) {
    const s = await started();
    s.gateway.append('call.dial', call('a', 5, 'ringing'));
    s.gateway.append('call.dial', call('b', 1, 'ringing'), '99999');
    s.gateway.append('call.dial', call('c', 1, 'ringing'), '99999');
    s.gateway.owner = '99999';
    if (epoch) s.gateway.newEpoch();
    s.gateway.lines[0].cut();
    await s.clock.advance(2 * SECOND);
    assert.equal(rungOf(s), 'live ws');
    assert.deepEqual(s.log.slice(1), ['call.hangup a 5 ended', ...(epoch ? [] : ['snapshot b 1 ringing', 'snapshot c 1 ringing'])]);
    assert.equal(s.client.user.name, 'Boris');
    assert.equal(s.client.calls.has('a'), false);
    assert.ok(s.states.every(({ code }) => code !== 'gap'));
  }
});

test('a token of another user that comes while the page sleeps, or before a new start', async () => {
  let user = '88888';
  let answer = null;
  const s = await started({ client: { token: () => (answer ? new Promise(answer) : token(user)) } });
  s.gateway.append('call.dial', call('a', 5, 'ringing'));
  let give;
  answer = (resolve) => { give = resolve; };
  while (!give) {
    await s.clock.advance(5 * SECOND);
    s.gateway.lines[0].push({ type: 'ping' });
  }
  s.page.fire('freeze');
  give(token('99999', 3600));
  await s.clock.advance(MINUTE);
  assert.equal(s.gateway.lines.length + s.clock.timers.size, 0);
  assert.equal(s.log.at(-1), 'call.hangup a 5 ended');
  s.page.fire('resume');
  await s.clock.advance(SECOND);
  assert.equal(s.client.user.name, 'Boris');
  assert.equal(s.gateway.hellos.at(-1).cursor, undefined);

  answer = null;
  s.gateway.lines[0].cut(4501);
  user = '88888';
  s.client.start();
  await s.clock.advance(SECOND);
  assert.equal(s.client.user.name, 'Anna');
  assert.equal(rungOf(s), 'live ws');
});

test('stop in what another user’s token has reported leaves nothing', async () => {
  for (const name of ['state', 'call']) {
    let user = '88888';
    const s = await started({ client: { share: true, token: async () => token(user) } });
    s.gateway.append('call.dial', call('a', 5, 'ringing'));
    s.client.on(name, (what) => (what.code === 'user' || (what.call && what.call.state === 'ended')) && s.client.stop());
    user = '99999';
    for (let i = 0; i < 20; i++) {
      await s.clock.advance(5 * SECOND);
      for (const line of s.gateway.lines) line.push({ type: 'ping' });
    }
    assert.equal(s.client.state.name, 'stopped');
    assert.equal(s.gateway.lines.length + s.clock.timers.size, 0);
  }
});

for (const [rung, more] of [['ws', {}], ['poll', { WebSocket: null }]]) {
  test(`the leader’s token becomes another user’s on ${rung}: it leaves, the others go on, and nobody hears of the other’s calls`, async () => {
    const b = new FakeBrowser();
    let user = '88888';
    const changing = b.open({ ...more, token: async () => token(user, 300) });
    await b.clock.advance(5 * SECOND);
    const [second, third] = await b.openAll(2, more);
    assert.equal(changing.client.state.leader, true);
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    b.gateway.append('call.dial', call('b', 1, 'ringing'), '99999');
    const once = [changing.client.once('k', () => {})];
    await b.clock.advance(SECOND);
    user = '99999';
    for (let i = 0; i < 60; i++) {
      await b.clock.advance(5 * SECOND);
      for (const line of b.gateway.lines) line.push({ type: 'ping' });
    }
    b.gateway.append('call.bridge', call('b', 2, 'talking'), '99999');
    b.gateway.append('call.bridge', call('a', 2, 'talking'));
    await b.clock.advance(SECOND);
    assert.deepEqual([changing, second, third].map((tab) => tab.client.user.name), ['Boris', 'Anna', 'Anna']);
    assert.equal(changing.client.state.leader, true);
    assert.equal([second, third].filter((tab) => tab.client.state.leader).length, 1);
    assert.deepEqual(changing.log, ['call.dial a 1 ringing', 'call.hangup a 1 ended', 'snapshot b 1 ringing', 'call.bridge b 2 talking']);
    for (const tab of [second, third]) assert.deepEqual(tab.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
    const asked = [...b.gateway.hellos, ...b.gateway.polls];
    const namesOf = (who) => asked.filter((one) => b.gateway.userOf(one.token) === who).map(({ client }) => client);
    assert.ok(namesOf('99999').length > 0 && namesOf('99999').every((name) => !namesOf('88888').includes(name)), 'a name of its own');
    once.push(changing.client.once('k', () => {}));
    await b.clock.advance(SECOND);
    assert.deepEqual(await Promise.all(once), [true, true], 'what was done once for her was not done for him');
  });
}
