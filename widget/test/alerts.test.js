'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Store, translator } = require('./fakes.js');

const Alerts = load('js/alerts.js');

const who = { kind: 'known', name: 'Ivan', number: '+7 900 555-01-11' };

/* As navigator.locks of one browser. */
class Locks {
  constructor() {
    this.queues = new Map();
  }
  async request(name, { signal }, fn) {
    const before = this.queues.get(name) || Promise.resolve();
    const mine = before.then(() => !signal.aborted && fn());
    this.queues.set(name, mine.catch(() => {}));
    return mine;
  }
}

const make = ({ locks = new Locks(), clock = new Clock(), visible = true, permission = 'granted', behaviour = { sound: true, desktop: true }, focused = false, allowed = true, store = new Store() } = {}) => {
  const heard = [];
  const notes = [];
  class Notification {
    constructor(title, options) {
      Object.assign(this, options, { title });
      notes.push(this);
    }
    close() {
      this.closed = true;
    }
    static async requestPermission() {
      Notification.asked = (Notification.asked || 0) + 1;
      Notification.permission = 'granted';
    }
  }
  Notification.permission = permission;
  const page = Object.assign(new EventTarget(), { Notification, document: { hasFocus: () => focused }, focus: () => (page.focused = true) });
  const state = { allowed };
  const tone = {
    start: async ({ quiet }) => {
      if (!state.allowed) throw new Error('no');
      heard.push(quiet ? 'softly' : 'ring');
    },
    open: async () => {
      if (!state.allowed) throw new Error('no');
    },
    stop: () => heard.push('quiet'),
    close: () => {},
  };
  const alerts = new Alerts({ store, locks, scope: 'ringcast.1.2.', clock, t: translator('en'), page, behaviour, visible: () => visible, tone });
  return { alerts, clock, heard, notes, page, state, store, settle: () => clock.pass(300) };
};

test('heard and shown until it is answered', async () => {
  const { alerts, heard, notes, page, settle } = make();
  alerts.ring({ id: 'c1', version: 1 }, who, { title: 'Incoming call' });
  await settle();
  assert.deepEqual([heard, notes[0].title, notes[0].body, notes[0].silent], [['ring'], 'Incoming call', 'Ivan\n+7 900 555-01-11', true]);
  let opened = null;
  alerts.onOpen = (id) => (opened = id);
  notes[0].onclick();
  assert.deepEqual([opened, page.focused], ['c1', true]);
  alerts.silence('c1');
  assert.deepEqual([heard, notes[0].closed], [['ring', 'quiet'], true]);
});

test('one tab rings, whatever version of the call it saw first, and the next when it is closed or may not', async () => {
  const locks = new Locks();
  const clock = new Clock();
  const pass = () => clock.pass(300);
  const tabs = [make({ locks, clock, visible: false }), make({ locks, clock }), make({ locks, clock, visible: false, allowed: false })];
  tabs.forEach(({ alerts }, i) => alerts.ring({ id: 'c1', version: i }, who));
  tabs.forEach(({ alerts }) => alerts.ring({ id: 'c2', version: 1 }, who));
  await pass();
  assert.deepEqual(tabs.map(({ heard, notes }) => [heard.join(), notes.length]), [['', 0], ['ring', 2], ['', 0]]);
  tabs[1].alerts.stop();
  await pass();
  assert.deepEqual(tabs.map(({ heard, notes }) => [heard.join(), notes.length]), [['ring', 2], ['ring,quiet', 2], ['', 0]]);
  tabs.forEach(({ alerts }) => ['c1', 'c2'].forEach((id) => alerts.silence(id)));
  await pass();
  assert.deepEqual(tabs[0].heard, ['ring', 'quiet']);
});

test('a call that was given up and is believed again is heard and seen again', async () => {
  const { alerts, heard, notes, settle } = make();
  for (let i = 0; i < 2; i += 1) {
    alerts.ring({ id: 'c1', version: 1 }, who);
    await settle();
    alerts.silence('c1');
  }
  assert.deepEqual([heard, notes.map(({ closed }) => closed)], [['ring', 'quiet', 'ring', 'quiet'], [true, true]]);
});

test('a page that goes away leaves no notification', async () => {
  const { alerts, notes, page, settle } = make();
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  page.dispatchEvent(new Event('pagehide'));
  assert.equal(notes[0].closed, true);
});

test('the notification waits for the name, a little', async () => {
  const { alerts, clock, notes, settle } = make();
  alerts.ring({ id: 'c1', version: 1 }, { ...who, kind: 'looking', name: '+7' });
  await settle();
  assert.equal(notes.length, 0);
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.equal(notes.length, 1);
  alerts.ring({ id: 'c2', version: 1 }, { ...who, kind: 'looking', name: '+7' });
  await clock.pass(1250);
  assert.equal(notes.length, 2);
  alerts.ring({ id: 'c2', version: 1 }, who);
  assert.deepEqual([notes.length, notes[2].tag], [3, notes[1].tag], 'one that takes the other’s place');
});

