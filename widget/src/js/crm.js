/* The CRM's REST API, asked with the user's own session: he sees whom he may see. */
define(['./phone.js?v=%VERSION%'], function (phone) {
  'use strict';

  const numbers = (contact) =>
    (contact.custom_fields_values || [])
      .filter((field) => field.field_code === 'PHONE')
      .flatMap((field) => field.values || [])
      .map((value) => value.value);

  const match = (contact) => ({
    id: String(contact.id), type: 'contact', name: contact.name, url: '/contacts/detail/' + Number(contact.id),
    company: null, leads: [], customers: [], responsible: null,
  });

  /* ajax takes jQuery.ajax's options and returns a promise. */
  return class Crm {
    constructor({ ajax }) {
      this.ajax = ajax;
    }

    /* Who has that number, best first. The CRM's search looks through every field of a contact, so a hit counts
       only if one of its telephone numbers is this one. */
    async find(number) {
      if (!phone.searchable(number)) return [];
      const page = await this.ajax({
        url: '/api/v4/contacts',
        data: { query: phone.tail(number) },
        dataType: 'json',
        timeout: 5000,
      });
      const hits = (page && page._embedded && page._embedded.contacts) || [];
      return hits.filter((contact) => numbers(contact).some((value) => phone.same(value, number))).map(match);
    }

    /* Adds a note to an entity that find or the gateway named. */
    addNote(entity, text) {
      const group = { company: 'companies', lead: 'leads' }[entity.type] || 'contacts';
      return this.ajax({
        url: '/api/v4/' + group + '/' + encodeURIComponent(entity.id) + '/notes',
        method: 'POST',
        contentType: 'application/json',
        data: JSON.stringify([{ note_type: 'common', params: { text } }]),
        dataType: 'json',
        timeout: 15000,
      });
    }
  };
});
