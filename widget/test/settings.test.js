'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator, dictionary } = require('./fakes.js');

const Gateway = load('js/settings/gateway.js');
const report = load('js/settings/report.js');
const behaviour = load('js/settings/behaviour.js');

const url = 'https://calls.example.com';
const names = { 88888: 'Anna', 99999: 'Boris' };

const answer = (over = {}) => ({
  account: 'acme', admin: true, saved: false, pbx: [{ id: 'office', state: 'connected' }],
  users: [{ id: '88888', name: 'Anna', extensions: [{ extension: '101', state: 'ok' }] }], ...over,
});

const about = (over = {}) => ({
  t: translator('en'), extensions: { 88888: '101', 99999: '' }, me: '88888', admin: true, url, origin: 'https://acme.example.net', ask: 'Ask.', name: (id) => names[id] || id, ...over,
});

/* xhr: what $authorizedAjax fails with, or promises; there: whether anything answers. */
const asking = ({ xhr, value, there = false }) => {
  const asked = [];
  const widget = {
    $authorizedAjax: (options) => {
      asked.push(options);
      return xhr ? Promise.reject(xhr) : Promise.resolve(value);
    },
  };
  const page = {
    fetch: async (address, options) => {
      asked.push([address, options.mode]);
      if (!there) throw new TypeError();
    },
  };
  const gateway = new Gateway({ widget, page, clock: new Clock() });
  return { asked, ask: () => gateway.ask(url, { extensions: { 88888: '101' }, names, save: false }) };
};

const texts = ({ lines }) => lines.map(({ tone, text }) => tone + ' ' + text);

test('the gateway is asked with the CRM’s proof', async () => {
  const { asked, ask } = asking({ value: answer() });
  assert.equal((await ask()).account, 'acme');
  assert.deepEqual([asked[0].url, asked[0].method], [url + '/v1/settings/amocrm', 'POST']);
  assert.deepEqual(JSON.parse(asked[0].data), { extensions: { 88888: '101' }, names, save: false });
});

test('every way to be refused has its kind, and its words in each language', async () => {
  const problem = (status, code, more = {}) => ({ status, responseJSON: { code, ...more } });
  for (const [given, kind] of [
    [{ xhr: { status: 0 } }, 'silent'],
    [{ xhr: { status: 0 }, there: true }, 'origin'],
    [{ xhr: { status: 0, statusText: 'timeout' }, there: true }, 'silent'],
    [{ xhr: problem(401, 'bad_token') }, 'proof'],
    [{ xhr: problem(401, 'token_expired') }, 'proof'],
    [{ xhr: problem(403, 'origin') }, 'origin'],
    [{ xhr: problem(403, 'not_admin') }, 'not_admin'],
    [{ xhr: problem(404, 'not_found') }, 'account'],
    [{ xhr: problem(400, 'invalid', { errors: [{ field: 'extensions.88888', reason: 'no' }] }) }, 'fields'],
    [{ xhr: problem(400, 'invalid', { detail: 'the body is not …' }) }, 'other'],
    [{ xhr: problem(429, 'too_many') }, 'later'],
    [{ xhr: problem(503, 'unavailable') }, 'later'],
    [{ xhr: problem(500, 'internal', { detail: 'oops' }) }, 'other'],
    [{ xhr: { status: 403 } }, 'uninstalled'],
    [{ xhr: { status: 404 } }, 'stranger'],
    [{ xhr: { status: 200, statusText: 'parsererror' } }, 'stranger'],
    [{ value: { hello: 'world' } }, 'stranger'],
    [{ value: null }, 'stranger'],
  ]) {
    const refusal = await asking(given).ask().then(() => assert.fail(kind), (err) => err);
    assert.equal(refusal.kind, kind);
    for (const lang of ['en', 'ru']) {
      const { lines } = report.refused(refusal, about({ t: translator(lang) }));
      assert.ok(dictionary(lang).settings['refused_' + kind]);
      assert.doesNotMatch(lines[0].text, /\{|undefined/);
      assert.equal(Boolean(lines[0].href), kind === 'silent' || kind === 'origin');
    }
  }
});

test('a widget that is not installed has no proof to send', async () => {
  const gateway = new Gateway({ widget: {}, page: {}, clock: new Clock() });
  await assert.rejects(gateway.ask(url, {}), { kind: 'uninstalled' });
});

test('the report: gateway, origin, PBX, people', () => {
  assert.deepEqual(texts(report.accepted(answer(), about())), [
    'good The gateway calls.example.com answers. Account: acme.',
    'good It lets the pages of https://acme.example.net in.',
    'good PBX office: connected.',
  ]);
  const bad = texts(report.accepted(answer({ admin: false, pbx: [{ id: 'office', state: 'retrying' }] }), about({ extensions: { 88888: '', 99999: '102' } })));
  assert.match(bad[2], /^bad PBX office: not connected/);
  assert.match(bad[3], /^warn .*crm\.admins/);
  assert.match(bad[4], /^note You have no extension/);
  const none = texts(report.accepted(answer({ pbx: [] }), about({ extensions: { 88888: ' ' } })));
  assert.match(none[2], /^warn .*has no PBX/);
  assert.match(none[3], /^warn Nobody has an extension/);
});

test('each extension has a mark at its user: ready, without a telephone, unknown, not told', () => {
  const states = ['ok', 'unregistered', 'unknown', 'unchecked', 'new'];
  const users = [{ id: 88888, extensions: states.map((state, i) => ({ extension: '10' + i, state })) }, { id: '99999' }];
  const { marks } = report.accepted(answer({ users }), about());
  assert.deepEqual(marks.get('88888').map(({ tone }) => tone), ['good', 'warn', 'bad', 'note', 'note']);
  assert.match(marks.get('88888')[2].text, /^102: the PBX does not know it/);
  assert.deepEqual(marks.get('99999'), []);
});

test('an extension of two users is said at both, whatever the gateway’s words are', () => {
  const extensions = { 88888: '101, 105', 99999: '101' };
  const fields = [{ user: '88888', reason: 'x' }, { user: '7', reason: 'bad' }];
  const said = report.refused(new Gateway.Refusal('fields', {}, fields), about({ extensions }));
  const { marks } = said;
  assert.match(report.summary(said, (id) => names[id] || id), /^Some extensions are not accepted.* Anna: 101: also given to Boris\..* 7: Not accepted: bad Boris: 101: also given to Anna/);
  assert.deepEqual([...marks].map(([id, [{ text }]]) => id + ' ' + text), [
    '88888 101: also given to Boris. Leave it with one of you.',
    '7 Not accepted: bad',
    '99999 101: also given to Anna. Leave it with one of you.',
  ]);
});

test('behaviour: every field has a usable value, whatever was saved', () => {
  const usual = { result: 'always', notify: 'both', sound: true, desktop: true, open: false, lead: true, interval: 10 };
  for (const odd of [undefined, null, {}, { behaviour: '' }, { behaviour: 'x' }, { behaviour: '[]' }, { behaviour: { result: 'no', sound: 'yes', interval: 2 } }, { behaviour: '{"interval":301}' }]) {
    assert.deepEqual(behaviour(odd), usual);
  }
  const own = { result: 'never', notify: 'end', sound: false, desktop: false, open: true, lead: false, interval: 3 };
  assert.deepEqual(behaviour({ behaviour: JSON.stringify(own) }), own);
  assert.deepEqual(behaviour({ behaviour: own }), own);
});
