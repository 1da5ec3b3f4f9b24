/* What this browser keeps for this user of this account. localStorage may be forbidden or full: then it is kept
   for this page only. */
define([], function () {
  'use strict';

  class Store {
    /* storage  as localStorage, or null      prefix  such as 'ringcast.acme.88888.'
       page     as window, for storage events of other tabs */
    constructor({ storage, prefix, page }) {
      Object.assign(this, { storage, prefix, page });
      this.own = new Map(); /* what storage would not take */
    }

    /* The value kept under a key, as JSON gives it back, or null. */
    get(key) {
      if (this.own.has(key)) return JSON.parse(this.own.get(key));
      try {
        return JSON.parse(this.storage.getItem(this.prefix + key));
      } catch {
        return null;
      }
    }

    /* null takes the key away. */
    set(key, value) {
      this.own.delete(key);
      try {
        if (value === null) this.storage.removeItem(this.prefix + key);
        else this.storage.setItem(this.prefix + key, JSON.stringify(value));
      } catch {
        if (value !== null) this.own.set(key, JSON.stringify(value));
      }
    }

    keys() {
      const kept = [...this.own.keys()];
      try {
        for (let i = 0; i < this.storage.length; i += 1) {
          const key = this.storage.key(i);
          if (key.startsWith(this.prefix)) kept.push(key.slice(this.prefix.length));
        }
      } catch {
        /* only what this page kept */
      }
      return kept;
    }

    /* Takes away what any user of any account has kept in this browser under keys that begin so, where ends(value). */
    sweep(begin, ends) {
      const [name] = this.prefix.split('.');
      const others = new Store({ storage: this.storage, prefix: name + '.', page: this.page });
      others.keys().forEach((key) => {
        const own = key.split('.').slice(2).join('.'); /* without account and user */
        if (own.startsWith(begin) && ends(others.get(key))) others.set(key, null);
      });
    }

    /* fn(value) when another tab has changed the key; returns a function that ends it. */
    watch(key, fn) {
      const heard = (e) => {
        if (e.key === this.prefix + key) fn(this.get(key));
      };
      this.page.addEventListener('storage', heard);
      return () => this.page.removeEventListener('storage', heard);
    }
  }

  return Store;
});
