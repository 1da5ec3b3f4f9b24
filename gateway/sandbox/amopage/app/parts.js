/* What the pages are made of. */
define(['jquery', 'app/session', 'app/actions'], function ($, session, actions) {
  'use strict';

  const { t } = session;

  const icons = {
    leads: 'M4 5h4v14H4zM10 5h4v9h-4zM16 5h4v6h-4z',
    list: 'M4 6h2v2H4zM8 6h12v2H8zM4 11h2v2H4zM8 11h12v2H8zM4 16h2v2H4zM8 16h12v2H8z',
    contacts: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm0 2c-4.400 0-8 2.200-8 5v1h16v-1c0-2.800-3.600-5-8-5z',
    companies: 'M4 21V4h9v5h7v12h-6v-4h-2v4zM7 7v2h3V7zm0 4v2h3v-2zm8 1v2h2v-2zm-8 3v2h3v-2z',
    add: 'M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z',
    settings: 'M4 6h9a3 3 0 0 1 6 0h1v2h-1a3 3 0 0 1-6 0H4zm0 10h1a3 3 0 0 1 6 0h9v2h-9a3 3 0 0 1-6 0H4z',
    phone: 'M6.600 3 9.500 3.800 10.600 8 8.700 9.700a12 12 0 0 0 5.600 5.600L16 13.400l4.200 1.100.8 2.900c-.5 2-2 3.600-4 3.600C9.800 21 3 14.200 3 7c0-2 1.600-3.500 3.600-4z',
  };

  /* Kommo shows a number in groups; amoCRM, and whatever is more than a number, stays as somebody typed it. */
  const shown = (value) => {
    const digits = value.replace(/\D/g, '');
    if (!session.kommo || digits.length < 10 || /[^\d\s()+.-]/.test(value)) return value;
    return (value.trim().startsWith('+') ? '+' : '') + digits.replace(/^(\d*)(\d{3})(\d{3})(\d{2})(\d{2})$/, '$1 $2 $3-$4-$5').trim();
  };

  return {
    icon: (name) => '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="' + icons[name] + '"/></svg>',

    avatar: (name) => $('<span class="avatar">').text(String(name).split(/\s+/).map((word) => word.charAt(0)).join('').slice(0, 2).toUpperCase()),

    link: ({ url, name }) => $('<a class="js-navigate-link">').attr('href', url).text(name),

    phoneLink: (value, model, inCard) =>
      $('<button type="button" class="phone">').text(shown(value)).on('click', (e) => {
        e.stopPropagation();
        actions.clicked($(e.currentTarget), shown(value), model, inCard);
      }),

    page(title) {
      document.title = title + ' · ' + session.user.name;
      $('#title').text(title);
      $('.menu a').each((i, a) => $(a).toggleClass('active', a.pathname === location.pathname));
      return $('#page').empty().scrollTop(0);
    },

    /* The answer is drawn only if the user is still where he asked. */
    here(fn) {
      const asked = location.pathname;
      return (...args) => asked === location.pathname && fn(...args);
    },

    when: (seconds) => new Date(seconds * 1000).toLocaleString(session.lang, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }),

    money: (sum) => (sum ? sum.toLocaleString(session.lang) + ' ' + t.currency : ''),

    status: (id) => ({ 101: t.newLead, 102: t.talks, 103: t.decision, 142: t.won, 143: t.lost })[id] || t.newLead,
  };
});
