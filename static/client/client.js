// The client: what a page deals with. The head of the whole file is its manual.

const LOOKING = 20 * SECOND; // a page that is looked at says so again after this time; leaders forget after twice of it

function Client(options) {
  if (!options || !options.url || typeof options.token !== 'function') {
    throw new TypeError('Ringcast.Client needs a url and a token function.');
  }
  const client = this;
  const { WebSocket, EventSource, BroadcastChannel, fetch, setTimeout, clearTimeout, document, navigator } = root;
  const surroundings = {
    WebSocket, EventSource, BroadcastChannel, fetch, setTimeout, clearTimeout,
    page: document && root, locks: navigator && navigator.locks, share: true,
  };
  const env = {
    now: Date.now, random: Math.random, ...surroundings, ...options,
    base: options.url.replace(/^ws/, 'http').replace(/\/+$/, ''),
    storage: () => (options.storage === undefined ? root.localStorage : options.storage),
    identity, opening, cursor: () => ledger.cursor(), ready, visible: () => page.visible(), distance: () => page.distance(),
  };
  const timers = makeTimers(env);
  const listeners = { call: new Set(), state: new Set(), user: new Set(), presence: new Set() };
  const ledger = makeLedger(env);
  const commands = makeCommands(env, send);
  const page = makePage(env, { sleep, wake, look });
  const tabs = makeTabs(env, {
    heard: (kind, message) => hears[kind] && hears[kind](message),
    beat: () => beat(),
    deposed: () => connection.anew(new Failure('leader', 'Another tab holds the connection.')),
  });
  const tokens = makeTokens(env, timers, options.token, {
    another, renewed: () => connection.renewed(), fatal: (why) => connection.refuse(why),
  });
  const connection = makeConnection(env, tokens, { message: take, state: turned });
  const lookers = new Map(); // the tabs that were looked at a moment ago -> until when that is believed
  const drawn = new ShortMemory(256); // calls whose card this page has drawn -> on which line that was told, 0: on none
  let name = tabs.id; // of this browser: what the gateway calls the client
  let lines = 0; // how many lines there were; with the reign it names a line
  let heardLine; // of the leader, by that name
  let joined = false; // what the leader knows is known here
  let joining = false; // and is on its way here
  let served = 0; // lines that this tab has had the use of

  /** Waits for a token, and for this tab's turn to hold the line. The token that has expired by then may be followed by
   * another user's, whose tabs are others. */
  async function ready() {
    do {
      if (env.now() >= tokens.expires) await tokens.renew();
      await tabs.turn(tokens.whose);
    } while (env.now() >= tokens.expires);
  }

  function identity() {
    return { token: tokens.value, client: name };
  }

  function opening() {
    const presence = env.presence ? { presence: true } : {};
    return { ...identity(), cursor: ledger.cursor(), visible: isLookedAt(), ...presence };
  }

  /** The token is another user's: his life begins. Returns why. */
  function another() {
    const why = new Failure('user', 'Another user is here now.');
    const changes = forget(why);
    connection.anew(why);
    for (const change of changes) emit('call', change);
    return why;
  }

  /** Nothing of the last user's is left, or done under another's name. Returns the ends of his calls. */
  function forget({ code, message }) {
    leave();
    tabs.forget();
    lookers.clear();
    drawn.clear();
    name = randomId(env);
    client.user = null;
    client.presence.clear();
    commands.failAll(code, message);
    return ledger.reset();
  }

  // ---- What comes in

  /** Takes what a line brought, and hands it to the other tabs; returns a Failure when the line is of no more use. */
  function take(message) {
    const { type, user, resumed } = message;
    if (type === 'reply' && commands.reply(message)) return null;
    if (user && client.user && user.id !== client.user.id) { // and no token said so
      const why = new Failure('user', 'Another user is here now.');
      for (const change of forget(why)) emit('call', change);
      if (resumed) return why;
    }
    const apply = { hello: ledger.hello, call: ledger.change }[type];
    const changes = apply ? apply(message) : [];
    if (!changes) return new Failure('gap', 'Messages are missing.');
    if (['hello', 'call', 'presence', 'reply'].includes(type)) tabs.tell('news', { message });
    if (user) meet(user);
    if (type === 'presence') present(message);
    for (const change of changes) emit('call', change);
    return null;
  }

  function meet(user) {
    client.user = user;
    emit('user', user);
  }

  function present({ full, users }) {
    if (full) client.presence.clear();
    for (const user of users) client.presence.set(user.user, user);
    emit('presence', users);
  }

  /** The connection's state changed, or it has a new line. */
  function turned(state) {
    const { name: is } = state;
    if (is === 'live') lines++;
    if (is === 'refused' || is === 'stopped') retire();
    else if (state.code !== 'asleep') tabs.tell('beat', beat(state));
    if (is === 'stopped') {
      ledger.stop();
      commands.failAll('stopped', 'The client was stopped.');
    }
    show(state);
    if (is === 'live') resume();
    if (is === 'refused') commands.failAll('refused', state.message);
  }

  /** There is a line: it carries what waits for one. */
  function resume() {
    served++;
    commands.sendAll();
    look();
  }

  function show({ name: is, rung, retryAt, code, message }) {
    const old = client.state || {};
    client.state = { name: is, rung, retryAt, code, message, leader: tabs.leading() };
    if (Object.keys(client.state).some((key) => client.state[key] !== old[key])) emit('state', client.state);
  }

  /** A listener that throws must not harm the others or the client: its error goes to the page's own handler. Nothing is
   * told that one of them has made untrue a moment ago, by stop() or start(). */
  function emit(event, value) {
    for (const listener of [...listeners[event]]) {
      if (event === 'state' ? value !== client.state : client.state.name === 'stopped') return;
      try {
        listener(value);
      } catch (err) {
        root.queueMicrotask(() => { throw err; });
      }
    }
  }

  // ---- Among the tabs

  /** What the leader answers when it is asked whether it lives. */
  function beat(state = client.state) {
    return { state, cursor: ledger.cursor(), client: name, line: lines };
  }

  const hears = {
    entered: join,
    alone() {
      name = randomId(env); // the one it had is that of those who share
    },
    elected() {
      joined = joining = false;
      if (client.state.name !== 'live') return;
      show({ name: 'retrying', rung: null, retryAt: null, code: 'leader', message: 'The tab that held the connection is gone.' });
    },

    // To the leader:
    join({ tab, cursor, visible }) {
      if (client.state.name !== 'live') return; // the beat of the next line will have it ask again
      looksAt(tab, visible);
      const known = { messages: ledger.since(cursor), user: client.user, presence: [...client.presence.values()], done: tabs.done() };
      tabs.tell('welcome', { to: tab, ...known, ...beat() });
    },
    send: ({ frame }) => connection.send(frame),

    // To all:
    look: ({ tab, visible }) => looksAt(tab, visible),

    // From the leader:
    beat: follow,
    news({ message }) {
      if (joining && message.type === 'call') return; // the welcome will hold it
      if (take(message)) join();
    },
    welcome({ to, messages, user, presence, done, ...state }) {
      if (to !== tabs.id) return;
      for (const [key, tab] of done) tabs.finish(key, tab);
      joined = true;
      joining = false;
      for (const message of messages) if (tabs.following()) take(message); // a listener may stop the client
      if (user) meet(user);
      if (presence.length) present({ full: true, users: presence });
      follow(state);
    },
  };

  function join() {
    joining = true;
    tabs.ask('join', { cursor: ledger.cursor(), visible: page.visible() });
  }

  /** Does as the leader says. What it knows and this tab does not is asked for before anything is called live. */
  function follow({ state, cursor, client: called, line, reign }) {
    if (!tabs.following()) return;
    name = called;
    if (state.name === 'live' && (!joined || cursor !== ledger.cursor())) return join();
    show(state);
    if (state.name === 'live' && heardLine !== `${reign} ${line}`) {
      heardLine = `${reign} ${line}`;
      resume();
    }
  }

  function send(frame) {
    if (tabs.following()) tabs.ask('send', { frame });
    else connection.send(frame);
  }

  // ---- The page

  function sleep() {
    leave();
    connection.sleep();
  }

  function wake(changed) {
    tabs.probe();
    connection.wake(changed);
  }

  /** Tells the other tabs whether this one is looked at, and again while it is. */
  function look() {
    const visible = page.visible();
    reportShown();
    tabs.post('look', { visible });
    timers.clear('look');
    if (visible && tabs.leading() !== null) timers.set('look', LOOKING, look);
    reportLook();
  }

  function looksAt(tab, visible) {
    if (visible) lookers.set(tab, env.now() + 2 * LOOKING);
    else lookers.delete(tab);
    timers.set(`look ${tab}`, 2 * LOOKING + SECOND, reportLook);
    reportLook();
  }

  /** Who holds the line tells the gateway whether any tab is looked at. */
  function reportLook() {
    if (!tabs.following() && client.state.name === 'live') connection.look(isLookedAt());
  }

  const isLookedAt = () => page.visible() || [...lookers.values()].some((until) => until > env.now());

  /** A card counts as shown when somebody may see it, while the call lives. There is no reply: in case that its line was
   * no good, the next one is told again. */
  function reportShown() {
    if (client.state.name !== 'live' || (env.page && !page.visible())) return;
    for (const [call, told] of drawn) {
      const { state = 'gone' } = ledger.calls.get(call) || {};
      if (state === 'gone' || (state === 'ended' && !told)) {
        drawn.delete(call);
      } else if (told !== served) {
        drawn.set(call, served);
        send({ action: 'shown', call });
      }
    }
  }

  // ---- What the page asks for

  async function command(action, fields) {
    const { name: is, message } = client.state;
    if (is === 'stopped') throw new Failure('stopped', 'The client is not started.');
    if (is === 'refused') throw new Failure('refused', message);
    return commands.add(action, fields);
  }

  /** A command that needs a call and no more. */
  const commandFor = (action) => (call) => command(action, { call });

  /** The gateway gives a claim to one browser, the key to one tab of it. */
  async function claim(call, what, { done } = {}) {
    const key = `claim ${what} ${call}`;
    if (!(await tabs.hold(key))) throw new Failure('taken', 'Another tab does this.');
    try {
      const reply = await command('claim', { call, what, done });
      if (done) tabs.settle(key);
      return reply;
    } catch (err) {
      tabs.free(key);
      throw err;
    }
  }

  function leave() {
    tabs.post('look', { visible: false });
    tabs.leave();
  }

  function retire() {
    page.watch(false);
    leave();
    timers.clearAll();
  }

  Object.assign(client, {
    calls: ledger.calls,
    presence: new Map(),
    user: null,
    command,
    claim,
    once: tabs.once,
    call: (to, { from } = {}) => command('call', { to, from }),
    transfer: (call, to, { attended } = {}) => command('transfer', { call, to, attended }),
    ...Object.fromEntries(['answer', 'hangup', 'hold', 'unhold', 'mute', 'unmute', 'complete', 'cancel', 'park']
      .map((action) => [action, commandFor(action)])),
    shown(call) {
      if (!drawn.has(call)) drawn.set(call, 0);
      reportShown();
    },
    start() {
      if (!['stopped', 'refused'].includes(client.state.name)) return;
      page.watch(true);
      connection.start();
    },
    stop: () => connection.stop(),
    on(event, fn) {
      if (!listeners[event]) throw new TypeError(`Ringcast.Client has no event '${event}'.`);
      const listener = (value) => fn(value);
      listeners[event].add(listener);
      return () => listeners[event].delete(listener);
    },
  });
}
