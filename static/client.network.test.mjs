// client.js on networks that work only now and then, or only for a while. cmd/ringcast has the same with real proxies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, FakeGateway, MINUTE, SECOND, call, rungOf, started } from './client.fake.mjs';

/** A gateway behind a proxy that cuts every request after ms, or what network.limit says later. */
function cutting(ms) {
  const network = { limit: ms };
  const clock = new FakeClock();
  const gateway = new FakeGateway(clock);
  gateway.ws = 'stripped';
  const fetch = (url, request) => new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => reject(new TypeError('Failed to fetch')), network.limit);
    gateway.fetch(url, request).then(resolve, reject).finally(() => clock.clearTimeout(timer));
  });
  return Object.assign(network, { clock, gateway, client: { fetch } });
}

const names = (seen) => seen.states.map(({ name }) => name);

test("a browser's fetch is nobody's method: it is called as a function", async () => {
  const s = await started({ client: { WebSocket: null, fetch: undefined } });
  assert.equal(s.client.state.name, 'refused');
  const { clock, gateway } = cutting(MINUTE);
  const owners = new Set();
  const fetch = function (url, request) {
    owners.add(this);
    return gateway.fetch(url, request);
  };
  const t = await started({ clock, gateway, client: { fetch } });
  await clock.advance(5 * SECOND);
  assert.equal(rungOf(t), 'live poll');
  assert.deepEqual([...owners], [undefined]);
});

test('a network that cuts what takes 10 s: it polls for less, stays live and hears at once', async () => {
  const s = await started(cutting(10 * SECOND));
  await s.clock.advance(5 * SECOND);
  assert.equal(rungOf(s), 'live poll');
  const before = s.states.length;
  await s.clock.advance(10 * MINUTE);
  assert.deepEqual(names(s).slice(before), []);
  const waits = s.gateway.polls.map(({ wait }) => wait);
  assert.ok(Math.max(...waits.slice(3)) <= 11, waits.join());
  assert.ok(waits.length < 150, `${waits.length} polls in 10 minutes`);
  s.gateway.append('call.dial', call('a', 1, 'ringing'));
  await s.clock.advance(SECOND);
  assert.deepEqual(s.log, ['call.dial a 1 ringing']);
});

test('a network that heals: the polls wait as long as they may again', async () => {
  const network = cutting(10 * SECOND);
  const s = await started(network);
  await s.clock.advance(MINUTE);
  network.limit = MINUTE;
  await s.clock.advance(10 * MINUTE);
  assert.equal(s.gateway.polls.at(-1).wait, 25);
});

test('one poll that broke is repeated in silence, two in a row are not', async () => {
  const s = await started(cutting(MINUTE));
  await s.clock.advance(5 * SECOND);
  const before = s.states.length;
  s.gateway.http = 'down';
  for (const wake of [...s.gateway.waiting]) wake();
  await s.clock.advance(2 * SECOND);
  assert.equal(names(s)[before], 'retrying');
});

test('a network that cuts streams between two pings: after the second it polls, until the network changes', async () => {
  const s = await started({ ...cutting(MINUTE), streams: true });
  await s.clock.advance(SECOND);
  assert.equal(rungOf(s), 'live sse');
  const cutAll = () => s.gateway.streams.forEach((stream) => stream.cut());
  for (let i = 0; i < 2; i++) {
    await s.clock.advance(10 * SECOND);
    cutAll();
  }
  await s.clock.advance(2 * SECOND);
  assert.equal(rungOf(s), 'live poll');
  const streams = s.gateway.opened.length;
  await s.clock.advance(10 * MINUTE);
  assert.equal(rungOf(s), 'live poll');
  assert.equal(s.gateway.opened.length, streams);
  s.page.fire('online');
  await s.clock.advance(MINUTE);
  assert.equal(rungOf(s), 'live sse');
});

test('a network that breaks every line after 2 s: it stays away for 4 s at most', async () => {
  const s = await started();
  for (let i = 0; i < 30; i++) {
    await s.clock.advance(2 * SECOND);
    s.gateway.lines.forEach((line) => line.cut());
    const { name, retryAt } = s.client.state;
    if (name === 'retrying' && retryAt) assert.ok(retryAt - s.clock.time <= 4 * SECOND, `${retryAt - s.clock.time} ms`);
    await s.clock.advance(5 * SECOND);
    assert.equal(s.client.state.name, 'live');
  }
});
