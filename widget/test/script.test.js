'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { dictionary, settle } = require('./fakes.js');

/* Stand-ins of the modules that the widget makes; made: those of the running test. */
let made;

class Session {
  constructor(parts) {
    made.sessions.push(this);
    this.parts = parts;
    this.attached = 0;
    this.heeded = [];
    this.dialer = { dial: (value, { model }) => (this.dialled = [value, model]) };
    this.client = { start: () => (this.startedAgain = true) };
    this.list = { pick: (kind) => (this.picked = kind) };
  }
  start() {
    this.running = true;
  }
  attach() {
    this.attached += 1;
  }
  stop() {
    this.running = false;
  }
  heed(given) {
    this.heeded.push(given);
  }
  saved(given) {
    this.heeded.push('saved ' + given);
  }
}

class SettingsWindow {
  constructor(parts) {
    made.windows.push(this);
    Object.assign(this, { parts, saved: [], open: true, memory: parts.memory || {} });
  }
  draw() {
    if (made.broken) throw new Error('not drawn');
  }
  save(fields) {
    this.saved.push(fields);
    return made.answer;
  }
  close() {
    this.open = false;
  }
}

/* As the CRM makes a widget: the prototype is replaced, then new, and only then settings and texts. */
const make = ({ settings = {}, status = 'installed', rights = {}, host = 'acme.amocrm.ru' } = {}) => {
  made = { sessions: [], windows: [], links: [], shown: [], answer: Promise.resolve() };
  global.window = {
    APP: { constant: (key) => ({ user_rights: rights })[key], notifications: { show_message_error: (note) => made.shown.push(note.text) } },
    location: { hostname: host },
  };
  const element = (href) => ({ getAttribute: () => href });
  const jq = (selector) => ({
    get: () => made.links.map(element),
    attr: (name, value) => ({ appendTo: () => made.links.push(value) }),
    remove: () => selector.startsWith('link') && made.links.splice(0),
  });
  const Widget = load('script.js', {
    unreachable: () => made.unreachable,
    'jquery': jq,
    'lib/components/base/modal': class {},
    './client.js': { Client: class {} },
    './config.js': { url: 'https://calls.example.com' },
    './js/session.js': Session,
    './js/settings/window.js': SettingsWindow,
  });
  return () => {
    const words = dictionary('en');
    Widget.prototype = {
      i18n: (key) => key.split('.').reduce((at, part) => at[part], words),
      get_settings: () => ({ path: '/widget/x', version: '1.0.0', ...settings }),
      get_install_status: () => status,
      add_action(type, fn) {
        this.actions = { ...this.actions, [type]: fn };
      },
    };
    return new Widget();
  };
};

test('render, init and bind_actions return true', () => {
  const widget = make()();
  for (const name of ['render', 'init', 'bind_actions', 'onSave']) assert.equal(widget.callbacks[name](), true, name);
});

test('one session in a tab, however often the CRM renders, inits or makes the widget anew', () => {
  const widget = make();
  const first = widget();
  first.callbacks.render();
  first.callbacks.init();
  first.callbacks.init();
  first.callbacks.render();
  const second = widget();
  second.callbacks.render();
  second.callbacks.init();
  assert.equal(made.sessions.length, 1);
  assert.equal(made.sessions[0].attached, 2);
  second.actions.phone({ value: '101', model: 'm' });
  assert.deepEqual(made.sessions[0].dialled, ['101', 'm']);
  second.callbacks.contacts.selected();
  assert.equal(made.sessions[0].picked, 'contacts');
  second.callbacks.leads.selected();
  assert.equal(made.sessions[0].picked, 'leads');
});

test('each style sheet is linked once, and gone when the widget is', () => {
  const widget = make()();
  widget.callbacks.render();
  widget.callbacks.render();
  assert.equal(made.links[0], '/widget/x/style.css?v=1.0.0');
  assert.equal(new Set(made.links).size, made.links.length);
  widget.callbacks.destroy();
  assert.deepEqual(made.links, []);
});

test('destroyed: the session is stopped, and a click does nothing; enabled again: a new one', () => {
  const widget = make()();
  widget.callbacks.init();
  widget.callbacks.destroy();
  widget.callbacks.destroy();
  assert.equal(made.sessions[0].running, false);
  widget.actions.phone({ value: '101' });
  widget.callbacks.contacts.selected();
  widget.callbacks.init();
  assert.deepEqual([made.sessions.length, made.sessions[1].running], [2, true]);
});

