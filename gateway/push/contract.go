package push

import (
	"context"
	"net/http"

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

// Exchanger verifies a CRM's own proof of identity, so that its page can get a session token. It fails with
// a *gateway.Error of CodeBadToken, CodeTokenExpired or CodeOrigin.
type Exchanger interface {
	Exchange(ctx context.Context, r *http.Request) (account, user string, err error)
}

// Metrics counts what happens. Its methods are called on hot paths, from many goroutines.
type Metrics interface {
	// SessionOpened and SessionClosed count sessions by rung: "ws", "poll". The code is the one of design
	// §4.3 that the server closed with, 0 when the client left or a poll was answered.
	SessionOpened(rung string)
	SessionClosed(rung string, code int)

	// MessagesSent counts messages handed to the network.
	MessagesSent(rung string, n int)

	// CommandDone counts commands by the code of their refusal, "" for those carried out.
	CommandDone(code gateway.Code)

	// Refused counts requests and handshakes that were turned away.
	Refused(code gateway.Code)
}

type noMetrics struct{}

func (noMetrics) SessionOpened(string)      {}
func (noMetrics) SessionClosed(string, int) {}
func (noMetrics) MessagesSent(string, int)  {}
func (noMetrics) CommandDone(gateway.Code)  {}
func (noMetrics) Refused(gateway.Code)      {}
