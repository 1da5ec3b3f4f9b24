/* The settings window: what this widget adds to the CRM's own form. The extensions that the CRM keeps are a hint to the
   pages; those that count are the gateway's, and it takes them from an administrator's save. */
define([
  'jquery', '../clock.js?v=%VERSION%', '../errors.js?v=%VERSION%', '../text.js?v=%VERSION%', './access.js?v=%VERSION%', './address.js?v=%VERSION%',
  './behaviour.js?v=%VERSION%', './consent.js?v=%VERSION%', './controls.js?v=%VERSION%', './form.js?v=%VERSION%', './gateway.js?v=%VERSION%',
  './held.js?v=%VERSION%', './report.js?v=%VERSION%',
], function ($, clock, Errors, plainText, access, address, behaviour, consent, controls, Form, Gateway, Held, report) {
  'use strict';

  const pause = 800; /* ms without typing until what was typed is checked */
  const longestName = 60; /* characters of a name that the gateway is told */

  const fields = new Set(['gateway', 'extensions']); /* what a check is about */

  return class SettingsWindow {
    /* $body   the CRM's window              widget  the CRM's widget object (self)
       app     the CRM's APP object          config  config.js of the archive
       t       translator                    page    window
       kept    called when the gateway has kept the extensions
       memory  of the window before it in this tab. unsaved: the gateway did not keep the extensions the last time, while
               the CRM did and has nothing to save any more; emptied: whose fields were emptied; saving: one save at a time */
    constructor({ $body, widget, app, config, t, page, kept, memory = { unsaved: false, emptied: new Set(), saving: Promise.resolve() } }) {
      const user = app.constant('user') || {};
      Object.assign(this, { widget, app, t, config, page, kept, memory });
      this.form = new Form($body);
      this.held = new Held(this.form.extensions(), memory.emptied);
      this.others = []; /* the gateway's users with extensions whom the form does not have */
      this.ns = (widget.ns || '') + '.ringcast-settings';
      this.gateway = new Gateway({ widget, page, clock });
      this.errors = new Errors({ notifications: app.notifications, clock, t, support: config.support });
      this.admin = access.isAdmin(app);
      this.me = String(user.id ?? '');
      this.dark = Number(user.theme) === 2;
      this.name = (id) => this.title(id) || (this.held.users.get(id) || {}).name || id;
      this.trusted = new Set(['', config.url]); /* addresses that may be asked without anybody's click; '': nobody is asked */
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
      this.$others = $('<div class="ringcast-others">');
      if (form.users().size && this.admin) this.put('extensions', this.$others);
      this.trusted.add(this.url());
      this.checkAgreed();
    }

    /* Without anybody's asking only somebody is asked whom the administrator has agreed to send data to: not before the
       consent, nor at an address that is being typed. */
    checkAgreed() {
      const { form } = this;
      const agreed = form.value('consent') === 'yes' || !form.input('consent').length;
      if (agreed && this.trusted.has(this.url())) this.check();
    }

    /* A user's name in the CRM, '' where it has none. */
    title(id) {
      return plainText.cut(plainText.plain(((this.app.constant('managers') || {})[id] || {}).title), longestName);
    }

    drawPanel() {
      const { t } = this;
      this.$panel = $('<section class="ringcast-settings__part ringcast-check"><p class="ringcast-settings__hint"></p><button type="button" class="ringcast-check__button" data-do="check"></button> <button type="button" class="ringcast-check__button" data-do="repeat"></button><ul class="ringcast-check__lines" role="status"></ul></section>');
      this.$panel.find('p').text(t('settings.gateway_hint', { url: this.config.url }));
      this.$panel.find('[data-do=check]').text(t('settings.check')).on('click', () => this.check());
      this.$panel.find('[data-do=repeat]').text(t('settings.repeat')).on('click', () => this.save({ gateway: this.form.value('gateway') }, { all: true }));
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
        changed: (value) => {
          this.form.write('consent', value);
          this.checkAgreed();
        },
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
      this.cancel = clock.after(pause, () => this.checkAgreed());
    }

    check() {
      this.stopWaiting();
      this.trusted.add(this.url());
      if (!this.form.open) return Promise.resolve();
      const extensions = this.form.extensions();
      return this.ask({ url: this.url(), extensions, sent: this.held.wanted(extensions) });
    }

    /* Saved by the CRM: given are the new values, while get_settings() still has the old ones. Only what is otherwise at the
       gateway is sent, or with `all` everything that the form asks for. Never fails, and promises when the gateway has
       answered. */
    save(given = {}, { all = false } = {}) {
      this.stopWaiting();
      if (!this.admin) return this.check();
      const extensions = given.extensions === undefined ? this.form.extensions() : access.extensions(given);
      this.held.saved(extensions);
      return this.inTurn(async () => {
        const url = this.url({ gateway: given.gateway });
        const sent = all ? this.held.wanted(extensions) : this.held.changes(url, extensions);
        const said = await this.ask({ url, extensions, sent, save: true });
        this.memory.unsaved = said.refused;
        if (said.refused) {
          this.errors.show(this.t('settings.unsaved', { reason: report.summary(said, this.name), button: this.t('settings.repeat') }));
          return;
        }
        this.held.told(extensions);
        this.kept();
      });
    }

    /* For somebody whom the form does not have. */
    takeAway(id) {
      return this.inTurn(async () => {
        const said = await this.ask({ url: this.held.url, extensions: this.form.extensions(), sent: { [id]: '' }, save: true });
        if (!said.refused) await this.check();
      });
    }

    /* A refusal of the one is not to come after the success of the other. */
    inTurn(fn) {
      this.memory.saving = this.memory.saving.then(fn).catch(() => {});
      return this.memory.saving;
    }

    /* Asks, and shows the answer. extensions: the form's; sent: what of them the gateway is asked about. Promises the report. */
    async ask({ url, extensions, sent, save = false }) {
      const { t, memory } = this;
      const turn = (this.asked += 1);
      this.show({ lines: [{ tone: 'note', text: t(save ? 'settings.saving' : 'settings.checking') }], marks: new Map() });
      const said = await this.answer({ url, extensions, sent, save });
      if (turn !== this.asked || !this.form.open) return said;
      if (!save && said.kept) memory.unsaved = false;
      said.pending = said.kept === false && this.held.untouched(this.form.extensions());
      const button = t('settings.repeat');
      if (save && !said.refused) said.lines.unshift({ tone: 'good', text: t('settings.saved') });
      else if (save || memory.unsaved) said.lines.unshift({ tone: 'bad', text: t('settings.unsaved_here', { button }) });
      else if (said.pending) {
        said.lines.unshift({ tone: 'warn', text: t('settings.pending', { button }) });
        said.others.forEach(([id, mark]) => said.marks.set(id, [...(said.marks.get(id) || []), mark]));
      }
      said.repeat = said.pending || (save ? said.refused : memory.unsaved);
      this.show(said);
      return said;
    }

    async answer({ url, extensions, sent, save }) {
      const { t, name, me, admin } = this;
      const about = () => ({
        t, name, me, admin, url, extensions: { ...extensions, ...this.held.texts(), ...sent }, origin: this.page.location.origin, ask: this.errors.ask(),
      });
      const names = (map) => Object.fromEntries(Object.keys(map).map((id) => [id, this.title(id)]));
      const ask = (map, keep) => this.gateway.ask(url, { extensions: map, names: keep ? names(map) : {}, save: keep });
      try {
        if (!url) throw new Gateway.Refusal('address');
        const answer = await ask(sent, save);
        this.learn(url, answer);
        return report.accepted(answer, about());
      } catch (err) {
        const refusal = err instanceof Gateway.Refusal ? err : new Gateway.Refusal('stranger', { status: 200 });
        if (refusal.kind === 'fields' && admin) await ask({}, false).then((answer) => this.learn(url, answer), () => {}); /* whose they are */
        return report.refused(refusal, about());
      }
    }

    learn(url, answer) {
      this.held.learn(url, answer.users, answer.saved);
      if (!this.form.open) return;
      const users = this.form.users();
      this.others = answer.users.filter(({ id, held }) => (held || []).length && !users.has(String(id)));
      Object.entries(this.held.filling(this.form.extensions())).forEach(([id, text]) => users.get(id).val(text));
    }

    show({ lines, marks, repeat = false }) {
      this.$panel.find('ul').empty().append(lines.map((line) => this.line(line)));
      this.$panel.find('[data-do=repeat]').prop('hidden', !repeat);
      this.form.$body.find('.ringcast-marks').remove();
      this.form.users().forEach(($input, id) => {
        const own = marks.get(id) || [];
        if (own.length) $('<ul class="ringcast ringcast-marks">').toggleClass('ringcast_dark', this.dark).append(own.map((mark) => this.line(mark))).insertAfter($input);
      });
      this.showOthers();
    }

    showOthers() {
      const { t } = this;
      this.$others.empty();
      if (!this.others.length) return;
      this.$others.append($('<p class="ringcast-settings__hint">').text(t('settings.others')));
      this.others.forEach(({ id, name, held }) => {
        const label = (name && name !== id ? plainText.plain(name) + ' (' + id + ')' : id) + ': ' + held.join(', ');
        const $button = $('<button type="button" class="ringcast-check__button">').attr('data-take', id).text(t('settings.take_away'));
        $button.on('click', () => this.takeAway(id));
        $('<div class="ringcast-settings__row">').append($('<span class="ringcast-settings__caption">').text(label), $button).appendTo(this.$others);
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
