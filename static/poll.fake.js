/*
 * Fakes for the tests of poll.js, in ES5 because they run in an engine that has no more: a clock that moves only when
 * told, a document whose script elements load from a gateway in this file, and that gateway.
 *
 * To script a case, from most to least common:
 *   fake.append('call.dial', call)  something happens: it goes into the log and to the waiting poll
 *   fake.fates = ['cut', 'lost']    how the next requests fare, one each; see FATES
 *   fake.newEpoch(calls)            the log is lost; these calls live in the new one
 *   fake.execute = function (frame) { return reply; }   how commands are answered
 *   fake.user = '99999'             whose tickets the page gives from now on; each user has a log: fake.append(event, call, user)
 *   fake.advance(ms)                time passes, and what is due on the way happens
 * What the client did is in fake.requests (parsed queries, with .at), fake.done (commands carried out), fake.log (what it
 * reported, as 'event id version state'), fake.states and fake.given (the first tickets that the page gave).
 */

var SECOND = 1000;
var MINUTE = 60 * SECOND;
var LATENCY = 10;

var FATES = {
  ok: 'answered',
  cut: 'never reaches the gateway; the script fails to load',
  lost: 'reaches it, and the answer is lost; the script fails to load',
  silent: 'reaches it, and neither the script nor its failure comes',
  html: 'something answers with a page instead of the script',
};

function equal(got, want, what) {
  var a = JSON.stringify(got);
  var b = JSON.stringify(want);
  if (a !== b) throw new Error((what || 'got') + ': ' + a + ', want ' + b);
}

function ok(value, what) {
  if (!value) throw new Error(what || 'not so');
}

var USERS = {
  88888: { id: '88888', name: 'Anna', extensions: ['101'] },
  99999: { id: '99999', name: 'Boris', extensions: ['102'] },
};

function call(id, version, state, more) {
  var made = { id: id, version: version, state: state, direction: 'inbound', phone: '+79991112233', outcome: null, ended_at: null };
  Object.keys(more || {}).forEach(function (key) { made[key] = more[key]; });
  return made;
}

/** A repeatable source of numbers in [0, 1). */
function seeded(seed) {
  var state = seed;
  return function () {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  };
}

function makeClock() {
  var clock = { time: Date.parse('2026-11-21T10:00:00.000Z'), timers: [], ids: 0 };
  clock.now = function () { return clock.time; };
  clock.setTimeout = function (fn, ms) {
    clock.timers.push({ at: clock.time + Math.max(0, Math.ceil(ms)), fn: fn, id: ++clock.ids });
    return clock.ids;
  };
  clock.clearTimeout = function (id) {
    clock.timers = clock.timers.filter(function (timer) { return timer.id !== id; });
  };
  clock.advance = function (ms) {
    var until = clock.time + (ms || 0);
    for (;;) {
      var due = clock.timers.filter(function (timer) { return timer.at <= until; })
        .sort(function (a, b) { return a.at - b.at || a.id - b.id; })[0];
      if (!due) break;
      clock.clearTimeout(due.id);
      clock.time = Math.max(clock.time, due.at);
      due.fn();
    }
    clock.time = until;
  };
  return clock;
}

/** A document as far as poll.js needs one, and the window's events. */
function makeDocument(request) {
  var listeners = {};
  var doc = {
    visibilityState: 'visible',
    readyState: 'complete',
    createElement: function (tag) {
      return { tag: tag, attributes: {}, setAttribute: function (name, value) { this.attributes[name] = value; } };
    },
    addEventListener: function (type, fn) { listeners[type] = fn; },
    removeEventListener: function (type) { delete listeners[type]; },
    fire: function (type) { if (listeners[type]) listeners[type]({ type: type }); },
    listeners: listeners,
  };
  doc.head = {
    children: [],
    appendChild: function (script) {
      script.parentNode = doc.head;
      doc.head.children.push(script);
      request(script);
    },
    removeChild: function (script) {
      script.parentNode = null;
      doc.head.children = doc.head.children.filter(function (other) { return other !== script; });
    },
  };
  return doc;
}

function parseQuery(url) {
  var query = {};
  url.split('?')[1].split('&').forEach(function (pair) {
    var cut = pair.indexOf('=');
    query[pair.slice(0, cut)] = decodeURIComponent(pair.slice(cut + 1));
  });
  return query;
}

