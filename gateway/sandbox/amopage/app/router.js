/* Navigation without reloading. */
define(['jquery', 'app/app', 'app/pages', 'app/session'], function ($, APP, pages, session) {
  'use strict';

  const routes = [
    { path: /^\/leads\/$/, area: 'llist', entity: 'leads', show: pages.leads },
    { path: /^\/contacts\/list\/$/, area: 'clist', entity: 'contacts', show: pages.contacts },
    { path: /^\/contacts\/detail\/(\d+)$/, area: 'ccard', entity: 'contacts', card: true, show: pages.contact },
    { path: /^\/contacts\/add\/$/, area: 'ccard', entity: 'contacts', card: true, show: pages.add },
  ];

  let changed = $.noop;

  const show = () => {
    const route = routes.find(({ path }) => path.test(location.pathname)) || routes[0];
    const [, id = 0] = location.pathname.match(route.path) || [];
    $(document).trigger('page:changed');
    $('.phone-menu').remove();
    Object.assign(APP.data, { current_card: route.card ? { id: Number(id) } : false, current_entity: route.entity, area: route.area });
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
      pages.menu();
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
