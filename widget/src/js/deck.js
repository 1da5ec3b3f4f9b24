/* The deck: the user's call cards in a corner of the page, one for each call; it can be moved and folded. */
define(['jquery', './card.js?v=%VERSION%', './bell.js?v=%VERSION%', './icons.js?v=%VERSION%'], function ($, Card, Bell, icons) {
  'use strict';

  const place = 'place'; /* where the user put it, in the store: {right, bottom}, px from the corner */
  const step = 24; /* px that an arrow key moves it by */

  /* The frame is as large as the page and lets everything through; the deck stands in it at a distance from its
     right and bottom that shrinks where there is no room, so that it is always inside. */
  const template =
    '<div class="ringcast ringcast-deck">' +
    '<div class="ringcast-deck__box ringcast-deck__box_bare" hidden>' +
    '<div class="ringcast-deck__bar" hidden>' +
    '<span class="ringcast-deck__title" tabindex="0"></span>' +
    '<button type="button" class="ringcast-tool ringcast-deck__fold" aria-expanded="true">' + icons.fold + '</button>' +
    '</div>' +
    '<div class="ringcast-deck__cards"></div>' +
    '<div class="ringcast-sign" role="alert" hidden></div>' +
    '</div>' +
    '<div class="ringcast-deck__said" aria-live="polite"></div>' +
    '</div>';

  const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  return class Deck {
    /* dark  whether the user's theme is dark; ns  the widget's event namespace; store: see store.js; alerts: see
       alerts.js. actions, what the cards ask for (see card.js), is set by the desk. */
    constructor({ clock, t, ns, dark, store, alerts }) {
      Object.assign(this, { clock, t, ns, store });
      this.cards = new Map(); /* call id → Card */
      this.spare = null; /* a card whose call is over: to make one costs more than to draw over it */
      this.words = Card.words(t);
      this.sign = '';
      this.$root = $(template).toggleClass('ringcast_dark', dark);
      const part = (name) => this.$root.find(name);
      this.$box = part('.ringcast-deck__box');
      this.$bar = part('.ringcast-deck__bar');
      this.$cards = part('.ringcast-deck__cards');
      this.$sign = part('.ringcast-sign');
      this.$said = part('.ringcast-deck__said');
      this.$fold = part('.ringcast-deck__fold');
      this.bell = new Bell({ alerts, t });
      this.$fold.before(this.bell.$el).on('click', () => this.fold(!this.folded));
      part('.ringcast-deck__title').text(t('card.title')).attr('aria-label', t('card.move')).on('keydown', (e) => this.nudge(e));
      this.$bar.on('pointerdown', (e) => this.grab(e));
      this.$root.on('keydown', (e) => {
        if (e.key === 'Enter') e.stopPropagation(); /* it is no answer to a window of the CRM */
      });
      this.fold(false);
      this.attach();
    }

    /* Puts the deck into the page, if the CRM's navigation took it out. */
    attach() {
      if (!document.body.contains(this.$root[0])) this.$root.appendTo(document.body);
      this.move(this.store.get(place));
    }

    show(id, model) {
      const card = this.cards.get(id) || this.make(id);
      const rang = card.model && card.model.rings;
      card.update(model);
      if (!this.cards.has(id)) return; /* its pane was what had kept it */
      if (model.rings && !rang) this.ring();
      this.cover();
    }

    make(id) {
      const card = this.spare || new Card({ t: this.t, words: this.words, clock: this.clock, actions: this.actions });
      this.spare = null;
      card.begin(id);
      this.cards.set(id, card);
      this.$cards[0].append(card.element);
      this.refresh();
      return card;
    }

    close(id) {
      const card = this.cards.get(id);
      if (!card) return;
      this.cards.delete(id);
      card.destroy();
      this.spare = card;
      this.refresh();
      this.cover();
    }

    /* Whether a card has what somebody is writing. */
    keeps(id) {
      const card = this.cards.get(id);
      return Boolean(card && card.kept());
    }

    /* It stands first, and can be answered. */
    ring() {
      if (this.folded) this.fold(false);
      if (this.cards.size > 1) this.$cards[0].scrollTop = 0; /* it costs a layout */
    }

    /* While there is a call the deck lies over the CRM's windows: they can wait, it cannot. */
    cover() {
      const live = [...this.cards.values()].some(({ model }) => model.state !== 'ended');
      if (live === this.over) return; /* to set a class anew costs the style of all cards */
      this.over = live;
      this.$root[0].classList.toggle('ringcast-deck_over', live);
    }

    /* The clocks of all cards. */
    tick() {
      const now = this.clock.now();
      this.cards.forEach((card) => card.tick(now));
    }

    /* Colleagues have come or gone. */
    people() {
      this.cards.forEach((card) => card.people());
    }

    /* Said to those who hear the page. */
    say(words) {
      this.$said.text(words);
    }

    /* Shows a card, whatever hides it. */
    reveal(id) {
      const card = this.cards.get(id);
      if (!card) return;
      this.fold(false);
      card.focus();
    }

    /* A small sign, without any card, that nothing will ring here; null takes it away. */
    indicate(message) {
      const words = message || '';
      if (this.sign === words) return;
      this.sign = words;
      this.$sign.text(words).prop('hidden', !words);
      this.refresh();
    }

    destroy() {
      this.release();
      this.cards.forEach((card) => card.destroy());
      this.cards.clear();
      this.$root.remove();
    }

    refresh() {
      const any = this.cards.size > 0;
      const box = this.$box[0];
      if (!any && this.$said[0].firstChild) this.say('');
      if (any === !this.$bar[0].hidden && box.hidden === !(any || this.sign)) return;
      this.$bar[0].hidden = !any;
      box.hidden = !(any || this.sign);
      box.classList.toggle('ringcast-deck__box_bare', !any);
    }

    fold(folded) {
      this.folded = folded;
      const words = this.t(folded ? 'card.unfold' : 'card.fold');
      this.$box.toggleClass('ringcast-deck__box_folded', folded);
      this.$fold.attr({ title: words, 'aria-label': words, 'aria-expanded': String(!folded) });
      if (folded) this.bell.toggle(false);
    }

    /* Moving: the bar is the handle. */
    grab(down) {
      if ($(down.target).closest('button, .ringcast-bell').length) return;
      const e = down.originalEvent;
      const from = this.where();
      $(document)
        .on('pointermove' + this.ns, ({ originalEvent: at }) =>
          this.move({ right: from.right - (at.clientX - e.clientX), bottom: from.bottom - (at.clientY - e.clientY) }))
        .on('pointerup' + this.ns + ' pointercancel' + this.ns, () => this.release());
      this.grabbed = true;
      down.preventDefault();
    }

    release() {
      $(document).off('pointermove' + this.ns + ' pointerup' + this.ns + ' pointercancel' + this.ns);
      if (this.grabbed) this.settle();
      this.grabbed = false;
    }

    nudge(e) {
      const arrow = arrows[e.key];
      if (!arrow) return;
      e.preventDefault();
      const from = this.where();
      this.move({ right: from.right + arrow[0] * step, bottom: from.bottom + arrow[1] * step });
      this.settle();
    }

    /* Where it came to stand, which the page's edge may have decided, is where it is next time. */
    settle() {
      const at = this.where();
      this.move(at);
      this.store.set(place, at);
    }

    where() {
      const frame = this.$root[0].getBoundingClientRect();
      const box = this.$box[0].getBoundingClientRect();
      return { right: Math.round(frame.right - box.right), bottom: Math.round(frame.bottom - box.bottom) };
    }

    move(at) {
      if (!at || !Number.isFinite(at.right) || !Number.isFinite(at.bottom)) return;
      const px = (value) => Math.max(0, Math.round(value)) + 'px';
      const { style } = this.$root[0];
      style.setProperty('--ringcast-right', px(at.right));
      style.setProperty('--ringcast-bottom', px(at.bottom));
    }
  };
});
