/*
 * Ringcast: the browser client. It shows one user's calls as they happen and carries his commands back.
 * Loads as AMD module, as the page global `Ringcast` and in Node. The long manual is examples/page/README.md.
 *
 *   const client = new Ringcast.Client({
 *     url: 'https://gateway.example.com',
 *     token: async ({ renew }) => (await fetch('/my-backend/ringcast-token')).json(), // {token, expires_at} or 'jwt'
 *   });
 *   client.on('call', ({ event, call, previous, live }) => …); // each change of each call, once and in order
 *   client.on('state', ({ name, rung, retryAt, code, message }) => …);
 *   client.on('user', ({ id, name, extensions }) => …); // on returns a function that takes the listener off
 *   client.start();
 *   client.call('+380991234567').catch((err) => alert(err.code));
 *
 * client.state, .user and .calls (a Map by id; ended ones for 60 s more) are what is known now.
 * States: connecting, live (rung ws or poll), retrying (at retryAt, ms; null: now), refused (until start()), stopped.
 * Codes: network, no_hello, silent, gap, asleep, closed, draining, slow, superseded, token, token_expired; refused:
 *   bad_token, revoked, origin, bad_protocol, too_many, unsupported, or that of the token function's fatal error.
 * command(action, fields), call(to), hangup(callId), claim(callId, what, {done}) promise the reply, or fail with the
 *   gateway's code (pbx_offline, taken, …), timeout (10 s), stopped or refused.
 */
