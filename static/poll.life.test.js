/* More tests of poll.js, beside poll.test.js: its end, and another user's beginning. */

var tests = tests || {};

tests['stop from within any listener leaves nothing and asks nothing more'] = function () {
  ['state', 'user', 'call'].forEach(function (name) {
    [1, 2, 3, 4, 5].forEach(function (nth) {
      var fake = makeFake();
      fake.append('call.dial', call('a', 1, 'ringing'));
      fake.append('call.dial', call('b', 1, 'ringing'));
      var count = 0;
      var told = [];
      fake.client.on(name, function () { if (++count === nth) fake.client.stop(); });
      fake.client.on('state', function (state) { told.push(state.name); });
      fake.client.start();
      fake.advance(5 * LATENCY);
      fake.fates = ['cut', 'cut']; // for a state of its own
      fake.append('call.bridge', call('b', 2, 'talking'));
      fake.advance(SECOND);
      if (count < nth) fake.client.stop();
      var asked = fake.requests.length;
      var label = name + ' ' + nth;
      fake.advance(LATENCY); // the fake's own last answer
      equal([fake.client.state.name, told.indexOf('stopped')], ['stopped', told.length - 1], label);
      equal(fake.clock.timers.filter(function (timer) { return timer.at > fake.clock.time + 20 * SECOND; }), [], label);
      fake.advance(MINUTE);
      equal(fake.requests.length, asked, label);
      equal([fake.document.head.children.length, fake.callbacks().length, fake.clock.timers.length], [0, 0, 0], label);
      equal(Object.keys(fake.document.listeners), [], label);
    });
  });
};

tests['stop in the page’s own ticket function leaves nothing'] = function () {
  [function (fake, done) { fake.client.stop(); done(null, '1.1.0'); },
    function (fake) { fake.client.stop(); throw new Error('mine'); }].forEach(function (give) {
    var fake = makeFake();
    fake.ticket = function (done) { give(fake, done); };
    fake.client.start();
    fake.advance(MINUTE);
    equal([fake.client.state.name, fake.requests.length, fake.clock.timers.length], ['stopped', 0, 0]);
  });
};

tests['stopped is told, once, and is the last that is told; a start in it goes on'] = function () {
  var fake = started();
  fake.client.stop();
  fake.client.stop();
  equal(fake.states, ['connecting', 'live script', 'stopped']);
  var again = started();
  var off = again.client.on('state', function (state) { if (state.name === 'stopped') again.client.start(); });
  again.client.stop();
  off();
  again.advance(5 * LATENCY);
  equal(again.client.state.name, 'live');
};

tests['a ticket of another user: the calls end, commands that wait fail, and what follows is his'] = function () {
  var fake = started({ presence: true });
  var told = [];
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.append('call.dial', call('b', 1, 'ringing'));
  fake.append('call.hangup', call('b', 2, 'ended'));
  fake.tell([{ type: 'presence', full: true, version: 'v1', users: [{ user: '88888' }] }]);
  fake.advance(SECOND);
  fake.append('call.dial', call('x', 9, 'ringing'), '99999');
  fake.append('call.bridge', call('a', 1, 'talking'), '99999'); // both are in it
  fake.user = '99999';
  fake.refuses = function (query) { return query.ticket.split('.')[0] === '1' ? 'token_expired' : null; };
  fake.client.call('1', function (err) { told.push(err && err.code); });
  fake.advance(SECOND);
  equal(fake.given.length, 2);
  equal(told, ['user']);
  equal(fake.done, [], 'nothing is done under his name');
  equal(fake.log.slice(-3), ['call.hangup a 1 ended', 'snapshot x 9 ringing', 'snapshot a 1 talking']);
  equal(Object.keys(fake.client.calls), ['x', 'a']);
  equal([fake.client.presence, fake.last().presence, fake.client.user.name], [null, '', 'Boris']);
  fake.client.call('2', function (err, reply) { told.push(err || reply.call); });
  fake.append('call.hangup', call('x', 10, 'ended'), '99999');
  fake.advance(SECOND);
  equal(told, ['user', 'office:1']);
  equal(fake.log[fake.log.length - 1], 'call.hangup x 10 ended');
};

tests['a ticket of the same user whose answer is lost: the calls go on from their cursor'] = function () {
  var fake = started();
  fake.append('call.dial', call('a', 1, 'ringing'));
  fake.advance(5 * LATENCY);
  fake.clock.time += MINUTE; // the chain breaks
  fake.append('call.bridge', call('a', 2, 'talking'));
  fake.fates = ['cut', 'ok', 'lost'];
  fake.advance(MINUTE);
  equal(fake.given.length, 2);
  equal(fake.log, ['call.dial a 1 ringing', 'call.bridge a 2 talking']);
  equal(fake.users, ['Anna']);
};
