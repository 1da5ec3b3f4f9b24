'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator } = require('./fakes.js');

const Crm = load('js/crm.js');

const fields = (phones) => (phones.length ? [{ field_code: 'PHONE', values: phones.map((value) => ({ value, enum_code: 'WORK' })) }] : null);

/* An entity as the API tells it. links: {leads: [ids], …} */
const raw = (id, name, phones = [], links = {}, over = {}) => ({
  id, name, is_deleted: false, updated_at: 1, responsible_user_id: 88888, custom_fields_values: fields(phones),
  _embedded: Object.fromEntries(Object.entries(links).map(([group, ids]) => [group, ids.map((to) => ({ id: to }))])), ...over,
});

/* The CRM's side: group → entities; a search gets them all, filter[id] those asked for, an Error fails. */
const crmOf = (groups = {}, constants = {}) => {
  const asked = [];
  const clock = new Clock();
  const app = { constant: (key) => ({ user: { id: 88888, name: 'Anna' }, managers: { 88888: { title: 'Anna Orlova' } }, ...constants })[key] };
  const ajax = async (options) => {
    asked.push(options);
    const [, group, query = ''] = /^\/api\/v4\/([a-z/]+[a-z])[^?]*\??(.*)$/.exec(options.url);
    const held = groups[(options.method || '') + group] || [];
    if (!Array.isArray(held)) throw held;
    if (options.method) return held[0];
    const ids = [...query.matchAll(/filter\[id\]\[\]=(\d+)/g)].map((m) => Number(m[1]));
    const found = held.filter((entity) => !ids.length || ids.includes(entity.id));
    return found.length ? { _embedded: { [group]: found } } : undefined; /* 204 */
  };
  return { crm: new Crm({ ajax, app, clock, t: translator('en') }), asked, clock, groups };
};

const number = '+79005550111';

test('asked once, by the last eight digits, and checked by all of them', async () => {
  const { crm, asked } = crmOf({
    contacts: [raw(1, 'no numbers'), raw(2, 'number in a note', ['+7 900 555-99-99']), raw(3, 'Иван', ['8 (900) 555-01-11 доб. 12'])],
  });
  assert.deepEqual(await crm.find(number), [{
    type: 'contact', id: '3', name: 'Иван', url: '/contacts/detail/3', company: null, leads: [], customers: [],
    responsible: { id: '88888', name: 'Anna Orlova' }, partial: false,
  }]);
  assert.deepEqual(asked.map(({ url, timeout }) => [url, timeout]), [
    ['/api/v4/contacts?query=05550111&with=leads,customers&limit=50&order[updated_at]=desc', 5000],
    ['/api/v4/companies?query=05550111&with=leads,customers&limit=50&order[updated_at]=desc', 5000],
  ]);
});

test('a contact that nobody is responsible for', async () => {
  const { crm } = crmOf({ contacts: [raw(3, 'Иван', [number], {}, { responsible_user_id: 0 })] });
  assert.equal((await crm.find(number))[0].responsible, null);
});

test('nobody is an empty list', async () => {
  assert.deepEqual(await crmOf().crm.find(number), []);
});

test('short and hidden numbers are not searched: the CRM would find anybody', async () => {
  const { crm, asked } = crmOf();
  for (const short of ['101', '', null, '*79005550111', '00000001']) assert.deepEqual(await crm.find(short), []);
  assert.deepEqual(asked, []);
});

test('several: contacts before companies, the last changed first, deleted ones not at all', async () => {
  const { crm } = crmOf({
    contacts: [
      raw(1, 'old', [number], {}, { updated_at: 10 }), raw(2, 'gone', [number], {}, { updated_at: 99, is_deleted: true }),
      raw(3, 'new', ['79005550111'], {}, { updated_at: 20 }),
    ],
    companies: [raw(3, 'Acme', ['8 900 555 01 11'], {}, { updated_at: 50 })],
  });
  assert.deepEqual((await crm.find(number)).map(({ type, id, url }) => [type, id, url]), [
    ['contact', '3', '/contacts/detail/3'], ['contact', '1', '/contacts/detail/1'], ['company', '3', '/companies/detail/3'],
  ]);
});

