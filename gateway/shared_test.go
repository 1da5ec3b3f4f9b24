package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// sharedStore is a Store in memory that several gateways watch. A test can break it, and see it slow.
type sharedStore struct {
	memStore

	mu      sync.Mutex
	log     []Value // every change
	changed chan struct{}
	broken  error // what each operation answers, if set
}

var _ Store = (*sharedStore)(nil)

func newSharedStore() *sharedStore {
	return &sharedStore{changed: make(chan struct{})}
}

func (s *sharedStore) Get(ctx context.Context, key string) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return Value{}, s.broken
	}
	return s.memStore.Get(ctx, key)
}

func (s *sharedStore) Put(ctx context.Context, key string, data []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return 0, s.broken
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	rev, err := s.memStore.Put(ctx, key, data, rev)
	if err == nil {
		s.note(Value{Key: key, Data: data, Rev: rev})
	}
	return rev, err
}

func (s *sharedStore) Delete(ctx context.Context, key string, rev uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	_, err := s.memStore.Get(ctx, key)
	if err != nil {
		return nil
	}
	if err = s.memStore.Delete(ctx, key, rev); err == nil {
		s.note(Value{Key: key})
	}
	return err
}

func (s *sharedStore) note(v Value) {
	s.log = append(s.log, v)
	s.wake()
}

func (s *sharedStore) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// breaks makes every operation fail, watches too, until it is called with nil.
func (s *sharedStore) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
	s.wake()
}

func (s *sharedStore) Watch(ctx context.Context, prefix string, fn func(Value) error, synced func()) error {
	s.mu.Lock()
	next, broken := len(s.log), s.broken
	var all []Value
	_ = s.List(ctx, prefix, func(v Value) error {
		all = append(all, v)
		return nil
	})
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	for _, v := range all {
		if err := fn(v); err != nil {
			return err
		}
	}
	synced()
	for {
		s.mu.Lock()
		news, changed, broken := s.log[next:], s.changed, s.broken
		next = len(s.log)
		s.mu.Unlock()
		if broken != nil {
			return broken
		}
		for _, v := range news {
			if below(prefix, v.Key) {
				if err := fn(v); err != nil {
					return err
				}
			}
		}
		if len(news) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func below(prefix, key string) bool {
	return key == prefix || len(key) > len(prefix) && key[:len(prefix)] == prefix && key[len(prefix)] == '.'
}

// keys returns what is below a prefix.
func (s *sharedStore) keys(prefix string) []string {
	var keys []string
	_ = s.List(context.Background(), prefix, func(v Value) error {
		keys = append(keys, v.Key)
		return nil
	})
	return keys
}

var errStore = errors.New("the store is away")

// background runs something until stop is called or the test ends.
func background(t *testing.T, run func(ctx context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// pass lets time go by in a bubble.
func pass(d time.Duration) { <-time.After(d) }