test('the gateway of the settings; another one is followed at the next render', () => {
  const settings = { gateway: ' https://own.example.com/ ' };
  const widget = make({ settings })();
  widget.callbacks.init();
  widget.callbacks.render();
  settings.gateway = '';
  widget.callbacks.render();
  widget.callbacks.render();
  assert.deepEqual(made.sessions.map(({ parts, running }) => [parts.url, running]), [['https://own.example.com', false], ['https://calls.example.com', true]]);
});

test('switches count at once when they are saved here, and at the next render when the CRM hands over others', () => {
  const settings = { behaviour: '{"result":"always"}' };
  const widget = make({ settings })();
  widget.callbacks.init();
  widget.callbacks.render();
  widget.callbacks.onSave({ active: 'Y', fields: { behaviour: '{"result":"never"}' } });
  widget.callbacks.render(); /* a window of 2017 hands over what was before the save */
  settings.behaviour = '{"result":"unknown"}';
  widget.callbacks.render();
  widget.callbacks.render();
  widget.callbacks.onSave({ active: 'Y', fields: { gateway: '' } });
  assert.deepEqual(made.sessions.map(({ heeded }) => heeded), [['saved {"result":"never"}', '{"result":"unknown"}']]);
});

test('a free user has no telephony', () => {
  const widget = make({ rights: { is_free_user: true } })();
  assert.equal(widget.callbacks.init(), true);
  widget.callbacks.render();
  widget.actions.phone({ value: '101' });
  assert.equal(made.sessions.length, 0);
});

test('saving is never held up: true at once, and the gateway is told', async () => {
  const widget = make()();
  made.answer = new Promise(() => {});
  widget.callbacks.settings({});
  assert.equal(widget.callbacks.onSave({ active: 'Y', fields: { extensions: '{}' } }), true);
  await settle();
  assert.deepEqual(made.windows[0].saved, [{ extensions: '{}' }]);
});

test('the gateway has kept who has which extension: a client that it refused tries again', async () => {
  const widget = make()();
  widget.callbacks.settings({});
  await settle();
  made.windows[0].parts.kept();
  widget.callbacks.init();
  made.windows[0].parts.kept();
  assert.equal(made.sessions[0].startedAgain, true);
});

test('switching off tells the gateway nothing; a first installation, where "active" is N as well, does', async () => {
  const off = make()();
  off.callbacks.settings({});
  assert.equal(off.callbacks.onSave({ active: 'N', fields: {} }), true);
  await settle();
  assert.deepEqual(made.windows[0].saved, []);
  off.callbacks.destroy();
  await settle();
  assert.equal(made.windows[0].open, false);

  const first = make({ status: 'install' })();
  first.callbacks.settings({});
  assert.equal(first.callbacks.onSave({ active: 'N', fields: {} }), true);
  await settle();
  assert.equal(made.windows[0].saved.length, 1);
});

test('Kommo waits for the gateway', async () => {
  const widget = make({ host: 'acme.kommo.com' })();
  widget.callbacks.settings({});
  assert.equal(await widget.callbacks.onSave({ active: 'Y', fields: {} }), true);
  assert.equal(made.windows[0].saved.length, 1);
});

test('opened again: only the last settings window counts', async () => {
  const widget = make()();
  widget.callbacks.settings({});
  widget.callbacks.settings({});
  await settle();
  assert.deepEqual(made.windows.map(({ open }) => open), [false, true]);
  assert.equal(made.windows[1].memory, made.windows[0].memory);
});

test('a settings window that does not come is told, and the next one comes', async () => {
  const widget = make({ host: 'acme.kommo.com' })();
  made.broken = true;
  widget.callbacks.settings({});
  assert.equal(await widget.callbacks.onSave({ active: 'Y', fields: {} }), true);
  assert.match(made.shown.join(), /^This widget’s settings could not be loaded\./);
  made.broken = false;
  made.unreachable = true;
  widget.callbacks.settings({});
  await settle();
  assert.equal(made.shown.length, 2);
  made.unreachable = false;
  widget.callbacks.settings({});
  await widget.callbacks.onSave({ active: 'Y', fields: { a: 1 } });
  assert.deepEqual([made.shown.length, made.windows[made.windows.length - 1].saved], [2, [{ a: 1 }]]);
});
