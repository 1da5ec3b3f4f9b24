/* What was typed into result windows and is not saved yet: kept in this browser, a draft for each call. */
define([], function () {
  'use strict';

  const most = 20; /* drafts of a user */
  const life = 24 * 60 * 60 * 1000; /* ms */
  const lifeUntouched = 10 * 60 * 1000; /* ms that a window in which nothing was typed is worth opening again */
  const wait = 300; /* ms from a letter typed to the draft kept */
  const prefix = 'draft.';

  const sound = (draft) => Boolean(draft && draft.call && draft.call.id && draft.who && draft.form && draft.done);

  /* A draft is {call, who, form, done, at, touched}: the call and who it was with, what stands in the fields, what of
     it is in the CRM already (see save.js), when it was begun, and whether anything was typed. */
  return class Drafts {
    /* store: see store.js */
    constructor({ store, clock }) {
      Object.assign(this, { store, clock });
      this.waiting = new Map(); /* call id → {draft, cancel} */
    }

    /* The draft of a call, or null. */
    get(id) {
      const draft = this.store.get(prefix + id);
      return sound(draft) ? draft : null;
    }

    /* Keeps a draft now. */
    keep(draft) {
      const { id } = draft.call;
      this.forget(id);
      const fresh = this.get(id) === null;
      this.store.set(prefix + id, draft);
      if (fresh) this.all().slice(0, -most).forEach((oldest) => this.drop(oldest.call.id));
    }

    /* Keeps a draft in a moment: somebody is typing. */
    soon(draft) {
      const { id } = draft.call;
      if (this.waiting.has(id)) return;
      this.waiting.set(id, { draft, cancel: this.clock.after(wait, () => this.keep(draft)) });
    }

    /* Keeps at once what was to be kept soon: the page goes away. */
    flush() {
      [...this.waiting.values()].forEach(({ draft }) => this.keep(draft));
    }

    drop(id) {
      this.forget(id);
      this.store.set(prefix + id, null);
    }

    /* Takes away what any user of this browser has left here for longer than a day: it tells of customers. */
    sweep() {
      const now = this.clock.now();
      this.store.sweep(prefix, (draft) => !sound(draft) || !(now - draft.at < life));
    }

    /* The drafts worth opening again, oldest first; the others are thrown away. */
    all() {
      const now = this.clock.now();
      const fresh = (draft) => now - draft.at < (draft.touched ? life : lifeUntouched);
      const drafts = this.store.keys().filter((key) => key.startsWith(prefix)).map((key) => [key, this.store.get(key)]);
      drafts.forEach(([key, draft]) => {
        if (!sound(draft) || !fresh(draft)) this.store.set(key, null);
      });
      return drafts.map(([, draft]) => draft).filter((draft) => sound(draft) && fresh(draft)).sort((a, b) => a.at - b.at);
    }

    forget(id) {
      const waits = this.waiting.get(id);
      if (waits) waits.cancel();
      this.waiting.delete(id);
    }
  };
});
