/* The driver dials the list, one after another. It looks at what is so (the list, its run, the user's calls, the time)
   whenever something may have changed, and does the next thing; so it does not matter in which order it hears of
   things, or whether it is the tab that began. */
define(['./model.js?v=%VERSION%', '../phone.js?v=%VERSION%'], function (model, phone) {
  'use strict';

  const settling = 2000; /* ms after another tab drove, in which what it wrote and dialled becomes known here */
  const confirming = 250; /* ms between reserving an entry and dialling it, in which another tab would be noticed */
  const patience = 45000; /* ms in which a call that was dialled must be seen */
  const unlinked = 15000; /* ms without a connection that the run outlives */
  const away = 90000; /* ms by which a call may be late; after a sleep nobody sits at the telephone */
  const reload = 20000; /* ms without any page that a run outlives */
  const opening = 8000; /* ms after a talk in which its result window opens */
  const inVain = 3; /* calls in a row that came to nothing on our side: the telephone, or nobody sits at it */

  const states = { busy: 'busy', rejected: 'busy', failed: 'failed', cancelled: 'cancelled' }; /* outcome → state; any other is missed */
  const ours = new Set(['cancelled', 'failed']); /* states that say nothing of who was called */

  /* Refusals that are about this number and no other. Any other is about all of them. */
  const ofOne = new Set(['bad_number', 'rejected', 'invalid', 'not_found']);
  const unsure = new Set(['timeout', 'offline']); /* the call may have been made */

  const isLive = (call) => call.state !== 'ended';
  const isTalk = (call) => call.state === 'talking' || call.state === 'held';
  const isOutgoing = (call) => call.direction === 'outbound' || call.outgoing === true;
  const hasNumber = (call, number) => phone.same(phone.of(call), phone.clean(number));

  return class Driver {
    /* kept      the list and its run          client  the browser client: calls, state, hangup
       dialer    dial(number, {quiet})         quiet   () → whether nobody writes down a result
       behaviour {interval: s between calls, result: when talks have a window}   random  () → a string nobody else has
       hangups   has(call): the user hung it up
       absent    ms in which no page of the CRM was open before this one
       clock     now, after                    changed called when something was written outside of step
       me        this tab's name */
    constructor(parts) {
      Object.assign(this, parts);
      this.driving = false;
      if (this.absent > reload) this.distrust();
    }

    /* Nobody watches the run that there is: it goes on only when somebody says so. */
    distrust() {
      const { run } = this.kept.list;
      this.distrusted = run && run.token;
    }

    /* This tab has the turn. */
    take() {
      if (this.driving) return;
      const { by } = this.kept.run;
      this.driving = true;
      this.stepped = this.clock.now();
      this.settled = by !== null && by !== this.me ? this.stepped + settling : 0;
      this.unlinkedSince = null;
      this.rang = null; /* the attempt that this tab has heard ring */
      this.hungUp = null; /* the attempt that this tab has hung up, to skip it */
    }

    leave() {
      this.driving = false;
      if (this.cancelConfirm) this.cancelConfirm();
      this.cancelConfirm = null;
    }

    step() {
      if (!this.driving || this.clock.now() < this.settled) return;
      this.adopt();
      this.wake();
      if (this.kept.run.attempt) this.follow();
      if (!this.kept.run.attempt) this.goOn();
    }

    /* Writes down. */
    note(changes) {
      const { list, run } = this.kept;
      const done = changes.done || run.done;
      const there = Object.fromEntries(Object.entries(done).filter(([key]) => model.find(list, key)));
      this.kept.setRun({ ...run, ...changes, done: there, by: this.me, at: this.clock.now() });
    }

    amend(changes) {
      this.note({ attempt: { ...this.kept.run.attempt, ...changes } });
    }

    halt(reason) {
      const { list, run } = this.kept;
      if (!model.running(list, run)) return;
      this.note({ halted: { run: list.run.token, reason }, until: null, held: false });
    }

    /* What was begun before: by people's new start, or by a page that is gone. */
    adopt() {
      const { list, run } = this.kept;
      if (list.run && run.run !== list.run.token) {
        this.note({ run: list.run.token, until: null, held: false, streak: 0, halted: null });
      }
      if (list.run && list.run.token === this.distrusted) this.halt('away');
    }

    /* The machine slept, or this tab did. */
    wake() {
      const now = this.clock.now();
      if (now - this.stepped > away) this.halt('away');
      this.stepped = now;
    }

    /* ---- The call that was dialled */

    callOf({ call, number, before }) {
      const { calls } = this.client;
      if (call) return calls.get(call) || null;
      return [...calls.values()].find((one) => isOutgoing(one) && hasNumber(one, number) && !before.includes(one.id)) || null;
    }

    /* A live call that is not the attempt's. While its reply is awaited, an outgoing call may be it under another number. */
    other(attempt) {
      const mine = attempt && this.callOf(attempt);
      const awaited = attempt && attempt.dialled && !mine;
      return [...this.client.calls.values()].some((call) => isLive(call) && call !== mine && !(awaited && isOutgoing(call)));
    }

    follow() {
      const { list, run: { attempt } } = this.kept;
      const entry = model.current(list, this.kept.run);
      if (!entry) return this.note({ attempt: null }); /* taken out of the list: the call is people's own now */
      if (!attempt.dialled) return this.reserved(attempt);
      if (this.other(attempt)) this.halt('call');
      this.linked(this.clock.now());
      const call = this.callOf(attempt);
      if (!call) return this.missing(attempt);
      if (!attempt.seen || attempt.call !== call.id) this.amend({ call: call.id, seen: true });
      if (!isLive(call)) return this.over(call);
      if (call.state === 'ringing') this.rang = attempt.token;
      if (isTalk(call) && attempt.talking === null) this.amend({ talking: this.since(call, attempt) });
      if (entry.skip && this.kept.run.attempt.talking === null) this.hangUp(call, attempt);
      return undefined;
    }

    /* Of another tab, or of this page before it was loaded again: it was never dialled. */
    reserved(attempt) {
      if (!this.cancelConfirm && this.clock.now() - attempt.at > settling) this.note({ attempt: null });
    }

    /* Seen to be answered, the talk began now by this machine's clock, which need not agree with the server's. */
    since(call, { token }) {
      const now = this.clock.now();
      const answered = Date.parse(call.answered_at);
      return this.rang === token || Number.isNaN(answered) ? now : Math.min(now, answered);
    }

    missing(attempt) {
      if (this.client.state.name !== 'live') return; /* it may be there */
      if (attempt.seen) this.over(null);
      else if (this.clock.now() - attempt.at > patience) {
        this.over({ outcome: 'failed', talk_seconds: 0 });
        this.halt('lost');
      }
    }

    hangUp(call, { token }) {
      if (this.hungUp === token) return;
      this.hungUp = token;
      this.client.hangup(call.id).catch(() => {}); /* over already, or it goes on and is seen to */
    }

    /* call is null when its end was not seen. */
    over(call) {
      const { list, run } = this.kept;
      const { attempt } = run;
      const entry = model.current(list, run);
      const now = this.clock.now();
      const outcome = call && call.outcome;
      const talked = attempt.talking === null ? 0 : Math.round((now - attempt.talking) / 1000);
      const talk = call ? call.talk_seconds || 0 : talked;
      const reached = outcome === 'answered' || talk > 0 || attempt.talking !== null;
      const state = reached ? 'reached' : entry.skip ? 'skipped' : states[outcome] || 'missed';
      const byHand = call !== null && this.hangups.has(call.id); /* and that says nothing of our side */
      const vain = ours.has(state) && !byHand;
      this.settle(entry, { state: ours.has(state) && byHand ? 'missed' : state, talk }, vain);
    }

    /* The attempt is over: vain if it came to nothing on our side. */
    settle({ key, since }, { state, talk }, vain) {
      const { run } = this.kept;
      const streak = vain ? run.streak + 1 : 0;
      const { interval, result } = this.behaviour;
      const pause = interval * 1000;
      this.note({
        attempt: null, streak, held: false,
        until: this.clock.now() + (state === 'reached' && result !== 'never' ? Math.max(pause, opening) : pause),
        done: { ...run.done, [key]: { since, state, talk } },
      });
      if (streak >= inVain) this.halt('streak');
    }

    /* ---- The next one */

    goOn() {
      const { list, run } = this.kept;
      const now = this.clock.now();
      if (!model.running(list, run)) return;
      if (this.other(null)) return this.halt('call');
      if (!this.linked(now)) return undefined;
      const entry = model.next(list, run);
      if (!entry) return this.halt('finished');
      const hurried = run.until !== null && list.now === run.until;
      if (!hurried && !this.quiet()) return run.held ? undefined : this.note({ held: true, until: null });
      if (run.held) return this.note({ held: false, until: now + this.behaviour.interval * 1000 });
      if (run.until !== null && now > run.until + away) return this.halt('away');
      if (run.until !== null && now < run.until && !hurried) return undefined;
      return this.reserve(entry);
    }

    linked(now) {
      const { name } = this.client.state;
      if (name === 'live') {
        this.unlinkedSince = null;
        return true;
      }
      if (this.unlinkedSince === null) this.unlinkedSince = now;
      if (name === 'refused' || name === 'stopped' || now - this.unlinkedSince > unlinked) this.halt('offline');
      return false;
    }

    /* Says in the store that it is to be dialled, and looks a moment later whether that still stands. */
    reserve(entry) {
      const token = this.random();
      const before = [...this.client.calls.values()].filter((call) => hasNumber(call, entry.phone)).map(({ id }) => id);
      this.note({
        attempt: {
          key: entry.key, since: entry.since, token, number: entry.phone, at: this.clock.now(),
          dialled: false, call: null, seen: false, talking: null, before,
        },
      });
      this.cancelConfirm = this.clock.after(confirming, () => this.confirm(token));
    }

    confirm(token) {
      this.cancelConfirm = null;
      this.kept.refresh();
      this.wake();
      const { list, run } = this.kept;
      const { attempt } = run;
      if (!attempt || attempt.token !== token) return; /* another tab was faster */
      const entry = model.current(list, run);
      const stands = entry && !entry.skip && model.running(list, run) && this.client.state.name === 'live' && !this.other(null);
      if (stands) this.dial(entry.phone, token);
      else this.note({ attempt: null });
      this.changed();
    }

    async dial(number, token) {
      this.amend({ dialled: true, number, at: this.clock.now() });
      const reply = (await this.dialer.dial(number, { quiet: true })) || { ok: false, code: 'failed' };
      const { attempt } = this.kept.run;
      if (!this.driving || !attempt || attempt.token !== token) return;
      if (attempt.before.includes(reply.call)) this.note({ attempt: null }); /* taken for a double click: nothing was dialled */
      else if (reply.ok && reply.call) this.amend({ call: reply.call, seen: this.client.calls.has(reply.call) });
      if (!reply.ok && !attempt.seen) this.refused(reply.code || 'failed');
      this.changed();
    }

    refused(code) {
      const { list, run } = this.kept;
      if (unsure.has(code)) return this.halt(code); /* and it is looked for */
      const entry = model.current(list, run);
      if (!entry) return undefined;
      const state = code === 'rejected' ? 'cancelled' : 'failed'; /* rejected: by the user's own telephone */
      if (ofOne.has(code)) return this.settle(entry, { state, talk: 0 }, code !== 'bad_number');
      this.note({ attempt: null }); /* not called: it waits still */
      return this.halt(code);
    }
  };
});
