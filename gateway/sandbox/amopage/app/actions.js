/* What widgets offer to do with a telephone number: add_action('phone', …), and with the rows that are ticked in a
   list: callbacks.contacts.selected and callbacks.leads.selected. */
define(['jquery', 'app/session', 'app/notifications', 'app/probe'], function ($, session, notifications, probe) {
  'use strict';

  const offered = { phone: new Map(), email: new Map() }; /* type → widget code → {fn, caption} */
  const forRows = new Map(); /* widget code → {name, callbacks} */

  const closeMenu = () => $('.phone-menu').remove();

  const openMenu = ($at, value, model) => {
    closeMenu();
    const $menu = $('<div class="phone-menu">');
    offered.phone.forEach(({ fn, caption }, code) => {
      $('<button type="button">').attr('data-widget', code).text(caption || '---').appendTo($menu).on('click', () => {
        closeMenu();
        fn({ value, model });
      });
    });
    $menu.appendTo(document.body).offset({ left: $at.offset().left, top: $at.offset().top + $at.outerHeight() + 4 });
    $(document).one('click', closeMenu);
  };

  const actions = {
    register(type, code, fn, caption) {
      if (offered[type]) offered[type].set(code, { fn, caption });
      else probe.errors.push('add_action: no such type as ' + type);
    },

    registerRows(code, name, callbacks) {
      forRows.set(code, { name, callbacks });
    },

    forget(code) {
      Object.values(offered).forEach((list) => list.delete(code));
      forRows.delete(code);
    },

    /* What the menu of a list offers: kind is contacts (companies too) or leads. */
    forLists(kind) {
      return [...forRows]
        .filter(([, { callbacks }]) => callbacks[kind] && typeof callbacks[kind].selected === 'function')
        .map(([code, { name, callbacks }]) => ({
          code,
          name,
          run() {
            try {
              callbacks[kind].selected();
            } catch (err) {
              probe.errors.push(kind + '.selected: ' + err);
            }
          },
        }));
    },

    /* A click on a number: in a list a single widget dials at once and gets the cell's text, several get digits and
       plus only; in a card there is always a menu, and the text as it is. */
    clicked($at, value, model, inCard) {
      const handlers = [...offered.phone.values()];
      if (!handlers.length) return;
      if (inCard || handlers.length > 1) {
        openMenu($at, inCard ? value : value.replace(/[^\d+]/g, ''), model);
        return;
      }
      try {
        handlers[0].fn({ value, model });
      } catch (err) {
        probe.errors.push('phone action: ' + err);
        notifications.show_message_error({ header: session.t.widgetError, text: '' });
      }
    },
  };

  /* Another telephony beside the one that is tried: from now on there is a choice at every number. */
  probe.addTelephony = (name) => actions.register('phone', 'other', ({ value }) => probe.dialled.push(value), name);
  probe.removeTelephony = () => actions.forget('other');

  return actions;
});