(function (root, make) {
  if (typeof define === 'function' && define.amd) define([], () => make(root));
  else if (typeof module === 'object' && module.exports) module.exports = make(root);
  else root.Ringcast = make(root);
})(typeof globalThis === 'object' ? globalThis : self, function (root) {
  'use strict';

  const SECOND = 1000;
  const MINUTE = 60 * SECOND;

  /** What went wrong, with the code that programs rely on. `fault` blames the rung rather than the gateway, `stay`
   * means not to come again, `delay` [least, most] (ms) is when the gateway wants to be asked again. */
  class Failure extends Error {
    constructor(code, message, more) {
      super(message);
      Object.assign(this, { code }, more);
    }
  }

  const fault = (message, code = 'network') => new Failure(code, message, { fault: true });
  const stranger = () => fault('What came is not from a gateway.');

  /** Timers are set under a key, one for each, so that their owner can be sure to leave none behind. */
  function makeTimers({ setTimeout, clearTimeout }) {
    const running = new Map();
    const has = (key) => running.has(key);
    const clear = (key) => {
      clearTimeout(running.get(key));
      return running.delete(key); // tells whether it was running
    };
    const clearAll = () => running.forEach((id, key) => clear(key));
    const set = (key, ms, fn) => {
      clear(key);
      running.set(key, setTimeout(() => running.delete(key) && fn(), ms));
    };
    return { has, set, clear, clearAll };
  }

  /** What fn returns; null if it throws. */
  function tryTo(fn) {
    try {
      return fn();
    } catch (err) {
      return null;
    }
  }

  function parse(text) {
    const value = tryTo(() => JSON.parse(text));
    return value && typeof value === 'object' ? value : null;
  }

  function randomId({ random }) {
    return (random().toString(36) + random().toString(36)).replace(/0\./g, '').padEnd(8, '0');
  }

  // ---- Rungs. Each has a name, what it needs of env, the patience (ms) its first answer may take, and open(env, on),
  // which returns a link {send(frame), renew() after the token changed, close()} and reports on.receive(messages) and
  // on.end(failure). What a closed link still reports is ignored.

  const socketRung = {
    name: 'ws',
    needs: 'WebSocket',
    patience: 3 * SECOND,

    open(env, on) {
      const socket = new env.WebSocket(env.base.replace(/^http/, 'ws') + '/v1/ws', ['ringcast.v1']);
      const send = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
      const hello = () => send({ type: 'hello', ...env.identity() });
      socket.onopen = hello;
      socket.onmessage = ({ data }) => on.receive([parse(data)]);
      socket.onclose = ({ code }) => on.end(closeFailure(code));
      return { send, renew: hello, close: () => socket.close(1000) };
    },
  };

  const CLOSE_CODES = {
    4001: 'slow', 4002: 'draining', 4003: 'token_expired', 4004: 'superseded',
    4500: 'bad_token', 4501: 'revoked', 4502: 'bad_protocol', 4503: 'too_many',
  };

  function closeFailure(code) {
    if (code < 4000) return fault('The connection to the gateway broke.');
    const stay = code >= 4500;
    const what = stay ? 'refused' : 'closed';
    return new Failure(CLOSE_CODES[code] || what, `The gateway ${what} the connection (${code}).`, { stay });
  }

  const pollRung = {
    name: 'poll',
    needs: 'fetch',
    patience: 10 * SECOND,

    open(env, on) {
      const { fetch, setTimeout, clearTimeout } = env;
      const control = new AbortController();
      let pause;

      const post = async (path, body) => {
        const headers = { 'Content-Type': 'text/plain;charset=UTF-8' }; // so that no preflight is needed
        const request = { method: 'POST', headers, body: JSON.stringify(body), credentials: 'omit' };
        const response = await fetch(env.base + path, { ...request, signal: control.signal });
        const answer = parse(await response.text());
        if (response.ok && answer) return answer;
        throw httpFailure(response, answer || {}, env.now());
      };

      const poll = async (wait) => {
        const identity = env.identity();
        const began = env.now();
        const { messages } = await post('/v1/poll', { ...identity, wait });
        on.receive(messages);
        if (control.signal.aborted) return;
        // Something between us and the gateway may answer at once, again and again: keep that from becoming a storm.
        const idle = wait > 0 && env.identity().cursor === identity.cursor && env.now() - began < SECOND;
        pause = setTimeout(() => poll(25).catch(on.end), idle ? SECOND : 0);
      };

      const send = async (frame) => {
        const { token, client } = env.identity();
        try {
          const reply = await post('/v1/actions', { ...frame, token, client });
          on.receive([{ ...reply, type: 'reply' }]);
        } catch (err) {
          if (err.ofRequest) on.receive([{ type: 'reply', id: frame.id, ok: false, error: err }]);
          else on.end(err);
        }
      };

      const close = () => {
        clearTimeout(pause);
        control.abort();
      };

      poll(0).catch(on.end); // the first answer is the proof that this rung works: it is not to wait for news
      return { send, renew() {}, close };
    },
  };

  function httpFailure({ status, headers }, { code, detail, title }, now) {
    if (!code) return stranger();
    const after = headers.get('Retry-After');
    const wait = Number(after) * SECOND || Date.parse(after) - now;
    return new Failure(code, detail || title || code, {
      stay: code === 'bad_token' || status === 403,
      ofRequest: ![401, 403, 503].includes(status), // the others are of the whole line
      delay: wait > 0 ? [wait, wait * 1.5] : undefined,
    });
  }

  const RUNGS = [socketRung, pollRung];

  /** The ledger is what the client knows of the calls, and the proof that it missed nothing. What it takes in, it
   * answers with the changes {event, call, previous, live} that this made. */
  function makeLedger(env) {
    const timers = makeTimers(env); // of the ended calls
    const calls = new Map();
    const doubtful = new WeakSet(); // those whose version does not count: ends only concluded, calls of another log
    let cursor; // of the last message applied
    let gaps = 0; // found at this cursor

    /** A call never goes back to an older version. */
    function isNews({ id, version }) {
      const known = calls.get(id);
      return !known || version > known.version || doubtful.has(known);
    }

    function put(event, call, live = false) {
      const { id } = call;
      const previous = calls.get(id) || null;
      calls.set(id, call);
      timers.clear(id);
      if (call.state === 'ended') timers.set(id, MINUTE, () => calls.delete(id));
      return { event, call, previous, live };
    }

    /** A resume changes nothing: what was missed follows as messages. */
    function hello(message) {
      if (message.resumed) return [];
      ({ cursor } = message);
      gaps = 0;
      if (!['new', 'evicted'].includes(message.reason)) calls.forEach((call) => doubtful.add(call)); // another log
      const current = message.calls || [];
      const ids = new Set(current.map((call) => call.id));
      const end = { state: 'ended', outcome: null, ended_at: new Date(env.now()).toISOString() };
      const ghosts = [...calls.values()].filter((call) => call.state !== 'ended' && !ids.has(call.id));
      const changes = ghosts.map((call) => put('call.hangup', { ...call, ...end }));
      for (const { call } of changes) doubtful.add(call);
      return [...changes, ...current.filter(isNews).map((call) => put('snapshot', call))];
    }

    /** Returns null when messages before it are missing. That mends by resuming, or if it recurs, by a snapshot. */
    function change(message) {
      const news = isNews(message.call);
      if (message.prev !== cursor) {
        if (!news) return []; // it came twice
        if (++gaps >= 3) cursor = undefined;
        return null;
      }
      ({ cursor } = message);
      gaps = 0;
      return news ? [put(message.event, message.call, true)] : [];
    }

    /** Forgets the ended calls now, so that no timer is left. */
    function stop() {
      for (const [id, { state }] of calls) if (state === 'ended') calls.delete(id);
      timers.clearAll();
    }

    return { calls, hello, change, stop, cursor: () => cursor };
  }

  /** Commands that wait for their replies. `send` is called with a frame whenever there may be a line to carry it; sent
   * again it keeps its id, and the gateway carries out an id once. */
  function makeCommands(env, send) {
    const timers = makeTimers(env);
    const waiting = new Map(); // id -> {frame, resolve, reject}

    function reply(message) {
      const { id, ok, error = {} } = message;
      const command = waiting.get(id);
      if (!command) return;
      waiting.delete(id);
      timers.clear(id);
      if (ok) command.resolve(message);
      else command.reject(new Failure(error.code || 'internal', error.message || ''));
    }

    const fail = (id, code, message) => reply({ id, error: { code, message } });
    const failAll = (code, message) => waiting.forEach((command, id) => fail(id, code, message));
    const sendAll = () => waiting.forEach(({ frame }) => send(frame));
    const add = (action, fields) => new Promise((resolve, reject) => {
      const id = randomId(env);
      const frame = { ...fields, id, action };
      waiting.set(id, { frame, resolve, reject });
      timers.set(id, 10 * SECOND, () => fail(id, 'timeout', 'No answer from the gateway in time.'));
      send(frame);
    });
    return { add, reply, sendAll, failAll };
  }

  /** The session token: to be renewed when `due`, at about 80 % of its life, and not to be used once it `expires` (ms).
   * on.renewed() tells of a new one, on.fatal(failure) that there will be none. Clearing the timers stops it. */
  function makeTokens(env, timers, owner, on) {
    const tokens = { value: undefined, due: 0, expires: 0, renew };
    let question; // its timer's key
    let renewal;

    /** Resolves when there is a new token; asks for one at a time. */
    function renew() {
      if (!timers.has(question)) renewal = ask();
      return renewal;
    }

    async function ask() {
      const key = {};
      question = key;
      tokens.due = env.now() + (5 + 10 * env.random()) * SECOND; // if this fails
      try {
        const answer = await new Promise((resolve, reject) => {
          const heard = (fn) => (value) => timers.clear(key) && fn(value);
          timers.set(key, 30 * SECOND, () => reject(new Error('The token function gave no answer within 30 s.')));
          Promise.resolve({ renew: tokens.value !== undefined }).then(owner).then(heard(resolve), heard(reject));
        });
        const { token, expires_at } = typeof answer === 'string' ? { token: answer } : answer;
        if (!token) throw new Error('The token function returned no token.');
        const life = lifeOf(token, expires_at, env.now());
        tokens.value = token;
        tokens.due = env.now() + life * (0.7 + 0.2 * env.random());
        tokens.expires = env.now() + life;
        on.renewed();
      } catch (err) {
        const why = new Failure((err.fatal && err.code) || 'token', err.message, { stay: err.fatal });
        if (err.fatal) on.fatal(why);
        throw why;
      }
    }

    return tokens;
  }

  /** How long (ms) a token lives from now; Infinity when nobody says. A JWT's own times are the better source: the
   * difference of two of them is right even where this computer's clock is wrong. */
  function lifeOf(token, expiresAt, now) {
    const payload = () => root.atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const { iat, exp } = parse(tryTo(payload)) || {}; // of a JWT; another token's expiry must be given
    const life = exp > iat ? (exp - iat) * SECOND : new Date(exp ? exp * SECOND : expiresAt) - now;
    return life > 0 ? life : Infinity; // none, or a clock that is wrong: the gateway will say when
  }

  const TICK = 5 * SECOND;
  const PAGE_EVENTS = ['online', 'offline', 'pageshow', 'pagehide', 'visibilitychange', 'freeze', 'resume'];

  /** A connection keeps a line to the gateway up. `line` is the one in use; `next` is one on trial, which takes its
   * place when the gateway answers on it. The first connection, the return after a loss, the climb from poll to
   * WebSocket and the check of a line in doubt are all such trials, so a change of the line loses nothing.
   * on.message(message) returns a Failure if the line must go; on.state(state) also tells of each new line. */
  function makeConnection(env, owner, on) {
    const { now, random, page } = env;
    const timers = makeTimers(env); // patience, try (a retry or climb), watch, and the token's
    const tokens = makeTokens(env, timers, owner, { renewed: () => line && line.link.renew(), fatal: refuse });
    const key = `ringcast.rung:${env.base}`; // of the storage: a rung that worked lately
    const rungs = RUNGS.filter(({ needs }) => typeof env[needs] === 'function');
    const last = rungs.length - 1;
    let state;
    let line = null; // {index of its rung, link, since, heard, doubted (ms of now())}
    let next = null;
    let at = 0; // the rung to try
    let ping = 25 * SECOND;
    let paced = false; // whether the coming retry is at a time asked for
    let failures = 0; // for the backoff
    let misses = 0; // trials that failed for their rung, since the last good one
    let cuts = 0; // lines in a row that broke young
    let climbs = 0; // trials to get back to the first rung
    let firstWorked = false; // the first rung, in this page: then no other is remembered for the next page

    function start() {
      if (!['stopped', 'refused'].includes(state.name)) return;
      if (last < 0) return refuse(new Failure('unsupported', 'This browser has neither WebSocket nor fetch.'));
      const [name, until] = (stored((storage) => storage.getItem(key)) || '').split(' ');
      at = until > now() ? Math.max(0, rungs.findIndex((rung) => rung.name === name)) : 0;
      failures = misses = cuts = climbs = 0;
      follow('addEventListener');
      watch();
      attempt(at);
      show('connecting');
    }

    function halt(name, why) {
      timers.clearAll();
      for (const { link } of [next, line].filter(Boolean)) if (link) link.close();
      next = line = null;
      if (name !== 'retrying') follow('removeEventListener');
      show(name, why);
    }

    function refuse(why) {
      tokens.expires = 0;
      halt('refused', why);
    }

    async function attempt(index) {
      if (next) return;
      const trial = { index, doubted: -1 };
      const end = (why) => fail(trial, why);
      next = trial;
      try {
        await (now() < tokens.expires || tokens.renew());
        if (next !== trial) return;
        const { patience, open } = rungs[index];
        timers.set('patience', patience, () => end(fault('The gateway did not answer in time.', 'no_hello')));
        trial.link = open(env, { receive: (messages) => receive(trial, messages), end });
      } catch (err) {
        end(err);
      }
    }

    function receive(from, messages) {
      if (!Array.isArray(messages) || !messages.every(Boolean)) return fail(from, stranger());
      const proved = from === next && !(messages[0] && messages[0].type === 'bye');
      if (proved) promote();
      from.heard = now();
      for (const message of messages) {
        if (from !== line && from !== next) return; // closed, or a listener has stopped the client
        if (message.ping) ping = message.ping * SECOND;
        const failure = on.message(message);
        if (failure) fail(from, failure);
      }
      if (proved && from === line) show('live');
    }

    function promote() {
      timers.clear('patience');
      if (line) line.link.close();
      line = next;
      line.since = now();
      next = null;
      at = line.index;
      misses = 0;
      firstWorked = firstWorked || at === 0;
      const memo = `${rungs[at].name} ${now() + 30 * MINUTE}`;
      stored((storage) => (firstWorked ? storage.removeItem(key) : storage.setItem(key, memo)));
      climbLater();
    }

    function climbLater() {
      if (line.index === 0) return;
      const most = Math.min(4 * MINUTE, 20 * SECOND * 2 ** climbs++);
      timers.set('try', most * (0.5 + random() / 2), () => attempt(0));
    }

    /** A line is no good, on trial or in use. */
    function fail(bad, err) {
      const why = err instanceof Failure ? err : fault("The gateway cannot be reached, or refuses this page's origin.");
      if (bad.link) bad.link.close();
      if (why.code === 'token_expired') tokens.expires = 0;
      if (bad === next) return failed(why);
      if (bad !== line) return undefined;
      const lived = now() - line.since;
      line = null;
      timers.clear('try');
      if (lived > 10 * SECOND) failures = 0;
      if (lived > ping + 5 * SECOND) cuts = climbs = 0;
      else if (why.fault && ++cuts >= 5) at = Math.min(bad.index + 1, last);
      return next && !why.stay ? show('retrying', why) : again(why);
    }

    function failed(why) {
      const { index } = next;
      next = null;
      timers.clear('patience');
      if (line) return line.heard <= line.doubted ? fail(line, why) : climbLater();
      if (why.fault) misses += why.code === 'no_hello' ? 2 : 1;
      const useless = why.fault && misses > 1 && index < last;
      if (useless) at = index + 1;
      else if (index === last) at = 0;
      return useless ? attempt(at) : again(why);
    }

    /** Comes again after a delay (ms): what why.delay asks for, or else backoff with full jitter. */
    function again(why) {
      if (why.stay) return refuse(why);
      paced = Boolean(why.delay);
      const [least, most] = why.delay || [0, Math.min(20 * SECOND, 0.5 * SECOND * 2 ** failures++)];
      const wait = least + random() * (most - least);
      timers.set('try', wait, () => {
        attempt(at);
        show('retrying', why);
      });
      return show('retrying', why, now() + wait);
    }

    /** Ticks. A tick that comes late means that computer or page slept; a hidden page's timers are late as a rule. */
    function watch() {
      const due = now() + TICK;
      timers.set('watch', TICK, () => {
        const late = Math.abs(now() - due) >= TICK;
        const silent = line && now() - line.heard > 2 * ping + 5 * SECOND;
        watch();
        if (now() >= tokens.due) tokens.renew().catch(() => {}); // a failure has set the next time
        if (late) wake();
        else if (silent) fail(line, new Failure('silent', 'The gateway has not been heard for too long.'));
      });
    }

    /** Somebody looks at the page, it runs again, or its network changed: be connected soon. A line in doubt gets a
     * new one beside it; if that fails, and the old one was not heard meanwhile, it is dead. */
    function wake(changed = false) {
      const slept = !timers.clear('watch');
      watch();
      if (changed) climbs = 0;
      if (line) {
        const silence = now() - line.heard;
        if (!changed && silence >= 0 && silence <= ping + 2 * SECOND) return;
        line.doubted = now();
        attempt(line.index);
      } else if (slept || (!next && !paced)) {
        again({ ...state, delay: [0, slept ? 0 : 0.5 * SECOND] });
      }
    }

    function onPage({ type, target }) {
      const hidden = type === 'visibilitychange' && (page.document || page).visibilityState === 'hidden';
      if (hidden || target.nodeType === 1) return; // an element has an event of that name for itself
      if (type !== 'freeze' && type !== 'pagehide') return wake(type === 'online' || type === 'offline');
      // An open line would not survive this, or would keep the page out of the back-forward cache.
      if (timers.clear('watch')) halt('retrying', { code: 'asleep', message: 'The page sleeps.' });
    }

    /** Adds the listener or removes it. It captures, since some events go to the document and do not bubble. */
    function follow(how) {
      if (page) for (const type of PAGE_EVENTS) page[how](type, onPage, true);
    }

    function show(name, why = {}, retryAt = null) {
      const rung = name === 'live' ? rungs[line.index].name : null;
      state = { name, rung, retryAt, code: why.code || null, message: why.message || '' };
      on.state(state);
    }

    const stored = (fn) => tryTo(() => fn(env.storage === undefined ? root.localStorage : env.storage));
    const send = (frame) => line && line.link.send(frame);
    show('stopped');
    return { start, stop: () => halt('stopped'), send, token: () => tokens.value };
  }

  /** What the page deals with; the head of this file is its manual. */
  function Client(options) {
    if (!options || !options.url || typeof options.token !== 'function') {
      throw new TypeError('Ringcast.Client needs a url and a token function.');
    }
    const client = this;
    const { WebSocket, fetch, setTimeout, clearTimeout, document } = root;
    const given = { WebSocket, fetch, setTimeout, clearTimeout, page: document && root, ...options };
    const base = options.url.replace(/^ws/, 'http').replace(/\/+$/, '');
    const env = { now: Date.now, random: Math.random, ...given, base };
    const id = randomId(env);
    const listeners = { call: new Set(), state: new Set(), user: new Set() };
    const ledger = makeLedger(env);
    const commands = makeCommands(env, (frame) => connection.send(frame));
    const connection = makeConnection(env, options.token, { message: take, state: turn });
    env.identity = () => ({ token: connection.token(), cursor: ledger.cursor(), client: id });

    /** Takes what a line brought; returns a Failure when the line is of no more use. */
    function take(message) {
      const { type, user, code = 'draining', retry_in: delay } = message;
      if (type === 'bye') return new Failure(code, 'The gateway asked to come again later.', { delay });
      if (type === 'reply') commands.reply(message);
      const apply = { hello: ledger.hello, call: ledger.change }[type];
      const changes = apply ? apply(message) : [];
      if (!changes) return new Failure('gap', 'Messages are missing.');
      if (user) client.user = user;
      if (user) emit('user', user);
      for (const change of changes) emit('call', change);
      return null;
    }

    function turn(state) {
      const sameRung = state.rung && state.rung === client.state.rung;
      client.state = state;
      if (state.name === 'live') commands.sendAll();
      if (state.name === 'refused') commands.failAll('refused', state.message);
      if (!sameRung) emit('state', state);
    }

    /** A listener that throws must not harm the others or the client: its error goes to the page's own handler. */
    function emit(name, value) {
      if (client.state.name === 'stopped') return; // perhaps by a listener, a moment ago
      for (const listener of [...listeners[name]]) {
        try {
          listener(value);
        } catch (err) {
          root.queueMicrotask(() => { throw err; });
        }
      }
    }

    function command(action, fields) {
      const { name, message } = client.state;
      if (name === 'stopped') return Promise.reject(new Failure('stopped', 'The client is not started.'));
      if (name === 'refused') return Promise.reject(new Failure('refused', message));
      return commands.add(action, fields);
    }

    Object.assign(client, {
      calls: ledger.calls,
      user: null,
      command,
      call: (to) => command('call', { to }),
      hangup: (call) => command('hangup', { call }),
      claim: (call, what, { done } = {}) => command('claim', { call, what, done }),
      start: connection.start,
      stop() {
        connection.stop();
        ledger.stop();
        commands.failAll('stopped', 'The client was stopped.');
      },
      on(name, fn) {
        if (!listeners[name]) throw new TypeError(`Ringcast.Client has no event '${name}'.`);
        const listener = (value) => fn(value);
        listeners[name].add(listener);
        return () => listeners[name].delete(listener);
      },
    });
  }

  return { Client };
});
