/* Requests to the CRM's REST API with the user's own session, and what it answers when it refuses. */
define([], function () {
  'use strict';

  const reading = 5000; /* ms that an answer may take */
  const writing = 15000;
  const pause = { first: 1000, longest: 60000 }; /* ms without questions, after too many of them */

  /* code    forbidden  the user may not           invalid  the fields are not as the CRM wants them
             offline    no answer that tells       limit    too many requests; nothing was done
             gone       no such entity (any more)  session  the user is signed out
             failed     anything else
     status  of HTTP, 0 without an answer
     fields  path of a field → what is wrong with it, in the CRM's words */
  class CrmError extends Error {
    constructor(message, { code, status = 0, fields = {} }) {
      super(message);
      Object.assign(this, { name: 'CrmError', code, status, fields });
    }
  }

  const codes = { 0: 'offline', 400: 'invalid', 401: 'session', 403: 'forbidden', 404: 'gone', 422: 'invalid', 429: 'limit', 504: 'offline' };

  /* It was done, or may have been: who takes that for a refusal does it twice. */
  const unread = (status) => new CrmError('an answer that cannot be read', { code: 'offline', status });

  const errorOf = (xhr) => {
    if (xhr.status >= 200 && xhr.status < 300) return unread(xhr.status);
    const problem = xhr.responseJSON || {};
    const blocked = xhr.status === 403 && !problem.status; /* who asks too much gets a 403 that explains nothing */
    const fields = {};
    const items = Object.values(problem['validation-errors'] || {}); /* mostly a list */
    items.flatMap((item) => Object.values((item && item.errors) || {})).forEach(({ path, detail }) => {
      fields[path] = detail;
    });
    return new CrmError(problem.detail || problem.title || xhr.statusText || 'no answer', {
      code: blocked ? 'limit' : codes[xhr.status || 0] || 'failed', status: xhr.status || 0, fields,
    });
  };

  return class Api {
    /* ajax takes jQuery.ajax's options and returns a promise; clock {now}. */
    constructor({ ajax, clock }) {
      Object.assign(this, { ajax, clock, pause: 0, until: 0 });
    }

    static get CrmError() {
      return CrmError;
    }

    /* query is a string, brackets and all: jQuery would make three bytes of each. Resolves to the page's entities
       of a group such as contacts; none found is an empty list. After the CRM has said "too many" nothing is
       asked for a while, and that is an error like the CRM's own. */
    async list(group, query, timeout = reading) {
      if (this.clock.now() < this.until) throw new CrmError('the CRM wants no questions now', { code: 'limit', status: 429 });
      const page = await this.send({ url: '/api/v4/' + group + '?' + query, timeout });
      return (page && page._embedded && page._embedded[group]) || [];
    }

    /* Resolves to what read finds in the answer. */
    async post(path, items, read) {
      const answer = await this.send({ url: '/api/v4/' + path, method: 'POST', contentType: 'application/json', data: JSON.stringify(items), timeout: writing });
      try {
        return read(answer);
      } catch {
        throw unread(200);
      }
    }

    async send(options) {
      try {
        const answer = await this.ajax({ dataType: 'json', ...options });
        this.pause = 0;
        return answer;
      } catch (xhr) {
        const err = errorOf(xhr);
        if (err.code === 'limit') this.backOff(err);
        throw err;
      }
    }

    backOff({ status }) {
      const now = this.clock.now();
      if (now < this.until) return;
      this.pause = status === 403 ? pause.longest : Math.min(Math.max(pause.first, 2 * this.pause), pause.longest);
      this.until = now + this.pause;
    }
  };
});
