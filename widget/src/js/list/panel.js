/* The call list in a corner of the page. It shows what it is told, and tells what is pressed. */
define(['jquery', './drag.js?v=%VERSION%', '../bell.js?v=%VERSION%', '../text.js?v=%VERSION%'], function ($, Drag, Bell, text) {
  'use strict';

  const words = ['title', 'clear', 'clear_ask', 'clear_yes', 'clear_no', 'open', 'fold', 'hide', 'now', 'hang_up', 'pause', 'skip', 'again'];

  const near = 400; /* px */

  const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

  return class Panel {
    /* templates  load(name) → promise     act   what is done when something is pressed: name → fn
       dark       the user's theme is      ns    the widget's event namespace
       clock      now                      t     translator
       alerts     see bell.js
       drawn      () when it can be seen for the first time
       failed     () when a template could not be loaded */
    constructor({ templates, act, dark, ns, clock, t, alerts, drawn, failed }) {
      Object.assign(this, { templates, act, ns, clock, t, drawn, failed });
      this.$root = $('<section class="ringcast ringcast-list">').attr('aria-label', t('list.title')).toggleClass('ringcast_dark', dark).prop('hidden', true);
      this.drag = new Drag({ $root: this.$root, ns, drop: (key, index) => this.act.move(key, index), cancelled: () => this.arrange() });
      this.bell = new Bell({ alerts, t });
      this.rows = new Map(); /* key → {node, row: what was drawn} */
      this.template = null; /* of rows, once the panel is drawn */
      this.view = null;
    }

    /* Puts the panel into the page, if the CRM's navigation took it out; its events may be gone with it. */
    attach() {
      if (document.body.contains(this.$root[0])) return;
      this.$root.off()
        .on('click', '[data-do]', (e) => this.press(e.currentTarget.dataset.do, e))
        .on('change', '[data-do=choose]', (e) => this.act.choose(this.keyOf(e), e.currentTarget.value))
        .appendTo(document.body);
      this.drag.bind();
      this.bell.bind();
      this.watch();
    }

    /* Scrolling does not bubble. */
    watch() {
      this.$('rows').off('scroll').on('scroll', (e) => this.scrolled(e.currentTarget));
    }

    /* People can see what is done, and stop it. */
    get ready() {
      return this.template !== null;
    }

    keyOf(e) {
      return $(e.currentTarget).closest('.ringcast-row').attr('data-key');
    }

    press(what, e) {
      const own = {
        clear: () => this.ask(true),
        clear_no: () => this.ask(false),
        clear_yes: () => {
          this.ask(false);
          this.act.clear();
        },
        remove: () => this.act.remove(this.keyOf(e)),
        open: () => this.act.open(e.currentTarget.checked),
      };
      if (own[what]) own[what]();
      else if (this.act[what] && what !== 'choose') this.act[what]();
    }

    ask(on) {
      this.$('ask').prop('hidden', !on);
      if (on) this.$root.find('[data-do=clear_no]').trigger('focus');
    }

    $(name) {
      return this.$root.find('.ringcast-list__' + name);
    }

    /* view: see view.js. The first time the templates have to be loaded. */
    async draw(view) {
      this.view = view;
      if (!view.shown) this.$root.prop('hidden', true);
      if (!view.shown && (this.ready || !view.count)) return;
      const first = !this.ready;
      if (first && !(await this.build())) return;
      if (this.view.shown) this.refresh();
      if (first) this.drawn();
    }

    async build() {
      if (this.building) return false; /* what is drawn then is the newest */
      this.building = true;
      try {
        const [panel, rows] = await Promise.all([this.templates.load('call_list'), this.templates.load('call_list_rows')]);
        const lang = Object.fromEntries(words.map((word) => [word, this.t('list.' + word)]));
        this.$root.html(panel.render({ lang, hint: this.t('list.hint', { name: this.t('widget.name') }) }));
        this.$('clear').before(this.bell.$el);
        this.template = rows;
        this.watch();
      } catch {
        this.failed();
      } finally {
        this.building = false;
      }
      return this.ready;
    }

    refresh() {
      const { view } = this;
      this.$root.prop('hidden', !view.shown).toggleClass('ringcast-list_folded', view.folded).attr('data-phase', view.phase);
      this.$root.find('.ringcast-list__head').attr('aria-expanded', String(!view.folded));
      const fold = this.t(view.folded ? 'list.unfold' : 'list.fold');
      this.$('fold').attr({ title: fold, 'aria-label': fold });
      if (view.folded) this.bell.toggle(false);
      this.$('count').text(view.count ? view.tally : '');
      this.$('clear').prop('hidden', !view.count);
      this.$('hide').prop('hidden', !view.hideable);
      if (!view.count) this.ask(false);
      this.$('hint').prop('hidden', view.count > 0);
      this.$('news').text(view.news).prop('hidden', !view.news);
      this.$('switch').prop('hidden', !view.count).find('input').prop('checked', view.open);
      this.$('why').text(view.why).prop('hidden', !view.why).toggleClass('ringcast-list__why_done', view.finished);
      this.$('foot').prop('hidden', !view.count);
      this.$root.find('[data-do=start]').text(view.start);
      this.$root.find('.ringcast-list__buttons [data-do]').each((i, button) => $(button).prop('hidden', !view.buttons.includes(button.dataset.do)));
      this.$('now').prop('hidden', !view.what);
      const { who } = view;
      this.$('who').prop('hidden', !who).text(who ? who.name : '').attr({ href: who ? who.url : null, title: who ? who.name : null });
      this.update();
      this.arrange();
      this.tick();
    }

    /* What goes with the time. */
    tick() {
      const { view } = this;
      if (!view || !view.shown || !this.template) return;
      const now = this.clock.now();
      const passed = view.since === null ? '' : text.clock((now - view.since) / 1000);
      const seconds = view.until === null ? 0 : Math.max(0, Math.ceil((view.until - now) / 1000));
      const what = text.fill(view.what, { seconds });
      this.write('what', what);
      this.write('clock', passed);
      this.write('brief', this.brief(what, passed));
    }

    /* A text that is there already is left alone: every call and every second comes by here. */
    write(name, words) {
      const $part = this.$(name);
      if ($part.text() !== words) $part.text(words);
    }

    /* What a folded panel says. */
    brief(what, passed) {
      const { view } = this;
      if (view.phase === 'idle' || view.phase === 'empty') return view.why;
      return view.since === null ? what : passed + ' ' + view.who.name;
    }

    /* Rows that are new or changed are drawn, those that are gone taken away. */
    update() {
      const changed = this.view.rows.filter((row) => !same((this.rows.get(row.key) || {}).row, row));
      const drawn = changed.length ? $.parseHTML(this.template.render({ rows: changed })).filter((node) => node.nodeType === 1) : [];
      changed.forEach((row, i) => {
        const there = this.rows.get(row.key);
        if (there) this.replace(there.node, drawn[i]);
        this.rows.set(row.key, { node: drawn[i], row });
      });
      const keys = new Set(this.view.rows.map(({ key }) => key));
      this.rows.forEach(({ node }, key) => {
        if (keys.has(key)) return;
        if (this.drag.row === node) this.drag.end(false);
        $(node).remove();
        this.rows.delete(key);
      });
    }

    /* Whoever is at a button of the row stays there. */
    replace(old, node) {
      if (this.drag.row === old) this.drag.end(false);
      const at = old.contains(document.activeElement) && document.activeElement.dataset.do;
      $(old).replaceWith(node);
      if (at) $(node).find('[data-do=' + at + ']').trigger('focus');
    }

    /* More rows are drawn when somebody comes near the last. */
    scrolled(list) {
      const { view } = this;
      const below = list.scrollHeight - list.clientHeight - list.scrollTop;
      if (view.rows.length < view.count && below < near) this.act.more();
    }

    /* Brings the rows into their order. */
    arrange() {
      if (this.drag.dragging) return;
      const list = this.$('rows')[0];
      const focused = list.contains(document.activeElement) ? document.activeElement : null;
      this.view.rows.forEach(({ key }, i) => {
        const { node } = this.rows.get(key);
        if (list.children[i] !== node) list.insertBefore(node, list.children[i] || null);
      });
      if (focused && focused !== document.activeElement) focused.focus();
      this.reveal(list);
    }

    /* The row that is called can be seen. */
    reveal(list) {
      const { current } = this.view;
      if (!current || this.revealed === current || list.offsetHeight === 0) return;
      this.revealed = current;
      const { node } = this.rows.get(current);
      const box = node.getBoundingClientRect();
      const frame = list.getBoundingClientRect();
      if (box.top < frame.top || box.bottom > frame.bottom) list.scrollTop += box.top - frame.top - node.offsetHeight;
    }

    destroy() {
      this.drag.end(false);
      this.$root.remove();
    }
  };
});