test('company and active leads by name, in four requests however many there are', async () => {
  const { crm, asked } = crmOf({
    contacts: [raw(1, 'Ivan', [number], { companies: [7], leads: [11, 12, 13, 14], customers: [21] }), raw(2, 'Igor', [number], { companies: [8], leads: [11] })],
    companies: [raw(7, 'Acme', ['+74951230000']), raw(8, 'Own', [number])],
    leads: [
      raw(11, 'first', [], {}, { status_id: 1, updated_at: 5 }), raw(12, 'won', [], {}, { status_id: 142 }),
      raw(13, 'lost', [], {}, { status_id: 143 }), raw(14, 'second', [], {}, { status_id: 2, updated_at: 6 }),
    ],
  });
  const [ivan, igor, own] = await crm.find(number);
  assert.equal(asked.length, 4);
  assert.deepEqual(ivan.company, { id: '7', name: 'Acme', url: '/companies/detail/7' });
  assert.deepEqual(ivan.leads.map(({ id, name, url }) => [id, name, url]), [['14', 'second', '/leads/detail/14'], ['11', 'first', '/leads/detail/11']]);
  assert.deepEqual(ivan.customers, [{ id: '21', name: '', url: '/customers/detail/21' }]);
  assert.deepEqual([igor.company.name, own.company], ['Own', null]);
  assert.doesNotMatch(asked[3].url, /=8(&|$)/, 'a company that was found is not asked for again');
});

test('names of customers are asked for when nothing else is', async () => {
  const { crm } = crmOf({ contacts: [raw(1, 'Ivan', [number], { customers: [21] })], customers: [raw(21, 'Wholesale')] });
  assert.equal((await crm.find(number))[0].customers[0].name, 'Wholesale');
});

test('thousands of leads: the newest hundred are asked for, and the match is known to be partial', async () => {
  const ids = Array.from({ length: 3000 }, (x, i) => i + 1);
  const { crm, asked } = crmOf({ contacts: [raw(1, 'Ivan', [number], { leads: ids })], leads: [raw(3000, 'last', [], {}, { status_id: 1 })] });
  const [match] = await crm.find(number);
  assert.deepEqual([match.leads.length, match.partial, asked[2].url.match(/filter/g).length], [1, true, 100]);
  assert.ok(asked[2].url.length < 4000);
});

test('whose number is written with all its digits comes first, then who was changed last', async () => {
  const { crm } = crmOf({
    contacts: [raw(1, 'USA', ['1 900 555-0111'], {}, { updated_at: 99 }), raw(2, 'eight', ['8 900 555-01-11'], {}, { updated_at: 2 }), raw(3, 'seven', [number], {}, { updated_at: 1 })],
  });
  assert.deepEqual((await crm.find(number)).map(({ id }) => id), ['2', '3', '1']);
});

test('the search for people failed: a company that has the number is not the answer; nor is nothing found "nobody"', async () => {
  const failed = { status: 500, statusText: 'error' };
  await assert.rejects(crmOf({ contacts: failed, companies: [raw(8, 'Own', [number])] }).crm.find(number), { code: 'failed' });
  await assert.rejects(crmOf({ companies: failed }).crm.find(number), { code: 'failed' });
  const one = crmOf({ companies: failed, contacts: [raw(1, 'Ivan', [number])] });
  assert.equal((await one.crm.find(number))[0].name, 'Ivan');
  await assert.rejects(crmOf({ contacts: failed }).crm.find(number), { code: 'failed', status: 500 });
});

test('who may see contacts only, or companies, gets an answer; who may see neither gets none', async () => {
  const forbidden = { status: 403, responseJSON: { status: 403, detail: 'Forbidden' } };
  assert.deepEqual(await crmOf({ companies: forbidden }).crm.find(number), []);
  await assert.rejects(crmOf({ companies: forbidden, contacts: forbidden }).crm.find(number), { code: 'forbidden' });
});

test('leads that the CRM would not tell leave the contact, and the call goes to him', async () => {
  const { crm } = crmOf({ contacts: [raw(1, 'Ivan', [number], { leads: [11], customers: [] })], leads: { status: 403, responseJSON: { status: 403 } } });
  const [match] = await crm.find(number);
  assert.deepEqual([match.leads, match.partial, crm.linked(match).type], [[], true, 'contact']);
});

test('where a call belongs', () => {
  const { crm } = crmOf();
  const linked = (type, leads, customers, partial = false) => {
    const of = (count, kind) => Array.from({ length: count }, (x, i) => ({ id: kind + i, name: kind, url: '/' + kind }));
    return crm.linked({ type, id: '1', name: 'x', url: '/x', company: null, leads: of(leads, 'lead'), customers: of(customers, 'customer'), partial }).type;
  };
  for (const [type, leads, customers, belongs] of [
    ['contact', 0, 0, 'contact'], ['contact', 1, 0, 'lead'], ['contact', 0, 1, 'customer'], ['contact', 1, 1, 'contact'],
    ['contact', 2, 0, 'contact'], ['contact', 0, 2, 'contact'], ['company', 0, 0, 'company'], ['company', 1, 0, 'lead'], ['company', 3, 0, 'company'],
  ]) {
    assert.equal(linked(type, leads, customers), belongs, [type, leads, customers].join());
  }
  assert.equal(linked('contact', 0, 1, true), 'contact');
});

