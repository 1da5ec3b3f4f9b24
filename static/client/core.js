// Small things that the other parts stand on.

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** What went wrong, with the code that programs rely on. `fault` blames the rung rather than the gateway, `stay` means
 * not to come again, `delay` [least, most] (ms) is when the gateway wants to be asked again. */
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

/** A promise, and the function that keeps it. */
function makePromise() {
  let keep;
  const promise = new Promise((resolve) => { keep = resolve; });
  return { promise, keep };
}

/** A Map in which what is set is forgotten again, the oldest first, when there is more than `most`. */
class ShortMemory extends Map {
  constructor(most) {
    super();
    this.most = most;
  }

  set(key, value) {
    super.set(key, value);
    if (this.size > this.most) this.delete(this.keys().next().value);
    return this;
  }
}
