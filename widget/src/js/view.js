/* What a call's card says: from the call, from what is known of the caller, and from what can be done with it now. */
define(['./caller.js?v=%VERSION%', './phone.js?v=%VERSION%', './text.js?v=%VERSION%', './transfer.js?v=%VERSION%'], function (caller, phone, text, Transfer) {
  'use strict';

  const deeds = ['answer', 'hangup', 'hold', 'unhold', 'mute', 'unmute', 'transfer', 'consult', 'complete', 'cancel', 'park'];

  /* While somebody is asked aside, the rest has to wait. */
  const aside = ['complete', 'cancel'];
  const always = ['answer', 'hangup'];

  const talks = ({ state }) => state === 'talking' || state === 'held';

  /* It rings at the user, who did not make the call: one that a colleague has dialled may be handed to him. */
  const ringsHere = ({ state, outgoing }) => state === 'ringing' && !outgoing;

  /* It rang at the user and he did not take it, whether the caller gave up or it could not ring: missed is missed. */
  const missed = ({ direction, outgoing, outcome }) => direction !== 'outbound' && !outgoing && ['missed', 'cancelled', 'busy'].includes(outcome);

  return class View {
    /* client {presence, user}   telephone {can}   behaviour {lead}   t   colleague */
    constructor({ client, telephone, behaviour, t, colleague }) {
      Object.assign(this, { client, telephone, behaviour, t, colleague });
    }

    static get talks() {
      return talks;
    }

    static get ringsHere() {
      return ringsHere;
    }

    static get missed() {
      return missed;
    }

    /* The card's model, see card.js. entry: see desk.js; marks: see marks.js. */
    model(entry, marks) {
      const { call } = entry;
      const who = this.who(entry);
      return {
        state: call.state,
        rings: ringsHere(call),
        label: this.label(call),
        who,
        matches: call.state === 'ended' ? [] : who.matches,
        chosen: who.chosen,
        facts: this.facts(who),
        link: who.entity && who.href ? { href: who.href, text: this.t(this.linkText(who)) } : null,
        line: call.direction === 'inbound' && call.line ? this.t('card.line', { line: phone.pretty(call.line) }) : '',
        note: this.note(call, marks) || who.remark,
        trouble: entry.trouble,
        busy: entry.busy || null,
        since: talks(call) ? entry.since : null,
        held: call.state === 'held' ? entry.held : null,
        total: call.state === 'ended' ? call.talk_seconds : 0,
        muted: Boolean(marks.muted),
        presence: this.presence(call),
        hangUp: this.t(ringsHere(call) ? 'card.decline' : 'card.hang_up'),
        form: this.form(call, who),
        can: this.can(call, marks),
      };
    }

    /* The card that is shown at once when a number is dialled, before there is a call. */
    dialling(number, name) {
      const shown = phone.pretty(number);
      const known = text.plain(name);
      return {
        state: 'ringing', rings: false, label: this.t('card.dialling'), matches: [], chosen: null, facts: [], link: null, line: '', note: '', trouble: '',
        busy: null, since: null, held: null, total: 0, muted: false, presence: null, hangUp: '', form: null, can: {},
        who: { kind: 'looking', name: known || shown, number: known ? shown : '', entity: null },
      };
    }

    who({ call, search }) {
      return caller.describe(call, search, this.t, this.colleague);
    }

    label(call) {
      if (call.state === 'ended') return this.outcome(call);
      if (call.state !== 'ringing') return this.t('card.' + call.state);
      if (!ringsHere(call)) return this.t('card.outgoing');
      return this.t(call.direction === 'internal' ? 'card.internal' : 'card.incoming');
    }

    outcome(call) {
      const { outcome, answered_by: by } = call;
      if (missed(call)) return this.t('outcome.missed');
      if (outcome === 'elsewhere' && !(by && by.name)) return this.t('outcome.taken');
      return this.t('outcome.' + (outcome || 'answered'), { name: text.isolate(by ? by.name : '') });
    }

    facts({ kind, company, lead, responsible, chosen }) {
      if (kind !== 'known') return [];
      const more = chosen.leads.length - 1;
      return [
        company && company.name && { label: this.t('card.company'), text: company.name, href: company.url },
        lead && { label: this.t('card.deal'), text: lead.name || this.t('card.deal_of', { id: lead.id }), href: lead.url, more: more > 0 ? '+' + more : '' },
        responsible && responsible.name && { label: this.t('card.responsible'), text: responsible.name },
      ].filter(Boolean);
    }

    linkText({ entity }) {
      return { company: 'card.open_company', lead: 'card.open_lead', customer: 'card.open_customer' }[entity.type] || 'card.open';
    }

    note(call, { consults, slot }) {
      if (consults && talks(call)) return this.t('card.consults', { name: this.nameOf(consults) });
      return slot ? this.t('card.parked', { slot }) : '';
    }

    nameOf(number) {
      const known = this.people().find(({ extensions }) => extensions.includes(number));
      return known ? known.name : phone.pretty(number);
    }

    /* The others of the account. */
    people() {
      const me = this.client.user ? this.client.user.id : null;
      return [...this.client.presence.values()].filter(({ user }) => user !== me).map((person) => ({ ...person, name: text.plain(person.name) }));
    }

    presence({ direction, peer }) {
      const known = direction === 'internal' && peer && this.client.presence.get(peer.user);
      if (!known) return null;
      const state = Transfer.stateOf(known);
      return { state, text: this.t('presence.' + state) };
    }

    /* What the form for a new contact begins with; null: none is offered. */
    form(call, { kind, name, number, href }) {
      if (kind !== 'unknown' || call.state === 'ended') return null;
      const shown = number || name;
      return { name: number ? name : '', number: shown, deal: this.t('create.deal_name', { phone: shown }), lead: this.behaviour.lead, href };
    }

    can(call, { consults }) {
      const fits = (deed) => (aside.includes(deed) ? Boolean(consults) : !consults || always.includes(deed));
      return Object.fromEntries(deeds.map((deed) => [deed, fits(deed) && this.telephone.can(deed, call)]));
    }
  };
});
