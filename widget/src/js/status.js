/* The calling status: while it is on, the CRM does not reload the page for a release of its own. */
define([], function () {
  'use strict';

  return class Status {
    /* sdk is APP.sdk. */
    constructor({ sdk }) {
      this.sdk = sdk;
      this.told = null; /* what the CRM was told last */
    }

    tell(talking) {
      if (talking === this.told) return;
      this.told = talking;
      this.sdk.setCallingStatus(talking);
    }
  };
});
