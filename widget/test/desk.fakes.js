/* A desk with stand-ins for all around it; what it says to them is in seen. */
'use strict';
const { load } = require('./amd.js');
const { Clock, Client, Store, translator } = require('./fakes.js');

const jquery = { jquery: null }; /* there is no page here */
const Desk = load('js/desk.js', jquery);
const Announce = load('js/announce.js');
const Status = load('js/status.js');
const Telephone = load('js/telephone.js');

const ivan = {
  id: '1', type: 'contact', name: 'Иван Петров', url: '/contacts/detail/1', company: null, leads: [], customers: [], responsible: null, partial: false,
};

const found = (...matches) => ({ state: matches.length ? 'found' : 'none', matches });

/* Answers from `find`, and hears what was learned as all tabs would. */
class Lookups {
  constructor(find) {
    this.find = find;
    this.told = [];
    this.forgotten = [];
    this.fresh = new Map(); /* number → what find would resolve to at once */
  }
  learned(number, matches) {
    this.told.push([number, matches]);
    this.heard(number, matches);
  }
  forget(number) {
    this.forgotten.push(number);
    this.fresh.delete(number);
  }
  known(number) {
    return this.fresh.get(number) || null;
  }
  watch(fn) {
    this.heard = fn;
    return () => {};
  }
}

const make = ({ find = async (number) => (number.endsWith('9005550111') ? found(ivan) : found()), behaviour = {}, store = new Store(), ...over } = {}) => {
  const seen = { kept: new Set(), cards: new Map(), status: [], notes: [], results: [], rung: [], silenced: [], errors: [], opened: [], said: [], sign: null, made: [], wake: {} };
  const client = new Client();
  const clock = new Clock();
  const t = translator('en');
  const lookups = new Lookups(find);
  const rules = { notify: 'both', open: false, lead: true, ...behaviour };
  let calling = false;
  const desk = new Desk({
    client, clock, t, store, lookups,
    telephone: new Telephone({ client, store, clock }),
    behaviour: rules,
    deck: {
      show: (id, model) => seen.cards.set(id, model), close: (id) => seen.cards.delete(id), say: (words) => seen.said.push(words),
      indicate: (sign) => (seen.sign = sign), tick: () => {}, people: () => {}, keeps: (id) => seen.kept.has(id), reveal: (id) => (seen.revealed = id),
    },
    announce: new Announce({
      client, clock, t, store, page: new EventTarget(), me: () => 'Anna', colleague: () => '', behaviour: rules,
      notices: { incoming: async (who, to) => seen.notes.push([who, to]), talked: async () => {} },
    }),
    alerts: { ring: (ringing, who, how) => seen.rung.push([ringing.id, who.name, how.quiet]), silence: (id) => seen.silenced.push(id) },
    results: { open: async (ended, who) => seen.results.push([ended.id, who]) },
    status: new Status({
      sdk: {
        getCallingStatus: () => calling,
        setCallingStatus: (on) => {
          calling = on;
          seen.status.push(on);
        },
      },
    }),
    errors: { explain: (code, values, { of }) => seen.errors.push(of + ' ' + code) },
    opener: { open: (href) => seen.opened.push(href) },
    wake: { start: (hooks) => Object.assign(seen.wake, hooks), stop: () => {} },
    crm: {
      createContact: async (contact) => {
        seen.made.push(contact);
        return { ...ivan, id: '7', name: contact.name, url: '/contacts/detail/7' };
      },
      createLead: async (lead) => {
        seen.made.push(lead);
        return { id: '70', contactId: '7' };
      },
    },
    me: () => 'Anna',
    colleague: () => '',
    visible: () => true,
    ...over,
  });
  desk.start();
  return { desk, client, clock, seen, store, lookups };
};

module.exports = { make, found, ivan };
