/* Says what went wrong: the cause, what to do, whom to ask. */
define([], function () {
  'use strict';

  return class Errors {
    constructor({ notices, t }) {
      Object.assign(this, { notices, t });
    }

    /* code is a command's, as in the section errors of the texts. */
    explain(code, values = {}) {
      const known = this.t('errors.' + code);
      this.show(this.t('errors.' + (known === 'errors.' + code ? 'failed' : code), { code, ...values }));
    }

    show(message) {
      this.notices.error(message);
    }
  };
});
