/* Tells the user that the telephony server is out of reach, once, and that it is back. */
define([], function () {
  'use strict';

  const patience = 5000; /* ms without a connection before anybody is told: short cuts mend themselves */
  const quiet = 300000; /* ms between two notices about a flapping line; the indicator shows it meanwhile */

  const causes = {
    origin: 'origin', bad_token: 'bad_token', token_expired: 'bad_token',
    revoked: 'revoked', too_many: 'too_many', bad_protocol: 'protocol', unsupported: 'unsupported',
  };

  return class Link {
    /* indicate(text | null) shows or hides a small sign. */
    constructor({ host, errors, notices, indicate, clock, t }) {
      Object.assign(this, { host, errors, notices, indicate, clock, t });
      this.cancel = null; /* of the timer that runs since the line was cut */
      this.down = null; /* 'lost' or 'refused' once the user has a sign of it */
      this.told = false;
      this.toldAt = -Infinity;
    }

    /* state is the client's: {name: 'connecting' | 'live' | 'retrying' | 'refused', code}. */
    onState(state) {
      this.last = state;
      if (state.name === 'live') return this.restored();
      if (state.name === 'refused') return this.lost('refused');
      if (state.code === 'asleep') return this.stopWaiting(); /* a frozen page: nobody is looking */
      if (!this.cancel && !this.down) this.cancel = this.clock.after(patience, () => this.lost('lost'));
      return undefined;
    }

    lost(kind) {
      this.stopWaiting();
      if (this.down === kind) return;
      this.down = kind;
      this.indicate(this.t('link.indicator'));
      const now = this.clock.now();
      if (kind === 'lost' && now - this.toldAt < quiet) return;
      this.told = true;
      this.toldAt = now;
      this.errors.show(this.t('link.' + kind, { host: this.host, cause: this.cause() }));
    }

    restored() {
      this.stopWaiting();
      if (!this.down) return;
      this.down = null;
      this.indicate(null);
      if (this.told) this.notices.info(this.t('link.back'));
      this.told = false;
    }

    cause() {
      const code = this.last.code;
      if (code in causes) return this.t('cause.' + causes[code]);
      return this.last.name === 'refused' && code ? this.t('cause.other', { code }) : this.t('cause.network');
    }

    stopWaiting() {
      if (this.cancel) this.cancel();
      this.cancel = null;
    }

    stop() {
      this.stopWaiting();
      this.indicate(null);
    }
  };
});
