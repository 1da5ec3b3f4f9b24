/* APP.notifications. add_call and add_error go to the server, which stores them and shows them in every tab of
   the user; the others show something in this tab only. Text is HTML and is not escaped: that is the caller's part. */
define(['jquery', 'app/session', 'app/probe'], function ($, session, probe) {
  'use strict';

  const shown = 5000; /* ms; an error stays until it is closed */
  const pushed = 10000; /* ms that a browser notification stays */
  const cookie = 'closed_errors_' + location.port + '_' + session.user.id; /* cookies know no ports */

  /* The errors that the user closed, by a number made of what they say. */
  const closed = () => {
    const found = document.cookie.split('; ').find((part) => part.startsWith(cookie + '='));
    return found ? found.slice(cookie.length + 1).split('.') : [];
  };

  const number = (text) => [...text].reduce((sum, sign) => (Math.imul(sum, 31) + sign.codePointAt(0)) >>> 0, 7).toString(36);

  const remember = (key) => {
    document.cookie = cookie + '=' + [...closed(), key].slice(-50).join('.') + '; path=/; max-age=31536000; samesite=lax';
  };

  const plain = (html) => new DOMParser().parseFromString(html, 'text/html').body.textContent.trim();

  /* Nobody looks at this tab: the browser itself says it, if the user allowed that. */
  const push = (header, text) => {
    const note = { title: plain(header), body: plain(text) };
    probe.desktop.push(note);
    if (!window.Notification || Notification.permission !== 'granted') return;
    const popup = new Notification(note.title, { body: note.body });
    setTimeout(() => popup.close(), pushed);
  };

  const toast = (kind, { header = '', text = '', without_header = false, from, to, duration, link }) => {
    const key = number(header + '\n' + text);
    if (kind === 'error' && closed().includes(key)) return;
    if (document.visibilityState === 'hidden') {
      push(header, text);
      return;
    }
    probe.toasts.push({ kind, header, text, from, to, duration, link });
    const $toast = $('<div class="toast"><button type="button" class="toast__close">×</button><div class="toast__header"></div><div class="toast__text"></div><div class="toast__meta"></div></div>');
    $toast.attr('data-kind', kind);
    $toast.find('.toast__header').html(header).prop('hidden', without_header);
    $toast.find('.toast__text').html(text);
    const $meta = $toast.find('.toast__meta').text([from, to].filter(Boolean).join(' → ') + (duration ? ' · ' + duration : ''));
    if (/^https?:/.test(link)) $('<a target="_blank" rel="noopener">').attr('href', link).text(session.t.listen).appendTo($meta.append(' '));
    $toast.find('.toast__close').on('click', () => {
      $toast.remove();
      if (kind === 'error') remember(key);
    });
    $('#toasts').append($toast);
    if (kind !== 'error') setTimeout(() => $toast.remove(), shown);
  };

  const minutes = (seconds) =>
    seconds === undefined ? undefined : [Math.floor(seconds / 60), seconds % 60].map((n) => String(n).padStart(2, '0')).join(':');

  const add = (type, params, { done = $.noop, fail = $.noop, always = $.noop } = {}) => {
    const { header, to, from, link, date, text, element } = params;
    session
      .post('/ajax/v1/inbox/add/', { type, header, to, from, duration: minutes(params.duration), link, date, text, element, user: session.user.id })
      .done(done).fail(fail).always(always);
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
