// One connection per browser. The tabs of one user elect a leader, which holds the line; the others hear from it.

const QUIET = 5 * SECOND; // a leader that says nothing for so long is asked
const ANSWER = 2 * SECOND; // and replaced if it does not answer in time
const LEASE = { visible: 5 * SECOND, hidden: 90 * SECOND }; // a hidden page's timers may run once a minute only

/** What a leader says, and what is said to one; the rest is for all. */
const FROM_LEADER = ['beat', 'news', 'welcome'];
const TO_LEADER = ['join', 'send', 'probe'];

/** Tabs are this tab among the others of the same name. turn(whose) is waited for before a line is opened: it resolves in
 * the leader, and in a tab that cannot share. The lock's queue is the line of succession: a leader that closes or crashes
 * is followed by the next at once. One that hangs is noticed by its silence and robbed of the lock; each reign has a
 * greater number than those before it, and nobody listens to a leader of the past, nor does that go on when it hears of
 * the new one.
 * on.heard(kind, body) brings what the others say, on.deposed() ends this tab's reign, on.beat() is what the leader
 * answers to those who ask whether it lives. */
function makeTabs(env, on) {
  const { now, random } = env;
  const timers = makeTimers(env);
  const id = randomId(env);
  const done = new ShortMemory(512); // what was done once in this browser: key -> the tab that did it
  const held = new Map(); // keys that this tab has taken -> what lets them go
  const pending = new Map(); // keys that once() waits for -> what ends that
  let group = null; // {name, channel, leading, reign, heard, deaf, locks, leave, turn}
  let alone = !env.share || !env.page; // it does not share, or cannot

  function turn(whose) {
    const name = whose && `ringcast:${JSON.stringify([env.base, whose, Boolean(env.presence)])}`;
    if (group && group.name !== name) leave();
    if (!group && name && !alone) tryTo(() => enter(name));
    if (!group || group.leading) return Promise.resolve();
    return group.turn.promise;
  }

  function enter(name) {
    const locks = env.locks || makeStorageLocks(env);
    const channel = openChannel(env, name, receive);
    group = { name, channel, locks, leading: false, reign: 0, heard: now(), deaf: false, turn: makePromise() };
    queue();
    check();
    on.heard('entered', {});
  }

  /** Asks for the lock; at once, if it is to be taken from a leader that hangs. */
  function queue(steal = false) {
    const mine = group;
    const control = new AbortController();
    const current = () => mine === group && !control.signal.aborted;
    const ended = (err) => {
      if (!current()) return;
      if (mine.leading) depose(true);
      else if (err && err.name === 'AbortError') timers.set('queue', SECOND, queue); // robbed before it knew
      else if (err) giveUp();
    };
    mine.leave = () => control.abort();
    request(mine.locks, mine.name, steal ? { steal } : { signal: control.signal }, () => {
      if (!current()) return undefined;
      const end = makePromise();
      mine.leave = () => {
        control.abort();
        end.keep();
      };
      lead();
      return end.promise;
    }).then(() => ended(), ended);
  }

  function lead() {
    for (const key of ['check', 'answer', 'queue']) timers.clear(key);
    group.leading = true;
    group.reign = Math.max(group.reign + 1, now()) + random();
    on.heard('elected', {});
    group.turn.keep();
  }

  function depose(robbed) {
    group.leave();
    Object.assign(group, { leading: false, heard: now(), deaf: robbed, turn: makePromise() });
    queue();
    check();
    on.deposed();
  }

  /** Sharing does not work here: from now on this tab has a line of its own. */
  function giveUp() {
    const { turn: waiting } = group;
    alone = true;
    leave();
    on.heard('alone', {});
    waiting.keep();
  }

  function leave() {
    if (!group) return;
    timers.clearAll();
    group.leave();
    group.channel.close();
    group = null;
    for (const end of pending.values()) end();
    for (const key of [...held.keys()]) free(key);
  }

  // ---- The leader's health

  function check() {
    timers.set('check', ANSWER, () => {
      check();
      if (now() - group.heard >= QUIET) probe();
    });
  }

  /** Asks the leader for a sign of life. */
  function probe() {
    if (!group || group.leading || timers.has('answer')) return;
    post('probe');
    timers.set('answer', ANSWER, () => {
      if (group.deaf) return giveUp(); // somebody took the lock from this tab, and is not to be heard
      group.leave();
      return queue(true);
    });
  }

  function receive(message) {
    if (!group || !message || message.tab === id || typeof message.reign !== 'number') return;
    const { kind, reign } = message;
    if (FROM_LEADER.includes(kind)) {
      if (reign < group.reign) {
        if (group.leading) post('beat', on.beat());
        return;
      }
      group.reign = reign;
      group.heard = now();
      group.deaf = false;
      timers.clear('answer');
      if (group.leading) depose(false);
    } else if (group.leading && reign > group.reign) {
      group.reign = reign + 1;
    }
    if (TO_LEADER.includes(kind) && !group.leading) return;
    if (kind === 'done') finish(message.key, message.tab);
    else if (kind === 'probe') post('beat', on.beat());
    else on.heard(kind, message);
  }

  function post(kind, body = {}) {
    if (group) tryTo(() => group.channel.post({ ...body, kind, tab: id, reign: group.reign }));
  }

  /** To all, if this tab is the leader. */
  const tell = (kind, body) => group && group.leading && post(kind, body);

  /** To the leader. */
  function ask(kind, body) {
    post(kind, body);
    if (now() - group.heard > SECOND) probe();
  }

  // ---- What only one tab may do. A key is a lock: who holds it and crashes lets it go.

  /** Promises whether this tab has the key now. */
  function take(key, options) {
    const got = makePromise();
    const end = makePromise();
    const grant = (lock) => {
      got.keep(Boolean(lock));
      if (!lock || !group) return undefined;
      held.set(key, end.keep);
      timers.set(`free ${key}`, 10 * MINUTE, () => free(key));
      return end.promise;
    };
    request(group.locks, `${group.name} ${key}`, options, grant).catch(({ name }) => got.keep(name !== 'AbortError'));
    return got.promise;
  }

  /** Takes a key, if it is free and what it stands for was not done by another tab. */
  async function hold(key) {
    if (held.has(key)) return true;
    if (done.has(key)) return done.get(key) === id;
    return !group || take(key, { ifAvailable: true });
  }

  function free(key) {
    const end = held.get(key);
    held.delete(key);
    timers.clear(`free ${key}`);
    if (end) end();
  }

  /** What the key stands for is done. The key is kept until the others will have heard of it. */
  function settle(key) {
    finish(key, id);
    post('done', { key });
    if (held.has(key)) timers.set(`free ${key}`, 5 * SECOND, () => free(key));
  }

  function finish(key, tab) {
    if (!done.has(key)) done.set(key, tab);
    if (pending.has(key)) pending.get(key)();
  }

  /** Runs fn in one tab, in the one that is looked at if it can be; promises whether it was this one. If fn fails there, or
   * the tab crashes, it is another's turn. */
  async function once(key, fn) {
    if (done.has(key) || pending.has(key)) return false;
    const control = new AbortController();
    const { signal } = control;
    pending.set(key, () => control.abort());
    try {
      if (group) await Promise.race([pause(`once ${key}`, env.distance()), aborted(signal)]);
      if (group && !signal.aborted && !(await take(key, { signal }))) return false;
      if (signal.aborted) return false; // it was done, or this tab has left
      await fn();
      settle(key);
      return true;
    } finally {
      pending.delete(key);
      if (done.get(key) !== id) free(key);
    }
  }

  const pause = (key, ms) => new Promise((resolve) => timers.set(key, ms, resolve));

  return {
    id, turn, leave, probe, tell, ask, post, hold, free, settle, finish, once,
    leading: () => group && group.leading, // null: it does not share
    following: () => Boolean(group && !group.leading),
    done: () => [...done],
    forget: () => done.clear(),
  };
}

