/* What telephones have turned out not to do, in whatever of the user's tabs: also after a reload, for a day. */
define([], function () {
  'use strict';

  const key = 'inabilities'; /* in the store: what → {calls, at}: the calls that it was refused for, and when last */
  const life = 24 * 60 * 60 * 1000; /* ms: whoever runs the PBX may have given it more rights */
  const most = 50; /* kept; the oldest go first */
  const enough = 2; /* calls that refuse it, and none that does it, say so of the telephone: one may have a reason of its own */

  return class Inabilities {
    /* store: see store.js */
    constructor({ store, clock }) {
      Object.assign(this, { store, clock });
      this.known = null; /* as the store has them, until another tab changes them */
      this.off = store.watch(key, () => {
        this.known = null;
      });
    }

    all() {
      this.known = this.known || this.store.get(key) || {};
      return this.known;
    }

    has(what, call) {
      const calls = this.calls(what);
      return calls.length >= enough || calls.includes(call);
    }

    note(what, call) {
      const calls = [...new Set([...this.calls(what), call])].slice(0, enough);
      const { [what]: before, ...rest } = this.all();
      const others = Object.entries(rest).filter(([, { at }]) => this.counts(at)).slice(1 - most);
      this.known = { ...Object.fromEntries(others), [what]: { calls, at: this.clock.now() } };
      this.store.set(key, this.known);
    }

    /* It was done. */
    forget(what) {
      const { [what]: before, ...rest } = this.all();
      if (!before) return;
      this.known = rest;
      this.store.set(key, rest);
    }

    calls(what) {
      const { calls, at } = this.all()[what] || { calls: [], at: 0 };
      return this.counts(at) ? calls : [];
    }

    counts(at) {
      return this.clock.now() - at < life;
    }

    stop() {
      this.off();
    }
  };
});
