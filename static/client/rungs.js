// Rungs. Each has a name, what it needs of env, the patience (ms) its first answer may take, the head start (ms) it has
// before the next rung is tried beside it, and open(env, on), which returns a link {send(frame), renew() after the token
// changed, close()} and reports on.receive(messages), on.end(failure), and on.stale() when a new line is wanted in time.
// The first messages are the proof that the rung works here. What a closed link still reports is ignored.
// env.identity() says who asks, env.opening() also from which cursor and what else a line begins with; env.sure, that
// WebSockets are known to work on this network.

const socketRung = {
  name: 'ws',
  needs: ['WebSocket'],
  patience: 10 * SECOND,
  headStart: 2 * SECOND,

  /** A proxy may let the upgrade and the greeting through and nothing after them, so a WebSocket that is not known to
   * work here has proved itself only after one more question was answered. */
  open(env, on) {
    const socket = new env.WebSocket(env.base.replace(/^http/, 'ws') + '/v1/ws', ['ringcast.v1']);
    const proof = env.sure() ? null : randomId(env);
    let held = proof && []; // what came until then
    const send = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
    const greet = (who) => send({ type: 'hello', ...who });
    let heard = false;
    const receive = (message) => {
      const { type, id } = message || {};
      heard = true;
      if (type === 'hello' && held && !held.length) send({ action: 'renew', id: proof, token: env.identity().token });
      if (!held || !message || type === 'bye') return on.receive([message]);
      if (type !== 'reply' || id !== proof) return held.push(message);
      const messages = held;
      held = null;
      return on.receive(messages);
    };
    socket.onopen = () => greet(env.opening());
    socket.onmessage = ({ data }) => receive(parse(data));
    // 4502 before anything else: the gateway did not hear us in time. A proxy may have kept the greeting to itself.
    socket.onclose = ({ code }) => on.end(code === 4502 && !heard ? fault('The gateway heard no greeting.', 'no_hello') : closeFailure(code));
    return { send, renew: () => greet(env.identity()), close: () => socket.close(1000) };
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

/** A bye says in words what a close code says. */
function byeFailure({ code = 'draining', retry_in: delay }) {
  const stay = Object.keys(CLOSE_CODES).some((number) => number >= 4500 && CLOSE_CODES[number] === code);
  return new Failure(code, stay ? 'The gateway sent this page away.' : 'The gateway asked to come again.', { stay, delay });
}

/** What the two rungs over HTTP have in common: post(path, body) a request, send(frame) a command, close(). */
function makePoster(env, on) {
  const control = new AbortController();

  const post = async (path, body) => {
    const headers = { 'Content-Type': 'text/plain;charset=UTF-8' }; // so that no preflight is needed
    const request = { method: 'POST', headers, body: JSON.stringify(body), credentials: 'omit' };
    const { fetch } = env; // a browser's fetch is nobody's method
    const response = await fetch(env.base + path, { ...request, signal: control.signal });
    const answer = parse(await response.text());
    if (response.ok && answer) return answer;
    throw httpFailure(response, answer || {}, env.now());
  };

  const act = (frame) => {
    const { token, client } = env.identity();
    return post('/v1/actions', { ...frame, token, client });
  };

  const send = async (frame) => {
    try {
      on.receive([{ ...(await act(frame)), type: 'reply' }]);
    } catch (err) {
      const { code, message } = err;
      if (err.ofRequest) on.receive([{ type: 'reply', id: frame.id, ok: false, error: { code, message } }]);
      else on.end(err);
    }
  };

  return { post, act, send, closed: () => control.signal.aborted, close: () => control.abort() };
}

const streamRung = {
  name: 'sse',
  needs: ['EventSource', 'fetch'],
  patience: 5 * SECOND,
  headStart: 0.4 * SECOND,

  /** The stream gets its ticket by POST, which proves the way up; its hello, if no proxy keeps it back, proves the way
   * down. EventSource would come again by itself, with a used ticket: an error ends the link. */
  open(env, on) {
    const { setTimeout, clearTimeout } = env;
    const poster = makePoster(env, on);
    let source = null;
    let late;

    const close = () => {
      clearTimeout(late);
      poster.close();
      if (source) source.close();
    };

    const stream = async () => {
      const { token, client } = env.identity();
      const { ticket } = await poster.post('/v1/tickets', { token, client });
      if (poster.closed()) return;
      const { cursor, presence, visible } = env.opening();
      const query = new URLSearchParams({ ticket, client, visible: visible ? 1 : 0 });
      if (cursor !== undefined) query.set('cursor', cursor);
      if (presence) query.set('presence', 1);
      source = new env.EventSource(`${env.base}/v1/sse?${query}`);
      late = setTimeout(() => on.end(fault('A proxy keeps the stream back.', 'no_hello')), 2.5 * SECOND);
      source.onmessage = ({ data }) => {
        clearTimeout(late);
        on.receive([parse(data)]);
      };
      source.onerror = () => on.end(fault('The stream from the gateway broke.'));
    };

    /** If this node does not hold the stream, or cannot be asked now, a new one takes over before this one ends. */
    const renew = async () => {
      try {
        const { ok } = await poster.act({ action: 'renew', id: randomId(env) });
        if (!ok) on.stale();
      } catch (err) {
        if (!poster.closed()) on.stale();
      }
    };

    stream().catch(on.end);
    return { send: poster.send, renew, close };
  },
};

const pollRung = {
  name: 'poll',
  needs: ['fetch'],
  patience: 10 * SECOND,
  headStart: 0,

  open(env, on) {
    const { setTimeout, clearTimeout } = env;
    const poster = makePoster(env, on);
    let version = ''; // of the presence that came last
    let longest = 25; // s: how long an answer may take on this network
    let pause;

    const poll = async (wait) => {
      const { presence, ...opening } = env.opening();
      const began = env.now();
      const took = () => (env.now() - began) / SECOND;
      const body = { ...opening, ...(presence && { presence: version }), wait };
      const { messages } = await poster.post('/v1/poll', body).catch((err) => {
        // One connection broke: ask again at once, and for less if the network cuts what takes long.
        if (poster.closed() || !wait || !isFault(err)) throw err;
        if (took() >= 1) longest = Math.max(2, Math.min(wait, took()) / 2);
        return poster.post('/v1/poll', { ...body, wait: 0 });
      });
      if (wait && took() > 0.9 * wait) longest = Math.min(25, longest + 1);
      const news = Array.isArray(messages) ? messages.filter((m) => m && m.type === 'presence') : [];
      for (const message of news) version = message.version || '';
      on.receive(messages);
      if (poster.closed()) return;
      // Something between us and the gateway may answer at once, again and again: keep that from becoming a storm.
      const idle = wait > 0 && !news.length && env.cursor() === opening.cursor && env.now() - began < SECOND;
      pause = setTimeout(() => poll(longest).catch(on.end), idle ? SECOND : 0);
    };

    const close = () => {
      clearTimeout(pause);
      poster.close();
    };

    poll(0).catch(on.end); // the first answer is the proof that this rung works: it is not to wait for news
    return { send: poster.send, renew() {}, close };
  },
};

/** Whether the network is to blame, and not the gateway that answered. */
const isFault = (err) => !(err instanceof Failure) || Boolean(err.fault);

function httpFailure({ status, headers }, { code, detail, title }, now) {
  if (!code) return stranger();
  const after = headers.get('Retry-After');
  const wait = Number(after) * SECOND || Date.parse(after) - now;
  return new Failure(code, detail || title || code, {
    fault: status === 404, // a gateway that does not know this rung
    stay: code === 'bad_token' || status === 403,
    ofRequest: ![401, 403, 503].includes(status), // the others are of the whole line
    delay: wait > 0 ? [wait, wait * 1.5] : undefined,
  });
}

/** The better ones first. */
const RUNGS = [socketRung, streamRung, pollRung];
