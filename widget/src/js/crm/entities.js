/* The CRM's entities, from how its API tells them to how the widget's modules hand them on. */
define(['../phone.js?v=%VERSION%', '../text.js?v=%VERSION%'], function (phone, text) {
  'use strict';

  /* type → its name in the API's paths and in the addresses of cards */
  const groups = { contact: 'contacts', company: 'companies', lead: 'leads', customer: 'customers' };

  const closed = new Set([142, 143]); /* won and lost, in every pipeline */

  /* The address of an entity's card; null for what has none. One that came with it from outside is not followed. */
  const card = ({ type, id }) => (Object.hasOwn(groups, type) ? '/' + groups[type] + '/detail/' + encodeURIComponent(id) : null);

  /* Names are one line without characters that reorder text, still to be escaped. */
  const brief = (type, id, name = '') => ({ id: String(id), name: text.plain(name), url: card({ type, id }) });

  /* A contact that was just made, as a match (see Crm.find). leads: those that were made with it, as brief makes them. */
  const newContact = (id, name, { leads = [], responsible = null } = {}) => ({
    ...brief('contact', id, name), type: 'contact', company: null, leads, customers: [], responsible, partial: false,
  });

  const telephones = (raw) =>
    (raw.custom_fields_values || [])
      .filter((field) => field.field_code === 'PHONE')
      .flatMap((field) => field.values || [])
      .map((value) => String(value.value));

  /* The ids of what a raw entity is linked with, in a group. */
  const linksOf = (raw, group) => ((raw._embedded && raw._embedded[group]) || []).map((link) => link.id);

  const companyOf = (raw) => linksOf(raw, 'companies')[0];

  const has = (raw, number) => !raw.is_deleted && telephones(raw).some((value) => phone.among(value, number));

  const hasExactly = (raw, number) => telephones(raw).some((value) => phone.exactly(value, number));

  const byId = (raws) => new Map((raws || []).map((raw) => [raw.id, raw]));

  const nameIn = (raws, id) => (raws.has(id) ? raws.get(id).name : '');

  return { groups, closed, card, brief, newContact, telephones, linksOf, companyOf, has, hasExactly, byId, nameIn };
});
