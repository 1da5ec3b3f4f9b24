'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');

const access = load('js/settings/access.js');
const address = load('js/settings/address.js');

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

test('extensions may come as an object or as a JSON string, several, with spaces, or broken', () => {
  const app = { constant: () => ({ 88888: { title: 'Anna' } }) };
  const owner = (extensions) => access.colleagues({ get_settings: () => ({ extensions }) }, app)('101');
  assert.equal(owner({ 88888: ' 101 ' }), 'Anna');
  assert.equal(owner({ 88888: '100, 101' }), 'Anna');
  assert.equal(owner('{"88888":"101"}'), 'Anna');
  for (const broken of ['', 'x', '7', undefined, null, { 7: '101' }]) assert.equal(owner(broken), '');
  assert.deepEqual(access.extensionsOf({ extensions: '{"88888":"101; 102"}' }, 88888), ['101', '102']);
  for (const none of [undefined, {}, { extensions: { 88888: ' ' } }]) assert.deepEqual(access.extensionsOf(none, '88888'), []);
});

test('who is an administrator, by either place where the CRM says so', () => {
  const admin = (constants) => access.isAdmin({ constant: (key) => constants[key] });
  assert.equal(admin({ user_rights: { is_admin: true } }), true);
  assert.equal(admin({ user_rights: { is_admin: 'Y' } }), true);
  assert.equal(admin({ user: { id: 7 }, managers: { 7: { is_admin: 'Y' } } }), true);
  assert.equal(admin({ user: { id: 7 }, managers: { 7: { is_admin: 'N' } }, user_rights: { is_admin: 'N' } }), false);
  assert.equal(admin({}), false);
});

test('the gateway’s address: https, or http on this machine; the one packed in where it is empty or no address', () => {
  for (const [raw, clean] of [
    [' https://calls.example.com/ ', 'https://calls.example.com'],
    ['https://example.com:8443/ringcast//', 'https://example.com:8443/ringcast'],
    ['HTTPS://Calls.Example.COM', 'https://calls.example.com'],
    ['http://localhost:8080', 'http://localhost:8080'],
    ['http://127.0.0.1:8080/', 'http://127.0.0.1:8080'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
    ['http://calls.example.com', ''],
    ['http://localhost.example.com', ''],
    ['calls.example.com', ''],
    ['javascript:alert(1)', ''],
    ['https://user:pass@calls.example.com', ''],
    ['https://calls.example.com/?x=1', ''],
    ['', ''],
    [undefined, ''],
  ]) {
    assert.equal(address.clean(raw), clean, raw);
    assert.equal(address.choose({ gateway: raw }, 'https://packed'), clean || 'https://packed');
  }
  assert.equal(address.choose(undefined, 'https://packed'), 'https://packed');
});
