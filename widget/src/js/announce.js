/* The CRM's stored notification comes to all tabs of the user, so one tab raises it: the one whose claim is granted. */
define(['./caller.js?v=%VERSION%'], function (caller) {
  'use strict';

  const claimAgain = 6000; /* ms: by then the claim of a tab that was closed is free again */
  const patience = 1500; /* ms that a notification waits for the caller's name */

  return class Announce {
    /* client {claim}   notices {incoming}   behaviour {notify}   clock   t   me () → name   colleague */
    constructor(parts) {
      Object.assign(this, parts);
      this.waits = new Set(); /* cancels */
    }

    /* A call that rings at the user. entry: {call, search, found}, call being what is known now. */
    ringing(entry) {
      this.raise(entry, true);
    }

    /* The call is over for this user. */
    over() {}

    stop() {
      this.waits.forEach((cancel) => cancel());
      this.waits.clear();
    }

    async raise(entry, again) {
      const { id } = entry.call;
      try {
        await this.client.claim(id, 'notify');
      } catch (err) {
        if (again && err.code === 'taken') this.later(claimAgain, () => entry.call.state === 'ringing' && this.raise(entry, false));
        return;
      }
      await Promise.race([entry.found, new Promise((resolve) => this.later(patience, resolve))]);
      try {
        await this.notices.incoming(caller.describe(entry.call, entry.search, this.t, this.colleague), this.me());
        await this.client.claim(id, 'notify', { done: true });
      } catch {
        /* The card is there; a stored notification more or less is nothing to trouble the user with. */
      }
    }

    later(ms, fn) {
      const cancel = this.clock.after(ms, () => {
        this.waits.delete(cancel);
        fn();
      });
      this.waits.add(cancel);
    }
  };
});
