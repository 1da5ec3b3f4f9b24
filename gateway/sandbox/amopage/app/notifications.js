/* APP.notifications. add_call and add_error go to the server, which stores them and shows them in every tab of
   the user; the others show something in this tab only. Text is HTML and is not escaped: that is the caller's part. */
define(['jquery', 'app/session', 'app/probe'], function ($, session, probe) {
  'use strict';

  const shown = 5000; /* ms; an error stays until it is closed */

  const toast = (kind, { header = '', text = '' }) => {
    probe.toasts.push({ kind, header, text });
    const $toast = $('<div class="toast"><button type="button" class="toast__close">×</button><div class="toast__header"></div><div class="toast__text"></div></div>');
    $toast.attr('data-kind', kind);
    $toast.find('.toast__header').html(header);
    $toast.find('.toast__text').html(text);
    $toast.find('.toast__close').on('click', () => $toast.remove());
    $('#toasts').append($toast);
    if (kind !== 'error') setTimeout(() => $toast.remove(), shown);
  };

  const minutes = (seconds) =>
    seconds === undefined ? undefined : [Math.floor(seconds / 60), seconds % 60].map((n) => String(n).padStart(2, '0')).join(':');

  const add = (type, params, { done = $.noop, fail = $.noop, always = $.noop } = {}) => {
    const { header, to, from, link, date, text, element } = params;
    $.ajax({
      url: '/ajax/v1/inbox/add/',
      method: 'POST',
      contentType: 'application/json',
      data: JSON.stringify({ type, header, to, from, duration: minutes(params.duration), link, date, text, element, user: session.user.id }),
      dataType: 'json',
    }).done(done).fail(fail).always(always);
  };

  return {
    toast,
    add_call: (params, callbacks) => add('call', params, callbacks),
    add_error: (params, callbacks) => add('error', params, callbacks),
    show_message: (params) => toast('message', params),
    show_message_error: (params) => toast('error', params),
    show_notification: ({ text, type }) => toast(type || 'call', text),
  };
});
