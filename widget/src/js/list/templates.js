/* The widget's twig templates, loaded by the CRM's own means, each once. The CRM's twig does not escape by itself:
   templates say |e wherever they show something. */
define([], function () {
  'use strict';

  const patience = 10000; /* ms; who does not answer has failed: the CRM says nothing then */

  return class Templates {
    /* widget  render(what)      base  the address of the widget's files      version  of them */
    constructor({ widget, base, version, clock }) {
      Object.assign(this, { widget, base, version, clock });
      this.loading = new Map(); /* name → promise */
    }

    /* Promises a template, whose render(values) is HTML. */
    load(name) {
      if (!this.loading.has(name)) {
        const loading = this.fetch(name);
        this.loading.set(name, loading);
        loading.catch(() => this.loading.delete(name)); /* it may be there the next time */
      }
      return this.loading.get(name);
    }

    fetch(name) {
      return new Promise((resolve, reject) => {
        const failed = () => reject(new Error('no template ' + name));
        const cancel = this.clock.after(patience, failed);
        const loaded = (template) => {
          cancel();
          if (template && typeof template.render === 'function') resolve(template);
          else failed();
        };
        try {
          this.widget.render({ href: '/templates/' + name + '.twig', base_path: this.base, v: this.version, load: loaded }, {});
        } catch {
          cancel();
          failed();
        }
      });
    }
  };
});
