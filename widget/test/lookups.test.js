'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, settle } = require('./fakes.js');

const Lookups = load('js/lookups.js');
const Crm = load('js/crm.js');

const number = '+79005550111';
const ivan = { type: 'contact', id: '1', name: 'Ivan' };

/* The tabs of one browser: a channel between them, one CRM that answers when the test says so. */
class Browser {
  constructor() {
    this.clock = new Clock();
    this.tabs = [];
    this.held = new Map(); /* name of a lock → the promise of its last holder */
    this.searches = []; /* {tab, number, answer(matches), fail()} */
  }

  open(leader, over = {}) {
    const tab = { heard: [], leader };
    const channel = {
      postMessage: (data) => this.tabs.filter((other) => other !== tab && !other.deaf && !tab.deaf).forEach((other) => {
        setImmediate(() => other.channel.onmessage && other.channel.onmessage({ data: structuredClone(data) }));
      }),
      close: () => {
        tab.deaf = true;
      },
    };
    tab.client = {
      state: { name: 'live', leader },
      on: (name, fn) => {
        tab.told = fn;
        return () => {
          tab.told = () => {};
        };
      },
    };
    tab.channel = channel;
    const crm = { find: (asked) => new Promise((answer, fail) => this.searches.push({ tab, number: asked, answer, fail })) };
    tab.lookups = new Lookups({ crm, client: tab.client, channel, clock: this.clock, random: () => this.tabs.indexOf(tab) / 10, ...over });
    this.tabs.push(tab);
    return tab;
  }

  /* As navigator.locks, for what is asked of it here. */
  get locks() {
    return {
      request: (name, fn) => {
        const turn = (this.held.get(name) || Promise.resolve()).then(fn);
        this.held.set(name, turn);
        return turn;
      },
    };
  }

  elect(tab) {
    tab.client.state = { name: 'live', leader: true };
    tab.told(tab.client.state);
  }
}

const three = () => {
  const browser = new Browser();
  return { browser, tabs: [browser.open(true), browser.open(false), browser.open(false)] };
};

const flush = async () => {
  for (let i = 0; i < 5; i += 1) await settle();
};

test('three tabs, one request', async () => {
  const { browser, tabs } = three();
  const answers = tabs.map(({ lookups }) => lookups.find(number));
  await flush();
  assert.deepEqual(browser.searches.map(({ tab }) => tab), [tabs[0]]);
  await browser.clock.pass(4900);
  browser.searches[0].answer([ivan]);
  assert.deepEqual(await Promise.all(answers), Array(3).fill({ state: 'found', matches: [ivan] }));
  await browser.clock.pass(20000);
  assert.equal(browser.searches.length, 1);
});

test('a late tab hears what the leader knows; one that asks in the middle of the search waits for it', async () => {
  const { browser, tabs } = three();
  const first = tabs[0].lookups.find(number);
  await flush();
  const middle = tabs[1].lookups.find(number);
  await flush();
  await browser.clock.pass(4000);
  browser.searches[0].answer([]);
  assert.deepEqual([await first, await middle], Array(2).fill({ state: 'none', matches: [] }));
  const late = browser.open(false).lookups.find('89005550111');
  await flush();
  assert.deepEqual(await late, { state: 'none', matches: [] });
  assert.equal(browser.searches.length, 1);
});

test('the leader is closed in the middle: its successor asks, once', async () => {
  const { browser, tabs } = three();
  const answers = tabs.slice(1).map(({ lookups }) => lookups.find(number));
  await flush();
  tabs[0].lookups.stop();
  browser.elect(tabs[2]);
  await flush();
  assert.deepEqual(browser.searches.map(({ tab }) => tab), [tabs[0], tabs[2]]);
  browser.searches[1].answer([ivan]);
  assert.equal((await Promise.all(answers))[0].state, 'found');
  await browser.clock.pass(20000);
  assert.equal(browser.searches.length, 2);
});

test('the leader says nothing: after two seconds one of the others asks for all of them', async () => {
  const { browser, tabs } = three();
  tabs[0].lookups.stop();
  const answers = tabs.slice(1).map(({ lookups }) => lookups.find(number));
  await browser.clock.pass(1999);
  assert.equal(browser.searches.length, 0);
  await browser.clock.pass(2000);
  assert.equal(browser.searches.length, 1);
  browser.searches[0].answer([ivan]);
  assert.deepEqual((await Promise.all(answers)).map(({ state }) => state), ['found', 'found']);
});

