/* The desk puts every call of the user where it belongs: a card, the CRM's notification, the calling status,
   the result window. It decides; cards, notices and windows only show. */
define(['./caller.js?v=%VERSION%', './phone.js?v=%VERSION%'], function (caller, phone) {
  'use strict';

  const linger = 2000; /* ms that a card still says how the call ended */
  const hiddenTab = 1000; /* ms by which a tab that nobody looks at lets others open the result window */

  const nobody = () => ({ state: 'none', matches: [], chosen: null });

  const talks = (call) => call.state === 'talking' || call.state === 'held';

  return class Desk {
    /* client    the browser client            telephone the telephone that the cards command
       deck      show(id, model), close(id)    results   open(call, caller)
       lookups   find(number)                  announce  ringing(entry), over(entry)
       alerts    ring(call, who), silence(id)  status    tell(talking)
       errors    explain(code), show(message)  behaviour the account's switches
       clock     now, after                    t         translator
       me        () → the user's name          colleague extension → name or ''
       visible   () → whether this tab is looked at */
    constructor(parts) {
      Object.assign(this, parts);
      this.entries = new Map(); /* call id → {call, search, found, since, cancel} */
      this.waits = new Set(); /* cancels of timers that belong to no card */
    }

    start() {
      this.deck.onHangUp = (id) => this.command(() => this.telephone.hangup(id));
      this.off = [
        this.client.on('call', (e) => this.onCall(e)),
        this.client.on('state', (state) => this.onState(state)),
      ];
      this.reconcile();
    }

    stop() {
      this.off.forEach((off) => off());
      this.clear();
      this.waits.forEach((cancel) => cancel());
      this.waits.clear();
      this.tellCalling(false);
    }

    async command(run) {
      try {
        await run();
      } catch (err) {
        this.errors.explain(err.code);
      }
    }

    onState({ name }) {
      if (name === 'live') this.reconcile();
      if (name === 'refused') this.clear(); /* nobody will tell how these calls end */
    }

    clear() {
      [...this.entries.keys()].forEach((id) => this.drop(id));
    }

    /* After a reload or a reset the client's calls are the truth: what is not among them ended unseen. */
    reconcile() {
      this.entries.forEach((entry, id) => {
        if (entry.call.state !== 'ended' && !this.client.calls.has(id)) this.drop(id);
      });
      this.client.calls.forEach((call) => {
        if (call.state !== 'ended' && !this.entries.has(call.id)) this.onCall({ call, live: false });
      });
      this.tellCalling();
    }

    onCall({ call, previous, live }) {
      const known = this.entries.get(call.id);
      if (!known && call.state === 'ended') return this.ended({ call, search: nobody() }, live);
      const entry = known || this.open(call);
      if (talks(call) && !talks(entry.call || {})) entry.since = this.talkingSince(call, live && previous);
      entry.call = call;
      if (!known && call.direction === 'inbound' && call.state === 'ringing') this.announce.ringing(entry);
      if (call.state === 'ended') this.ended(entry, live);
      else this.draw(entry);
      this.tellCalling();
      return undefined;
    }

    /* A call that this tab sees for the first time. */
    open(call) {
      const entry = this.lookUp(call);
      this.entries.set(call.id, entry);
      entry.found.then(() => {
        if (this.entries.get(call.id) === entry) this.draw(entry);
      });
      return entry;
    }

    /* Looks the caller up, unless the gateway knows him, he is a colleague, or he hides his number. found
       resolves to the entry's search, and never rejects. */
    lookUp(call) {
      const entry = { search: nobody() };
      const number = call.phone || call.phone_raw;
      if (call.direction === 'internal' || call.contact || !phone.searchable(number)) {
        entry.found = Promise.resolve(entry.search);
        return entry;
      }
      entry.search = { state: 'looking', matches: [], chosen: null };
      entry.found = this.lookups.find(number).then(({ state, matches }) => Object.assign(entry.search, { state, matches, chosen: matches[0] || null }));
      return entry;
    }

    draw(entry) {
      const { call } = entry;
      const who = this.describe(entry);
      this.deck.show(call.id, {
        state: call.state,
        direction: call.direction,
        label: this.label(call),
        who,
        link: who.href && { href: who.href, text: this.t(this.linkText(who)) },
        line: call.direction === 'inbound' && call.line ? this.t('card.line', { line: phone.pretty(call.line) }) : '',
        since: talks(call) ? entry.since : null,
        hangUp: call.state === 'ended' ? null : this.t(call.direction === 'inbound' && call.state === 'ringing' ? 'card.decline' : 'card.hang_up'),
      });
      this.client.shown(call.id); /* told once, when somebody can see it */
    }

    describe(entry) {
      return caller.describe(entry.call, entry.search, this.t, this.colleague);
    }

    linkText(who) {
      if (!who.entity) return 'card.create';
      return { company: 'card.open_company', lead: 'card.open_lead' }[who.entity.type] || 'card.open';
    }

    label(call) {
      if (call.state === 'ended') return this.t('outcome.' + (call.outcome || 'answered'), { name: (call.answered_by || {}).name });
      if (call.state === 'ringing') return this.t({ inbound: 'card.incoming', outbound: 'card.outgoing' }[call.direction] || 'card.internal');
      return this.t('card.' + call.state);
    }

    /* Seen live, the talk began now by this machine's clock, which need not agree with the server's. */
    talkingSince(call, seen) {
      const now = this.clock.now();
      const answered = Date.parse(call.answered_at);
      return seen || Number.isNaN(answered) ? now : Math.min(now, answered);
    }

    ended(entry, live) {
      const { call } = entry;
      if (live && call.outcome === 'answered' && call.direction !== 'internal') this.askResult(entry);
      if (!this.entries.has(call.id)) return;
      if (call.outcome === 'elsewhere') {
        this.drop(call.id);
        return;
      }
      this.draw(entry);
      entry.cancel = entry.cancel || this.clock.after(linger, () => this.drop(call.id));
    }

    drop(id) {
      const entry = this.entries.get(id);
      if (entry && entry.cancel) entry.cancel();
      this.entries.delete(id);
      this.deck.close(id);
      this.tellCalling();
    }

    /* While true the CRM does not reload the page for a release of its own. */
    tellCalling(talking = [...this.entries.values()].some((entry) => talks(entry.call || {}))) {
      this.status.tell(talking);
    }

    /* One tab asks for the result, and if it can be, the one that the user looks at. */
    askResult(entry) {
      this.later(this.visible() ? 0 : hiddenTab, async () => {
        const { id } = entry.call;
        try {
          await this.client.claim(id, 'result');
        } catch {
          return;
        }
        /* A new contact may have been made during the talk. */
        const fresh = entry.search.chosen ? entry : { ...entry, ...this.lookUp(entry.call) };
        await fresh.found;
        await this.results.open(entry.call, this.describe(fresh));
        this.client.claim(id, 'result', { done: true }).catch(() => {});
      });
    }

    later(ms, fn) {
      const cancel = this.clock.after(ms, () => {
        this.waits.delete(cancel);
        fn();
      });
      this.waits.add(cancel);
    }
  };
});
