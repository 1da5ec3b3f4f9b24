/* Click-to-call: one click is one call, and a call that did not come about is explained. */
define(['./phone.js?v=%VERSION%'], function (phone) {
  'use strict';

  const pause = 2000; /* ms in which the same number is not dialled again: a double click */

  /* The name of the row or entity whose number was clicked. The CRM hands its model over in some places only; in
     lists the name is an object. */
  const nameOf = (model) => {
    try {
      const name = model.get('name');
      return String((name && name.text) ?? name ?? '');
    } catch {
      return '';
    }
  };

  return class Dialer {
    /* dialling(number, {name}) shows at once that it is dialled, and returns a function: given the call's id it leaves
       the place to that call's card, given nothing it takes the sign away. */
    constructor({ client, errors, clock, t, dialling }) {
      Object.assign(this, { client, errors, clock, t, dialling });
      this.dialled = new Map(); /* number → {at, outcome: a promise} */
    }

    /* raw is the text that was clicked, model what the CRM knows about where it stands. Promises {ok, call} or {ok: false,
       code}, and never fails: the CRM would show a "widget error". quiet: the failure is not explained. */
    async dial(raw, { quiet = false, model = null } = {}) {
      const clicked = String(raw ?? '').normalize('NFKC'); /* ７ is a 7 */
      const number = phone.code(clicked) || phone.clean(clicked);
      const outcome = await (number ? this.once(number, model) : { ok: false, code: 'bad_number' });
      if (!outcome.ok && !outcome.explained && !quiet) {
        outcome.explained = true; /* a double click is told once */
        this.errors.explain(outcome.code, { number: number || String(raw ?? '').trim() }, { of: 'dial' });
      }
      const { ok, code, call } = outcome;
      return ok ? { ok, call } : { ok, code };
    }

    once(number, model) {
      const now = this.clock.now();
      this.dialled.forEach(({ at }, key) => now - at >= pause && this.dialled.delete(key));
      if (!this.dialled.has(number)) this.dialled.set(number, { at: now, outcome: this.place(number, model) });
      return this.dialled.get(number).outcome;
    }

    async place(number, model) {
      const away = this.dialling(number, { name: nameOf(model) });
      try {
        const { call } = await this.client.call(number);
        away(call);
        return { ok: true, call };
      } catch (err) {
        away();
        return { ok: false, code: this.unconnected(err) ? 'offline' : err.code || 'internal' };
      }
    }

    unconnected({ code }) {
      return code === 'stopped' || code === 'refused' || (code === 'timeout' && this.client.state.name !== 'live');
    }
  };
});
