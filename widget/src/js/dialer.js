/* Click-to-call: one click is one call, and a call that did not come about is explained. */
define(['./phone.js?v=%VERSION%'], function (phone) {
  'use strict';

  const pause = 2000; /* ms in which the same number is not dialled again: a double click */

  const explained = new Set([
    'pbx_offline', 'not_registered', 'busy', 'rejected', 'not_permitted', 'bad_number', 'timeout', 'not_found', 'offline',
  ]);

  return class Dialer {
    constructor({ client, errors, clock, t }) {
      this.client = client;
      this.errors = errors;
      this.clock = clock;
      this.t = t;
      this.dialled = new Map(); /* number → when */
    }

    /* raw is the text that was clicked. Never throws: the CRM would show a "widget error". */
    async dial(raw) {
      const number = phone.clean(raw);
      if (!number) return this.explain({ code: 'bad_number' }, raw);
      const now = this.clock.now();
      this.dialled.forEach((at, key) => now - at >= pause && this.dialled.delete(key));
      if (this.dialled.has(number)) return undefined;
      this.dialled.set(number, now);
      return this.attempt(() => this.client.call(number), raw);
    }

    hangUp(call) {
      return this.attempt(() => this.client.hangup(call), '');
    }

    async attempt(command, number) {
      try {
        await command();
      } catch (err) {
        this.explain(err, number);
      }
    }

    unconnected({ code }) {
      return code === 'stopped' || code === 'refused' || (code === 'timeout' && this.client.state.name !== 'live');
    }

    explain(err, number) {
      const code = this.unconnected(err) ? 'offline' : err.code || 'internal';
      this.errors.show(this.t('errors.' + (explained.has(code) ? code : 'failed'), { code, number }));
    }
  };
});
