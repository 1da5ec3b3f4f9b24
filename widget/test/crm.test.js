'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');

const Crm = load('js/crm.js');

const contact = (id, name, ...phones) => ({
  id, name, custom_fields_values: phones.length ? [{ field_code: 'PHONE', values: phones.map((value) => ({ value })) }] : null,
});
const page = (...contacts) => ({ _embedded: { contacts } });

test('a contact is searched by the last ten digits and checked by them', async () => {
  const asked = [];
  const crm = new Crm({
    ajax: async (options) => {
      asked.push(options);
      return page(contact(1, 'no numbers'), contact(2, 'number in a note', '+7 900 555-99-99'), contact(3, 'Иван', '8 (900) 555-01-11'));
    },
  });
  const found = await crm.find('+79005550111');
  assert.equal(asked[0].url, '/api/v4/contacts');
  assert.deepEqual(asked[0].data, { query: '9005550111' });
  assert.deepEqual(found.map(({ id, type, name, url }) => ({ id, type, name, url })), [{ id: '3', type: 'contact', name: 'Иван', url: '/contacts/detail/3' }]);
});

test('204: nobody', async () => {
  const crm = new Crm({ ajax: async () => undefined });
  assert.deepEqual(await crm.find('+79005550111'), []);
});

test('short and hidden numbers are not searched: the CRM would find anybody', async () => {
  const crm = new Crm({ ajax: () => assert.fail('asked') });
  for (const number of ['101', '', null]) assert.deepEqual(await crm.find(number), []);
});

test('a note goes to the card it belongs to', async () => {
  const asked = [];
  const crm = new Crm({ ajax: async (options) => asked.push(options) });
  await crm.addNote({ id: '3', type: 'contact' }, 'перезвонить');
  await crm.addNote({ id: '4/../5', type: 'company' }, 'x');
  assert.equal(asked[0].url, '/api/v4/contacts/3/notes');
  assert.deepEqual(JSON.parse(asked[0].data), [{ note_type: 'common', params: { text: 'перезвонить' } }]);
  assert.equal(asked[1].url, '/api/v4/companies/4%2F..%2F5/notes');
});
