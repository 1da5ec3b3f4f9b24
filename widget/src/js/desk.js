/* The desk puts every call of the user where it belongs: a card, the CRM's notification, the calling status, the
   result window. It decides; cards, notices and windows only show. */
define([
  './phone.js?v=%VERSION%', './marks.js?v=%VERSION%', './talks.js?v=%VERSION%', './view.js?v=%VERSION%', './hangups.js?v=%VERSION%',
  './crm/entities.js?v=%VERSION%',
], function (phone, Marks, Talks, View, Hangups, entities) {
  'use strict';

  const linger = 2000; /* ms that a card still says how the call ended */
  const lingerLonger = 5000; /* and that somebody was missed, or where the call is parked */
  const hiddenTab = 1000; /* ms by which a tab that nobody looks at lets others open the result window */
  const beat = 1000; /* ms between two looks at the clocks, while there is a card */
  const slept = 90000; /* ms without a look: a hidden tab's timers run at least once a minute */
  const doubtful = 30000; /* ms without a connection after which nobody knows whether it still rings */
  const hopeless = 300000; /* the same of a talk */
  const searchAgain = 61000; /* ms; within a minute the answer is the same */
  const unseen = 10000; /* ms that a dialled number waits for its call */
  const claimAgain = 6000; /* ms until a claim that failed for the moment is made again */
  const claimTries = 5; /* and once more if another tab has it, which may have been closed */
  const passing = new Set(['too_many', 'timeout', 'unavailable', 'internal']); /* what a claim fails with for the moment */
  const mostAsked = 200;
  const proof = 5000; /* ms in which the client finds out whether its line has outlived a sleep */

  const nobody = () => ({ state: 'none', matches: [], chosen: null });

  const { talks, ringsHere, missed } = View;

  const isSame = (a, b) => a === b || phone.same(a, b);

  /* Whether it is another whom the call is with now: one was put through, or his number has become known. */
  const isOther = (call, before) => {
    const [inside, was] = [call, before].map(({ direction }) => direction === 'internal');
    return inside !== was || (!inside && !isSame(phone.of(call), phone.of(before)));
  };

  return class Desk {
    /* client    the browser client            telephone the telephone that the cards command
       deck      shows the cards               results   open(call, caller)
       lookups   find, learned, forget, watch  announce  ringing(call, entry), over(call, entry)
       alerts    ring(call, who), silence(id)  status    tell(talking)
       errors    explain(code, values, {of})   behaviour the account's switches
       crm       createContact, createLead     opener    open(href)
       store     see store.js                  wake      tells when the page sleeps and wakes
       clock     now, after, every             t         translator
       me        () → the user's name          colleague extension → name or ''
       visible   () → whether this tab is looked at */
    constructor(parts) {
      Object.assign(this, parts);
      this.entries = new Map(); /* call id → entry, see open */
      this.waits = new Set(); /* cancels of timers that belong to no card */
      this.marks = new Marks({ store: this.store });
      this.talks = new Talks(parts);
      this.hangups = new Hangups({ store: this.store });
      this.view = new View(parts);
      this.asked = new Map(); /* id of a call whose result was asked for, as an ended call may change, too → whether somebody has it */
      this.placeholders = new Map(); /* card → {number, call: its id once it is known, away()} of what is being dialled */
      this.lostAt = null; /* since when nothing is known for sure */
      this.signed = false; /* the sign of that is this desk's */
    }

    start() {
      this.deck.actions = {
        deed: (id, name, to) => this.command(id, name, to),
        choose: (id, match) => this.choose(id, match),
        create: (id, form) => this.create(id, form),
        people: () => this.view.people(),
        shut: (id) => this.entries.has(id) && this.entries.get(id).left && this.drop(id),
      };
      this.alerts.onOpen = (id) => this.deck.reveal(id);
      this.off = [
        this.client.on('call', (e) => this.onCall(e)),
        this.client.on('state', (state) => this.onState(state)),
        this.client.on('presence', () => this.onPresence()),
        this.lookups.watch((number, matches) => this.learned(number, matches)),
        this.marks.watch(() => this.drawAll()),
      ];
      this.wake.start({ sleep: () => this.status.tell(false), wake: () => this.awake() });
      this.talks.sweep();
      this.reconcile();
    }

    stop() {
      this.off.forEach((off) => off());
      this.wake.stop();
      [...this.entries.keys()].forEach((id) => this.remove(id));
      this.waits.forEach((cancel) => cancel());
      this.waits.clear();
      this.status.tell(false);
    }

    /* ---- What the client tells */

    onState({ name }) {
      if (name === 'live') this.confirmed();
      else if (name === 'refused' || name === 'stopped') this.clear(); /* nobody will tell how these calls end */
      else if (this.lostAt === null) this.lostAt = this.clock.now();
    }

    confirmed() {
      this.lostAt = null;
      this.sign(false);
      this.reconcile();
      this.marks.keep(this.client.calls);
      this.talks.sweep();
      this.talks.lost(this.client.calls).forEach((call) => this.askOnce({ call, search: nobody() }));
    }

    sign(on) {
      if (on === this.signed) return;
      this.signed = on;
      this.deck.indicate(on ? this.t('link.indicator') : null);
    }

    clear() {
      [...this.entries.keys()].forEach((id) => this.drop(id));
    }

    /* After a reload or a reset the client's calls are the truth: what is not among them ended unseen. */
    reconcile() {
      this.forgetGone();
      this.client.calls.forEach((call) => {
        const entry = this.entries.get(call.id);
        if (call.state !== 'ended' && (!entry || entry.left)) this.onCall({ call, live: false });
      });
      this.tellCalling();
    }

    forgetGone() {
      this.entries.forEach((entry, id) => {
        if (entry.call.state !== 'ended' && !this.client.calls.has(id)) this.drop(id);
      });
    }

    onCall({ event, call, previous, live }) {
      const endsNow = live && Boolean(previous) && previous.state !== 'ended';
      const known = this.entries.get(call.id);
      this.arrived(call, !known && !previous);
      const ends = previous ? previous.state !== 'ended' : event !== 'call.update'; /* an ended call may change, too */
      if (call.state === 'ended' && ends) this.endConsultation(call);
      if (!known && call.state === 'ended') {
        this.ended({ call, search: nobody() }, endsNow);
        return;
      }
      const entry = known || this.open(call);
      const before = entry.call || {};
      entry.call = call;
      if (known && isOther(call, before)) this.identify(entry, call);
      this.times(entry, before, live && Boolean(previous));
      if (before.state !== call.state) entry.trouble = '';
      if ((entry.goneAt || entry.left) && call.state !== 'ended') this.revive(entry);
      if (!known && call.direction === 'inbound' && call.state === 'ringing') this.announce.ringing(call, entry);
      if (!ringsHere(call)) this.alerts.silence(call.id);
      if (live && talks(call) && before.state === 'ringing') this.show(entry);
      if (talks(call)) this.talks.note(call);
      if (call.state === 'ended') this.ended(entry, endsNow);
      else this.ring(entry, this.draw(entry));
      this.beatWhileNeeded();
      this.tellCalling();
    }

    onPresence() {
      this.deck.people();
      this.entries.forEach((entry) => entry.call.direction === 'internal' && this.draw(entry));
    }

    /* ---- A call's life */

    /* A call that this tab sees for the first time. Its entry: call as it is now; search and found, see lookUp; since and
       held, when talk and hold began; busy, the deed that is being done; trouble, what the last one failed with; said,
       the name that was read out; goneAt, when its card goes; left: it is over, and the card stays for who writes in it;
       cancel and cancelSearch of its timers. */
    open(call) {
      const entry = { call: null, trouble: '' };
      this.entries.set(call.id, entry);
      this.identify(entry, call);
      return entry;
    }

    /* Finds out whom a call is with: at its beginning, and when it is somebody else's. */
    identify(entry, call) {
      if (entry.cancelSearch) entry.cancelSearch();
      const { search, found } = this.lookUp(call);
      Object.assign(entry, { search, found });
      if (search.state === 'failed') this.askAgain(entry);
      if (search.state === 'looking') found.then(() => this.entries.get(call.id) === entry && entry.search === search && this.named(entry));
    }

    /* The CRM did not say who it is: it is asked once more, when it may be. */
    askAgain(entry) {
      const { search } = entry;
      entry.cancelSearch = this.clock.after(searchAgain, async () => {
        if (search.state !== 'failed') return;
        const { state, matches } = await this.lookups.find(phone.of(entry.call));
        this.found(search, state, matches);
        this.redraw(entry);
      });
    }

    /* Looks the caller up with the user's own rights, unless he is a colleague or hides his number: {search, found}.
       found resolves when search says who it is, and never rejects. */
    lookUp(call) {
      const number = phone.of(call);
      if (call.direction === 'internal' || !phone.searchable(number)) return { search: nobody(), found: Promise.resolve() };
      const search = { state: 'looking', matches: [], chosen: null };
      const known = this.lookups.known(number);
      if (known) return { search: this.found(search, known.state, known.matches), found: Promise.resolve() };
      return { search, found: this.lookups.find(number).then(({ state, matches }) => this.found(search, state, matches)) };
    }

    found(search, state, matches) {
      return Object.assign(search, { state, matches, chosen: matches[0] || null });
    }

    named(entry) {
      if (entry.search.state === 'failed') this.askAgain(entry);
      this.ring(entry, this.draw(entry));
    }

    /* It begins to talk, or to be held: now by this machine's clock, which need not agree with the server's, if that
       was seen. How long a call is held the server does not tell: this browser remembers. */
    times(entry, before, seen) {
      const { call } = entry;
      const now = this.clock.now();
      if (talks(call) && !talks(before)) {
        const answered = Date.parse(call.answered_at);
        entry.since = seen || Number.isNaN(answered) ? now : Math.min(now, answered);
      }
      if (call.state !== 'held') {
        if (before.state === 'held') this.marks.set(call.id, { held: null, consults: null });
        entry.held = null;
      } else if (before.state !== 'held') {
        entry.held = this.marks.of(call.id).held || (seen ? now : null);
        if (entry.held) this.marks.set(call.id, { held: entry.held });
      }
    }

    /* model: as it is drawn. */
    ring({ call }, { rings, label, who }) {
      if (rings) this.alerts.ring(call, who, { title: label, quiet: this.talking() });
    }

    /* The caller's card in the CRM, at the answer, where the account has chosen so and the user looks. */
    show({ call, search, found }) {
      if (!this.behaviour.open || !this.visible() || call.direction === 'internal') return;
      this.client.once('open ' + call.id, async () => {
        await found;
        const { href, entity } = this.view.who({ call, search });
        if (entity && this.visible()) this.opener.open(href);
      }).catch(() => {});
    }

    ended(entry, now) {
      const { call } = entry;
      if (now) this.after(entry);
      this.announce.over(call, entry);
      if (!this.entries.has(call.id)) return;
      if (call.outcome === 'elsewhere') {
        this.drop(call.id);
        return;
      }
      if (!entry.goneAt) this.linger(entry);
      entry.busy = null;
      this.draw(entry);
    }

    /* A talk asks for its result. Until that has begun it is kept: the page may go away. */
    after(entry) {
      const { call } = entry;
      if (Talks.had(call) && !this.asked.get(call.id)) this.talks.note(call);
      else this.talks.forget(call.id);
      if (Talks.had(call)) this.askOnce(entry);
    }

    linger(entry) {
      const { call, busy } = entry;
      const ms = call.outcome === 'missed' || missed(call) || busy === 'park' || this.marks.of(call.id).slot ? lingerLonger : linger;
      entry.goneAt = this.clock.now() + ms;
      entry.cancel = this.clock.after(ms, () => this.drop(call.id));
    }

    /* Takes a card away, unless somebody writes in it: then it stays, without its call, until he has done. */
    drop(id) {
      const entry = this.entries.get(id);
      if (!entry) return;
      if (!this.deck.keeps(id)) this.remove(id);
      else if (!entry.left) this.leave(entry);
    }

    leave(entry) {
      Object.assign(entry, { left: true, goneAt: 0, call: { ...entry.call, state: 'ended' } });
      this.alerts.silence(entry.call.id);
      this.draw(entry);
      this.tellCalling();
    }

    remove(id) {
      const entry = this.entries.get(id);
      if (entry.cancel) entry.cancel();
      if (entry.cancelSearch) entry.cancelSearch();
      this.entries.delete(id);
      this.alerts.silence(id);
      if (entry.call.state === 'ended') this.marks.forget(id);
      this.deck.close(id);
      this.beatWhileNeeded();
      this.tellCalling();
    }

    /* A queue tries its members again: the same call rings once more. */
    revive(entry) {
      if (entry.cancel) entry.cancel();
      Object.assign(entry, { goneAt: 0, left: false, said: '' });
    }

    talking() {
      return [...this.entries.values()].some(({ call }) => talks(call));
    }

    /* While true the CRM does not reload the page for a release of its own. */
    tellCalling() {
      this.status.tell(this.talking());
    }

    askOnce(entry) {
      const { id } = entry.call;
      if (this.behaviour.result === 'never' || this.asked.get(id)) this.talks.forget(id);
      if (this.behaviour.result === 'never' || this.asked.has(id)) return;
      this.asked.set(id, false);
      if (this.asked.size > mostAsked) this.asked.delete(this.asked.keys().next().value);
      this.askResult(entry);
    }

    /* One tab asks for the result, and if it can be, the one that the user looks at. */
    askResult(entry, tries = claimTries) {
      this.later(this.visible() ? 0 : hiddenTab, async () => {
        const { id } = entry.call;
        try {
          await this.client.claim(id, 'result');
        } catch (err) {
          const left = err.code === 'taken' ? Math.min(tries - 1, 1) : tries - 1;
          if (left > 0 && (passing.has(err.code) || err.code === 'taken')) this.later(claimAgain, () => this.askResult(entry, left));
          else this.giveUp(id, err.code);
          return;
        }
        const fresh = entry.search.chosen ? entry : { ...entry, ...this.lookAgain(entry.call) };
        await fresh.found;
        this.settled(id);
        await this.results.open(entry.call, this.view.who(fresh));
        this.client.claim(id, 'result', { done: true }).catch(() => {});
      });
    }

    /* Somebody has it: nobody has to remember the talk any more. */
    settled(id) {
      this.asked.set(id, true);
      this.talks.forget(id);
    }

    /* Another has it, or there is no such call. What failed otherwise, as when the page goes away, may be asked for when
       the line stands again; and a call that is not there may come back, and has its end then. */
    giveUp(id, code) {
      if (code === 'taken') {
        this.settled(id);
        return;
      }
      if (code === 'not_found') this.talks.forget(id);
      this.asked.delete(id);
    }

    /* A new contact may have been made during the talk. */
    lookAgain(call) {
      this.lookups.forget(phone.of(call));
      return this.lookUp(call);
    }

    /* ---- Time, and sleep */

    /* Looks at the clocks while there is a card, and only then. */
    beatWhileNeeded() {
      const needed = this.entries.size > 0;
      if (needed === Boolean(this.endBeat)) return;
      if (needed) {
        this.lastBeat = this.clock.now();
        this.endBeat = this.clock.every(beat, () => this.onBeat());
      } else {
        this.endBeat();
        this.endBeat = null;
      }
    }

    onBeat() {
      const now = this.clock.now();
      const gap = now - this.lastBeat;
      if (gap > slept || gap < -beat) this.overslept(this.lastBeat);
      this.lastBeat = now;
      if (this.lostAt === null) this.entries.forEach(({ call }) => talks(call) && this.talks.goesOn(call));
      this.doubt(now);
      this.tellCalling();
      this.deck.tick();
    }

    /* Somebody looks at the page again, or it runs again. */
    awake() {
      if (this.entries.size) this.onBeat();
      if (this.client.state.name === 'live' && this.lostAt === null) this.reconcile();
    }

    /* The machine was asleep, and the client may not know yet that its line is dead. */
    overslept(since) {
      if (this.lostAt === null) this.lostAt = Math.min(since, this.clock.now() - doubtful);
      this.later(proof, () => this.client.state.name === 'live' && this.confirmed());
    }

    /* Without a connection nobody tells how a call ends: what rings is soon not to be believed, a talk later. */
    doubt(now) {
      const unheard = this.lostAt === null ? 0 : now - this.lostAt;
      this.entries.forEach(({ call, goneAt }, id) => {
        const unsure = unheard >= (talks(call) ? hopeless : doubtful) && call.state !== 'ended';
        if (unsure) this.sign(true);
        if (unsure || (goneAt && now >= goneAt)) this.drop(id);
      });
    }

    later(ms, fn) {
      const cancel = this.clock.after(ms, () => {
        this.waits.delete(cancel);
        fn();
      });
      this.waits.add(cancel);
    }

    /* ---- What the agent asks for */

    /* Promises whether it was done. to: of a transfer. */
    async command(id, deed, to) {
      const entry = this.entries.get(id);
      if (!entry || entry.busy) return false;
      const { call } = entry;
      Object.assign(entry, { busy: deed, trouble: '' });
      this.draw(entry);
      if (deed === 'hangup') this.hangups.note(id);
      try {
        const reply = await this.telephone[deed](call, to);
        this.done(id, deed, to, reply);
        return true;
      } catch (err) {
        if (err.code === 'not_found' && (deed === 'hangup' || entry.call.state === 'ended')) return true; /* the other side was faster */
        if (err.code === 'rejected' && deed === 'complete') this.marks.set(id, { consults: null });
        entry.trouble = this.trouble(err.code);
        this.errors.explain(err.code, { number: to || '' }, { of: deed });
        return false;
      } finally {
        entry.busy = null;
        this.redraw(entry);
      }
    }

    /* What a call does not say of itself, this browser remembers. */
    done(id, deed, to, reply) {
      const mark = {
        mute: { muted: true },
        unmute: { muted: null },
        consult: { consults: to },
        complete: { consults: null },
        cancel: { consults: null },
        park: { slot: (reply && reply.slot) || null },
      }[deed];
      if (mark) this.marks.set(id, mark);
    }

    /* Who was asked has hung up, where that is a call of its own. */
    endConsultation(call) {
      this.entries.forEach((entry, id) => {
        const { consults } = this.marks.of(id);
        const to = (call.peer && call.peer.extension) || phone.of(call);
        if (!consults || id === call.id || !isSame(consults, to)) return;
        this.marks.set(id, { consults: null });
        this.redraw(entry);
      });
    }

    trouble(code) {
      const key = 'trouble.' + code;
      const words = this.t(key);
      return words && words !== key ? words : this.t('trouble.failed', { code });
    }

    /* The agent knows which of several it is: that is the best match from now on, in all tabs. */
    choose(id, match) {
      const entry = this.entries.get(id);
      if (!entry) return;
      const others = this.view.who(entry).matches.filter((other) => other !== match);
      this.lookups.learned(phone.of(entry.call), [match, ...others]);
    }

    /* form {name, lead: the deal's name or null}. Rejects with the CRM's refusal. */
    async create(id, { name, lead }) {
      const { call } = this.entries.get(id);
      const number = phone.of(call);
      const match = lead
        ? this.matchOf(name, lead, await this.crm.createLead({ name: lead, contact: { name, phone: number } }))
        : await this.crm.createContact({ name, phone: number });
      this.lookups.learned(number, [match]);
    }

    matchOf(name, lead, { id, contactId }) {
      return entities.newContact(contactId, name, { leads: [entities.brief('lead', id, lead)], responsible: { id: '', name: this.me() } });
    }

    /* In this tab or another it became known who has a number. */
    learned(number, matches) {
      this.entries.forEach((entry) => {
        if (entry.call.direction === 'internal' || !phone.same(phone.of(entry.call), number)) return;
        this.found(entry.search, matches.length ? 'found' : 'none', matches);
        this.named(entry);
      });
    }

    /* ---- What the cards show */

    drawAll() {
      this.entries.forEach((entry) => this.draw(entry));
    }

    /* It may have gone meanwhile. */
    redraw(entry) {
      if (this.entries.get(entry.call.id) === entry) this.draw(entry);
    }

    /* Returns the card's model. */
    draw(entry) {
      const { call } = entry;
      const model = this.view.model(entry, this.marks.of(call.id));
      this.deck.show(call.id, model);
      this.say(entry, model);
      this.client.shown(call.id); /* told once, when somebody can see it */
      return model;
    }

    /* A number is being dialled: seen at once, before there is a call. Returns a function: given the call's id it
       leaves the place to that call's card, given nothing it takes the sign away. */
    dialling(number, { name = '' } = {}) {
      const place = 'dialling ' + number;
      const dial = { number, call: null };
      dial.away = () => this.placeholders.get(place) === dial && this.placeholders.delete(place) && this.deck.close(place);
      this.placeholders.set(place, dial);
      this.deck.show(place, this.view.dialling(number, name));
      return (call) => {
        dial.call = call;
        if (!call || this.client.calls.has(call)) dial.away();
        else this.later(unseen, dial.away);
      };
    }

    /* A dialled number's call is here: it may be so before the reply to the command. */
    arrived(call, first) {
      this.placeholders.forEach((dial) => {
        const its = dial.call ? dial.call === call.id : first && call.outgoing && isSame(dial.number, phone.of(call));
        if (its) dial.away();
      });
    }

    /* Who cannot see the card hears of a new call, and once more who it is. */
    say(entry, { label, who }) {
      if (!ringsHere(entry.call) || entry.said === who.name) return;
      entry.said = who.name;
      this.deck.say(label + ': ' + who.name);
    }
  };
});
