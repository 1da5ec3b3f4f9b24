/* The list that the page shows: its rows as the browser's models, and which of them are ticked. */
define(['underscore'], function (_) {
  'use strict';

  const kinds = { 1: 'contact', 2: 'lead', 3: 'company', 12: 'customer' };

  /* A model of a row: its name is an object here, and a text in a card. */
  const model = (row) => {
    const attributes = { id: row.id, element_type: row.type, name: { text: row.name, url: row.url }, responsible_user_id: row.responsible };
    if (row.company) attributes.company_name = { name: row.company.name, url: row.company.url };
    if (row.type === 2) Object.assign(attributes, { price: row.price, status: row.status });
    return { id: row.id, attributes, get: (key) => attributes[key], toJSON: () => ({ ...attributes }) };
  };

  /* The cell's text, split on commas; of the spaces only the first of each is taken away. */
  const cells = (values) => values.join(', ').split(',').map((text) => text.replace(' ', ''));

  return class List {
    constructor(rows) {
      this.rows = rows;
      this.models = rows.map(model);
      this.ticked = new Set(); /* of ids */
    }

    /* The models whose attributes are strictly equal, as Backbone's. */
    where(wanted) {
      return this.models.filter((one) => Object.entries(wanted).every(([key, value]) => one.get(key) === value));
    }

    selected() {
      const selected = this.rows
        .filter((row) => this.ticked.has(row.id))
        .map((row) => ({ id: row.id, type: kinds[row.type], emails: cells(row.emails), phones: cells(row.phones) }));
      const count = (field) => _.flatten(_.pluck(selected, field)).filter(Boolean).length;
      return { selected, summary: { items: selected.length, emails: count('emails'), phones: count('phones') } };
    }
  };
});
