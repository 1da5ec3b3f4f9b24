/* The settings window: a required hidden field that a checkbox fills, so that nobody installs the widget
   without agreeing to where the data goes. */
define(['jquery'], function ($) {
  'use strict';

  return {
    /* privacy: the address of the privacy policy, or ''. Returns the element; name says whom it is about. */
    make({ t, value, privacy, changed }) {
      const $box = $('<label class="ringcast-consent"><input type="checkbox"><span><span class="ringcast-consent__text"></span></span></label>');
      $box.find('input').prop('checked', value === 'yes').on('change', (e) => changed(e.target.checked ? 'yes' : ''));
      if (privacy) $('<a target="_blank" rel="noopener">').attr('href', privacy).text(t('consent.privacy')).appendTo($box.children('span')).before(' ');
      return $box;
    },

    /* Says whom the data goes to. */
    name($box, host, t) {
      $box.find('.ringcast-consent__text').text(t('consent.text', { host }));
    },
  };
});
