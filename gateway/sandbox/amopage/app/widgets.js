/* Widgets: the class they inherit, and their life in a page that never reloads. */
define(['jquery', 'app/app', 'app/session', 'app/actions', 'app/probe'], function ($, APP, session, actions, probe) {
  'use strict';

  const loaded = {}; /* code → {self, info} */

  function Widget() {}

  Widget.prototype = {
    i18n(key) {
      return key.split('.').reduce((at, part, i, parts) => {
        if (at === undefined) throw new TypeError('i18n: no ' + key);
        return at[part] === undefined && i === parts.length - 1 ? false : at[part];
      }, this.langs);
    },
    set_lang(langs) {
      this.langs = langs;
    },
    get_settings() {
      return this.params;
    },
    set_settings(values) {
      $.extend(this.params, values);
    },
    get_version() {
      return this.params.version;
    },
    get_install_status() {
      return 'installed';
    },
    set_status() {},
    system() {
      return { area: APP.getWidgetsArea(), amouser_id: session.user.id, amouser: APP.constant('user').login, amohash: '', domain: location.host, subdomain: session.subdomain, server: location.host };
    },
    add_action(type, fn) {
      actions.register(type, this.params.widget_code, fn, this.langs.widget.call_action || this.langs.widget.name);
    },
    /* As jQuery.ajax, with the proof of who sits here in X-Auth-Token. */
    $authorizedAjax(options) {
      return $.ajax({
        url: '/ajax/v2/integrations/' + this.params.oauth_client_uuid + '/disposable_token',
        headers: { 'X-Requested-With': 'XMLHttpRequest' },
        dataType: 'json',
      }).then(({ token }) => $.ajax($.extend(true, {}, options, { headers: { 'X-Auth-Token': token } })));
    },
  };

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

  const make = (info, Constructor, langs) => {
    inherit(Constructor);
    const self = new Constructor();
    self.ns = '.widget:' + info.code;
    self.params = {};
    self.set_lang(langs);
    self.set_settings($.extend({}, info.settings, {
      widget_code: info.code, path: info.path, images_path: info.path + '/images', version: info.version, status: 'installed',
      active: 'Y', widget_active: 'Y', oauth_client_uuid: info.client_uuid,
    }));
    const { render, init, bind_actions } = self.callbacks || {};
    if (![render, init, bind_actions].every((fn) => typeof fn === 'function')) {
      probe.errors.push('dropped: render, init and bind_actions must be functions');
      return;
    }
    loaded[info.code] = { self, info };
    if (guarded('render', () => render.call(self))) {
      $(document).trigger('widget:' + info.code + ':loaded');
      if (guarded('init', () => init.call(self)) !== true) probe.errors.push('init must return true');
    }
    if (guarded('bind_actions', () => bind_actions.call(self)) !== true) probe.errors.push('bind_actions must return true');
  };

  const fetchAndMake = (info) => {
    const lang = info.locale.includes(session.lang) ? session.lang : info.locale[0];
    const failed = (err) => probe.errors.push('load: ' + err);
    $.getJSON(info.path + '/i18n/' + lang + '.json?v=' + info.version).then((langs) => {
      require([info.path + '/script.js?v=' + info.version], (Constructor) => guarded('new', () => make(info, Constructor, langs)), failed);
    }, failed);
  };

  const disabled = new Set();

  const widgets = {
    /* At each change of area. A widget with init_once lives on and only renders again. */
    load(area) {
      probe.loads += 1;
      Object.keys(loaded).forEach((code) => loaded[code].info.init_once || destroy(code));
      $.ajax({ url: '/ajax/widgets/list', method: 'POST', contentType: 'application/json', data: JSON.stringify({ area }), dataType: 'json' }).then((list) => {
        list.widgets
          .filter((info) => !disabled.has(info.code) && info.locations.some((at) => at === 'everywhere' || at.startsWith(area)))
          .forEach((info) => {
            const there = loaded[info.code];
            if (there) guarded('render', () => there.self.callbacks.render.call(there.self));
            else fetchAndMake(info);
          });
      });
    },

    /* As an administrator does in the settings. */
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

    /* Opens a widget's settings in the given element, as the settings window would. */
    openSettings: (code, $body) => loaded[code].self.callbacks.settings.call(loaded[code].self, $body),
  };

  probe.widgets = widgets;
  return widgets;
});
