/* Who is at the other end of a call, for people to read. */
define(['./phone.js?v=%VERSION%', './text.js?v=%VERSION%', './crm/entities.js?v=%VERSION%'], function (phone, text, entities) {
  'use strict';

  /* The plus must be encoded, or the CRM reads a space. */
  const newCard = (number) => '/contacts/add/?phone=' + encodeURIComponent(number);

  /* describe(call, search, t, colleague) →
       {kind, name, number, company, lead, responsible, entity, href, matches, chosen, remark}
     search   {state: 'looking' | 'found' | 'none' | 'failed', matches, chosen}: whom the user's own search or he
              himself has chosen comes before whom the gateway named, whom he may not be allowed to see
     kind     'colleague', 'hidden', 'known', 'unknown', 'looking', 'unclear': could not be looked up
     name     never '' ; number  as people write it, '' when it is the name
     company, lead (the active one that was changed last), responsible  {id, name, …} or null; a name may be ''
     entity   the chosen match or null, the same as chosen; href  its card, for an unknown number the form for a new
              one, or null
     remark   why it is not said who it is, where somebody might wait for that, or ''
     Everything is one line without characters that reorder text; it is still to be escaped. */
  const describe = (call, search, t, colleague) => {
    const raw = phone.of(call);
    const shown = text.plain(phone.shown(call));
    const said = (kind, name, more) => ({
      kind, name, number: name === shown ? '' : shown, company: null, lead: null, responsible: null, entity: null, href: null,
      matches: [], chosen: null, remark: '', ...more,
    });

    if (call.direction === 'internal') {
      const { extension = raw, name } = call.peer || {};
      return said('colleague', text.plain(name) || text.plain(colleague(extension)) || text.plain(extension) || t('card.hidden'), {
        number: extension ? t('card.extension', { extension: text.plain(extension) }) : '',
      });
    }
    if (!raw) return said('hidden', t('card.hidden'));

    const { matches, chosen } = search;
    if (chosen) {
      const { company, leads, responsible } = chosen;
      return said('known', chosen.name || shown, { company, lead: leads[0] || null, responsible, entity: chosen, href: entities.card(chosen), matches, chosen });
    }
    const kind = { none: 'unknown', looking: 'looking' }[search.state] || 'unclear';
    return said(kind, text.plain(call.name) || shown, {
      href: kind === 'unknown' ? newCard(raw) : null, remark: kind === 'unclear' ? t('caller.unclear') : '',
    });
  };

  return { describe };
});
