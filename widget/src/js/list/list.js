/* The call list: who is to be called, one after another. It is the same in all tabs of the user; one of them dials. */
define([
  './model.js?v=%VERSION%', './kept.js?v=%VERSION%', './turn.js?v=%VERSION%', './driver.js?v=%VERSION%', './panel.js?v=%VERSION%',
  './templates.js?v=%VERSION%', './picked.js?v=%VERSION%', './view.js?v=%VERSION%', '../hangups.js?v=%VERSION%',
], function (model, Kept, Turn, Driver, Panel, Templates, picked, makeView, Hangups) {
  'use strict';

  const keys = { window: 'list.window', nudge: 'list.nudge', panel: 'list.panel', watched: 'list.watched' };
  const told = { broken: 'list.broken', halt: 'list.halt' }; /* keys of errors: of three tabs one says it */
  const windowLife = 70000; /* ms that a tab's word counts that a result window is open there; a hidden tab is slow */
  const again = 1000; /* ms after which it says so again */
  const late = 1500; /* ms after which the tab that dials may be asleep: browsers slow hidden tabs down */
  const beat = 5000; /* ms after which it is kept that a page watches the run */
  const reaction = 700; /* ms in which people still press for what they saw before */
  const namesTold = 3;
  const step = 100; /* rows that are drawn at a time */

  return class List {
    /* client, dialer, errors, store, clock, t, dark, ns, widget, crm, app, alerts: see session.js
       behaviour  see driver.js  quiet    () → no result window is open in this tab
       locks      navigator.locks or null             scope    what distinguishes this user's locks
       base       the address of the widget's files   visible  () → whether this tab is looked at
       opener     open(href): shows a card of the CRM random   () → a string nobody else has */
    constructor(parts) {
      Object.assign(this, parts);
      const { client, dialer, clock, locks, scope, behaviour, random, store, widget, base, dark, ns, t, alerts } = parts;
      const changed = () => this.sync();
      this.kept = new Kept({ store, changed });
      this.hangups = new Hangups({ store });
      this.turn = new Turn({ locks, name: scope + 'list', client, changed });
      this.driver = new Driver({
        kept: this.kept, hangups: this.hangups, client, dialer, clock, random, changed, me: random(),
        behaviour, quiet: () => this.quietEverywhere(), absent: clock.now() - (store.get(keys.watched) || 0),
      });
      const templates = new Templates({ widget, base, version: widget.get_settings().version, clock });
      this.panel = new Panel({ templates, act: this.acts(), dark, ns, clock, t, alerts, drawn: () => this.appeared(), failed: () => this.broken() });
      this.offs = [
        () => this.kept.stop(),
        store.watch(keys.window, changed),
        store.watch(keys.nudge, changed),
        store.watch(keys.panel, () => this.draw()),
        client.on('state', changed),
      ];
      this.skips = { key: null, was: null, at: 0 }; /* whom the button skips, and whom it did until when */
      this.news = '';
      this.toldWindow = null; /* when the others were told of a result window here */
      this.summoned = false; /* the panel was called for, though it is empty */
      this.awaited = false; /* the user has asked for it in this tab */
      this.toldBroken = false;
      this.drawn = null; /* what the panel shows */
      this.limit = step; /* how many rows of it are drawn */
      this.opened = (this.kept.run.attempt || {}).token; /* its card was opened before this page was loaded */
      this.halted = this.haltOf(); /* what was told */
    }

    /* ---- What people do */

    acts() {
      const change = (fn) => (...args) => {
        this.kept.refresh();
        this.kept.setList(fn(this.kept.list, ...args));
        this.news = '';
        this.drawn = null;
        this.sync();
      };
      const see = (fn) => (...args) => this.setLook(fn(...args));
      return {
        start: change((list) => this.begin(list)),
        pause: change(model.pause),
        now: change((list) => ({ ...list, now: this.kept.run.until })),
        skip: change((list) => model.skip(list, this.aimed())),
        again: change((list) => this.begin(model.again(list, this.kept.run, this.clock.now()))),
        clear: change(() => model.emptyList()),
        remove: change(model.remove),
        move: change(model.move),
        choose: change(model.choose),
        hang_up: () => this.hangUp(),
        more: () => {
          this.limit += step;
          this.draw();
        },
        fold: see(() => ({ folded: !this.look().folded })),
        hide: see(() => ({ shown: false })),
        open: see((open) => ({ open })),
      };
    }

    begin(list) {
      this.errors.over(told.halt, { anew: true });
      return model.start(list, this.random());
    }

    /* Whom "skip" means. */
    aimed() {
      const { key, was, at } = this.skips;
      return was !== null && this.clock.now() - at < reaction ? was : key;
    }

    hangUp() {
      const { attempt } = this.kept.run;
      if (!attempt || !attempt.call) return;
      this.hangups.note(attempt.call);
      this.client.hangup(attempt.call).catch((err) => this.errors.explain(err.code));
    }

    /* kind is contacts (companies, too) or leads: rows of the CRM's list were handed over. Never fails. */
    async pick(kind) {
      const { widget, app, crm } = this;
      this.news = this.t('list.looking');
      this.awaited = true;
      this.setLook({ shown: true, folded: false });
      try {
        const { entries, unanswered } = await picked[kind]({ widget, app, crm });
        this.news = '';
        if (unanswered && !entries.some(({ phones }) => phones.length)) this.say(this.t('list.unanswered'));
        else this.add(entries);
      } catch {
        this.say(this.t('list.unanswered'));
      }
    }

    /* Puts entries into the list, and says who was left out and why. */
    add(entries) {
      this.kept.refresh(); /* another tab may have added, too */
      const told = model.add(this.kept.list, entries, this.clock.now());
      this.kept.setList(told.list);
      const { added, doubles, phoneless, over } = told;
      const line = (name, some, values) => (some.length ? [this.t('list.' + name, { count: some.length, ...values })] : []);
      const news = [
        ...line('added', added),
        ...line('doubles', doubles),
        ...line('phoneless', phoneless, { names: this.names(phoneless) }),
        ...line('over', over, { most: model.most }),
      ].join(' ');
      this.setLook({ shown: true, folded: false });
      if (added.length) this.news = news;
      else this.say(news || this.t('list.none'));
      this.drawn = null;
      this.sync();
    }

    names(entries) {
      const names = entries.slice(0, namesTold).map(({ name }) => name || this.t('list.unnamed'));
      const more = entries.length - names.length;
      return names.join(', ') + (more > 0 ? ' ' + this.t('list.more', { count: more }) : '');
    }

    say(message) {
      this.news = message;
      this.errors.show(message);
      this.draw();
    }

    /* ---- How it looks: {shown, folded, open: the contact's card when calling}, the same in all tabs */

    look() {
      const { shown = true, folded = false, open = false } = this.store.get(keys.panel) || {};
      return { shown: shown === true, folded: folded === true, open: open === true };
    }

    setLook(changes) {
      this.store.set(keys.panel, { ...this.look(), ...changes });
      this.draw();
    }

    /* The CRM's own switch for a telephone's panel, where it has one; without it an empty list is not shown. */
    get toggle() {
      const { widgets } = this.app;
      return widgets && typeof widgets.notificationsPhone === 'function' ? widgets : null;
    }

    toggled() {
      const { shown } = this.view();
      this.summoned = !shown;
      this.awaited = !shown;
      this.news = '';
      this.setLook({ shown: !shown, folded: false });
    }

    view() {
      const { list, run } = this.kept;
      const look = this.look();
      const shown = look.shown && (list.entries.length > 0 || this.news !== '' || this.summoned);
      return makeView({ list, run, live: this.live(), look: { ...look, shown }, hideable: this.toggle !== null, news: this.news, limit: this.limit, t: this.t });
    }

    live() {
      return this.client.state.name === 'live';
    }

    draw() {
      const { list, run } = this.kept;
      this.drawn = { list, run, live: this.live() };
      const { key } = model.current(list, run) || model.next(list, run) || { key: null };
      if (key !== this.skips.key) this.skips = { key, was: this.skips.key, at: this.clock.now() };
      this.panel.draw(this.view());
    }

    /* The panel cannot be drawn: here nobody can see or stop what is dialled. Who waits for it is told here each time. */
    async broken() {
      const { awaited, toldBroken } = this;
      Object.assign(this, { awaited: false, toldBroken: true });
      this.driver.distrust();
      if (toldBroken && !awaited) return;
      const message = this.t('list.broken');
      const said = await this.errors.show(message, { key: told.broken });
      if (awaited && !said) this.errors.show(message);
    }

    appeared() {
      this.errors.over(told.broken);
      this.sync();
    }

    attach() {
      if (this.toggle) this.toggle.notificationsPhone({ ns: this.ns, click: () => this.toggled() });
      this.panel.attach();
      this.sync();
    }

    /* ---- What goes by itself */

    onCall() {
      this.sync();
    }

    /* Whatever happened: does what is to be done now, and shows what is so. */
    sync() {
      if (this.stopped) return;
      this.tellOthers();
      this.drive();
      const active = model.active(this.kept.list, this.kept.run);
      if (active && this.panel.ready) this.watch();
      if (active && !this.cancelTick) this.cancelTick = this.clock.after(1000, () => this.tick());
      this.openCard();
      const { list, run } = this.kept;
      const { drawn } = this;
      if (drawn && drawn.list === list && drawn.run === run && drawn.live === this.live()) this.panel.tick();
      else this.draw();
    }

    drive() {
      const { turn, driver } = this;
      const drove = turn.held;
      turn.want(this.panel.ready && model.active(this.kept.list, this.kept.run));
      if (turn.held) {
        driver.take();
        driver.step();
      }
      if (drove || turn.held) this.tellHalt();
      this.halted = this.haltOf();
      if (turn.held && model.active(this.kept.list, this.kept.run)) return;
      driver.leave();
      if (turn.held) turn.want(false);
    }

    haltOf() {
      return JSON.stringify(this.kept.run.halted);
    }

    /* The list stopped by itself, and its panel does not show why. */
    tellHalt() {
      if (this.halted === this.haltOf()) return;
      const { shown, folded } = this.look();
      const { why, finished } = this.view();
      if (why && !finished && (folded || !shown)) this.errors.show(why, { key: told.halt + '.' + this.kept.run.halted.reason });
    }

    tick() {
      this.cancelTick = null;
      this.nudge();
      this.sync();
    }

    /* The tab that dials hears that a result window is open here. */
    tellOthers() {
      const now = this.clock.now();
      const open = model.active(this.kept.list, this.kept.run) && !this.quiet();
      if (open === (this.toldWindow !== null) && !(open && now - this.toldWindow >= again)) return;
      this.toldWindow = open ? now : null;
      this.store.set(keys.window, open ? { at: now } : null);
    }

    /* A page that is loaded anew sees how long nobody watched. */
    watch() {
      const now = this.clock.now();
      if (Math.abs(now - (this.store.get(keys.watched) || 0)) >= beat) this.store.set(keys.watched, now);
    }

    /* And that it is time. */
    nudge() {
      const { until } = this.kept.run;
      const now = this.clock.now();
      if (!this.turn.held && this.visible() && until !== null && now > until + late) this.store.set(keys.nudge, now);
    }

    quietEverywhere() {
      const told = this.store.get(keys.window);
      return this.quiet() && !(told && Math.abs(this.clock.now() - told.at) < windowLife);
    }

    /* Once for a call, in the tab that is looked at. */
    openCard() {
      const { list, run } = this.kept;
      const { attempt } = run;
      if (!attempt || !attempt.dialled || attempt.token === this.opened) return;
      this.opened = attempt.token;
      const entry = model.current(list, run);
      if (!entry || !this.look().open) return;
      this.client.once('list.open.' + attempt.token, () => this.opener.open(entry.url));
    }

    /* Leaves nothing behind but what the store keeps. */
    stop() {
      this.stopped = true;
      this.offs.forEach((off) => off());
      if (this.cancelTick) this.cancelTick();
      this.driver.leave();
      this.turn.want(false);
      if (this.toggle) this.toggle.destroyNotificationsPhone({ ns: this.ns });
      this.panel.destroy();
    }
  };
});
