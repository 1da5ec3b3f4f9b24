package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// A snapshot lets a start begin near the log's end. It is a key for each call, one for the last
// positions of each account's users, and, written after all of those, the position that they hold for:
// they may be newer than that, never older, and records applied over them again change nothing.
const (
	keySnapshot = "snapshot"
	keyCalls    = "call"
	keyUsers    = "users"
)

// resumeWindow is how much of the log is kept for browsers to resume from after a restart.
const resumeWindow = 15 * time.Minute

type snapshotHead struct {
	Epoch     string   `json:"epoch"`
	Seq       uint64   `json:"seq"`
	Forgotten Position `json:"forgotten"` // the last position of any user that is no longer remembered
}

// snapshot writes what has changed since the last one, then purges from the log what nobody needs.
func (g *Gateway) snapshot(ctx context.Context) error {
	f, store := g.feed, g.cfg.Store
	head := snapshotHead{Epoch: f.epoch, Seq: f.head.Load()}
	for i := range f.shards {
		if err := f.shards[i].save(ctx, store, &head); err != nil {
			return err
		}
	}
	data, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("encode snapshot: %w", err)
	}
	if _, err := store.Put(ctx, keySnapshot, data, AnyRevision); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	before := min(head.Seq, f.times.before(g.cfg.Now().Add(-resumeWindow)))
	for p := range g.owners {
		if err := g.cfg.Log.Purge(ctx, p, before); err != nil {
			return fmt.Errorf("purge the log: %w", err)
		}
	}
	return nil
}

// save writes the shard's changes. What could not be written stays marked for the next time.
func (s *shard) save(ctx context.Context, store Store, head *snapshotHead) (err error) {
	s.mu.Lock()
	dirty, moved, gone := s.dirty, s.moved, s.gone
	s.dirty, s.moved, s.gone = map[callKey]struct{}{}, map[string]struct{}{}, map[callKey]time.Time{}
	calls := make([]*Call, 0, len(dirty))
	for key := range dirty {
		calls = append(calls, s.calls[key])
	}
	last := map[string]map[string]Position{}
	for account := range moved {
		last[account] = map[string]Position{}
	}
	for key, u := range s.users {
		if users, ok := last[key.account]; ok {
			users[key.user] = u.last
		}
	}
	if s.forgotten.Compare(head.Forgotten) > 0 {
		head.Forgotten = s.forgotten
	}
	s.mu.Unlock()

	defer func() {
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			maps.Copy(s.dirty, dirty)
			maps.Copy(s.moved, moved)
			maps.Copy(s.gone, gone)
		}
	}()
	for _, c := range calls {
		if err := putJSON(ctx, store, callStoreKey(c.Account, c.ID), c); err != nil {
			return err
		}
	}
	for account, users := range last {
		if err := putJSON(ctx, store, keyUsers+"."+storeKey(account), accountUsers{account, users}); err != nil {
			return err
		}
	}
	for key := range gone {
		if err := store.Delete(ctx, callStoreKey(key.account, key.id), AnyRevision); err != nil {
			return fmt.Errorf("forget call: %w", err)
		}
	}
	return nil
}

type accountUsers struct {
	Account string              `json:"account"`
	Users   map[string]Position `json:"users"`
}

func putJSON(ctx context.Context, store Store, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	if _, err := store.Put(ctx, key, data, AnyRevision); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// restore loads the last snapshot, if there is one.
func (g *Gateway) restore(ctx context.Context) error {
	f, store := g.feed, g.cfg.Store
	value, err := store.Get(ctx, keySnapshot)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	var head snapshotHead
	if err := json.Unmarshal(value.Data, &head); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	// The calls are true in any case, but positions mean nothing in another incarnation of the log.
	if f.restored = head.Epoch == f.epoch; f.restored {
		for i := range f.shards {
			f.shards[i].forgotten = head.Forgotten
		}
	}
	now := g.cfg.Now()
	err = store.List(ctx, keyCalls, func(v Value) error {
		c := new(Call)
		if err := json.Unmarshal(v.Data, c); err != nil {
			return fmt.Errorf("snapshot, %s: %w", v.Key, err)
		}
		s := f.shard(c.Account)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.put(callKey{c.Account, c.ID}, c, now)
		delete(s.dirty, callKey{c.Account, c.ID})
		return nil
	})
	if err != nil {
		return err
	}
	if !f.restored {
		return nil
	}
	return store.List(ctx, keyUsers, func(v Value) error {
		var users accountUsers
		if err := json.Unmarshal(v.Data, &users); err != nil {
			return fmt.Errorf("snapshot, %s: %w", v.Key, err)
		}
		s := f.shard(users.Account)
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, last := range users.Users {
			u := s.user(users.Account, name, now)
			u.last, u.ring.floor = last, last
		}
		return nil
	})
}

func callStoreKey(account, id string) string {
	return keyCalls + "." + storeKey(account) + "." + storeKey(id)
}

// storeKey makes any text fit to be one level of a store's key.
func storeKey(s string) string { return "_" + base64.RawURLEncoding.EncodeToString([]byte(s)) }
