'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');

const text = load('js/text.js');
const phone = load('js/phone.js');

test('escape leaves nothing that HTML would act on', () => {
  assert.equal(text.escape(`<img src=x onerror="alert('1')">&`), '&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;');
  assert.equal(text.escape(null), '');
});

test('clock', () => {
  for (const [seconds, shown] of [[0, '00:00'], [65.9, '01:05'], [3661, '1:01:01'], [-3, '00:00']]) {
    assert.equal(text.clock(seconds), shown);
  }
});

test('initials', () => {
  for (const [name, letters] of [['Иван Петров', 'ИП'], ['anna', 'A'], ['+7 900', ''], ['', ''], ['A B C', 'AB']]) {
    assert.equal(text.initials(name), letters);
  }
});

test('fill takes each value as it is, braces in values included', () => {
  assert.equal(text.fill('{a} and {b} and {c}', { a: '{b}', b: 2 }), '{b} and 2 and {c}');
});

test('a clicked number is cleaned', () => {
  for (const [clicked, dialled] of [
    ['+7 (900) 555-01-11', '+79005550111'],
    ['8 900 555 01 11', '89005550111'],
    ['8 900 555 01 11, +7 900 555 02 22', '89005550111'],
    ['+7 900 555-01-11 доб. 12', '+79005550111'],
    ['тел. +7 900 555-01-11', '+79005550111'],
    ['tel:+79005550111', '+79005550111'],
    ['101', '101'],
    ['7', ''],
    ['нет', ''],
    ['', ''],
    [undefined, ''],
    ['+', ''],
  ]) {
    assert.equal(phone.clean(clicked), dialled, String(clicked));
  }
});

test('the same telephone, however it is written', () => {
  assert.ok(phone.same('+7 (900) 555-01-11', '89005550111'));
  assert.ok(!phone.same('+79005550111', '+79005550112'));
  assert.ok(!phone.same('5550111', '+79005550111'), 'a tail that is too short is another telephone');
  assert.ok(!phone.same('', ''));
});
