/* APP.sdk and APP.widgets. */
define(['jquery', 'app/session', 'app/parts', 'app/probe'], function ($, session, parts, probe) {
  'use strict';

  let calling = false;
  let online = [session.user.id];

  const status = (id) => ({ id, online: online.includes(id) });

  return {
    setOnline(ids) {
      online = ids;
    },

    sdk: {
      setCallingStatus(on) {
        if (typeof on !== 'boolean') probe.errors.push('setCallingStatus takes a boolean, got ' + typeof on);
        calling = Boolean(on);
        probe.callingStatus.push(calling);
        $('#calling').text(session.t.calling).prop('hidden', !calling);
      },

      getCallingStatus: () => calling,

      /* All users by id; 'online': the ids of those who are; an id: whether that one is. */
      showUserStatus(what) {
        const ids = session.users.map(({ id }) => id);
        if (what === 'online') return ids.filter((id) => online.includes(id));
        if (ids.includes(Number(what))) return online.includes(Number(what));
        return Object.fromEntries(ids.map((id) => [id, status(id)]));
      },
    },

    widgets: {
      /* A telephone in the menu's block of notifications: one for a namespace. */
      notificationsPhone({ ns, click }) {
        const $block = $('.menu__notifications');
        const there = $block.children().filter((i, el) => el.dataset.ns === ns).length > 0;
        if (there) return;
        $('<button type="button" class="menu__phone">').attr({ 'data-ns': ns, 'title': session.t.phone }).append(parts.icon('phone')).appendTo($block).on('click' + ns, click);
      },

      destroyNotificationsPhone({ ns }) {
        $('.menu__phone').filter((i, el) => el.dataset.ns === ns).remove();
      },
    },
  };
});
