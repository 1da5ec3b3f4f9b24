// Tests of the tabs that share one connection: election, hand-over, hearsay, what one tab may do. Run: node --test static/
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBrowser } from './client.browser.mjs';
import { MINUTE, SECOND, call, jwt, rungOf, seeded } from './client.fake.mjs';

const KINDS = {
  'locks and channel': {},
  'no locks (a page without https)': { locks: false },
  'no channel': { channel: false },
  'localStorage only': { locks: false, channel: false },
};

const leaderOf = (browser) => {
  const leaders = browser.leaders();
  assert.equal(leaders.length, 1, 'one leader');
  return leaders[0];
};

for (const [kind, has] of Object.entries(KINDS)) {
  test(`${kind}: five tabs, one connection, and each has everything`, async () => {
    const b = new FakeBrowser(has);
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    const tabs = await b.openAll(5);
    assert.equal(b.gateway.lines.length, 1);
    const leader = leaderOf(b);
    for (const tab of tabs) {
      assert.equal(rungOf(tab), 'live ws');
      assert.equal(tab.client.state.leader, tab === leader);
      assert.equal(tab.client.user.name, 'Anna');
      assert.deepEqual(tab.log, ['snapshot a 1 ringing']);
    }
    b.gateway.append('call.bridge', call('a', 2, 'talking'));
    await b.clock.advance();
    for (const tab of tabs) assert.deepEqual(tab.log, ['snapshot a 1 ringing', 'call.bridge a 2 talking']);
    assert.deepEqual(tabs.map((tab) => tab.calls[1].live), [true, true, true, true, true]);
    assert.equal(b.gateway.hellos.length, 1);
  });

  test(`${kind}: the leader closes, and the next goes on from the cursor, in no time`, async () => {
    const b = new FakeBrowser(has);
    const tabs = await b.openAll(3);
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    await b.clock.advance();
    const leader = leaderOf(b);
    leader.client.stop();
    b.gateway.append('call.bridge', call('a', 2, 'talking'));
    await b.clock.advance(1000);
    const next = leaderOf(b);
    assert.notEqual(next, leader);
    for (const tab of tabs.filter((t) => t !== leader)) assert.deepEqual(tab.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
    assert.equal(b.gateway.hellos[1].cursor, '1-1');
    assert.equal(b.gateway.hellos[1].client, b.gateway.hellos[0].client, 'the browser keeps its name');
    assert.equal(b.gateway.lines.length, 1);
  });

  test(`${kind}: stop and reload leave nothing behind`, async () => {
    const b = new FakeBrowser(has);
    const tabs = await b.openAll(3);
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    await b.clock.advance();
    for (const tab of tabs) tab.client.stop();
    await b.clock.advance(200);
    assert.equal(b.clock.timers.size, 0);
    assert.equal(b.gateway.lines.length, 0);
    assert.deepEqual(tabs.map((tab) => tab.page.listeners), [0, 0, 0]);
    assert.equal([...b.items.items.keys()].filter((key) => !key.startsWith('ringcast.rung')).length, 0, 'no call of anybody in storage');
  });

  test(`${kind}: what is to happen once happens once, in the tab that is looked at`, async () => {
    const b = new FakeBrowser(has);
    const tabs = await b.openAll(5);
    for (const tab of tabs) if (tab !== tabs[3]) tab.hide();
    const ran = [];
    const promises = tabs.map((tab) => tab.client.once('window a', async () => ran.push(tabs.indexOf(tab))));
    await b.clock.advance(10 * SECOND);
    assert.deepEqual(ran, [3]);
    assert.deepEqual(await Promise.all(promises), [false, false, false, true, false]);
    const late = b.open();
    await b.clock.advance(200);
    assert.equal(await Promise.race([late.client.once('window a', () => ran.push('late')), b.clock.advance(5 * SECOND)]), false);
    assert.deepEqual(ran, [3]);
  });

  test(`${kind}: a claim goes to one tab, and the gateway is asked by that one only`, async () => {
    const b = new FakeBrowser(has);
    const tabs = await b.openAll(4);
    const results = tabs.map((tab) => tab.client.claim('a', 'result').then(() => 'mine', (err) => err.code));
    await b.clock.advance(SECOND);
    const answers = await Promise.all(results);
    assert.deepEqual(answers.filter((a) => a === 'mine').length, 1, `${answers}`);
    assert.deepEqual(answers.filter((a) => a === 'taken').length, 3);
    assert.equal(b.gateway.commands.length, 1);
    const winner = tabs[answers.indexOf('mine')];
    winner.client.claim('a', 'result', { done: true });
    await b.clock.advance(20 * SECOND);
    winner.client.stop();
    await b.clock.advance(5 * SECOND);
    const other = tabs.find((tab) => tab !== winner);
    await assert.rejects(other.client.claim('a', 'result'), { code: 'taken' });
  });
}

test('the leader crashes during a ringing call: the next has what follows in under a second', async () => {
  const b = new FakeBrowser();
  await b.openAll(5);
  b.gateway.append('call.dial', call('a', 1, 'ringing'));
  await b.clock.advance();
  const leader = leaderOf(b);
  leader.kill();
  assert.equal(b.gateway.lines.length, 0);
  b.gateway.append('call.bridge', call('a', 2, 'talking'));
  await b.clock.advance(500);
  for (const tab of b.others(leader)) {
    assert.equal(rungOf(tab), 'live ws');
    assert.deepEqual(tab.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
    assert.deepEqual(tab.states.map((s) => s.name).slice(0, 2), ['connecting', 'live']);
  }
  assert.equal(b.gateway.lines.length, 1);
});

test('a crash without locks is noticed by the silence', async () => {
  for (const has of [KINDS['no locks (a page without https)'], KINDS['localStorage only']]) {
    const b = new FakeBrowser(has);
    await b.openAll(3);
    const leader = leaderOf(b);
    leader.kill();
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    await b.clock.advance(12 * SECOND);
    for (const tab of b.others(leader)) assert.deepEqual(tab.log, ['call.dial a 1 ringing']);
    assert.equal(b.gateway.lines.length, 1);
  }
});

test('a leader that hangs is replaced, and when it thaws it feeds nobody', async () => {
  for (const [kind, has] of Object.entries(KINDS)) {
    const b = new FakeBrowser(has);
    await b.openAll(4);
    const old = leaderOf(b);
    old.hang();
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    await b.clock.advance(12 * SECOND);
    const rest = b.others(old);
    for (const tab of rest) assert.deepEqual(tab.log, ['call.dial a 1 ringing'], kind);
    old.thaw();
    b.gateway.append('call.bridge', call('a', 2, 'talking'));
    await b.clock.advance(2 * SECOND);
    assert.equal(b.leaders().length, 1, kind);
    assert.ok(!b.leaders().includes(old));
    for (const tab of b.tabs) assert.deepEqual(tab.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking'], kind);
    await b.clock.advance(30 * SECOND);
    assert.equal(b.gateway.lines.length, 1, kind);
  }
});

test('frozen or put into the back-forward cache, a leader hands over at once, and a follower asks for nothing', async () => {
  for (const [down, up] of [['freeze', 'resume'], ['pagehide', 'pageshow']]) {
    const b = new FakeBrowser();
    await b.openAll(3);
    const old = leaderOf(b);
    old.page.fire(down);
    old.hang();
    b.gateway.append('call.dial', call('a', 1, 'ringing'));
    await b.clock.advance(500);
    for (const tab of b.others(old)) assert.deepEqual(tab.log, ['call.dial a 1 ringing']);
    assert.equal(old.client.state.code, 'asleep');
    old.thaw();
    old.page.fire(up);
    await b.clock.advance(500);
    assert.equal(old.client.state.leader, false);
    assert.deepEqual(old.log, ['call.dial a 1 ringing']);
    assert.equal(old.calls[0].live, true, 'it missed nothing: the leader had it');
  }
});

test('a follower that slept too long gets a snapshot, and calls that ended unseen are ended', async () => {
  const b = new FakeBrowser();
  await b.openAll(2);
  b.gateway.append('call.dial', call('gone', 1, 'ringing'));
  await b.clock.advance();
  const follower = b.tabs.find((tab) => !tab.client.state.leader);
  follower.page.fire('freeze');
  b.gateway.append('call.hangup', call('gone', 2, 'ended'));
  for (let i = 1; i <= 400; i++) b.gateway.append('call.update', call('a', i, 'talking'));
  await b.clock.advance();
  follower.page.fire('resume');
  await b.clock.advance(500);
  assert.equal(rungOf(follower), 'live ws');
  assert.deepEqual(follower.log, ['call.dial gone 1 ringing', 'call.hangup gone 1 ended', 'snapshot a 400 talking']);
  b.gateway.append('call.hangup', call('a', 401, 'ended'));
  await b.clock.advance();
  assert.equal(follower.log.at(-1), 'call.hangup a 401 ended');
});

test('a follower stopped by its listener hears no more, and resumes there', async () => {
  const b = new FakeBrowser();
  await b.openAll(2);
  const follower = b.tabs.find((tab) => !tab.client.state.leader);
  follower.page.fire('freeze');
  for (const version of [1, 2, 3]) b.gateway.append('call.update', call('a', version, 'talking'));
  const off = follower.client.on('call', () => follower.client.stop());
  follower.page.fire('resume');
  await b.clock.advance(500);
  assert.equal(follower.client.state.name, 'stopped');
  assert.equal(follower.log.length, 1);
  off();
  follower.client.start();
  await b.clock.advance(500);
  assert.deepEqual(follower.log, [1, 2, 3].map((version) => `call.update a ${version} talking`));
});

test('a follower that lost a message proves it, and the leader has it', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  const follower = tabs.find((tab) => !tab.client.state.leader);
  const channel = [...b.channels].find((c) => c.tab === follower);
  const { onmessage } = channel;
  channel.onmessage = () => {};
  b.gateway.append('call.dial', call('a', 1, 'ringing'));
  await b.clock.advance();
  channel.onmessage = onmessage;
  for (const version of [2, 3, 4, 5, 6]) b.gateway.append('call.update', call('a', version, 'talking'));
  await b.clock.advance();
  const all = ['call.dial a 1 ringing', ...[2, 3, 4, 5, 6].map((v) => `call.update a ${v} talking`)];
  assert.deepEqual(follower.log, all);
  channel.onmessage = () => {};
  b.gateway.append('call.hangup', call('a', 7, 'ended'));
  await b.clock.advance();
  channel.onmessage = onmessage;
  await b.clock.advance(12 * SECOND);
  assert.equal(follower.log.at(-1), 'call.hangup a 7 ended', 'also when nothing follows');
  assert.ok(follower.calls.every((c) => c.live));
});

test('commands of followers go by the leader, and over its death with the same id', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  const leader = leaderOf(b);
  const [follower, third] = b.others(leader);
  assert.equal((await Promise.all([follower.client.call('+1'), b.clock.advance()]))[0].call, 'office:1');
  await assert.rejects(Promise.race([(async () => {
    b.gateway.execute = ({ id }) => ({ id, ok: false, error: { code: 'busy', message: 'In use.' } });
    const asked = follower.client.call('+2');
    await Promise.all([asked, b.clock.advance()]);
  })()]), { code: 'busy' });
  b.gateway.execute = () => null;
  const lost = follower.client.call('+3');
  await b.clock.advance();
  leader.kill();
  b.gateway.execute = ({ id }) => ({ id, ok: true, call: 'office:3' });
  await b.clock.advance(500);
  assert.equal((await lost).call, 'office:3');
  const ids = b.gateway.commands.filter((c) => c.to === '+3').map((c) => c.id);
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
  assert.equal(tabs.length, 3);
  assert.equal(rungOf(third), 'live ws');
});

test('a line that is cut: all tabs know when the next try is, and what was missed comes to all', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  b.gateway.ws = 4002;
  b.gateway.lines[0].cut(4002);
  await b.clock.advance();
  for (const tab of tabs) {
    assert.equal(tab.client.state.name, 'retrying');
    assert.equal(tab.client.state.code, 'draining');
  }
  b.gateway.append('call.dial', call('a', 1, 'ringing'));
  b.gateway.ws = 'ok';
  await b.clock.advance(20 * SECOND);
  for (const tab of tabs) assert.deepEqual([rungOf(tab), tab.log], ['live ws', ['call.dial a 1 ringing']]);
});

