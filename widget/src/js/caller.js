/* Who is at the other end of a call, for people to read. */
define(['./phone.js?v=%VERSION%'], function (phone) {
  'use strict';

  const cards = { contact: 'contacts', company: 'companies', lead: 'leads' };

  const cardOf = (contact) =>
    contact.type in cards ? '/' + cards[contact.type] + '/detail/' + encodeURIComponent(contact.id) : null;

  /* The plus must be encoded, or the CRM reads a space. */
  const newCard = (number) => '/contacts/add/?phone=' + encodeURIComponent(number);

  /* describe(call, search) → {kind, name, number, entity, href}
     search   {state: 'looking' | 'found' | 'none' | 'failed', matches, chosen}
     kind     'colleague', 'hidden', 'known', 'unknown', 'looking', 'unclear'
     href     the entity's card, for an unknown number the form for a new one, or null */
  const describe = (call, search, t, colleague) => {
    const raw = call.phone || call.phone_raw;
    const number = phone.pretty(raw);
    if (call.direction === 'internal') {
      const extension = (call.peer && call.peer.extension) || raw;
      const name = (call.peer && call.peer.name) || colleague(extension) || extension;
      return { kind: 'colleague', name, number: extension ? t('card.extension', { extension }) : '', entity: null, href: null };
    }
    if (!raw) return { kind: 'hidden', name: t('card.hidden'), number: '', entity: null, href: null };

    const entity = call.contact || search.chosen;
    if (entity) return { kind: 'known', name: entity.name || number, number, entity, href: cardOf(entity) };

    const kind = { none: 'unknown', looking: 'looking' }[search.state] || 'unclear';
    const name = call.name || number;
    return { kind, name, number: call.name ? number : '', entity: null, href: kind === 'unknown' ? newCard(raw) : null };
  };

  return { describe };
});
