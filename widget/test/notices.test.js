'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator, call } = require('./fakes.js');

const Notices = load('js/notices.js');
const evil = `<img src=x onerror="alert('x')">`;

const make = (answer = ({ done }) => done(), lang = 'en') => {
  const sent = [];
  const notifications = {
    add_call: (params, callbacks) => {
      sent.push(params);
      answer(callbacks);
    },
    show_message: (params) => sent.push(params),
  };
  const clock = new Clock();
  return { sent, clock, notices: new Notices({ notifications, clock, t: translator(lang) }) };
};

const who = (over) => ({
  kind: 'known', name: 'Ivan', number: '+7 900', company: null, lead: null, responsible: null,
  entity: { id: '1', type: 'contact' }, href: '/contacts/detail/1', matches: [], chosen: null, ...over,
});
const stranger = who({ kind: 'unknown', name: '+7 900', number: '', entity: null, href: '/contacts/add/?phone=%2B7900' });
const talk = (over) => call({ state: 'ended', outcome: 'answered', talk_seconds: 65.4, recording: 'https://pbx.example/r/1.mp3?a=1&b=2', ...over });

test('it rings, known caller: from, to, element and a link to the card', async () => {
  const { sent, notices } = make();
  await notices.incoming(who({ company: { id: '7', name: 'Acme', url: '/companies/detail/7' } }), 'Anna');
  assert.deepEqual(sent[0], {
    header: 'Incoming call: +7 900',
    text: '<p>Ivan, Acme is calling. <a class="js-navigate-link" href="/contacts/detail/1">Open the card</a></p>',
    from: '+7 900',
    to: 'Anna',
    element: { id: 1, type: 'contact' },
    date: 1700000000,
  });
});

test('unknown caller: a link to a new contact, and from stays unset', async () => {
  const { sent, notices } = make();
  await notices.incoming(stranger, 'Anna');
  assert.ok(!('from' in sent[0]) && !('element' in sent[0]));
  assert.equal(sent[0].text, '<p>The number is not in the CRM. <a class="js-navigate-link" href="/contacts/add/?phone=%2B7900">Create contact</a></p>');
});

test('after a talk: how long, the recording, and who with whom', async () => {
  const { sent, notices } = make();
  await notices.talked(talk(), who(), 'Anna');
  assert.deepEqual(sent[0], {
    header: 'Answered call: +7 900',
    text: '<p>Talk with Ivan, 01:05. <a class="js-navigate-link" href="/contacts/detail/1">Open the card</a></p>',
    from: '+7 900',
    to: 'Anna',
    element: { id: 1, type: 'contact' },
    duration: 65,
    link: 'https://pbx.example/r/1.mp3?a=1&b=2',
    date: 1700000000,
  });
  await notices.talked(talk({ direction: 'outbound', recording: null }), who(), 'Anna');
  assert.deepEqual([sent[1].header, sent[1].from, sent[1].to, 'link' in sent[1]], ['Outgoing call: +7 900', 'Anna', '+7 900', false]);
  await notices.talked(talk({ direction: 'outbound' }), stranger, 'Anna');
  assert.deepEqual(['from' in sent[2], sent[2].to], [false, '+7 900']);
  await notices.talked(talk(), who({ entity: { id: '4', type: 'customer' } }), 'Anna');
  assert.ok(!('element' in sent[3]), 'a notification cannot be about a customer');
});

test('a hidden number is no name: it has sentences of its own, in all languages', async () => {
  for (const [lang, rings] of [
    ['en', ['Incoming call from a hidden number', '<p>The caller has withheld the number.</p>']],
    ['ru', ['Входящий звонок со скрытого номера', '<p>Звонящий скрыл свой номер.</p>']],
    ['uk', ['Вхідний дзвінок із прихованого номера', '<p>Той, хто телефонує, приховав свій номер.</p>']],
    ['es', ['Llamada entrante de un número oculto', '<p>Quien llama ha ocultado su número.</p>']],
    ['pt', ['Chamada recebida de um número oculto', '<p>Quem está ligando ocultou o número.</p>']],
  ]) {
    const { sent, notices } = make(undefined, lang);
    const name = translator(lang)('card.hidden');
    const hidden = who({ kind: 'hidden', name, number: '', entity: null, href: null });
    await notices.incoming(hidden, 'Anna');
    await notices.talked(talk(), hidden, 'Anna');
    await notices.talked(talk({ direction: 'outbound' }), hidden, 'Anna');
    assert.deepEqual([sent[0].header, sent[0].text, sent[0].from], [...rings, name]);
    for (const { header, text } of sent) assert.ok(!(header + text).includes(name) && !/[{}]|notify\./.test(header + text), header + text);
    assert.match(sent[1].text, /01:05/);
    assert.equal(new Set(sent.map(({ header }) => header)).size, 3);
  }
});

test('a recording is followed only by http', async () => {
  const { sent, notices } = make();
  for (const recording of ['javascript:alert(1)', 'data:text/html,x', '//pbx/x', 'file:///x', 'x', null, undefined]) {
    await notices.talked(talk({ recording }), who(), 'Anna');
    assert.ok(!('link' in sent.at(-1)), String(recording));
  }
  await notices.talked(talk({ recording: `http://pbx/"><img src='x'>` }), who(), 'Anna');
  assert.doesNotMatch(sent.at(-1).link, /["'<>]/);
});

test('a caller whose name is a script tag stays text in the stored notification', async () => {
  const { sent, notices } = make();
  const hostile = who({ name: evil, number: evil, href: '/x"><script>', company: { id: '1', name: evil, url: '/' } });
  await notices.incoming(hostile, evil);
  await notices.talked(talk(), hostile, evil);
  notices.info(evil);
  assert.equal(sent.length, 3);
  for (const params of sent) {
    for (const value of Object.values(params)) assert.doesNotMatch(String(value), /<img|<script|onerror="/);
  }
});

test('a name of 500 characters is cut, and between its characters', async () => {
  const { sent, notices } = make();
  const family = '👨‍👩‍👧';
  await notices.incoming(who({ name: family.repeat(500) }), 'Anna');
  assert.equal(sent[0].text.match(/^<p>(.*) is calling/)[1], family.repeat(99) + '…');
});

test('a name that runs from right to left leaves the sentence in order', async () => {
  const { sent, notices } = make();
  await notices.incoming(who({ name: '\u202eevil' }), 'Anna');
  assert.match(sent[0].text, /^<p>evil is calling/);
  await notices.talked(talk(), who({ name: 'שלום' }), 'Anna');
  assert.match(sent[1].text, /^<p>Talk with \u2068שלום\u2069, 01:05\./);
});

test('a notification that the CRM refused is a failure; one that it says nothing of is not', async () => {
  await assert.rejects(make(({ fail }) => fail()).notices.incoming(who(), 'Anna'));
  const { notices, clock } = make(() => {});
  const raised = notices.incoming(who(), 'Anna');
  await clock.pass(10000);
  await raised;
});

test('no timer is left of a notification that was taken', async () => {
  const { notices, clock } = make();
  await notices.incoming(who(), 'Anna');
  assert.deepEqual(clock.timers, []);
});
