'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { Clock, translator, call, settle } = require('./fakes.js');

const Save = load('js/result/save.js');
const Drafts = load('js/result/drafts.js');
const Store = load('js/store.js');
const due = load('js/result/due.js');
const links = load('js/result/links.js');
const refusals = load('js/result/refusals.js');

const t = translator('en');

const match = (over) => ({ type: 'contact', id: '1', name: 'Ivan Petrov', url: '/contacts/detail/1', company: null, leads: [], customers: [], responsible: null, partial: false, ...over });
const lead = (id, name) => ({ id, name, url: '/leads/detail/' + id });
const ivan = match({ leads: [lead('5', 'Roof')], company: { id: '9', name: 'Petrov & Co', url: '/companies/detail/9' }, customers: [lead('7', 'Subscription')] });

const known = { kind: 'known', name: 'Ivan Petrov', number: '+7 900 555-01-11', entity: ivan, chosen: ivan, matches: [ivan] };
const unknown = { kind: 'unknown', name: '+7 900 555-01-11', number: '+7 900 555-01-11', entity: null, chosen: null, matches: [] };

const refusal = (code, status = 400, fields = {}) => Object.assign(new Error('refused'), { code, status, fields });

/* A CRM that keeps what it gets; refuse[method] is a list: what to throw next, null for nothing. keeps: what is refused is kept all the same. */
class Crm {
  constructor() {
    this.got = [];
    this.refuse = {};
    this.found = [];
    this.id = 100;
  }
  async take(method, ...args) {
    this.got.push([method, ...args]);
    const err = (this.refuse[method] || []).shift();
    if (err) throw err;
    this.id += 1;
    return { id: String(this.id), contactId: '55' };
  }
  createLead(lead) { return this.take('lead', lead); }
  createContact(contact) { return this.take('contact', contact); }
  addNote(entity, text) { return this.take('note', entity, text); }
  addTask(entity, task) { return this.take('task', entity, task); }
  async find(number) {
    await this.take('find', number);
    return this.found;
  }
  count(method) {
    return this.got.filter(([name]) => name === method).length;
  }
}

const make = (who, form = {}, over = {}) => {
  const crm = new Crm();
  const clock = new Clock();
  const kept = [];
  const save = new Save({ crm, clock, t, user: 88888, behaviour: { lead: true }, ...over });
  const draft = {
    call: call({ state: 'ended', outcome: 'answered' }), who,
    form: { link: 'new', contact: '', deal: '', note: '', task: false, text: '', type: '1', due: 'tomorrow', at: '', ...form },
    done: { entity: null, contact: null, note: false, task: false, doubt: null },
  };
  const run = () => save.run(draft, () => kept.push(structuredClone(draft.done)));
  return { crm, clock, save, draft, run, kept };
};

test('an unknown caller: contact and deal in one request, then the note, then the task', async () => {
  const { crm, clock, draft, run } = make(unknown, { contact: ' Olga ', note: ' Wants a roof ', task: true, text: 'Call', due: 'today' });
  await run();
  const entity = { type: 'lead', id: '101', name: 'Call: Olga' };
  const end = new Date(clock.now());
  end.setHours(23, 59, 0, 0);
  assert.deepEqual(crm.got, [
    ['lead', { name: 'Call: Olga', contact: { name: 'Olga', phone: '+79005550111' } }],
    ['note', entity, 'Wants a roof'],
    ['task', entity, { text: 'Call', type: '1', at: end.getTime(), responsible: 88888 }],
  ]);
  assert.deepEqual(draft.done, { entity, contact: '55', note: true, task: true, doubt: null });
});

test('a name left empty is the number; with the switch off there is a deal only if it has a name', async () => {
  const plain = make(unknown, { note: 'x' }, { behaviour: { lead: false } });
  await plain.run();
  assert.deepEqual(plain.crm.got[0], ['contact', { name: '+7 900 555-01-11', phone: '+79005550111' }]);
  assert.deepEqual(plain.crm.got[1][1], { type: 'contact', id: '101', name: '+7 900 555-01-11' });
  const named = make(unknown, { deal: 'Roof' }, { behaviour: { lead: false } });
  await named.run();
  assert.deepEqual(named.crm.got[0], ['lead', { name: 'Roof', contact: { name: '+7 900 555-01-11', phone: '+79005550111' } }]);
});

