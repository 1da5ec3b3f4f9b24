/* The life of widgets in a page that never reloads. */
define(['jquery', 'app/app', 'app/session', 'app/actions', 'app/widget', 'app/probe'], function ($, APP, session, actions, Widget, probe) {
  'use strict';

  const loaded = {}; /* code → {self, info, langs} */
  const cached = 30 * 60 * 1000; /* ms that a browser takes the list of widgets from its own storage */

  /* As the real one: the prototype is replaced, so that what a widget put there before is lost. */
  const inherit = (Constructor) => {
    Constructor.prototype = Object.create(Widget.prototype, { constructor: { value: Constructor } });
  };

  /* One widget's exception must not stop the others, nor the CRM. */
  const guarded = (what, fn) => {
    try {
      return fn();
    } catch (err) {
      probe.errors.push(what + ': ' + err);
      return undefined;
    }
  };

  const destroy = (code) => {
    const { self } = loaded[code];
    delete loaded[code];
    guarded('destroy', () => self.callbacks.destroy && self.callbacks.destroy());
    $(document).off('click' + self.ns).off(self.ns);
    actions.forget(code);
  };

  const instance = (info, { Constructor, langs }) => {
    inherit(Constructor);
    const self = new Constructor();
    const active = info.status === 'installed' ? 'Y' : 'N';
    self.ns = '.widget:' + info.code;
    self.params = {};
    self.set_lang(langs);
    self.set_settings($.extend({}, info.settings, {
      widget_code: info.code, path: info.path, cdn_path: info.cdn_path, images_path: info.path + '/images', version: info.version, status: info.status,
      active, widget_active: active, oauth_client_uuid: info.client_uuid, support: info.support,
    }));
    return self;
  };

  const make = (info, parts) => {
    const self = instance(info, parts);
    const { render, init, bind_actions } = self.callbacks || {};
    if (![render, init, bind_actions].every((fn) => typeof fn === 'function')) {
      probe.errors.push('dropped: render, init and bind_actions must be functions');
      return;
    }
    loaded[info.code] = { self, info };
    actions.registerRows(info.code, self.langs.widget.name, self.callbacks);
    if (guarded('render', () => render.call(self))) {
      $(document).trigger('widget:' + info.code + ':loaded');
      if (guarded('init', () => init.call(self)) !== true) probe.errors.push('init must return true');
    }
    if (guarded('bind_actions', () => bind_actions.call(self)) !== true) probe.errors.push('bind_actions must return true');
  };

  const fetch = async (info) => {
    const lang = info.locale.includes(session.lang) ? session.lang : info.locale[0];
    const langs = await Promise.resolve($.getJSON(info.path + '/i18n/' + lang + '.json?v=' + info.version));
    const Constructor = await new Promise((done, fail) => require([info.path + '/script.js?v=' + info.version], done, fail));
    return { Constructor, langs };
  };

  const failed = (err) => probe.errors.push('load: ' + (err.status || err));

  const key = (area) => 'widgets:' + session.user.id + ':' + area;

  const remembered = (area) => {
    try {
      const { at, list } = JSON.parse(localStorage.getItem(key(area)));
      return Date.now() - at < cached ? list : null;
    } catch {
      return null;
    }
  };

  /* The list of an area: from this browser's storage while that is young enough. */
  const listed = async (area) => {
    const there = remembered(area);
    if (there) return there;
    const { widgets: list } = await Promise.resolve(session.post('/ajax/widgets/list', { area }));
    localStorage.setItem(key(area), JSON.stringify({ at: Date.now(), list }));
    return list;
  };

  const forget = () => {
    Object.keys(localStorage).filter((name) => name.startsWith(key(''))).forEach((name) => localStorage.removeItem(name));
  };

  const disabled = new Set();

  const wanted = (info, area) => info.status === 'installed' && !disabled.has(info.code) && info.locations.some((at) => at === 'everywhere' || at.startsWith(area));

  const loadOne = async (info) => {
    const there = loaded[info.code];
    if (there) {
      guarded('render', () => there.self.callbacks.render.call(there.self));
      return;
    }
    const parts = await fetch(info).catch(failed);
    if (parts && !loaded[info.code]) guarded('new', () => make(info, parts));
  };

  const widgets = {
    listed,
    forget,
    guarded,

    /* At each change of area. A widget with init_once lives on and only renders again. */
    async load(area) {
      probe.loads += 1;
      Object.keys(loaded).forEach((code) => loaded[code].info.init_once || destroy(code));
      const list = await listed(area).catch((err) => failed(err) && []);
      list.filter((info) => wanted(info, area)).forEach(loadOne);
    },

    /* The widget as it runs here, or one that is made for its settings window only. */
    async self(info) {
      if (loaded[info.code]) return loaded[info.code].self;
      return instance(info, await fetch(info));
    },

    running: (code) => Boolean(loaded[code]),

    stop(code) {
      if (loaded[code]) destroy(code);
    },

    /* As an administrator does in the settings, without saving anything. */
    setActive(code, active) {
      if (active) disabled.delete(code);
      else disabled.add(code);
      const there = loaded[code];
      if (!active && there) {
        guarded('onSave', () => there.self.callbacks.onSave.call(there.self, { active: 'N', fields: {} }));
        destroy(code);
      }
      if (active) widgets.load(APP.getWidgetsArea());
    },

    /* Calls a widget's callback for the settings window with any element. */
    openSettings: (code, $body) => loaded[code].self.callbacks.settings.call(loaded[code].self, $body),
  };

  probe.widgets = widgets;
  return widgets;
});
