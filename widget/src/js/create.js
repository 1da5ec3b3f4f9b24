/* Makes a contact of an unknown caller, and a deal with him, without leaving the page. */
define(['jquery'], function ($) {
  'use strict';

  const template =
    '<form class="ringcast-create" novalidate>' +
    '<label class="ringcast-field"><span></span><input class="ringcast-input" name="name" autocomplete="off" maxlength="255" dir="auto"><em></em></label>' +
    '<div class="ringcast-field"><span></span><output name="phone" dir="ltr"></output><em></em></div>' +
    '<label class="ringcast-option"><input type="checkbox" name="lead"><span></span></label>' +
    '<label class="ringcast-field" data-of="deal"><span></span><input class="ringcast-input" name="deal" autocomplete="off" maxlength="255" dir="auto"><em></em></label>' +
    '<p class="ringcast-create__error" role="alert" hidden></p>' +
    '<div class="ringcast-create__actions">' +
    '<button type="submit" class="ringcast-button ringcast-button_main"></button>' +
    '<a class="ringcast-create__full js-navigate-link"></a>' +
    '</div>' +
    '</form>';

  /* Which field of the form a path of the CRM's refusal is about. The contact stands inside the deal. */
  const fieldOf = (path, lead) => {
    if (/phone|custom_fields/.test(path)) return 'phone';
    if (!/name$/.test(path)) return null;
    return lead && !/contacts/.test(path) ? 'deal' : 'name';
  };

  return class Create {
    static get fieldOf() {
      return fieldOf;
    }

    /* model.form {name, number, deal, lead, href}: what the form begins with, and the CRM's own form */
    constructor({ t, id, actions, model, close }) {
      Object.assign(this, { t, id, actions, close });
      const { form } = model;
      this.$el = $(template);
      const label = (name, words) => this.input(name).closest('.ringcast-field, .ringcast-option').find('span').first().text(words);
      label('name', t('create.name'));
      label('phone', t('create.phone'));
      label('lead', t('create.lead'));
      label('deal', t('create.deal'));
      this.input('name').val(form.name);
      this.input('phone').text(form.number);
      this.input('deal').attr('placeholder', form.deal);
      this.input('lead').prop('checked', form.lead).on('change', () => this.draw());
      this.$el.find('[type="submit"]').text(t('create.save'));
      this.$el.find('.ringcast-create__full').text(t('create.full')).attr('href', form.href);
      this.form = form;
      this.saving = false;
      this.$el.on('input', 'input', ({ target }) => this.refuse(target.name, ''));
      this.$el.on('submit', (e) => {
        e.preventDefault();
        this.save();
      });
      this.draw();
    }

    /* What is typed stays as it is. */
    update() {}

    input(name) {
      return this.$el.find('[name="' + name + '"]');
    }

    draw() {
      this.$el.find('[data-of="deal"]').prop('hidden', !this.input('lead').prop('checked'));
    }

    async save() {
      const value = (name) => this.input(name).val().trim();
      const name = value('name');
      if (!name) {
        this.refuse('name', this.t('create.empty'));
        this.input('name').trigger('focus');
        return;
      }
      const lead = this.input('lead').prop('checked');
      this.working(true);
      try {
        await this.actions.create(this.id, { name, lead: lead ? value('deal') || this.form.deal : null });
        this.saving = false;
        this.close();
      } catch (err) {
        this.working(false);
        this.explain(err, lead);
      }
    }

    /* Whether something would be lost with the form: what was typed, or the answer to it. */
    kept() {
      return this.saving || this.input('name').val() !== this.form.name || this.input('deal').val() !== '';
    }

    working(on) {
      this.saving = on;
      this.$el.attr('aria-busy', String(on));
      this.$el.find('input, button').prop('disabled', on);
      this.$el.find('[type="submit"]').text(this.t(on ? 'create.saving' : 'create.save'));
      if (on) ['name', 'phone', 'deal', ''].forEach((name) => this.refuse(name, ''));
    }

    /* The CRM's refusal, beside the field that it is about. err: see crm.js. */
    explain(err, lead) {
      const rest = [];
      Object.entries(err.fields || {}).forEach(([path, detail]) => {
        const name = fieldOf(path, lead);
        if (name) this.refuse(name, detail);
        else rest.push(detail);
      });
      const said = this.$el.find('em').filter((i, em) => em.textContent).length > 0;
      const reason = rest.join(' ') || (said ? '' : this.t(this.known('create.error_' + err.code) || 'create.error_failed', { reason: err.message }));
      this.refuse('', reason);
      this.$el.find('[aria-invalid="true"], [type="submit"]').first().trigger('focus');
    }

    known(key) {
      return this.t(key) === key ? null : key;
    }

    refuse(name, words) {
      if (!name) {
        this.$el.find('.ringcast-create__error').text(words).prop('hidden', !words);
        return;
      }
      this.input(name).attr('aria-invalid', words ? 'true' : null).closest('.ringcast-field').find('em').text(words);
    }

    focus() {
      this.input('name').trigger('focus').trigger('select');
    }
  };
});
