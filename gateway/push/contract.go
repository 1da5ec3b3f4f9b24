package push

import (
	"context"
	"net/http"
	"time"

	"ringcast/gateway"
)

// Gateway is what sessions need of the engine. All methods may be called from many goroutines.
type Gateway interface {
	// Subscribe registers deliver for the user's messages and returns, atomically with that, where the
	// session stands: every message is either in the Hello or delivered, never both. deliver is called in
	// order, from one goroutine at a time, possibly before Subscribe returns; it does not block and does
	// not call the gateway. An empty cursor is a first visit; a cursor that means nothing is a reset, not
	// an error. After the returned function has returned, deliver is not called any more.
	Subscribe(account, user, cursor string, deliver func(gateway.Message)) (gateway.Hello, func(), error)

	// Command carries out what a user asks for. It answers within 5 s, sooner if ctx ends.
	Command(ctx context.Context, cmd gateway.Command) gateway.Reply

	// ClientHere says that a client has a session: what it claimed is its own, again.
	ClientHere(account, user, client string)

	// ClientGone says that a client's last session ended: its claims come free after 5 s.
	ClientGone(account, user, client string)

	// Shown says that a page of the user shows the card of a call.
	Shown(account, user, call, rung string)
}

// Presence is who is here, on all nodes. All methods may be called from many goroutines.
type Presence interface {
	// SetPresence says how a user is here on this node, when that changes.
	SetPresence(account, user string, here gateway.Here)

	// Presence returns an account's users as they are on all nodes.
	Presence(account string) []gateway.UserPresence

	// WatchPresence calls fn with those of an account's users whose presence changes, one call after another.
	// fn does not block and does not call back. After stop has returned it is not called any more.
	WatchPresence(account string, fn func([]gateway.UserPresence)) (stop func())
}

var (
	_ Gateway  = (*gateway.Gateway)(nil)
	_ Presence = (*gateway.Gateway)(nil)
)

// Chains keeps how far each chain of tickets was used, for all nodes; a gateway.Store will do, one in memory
// whose values last [ChainLife] after their last write. Both methods may be called from many goroutines.
type Chains interface {
	// Get returns a key's value and revision; gateway.ErrNotFound: it has none.
	Get(ctx context.Context, key string) (gateway.Value, error)

	// Put writes a key if its revision is still rev, 0 for a key that must not exist; gateway.ErrConflict: it
	// is not, and nothing was written.
	Put(ctx context.Context, key string, data []byte, rev uint64) (uint64, error)
}

// Exchanger verifies a CRM's own proof of identity, so that its page can get a session token. It fails with
// a *gateway.Error of CodeBadToken, CodeTokenExpired or CodeOrigin.
type Exchanger interface {
	Exchange(ctx context.Context, r *http.Request) (account, user string, err error)
}

// Metrics are told what happens, on hot paths and from many goroutines; they do not block. What is nil is not
// counted. Rungs are "ws", "sse", "poll" and "script"; a poll is a session for as long as it waits.
type Metrics struct {
	// Opened and Closed count sessions. How is "resumed", or the reason of the reset: "new", "epoch",
	// "evicted", "future", "foreign". The code is the one of design §4.3 that the server closed with (4001: the
	// outbox was full), 0 when the client left or a poll was answered.
	Opened func(rung, how string)
	Closed func(rung string, code int)

	// Sent counts messages that were handed to the network, and how many of them brought a call's change.
	// Delivered is told of those that brought it as it happened, by when the gateway took the event.
	Sent      func(rung string, messages, calls int)
	Delivered func(rung string, taken time.Time)

	// Command counts commands by the code of their refusal, "" for those carried out.
	Command func(code gateway.Code)

	// Refused counts requests, handshakes and sessions that were turned away, by route: a rung, "actions",
	// "tickets", "sessions", "other".
	Refused func(route string, code gateway.Code)

	// Ticket counts the tickets that were given out for a token.
	Ticket func()
}

// orDefault fills in what is not counted.
func (m Metrics) orDefault() Metrics {
	if m.Opened == nil {
		m.Opened = func(string, string) {}
	}
	if m.Closed == nil {
		m.Closed = func(string, int) {}
	}
	if m.Sent == nil {
		m.Sent = func(string, int, int) {}
	}
	if m.Delivered == nil {
		m.Delivered = func(string, time.Time) {}
	}
	if m.Command == nil {
		m.Command = func(gateway.Code) {}
	}
	if m.Refused == nil {
		m.Refused = func(string, gateway.Code) {}
	}
	if m.Ticket == nil {
		m.Ticket = func() {}
	}
	return m
}