test('a call that changes while it rings, and not in who it is, is not shown again', async () => {
  const { alerts, notes, settle } = make();
  for (let version = 1; version < 4; version += 1) {
    alerts.ring({ id: 'c1', version }, { ...who });
    await settle();
  }
  assert.equal(notes.length, 1);
});

test('who wants no sound hears none', async () => {
  const { alerts, heard, settle } = make({ behaviour: { sound: false, desktop: true } });
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.deepEqual(heard, []);
});

test('over before it began: nothing is heard or shown', async () => {
  const { alerts, clock, heard, notes } = make();
  alerts.ring({ id: 'c1', version: 1 }, { ...who, kind: 'looking' });
  alerts.silence('c1');
  await clock.pass(5000);
  assert.deepEqual([heard.at(-1), notes], ['quiet', []]);
  alerts.ring({ id: 'c2', version: 1 }, { ...who, kind: 'looking' });
  await clock.pass(300); /* its turn has come, and the name has not */
  alerts.silence('c2');
  await clock.pass(5000);
  assert.deepEqual(notes, []);
});

test('two ring: it goes on until the last is answered', async () => {
  const { alerts, heard, settle } = make();
  alerts.ring({ id: 'c1', version: 1 }, who, { quiet: true });
  await settle();
  alerts.ring({ id: 'c2', version: 1 }, who);
  await settle();
  alerts.silence('c1');
  alerts.ring({ id: 'c3', version: 1 }, who);
  await settle();
  alerts.silence('c3');
  assert.deepEqual(heard, ['softly', 'ring'], 'softly only while all do, and not begun anew with each');
  alerts.silence('c2');
  assert.equal(heard.at(-1), 'quiet');
});

test('who looks at the page gets no notification; nor who did not choose it or may not have it', async () => {
  for (const over of [{ focused: true }, { behaviour: { sound: true, desktop: false } }, { permission: 'default' }, { permission: 'denied' }]) {
    const { alerts, notes, settle } = make(over);
    alerts.ring({ id: 'c1', version: 1 }, who);
    await settle();
    assert.equal(notes.length, 0);
  }
});

test('a browser is asked for a lock only for what he wants', async () => {
  for (const [behaviour, permission, wanted] of [
    [{ sound: true, desktop: true }, 'granted', ['tone', 'desktop c1']],
    [{ sound: true, desktop: true }, 'default', ['tone']],
    [{ sound: false, desktop: false }, 'granted', []],
  ]) {
    const locks = new Locks();
    const { alerts, settle } = make({ locks, behaviour, permission });
    alerts.ring({ id: 'c1' }, who);
    await settle();
    assert.deepEqual([...locks.queues.keys()].map((name) => name.replace('ringcast.1.2.', '')), wanted);
    alerts.silence('c1');
  }
});

test('a page that may not have locks rings and notifies all the same, until it is answered', async () => {
  const locks = { request: () => Promise.reject(new DOMException('denied', 'SecurityError')) };
  const { alerts, heard, notes, settle } = make({ locks });
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.deepEqual([heard, notes.length], [['ring'], 1]);
  alerts.silence('c1');
  alerts.ring({ id: 'c2', version: 1 }, who);
  alerts.silence('c2');
  await settle();
  assert.deepEqual([heard.includes('quiet'), heard.filter((tone) => tone === 'ring').length, notes.length], [true, 1, 1]);
});

test('a ring that is over before its sound could begin is not told as one that the browser forbade', async () => {
  const { alerts, settle } = make();
  let changes = 0;
  alerts.watch(() => (changes += 1));
  alerts.tone = {
    start: () => new Promise((resolve, reject) => {
      alerts.tone.stop = () => reject(new Error('the browser allows no sound yet'));
    }),
  };
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  alerts.silence('c1');
  await settle();
  assert.deepEqual([alerts.now().blocked, changes], [false, 0]);
});

test('a browser that allows no sound leaves it to another tab, and says so at the bell; a click mends it', async () => {
  const { alerts, heard, state, settle } = make({ allowed: false });
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.deepEqual([heard, alerts.now().blocked], [[], true]);
  state.allowed = true;
  await alerts.unlock();
  await settle();
  assert.deepEqual([heard.at(-1), alerts.now().blocked], ['ring', false]);
});

test('permission is asked at the agent’s choice only; the choice is kept, and heard of in other tabs', async () => {
  const { alerts, heard, page, store, settle } = make({ permission: 'default', behaviour: { sound: true, desktop: false } });
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.equal(page.Notification.asked, undefined);
  await alerts.choose('desktop', true);
  assert.deepEqual([page.Notification.asked, alerts.now().desktop], [1, true]);
  await alerts.choose('sound', false);
  assert.equal(heard.at(-1), 'quiet');
  assert.deepEqual(store.get('alerts'), { desktop: true, sound: false });
  const other = make({ store });
  assert.deepEqual(other.alerts.wanted(), { sound: false, desktop: true });
});