test('a known caller: what he is linked to, or a new deal of his', async () => {
  const linked = make(known, { link: 'lead:5', note: 'x', contact: 'left over', deal: 'left over' });
  await linked.run();
  assert.deepEqual(linked.crm.got.map(([method, to]) => [method, to.type, to.id]), [['note', 'lead', '5']]);
  const fresh = make(known, { link: 'deal:1', note: 'x' });
  await fresh.run();
  assert.deepEqual(fresh.crm.got[0], ['lead', { name: 'Call: Ivan Petrov', contact: { id: '1' } }]);
  assert.deepEqual([fresh.crm.got[1][1].type, fresh.crm.got[1][1].id], ['lead', '101']);
});

test('after a partial failure only what is left is done: never a second deal', async () => {
  const { crm, draft, run } = make(unknown, { contact: 'Olga', note: 'x', task: true, text: 'Call' });
  crm.refuse.note = [refusal('limit', 429), refusal('forbidden', 403)];
  crm.refuse.task = [refusal('invalid')];
  await assert.rejects(run(), ({ step, error }) => step === 'note' && error.code === 'limit');
  await assert.rejects(run(), ({ step, error }) => step === 'note' && error.code === 'forbidden');
  await assert.rejects(run(), ({ step }) => step === 'task');
  await run();
  assert.deepEqual([crm.count('lead'), crm.count('note'), crm.count('task'), crm.count('find')], [1, 3, 2, 0]);
  assert.equal(draft.done.task, true);
});

test('the doubt is kept before the CRM is asked, for a page that dies meanwhile', async () => {
  const { run, kept } = make(unknown, { contact: 'Olga', note: 'x' });
  await run();
  assert.deepEqual(kept.map(({ entity, note, doubt }) => [entity && entity.id, note, doubt && doubt.step]), [
    [null, false, 'entity'], ['101', false, null], ['101', false, 'note'], ['101', true, null],
  ]);
});

test('a lost answer: the deal is looked for before it is made again, and not at once', async () => {
  const { crm, clock, run, draft } = make(unknown, { contact: 'Olga', deal: 'Roof', note: 'x' });
  crm.refuse.lead = [refusal('offline', 0)];
  await assert.rejects(run(), ({ step, error }) => step === 'entity' && error.code === 'offline');
  crm.found = [match({ id: '55', name: 'Olga', leads: [lead('56', 'Roof')] })];
  const again = run();
  await clock.pass(4000);
  assert.equal(crm.count('find'), 0, 'the search may not know it yet');
  await clock.pass(1000);
  await again;
  assert.deepEqual([crm.count('lead'), crm.count('find')], [1, 1]);
  assert.deepEqual(draft.done.entity, { type: 'lead', id: '56', name: 'Roof' });
  assert.deepEqual(crm.got.at(-1)[1].id, '56');
});

const lostOnce = async (who, form, found, over) => {
  const made = make(who, form, over);
  made.crm.refuse.lead = [refusal('failed', 504)];
  made.crm.refuse.contact = [refusal('offline', 0)];
  await assert.rejects(made.run());
  made.crm.found = found;
  await made.clock.pass(10000);
  const again = made.run();
  await made.clock.pass(10000);
  return { ...made, again };
};

test('a lost answer and nothing there: it is made; only the contact there: the deal for him', async () => {
  const none = await lostOnce(unknown, { note: 'x' }, []);
  await none.again;
  assert.equal(none.crm.count('lead'), 2);
  const half = await lostOnce(unknown, { deal: 'Roof' }, [match({ id: '55' })]);
  await half.again;
  assert.deepEqual(half.crm.got.at(-1), ['lead', { name: 'Roof', contact: { id: '55' } }]);
  const alone = await lostOnce(unknown, { note: 'x' }, [match({ id: '55', name: 'Olga' })], { behaviour: { lead: false } });
  await alone.again;
  assert.deepEqual([alone.crm.count('contact'), alone.draft.done.entity], [1, { type: 'contact', id: '55', name: 'Olga' }]);
});

