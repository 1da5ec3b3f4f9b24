/* How the widget behaves in this account: the field "behaviour" of its settings, a JSON string. */
define([], function () {
  'use strict';

  const choices = { result: ['always', 'unknown', 'never'], notify: ['both', 'ring', 'end', 'never'] };
  const switches = { sound: true, desktop: true, open: false, lead: true };
  const interval = { least: 3, usual: 10, most: 300 }; /* seconds */

  const read = (value) => {
    try {
      return (typeof value === 'string' ? JSON.parse(value) : value) || {};
    } catch {
      return {};
    }
  };

  /* Every field, whatever somebody has saved. */
  const behaviour = (settings) => {
    const given = read((settings || {}).behaviour);
    const seconds = Math.round(Number(given.interval));
    const made = { interval: seconds >= interval.least && seconds <= interval.most ? seconds : interval.usual };
    Object.entries(choices).forEach(([name, known]) => {
      made[name] = known.includes(given[name]) ? given[name] : known[0];
    });
    Object.entries(switches).forEach(([name, usual]) => {
      made[name] = typeof given[name] === 'boolean' ? given[name] : usual;
    });
    return made;
  };

  return Object.assign(behaviour, { choices, switches, interval });
});
