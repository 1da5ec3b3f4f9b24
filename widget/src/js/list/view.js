/* What the panel shows, in words, of a list and its run. */
define(['./model.js?v=%VERSION%', '../text.js?v=%VERSION%', '../phone.js?v=%VERSION%'], function (model, text, phone) {
  'use strict';

  const known = new Set([
    'finished', 'call', 'offline', 'timeout', 'lost', 'away', 'streak', 'pbx_offline', 'not_registered', 'not_permitted', 'busy',
  ]);

  const margin = 20; /* rows that are drawn below the one that is called */

  const made = new WeakMap(); /* entry → {state, talk, row}: the row that was made of it last */

  const rowOf = (entry, { run, t }) => {
    const state = model.stateOf(run, entry);
    const { talk = 0 } = model.doneOf(run, entry) || {};
    const last = made.get(entry);
    if (last && last.state === state && last.talk === talk) return last.row;
    const row = makeRow(entry, { state, talk, t });
    made.set(entry, { state, talk, row });
    return row;
  };

  const makeRow = (entry, { state, talk, t }) => {
    const name = entry.name || t('list.unnamed');
    const time = talk > 0 ? ' ' + text.clock(talk) : '';
    const about = entry.lead || entry.company;
    return {
      key: entry.key, state, name, url: entry.url,
      phone: shown(entry.phone),
      phones: entry.phones.map((value) => ({ value, text: shown(value), chosen: value === entry.phone })),
      choice: entry.phones.length > 1 && state === 'waiting',
      about: about ? about.name : '', about_url: about ? about.url : '',
      label: t('list.' + state), says: state === 'waiting' ? '' : t('list.' + state) + time,
      current: state === 'dialling' || state === 'talking',
      move: t('list.move', { name }), remove: t('list.remove', { name }), number: t('list.number', { name }),
    };
  };

  /* As it will be dialled, where that reads well; else as it was written. */
  const shown = (number) => {
    const clean = phone.clean(number);
    const pretty = phone.pretty(clean);
    return pretty === clean ? number : pretty;
  };

  const phaseOf = ({ list, run, current, running, live }) => {
    if (!list.entries.length) return 'empty';
    if (current) return run.attempt.talking === null ? 'dialling' : 'talking';
    if (!running) return 'idle';
    if (!live) return 'unlinked';
    if (run.held) return 'held';
    return run.until === null ? 'soon' : 'gap';
  };

  /* What the phase is called; {seconds} is filled in as the time goes. */
  const whatOf = (phase, next, t) => {
    if (phase === 'empty' || (phase === 'idle' && !next)) return '';
    return t({ idle: 'list.ready', gap: 'list.next' }[phase] || 'list.' + phase);
  };

  const whyOf = ({ list, run }, t) => {
    const { halted } = run;
    if (!list.run || !halted || halted.run !== list.run.token) return '';
    return known.has(halted.reason) ? t('list.why_' + halted.reason) : t('list.why_other', { code: halted.reason });
  };

  /* Which buttons there are. */
  const buttonsOf = ({ phase, run, next, running, left }) => {
    const busy = phase === 'dialling' || phase === 'talking';
    return [
      !running && !busy && next && 'start',
      phase === 'gap' && 'now',
      busy && run.attempt.call && 'hang_up',
      running && 'pause',
      (phase === 'dialling' || (!busy && next)) && 'skip',
      !running && !busy && !next && left && 'again',
    ].filter(Boolean);
  };

  /* look {shown, folded, open}   hideable  it can be called back   news  a line of what just happened
     live  there is a connection  limit     how many rows are drawn, at least up to the one that is called */
  return ({ list, run, look, hideable, news, live, limit, t }) => {
    const { entries } = list;
    const current = model.current(list, run);
    const next = model.next(list, run);
    const running = model.running(list, run);
    const phase = phaseOf({ list, run, current, running, live });
    const counts = model.counts(list, run);
    const left = model.unreached.some((state) => counts[state] > 0);
    const done = entries.length - counts.waiting - counts.dialling - counts.talking;
    const who = current || (phase === 'held' || phase === 'unlinked' ? null : next);
    const drawn = look.shown && !look.folded ? Math.max(limit, entries.indexOf(current) + margin) : 0;
    return {
      ...look, hideable, news, phase,
      count: entries.length,
      rows: entries.slice(0, drawn).map((entry) => rowOf(entry, { run, t })),
      tally: done ? t('list.tally', { done, count: entries.length, reached: counts.reached }) : String(entries.length),
      current: current ? current.key : null,
      who: phase !== 'empty' && who ? { name: who.name || t('list.unnamed'), url: who.url } : null,
      what: whatOf(phase, next, t),
      why: whyOf({ list, run }, t),
      finished: Boolean(run.halted) && run.halted.reason === 'finished',
      since: current ? run.attempt.talking || run.attempt.at : null,
      until: phase === 'gap' ? run.until : null,
      start: t(done ? 'list.resume' : 'list.start'),
      buttons: buttonsOf({ phase, run, next, running, left }),
    };
  };
});
