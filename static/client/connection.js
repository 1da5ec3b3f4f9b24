// The line to the gateway: which rung, when to come again, and whether it still lives.

const TICK = 5 * SECOND;
const PROBE = 3 * SECOND; // a line in doubt has this long to be heard, or a new one beside it

/** A connection keeps a line to the gateway up. `line` is the one in use; `trials` are those that are on their way: a
 * round of them begins with one rung and goes down the list while none has proved itself, each beside the others. The
 * first to be answered becomes the line, and a better one that is answered later takes its place. The first connection,
 * the return after a loss, the climb to a better rung and the check of a line in doubt are all such rounds, so a change
 * of the line loses nothing.
 * env.ready() is waited for before each round: a token, and this tab's turn. on.message(message) returns a Failure if the
 * line must go; on.state(state) also tells of each new line. */
function makeConnection(env, tokens, on) {
  const { now, random } = env;
  const timers = makeTimers(env); // patience of each trial, beside, try (a retry or climb), watch
  const key = `ringcast.rung:${env.base}`; // of the storage: a rung that worked lately
  const rungs = RUNGS.filter(({ needs }) => needs.every((name) => typeof env[name] === 'function'));
  const last = rungs.length - 1;
  const trials = new Set(); // on trial; like the line {index of its rung, link, cursor, visible, since, heard, doubted, stale}
  const kept = new Set(); // the rungs whose answers something on this network keeps back, or cuts between two pings
  let state;
  let line = null;
  let round = null; // {next and last rung to try}
  let at = 0; // the rung that the next round begins with
  let ping = 25 * SECOND;
  let paced = false; // whether the coming retry is at a time asked for
  let failures = 0; // for the backoff
  let misses = 0; // rounds whose WebSocket failed at once, since the last good line
  let cuts = 0; // lines in a row that broke young
  let hushed = 0; // streams in a row that broke young while there was nothing to say
  let climbs = 0; // rounds to get back up
  let sure = false; // a WebSocket has worked on this network
  let worked = false; // the first rung, in this page: then no other is remembered for the next page

  function start() {
    if (!['stopped', 'refused'].includes(state.name)) return;
    if (last < 0) return refuse(new Failure('unsupported', 'This browser has neither WebSocket nor fetch.'));
    const [name, until] = (stored((storage) => storage.getItem(key)) || '').split(' ');
    at = until > now() ? Math.max(0, rungs.findIndex((rung) => rung.name === name)) : 0;
    failures = misses = cuts = hushed = climbs = 0;
    kept.clear();
    watch();
    race(at);
    show('connecting');
  }

  function down() {
    timers.clearAll();
    dropTrials();
    if (line) line.link.close();
    line = null;
  }

  function halt(name, why) {
    down();
    show(name, why);
  }

  function refuse(why) {
    tokens.expires = 0;
    halt('refused', why);
  }

  /** Begins a round of trials, from one rung to another. */
  async function race(first, end = last) {
    if (round) return;
    const mine = { next: first, end };
    round = mine;
    try {
      await env.ready();
      if (round === mine) open();
    } catch (err) {
      if (round === mine) over(err);
    }
  }

  /** Whether the round has a rung left to try. */
  function more() {
    while (kept.has(round.next)) round.next++;
    return round.next <= round.end;
  }

  /** Opens a line on the next rung of the round, and after its head start one on the rung below. */
  function open() {
    if (!more()) return;
    const index = round.next++;
    const trial = { index, doubted: -1 };
    const end = (why) => fail(trial, why);
    const { patience, headStart, open: connect } = rungs[index];
    const opening = () => {
      const who = env.opening();
      trial.cursor = who.cursor;
      trial.visible = who.visible;
      return who;
    };
    const reports = {
      receive: (messages) => receive(trial, messages),
      end,
      stale: () => {
        trial.stale = true;
        refresh();
      },
    };
    trials.add(trial);
    timers.set(trial, line ? Math.min(PROBE, patience) : patience, () => end(fault('The gateway did not answer in time.', 'no_hello')));
    if (index < round.end) timers.set('beside', headStart, open);
    try {
      trial.link = connect({ ...env, opening, sure: () => sure }, reports);
    } catch (err) {
      end(err);
    }
  }

  function drop(trial) {
    trials.delete(trial);
    timers.clear(trial);
    if (trial.link) trial.link.close();
  }

  function dropTrials() {
    round = null;
    timers.clear('beside');
    trials.forEach(drop);
  }

  function receive(from, messages) {
    if (!Array.isArray(messages) || !messages.every(Boolean)) return fail(from, stranger());
    const [first = {}] = messages;
    const proved = trials.has(from);
    if (proved && first.type === 'bye') return fail(from, byeFailure(first));
    if (proved && first.type === 'hello' && isBehind(from, first)) return reopen(from);
    if (proved) promote(from);
    from.heard = now();
    for (const message of messages) {
      if (from !== line) return undefined; // closed, or a listener has stopped the client
      if (message.ping) ping = message.ping * SECOND;
      const failure = message.type === 'bye' ? byeFailure(message) : on.message(message);
      if (failure) fail(from, failure);
    }
    if (proved && from === line) show('live');
    return undefined;
  }

  /** Whether a trial begins with what it found, and another line has gone on from there since it asked. */
  function isBehind(trial, { resumed }) {
    return !resumed && trial.cursor !== env.cursor();
  }

  function reopen(trial) {
    const { index } = trial;
    drop(trial);
    round = { next: index, end: index };
    open();
  }

  function promote(trial) {
    timers.clear('beside');
    timers.clear(trial);
    trials.delete(trial);
    for (const other of trials) if (other.index >= trial.index) drop(other);
    if (line) line.link.close();
    line = trial;
    line.since = now();
    round = trials.size ? { next: rungs.length, end: last } : null;
    at = line.index;
    misses = 0;
    kept.delete(at);
    if (at === 0) sure = worked = true;
    const memo = `${rungs[at].name} ${now() + 30 * MINUTE}`;
    stored((storage) => (worked ? storage.removeItem(key) : storage.setItem(key, memo)));
    if (!round) climbLater();
  }

  function climbLater() {
    if (line.index === 0) return;
    const most = Math.min(4 * MINUTE, 20 * SECOND * 2 ** climbs++);
    timers.set('try', most * (0.5 + random() / 2), () => race(0, line.index - 1));
  }

  /** Has a line that will end replaced in time, after the round that is running. */
  function refresh() {
    if (!line || !line.stale || round) return;
    line.stale = false;
    race(line.index, line.index);
  }

  /** A line is no good, on trial or in use. */
  function fail(bad, err) {
    const why = err instanceof Failure ? err : fault("The gateway cannot be reached, or refuses this page's origin.");
    const tried = trials.has(bad);
    if (!tried && bad !== line) return undefined;
    drop(bad);
    if (why.code === 'token_expired') tokens.expires = 0;
    if (tried) return failed(bad, why);
    const lived = now() - line.since;
    line = null;
    timers.clear('try');
    if (lived > 10 * SECOND) failures = 0;
    else if (lived > SECOND) failures = Math.min(failures, 3); // it works now and then: do not stay away for long
    const quiet = why.fault && lived <= ping + 5 * SECOND && now() - bad.heard > 3 * SECOND;
    hushed = quiet ? hushed + 1 : 0;
    if (hushed >= 2 && bad.index > 0 && bad.index < last) kept.add(bad.index);
    if (lived > ping + 5 * SECOND) cuts = climbs = 0;
    else if (why.fault && ++cuts >= 5) at = Math.min(bad.index + 1, last);
    if (!round || why.stay) return again(why);
    round.end = last; // those on their way may be the line now, and those below them too
    return why.code === 'superseded' ? undefined : show('retrying', why); // by one of them, whose hello is on its way
  }

  /** A trial failed. What is wrong with the rung sends the round to the next, anything else ends it. */
  function failed({ index }, why) {
    if (line && index > 0 && index < line.index && why.code === 'no_hello') kept.add(index);
    // One that has worked here gets a second try: a gateway that starts anew is not to be asked thrice as much.
    const again = worked && index === 0 && !line && !trials.size && why.code !== 'no_hello' && misses++ === 0;
    if (!why.fault || again) return over(why);
    if ((timers.clear('beside') || !trials.size) && more()) return open();
    return trials.size ? undefined : over(why);
  }

  /** The round ended without a new line. */
  function over(why) {
    dropTrials();
    if (line && line.heard <= line.doubted) return fail(line, why);
    if (line) {
      climbLater();
      return refresh();
    }
    if (why.fault) at = 0;
    return again(why);
  }

  /** Comes again after a delay (ms): what why.delay asks for, or else backoff with full jitter. */
  function again(why) {
    if (why.stay) return refuse(why);
    paced = Boolean(why.delay);
    const [least, most] = why.delay || [0, Math.min(20 * SECOND, 0.5 * SECOND * 2 ** failures++)];
    const wait = least + random() * (most - least);
    timers.set('try', wait, () => {
      race(at);
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
      if (line && now() >= tokens.due) tokens.renew().catch(() => {}); // a failure has set the next time
      if (late) wake();
      else if (silent) fail(line, new Failure('silent', 'The gateway has not been heard for too long.'));
    });
  }

  /** Somebody looks at the page, it runs again, or its network changed: be connected soon. A line in doubt gets a new
   * one beside it; if that fails, and the old one was not heard meanwhile, it is dead. */
  function wake(changed = false) {
    if (['stopped', 'refused'].includes(state.name)) return;
    const slept = !timers.clear('watch');
    watch();
    if (changed) {
      climbs = 0;
      sure = false;
      kept.clear();
    }
    if (line) {
      const silence = now() - line.heard;
      if (!changed && silence >= 0 && silence <= ping + 2 * SECOND) return;
      if (round && line.doubted >= line.heard) return; // being looked into
      line.doubted = now();
      dropTrials();
      race(line.index, line.index);
    } else if (slept || (!round && !paced)) {
      again({ ...state, delay: [0, slept ? 0 : 0.5 * SECOND] });
    }
  }

  /** Ends the line, since the page sleeps: an open one would not survive that, or would keep the page awake. */
  function sleep() {
    halt('retrying', { code: 'asleep', message: 'The page sleeps.' });
  }

  /** Begins anew, unless it sleeps: another tab has the line now, or another user the page. */
  function anew(why) {
    if (!timers.has('watch')) return;
    down();
    watch();
    race(at);
    show('retrying', why);
  }

  /** Tells the gateway whether somebody looks, if it was told otherwise on this line. */
  function look(visible) {
    if (!line || line.visible === visible) return;
    line.visible = visible;
    send({ action: 'visible', visible });
  }

  function show(name, why = {}, retryAt = null) {
    const rung = name === 'live' ? rungs[line.index].name : null;
    state = { name, rung, retryAt, code: why.code || null, message: why.message || '' };
    on.state(state);
  }

  const stored = (fn) => tryTo(() => fn(env.storage()));
  const renewed = () => line && line.link.renew();
  const send = (frame) => line && line.link.send(frame);
  show('stopped');
  return { start, stop: () => halt('stopped'), refuse, renewed, send, look, wake, sleep, anew };
}
