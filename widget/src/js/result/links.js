/* What the result of a call can be linked to: all that was found under its number, or something new. */
define([], function () {
  'use strict';

  /* The choices' values: 'lead:5' and the like for what is there, 'deal:1001' for a new deal of contact 1001,
     'deal:company:2001' for one of a company, 'new' for a new contact, '' for nothing yet. */
  const valueOf = ({ type, id }) => type + ':' + id;

  const newDeal = /^deal:(company:)?(.+)$/;

  const typed = (type) => (entity) => ({ ...entity, type });

  const around = (match) => [
    ...(match.leads || []).map(typed('lead')),
    ...(match.customers || []).map(typed('customer')),
    ...(match.company ? [typed('company')(match.company)] : []),
    match,
  ];

  /* Whoever was found, best first. */
  const matchesOf = ({ matches, chosen, entity }) => {
    const found = matches && matches.length ? matches : [chosen || entity].filter(Boolean);
    const first = chosen && found.find((match) => match.id === chosen.id && match.type === chosen.type);
    return first ? [first, ...found.filter((match) => match !== first)] : found;
  };

  /* What there is, under whom it was found: [{match, entities}], nothing twice. */
  const groups = (who) => {
    const seen = new Set();
    const once = (entity) => !seen.has(valueOf(entity)) && seen.add(valueOf(entity));
    return matchesOf(who).map((match) => ({ match, entities: around(match).filter(once) }));
  };

  const entities = (who) => groups(who).flatMap((group) => group.entities);

  return {
    groups,

    /* The entity of a choice; null for something new. */
    entity: (who, value) => entities(who).find((entity) => valueOf(entity) === value) || null,

    valueOf,

    /* The choice of a new deal for a contact or a company. */
    dealOf: ({ type, id }) => 'deal:' + (type === 'company' ? 'company:' : '') + id,

    /* Whose new deal a choice is, {type, id}; null for another choice. */
    owner(value) {
      const [, company, id] = newDeal.exec(value) || [];
      return id ? { type: company ? 'company' : 'contact', id } : null;
    },

    /* The choice that the window opens with. linked: the CRM's rule, see crm.js. */
    first(who, linked) {
      const [match] = matchesOf(who);
      if (match) return valueOf(match.leads ? linked(match) : match);
      return who.kind === 'unclear' || who.kind === 'looking' ? '' : 'new';
    },
  };
});
