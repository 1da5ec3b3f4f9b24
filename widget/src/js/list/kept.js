/* The list and its run, as the store keeps them for all tabs. */
define(['./model.js?v=%VERSION%'], function (model) {
  'use strict';

  const keys = { list: 'list', run: 'list.run' };

  return class Kept {
    /* changed() is called when another tab has written. */
    constructor({ store, changed }) {
      Object.assign(this, { store });
      this.refresh();
      this.offs = [
        store.watch(keys.list, (raw) => {
          this.list = model.readList(raw);
          changed();
        }),
        store.watch(keys.run, (raw) => {
          this.run = model.readRun(raw);
          changed();
        }),
      ];
    }

    /* Events of other tabs' writing may be on their way still. */
    refresh() {
      const raw = this.store.get(keys.list);
      if (!this.list || JSON.stringify(raw) !== JSON.stringify(this.list)) this.list = model.readList(raw);
      this.run = model.readRun(this.store.get(keys.run));
    }

    setList(list) {
      this.list = list;
      this.store.set(keys.list, list.entries.length ? list : null);
    }

    setRun(run) {
      this.run = run;
      this.store.set(keys.run, run);
    }

    stop() {
      this.offs.forEach((off) => off());
    }
  };
});
