/* The CRM's own form in the settings window: a block for each field of the manifest, and in the block of "extensions"
   an input for each user, called extensions[88888]. Inputs without a name are no business of the form's. */
define(['jquery'], function ($) {
  'use strict';

  const fields = '.widget_settings_block__fields';
  const block = '.widget_settings_block__item_field';

  return class Form {
    constructor($body) {
      this.$body = $body;
    }

    /* Whether the CRM still shows it. */
    get open() {
      return document.body.contains(this.$body[0]);
    }

    input(name) {
      return this.$body.find('input').filter((i, input) => input.name === name);
    }

    value(name) {
      return String(this.input(name).val() ?? '').trim();
    }

    /* The CRM's Save button awakes with that. */
    write(name, value) {
      this.input(name).val(value).trigger('change');
    }

    /* Puts an element below a field, or below all of them where an older installation has no such field. The CRM hides the
       blocks of hidden fields; its buttons stay at the bottom. */
    below(name, $element) {
      const $inputs = this.$body.find('input').filter((i, input) => input.name === name || input.name.startsWith(name + '['));
      const $block = $inputs.last().closest(block);
      const $fields = this.$body.find(fields);
      if ($inputs.length) $element.insertAfter($block.length ? $block : $inputs.last());
      else $element.appendTo($fields.length ? $fields : this.$body);
    }

    /* user id → the input for that user's extensions. */
    users() {
      const inputs = new Map();
      this.$body.find('input').each((i, input) => {
        const [, id] = /^extensions\[(\d+)\]$/.exec(input.name) || [];
        if (id) inputs.set(id, $(input));
      });
      return inputs;
    }

    /* As the manifest's field "extensions" would be saved: user id → text. */
    extensions() {
      const map = {};
      this.users().forEach(($input, id) => {
        map[id] = String($input.val() ?? '').trim();
      });
      return map;
    }

    onChange(ns, fn) {
      this.$body.off(ns).on('input' + ns + ' change' + ns, 'input', (e) => fn(e.target.name));
    }
  };
});
