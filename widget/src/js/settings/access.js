/* What the widget knows through the CRM's widget object: the proof of who the user is, and the settings. */
define([], function () {
  'use strict';

  /* A function that gets session tokens for the client: the CRM's disposable token, carried by $authorizedAjax,
     is exchanged for one of the gateway's. It fails with {code, status}; fatal: asking again will not help. */
  const tokens = (widget, url) => async () => {
    try {
      return await Promise.resolve(
        widget.$authorizedAjax({ url: url + '/v1/sessions/amocrm', method: 'POST', dataType: 'json', timeout: 15000 }),
      );
    } catch (xhr) {
      const { code, detail } = xhr.responseJSON || {};
      const fatal = xhr.status === 401 || xhr.status === 403;
      throw Object.assign(new Error(detail || 'no session token: HTTP ' + xhr.status), {
        code: code || (fatal ? 'bad_token' : 'offline'),
        status: xhr.status,
        fatal,
      });
    }
  };

  /* The field "extensions", user id → text: the CRM gives an object, or the same as a JSON string. */
  const extensions = (settings) => {
    const value = (settings || {}).extensions;
    try {
      const map = typeof value === 'string' ? JSON.parse(value) : value;
      return Object.fromEntries(Object.entries(typeof map === 'object' && map ? map : {}).map(([id, text]) => [id, String(text ?? '').trim()]));
    } catch {
      return {};
    }
  };

  /* '101, 102' is ['101', '102']. */
  const split = (text) => String(text ?? '').split(/[\s,;]+/).filter(Boolean);

  const extensionsOf = (settings, user) => split(extensions(settings)[user]);

  /* extension → the colleague's name or ''. Only for names that the gateway does not tell: settings may be half
     an hour old. */
  const colleagues = (widget, app) => (extension) => {
    const owner = Object.entries(extensions(widget.get_settings())).find(([, text]) => split(text).includes(String(extension)));
    const manager = owner && (app.constant('managers') || {})[owner[0]];
    return (manager && manager.title) || '';
  };

  /* Whether the user administers the CRM's account: only then the gateway takes extensions from him. */
  const isAdmin = (app) => {
    const rights = app.constant('user_rights') || {};
    const user = app.constant('user') || {};
    const manager = (app.constant('managers') || {})[user.id] || {};
    return [rights.is_admin, manager.is_admin].some((is) => is === true || is === 'Y');
  };

  return { tokens, extensions, extensionsOf, split, colleagues, isAdmin };
});
