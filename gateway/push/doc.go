// Package push serves browser sessions: it takes a page's token, and brings the page every change of its
// user's calls over whatever the network lets through.
//
// # One session, many rungs
//
// A session is a subscription to the [Gateway], an outbox and a deadline; it knows the order of messages
// (hello, what was missed, what happens now), the prev of each, and when to give up on a slow reader. A
// rung is a thin encoder over it: it is told that frames wait, takes them one by one, and is told to close.
// GET /v1/ws and GET /v1/sse last, POST /v1/poll and GET /v1/poll.js are asked again and again. All have the
// same messages and the same cursor, so a client may go on with another at any moment; a further rung is one
// more file and one more route.
//
// # Concurrency and lifecycle
//
// A [Server] starts two goroutines: one pings the sessions in turn, one tells who is here. It serves from [New] until
// [Server.Drain] or [Server.Close]; Close must be called. What the Gateway delivers is put into the
// session's outbox and never waits for a network: a reader that is too slow for its outbox is cut off with
// 4001 and made whole by its resume.
//
// # Who is asked for what
//
// The user of a session is always that of a verified token ([Tokens]), and must be in the directory. Pages
// may come only from the configured origins; the same check serves CORS and the WebSocket upgrade. Where only
// a URL can carry it, a ticket stands for the token: a link of a chain, of which each can be used until its
// successor was, on whatever node ([Chains]).
//
// The WebSocket runs on melody and gorilla/websocket. Of melody the upgrade and the reading are used: the index of
// sessions, the outbox, writing and closing are this package's own.
package push
