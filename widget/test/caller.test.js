'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { translator, call } = require('./fakes.js');

const caller = load('js/caller.js');
const t = translator('en');

const match = (id, name, over = {}) => ({
  type: 'contact', id, name, url: '/contacts/detail/' + id, company: null, leads: [], customers: [], responsible: null, partial: false, ...over,
});
const found = (...matches) => ({ state: 'found', matches, chosen: matches[0] || null });
const nobody = (state) => ({ state, matches: [], chosen: null });
const describe = (over, search = nobody('none')) => caller.describe(call(over), search, t, (extension) => ({ 103: 'Vera' })[extension] || '');

const abroad = { phone: '+442079460018', phone_display: '020 7946 0018' };

test('the number is shown as people write it, and dialled and linked as E.164', () => {
  const who = describe(abroad);
  assert.deepEqual([who.kind, who.name, who.number, who.href], ['unknown', '020 7946 0018', '', '/contacts/add/?phone=%2B442079460018']);
  assert.equal(describe({ phone_display: '8 (900) 555-01-11' }).name, '+7 900 555-01-11', 'as in the call list');
  assert.equal(describe({ phone: '+78001112233', phone_display: undefined }).name, '+7 800 111-22-33');
});

test('a match with company, the newest lead and who is responsible', () => {
  const company = { id: '7', name: 'Acme', url: '/companies/detail/7' };
  const leads = [{ id: '11', name: 'Deal', url: '/leads/detail/11' }, { id: '12', name: 'Old', url: '/leads/detail/12' }];
  const ivan = match('1', 'Ivan', { company, leads, responsible: { id: '9', name: 'Boris' } });
  const who = describe(abroad, found(ivan, match('2', 'Igor')));
  assert.deepEqual(
    [who.kind, who.name, who.number, who.company, who.lead, who.responsible.name, who.href, who.entity, who.matches.length],
    ['known', 'Ivan', '020 7946 0018', company, leads[0], 'Boris', '/contacts/detail/1', ivan, 2],
  );
});

test('whom the gateway found is shown to nobody whose own search has not found him', () => {
  const contact = { id: '2', type: 'contact', name: 'Igor by the gateway', url: 'https://acme.amocrm.ru/contacts/detail/2' };
  for (const state of ['looking', 'none', 'failed']) {
    const who = describe({ contact }, nobody(state));
    assert.deepEqual([who.name, who.entity, who.matches], ['+7 900 555-01-11', null, []], state);
    assert.doesNotMatch(JSON.stringify(who), /Igor|detail\/2/, state);
  }
  assert.equal(describe({ contact }, found(match('1', 'Ivan'))).name, 'Ivan');
});

test('looking, failed, nobody: only nobody is offered as a new contact', () => {
  const kinds = ['looking', 'failed', 'none'].map((state) => describe({}, nobody(state)));
  assert.deepEqual(kinds.map(({ kind }) => kind), ['looking', 'unclear', 'unknown']);
  assert.deepEqual(kinds.map(({ href }) => Boolean(href)), [false, false, true]);
  assert.deepEqual(kinds.map(({ remark }) => remark), ['', 'The caller could not be looked up: the CRM did not answer.', '']);
  assert.deepEqual([describe({ name: 'Mobile Moscow' }).name, describe({ name: 'x', ...abroad }).number], ['Mobile Moscow', '020 7946 0018']);
});

test('a hidden number', () => {
  const { kind, name, number, href } = describe({ phone: null, phone_raw: '', phone_display: '' });
  assert.deepEqual([kind, name, number, href], ['hidden', 'Hidden number', '', null]);
});

test('a colleague: by the call, by the settings, by the extension', () => {
  const internal = (peer, raw = '') => describe({ direction: 'internal', phone: null, phone_raw: raw, phone_display: raw, peer });
  assert.deepEqual([internal({ user: '9', name: 'Boris', extension: '102' })].map(({ kind, name, number }) => [kind, name, number]), [['colleague', 'Boris', 'ext. 102']]);
  assert.deepEqual([internal(null, '103').name, internal(null, '104').name, internal(null, '104').number], ['Vera', '104', 'ext. 104']);
  assert.equal(internal(null).name, 'Hidden number');
});

test('names and numbers of strangers are one line that reorders nothing', () => {
  const who = describe({ ...abroad, name: '\u202eIvan\nPetrov\u0007', phone_display: '\u202e020 7946\u202c' });
  assert.deepEqual([who.name, who.number], ['Ivan Petrov', '020 7946']);
});
