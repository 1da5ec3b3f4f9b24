/* The settings window: a required hidden field that a checkbox fills, so that nobody installs the widget
   without agreeing to where the data goes. */
define(['jquery'], function ($) {
  'use strict';

  return {
    draw($body, { ns, label }) {
      const $field = $body.find('input[name="consent"]');
      if (!$field.length || $body.find('.ringcast-consent').length) return;
      const $box = $('<label class="ringcast ringcast-consent"><input type="checkbox"><span></span></label>');
      $box.find('span').text(label);
      $box
        .find('input')
        .prop('checked', $field.val() === 'yes')
        .on('change' + ns, (e) => $field.val(e.target.checked ? 'yes' : '').trigger('change'));
      $field.after($box);
    },
  };
});