test('a refusal is one tab’s own: the others try for themselves', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  const bad = leaderOf(b);
  b.gateway.lines[0].cut(4500);
  await b.clock.advance(500);
  assert.equal(bad.client.state.name, 'refused');
  for (const tab of b.others(bad)) assert.equal(rungOf(tab), 'live ws');
  b.gateway.refuses = () => 'revoked';
  b.gateway.lines[0].cut(4501);
  await b.clock.advance(5 * SECOND);
  assert.deepEqual(tabs.map((tab) => tab.client.state.name), ['refused', 'refused', 'refused']);
  assert.equal(b.clock.timers.size, 0);
});

test('a reset of the log reaches all tabs', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  b.gateway.append('call.dial', call('ghost', 5, 'ringing'));
  await b.clock.advance();
  b.gateway.newEpoch([call('b', 1, 'talking')]);
  b.gateway.lines[0].cut();
  await b.clock.advance(SECOND);
  for (const tab of tabs) assert.deepEqual(tab.log, ['call.dial ghost 5 ringing', 'call.hangup ghost 5 ended', 'snapshot b 1 talking']);
});

test('tabs of other users, other gateways, or who want something else do not share', async () => {
  const b = new FakeBrowser();
  const anna = b.open();
  const boris = b.open({}, '99999');
  const elsewhere = b.open({ url: 'https://other.example.com' });
  const curious = b.open({ presence: true });
  const loner = b.open({ share: false });
  const opaque = b.open({ token: async () => 'opaque' });
  const same = b.open({ token: async () => ({ token: 'opaque', account: 'acme', user: { id: 88888 } }) });
  await b.clock.advance(500);
  assert.deepEqual([anna, boris, elsewhere, curious, loner, opaque, same].map((tab) => tab.client.state.leader),
    [true, true, true, true, null, null, false]);
  assert.equal(b.gateway.lines.length, 6);
  anna.client.once('k', () => {});
  const ran = [];
  boris.client.once('k', () => ran.push('boris'));
  await b.clock.advance(SECOND);
  assert.deepEqual(ran, ['boris'], 'nor what is done once');
});

