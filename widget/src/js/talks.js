/* The user's talks with people outside, as this browser saw them last: who loads the page anew while one ends is asked
   for its result all the same. */
define([], function () {
  'use strict';

  const prefix = 'talk.'; /* in the store, before the call's id: {call, at: when it was so} */
  const again = 60000; /* ms after which it is noted once more that a talk goes on */
  const life = 300000; /* ms after which nobody is asked any more */

  return class Talks {
    /* store: see store.js */
    constructor({ store, clock }) {
      Object.assign(this, { store, clock });
      this.noted = new Map(); /* call id → when, in this page */
    }

    /* Whether the user has talked with somebody in a call that is over for him. */
    static had({ direction, outcome }) {
      return direction !== 'internal' && outcome === 'answered';
    }

    note(call) {
      if (call.direction === 'internal') return;
      const now = this.clock.now();
      this.noted.set(call.id, now);
      this.store.set(prefix + call.id, { call, at: now });
    }

    /* The same as a while ago. */
    goesOn(call) {
      if (this.clock.now() - this.noted.get(call.id) >= again) this.note(call);
    }

    forget(id) {
      this.noted.delete(id);
      this.store.set(prefix + id, null);
    }

    /* Those that ended unseen, live being the calls that there are (a Map by id): the calls as they may have ended. How
       long they were is not known then (null). */
    lost(live) {
      const kept = this.store.keys().filter((key) => key.startsWith(prefix)).map((key) => this.store.get(key));
      return kept
        .filter(({ call, at }) => this.fresh(at) && (live.get(call.id) || { state: 'ended' }).state === 'ended')
        .map(({ call }) => (call.state === 'ended' ? call : { ...call, state: 'ended', outcome: 'answered', talk_seconds: null }));
    }

    fresh(at) {
      return this.clock.now() - at < life;
    }

    /* Takes away what any user of this browser has left here: it tells of customers. */
    sweep() {
      this.store.sweep(prefix, (kept) => !kept || !this.fresh(kept.at));
    }
  };
});
