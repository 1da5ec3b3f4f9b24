/* The gateway's address: the setting "gateway", or where that is empty the one that the widget was packed with. */
define([], function () {
  'use strict';

  /* The CRM's page is https and reaches nothing else, but for what runs on the same machine. */
  const local = new Set(['localhost', '127.0.0.1', '[::1]']);

  /* As it is used, without a slash at its end; '' when it cannot be used. */
  const clean = (raw) => {
    let url;
    try {
      url = new URL(String(raw ?? '').trim());
    } catch {
      return '';
    }
    const safe = url.protocol === 'https:' || (url.protocol === 'http:' && local.has(url.hostname));
    if (!safe || url.username || url.password || url.search || url.hash) return '';
    return (url.origin + url.pathname).replace(/\/+$/, '');
  };

  const given = (settings) => String((settings || {}).gateway ?? '').trim();

  /* An address that somebody mistyped is as good as none: it is said in the settings window. */
  const choose = (settings, packed) => clean(given(settings)) || packed;

  return { clean, given, choose };
});