test('a lost answer: deals that were there before, or are called otherwise, are not taken for the new one', async () => {
  const made = await lostOnce(known, { link: 'deal:1', deal: 'Cellar' }, [{ ...ivan, leads: [lead('5', 'Cellar'), lead('6', 'Window'), lead('8', 'Cellar')] }]);
  await made.again;
  assert.deepEqual([made.crm.count('lead'), made.draft.done.entity.id, made.draft.done.doubt], [1, '8', null]);
});

test('a lost answer and a search that fails, or does not know all deals: nothing is made', async () => {
  const cut = make(unknown, { deal: 'Roof' });
  cut.crm.refuse = { lead: [refusal('offline', 0)], find: [refusal('limit', 429), null] };
  cut.crm.found = [match({ id: '55', partial: true })];
  await assert.rejects(cut.run());
  await cut.clock.pass(10000);
  await assert.rejects(cut.run(), ({ step, error }) => step === 'entity' && error.code === 'limit');
  await assert.rejects(cut.run(), ({ step, error }) => step === 'entity' && error.code === 'offline');
  assert.deepEqual([cut.crm.count('lead'), cut.draft.done.doubt.step], [1, 'entity']);
});

test('a lost answer: names are compared as they are read, with the spaces that somebody typed twice', async () => {
  const made = await lostOnce(unknown, { deal: ' Roof  for Olga' }, [match({ id: '55', leads: [lead('8', 'Roof for Olga')] })]);
  await made.again;
  assert.deepEqual([made.crm.count('lead'), made.draft.done.entity.id, made.draft.done.contact], [1, '8', '55']);
});

test('a lost answer for a number that cannot be looked for: the user has looked, and nothing is waited for', async () => {
  const { crm, run, draft } = make({ ...unknown, kind: 'hidden', number: '', name: 'Hidden number' }, { contact: 'Olga' });
  Object.assign(draft.call, { phone: null, phone_raw: '12345' });
  crm.refuse.lead = [refusal('offline', 0)];
  await assert.rejects(run());
  await run();
  assert.deepEqual([crm.count('find'), crm.count('lead')], [0, 2]);
});

test('whom a result made is a match at once, for all who have the number', async () => {
  const both = make(unknown, { contact: ' Olga ', deal: 'Roof' });
  assert.equal(both.save.made(both.draft), null);
  await both.run();
  const made = match({ id: '55', name: 'Olga', url: '/contacts/detail/55', leads: [lead('101', 'Roof')] });
  assert.deepEqual(both.save.made(both.draft), made);
  const alone = make(unknown, { contact: 'Olga' }, { behaviour: { lead: false } });
  await alone.run();
  assert.deepEqual(alone.save.made(alone.draft), { ...made, id: '101', url: '/contacts/detail/101', leads: [] });
  const his = make(known, { link: 'deal:1' });
  await his.run();
  assert.equal(his.save.made(his.draft), null);
});

test('the gateway is told the note, and of whom it is', async () => {
  const made = make(unknown, { contact: 'Olga', deal: 'Roof', note: '  wants a roof ' });
  await made.run();
  assert.deepEqual(made.save.told(made.draft), { text: 'wants a roof', entity: { type: 'lead', id: '101' } });
  const there = make(known, { link: 'contact:1', note: '\u{1F600}'.repeat(2001) });
  await there.run();
  const { text, entity } = there.save.told(there.draft);
  assert.deepEqual([[...text].length, entity], [2000, { type: 'contact', id: '1' }]);
  const nobody = make(unknown, { link: '' });
  assert.deepEqual(nobody.save.told(nobody.draft), { text: '' });
});

