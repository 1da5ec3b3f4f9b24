// Package phonet speaks the protocol of Phonet's cloud PBX over WebSocket, at both ends: Link is a client of a
// Phonet PBX, and Server lets clients written for Phonet watch and place calls of any PBX.
//
// # The protocol
//
// A socket at wss://DOMAIN/live/connector/v3/easy, with the PBX's domain, the account's key and one employee (by
// inner number or e-mail) in its query, is a subscription to that employee's calls. The server sends a message at
// the beginning, the answer and the end of a call; the client sends {"action":"call","to":"…"} to place one, and
// gets an answer that does not say which request it answers. Everything else, such as why a call ended, the calls
// there are, or ending one, belongs to an API over HTTP that the same key opens. What the vendor's page leaves open
// (pings, close codes, order, repetition, refusals) the client expects in any form.
//
// # Lifecycle of a Link
//
// Link.Run keeps a socket for each subscriber and opens them one after another, at a measured pace. When all have
// been tried and some are open, it asks over HTTP for the calls that live, tells the sink of them, and from then on
// hands on what the sockets say. A socket that is lost comes back by itself, after a delay that grows and varies,
// and the calls are then compared again. A PBX without the HTTP API works on events alone; a call whose end is
// never told is ended after a limit, and one of before the run, of which nobody speaks any more, after a quarter of an
// hour.
//
// # Names of calls
//
// A call goes by the uuid of the topmost menu or group that is known when it begins. What is learned later to be above
// it goes by the same name, or, if it was told as a call of its own, takes it over. The next run may see more at once,
// and name the call by that: it then tells that everything between is merged into it. Of a row of the history whose
// parent nobody has spoken of, the call is found by number and time, and a row that may be of several calls is left out.
//
// # Recordings
//
// Config.Tap overhears a Link, and a Player tells of what was overheard as the Link did: for finding out what became of
// an odd call, with the times of then.
//
// # The Server
//
// A Server has the same sockets for clients, and as much of the HTTP API as they need to catch up: the employees, the
// calls that live, to place one, to end one. A call has a part for each of the account's users whom it concerns, with a
// uuid of its own for each time that he is rung; where there are several, the call is their parent. One who calls one
// colleague shares a part with him, the first time that he rings him. Everything is told in call.dial, call.bridge and
// call.hangup: hold is not told, and a transfer is the hangup of who hands on and the dial of who gets the call. The
// parent of a part never changes: who is rung first and alone has none, and a dial waits a moment for others that are
// rung with it. Calls come from the gateway's log, so any node serves any client. A session ends when its user leaves
// the directory, when his sessions are revoked, and when the node leaves.
//
// # Concurrency
//
// Each socket has goroutines of its own that read and ping. What they hear goes to one goroutine, Run's, which
// alone keeps the calls and speaks to the sink. Dial, HangUp and State may be called at any time.
//
// # Secrets
//
// The key is part of a URL. No error, state or log line of this package carries a query or a key.
package phonet
