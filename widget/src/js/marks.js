/* What a call does not say of itself, and this user's tabs remember: {muted, held: since when, ms, consults: with whom,
   slot: where it is parked}. */
define([], function () {
  'use strict';

  const key = 'marks'; /* in the store: call id → marks */

  return class Marks {
    constructor({ store }) {
      this.store = store;
      this.known = null; /* as the store has them, until another tab changes them */
    }

    all() {
      this.known = this.known || this.store.get(key) || {};
      return this.known;
    }

    of(call) {
      return this.all()[call] || {};
    }

    /* null takes a mark away. */
    set(call, marks) {
      const all = this.all();
      const made = Object.fromEntries(Object.entries({ ...all[call], ...marks }).filter(([, value]) => value !== null));
      if (JSON.stringify(made) === JSON.stringify(all[call] || {})) return;
      this.save({ ...all, [call]: made });
    }

    forget(call) {
      const { [call]: gone, ...rest } = this.all();
      if (gone) this.save(rest);
    }

    /* Forgets all calls but these (a Map by id). */
    keep(calls) {
      const all = this.all();
      const kept = Object.fromEntries(Object.entries(all).filter(([call]) => calls.has(call)));
      if (Object.keys(kept).length < Object.keys(all).length) this.save(kept);
    }

    /* fn() when another tab has changed them; returns a function that ends it. */
    watch(fn) {
      return this.store.watch(key, () => {
        this.known = null;
        fn();
      });
    }

    save(all) {
      const some = Object.fromEntries(Object.entries(all).filter(([, marks]) => Object.keys(marks).length));
      this.known = some;
      this.store.set(key, Object.keys(some).length ? some : null);
    }
  };
});
