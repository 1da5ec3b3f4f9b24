/* Sound and desktop notification, by the agent's own choice. */
define([], function () {
  'use strict';

  return class Alerts {
    constructor(parts) {
      Object.assign(this, parts);
    }

    ring() {}

    silence() {}

    stop() {}
  };
});
