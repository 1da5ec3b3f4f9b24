/* Tells the user that the telephony server is out of reach, once, and that it is back. */
define([], function () {
  'use strict';

  const patience = 5000; /* ms without a connection before anybody is told: short cuts mend themselves */
  const again = 60000; /* ms until one who could not be told is tried to be told again: the line may flap */

  const causes = {
    origin: 'origin', bad_token: 'bad_token', token_expired: 'bad_token', revoked: 'revoked', too_many: 'too_many',
    bad_protocol: 'protocol', unsupported: 'unsupported', unavailable: 'unavailable', draining: 'unavailable',
  };

  return class Link {
    /* indicate(text | null) shows or hides a small sign; badge(status) marks the widget in the CRM's settings;
       entitled() → whether the CRM's settings give this user a telephone. */
    constructor({ host, errors, notices, indicate, badge, entitled, clock, t }) {
      Object.assign(this, { host, errors, notices, indicate, badge, entitled, clock, t });
      this.cancel = null; /* of the timer that runs since the line was cut */
      this.down = null; /* 'lost' or 'refused' once the user has a sign of it */
      this.told = false; /* by this tab */
    }

    /* state is the client's: {name: 'connecting' | 'live' | 'retrying' | 'refused', code, leader}. */
    onState(state) {
      this.last = state;
      if (state.name === 'live') return this.restored();
      if (state.name === 'refused') return this.refused();
      if (state.code === 'asleep') return this.stopWaiting(); /* a frozen page: nobody is looking */
      if (!this.cancel && !this.down) this.wait(patience, () => this.lost());
      return undefined;
    }

    /* Who has no extension and is not known to the gateway misses nothing. */
    refused() {
      this.stopWaiting();
      if (this.last.code === 'revoked' && !this.entitled()) {
        this.down = null;
        this.indicate(null);
        return;
      }
      this.badge('error');
      this.sign('refused');
    }

    lost() {
      this.sign('lost');
    }

    sign(kind) {
      if (this.down === kind) return;
      this.down = kind;
      this.told = false;
      this.indicate(this.t('link.indicator'));
      this.tell();
    }

    /* One tab tells: of those that share a connection the one that holds it. */
    async tell() {
      const kind = this.down;
      if (kind === 'lost' && this.last.leader === false) return this.wait(again, () => this.tell());
      const values = { host: this.host, cause: this.cause(), ask: this.errors.ask() };
      const key = kind === 'refused' ? 'refused.' + this.last.code : 'lost';
      const told = await this.errors.show(this.t('link.' + kind, values), { key });
      if (this.down !== kind) return undefined;
      this.told = told;
      if (kind === 'lost' && !told) this.wait(again, () => this.tell());
      return undefined;
    }

    restored() {
      this.stopWaiting();
      this.badge('installed');
      ['lost', 'refused'].forEach((kind) => this.errors.over(kind)); /* also what was told before a reload */
      if (!this.down) return;
      this.down = null;
      this.indicate(null);
      if (this.told) this.notices.info(this.t('link.back'));
      this.told = false;
    }

    cause() {
      const { name, code } = this.last;
      if (code in causes) return this.t('cause.' + causes[code]);
      return name === 'refused' && code ? this.t('cause.other', { code }) : this.t('cause.network');
    }

    wait(ms, fn) {
      this.stopWaiting();
      this.cancel = this.clock.after(ms, () => {
        this.cancel = null;
        fn();
      });
    }

    stopWaiting() {
      if (this.cancel) this.cancel();
      this.cancel = null;
    }

    stop() {
      this.down = null;
      this.stopWaiting();
      this.indicate(null);
    }
  };
});
