'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator } = require('./fakes.js');

const Notices = load('js/notices.js');
const evil = `<img src=x onerror="alert('x')">`;

const make = () => {
  const sent = [];
  const notifications = {
    add_call: (params, callbacks) => {
      sent.push(params);
      callbacks.done();
    },
    show_message_error: (params) => sent.push(params),
  };
  return { sent, notices: new Notices({ notifications, clock: new Clock(), t: translator('en') }) };
};

test('known caller: from, to, element and a link to the card', async () => {
  const { sent, notices } = make();
  const entity = { id: '1', type: 'contact' };
  await notices.incoming({ kind: 'known', name: 'Ivan', number: '+7 900', entity, href: '/contacts/detail/1' }, 'Anna');
  assert.deepEqual(sent[0], {
    header: 'Incoming call: +7 900',
    text: '<p>Ivan is calling. <a class="js-navigate-link" href="/contacts/detail/1">Open the card</a></p>',
    from: '+7 900',
    to: 'Anna',
    element: { id: 1, type: 'contact' },
    date: 1700000000,
  });
});

test('unknown caller: a link to a new contact, and from stays unset', async () => {
  const { sent, notices } = make();
  await notices.incoming({ kind: 'unknown', name: '+7 900', number: '', entity: null, href: '/contacts/add/?phone=%2B7900' }, 'Anna');
  assert.ok(!('from' in sent[0]) && !('element' in sent[0]));
  assert.match(sent[0].text, /href="\/contacts\/add\/\?phone=%2B7900"/);
});

test('a caller whose name is a script tag stays text in the stored notification', async () => {
  const { sent, notices } = make();
  await notices.incoming({ kind: 'known', name: evil, number: evil, entity: { id: '1', type: 'contact' }, href: '/x"><script>' }, evil);
  notices.error(evil);
  for (const params of sent) {
    for (const value of Object.values(params)) assert.doesNotMatch(String(value), /<img|<script|onerror="/);
  }
});

test('a notification that the CRM refused is a failure', async () => {
  const notices = new Notices({ notifications: { add_call: (params, { fail }) => fail() }, clock: new Clock(), t: translator('en') });
  await assert.rejects(notices.incoming({ kind: 'hidden', name: 'Hidden number', number: '', entity: null, href: null }, 'Anna'));
});
