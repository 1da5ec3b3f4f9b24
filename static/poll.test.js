/* The tests of poll.js on the fakes in poll.fake.js. poll_test.go runs each in an engine of its own. */

var tests = {};

tests['the first answer is a hello at once, the next question waits with the next ticket'] = function () {
  var fake = makeFake();
  fake.client.start();
  fake.advance(2 * LATENCY);
  equal(fake.states, ['connecting', 'live script']);
  equal(fake.users, ['Anna']);
  equal(fake.requests.map(function (q) { return q.wait; }), ['0', '20']);
  equal([fake.requests[0].cursor, fake.requests[1].cursor], [undefined, '1-0']);
  equal(fake.requests[0].ticket, fake.given[0]);
  equal(fake.requests[1].ticket.slice(0, 4), '1.2.');
  ok(/^[0-9a-z]{8,64}$/.test(fake.requests[0].client), 'client ' + fake.requests[0].client);
  equal(fake.client.state, { name: 'live', rung: 'script', retryAt: null, code: null, message: '' });
};

tests['a call is told change by change, and each poll acknowledges the last'] = function () {
  var fake = started();
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.advance(5 * LATENCY);
  fake.append('call.bridge', call('a', 2, 'talking'));
  fake.append('call.hangup', call('a', 3, 'ended', { outcome: 'answered' }));
  fake.advance(5 * LATENCY);
  equal(fake.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking', 'call.hangup a 3 ended']);
  equal(fake.last().cursor, '1-3');
  equal(fake.client.calls.a.outcome, 'answered');
  fake.advance(MINUTE);
  equal(fake.client.calls, {});
};

tests['a quiet line asks every 20 s and stays live, with one ticket of the page and nothing left in it'] = function () {
  var fake = started();
  fake.advance(10 * MINUTE);
  equal(fake.given.length, 1);
  equal(fake.states, ['connecting', 'live script']);
  ok(fake.requests.length >= 30 && fake.requests.length <= 33, 'asked ' + fake.requests.length + ' times');
  equal(fake.document.head.children.length, 1, 'script elements');
  equal(fake.callbacks().length, 1, 'callbacks');
  fake.append('call.hangup', call('a', 1, 'ended'));
  fake.advance(5 * LATENCY);
  fake.client.stop();
  fake.advance(MINUTE / 2); // the gateway answers still, and nobody listens
  equal([fake.document.head.children.length, fake.callbacks().length, fake.clock.timers.length], [0, 0, 0], 'left behind');
  equal(fake.client.calls, {});
};

tests['the script element tells the page origin and carries the nonce'] = function () {
  var fake = started({ nonce: 'abc' });
  var script = fake.last().script;
  equal([script.tag, script.referrerPolicy, script.async, script.attributes], ['script', 'origin', true, { nonce: 'abc' }]);
  equal(script.src.indexOf('https://gateway.example.com/v1/poll.js?'), 0);
};

tests['a lost answer: the same ticket again, the same successor, nothing lost and nothing twice'] = function () {
  ['cut', 'lost', 'html'].forEach(function (fate) {
    var fake = started();
    fake.append('call.dial', call('a', 1, 'ringing'));
    fake.fates = [fate];
    fake.advance(LATENCY); // the answer with the dial arrives; the next question meets its fate
    var ticket = fake.last().ticket;
    fake.append('call.bridge', call('a', 2, 'talking'));
    fake.advance(5 * LATENCY);
    fake.append('call.hangup', call('a', 3, 'ended'));
    fake.advance(5 * LATENCY);
    equal(fake.requests.filter(function (q) { return q.ticket === ticket; }).length, 2, fate);
    equal(fake.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking', 'call.hangup a 3 ended'], fate);
    equal(fake.states, ['connecting', 'live script'], fate);
    equal(fake.given.length, 1, fate);
    fake.client.stop();
  });
};

tests['no callback within wait + 4 s: the same ticket again, without a wait'] = function () {
  var fake = makeFake();
  fake.fates = ['ok', 'silent'];
  fake.client.start();
  fake.advance(24 * SECOND + 2 * LATENCY - 1);
  equal(fake.requests.length, 2);
  fake.advance(1);
  equal(fake.requests.length, 3);
  equal(fake.requests[2].ticket, fake.requests[1].ticket);
  equal(fake.requests[2].wait, '0');
  fake.advance(5 * LATENCY);
  equal(fake.last().wait, '10', 'what took too long is asked for more briefly');
  equal(fake.document.head.children.length, 1);
};

tests['an answer that comes after it was given up calls nobody'] = function () {
  var fake = started();
  var name = fake.last().callback.split('.')[1];
  var late = __ringcast[name];
  fake.client.call('+380991234567');
  ok(!(name in __ringcast), 'the callback is there still');
  equal(typeof late, 'function');
  fake.advance(5 * LATENCY);
  equal(fake.callbacks().length, 1);
};

tests['the gateway out of reach: backoff with jitter, said so, and back by itself'] = function () {
  var fake = started();
  var count = fake.requests.length;
  for (var i = 0; i < 1000; i++) fake.fates.push('cut');
  fake.advance(10 * MINUTE);
  equal(fake.client.state.name, 'retrying');
  equal(fake.client.state.code, 'network');
  ok(fake.client.state.retryAt > fake.clock.time, 'retryAt');
  var asked = fake.requests.length - count;
  ok(asked > 30 && asked < 120, 'asked ' + asked + ' times in 10 minutes');
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.fates = [];
  fake.advance(21 * SECOND);
  equal(fake.client.state.name, 'live');
  equal(fake.log, ['call.dial a 1 ringing']);
};

tests['a chain whose 30 s are over begins anew with a ticket of the page, and the cursor goes on'] = function () {
  var fake = started();
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.advance(5 * LATENCY);
  fake.clock.time += 5 * MINUTE; // the computer sleeps
  fake.append('call.bridge', call('a', 2, 'talking'));
  fake.advance(MINUTE);
  equal(fake.given.length, 2);
  equal(fake.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
  equal(fake.client.state.name, 'live');
};

['ticket_used', 'token_expired', 'bad_token'].forEach(function (code) {
  tests[code + ' breaks the chain: a first ticket anew, at once and unseen'] = function () {
    var fake = started();
    var broken = fake.last().ticket.split('.')[0];
    fake.advance(MINUTE);
    fake.refuses = function (query) { return query.ticket.split('.')[0] === broken ? code : null; };
    fake.append('call.dial', call('a', 1, 'ringing'));
    fake.advance(10 * LATENCY);
    fake.append('call.bridge', call('a', 2, 'talking'));
    fake.advance(10 * LATENCY);
    equal(fake.given.length, 2);
    equal(fake.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
    equal(fake.states, ['connecting', 'live script']);
  };
});

tests['a first ticket that is bad is a refusal; one that is late or used is not'] = function () {
  var fake = makeFake();
  fake.refuses = function () { return 'bad_token'; };
  fake.client.start();
  fake.advance(MINUTE);
  equal(fake.states, ['connecting', 'refused bad_token']);
  equal(fake.requests.length, 1);
  ['token_expired', 'ticket_used'].forEach(function (code) {
    var other = makeFake();
    other.refuses = function () { return other.given.length < 4 ? code : null; };
    other.client.start();
    other.advance(MINUTE);
    equal(other.client.state.name, 'live', code);
    equal(other.states[1], 'retrying ' + code);
    equal(other.given.length, 4);
  });
};

tests['revoked in the middle: refused until started again, and a waiting command fails'] = function () {
  var fake = started();
  var told = [];
  fake.refuses = function () { return 'revoked'; };
  fake.client.call('1', function (err) { told.push(err.code); });
  fake.advance(MINUTE);
  equal(told, ['refused']);
  equal(fake.states, ['connecting', 'live script', 'refused revoked']);
  var count = fake.requests.length;
  fake.document.fire('visibilitychange');
  fake.advance(10 * MINUTE);
  equal(fake.requests.length, count);
  fake.refuses = function () { return null; };
  fake.client.start();
  fake.advance(MINUTE);
  equal(fake.client.state.name, 'live');
};

tests['bye: comes again when the gateway said, whatever the page does'] = function () {
  var fake = started();
  fake.tell([{ type: 'bye', code: 'draining', retry_in: [5000, 9000] }]);
  fake.advance(2 * LATENCY);
  var count = fake.requests.length;
  equal(fake.client.state.code, 'draining');
  ok(fake.client.state.retryAt - fake.clock.time > 4900 && fake.client.state.retryAt - fake.clock.time < 9000, 'retryAt');
  fake.document.fire('visibilitychange');
  fake.document.fire('online');
  fake.client.call('1');
  fake.advance(4900);
  equal(fake.requests.length, count);
  fake.advance(5000);
  equal(fake.client.state.name, 'live');
  equal(fake.done.length, 1);
};

tests['after a bye it is live again at once, not only with the next news'] = function () {
  var fake = started();
  fake.tell([{ type: 'bye', code: 'draining', retry_in: [1000, 1000] }]);
  fake.advance(SECOND + 10 * LATENCY);
  equal(fake.client.state.name, 'live');
};

tests['draining and too_many say when to come again, too'] = function () {
  ['draining', 'too_many'].forEach(function (code) {
    var fake = started();
    fake.refuses = function () { return { code: code, message: 'later', retry_in: [10000, 12000] }; };
    fake.tell([]);
    fake.advance(SECOND + 5 * LATENCY);
    equal(fake.client.state.code, code);
    fake.refuses = function () { return null; };
    var count = fake.requests.length;
    fake.advance(9 * SECOND);
    equal(fake.requests.length, count, code);
    fake.advance(3 * SECOND);
    equal(fake.client.state.name, 'live', code);
  });
};

tests['a command rides on the ticket of the poll that waits, and its reply comes back'] = function () {
  var fake = started();
  var ticket = fake.last().ticket;
  var told = [];
  fake.client.call('+380991234567', function (err, reply) { told.push([err, reply.call]); });
  fake.advance(5 * LATENCY);
  equal(told, [[null, 'office:1']]);
  equal(fake.done.length, 1);
  equal([fake.done[0].action, fake.done[0].to], ['call', '+380991234567']);
  equal(fake.requests.filter(function (q) { return q.command; }).map(function (q) { return [q.ticket, q.wait]; }), [[ticket, '0']]);
  equal(fake.last().wait, '20');
  fake.append('call.dial', call('office:1', 1, 'ringing'));
  fake.advance(5 * LATENCY);
  equal(fake.log, ['call.dial office:1 1 ringing']);
};

tests['a command whose answer was lost is repeated with its id and done once'] = function () {
  var fake = started();
  var told = [];
  fake.fates = ['lost', 'silent'];
  fake.client.call('1', function (err, reply) { told.push(err || reply.call); });
  fake.advance(8 * SECOND);
  equal(told, ['office:1']);
  equal(fake.done.length, 1);
  equal(fake.requests.filter(function (q) { return q.command; }).length, 3);
};

tests['several commands go one after another, in order'] = function () {
  var fake = started();
  var told = [];
  ['1', '2', '3'].forEach(function (to) {
    fake.client.call(to, function () { told.push(to); });
  });
  fake.client.claim('a', 'notify', { done: true }, function () { told.push('claim'); });
  fake.client.hangup('a', function () { told.push('hangup'); });
  fake.advance(MINUTE);
  equal(told, ['1', '2', '3', 'claim', 'hangup']);
  equal(fake.done[3].done, true);
  equal([fake.done[4].action, fake.done[4].call], ['hangup', 'a']);
};

tests['each command for a call goes out as it is named, and calls back with the reply'] = function () {
  var fake = started();
  var told = [];
  var done = function (err, reply) { told.push(err || reply.ok); };
  var plain = ['answer', 'hangup', 'hold', 'unhold', 'mute', 'unmute', 'complete', 'cancel', 'park'];
  plain.forEach(function (action) { fake.client[action]('a', done); });
  fake.client.transfer('a', '102', { attended: true }, done);
  fake.client.transfer('a', '103', done);
  fake.advance(MINUTE);
  equal(fake.done.slice(0, 9).map(function (frame) { return frame.action + ' ' + frame.call; }),
    plain.map(function (action) { return action + ' a'; }));
  equal(fake.done.slice(9).map(function (frame) { return [frame.action, frame.call, frame.to, frame.attended]; }),
    [['transfer', 'a', '102', true], ['transfer', 'a', '103', undefined]]);
  equal(told.length, 11);
  equal(told.every(function (ok) { return ok === true; }), true);
};

tests['a command does not hurry a question that does not wait'] = function () {
  var fake = makeFake();
  fake.client.start();
  fake.client.call('1');
  equal(fake.requests.length, 1);
  fake.client.call('2');
  fake.client.call('3');
  fake.advance(LATENCY);
  equal(fake.requests.length, 1);
  fake.advance(10 * LATENCY);
  equal(fake.done.length, 3);
  equal(fake.requests.length, 5);
};

tests['a command fails with the code of the gateway, or after 10 s with timeout'] = function () {
  var fake = started();
  var told = [];
  fake.execute = function (frame) {
    return { type: 'reply', id: frame.id, ok: false, error: { code: 'pbx_offline', message: 'down' } };
  };
  fake.client.call('1', function (err) { told.push([err.code, err.message]); });
  fake.advance(SECOND);
  fake.execute = function () { return { type: 'ping' }; };
  fake.client.call('2', function (err) { told.push(err.code); });
  fake.advance(11 * SECOND);
  equal(told, [['pbx_offline', 'down'], 'timeout']);
  ok(fake.requests.length < 20, 'asked ' + fake.requests.length + ' times');
  fake.advance(MINUTE);
  equal(fake.client.state.name, 'live');
};

tests['a command before start or after stop fails, one before the hello waits'] = function () {
  var fake = makeFake();
  var told = [];
  var tell = function (err) { told.push(err && err.code); };
  fake.client.call('1', tell);
  fake.client.start();
  fake.client.call('2', tell);
  fake.advance(SECOND);
  fake.client.call('3', tell);
  fake.client.stop();
  fake.client.call('4', tell);
  fake.advance(MINUTE);
  equal(told, ['stopped', null, 'stopped', 'stopped']);
};

tests['shown is told once and waits for no reply'] = function () {
  var fake = started();
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.client.on('call', function (change) { fake.client.shown(change.call.id); });
  fake.advance(MINUTE);
  equal(fake.done, [{ action: 'shown', call: 'a' }]);
  equal(fake.client.state.name, 'live');
};

tests['shown that the gateway will not have is not told again'] = function () {
  var fake = started();
  fake.refuses = function (query) { return query.command ? 'too_many' : null; };
  fake.client.shown('a');
  fake.advance(MINUTE);
  equal(fake.requests.filter(function (q) { return q.command; }).length, 1);
  equal(fake.client.state.name, 'live');
};

tests['a gap: asks again from its own cursor, and if that does not mend it, for a snapshot'] = function () {
  var fake = started();
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.append('call.bridge', call('a', 2, 'talking')).prev = 'broken';
  fake.advance(20 * SECOND);
  equal(fake.log, ['call.dial a 1 ringing', 'snapshot a 2 talking']);
  equal(fake.client.state.name, 'live');
  ok(fake.states.indexOf('retrying gap') > 0, fake.states.join());
};

tests['what came twice is told once'] = function () {
  var fake = started();
  var dial = fake.append('call.dial', call('a', 1, 'ringing'));
  fake.advance(5 * LATENCY);
  fake.tell([dial]);
  fake.advance(5 * LATENCY);
  equal(fake.log, ['call.dial a 1 ringing']);
  equal(fake.client.state.name, 'live');
};

tests['another log: ghosts end, what lives is told, and versions count anew'] = function () {
  var fake = started();
  fake.append('call.dial', call('gone', 5, 'ringing'));
  fake.append('call.dial', call('here', 5, 'ringing'));
  fake.advance(5 * LATENCY);
  fake.newEpoch([call('here', 1, 'talking')]);
  fake.advance(21 * SECOND);
  equal(fake.log.slice(2), ['call.hangup gone 5 ended', 'snapshot here 1 talking']);
  equal(fake.client.calls.gone.outcome, null);
  ok(fake.client.calls.gone.ended_at, 'ended_at');
};

tests['answers that come at once and bring nothing do not become a storm'] = function () {
  var fake = started();
  for (var i = 0; i < 600; i++) {
    fake.tell([]);
    fake.advance(100);
  }
  ok(fake.requests.length < 65, 'asked ' + fake.requests.length + ' times in a minute');
};

tests['a network that cuts what takes 10 s: asks more briefly, and stays live'] = function () {
  var fake = started();
  var before = fake.requests.length;
  var cutter = fake.clock.setTimeout;
  fake.document.head.appendChild = (function (append) {
    return function (script) {
      append(script);
      cutter(function () { if (script.onerror) script.onerror(); }, 10 * SECOND);
    };
  })(fake.document.head.appendChild);
  fake.client.call('1'); // the next question is the first that is cut
  fake.advance(5 * MINUTE);
  var waits = fake.requests.slice(before).map(function (q) { return Number(q.wait); });
  ok(waits.indexOf(5) > 0 && Math.max.apply(null, waits.slice(5)) <= 11, waits.join());
  equal(fake.states, ['connecting', 'live script']);
  equal(fake.given.length, 1);
};

tests['after one cut it asks for more and more again, after a change of network for all at once'] = function () {
  var fake = started();
  fake.fates = ['silent'];
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.advance(25 * SECOND);
  equal(fake.last().wait, '10');
  fake.advance(5 * MINUTE);
  equal(fake.last().wait, '20');
  fake.fates = ['silent'];
  fake.append('call.bridge', call('a', 2, 'talking'));
  fake.advance(25 * SECOND);
  equal(fake.last().wait, '10');
  fake.document.fire('online');
  fake.advance(5 * LATENCY);
  equal(fake.last().wait, '20');
};

tests['while the page loads nothing waits, so that it can come to an end, and news come all the same'] = function () {
  var fake = makeFake();
  fake.document.readyState = 'interactive';
  fake.client.start();
  fake.advance(10 * SECOND);
  ok(fake.requests.length > 5 && fake.requests.length < 13, 'asked ' + fake.requests.length + ' times');
  ok(fake.requests.every(function (q) { return q.wait === '0'; }));
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.advance(2 * SECOND);
  equal(fake.log, ['call.dial a 1 ringing']);
  fake.document.readyState = 'complete';
  fake.document.fire('pageshow');
  fake.advance(5 * LATENCY);
  equal(fake.last().wait, '20');
};

tests['somebody looks at the page or its network is back: asks at once'] = function () {
  ['visibilitychange', 'online', 'pageshow'].forEach(function (type) {
    var fake = started();
    var count = fake.requests.length;
    fake.document.visibilityState = 'hidden';
    fake.document.fire('visibilitychange');
    equal(fake.requests.length, count);
    fake.advance(25 * SECOND);
    equal(fake.last().visible, '0');
    count = fake.requests.length;
    fake.document.visibilityState = 'visible';
    fake.document.fire(type);
    equal(fake.requests.length, count + 1, type);
    equal(fake.last().visible, '1');
    equal(fake.last().wait, '0');
    fake.client.stop();
    equal(Object.keys(fake.document.listeners), []);
  });
};

tests['a page that has only one ticket: when the chain broke, it is a refusal'] = function () {
  var fake = started({ ticket: '9.1.' + Date.parse('2026-11-21T10:00:30.000Z') });
  fake.advance(MINUTE);
  equal(fake.client.state.name, 'live');
  fake.refuses = function () { return 'token_expired'; };
  fake.advance(MINUTE);
  equal([fake.client.state.name, fake.client.state.code], ['refused', 'token']);
};

tests['a page that gives no ticket: asked again, unless it says that there is none'] = function () {
  var fake = makeFake();
  var asked = 0;
  fake.ticket = function (done) {
    asked++;
    if (asked === 1) throw new Error('broken');
    if (asked === 2) {
      done(new Error('my server is down'));
      return done(new Error('and says so twice'));
    }
    if (asked === 3) return done(null, '');
    if (asked === 5) return done({ fatal: true, code: 'logged_out', message: 'Log in.' });
    return undefined; // for ever
  };
  fake.client.start();
  fake.advance(20 * SECOND);
  equal(asked, 4);
  equal(fake.states.slice(0, 3), ['connecting', 'retrying token', 'retrying token']);
  fake.advance(MINUTE);
  equal([fake.client.state.name, fake.client.state.code], ['refused', 'logged_out']);
  equal(asked, 5);
  equal(fake.requests.length, 0);
};

tests['a page that answers twice is heard once'] = function () {
  var fake = makeFake();
  var give = fake.ticket;
  fake.ticket = function (done) {
    give(done);
    give(done);
  };
  fake.client.start();
  equal(fake.requests.length, 1);
  fake.advance(MINUTE);
  equal(fake.given.length, 2);
  equal(fake.client.state.name, 'live');
};

tests['presence: wanted from the first question on, then from the version that came'] = function () {
  var fake = started({ presence: true });
  equal(fake.requests[0].presence, '');
  var told = [];
  fake.client.on('presence', function (users) { told.push(users); });
  fake.tell([{ type: 'presence', full: true, version: 'v1', users: [{ id: '99999', online: true }] }]);
  fake.advance(2 * SECOND);
  equal(told, [[{ id: '99999', online: true }]]);
  equal(fake.last().presence, 'v1');
  equal(started().requests[0].presence, undefined);
};

tests['a listener that throws harms nobody, one that stops ends it'] = function () {
  var fake = started();
  fake.client.on('call', function () { throw new Error('mine'); });
  var heard = [];
  var off = fake.client.on('call', function (change) { heard.push(change.event); });
  fake.append('call.dial', call('a', 1, 'ringing'));
  var thrown = '';
  try {
    fake.advance(5 * LATENCY);
  } catch (err) {
    thrown = err.message;
  }
  equal(thrown, 'mine');
  off();
  fake.client.on('call', function () { fake.client.stop(); });
  fake.append('call.bridge', call('a', 2, 'talking'));
  fake.append('call.hangup', call('a', 3, 'ended'));
  try {
    fake.advance(MINUTE);
  } catch (err) {
    equal(err.message, 'mine');
  }
  equal(heard, ['call.dial']);
  equal(fake.client.state.name, 'stopped');
  equal(fake.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
};

tests['wrong options and events are said at once'] = function () {
  [undefined, {}, { url: 'https://x' }, { ticket: 'x' }].forEach(function (options) {
    var thrown = null;
    try {
      new RingcastPoll.Client(options);
    } catch (err) {
      thrown = err;
    }
    ok(thrown instanceof TypeError, JSON.stringify(options));
  });
};
