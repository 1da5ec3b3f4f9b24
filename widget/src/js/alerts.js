/* A ringing call is heard, and seen outside of the browser, by the agent's own choice: in one tab only, the one he
   looks at if there is one. */
define(['./tone.js?v=%VERSION%'], function (Tone) {
  'use strict';

  const key = 'alerts'; /* of his choice, in the store */
  const patience = 1200; /* ms that a notification waits for the caller's name */

  return class Alerts {
    /* client {once}      store  see store.js       behaviour {sound, desktop}: what the account has chosen
       page   as window   visible () → whether this tab is looked at    clock, t
       onOpen(call id), when a notification is clicked, is set by the desk; onChange(), by the deck */
    constructor({ client, store, clock, t, page, behaviour, visible, tone = new Tone({ page, clock }) }) {
      Object.assign(this, { client, store, clock, t, page, behaviour, visible, tone });
      this.alarms = new Map(); /* call id → {who, title, quiet, over, end, shown} */
      this.blocked = false; /* the browser allowed no sound */
      this.onOpen = () => {};
      this.onChange = () => {};
      this.unwatch = store.watch(key, () => this.chosen());
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
      alarm.over = new Promise((resolve) => {
        alarm.end = resolve;
      });
      this.alarms.set(call.id, alarm);
      /* A tab that cannot, or is closed, leaves it to the next one. The version tells this ringing from another of the
         same call: a queue tries its members again. */
      const once = (what, fn) => this.client.once([what, call.id, call.version].join(' '), fn).catch(() => {});
      once('sound', () => this.sound(alarm));
      once('desktop', () => this.desktop(call.id, alarm));
    }

    /* It was answered, here or elsewhere, or is over. */
    silence(id) {
      const alarm = this.alarms.get(id);
      if (!alarm) return;
      this.alarms.delete(id);
      alarm.ended = true;
      if (alarm.shown) alarm.shown.close();
      if (alarm.named) alarm.named();
      if (![...this.alarms.values()].some((other) => other.sounds)) this.tone.stop();
      alarm.end();
    }

    stop() {
      this.unwatch();
      [...this.alarms.keys()].forEach((id) => this.silence(id));
      this.tone.close();
    }

    /* In another tab. */
    chosen() {
      if (!this.wanted().sound) this.tone.stop();
      this.onChange();
    }

    /* {sound, desktop}: what the agent has chosen, else his account. */
    wanted() {
      const own = this.store.get(key) || {};
      const choice = (name) => (typeof own[name] === 'boolean' ? own[name] : Boolean(this.behaviour[name]));
      return { sound: choice('sound'), desktop: choice('desktop') };
    }

    /* What of it comes about: {sound, desktop, blocked, permission: 'granted' | 'denied' | 'default' | 'none'}. */
    now() {
      const { sound, desktop } = this.wanted();
      const permission = this.page.Notification ? this.page.Notification.permission : 'none';
      return { sound, desktop: desktop && permission === 'granted', blocked: sound && this.blocked, permission };
    }

    /* At a click of the agent's: only then may a browser be asked. */
    async choose(name, on) {
      this.store.set(key, { ...this.store.get(key), [name]: on });
      if (name === 'desktop' && on && this.now().permission === 'default') await this.page.Notification.requestPermission();
      if (name === 'sound') await this.unlock();
      this.onChange();
    }

    /* At a click, too: from then on a browser lets the page sound. What rings now is heard at once. */
    async unlock() {
      const heard = [...this.alarms.values()].find((alarm) => alarm.refused || alarm.sounds);
      if (!this.wanted().sound) {
        this.tone.stop();
        return;
      }
      if (heard ? heard.sounds : !this.blocked) return;
      try {
        await (heard ? this.tone.start(heard) : this.tone.open());
        if (heard) Object.assign(heard, { sounds: true, refused: false });
        else this.tone.stop();
        this.blocked = false;
      } catch {
        this.blocked = true;
      }
    }

    async sound(alarm) {
      if (alarm.ended || !this.wanted().sound) return;
      try {
        await this.tone.start(alarm);
        alarm.sounds = true;
        this.hint(false);
      } catch (err) {
        alarm.refused = true;
        this.hint(true);
        throw err;
      }
      if (alarm.ended) this.tone.stop();
      await alarm.over;
    }

    hint(blocked) {
      if (this.blocked === blocked) return;
      this.blocked = blocked;
      this.onChange();
    }

    async desktop(id, alarm) {
      if (alarm.who.kind === 'looking' && !alarm.ended) {
        await new Promise((resolve) => {
          const cancel = this.clock.after(patience, resolve);
          alarm.named = () => {
            cancel();
            resolve();
          };
        });
      }
      /* Who looks at this page has the card before him. */
      if (alarm.ended || !this.now().desktop || (this.visible() && this.page.document.hasFocus())) return;
      this.show(id, alarm);
      await alarm.over;
    }

    /* Its text is plain: no browser reads HTML there. One with the same tag takes the place of the last. */
    show(id, alarm) {
      const { name, number } = alarm.who;
      const note = new this.page.Notification(alarm.title || this.t('card.incoming'), {
        body: [name, number === name ? '' : number].filter(Boolean).join('\n').slice(0, 300),
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
