'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { translator, settle } = require('./fakes.js');

const Held = load('js/settings/held.js');
const access = load('js/settings/access.js');
const Gateway = load('js/settings/gateway.js');
const SettingsWindow = load('js/settings/window.js', { jquery: () => ({}), './gateway.js': Gateway });

const url = 'https://calls.example.com';
const users = (map) => Object.entries(map).map(([id, held]) => ({ id, name: 'at the gateway', held, extensions: [] }));

test('a field that is empty says nothing, until somebody empties it', () => {
  const held = new Held({ 1: '', 2: '102', 3: '' });
  assert.deepEqual(held.wanted({ 1: '', 2: '102', 3: '' }), { 2: '102' });
  assert.deepEqual(held.changes(url, { 1: '', 2: '102', 3: '' }), { 2: '102' }); /* no answer yet */
  held.learn(url, users({ 1: ['101'], 2: ['102'] }));
  assert.deepEqual(held.filling({ 1: '', 2: '102', 3: '' }), { 1: '101' });
  const filled = { 1: '101', 2: '102', 3: '' };
  assert.ok(held.untouched(filled));
  assert.deepEqual(held.changes(url, filled), {});
  const emptied = { ...filled, 1: '' };
  assert.deepEqual([held.untouched(emptied), held.filling(emptied), held.changes(url, emptied)], [false, {}, { 1: '' }]);
  assert.deepEqual(held.changes(url, { ...filled, 2: ' 102;' , 3: '103' }), { 3: '103' });
  assert.deepEqual(held.changes(url, filled), {}); /* thought better of it */
});

test('what was emptied is emptied as long as the gateway does not know, also in the next window', () => {
  const first = new Held({ 1: '101' });
  first.saved({ 1: '' });
  const next = new Held({ 1: '' }, first.emptied);
  next.learn(url, users({ 1: ['101'] }));
  assert.deepEqual([next.filling({ 1: '' }), next.changes(url, { 1: '' })], [{}, { 1: '' }]);
  next.learn(url, users({ 1: [] }), true);
  assert.deepEqual(next.changes(url, { 1: '' }), {});
});

test('what another administrator saves meanwhile is not undone; another gateway is told everything', () => {
  const held = new Held({ 1: '101', 2: '102' });
  held.learn(url, users({ 1: ['101'], 2: [] }));
  held.learn(url, users({ 1: ['105'], 2: [] }));
  assert.deepEqual(held.changes(url, { 1: '101', 2: '102' }), { 2: '102' });
  assert.deepEqual(held.changes('https://other.example.com', { 1: '101', 2: '102' }), { 1: '101', 2: '102' });
});

test('extensions are texts, whatever the CRM kept', () => {
  assert.deepEqual(access.extensions({ extensions: '{"1":101,"2":null,"3":["103","104"]}' }), { 1: '101', 2: '', 3: '103,104' });
  for (const odd of ['x', '"101"', 'null', 7, undefined]) assert.deepEqual(access.extensions({ extensions: odd }), {});
});

/* A window without a page: what it asks of the gateway, and what it says. */
const made = (over = {}) => {
  const it = { asked: [], answers: [], toasts: [], kept: 0, lines: [] };
  it.window = Object.assign(Object.create(SettingsWindow.prototype), {
    asked: 0, admin: true, t: translator('en'), me: '1', config: { url }, page: { location: { origin: 'https://acme.example.net' } },
    memory: { unsaved: false, emptied: new Set(), saving: Promise.resolve() }, held: new Held({ 1: '101' }), others: [],
    name: (id) => id, app: { constant: () => ({ 1: { title: 'An\u202ena\t' + 'x'.repeat(300) } }) },
    trusted: new Set(),
    form: { open: true, extensions: () => ({ 1: '101' }), users: () => new Map([['1', { val() {} }]]), value: () => '' },
    errors: { ask: () => '', show: (message) => it.toasts.push(message) },
    kept: () => (it.kept += 1), show: (said) => (it.said = said),
    gateway: { ask: (to, question) => new Promise((resolve, reject) => {
      it.asked.push(question);
      it.answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve({ account: 'acme', admin: true, kept: true, saved: question.save, pbx: [], users: [], ...answer })));
    }) },
    ...over,
  });
  it.next = async (answer) => {
    it.answers.shift()(answer);
    await settle();
  };
  return it;
};

