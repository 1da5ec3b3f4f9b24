/* The CRM's own notifications. Their text is HTML: what is not ours is escaped here and nowhere else. */
define(['./text.js?v=%VERSION%'], function (text) {
  'use strict';

  const link = (href, label) => '<a class="js-navigate-link" href="' + text.escape(href) + '">' + text.escape(label) + '</a>';

  /* notifications is APP.notifications, clock {now: milliseconds}, t a translator. */
  return class Notices {
    constructor({ notifications, clock, t }) {
      this.notifications = notifications;
      this.clock = clock;
      this.t = t;
    }

    error(message) {
      this.notifications.show_message_error(this.message(message));
    }

    info(message) {
      this.notifications.show_message(this.message(message));
    }

    message(message) {
      return { header: text.escape(this.t('widget.name')), text: '<p>' + text.escape(message) + '</p>', date: this.date() };
    }

    /* Stored by the CRM and shown in all tabs of the user: one tab only may call this for a call. Resolves
       when the CRM has it. */
    incoming(caller, to) {
      const t = this.t;
      const note = {
        header: text.escape(t('notify.header', { phone: caller.number || caller.name })),
        text: this.incomingText(caller),
        to: text.escape(to),
        date: this.date(),
      };
      /* from stays unset when a new contact is offered: the CRM's documentation asks for it. */
      if (caller.kind !== 'unknown') note.from = text.escape(caller.number || caller.name);
      if (caller.entity) note.element = { id: Number(caller.entity.id), type: caller.entity.type };
      return new Promise((done, fail) => {
        this.notifications.add_call(note, { done, fail: () => fail(new Error('the CRM did not take the notification')) });
      });
    }

    incomingText(caller) {
      const t = this.t;
      if (caller.kind === 'unknown') return '<p>' + text.escape(t('notify.unknown')) + ' ' + link(caller.href, t('notify.create')) + '</p>';
      const calling = text.escape(t('notify.calling', { name: caller.name }));
      return '<p>' + calling + (caller.href ? ' ' + link(caller.href, t('notify.open')) : '') + '</p>';
    }

    date() {
      return Math.floor(this.clock.now() / 1000);
    }
  };
});
