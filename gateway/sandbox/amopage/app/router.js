/* Navigation without reloading. */
define(['jquery', 'app/app', 'app/board', 'app/lists', 'app/cards', 'app/settings', 'app/session', 'app/frame'], function ($, APP, board, list, cards, settings, session, frame) {
  'use strict';

  const routes = [
    { path: /^\/leads\/$/, area: 'llist', entity: 'leads', show: board.leads },
    { path: /^\/leads\/list\/$/, area: 'llist', entity: 'leads', show: list('leads') },
    { path: /^\/contacts\/list\/$/, area: 'clist', entity: 'contacts', show: list('contacts') },
    { path: /^\/companies\/list\/$/, area: 'clist', entity: 'companies', show: list('companies') },
    { path: /^\/contacts\/detail\/(\d+)$/, area: 'ccard', entity: 'contacts', card: true, show: cards.contacts },
    { path: /^\/companies\/detail\/(\d+)$/, area: 'comcard', entity: 'companies', card: true, show: cards.companies },
    { path: /^\/leads\/detail\/(\d+)$/, area: 'lcard', entity: 'leads', card: true, show: cards.leads },
    { path: /^\/customers\/detail\/(\d+)$/, area: 'cucard', entity: 'customers', card: true, show: cards.customers },
    { path: /^\/contacts\/add\/$/, area: 'ccard', entity: 'contacts', card: true, show: cards.add },
    { path: /^\/settings\/widgets\/$/, area: 'settings', entity: '', show: settings.page },
  ];

  let changed = $.noop;

  const show = () => {
    const route = routes.find(({ path }) => path.test(location.pathname)) || routes[0];
    const [, id = 0] = location.pathname.match(route.path) || [];
    $(document).trigger('page:changed');
    frame.tell({ path: location.pathname });
    $('.phone-menu').remove();
    Object.assign(APP.data, {
      current_card: route.card ? { id: Number(id) } : false, current_list: false, current_entity: route.entity, area: route.area, current_view: { $el: $('#page') },
    });
    route.show(Number(id), router);
    changed(route.area);
  };

  const router = {
    navigate(path, { trigger = true } = {}) {
      history.pushState(null, '', session.href(path));
      if (trigger) show();
    },

    /* onChange(area) after each page. */
    start(onChange) {
      changed = onChange;
      board.menu();
      window.addEventListener('popstate', show);
      $(document).on('click', 'a[href^="/"]', (e) => {
        const href = e.currentTarget.getAttribute('href');
        e.preventDefault();
        if (e.currentTarget.target === '_blank') window.open(session.href(href), '_blank', 'noopener');
        else router.navigate(href);
      });
      show();
    },
  };

  return router;
});
