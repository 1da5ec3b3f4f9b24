/* Text: escaping, cutting, keeping strangers' text in its place, filling in, clocks. */
define([], function () {
  'use strict';

  const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

  /* Names and numbers come from strangers: whatever goes into HTML goes through here. */
  const escape = (value) => String(value ?? '').replace(/[&<>"']/g, (c) => entities[c]);

  /* Control characters break lines, and those of bidirectional text turn around what stands beside them. */
  const controls = /[\p{Cc}\u2028\u2029]+/gu;
  const turning = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const halves = /\p{Cs}/gu; /* surrogates that have lost the other half */

  /* One line of somebody's text as it may stand beside others: no control characters, nothing that reorders. */
  const plain = (value) =>
    String(value ?? '').replace(turning, '').replace(halves, '\ufffd').replace(controls, ' ').replace(/\s+/g, ' ').trim();

  const leftward = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u; /* Hebrew, Arabic, … */

  /* The same inside of a sentence, which runs to the right: text that runs to the left must not take the words and
     numbers after it along. */
  const isolate = (value) => {
    const line = plain(value);
    return leftward.test(line) ? '\u2068' + line + '\u2069' : line;
  };

  const segments = (value) =>
    Intl.Segmenter ? Array.from(new Intl.Segmenter().segment(value), ({ segment }) => segment) : Array.from(value);

  const mostMarks = 8; /* code points in a character, on the average; more is somebody's joke */

  /* The first characters, as people count them, with an ellipsis if there were more than most. */
  const cut = (value, most) => {
    const whole = String(value ?? '');
    if (whole.length <= most) return whole;
    const points = Array.from(whole);
    const characters = segments(points.slice(0, mostMarks * most).join(''));
    const fits = characters.length <= most && points.length <= mostMarks * most;
    return fits ? whole : characters.slice(0, most - 1).join('').trimEnd() + '…';
  };

  /* fill('to {line}', {line: 7}) is 'to 7'; a name without a value stays as it is. */
  const fill = (template, values = {}) =>
    String(template).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name] ?? '') : whole));

  /* 65 is '01:05', 3661 is '1:01:01'. */
  const clock = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    const two = (n) => String(n).padStart(2, '0');
    const hours = Math.floor(s / 3600);
    const rest = two(Math.floor(s / 60) % 60) + ':' + two(s % 60);
    return hours > 0 ? hours + ':' + rest : rest;
  };

  /* 'Anna Orlova' is 'AO'. */
  const initials = (name) =>
    String(name ?? '').split(/\s+/).map((word) => (word.match(/^\p{L}/u) || [''])[0]).join('').slice(0, 2).toUpperCase();

  return { escape, plain, isolate, cut, fill, clock, initials };
});
