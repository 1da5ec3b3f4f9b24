/* What the server tells this page as it happens: the user's notifications, that a card has a new note, and which
   users have a page open. */
define(['jquery', 'app/session', 'app/notifications', 'app/sdk'], function ($, session, notifications, sdk) {
  'use strict';

  const again = 1000; /* ms until a stream that broke is opened anew */

  const heard = {
    notification: (note) => notifications.toast(note.type, note),
    note: (note) => $(document).trigger('card:note', note),
    online: (ids) => sdk.setOnline(ids),
  };

  const listen = () => {
    const stream = new WebSocket(location.origin.replace(/^http/, 'ws') + '/sandbox/stream?user=' + session.user.id);
    stream.onmessage = ({ data }) => {
      const push = JSON.parse(data);
      heard[push.kind](push.data);
    };
    stream.onclose = () => setTimeout(listen, again);
  };

  return { listen };
});