test('save pressed twice: one after the other, and the last one counts', async () => {
  const it = made();
  it.window.save({ gateway: '', extensions: { 1: '101' } });
  it.window.save({ gateway: '', extensions: { 1: '102' } });
  await settle();
  assert.deepEqual(it.asked.map(({ extensions }) => extensions), [{ 1: '101' }]);
  await it.next(new Gateway.Refusal('later'));
  assert.deepEqual([it.asked[1].extensions, it.window.memory.unsaved], [{ 1: '102' }, true]);
  await it.next({ users: users({ 1: ['102'] }) });
  assert.deepEqual([it.kept, it.toasts.length, it.window.memory.unsaved, it.said.repeat], [1, 1, false, false]);
});

test('extensions that were taken away, and given again by somebody else, are not taken away by the next save', async () => {
  const memory = { unsaved: false, emptied: new Set(), saving: Promise.resolve() };
  const open = (before, texts) => made({
    memory, held: new Held(before, memory.emptied),
    form: { open: true, value: () => '', extensions: () => ({ ...texts }), users: () => new Map(Object.keys(texts).map((id) => [id, { val: (text) => (texts[id] = text) }])) },
  });
  const first = open({ 1: '101', 2: '102' }, { 1: '', 2: '102' });
  first.window.save({ extensions: { 1: '', 2: '102' } });
  await settle();
  assert.deepEqual(first.asked[0].extensions, { 1: '', 2: '102' });
  await first.next({ users: users({ 1: [], 2: ['102'] }) });
  const texts = { 1: '', 2: '102' };
  const later = open({ ...texts }, texts);
  later.window.check();
  await later.next({ users: users({ 1: ['105'], 2: ['102'] }) });
  later.window.save({ extensions: { ...texts, 2: '103' } });
  await settle();
  assert.deepEqual([texts[1], later.asked[1].extensions], ['105', { 2: '103' }]);
});

test('a save that the gateway refused: what failed, what to do, and then why, which the panel says below', async () => {
  const it = made({ errors: { ask: () => 'Ask Anna.', show: (message) => it.toasts.push(message) } });
  it.window.save({ extensions: { 1: '102' } });
  await settle();
  await it.next(new Gateway.Refusal('later'));
  const why = 'The gateway answers but cannot do this now. Try again in a minute. Ask Anna.';
  assert.deepEqual(it.toasts, ['The gateway did not save the extensions. Remove the cause, then press “Save at the gateway” in the widget’s settings. The cause: ' + why]);
  assert.deepEqual(it.said.lines.map(({ text }) => text), [
    'The gateway did not save the extensions. If something is wrong below, correct it first; then press “Save at the gateway”.', why,
  ]);
});

test('a name is told as text of one line that is not too long, and not at all where the CRM has none', async () => {
  const it = made();
  it.window.save({ extensions: { 1: '101', 2: '102' } });
  await settle();
  const { 1: anna, 2: nobody } = it.asked[0].names;
  assert.match(anna, /^Anna x{50,60}…$/);
  assert.equal(nobody, '');
});

test('what the gateway has not got is told, with a button; who typed just now has the CRM’s own', async () => {
  const it = made();
  it.window.check();
  await it.next({ kept: false, users: [{ id: '1', held: [], extensions: [{ extension: '101', state: 'ok' }] }] });
  assert.match(it.said.lines[0].text, /^Not saved at the gateway yet/);
  assert.deepEqual(it.said.marks.get('1').map(({ text }) => text), ['101: ready.', 'At the gateway: —.']);
  assert.equal(it.said.repeat, true);
  it.window.form.extensions = () => ({ 1: '105' });
  it.window.check();
  await it.next({ kept: false, users: users({ 1: [] }) });
  assert.equal(it.said.repeat, false);
});

test('an extension that somebody has who left the CRM: he is listed, and it is taken away', async () => {
  const it = made();
  it.window.check();
  await it.next(new Gateway.Refusal('fields', {}, [{ user: '1', reason: 'it is of 7' }]));
  await it.next({ users: users({ 1: [], 7: ['101'] }) });
  assert.deepEqual(it.window.others.map(({ id }) => id), ['7']);
  assert.match(it.said.marks.get('1')[0].text, /also given to 7/);
  it.window.takeAway('7');
  await settle();
  assert.deepEqual([it.asked[2].extensions, it.asked[2].save], [{ 7: '' }, true]);
  await it.next({ users: users({ 1: [], 7: [] }) });
  assert.deepEqual([it.window.others, it.asked[3].save], [[], false]); /* and looks again */
});
