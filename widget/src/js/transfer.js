/* Hands a call on: to a colleague, who is seen to be here, busy or away, or to a number; at once or announced. */
define(['jquery', './phone.js?v=%VERSION%'], function ($, phone) {
  'use strict';

  const order = ['online', 'busy', 'away', 'offline'];

  const template =
    '<form class="ringcast-transfer">' +
    '<input class="ringcast-input" type="text" inputmode="tel" autocomplete="off" dir="auto">' +
    '<div class="ringcast-transfer__people ringcast-pick" role="group"></div>' +
    '<div class="ringcast-transfer__actions">' +
    '<button type="submit" class="ringcast-button ringcast-button_main" data-way="transfer"></button>' +
    '<button type="button" class="ringcast-button" data-way="consult"></button>' +
    '</div>' +
    '</form>';

  /* How a colleague is, as one word: whoever talks is busy wherever he looks. */
  const stateOf = ({ busy, away, online }) => {
    if (busy) return 'busy';
    if (away) return 'away';
    return online ? 'online' : 'offline';
  };

  /* The telephones of colleagues whose name or extension holds what was typed, those first who are likely to answer:
     [{name, extension, state}] */
  const find = (people, typed) => {
    const part = typed.trim().toLocaleLowerCase();
    return people
      .flatMap((person) => person.extensions.map((extension) => ({ name: person.name, extension, state: stateOf(person) })))
      .filter(({ name, extension }) => name.toLocaleLowerCase().includes(part) || extension.includes(part))
      .sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.name.localeCompare(b.name) || a.extension.localeCompare(b.extension));
  };

  /* What is dialled of a number that was typed: * and # are the PBX's own. */
  const number = (typed) => {
    const plain = typed.replace(/[^\d*#+]/g, '');
    return (!/[*#]/.test(plain) && phone.clean(typed)) || plain;
  };

  return class Transfer {
    static get find() {
      return find;
    }

    static get number() {
      return number;
    }

    static get stateOf() {
      return stateOf;
    }

    constructor({ t, id, actions, model, close }) {
      Object.assign(this, { t, id, actions, close, model });
      this.rows = new Map(); /* extension and name → the colleague's row */
      this.$el = $(template);
      this.$to = this.$el.find('input').attr({ placeholder: t('transfer.to'), 'aria-label': t('transfer.to') });
      this.$people = this.$el.find('.ringcast-transfer__people').attr('aria-label', t('transfer.people'));
      this.$el.find('[data-way="transfer"]').text(t('transfer.now'));
      this.$el.find('[data-way="consult"]').text(t('transfer.ask')).on('click', () => this.hand('consult'));
      this.$to.on('input', () => this.people());
      this.$el.on('submit', (e) => {
        e.preventDefault();
        this.hand(this.model.can.transfer ? 'transfer' : 'consult');
      });
      this.$people.on('click', 'button', ({ currentTarget }) => this.pick(currentTarget.getAttribute('data-extension')));
      this.update(model);
      this.people();
    }

    update(model) {
      this.model = model;
      ['transfer', 'consult'].forEach((way) => this.$el.find('[data-way="' + way + '"]').prop({ hidden: !model.can[way], disabled: Boolean(model.busy) }));
    }

    /* Draws the colleagues that fit what was typed. Rows stay where they are under somebody's mouse. */
    people() {
      const typed = this.$to.val();
      const found = find(this.actions.people(), this.picked() ? '' : typed);
      const drawn = JSON.stringify([found, typed]);
      if (this.drawn === drawn) return;
      this.drawn = drawn;
      const list = this.$people[0];
      const focused = list.contains(document.activeElement) ? document.activeElement : null;
      const rows = found.map((one) => this.row(one));
      [...this.rows].forEach(([key, row]) => {
        if (rows.includes(row)) return;
        this.rows.delete(key);
        row.remove();
      });
      if (list.matches(':hover')) rows.sort((a, b) => this.place(a) - this.place(b));
      rows.forEach((row, i) => list.children[i] !== row && list.insertBefore(row, list.children[i] || null));
      list.hidden = !rows.length;
      if (focused && focused.isConnected && document.activeElement !== focused) focused.focus();
    }

    place(row) {
      const at = [...this.$people[0].children].indexOf(row);
      return at < 0 ? Infinity : at;
    }

    row({ name, extension, state }) {
      const key = extension + '\n' + name;
      const row = this.rows.get(key) || this.make(key, name, extension);
      row.setAttribute('data-presence', state);
      row.setAttribute('aria-pressed', String(extension === this.$to.val()));
      row.lastChild.textContent = extension + ' · ' + this.t('presence.' + state);
      return row;
    }

    make(key, name, extension) {
      const $row = $('<button type="button" class="ringcast-pick__one">')
        .attr({ 'data-extension': extension, title: name })
        .append('<i></i>', $('<b dir="auto">').text(name), '<small></small>');
      this.rows.set(key, $row[0]);
      return $row[0];
    }

    /* Whether the field holds a colleague's extension: the others stay to be seen then. */
    picked() {
      const typed = this.$to.val();
      return this.actions.people().some(({ extensions }) => extensions.includes(typed));
    }

    pick(extension) {
      this.$to.val(extension);
      this.people();
    }

    async hand(way) {
      const to = this.target();
      if (!to) {
        this.$to.trigger('focus');
        return;
      }
      if (await this.actions.deed(this.id, way, to)) this.close();
    }

    /* What was picked or typed: a colleague's extension as it is, a name that leaves one colleague as his. */
    target() {
      const typed = this.$to.val().trim();
      if (this.picked()) return this.$to.val();
      if (/\d/.test(typed) && !/\p{L}/u.test(typed)) return number(typed);
      const found = typed ? find(this.actions.people(), typed) : [];
      return found.length === 1 ? found[0].extension : '';
    }

    focus() {
      this.$to.trigger('focus');
    }
  };
});
