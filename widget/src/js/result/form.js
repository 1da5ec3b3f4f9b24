/* The result window's contents: shows a draft, reads what is typed into it. It decides nothing. */
define([
  'jquery', './due.js?v=%VERSION%', './links.js?v=%VERSION%', '../text.js?v=%VERSION%', '../crm/entities.js?v=%VERSION%',
], function ($, due, links, text, entities) {
  'use strict';

  const field = (name, control, more = '') =>
    '<div class="ringcast-result__field" data-field="' + name + '"><label><span></span>' + control + '</label>' + more +
    '<p class="ringcast-result__wrong" role="alert"></p></div>';

  const input = '<input type="text" dir="auto" maxlength="255" autocomplete="off">';

  const html =
    '<div class="ringcast ringcast-result" role="dialog">' +
    '<p class="ringcast-result__title"></p>' +
    '<h2 class="ringcast-result__who" dir="auto"><a target="_blank" rel="noopener"></a><span></span></h2>' +
    '<dl class="ringcast-result__facts"><div><dt></dt><dd></dd></div><div><dt></dt><dd></dd></div></dl>' +
    '<div class="ringcast-result__recording" hidden><audio controls preload="none"></audio><a target="_blank" rel="noopener noreferrer"></a></div>' +
    '<div class="ringcast-result__fields">' +
    '<p class="ringcast-result__hint"><span></span> <button type="button" class="ringcast-result__again"></button></p>' +
    '<ul class="ringcast-result__done" role="status"></ul>' +
    field('link', '<select></select>', '<a class="ringcast-result__open" target="_blank" rel="noopener"></a>') +
    field('contact', input) +
    field('deal', input) +
    field('note', '<textarea rows="3" dir="auto"></textarea>') +
    '<label class="ringcast-result__switch"><input type="checkbox" data-value="task"><span></span></label>' +
    '<div class="ringcast-result__task">' +
    field('text', input) + field('type', '<select></select>') + field('due', '<select></select>') + field('at', '<input type="datetime-local">') +
    '</div></div>' +
    '<p class="ringcast-result__error" role="alert"></p>' +
    '<div class="ringcast-result__actions">' +
    '<button type="button" class="ringcast-result__save"></button>' +
    '<button type="button" class="ringcast-result__cancel"></button>' +
    '<p class="ringcast-result__fate"></p>' +
    '</div>' +
    '<div class="ringcast-result__ask" role="alertdialog" hidden><p></p>' +
    '<button type="button" class="ringcast-result__discard"></button>' +
    '<button type="button" class="ringcast-result__back"></button></div>' +
    '</div>';

  const captions = { link: 'link', contact: 'contact', deal: 'deal', note: 'note', text: 'task_text', type: 'task_type', due: 'due', at: 'at' };
  const longest = 80; /* letters of a choice: a list as wide as the page helps nobody */

  const short = (value) => text.isolate(text.cut(value, longest));

  return class Form {
    /* clock {now}   t   dark   lang  of dates    zone  see due.js    types [{id, name}] of tasks    save  see save.js: what new things are called
       on {input(), save(), cancel(), again()}  what the user does */
    constructor(parts) {
      Object.assign(this, parts);
      this.$root = $(html).toggleClass('ringcast_dark', this.dark);
      this.label();
      this.listen();
    }

    $(part) {
      return this.$root.find('.ringcast-result__' + part);
    }

    $field(name) {
      return this.$root.find('[data-field="' + name + '"]');
    }

    $control(name) {
      return this.$field(name).find('input, select, textarea');
    }

    label() {
      const { t } = this;
      Object.entries(captions).forEach(([name, key]) => this.$field(name).find('label span').text(t('result.' + key)));
      Object.entries({ save: 'save', cancel: 'cancel', discard: 'discard', back: 'back', again: 'again', title: 'title' }).forEach(([part, key]) =>
        this.$(part).text(t('result.' + key)));
      this.$('save').attr('title', 'Ctrl+Enter');
      this.$('switch').find('span').text(t('result.task'));
      this.$('open').text(t('result.open'));
      this.$('recording').find('audio').attr('aria-label', t('result.recording')).end().find('a').text(t('result.recording'));
      this.$('ask').find('p').text(t('result.ask'));
      this.$control('note').attr('placeholder', t('result.placeholder'));
      this.$control('text').attr('placeholder', t('result.task_placeholder'));
      this.types.forEach(({ id, name }) => $('<option>').val(id).text(short(name)).appendTo(this.$control('type')));
      const date = new Intl.DateTimeFormat(this.lang, { weekday: 'short', day: 'numeric', month: 'short', timeZone: this.zone });
      this.now = this.clock.now(); /* that "tomorrow" may be read past midnight */
      due.choices.forEach((choice) => {
        const day = choice === 'own' ? '' : ', ' + date.format(due.moment(choice, '', this.now, this.zone));
        $('<option>').val(choice).text(t('result.due_' + choice) + day).appendTo(this.$control('due'));
      });
    }

    listen() {
      const { on } = this;
      this.$root.on('input change', 'input, select, textarea', ({ target }) => {
        $(target).removeAttr('aria-invalid').closest('[data-field]').find('.ringcast-result__wrong').text('');
        on.input();
      });
      this.$root.on('change', '[data-value="task"]', ({ target }) => target.checked && this.$control('text').trigger('focus'));
      this.$field('due').on('change', 'select', ({ target }) => target.value === 'own' && this.$control('at').trigger('focus'));
      this.$root.on('keydown', (e) => {
        if (e.which !== 13 || !(e.ctrlKey || e.metaKey)) return;
        e.preventDefault();
        on.save();
      });
      this.$('save').on('click', () => on.save());
      this.$('cancel').on('click', () => on.cancel());
      this.$('again').on('click', () => on.again());
    }

    /* Everything anew, as after another search. */
    show(draft) {
      const { call, form, who } = draft;
      this.head(call, who);
      this.choices(who);
      this.$control('link').val(form.link);
      ['contact', 'deal', 'note', 'text', 'at'].forEach((name) => this.$control(name).val(form[name]));
      if (form.type) this.$control('type').val(form.type);
      this.$control('due').val(form.due);
      this.$root.find('[data-value="task"]').prop('checked', form.task);
      this.recording(call);
      this.refresh(draft);
    }

    head(call, who) {
      const { t } = this;
      const href = who.entity && entities.card(who.entity);
      this.$('who').find('a').prop('hidden', !href).attr('href', href || '#').text(href ? who.name : '');
      this.$('who').attr('title', who.name).find('span').text(href ? '' : who.name);
      this.$root.attr('aria-label', t('result.title') + ': ' + who.name);
      const number = who.number === who.name ? '' : who.number;
      const facts = [
        [t(call.direction === 'outbound' ? 'result.outgoing' : 'result.incoming'), number],
        [t('result.duration'), call.talk_seconds === null ? '—' : text.clock(call.talk_seconds)], /* nobody saw it end */
      ];
      this.$('facts').attr('data-direction', call.direction);
      facts.forEach(([name, value], i) => {
        this.$('facts').find('dt').eq(i).text(name);
        this.$('facts').find('dd').eq(i).text(value);
      });
    }

    choices(who) {
      const { t } = this;
      const $select = this.$control('link').empty();
      const add = ($to, value, name) => $('<option>').val(value).text(name).appendTo($to);
      const groups = links.groups(who);
      if (!groups.length) add($select, '', t('result.link_none'));
      groups.forEach(({ match, entities }) => {
        const $group = groups.length > 1 ? $('<optgroup>').attr('label', short(match.name)).appendTo($select) : $select;
        entities.forEach((entity) => add($group, links.valueOf(entity), t('result.as_' + entity.type, { name: short(entity.name || '#' + entity.id) })));
        if (['contact', 'company'].includes(match.type)) add($group, links.dealOf(match), t('result.new_deal'));
      });
      if (who.kind !== 'unclear' && who.kind !== 'looking') add($select, 'new', t('result.new_contact'));
    }

    /* What follows from the values: which fields are there, and what is said about them. */
    refresh(draft) {
      const { t } = this;
      const { call, done, who } = draft;
      const form = this.read();
      const found = links.groups(who).length > 0;
      const fresh = !done.entity && (form.link === 'new' || form.link.startsWith('deal:'));
      const unclear = !found && (who.kind === 'unclear' || who.kind === 'looking');
      const shown = {
        link: found && !done.entity, contact: fresh && form.link === 'new', deal: fresh, note: !done.note,
        text: true, type: true, due: true, at: form.due === 'own',
      };
      Object.entries(shown).forEach(([name, is]) => this.$field(name).prop('hidden', !is));
      this.$('switch').prop('hidden', done.task);
      this.$('task').prop('hidden', done.task || !form.task);
      this.$control('link').prop('disabled', done.note);
      this.$control('at').attr('min', due.local(this.clock.now(), this.zone));
      if (form.due === 'own' && !form.at) this.$control('at').val(due.proposal(this.clock.now(), this.zone));

      const chosen = links.entity(who, form.link);
      const href = chosen && entities.card(chosen);
      this.$('open').prop('hidden', !href).attr('href', href || '#');
      const named = { ...draft, form };
      this.$control('contact').attr('placeholder', this.save.contactName({ ...named, form: { ...form, contact: '' } }));
      this.$control('deal').attr('placeholder', this.save.makes(named) === 'contact' ? t('result.deal_optional') : this.save.dealName({ ...named, form: { ...form, deal: '' } }));

      this.$('hint').prop('hidden', !unclear && (found || done.entity !== null)).find('span').text(t('result.' + (unclear ? 'unclear' : who.kind === 'hidden' ? 'hidden' : 'unknown')));
      this.$('again').prop('hidden', !unclear);
      this.$('fate').text(who.kind === 'unknown' && call.direction === 'inbound' && !done.entity ? t('result.fate') : '');
      this.done(done);
      this.$root.trigger('modal:centrify');
    }

    /* What is in the CRM already, after a part of it was refused. */
    done({ entity, note, task }) {
      const { t } = this;
      const $list = this.$('done').empty().prop('hidden', !entity && !note && !task);
      if (entity) {
        const $link = $('<a target="_blank" rel="noopener">').attr('href', entities.card(entity)).text(entity.name);
        $('<li>').text(t('result.made_' + entity.type) + ' ').append($link).appendTo($list);
      }
      if (note) $('<li>').text(t('result.made_note')).appendTo($list);
      if (task) $('<li>').text(t('result.made_task')).appendTo($list);
    }

    /* Only a link of the web is played; it is not loaded before somebody asks for it. */
    recording({ recording }) {
      const is = /^https?:\/\//i.test(recording || '');
      const $audio = this.$('recording').prop('hidden', !is).find('audio');
      if (!is || $audio.attr('src') === recording) return;
      $audio.attr('src', recording);
      this.$('recording').find('a').attr('href', recording);
      this.$root.trigger('modal:centrify');
    }

    /* What the fields say, and when what they say of days was true. */
    read() {
      const form = { now: this.now, task: this.$root.find('[data-value="task"]').prop('checked') };
      Object.keys(captions).forEach((name) => {
        form[name] = this.$control(name).val() || '';
      });
      return form;
    }

    /* refusals [{field, text}]; those without a field stand at the foot. The first is gone to. */
    wrong(refusals) {
      this.$('wrong').text('');
      this.$root.find('[aria-invalid]').removeAttr('aria-invalid');
      const at = ({ field: name }) => (name !== 'foot' && !this.$field(name).prop('hidden') ? this.$field(name) : $());
      const foot = refusals.filter((refusal) => !at(refusal).length);
      refusals.filter((refusal) => at(refusal).length).forEach((refusal) => {
        at(refusal).find('.ringcast-result__wrong').text(refusal.text);
        this.$control(refusal.field).attr('aria-invalid', 'true');
      });
      this.foot(foot.map(({ text: words }) => words).join(' '));
      this.$root.find('[aria-invalid]').first().trigger('focus');
    }

    /* What concerns no field. */
    foot(words) {
      this.$('error').text(words);
      this.$root.trigger('modal:centrify');
    }

    busy(is) {
      this.$root.attr('aria-busy', String(is)).find('input, select, textarea').prop('disabled', is);
      this.$('actions').find('button').prop('disabled', is);
      this.$('save').text(this.t(is ? 'result.saving' : 'result.save'));
    }

    /* Whether to throw away what was typed: asked in the window itself. answer(yes) */
    ask(answer) {
      const done = (yes) => {
        this.$('ask').prop('hidden', true);
        this.$('actions').prop('hidden', false);
        this.$('ask').find('button').off('click');
        answer(yes);
      };
      this.$('actions').prop('hidden', true);
      this.$('ask').prop('hidden', false);
      this.$('discard').on('click', () => done(true));
      this.$('back').on('click', () => done(false)).trigger('focus');
    }

    asking() {
      return !this.$('ask').prop('hidden');
    }

    focus() {
      const first = ['contact', 'note', 'text'].find((name) => !this.$field(name).prop('hidden'));
      if (first) this.$control(first).trigger('focus');
    }
  };
});