test('a follower whose user is another by the time that it is its turn leads nobody else’s tabs', async () => {
  const b = new FakeBrowser();
  const life = (user, exp) => jwt({ iss: 'ringcast', account: 'acme', sub: user, iat: 0, exp, jti: Math.random() });
  const leader = b.open();
  await b.clock.advance(100);
  const asked = [];
  const changed = b.open({ token: async () => (asked.push(0) === 1 ? life('88888', 60) : life('99999', 3600)) });
  const third = b.open();
  await b.clock.advance(2 * MINUTE);
  assert.deepEqual([changed, third].map((tab) => tab.client.state.leader), [false, false]);
  leader.client.stop();
  await b.clock.advance(500);
  assert.deepEqual([changed, third].map((tab) => tab.client.state.leader), [true, true]);
  assert.equal(b.gateway.lines.length, 2);
});

test('a tab that gives up sharing takes a name of its own, also one that gave the others theirs', async () => {
  const b = new FakeBrowser();
  await b.openAll(2);
  const first = leaderOf(b);
  const [other] = b.others(first);
  for (const channel of b.channels) if (channel.tab === first) Object.assign(channel, { onmessage: null, postMessage() {} });
  await b.clock.advance(MINUTE);
  assert.deepEqual([first, other].map((tab) => tab.client.state.leader), [null, true]);
  const names = b.gateway.lines.map((line) => line.client);
  assert.equal(names.length, 2);
  assert.notEqual(names[0], names[1]);
});

