// What is known of the calls, and what was asked for and not answered yet.

/** The ledger is what the client knows of the calls, and the proof that it missed nothing. What it takes in, it answers
 * with the changes {event, call, previous, live} that this made. */
function makeLedger(env) {
  const timers = makeTimers(env); // of the ended calls
  const calls = new Map();
  const doubtful = new WeakSet(); // those whose version does not count: ends only concluded, calls of another log
  let cursor; // of the last message applied
  let recent = []; // the messages applied last, each the successor of the one before it: what a late tab may ask for
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

  const running = () => [...calls.values()].filter((call) => call.state !== 'ended');

  /** Ends calls that nobody saw the end of. */
  function conclude(ghosts) {
    const end = { state: 'ended', outcome: null, ended_at: new Date(env.now()).toISOString() };
    const changes = ghosts.map((call) => put('call.hangup', { ...call, ...end }));
    for (const { call } of changes) doubtful.add(call);
    return changes;
  }

  /** A resume changes nothing: what was missed follows as messages. */
  function hello(message) {
    if (message.resumed) return [];
    ({ cursor } = message);
    recent = [];
    gaps = 0;
    if (!['new', 'evicted'].includes(message.reason)) calls.forEach((call) => doubtful.add(call)); // another log
    const current = message.calls || [];
    const ids = new Set(current.map((call) => call.id));
    const changes = conclude(running().filter((call) => !ids.has(call.id)));
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
    recent.push(message);
    if (recent.length > 256) recent.splice(0, 64);
    gaps = 0;
    return news ? [put(message.event, message.call, true)] : [];
  }

  /** The messages that bring another tab of the same user from its cursor to this one's: what it missed, or a snapshot. */
  function since(from) {
    const at = recent.findIndex((message) => message.prev === from);
    if (from !== undefined && at >= 0) return recent.slice(at);
    const resumed = from !== undefined && from === cursor;
    const reason = from === undefined ? 'new' : 'tabs';
    return resumed ? [] : [{ type: 'hello', cursor, resumed, reason, calls: running() }];
  }

  /** Forgets everything; calls that live end. */
  function reset() {
    const changes = conclude(running());
    cursor = undefined;
    recent = [];
    gaps = 0;
    calls.clear();
    timers.clearAll();
    return changes;
  }

  /** Forgets the ended calls now, so that no timer is left. */
  function stop() {
    for (const [id, { state }] of calls) if (state === 'ended') calls.delete(id);
    timers.clearAll();
  }

  return { calls, hello, change, since, reset, stop, cursor: () => cursor };
}

/** Commands that wait for their replies. `send` is called with a frame whenever there may be a line to carry it; sent
 * again it keeps its id, and the gateway carries out an id once. */
function makeCommands(env, send) {
  const timers = makeTimers(env);
  const waiting = new Map(); // id -> {frame, resolve, reject}

  /** Tells whether it was the reply to one of these. */
  function reply(message) {
    const { id, ok, error = {} } = message;
    const command = waiting.get(id);
    if (!command) return false;
    waiting.delete(id);
    timers.clear(id);
    if (ok) command.resolve(message);
    else command.reject(new Failure(error.code || 'internal', error.message || ''));
    return true;
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
