package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"
)

const (
	keyRevoked = "revoked" // revoked.ACCOUNT.USER: until when tokens are revoked

	// rememberRevoked is the longest life of a token, and a little for clocks.
	rememberRevoked = 24*time.Hour + time.Minute
	forgetRevoked   = 10 * time.Minute // how often what is old is deleted

	// clockLead is how far ahead the clock of whoever issues tokens may be. What claims to be of a later time could
	// never be revoked, and counts as old.
	clockLead = 5 * time.Second
)

// Revocations are the users whose tokens of before some moment do not count any more, on all nodes. They live
// in the store as long as such a token could. All methods may be called from many goroutines.
//
// A token tells in whole seconds when it was issued. One that was issued in the very second of the revocation
// counts as revoked, also if it came after it: who comes back at once is refused for up to a second.
type Revocations struct {
	store   Store
	logger  *slog.Logger
	now     func() time.Time
	revoked func(account, user string)

	mu    sync.RWMutex
	users map[userKey]time.Time // whole seconds
}

// NewRevocations returns the revocations that store holds, once Load has returned; after that revoked is called for
// each new one, this node's own included, and must not block.
func NewRevocations(store Store, logger *slog.Logger, now func() time.Time, revoked func(account, user string)) *Revocations {
	return &Revocations{store: store, logger: logger, now: now, revoked: revoked, users: map[userKey]time.Time{}}
}

// Load reads what is revoked. Nobody's token may be looked at before.
func (r *Revocations) Load(ctx context.Context) error {
	err := r.store.List(ctx, keyRevoked, func(v Value) error {
		r.note(v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	return nil
}

// Run follows the store until ctx ends; it returns nil then.
func (r *Revocations) Run(ctx context.Context) error {
	var forgetting sync.WaitGroup
	defer forgetting.Wait()
	forgetting.Go(func() {
		tick := time.NewTicker(forgetRevoked)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.forget(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	follow(ctx, r.store, keyRevoked, r.logger, func() (func(Value), func()) { return r.take, func() {} })
	return nil
}

// Revoke makes all tokens of a user, issued until now, worth nothing. When it has returned they are so on this
// node, and on the others as soon as the store has told them.
func (r *Revocations) Revoke(ctx context.Context, account, user string) error {
	key := userKey{account, user}
	at := r.now().UTC().Truncate(time.Second)
	r.mu.RLock()
	if was := r.users[key]; was.After(at) { // by a node whose clock is ahead
		at = was
	}
	r.mu.RUnlock()
	if _, err := r.store.Put(ctx, key.in(keyRevoked), []byte(at.Format(time.RFC3339)), AnyRevision); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if r.set(key, at) {
		r.revoked(account, user)
	}
	return nil
}

// Revoked says whether a token of the user, issued at that time, is revoked. A token that does not say when
// it was issued counts as issued long ago.
func (r *Revocations) Revoked(account, user string, issued time.Time) bool {
	r.mu.RLock()
	at, ok := r.users[userKey{account, user}]
	r.mu.RUnlock()
	return ok && (!issued.Truncate(time.Second).After(at) || issued.After(r.now().Add(clockLead)))
}

// take notes a change of the store, and says what is new.
func (r *Revocations) take(v Value) {
	if key, isNew := r.note(v); isNew {
		r.revoked(key.account, key.user)
	}
}

// note notes what the store holds, or has lost.
func (r *Revocations) note(v Value) (_ userKey, isNew bool) {
	key, ok := userBelow(keyRevoked, v.Key)
	at, err := time.Parse(time.RFC3339, string(v.Data))
	switch {
	case ok && v.Data == nil:
		r.mu.Lock()
		delete(r.users, key)
		r.mu.Unlock()
	case !ok || err != nil:
		r.logger.Error("not a revocation", "key", v.Key, "err", err)
	default:
		return key, r.set(key, at)
	}
	return key, false
}

func (r *Revocations) set(key userKey, at time.Time) (isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if isNew = at.After(r.users[key]); isNew {
		r.users[key] = at
	}
	return isNew
}

// forget deletes what no token can be as old as. All nodes do so; one is enough.
func (r *Revocations) forget(ctx context.Context) {
	r.mu.RLock()
	old := maps.Clone(r.users)
	r.mu.RUnlock()
	for key, at := range old {
		if r.now().Sub(at) <= rememberRevoked {
			continue
		}
		if err := r.erase(ctx, key, at); err != nil && !errors.Is(err, ErrNotFound) {
			r.logger.Debug("an old revocation stays for now", "err", err)
			continue
		}
		r.drop(key, at)
	}
}

// erase deletes a revocation from the store, unless a new one has come.
func (r *Revocations) erase(ctx context.Context, key userKey, at time.Time) error {
	name := key.in(keyRevoked)
	v, err := r.store.Get(ctx, name)
	if err != nil || string(v.Data) != at.Format(time.RFC3339) {
		return err
	}
	return r.store.Delete(ctx, name, v.Rev)
}

// drop forgets a revocation that is not newer than at.
func (r *Revocations) drop(key userKey, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users[key].Equal(at) {
		delete(r.users, key)
	}
}
