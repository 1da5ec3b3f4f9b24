/* The deck: the user's call cards in a corner of the page, one for each call; it can be moved and folded. */
define(['jquery', './text.js?v=%VERSION%'], function ($, text) {
  'use strict';

  const margin = 8; /* px that stay free around the deck */
  const place = 'place'; /* where the user put it, in the store */

  const icons = {
    hangUp: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 9c3.9 0 7.200 1.300 9.300 3.500.6.600.6 1.500 0 2.100l-1.700 1.700c-.5.500-1.300.6-1.900.2l-2.300-1.500c-.4-.3-.7-.8-.6-1.300l.1-1.400a12.600 12.600 0 0 0-5.800 0l.1 1.400c0 .5-.2 1-.6 1.300l-2.300 1.500c-.6.4-1.400.3-1.900-.2l-1.700-1.700c-.6-.6-.6-1.500 0-2.100C4.800 10.300 8.100 9 12 9z"/></svg>',
    fold: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 11h12v2H6z"/></svg>',
  };

  const template =
    '<section class="ringcast-card" role="status">' +
    '<div class="ringcast-card__avatar"><span></span></div>' +
    '<div class="ringcast-card__body">' +
    '<div class="ringcast-card__label"><span class="ringcast-card__state"></span><time class="ringcast-card__clock"></time></div>' +
    '<div class="ringcast-card__name"></div>' +
    '<div class="ringcast-card__detail"></div>' +
    '<div class="ringcast-card__line"></div>' +
    '<a class="ringcast-card__link js-navigate-link"></a>' +
    '</div>' +
    '<button type="button" class="ringcast-card__hangup">' + icons.hangUp + '</button>' +
    '</section>';

  return class Deck {
    /* dark  whether the user's theme is dark; ns  the widget's event namespace; store: see store.js. onHangUp(call id) is set by the desk */
    constructor({ clock, t, ns, dark, store }) {
      Object.assign(this, { clock, t, ns, store });
      this.cards = new Map(); /* call id → {$card, since} */
      this.$root = $('<div class="ringcast ringcast-deck">').toggleClass('ringcast_dark', dark).prop('hidden', true);
      this.$bar = $('<div class="ringcast-deck__bar"><span class="ringcast-deck__title"></span><button type="button" class="ringcast-deck__fold">' + icons.fold + '</button></div>');
      this.$cards = $('<div class="ringcast-deck__cards">');
      this.$sign = $('<div class="ringcast-sign" role="alert" hidden>');
      this.$bar.find('.ringcast-deck__title').text(t('card.title'));
      this.$root.append(this.$bar, this.$cards, this.$sign);
      this.$bar.find('button').attr('title', t('card.fold')).on('click', () => this.fold());
      this.$bar.on('pointerdown', (e) => this.grab(e));
      this.attach();
    }

    /* Puts the deck into the page, if the CRM's navigation took it out. */
    attach() {
      if (!document.body.contains(this.$root[0])) this.$root.appendTo(document.body);
      this.move(this.remembered());
    }

    show(id, model) {
      const card = this.cards.get(id) || this.add(id);
      const { $card } = card;
      const { who } = model;
      $card.attr('data-state', model.state).attr('data-kind', who.kind).attr('aria-label', model.label + ': ' + who.name);
      $card.find('.ringcast-card__avatar span').text(who.entity || who.kind === 'colleague' ? text.initials(who.name) : '');
      $card.find('.ringcast-card__state').text(model.label);
      $card.find('.ringcast-card__name').text(who.name).attr('title', who.name);
      $card.find('.ringcast-card__detail').text(who.number === who.name ? '' : who.number);
      $card.find('.ringcast-card__line').text(model.line);
      const $link = $card.find('.ringcast-card__link').prop('hidden', !model.link);
      if (model.link) $link.attr('href', model.link.href).text(model.link.text);
      $card.find('.ringcast-card__hangup').prop('hidden', !model.hangUp).attr({ title: model.hangUp, 'aria-label': model.hangUp });
      card.since = model.since;
      this.refresh();
    }

    close(id) {
      const card = this.cards.get(id);
      if (!card) return;
      this.cards.delete(id);
      card.$card.remove();
      this.refresh();
    }

    /* A small sign, without any card, that nothing will ring here; null takes it away. */
    indicate(message) {
      this.$sign.text(message || '').prop('hidden', !message);
      this.refresh();
    }

    destroy() {
      this.release();
      if (this.cancelTick) this.cancelTick();
      this.$root.remove();
    }

    add(id) {
      const card = { $card: $(template), since: null };
      card.$card.attr('data-call', id);
      card.$card.find('.ringcast-card__hangup').on('click', () => this.onHangUp(id));
      this.cards.set(id, card);
      this.$cards.append(card.$card);
      return card;
    }

    refresh() {
      const any = this.cards.size > 0;
      this.$bar.prop('hidden', !any);
      this.$root.toggleClass('ringcast-deck_bare', !any).prop('hidden', !any && this.$sign.text() === '');
      this.tick();
      const talking = [...this.cards.values()].some((card) => card.since !== null);
      if (talking && !this.cancelTick) this.cancelTick = this.clock.every(1000, () => this.tick());
      if (!talking && this.cancelTick) {
        this.cancelTick();
        this.cancelTick = null;
      }
      this.keepInside();
    }

    tick() {
      const now = this.clock.now();
      this.cards.forEach(({ $card, since }) => {
        $card.find('.ringcast-card__clock').text(since === null ? '' : text.clock((now - since) / 1000));
      });
    }

    fold() {
      const folded = !this.$root.hasClass('ringcast-deck_folded');
      this.$root.toggleClass('ringcast-deck_folded', folded);
      this.$bar.find('button').attr('title', this.t(folded ? 'card.unfold' : 'card.fold'));
      this.keepInside();
    }

    /* Moving: the bar is the handle. */
    grab(down) {
      if ($(down.target).closest('button').length) return;
      const e = down.originalEvent;
      const box = this.$root[0].getBoundingClientRect();
      const dx = e.clientX - box.left;
      const dy = e.clientY - box.top;
      $(document)
        .on('pointermove' + this.ns, ({ originalEvent: at }) => this.move({ left: at.clientX - dx, top: at.clientY - dy }))
        .on('pointerup' + this.ns + ' pointercancel' + this.ns, () => this.release());
      down.preventDefault();
    }

    release() {
      $(document).off('pointermove' + this.ns + ' pointerup' + this.ns + ' pointercancel' + this.ns);
      if (this.at) this.remember(this.at);
    }

    /* Places the deck's lower right corner, so that it grows upwards; null is the corner of the page. */
    move(at) {
      this.at = at;
      if (!at) return;
      const box = this.$root[0].getBoundingClientRect();
      const right = 'right' in at ? at.right : window.innerWidth - at.left - box.width;
      const bottom = 'bottom' in at ? at.bottom : window.innerHeight - at.top - box.height;
      this.at = { right, bottom };
      this.keepInside();
    }

    keepInside() {
      if (!this.at) return;
      const box = this.$root[0].getBoundingClientRect();
      const clamp = (value, size, room) => Math.max(margin, Math.min(value, room - size - margin));
      this.$root.css({
        right: clamp(this.at.right, box.width, window.innerWidth),
        bottom: clamp(this.at.bottom, box.height, window.innerHeight),
      });
    }

    remember(at) {
      this.store.set(place, at);
    }

    remembered() {
      const at = this.store.get(place);
      return at && Number.isFinite(at.right) && Number.isFinite(at.bottom) ? at : null;
    }
  };
});
