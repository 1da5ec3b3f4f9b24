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
  const ofTheLink = (code) => code === 'gone' || code === 'forbidden';

  /* refusals(failure, {made, choice, blind, t}) → [{field, text}]; field 'foot' is none.
     failure  {step, error}, see save.js   made   what was to be made: 'lead', 'contact' or ''
     choice   whether the user can choose what to link to   blind  whether the CRM cannot be searched for the number */
  return ({ step, error }, { made, choice, blind, t }) => {
    const named = Object.entries(error.fields || {}).map(([path, text]) => {
      const field = place(step, path);
      return { field: field === 'deal' && made === 'contact' ? 'contact' : field, text };
    });
    const shown = named.filter(({ field }) => field !== 'foot');
    if (shown.length) return shown;

    const known = ['forbidden', 'limit', 'gone', 'session'].includes(error.code);
    const detail = named.map(({ text }) => text).join(' ') || error.message;
    const what = step === 'entity' ? made : step;
    const lost = blind && step === 'entity' ? 'result.blind_' : 'result.lost_';
    if (error.code === 'offline' || error.status >= 500) return [{ field: 'foot', text: t(lost + what) }];
    const onlyThis = ofTheLink(error.code) && !choice ? '_only' : '';
    const reason = t('result.' + (known ? error.code + onlyThis : 'failed'), { detail });
    return [{ field: ofTheLink(error.code) && choice && step !== 'entity' ? 'link' : 'foot', text: t('result.not_' + what, { reason }) }];
  };
});
