/* What the gateway holds, against what stands in the CRM's form. A field that is empty there says nothing: the extensions
   may have come from the gateway's configuration or from another administrator. Only who empties a field in this window
   takes the extensions away. Extensions are texts: user id → '101, 102'. */
define(['./access.js?v=%VERSION%'], function (access) {
  'use strict';

  const tidy = (value) => access.split(value).join(', ');

  return class Held {
    /* extensions: the form's, at opening. emptied: whose fields were emptied already, and not yet told. */
    constructor(extensions, emptied = new Set()) {
      this.before = { ...extensions }; /* as the CRM has it, or filled in since */
      this.emptied = emptied;
      this.url = ''; /* of the gateway that has answered */
      this.users = new Map(); /* what it held when it answered first: id → {name, text} */
    }

    /* users as the gateway answers. Its first answer counts, and that to a save: what another administrator has saved
       since is not undone by a field that nobody touched. */
    learn(url, users, again = false) {
      if (url === this.url && !again) return;
      this.url = url;
      this.users = new Map(users.map(({ id, name, held }) => [String(id), { name, text: (held || []).join(', ') }]));
    }

    text(id) {
      return (this.users.get(id) || { text: '' }).text;
    }

    texts() {
      return Object.fromEntries([...this.users].map(([id, { text }]) => [id, text]));
    }

    /* What the form asks for: fields with a text, and those that somebody has emptied. */
    wanted(extensions) {
      Object.entries(extensions).forEach(([id, text]) => {
        if (text) this.emptied.delete(id);
        else if (this.before[id]) this.emptied.add(id);
      });
      return Object.fromEntries(Object.entries(extensions).filter(([id, text]) => text || this.emptied.has(id)));
    }

    /* Those of them that are otherwise at the gateway. */
    changes(url, extensions) {
      const wanted = Object.entries(this.wanted(extensions));
      return Object.fromEntries(wanted.filter(([id, text]) => url !== this.url || tidy(text) !== this.text(id)));
    }

    /* What to fill into fields that are empty. */
    filling(extensions) {
      this.wanted(extensions);
      const empty = Object.keys(extensions).filter((id) => !extensions[id] && !this.emptied.has(id) && this.text(id));
      const texts = Object.fromEntries(empty.map((id) => [id, this.text(id)]));
      Object.assign(this.before, texts);
      return texts;
    }

    /* Whether the form has nothing that its own Save button would save. */
    untouched(extensions) {
      return Object.entries(extensions).every(([id, text]) => tidy(text) === tidy(this.before[id]));
    }

    /* The CRM has saved them. */
    saved(extensions) {
      this.wanted(extensions);
      Object.assign(this.before, extensions);
    }

    /* The gateway has, too: who is given extensions from now on keeps them. */
    told(extensions) {
      Object.entries(extensions).forEach(([id, text]) => text || this.emptied.delete(id));
    }
  };
});