test('a new deal of a company', async () => {
  const acme = match({ type: 'company', id: '9', name: 'Acme' });
  const { crm, run } = make({ ...known, name: 'Acme', chosen: acme, entity: acme, matches: [acme] }, { link: links.dealOf(acme) });
  await run();
  assert.deepEqual(crm.got, [['lead', { name: 'Call: Acme', company: { id: '9' } }]]);
  assert.deepEqual(['deal:1', 'deal:company:9', 'new', 'lead:5', ''].map(links.owner), [{ type: 'contact', id: '1' }, { type: 'company', id: '9' }, null, null, null]);
});

test('a refusal leaves no doubt: nothing is looked for', async () => {
  const { crm, run } = make(unknown, { contact: 'Olga' });
  crm.refuse.lead = [refusal('invalid')];
  await assert.rejects(run());
  await run();
  assert.deepEqual([crm.count('lead'), crm.count('find')], [2, 0]);
});

test('mistakes are found before anything is asked', () => {
  const mistakes = (who, form) => Object.keys(make(who, form).save.mistakes(make(who, form).draft));
  assert.deepEqual(mistakes(unknown, {}), ['foot']);
  assert.deepEqual(mistakes(known, { link: 'lead:5', contact: 'left over' }), ['foot']);
  assert.deepEqual(mistakes(known, { link: 'deal:1' }), []);
  assert.deepEqual(mistakes(unknown, { link: '', note: 'x' }), ['link']);
  assert.deepEqual(mistakes(unknown, { task: true, text: ' ' }), ['text']);
  assert.deepEqual(mistakes(unknown, { task: true, text: 'x', due: 'own', at: '' }), ['at']);
  assert.deepEqual(mistakes(unknown, { task: true, text: 'x', due: 'own', at: '2023-11-14T00:00' }), ['at']);
  assert.deepEqual(mistakes(unknown, { task: true, text: 'x', due: 'own', at: '2023-12-14T10:00' }), []);
});

test('deadlines are the ends of days as the user’s computer has them', () => {
  const now = new Date(2026, 2, 27, 15, 30).getTime();
  const read = (ms) => due.local(ms);
  assert.deepEqual(due.choices.slice(0, 4).map((choice) => read(due.moment(choice, '', now))), [
    '2026-03-27T23:59', '2026-03-28T23:59', '2026-03-30T23:59', '2026-04-03T23:59',
  ]);
  assert.equal(due.moment('own', '2026-04-01T09:15', now), new Date(2026, 3, 1, 9, 15).getTime());
  assert.ok(Number.isNaN(due.moment('own', '', now)));
  assert.equal(due.proposal(now), '2026-03-28T10:00');
});

test('deadlines are those of the account’s time zone, wherever the computer is', () => {
  const now = Date.parse('2026-03-28T22:30:00Z'); /* the clocks change this night */
  const at = (choice, zone, own) => new Date(due.moment(choice, own, now, zone)).toISOString().slice(0, 16);
  assert.deepEqual([at('today', 'Europe/Moscow'), at('today', 'Europe/Kyiv'), at('today', 'America/New_York')], ['2026-03-29T20:59', '2026-03-29T20:59', '2026-03-29T03:59']);
  assert.equal(at('week', 'Europe/Kyiv'), '2026-04-05T20:59');
  assert.equal(at('own', 'Europe/Kyiv', '2026-03-29T01:30'), '2026-03-28T23:30');
  assert.deepEqual([due.proposal(now, 'Europe/Moscow'), due.local(now, 'Asia/Kolkata')], ['2026-03-30T10:00', '2026-03-29T04:00']);
  assert.deepEqual([due.zone('Europe/Moscow'), due.zone('Mars/Base'), due.zone(''), due.zone(undefined)], ['Europe/Moscow', undefined, undefined, undefined]);
  assert.ok(Number.isNaN(due.moment('own', '2026-13-99T00:00', now, 'Europe/Moscow')));
});

