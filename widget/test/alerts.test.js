'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Client, Store, translator, settle } = require('./fakes.js');

const Alerts = load('js/alerts.js');

const who = { kind: 'known', name: 'Ivan', number: '+7 900 555-01-11' };

const make = ({ permission = 'granted', behaviour = { sound: true, desktop: true }, focused = false, allowed = true, store = new Store() } = {}) => {
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
  const page = { Notification, document: { hasFocus: () => focused }, focus: () => (page.focused = true) };
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
  const client = new Client();
  const clock = new Clock();
  const alerts = new Alerts({ client, store, clock, t: translator('en'), page, behaviour, visible: () => true, tone });
  return { alerts, client, clock, heard, notes, page, state, store };
};

test('heard and shown until it is answered', async () => {
  const { alerts, heard, notes, page } = make();
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

test('another tab does it: this one is silent', async () => {
  const { alerts, client, heard, notes } = make();
  client.mine = () => false;
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.deepEqual([heard, notes], [[], []]);
});

test('the notification waits for the name, a little', async () => {
  const { alerts, clock, notes } = make();
  alerts.ring({ id: 'c1', version: 1 }, { ...who, kind: 'looking', name: '+7' });
  await settle();
  assert.equal(notes.length, 0);
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  assert.equal(notes.length, 1);
  alerts.ring({ id: 'c2', version: 1 }, { ...who, kind: 'looking', name: '+7' });
  await clock.pass(1200);
  assert.equal(notes.length, 2);
  alerts.ring({ id: 'c2', version: 1 }, who);
  assert.deepEqual([notes.length, notes[2].tag], [3, notes[1].tag], 'one that takes the other’s place');
});

test('over before it began: nothing is heard or shown', async () => {
  const { alerts, clock, heard, notes } = make();
  alerts.ring({ id: 'c1', version: 1 }, { ...who, kind: 'looking' });
  alerts.silence('c1');
  await clock.pass(5000);
  assert.deepEqual([heard.at(-1), notes], ['quiet', []]);
});

test('a queue tries its member again: it is heard again', async () => {
  const { alerts, client, heard } = make();
  client.mine = (key) => !client.onces.has(key);
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  alerts.silence('c1');
  alerts.ring({ id: 'c1', version: 3 }, who);
  await settle();
  assert.deepEqual(heard, ['ring', 'quiet', 'ring']);
});

test('two ring: it goes on until the last is answered', async () => {
  const { alerts, heard } = make();
  alerts.ring({ id: 'c1', version: 1 }, who);
  alerts.ring({ id: 'c2', version: 1 }, who, { quiet: true });
  await settle();
  alerts.silence('c1');
  assert.ok(!heard.includes('quiet'));
  alerts.silence('c2');
  assert.equal(heard.at(-1), 'quiet');
});

test('who looks at the page gets no notification; nor who did not choose it or may not have it', async () => {
  for (const over of [{ focused: true }, { behaviour: { sound: true, desktop: false } }, { permission: 'default' }, { permission: 'denied' }]) {
    const { alerts, notes } = make(over);
    alerts.ring({ id: 'c1', version: 1 }, who);
    await settle();
    assert.equal(notes.length, 0);
  }
});

test('a browser that allows no sound leaves it to another tab, and says so at the bell; a click mends it', async () => {
  const { alerts, client, heard, state } = make({ allowed: false });
  alerts.ring({ id: 'c1', version: 1 }, who);
  await settle();
  await assert.rejects(client.onces.get('sound c1 1'));
  assert.deepEqual([heard, alerts.now().blocked], [[], true]);
  state.allowed = true;
  await alerts.unlock();
  assert.deepEqual([heard, alerts.now().blocked], [['ring'], false]);
});

test('permission is asked at the agent’s choice only; the choice is kept, and heard of in other tabs', async () => {
  const { alerts, heard, page, store } = make({ permission: 'default', behaviour: { sound: true, desktop: false } });
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