test('refusals have a code, and what is wrong with which field', async () => {
  const problem = {
    status: 400, detail: 'Request validation failed',
    'validation-errors': [{ request_id: '0', errors: [{ code: 'FieldMissing', path: 'complete_till', detail: 'This field is missing.' }] }],
  };
  const { crm, groups } = crmOf({ POSTtasks: { status: 400, responseJSON: problem } });
  const task = () => crm.addTask({ type: 'contact', id: '1' }, { text: 'x', type: 1, at: 0 });
  await assert.rejects(task(), (err) => {
    assert.ok(err instanceof Crm.CrmError);
    assert.deepEqual([err.code, err.status, err.message, err.fields], ['invalid', 400, problem.detail, { complete_till: 'This field is missing.' }]);
    return true;
  });
  for (const [xhr, code] of [
    [{ status: 403, responseJSON: { status: 403, title: 'Forbidden' } }, 'forbidden'], [{ status: 403 }, 'limit'], [{ status: 401 }, 'session'],
    [{ status: 404 }, 'gone'], [{ status: 429 }, 'limit'], [{ status: 0, statusText: 'timeout' }, 'offline'], [{ status: 502 }, 'failed'],
    [{ status: 200, statusText: 'parsererror' }, 'offline'], [{ status: 202, statusText: 'parsererror' }, 'offline'],
  ]) {
    groups.POSTtasks = xhr;
    await assert.rejects(task(), { code }, JSON.stringify(xhr));
  }
});

test('after "too many" nothing is looked up for a second, then for longer; a block stops it for a minute', async () => {
  const { crm, asked, clock, groups } = crmOf({ contacts: { status: 429 }, companies: { status: 429 } });
  const find = async () => {
    const before = asked.length;
    await assert.rejects(crm.find(number), { code: 'limit' });
    return asked.length - before;
  };
  assert.deepEqual([await find(), await find()], [2, 0]);
  await clock.pass(1000);
  assert.deepEqual([await find(), await find()], [2, 0]);
  await clock.pass(1000);
  assert.equal(await find(), 0);
  await clock.pass(1000);
  groups.contacts = groups.companies = { status: 403 };
  assert.equal(await find(), 2);
  await clock.pass(59999);
  assert.equal(await find(), 0);
  await clock.pass(1);
  groups.contacts = groups.companies = [];
  assert.deepEqual(await crm.find(number), []);
});

test('an answer that cannot be read may have done what was asked: it is a lost one', async () => {
  for (const answer of [undefined, {}, [], [{}], { _embedded: { contacts: [] } }, { _embedded: { contacts: [{ id: null }] } }, '<html>']) {
    const { crm } = crmOf({ POSTcontacts: [answer], 'POSTleads/complex': [answer], POSTtasks: [answer] });
    await assert.rejects(crm.createContact({ name: 'x', phone: '' }), { code: 'offline' });
    await assert.rejects(crm.createLead({ name: 'x', contact: { id: '1' } }), { code: 'offline' });
    await assert.rejects(crm.addNote({ type: 'contact', id: '1' }, 'x'), { code: 'offline' });
    await assert.rejects(crm.addTask({ type: 'contact', id: '1' }, { text: 'x', type: 1, at: 0 }), { code: 'offline' });
  }
});

test('what is wrong with the fields may come as an object instead of a list', async () => {
  const problem = { status: 400, 'validation-errors': { 0: { request_id: '0', errors: { 0: { path: 'params.text', detail: 'Too long.' } } }, 1: null } };
  const { crm } = crmOf({ POSTcontacts: { status: 400, responseJSON: problem } });
  await assert.rejects(crm.addNote({ type: 'contact', id: '1' }, 'x'), ({ fields: wrong }) => wrong['params.text'] === 'Too long.');
});

test('a note goes to the card it belongs to', async () => {
  const answer = [{ _embedded: { notes: [{ id: 5 }] } }];
  const { crm, asked } = crmOf({ POSTcontacts: answer, POSTcompanies: answer });
  assert.deepEqual(await crm.addNote({ id: '3', type: 'contact' }, 'перезвонить'), { id: '5' });
  await crm.addNote({ id: '4/../5', type: 'company' }, 'x');
  assert.equal(asked[0].url, '/api/v4/contacts/3/notes');
  assert.deepEqual(JSON.parse(asked[0].data), [{ note_type: 'common', params: { text: 'перезвонить' } }]);
  assert.equal(asked[1].url, '/api/v4/companies/4%2F..%2F5/notes');
  for (const type of ['pipeline', 'constructor']) await assert.rejects(crm.addNote({ id: '3', type }, 'x'), { code: 'invalid' });
});