test('past midnight "tomorrow" is still the day that was shown', async () => {
  const label = new Date(2026, 2, 27, 23, 50).getTime();
  const { crm, clock, run } = make(known, { link: 'lead:5', task: true, text: 'x', due: 'tomorrow', now: label });
  clock.at = new Date(2026, 2, 28, 0, 5).getTime();
  await run();
  assert.equal(crm.got[0][2].at, new Date(2026, 2, 28, 23, 59).getTime());
  const late = make(known, { link: 'lead:5', task: true, text: 'x', due: 'today', now: label });
  late.clock.at = new Date(2026, 2, 28, 0, 5).getTime();
  assert.deepEqual(late.save.mistakes(late.draft), { due: 'result.at_past' });
});

test('what a call can be linked to: all that was found, nothing twice, and the CRM’s rule first', () => {
  const linked = (found) => (found.leads.length === 1 ? { type: 'lead', ...found.leads[0] } : found);
  const boss = match({ id: '2', name: 'Anna', leads: [lead('5', 'Roof')] });
  const who = { ...known, matches: [ivan, boss] };
  assert.deepEqual(links.groups(who).map(({ entities }) => entities.map(links.valueOf)), [['lead:5', 'customer:7', 'company:9', 'contact:1'], ['contact:2']]);
  assert.equal(links.first(who, linked), 'lead:5');
  assert.equal(links.first({ ...who, chosen: { ...boss, leads: [] } }, (found) => found), 'contact:2', 'the one chosen in the card');
  assert.equal(links.entity(who, 'customer:7').name, 'Subscription');
  assert.equal(links.entity(who, 'deal:1'), null);
  assert.equal(links.first({ kind: 'known', entity: { type: 'contact', id: '3', name: 'X' }, matches: [], chosen: null }, linked), 'contact:3');
  assert.deepEqual(['unknown', 'hidden', 'unclear', 'looking'].map((kind) => links.first({ ...unknown, kind }, linked)), ['new', 'new', '', '']);
});

test('refusals stand beside the field they concern, or at the foot in words', () => {
  const place = (step, error, made = 'lead', more = { choice: true }) => refusals({ step, error }, { made, t, ...more }).map(({ field, text }) => field + ': ' + text);
  assert.deepEqual(place('entity', refusal('invalid', 400, { '0.name': 'Too long.' })), ['deal: Too long.']);
  assert.deepEqual(place('entity', refusal('invalid', 400, { name: 'Too long.' }), 'contact'), ['contact: Too long.']);
  assert.deepEqual(place('entity', refusal('invalid', 400, { '_embedded.contacts.0.custom_fields_values.0': 'Bad number.' })), ['contact: Bad number.']);
  assert.deepEqual(place('task', refusal('invalid', 400, { complete_till: 'Past.', text: 'Missing.' })), ['due: Past.', 'text: Missing.']);
  assert.equal(
    place('task', refusal('invalid', 400, { responsible_user_id: 'Unknown.' }))[0],
    'foot: The task was not set: the CRM refused it. Press “Save” again; if that does not help, tell your CRM administrator what the CRM said: Unknown.',
  );
  assert.match(place('note', refusal('forbidden', 403))[0], /^link: The note was not saved: you do not have the right/);
  assert.match(place('entity', refusal('forbidden', 403))[0], /^foot: The lead was not created/);
  assert.match(place('note', refusal('gone', 404))[0], /^link: .*no longer/);
  assert.match(place('task', refusal('limit', 429))[0], /^foot: .*Wait a minute/);
  assert.match(place('note', refusal('offline', 0))[0], /^foot: .*may have been saved/);
  assert.match(place('entity', refusal('failed', 502))[0], /^foot: .*may have been created/);
  assert.match(place('note', refusal('session', 401))[0], /^foot: The note was not saved: .*sign in again/);
});