test('the tab that asks dies with its search: the others do not wait for ever', async () => {
  const { browser, tabs } = three();
  const answer = tabs[1].lookups.find(number);
  await flush();
  tabs[0].lookups.stop();
  await browser.clock.pass(9000);
  browser.searches[1].answer([]);
  assert.equal((await answer).state, 'none');
});

test('a search that failed is told as failed, to all', async () => {
  const { browser, tabs } = three();
  const answers = tabs.map(({ lookups }) => lookups.find(number));
  await flush();
  browser.searches[0].fail(new Error('429'));
  assert.deepEqual(await Promise.all(answers), Array(3).fill({ state: 'failed', matches: [] }));
  assert.equal((await tabs[1].lookups.find(number)).state, 'failed');
  assert.equal(browser.searches.length, 1, 'and not tried again at once');
});

test('without a channel each tab asks for itself', async () => {
  const browser = new Browser();
  const answer = browser.open(false, { channel: null }).lookups.find(number);
  await flush();
  browser.searches[0].answer([ivan]);
  assert.equal((await answer).state, 'found');
});

test('where tabs do not share a connection, one asks all the same', async () => {
  const browser = new Browser();
  const answers = [null, null, null].map((leader) => browser.open(leader).lookups.find(number));
  await flush();
  await browser.clock.pass(200);
  assert.equal(browser.searches.length, 1);
  browser.searches[0].answer([ivan]);
  assert.deepEqual((await Promise.all(answers)).map(({ state }) => state), ['found', 'found', 'found']);
  await browser.clock.pass(20000);
  assert.equal(browser.searches.length, 1);
});

test('tabs that begin in the same moment: a lock leaves the search to one of them', async () => {
  const browser = new Browser();
  const answers = [null, null].map((leader) => browser.open(leader, { random: () => 0, locks: browser.locks, scope: 'acme.' }).lookups.find(number));
  await browser.clock.pass(200);
  assert.equal(browser.searches.length, 1);
  browser.searches[0].answer([ivan]);
  assert.deepEqual((await Promise.all(answers)).map(({ state }) => state), ['found', 'found']);
  await browser.clock.pass(20000);
  assert.equal(browser.searches.length, 1);
  assert.deepEqual([...browser.held.keys()].length, 1);
});

test('a page that may not have locks asks all the same', async () => {
  const locks = { request: () => Promise.reject(new DOMException('denied', 'SecurityError')) };
  const browser = new Browser();
  const answer = browser.open(true, { locks, scope: 'acme.' }).lookups.find(number);
  await flush();
  browser.searches[0].answer([ivan]);
  assert.equal((await answer).state, 'found');
  assert.equal(browser.searches.length, 1);
});

test('a late tab where none leads hears what the others know before it asks', async () => {
  const browser = new Browser();
  const first = browser.open(null, { random: () => 0 }).lookups.find(number);
  await browser.clock.pass(200);
  browser.searches[0].answer([ivan]);
  await first;
  const late = browser.open(null, { random: () => 0 }).lookups.find(number);
  await browser.clock.pass(100);
  assert.equal((await late).state, 'found');
  assert.equal(browser.searches.length, 1);
});

test('one search a minute for a number, however it is written; forget asks again', async () => {
  const { browser, tabs: [{ lookups }, other] } = three();
  const ask = async (tab, written) => {
    const before = browser.searches.length;
    const answer = tab.find(written);
    await flush();
    browser.searches.slice(before).forEach((search) => search.answer([ivan]));
    assert.equal((await answer).state, 'found');
    return browser.searches.length - before;
  };
  assert.deepEqual([await ask(lookups, number), await ask(lookups, '8 (900) 555-01-11'), await ask(other.lookups, number)], [1, 0, 0]);
  await browser.clock.pass(1100);
  assert.equal(await ask(lookups, '+19005550111'), 1, 'another country');
  await browser.clock.pass(57900);
  assert.equal(await ask(lookups, number), 0);
  await browser.clock.pass(1000);
  assert.equal(await ask(lookups, number), 1);
  other.lookups.forget(number);
  await browser.clock.pass(1100);
  assert.equal(await ask(lookups, number), 1);
});

test('searches go one after another, at a pace that the CRM takes', async () => {
  const browser = new Browser();
  const { lookups } = browser.open(true);
  const answers = ['+79000000001', '+79000000002', '+79000000003'].map((each) => lookups.find(each));
  await flush();
  for (let i = 0; i < 2; i += 1) {
    browser.searches[i].answer([]);
    await flush();
    await browser.clock.pass(1099);
    assert.equal(browser.searches.length, i + 1);
    await browser.clock.pass(1);
    assert.equal(browser.searches.length, i + 2);
  }
  await browser.clock.pass(2000);
  browser.searches[2].answer([]);
  await Promise.all(answers);
});

