/* Result windows: after a talk, one at a time, in one tab; what is typed survives a reload. */
define([
  'jquery', './drafts.js?v=%VERSION%', './due.js?v=%VERSION%', './form.js?v=%VERSION%', './links.js?v=%VERSION%', './refusals.js?v=%VERSION%',
  './save.js?v=%VERSION%', '../phone.js?v=%VERSION%',
], function ($, Drafts, due, Form, links, refusals, Save, phone) {
  'use strict';

  const claimAgain = 6000; /* ms: by then the claim of a page that is gone is free again */
  const tries = 3; /* of what the gateway is asked */
  const hiddenTab = 1000; /* ms by which a tab that nobody looks at lets others open the windows */
  const stale = 5000; /* ms after which somebody else may have put a stranger into the CRM */
  const ns = '.ringcast-result';

  const numberOf = ({ call }) => phone.of(call);

  const blank = (call, who, link) => ({
    link, contact: who.kind === 'unknown' && who.name !== who.number ? call.name || '' : '', deal: '', note: '',
    task: false, text: '', type: '', due: 'tomorrow', at: '',
  });

  return class Results {
    /* Modal   the CRM's lib/components/base/modal   crm, lookups, store, clock, t, dark, behaviour: see session.js
       client  on, claim, calls                      visible () → whether this tab is looked at
       locks   navigator.locks, or null              page    window, for when it goes away
       lang    of dates                              user    the id of whoever sits here
       zone    the account's time zone, an IANA name or nothing */
    constructor({ Modal, crm, lookups, store, clock, t, dark, lang, zone, behaviour, client, visible, locks, page, user }) {
      Object.assign(this, { Modal, crm, lookups, clock, t, dark, lang, behaviour, client, visible, locks, page });
      this.zone = due.zone(zone);
      this.drafts = new Drafts({ store, clock });
      this.save = new Save({ crm, clock, t, user, behaviour, zone: this.zone });
      this.windows = new Map(); /* call id → {draft, closed, form, modal, release}, open and to be opened */
      this.queue = Promise.resolve();
      this.waits = new Set(); /* cancels */
      this.stopped = false;
    }

    start() {
      const flush = () => this.drafts.flush();
      this.drafts.sweep();
      this.page.addEventListener('pagehide', flush);
      this.offs = [
        this.client.on('call', ({ call }) => this.update(call)),
        this.client.on('state', ({ name }) => name === 'live' && this.resume()),
        this.lookups.watch((number, matches) => this.windows.forEach((there) => phone.same(numberOf(there.draft), number) && this.learned(there, matches))),
        () => this.page.removeEventListener('pagehide', flush),
      ];
    }

    /* Opens the window of a talk that is over, after those that are open already; with what another tab that is gone has
       kept of it. Resolves when it is closed, or at once if there is to be none. */
    open(call, who) {
      if (!this.wanted(who)) return Promise.resolve();
      const kept = this.drafts.get(call.id);
      if (kept) return this.line(kept);
      const link = this.first(who);
      const done = { entity: null, contact: null, note: false, task: false, doubt: null };
      return this.line({ call: { ...call }, who: { ...who }, form: blank(call, who, link), done, at: this.clock.now(), touched: false });
    }

    wanted(who) {
      return !this.stopped && { always: true, unknown: !who.entity, never: false }[this.behaviour.result];
    }

    /* Opens again what a reload cut: one tab of all of the user's does. */
    resume() {
      this.later(this.visible() ? 0 : hiddenTab, () => {
        this.drafts.all().forEach((draft) => this.windows.has(draft.call.id) || this.reopen(draft.call.id));
      });
    }

    /* The draft is this browser's, and a lock tells its tabs apart: nobody waits for the claim of the page before. */
    async reopen(id) {
      const claimed = this.claimed(id);
      if (!this.locks && !(await claimed)) return;
      const draft = this.drafts.get(id); /* another tab may have finished it meanwhile */
      if (!draft || this.stopped) return;
      const known = this.client.calls.get(id);
      if (known && known.recording) draft.call.recording = known.recording;
      if (await this.line(draft)) this.client.claim(id, 'result', { done: true }).catch(() => {});
    }

    /* A call that the gateway has forgotten nobody else will have either. */
    claimed(id) {
      return this.insist(() => this.client.claim(id, 'result')).then(() => true, (err) => err.code === 'not_found');
    }

    /* Asks the gateway, and again a while after a failure. Rejects with the last one. */
    async insist(ask, left = tries - 1) {
      try {
        return await ask();
      } catch (err) {
        if (this.stopped || left === 0 || err.code === 'not_found') throw err;
      }
      await new Promise((again) => this.later(claimAgain, again));
      return this.insist(ask, left - 1);
    }

    /* The recording became known. */
    update(call) {
      const there = this.windows.get(call.id);
      if (!there || !call.recording || there.draft.call.recording === call.recording) return;
      there.draft.call.recording = call.recording;
      this.drafts.keep(there.draft);
      if (there.form) there.form.recording(call);
    }

    /* The drafts stay. */
    stop() {
      this.stopped = true;
      this.offs.forEach((off) => off());
      this.drafts.flush();
      this.waits.forEach((cancel) => cancel());
      this.waits.clear();
      this.windows.forEach(({ modal, release }) => {
        if (modal) modal.destroy();
        release();
      });
      this.windows.clear();
    }

    /* Puts a draft's window into the line. Promises whether it was shown here and closed. */
    line(draft) {
      const { id } = draft.call;
      if (this.windows.has(id)) return this.windows.get(id).closed;
      const there = { draft, form: null, modal: null, release() {} };
      this.windows.set(id, there);
      there.closed = this.hold(id).then((release) => {
        if (!release) {
          this.windows.delete(id);
          return false;
        }
        there.release = release;
        this.drafts.keep(draft);
        const shown = this.queue.then(() => new Promise((closed) => this.stopped || this.draw(there, closed)));
        this.queue = shown.catch(() => {}); /* the next window opens whatever became of this one */
        return shown.then(() => {
          release();
          return true;
        });
      });
      return there.closed;
    }

    /* A claim is the browser's, not the tab's, after a while: a lock says which tab has the window. Promises what
       lets it go, or null. */
    hold(id) {
      if (!this.locks) return Promise.resolve(() => {});
      return new Promise((resolve) => {
        const granted = (lock) => (lock ? new Promise((release) => resolve(release)) : resolve(null));
        this.locks.request('ringcast.result.' + id, { ifAvailable: true }, granted).catch(() => resolve(() => {}));
      });
    }

    draw(there, closed) {
      const { draft } = there;
      there.closing = false; /* saved or given up */
      const form = new Form({
        clock: this.clock, t: this.t, dark: this.dark, lang: this.lang, zone: this.zone, types: this.crm.taskTypes(), save: this.save,
        on: { input: () => this.typed(there), save: () => this.submit(there), cancel: () => there.modal.destroy(), again: () => this.search(there) },
      });
      there.form = form;
      form.show(draft);
      const keys = ns + '-' + this.clock.now();
      there.modal = new this.Modal({
        class_name: 'modal-window',
        can_destroy: false, /* the CRM's navigation must not take a half-written note away */
        disable_overlay_click: true, /* nor a click beside it */
        disable_enter_keydown: true,
        disable_escape_keydown: true, /* Esc in a call's card is not for this window: see below */
        focus_element: '.ringcast-result__none', /* see focus */
        init: ($body) => {
          $body.trigger('modal:loaded').html(form.$root).trigger('modal:centrify')
            .append('<span class="modal-body__close"><span class="icon icon-modal-close"></span></span>');
        },
        destroy: () => {
          if (!this.stopped && !this.leave(there)) return false;
          $(document).off(keys);
          this.windows.delete(draft.call.id);
          if (!this.stopped) closed();
          return true;
        },
      });
      $(document).on('keydown' + keys, (e) => {
        const elsewhere = $(e.target).closest('.ringcast').not(form.$root).length > 0;
        const topmost = $('.modal').filter((i, modal) => $(modal).css('display') !== 'none').last().has(form.$root[0]).length > 0;
        if (e.which === 27 && topmost && !elsewhere && !e.isDefaultPrevented()) there.modal.destroy();
      });
      if (this.clock.now() - draft.at > stale) this.lookAgain(there);
      if (draft.done.doubt) form.wrong(this.refused(draft, { step: draft.done.doubt.step, error: { code: 'offline' } }));
      if (this.idle()) form.focus();
    }

    /* A draft that waited for other windows, or for its page to come back. */
    async lookAgain(there) {
      if (!this.strange(there)) return;
      const { matches } = await this.lookups.find(numberOf(there.draft));
      this.learned(there, matches);
    }

    /* Nobody is known to have the number, and nobody is being made. */
    strange({ draft, saving }) {
      const { who, done } = draft;
      return !who.entity && !done.entity && !done.doubt && !saving;
    }

    /* It is known now who a stranger is. Who has typed a name for a new contact keeps that choice, and sees the others. */
    learned(there, matches) {
      const { draft, form } = there;
      if (!matches.length || !this.strange(there) || this.windows.get(draft.call.id) !== there) return;
      if (form) draft.form = form.read();
      const { contact, deal } = draft.form;
      const named = deal.trim() || contact.trim() !== blank(draft.call, draft.who).contact.trim();
      this.tell(draft, matches);
      if (!named) draft.form.link = this.first(draft.who);
      this.drafts.keep(draft);
      if (form) form.show(draft);
    }

    /* who: whoever the search has found, best first. */
    tell({ who }, matches) {
      const [best] = matches;
      Object.assign(who, { kind: 'known', name: best.name || who.name, number: who.number || who.name, entity: best, chosen: best, matches });
    }

    first(who) {
      return links.first(who, (match) => this.crm.linked(match));
    }

    /* Nobody talks, and nobody writes elsewhere in the page: the window may take the keyboard. */
    idle() {
      const at = document.activeElement;
      const writing = at && (at.isContentEditable || /^(input|textarea|select)$/i.test(at.tagName));
      return !writing && !this.calling();
    }

    calling() {
      return [...this.client.calls.values()].some((call) => call.state !== 'ended');
    }

    /* Whether the window may close now; if something was typed, the user is asked first. */
    leave(there) {
      const { draft, form } = there;
      if (there.saving) return false;
      if (draft.touched && !there.closing) {
        if (form.asking()) form.$('back').trigger('click');
        else form.ask((yes) => this.answered(there, yes));
        return false;
      }
      this.drafts.drop(draft.call.id);
      return true;
    }

    answered(there, yes) {
      there.closing = yes;
      if (yes) there.modal.destroy();
      else there.form.focus();
    }

    typed(there) {
      const { draft, form } = there;
      form.refresh(draft);
      if (!draft.done.doubt) form.foot('');
      draft.form = form.read();
      draft.touched = true;
      this.drafts.soon(draft);
    }

    async submit(there) {
      const { draft, form } = there;
      if (there.saving || form.asking()) return;
      draft.form = form.read();
      const mistakes = Object.entries(this.save.mistakes(draft)).map(([field, key]) => ({ field, text: this.t(key) }));
      form.wrong(mistakes);
      if (mistakes.length) return;
      there.saving = true;
      form.busy(true);
      try {
        await this.save.run(draft, () => this.drafts.keep(draft));
        there.closing = true;
        const told = { call: draft.call.id, ...this.save.told(draft) };
        this.insist(() => this.client.command('result', told)).catch(() => {}); /* the CRM has it */
      } catch (failure) {
        form.busy(false);
        form.refresh(draft);
        form.wrong(this.refused(draft, failure));
      }
      if (draft.done.entity) this.spread(draft);
      there.saving = false;
      if (there.closing) there.modal.destroy();
    }

    /* There is more to be found now. Who is new is told at once, to all: the CRM's own search takes a while to know. */
    spread(draft) {
      const number = numberOf(draft);
      const made = this.save.made(draft);
      if (made && phone.searchable(number)) this.lookups.learned(number, [made, ...(draft.who.matches || [])]);
      else this.lookups.forget(number);
    }

    refused(draft, failure) {
      const { who, done } = draft;
      const choice = !done.entity && !done.note && links.groups(who).length > 0;
      return refusals(failure, { made: this.save.makes(draft), choice, blind: !phone.searchable(numberOf(draft)), t: this.t });
    }

    /* The CRM did not say who called: it is asked again. */
    async search(there) {
      const { draft, form } = there;
      const { who } = draft;
      form.busy(true);
      const matches = await this.crm.find(numberOf(draft)).catch(() => null);
      if (this.windows.get(draft.call.id) !== there) return; /* closed meanwhile */
      if (matches) {
        if (matches.length) this.tell(draft, matches);
        else Object.assign(who, { kind: 'unknown', matches: [] });
        draft.form = { ...form.read(), link: this.first(who) };
        this.drafts.keep(draft);
        form.show(draft);
        form.wrong([]);
      } else {
        form.wrong([{ field: 'foot', text: this.t('result.unclear_still') }]);
      }
      form.busy(false);
      form.refresh(draft);
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
