'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, Store, translator, dictionary, settle } = require('./fakes.js');

const Errors = load('js/errors.js');

/* As navigator.locks: one at a time by name. */
class Locks {
  constructor() {
    this.last = new Map();
  }
  request(name, fn) {
    const turn = (this.last.get(name) || Promise.resolve()).then(fn);
    this.last.set(name, turn.catch(() => {}));
    return turn;
  }
}

/* A browser with tabs; answer: what becomes of add_error, 'done' or 'fail'. */
const browser = ({ lang = 'en', support, answer = 'done', locks = new Locks() } = {}) => {
  const kept = new Map();
  const clock = new Clock();
  const seen = { stored: [], here: [] };
  const notifications = {
    add_error: (note, callbacks) => {
      seen.stored.push(note);
      setImmediate(() => {
        callbacks[answer]();
        callbacks.always();
      });
    },
    show_message_error: (note) => seen.here.push(note),
  };
  const tab = () => new Errors({ notifications, store: new Store(kept), locks, scope: 'ringcast.1.2.', clock, t: translator(lang), support });
  return { tab, clock, seen };
};

test('what follows a click is shown in this tab, each time, escaped, under the widget’s name', async () => {
  const { tab, seen } = browser();
  const errors = tab();
  await errors.show('<b>"no" & no</b>');
  await errors.show('again');
  assert.deepEqual(seen.here[0], { header: 'Calls by Ringcast', text: '<p data-at="1700000000000">&lt;b&gt;&quot;no&quot; &amp; no&lt;/b&gt;</p>', date: 1700000000 });
  assert.equal(seen.here.length, 2);
  assert.equal(seen.stored.length, 0);
});

test('three tabs say a background failure once', async () => {
  const { tab, seen } = browser();
  const said = await Promise.all([tab(), tab(), tab()].map((errors) => errors.show('lost', { key: 'lost' })));
  assert.deepEqual([seen.stored.length, seen.here.length, said], [1, 0, [true, false, false]]);
});

test('without locks the store alone decides', async () => {
  const { tab, seen } = browser({ locks: null });
  await tab().show('lost', { key: 'lost' });
  await tab().show('lost', { key: 'lost' });
  assert.equal(seen.stored.length, 1);
});

test('an outage that goes on is said once, another within five minutes not at all, a later one again', async () => {
  const { tab, clock, seen } = browser();
  const errors = tab();
  await errors.show('lost', { key: 'lost' });
  clock.at += 3600000;
  await errors.show('lost', { key: 'lost' });
  assert.equal(seen.stored.length, 1, 'it goes on');
  errors.over('lost');
  await errors.show('lost', { key: 'lost' });
  assert.equal(seen.stored.length, 2, 'an hour later it is another one');
  errors.over('lost');
  clock.at += 299999;
  await errors.show('lost', { key: 'lost' });
  assert.equal(seen.stored.length, 2, 'it flaps');
  clock.at += 1;
  await errors.show('lost', { key: 'lost' });
  assert.equal(seen.stored.length, 3);
});

test('keys do not hide one another; over() takes those below with it', async () => {
  const { tab, clock, seen } = browser();
  const errors = tab();
  await errors.show('a', { key: 'refused.origin' });
  await errors.show('b', { key: 'refused.bad_token' });
  assert.equal(seen.stored.length, 2);
  errors.over('refused');
  clock.at += 300000;
  await errors.show('a', { key: 'refused.origin' });
  assert.equal(seen.stored.length, 3);
});

test('what was begun anew by hand is told at once when it fails again', async () => {
  const { tab, clock, seen } = browser();
  const errors = tab();
  await errors.show('a', { key: 'halt.offline' });
  clock.at += 120000;
  errors.over('halt', { anew: true });
  await errors.show('a', { key: 'halt.offline' });
  assert.equal(seen.stored.length, 2);
});

test('the CRM cannot store it: it is shown here', async () => {
  const { tab, seen } = browser({ answer: 'fail' });
  assert.equal(await tab().show('lost', { key: 'lost' }), true);
  assert.equal(seen.here.length, 1);
});

test('whom to ask: the administrator, or who is configured, as links', async () => {
  const bare = browser();
  await bare.tab().explain('internal');
  assert.match(bare.seen.here[0].text, /Ask your telephony administrator/);
  const support = { email: 'help@example.com', link: 'https://example.com/?mail=help@example.com', phone: '+7 495 123-45-67' };
  const { tab, seen } = browser({ support });
  await tab().explain('internal');
  assert.match(seen.here[0].text, /Need help\? <a href="tel:\+7 495 123-45-67"[^>]*>\+7 495 123-45-67<\/a>, <a href="mailto:help@example.com"[^>]*>help@example.com<\/a>, <a href="https:/);
  assert.equal(seen.here[0].text.match(/<a /g).length, 3);
});

test('a text of its own for what failed, the common one otherwise; what nobody knows is named by its code', async () => {
  const { tab, seen } = browser();
  const errors = tab();
  const words = dictionary('en').errors;
  await errors.explain('busy', {}, { of: 'transfer' });
  await errors.explain('busy', {}, { of: 'hold' });
  await errors.explain('stopped');
  await errors.explain('strange');
  assert.match(seen.here[0].text, /transfer to is busy/);
  assert.ok(seen.here[1].text.includes(words.busy.replace(' {ask}', '')));
  assert.match(seen.here[2].text, /no connection/);
  assert.match(seen.here[3].text, /This was not done \(code strange\)/);
  await errors.explain('strange', {}, { of: 'dial' });
  assert.match(seen.here[4].text, /number was not dialled \(code strange\)/);
});

/* gateway/errors.go: what a command's reply can carry; and what the browser client adds. */
test('no code of a command is left without an explanation, in no language', async () => {
  const codes = [
    'pbx_offline', 'not_registered', 'busy', 'rejected', 'not_permitted', 'bad_number', 'not_found', 'timeout', 'taken', 'too_many', 'invalid', 'unavailable',
    'internal', 'draining', 'revoked', 'bad_token', 'token_expired', 'stopped', 'refused', 'user', 'offline',
  ];
  for (const lang of ['en', 'ru']) {
    const { tab, seen } = browser({ lang });
    for (const code of codes) {
      await tab().explain(code, { number: '101' });
      await tab().explain(code, { number: '101' }, { of: 'dial' });
    }
    assert.equal(seen.here.length, 2 * codes.length);
    for (const { text } of seen.here) assert.doesNotMatch(text, /\{|_|code|код /, text);
  }
  await settle();
});
