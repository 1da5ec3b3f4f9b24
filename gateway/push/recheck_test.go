package push

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// memStore is a store in memory that nodes share.
type memStore struct {
	mu      sync.Mutex
	values  map[string]gateway.Value
	log     []gateway.Value
	changed chan struct{}
}

func newMemStore() *memStore {
	return &memStore{values: map[string]gateway.Value{}, changed: make(chan struct{})}
}

func (s *memStore) Get(_ context.Context, key string) (gateway.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	if !ok {
		return gateway.Value{}, gateway.ErrNotFound
	}
	return v, nil
}

func (s *memStore) Put(_ context.Context, key string, data []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev != gateway.AnyRevision && rev != s.values[key].Rev {
		return 0, gateway.ErrConflict
	}
	v := gateway.Value{Key: key, Data: data, Rev: uint64(len(s.log) + 1)}
	s.values[key] = v
	s.log = append(s.log, v)
	close(s.changed)
	s.changed = make(chan struct{})
	return v.Rev, nil
}

func (s *memStore) Delete(context.Context, string, uint64) error { return nil } // nothing lives that long here

func (s *memStore) List(_ context.Context, prefix string, fn func(gateway.Value) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.values {
		if strings.HasPrefix(key, prefix+".") {
			if err := fn(v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memStore) Watch(ctx context.Context, prefix string, fn func(gateway.Value) error, synced func()) error {
	for next := 0; ; {
		s.mu.Lock()
		news, changed := s.log[next:], s.changed
		next = len(s.log)
		s.mu.Unlock()
		for _, v := range news {
			if strings.HasPrefix(v.Key, prefix+".") {
				if err := fn(v); err != nil {
					return err
				}
			}
		}
		if synced != nil {
			synced()
			synced = nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// nodeRig is a node whose revocations and directory are those of a store.
type nodeRig struct {
	*rig
	revocations *gateway.Revocations
	overlay     *gateway.Overlay
}

func newNode(t *testing.T, store gateway.Store) *nodeRig {
	t.Helper()
	n := &nodeRig{}
	quiet := slog.New(slog.DiscardHandler)
	n.revocations = gateway.NewRevocations(store, quiet, time.Now, func(account, user string) { n.server.Recheck(account, user) })
	n.overlay = gateway.NewOverlay(store, quiet, func(account string) { n.server.Recheck(account, "") },
		gateway.Account{ID: "acme", Users: []gateway.User{{ID: "1", Name: "Anna"}, {ID: "2", Name: "Boris"}}})
	n.rig = newRig(t, func(c *Config) {
		c.Revoked, c.Directory = n.revocations.Revoked, n.overlay
		c.Limits.PingEvery, c.Limits.PollWait = time.Hour, time.Hour // which would find out, too, but late
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = n.revocations.Run(ctx) })
	running.Go(func() { _ = n.overlay.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return n
}

// wantEnd is that a tab is closed with 4501, and that its user's token is worth nothing.
func (n *nodeRig) wantEnd(tab *tab, token string) {
	n.t.Helper()
	tab.wantClose(closeRevoked)
	status, _, body := n.post("/v1/poll", map[string]any{"token": token, "wait": 0})
	if code := problemCode(n.t, body); status != 403 || code != gateway.CodeRevoked {
		n.t.Errorf("the token still counts: %d %s", status, body)
	}
}

func TestRevocationClosesSessionsOnAllNodes(t *testing.T) {
	t.Parallel()
	store := newMemStore()
	a, b := newNode(t, store), newNode(t, store)
	token := a.token(anna)
	subscribed := make(chan userKey, 8)
	b.gw.onSubscribe = func(key userKey) { subscribed <- key }
	onA, _ := a.enter(anna, "")
	onB, _ := b.enter(anna, "")
	other, _ := b.enter(boris, "")
	polled := make(chan pollStatus, 1)
	go func() {
		status, _, body := b.post("/v1/poll", map[string]any{"token": token, "cursor": fakeCursor(0)})
		polled <- pollStatus{status, string(body)}
	}()
	for range 3 {
		recv(t, subscribed)
	}
	if err := a.revocations.Revoke(t.Context(), "acme", "1"); err != nil {
		t.Fatal(err)
	}
	a.wantEnd(onA, token)
	b.wantEnd(onB, token)
	if p := recv(t, polled); p.status != 403 {
		t.Errorf("a waiting poll: %+v", p)
	}
	b.gw.publish(boris, 0)
	if m := other.next(); m.Type != "call" {
		t.Errorf("another user: %+v", m)
	}
}

type pollStatus struct {
	status int
	body   string
}

func TestUserTakenOutIsClosedOnAllNodes(t *testing.T) {
	t.Parallel()
	store := newMemStore()
	a, b := newNode(t, store), newNode(t, store)
	token := b.token(anna)
	onA, _ := a.enter(anna, "")
	onB, _ := b.enter(anna, "")
	if err := a.overlay.Remove(t.Context(), "acme", "1"); err != nil {
		t.Fatal(err)
	}
	a.wantEnd(onA, token)
	b.wantEnd(onB, token)
	if err := b.overlay.Put(t.Context(), "acme", gateway.User{ID: "1", Name: "Anna", Extensions: []string{"101"}}); err != nil {
		t.Fatal(err)
	}
	if _, hello := b.enter(anna, ""); len(hello.User.Extensions) != 1 {
		t.Errorf("back as %+v", hello.User)
	}
}
