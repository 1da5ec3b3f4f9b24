/* What the server tells this page as it happens: the user's notifications, that a card has a new note, and which
   users have a page open. */
define(['jquery', 'app/session', 'app/notifications', 'app/sdk'], function ($, session, notifications, sdk) {
  'use strict';

  return {
    listen() {
      const stream = new EventSource('/sandbox/stream?user=' + session.user.id);
      stream.addEventListener('notification', (e) => {
        const note = JSON.parse(e.data);
        notifications.toast(note.type, note);
      });
      stream.addEventListener('note', (e) => $(document).trigger('card:note', JSON.parse(e.data)));
      stream.addEventListener('online', (e) => sdk.setOnline(JSON.parse(e.data)));
    },
  };
});
