// Fakes for the tests of client.js: a clock that moves only when told, and a gateway in process that speaks the wire.
//
// To script a case, from most to least common:
//   gateway.append('call.dial', call)   something happens: it goes into the log and to every line; of another user with his
//                                       id as third argument. A token is of its sub, an opaque one of gateway.owner (Anna)
//   gateway.ws / gateway.http           how the next connections fare (see FakeSocket.begin and FakeGateway.fetch)
//   gateway.lines                       the open sockets: cut(code), freeze() for a half-open line, push(message)
//   gateway.newEpoch(calls)             the log is lost; these calls live in the new one
//   gateway.execute = (frame) => reply  how commands are answered; null: not at all
//   gateway.sse                         how the next streams fare (see FakeStream); gateway.streams are the open ones
//   gateway.users, gateway.present(u)   who is here, and a change of it
// Everything a client sent is in gateway.hellos, gateway.polls, gateway.opened (streams), gateway.commands, gateway.notes
// (frames without a reply) and gateway.urls. Several tabs of one browser are in client.browser.mjs.
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

export const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The whole of client.js, put together as package static does it. */
export const source = read('client.js').replace(/^ *\/\/= (\S+)\n/gm, (line, part) => read(part) + '\n');

function load() {
  const module = { exports: {} };
  vm.compileFunction(source, ['module'], { filename: 'client.js' })(module);
  return module.exports;
}

export const Ringcast = load();

const ANNA = '88888';
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;

const immediate = () => new Promise((resolve) => setImmediate(resolve));

export class FakeClock {
  constructor() {
    this.time = Date.parse('2026-11-21T10:00:00Z');
    this.timers = new Map();
    this.ids = 0;
    this.busy = 0; // what is on its way between tabs
    this.now = () => this.time;
    this.setTimeout = (fn, ms) => {
      this.timers.set(++this.ids, { at: this.time + Math.max(0, ms), fn, id: this.ids });
      return this.ids;
    };
    this.clearTimeout = (id) => this.timers.delete(id);
  }

  /** Runs fn soon, as a task of its own. */
  soon(fn) {
    this.busy++;
    setImmediate(() => {
      this.busy--;
      fn();
    });
  }

  /** Lets what is on its way arrive. */
  async settle() {
    let rounds = 0;
    do {
      await immediate();
      if (++rounds > 2000) throw new Error('It goes round in circles.');
    } while (this.busy > 0);
    await immediate();
  }

  /** Lets ms pass, running what is due on the way. */
  async advance(ms = 0) {
    const until = this.time + ms;
    for (;;) {
      await this.settle();
      const due = [...this.timers.values()].filter((t) => t.at <= until).sort((a, b) => a.at - b.at || a.id - b.id)[0];
      if (!due) break;
      this.timers.delete(due.id);
      this.time = Math.max(this.time, due.at);
      due.fn();
    }
    this.time = Math.max(this.time, until);
    await this.settle();
  }

  /** The computer sleeps: time passes and nothing runs. */
  sleep(ms) {
    this.time += ms;
  }
}

/** A repeatable source of numbers in [0, 1). */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class FakePage extends EventTarget {
  visibilityState = 'visible';
  listeners = 0;

  addEventListener(...args) {
    this.listeners++;
    super.addEventListener(...args);
  }

  removeEventListener(...args) {
    this.listeners--;
    super.removeEventListener(...args);
  }

  fire(type) {
    this.dispatchEvent(new Event(type));
  }
}

export function fakeStorage() {
  const items = new Map();
  return {
    items,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
  };
}

