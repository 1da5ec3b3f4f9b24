/* The class that widgets inherit: what they find on self. */
define(['jquery', 'app/app', 'app/session', 'app/actions', 'app/probe', 'twigjs'], function ($, APP, session, actions, probe, twig) {
  'use strict';

  const templates = {}; /* address → promise of its template */

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
      return this.params.status;
    },
    /* A badge on the widget's picture in the settings; nothing is saved. */
    set_status(status) {
      if (!['install', 'installed', 'error'].includes(status)) probe.errors.push('set_status: no such status as ' + status);
      probe.statuses.push(status);
      this.badge = status;
      $('.tile').filter((i, el) => el.dataset.code === this.params.widget_code).attr('data-status', status);
    },
    system() {
      return { area: APP.getWidgetsArea(), amouser_id: session.kommo ? String(session.user.id) : session.user.id, amouser: APP.constant('user').login, amohash: '', domain: location.host, subdomain: session.subdomain, server: location.host };
    },
    get_accounts_current() {
      return APP.constant('account');
    },
    /* What is ticked in a list, false where there is none. */
    list_selected() {
      return APP.data.current_list ? APP.data.current_list.selected() : false;
    },
    async get_current_card_contacts_data() {
      const { people = [] } = APP.data.current_card || {};
      return people.map(({ id, name, phones, emails }) => {
        const [first_name, ...rest] = name.split(' ');
        return { id, name, first_name, last_name: rest.join(' '), phones, emails };
      });
    },
    add_action(type, fn) {
      actions.register(type, this.params.widget_code, fn, this.langs.widget.call_action || this.langs.widget.name);
    },
    /* {data} a template's text, {ref} one of the CRM's own, {href, base_path, v, load} a file: load gets a template, whose
       render makes HTML. The first two return HTML at once; {promised: true} makes the third return a promise of it. */
    render(source, params) {
      if (!source.href) return twig(source.ref ? { ref: source.ref } : { data: source.data }).render(params);
      const url = (source.base_path || '') + source.href + (source.v ? '?v=' + source.v : '');
      templates[url] = templates[url] || Promise.resolve($.ajax({ url, dataType: 'text' })).then((data) => twig({ data }));
      const done = templates[url].then((template) => {
        if (source.load) source.load(template);
        return template.render(params);
      });
      done.catch((err) => {
        delete templates[url];
        probe.errors.push('render ' + url + ': ' + (err.status || err));
      });
      return source.promised ? done : undefined;
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

  return Widget;
});
