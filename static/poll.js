/*
 * Ringcast: the script-poll client. It does what client.js does on pages where that can do nothing: in browsers that
 * have ES5 and no more, and under a Content-Security-Policy that lets a page load scripts and connect to nothing.
 * Such a page needs script-src with the gateway (and an origin that the gateway's config allows), no connect-src.
 * Loads as AMD module, as the page global `RingcastPoll` and in Node.
 *
 *   var client = new RingcastPoll.Client({
 *     url: 'https://gateway.example.com',
 *     ticket: function (done) { askMyServer(function (err, ticket) { done(err, ticket); }); },
 *   });
 *   client.on('call', function (change) { ... });   // {event, call, previous, live}: each change of each call, once and in order
 *   client.on('state', function (state) { ... });   // {name, rung, retryAt, code, message}
 *   client.on('user', function (user) { ... });     // {id, name, extensions}; on returns a function that takes the listener off
 *   client.on('presence', function (users) { ... }); // of colleagues, with the option presence: true
 *   client.start();
 *   client.call('+380991234567', function (err, reply) { if (err) alert(err.code); });
 *
 * The ticket comes from the page's own server, which gets it with POST /v1/tickets and its user's token: a single-use
 * string of 30 s, or {ticket: '...'}. From then on each answer brings the next one. `ticket` is called again when the
 * chain broke: after a sleep, and when the token behind it has expired. done(err) with err.fatal is a refusal, any
 * other error is tried again. A page that its server writes a ticket into can give the string; when that is used up
 * the client refuses with the code token.
 *
 * client.state, .user, .calls (an object by id; ended ones for 60 s more) and .presence are what is known now.
 * A ticket of another user begins anew: the calls end, commands that wait fail, and what follows is his.
 * States: connecting, live (rung script), retrying (at retryAt, ms; null: now), refused (until start()), stopped.
 * Codes while retrying: network, gap, draining, too_many, token, token_expired, ticket_used, bad_token, and any other that
 *   the gateway answers with; refused: revoked, origin, bad_token (of a ticket by the page), token (it has no other), or
 *   that of the ticket function's fatal error.
 * command(action, fields, callback), call(to, callback), transfer(call, to, {attended}, callback), claim(call, what, {done},
 *   callback), and of (call, callback) answer, hangup, hold, unhold, mute, unmute, complete, cancel, park: they call back with
 *   (err, reply); err.code is the gateway's (pbx_offline, taken, ...), timeout (10 s), stopped, refused or user.
 * shown(call) says that the call's card is visible on this screen. stop() leaves nothing behind.
 * Options beside url and ticket: presence, nonce (of a policy that wants one on scripts), and for tests window, document,
 *   setTimeout, clearTimeout, now, random.
 */
