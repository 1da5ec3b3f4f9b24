/* The telephone that the cards command: today the one behind the PBX, through the gateway. A telephone in the
   browser (WebRTC) would have the same methods. */
define([], function () {
  'use strict';

  return class Telephone {
    constructor({ client }) {
      this.client = client;
    }

    hangup(call) {
      return this.client.hangup(call);
    }
  };
});
