/* The page's clock and timers. What runs by them is handed this instead, so that tests can hand it another. */
define([], function () {
  'use strict';

  return {
    /* ms since 1970 */
    now: () => Date.now(),

    /* Runs fn once; returns a function that prevents it. */
    after(ms, fn) {
      const id = setTimeout(fn, ms);
      return () => clearTimeout(id);
    },

    /* Runs fn again and again; returns a function that ends it. */
    every(ms, fn) {
      const id = setInterval(fn, ms);
      return () => clearInterval(id);
    },
  };
});
