/* What the CRM refused, for people: beside which field, in which words. */
define([], function () {
  'use strict';

  /* Where a path of the CRM's problem document belongs: the first that fits. */
  const places = {
    entity: [[/contact|custom_field|phone/i, 'contact'], [/./, 'deal']],
    note: [[/./, 'note']],
    task: [[/complete_till/, 'due'], [/task_type/, 'type'], [/text/, 'text']],
  };

  const place = (step, path) => (places[step].find(([pattern]) => pattern.test(path)) || [null, 'foot'])[1];

  /* What the user can mend by choosing something else to link to. */
  const ofTheLink = (step, code) => (code === 'gone' || code === 'forbidden') && step !== 'entity';

  /* refusals(failure, {made, t}) → [{field, text}]; field 'foot' is none.
     failure  {step, error}, see save.js   made  what was to be made: 'lead', 'contact' or '' */
  return ({ step, error }, { made, t }) => {
    const named = Object.entries(error.fields || {}).map(([path, text]) => {
      const field = place(step, path);
      return { field: field === 'deal' && made === 'contact' ? 'contact' : field, text };
    });
    const shown = named.filter(({ field }) => field !== 'foot');
    if (shown.length) return shown;

    const known = ['forbidden', 'limit', 'gone'].includes(error.code);
    const detail = named.map(({ text }) => text).join(' ') || error.message;
    const what = step === 'entity' ? made : step;
    if (error.code === 'offline' || error.status >= 500) return [{ field: 'foot', text: t('result.lost_' + what) }];
    const reason = t('result.' + (known ? error.code : 'failed'), { detail });
    return [{ field: ofTheLink(step, error.code) ? 'link' : 'foot', text: t('result.not_' + what, { reason }) }];
  };
});
