// Tests of the race between the rungs, of the stream rung, and of what tabs tell of themselves and hear of colleagues.
// Run: node --test static/
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MINUTE, SECOND, call, jwt, rungOf, setup, started } from './client.fake.mjs';

/** A client that cannot use WebSockets, on a stream. */
async function streaming(options = {}) {
  const s = setup({ streams: true, ...options });
  s.gateway.ws = 'stripped';
  s.client.start();
  await s.clock.advance();
  return s;
}

test('a proxy strips the upgrade: the stream, with a ticket of its own, at once', async () => {
  const s = await streaming();
  assert.equal(rungOf(s), 'live sse');
  assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live']);
  const [{ ticket, client, cursor }] = s.gateway.opened;
  assert.equal(ticket, 'ticket-1');
  assert.match(client, /^[0-9a-z]{8,64}$/);
  assert.equal(cursor, undefined);
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  assert.deepEqual(s.log, ['call.dial a 1 ringing']);
  assert.equal((await s.client.call('+1')).call, 'office:1');
  assert.equal(s.gateway.polls.length, 0);
});

test('the stream breaks: it is closed, and opened anew with a fresh ticket and the cursor', async () => {
  const s = await streaming();
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  s.gateway.streams[0].cut();
  s.gateway.append('call.bridge', call('a', 2, 'talking'));
  await s.clock.advance(SECOND);
  assert.equal(rungOf(s), 'live sse');
  assert.deepEqual(s.gateway.opened.map(({ ticket, cursor }) => [ticket, cursor]), [['ticket-1', undefined], ['ticket-2', '1-1']]);
  assert.deepEqual(s.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
  assert.equal(s.gateway.streams.length, 1);
});

test('a proxy keeps the stream back: long-poll meanwhile, and no stream is tried on this network again', async () => {
  const s = setup({ streams: true });
  Object.assign(s.gateway, { ws: 'stripped', sse: 'buffered' });
  s.client.start();
  await s.clock.advance(500);
  assert.equal(rungOf(s), 'live poll');
  await s.clock.advance(3 * SECOND);
  assert.equal(s.gateway.streams.length, 0, 'given up');
  await s.clock.advance(30 * MINUTE);
  assert.equal(s.gateway.opened.length, 1);
  assert.ok(s.gateway.urls.filter((url) => url.endsWith('/v1/ws')).length > 8, 'the socket is tried on and on');
  s.gateway.sse = 'ok';
  s.page.fire('online');
  await s.clock.advance(30 * SECOND);
  assert.equal(rungOf(s), 'live sse', 'another network, another try');
});

test('nothing but GET and POST with short answers works: the hello is there in under 3 s, whatever hangs', async () => {
  for (const ws of ['hang', 'mute', 'stripped']) {
    for (const sse of ['buffered', 'refused', 'ok']) {
      const s = setup({ streams: true });
      Object.assign(s.gateway, { ws, sse });
      s.client.start();
      await s.clock.advance(2900);
      assert.equal(s.client.state.name, 'live', `${ws} ${sse}`);
      assert.equal(s.client.user.name, 'Anna');
    }
  }
});

test('race: the slow socket replaces what was quicker, when it has proved itself, at a cursor', async () => {
  const s = setup({ streams: true });
  s.gateway.ws = 'hang';
  s.client.start();
  await s.clock.advance(2500);
  assert.equal(rungOf(s), 'live sse');
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  const [socket] = s.gateway.lines;
  s.gateway.ws = 'ok';
  socket.begin('ok');
  await s.clock.advance();
  assert.equal(rungOf(s), 'live ws');
  assert.equal(s.gateway.streams.length, 0);
  assert.equal(s.gateway.hellos[0].cursor, '1-1', 'not a snapshot');
  s.gateway.append('call.bridge', call('a', 2, 'talking'));
  assert.deepEqual(s.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
});

test('race: a stream that began without a cursor is begun anew once the poll has one', async () => {
  const s = setup({ streams: true });
  Object.assign(s.gateway, { ws: 'stripped', sse: 'buffered' });
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  s.client.start();
  await s.clock.advance(500);
  assert.equal(rungOf(s), 'live poll');
  const [stream] = s.gateway.streams;
  const early = s.gateway.since(undefined, true); // a snapshot from before
  s.gateway.append('call.dial', call('b', 1, 'ringing'));
  await s.clock.advance(100);
  s.gateway.sse = 'ok';
  for (const message of early) stream.push(message);
  await s.clock.advance(500);
  assert.equal(rungOf(s), 'live sse');
  assert.equal(s.gateway.opened[1].cursor, '1-2');
  assert.deepEqual(s.log, ['snapshot a 1 ringing', 'call.dial b 1 ringing'], 'and b was not ended by it');
});

test('a socket that the gateway closes because it heard no greeting is not a refusal', async () => {
  const s = setup({ client: { fetch: null } });
  s.gateway.ws = 'mute'; // whoever sits between keeps our frames to himself, or they came too late
  s.client.start();
  await s.clock.advance(SECOND);
  s.gateway.lines[0].cut(4502);
  assert.equal(s.client.state.name, 'retrying');
  assert.equal(s.client.state.code, 'no_hello');
  s.gateway.ws = 'ok';
  await s.clock.advance(20 * SECOND);
  assert.equal(rungOf(s), 'live ws');
});

test('a socket whose frames stop after the greeting has not proved itself', async () => {
  const s = setup({ streams: true });
  const take = s.gateway.take.bind(s.gateway);
  s.gateway.take = (frame) => (frame.action === 'renew' ? null : take(frame));
  s.client.start();
  await s.clock.advance(2500);
  assert.equal(rungOf(s), 'live sse');
  assert.equal(s.storage.items.size, 1, 'and that is remembered');
  s.gateway.take = take;
  await s.clock.advance(MINUTE);
  assert.equal(rungOf(s), 'live ws');
  assert.equal(s.storage.items.size, 0);
});

test('a socket that worked here is not asked to prove itself again, until the network changes', async () => {
  const s = await started();
  const renewals = () => s.gateway.lines[0].received.filter((frame) => frame.action === 'renew').length;
  assert.equal(renewals(), 1);
  s.gateway.lines[0].cut();
  await s.clock.advance(SECOND);
  assert.equal(renewals(), 0);
  s.page.fire('online');
  await s.clock.advance();
  assert.equal(renewals(), 1);
});

test('the winner is remembered: the next page begins with the stream, and climbs', async () => {
  const first = await streaming();
  const second = await started({ clock: first.clock, gateway: first.gateway, storage: first.storage, streams: true });
  assert.equal(rungOf(second), 'live sse');
  assert.equal(first.gateway.urls.filter((url) => url.endsWith('/v1/ws')).length, 1, 'none by the second');
  first.gateway.ws = 'ok';
  await first.clock.advance(20 * SECOND);
  assert.equal(rungOf(second), 'live ws');
});

test('the gateway is down: the page comes again, with all rungs, and finds the socket when it is back', async () => {
  const s = setup({ streams: true });
  Object.assign(s.gateway, { ws: 'stripped', http: 'down' });
  s.client.start();
  await s.clock.advance(5 * MINUTE);
  assert.equal(s.client.state.name, 'retrying');
  assert.equal(s.client.state.code, 'network');
  Object.assign(s.gateway, { ws: 'ok', http: 'ok' });
  await s.clock.advance(20 * SECOND);
  assert.equal(rungOf(s), 'live ws');
});

test('bye on a stream says what a close code says: come back, or stay away', async () => {
  for (const code of ['slow', 'token_expired', 'superseded']) {
    const s = await streaming();
    s.gateway.streams[0].push({ type: 'bye', code });
    assert.equal(s.client.state.code, code);
    await s.clock.advance(SECOND);
    assert.equal(rungOf(s), 'live sse');
    assert.equal(s.asked.length, code === 'token_expired' ? 2 : 1);
  }
  for (const code of ['bad_token', 'revoked', 'bad_protocol', 'too_many']) {
    for (const early of [true, false]) {
      const s = setup({ streams: true });
      s.gateway.ws = 'stripped';
      if (early) s.gateway.sse = code;
      s.client.start();
      await s.clock.advance();
      if (!early) s.gateway.streams[0].push({ type: 'bye', code });
      assert.deepEqual([s.client.state.name, s.client.state.code], ['refused', code]);
      assert.equal(s.gateway.streams.length + s.clock.timers.size, 0);
    }
  }
  const s = await streaming();
  s.gateway.streams[0].push({ type: 'bye', code: 'draining', retry_in: [4000, 9000] });
  const wait = s.client.state.retryAt - s.clock.now();
  assert.ok(wait >= 4000 && wait <= 9000);
});

test('refused by the ticket: revoked, origin, or asked to wait', async () => {
  for (const [status, code] of [[403, 'revoked'], [403, 'origin'], [401, 'bad_token']]) {
    const s = setup({ streams: true });
    Object.assign(s.gateway, { ws: 'stripped', http: { status, problem: { code, title: code } } });
    s.client.start();
    await s.clock.advance();
    assert.deepEqual([s.client.state.name, s.client.state.code], ['refused', code]);
  }
  const s = setup({ streams: true });
  Object.assign(s.gateway, { ws: 'stripped', http: { status: 503, problem: { code: 'draining' }, headers: { 'Retry-After': '30' } } });
  s.client.start();
  await s.clock.advance();
  assert.ok(s.client.state.retryAt - s.clock.now() >= 30 * SECOND);
});

test('a gateway that has no streams: long-poll', async () => {
  const s = setup({ streams: true });
  s.gateway.ws = 'stripped';
  const answer = s.gateway.answer.bind(s.gateway);
  s.gateway.answer = (url, request) => (url.endsWith('/v1/tickets')
    ? new Response(JSON.stringify({ code: 'not_found', title: 'Not Found' }), { status: 404 }) : answer(url, request));
  s.client.start();
  await s.clock.advance();
  assert.equal(rungOf(s), 'live poll');
});

test('a stream is renewed in place; where that does not work a new one takes over before the old one ends', async () => {
  let n = 0;
  const tokens = { token: async () => jwt({ iat: 0, exp: 100, jti: ++n }) };
  const minutes = async (s, seconds) => {
    for (let i = 0; i < seconds / 5; i++) {
      await s.clock.advance(5 * SECOND);
      for (const stream of s.gateway.streams) stream.push({ type: 'ping' });
    }
  };
  const s = setup({ streams: true, client: { ...tokens, WebSocket: null } });
  s.client.start();
  await minutes(s, 95);
  assert.equal(n, 2);
  assert.equal(s.gateway.opened.length, 1);
  assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live']);
  s.gateway.renews = false;
  await minutes(s, 95);
  assert.equal(s.gateway.opened.length, 2);
  assert.equal(s.gateway.streams.length, 1);
  assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live'], 'never off');
});

test('stop leaves no stream, no ticket under way, no timer', async () => {
  for (const sse of ['ok', 'buffered', 'refused']) {
    for (const after of [0, 300, 3000]) {
      const s = setup({ streams: true });
      Object.assign(s.gateway, { ws: 'stripped', sse });
      s.client.start();
      if (after) await s.clock.advance(after);
      s.client.stop();
      await s.clock.advance();
      assert.equal(s.gateway.streams.length + s.gateway.waiting.size + s.clock.timers.size, 0, `${sse} ${after}`);
      assert.equal(s.page.listeners, 0);
    }
  }
});

test('stop while the ticket’s answer is on its way opens no stream', async () => {
  const s = setup({ streams: true });
  const { answer } = s.gateway;
  s.gateway.ws = 'stripped';
  s.gateway.answer = async (...request) => {
    const response = await answer.apply(s.gateway, request);
    s.client.stop();
    return response;
  };
  s.client.start();
  await s.clock.advance(SECOND);
  assert.equal(s.gateway.opened.length + s.clock.timers.size, 0);
});

test('EventSource or WebSocket that throw (mixed content, a policy) are rungs that fail', async () => {
  const refuse = function () {
    throw new Error('SecurityError');
  };
  const s = await started({ client: { WebSocket: refuse, EventSource: refuse } });
  assert.equal(rungOf(s), 'live poll');
});

// ---- Colleagues, and being looked at

const anna = { user: '88888', name: 'Anna', extensions: ['101'], online: true, visible: true, busy: false };
const boris = { user: '99999', name: 'Boris', extensions: ['102'], online: false, visible: false, busy: false };

for (const [rung, set] of [['ws', {}], ['sse', { ws: 'stripped' }], ['poll', { ws: 'stripped', sse: 'refused' }]]) {
  test(`presence on ${rung}: who is here, then what changes`, async () => {
    const s = setup({ streams: true, client: { presence: true } });
    Object.assign(s.gateway, set, { users: [anna, boris] });
    s.client.start();
    await s.clock.advance(SECOND);
    assert.equal(rungOf(s), `live ${rung}`);
    assert.deepEqual([...s.client.presence.keys()], ['88888', '99999']);
    s.gateway.present({ ...boris, online: true });
    await s.clock.advance(SECOND);
    assert.equal(s.client.presence.get('99999').online, true);
    assert.equal(s.client.presence.size, 2);
    assert.ok(s.presence.length === 2);
    const asked = s.gateway.polls.length;
    await s.clock.advance(2 * SECOND);
    assert.ok(s.gateway.polls.length - asked <= 1, 'and no storm');
  });
}

test('presence is asked for only by who wants it', async () => {
  for (const set of [{}, { ws: 'stripped' }, { ws: 'stripped', sse: 'refused' }]) {
    const s = setup({ streams: true });
    Object.assign(s.gateway, set);
    s.client.start();
    await s.clock.advance(SECOND);
    const asked = JSON.stringify([s.gateway.hellos, s.gateway.opened, s.gateway.polls]);
    assert.ok(asked.includes('visible') && !asked.includes('presence'));
  }
});

test('visible: in each hello, and told when it changes', async () => {
  const s = await started();
  assert.equal(s.gateway.hellos[0].visible, true);
  s.page.visibilityState = 'hidden';
  s.page.fire('visibilitychange');
  s.page.fire('visibilitychange');
  await s.clock.advance();
  assert.deepEqual(s.gateway.notes, [{ action: 'visible', visible: false }]);
  s.gateway.lines[0].cut();
  await s.clock.advance(SECOND);
  assert.equal(s.gateway.hellos[1].visible, false);
  s.page.visibilityState = 'visible';
  s.page.fire('visibilitychange');
  await s.clock.advance();
  assert.deepEqual(s.gateway.notes.at(-1), { action: 'visible', visible: true });
});

test('shown: reported once on each line, when somebody may see the card, while the call lives', async () => {
  const s = await started();
  const shown = () => s.gateway.notes.filter((note) => note.action === 'shown').map((note) => note.call);
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  s.client.shown('a');
  s.client.shown('a');
  assert.deepEqual(shown(), ['a']);
  s.page.visibilityState = 'hidden';
  for (const id of ['b', 'c']) {
    s.gateway.append('call.dial', call(id, 1, 'ringing'));
    s.client.shown(id);
  }
  s.gateway.append('call.hangup', call('b', 2, 'ended'));
  assert.deepEqual(shown(), ['a']);
  s.page.visibilityState = 'visible';
  s.page.fire('visibilitychange');
  assert.deepEqual(shown(), ['a', 'c']);
  s.gateway.append('call.dial', call('d', 1, 'ringing'));
  s.gateway.lines[0].freeze(); // what is told now is lost
  s.client.shown('d');
  s.gateway.lines[0].cut();
  s.gateway.append('call.hangup', call('c', 2, 'ended'));
  s.gateway.append('call.dial', call('e', 1, 'ringing'));
  s.gateway.append('call.hangup', call('e', 2, 'ended'));
  s.client.shown('e');
  await s.clock.advance(SECOND);
  assert.deepEqual(shown(), ['a', 'c', 'a', 'c', 'd'], 'c was seen before it ended, e may not have been');
  for (let i = 0; i < 3; i++) {
    await s.clock.advance(25 * SECOND);
    s.gateway.lines[0].push({ type: 'ping' });
  }
  s.gateway.lines[0].cut();
  await s.clock.advance(SECOND);
  assert.deepEqual(shown().slice(5), ['a', 'd'], 'what is over is let go');
});

test('visible: what a trial that failed was told is nothing that the line knows', async () => {
  const s = await started();
  s.gateway.ws = 'hang';
  s.page.fire('online'); // a new line beside
  await s.clock.advance();
  const trial = s.gateway.lines[1];
  s.page.visibilityState = 'hidden'; // and no event yet
  trial.readyState = 1;
  trial.mute = true;
  trial.onopen();
  await s.clock.advance(100);
  s.gateway.lines[0].push({ type: 'ping' });
  await s.clock.advance(4 * SECOND);
  assert.equal(s.gateway.lines.length, 1);
  s.page.fire('visibilitychange');
  assert.deepEqual(s.gateway.notes, [{ action: 'visible', visible: false }]);
});

test('visible: what changed while a new line was on its way is told on it', async () => {
  const s = await started();
  s.gateway.ws = 'hang';
  s.page.fire('online');
  await s.clock.advance();
  const [, trial] = s.gateway.lines;
  trial.readyState = 1;
  trial.mute = true; // its greeting waits in the network
  trial.onopen();
  s.page.visibilityState = 'hidden';
  s.page.fire('visibilitychange');
  trial.mute = false;
  trial.greet(trial.received[0]);
  await s.clock.advance();
  assert.equal(s.gateway.lines.length, 1);
  assert.deepEqual(s.gateway.notes, [false, false].map((visible) => ({ action: 'visible', visible })));
});

test('a stream that is superseded by the next one before that has said hello: nothing is said to be lost', async () => {
  const jwts = { token: async () => jwt({ iat: 0, exp: 100, jti: Math.random() }) };
  const s = await started({ streams: true, client: { ...jwts, WebSocket: null } });
  s.gateway.renews = false;
  const [old] = s.gateway.streams;
  s.gateway.sse = 'buffered'; // its hello takes a while
  while (s.gateway.opened.length < 2) {
    await s.clock.advance(SECOND);
    old.push({ type: 'ping' });
  }
  const next = s.gateway.streams[1];
  old.push({ type: 'bye', code: 'superseded' });
  const asked = s.client.call('1');
  await s.clock.advance(SECOND);
  next.greeted = true;
  for (const message of s.gateway.since(next.query.get('cursor'), true)) next.push(message);
  await s.clock.advance();
  assert.deepEqual(s.states.map(({ name }) => name), ['connecting', 'live']);
  assert.ok((await asked).ok);

  old.closed = false;
  s.gateway.sse = 'buffered';
  while (s.gateway.opened.length < 3) {
    await s.clock.advance(SECOND);
    next.push({ type: 'ping' });
  }
  next.push({ type: 'bye', code: 'superseded' });
  s.gateway.streams.at(-1).cut();
  await s.clock.advance(5 * SECOND);
  assert.ok(s.states.length > 2, 'but if that one fails, it is');
});

test('a stream that cannot be renewed while a better rung is tried: replaced after that', async () => {
  let give = null;
  const token = ({ renew }) => (renew ? new Promise((resolve) => { give = resolve; }) : jwt({ iat: 0, exp: 3600 }));
  const s = await streaming({ client: { token } });
  Object.assign(s.gateway, { ws: 'hang', renews: false });
  while (!give || !s.gateway.lines.length) {
    await s.clock.advance(give ? 100 : 5 * SECOND);
    for (const stream of s.gateway.streams) stream.push({ type: 'ping' });
  }
  give(jwt({ iat: 0, exp: 3600, jti: 2 }));
  await s.clock.advance(SECOND);
  assert.equal(s.gateway.opened.length, 1, 'the round is not over');
  await s.clock.advance(4 * SECOND);
  assert.equal(s.gateway.opened.length, 2);
  assert.deepEqual(s.states.map(({ name }) => name), ['connecting', 'live']);
});

test('a socket that proves itself with a reset, while the poll goes on: no call is hung up and dialled again', async () => {
  const s = setup();
  s.gateway.ws = 'hang';
  s.client.start();
  await s.clock.advance(5 * SECOND);
  assert.equal(rungOf(s), 'live poll');
  while (!s.gateway.lines.length) await s.clock.advance(100);
  const [socket] = s.gateway.lines;
  const { since, take } = s.gateway;
  s.gateway.since = (cursor, withHello, user) => (withHello
    ? [{ ...since.call(s.gateway, undefined, true, user)[0], reason: 'evicted' }] : since.call(s.gateway, cursor, withHello, user));
  s.gateway.take = (frame) => (frame.action === 'renew' ? null : take.call(s.gateway, frame)); // the proof takes a while
  socket.begin('ok');
  s.gateway.since = since;
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  await s.clock.advance(100);
  s.gateway.take = take;
  s.gateway.ws = 'ok';
  socket.push({ type: 'reply', id: socket.received.find(({ action }) => action === 'renew').id, ok: true });
  await s.clock.advance(SECOND);
  assert.equal(rungOf(s), 'live ws');
  assert.deepEqual(s.log, ['call.dial a 1 ringing']);
});

test('shown over HTTP: its answer disturbs nothing', async () => {
  const s = await streaming();
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  s.client.shown('a');
  await s.clock.advance();
  assert.deepEqual(s.gateway.notes, [{ action: 'shown', call: 'a' }]);
  assert.equal(rungOf(s), 'live sse');
});
