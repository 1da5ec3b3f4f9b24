// Tests of the line to the gateway: rungs, wake and sleep, backoff, refusals. Run: node --test static/
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MINUTE, SECOND, call, rungOf, seeded, setup, started } from './client.fake.mjs';

test('hello never comes: after 2 s long-poll is tried beside and takes over, with wait, client and commands', async () => {
  const s = setup();
  s.gateway.ws = 'mute';
  s.client.start();
  await s.clock.advance(1900);
  assert.equal(s.client.state.name, 'connecting');
  await s.clock.advance(100);
  assert.equal(rungOf(s), 'live poll');
  await s.clock.advance(8 * SECOND);
  assert.equal(s.gateway.lines.length, 0, 'the mute socket is let go');
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  await s.clock.advance();
  assert.deepEqual(s.log, ['call.dial a 1 ringing']);
  await s.clock.advance(26 * SECOND - 1);
  assert.deepEqual([...new Set(s.gateway.polls.map((p) => p.wait))], [0, 25]);
  assert.equal(new Set(s.gateway.polls.map((p) => p.client)).size, 1);
  const reply = await s.client.call('+380991234567');
  assert.equal(reply.call, 'office:1');
  assert.equal(s.gateway.commands[0].to, '+380991234567');
});

test('a proxy strips the upgrade: long-poll at once', async () => {
  const s = setup();
  s.gateway.ws = 'stripped';
  s.client.start();
  await s.clock.advance();
  assert.equal(rungOf(s), 'live poll');
  assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live']);
  assert.equal(s.gateway.urls.filter((url) => url.includes('/v1/ws')).length, 1);
});

test('a good line in between: one close before a hello is not the second', async () => {
  const s = await started();
  for (let i = 0; i < 3; i++) {
    s.gateway.ws = 'stripped';
    s.gateway.lines[0].cut();
    const wait = s.client.state.retryAt - s.clock.now();
    await s.clock.advance(wait);
    s.gateway.ws = 'ok';
    await s.clock.advance(20 * SECOND);
    assert.equal(rungOf(s), 'live ws');
  }
  assert.equal(s.gateway.polls.length, 0);
});

test('without WebSocket it polls; without either it says so', async () => {
  const s = await started({ client: { WebSocket: null } });
  assert.equal(rungOf(s), 'live poll');
  const none = await started({ client: { WebSocket: null, fetch: null } });
  assert.equal(none.client.state.code, 'unsupported');
});

