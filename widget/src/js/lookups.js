/* Who has a number, looked up once for all tabs of the user: the tab that holds the connection asks the CRM, and
   tells the others. */
define(['./phone.js?v=%VERSION%'], function (phone) {
  'use strict';

  const fresh = 60000; /* ms that an answer is kept, also that there was none */
  const mostKept = 100; /* numbers */
  const silence = 2000; /* ms in which the leader says that it heard; then this tab asks the CRM itself */
  const spread = 500; /* ms by which tabs differ in that, so that the first can tell the others */
  const hearing = 120; /* ms in which another tab says what it knows, where tabs have no leader */
  const undecided = 80; /* ms by which such tabs differ: whoever is first asks for all */
  const answering = 8000; /* ms in which a search that somebody has begun comes to an end */

  const pause = 1100; /* ms from the end of one search to the next: the CRM takes seven requests a second, and a search is up to four */
  const tooMany = 1500; /* ms until the CRM is asked again, once, after it has said that it is asked too much */

  /* What the tabs say to each other, key being phone.key of the number:
       {ask: key, number}       {busy: key}       {told: key, result}       {learned: key, number, result}       {forget: key} */
  return class Lookups {
    /* crm {find}   client {state.leader, on}   channel  a BroadcastChannel of this user's tabs, or null
       locks  navigator.locks, or null           scope    what distinguishes this user's locks        clock   random */
    constructor({ crm, client, channel, locks, scope, clock, random = Math.random }) {
      Object.assign(this, { crm, client, channel, locks, scope, clock, random });
      this.kept = new Map(); /* key → {result, at}, the oldest first */
      this.waiting = new Map(); /* key → {number, promise, resolve, cancel, searching} */
      this.listeners = new Set();
      this.turn = Promise.resolve(); /* one search after another */
      this.free = 0; /* when the next may begin */
      this.endPause = () => {};
      this.off = client.on('state', ({ leader }) => leader === true && this.succeed());
      if (channel) channel.onmessage = ({ data }) => this.hear(data);
    }

    /* Resolves to {state: 'found' | 'none' | 'failed', matches}; never rejects. For a minute the answer to the same
       number is the same, unless the CRM was asked too much: then it has passing: true and is not kept. */
    find(number) {
      if (!phone.searchable(number)) return Promise.resolve({ state: 'none', matches: [] });
      const kept = this.known(number);
      if (kept) return Promise.resolve(kept);
      const key = phone.key(number);
      if (!this.waiting.has(key)) this.begin(key, number);
      return this.waiting.get(key).promise;
    }

    /* What find would resolve to at once, null if it has to ask. */
    known(number) {
      return this.recent(phone.key(number));
    }

    /* Somebody has just been put into the CRM: these are the number's matches from now on, in all tabs. */
    learned(number, matches) {
      const result = { state: matches.length ? 'found' : 'none', matches };
      const key = phone.key(number);
      this.post({ learned: key, number, result });
      this.learn(key, number, result);
    }

    /* The next find asks the CRM again, in whatever tab. */
    forget(number) {
      const key = phone.key(number);
      this.kept.delete(key);
      this.post({ forget: key });
    }

    /* fn(number, matches) after learned, in this tab or another. Returns a function that ends it. */
    watch(fn) {
      this.listeners.add(fn);
      return () => this.listeners.delete(fn);
    }

    stop() {
      this.off();
      this.endPause();
      this.waiting.forEach((wait, key) => this.settle(key, { state: 'failed', matches: [] }));
      if (this.channel) this.channel.close();
      this.channel = null;
      this.listeners.clear();
    }

    begin(key, number) {
      const wait = { number, cancel: () => {}, searching: false };
      wait.promise = new Promise((resolve) => {
        wait.resolve = resolve;
      });
      this.waiting.set(key, wait);
      const { leader } = this.client.state;
      if (!this.channel || leader === true) {
        this.search(key);
      } else {
        this.post({ ask: key, number });
        if (leader === false) this.patience(key, silence + spread * this.random());
        else this.patience(key, hearing + undecided * this.random());
      }
    }

    patience(key, ms) {
      const wait = this.waiting.get(key);
      wait.cancel();
      wait.cancel = this.clock.after(ms, () => this.search(key));
    }

    /* The tab that led is gone, with what it was asked. */
    succeed() {
      [...this.waiting.keys()].forEach((key) => this.search(key));
    }

    search(key) {
      const wait = this.waiting.get(key);
      if (wait.searching) return;
      wait.searching = true;
      wait.cancel();
      this.post({ busy: key });
      this.turn = this.turn.then(() => this.paused(key, wait)).then(() => this.alone(key, wait));
    }

    /* A tab that was too busy to hear of another's search waits for its end, and has been told by then. */
    alone(key, wait) {
      const ask = () => this.waiting.get(key) === wait && this.ask(key, wait);
      return this.locks ? this.locks.request(this.scope + 'search.' + key, ask).catch(ask) : ask();
    }

    paused(key, wait) {
      const ms = this.free - this.clock.now();
      if (ms <= 0 || this.waiting.get(key) !== wait) return undefined;
      return new Promise((resolve) => {
        const cancel = this.clock.after(ms, resolve);
        this.endPause = () => {
          cancel();
          resolve(); /* a lock may be held until then */
        };
      });
    }

    async ask(key, wait) {
      let result = await this.request(key, wait);
      if (result.passing && this.waiting.get(key) === wait) {
        this.free = this.clock.now() + tooMany;
        await this.paused(key, wait);
        if (this.waiting.get(key) === wait) result = await this.request(key, wait);
      }
      if (this.waiting.get(key) !== wait) return; /* learned meanwhile, or stopped */
      this.post({ told: key, result });
      this.keep(key, result);
    }

    async request(key, wait) {
      this.post({ busy: key });
      const result = await this.crm.find(wait.number).then(
        (matches) => ({ state: matches.length ? 'found' : 'none', matches }),
        (err) => ({ state: 'failed', matches: [], ...(err.code === 'limit' && { passing: true }) }),
      );
      this.free = this.clock.now() + pause;
      return result;
    }

    hear(said) {
      if (said.ask) this.asked(said.ask, said.number);
      if (said.busy) this.hold(said.busy);
      if (said.told) this.keep(said.told, said.result);
      if (said.learned) this.learn(said.learned, said.number, said.result);
      if (said.forget) this.kept.delete(said.forget);
    }

    asked(key, number) {
      const wait = this.waiting.get(key);
      const { leader } = this.client.state;
      const kept = leader !== false && this.recent(key);
      if (kept) this.post({ told: key, result: kept });
      else if (wait && wait.searching) this.post({ busy: key });
      else if (leader === true) this.find(number);
    }

    hold(key) {
      const wait = this.waiting.get(key);
      if (wait && !wait.searching) this.patience(key, answering + spread * this.random());
    }

    learn(key, number, result) {
      this.keep(key, result);
      this.listeners.forEach((fn) => fn(number, result.matches));
    }

    keep(key, result) {
      this.kept.delete(key);
      if (!result.passing) this.kept.set(key, { result, at: this.clock.now() });
      if (this.kept.size > mostKept) this.kept.delete(this.kept.keys().next().value);
      this.settle(key, result);
    }

    settle(key, result) {
      const wait = this.waiting.get(key);
      if (!wait) return;
      this.waiting.delete(key);
      wait.cancel();
      wait.resolve(result);
    }

    recent(key) {
      const kept = this.kept.get(key);
      return kept && this.clock.now() - kept.at < fresh ? kept.result : null;
    }

    post(message) {
      if (this.channel) this.channel.postMessage(message);
    }
  };
});