/** An unsigned JWT: the client reads only its times. */
export function jwt(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part(claims)}.x`;
}

export function call(id, version, state, more) {
  return { id, version, state, direction: 'inbound', phone: '+79991112233', outcome: null, ended_at: null, ...more };
}

export class FakeGateway {
  constructor(clock) {
    this.clock = clock;
    this.ws = 'ok'; // or: stripped, hang, mute, a close code, or bye
    this.http = 'ok'; // or: down, or {status, problem, headers}
    this.sse = 'ok'; // or: buffered, refused, or the code of a bye
    this.streams = [];
    this.opened = [];
    this.tickets = new Map(); // ticket -> token, until it is used
    this.notes = [];
    this.users = [];
    this.renews = true; // whether this node holds the streams whose tokens are renewed
    this.epoch = 1;
    this.owner = ANNA;
    this.logs = new Map(); // user -> {log, live}
    this.lines = [];
    this.waiting = new Set(); // long polls
    this.hellos = [];
    this.polls = [];
    this.commands = [];
    this.urls = [];
    this.issued = 0;
    this.refuses = () => null; // token -> problem code
    this.execute = (frame) => ({ id: frame.id, ok: true, call: 'office:1' });
    const gateway = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url, protocols) {
        super(gateway, url, protocols);
      }
    };
    this.EventSource = class extends FakeStream {
      constructor(url) {
        super(gateway, url);
      }
    };
    this.fetch = (url, request) => this.answer(url, request);
  }

  of(user) {
    if (!this.logs.has(user)) this.logs.set(user, { log: [], live: new Map() });
    return this.logs.get(user);
  }

  get log() {
    return this.of(ANNA).log;
  }

  cursor(index = this.log.length) {
    return `${this.epoch}-${index}`;
  }

  /** Whose a token is. */
  userOf(token) {
    const [, claims] = String(token).split('.');
    return claims ? JSON.parse(Buffer.from(claims, 'base64url')).sub || ANNA : this.owner;
  }

  append(event, changed, user = ANNA) {
    const { log, live } = this.of(user);
    const message = { type: 'call', cursor: this.cursor(log.length + 1), prev: this.cursor(log.length), event, call: changed };
    log.push(message);
    if (changed.state === 'ended') live.delete(changed.id);
    else live.set(changed.id, changed);
    for (const line of [...this.lines, ...this.streams]) if (line.greeted && line.user === user) line.push(message);
    for (const wake of [...this.waiting]) if (wake.user === user) wake();
    return message;
  }

  newEpoch(calls = []) {
    this.epoch++;
    this.logs.clear();
    this.of(ANNA).live = new Map(calls.map((c) => [c.id, c]));
  }

  /** The messages a client with this cursor gets first; a resumed hello only where the rung has one. */
  since(cursor, withHello, user = ANNA) {
    const { log, live } = this.of(user);
    const [epoch, index] = String(cursor).split('-').map(Number);
    const name = user === ANNA ? 'Anna' : 'Boris';
    const hello = { type: 'hello', user: { id: user, name, extensions: ['101'] }, ping: 25 };
    if (cursor !== undefined && epoch === this.epoch) {
      const missed = log.slice(index);
      return withHello ? [{ ...hello, cursor, resumed: true, calls: [] }, ...missed] : missed;
    }
    const reason = cursor === undefined ? 'new' : 'epoch';
    return [{ ...hello, cursor: this.cursor(log.length), resumed: false, reason, calls: [...live.values()] }];
  }

  present(...users) {
    for (const user of users) this.users = [...this.users.filter((u) => u.user !== user.user), user];
    for (const line of [...this.lines, ...this.streams]) if (line.presence) line.push({ type: 'presence', users });
    for (const wake of [...this.waiting]) wake();
  }

  take({ token, client, ...frame }) {
    if (frame.action === 'shown' || frame.action === 'visible') this.notes.push(frame);
    if (frame.id === undefined) return null;
    if (frame.action === 'renew') return { type: 'reply', id: frame.id, ok: true };
    this.commands.push(token ? { ...frame, user: this.userOf(token) } : frame);
    const reply = this.execute(frame);
    return reply && { type: 'reply', ...reply };
  }

  async answer(url, { method, headers, body, signal }) {
    this.urls.push(url);
    if (method !== 'POST' || !headers['Content-Type'].startsWith('text/plain')) throw new Error('would need a preflight');
    if (this.http === 'down') throw new TypeError('Failed to fetch');
    if (this.http === 'hang') return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    if (this.http !== 'ok') return respond(this.http.status, this.http.problem, this.http.headers);
    const request = JSON.parse(body);
    const problem = this.refuses(request.token);
    if (problem) return respond(problem === 'revoked' ? 403 : 401, { code: problem, title: problem });
    if (url.endsWith('/v1/tickets')) {
      const ticket = `ticket-${++this.issued}`;
      this.tickets.set(ticket, request.token);
      return respond(200, { ticket });
    }
    if (url.endsWith('/v1/actions')) {
      const { action, client } = request;
      const user = this.userOf(request.token);
      const renews = this.renews && this.streams.some((stream) => stream.client === client && stream.user === user);
      if (action === 'renew' && !renews) return respond(200, { id: request.id, ok: false, error: { code: 'not_found' } });
      const reply = request.id === undefined ? this.take(request) || { id: '', ok: true } : this.take(request);
      if (!reply) throw new TypeError('Failed to fetch');
      return respond(200, reply);
    }
    this.polls.push(request);
    let messages = this.sinceFor(request);
    if (!messages.length) {
      await this.wait(request.wait * 1000, signal, this.userOf(request.token));
      messages = this.sinceFor(request);
    }
    const { cursor = request.cursor } = messages.filter((message) => message.cursor).at(-1) || {};
    return respond(200, { cursor, messages });
  }

  sinceFor({ token, cursor, presence }) {
    const version = JSON.stringify(this.users);
    const here = presence === undefined || presence === version ? [] : [{ type: 'presence', full: true, version, users: this.users }];
    return [...this.since(cursor, false, this.userOf(token)), ...here];
  }

  wait(ms, signal, user) {
    return new Promise((resolve, reject) => {
      const done = (fn) => () => {
        this.clock.clearTimeout(timer);
        this.waiting.delete(wake);
        fn();
      };
      const wake = done(resolve);
      const timer = this.clock.setTimeout(wake, ms);
      wake.user = user;
      this.waiting.add(wake);
      signal.addEventListener('abort', done(() => reject(signal.reason)));
    });
  }
}

function respond(status, body, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers });
}

class FakeSocket {
  constructor(gateway, url, protocols) {
    gateway.urls.push(url);
    if (protocols[0] !== 'ringcast.v1') throw new Error('no subprotocol');
    this.gateway = gateway;
    this.readyState = 0;
    this.greeted = false;
    this.frozen = false;
    this.received = [];
    gateway.lines.push(this);
    queueMicrotask(() => this.begin(gateway.ws));
  }

  begin(fate) {
    if (this.readyState !== 0 || fate === 'hang') return;
    if (fate === 'stripped') return this.cut(1006);
    this.mute = fate === 'mute';
    this.readyState = 1;
    this.onopen?.();
    if (fate === 'bye') this.push({ type: 'bye', code: 'draining', retry_in: [5000, 9000] });
    else if (typeof fate === 'number') this.cut(fate);
  }

  send(text) {
    const frame = JSON.parse(text);
    this.received.push(frame);
    if (this.frozen || this.mute) return;
    if (frame.type === 'hello') return this.greet(frame);
    if (frame.token && this.gateway.userOf(frame.token) !== this.user) return this.cut(4500);
    const reply = this.gateway.take(frame);
    if (reply) this.push(reply);
  }

  greet(frame) {
    this.gateway.hellos.push(frame);
    const problem = this.gateway.refuses(frame.token);
    if (problem) return this.cut({ token_expired: 4003, bad_token: 4500, revoked: 4501 }[problem]);
    const user = this.gateway.userOf(frame.token);
    if (this.greeted) return user === this.user ? undefined : this.cut(4500);
    Object.assign(this, { greeted: true, user, client: frame.client, presence: frame.presence });
    for (const message of this.gateway.since(frame.cursor, true, user)) this.push(message);
    if (frame.presence) this.push({ type: 'presence', full: true, users: this.gateway.users });
  }

  push(message) {
    if (!this.frozen && this.readyState === 1) this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** The line goes half-open: what is sent arrives nowhere, and nobody hears of it. */
  freeze() {
    this.frozen = true;
  }

  cut(code = 1006) {
    if (this.readyState === 3) return;
    this.leave();
    this.onclose?.({ code });
  }

  close() {
    this.leave();
  }

  leave() {
    this.readyState = 3;
    this.gateway.lines = this.gateway.lines.filter((line) => line !== this);
  }
}

class FakeStream {
  constructor(gateway, url) {
    gateway.urls.push(url.replace(/\?.*/, ''));
    this.gateway = gateway;
    this.query = new URL(url).searchParams;
    this.closed = this.greeted = false;
    gateway.streams.push(this);
    gateway.opened.push(Object.fromEntries(this.query));
    queueMicrotask(() => this.begin(gateway.sse));
  }

  begin(fate) {
    const { gateway, query } = this;
    const token = gateway.tickets.get(query.get('ticket'));
    gateway.tickets.delete(query.get('ticket'));
    if (this.closed || fate === 'buffered') return;
    if (fate === 'refused' || token === undefined) return this.cut();
    this.client = query.get('client');
    this.user = gateway.userOf(token);
    this.greeted = fate === 'ok';
    this.presence = query.get('presence') === '1';
    if (!this.greeted) return this.push({ type: 'bye', code: fate });
    for (const message of gateway.since(query.get('cursor') ?? undefined, true, this.user)) this.push(message);
    if (this.presence) this.push({ type: 'presence', full: true, users: gateway.users });
  }

  push(message) {
    if (!this.closed) this.onmessage?.({ data: JSON.stringify(message) });
  }

  cut() {
    if (this.closed) return;
    this.close();
    this.onerror?.({});
  }

  close() {
    this.closed = true;
    this.gateway.streams = this.gateway.streams.filter((stream) => stream !== this);
  }
}

/** A client on a fake gateway, and what it reported. `log` holds the calls as 'event id version state'. With
 * options.streams it has EventSource. */
export function setup(options = {}) {
  const clock = options.clock || new FakeClock();
  const gateway = options.gateway || new FakeGateway(clock);
  const page = new FakePage();
  const storage = options.storage || fakeStorage();
  const seen = { clock, gateway, page, storage, asked: [], calls: [], log: [], states: [], users: [], presence: [] };
  seen.client = new Ringcast.Client({
    url: 'https://gateway.example.com/',
    token: async ({ renew }) => {
      seen.asked.push(renew);
      return `token-${seen.asked.length}`;
    },
    WebSocket: gateway.WebSocket,
    EventSource: options.streams ? gateway.EventSource : null,
    fetch: gateway.fetch,
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    now: clock.now,
    random: seeded(options.seed || 7),
    storage,
    page,
    share: false,
    ...options.client,
  });
  seen.client.on('call', (change) => {
    seen.calls.push(change);
    seen.log.push(`${change.event} ${change.call.id} ${change.call.version} ${change.call.state}`);
  });
  seen.client.on('state', (state) => seen.states.push(state));
  seen.client.on('user', (user) => seen.users.push(user));
  seen.client.on('presence', (users) => seen.presence.push(users));
  return seen;
}

export async function started(options) {
  const seen = setup(options);
  seen.client.start();
  await seen.clock.advance();
  return seen;
}

export const rungOf = ({ client }) => `${client.state.name} ${client.state.rung}`;
