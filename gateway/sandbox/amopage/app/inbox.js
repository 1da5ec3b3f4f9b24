/* What the server tells this page as it happens: the user's notifications, and that a card has a new note. */
define(['jquery', 'app/session', 'app/notifications'], function ($, session, notifications) {
  'use strict';

  return {
    listen() {
      const stream = new EventSource('/sandbox/stream?user=' + session.user.id);
      stream.addEventListener('notification', (e) => {
        const note = JSON.parse(e.data);
        notifications.toast(note.type, note);
      });
      stream.addEventListener('note', (e) => $(document).trigger('card:note', JSON.parse(e.data).contact));
    },
  };
});
