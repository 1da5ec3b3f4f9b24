/* Saving a result: first what is new (a deal with its contact, or a contact), then the note, then the task. Each is
   done once: what is done stands in the draft, and what is left is done the next time. */
define(['./due.js?v=%VERSION%', './links.js?v=%VERSION%'], function (due, links) {
  'use strict';

  const indexing = 5000; /* ms that the CRM's search may take to find what was just made */

  const typed = (value) => String(value || '').trim();

  /* Of these nobody knows whether the CRM has done what it was asked: the answer was lost. */
  const lost = (error) => error.code === 'offline' || error.status >= 500;

  const failed = (step, error) => Object.assign(new Error(error.message), { step, error });

  return class Save {
    /* crm   see crm.js                         user  the id of whoever sits here
       lead  whether a new contact gets a deal  t     translator
       clock {now, after} */
    constructor({ crm, clock, t, user, lead }) {
      Object.assign(this, { crm, clock, t, user, lead });
    }

    /* What is new: '', 'contact', or 'lead' (with a contact of its own, or for one that is there). */
    makes({ form, done }) {
      if (done.entity) return '';
      if (form.link.startsWith('deal:')) return 'lead';
      if (form.link !== 'new') return '';
      return this.lead || typed(form.deal) ? 'lead' : 'contact';
    }

    /* What new things are called when nobody gives them a name. */
    contactName({ form, who }) {
      return typed(form.contact) || who.number || who.name;
    }

    dealName(draft) {
      const { form, who } = draft;
      return typed(form.deal) || this.t('result.deal_name', { name: form.link === 'new' ? this.contactName(draft) : who.name });
    }

    /* What the user has to mend before anything is asked of the CRM: field → key of a text; 'foot' is no field. */
    mistakes({ form, done }) {
      const found = {};
      if (form.task && !done.task) {
        const at = due.moment(form.due, form.at, this.clock.now());
        if (!typed(form.text)) found.text = 'result.task_empty';
        if (Number.isNaN(at)) found.at = 'result.at_empty';
        else if (at < this.clock.now()) found.at = 'result.at_past';
      }
      if (!form.link && !done.entity) found.link = 'result.link_empty';
      const named = form.link === 'new' && (typed(form.contact) || typed(form.deal));
      const settled = done.doubt && done.doubt.step !== 'entity'; /* the user saw in the CRM that it is there */
      const anything = done.entity || settled || form.task || form.link.startsWith('deal:') || named || (!done.note && typed(form.note));
      if (!anything) found.foot = 'result.empty';
      return found;
    }

    /* Does all that is left. keep() is called whenever the draft has changed. Rejects with {step, error}: the CRM's
       refusal (see crm.js) of the step 'entity', 'note' or 'task', or that its answer was lost: then it is
       draft.done.doubt = {step, at, name} until that is settled. */
    async run(draft, keep) {
      const { form, done } = draft;
      if (this.makes(draft) && done.doubt && done.doubt.step === 'entity') await this.look(draft, keep);
      if (this.makes(draft)) {
        await this.step(draft, 'entity', keep, async () => {
          done.entity = await this.make(draft);
        });
      }
      const target = done.entity || links.entity(draft.who, form.link);
      if (typed(form.note) && !done.note) {
        await this.step(draft, 'note', keep, async () => {
          await this.crm.addNote(target, typed(form.note));
          done.note = true;
        });
      }
      if (form.task && !done.task) {
        await this.step(draft, 'task', keep, async () => {
          const at = due.moment(form.due, form.at, this.clock.now());
          await this.crm.addTask(target, { text: typed(form.text), type: form.type, at, responsible: this.user });
          done.task = true;
        });
      }
    }

    /* The doubt is noted before the CRM is asked: the page may be gone before the answer is there. */
    async step(draft, step, keep, act) {
      const { done } = draft;
      done.doubt = { step, at: this.clock.now(), name: step === 'entity' ? this.dealName(draft) : '' };
      keep();
      try {
        await act();
        done.doubt = null;
      } catch (error) {
        done.doubt = lost(error) ? { ...done.doubt, at: this.clock.now() } : null;
        throw failed(step, error);
      } finally {
        keep();
      }
    }

    async make(draft) {
      const { call, form, done } = draft;
      const phone = call.phone || call.phone_raw;
      const name = this.contactName(draft);
      if (this.makes(draft) === 'contact') {
        const { id } = await this.crm.createContact({ name, phone });
        return { type: 'contact', id: String(id), name };
      }
      const there = form.link.startsWith('deal:') ? form.link.slice('deal:'.length) : done.contact;
      const deal = this.dealName(draft);
      const { id } = await this.crm.createLead({ name: deal, contact: there ? { id: there } : { name, phone } });
      return { type: 'lead', id: String(id), name: deal };
    }

    /* Whether the CRM made it after all: whoever has the number now and had not, and the deals that are his now. */
    async look(draft, keep) {
      const { call, form, who, done } = draft;
      const number = call.phone || call.phone_raw;
      if (!number) return;
      await this.rest(done.doubt.at + indexing - this.clock.now());
      const groups = links.groups(who);
      const known = new Set(groups.flatMap(({ entities }) => entities.map(links.valueOf)));
      let matches;
      try {
        matches = await this.crm.find(number);
      } catch (error) {
        throw failed('entity', error);
      }
      const wanted = ({ type, id }) => type === 'contact' && (form.link === 'new' ? !known.has('contact:' + id) : form.link === 'deal:' + id);
      const contact = matches.find(wanted);
      if (!contact) return;
      const deal = contact.leads.find(({ id, name }) => !known.has('lead:' + id) && (!name || name === done.doubt.name));
      if (this.makes(draft) === 'contact') done.entity = { type: 'contact', id: contact.id, name: contact.name };
      else if (deal) done.entity = { type: 'lead', id: deal.id, name: deal.name || done.doubt.name };
      else if (contact.partial) throw failed('entity', Object.assign(new Error('not all deals are known'), { code: 'offline' }));
      else done.contact = contact.id; /* he is there without the deal, which is then made for him */
      if (done.entity) done.doubt = null;
      keep();
    }

    rest(ms) {
      return ms > 0 ? new Promise((resolve) => this.clock.after(ms, resolve)) : Promise.resolve();
    }
  };
});
