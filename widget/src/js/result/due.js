/* When a task is due, in the time zone of the user's computer. */
define([], function () {
  'use strict';

  const days = { today: 0, tomorrow: 1, three: 3, week: 7 };

  /* The CRM shows a task of 23:59 as one for the whole day. */
  const endOf = (now, ahead) => {
    const at = new Date(now);
    return new Date(at.getFullYear(), at.getMonth(), at.getDate() + ahead, 23, 59).getTime();
  };

  const two = (n) => String(n).padStart(2, '0');

  /* As an input of type datetime-local has it. */
  const local = (ms) => {
    const at = new Date(ms);
    return at.getFullYear() + '-' + two(at.getMonth() + 1) + '-' + two(at.getDate()) + 'T' + two(at.getHours()) + ':' + two(at.getMinutes());
  };

  return {
    choices: [...Object.keys(days), 'own'],

    /* The moment of a choice, ms since 1970; of 'own' that of the input's value, NaN when it is none. */
    moment: (choice, own, now) => (choice in days ? endOf(now, days[choice]) : new Date(own || NaN).getTime()),

    /* What the input offers first: tomorrow at ten. */
    proposal(now) {
      const at = new Date(now);
      return local(new Date(at.getFullYear(), at.getMonth(), at.getDate() + 1, 10).getTime());
    },

    local,
  };
});
