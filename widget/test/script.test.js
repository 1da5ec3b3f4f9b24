'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { load } = require('./amd.js');
const { dictionary } = require('./fakes.js');

class Session {
  constructor(parts) {
    Session.made.push(this);
    this.parts = parts;
    this.attach = () => (this.attached = (this.attached || 0) + 1);
    this.dialer = { dial: (value) => (this.dialled = value) };
  }
  start() {
    this.running = true;
  }
  stop() {
    this.running = false;
  }
}

/* As the CRM makes a widget: the prototype is replaced, then new, and only then settings and texts. */
const make = () => {
  Session.made = [];
  const jq = () => ({ filter: () => [1], remove() {} });
  const Widget = load('script.js', {
    'jquery': jq,
    'lib/components/base/modal': class {},
    './client.js': { Client: class {} },
    './config.js': { url: 'https://calls.example.com' },
    './js/session.js': Session,
    './js/settings/consent.js': {},
  });
  return () => {
    const words = dictionary('en');
    Widget.prototype = {
      i18n: (key) => key.split('.').reduce((at, part) => at[part], words),
      get_settings: () => ({ path: '/widget/x', version: '1.0.0' }),
      add_action(type, fn) {
        this.actions = { ...this.actions, [type]: fn };
      },
    };
    return new Widget();
  };
};

global.window = { APP: {} };

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
  assert.equal(Session.made.length, 1);
  assert.equal(Session.made[0].attached, 2);
  second.actions.phone({ value: '101' });
  assert.equal(Session.made[0].dialled, '101');
});

test('destroyed: the session is stopped, and a click does nothing; enabled again: a new one', () => {
  const widget = make()();
  widget.callbacks.init();
  widget.callbacks.destroy();
  widget.callbacks.destroy();
  assert.equal(Session.made[0].running, false);
  widget.actions.phone({ value: '101' });
  widget.callbacks.init();
  assert.deepEqual([Session.made.length, Session.made[1].running], [2, true]);
});