test('a storage that is full in the middle: each tab has its own connection then', async () => {
  const b = new FakeBrowser({ locks: false });
  const tabs = await b.openAll(2);
  const { items } = b;
  const { setItem } = items;
  items.setItem = (key, value) => {
    if (key.startsWith('ringcast.lock')) throw new Error('QuotaExceededError');
    setItem(key, value);
  };
  await b.clock.advance(20 * SECOND);
  assert.deepEqual(tabs.map(rungOf), ['live ws', 'live ws']);
  assert.deepEqual(tabs.map((tab) => tab.client.state.leader), [null, null]);
});

test('where nothing can be shared each tab has its own connection', async () => {
  const locksThatRefuse = { request: () => Promise.reject(new Error('SecurityError')) };
  const cases = [
    [{ locks: false, channel: false, storage: false }, {}],
    [{ locks: false, storage: 'throws' }, {}],
    [{ channel: false, storage: 'throws' }, {}],
    [{}, { locks: locksThatRefuse }],
    [{}, { locks: { request: () => { throw new Error('SecurityError'); } } }],
    [{}, { BroadcastChannel: class { constructor() { throw new Error('SecurityError'); } } }],
  ];
  for (const [has, options] of cases) {
    const b = new FakeBrowser(has);
    const tabs = await b.openAll(2, options);
    assert.deepEqual(tabs.map(rungOf), ['live ws', 'live ws'], JSON.stringify(has));
    assert.deepEqual(tabs.map((tab) => tab.client.state.leader), [null, null]);
    let ran = 0;
    assert.equal(await tabs[0].client.once('x', () => ran++), true);
    assert.equal(await tabs[0].client.once('x', () => ran++), false);
    assert.equal(ran, 1);
    await tabs[0].client.claim('a', 'result');
    for (const tab of tabs) tab.client.stop();
    await b.clock.advance();
    assert.equal(b.clock.timers.size, 0);
  }
});