/** The gateway: its log, its tickets (a chain for each that the page was given) and its waiting poll. */
function makeGateway(clock, fake) {
  var epoch = 1;
  var logs = { 88888: [], 99999: [] };
  var live = { 88888: {}, 99999: {} };
  var used = {}; // chain -> highest number that came
  var replies = {}; // by command id
  var waiting = null; // function that answers the poll that waits

  function cursor(index) {
    return epoch + '-' + index;
  }

  function since(from, user) {
    if (from !== undefined && from.split('-')[0] === String(epoch)) return logs[user].slice(Number(from.split('-')[1]));
    return [{
      type: 'hello', cursor: cursor(logs[user].length), resumed: false, reason: from === undefined ? 'new' : 'epoch', ping: 25,
      user: USERS[user], calls: Object.keys(live[user]).map(function (id) { return live[user][id]; }),
    }];
  }

  function ticketOf(chain, number) {
    return [chain, number, clock.now() + 30 * SECOND].join('.');
  }

  function check(ticket) {
    var parts = ticket.split('.');
    if (parts.length !== 3) return 'bad_token';
    if (clock.now() > Number(parts[2])) return 'token_expired';
    if (used[parts[0]] > Number(parts[1])) return 'ticket_used';
    return null;
  }

  /** Answers a query through reply(object). */
  function serve(query, reply) {
    var problem = fake.refuses(query) || check(query.ticket);
    if (problem) return reply({ error: problem.code ? problem : { code: problem, message: problem } });
    var chain = query.ticket.split('.')[0];
    var number = Number(query.ticket.split('.')[1]);
    var user = fake.owners[chain] || '88888';
    used[chain] = number;
    if (waiting) waiting([]); // superseded
    var timer;
    var before = Object.keys(replies).length;
    var messages = since(query.cursor, user);
    var command = query.command && JSON.parse(query.command);
    if (command) {
      if (!command.id) fake.done.push(command);
      else if (!replies[command.id]) {
        replies[command.id] = fake.execute(command, user);
        fake.done.push(command);
      }
      messages = messages.concat([replies[command.id] || { type: 'reply', id: '', ok: true }]);
    }
    ok(Object.keys(replies).length - before <= 1, 'more than one command carried out');

    function answer(all) {
      clock.clearTimeout(timer);
      waiting = null;
      var last = all.filter(function (message) { return message.cursor; }).pop();
      reply({ cursor: last ? last.cursor : query.cursor, messages: all, ticket: ticketOf(chain, number + 1) });
    }

    if (messages.length || query.wait === '0') return answer(messages);
    timer = clock.setTimeout(function () { answer([]); }, Number(query.wait) * SECOND);
    waiting = function (all) { answer(all || since(query.cursor, user)); };
    waiting.user = user;
    return undefined;
  }

  return {
    serve: serve,
    append: function (event, changed, user) {
      var log = logs[user || '88888'];
      var lives = live[user || '88888'];
      var message = { type: 'call', cursor: cursor(log.length + 1), prev: cursor(log.length), event: event, call: changed };
      log.push(message);
      if (changed.state === 'ended') delete lives[changed.id];
      else lives[changed.id] = changed;
      if (waiting && waiting.user === (user || '88888')) waiting();
      return message;
    },
    tell: function (messages) { if (waiting) waiting(messages); },
    newEpoch: function (calls) {
      epoch++;
      logs = { 88888: [], 99999: [] };
      live = { 88888: {}, 99999: {} };
      (calls || []).forEach(function (each) { live['88888'][each.id] = each; });
    },
  };
}

/** A client on a fake gateway in a fake page. options are added to the client's. */
function makeFake(options) {
  var clock = makeClock();
  var fake = { clock: clock, advance: clock.advance, fates: [], requests: [], done: [], given: [], log: [], states: [], users: [] };
  var gateway = makeGateway(clock, fake);
  fake.append = gateway.append;
  fake.newEpoch = gateway.newEpoch;
  fake.tell = gateway.tell;
  fake.refuses = function () { return null; };
  fake.user = '88888';
  fake.owners = {}; // chain -> user
  fake.execute = function (frame) { return { type: 'reply', id: frame.id, ok: true, call: 'office:1' }; };
  fake.ticket = function (done) {
    fake.given.push([fake.given.length + 1, 1, clock.now() + 30 * SECOND].join('.'));
    fake.owners[fake.given.length] = fake.user;
    done(null, fake.given[fake.given.length - 1]);
  };

  fake.document = makeDocument(function (script) {
    var query = parseQuery(script.src);
    var fate = fake.fates.shift() || 'ok';
    if (!FATES[fate]) throw new Error('no fate ' + fate);
    query.at = clock.now();
    query.script = script;
    fake.requests.push(query);
    if (!/^__ringcast\.[a-z][a-z0-9]{0,15}$/.test(query.callback)) throw new Error('callback ' + query.callback);
    var soon = function (fn) { clock.setTimeout(fn, LATENCY); };
    var fails = function () { if (script.onerror) script.onerror(); };
    var loads = function (text) {
      return function () {
        (0, eval)(text); // in the page, as a browser runs a script
        if (script.onload) script.onload();
      };
    };
    if (fate === 'cut') return soon(fails);
    if (fate === 'html') return soon(loads('0'));
    return soon(function () {
      gateway.serve(query, function (answer) {
        if (fate === 'lost') soon(fails);
        if (fate !== 'ok') return;
        var name = query.callback;
        soon(loads('/**/typeof ' + name + "==='function'&&" + name + '(' + JSON.stringify(answer) + ');'));
      });
    });
  });

  var page = (function () { return this; })(); // the global object: callbacks are looked for there
  page.addEventListener = fake.document.addEventListener;
  page.removeEventListener = fake.document.removeEventListener;
  var given = {
    url: 'https://gateway.example.com/', window: page, document: fake.document,
    setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, now: clock.now, random: seeded(20261122),
    ticket: function (done) { fake.ticket(done); },
  };
  Object.keys(options || {}).forEach(function (key) { given[key] = options[key]; });
  fake.client = new RingcastPoll.Client(given);
  fake.client.on('call', function (change) {
    fake.log.push([change.event, change.call.id, change.call.version, change.call.state].join(' '));
  });
  fake.client.on('state', function (state) {
    fake.states.push(state.name + (state.rung ? ' ' + state.rung : '') + (state.code ? ' ' + state.code : ''));
  });
  fake.client.on('user', function (user) { fake.users.push(user.name); });
  fake.last = function () { return fake.requests[fake.requests.length - 1]; };
  fake.callbacks = function () { return Object.keys(page.__ringcast); };
  return fake;
}

/** A client that is live and waits for news. */
function started(options) {
  var fake = makeFake(options);
  fake.client.start();
  fake.advance(5 * LATENCY);
  equal(fake.client.state.name, 'live', 'state');
  equal(fake.last().wait, '20', 'wait of the poll that waits');
  return fake;
}
