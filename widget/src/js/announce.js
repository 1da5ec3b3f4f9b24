/* The CRM's stored notification comes to all tabs of the user, so one tab raises it: the one whose claim is granted. */
define(['./caller.js?v=%VERSION%'], function (caller) {
  'use strict';

  const claimAgain = 6000; /* ms: by then the claim of a tab that was closed is free again */
  const patience = 1500; /* ms that a notification waits for the caller's name */
  const recordingTime = 10000; /* ms that the one after a talk waits for the recording */

  const raised = 'announced'; /* talks, in the store: ids of the last calls. Who goes away cannot confirm what he has raised */
  const mostRaised = 20;

  const mostSeen = 200;
  const tries = 3; /* of a claim that fails for another reason than that somebody has it */

  const unasked = { state: 'failed', matches: [], chosen: null };

  return class Announce {
    /* client {claim, on, calls}   notices {incoming, talked}   behaviour {notify}   clock   t   me () → name   colleague
       page  window, for when it goes away         store  see store.js */
    constructor(parts) {
      Object.assign(this, parts);
      this.unrecorded = new Set(); /* what ends waiting for a recording */
      this.hurry = () => [...this.unrecorded].forEach((settle) => settle());
      this.page.addEventListener('pagehide', this.hurry);
      this.waits = new Set(); /* what ends a wait */
      this.seen = new Set(); /* what was asked of this tab already: '<claim> <call>' */
    }

    /* A call that rings at the user. entry: {call, search, found}, call being what is known now. */
    ringing(call, entry) {
      if (!this.wants('ring') || call.direction !== 'inbound') return;
      this.first(call.id, 'notify', {
        again: claimAgain,
        still: () => this.current(entry).state === 'ringing',
        raise: async () => {
          if (this.current(entry).outcome !== 'elsewhere') await this.notices.incoming(this.describe(entry), this.me());
        },
        entry,
      });
    }

    /* The call is over for this user: announced if he talked. */
    over(call, entry) {
      const open = () => !this.raised().includes(call.id);
      if (!this.wants('end') || call.direction === 'internal' || call.outcome !== 'answered' || !open()) return;
      this.first(call.id, 'notify_end', {
        again: recordingTime + claimAgain,
        still: open,
        raise: async () => {
          const known = await this.recorded(entry);
          if (this.stopped) return;
          this.store.set(raised, [...this.raised(), call.id].slice(-mostRaised));
          await this.notices.talked(known, this.describe(entry), this.me());
        },
        entry,
      });
    }

    stop() {
      this.stopped = true;
      this.page.removeEventListener('pagehide', this.hurry);
      this.waits.forEach((end) => end());
      this.waits.clear();
    }

    /* In whatever tab of this browser. */
    raised() {
      return this.store.get(raised) || [];
    }

    wants(when) {
      return [when, 'both'].includes(this.behaviour.notify);
    }

    /* A call may ring or end here more than once: a connection was lost, or its recording becomes known. */
    first(id, what, todo) {
      const key = what + ' ' + id;
      if (this.seen.has(key)) return;
      this.seen.add(key);
      if (this.seen.size > mostSeen) this.seen.delete(this.seen.values().next().value);
      this.once(id, what, todo);
    }

    /* Claims, raises and confirms. A claim that failed is made again: once when another tab has it, which may have been
       closed; some times when the gateway had too much to do, or was away. */
    async once(id, what, todo, left = tries - 1) {
      try {
        await this.client.claim(id, what);
      } catch (err) {
        const taken = err.code === 'taken';
        const again = () => todo.still() && this.once(id, what, todo, taken ? 0 : left - 1);
        if (!this.stopped && left > 0 && err.code !== 'not_found') this.wait(taken ? todo.again : claimAgain, again);
        return;
      }
      if (!this.stopped) await this.named(todo.entry);
      if (this.stopped) return;
      try {
        await todo.raise();
        await this.client.claim(id, what, { done: true });
      } catch {
        /* The card was there; a stored notification more or less is nothing to trouble the user with. */
      }
    }

    /* An entry without found is of a call that nobody was looked up for: that nobody is known says nothing. */
    describe(entry) {
      return caller.describe(entry.call, entry.found ? entry.search : unasked, this.t, this.colleague);
    }

    current({ call }) {
      return this.client.calls.get(call.id) || call;
    }

    /* Resolves when the caller's name is known, or will not be in time. */
    named({ found }) {
      return new Promise((resolve) => {
        const end = this.wait(patience, resolve);
        Promise.resolve(found).then(() => {
          end();
          resolve();
        });
      });
    }

    /* Resolves to the call with its recording, or without if that does not become known in time: before the page goes
       away, that is. */
    recorded(entry) {
      if (this.current(entry).recording) return Promise.resolve(this.current(entry));
      return new Promise((resolve) => {
        const settle = () => {
          off();
          end();
          this.unrecorded.delete(settle);
          resolve(this.current(entry));
        };
        const off = this.client.on('call', ({ call }) => call.id === entry.call.id && call.recording && settle());
        const end = this.wait(recordingTime, settle, off);
        this.unrecorded.add(settle);
      });
    }

    /* Runs fn after ms; returns what ends the wait before, as stop does. */
    wait(ms, fn, ended = () => {}) {
      const cancel = this.clock.after(ms, () => {
        this.waits.delete(end);
        fn();
      });
      const end = () => {
        this.waits.delete(end);
        cancel();
        ended();
      };
      this.waits.add(end);
      return end;
    }
  };
});
