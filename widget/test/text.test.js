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

test('plain is one line, without what reorders the text around it', () => {
  for (const [given, line] of [
    ['\u202egpj.exe\u202c', 'gpj.exe'], ['a\u2066b\u2069\u200f\u061c', 'ab'], [' a\r\n\tb\u0000c\u0085\u2028d ', 'a b c d'],
    ['\ud83d', '\ufffd'], ['👨‍👩‍👧', '👨‍👩‍👧'], ['שלום', 'שלום'], [null, ''], [7, '7'],
  ]) {
    assert.equal(text.plain(given), line, JSON.stringify(given));
  }
});

test('isolate keeps a name that runs to the left from turning what follows it', () => {
  assert.equal(text.isolate('שלום'), '\u2068שלום\u2069');
  assert.equal(text.isolate('\u202eمرحبا'), '\u2068مرحبا\u2069');
  assert.equal(text.isolate('Иван'), 'Иван');
});

test('cut counts characters as people do', () => {
  for (const [given, most, left] of [
    ['abcdef', 4, 'abc…'], ['abcd', 4, 'abcd'], ['ab cdef', 4, 'ab…'], ['😀😀😀😀', 3, '😀😀…'], ['😀😀😀', 3, '😀😀😀'],
    ['e\u0301e\u0301e\u0301', 2, 'e\u0301…'], ['', 3, ''], [undefined, 3, ''],
  ]) {
    assert.equal(text.cut(given, most), left, JSON.stringify(given));
  }
  assert.ok(text.cut('a' + '\u0301'.repeat(100000), 10).length < 100, 'a heap of marks is no character');
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
    ['*55', ''],
    ['#31#89005550111', ''],
    ['тел. *#06#', ''],
    ['* +7 900 555-01-11', '+79005550111'],
    ['+7 900 555-01-11 *12', '+79005550111'],
  ]) {
    assert.equal(phone.clean(clicked), dialled, String(clicked));
  }
});

test('a number reads alike wherever it comes from; one of another country as it is', () => {
  for (const raw of ['+79005550111', '+7 (900) 555-01-11', ' +7-900-555-01-11', '007 900 555 01 11']) assert.equal(phone.pretty(raw), '+7 900 555-01-11', raw);
  for (const raw of ['+442079460018', '+84951234567', '101', '*97', '']) assert.equal(phone.pretty(raw), raw);
  assert.equal(phone.pretty(null), '');
});

test('a number without its country’s code is not made one of another country', () => {
  for (const raw of ['85212345678', '84912345678', '81 98765-4321', '71987654321', '8 (900) 555-01-11', '+89005550111']) assert.equal(phone.pretty(raw), raw);
});

test('the same telephone, however it is written', () => {
  for (const [a, b, same] of [
    ['+7 (900) 555-01-11', '89005550111', true],
    ['+79005550111', '9005550111', true],
    ['+79005550111', '+79005550112', false],
    ['5550111', '+79005550111', false], /* a tail that is too short is another telephone */
    ['', '', false],
    ['+380 44 123-45-67', '044 123 45 67', true],
    ['+380441234567', '44 1234567', true],
    ['+47 22 12 34 56', '22123456', true],
    ['+376 312 345', '00376312345', true],
    ['+376 312 345', '312345', false],
    ['312345', '312345', true],
    ['+380441234567', '+17441234567', false], /* nine digits in common are chance where both have their country's code */
    ['+79005550111', '+1 900 555-0111', false],
    ['+55 11 98765-4321', '+5521987654321', false],
    ['+74951234567', '+84 95 123 4567', false],
    ['+79005550111', '+8 (900) 555-01-11', true],
    ['+79005550111', '+7 8 900 555 01 11', true],
    ['+442012345678', '+44 (0)20 1234 5678', true],
    ['+375291234567', '8 (029) 123-45-67', true],
  ]) {
    assert.equal(phone.same(a, b), same, a + ' and ' + b);
    assert.equal(phone.same(b, a), same, b + ' and ' + a);
  }
});

test('one of several numbers in a field, with or without an extension', () => {
  for (const [field, among] of [
    ['8 (900) 555-01-11 доб. 12', true], ['+7 495 1, +7 900 555 01 11', true], ['+79005550111#7', true], ['+7 900 555-01-1', false], ['', false], [null, false],
  ]) {
    assert.equal(phone.among(field, '+79005550111'), among, String(field));
  }
});

test('the digits that a search looks for are in all ways of writing a number', () => {
  for (const [number, digits] of [['+79005550111', '05550111'], ['89005550111', '05550111'], ['+380441234567', '41234567'], ['0044 20 1234', '44201234']]) {
    assert.equal(phone.query(number), digits, number);
  }
});

test('a number written without its country’s code is found by the search, and is the same', () => {
  for (const [number, field] of [
    ['+34612345678', '612 345 678'], ['+48601123456', '601 123 456'], ['+33612345678', '06 12 34 56 78'], ['+375291234567', '8 (029) 123-45-67'],
    ['+998901234567', '90 123 45 67'], ['+351912345678', '912 345 678'], ['+5511987654321', '98765-4321'], ['+56912345678', '9 1234 5678'], ['+51987654321', '987 654 321'],
  ]) {
    assert.ok(phone.among(field, number) && field.replace(/\D/g, '').includes(phone.query(number)), field);
  }
});

test('what is searched: no extensions, no service codes', () => {
  for (const [number, searched] of [['+79005550111', true], ['+376312345', true], ['123456', true], ['12345', false], ['*100500#', false], ['0000000001', false], [null, false]]) {
    assert.equal(phone.searchable(number), searched, String(number));
  }
});