test('a channel that carries nothing: no tab stays without a line for long, and they do not rob each other for ever', async () => {
  const b = new FakeBrowser();
  const deaf = class { postMessage() {} close() {} };
  const tabs = await b.openAll(2, { BroadcastChannel: deaf });
  await b.clock.advance(MINUTE);
  assert.deepEqual(tabs.map(rungOf), ['live ws', 'live ws']);
  const { length } = b.gateway.hellos;
  await b.clock.advance(5 * MINUTE);
  assert.ok(b.gateway.hellos.length - length <= 12, 'only what silence of the fake costs');
});

test('once: if the tab crashes, or fn fails, it is another tab’s turn', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  const ran = [];
  const run = (tab, fn) => tab.client.once('k', fn).catch((err) => err.message);
  run(tabs[0], () => new Promise(() => ran.push(0)));
  await b.clock.advance(200);
  const second = run(tabs[1], async () => {
    ran.push(1);
    throw new Error('mine');
  });
  const third = run(tabs[2], () => ran.push(2));
  await b.clock.advance(MINUTE);
  assert.deepEqual(ran, [0]);
  tabs[0].kill();
  await b.clock.advance(SECOND);
  assert.deepEqual(ran, [0, 1, 2]);
  assert.equal(await second, 'mine');
  assert.equal(await third, true);
});

test('a claim whose tab crashes is free for the others, at once', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  const claim = (tab) => Promise.all([tab.client.claim('a', 'notify').then(() => 'mine', (err) => err.code), b.clock.advance(SECOND)]).then(([x]) => x);
  assert.equal(await claim(tabs[1]), 'mine');
  assert.equal(await claim(tabs[2]), 'taken');
  tabs[1].kill();
  await b.clock.advance(100);
  assert.equal(await claim(tabs[2]), 'mine');
});

test('a claim that the gateway gave to another browser is taken for all tabs, and not kept from them', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(2);
  b.gateway.execute = ({ id }) => ({ id, ok: false, error: { code: 'taken', message: '' } });
  for (const tab of tabs) {
    const claimed = assert.rejects(tab.client.claim('a', 'result'), { code: 'taken' });
    await b.clock.advance(SECOND);
    await claimed;
  }
  b.gateway.execute = ({ id }) => ({ id, ok: true });
  const claimed = tabs[1].client.claim('a', 'result');
  await b.clock.advance(SECOND);
  await claimed;
});

test('the gateway hears of a page that is looked at in any tab, also when that tab crashes', async () => {
  const b = new FakeBrowser();
  await b.openAll(3);
  const leader = leaderOf(b);
  const [first, second] = b.others(leader);
  const told = () => b.gateway.notes.filter((note) => note.action === 'visible').map((note) => note.visible);
  leader.hide();
  second.hide();
  await b.clock.advance();
  assert.deepEqual(told(), []);
  first.hide();
  await b.clock.advance();
  assert.deepEqual(told(), [false]);
  second.show();
  await b.clock.advance(5 * MINUTE);
  assert.deepEqual(told(), [false, true]);
  second.kill();
  await b.clock.advance(MINUTE);
  assert.deepEqual(told(), [false, true, false]);
});

test('a new leader knows who is looked at: a change of leaders is no flicker', async () => {
  const b = new FakeBrowser();
  await b.openAll(3);
  const old = leaderOf(b);
  old.hide();
  const [next, other] = b.others(old);
  next.hide();
  await b.clock.advance(MINUTE);
  old.client.stop();
  await b.clock.advance(500);
  assert.equal(next.client.state.leader, true);
  assert.equal(b.gateway.hellos.at(-1).visible, true, 'the third tab is');
  other.hide();
  await b.clock.advance(100);
  assert.deepEqual(b.gateway.notes, [{ action: 'visible', visible: false }]);
});

