/* Whose turn it is: of all the tabs that want to, one at a time does what only one may. It lasts until the tab no
   longer wants to, or is gone. */
define([], function () {
  'use strict';

  return class Turn {
    /* locks  as navigator.locks; without it the tab that leads the client's connection has the turn
       name   of the lock      changed  called when this tab has got its turn */
    constructor({ locks, name, client, changed }) {
      Object.assign(this, { locks, name, client, changed });
      this.wish = null; /* an AbortController while it is wanted */
      this.release = null;
    }

    get held() {
      if (this.locks) return this.release !== null;
      return this.wish !== null && this.client.state.leader !== false;
    }

    want(on) {
      if (on === (this.wish !== null)) return;
      if (on) this.queue();
      else this.leave();
    }

    queue() {
      const wish = new AbortController();
      this.wish = wish;
      if (!this.locks) return;
      this.locks.request(this.name, { signal: wish.signal }, () => this.hold(wish)).catch(() => {}); /* no longer wanted */
    }

    hold(wish) {
      if (this.wish !== wish) return undefined;
      return new Promise((resolve) => {
        this.release = resolve;
        this.changed();
      });
    }

    leave() {
      const { wish, release } = this;
      this.wish = null;
      this.release = null;
      if (release) release();
      else wish.abort();
    }
  };
});
