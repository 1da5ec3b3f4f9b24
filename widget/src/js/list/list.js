/* The call list: who is to be called, one after another. */
define([], function () {
  'use strict';

  return class List {
    constructor(parts) {
      Object.assign(this, parts);
    }

    add() {}

    attach() {}

    onCall() {}

    stop() {}
  };
});
