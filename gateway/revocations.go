package gateway

import (
	"context"
	"time"
)

// Revocations are the users whose tokens of before some moment do not count any more, on all nodes. They live
// in the store as long as such a token could. All methods may be called from many goroutines.
type Revocations struct{}

// NewRevocations returns the revocations that store holds; revoked is called for each new one, this node's own
// included, and must not block.
func NewRevocations(_ Store, _ func() time.Time, _ func(account, user string)) *Revocations {
	return &Revocations{}
}

// Run follows the store until ctx ends; it returns nil then.
func (r *Revocations) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Revoke makes all tokens of a user, issued until now, worth nothing.
func (r *Revocations) Revoke(_ context.Context, _, _ string) error { return nil }

// Revoked says whether a token of the user, issued at that time, is revoked. A token that does not say when
// it was issued counts as issued long ago.
func (r *Revocations) Revoked(_, _ string, _ time.Time) bool { return false }
