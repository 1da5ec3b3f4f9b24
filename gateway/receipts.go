package gateway

import "context"

// Shown says that a page of a user shows the card of a call, on a session of that rung.
func (g *Gateway) Shown(account, user, call, rung string) {
	g.receipts.shown(account, user, call, rung)
}

// receipts know which cards came onto a screen, and when.
type receipts struct{}

func (r *receipts) shown(_, _, _, _ string) {}

// run keeps them until ctx ends.
func (r *receipts) run(ctx context.Context) { <-ctx.Done() }

// record looks at a record that the feed has applied.
func (r *receipts) record(*Record) {}