test('where nothing else can be chosen, nobody is told to; where nothing can be looked for, the user is told to look', () => {
  const words = (step, error, more) => refusals({ step, error }, { made: 'lead', t, ...more }).map(({ field, text }) => field + ': ' + text)[0];
  for (const step of ['entity', 'note', 'task']) {
    for (const code of ['forbidden', 'gone']) {
      const dead = words(step, refusal(code, 403), { choice: false });
      assert.match(dead, /^foot: /);
      assert.doesNotMatch(dead, /something else|result\./, step + code);
      assert.match(words(step, refusal(code, 403), { choice: true }), /something else/);
    }
  }
  assert.match(words('entity', refusal('offline', 0), { blind: true }), /look in the CRM yourself/);
  assert.match(words('note', refusal('offline', 0), { blind: true }), /note may have been saved/);
});

const memory = () => {
  const kept = new Map();
  return {
    kept,
    get: (key) => JSON.parse(kept.get(key) ?? 'null'),
    set: (key, value) => (value === null ? kept.delete(key) : kept.set(key, JSON.stringify(value))),
    keys: () => [...kept.keys()],
  };
};

const drafts = () => {
  const store = memory();
  const clock = new Clock();
  const draft = (id, over) => ({ call: call({ id }), who: known, form: { note: '' }, done: {}, at: clock.now(), touched: true, ...over });
  return { store, clock, draft, drafts: new Drafts({ store, clock }) };
};

test('a draft is kept within 300 ms of typing, or at once when the page goes away', async () => {
  const { store, clock, draft, drafts: kept } = drafts();
  const one = draft('c1');
  kept.soon(one);
  one.form.note = 'more';
  kept.soon(one);
  assert.deepEqual([store.kept.size, clock.timers.length], [0, 1]);
  await clock.pass(300);
  assert.equal(kept.get('c1').form.note, 'more');
  one.form.note = 'and more';
  kept.soon(one);
  kept.flush();
  assert.equal(kept.get('c1').form.note, 'and more');
  kept.soon(one);
  kept.drop('c1');
  await clock.pass(1000);
  assert.equal(kept.get('c1'), null, 'what was to be kept is not kept any more');
});

test('drafts end after a day, untouched ones after ten minutes, broken ones at once; twenty are kept', async () => {
  const { store, clock, draft, drafts: kept } = drafts();
  kept.keep(draft('old'));
  kept.keep(draft('bare', { touched: false }));
  store.set('draft.broken', { call: null });
  store.set('other', 1);
  await clock.pass(11 * 60000);
  assert.deepEqual([kept.all().map(({ call: { id } }) => id), [...store.kept.keys()]], [['old'], ['draft.old', 'other']]);
  await clock.pass(24 * 3600000);
  assert.deepEqual(kept.all(), []);
  for (let i = 0; i < 22; i += 1) {
    kept.keep(draft('n' + i));
    await clock.pass(1);
  }
  const ids = kept.all().map(({ call: { id } }) => id);
  assert.deepEqual([ids.length, ids[0], ids.at(-1)], [20, 'n2', 'n21']);
});

test('the drafts of users who do not come back are thrown away after a day, and nothing else is', () => {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key),
    key: (i) => [...kept.keys()][i], get length() { return kept.size; },
  };
  const clock = new Clock();
  const of = (user) => new Drafts({ store: new Store({ storage, prefix: 'ringcast.1.' + user + '.', page: null }), clock });
  const draft = (id) => ({ call: call({ id }), who: known, form: {}, done: {}, at: clock.now(), touched: true });
  of('88888').keep(draft('office:1'));
  ['ringcast.1.88888.alerts', 'ringcast.2.7.draft.broken', 'ringcast.draft', 'other.1.2.draft.x'].forEach((key) => kept.set(key, '{}'));
  clock.at += 23 * 3600000;
  of('77777').keep(draft('office:2'));
  clock.at += 2 * 3600000;
  of('99999').sweep();
  assert.deepEqual([...kept.keys()], ['ringcast.1.88888.alerts', 'ringcast.draft', 'other.1.2.draft.x', 'ringcast.1.77777.draft.office:2']);
});
