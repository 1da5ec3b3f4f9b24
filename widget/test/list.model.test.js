'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');

const model = load('js/list/model.js');

const person = (id, over = {}) => ({ entity: 'contact', id: String(id), name: 'Person ' + id, phones: ['+7900555' + String(id).padStart(4, '0')], ...over });

const listOf = (...given) => model.add(model.emptyList(), given, 1000).list;

const keys = (list) => list.entries.map(({ key }) => key).join();

const json = (value) => JSON.parse(JSON.stringify(value));

test('an entity is in the list once, and a number too, however it is written', () => {
  const told = model.add(listOf(person(1)), [
    person(1, { phones: ['+79990000000'] }), person(2, { phones: ['8 (900) 555-00-01'] }), person(3, { phones: ['89005550001', '+7 495 100-00-00 доб. 5'] }),
    person(4), person(4), person(5, { entity: 'company', phones: ['+79005550004'] }),
  ], 2000);
  assert.deepEqual(told.added.map(({ key, phone }) => [key, phone]), [['contact:3', '+7 495 100-00-00 доб. 5'], ['contact:4', '+79005550004']]);
  assert.deepEqual(told.doubles.map(({ key }) => key), ['contact:1', 'contact:2', 'contact:4', 'company:5']);
  const abroad = model.add(listOf(person(1)), [person(6, { phones: ['+1 900 555-0001'] })], 2000);
  assert.equal(abroad.added.length, 1, 'the same ten digits in another country');
});

test('who has no number is left out, and named', () => {
  const told = model.add(model.emptyList(), [person(1, { phones: [] }), person(2, { phones: ['see the note', '-'] }), person(3, { phones: null })], 0);
  assert.deepEqual([told.added.length, told.phoneless.map(({ name }) => name)], [0, ['Person 1', 'Person 2', 'Person 3']]);
});

test('500 entries and no more', () => {
  const many = Array.from({ length: 600 }, (_, i) => person(i + 1));
  const told = model.add(model.emptyList(), many, 0);
  assert.deepEqual([told.list.entries.length, told.over.length, told.over[0].id], [500, 100, '501']);
  assert.equal(model.add(told.list, [person(900)], 0).over.length, 1);
});

test('what comes from outside is cut, and addresses are made here', () => {
  const [entry] = listOf(person(1, {
    name: '😀'.repeat(500), url: 'javascript:alert(1)',
    company: { name: '<b>', url: 'https://evil.example/companies/detail/7' }, lead: { id: '5', name: 'Deal', url: '//evil.example' },
  })).entries;
  assert.equal([...entry.name].length, 255);
  assert.deepEqual([entry.url, entry.company.url, entry.lead.url], ['/contacts/detail/1', '/companies/detail/7', '/leads/detail/5']);
  assert.equal(model.entryOf(person(1, { company: { name: 'X', url: 'javascript:1' } })).company.url, '');
  for (const bad of [null, 1, 'x', [], {}, person('1; drop'), person(1, { entity: '__proto__' }), person(1, { entity: 'customer' })]) assert.equal(model.entryOf(bad), null);
});

test('the store gives back what was kept', () => {
  const list = { ...model.start(listOf(person(1), person(2, { company: { name: 'Acme', url: '/companies/detail/3' } })), 'token'), now: 5 };
  assert.deepEqual(model.readList(json(list)), list);
  const run = {
    ...model.emptyRun(), by: 'me', at: 7, run: 'token', until: 9, streak: 1, halted: { run: 'token', reason: 'call' },
    attempt: { key: 'contact:1', since: 1000, token: 'a', number: '101', at: 3, dialled: true, call: 'c', seen: true, talking: 4, before: ['z'] },
    done: { 'contact:2': { since: 1000, state: 'reached', talk: 65 } },
  };
  assert.deepEqual(model.readRun(json(run)), run);
});

test('whatever the store gives back, something sound comes out', () => {
  const junk = [undefined, null, 0, 'x', [], [1], {}, { v: 1 }, { v: 2, entries: [] }, { v: 1, entries: 'x', done: 'x' }, { v: 1, entries: [null, 1, 'x', [], {}] },
    { v: 1, entries: [person(1, { phones: ['x'] })], run: 'x' }, { v: 1, entries: [person(1), person(1)], run: { token: 7 }, now: 'x' },
    { v: 1, attempt: {}, done: { a: null, b: { state: 'odd' }, __proto__: { since: 1 } }, halted: 'x', until: NaN, at: -1, streak: 'x', held: 1 },
    { v: 1, attempt: { key: 'k', token: 't', number: 'n', at: 1, since: 1, before: [1, {}], call: 7, talking: 'x' } }];
  for (const one of junk) {
    const list = model.readList(one);
    const run = model.readRun(one);
    assert.deepEqual(model.readList(json(list)), list);
    assert.deepEqual(model.readRun(json(run)), run);
    assert.ok(list.entries.length <= 1 && !model.running(list, run));
    model.counts(list, run);
    model.next(list, run);
  }
  assert.equal(model.readList({ v: 1, entries: Array.from({ length: 700 }, (_, i) => person(i + 1)) }).entries.length, 500);
});

test('entries are moved, removed, given another number', () => {
  const list = listOf(person(1), person(2, { phones: ['101', '102'] }), person(3));
  assert.equal(keys(model.move(list, 'contact:1', 2)), 'contact:2,contact:3,contact:1');
  assert.equal(keys(model.move(list, 'contact:3', 0)), 'contact:3,contact:1,contact:2');
  assert.equal(keys(model.move(list, 'contact:3', 99)), keys(list));
  assert.equal(keys(model.move(list, 'contact:9', 0)), keys(list));
  assert.equal(keys(model.remove(list, 'contact:2')), 'contact:1,contact:3');
  assert.equal(model.choose(list, 'contact:2', '102').entries[1].phone, '102');
  assert.equal(model.choose(list, 'contact:2', '999').entries[1].phone, '101');
  assert.equal(model.remove(model.start(listOf(person(1)), 't'), 'contact:1').run, null, 'nothing is left to call');
});

test('what was done counts until the entry is put in line again', () => {
  const list = listOf(person(1), person(2), person(3));
  const run = {
    ...model.emptyRun(),
    done: { 'contact:1': { since: 1000, state: 'reached', talk: 5 }, 'contact:2': { since: 1000, state: 'busy', talk: 0 }, 'contact:3': { since: 7, state: 'busy', talk: 0 } },
  };
  assert.deepEqual(list.entries.map((entry) => model.stateOf(run, entry)), ['reached', 'busy', 'waiting']);
  const again = model.again(model.skip(list, 'contact:3'), run, 1000);
  assert.deepEqual(again.entries.map((entry) => model.stateOf(run, entry)), ['reached', 'waiting', 'waiting']);
  assert.equal(model.stateOf(run, listOf(person('constructor')).entries[0] || again.entries[0]), 'reached');
});
