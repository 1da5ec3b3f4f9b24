package natslog

import (
	"context"
	"errors"
	"testing"
	"time"

	"ringcast/gateway"
)

// watching runs a Watch and hands on what it is told.
type watching struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // of the test
	synced  chan struct{}
	changes chan gateway.Value
}

func watchAll(ctx context.Context, t *testing.T, s gateway.Store) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{t: t, ctx: ctx, synced: make(chan struct{}), changes: make(chan gateway.Value, 100)}
	ended := make(chan error, 1)
	go func() {
		ended <- s.Watch(ctx, "", func(v gateway.Value) error { w.changes <- v; return nil }, func() { close(w.synced) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch = %v", err)
		}
	})
	<-w.synced
	return w
}

// want takes changes until one says that key became data, "" meaning that it is gone.
func (w *watching) want(key, data string) gateway.Value {
	w.t.Helper()
	for {
		select {
		case v := <-w.changes:
			if v.Key == key && string(v.Data) == data {
				return v
			}
		case <-w.ctx.Done():
			w.t.Fatalf("was never told that %s became %q", key, data)
		}
	}
}

// testVolatileVanishes waits for a value to end by its ttl.
func testVolatileVanishes(t *testing.T, db *DB) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := db.Volatile(ctx, "ttl", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	w := watchAll(ctx, t, s)
	put := func(data string, rev uint64) uint64 {
		rev, err := s.Put(ctx, "a", []byte(data), rev)
		if err != nil {
			t.Fatal(err)
		}
		w.want("a", data)
		return rev
	}
	rev := put("1", 0)
	begun := time.Now()
	rev = put("2", rev)
	w.want("a", "")
	if took := time.Since(begun); took < 4500*time.Millisecond {
		t.Errorf("it was gone after %v", took)
	}
	if _, err := s.Get(ctx, "a"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	if _, err := s.Put(ctx, "a", nil, rev); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("Put over what is gone: %v", err)
	}
	put("3", 0)
}

// TestVolatileIsLost restarts all servers.
func TestVolatileIsLost(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"Server": 1, "Cluster": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := processes(t, n)
			db := open(t, Config{URL: s.url("one")})
			t.Cleanup(func() { closeDB(t, db) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(cancel)
			v, err := db.Volatile(ctx, "shared", 0)
			if err != nil {
				t.Fatal(err)
			}
			w := watchAll(ctx, t, v)
			var before uint64
			for _, key := range []string{"a", "b"} {
				if before, err = v.Put(ctx, key, []byte("before"), 0); err != nil {
					t.Fatal(err)
				}
				w.want(key, "before")
			}
			for _, n := range s.nodes {
				n.kill()
			}
			for _, n := range s.nodes {
				n.launch()
			}
			await(ctx, t, "known to be lost", func() bool {
				_, err = v.Get(ctx, "a")
				return errors.Is(err, gateway.ErrNotFound)
			})
			w.want("b", "")
			var after uint64
			await(ctx, t, "written again", func() bool {
				after, err = v.Put(ctx, "a", []byte("after"), gateway.AnyRevision)
				return err == nil
			})
			if after <= before {
				t.Errorf("revision %d, and before the loss it was %d", after, before)
			}
			w.want("a", "after")
		})
	}
}
