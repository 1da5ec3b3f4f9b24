/* The bell in the bar of the deck, and of the call list: whether a call is heard and seen outside of the page, by the agent's own choice. */
define(['jquery', './icons.js?v=%VERSION%'], function ($, icons) {
  'use strict';

  const template =
    '<div class="ringcast-bell">' +
    '<button type="button" class="ringcast-tool ringcast-bell__button" aria-expanded="false"></button>' +
    '<div class="ringcast-bell__menu" hidden>' +
    '<label class="ringcast-option"><input type="checkbox" name="sound"><span></span></label>' +
    '<label class="ringcast-option"><input type="checkbox" name="desktop"><span></span></label>' +
    '<p class="ringcast-bell__hint" role="status"></p>' +
    '</div>' +
    '</div>';

  return class Bell {
    /* alerts  see alerts.js: heard(), now(), choose(name, on), unlock(), watch(fn)      t  translator */
    constructor({ alerts, t }) {
      Object.assign(this, { alerts, t });
      this.$el = $(template);
      this.$button = this.$el.find('.ringcast-bell__button');
      this.$menu = this.$el.find('.ringcast-bell__menu');
      ['sound', 'desktop'].forEach((name) => this.box(name).next().text(t('alerts.' + name)));
      alerts.watch(() => this.draw());
      this.bind();
      this.draw();
    }

    /* Again when the CRM may have taken the events away. */
    bind() {
      this.$button.off().on('click', () => this.toggle(this.$menu.prop('hidden')));
      this.$menu.off().on('change', 'input', ({ target }) => this.choose(target));
      this.$el.off().on('keydown', (e) => {
        if (e.key !== 'Escape' || this.$menu.prop('hidden')) return;
        e.stopPropagation();
        this.toggle(false);
        this.$button.trigger('focus');
      });
    }

    box(name) {
      return this.$menu.find('input[name="' + name + '"]');
    }

    toggle(open) {
      this.$menu.prop('hidden', !open);
      this.$button.attr('aria-expanded', String(open));
      if (!open) return;
      this.draw();
      this.alerts.unlock().then(() => this.draw()); /* a click is what the browser waits for */
    }

    async choose(box) {
      await this.alerts.choose(box.name, box.checked);
      this.draw();
    }

    draw() {
      const { sound, blocked } = this.alerts.heard();
      const silent = !sound || blocked;
      const words = this.t(blocked ? 'alerts.blocked' : 'alerts.title');
      this.$button.html(silent ? icons.silent : icons.bell).attr({ title: words, 'aria-label': words }).toggleClass('ringcast-bell__button_hint', blocked);
      this.box('sound').prop('checked', sound);
      if (this.$menu.prop('hidden')) return; /* what it says of notifications is dear to ask */
      const { desktop, permission } = this.alerts.now();
      this.box('desktop').prop({ checked: desktop, disabled: permission === 'none' });
      const hint = (blocked && 'alerts.blocked') || (permission === 'denied' && 'alerts.denied') || '';
      this.$menu.find('.ringcast-bell__hint').text(hint && this.t(hint)).prop('hidden', !hint);
    }
  };
});
