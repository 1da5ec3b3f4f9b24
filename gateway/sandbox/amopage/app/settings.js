/* The settings of widgets: a tile for each, and the window where it is installed, set and switched off. */
define(['jquery', 'app/session', 'app/parts', 'app/widgets', 'app/probe', 'lib/components/base/modal'], function ($, session, parts, widgets, probe, Modal) {
  'use strict';

  const { t } = session;

  /* An object of the settings: a user's id → his value. Saved it is JSON in a string. */
  const mapOf = (value) => {
    try {
      return (typeof value === 'string' ? JSON.parse(value) : value) || {};
    } catch {
      return {};
    }
  };

  const text = (value) => (value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value));

  const drawInput = ($item, type, name, value) => {
    const $input = $('<input autocomplete="off">').attr({ type, name, value });
    $('<div class="widget_settings_block__input_field">').append($input).appendTo($item);
    return $input;
  };

  const drawField = ($fields, self, code, field) => {
    const value = self.params[code];
    const $item = $('<div class="widget_settings_block__item_field">').attr('data-field', code).appendTo($fields);
    $('<div class="widget_settings_block__title_field">').text(self.i18n(field.name) || code).appendTo($item);
    if (field.type === 'users') {
      session.users.forEach(({ id, name }) => {
        const $user = $('<label class="widget_settings_block__user">').append($('<span>').text(name)).appendTo($item);
        drawInput($user, 'text', code + '[' + id + ']', text(mapOf(value)[id])).attr('data-user', id);
      });
      return;
    }
    const type = { custom: 'hidden', pass: 'password' }[field.type] || 'text';
    const $input = drawInput($item, type, code, text(value));
    if (type === 'hidden') $input.attr('id', self.params.widget_code + '_custom');
  };

  /* All inputs that have a name, also those that the widget added; name[key] makes an object. */
  const read = ($fields) => {
    const values = {};
    $fields.find('input').serializeArray().forEach(({ name, value }) => {
      const [, code, key] = /^([^[]+)\[(.*)\]$/.exec(name) || [null, name];
      if (key === undefined) values[code] = value;
      else values[code] = { ...values[code], [key]: value };
    });
    return values;
  };

  const empty = (value) => (typeof value === 'object' && value ? Object.values(value).every((one) => !one.trim()) : !value);

  const missing = (values, fields) => Object.keys(fields).filter((code) => fields[code].required && empty(values[code]));

  /* The description, with what the CRM puts in. */
  const described = (self) => {
    const put = { HOST: session.host, SUBDOMAIN: session.subdomain, LOGIN: 'user' + session.user.id + '@example.com', ACCOUNT_ID: session.account, USER_ID: session.user.id, TOP_LEVEL_DOMAIN: session.host.split('.').pop() };
    return String(self.i18n('widget.description')).replace(/#([A-Z_]+)#/g, (all, name) => (name in put ? put[name] : all));
  };

  /* Two windows: today's, and that of 2017, which closes when it has saved, takes "active" from a switch that is not
     there before the first installation, and complains of an empty field only when it is to save. */
  class Window {
    constructor(info, self) {
      Object.assign(this, { info, self, fields: info.fields || {}, changed: false });
      this.modal = new Modal({
        class_name: 'modal-widget ' + info.code,
        init: ($body) => this.draw($body),
        destroy: () => true,
        disable_enter_keydown: true,
      });
    }

    draw($body) {
      const { info, self } = this;
      const installed = info.status !== 'install';
      $body.append('<div class="widget-settings"><div class="widget-settings__side"></div><div class="widget-settings__main widget_settings_block"></div></div><span class="modal-body__close"></span>');
      $body.find('.widget-settings__side').append($('<img class="widget-settings__logo" alt="">').attr('src', info.path + '/images/logo_main.png?v=' + info.version), $('<h2>').text(self.i18n('widget.name')), $('<p>').text(t.version + ' ' + info.version));
      this.$main = $body.find('.widget-settings__main');
      this.$main.append($('<div class="widget_settings_block__descr">').html(described(self)));
      if (session.old_window && installed) {
        const $switch = $('<label class="widget_settings_block__switch"><input type="checkbox" name="widget_active" value="Y"> <span></span></label>').appendTo(this.$main);
        $switch.find('input').prop('checked', info.status === 'installed');
        $switch.find('span').text(t.active);
      }
      this.$fields = $('<div class="widget_settings_block__fields" id="widget_settings__fields_wrapper">').appendTo(this.$main);
      Object.entries(this.fields).forEach(([code, field]) => drawField(this.$fields, self, code, field));
      this.$fields.find('input[type=hidden]').parents('.widget_settings_block__item_field').hide();
      this.$error = $('<p class="widget_settings_block__error" role="alert" hidden>').appendTo(this.$main);
      this.drawButtons($('<div class="widget_settings_block__controls">').appendTo(this.$main), installed);
      this.$main.on('change', '.widget_settings_block__fields input, [name="widget_active"]', () => {
        this.changed = true;
        this.check();
      });
      this.check();
      $body.trigger('modal:loaded').trigger('modal:centrify');
      widgets.guarded('settings', () => self.callbacks.settings.call(self, this.$main, {}));
    }

    drawButtons($controls, installed) {
      this.$save = $('<button type="button" class="button-input js-widget-save">').attr('id', 'save_' + this.info.code).text(installed ? t.save : t.install).toggleClass('js-widget-install', !installed).appendTo($controls);
      this.$save.on('click', () => this.save(this.active()));
      if (installed && !session.old_window) $('<button type="button" class="button-cancel js-widget-uninstall">').text(t.disable).appendTo($controls).on('click', () => this.save('N'));
    }

    active() {
      return session.old_window ? this.$main.find('input[name=widget_active]:checked').val() || 'N' : 'Y';
    }

    check() {
      const off = !this.changed || (!session.old_window && missing(read(this.$fields), this.fields).length > 0);
      this.$save.prop('disabled', off).toggleClass('button-input-disabled', off);
    }

    complain(message) {
      this.$error.text(message).prop('hidden', !message);
    }

    async save(active) {
      const { info, self } = this;
      const fields = read(this.$fields);
      const on = active === 'Y' || info.status === 'install';
      const lacking = missing(fields, this.fields);
      this.complain('');
      if (on && lacking.length) {
        this.complain(t.required + ' ' + lacking.map((code) => self.i18n(this.fields[code].name) || code).join(', '));
        return;
      }
      const said = widgets.guarded('onSave', () => self.callbacks.onSave.call(self, { active, fields }));
      /* amoCRM looks at the value alone, and a promise is something; Kommo waits for it. */
      const result = session.kommo ? Boolean(await Promise.resolve(said).catch(() => false)) : Boolean(said);
      probe.saves.push({ active, fields, result });
      const status = !on ? 'install' : result ? 'installed' : 'not_configured';
      try {
        await this.keep(status, fields);
      } catch (xhr) {
        this.complain(xhr.status === 403 ? t.adminsOnly : t.notSaved);
        return;
      }
      if (status === 'not_configured') this.complain(t.notConfigured);
      else if (session.old_window) this.modal.destroy();
    }

    async keep(status, fields) {
      const { info, self } = this;
      const first = info.status === 'install' && status === 'installed';
      const answer = await Promise.resolve(session.post('/ajax/widgets/edit', { code: info.code, status, settings: fields }));
      const active = status === 'installed' ? 'Y' : 'N';
      widgets.forget();
      Object.assign(info, { status, settings: answer.settings });
      self.set_settings({ ...(session.old_window ? {} : answer.settings), status, active, widget_active: active });
      $('.tile').filter((i, el) => el.dataset.code === info.code).attr('data-status', status);
      this.changed = false;
      this.check();
      this.$save.text(status === 'install' ? t.install : t.save);
      if (status !== 'installed') widgets.stop(info.code);
      if (first && typeof self.callbacks.onInstall === 'function') widgets.guarded('onInstall', () => self.callbacks.onInstall.call(self));
      if (status === 'installed' && !widgets.running(info.code)) await widgets.load('settings');
    }
  }

  const open = async (info) => new Window(info, await widgets.self(info));

  /* Opens the window on any page. */
  probe.openSettings = async (code) => open((await widgets.listed('settings')).find((info) => info.code === code));

  return {
    page() {
      const $tiles = $('<div class="tiles">').appendTo(parts.page(t.integrations));
      widgets.listed('settings').then(parts.here((list) => {
        list.forEach(async (info) => {
          const $tile = $('<button type="button" class="tile">').attr({ 'data-code': info.code, 'data-status': info.status }).appendTo($tiles).on('click', () => open(info));
          $('<img alt="">').attr('src', info.path + '/images/logo_main.png?v=' + info.version).appendTo($tile);
          const self = await widgets.self(info);
          $tile.attr('data-status', self.badge || info.status);
          $('<b>').text(self.i18n('widget.name')).appendTo($tile);
          $('<span>').text(self.i18n('widget.short_description')).appendTo($tile);
        });
      }));
    },
  };
});
