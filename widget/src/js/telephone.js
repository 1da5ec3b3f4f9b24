/* The telephone that the cards command: today the one behind the PBX, through the gateway. A telephone in the
   browser (WebRTC) would have the same methods. */
define(['./inabilities.js?v=%VERSION%'], function (Inabilities) {
  'use strict';

  const talks = ({ state }) => state === 'talking' || state === 'held';

  /* When a deed makes sense, as the gateway would see it. */
  const fits = {
    answer: (call) => call.state === 'ringing' && !call.outgoing,
    hangup: (call) => call.state !== 'ended',
    hold: (call) => call.state === 'talking',
    unhold: (call) => call.state === 'held',
    mute: talks,
    unmute: talks,
    transfer: talks,
    consult: talks,
    complete: talks,
    cancel: talks,
    park: talks,
  };

  /* What a deed that was not permitted says of its kin: who may not hold may not unhold. */
  const kin = { unhold: 'hold', unmute: 'mute', complete: 'consult', cancel: 'consult' };

  return class Telephone {
    /* client: the browser client      store: see store.js      clock  now */
    constructor({ client, store, clock }) {
      this.client = client;
      this.inabilities = new Inabilities({ store, clock });
    }

    stop() {
      this.inabilities.stop();
    }

    /* Whether a deed can be done with a call now: its state is one for it, and it has not turned out not to be permitted
       with this call, nor with others at this telephone. */
    can(deed, call) {
      return Boolean(fits[deed]) && fits[deed](call) && !this.inabilities.has(this.key(deed, call), call.id);
    }

    answer(call) {
      return this.attempt('answer', call, () => this.client.answer(call.id));
    }

    hangup(call) {
      return this.attempt('hangup', call, () => this.client.hangup(call.id));
    }

    hold(call) {
      return this.attempt('hold', call, () => this.client.hold(call.id));
    }

    unhold(call) {
      return this.attempt('unhold', call, () => this.client.unhold(call.id));
    }

    mute(call) {
      return this.attempt('mute', call, () => this.client.mute(call.id));
    }

    unmute(call) {
      return this.attempt('unmute', call, () => this.client.unmute(call.id));
    }

    /* Hands the call to an extension or a number. */
    transfer(call, to) {
      return this.attempt('transfer', call, () => this.client.transfer(call.id, to));
    }

    /* Lets the call wait and calls somebody to announce it: complete joins the two, cancel goes back to the call. */
    consult(call, to) {
      return this.attempt('consult', call, () => this.client.transfer(call.id, to, { attended: true }));
    }

    complete(call) {
      return this.attempt('complete', call, () => this.client.complete(call.id));
    }

    /* Whom it was announced to may have hung up by himself: then the call waits on. */
    cancel(call) {
      return this.attempt('cancel', call, async () => {
        try {
          return await this.client.cancel(call.id);
        } catch (err) {
          if (err.code !== 'rejected') throw err;
          return this.client.unhold(call.id);
        }
      });
    }

    /* The reply names the slot: who dials it has the call. */
    park(call) {
      return this.attempt('park', call, () => this.client.park(call.id));
    }

    async attempt(deed, call, run) {
      try {
        const reply = await run();
        this.inabilities.forget(this.key(deed, call));
        return reply;
      } catch (err) {
        /* Hanging up is what every telephone may be asked for again. */
        if (err.code === 'not_permitted' && deed !== 'hangup') this.inabilities.note(this.key(deed, call), call.id);
        throw err;
      }
    }

    key(deed, { id, extension }) {
      const [pbx] = String(id).split(':');
      return [kin[deed] || deed, pbx, extension].join(' ');
    }
  };
});
