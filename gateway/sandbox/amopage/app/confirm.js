/* lib/components/base/confirm: a question with two answers, over the page. */
define(['jquery', 'lib/components/base/modal', 'app/session'], function ($, Modal, session) {
  'use strict';

  /* text, accept_text, decline_text; accept and decline are called with the answer. */
  return function Confirm({ class_name = '', text = '', accept_text = session.t.yes, decline_text = session.t.no, accept = $.noop, decline = $.noop } = {}) {
    let answer = decline;
    const modal = new Modal({
      class_name: 'modal-confirm ' + class_name,
      init($body) {
        const $actions = $('<div class="modal-body__actions">').append(
          $('<button type="button" class="button-input js-modal-accept">').text(accept_text),
          $('<button type="button" class="button-cancel">').text(decline_text),
        );
        $body.append($('<p class="modal-body__text">').text(text), $actions).trigger('modal:loaded').trigger('modal:centrify');
        $body.on('click', '.js-modal-accept', () => {
          answer = accept;
          modal.destroy();
        });
      },
      destroy: () => answer(),
    });
    return modal;
  };
});
