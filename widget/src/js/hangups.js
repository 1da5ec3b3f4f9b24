/* Which call the user himself hung up last, in whatever of his tabs: that it came to nothing is no failure. */
define([], function () {
  'use strict';

  const key = 'hangup'; /* in the store: the call's id */

  return class Hangups {
    constructor({ store }) {
      this.store = store;
    }

    /* Before it is asked for: the call may be over before the answer. */
    note(call) {
      this.store.set(key, call);
    }

    has(call) {
      return this.store.get(key) === call;
    }
  };
});
