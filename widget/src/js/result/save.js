/* Saving a result: first what is new (a deal with its contact, or a contact), then the note, then the task. Each is
   done once: what is done stands in the draft, and what is left is done the next time. */
define([
  './due.js?v=%VERSION%', './links.js?v=%VERSION%', '../phone.js?v=%VERSION%', '../text.js?v=%VERSION%', '../crm/entities.js?v=%VERSION%',
], function (due, links, phone, text, entities) {
  'use strict';

  const indexing = 5000; /* ms that the CRM's search may take to find what was just made */

  const longest = 2000; /* characters that the gateway takes */

  const typed = (value) => String(value || '').trim();

  /* Of these nobody knows whether the CRM has done what it was asked: the answer was lost. */
  const lost = (error) => error.code === 'offline' || error.status >= 500;

  const failed = (step, error) => Object.assign(new Error(error.message), { step, error });

  return class Save {
    /* crm   see crm.js                         user  the id of whoever sits here
       behaviour {lead: whether a new contact gets a deal}
       clock {now, after}                       zone  see due.js
       t     translator */
    constructor({ crm, clock, t, user, behaviour, zone }) {
      Object.assign(this, { crm, clock, t, user, behaviour, zone });
    }

    /* What is new: '', 'contact', or 'lead' (with a contact of its own, or for one that is there). */
    makes({ form, done }) {
      if (done.entity) return '';
      if (form.link.startsWith('deal:')) return 'lead';
      if (form.link !== 'new') return '';
      return this.behaviour.lead || typed(form.deal) ? 'lead' : 'contact';
    }

    /* What new things are called when nobody gives them a name. */
    contactName({ form, who }) {
      return typed(form.contact) || who.number || who.name;
    }

    dealName(draft) {
      const { form, who } = draft;
      return typed(form.deal) || this.t('result.deal_name', { name: form.link === 'new' ? this.contactName(draft) : who.name });
    }

    due({ due: choice, at, now }) {
      return due.moment(choice, at, now || this.clock.now(), this.zone);
    }

    /* What the gateway is told, who writes the call itself into the CRM: the note, and of whom it is. */
    told({ form, who, done }) {
      const entity = done.entity || links.entity(who, form.link);
      return { text: [...typed(form.note)].slice(0, longest).join(''), ...(entity && { entity: { type: entity.type, id: String(entity.id) } }) };
    }

    /* The new contact with what was made for him, as a match (see crm.js); null when there is none. */
    made(draft) {
      const { form, done } = draft;
      const { entity, contact } = done;
      const id = entity && (entity.type === 'contact' ? entity.id : contact);
      if (form.link !== 'new' || !id) return null;
      return entities.newContact(id, this.contactName(draft), { leads: entity.type === 'lead' ? [entities.brief('lead', entity.id, entity.name)] : [] });
    }

    /* What the user has to mend before anything is asked of the CRM: field → key of a text; 'foot' is no field. */
    mistakes({ form, done }) {
      const found = {};
      if (form.task && !done.task) {
        const at = this.due(form);
        if (!typed(form.text)) found.text = 'result.task_empty';
        if (Number.isNaN(at)) found.at = 'result.at_empty';
        else if (at < this.clock.now()) found[form.due === 'own' ? 'at' : 'due'] = 'result.at_past';
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
          await this.crm.addTask(target, { text: typed(form.text), type: form.type, at: this.due(form), responsible: this.user });
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
      const number = phone.of(call);
      const name = this.contactName(draft);
      if (this.makes(draft) === 'contact') {
        const { id } = await this.crm.createContact({ name, phone: number });
        return { type: 'contact', id: String(id), name };
      }
      const owner = links.owner(form.link) || (done.contact && { type: 'contact', id: done.contact });
      const deal = this.dealName(draft);
      const { id, contactId } = await this.crm.createLead({ name: deal, ...(owner ? { [owner.type]: { id: owner.id } } : { contact: { name, phone: number } }) });
      if (!owner) done.contact = contactId || null;
      return { type: 'lead', id: String(id), name: deal };
    }

    /* Whether the CRM made it after all: whoever has the number now and had not, and the deals that are his now. A
       number that cannot be looked for gives no answer: the user was told to look himself (see refusals.js). */
    async look(draft, keep) {
      const { call, form, who, done } = draft;
      const number = phone.of(call);
      if (!phone.searchable(number)) return;
      await this.rest(done.doubt.at + indexing - this.clock.now());
      const groups = links.groups(who);
      const known = new Set(groups.flatMap(({ entities }) => entities.map(links.valueOf)));
      let matches;
      try {
        matches = await this.crm.find(number);
      } catch (error) {
        throw failed('entity', error);
      }
      const owner = links.owner(form.link);
      const wanted = (match) => (owner ? links.valueOf(match) === links.valueOf(owner) : match.type === 'contact' && !known.has(links.valueOf(match)));
      const contact = matches.find(wanted);
      if (!contact) return;
      const deal = contact.leads.find(({ id, name }) => !known.has('lead:' + id) && (!name || text.plain(name) === text.plain(done.doubt.name)));
      if (!owner) done.contact = contact.id; /* he may be there without the deal, which is then made for him */
      if (this.makes(draft) === 'contact') done.entity = { type: 'contact', id: contact.id, name: contact.name };
      else if (deal) done.entity = { type: 'lead', id: deal.id, name: deal.name || done.doubt.name };
      else if (contact.partial) throw failed('entity', Object.assign(new Error('not all deals are known'), { code: 'offline' }));
      if (done.entity) done.doubt = null;
      keep();
    }

    rest(ms) {
      return ms > 0 ? new Promise((resolve) => this.clock.after(ms, resolve)) : Promise.resolve();
    }
  };
});
