/* The settings window: what this widget adds to the CRM's own form. The extensions that the CRM keeps are a hint to the
   pages; those that count are the gateway's, and it takes them from an administrator's save. */
define([
  'jquery', '../clock.js?v=%VERSION%', '../errors.js?v=%VERSION%', './access.js?v=%VERSION%', './address.js?v=%VERSION%', './behaviour.js?v=%VERSION%',
  './consent.js?v=%VERSION%', './controls.js?v=%VERSION%', './form.js?v=%VERSION%', './gateway.js?v=%VERSION%', './report.js?v=%VERSION%',
], function ($, clock, Errors, access, address, behaviour, consent, controls, Form, Gateway, report) {
  'use strict';

  const pause = 800; /* ms without typing until what was typed is checked */

  const fields = new Set(['gateway', 'extensions']); /* what a check is about */

  return class SettingsWindow {
    /* $body   the CRM's window              widget  the CRM's widget object (self)
       app     the CRM's APP object          config  config.js of the archive
       t       translator                    page    window
       kept    called when the gateway has kept the extensions
       unsaved whether it did not, the last time: the CRM, which did, has nothing to save any more */
    constructor({ $body, widget, app, config, t, page, kept, unsaved = false }) {
      const user = app.constant('user') || {};
      Object.assign(this, { widget, app, t, config, page, kept, unsaved });
      this.form = new Form($body);
      this.ns = (widget.ns || '') + '.ringcast-settings';
      this.gateway = new Gateway({ widget, page, clock });
      this.errors = new Errors({ notifications: app.notifications, clock, t, support: config.support });
      this.admin = access.isAdmin(app);
      this.me = String(user.id ?? '');
      this.dark = Number(user.theme) === 2;
      this.name = (id) => ((app.constant('managers') || {})[id] || {}).title || id;
      this.asked = 0; /* how many questions the gateway was sent: only the last one's answer is shown */
    }

    draw() {
      const { form, t } = this;
      form.$body.find('.ringcast-settings').remove();
      this.drawPanel();
      if (form.input('behaviour').length) this.put('behaviour', this.makeControls());
      if (form.input('consent').length) this.drawConsent();
      form.input('gateway').attr({ placeholder: this.config.url, autocomplete: 'off', spellcheck: 'false' });
      form.onChange(this.ns, (name) => this.changed(name));
      if (form.users().size) this.put('extensions', $('<p class="ringcast-settings__hint">').text(t(this.admin ? 'settings.extensions_hint' : 'settings.not_admin')));
      this.check();
    }

    drawPanel() {
      const { t } = this;
      this.$panel = $('<section class="ringcast-settings__part ringcast-check"><p class="ringcast-settings__hint"></p><button type="button" class="ringcast-check__button" data-do="check"></button> <button type="button" class="ringcast-check__button" data-do="repeat"></button><ul class="ringcast-check__lines" role="status"></ul></section>');
      this.$panel.find('p').text(t('settings.gateway_hint', { url: this.config.url }));
      this.$panel.find('[data-do=check]').text(t('settings.check')).on('click', () => this.check());
      this.$panel.find('[data-do=repeat]').text(t('settings.repeat')).on('click', () => this.save({ gateway: this.form.value('gateway') }));
      this.put('gateway', this.$panel);
    }

    makeControls() {
      return controls.make({
        t: this.t,
        values: behaviour({ behaviour: this.form.value('behaviour') }),
        changed: (values) => this.form.write('behaviour', JSON.stringify(values)),
      });
    }

    drawConsent() {
      this.$consent = consent.make({
        t: this.t,
        value: this.form.value('consent'),
        privacy: this.config.privacy,
        changed: (value) => this.form.write('consent', value),
      });
      this.put('consent', this.$consent);
      this.nameHost();
    }

    nameHost() {
      if (this.$consent) consent.name(this.$consent, new URL(this.url() || this.config.url).host, this.t);
    }

    put(name, $element) {
      this.form.below(name, $('<div class="ringcast ringcast-settings">').toggleClass('ringcast_dark', this.dark).append($element));
    }

    /* The gateway's address as it stands in the form; '' when it cannot be used. */
    url(settings = { gateway: this.form.value('gateway') }) {
      const given = address.given(settings);
      return given ? address.clean(given) : this.config.url;
    }

    changed(name) {
      if (!fields.has(name.replace(/\[.*/, ''))) return;
      this.nameHost();
      this.stopWaiting();
      this.cancel = clock.after(pause, () => this.check());
    }

    check() {
      this.stopWaiting();
      if (!this.form.open) return Promise.resolve();
      return this.ask(this.url(), this.form.extensions(), false);
    }

    /* Saved by the CRM: given are the new values, while get_settings() still has the old ones. Never fails, and promises
       when the gateway has answered. */
    async save(given = {}) {
      this.stopWaiting();
      if (!this.admin) {
        await this.check();
        return;
      }
      const extensions = given.extensions === undefined ? this.form.extensions() : access.extensions(given);
      const said = await this.ask(this.url({ gateway: given.gateway }), extensions, true);
      if (!said.refused) this.kept();
      else this.errors.show(this.t('settings.unsaved', { reason: report.summary(said, this.name), button: this.t('settings.repeat') }));
    }

    /* Asks, and shows the answer. Promises the report. */
    async ask(url, extensions, save) {
      const { t } = this;
      const turn = (this.asked += 1);
      this.show({ lines: [{ tone: 'note', text: t(save ? 'settings.saving' : 'settings.checking') }], marks: new Map() });
      const said = await this.answer(url, extensions, save);
      if (save) this.unsaved = said.refused;
      if (save && !said.refused) said.lines.unshift({ tone: 'good', text: t('settings.saved') });
      if (this.unsaved) said.lines.unshift({ tone: 'bad', text: t('settings.unsaved', { reason: '', button: t('settings.repeat') }) });
      if (turn === this.asked && this.form.open) this.show(said);
      return said;
    }

    async answer(url, extensions, save) {
      const { t, name, me, admin } = this;
      const about = { t, name, me, admin, url, extensions, origin: this.page.location.origin, ask: this.errors.ask() };
      const names = Object.fromEntries(Object.keys(extensions).map((id) => [id, name(id)]));
      try {
        if (!url) throw new Gateway.Refusal('address');
        return report.accepted(await this.gateway.ask(url, { extensions, names, save }), about);
      } catch (err) {
        return report.refused(err instanceof Gateway.Refusal ? err : new Gateway.Refusal('stranger', { status: 200 }), about);
      }
    }

    show({ lines, marks }) {
      this.$panel.find('ul').empty().append(lines.map((line) => this.line(line)));
      this.$panel.find('[data-do=repeat]').prop('hidden', !this.unsaved);
      this.form.$body.find('.ringcast-marks').remove();
      this.form.users().forEach(($input, id) => {
        const own = marks.get(id) || [];
        if (own.length) $('<ul class="ringcast ringcast-marks">').toggleClass('ringcast_dark', this.dark).append(own.map((mark) => this.line(mark))).insertAfter($input);
      });
    }

    line({ tone, text, href }) {
      const $line = $('<li class="ringcast-check__line">').attr('data-tone', tone).text(text);
      if (href) $('<a target="_blank" rel="noopener">').attr('href', href).text(href).appendTo($line).before(' ');
      return $line;
    }

    stopWaiting() {
      if (this.cancel) this.cancel();
      this.cancel = null;
    }

    close() {
      this.stopWaiting();
      this.asked += 1;
      this.form.$body.off(this.ns);
    }
  };
});