test('a task has numbers where the CRM wants numbers', async () => {
  const { crm, asked } = crmOf({ POSTtasks: [{ _embedded: { tasks: [{ id: 9 }] } }] });
  assert.deepEqual(await crm.addTask({ type: 'lead', id: '11' }, { text: 'offer', type: '2', at: 1700000000999, responsible: '99999' }), { id: '9' });
  assert.deepEqual(JSON.parse(asked[0].data), [{
    text: 'offer', task_type_id: 2, complete_till: 1700000000, entity_id: 11, entity_type: 'leads', responsible_user_id: 99999,
  }]);
});

test('a new contact is a match at once', async () => {
  const { crm, asked } = crmOf({ POSTcontacts: [{ _embedded: { contacts: [{ id: 77, request_id: '0' }] } }] });
  assert.deepEqual(await crm.createContact({ name: 'New', phone: number }), {
    type: 'contact', id: '77', name: 'New', url: '/contacts/detail/77', company: null, leads: [], customers: [],
    responsible: { id: '88888', name: 'Anna Orlova' }, partial: false,
  });
  assert.deepEqual(JSON.parse(asked[0].data)[0].custom_fields_values, [{ field_code: 'PHONE', values: [{ value: number, enum_code: 'WORK' }] }]);
  await crm.createContact({ name: 'Hidden', phone: null });
  assert.deepEqual(JSON.parse(asked[1].data), [{ name: 'Hidden' }]);
});

test('a new lead for a contact or a company that is there, or with a new contact', async () => {
  const made = [{ id: 5, contact_id: 6, company_id: null, request_id: ['0'], merged: false }];
  const { crm, asked, groups } = crmOf({ 'POSTleads/complex': [made] });
  assert.deepEqual(await crm.createLead({ name: 'Deal', contact: { id: '6' } }), { id: '5', contactId: '6' });
  assert.deepEqual(JSON.parse(asked[0].data), [{ name: 'Deal', _embedded: { contacts: [{ id: 6 }] } }]);
  groups['POSTleads/complex'] = [[{ id: 8, contact_id: null, company_id: 9 }]];
  assert.deepEqual(await crm.createLead({ name: 'Deal', company: { id: '9' } }), { id: '8', contactId: '' });
  assert.deepEqual(JSON.parse(asked.pop().data), [{ name: 'Deal', _embedded: { companies: [{ id: 9 }] } }]);
  groups['POSTleads/complex'] = [made];
  await crm.createLead({ name: 'Deal', contact: { name: 'New', phone: number } });
  assert.equal(JSON.parse(asked[1].data)[0]._embedded.contacts[0].name, 'New');
});

test('kinds of tasks: the account’s, or the CRM’s own two', () => {
  assert.deepEqual(crmOf().crm.taskTypes(), [{ id: 1, name: 'Follow-up' }, { id: 2, name: 'Meeting' }]);
  const types = { 1: { id: 1, option: 'Call' }, 2: { id: '7', option: 'Demo' }, 3: { name: 'no id' } };
  assert.deepEqual(crmOf({}, { task_types: types }).crm.taskTypes(), [{ id: 1, name: 'Call' }, { id: 7, name: 'Demo' }]);
});

test('the contacts of many leads are asked for together, the main one first; a lead without any gives its company', async () => {
  const main = { contacts: [{ id: 1, is_main: false }, { id: 2, is_main: true }], companies: [{ id: 7 }] };
  const { crm, asked } = crmOf({
    leads: [{ ...raw(11, 'Deal'), _embedded: main }, raw(12, 'Other', [], { contacts: [1] }), raw(13, 'Bare', [], { companies: [7] }), raw(14, 'Nobody')],
    contacts: [raw(1, 'Ivan', [number], { companies: [7] }), raw(2, 'Igor', ['1', '2'])],
    companies: [raw(7, 'Acme', ['+74951230000'])],
  });
  const found = await crm.byLeads(['12', '11', '13', '14', '12', 'x']);
  assert.equal(asked.length, 3);
  assert.deepEqual(found.map(({ lead, type, name, company, phones }) => [lead.name, type, name, company && company.name, phones.join()]), [
    ['Other', 'contact', 'Ivan', 'Acme', number], ['Deal', 'contact', 'Igor', null, '1,2'], ['Deal', 'contact', 'Ivan', 'Acme', number],
    ['Bare', 'company', 'Acme', null, '+74951230000'],
  ]);
});

test('telephones of picked contacts: two requests for any number of them', async () => {
  const many = Array.from({ length: 300 }, (x, i) => raw(i + 1, 'c' + i, ['7900' + i]));
  const { crm, asked } = crmOf({ contacts: many });
  const found = await crm.phones('contact', many.map(({ id }) => id));
  assert.deepEqual([found.length, asked.length, found[299].phones], [300, 2, ['7900299']]);
  assert.ok(asked.every(({ url }) => url.length < 8000));
  assert.deepEqual(await crm.phones('company', []), []);
});
