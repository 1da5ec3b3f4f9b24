/* The result window: after a talk, who it was and how long, and a note for the contact's card. */
define(['jquery', '../text.js?v=%VERSION%'], function ($, text) {
  'use strict';

  const html =
    '<div class="ringcast ringcast-result">' +
    '<h2 class="ringcast-result__title"></h2>' +
    '<div class="ringcast-result__who"><a target="_blank" rel="noopener"></a><span></span></div>' +
    '<dl class="ringcast-result__facts"><dt></dt><dd></dd><dt></dt><dd></dd></dl>' +
    '<label class="ringcast-result__note"><span></span><textarea rows="4"></textarea></label>' +
    '<p class="ringcast-result__hint"></p>' +
    '<p class="ringcast-result__error" role="alert"></p>' +
    '<div class="ringcast-result__actions">' +
    '<button type="button" class="ringcast-result__save"></button>' +
    '<button type="button" class="ringcast-result__cancel"></button>' +
    '</div>' +
    '</div>';

  return class Results {
    /* Modal is the CRM's lib/components/base/modal. */
    constructor({ Modal, crm, store, clock, t, dark, behaviour }) {
      Object.assign(this, { Modal, crm, store, clock, t, dark, behaviour });
      this.queue = Promise.resolve();
      this.modal = null;
      this.stopped = false;
    }

    /* Opens the window, after those that are open already. Resolves when it is closed. */
    open(call, who) {
      const closed = this.queue.then(() => !this.stopped && new Promise((resolve) => this.draw(call, who, resolve)));
      this.queue = closed;
      return closed;
    }

    stop() {
      this.stopped = true;
      if (this.modal) this.modal.destroy();
    }

    draw(call, who, closed) {
      const $window = this.fill($(html).toggleClass('ringcast_dark', this.dark), call, who);
      this.modal = new this.Modal({
        class_name: 'modal-window',
        can_destroy: false, /* the CRM's navigation must not take a half-written note away */
        init: ($body) => {
          $body.trigger('modal:loaded').html($window).trigger('modal:centrify').append('<span class="modal-body__close"></span>');
        },
        destroy: () => {
          this.modal = null;
          closed();
          return true;
        },
      });
      const { modal } = this;
      $window.find('.ringcast-result__cancel').on('click', () => modal.destroy());
      $window.find('.ringcast-result__save').on('click', () => this.save($window, who, modal));
      /* A new contact is made in this very page: the window makes room for it. */
      $window.find('.ringcast-result__hint a').on('click', () => modal.destroy());
      $window.find('textarea').on('input', () => $window.find('.ringcast-result__error').text('')).trigger('focus');
    }

    fill($window, call, who) {
      const t = this.t;
      const facts = [
        [t(call.direction === 'outbound' ? 'result.outgoing' : 'result.incoming'), who.number || who.name],
        [t('result.duration'), text.clock(call.talk_seconds)],
      ];
      $window.find('.ringcast-result__title').text(t('result.title'));
      const linked = Boolean(who.entity && who.href);
      const $who = $window.find('.ringcast-result__who');
      $who.find('a').prop('hidden', !linked).attr('href', who.href || '#').text(who.name);
      $who.find('span').prop('hidden', linked).text(who.name);
      facts.forEach(([name, value], i) => {
        $window.find('dt').eq(i).text(name);
        $window.find('dd').eq(i).text(value);
      });
      const $note = $window.find('.ringcast-result__note').prop('hidden', !who.entity);
      $note.find('span').text(t('result.note'));
      $note.find('textarea').attr('placeholder', t('result.placeholder'));
      $window.find('.ringcast-result__save').text(t('result.save')).prop('hidden', !who.entity);
      $window.find('.ringcast-result__cancel').text(t(who.entity ? 'result.cancel' : 'result.close'));
      this.hint($window.find('.ringcast-result__hint'), call, who);
      return $window;
    }

    /* Without a contact there is nothing to attach a note to; say what becomes of the call. */
    hint($hint, call, who) {
      const t = this.t;
      if (who.entity) {
        $hint.prop('hidden', true);
        return;
      }
      if (who.kind !== 'unknown') {
        $hint.text(t('result.unclear'));
        return;
      }
      $hint.text(t(call.direction === 'inbound' ? 'result.unsorted' : 'result.unknown') + ' ');
      $('<a class="js-navigate-link">').attr('href', who.href).text(t('result.create')).appendTo($hint);
    }

    async save($window, who, modal) {
      const note = $window.find('textarea').val().trim();
      const $save = $window.find('.ringcast-result__save');
      const $error = $window.find('.ringcast-result__error').text('');
      if (!note) {
        $error.text(this.t('result.empty'));
        return;
      }
      $save.prop('disabled', true).text(this.t('result.saving'));
      try {
        await this.crm.addNote(who.entity, note);
        modal.destroy();
      } catch (xhr) {
        const reason = xhr.status === 403 ? this.t('result.forbidden') : (xhr.responseJSON || {}).detail || this.t('result.offline');
        $error.text(this.t('result.failed', { reason }));
        $save.prop('disabled', false).text(this.t('result.save'));
      }
    }
  };
});
