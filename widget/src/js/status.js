/* The calling status: while it is on, the CRM does not reload the page for a release of its own. */
define([], function () {
  'use strict';

  return class Status {
    /* sdk is APP.sdk; a CRM without it has no such status. */
    constructor({ sdk }) {
      this.sdk = sdk || {};
      this.ours = false; /* it is this widget that has switched it on */
    }

    /* Switches it on while the user talks, again if somebody has switched it off meanwhile; and off only if it was
       this widget that switched it on: another widget's call may go on. */
    tell(talking) {
      if (typeof this.sdk.setCallingStatus !== 'function') return;
      if (!talking) {
        if (this.ours) this.sdk.setCallingStatus(false);
        this.ours = false;
      } else if (!this.on()) {
        this.sdk.setCallingStatus(true);
        this.ours = true;
      }
    }

    on() {
      return typeof this.sdk.getCallingStatus === 'function' ? this.sdk.getCallingStatus() : this.ours;
    }
  };
});
