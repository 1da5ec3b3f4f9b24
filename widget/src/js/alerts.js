/* A ringing call is heard, and seen outside of the browser, by the agent's own choice: in one tab only, the one he
   looks at if there is one. That tab has a lock of the browser's as long as it rings; the others wait for it, so that
   the next goes on when it cannot, or is closed. */
define(['./tone.js?v=%VERSION%'], function (Tone) {
  'use strict';

  const key = 'alerts'; /* of his choice, in the store */
  const patience = 1200; /* ms that a notification waits for the caller's name */
  const away = { hidden: 300, blurred: 50 }; /* ms by which a tab that nobody looks at lets others be first */

  return class Alerts {
    /* store  see store.js       behaviour {sound, desktop}: what the account has chosen
       page   as window          visible () → whether this tab is looked at    clock, t
       locks  navigator.locks or null           scope    what distinguishes this user's locks
       onOpen(call id), when a notification is clicked, is set by the desk */
    constructor({ store, locks = null, scope = '', clock, t, page, behaviour, visible, tone = new Tone({ page, clock }) }) {
      Object.assign(this, { store, locks, scope, clock, t, page, behaviour, visible, tone });
      this.alarms = new Map(); /* call id → {who, title, quiet, turn: if he is to be notified, shown} */
      this.turn = null; /* to sound, while something rings */
      this.sounds = null; /* 'softly' or 'loudly', when it does */
      this.blocked = false; /* the browser allowed no sound */
      this.onOpen = () => {};
      this.listeners = new Set();
      this.unwatch = store.watch(key, () => this.chosen());
      this.onHide = () => this.alarms.forEach(({ shown }) => shown && shown.close()); /* nobody could close it later */
      page.addEventListener('pagehide', this.onHide);
    }

    /* A call rings at the user; again when more is known of the caller. who: {name, number, kind}; title: such as
       'Incoming call'; quiet: he talks. */
    ring(call, who, { title = '', quiet = false } = {}) {
      const known = this.alarms.get(call.id);
      if (known) {
        known.who = who;
        if (known.shown) this.show(call.id, known);
        if (known.named && who.kind !== 'looking') known.named();
        return;
      }
      const alarm = { who, title, quiet };
      this.alarms.set(call.id, alarm);
      this.sound();
      if (this.now().desktop) alarm.turn = this.take('desktop ' + call.id, (turn) => this.desktop(call.id, alarm, turn));
    }

    /* It was answered, here or elsewhere, or is over. */
    silence(id) {
      const alarm = this.alarms.get(id);
      if (!alarm) return;
      this.alarms.delete(id);
      if (alarm.turn) alarm.turn.end();
      if (alarm.shown) alarm.shown.close();
      if (alarm.named) alarm.named();
      if (!this.alarms.size) this.hush();
    }

    /* A turn {mine, ended, over: a promise, end()}: fn(turn) runs when no other tab of the user has the same one, which
       is until fn's promise settles. */
    take(name, fn) {
      const aborter = new AbortController();
      const turn = { mine: false, ended: false };
      turn.over = new Promise((resolve) => {
        turn.end = () => {
          turn.ended = true;
          aborter.abort();
          resolve();
        };
      });
      const run = async () => {
        if (turn.ended) return;
        turn.mine = true;
        await fn(turn);
      };
      const ask = async () => {
        const ms = this.distance();
        if (ms) await Promise.race([turn.over, new Promise((resolve) => this.clock.after(ms, resolve))]);
        if (turn.ended) return;
        if (!this.locks) await run();
        else await this.locks.request(this.scope + name, { signal: aborter.signal }, run).catch(() => turn.mine || run()); /* the page may not have locks */
      };
      ask().catch(() => {}); /* not its turn any more, or the browser allows no sound: it is another tab's */
      return turn;
    }

    distance() {
      if (!this.visible()) return away.hidden;
      return this.page.document.hasFocus() ? 0 : away.blurred;
    }

    /* fn() when what is heard has changed, or was chosen otherwise. */
    watch(fn) {
      this.listeners.add(fn);
    }

    changed() {
      this.listeners.forEach((fn) => fn());
    }

    stop() {
      this.unwatch();
      this.page.removeEventListener('pagehide', this.onHide);
      [...this.alarms.keys()].forEach((id) => this.silence(id));
      this.tone.close();
    }

    /* In another tab. */
    chosen() {
      if (this.wanted().sound) this.sound();
      else this.hush();
      this.changed();
    }

    /* {sound, desktop}: what the agent has chosen, else his account. */
    wanted() {
      const own = this.store.get(key) || {};
      const choice = (name) => (typeof own[name] === 'boolean' ? own[name] : Boolean(this.behaviour[name]));
      return { sound: choice('sound'), desktop: choice('desktop') };
    }

    /* What of the sound comes about. */
    heard() {
      const { sound } = this.wanted();
      return { sound, blocked: sound && this.blocked };
    }

    /* And of the rest: {…heard(), desktop, permission: 'granted' | 'denied' | 'default' | 'none'}. */
    now() {
      const permission = this.permission();
      return { ...this.heard(), desktop: this.wanted().desktop && permission === 'granted', permission };
    }

    /* Read once, and again after a choice: Chromium holds the page for some milliseconds to answer. */
    permission() {
      if (!this.known) this.known = this.page.Notification ? this.page.Notification.permission : 'none';
      return this.known;
    }

    /* At a click of the agent's: only then may a browser be asked. */
    async choose(name, on) {
      this.store.set(key, { ...this.store.get(key), [name]: on });
      this.known = null;
      if (name === 'desktop' && on && this.permission() === 'default') {
        await this.page.Notification.requestPermission();
        this.known = null;
      }
      if (name === 'sound') await this.unlock();
      this.changed();
    }

    /* At a click, too: from then on a browser lets the page sound. What rings now is heard at once. */
    async unlock() {
      this.known = null;
      if (!this.wanted().sound) {
        this.hush();
        return;
      }
      if (this.blocked) {
        try {
          await this.tone.open();
          if (!this.sounds) this.tone.stop();
        } catch {
          return;
        }
        this.blocked = false;
      }
      this.sound();
    }

    /* All that rings is one sound. */
    sound() {
      if (!this.alarms.size || !this.wanted().sound) return;
      if (!this.turn) this.turn = this.take('tone', (turn) => this.play(turn));
      else if (this.turn.mine && this.sounds) this.start().catch(() => {});
    }

    async play(turn) {
      try {
        await this.start();
        this.hint(false);
      } catch (err) {
        if (this.turn === turn) this.turn = null;
        if (!turn.ended) this.hint(true); /* else it was stopped before it could begin */
        throw err;
      }
      if (turn.ended && !this.sounds) this.tone.stop();
      await turn.over;
    }

    /* Softly, while he talks. */
    async start() {
      const quiet = [...this.alarms.values()].every((alarm) => alarm.quiet);
      const how = quiet ? 'softly' : 'loudly';
      if (this.sounds === how) return;
      this.sounds = how;
      try {
        await this.tone.start({ quiet });
      } catch (err) {
        this.sounds = null;
        throw err;
      }
    }

    hush() {
      if (this.turn) this.turn.end();
      this.turn = null;
      this.sounds = null;
      this.tone.stop();
    }

    hint(blocked) {
      if (this.blocked === blocked) return;
      this.blocked = blocked;
      this.changed();
    }

    async desktop(id, alarm, turn) {
      if (alarm.who.kind === 'looking') {
        await new Promise((resolve) => {
          const cancel = this.clock.after(patience, resolve);
          alarm.named = () => {
            cancel();
            resolve();
          };
        });
      }
      if (turn.ended) return;
      /* Who looks at this page has the card before him. */
      if (!(this.visible() && this.page.document.hasFocus()) && this.now().desktop) this.show(id, alarm);
      await turn.over;
    }

    /* Its text is plain: no browser reads HTML there. One with the same tag takes the place of the last; one that would
       say the same is not shown again. */
    show(id, alarm) {
      const { name, number } = alarm.who;
      const body = [name, number === name ? '' : number].filter(Boolean).join('\n').slice(0, 300);
      if (alarm.shown && alarm.shown.body === body) return;
      const note = new this.page.Notification(alarm.title || this.t('card.incoming'), {
        body,
        tag: 'ringcast ' + id,
        silent: true,
        requireInteraction: true,
      });
      note.onclick = () => {
        this.page.focus();
        note.close();
        this.onOpen(id);
      };
      alarm.shown = note;
    }
  };
});
