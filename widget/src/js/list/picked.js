/* The rows that are ticked in one of the CRM's lists, as entries for the call list: {entity, id, name, company, lead,
   phones}. The list tells what its columns show; the rest, the CRM is asked for. */
define([], function () {
  'use strict';

  const types = { 1: 'contact', 2: 'lead', 3: 'company' }; /* element_type of the list's models */

  const ticked = (widget) => {
    const listed = widget.list_selected(); /* false outside of lists */
    return (listed && Array.isArray(listed.selected) ? listed.selected : []).filter((row) => /^\d+$/.test(row.id));
  };

  /* What the list's model of a row knows; undocumented in part, so it may be missing. */
  const attributesOf = (app, id) => {
    const list = (app.data || {}).current_list;
    try {
      const [found] = [Number(id), String(id)].flatMap((wanted) => list.where({ id: wanted }));
      return (name) => found.get(name);
    } catch {
      return () => undefined;
    }
  };

  const nameOf = (attributes) => {
    const name = attributes('name');
    return String((name && typeof name === 'object' ? name.text : name) || '');
  };

  /* Contacts and companies share a list. */
  const entityOf = (row, attributes) => {
    const { url } = attributes('name') || {};
    const named = types[attributes('element_type')] || row.type;
    if (named === 'contact' || named === 'company') return named;
    return /companies/.test(url) ? 'company' : 'contact';
  };

  const entryOf = (app) => (row) => {
    const attributes = attributesOf(app, row.id);
    return {
      entity: entityOf(row, attributes), id: String(row.id), name: nameOf(attributes),
      company: attributes('company_name') || null, lead: null,
      phones: (row.phones || []).map((phone) => String(phone).trim()).filter(Boolean),
    };
  };

  /* {entries, unanswered}: unanswered if the CRM was to tell more, and did not. */
  const contacts = async ({ widget, app, crm }) => {
    const entries = ticked(widget).map(entryOf(app));
    const lacking = entries.filter(({ phones, name }) => !phones.length || !name);
    const ask = (entity) => {
      const ids = lacking.filter((entry) => entry.entity === entity).map(({ id }) => id);
      return ids.length ? crm.phones(entity, ids) : [];
    };
    const answers = await Promise.allSettled([ask('contact'), ask('company')]);
    const known = new Map(answers.flatMap((answer) => answer.value || []).map((found) => [found.type + found.id, found]));
    const complete = (entry) => {
      const found = known.get(entry.entity + entry.id);
      if (!found) return entry;
      return { ...entry, name: entry.name || found.name, company: entry.company || found.company, phones: entry.phones.length ? entry.phones : found.phones };
    };
    return { entries: entries.map(complete), unanswered: answers.some(({ status }) => status === 'rejected') };
  };

  /* Of a lead, whoever belongs to it: its contacts, or its company. A lead with nobody stays a lead without a number. */
  const leads = async ({ widget, app, crm }) => {
    const rows = ticked(widget);
    let people = [];
    let unanswered = false;
    try {
      people = rows.length ? await crm.byLeads(rows.map(({ id }) => String(id))) : [];
    } catch {
      unanswered = true;
    }
    const served = new Set(people.map(({ lead }) => String(lead.id)));
    const bare = unanswered ? [] : rows.filter(({ id }) => !served.has(String(id)));
    return {
      entries: [
        ...people.map(({ type, id, name, company, lead, phones }) => ({ entity: type, id, name, company, lead, phones })),
        ...bare.map(({ id }) => ({ entity: 'lead', id: String(id), name: nameOf(attributesOf(app, id)), company: null, lead: null, phones: [] })),
      ],
      unanswered,
    };
  };

  return { contacts, leads };
});