(function (root, make) {
  if (typeof define === 'function' && define.amd) define([], function () { return make(root); });
  else if (typeof module === 'object' && module.exports) module.exports = make(root);
  else root.RingcastPoll = make(root);
})(typeof self === 'object' ? self : this, function (root) {
  'use strict';

  var SECOND = 1000;
  var MINUTE = 60 * SECOND;
  var LONGEST = 20; // s: the gateway's limit of a poll's wait
  var SHORTEST = 2; // s
  var PATIENCE = 4; // s: what an answer may take beside the wait

  function failure(code, message) {
    var err = new Error(message);
    err.code = code;
    return err;
  }

  function values(object) {
    return Object.keys(object).map(function (key) { return object[key]; });
  }

  function randomId(env) {
    var id = '';
    while (id.length < 20) id += Math.floor(env.random() * 36).toString(36);
    return id;
  }

  /** Timers are set under a key, one for each, so that their owner can be sure to leave none behind. */
  function makeTimers(env) {
    var running = {};

    function clear(key) {
      var was = key in running;
      if (was) env.clearTimeout(running[key]);
      delete running[key];
      return was;
    }

    function set(key, ms, fn) {
      clear(key);
      running[key] = env.setTimeout(function () {
        delete running[key];
        fn();
      }, ms);
    }

    return { set: set, clear: clear, clearAll: function () { Object.keys(running).forEach(clear); } };
  }

  /** Asks the gateway by a script element, one question at a time: a new one gives the last one up, whose answer is not
   * heard any more. done(answer, ms it took); without an answer in time, or with something else than one, null. */
  function makeLoader(env) {
    var space = env.window.__ringcast = env.window.__ringcast || {};
    var prefix = 'r' + randomId(env).slice(0, 7); // a name begins with a letter
    var count = 0;
    var drop = function () {};

    function load(query, ms, done) {
      var name = prefix + (count++).toString(36);
      var script = env.document.createElement('script');
      var began = env.now();
      var timer;
      drop();
      drop = function () {
        drop = function () {};
        env.clearTimeout(timer);
        script.onload = script.onerror = null;
        if (script.parentNode) script.parentNode.removeChild(script);
        delete space[name]; // the gateway's answers look whether it is there
      };

      function end(answer) {
        drop();
        done(answer, env.now() - began);
      }

      query.callback = '__ringcast.' + name;
      space[name] = end;
      script.onload = script.onerror = function () { end(null); }; // loaded: the callback has run, or will not
      script.async = true;
      script.charset = 'utf-8';
      script.referrerPolicy = 'origin'; // the gateway wants to know who loads it, whatever the page's own policy
      if (env.nonce) script.setAttribute('nonce', env.nonce);
      script.src = env.base + '/v1/poll.js?' + Object.keys(query).map(function (key) {
        return key + '=' + encodeURIComponent(query[key]);
      }).join('&');
      timer = env.setTimeout(function () { end(null); }, ms);
      (env.document.head || env.document.documentElement).appendChild(script);
    }

    return { load: load, drop: function () { drop(); } };
  }

  /** The ledger is what the client knows of the calls, and the proof that it missed nothing. What it takes in, it
   * answers with the changes {event, call, previous, live} that this made. It keeps the rules of client.js. */
  function makeLedger(env) {
    var timers = makeTimers(env); // of the ended calls
    var calls = {};
    var doubtful = {}; // by id: whose version does not count: ends only concluded, calls of another log
    var cursor; // of the last message applied
    var gaps = 0; // found at this cursor

    function isNews(call) {
      var known = calls[call.id];
      return !known || call.version > known.version || doubtful[call.id] === true;
    }

    function forget(id) {
      timers.clear(id);
      delete calls[id];
      delete doubtful[id];
    }

    function put(event, call, live) {
      var previous = calls[call.id] || null;
      calls[call.id] = call;
      delete doubtful[call.id];
      timers.clear(call.id);
      if (call.state === 'ended') timers.set(call.id, MINUTE, function () { forget(call.id); });
      return { event: event, call: call, previous: previous, live: live };
    }

    function running() {
      return values(calls).filter(function (call) { return call.state !== 'ended'; });
    }

    function concluded(call) {
      var end = {};
      Object.keys(call).forEach(function (key) { end[key] = call[key]; });
      end.state = 'ended';
      end.outcome = null;
      end.ended_at = new Date(env.now()).toISOString();
      var change = put('call.hangup', end, false);
      doubtful[end.id] = true;
      return change;
    }

    /** A resume changes nothing: what was missed follows as messages. */
    function hello(message) {
      if (message.resumed) return [];
      var current = message.calls || [];
      var ids = {};
      current.forEach(function (call) { ids[call.id] = true; });
      cursor = message.cursor;
      gaps = 0;
      if (message.reason !== 'new' && message.reason !== 'evicted') { // another log
        Object.keys(calls).forEach(function (id) { doubtful[id] = true; });
      }
      var ghosts = running().filter(function (call) { return !ids[call.id]; });
      var news = current.filter(isNews);
      return ghosts.map(concluded).concat(news.map(function (call) { return put('snapshot', call, false); }));
    }

    /** Returns null when messages before it are missing. That mends by asking again, or if it recurs, by a snapshot. */
    function change(message) {
      var news = isNews(message.call);
      if (message.prev !== cursor) {
        if (!news) return []; // it came twice
        if (++gaps >= 3) cursor = undefined;
        return null;
      }
      cursor = message.cursor;
      gaps = 0;
      return news ? [put(message.event, message.call, true)] : [];
    }

    /** Forgets everything; calls that live end. */
    function reset() {
      var changes = running().map(concluded);
      Object.keys(calls).forEach(forget);
      cursor = undefined;
      gaps = 0;
      return changes;
    }

    /** Forgets the ended calls now, so that no timer is left. */
    function stop() {
      values(calls).forEach(function (call) { if (call.state === 'ended') forget(call.id); });
    }

    return { calls: calls, hello: hello, change: change, reset: reset, stop: stop, cursor: function () { return cursor; } };
  }

  /** Commands that wait for their replies, oldest first. One rides on a poll at a time, and again until its reply is
   * there: the gateway carries out an id once. What has no id gets no reply, and is done when its poll was answered. */
  function makeCommands(env) {
    var timers = makeTimers(env);
    var waiting = []; // {frame, callback}

    function take(frame) {
      for (var i = 0; i < waiting.length; i++) {
        if (waiting[i].frame === frame || (frame.id && waiting[i].frame.id === frame.id)) return waiting.splice(i, 1)[0];
      }
      return null;
    }

    function reply(message) {
      var command = message.id && take(message);
      var error = message.error || {};
      if (!command) return;
      timers.clear(message.id);
      if (message.ok) command.callback(null, message);
      else command.callback(failure(error.code || 'internal', error.message || ''));
    }

    function fail(id, code, message) {
      reply({ id: id, error: { code: code, message: message } });
    }

    function add(action, fields, callback) {
      var frame = { id: randomId(env), action: action };
      Object.keys(fields || {}).forEach(function (key) { if (fields[key] !== undefined) frame[key] = fields[key]; });
      waiting.push({ frame: frame, callback: callback });
      timers.set(frame.id, 10 * SECOND, function () { fail(frame.id, 'timeout', 'No answer from the gateway in time.'); });
    }

    return {
      add: add,
      reply: reply,
      note: function (frame) { waiting.push({ frame: frame }); },
      first: function () { return waiting.length ? waiting[0].frame : null; },
      answered: function (frame) { if (frame && !frame.id) take(frame); },
      failAll: function (code, message) {
        waiting.splice(0).forEach(function (command) {
          timers.clear(command.frame.id);
          if (command.frame.id) command.callback(failure(code, message));
        });
      },
    };
  }

  /** A line asks the gateway again and again, each time with the ticket that the last answer brought. A ticket whose
   * answer was lost is repeated: the gateway answers the same and goes on with the same successor.
   * on.message(message) returns why the line has to ask anew, if it has; on.state(state). on.known(message): whether it
   * says that the ticket is of the user whose calls these are. */
  function makeLine(env, identity, commands, on) {
    var timers = makeTimers(env); // try, pause, ticket
    var loader = makeLoader(env);
    var given = env.ticket; // the page's function, or its only ticket
    var state = { name: 'stopped' };
    var ticket = null;
    var first; // the ticket is the page's own: no answer has followed it yet
    var fetched = -MINUTE; // when the page was asked for it
    var asked = null; // {wait, command, cursor, again, first} of the question that is out
    var longest = LONGEST; // s: how long an answer may take here; some networks cut what takes long
    var proved = false; // the last question was answered
    var failures = 0; // since then
    var paced = false; // whether the coming try is at a time that the gateway asked for

    function start() {
      if (state.name !== 'stopped' && state.name !== 'refused') return;
      longest = LONGEST;
      failures = 0;
      follow('addEventListener');
      show('connecting');
      ask();
    }

    function halt(name, why) {
      timers.clearAll();
      loader.drop();
      asked = null;
      proved = false;
      follow('removeEventListener');
      show(name, why);
    }

    function ask() {
      timers.clear('try');
      timers.clear('pause');
      paced = false;
      if (stopped()) return undefined; // by a listener
      if (!ticket) return fetchTicket();
      // A ticket by the page may be another user's. Asked without a cursor, the gateway says hello to whom it is.
      var command = first ? null : commands.first();
      var query = identity();
      if (first) delete query.cursor;
      // A page counts as loading as long as a script does: no question may wait for news before it has loaded.
      var loaded = env.document.readyState === 'complete';
      asked = {
        wait: proved && loaded && !command ? longest : 0, command: command, cursor: query.cursor, again: proved, first: first,
      };
      query.ticket = ticket;
      query.wait = asked.wait;
      if (command) query.command = JSON.stringify(command);
      return loader.load(query, (asked.wait + PATIENCE) * SECOND, heard);
    }

    /** Asks again instead of waiting for news. A question that does not wait is heard first, unless now is true. */
    function hurry(now) {
      if (asked ? now || asked.wait > 0 : timers.clear('pause')) ask();
    }

    function heard(answer, took) {
      var question = asked;
      var fair = answer && !answer.error && typeof answer.ticket === 'string' && Array.isArray(answer.messages);
      asked = null;
      if (answer && answer.error) return refusal(answer.error, question);
      if (!fair) return lost(question, took);
      ticket = answer.ticket;
      first = false;
      proved = true;
      commands.answered(question.command);
      if (question.wait && took > 0.9 * question.wait * SECOND) longest = Math.min(LONGEST, longest + 1);
      var messages = question.first && answer.messages.some(on.known) ? [] : answer.messages; // goes on from its cursor
      for (var i = 0; i < messages.length; i++) {
        var why = on.message(messages[i]);
        if (stopped()) return undefined; // by a listener
        if (why) return again(why);
      }
      failures = 0;
      if (state.name !== 'live') show('live');
      // Something on the way may answer at once, again and again: keep that from becoming a storm.
      var idle = took < SECOND && identity().cursor === question.cursor && commands.first() === question.command;
      return idle && question.again ? timers.set('pause', SECOND, ask) : ask();
    }

    function stopped() {
      return state.name === 'stopped' || state.name === 'refused';
    }

    /** No answer, or none of the gateway's. The first is asked for again at once: one connection broke, as they do. */
    function lost(question, took) {
      proved = false;
      if (question.wait && took > SECOND) longest = Math.max(SHORTEST, Math.min(question.wait, took / SECOND) / 2);
      if (failures++ === 0) return ask();
      return again(failure('network', "The gateway cannot be reached, or refuses this page's origin."));
    }

    function refusal(error, question) {
      var why = failure(error.code, error.message || error.code);
      var broken = ['bad_token', 'token_expired', 'ticket_used'].indexOf(error.code) >= 0; // the chain
      why.retry_in = error.retry_in;
      proved = false;
      if (error.code === 'revoked' || error.code === 'origin' || (error.code === 'bad_token' && first)) return refuse(why);
      if (broken) ticket = null;
      else commands.answered(question.command);
      return broken && env.now() - fetched > 5 * SECOND ? ask() : again(why);
    }

    function refuse(why) {
      halt('refused', why);
    }

    /** Asks again after a delay: what the gateway wants, or else backoff with full jitter. */
    function again(why) {
      proved = false;
      paced = Boolean(why.retry_in);
      var window = why.retry_in || [0, Math.min(20 * SECOND, 0.5 * SECOND * Math.pow(2, failures++))];
      var wait = window[0] + env.random() * (window[1] - window[0]);
      timers.set('try', wait, function () {
        show('retrying', why);
        ask();
      });
      show('retrying', why, env.now() + wait);
    }

    function fetchTicket() {
      var over = false; // this question to the page

      function done(err, answer) {
        if (over || stopped()) return;
        over = true;
        timers.clear('ticket');
        ticket = answer && (answer.ticket || answer);
        first = true;
        if (ticket && typeof ticket === 'string' && !err) return ask();
        ticket = null;
        var why = failure((err && err.fatal && err.code) || 'token', (err && err.message) || 'The page gave no ticket.');
        return err && err.fatal ? refuse(why) : again(why);
      }

      fetched = env.now();
      timers.set('ticket', 30 * SECOND, function () { done(failure('token', 'The page gave no ticket within 30 s.')); });
      var source = given;
      if (typeof source === 'string') {
        given = null;
        done(null, source);
      } else if (!source) {
        done({ fatal: true, code: 'token', message: 'The ticket that the page had is used up: load it again.' });
      } else {
        try {
          source(done);
        } catch (err) {
          done(err);
        }
      }
    }

    /** Somebody looks at the page, it comes out of the cache, or its network changed: do not trust what is out. */
    function wake(event) {
      if (event.type === 'visibilitychange' && env.document.visibilityState === 'hidden') return;
      if (event.type === 'online') longest = LONGEST;
      if (paced) return;
      proved = false;
      if (timers.clear('try')) ask();
      else hurry(true);
    }

    function follow(how) {
      if (!env.window[how]) return;
      env.window[how]('online', wake);
      env.window[how]('pageshow', wake);
      env.document[how]('visibilitychange', wake);
    }

    function show(name, why, retryAt) {
      var text = why || {};
      state = {
        name: name, rung: name === 'live' ? 'script' : null, retryAt: retryAt || null,
        code: text.code || null, message: text.message || '',
      };
      on.state(state);
    }

    function stop() {
      if (state.name !== 'stopped') halt('stopped');
    }

    return { start: start, stop: stop, hurry: hurry };
  }

  /** What the page deals with; the head of this file is its manual. */
  function Client(options) {
    if (!options || !options.url || !options.ticket) throw new TypeError('RingcastPoll.Client needs a url and a ticket.');
    var client = this;
    var env = {
      window: root,
      document: root.document,
      setTimeout: function (fn, ms) { return root.setTimeout(fn, ms); },
      clearTimeout: function (id) { root.clearTimeout(id); },
      now: Date.now,
      random: Math.random,
    };
    Object.keys(options).forEach(function (key) { env[key] = options[key]; });
    env.base = options.url.replace(/^ws/, 'http').replace(/\/+$/, '');
    var id = randomId(env);
    var version = ''; // of the presence
    var listeners = { call: [], state: [], user: [], presence: [] };
    var ledger = makeLedger(env);
    var commands = makeCommands(env);
    var line = makeLine(env, identity, commands, { message: take, state: turn, known: isKnown });

    function identity() {
      var query = { client: id, visible: env.document.visibilityState === 'hidden' ? 0 : 1 };
      if (ledger.cursor() !== undefined) query.cursor = ledger.cursor();
      if (env.presence) query.presence = version;
      return query;
    }

    /** Whether it greets the user whose calls these are. */
    function isKnown(message) {
      return ledger.cursor() !== undefined && Boolean(client.user && message.user) && message.user.id === client.user.id;
    }

    /** Another user's life begins: nothing of the last one's is left, nor done under his name. */
    function forget() {
      var changes = ledger.reset();
      version = '';
      client.user = client.presence = null;
      commands.failAll('user', 'The page belongs to another user now.');
      changes.forEach(function (change) { emit('call', change); });
    }

    /** Takes what an answer brought; returns an error when the line has to ask anew. */
    function take(message) {
      if (message.user && client.user && message.user.id !== client.user.id) forget();
      var apply = { hello: ledger.hello, call: ledger.change }[message.type];
      var changes = apply ? apply(message) : [];
      if (message.type === 'bye') {
        var why = failure(message.code || 'draining', 'The gateway asked to come again later.');
        why.retry_in = message.retry_in;
        return why;
      }
      if (message.type === 'reply') commands.reply(message);
      if (!changes) return failure('gap', 'Messages are missing.');
      if (message.type === 'presence') {
        version = message.version || '';
        client.presence = message.users;
        emit('presence', message.users);
      }
      if (message.user) {
        client.user = message.user;
        emit('user', message.user);
      }
      changes.forEach(function (change) { emit('call', change); });
      return null;
    }

    function turn(state) {
      client.state = state;
      if (state.name === 'stopped') ledger.stop();
      if (state.name === 'stopped') commands.failAll('stopped', 'The client was stopped.');
      if (state.name === 'refused') commands.failAll('refused', state.message);
      emit('state', state);
    }

    /** A listener that throws must not harm the others or the client: its error goes to the page's own handler. */
    function guarded(fn, a, b) {
      try {
        fn(a, b);
      } catch (err) {
        env.setTimeout(function () { throw err; }, 0);
      }
    }

    /** Nothing is told that a listener has made untrue a moment ago, by stop() or start(). */
    function emit(name, value) {
      listeners[name].slice().forEach(function (listener) {
        if (name === 'state' ? value === client.state : client.state.name !== 'stopped') guarded(listener, value);
      });
    }

    function command(action, fields, callback) {
      var state = client.state;
      var done = function (err, reply) { if (callback) guarded(callback, err, reply); };
      if (state.name === 'stopped') return done(failure('stopped', 'The client is not started.'));
      if (state.name === 'refused') return done(failure('refused', state.message));
      commands.add(action, fields, done);
      return line.hurry();
    }

    client.state = { name: 'stopped', rung: null, retryAt: null, code: null, message: '' };
    client.calls = ledger.calls;
    client.user = null;
    client.presence = null;
    client.command = command;
    client.call = function (to, callback) { command('call', { to: to }, callback); };
    ['answer', 'hangup', 'hold', 'unhold', 'mute', 'unmute', 'complete', 'cancel', 'park'].forEach(function (action) {
      client[action] = function (call, callback) { command(action, { call: call }, callback); };
    });
    client.transfer = function (call, to, how, callback) {
      if (typeof how === 'function') callback = how;
      command('transfer', { call: call, to: to, attended: how && how.attended }, callback);
    };
    client.claim = function (call, what, how, callback) {
      if (typeof how === 'function') callback = how;
      command('claim', { call: call, what: what, done: how && how.done }, callback);
    };
    client.shown = function (call) {
      if (client.state.name === 'stopped' || client.state.name === 'refused') return;
      commands.note({ action: 'shown', call: call });
      line.hurry();
    };
    client.start = line.start;
    client.stop = line.stop;
    client.on = function (name, fn) {
      if (!listeners[name]) throw new TypeError("RingcastPoll.Client has no event '" + name + "'.");
      var listener = function (value) { fn(value); };
      listeners[name].push(listener);
      return function () { listeners[name] = listeners[name].filter(function (other) { return other !== listener; }); };
    };
  }

  return { Client: Client };
});
