/* What the panel is told to show, what is picked from the CRM's lists, and the templates. */
'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { load } = require('./amd.js');
const { Clock, settle } = require('./fakes.js');
const { World, people } = require('./list.world.js');

const picked = load('js/list/picked.js');
const Templates = load('js/list/templates.js');
const Panel = load('js/list/panel.js', { jquery: null });
const phone = load('js/phone.js');
const twig = require('../../gateway/sandbox/amopage/third_party/twig/twig.js');

const template = (name) => fs.readFileSync(path.join(__dirname, '..', 'src', 'templates', name), 'utf8');

const evil = `<img src=x onerror="window.hacked=1">'&{{ 7 * 7 }}</li><script>1</script>`;

const escaped = '&lt;img src=x onerror=&quot;window.hacked=1&quot;&gt;&#039;&amp;{{ 7 * 7 }}&lt;/li&gt;&lt;script&gt;1&lt;/script&gt;';

test('the CRM’s twig escapes nothing by itself, so every template does', () => {
  assert.equal(twig.twig({ data: '{{ a }}' }).render({ a: '<b>' }), '<b>', 'or |e would escape twice');
  const names = fs.readdirSync(path.join(__dirname, '..', 'src', 'templates')).filter((name) => name.startsWith('call_list'));
  assert.equal(names.length, 2);
  for (const name of names) {
    for (const [shown] of template(name).matchAll(/\{\{.*?\}\}/g)) assert.match(shown, /\|e \}\}$/, name + ': ' + shown);
    for (const [, attribute] of template(name).matchAll(/[a-z]+=([^"\s>]*\{\{)/g)) assert.fail(name + ': not quoted: ' + attribute);
  }
});

test('a row of hostile names is text', () => {
  const row = {
    key: 'contact:1', state: evil, name: evil, url: evil, phones: [{ value: evil, text: evil, chosen: true }, { value: '2', text: '2' }], phone: evil, choice: true, about: evil, about_url: evil,
    label: evil, says: evil, current: true, move: evil, remove: evil, number: evil,
  };
  const html = twig.twig({ data: template('call_list_rows.twig') }).render({ rows: [row, { ...row, choice: false }] });
  assert.ok(!/<img|<script|\{\{49|onerror="/.test(html), html);
  assert.ok(html.includes('>' + escaped + '</a>'));
  assert.equal(html.match(/<li /g).length, 2);
});

test('a number reads in the list as in the card of its call', async () => {
  const world = new World();
  const tab = world.tab();
  const card = phone.shown({ phone: '+79005550111', phone_raw: '89005550111', phone_display: '8 (900) 555-01-11' });
  tab.list.add([
    { entity: 'contact', id: '1', name: 'Ivan', phones: ['+7 (900) 555-01-11 доб. 7', '+79005550112'] },
    { entity: 'contact', id: '2', name: 'Ann', phones: ['+44 20 7946 0018'] },
  ]);
  const [ivan, ann] = tab.list.panel.view.rows;
  assert.deepEqual([ivan.phone, ivan.phones.map(({ text }) => text), ann.phone], [card, [card, '+7 900 555-01-12'], '+44 20 7946 0018']);
});

/* An element of jQuery's, as far as a text goes: tells how often one was written. */
const part = () => ({
  words: '', written: 0,
  text(words) {
    if (words === undefined) return this.words;
    this.words = words;
    this.written += 1;
    return this;
  },
});

test('time goes by and calls come: of the panel only what reads otherwise is written', () => {
  const parts = { what: part(), clock: part(), brief: part() };
  const clock = new Clock();
  const panel = Object.assign(Object.create(Panel.prototype), {
    $: (name) => parts[name], clock, template: {}, view: { shown: true, phase: 'talking', what: 'Talking', since: clock.now(), until: null, who: { name: 'Ivan' } },
  });
  const tick = (ms) => {
    clock.at += ms;
    panel.tick();
    return Object.values(parts).map(({ written }) => written);
  };
  assert.deepEqual([tick(0), tick(900), tick(100)], [[1, 1, 1], [1, 1, 1], [1, 2, 2]]);
  assert.equal(parts.brief.words, '00:01 Ivan');
});

test('contacts and companies: names of the list’s models, numbers of the cells, the rest of the CRM', async () => {
  const models = new Map([
    [1, { element_type: 1, name: { text: 'Ivan', url: '/contacts/detail/1' }, company_name: { name: 'Acme', url: '/companies/detail/9' } }],
    [2, { element_type: 3, name: { text: 'Acme', url: '/companies/detail/2' } }],
    [3, { element_type: 1, name: { text: 'Hidden column' } }],
  ]);
  const asked = [];
  const parts = {
    widget: { list_selected: () => ({ selected: [{ id: 1, phones: [' +7 900', ''] }, { id: 2, phones: ['8 495'] }, { id: '3', phones: [''] }, { id: 'x; y' }] }) },
    app: { data: { current_list: { where: ({ id }) => (models.has(id) ? [{ get: (key) => models.get(id)[key] }] : []) } } },
    crm: {
      phones: async (type, ids) => {
        asked.push([type, ids]);
        return [{ type: 'contact', id: '3', name: 'Not this one', company: null, phones: ['101'] }];
      },
    },
  };
  const { entries, unanswered } = await picked.contacts(parts);
  assert.deepEqual(asked, [['contact', ['3']]]);
  assert.deepEqual(entries.map(({ entity, id, name, phones }) => [entity, id, name, phones.join()]),
    [['contact', '1', 'Ivan', '+7 900'], ['company', '2', 'Acme', '8 495'], ['contact', '3', 'Hidden column', '101']]);
  assert.deepEqual([unanswered, entries[0].company.name], [false, 'Acme']);
});

test('no models: the row itself and the CRM say who it is', async () => {
  const parts = {
    widget: { list_selected: () => ({ selected: [{ id: 5, type: 'company', phones: ['101'] }, { id: 6, phones: ['102'] }] }) },
    app: {},
    crm: { phones: async (type, ids) => ids.map((id) => ({ type, id, name: type + ' ' + id, company: null, phones: [] })) },
  };
  const { entries } = await picked.contacts(parts);
  assert.deepEqual(entries.map(({ entity, name, phones }) => [entity, name, phones.join()]), [['company', 'company 5', '101'], ['contact', 'contact 6', '102']]);
});

test('leads: whoever belongs to them, and those with nobody are named', async () => {
  const parts = {
    widget: { list_selected: () => ({ selected: [{ id: 7 }, { id: 8 }] }) },
    app: { data: { current_list: { where: ({ id }) => (id === 8 ? [{ get: (key) => ({ name: { text: 'Bare lead' } })[key] }] : []) } } },
    crm: { byLeads: async () => [{ type: 'contact', id: '1', name: 'Ivan', company: null, phones: ['101'], lead: { id: '7', name: 'Deal', url: '/leads/detail/7' } }] },
  };
  const { entries } = await picked.leads(parts);
  assert.deepEqual(entries.map(({ entity, name, phones }) => [entity, name, phones.join()]), [['contact', 'Ivan', '101'], ['lead', 'Bare lead', '']]);
  assert.deepEqual((await picked.leads({ ...parts, crm: { byLeads: async () => { throw new Error('offline'); } } })), { entries: [], unanswered: true });
});

test('outside of a list nothing is picked, and that is said', async () => {
  const world = new World();
  const tab = world.tab();
  await tab.list.pick('contacts');
  await tab.list.pick('leads');
  assert.deepEqual(world.errors, ['There is nobody to call among the selected.', 'There is nobody to call among the selected.']);
});

test('the panel cannot be drawn: who asks for it hears so in his tab each time, though it was told before', async () => {
  const world = new World();
  const tab = world.tab();
  const { panel } = tab.list;
  world.quiet.add('list.broken');
  panel.failed();
  await world.pass(0);
  assert.deepEqual(world.errors, [], 'nobody has asked for it');
  for (const times of [1, 2]) {
    tab.selected = { selected: [{ id: times, phones: ['10' + times] }] };
    await tab.list.pick('contacts');
    panel.failed();
    panel.failed();
    await world.pass(0);
    assert.deepEqual([world.errors.length, world.told.at(-1)], [times, null]);
  }
  tab.app.widgets = { notificationsPhone: ({ click }) => click(), destroyNotificationsPhone: () => {} };
  tab.act.hide();
  tab.list.attach();
  panel.failed();
  await world.pass(0);
  assert.equal(world.errors.length, 3);
});

test('the CRM does not answer: said, and who has a number is in the list all the same', async () => {
  const world = new World();
  const tab = world.tab();
  tab.crm.byLeads = tab.crm.phones = async () => { throw new Error('offline'); };
  tab.selected = { selected: [{ id: 1, phones: [''] }] };
  await tab.list.pick('leads');
  await tab.list.pick('contacts');
  assert.match(world.errors.join(), /did not tell.*did not tell/);
  tab.selected = { selected: [{ id: 1, phones: [''] }, { id: 2, phones: ['102'] }] };
  await tab.list.pick('contacts');
  const { view } = tab.list.panel;
  assert.equal(view.news, 'Added: 1. No phone number, not added: 1 (No name).');
  assert.equal(view.rows.length, 1);
});

test('who was left out, and why, is said', () => {
  const world = new World();
  const tab = world.tab();
  const none = (...names) => names.map((name, i) => ({ entity: 'contact', id: String(90 + i), name, phones: [] }));
  tab.list.add([...people(1, 2), ...people(1), ...none('Ann', 'Bob', 'Cid', 'Dan', 'Eve')]);
  assert.equal(tab.list.panel.view.news, 'Added: 2. In the list already: 1. No phone number, not added: 5 (Ann, Bob, Cid and 2 more).');
  assert.deepEqual(world.errors, []);
  tab.list.add(none('Ann'));
  assert.deepEqual(world.errors, ['No phone number, not added: 1 (Ann).'], 'nothing was added: that is an error');
  tab.list.add(people(...Array.from({ length: 510 }, (_, i) => 1000 + i)));
  assert.match(tab.list.panel.view.news, /Added: 498\. Not added: 12\. The list holds 500\./);
});

test('an empty list is not in the way: it shows when the CRM’s switch is pressed', () => {
  const world = new World();
  const tab = world.tab();
  const shown = () => tab.list.panel.view.shown;
  const switches = new Map();
  tab.app.widgets = { notificationsPhone: ({ ns, click }) => switches.set(ns, click), destroyNotificationsPhone: ({ ns }) => switches.delete(ns) };
  tab.list.attach();
  assert.equal(shown(), false);
  switches.get('.w')();
  assert.deepEqual([shown(), tab.list.panel.view.phase], [true, 'empty']);
  switches.get('.w')();
  assert.equal(shown(), false);
  tab.list.add(people(1));
  assert.equal(shown(), true);
  tab.act.hide();
  assert.equal(shown(), false);
  switches.get('.w')();
  assert.equal(shown(), true);
  tab.list.stop();
  assert.equal(switches.size, 0);
});

test('a storage that keeps nothing, and one with junk in it: the list works in its tab', async () => {
  const world = new World();
  world.storage.values.set('p.list', '{"v":1,"entries":[{"entity":"contact","id":"1","phones":["101"],"name":{"a":1}}]}');
  world.storage.values.set('p.list.run', '[[[');
  world.storage.values.set('p.list.panel', '"x"');
  const tab = world.tab();
  assert.equal(tab.list.panel.view.rows.length, 1);
  tab.page.localStorage.setItem = () => { throw new Error('full'); };
  tab.list.add(people(2));
  tab.act.start();
  await world.pass(300);
  assert.deepEqual(world.telephone.dials.map((dial) => dial.number), ['101']);
});

test('a template that does not come is an error, once for each try', async () => {
  const clock = new Clock();
  const asked = [];
  const widget = { render: (what) => asked.push(what) };
  const templates = new Templates({ widget, base: '/w', version: '1.2.3', clock });
  const first = templates.load('call_list');
  assert.equal(templates.load('call_list'), first);
  const failed = assert.rejects(first, /no template/);
  await clock.pass(10000);
  await failed;
  assert.deepEqual(asked.map(({ href, base_path, v }) => [href, base_path, v]), [['/templates/call_list.twig', '/w', '1.2.3']]);
  const second = templates.load('call_list');
  asked[1].load({ render: () => 'html' });
  assert.equal((await second).render(), 'html');
  await settle();
  assert.deepEqual(clock.timers, []);
  const broken = new Templates({ widget: { render() { throw new Error('twig'); } }, base: '', version: '', clock });
  await assert.rejects(broken.load('x'), /no template x/);
  const odd = new Templates({ widget: { render: ({ load: loaded }) => loaded(null) }, base: '', version: '', clock });
  await assert.rejects(odd.load('x'), /no template x/);
});
