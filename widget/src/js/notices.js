/* The CRM's own notifications. Their text is HTML: what is not ours is escaped here and nowhere else. */
define(['./text.js?v=%VERSION%'], function (text) {
  'use strict';

  const mostName = 100; /* characters of a name */
  const answerTime = 10000; /* ms in which the CRM says that it has a notification, or that it has not */

  const elements = ['contact', 'company', 'lead']; /* that a notification can be about */

  const link = (href, label) => '<a class="js-navigate-link" href="' + text.escape(href) + '">' + text.escape(label) + '</a>';

  const paragraph = (...parts) => '<p>' + parts.filter(Boolean).join(' ') + '</p>';

  /* Somebody's name inside of a sentence. */
  const named = (name) => text.isolate(text.cut(text.plain(name), mostName));

  const alone = (name) => text.escape(text.cut(text.plain(name), mostName));

  /* An address that may be followed, as it may stand in an attribute; null for anything but http and https. */
  const web = (address) => {
    try {
      const url = new URL(address);
      return ['http:', 'https:'].includes(url.protocol) ? url.href.replace(/'/g, '%27') : null;
    } catch {
      return null;
    }
  };

  /* notifications is APP.notifications, clock {now, after}, t a translator. */
  return class Notices {
    constructor({ notifications, clock, t }) {
      this.notifications = notifications;
      this.clock = clock;
      this.t = t;
    }

    info(message) {
      this.notifications.show_message({ header: text.escape(this.t('widget.name')), text: paragraph(text.escape(message)), date: this.date() });
    }

    /* incoming and talked are stored by the CRM and shown in all tabs of the user: one tab only may call them for a
       call. who is what caller.describe says, me the user's name. They resolve when the CRM has the notification, and
       when it says nothing for 10 s. */

    /* It rings. */
    incoming(who, me) {
      const nameless = who.kind === 'unknown' && !who.number; /* the header says it */
      return this.store({
        header: text.escape(this.about('header', who)),
        text: this.body(who, nameless ? '' : this.about('calling', who)),
        ...this.parties(who, 'from', me),
      });
    }

    /* After a talk of talk_seconds. recording is an address or null. */
    talked(call, who, me) {
      const outbound = call.direction === 'outbound';
      const seconds = Math.max(0, Math.round(Number(call.talk_seconds) || 0));
      const recording = web(call.recording);
      return this.store({
        header: text.escape(this.about(outbound ? 'outbound' : 'inbound', who)),
        text: this.body(who, this.about('talked', who, { duration: text.clock(seconds) })),
        ...this.parties(who, outbound ? 'to' : 'from', me),
        duration: seconds,
        ...(recording && { link: recording }),
      });
    }

    /* Says something of the section notify. Who hides his number has neither name nor number: that is another sentence. */
    about(what, who, values) {
      if (who.kind === 'hidden') return this.t('notify.' + what + '_hidden', values);
      return this.t('notify.' + what, { phone: named(who.number || who.name), name: this.described(who), ...values });
    }

    /* 'Ivan Petrov, Acme' */
    described(who) {
      return [who.name, who.company && who.company.name].filter(Boolean).map(named).join(', ');
    }

    body(who, sentence) {
      const { t } = this;
      if (who.kind === 'unknown') return paragraph(text.escape(sentence), text.escape(t('notify.unknown')), link(who.href, t('notify.create')));
      return paragraph(text.escape(sentence), who.href && link(who.href, t('notify.open')));
    }

    /* place  where the other side stands: 'from' or 'to'. from stays unset when a new contact is offered: the CRM's
       documentation asks for it. */
    parties(who, place, me) {
      const other = alone(who.number || who.name);
      const parties = place === 'from' ? { from: other, to: alone(me) } : { from: alone(me), to: other };
      if (who.kind === 'unknown') delete parties.from;
      const { entity } = who;
      return entity && elements.includes(entity.type) ? { ...parties, element: { id: Number(entity.id), type: entity.type } } : parties;
    }

    store(note) {
      return new Promise((resolve, reject) => {
        const cancel = this.clock.after(answerTime, resolve);
        const settled = (fn) => () => {
          cancel();
          fn();
        };
        this.notifications.add_call({ ...note, date: this.date() }, {
          done: settled(resolve),
          fail: settled(() => reject(new Error('the CRM did not take the notification'))),
        });
      });
    }

    date() {
      return Math.floor(this.clock.now() / 1000);
    }
  };
});
