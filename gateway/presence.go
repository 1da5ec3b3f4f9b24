package gateway

import "context"

// Here says how a user is here, on one node or on all of them.
type Here struct {
	Online  bool // has a session
	Visible bool // looks at one of its pages
}

// UserPresence is what colleagues and PBXs may know of a user (GET /v1/accounts/{account}/presence, and the
// message of type presence).
type UserPresence struct {
	User       string   `json:"user"`
	Name       string   `json:"name"`
	Extensions []string `json:"extensions"`
	Online     bool     `json:"online"`
	Visible    bool     `json:"visible"`
	Busy       bool     `json:"busy"` // talks or holds: a ringing telephone alone does not count
}

// SetPresence says how a user is here on this node. It is called when that changes, after the delay that keeps
// a reconnect from being seen.
func (g *Gateway) SetPresence(account, user string, here Here) { g.presence.set(account, user, here) }

// Presence returns the users of an account's directory as they are on all nodes, in the directory's order.
func (g *Gateway) Presence(account string) []UserPresence { return g.presence.list(account) }

// WatchPresence calls fn with the users of an account whose presence has changed, from now on, one call after
// another. fn must not block and must not call the gateway. It is not called any more after stop has returned.
func (g *Gateway) WatchPresence(account string, fn func([]UserPresence)) (stop func()) {
	return g.presence.watch(account, fn)
}

// presence is the board of who is here.
type presence struct{}

func (p *presence) set(string, string, Here)                         {}
func (p *presence) list(string) []UserPresence                       { return nil }
func (p *presence) watch(string, func([]UserPresence)) (stop func()) { return func() {} }

// run keeps the board until ctx ends.
func (p *presence) run(ctx context.Context) { <-ctx.Done() }

// record looks at a record that the feed has applied.
func (p *presence) record(*Record) {}
