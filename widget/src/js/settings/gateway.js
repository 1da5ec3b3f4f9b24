/* Asks the gateway what it makes of the settings, and has it keep them. */
define([], function () {
  'use strict';

  const patience = 15000; /* ms */
  const glance = 5000; /* ms that a server has to show that it is there */

  /* Why there was no answer that could be used: kind, as in the section settings of the texts (refused_…), fields: what is
     wrong with whose extensions, [{user, reason}]. */
  class Refusal extends Error {
    constructor(kind, values = {}, fields = []) {
      super(kind);
      Object.assign(this, { kind, values, fields });
    }
  }

  const kinds = {
    bad_token: 'proof', token_expired: 'proof', not_admin: 'not_admin', origin: 'origin', not_found: 'account', taken: 'fields', invalid: 'fields',
    unavailable: 'later', draining: 'later', too_many: 'later', timeout: 'later',
  };

  return class Gateway {
    static Refusal = Refusal;

    /* page: window, for its fetch */
    constructor({ widget, page, clock }) {
      Object.assign(this, { widget, page, clock });
    }

    /* extensions: user id → text, names: user id → text. Promises the gateway's answer; fails with a Refusal. With `save`
       it keeps the extensions. */
    async ask(url, { extensions, names, save }) {
      if (typeof this.widget.$authorizedAjax !== 'function') throw new Refusal('uninstalled');
      let answer;
      try {
        answer = await Promise.resolve(
          this.widget.$authorizedAjax({
            url: url + '/v1/settings/amocrm',
            method: 'POST',
            contentType: 'application/json',
            data: JSON.stringify({ extensions, names, save }),
            dataType: 'json',
            timeout: patience,
          }),
        );
      } catch (xhr) {
        throw await this.refusal(url, xhr);
      }
      if (!answer || !Array.isArray(answer.users)) throw new Refusal('stranger', { status: 200 });
      return answer;
    }

    async refusal(url, { status = 0, responseJSON, statusText }) {
      if (!status) return new Refusal(statusText !== 'timeout' && (await this.there(url)) ? 'origin' : 'silent');
      const { code, detail, errors } = responseJSON || {};
      if (!code) return new Refusal(status === 401 || status === 403 ? 'uninstalled' : 'stranger', { status });
      const fields = (errors || []).map(({ field, reason }) => ({ user: String(field).replace(/^(extensions|names)\./, ''), reason }));
      const kind = kinds[code] === 'fields' && !fields.length ? 'other' : kinds[code];
      return new Refusal(kind || 'other', { status, code, detail: detail || '' }, fields);
    }

    /* A page is told neither what nor why it was not allowed to read. But whether there was anything at all, it is. */
    async there(url) {
      const control = new AbortController();
      const cancel = this.clock.after(glance, () => control.abort());
      try {
        await this.page.fetch(url + '/client.js', { mode: 'no-cors', cache: 'no-store', signal: control.signal });
        return true;
      } catch {
        return false;
      } finally {
        cancel();
      }
    }
  };
});
