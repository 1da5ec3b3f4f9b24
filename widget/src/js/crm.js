/* The CRM's REST API, asked with the user's own session: he sees whom he may see, and writes in his own name. */
define([
  './phone.js?v=%VERSION%', './text.js?v=%VERSION%', './crm/api.js?v=%VERSION%', './crm/entities.js?v=%VERSION%',
], function (phone, text, Api, entities) {
  'use strict';

  const { CrmError } = Api;
  const { groups } = entities;

  const patience = 5000; /* ms for a search, names and all */
  const leastTime = 500;
  const hitsAsked = 50; /* of each kind: the CRM looks through every field, so not every hit has the number */
  const mostMatches = 10;
  const mostNames = 100; /* of leads and the like, for all matches of a search */
  const batch = 250; /* entities that the CRM gives at once */

  const unique = (ids) => [...new Set(ids)];

  const idsQuery = (ids) => 'limit=' + batch + ids.map((id) => '&filter[id][]=' + id).join('');

  /* A new contact, as the CRM takes it: fields without a value it refuses. */
  const person = ({ name, phone: value }) => ({
    name: name || value, ...(value && { custom_fields_values: [{ field_code: 'PHONE', values: [{ value, enum_code: 'WORK' }] }] }),
  });

  /* The id of what was made; throws where there is none. */
  const idOf = ({ id }) => {
    if (!id) throw new TypeError('no id');
    return String(id);
  };

  const firstOf = (group) => (page) => ({ id: idOf(page._embedded[group][0]) });

  return class Crm {
    /* ajax as for Api   app  the CRM's APP   clock {now}   t  translator */
    constructor({ ajax, app, clock, t }) {
      Object.assign(this, { app, clock, t });
      this.api = new Api({ ajax, clock });
    }

    /* What every method rejects with: {message, status, fields, code}, see crm/api.js. */
    static get CrmError() {
      return CrmError;
    }

    /* Who has that number, as matches, best first:
         {type: 'contact' | 'company', id, name, url, company: {id, name, url} | null,
          leads: [{id, name, url}], customers: [{id, name, url}], responsible: {id, name} | null, partial}
       Contacts come before companies, since it is a person who calls; then whoever was changed last, since that
       is who somebody works with now; but whoever has the number with all its digits comes before who has its
       last ones. leads are those that are active; partial: not all of them are known. Names
       of what a match is linked with are '' when the CRM did not tell. At most four requests. */
    async find(number) {
      if (!phone.searchable(number)) return [];
      const deadline = this.clock.now() + patience;
      const answers = await Promise.allSettled([this.search('contact', number), this.search('company', number)]);
      const [people, companies] = answers.map(({ reason }) => reason || null);
      const blind = (refusal) => refusal && refusal.code === 'forbidden'; /* he may see contacts only, or companies */
      const hits = answers.flatMap((answer) => answer.value || []).slice(0, mostMatches);
      if (people && (companies || !blind(people))) throw people; /* it may be a person who has the company's number, too */
      if (companies && !blind(companies) && !hits.length) throw companies;
      return hits.length ? this.complete(hits, Math.max(leastTime, deadline - this.clock.now())) : [];
    }

    /* The CRM's search finds the digits in any field: a hit counts if one of its telephones is this one. */
    async search(type, number) {
      const query = 'query=' + phone.query(number) + '&with=leads,customers&limit=' + hitsAsked + '&order[updated_at]=desc';
      const raws = await this.api.list(groups[type], query, patience);
      return raws
        .filter((raw) => entities.has(raw, number))
        .map((raw) => ({ type, raw, exact: entities.hasExactly(raw, number) }))
        .sort((a, b) => b.exact - a.exact || b.raw.updated_at - a.raw.updated_at);
    }

    /* A hit knows only ids of what it is linked with. Leads are asked for first: which of them are active
       decides where a call belongs. */
    async complete(hits, timeout) {
      const all = (group) => unique(hits.flatMap(({ raw }) => entities.linksOf(raw, group)));
      const own = entities.byId(hits.filter(({ type }) => type === 'company').map(({ raw }) => raw));
      const asked = {
        leads: all('leads').sort((a, b) => b - a).slice(0, mostNames), /* the newest */
        companies: all('companies').filter((id) => !own.has(id)).slice(0, mostNames),
        customers: all('customers').slice(0, mostNames),
      };
      const told = {};
      const groupsAsked = Object.keys(asked).filter((group) => asked[group].length).slice(0, 2);
      await Promise.all(groupsAsked.map(async (group) => {
        try {
          told[group] = await this.api.list(group, idsQuery(asked[group]), timeout);
        } catch {
          /* The match stands without it. */
        }
      }));
      const known = {
        leads: entities.byId(told.leads),
        companies: new Map([...own, ...entities.byId(told.companies)]),
        customers: entities.byId(told.customers),
      };
      const unknown = new Set(told.leads ? all('leads').filter((id) => !asked.leads.includes(id)) : all('leads'));
      return hits.map((hit) => this.match(hit, known, unknown));
    }

    match({ type, raw }, known, unknown) {
      const leads = entities.linksOf(raw, 'leads');
      const company = entities.companyOf(raw);
      const active = (lead) => lead && !lead.is_deleted && !entities.closed.has(lead.status_id);
      return {
        ...entities.brief(type, raw.id, raw.name),
        type,
        company: type === 'contact' && company ? entities.brief('company', company, entities.nameIn(known.companies, company)) : null,
        leads: leads.map((id) => known.leads.get(id)).filter(active)
          .sort((a, b) => b.updated_at - a.updated_at)
          .map(({ id, name }) => entities.brief('lead', id, name)),
        customers: entities.linksOf(raw, 'customers').map((id) => entities.brief('customer', id, entities.nameIn(known.customers, id))),
        responsible: this.user(raw.responsible_user_id),
        partial: leads.some((id) => unknown.has(id)),
      };
    }

    user(id) {
      if (!id) return null;
      const manager = (this.app.constant('managers') || {})[id];
      const users = (this.app.constant('account') || {}).users || {};
      return { id: String(id), name: text.plain((manager && manager.title) || users[id]) };
    }

    /* Where the CRM puts a call with a match, {type, id, name, url}: its one active lead if it has no customer, its
       one customer if it has no active lead, else the company or the contact itself. */
    linked({ type, id, name, url, leads, customers, partial }) {
      if (!partial && leads.length === 1 && !customers.length) return { type: 'lead', ...leads[0] };
      if (!partial && customers.length === 1 && !leads.length) return { type: 'customer', ...customers[0] };
      return { type, id, name, url };
    }

    /* Contacts or companies with their telephones, in the order of ids, 500 at most:
       {type, id, name, url, company: {id, name, url} | null, phones: ['+7 900 …']}. Of leads see byLeads. */
    async phones(type, ids) {
      const raws = await this.byIds(groups[type], ids);
      const companies = type === 'contact' ? await this.companies(raws.map(entities.companyOf)) : new Map();
      return raws.map((raw) => this.reachable(type, raw, companies));
    }

    /* The contacts of leads, in the order of ids and each lead's main contact first; a lead without contacts gives
       its company. As phones tells them, with lead: {id, name, url} besides. A lead that has neither, or that the
       user may not see, gives nothing. At most six requests, mostly three. */
    async byLeads(ids) {
      const leads = await this.byIds(groups.lead, ids, '&with=contacts');
      const contacts = entities.byId(await this.byIds(groups.contact, leads.flatMap((lead) => entities.linksOf(lead, 'contacts'))));
      const bare = leads.filter((lead) => !entities.linksOf(lead, 'contacts').length);
      const companies = await this.companies([...contacts.values(), ...bare].map(entities.companyOf));
      return leads.flatMap((lead) => {
        const links = ((lead._embedded || {}).contacts || []).slice().sort((a, b) => Boolean(b.is_main) - Boolean(a.is_main));
        const people = links.filter(({ id }) => contacts.has(id)).map(({ id }) => this.reachable('contact', contacts.get(id), companies));
        const company = links.length ? null : companies.get(entities.companyOf(lead));
        const found = company ? [this.reachable('company', company, companies)] : people;
        return found.map((entity) => ({ ...entity, lead: entities.brief('lead', lead.id, lead.name) }));
      });
    }

    reachable(type, raw, companies) {
      const company = type === 'contact' && entities.companyOf(raw);
      return {
        ...entities.brief(type, raw.id, raw.name),
        type,
        company: company ? entities.brief('company', company, entities.nameIn(companies, company)) : null,
        phones: entities.telephones(raw),
      };
    }

    /* By id; what the CRM does not tell is missing. */
    async companies(ids) {
      return entities.byId(await this.byIds(groups.company, ids).catch(() => []));
    }

    /* Raw entities in the order of their ids: two requests at the most, and none for none. */
    async byIds(group, ids, more = '') {
      const wanted = unique(ids.map(Number).filter((id) => id > 0)).slice(0, 2 * batch);
      if (!wanted.length) return [];
      const raws = await this.api.list(group, idsQuery(wanted.slice(0, batch)) + more, patience);
      const rest = wanted.slice(batch);
      const others = rest.length ? await this.api.list(group, idsQuery(rest) + more, patience) : [];
      const found = entities.byId([...raws, ...others].filter((raw) => !raw.is_deleted));
      return wanted.filter((id) => found.has(id)).map((id) => found.get(id));
    }

    /* Resolves to the new contact as a match. */
    async createContact({ name, phone: number }) {
      const { id } = await this.api.post(groups.contact, [person({ name, phone: number })], firstOf(groups.contact));
      const me = this.app.constant('user') || {};
      return entities.newContact(id, name || number, { responsible: this.user(me.id) });
    }

    /* A lead for a contact that is there, {id}, or a new one, {name, phone}, or for a company that is there, {id}.
       Resolves to {id, contactId}: contactId is '' for a company's. */
    async createLead({ name, contact, company }) {
      const there = contact && !contact.id ? person(contact) : { id: Number((contact || company).id) };
      const lead = { name, _embedded: { [contact ? 'contacts' : 'companies']: [there] } };
      return this.api.post('leads/complex', [lead], ([one]) => ({ id: idOf(one), contactId: String(one.contact_id || '') }));
    }

    /* Adds a note to an entity that find, linked or the gateway named. Resolves to {id}. */
    async addNote(entity, text) {
      const path = this.group(entity) + '/' + encodeURIComponent(entity.id) + '/notes';
      return this.api.post(path, [{ note_type: 'common', params: { text } }], firstOf('notes'));
    }

    /* at: ms since 1970; type: of taskTypes; responsible: a user's id, without it the user himself. Resolves to {id}. */
    async addTask(entity, { text, type, at, responsible }) {
      const me = this.app.constant('user') || {};
      const task = {
        text, task_type_id: Number(type), complete_till: Math.floor(Number(at) / 1000),
        entity_id: Number(entity.id), entity_type: this.group(entity), responsible_user_id: Number(responsible || me.id),
      };
      return this.api.post('tasks', [task], firstOf('tasks'));
    }

    group(entity) {
      if (!Object.hasOwn(groups, entity.type)) throw new CrmError('no notes or tasks for a ' + entity.type, { code: 'invalid' });
      return groups[entity.type];
    }

    /* The kinds of tasks of this account, [{id, name}]: at least the CRM's own two. */
    taskTypes() {
      const types = Object.values(this.app.constant('task_types') || {})
        .map((type) => ({ id: Number(type.id), name: type.option || type.name || '' }))
        .filter(({ id, name }) => id > 0 && name);
      return types.length ? types : [{ id: 1, name: this.t('result.follow_up') }, { id: 2, name: this.t('result.meeting') }];
    }
  };
});
