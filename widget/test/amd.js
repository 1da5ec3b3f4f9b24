/* Loads the widget's AMD modules in Node, without a page: modules of src by their relative names, everything
   else (jquery, the CRM's modal, ./client.js, ./config.js) from the given stand-ins. `require` loads at once, or fails
   where standIns.unreachable() says so. */
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const src = path.join(__dirname, '..', 'src');

exports.load = (name, standIns = {}) => {
  const cache = new Map();
  const get = (id, from) => {
    const bare = id.replace(/\?.*$/, '');
    if (bare in standIns) return standIns[bare];
    const file = path.resolve(path.dirname(from), bare);
    if (!cache.has(file)) cache.set(file, run(file));
    return cache.get(file);
  };
  const run = (file) => {
    let result;
    const define = (deps, factory) => {
      const require = (names, done, fail) => (standIns.unreachable && standIns.unreachable() ? fail(new Error('not loaded')) : done(...names.map((name) => get(name, file))));
      result = factory(...deps.map((dep) => (dep === 'require' ? require : get(dep, file))));
    };
    new Function('define', fs.readFileSync(file, 'utf8') + '\n//# sourceURL=' + file)(define);
    return result;
  };
  return get('./' + name, path.join(src, 'x.js'));
};
