/* Who is calling, looked up once for all tabs of the user. */
define(['./phone.js?v=%VERSION%'], function (phone) {
  'use strict';

  return class Lookups {
    /* crm {find}   client {state.leader}   channel  a BroadcastChannel, or null   clock */
    constructor({ crm, client, channel, clock }) {
      Object.assign(this, { crm, client, channel, clock });
    }

    /* Resolves to {state: 'found' | 'none' | 'failed', matches}; never rejects. */
    async find(number) {
      if (!phone.searchable(number)) return { state: 'none', matches: [] };
      try {
        const matches = await this.crm.find(number);
        return { state: matches.length ? 'found' : 'none', matches };
      } catch {
        return { state: 'failed', matches: [] };
      }
    }

    stop() {
      if (this.channel) this.channel.close();
    }
  };
});