test('three calls at once: never more than seven requests within a second, names and slow answers and all', async () => {
  const clock = new Clock();
  const at = [];
  const raw = (phone) => ({ id: 1, name: 'x', custom_fields_values: [{ field_code: 'PHONE', values: [{ value: '+7900' + phone }] }], _embedded: { leads: [{ id: 5 }], companies: [{ id: 7 }] } });
  const ajax = ({ url }) => {
    at.push(clock.now());
    const [, asked] = /contacts\?query=0(\d+)/.exec(url) || [];
    return new Promise((answer) => clock.after(600, () => answer(asked && { _embedded: { contacts: [raw(asked)] } })));
  };
  const crm = new Crm({ ajax, app: { constant: () => null }, clock, t: (key) => key });
  const lookups = new Lookups({ crm, client: { state: { leader: true }, on: () => () => {} }, channel: null, clock });
  const answers = ['+79005550111', '+79005550112', '+79005550113'].map((each) => lookups.find(each));
  await clock.pass(20000);
  assert.deepEqual((await Promise.all(answers)).map(({ state }) => state), ['found', 'found', 'found']);
  assert.equal(at.length, 12);
  assert.ok(Math.max(...at.map((a) => at.filter((b) => b >= a && b < a + 1000).length)) <= 7);
});

test('the CRM is asked too much: it is asked once again a little later, and the failure is not kept', async () => {
  const { browser, tabs } = three();
  const limit = Object.assign(new Error('429'), { code: 'limit' });
  const answers = tabs.map(({ lookups }) => lookups.find(number));
  await flush();
  browser.searches[0].fail(limit);
  await browser.clock.pass(1499);
  assert.equal(browser.searches.length, 1);
  await browser.clock.pass(1);
  browser.searches[1].answer([ivan]);
  assert.deepEqual((await Promise.all(answers)).map(({ state }) => state), ['found', 'found', 'found']);

  const other = tabs[0].lookups.find('+79005550222');
  await browser.clock.pass(1100);
  browser.searches[2].fail(limit);
  await browser.clock.pass(1500);
  browser.searches[3].fail(limit);
  assert.equal((await other).state, 'failed');
  tabs[0].lookups.find('+79005550222');
  await browser.clock.pass(1100);
  assert.equal(browser.searches.length, 5);
});

test('who was put into the CRM in one tab is known in all, also where it was still being searched', async () => {
  const { browser, tabs } = three();
  const learned = tabs.map(() => []);
  tabs.forEach(({ lookups }, i) => lookups.watch((...what) => learned[i].push(what)));
  const searched = tabs[0].lookups.find(number);
  await flush();
  tabs[1].lookups.learned(number, [ivan]);
  await flush();
  assert.deepEqual(learned, Array(3).fill([[number, [ivan]]]));
  assert.equal((await searched).state, 'found');
  browser.searches[0].answer([]);
  await flush();
  assert.equal((await tabs[2].lookups.find(number)).state, 'found', 'the old search does not undo it');
});

test('hidden and short numbers are nobody, and nothing is kept without end', async () => {
  const browser = new Browser();
  const { lookups } = browser.open(true);
  assert.deepEqual(await lookups.find('101'), { state: 'none', matches: [] });
  for (let i = 0; i < 300; i += 1) lookups.learned('+7900' + String(1000000 + i), [ivan]);
  assert.equal(lookups.kept.size, 100);
  assert.equal(browser.searches.length, 0);
});

test('a tab stopped while it waits to ask again lets the others ask, and waits for nothing', async () => {
  const browser = new Browser();
  const [stopped, other] = [1, 2].map(() => browser.open(true, { locks: browser.locks, scope: 'acme.' }));
  stopped.lookups.find(number);
  stopped.lookups.find('+79005550222');
  await flush();
  browser.searches[0].fail(Object.assign(new Error('429'), { code: 'limit' }));
  await flush();
  assert.equal(browser.clock.timers.length, 1);
  stopped.lookups.stop();
  await flush();
  assert.deepEqual(browser.clock.timers, []);
  const answer = other.lookups.find(number);
  await flush();
  browser.searches[1].answer([ivan]);
  assert.equal((await answer).state, 'found');
});

test('stop leaves no timer and no question open', async () => {
  const { browser, tabs } = three();
  const answer = tabs[1].lookups.find(number);
  tabs.forEach(({ lookups }) => lookups.stop());
  assert.equal((await answer).state, 'failed');
  await flush();
  assert.deepEqual(browser.clock.timers, []);
});
