/* A call's card: who it is, how long, and what can be done. It shows what the desk tells it and draws only what has
   changed; its panes (colleagues, a new contact, several matches) live while they are open. */
define([
  'jquery', './icons.js?v=%VERSION%', './text.js?v=%VERSION%', './transfer.js?v=%VERSION%', './create.js?v=%VERSION%', './matches.js?v=%VERSION%',
], function ($, icons, text, Transfer, Create, Matches) {
  'use strict';

  const button = (name, icon = name) =>
    '<button type="button" class="ringcast-deed ringcast-card__' + name + '" data-deed="' + name + '" data-now="' + name + '">' + icons[icon] + '<span></span></button>';

  const template =
    '<section class="ringcast-card" role="group" tabindex="-1">' +
    '<div class="ringcast-card__head">' +
    '<div class="ringcast-card__avatar"><span>' + icons.person + '</span><i></i></div>' +
    '<div class="ringcast-card__who">' +
    '<div class="ringcast-card__label"><span class="ringcast-card__state"></span><time class="ringcast-card__clock"></time><time class="ringcast-card__total"></time></div>' +
    '<div class="ringcast-card__name" dir="auto"></div>' +
    '<div class="ringcast-card__detail"><bdi class="ringcast-card__number"></bdi><bdi class="ringcast-card__line"></bdi></div>' +
    '</div>' +
    '</div>' +
    '<dl class="ringcast-card__facts" hidden></dl>' +
    '<p class="ringcast-card__note" hidden></p>' +
    '<div class="ringcast-card__links">' +
    '<a class="ringcast-card__link js-navigate-link" hidden></a>' +
    '<button type="button" class="ringcast-card__toggle ringcast-card__create" data-pane="create" aria-expanded="false" hidden></button>' +
    '<button type="button" class="ringcast-card__toggle ringcast-card__others" data-pane="matches" aria-expanded="false" hidden></button>' +
    '</div>' +
    '<p class="ringcast-card__trouble" role="alert" hidden></p>' +
    '<div class="ringcast-card__pane" hidden></div>' +
    '<div class="ringcast-card__deeds">' +
    button('answer') + button('hold') + button('mute') + button('transfer') + button('park') + button('complete', 'transfer') + button('cancel', 'unhold') + button('hangup') +
    '</div>' +
    '</section>';

  const make = (tag, words = '', attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = words;
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };

  /* Parsed once: a card is on the screen within a millisecond of its call. */
  const mould = $(template)[0];

  const panes = { transfer: Transfer, create: Create, matches: Matches };

  /* Buttons that do one thing and then the contrary. */
  const turns = { hold: ['hold', 'unhold'], mute: ['mute', 'unmute'] };

  return class Card {
    /* words: each deed's, see Card.words    actions, all by the id of the call that it is of, see begin: deed(id, name, to) → promise of whether it was
       done, choose(id, match), create(id, {name, lead}) → promise, people() → colleagues and their presence,
       shut(id): its pane was closed */
    constructor({ t, words, clock, actions }) {
      Object.assign(this, { t, words, clock, actions });
      this.drawn = {}; /* what each part shows now, where that is anything */
      this.pane = null; /* {name, part}: the open one */
      this.element = mould.cloneNode(true);
      this.parts = {}; /* by the last word of their class */
      this.deeds = {};
      this.element.querySelectorAll('[class*="ringcast-card__"]').forEach((part) => {
        const deed = part.getAttribute('data-deed');
        if (deed) this.deeds[deed] = part;
        else this.parts[part.className.match(/ringcast-card__(\w+)(?!.*ringcast-card__)/)[1]] = part;
      });
      this.parts.create.textContent = words.create;
      this.element.addEventListener('click', (e) => this.onClick(e.target));
      this.element.addEventListener('keydown', (e) => this.onKey(e));
    }

    /* It is another call's from now on. What it shows of the one before is drawn over by update. */
    begin(id) {
      Object.assign(this, { id, model: null, waiting: null });
      this.element.setAttribute('data-call', id);
    }

    /* The texts of all cards, translated once. */
    static words(t) {
      const names = ['answer', 'hold', 'unhold', 'mute', 'unmute', 'transfer', 'park', 'complete', 'cancel', 'create'];
      return Object.fromEntries(names.map((name) => [name, t('card.' + name)]));
    }

    /* model {state, rings, label, who: see caller.js, matches, chosen, facts: [{label, text, href, more}], link: {href, text} | null, line, note,
       trouble, busy, since, held, total (seconds, once it is over), muted, presence: {state, text} | null, hangUp: text,
       form: what create.js begins with | null, can: {deed: bool}}; see view.js */
    update(model) {
      const { who } = model;
      const at = document.activeElement;
      const focused = at && at !== document.body && this.element.contains(at) ? at : null;
      this.model = model;
      this.attribute('data-state', model.state);
      this.attribute('data-rings', String(Boolean(model.rings)));
      this.attribute('data-kind', who.kind);
      this.attribute('aria-label', model.label + ': ' + who.name);
      this.attribute('aria-busy', String(Boolean(model.busy)));
      this.write('state', model.label);
      this.write('name', who.name);
      this.write('number', who.number === who.name ? '' : who.number);
      this.write('line', model.line);
      this.write('note', model.note);
      this.write('trouble', model.trouble);
      this.avatar(who, model.presence);
      this.facts(model.facts);
      this.links(model);
      Object.keys(this.deeds).forEach((name) => this.deed(name, model, focused));
      this.some('deeds', Object.values(model.can).includes(true));
      this.some('links', Boolean(model.link || this.offers('create') || model.matches.length > 1));
      if (this.pane && !this.offers(this.pane.name)) this.toggle(this.pane.name);
      else if (this.pane) this.pane.part.update(model);
      this.tick(this.clock.now());
      if (focused && (!focused.isConnected || focused.hidden)) this.focus(); /* the keyboard stays in the card */
    }

    tick(now) {
      const { since, held, total } = this.model;
      const passed = (from) => text.clock((now - from) / 1000);
      this.write('clock', held ? passed(held) : this.length(since, total, passed));
      this.write('total', held && since ? passed(since) : '');
    }

    length(since, total, passed) {
      if (total) return text.clock(total);
      return since ? passed(since) : '';
    }

    people() {
      if (this.pane && this.pane.part.people) this.pane.part.people();
    }

    focus() {
      this.element.focus();
    }

    destroy() {
      this.shut();
      this.element.remove();
    }

    /* Whether a pane has its use now. */
    offers(name) {
      const { can, form, matches, who } = this.model;
      if (name === 'transfer') return can.transfer || can.consult;
      if (name === 'matches') return matches.length > 1;
      return Boolean(form) || (this.kept() && who.kind === 'unknown');
    }

    /* Whether its pane has what is not to be lost when the call is over. */
    kept() {
      const { part } = this.pane || {};
      return Boolean(part && part.kept && part.kept());
    }

    /* Only what differs from what is there is touched: the CRM's page is large, and drawing it anew costs. */
    changed(key, value) {
      if ((this.drawn[key] ?? '') === value) return false;
      this.drawn[key] = value;
      return true;
    }

    attribute(name, value) {
      if (this.changed('@' + name, value)) this.element.setAttribute(name, value);
    }

    write(name, words) {
      if (!this.changed(name, words || '')) return;
      const part = this.parts[name];
      part.textContent = words || '';
      if (name === 'name') part.title = words;
      if (name === 'note' || name === 'trouble') part.hidden = !words;
    }

    some(name, there) {
      if (this.changed('some ' + name, there)) this.parts[name].hidden = !there;
    }

    avatar({ entity, kind, name }, presence) {
      const [face, dot] = this.parts.avatar.children;
      if (this.changed('avatar', entity || kind === 'colleague' ? text.initials(name) : '')) {
        if (this.drawn.avatar) face.textContent = this.drawn.avatar;
        else $(face).html(icons.person);
      }
      if (!this.changed('presence', presence ? presence.state : '')) return;
      $(dot).attr({ 'data-presence': this.drawn.presence || null, title: presence ? presence.text : null });
    }

    facts(facts) {
      if (!this.changed('facts', facts.length ? JSON.stringify(facts) : '')) return;
      this.parts.facts.hidden = !facts.length;
      this.parts.facts.replaceChildren(...facts.flatMap(({ label, text: words, href, more }) => {
        const name = href ? make('a', words, { class: 'js-navigate-link', href }) : make('span', words);
        name.dir = 'auto';
        name.title = words;
        const value = make('dd');
        value.append(name, ...(more ? [make('small', more)] : []));
        return [make('dt', label), value];
      }));
    }

    links({ link, matches }) {
      if (this.changed('link', link ? link.href + ' ' + link.text : '')) {
        this.parts.link.hidden = !link;
        if (link) $(this.parts.link).attr('href', link.href).text(link.text);
      }
      this.some('create', this.offers('create'));
      this.some('others', matches.length > 1);
      if (matches.length > 1) this.write('others', this.t('card.others', { count: matches.length }));
    }

    deed(name, model, focused) {
      const [first, contrary] = turns[name] || [name];
      const on = Boolean(contrary) && (name === 'mute' ? model.muted : model.state === 'held');
      const now = on ? contrary : first;
      const element = this.deeds[name];
      const fits = now === 'transfer' ? this.offers('transfer') : Boolean(model.can[now]);
      if (this.changed('fits ' + name, fits)) element.hidden = !fits;
      if (!fits) return;
      const words = now === 'hangup' ? model.hangUp : this.words[now];
      if (this.changed('words ' + name, words)) {
        element.setAttribute('aria-label', words);
        element.title = words;
        element.lastChild.textContent = words;
      }
      if (contrary && this.changed('on ' + name, on)) {
        element.setAttribute('aria-pressed', String(on));
        if (element.dataset.now !== now) $(element.firstChild).replaceWith(icons[now]);
        element.dataset.now = now;
      }
      if (this.changed('busy ' + name, Boolean(model.busy))) this.disable(name, Boolean(model.busy), focused);
    }

    /* A button that is disabled loses the keyboard, and gets it back, if it has not gone elsewhere. */
    disable(name, disabled, focused) {
      const element = this.deeds[name];
      if (disabled && focused === element) this.waiting = name;
      element.disabled = disabled;
      if (disabled || this.waiting !== name) return;
      this.waiting = null;
      if (document.activeElement === document.body) element.focus();
    }

    onClick(target) {
      const element = target.closest('[data-deed], [data-pane]');
      if (!element || element.disabled) return;
      const { deed, pane } = element.dataset;
      if (deed) this.press(deed);
      else this.toggle(pane);
    }

    press(name) {
      if (this.model.busy) return;
      if (name === 'transfer') {
        this.toggle('transfer');
        return;
      }
      const [first, contrary] = turns[name] || [name];
      const on = name === 'mute' ? this.model.muted : this.model.state === 'held';
      this.actions.deed(this.id, contrary && on ? contrary : first);
    }

    /* Opens a pane, or closes it; one is open at a time. */
    toggle(name) {
      const open = !this.pane || this.pane.name !== name;
      const inside = this.parts.pane.contains(document.activeElement);
      this.shut();
      if (!open && inside) this.opener(name).focus();
      if (!open) return;
      const part = new panes[name]({ t: this.t, id: this.id, actions: this.actions, model: this.model, close: () => this.pane && this.pane.part === part && this.toggle(name) });
      this.pane = { name, part };
      this.parts.pane.append(part.$el[0]);
      this.parts.pane.hidden = false;
      this.opener(name).setAttribute('aria-expanded', 'true');
      part.focus();
    }

    shut() {
      if (!this.pane) return;
      const { name, part } = this.pane;
      this.pane = null;
      part.$el.remove();
      this.parts.pane.hidden = true;
      this.opener(name).setAttribute('aria-expanded', 'false');
      this.actions.shut(this.id);
    }

    opener(name) {
      return name === 'transfer' ? this.deeds.transfer : this.element.querySelector('[data-pane="' + name + '"]');
    }

    onKey(e) {
      if (e.key !== 'Escape' || !this.pane) return;
      e.stopPropagation(); /* a window of the CRM is not meant */
      this.toggle(this.pane.name);
    }
  };
});
