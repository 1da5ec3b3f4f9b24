/* When a task is due, as the clocks of a time zone have it. zone: an IANA name; undefined is this computer's. */
define([], function () {
  'use strict';

  const days = { today: 0, tomorrow: 1, three: 3, week: 7 };

  const formats = (zone) =>
    new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' });

  /* What the clocks show at a moment, as if they were in Greenwich: so it can be reckoned with. */
  const wall = (ms, zone) => {
    const at = Object.fromEntries(formats(zone).formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute);
  };

  /* The moment at which they show that. The second look is for a day on which they are changed. */
  const moment = (shown, zone) => {
    const near = shown - (wall(shown, zone) - shown);
    return near + (shown - wall(near, zone));
  };

  const day = (ms, zone, ahead, hour, minute) => {
    const today = new Date(wall(ms, zone));
    return Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate() + ahead, hour, minute);
  };

  const input = /^\d{4}-\d\d-\d\dT\d\d:\d\d/; /* the value of one of type datetime-local */

  const valueOf = (shown) => new Date(shown).toISOString().slice(0, 16);

  return {
    choices: [...Object.keys(days), 'own'],

    /* The zone if the browser knows it, else its own. */
    zone(name) {
      try {
        formats(name);
        return name || undefined;
      } catch {
        return undefined;
      }
    },

    /* The moment of a choice, ms since 1970: the end of a day, 23:59, which the CRM shows as a task for the whole day;
       of 'own' that of the input's value, NaN when it is none. */
    moment(choice, own, now, zone) {
      if (choice in days) return moment(day(now, zone, days[choice], 23, 59), zone);
      const [shown] = input.exec(own || '') || [];
      const ms = Date.parse(shown + 'Z');
      return Number.isNaN(ms) ? NaN : moment(ms, zone);
    },

    /* What the input offers first: tomorrow at ten. */
    proposal: (now, zone) => valueOf(day(now, zone, 1, 10, 0)),

    /* A moment as the input has it. */
    local: (ms, zone) => valueOf(wall(ms, zone)),
  };
});
