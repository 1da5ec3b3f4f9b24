/* Opens a card of the CRM in this page, but never over what somebody is writing. */
define(['jquery'], function ($) {
  'use strict';

  const writable = 'input, textarea, select, [contenteditable=""], [contenteditable="true"]';
  const unwritten = ['hidden', 'checkbox', 'radio', 'button', 'submit', 'search'];
  const ours = '.ringcast';
  const looking = '[class*="search"], [class*="filter"]'; /* what is typed there is no work */

  const shown = (element) => element.getClientRects().length > 0;

  const changed = (field) => {
    if ($(field).closest(ours + ', ' + looking).length || unwritten.includes(field.type) || !shown(field)) return false;
    if (field.isContentEditable) return field.textContent.trim() !== '';
    if (field.tagName === 'SELECT') return [...field.options].some((option) => option.selected !== option.defaultSelected) && field.selectedIndex > 0;
    return field.value !== field.defaultValue;
  };

  return class Opener {
    /* app: the CRM's APP      page: as window */
    constructor({ app, page }) {
      Object.assign(this, { app, page });
    }

    /* Whether going to another page would cost somebody his work: a window of the CRM is open, the cursor is in a
       field or in a page within the page, a card is new, or a field was changed or a note begun, on whatever page. */
    busy() {
      const { document } = this.page;
      const at = document.activeElement;
      if (at && (at.tagName === 'IFRAME' || $(at).is(writable)) && !$(at).closest(ours).length) return true;
      if ([...document.querySelectorAll('.modal, .modal-body')].some(shown)) return true;
      const card = (this.app.data || {}).current_card;
      return Boolean(card && !Number(card.id)) || [...document.querySelectorAll(writable)].some(changed);
    }

    /* Follows the CRM's own kind of link, so that the page is not loaded anew. */
    open(href) {
      if (!href || this.page.location.pathname === href || this.busy()) return false;
      const $link = $('<a class="ringcast js-navigate-link" hidden>').attr('href', href).appendTo(this.page.document.body);
      $link[0].click();
      $link.remove();
      return true;
    }
  };
});
