/* lib/components/base/modal: a window over the page. */
define(['jquery'], function ($) {
  'use strict';

  let count = 0;

  return function Modal(options) {
    const modal = this;
    const given = $.extend({
      class_name: 'modal-list', container: document.body, init: $.noop, destroy: $.noop, can_destroy: true,
      disable_overlay_click: false, disable_escape_keydown: false, disable_enter_keydown: false, focus_element: '.js-modal-accept',
    }, options);
    const ns = '.modal' + ++count;
    const $el = $('<div class="modal"><div class="modal__overlay"></div><div class="modal-scroller"><div class="modal-body modal-body_loading"></div></div></div>');
    const $body = $el.find('.modal-body');
    let gone = false;

    $el.addClass(given.class_name).appendTo(given.container);
    $body.on('modal:loaded', () => $body.removeClass('modal-body_loading'));
    $body.on('modal:centrify', () => $body.addClass('modal-body_placed'));

    modal.$modal_body = $body;
    modal.hide = () => $el.hide();
    modal.show = () => $el.show();
    modal.destroy = () => {
      if (gone || given.destroy() === false) return;
      gone = true;
      $(document).off(ns);
      $el.remove();
    };
    modal.showError = (text) => $body.append($('<p class="modal-body__error">').text(text));
    modal.showSuccess = (text, done, ms = 500) => {
      $body.append($('<p class="modal-body__success">').text(text));
      setTimeout(() => {
        modal.destroy();
        if (done) done();
      }, ms);
    };

    $el.on('click', '.modal-body__close, .modal-body__actions .button-cancel', () => modal.destroy());
    $el.on('click', '.modal-scroller', (e) => {
      if (e.target === e.currentTarget && !given.disable_overlay_click) modal.destroy();
    });
    $(document).on('keydown' + ns, (e) => {
      if (e.which === 27 && !given.disable_escape_keydown) modal.destroy();
      if (e.which === 13 && !given.disable_enter_keydown && !$(e.target).is('input, textarea, button, a')) $body.find('.js-modal-accept').trigger('click');
    });
    if (given.can_destroy) $(document).on('page:changed' + ns, () => modal.destroy());

    given.init($body);
    $body.find(given.focus_element).trigger('focus');
  };
});
