/*
 * Ringcast: the browser client. It shows one user's calls as they happen and carries his commands back.
 * Loads as AMD module, as the page global `Ringcast` and in Node. The long manual is examples/page/README.md, the types
 * are client.d.ts. Its parts are the files of the folder client; what a gateway serves as /client.js has them in place.
 *
 *   const client = new Ringcast.Client({
 *     url: 'https://gateway.example.com',
 *     token: async ({ renew }) => (await fetch('/my-backend/ringcast-token')).json(), // {token, expires_at} or 'jwt'
 *   });
 *   client.on('call', ({ event, call, previous, live }) => …); // each change of each call, once and in order
 *   client.on('state', ({ name, rung, retryAt, code, message, leader }) => …);
 *   client.on('user', ({ id, name, extensions }) => …); // on returns a function that takes the listener off
 *   client.start();
 *   client.call('+380991234567').catch((err) => alert(err.code));
 *
 * Options: presence: true (tell of colleagues: event 'presence', client.presence), share: false (a connection for each
 *   tab; else the tabs of one user in one browser share one, and each has all of this).
 * client.state, .user, .calls (a Map by id; ended ones for 60 s more) and .presence (a Map by user) are what is known now.
 * States: connecting, live (rung ws, sse or poll), retrying (at retryAt, ms; null: now), refused (until start()), stopped;
 *   leader: whether this tab holds the connection; null: it has one for itself.
 * Codes: network, no_hello, silent, gap, asleep, leader, user, closed, draining, slow, superseded, too_many, token,
 *   token_expired, ticket_used, unavailable; refused: bad_token, revoked, origin, bad_protocol, too_many, refused,
 *   unsupported, or that of the token function's fatal error.
 * call(to, {from}), transfer(callId, to, {attended}), claim(callId, what, {done}), command(action, fields), and of a callId
 *   answer, hangup, hold, unhold, mute, unmute, complete, cancel, park: they promise the reply, or fail with the gateway's
 *   code (pbx_offline, busy, …), timeout (10 s), stopped, refused, or user: the token is another user's now.
 * shown(callId): the page shows the call's card. once(key, fn): runs fn in one tab only, best in the one looked at.
 */
(function (root, make) {
  if (typeof define === 'function' && define.amd) define([], () => make(root));
  else if (typeof module === 'object' && module.exports) module.exports = make(root);
  else root.Ringcast = make(root);
})(typeof globalThis === 'object' ? globalThis : self, function (root) {
  'use strict';

  //= client/core.js
  //= client/rungs.js
  //= client/ledger.js
  //= client/tokens.js
  //= client/connection.js
  //= client/tabs.js
  //= client/page.js
  //= client/client.js

  return { Client };
});
