/* The call list as data, in two parts that are kept apart, so that nobody writes over another's:
     list  what people do, written in the tab where they do it:
           {v, entries, run: {token} | null: it is to be called, now: the deadline that is not to be waited for}
     run   what became of it, written by the one tab that dials:
           {v, by: that tab, at: when it wrote last, run: the token it acts on, until: when the next call is due,
            held: it waits for the result window, streak, halted: {run, reason} | null, attempt | null, done: {key: …}}
   An entry is {key, entity, id, name, url, company, lead, phones, phone, since, skip}; since is when it was put in
   line, so that what was done before does not count for it. Everything here is pure: what is given is not changed. */
define(['../phone.js?v=%VERSION%', '../text.js?v=%VERSION%'], function (phone, text) {
  'use strict';

  const version = 1;
  const most = 500; /* entries */
  const mostPhones = 10; /* of an entry */
  const longest = { name: 255, phone: 40 }; /* characters */

  const groups = { contact: 'contacts', company: 'companies', lead: 'leads' };
  const outcomes = ['reached', 'busy', 'missed', 'failed', 'cancelled', 'skipped'];

  const cut = (value, length) => {
    const line = text.plain(value);
    return line.length > length ? [...line].slice(0, length).join('').trim() : line;
  };

  const isText = (value) => typeof value === 'string' && value !== '';
  const isTime = (value) => Number.isFinite(value) && value >= 0;
  const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

  const emptyList = () => ({ v: version, entries: [], run: null, now: null });

  const emptyRun = () => ({
    v: version, by: null, at: 0, run: null, until: null, held: false, streak: 0, halted: null, attempt: null, done: {},
  });

  /* A card's address is made here and not taken from anywhere. */
  const address = (entity, id) => '/' + groups[entity] + '/detail/' + id;

  const link = (entity, given) => {
    if (!isObject(given) || !isText(given.name)) return null;
    const id = /^\d{1,19}$/.test(given.id) ? String(given.id) : (/\/detail\/(\d{1,19})(?!\d)/.exec(given.url) || [])[1];
    return { id: id || '', name: cut(given.name, longest.name), url: id ? address(entity, id) : '' };
  };

  /* What tells a number from another, '' if it cannot be dialled. */
  const mark = (value) => phone.key(phone.clean(value));

  /* The numbers that can be dialled, as they were written, each once. */
  const numbers = (raw) => {
    const seen = new Map();
    (Array.isArray(raw) ? raw : []).forEach((value) => {
      const number = cut(value, longest.phone);
      const marked = mark(number);
      if (marked && !seen.has(marked)) seen.set(marked, number);
    });
    return [...seen.values()].slice(0, mostPhones);
  };

  /* An entry from outside or from the store; null: it is none. It may be without a number. */
  const entryOf = (given) => {
    if (!isObject(given) || !Object.hasOwn(groups, given.entity) || !/^\d{1,19}$/.test(given.id)) return null;
    const id = String(given.id);
    const phones = numbers(given.phones);
    return {
      key: given.entity + ':' + id, entity: given.entity, id, url: address(given.entity, id),
      name: cut(given.name, longest.name),
      company: given.entity === 'company' ? null : link('company', given.company),
      lead: link('lead', given.lead),
      phones,
      phone: phones.includes(given.phone) ? given.phone : phones[0] || '',
      since: isTime(given.since) ? given.since : 0,
      skip: given.skip === true,
    };
  };

  /* ---- What the store gave back; whatever it is, something sound comes out. */

  const readList = (raw) => {
    if (!isObject(raw) || raw.v !== version || !Array.isArray(raw.entries)) return emptyList();
    const keys = new Set();
    const entries = raw.entries.map(entryOf)
      .filter((entry) => entry && entry.phone && !keys.has(entry.key) && keys.add(entry.key))
      .slice(0, most);
    return {
      v: version, entries,
      run: isObject(raw.run) && isText(raw.run.token) && entries.length ? { token: raw.run.token } : null,
      now: isTime(raw.now) ? raw.now : null,
    };
  };

  const readAttempt = (raw) => {
    if (!isObject(raw) || !['key', 'token', 'number'].every((name) => isText(raw[name])) || !isTime(raw.at) || !isTime(raw.since)) return null;
    return {
      key: raw.key, since: raw.since, token: raw.token, number: raw.number, at: raw.at,
      dialled: raw.dialled === true,
      call: isText(raw.call) ? raw.call : null,
      seen: raw.seen === true,
      talking: isTime(raw.talking) ? raw.talking : null,
      before: (Array.isArray(raw.before) ? raw.before : []).filter(isText),
    };
  };

  const readDone = (raw) => {
    const sound = ([, done]) => isObject(done) && outcomes.includes(done.state) && isTime(done.since) && isTime(done.talk);
    return Object.fromEntries(Object.entries(isObject(raw) ? raw : {}).filter(sound)
      .map(([key, { since, state, talk }]) => [key, { since, state, talk }]));
  };

  const readRun = (raw) => {
    if (!isObject(raw) || raw.v !== version) return emptyRun();
    const halted = isObject(raw.halted) && isText(raw.halted.run) && isText(raw.halted.reason) ? { run: raw.halted.run, reason: raw.halted.reason } : null;
    return {
      v: version, halted,
      by: isText(raw.by) ? raw.by : null,
      at: isTime(raw.at) ? raw.at : 0,
      run: isText(raw.run) ? raw.run : null,
      until: isTime(raw.until) ? raw.until : null,
      held: raw.held === true,
      streak: Number.isInteger(raw.streak) ? raw.streak : 0,
      attempt: readAttempt(raw.attempt),
      done: readDone(raw.done),
    };
  };

  /* ---- What is so */

  const running = (list, run) => list.run !== null && !(run.halted && run.halted.run === list.run.token);

  /* Something is to be dialled or followed. */
  const active = (list, run) => running(list, run) || run.attempt !== null;

  const find = (list, key) => list.entries.find((entry) => entry.key === key) || null;

  /* What became of an entry, since it was put in line. */
  const doneOf = (run, entry) => {
    const done = Object.hasOwn(run.done, entry.key) ? run.done[entry.key] : null;
    return done && done.since === entry.since ? done : null;
  };

  const isCurrent = ({ attempt }, entry) => attempt !== null && attempt.key === entry.key && attempt.since === entry.since;

  /* waiting, dialling, talking, or an outcome */
  const stateOf = (run, entry) => {
    if (isCurrent(run, entry)) return run.attempt.talking === null ? 'dialling' : 'talking';
    const done = doneOf(run, entry);
    if (done) return done.state;
    return entry.skip ? 'skipped' : 'waiting';
  };

  const next = (list, run) => list.entries.find((entry) => stateOf(run, entry) === 'waiting') || null;

  const current = (list, run) => list.entries.find((entry) => isCurrent(run, entry)) || null;

  /* How many of each state. */
  const counts = (list, run) => {
    const made = { waiting: 0, dialling: 0, talking: 0, reached: 0, busy: 0, missed: 0, failed: 0, cancelled: 0, skipped: 0 };
    list.entries.forEach((entry) => { made[stateOf(run, entry)] += 1; });
    return made;
  };

  const unreached = ['busy', 'missed', 'failed', 'cancelled', 'skipped'];

  /* ---- What people do; each returns the list after it */

  /* Puts in line who is not there yet: not the entity, and not a number of it. Returns {list, added, doubles,
     phoneless, over}: the last three are who was left out, and why. */
  const add = (list, given, now) => {
    const told = { added: [], doubles: [], phoneless: [], over: [] };
    const keys = new Set(list.entries.map(({ key }) => key));
    const marks = new Set(list.entries.map((entry) => mark(entry.phone)));
    const free = (value) => !marks.has(mark(value));
    const room = most - list.entries.length;
    given.map(entryOf).filter(Boolean).forEach((entry) => {
      const number = entry.phones.find(free);
      if (keys.has(entry.key)) told.doubles.push(entry);
      else if (!entry.phones.length) told.phoneless.push(entry);
      else if (number === undefined) told.doubles.push(entry);
      else if (told.added.length >= room) told.over.push(entry);
      else {
        keys.add(entry.key);
        marks.add(mark(number));
        told.added.push({ ...entry, phone: number, since: now, skip: false });
      }
    });
    return { ...told, list: { ...list, entries: [...list.entries, ...told.added] } };
  };

  const change = (list, key, fn) => ({ ...list, entries: list.entries.map((entry) => (entry.key === key ? fn(entry) : entry)) });

  /* index is where it stands afterwards. */
  const move = (list, key, index) => {
    const moved = find(list, key);
    if (!moved) return list;
    const entries = list.entries.filter((entry) => entry !== moved);
    entries.splice(Math.max(0, Math.min(index, entries.length)), 0, moved);
    return { ...list, entries };
  };

  const remove = (list, key) => {
    const entries = list.entries.filter((entry) => entry.key !== key);
    return { ...list, entries, run: entries.length ? list.run : null };
  };

  const choose = (list, key, number) => change(list, key, (entry) => (entry.phones.includes(number) ? { ...entry, phone: number } : entry));

  const skip = (list, key) => change(list, key, (entry) => ({ ...entry, skip: true }));

  /* Those who were not reached are in line again. */
  const again = (list, run, now) => ({
    ...list,
    entries: list.entries.map((entry) => (unreached.includes(stateOf(run, entry)) ? { ...entry, skip: false, since: Math.max(now, entry.since + 1) } : entry)),
  });

  const start = (list, token) => ({ ...list, run: list.entries.length ? { token } : null, now: null });

  const pause = (list) => ({ ...list, run: null, now: null });

  return {
    most, emptyList, emptyRun, entryOf, readList, readRun,
    running, active, find, stateOf, doneOf, next, current, counts, unreached,
    add, move, remove, choose, skip, again, start, pause,
  };
});
