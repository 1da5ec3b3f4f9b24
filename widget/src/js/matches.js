/* Several in the CRM have the caller's number: which of them is it? */
define(['jquery'], function ($) {
  'use strict';

  return class Matches {
    constructor({ id, actions, model, close, t }) {
      Object.assign(this, { id, actions, close });
      this.$el = $('<div class="ringcast-pick" role="group">').attr('aria-label', t('card.which'));
      this.update(model);
    }

    update({ matches, chosen }) {
      const drawn = JSON.stringify([matches, chosen]);
      if (this.drawn === drawn) return;
      this.drawn = drawn;
      this.$el.empty();
      matches.forEach((match) => {
        const beside = [match.company && match.company.name, ...(match.leads || []).map((lead) => lead.name)].filter(Boolean).join(' · ');
        const pressed = Boolean(chosen) && chosen.id === match.id && chosen.type === match.type;
        $('<button type="button" class="ringcast-pick__one">')
          .attr({ 'aria-pressed': String(pressed), title: match.name })
          .append($('<b dir="auto">').text(match.name), $('<small dir="auto">').text(beside))
          .on('click', () => {
            this.close();
            this.actions.choose(this.id, match);
          })
          .appendTo(this.$el);
      });
    }

    focus() {
      this.$el.find('[aria-pressed="true"], button').first().trigger('focus');
    }
  };
});
