/* What widgets offer to do with a telephone number: add_action('phone', …). */
define(['jquery', 'app/session', 'app/notifications', 'app/probe'], function ($, session, notifications, probe) {
  'use strict';

  const offered = { phone: new Map(), email: new Map() }; /* type → widget code → {fn, caption} */

  /* A model of the row or entity, as far as widgets look at it. */
  const model = (contact) => ({ id: contact.id, attributes: contact, get: (key) => contact[key] });

  const closeMenu = () => $('.phone-menu').remove();

  const openMenu = ($at, value, contact) => {
    closeMenu();
    const $menu = $('<div class="phone-menu">');
    offered.phone.forEach(({ fn, caption }) => {
      $('<button type="button">').text(caption || '---').appendTo($menu).on('click', () => {
        closeMenu();
        fn({ value, model: model(contact) });
      });
    });
    $menu.appendTo(document.body).offset({ left: $at.offset().left, top: $at.offset().top + $at.outerHeight() + 4 });
    $(document).one('click', closeMenu);
  };

  return {
    register(type, code, fn, caption) {
      if (offered[type]) offered[type].set(code, { fn, caption });
      else probe.errors.push('add_action: no such type as ' + type);
    },

    forget(code) {
      Object.values(offered).forEach((list) => list.delete(code));
    },

    /* A click on a number: in a list a single widget dials at once, in a card there is always a menu. */
    clicked($at, value, contact, inCard) {
      const actions = [...offered.phone.values()];
      if (!actions.length) return;
      if (inCard || actions.length > 1) {
        openMenu($at, value, contact);
        return;
      }
      try {
        actions[0].fn({ value, model: model(contact) });
      } catch (err) {
        probe.errors.push('phone action: ' + err);
        notifications.show_message_error({ header: session.t.widgetError, text: '' });
      }
    },
  };
});
