/* What happened in this tab, for tests: window.__sandbox. */
define([], function () {
  'use strict';

  const probe = {
    toasts: [],         /* {kind, header, text}: what was shown, as it came */
    callingStatus: [],  /* every value that setCallingStatus got */
    errors: [],         /* what widgets threw, and what they did that the real CRM would not stand */
    loads: 0,           /* how often the widgets of an area were loaded */
  };
  window.__sandbox = probe;
  window.addEventListener('error', (e) => probe.errors.push(String(e.message)));
  window.addEventListener('unhandledrejection', (e) => probe.errors.push('unhandled: ' + e.reason));
  return probe;
});
