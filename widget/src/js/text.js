/* Text: escaping, filling in, clocks. */
define([], function () {
  'use strict';

  const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

  /* Names and numbers come from strangers: whatever goes into HTML goes through here. */
  const escape = (value) => String(value ?? '').replace(/[&<>"']/g, (c) => entities[c]);

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

  return { escape, fill, clock, initials };
});