test('rung change in mid-call misses nothing: ws to poll and back up, one cursor', async () => {
  const s = await started();
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  s.gateway.ws = 'stripped';
  s.gateway.lines[0].cut();
  s.gateway.append('call.bridge', call('a', 2, 'talking'));
  await s.clock.advance(3 * SECOND);
  assert.equal(rungOf(s), 'live poll');
  s.gateway.append('call.hold', call('a', 3, 'held'));
  await s.clock.advance();
  s.gateway.ws = 'ok';
  await s.clock.advance(20 * SECOND);
  assert.equal(rungOf(s), 'live ws');
  s.gateway.append('call.hangup', call('a', 4, 'ended'));
  assert.deepEqual(s.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking', 'call.hold a 3 held', 'call.hangup a 4 ended']);
  assert.equal(s.gateway.waiting.size, 0, 'the poll was ended');
  assert.ok(s.gateway.hellos.every((hello, i) => i === 0 || hello.cursor), 'no hello without the cursor');
});

test('a socket that is cut again and again gives way to long-poll, and is tried less and less often', async () => {
  const s = await started();
  const cutAfter = async (seconds) => {
    while (!s.gateway.lines.length) await s.clock.advance(SECOND);
    await s.clock.advance(seconds * SECOND);
    s.gateway.lines[0].cut();
    await s.clock.advance(SECOND);
  };
  for (let i = 0; i < 4; i++) await cutAfter(15);
  assert.equal(rungOf(s), 'live ws');
  await cutAfter(15);
  assert.equal(rungOf(s), 'live poll');
  const stays = [];
  for (let i = 0; i < 3; i++) {
    const since = s.clock.now();
    while (!s.gateway.lines.length) await s.clock.advance(SECOND);
    stays.push(s.clock.now() - since);
    await cutAfter(15);
    assert.equal(rungOf(s), 'live poll');
  }
  assert.ok(stays[2] > 2 * stays[0], `${stays}`);
  await cutAfter(40);
  assert.equal(rungOf(s), 'live ws', 'a long life is trusted again');
  await cutAfter(15);
  assert.equal(rungOf(s), 'live ws');
});

test('climbing: what the poll brings while the socket opens is not applied again', async () => {
  const s = setup();
  s.gateway.ws = 'hang';
  s.client.start();
  await s.clock.advance(5 * SECOND);
  assert.equal(rungOf(s), 'live poll');
  while (!s.gateway.lines.length) await s.clock.advance(100);
  const [socket] = s.gateway.lines;
  const before = s.gateway.cursor();
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  s.gateway.append('call.bridge', call('a', 2, 'talking'));
  await s.clock.advance();
  socket.readyState = 1;
  socket.greet({ token: 'token-1', cursor: before }); // its hello was on the way before the poll's answer
  s.gateway.append('call.hangup', call('a', 3, 'ended'));
  assert.equal(rungOf(s), 'live ws');
  assert.deepEqual(s.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking', 'call.hangup a 3 ended']);
  assert.equal(s.gateway.hellos.length, 1);
});

test('climbing: a bye instead of the hello does not disturb the poll; a change of network has it tried soon', async () => {
  const s = setup();
  s.gateway.ws = 'hang';
  s.client.start();
  await s.clock.advance(5 * SECOND);
  while (!s.gateway.lines.length) await s.clock.advance(100);
  s.gateway.lines[0].readyState = 1;
  s.gateway.lines[0].push({ type: 'bye', code: 'draining', retry_in: [5000, 9000] });
  s.gateway.ws = 'stripped';
  await s.clock.advance(60 * MINUTE);
  assert.equal(rungOf(s), 'live poll');
  assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live']);
  assert.equal(s.storage.items.size, 1, 'the socket has not worked');
  s.gateway.ws = 'ok';
  s.page.fire('online');
  await s.clock.advance(20 * SECOND);
  assert.equal(rungOf(s), 'live ws');
});

test('climbing is tried every few minutes and does not disturb the poll', async () => {
  const s = setup();
  s.gateway.ws = 'stripped';
  s.client.start();
  await s.clock.advance(60 * MINUTE);
  assert.equal(rungOf(s), 'live poll');
  const tries = s.gateway.urls.filter((url) => url.includes('/v1/ws')).length;
  assert.ok(tries > 15 && tries < 40, `${tries} tries in an hour`);
  assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live']);
});

test('a network without WebSocket is remembered for 30 minutes, unless the socket ever worked', async () => {
  const first = setup();
  first.gateway.ws = 'mute';
  first.client.start();
  await first.clock.advance(5 * SECOND);
  const second = await started({ clock: first.clock, gateway: first.gateway, storage: first.storage });
  assert.equal(rungOf(second), 'live poll');
  second.client.stop();
  await first.clock.advance(40 * MINUTE);
  first.gateway.ws = 'ok';
  const third = await started({ clock: first.clock, gateway: first.gateway, storage: first.storage });
  assert.equal(rungOf(third), 'live ws');
  assert.equal(first.storage.items.size, 0);
});

test('storage that throws does no harm', async () => {
  const refuse = () => {
    throw new Error('SecurityError');
  };
  const s = await started({ storage: { getItem: refuse, setItem: refuse, removeItem: refuse } });
  assert.equal(rungOf(s), 'live ws');
});

test('half-open socket: no ping for 2 x ping + 5 s, and it connects anew', async () => {
  const s = await started();
  s.gateway.lines[0].freeze();
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  await s.clock.advance(54 * SECOND);
  assert.equal(s.log.length, 0);
  await s.clock.advance(7 * SECOND);
  assert.deepEqual(s.log, ['call.dial a 1 ringing']);
  assert.ok(s.states.some((state) => state.code === 'silent'));
});

test('pings keep a quiet line', async () => {
  const s = await started();
  for (let i = 0; i < 20; i++) {
    await s.clock.advance(25 * SECOND);
    s.gateway.lines[0].push({ type: 'ping' });
  }
  assert.equal(s.gateway.hellos.length, 1);
  assert.equal(s.states.length, 2);
});

for (const [name, wake] of [
  ['sleep/wake: a late tick', (s) => s.clock.advance(5 * SECOND)],
  ['sleep/wake: the page becomes visible', (s) => s.page.fire('visibilitychange')],
  ['sleep/wake: pageshow', (s) => s.page.fire('pageshow')],
]) {
  test(`${name}: a new line at once, beside the old one, and what was missed`, async () => {
    const s = await started();
    s.gateway.lines[0].freeze();
    s.gateway.append('call.dial', call('a', 1, 'ringing'));
    s.clock.sleep(40 * SECOND);
    await wake(s);
    await s.clock.advance();
    assert.deepEqual(s.log, ['call.dial a 1 ringing']);
    assert.deepEqual(s.states.map((state) => state.name), ['connecting', 'live'], 'never said to be lost');
    assert.equal(s.gateway.lines.length, 1, 'the old one was closed');
  });
}

test('looking at the page again does not disturb a line that was heard lately, nor does a hidden page', async () => {
  const s = await started();
  await s.clock.advance(10 * SECOND);
  s.page.fire('visibilitychange');
  s.page.visibilityState = 'hidden';
  s.clock.sleep(40 * SECOND);
  s.page.fire('visibilitychange');
  await s.clock.advance();
  await s.clock.advance();
  assert.equal(s.gateway.hellos.length, 2, 'only the late tick asked');
});

test('wake: the new line fails and the old one is silent: it is dead', async () => {
  const s = await started();
  s.gateway.lines[0].freeze();
  s.gateway.ws = 'hang';
  s.gateway.http = 'down';
  s.page.fire('online');
  await s.clock.advance(2900);
  assert.equal(s.client.state.name, 'live');
  await s.clock.advance(200);
  assert.equal(s.client.state.name, 'retrying');
});

test('wake: asking again and again does not put the verdict off', async () => {
  const s = await started();
  s.gateway.lines[0].freeze();
  Object.assign(s.gateway, { ws: 'hang', http: 'hang' });
  for (let i = 0; i < 4; i++) {
    s.page.fire('online');
    await s.clock.advance(0.8 * SECOND);
  }
  assert.equal(s.client.state.name, 'retrying');
});

test('a new line that fails does not harm an old one that is heard', async () => {
  const s = await started();
  await s.clock.advance(SECOND);
  s.gateway.ws = 'hang';
  s.page.fire('offline');
  await s.clock.advance(SECOND);
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  await s.clock.advance(5 * SECOND);
  assert.equal(rungOf(s), 'live ws');
  assert.equal(s.states.length, 2);
});

test('the old line breaks while the new one is on its way: the new one goes on', async () => {
  const s = await started();
  const [old] = s.gateway.lines;
  s.gateway.ws = 'hang';
  s.page.fire('online');
  await s.clock.advance(SECOND);
  old.cut();
  assert.equal(s.client.state.name, 'retrying');
  const [next] = s.gateway.lines;
  next.begin('ok');
  await s.clock.advance(2 * SECOND);
  assert.equal(rungOf(s), 'live ws');
  assert.equal(s.gateway.hellos.length, 2, 'and no third was tried');
});

test('refused on the old line while a new one is on its way: refused', async () => {
  const s = await started();
  const [old] = s.gateway.lines;
  s.gateway.ws = 'hang';
  s.page.fire('online');
  await s.clock.advance(SECOND);
  old.cut(4501);
  assert.equal(s.client.state.code, 'revoked');
  assert.equal(s.gateway.lines.length, 0);
  assert.equal(s.clock.timers.size, 0);
});

test('a page that becomes hidden asks for nothing', async () => {
  const s = await started();
  s.page.visibilityState = 'hidden';
  s.clock.sleep(40 * SECOND);
  s.page.fire('visibilitychange');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(s.gateway.hellos.length, 1);
});

test('online cuts the backoff short, but not what the gateway asked for', async () => {
  const s = await started();
  s.gateway.ws = 'stripped';
  s.gateway.http = 'down';
  s.gateway.lines[0].cut();
  await s.clock.advance(10 * MINUTE);
  s.gateway.ws = 'ok';
  s.page.fire('online');
  await s.clock.advance(SECOND);
  assert.equal(rungOf(s), 'live ws');
  s.gateway.lines[0].push({ type: 'bye', code: 'draining', retry_in: [20000, 30000] });
  s.page.fire('online');
  await s.clock.advance(19 * SECOND);
  assert.equal(s.client.state.name, 'retrying');
});

test('frozen or in the back-forward cache it holds no line; afterwards it resumes', async () => {
  for (const [down, up] of [['freeze', 'resume'], ['pagehide', 'pageshow']]) {
    const s = await started();
    s.page.fire(down);
    assert.equal(s.gateway.lines.length, 0);
    assert.equal(s.client.state.code, 'asleep');
    s.gateway.append('call.dial', call('a', 1, 'ringing'));
    await s.clock.advance(MINUTE);
    assert.equal(s.clock.timers.size, 0);
    s.page.fire(up);
    await s.clock.advance();
    assert.equal(rungOf(s), 'live ws');
    assert.deepEqual(s.log, ['call.dial a 1 ringing']);
  }
});

test('backoff: full jitter up to 20 s, and back to the start only after a stable time', async () => {
  const s = await started();
  await s.clock.advance(15 * SECOND);
  s.gateway.ws = 4002;
  s.gateway.lines[0].cut();
  await s.clock.advance(20 * MINUTE);
  const waits = s.states.filter((state) => state.retryAt).map((state, i, all) => state.retryAt - (i ? all[i - 1].retryAt : s.clock.now() - 20 * MINUTE));
  waits.forEach((wait, i) => assert.ok(wait >= 0 && wait <= Math.min(20 * SECOND, 500 * 2 ** i), `wait ${i}: ${wait}`));
  const late = waits.slice(8);
  const mean = late.reduce((sum, wait) => sum + wait, 0) / late.length;
  assert.ok(mean > 8 * SECOND && mean < 12 * SECOND, `mean ${mean}`);
  s.gateway.ws = 'ok';
  await s.clock.advance(20 * SECOND);
  s.gateway.lines[0].cut();
  const quick = s.client.state.retryAt - s.clock.now();
  await s.clock.advance(quick);
  await s.clock.advance(11 * SECOND);
  s.gateway.lines[0].cut();
  assert.ok(s.client.state.retryAt - s.clock.now() <= 500, 'stable: from the start');
});

test('bye pacing: it comes again at a time of its own within retry_in, on either rung', async () => {
  const waits = [];
  for (let seed = 1; seed <= 40; seed++) {
    const s = await started({ client: { random: seeded(seed) } });
    s.gateway.lines[0].push({ type: 'bye', code: 'draining', retry_in: [10000, 30000] });
    assert.equal(s.client.state.code, 'draining');
    assert.equal(s.gateway.lines.length, 0);
    waits.push(s.client.state.retryAt - s.clock.now());
    await s.clock.advance(30 * SECOND);
    assert.equal(rungOf(s), 'live ws');
  }
  assert.ok(Math.min(...waits) >= 10000 && Math.min(...waits) < 12000);
  assert.ok(Math.max(...waits) <= 30000 && Math.max(...waits) > 28000);

  const s = setup();
  s.gateway.ws = 'bye'; // a bye before the hello
  s.client.start();
  await s.clock.advance();
  const wait = s.client.state.retryAt - s.clock.now();
  assert.ok(wait >= 5000 && wait <= 9000);
});

test('close codes: 4000-4499 come back', async () => {
  for (const [code, name] of [[4001, 'slow'], [4002, 'draining'], [4004, 'superseded'], [4321, 'closed']]) {
    const s = await started();
    s.gateway.lines[0].cut(code);
    assert.equal(s.client.state.name, 'retrying');
    assert.equal(s.client.state.code, name);
    await s.clock.advance(SECOND);
    assert.equal(rungOf(s), 'live ws');
  }
});

test('refused codes: 4500-4999 stay away, until start is called again', async () => {
  for (const [code, name] of [[4500, 'bad_token'], [4501, 'revoked'], [4502, 'bad_protocol'], [4503, 'too_many'], [4999, 'refused']]) {
    const s = await started();
    s.gateway.lines[0].cut(code);
    assert.equal(s.client.state.name, 'refused');
    assert.equal(s.client.state.code, name);
    await assert.rejects(s.client.call('1'), { code: 'refused' });
    await s.clock.advance(60 * MINUTE);
    assert.equal(s.gateway.hellos.length, 1);
    assert.equal(s.clock.timers.size, 0);
    s.client.start();
    await s.clock.advance();
    assert.equal(rungOf(s), 'live ws');
    assert.deepEqual(s.asked, [false, true], 'with a new token');
  }
});

test('refused by poll: bad_token, revoked, origin', async () => {
  for (const [status, code] of [[401, 'bad_token'], [403, 'revoked'], [403, 'origin']]) {
    const s = setup({ client: { WebSocket: null } });
    s.gateway.http = { status, problem: { code, title: code, detail: 'No.' } };
    s.client.start();
    await s.clock.advance();
    assert.equal(s.client.state.name, 'refused');
    assert.equal(s.client.state.code, code);
    assert.equal(s.client.state.message, 'No.');
  }
});

test('poll: 429 and 503 honour Retry-After, in seconds or as a date', async () => {
  for (const [status, code, after] of [[429, 'too_many', () => '30'], [503, 'draining', (now) => new Date(now + 30000).toUTCString()]]) {
    const s = setup({ client: { WebSocket: null } });
    s.gateway.http = { status, problem: { code, title: code }, headers: { 'Retry-After': after(s.clock.now()) } };
    s.client.start();
    await s.clock.advance();
    const wait = s.client.state.retryAt - s.clock.now();
    assert.ok(wait >= 30000 && wait <= 45000, `${wait}`);
    assert.equal(s.client.state.code, code);
    s.gateway.http = 'ok';
    await s.clock.advance(45 * SECOND);
    assert.equal(rungOf(s), 'live poll');
  }
});

test('poll: a captive portal, a hanging request and an answer in a loop are no storm', async () => {
  const s = await started({ client: { WebSocket: null } });
  s.gateway.fetch = null;
  s.gateway.http = { status: 200, problem: { cursor: s.gateway.cursor(), messages: [] } };
  await s.clock.advance(MINUTE);
  const { length } = s.gateway.urls;
  await s.clock.advance(MINUTE);
  assert.ok(s.gateway.urls.length - length <= 61, `${s.gateway.urls.length - length} polls in a minute`);
  s.gateway.http = { status: 200, problem: 'a page' };
  await s.clock.advance(2 * SECOND);
  assert.equal(s.client.state.code, 'network');
  s.gateway.http = 'hang';
  await s.clock.advance(5 * MINUTE);
  assert.equal(s.client.state.name, 'retrying');
  s.gateway.http = 'ok';
  await s.clock.advance(40 * SECOND);
  assert.equal(rungOf(s), 'live poll');
});

test('refused by the answer to a command on poll: the user was taken out of the directory', async () => {
  const s = await started({ client: { WebSocket: null } });
  await s.clock.advance(SECOND);
  s.gateway.http = { status: 403, problem: { code: 'revoked', title: 'Forbidden' } };
  await assert.rejects(s.client.call('+1'), { code: 'refused' });
  assert.equal(s.client.state.code, 'revoked');
});
