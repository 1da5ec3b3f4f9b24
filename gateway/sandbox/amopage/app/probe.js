/* What happened in this tab, for tests: window.__sandbox. */
define([], function () {
  'use strict';

  const probe = {
    toasts: [],         /* {kind, header, text}: what was shown, as it came */
    desktop: [],        /* {title, body}: the browser notifications that a hidden tab raised instead */
    callingStatus: [],  /* every value that setCallingStatus got */
    errors: [],         /* what widgets threw, and what they did that the real CRM would not stand */
    loads: 0,           /* how often the widgets of an area were loaded */
    statuses: [],       /* every value that set_status got */
    dialled: [],        /* values that the other telephony widget got */
    saves: [],          /* {active, fields, result}: what onSave got and said */
  };
  window.__sandbox = probe;
  window.addEventListener('error', (e) => probe.errors.push(String(e.message)));
  window.addEventListener('unhandledrejection', (e) => probe.errors.push('unhandled: ' + e.reason));
  return probe;
});
