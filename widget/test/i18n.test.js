'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

/* The texts: what Check (widget/check_texts.go) cannot know of them, since it is about any widget. */

const folder = path.join(__dirname, '../src/i18n');
const languages = ['en', 'ru', 'uk', 'es', 'pt'];

/* A language's texts by path: 'card.open' → 'Open contact'. */
const textsOf = (lang) =>
  new Map(Object.entries(JSON.parse(fs.readFileSync(path.join(folder, lang + '.json'), 'utf8'))).flatMap(([section, texts]) =>
    Object.entries(texts).map(([key, text]) => [section + '.' + key, text])));

const texts = new Map(languages.map((lang) => [lang, textsOf(lang)]));
const english = texts.get('en');

/* What is wrong in a language: each path for which wrong(text, path) is not ''. */
const wrongs = (lang, wrong) =>
  [...texts.get(lang)].map(([key, text]) => [key, wrong(text, key)]).filter(([, why]) => why).map(([key, why]) => lang + ' ' + key + ': ' + why);

const inAll = (wrong, langs = languages) => assert.deepEqual(langs.flatMap((lang) => wrongs(lang, (text, key) => wrong(text, key, lang))), []);

const placeholders = (text) => [...new Set(text.match(/\{\w+\}/g))].sort().join();

test('there are the five languages, and no other', () => {
  assert.deepEqual(fs.readdirSync(folder).sort(), languages.map((lang) => lang + '.json').sort());
});

test('all have the same texts, with the same values to fill in', () => {
  languages.forEach((lang) => assert.deepEqual([...texts.get(lang).keys()].sort(), [...english.keys()].sort(), lang));
  inAll((text, key) => (placeholders(text) === placeholders(english.get(key)) ? '' : placeholders(text)));
});

/* Kommo's word for a deal is "lead" in these languages, too; the others are written alike. */
const alike = {
  es: ['card.deal', 'card.deal_of', 'card.extension', 'result.as_lead'],
  pt: ['card.deal', 'card.deal_of', 'result.as_lead'],
};

test('nothing is left in English', () => {
  inAll((text, key, lang) => (text === english.get(key) && !(alike[lang] || []).includes(key) ? text : ''), ['ru', 'uk', 'es', 'pt']);
  const same = (lang) => [...texts.get(lang)].filter(([key, text]) => text === english.get(key)).map(([key]) => key).sort();
  Object.entries(alike).forEach(([lang, keys]) => assert.deepEqual(same(lang), keys, 'the list of what is alike'));
});

test('each language has letters of its own only', () => {
  inAll((text, key, lang) => (text.match({ ru: /[іїєґ]/i, uk: /[ыэёъ]/i }[lang] || /\p{Script=Cyrillic}/u) || [''])[0]);
});

/* amoCRM's words for its own: a lead is no deal in its English, and a contact's page is a card. */
const shunned = { en: /\bdeals?\b|telephone\b|engaged/i, ru: /\bлид(?![а-я]*р)/i, uk: /\bлід/i, es: /\btratos?\b|vosotros/i, pt: /\bnegócios?\b|telemóvel|contacto/i };

test('one thing has one name, and the CRM has none', () => {
  inAll((text, key, lang) => (text.match(shunned[lang]) || text.match(/amo\s?crm|kommo/i) || [''])[0]);
});

const quotes = { en: '“”', ru: '«»', uk: '«»', es: '“”', pt: '“”' };

test('quotes, apostrophes and ellipses are those of print', () => {
  inAll((text, key, lang) => {
    const strange = text.match(/["']|\.\.\.|„|‚|‘/) || text.match(lang === 'ru' || lang === 'uk' ? /[“”]/ : /[«»]/);
    const [open, close] = [...quotes[lang]].map((mark) => text.split(mark).length);
    return (strange && strange[0]) || (open === close ? '' : 'a quote without its other half');
  });
});

test('no spaces at the ends or doubled, no sentence broken by a missing space', () => {
  inAll((text) => (text.match(/^\s|\s$|\s{2}|[a-zа-яіїє][.?!][A-ZА-ЯІЇЄ]/) || [''])[0]);
});

/* An agent shall know whom to turn to; these are over, or somebody has done it. */
const settled = ['errors.not_found', 'errors.taken', 'errors.ask_admin', 'errors.ask_support'];

test('each error says whom to ask', () => {
  inAll((text, key) => (key.startsWith('errors.') && !settled.includes(key) && !text.endsWith(' {ask}') ? text : ''));
});

test('what failed and what to do come first; what a machine said of it, in whatever language, is last', () => {
  inAll((text) => (/\{(reason|detail)\}(?! ?\{ask\}$|$)/.test(text) ? text : ''));
});

/* Where a text stands in little room: characters at most. */
const room = {
  'widget.name': 30, 'widget.short_description': 50, 'widget.description': 300, 'widget.call_action': 30,
  'settings.check': 12, 'settings.repeat': 30, 'settings.result': 36, 'settings.notify': 36,
  'card.hang_up': 14, 'card.decline': 14, 'card.talking': 18, 'card.held': 18, 'card.incoming': 22, 'card.internal': 22,
  'card.company': 14, 'card.deal': 14, 'card.responsible': 14, 'card.extension': 20,
  'transfer.now': 12, 'transfer.ask': 18, 'transfer.to': 36,
  'create.save': 12, 'create.saving': 14, 'create.full': 30,
  'result.save': 12, 'result.saving': 14, 'result.cancel': 12, 'result.discard': 24, 'result.back': 20, 'result.fate': 80,
  'list.title': 20, 'list.start': 20, 'list.resume': 20, 'list.pause': 12, 'list.skip': 12, 'list.hang_up': 12,
  'list.now': 20, 'list.again': 30, 'list.clear_yes': 12, 'list.clear_no': 12,
  'list.dialling': 16, 'list.talking': 18, 'list.reached': 16, 'list.busy': 16, 'list.missed': 16, 'list.failed': 18, 'list.skipped': 16,
  'link.indicator': 30, 'presence.online': 18, 'presence.busy': 18, 'presence.away': 20, 'presence.offline': 18,
};

test('captions and buttons are short enough for their places', () => {
  Object.keys(room).forEach((key) => assert.ok(english.has(key), key));
  inAll((text, key) => (text.length > (room[key] || Infinity) ? text.length + ' characters, ' + room[key] + ' fit' : ''));
  inAll((text, key) => (key === 'widget.name' && text.split(' ').some((word) => word.length > 19) ? 'a word of more than 19' : ''));
});