const aborted = (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve));

const request = async (locks, name, options, fn) => locks.request(name, options, fn);

/** Messages between the tabs: by BroadcastChannel, or where there is none by the events of localStorage. */
function openChannel({ BroadcastChannel, storage, page }, name, receive) {
  if (typeof BroadcastChannel === 'function') {
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => receive(data);
    return { post: (message) => channel.postMessage(message), close: () => channel.close() };
  }
  const items = storage();
  const onStorage = ({ key, newValue }) => key === name && newValue && receive(parse(newValue));
  items.removeItem(name); // throws where there is nothing to share by
  page.addEventListener('storage', onStorage);
  return {
    post(message) {
      items.setItem(name, JSON.stringify(message));
      items.removeItem(name); // it names callers: it is not to stay
    },
    close: () => page.removeEventListener('storage', onStorage),
  };
}

/** As much of navigator.locks as is used here, in localStorage, for browsers and pages (not https) without it. A lock is a
 * lease that its owner renews; who finds it free writes its name there, and has it if that still stands after a moment. */
function makeStorageLocks(env) {
  const { now, random, page } = env;
  const timers = makeTimers(env);
  const items = env.storage();
  const read = (key) => parse(items.getItem(key)) || {};
  const lease = () => now() + (env.visible() ? LEASE.visible : LEASE.hidden);
  const taken = ({ until }) => until > now() && until - now() <= LEASE.hidden;
  const write = (key, owner) => items.setItem(key, JSON.stringify({ owner, until: lease() }));
  items.removeItem('ringcast.lock'); // throws where there is no storage

  /** Waits for a while, less if the signal aborts or the key changes. */
  function pause(key, ms, signal) {
    return new Promise((resolve) => {
      const wait = {};
      const end = () => {
        timers.clear(wait);
        page.removeEventListener('storage', onStorage);
        if (signal) signal.removeEventListener('abort', end);
        resolve();
      };
      const onStorage = (event) => event.key === key && end();
      timers.set(wait, ms, end);
      page.addEventListener('storage', onStorage);
      if (signal) signal.addEventListener('abort', end);
    });
  }

  function keep(key, owner, lost) {
    timers.set(owner, SECOND, () => {
      try {
        if (read(key).owner !== owner) throw abortError();
        write(key, owner);
        keep(key, owner, lost);
      } catch (err) {
        lost(err);
      }
    });
  }

  async function request(name, { steal, ifAvailable, signal }, fn) {
    const key = `ringcast.lock:${name}`;
    const owner = randomId(env);
    for (let mine = false; !mine;) {
      if (signal && signal.aborted) throw abortError();
      if (!steal && taken(read(key))) {
        if (ifAvailable) return fn(null);
        await pause(key, SECOND, signal);
      } else {
        write(key, owner);
        await pause('', 50 + 50 * random());
        mine = read(key).owner === owner;
      }
    }
    try {
      return await new Promise((resolve, reject) => {
        keep(key, owner, reject);
        Promise.resolve(fn({ name })).then(resolve, reject);
      });
    } finally {
      timers.clear(owner);
      if (read(key).owner === owner) items.removeItem(key);
    }
  }

  return { request };
}

const abortError = () => Object.assign(new Error('Aborted.'), { name: 'AbortError' });
