'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');

const access = load('js/settings/access.js');

test('a session token is got with the CRM’s own proof', async () => {
  const asked = [];
  const widget = { $authorizedAjax: async (options) => asked.push(options) && { token: 'T', expires_at: 'later' } };
  assert.equal((await access.tokens(widget, 'https://calls.example.com')()).token, 'T');
  assert.deepEqual([asked[0].url, asked[0].method], ['https://calls.example.com/v1/sessions/amocrm', 'POST']);
});

test('401 and 403 are final, with the gateway’s code; a silent network is not', async () => {
  const failing = (xhr) => access.tokens({ $authorizedAjax: () => Promise.reject(xhr) }, 'https://g')();
  await assert.rejects(failing({ status: 403, responseJSON: { code: 'revoked' } }), { code: 'revoked', fatal: true });
  await assert.rejects(failing({ status: 401 }), { code: 'bad_token', fatal: true });
  await assert.rejects(failing({ status: 0 }), { code: 'offline', fatal: false });
});

test('extensions may come as an object or as a JSON string, with spaces, or broken', () => {
  const app = { constant: () => ({ 88888: { title: 'Anna' } }) };
  const owner = (extensions) => access.colleagues({ get_settings: () => ({ extensions }) }, app)('101');
  assert.equal(owner({ 88888: ' 101 ' }), 'Anna');
  assert.equal(owner('{"88888":"101"}'), 'Anna');
  for (const broken of ['', 'x', undefined, null, { 7: '101' }]) assert.equal(owner(broken), '');
});
