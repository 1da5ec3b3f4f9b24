package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// memLog is a Log in memory whose appends a test can hold up or spoil.
type memLog struct {
	epoch      string
	partitions int
	maxEntry   int
	now        func() time.Time

	mu       sync.Mutex
	entries  []Entry
	seq      uint64
	changed  chan struct{}
	onAppend func(e Entry) error // called with the entry before it is kept; nil error: go on
	afterAll func(e Entry) error // called when it is kept: its error is returned all the same
	onLast   func()              // called once when Last has looked
}

var _ Log = (*memLog)(nil)

func newMemLog() *memLog {
	return &memLog{epoch: "e1", partitions: 1, maxEntry: 4 << 20, now: time.Now, changed: make(chan struct{})}
}

func (l *memLog) Info() LogInfo {
	return LogInfo{Epoch: l.epoch, Partitions: l.partitions, MaxEntry: l.maxEntry}
}

func (l *memLog) Append(_ context.Context, e Entry, after uint64) (uint64, error) {
	l.mu.Lock()
	before, later := l.onAppend, l.afterAll
	l.mu.Unlock()
	if before != nil {
		if err := before(e); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last(e.Partition) != after {
		return 0, ErrConflict
	}
	l.seq++
	e.Seq, e.Time, e.Data = l.seq, l.now(), append([]byte(nil), e.Data...)
	l.entries = append(l.entries, e)
	close(l.changed)
	l.changed = make(chan struct{})
	if later != nil {
		if err := later(e); err != nil {
			return 0, err
		}
	}
	return e.Seq, nil
}

func (l *memLog) last(partition int) uint64 {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.entries[i].Partition == partition {
			return l.entries[i].Seq
		}
	}
	return 0
}

func (l *memLog) Last(_ context.Context, partition int) (uint64, error) {
	l.mu.Lock()
	last, later := l.last(partition), l.onLast
	l.onLast = nil
	l.mu.Unlock()
	if later != nil {
		later()
	}
	return last, nil
}

func (l *memLog) Tail(ctx context.Context, after uint64, fn func(Entry) error) error {
	for {
		l.mu.Lock()
		var next *Entry
		for i := range l.entries {
			if l.entries[i].Seq > after {
				e := l.entries[i]
				next = &e
				break
			}
		}
		changed := l.changed
		l.mu.Unlock()
		if next != nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(*next); err != nil {
				return err
			}
			after = next.Seq
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *memLog) Purge(_ context.Context, partition int, before uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.last(partition)
	l.entries = slices.DeleteFunc(l.entries, func(e Entry) bool {
		return e.Partition == partition && e.Seq < before && e.Seq != last
	})
	return nil
}

func (l *memLog) records() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		n += strings.Count(string(e.Data), "\n") - 1
	}
	return n
}

// memStore is a Store in memory.
type memStore struct {
	mu   sync.Mutex
	data map[string]Value
	rev  uint64
}

var _ Store = (*memStore)(nil)

func (s *memStore) Get(_ context.Context, key string) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.data[key]
	if !ok {
		return Value{}, ErrNotFound
	}
	return v, nil
}

func (s *memStore) Put(_ context.Context, key string, data []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev != AnyRevision && s.data[key].Rev != rev {
		return 0, ErrConflict
	}
	if s.data == nil {
		s.data = map[string]Value{}
	}
	s.rev++
	s.data[key] = Value{Key: key, Data: data, Rev: s.rev}
	return s.rev, nil
}

func (s *memStore) Delete(_ context.Context, key string, rev uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev != AnyRevision && s.data[key].Rev != rev {
		return ErrConflict
	}
	delete(s.data, key)
	return nil
}

func (s *memStore) List(_ context.Context, prefix string, fn func(Value) error) error {
	s.mu.Lock()
	data := maps.Clone(s.data)
	s.mu.Unlock()
	for key, v := range data {
		if key == prefix || strings.HasPrefix(key, prefix+".") {
			if err := fn(v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memStore) Watch(context.Context, string, func(Value) error, func()) error {
	return fmt.Errorf("watch: %w", ErrNotFound) // the engine does not watch
}
