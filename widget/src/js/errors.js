/* Says what went wrong: the cause, what to do, whom to ask. What follows a click is said in this tab, at once and each
   time. What goes wrong in the background has a key: it is stored by the CRM, which shows it in all tabs of the user, and
   so it is said by one tab, once an outage, and at most every five minutes. */
define(['./text.js?v=%VERSION%'], function (text) {
  'use strict';

  const quiet = 300000; /* ms between two messages of one key */
  const outage = 43200000; /* ms for which an outage that goes on is not told again: a day's work */

  /* Codes that are one thing to a person. */
  const alike = { stopped: 'offline', refused: 'offline', user: 'offline', draining: 'unavailable', token_expired: 'unavailable', revoked: 'not_permitted', bad_token: 'not_permitted' };

  const literal = (words) => words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

  const nothing = () => {};

  return class Errors {
    /* notifications  APP.notifications          store    see store.js
       locks          navigator.locks or null    scope    what distinguishes this user's locks
       support        {email, link, phone}: whom to ask, '' where not known
       clock          now                        t        translator */
    constructor({ notifications, store, locks = null, scope = '', clock, t, support = {} }) {
      Object.assign(this, { notifications, store, locks, scope, clock, t });
      this.contacts = [
        [support.phone, 'tel:' + support.phone],
        [support.email, 'mailto:' + support.email],
        [support.link, support.link],
      ].filter(([label]) => label);
    }

    /* code is a failure's, as in the section errors of the texts; `of` names what failed, where the text depends on
       it: a busy telephone is another thing to a dial than to a transfer. */
    explain(code, values = {}, { key, of } = {}) {
      const known = alike[code] || code;
      const name = [of + '_' + known, known, of + '_failed'].find((each) => this.knows(each)) || 'failed';
      return this.show(this.t('errors.' + name, { code, ask: this.ask(), ...values }), { key });
    }

    knows(name) {
      return this.t('errors.' + name) !== 'errors.' + name;
    }

    /* A sentence: whom to turn to. */
    ask() {
      const contacts = this.contacts.map(([label]) => label).join(', ');
      return contacts ? this.t('errors.ask_support', { contacts }) : this.t('errors.ask_admin');
    }

    /* Promises whether it was said, now and by this tab. */
    async show(message, { key } = {}) {
      const now = this.clock.now();
      const note = { header: text.escape(this.t('widget.name')), text: this.html(message, now), date: Math.floor(now / 1000) };
      if (key) return this.alone(key, () => this.stored(note));
      this.notifications.show_message_error(note);
      return true;
    }

    /* What a key, and those that begin with it and a dot, stand for is over: if it comes again it is another outage.
       anew: somebody has begun it anew by hand, and is told the next one at once. */
    over(key, { anew = false } = {}) {
      this.store.keys()
        .filter((each) => each === 'told.' + key || each.startsWith('told.' + key + '.'))
        .forEach((each) => this.store.set(each, anew ? null : { ...this.store.get(each), open: false }));
    }

    /* Runs fn in one tab of this browser, unless that was done a while ago. The lock is kept meanwhile: by the time
       that another tab gets it, it has heard of what was written to the store. */
    async alone(key, fn) {
      const turn = async () => {
        const told = this.store.get('told.' + key);
        const now = this.clock.now();
        if (told && now - told.at < (told.open ? outage : quiet)) return false;
        this.store.set('told.' + key, { at: now, open: true });
        await fn();
        return true;
      };
      try {
        return await (this.locks ? this.locks.request(this.scope + 'told.' + key, turn) : turn());
      } catch {
        return false; /* the page is about to go away */
      }
    }

    /* The CRM may be out of reach just as what the message is about: then it is shown in this tab only. */
    stored(note) {
      const here = () => this.notifications.show_message_error(note);
      return new Promise((always) => {
        this.notifications.add_error(note, { done: nothing, fail: here, always });
      });
    }

    /* An error that was closed is never shown again by the CRM: another one of the same words is to be another text. */
    html(message, now) {
      const open = '<p data-at="' + now + '">';
      const labels = this.contacts.map(([label]) => text.escape(label));
      const escaped = text.escape(message);
      if (!labels.length) return open + escaped + '</p>';
      const pattern = new RegExp(labels.map(literal).join('|'), 'g');
      return open + escaped.replace(pattern, (label) => this.anchor(label)) + '</p>';
    }

    anchor(label) {
      const [, href] = this.contacts.find(([each]) => text.escape(each) === label);
      return '<a href="' + text.escape(href) + '" target="_blank" rel="noopener">' + label + '</a>';
    }
  };
});