test('shown and presence work in every tab', async () => {
  const b = new FakeBrowser();
  b.gateway.users = [{ user: '99999', name: 'Boris', online: false }];
  const tabs = await b.openAll(3, { presence: true });
  b.gateway.append('call.dial', call('a', 1, 'ringing'));
  b.gateway.present({ user: '99999', name: 'Boris', online: true });
  await b.clock.advance();
  for (const tab of tabs) {
    assert.equal(tab.client.presence.get('99999').online, true);
    assert.deepEqual(tab.presence.at(-1).map((user) => user.online), [true]);
    tab.client.shown('a');
  }
  await b.clock.advance();
  assert.equal(b.gateway.notes.filter((note) => note.action === 'shown').length, 3);
});

test('the computer sleeps and wakes: still one leader, and nothing is lost', async () => {
  const b = new FakeBrowser();
  const tabs = await b.openAll(3);
  b.gateway.lines[0].freeze();
  b.gateway.append('call.dial', call('a', 1, 'ringing'));
  b.clock.sleep(30 * MINUTE);
  await b.clock.advance(15 * SECOND);
  for (const tab of tabs) assert.deepEqual([rungOf(tab), tab.log], ['live ws', ['call.dial a 1 ringing']]);
  assert.equal(b.leaders().length, 1);
});

test('a generation: a message of a leader of the past is not heard', async () => {
  const b = new FakeBrowser();
  await b.openAll(3);
  const old = leaderOf(b);
  const follower = b.others(old)[0];
  const channel = new (follower.browser.channels.values().next().value.constructor)([...b.channels][0].name);
  channel.postMessage({ kind: 'news', tab: 'ghost', reign: 1, message: { type: 'hello', cursor: '0', resumed: false, reason: 'epoch', calls: [call('x', 1, 'ringing')] } });
  channel.postMessage({ kind: 'news', tab: 'ghost', reign: 'x', message: null });
  channel.postMessage(null);
  await b.clock.advance();
  assert.deepEqual(follower.log, []);
  assert.equal(rungOf(follower), 'live ws');
});

test('property: whatever happens to tabs and lines, each tab that lives has each message once and in order', async () => {
  for (let seed = 1; seed <= 80; seed++) {
    const random = seeded(seed);
    const pick = (...choices) => choices[Math.floor(random() * choices.length)];
    const b = new FakeBrowser(pick(...Object.values(KINDS)));
    await b.openAll(4);
    const first = b.tabs.map((tab) => tab);
    const expected = [];
    for (let step = 0; step < 40; step++) {
      const alive = first.filter((tab) => !tab.dead);
      const tab = pick(...alive);
      const does = {
        append: () => {
          const version = expected.length + 1;
          b.gateway.append('call.update', call('a', version, 'talking'));
          expected.push(`call.update a ${version} talking`);
        },
        cut: () => b.gateway.lines[0] && b.gateway.lines[0].cut(pick(1006, 4001, 4002)),
        kill: () => alive.length > 2 && tab.kill(),
        hang: () => (tab.backlog ? tab.thaw() : tab.hang()),
        freeze: () => tab.run(() => tab.page.fire(pick('freeze', 'resume', 'pageshow', 'online', 'focus'))),
        look: () => tab.run(() => tab.look(pick('hidden', 'visible'))),
        weather: () => (b.gateway.ws = pick('ok', 'ok', 'stripped', 'mute', 4002)),
        sleep: () => b.clock.sleep(pick(1000, 60000)),
      };
      does[pick('append', 'append', 'append', ...Object.keys(does))]();
      await b.clock.advance(pick(0, 0, 10, 500, 5000, 20000));
    }
    b.gateway.ws = 'ok';
    const alive = first.filter((tab) => !tab.dead);
    for (const tab of alive) {
      if (tab.backlog) tab.thaw();
      tab.page.fire('resume');
    }
    for (let i = 0; i < 12; i++) {
      await b.clock.advance(5 * SECOND);
      for (const line of b.gateway.lines) line.push({ type: 'ping' });
    }
    for (const tab of alive) assert.deepEqual(tab.log, expected, `seed ${seed}`);
    assert.equal(b.leaders().length, 1, `seed ${seed}`);
    assert.equal(b.gateway.lines.length + b.gateway.waiting.size, 1, `seed ${seed}`);
    for (const tab of alive) tab.client.stop();
    await b.clock.advance(MINUTE);
  }
});
