// A fake browser for the tests of client.js: several tabs with what they share, Web Locks, BroadcastChannel, localStorage.
//
//   const b = new FakeBrowser({ locks, channel, storage })   false: this browser has none; storage 'throws'
//   const tab = b.open({ client options })                   a page with a started client; what it reports is as in setup()
//   tab.kill()      it crashes: nothing of it runs any more, its locks and sockets go
//   tab.hang()      it hangs or is frozen without a word: nothing runs until tab.thaw(), its locks and sockets stay
//   tab.hide(), tab.show(), tab.focus()
// Time is b.clock's, the other side b.gateway.
import { FakeClock, FakeGateway, FakePage, fakeStorage, jwt, setup } from './client.fake.mjs';

let seeds = 100;

export class FakeBrowser {
  constructor({ locks = true, channel = true, storage = true, gateway, clock } = {}) {
    this.clock = clock || new FakeClock();
    this.gateway = gateway || new FakeGateway(this.clock);
    this.has = { locks, channel, storage };
    this.locks = new Map(); // name -> [{tab, grant, …}], the first holds it
    this.items = fakeStorage();
    this.tabs = [];
  }

  open(options = {}, user = '88888') {
    const tab = new FakeTab(this, options, user);
    this.tabs.push(tab);
    tab.client.start();
    return tab;
  }

  async openAll(n, options) {
    const tabs = [];
    for (let i = 0; i < n; i++) tabs.push(this.open(options));
    await this.clock.advance(200);
    return tabs;
  }

  others(tab) {
    return this.tabs.filter((other) => other !== tab);
  }

  leaders() {
    return this.tabs.filter((tab) => !tab.dead && tab.client.state.leader);
  }
}

class FakeTab {
  constructor(browser, options, user) {
    this.browser = browser;
    this.sockets = new Set();
    this.timers = new Set();
    this.backlog = null; // of a tab that hangs
    this.dead = false;
    const { clock, gateway, has } = browser;
    const env = {
      share: true,
      setTimeout: (fn, ms) => this.later(fn, ms),
      clearTimeout: (id) => this.cancel(id),
      WebSocket: socketsOf(this, gateway.WebSocket),
      locks: has.locks ? locksOf(this) : null,
      BroadcastChannel: has.channel ? channelsOf(this) : null,
      token: async () => jwt({ iss: 'ringcast', account: 'acme', sub: user, iat: 0, exp: 3600, jti: ++seeds }),
      storage: storageOf(this),
      ...options,
    };
    Object.assign(this, setup({ clock, gateway, client: env, seed: ++seeds }));
    this.page.tab = this;
  }

  /** Runs what the browser wants this tab to do: now, when it has thawed, or never. */
  run(fn) {
    if (this.dead) return;
    if (this.backlog) this.backlog.push(fn);
    else fn();
  }

  later(fn, ms) {
    const id = this.browser.clock.setTimeout(() => this.run(() => this.timers.delete(id) && fn()), ms);
    this.timers.add(id);
    return id;
  }

  cancel(id) {
    this.timers.delete(id);
    this.browser.clock.clearTimeout(id);
  }

  kill() {
    this.dead = true;
    for (const socket of this.sockets) socket.leave();
    for (const name of [...this.browser.locks.keys()]) leaveQueue(this.browser, name, (entry) => entry.tab === this);
  }

  hang() {
    this.backlog = [];
  }

  thaw() {
    const { backlog } = this;
    this.backlog = null;
    for (const fn of backlog) this.run(fn);
  }

  look(state) {
    this.page.visibilityState = state;
    this.page.fire('visibilitychange');
  }

  hide() {
    this.look('hidden');
  }

  show() {
    this.look('visible');
  }
}

function socketsOf(tab, WebSocket) {
  return class extends WebSocket {
    constructor(...args) {
      super(...args);
      tab.sockets.add(this);
    }

    push(message) {
      tab.run(() => super.push(message));
    }

    cut(code) {
      this.leave();
      tab.run(() => this.onclose?.({ code: code ?? 1006 }));
    }
  };
}

function channelsOf(tab) {
  const { browser } = tab;
  return class {
    constructor(name) {
      Object.assign(this, { name, tab });
      (browser.channels ??= new Set()).add(this);
    }

    postMessage(message) {
      const data = structuredClone(message);
      for (const other of browser.channels) {
        if (other === this || other.name !== this.name) continue;
        browser.clock.soon(() => other.tab.run(() => browser.channels.has(other) && other.onmessage?.({ data: structuredClone(data) })));
      }
    }

    close() {
      browser.channels.delete(this);
    }
  };
}

function storageOf(tab) {
  const { browser } = tab;
  if (!browser.has.storage) return null;
  const check = () => {
    if (browser.has.storage === 'throws') throw new Error('SecurityError');
  };
  const changed = (key, newValue) => {
    for (const other of browser.others(tab)) {
      browser.clock.soon(() => other.run(() => other.page.dispatchEvent(Object.assign(new Event('storage'), { key, newValue }))));
    }
  };
  return {
    items: browser.items.items,
    getItem: (key) => check() ?? browser.items.getItem(key),
    setItem(key, value) {
      check();
      browser.items.setItem(key, value);
      changed(key, value);
    },
    removeItem(key) {
      check();
      if (browser.items.items.delete(key)) changed(key, null);
    },
  };
}

const abortError = () => Object.assign(new Error('aborted'), { name: 'AbortError' });

/** Drops some from a lock's queue; if the holder is among them it is the next one's. */
function leaveQueue(browser, name, which) {
  const queue = browser.locks.get(name) || [];
  const rest = queue.filter((entry) => !which(entry));
  browser.locks.set(name, rest);
  if (rest.length && rest[0] !== queue[0]) grant(browser, name);
}

function grant(browser, name) {
  const [entry] = browser.locks.get(name);
  browser.clock.soon(() => entry.tab.run(async () => {
    if (browser.locks.get(name)[0] !== entry) return;
    let result;
    try {
      result = await entry.fn({ name });
    } finally {
      leaveQueue(browser, name, (other) => other === entry);
      entry.resolve(result);
    }
  }));
}

function locksOf(tab) {
  const { browser } = tab;
  return {
    request(name, { signal, ifAvailable, steal }, fn) {
      return new Promise((resolve, reject) => {
        if (signal && (steal || ifAvailable)) throw new Error('NotSupportedError');
        if (signal?.aborted) throw abortError();
        const entry = { tab, fn, resolve, reject };
        const queue = browser.locks.get(name) || [];
        if (ifAvailable && queue.length) return resolve(fn(null));
        if (steal) {
          const [robbed] = queue.splice(0, 1);
          if (robbed) browser.clock.soon(() => robbed.tab.run(() => robbed.reject(abortError())));
          browser.locks.set(name, [entry, ...queue]);
          return grant(browser, name);
        }
        browser.locks.set(name, [...queue, entry]);
        signal?.addEventListener('abort', () => {
          if (browser.locks.get(name).indexOf(entry) <= 0) return; // granted or gone
          leaveQueue(browser, name, (other) => other === entry);
          reject(abortError());
        });
        if (!queue.length) grant(browser, name);
      });
    },
  };
}
