package gateway

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errCut = errors.New("the node is cut off")

// line is what a node has to the world, which a test can cut: everything fails then, or hangs.
type line struct {
	cut  atomic.Pointer[chan struct{}] // closed when it is mended
	deaf atomic.Bool                   // the log is not read
	hang atomic.Pointer[chan struct{}] // closed when it goes on
}

func (l *line) use(ctx context.Context) error {
	if hang := l.hang.Load(); hang != nil {
		select {
		case <-*hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.cut.Load() != nil {
		return errCut
	}
	return nil
}

func (l *line) sever() { l.cut.CompareAndSwap(nil, new(make(chan struct{}))) }

func (l *line) mend() {
	if mended := l.cut.Swap(nil); mended != nil {
		close(*mended)
	}
}

// whole waits until the line can be used.
func (l *line) whole(ctx context.Context) error {
	for {
		err := l.use(ctx)
		mended := l.cut.Load()
		if !errors.Is(err, errCut) {
			return err
		}
		if mended == nil {
			continue
		}
		select {
		case <-*mended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lineStore is a store behind a line.
type lineStore struct {
	Store
	line *line
}

func (s lineStore) Get(ctx context.Context, key string) (Value, error) {
	if err := s.line.use(ctx); err != nil {
		return Value{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s lineStore) Put(ctx context.Context, key string, data []byte, rev uint64) (uint64, error) {
	if err := s.line.use(ctx); err != nil {
		return 0, err
	}
	return s.Store.Put(ctx, key, data, rev)
}

func (s lineStore) Delete(ctx context.Context, key string, rev uint64) error {
	if err := s.line.use(ctx); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key, rev)
}

func (s lineStore) List(ctx context.Context, prefix string, fn func(Value) error) error {
	if err := s.line.use(ctx); err != nil {
		return err
	}
	return s.Store.List(ctx, prefix, fn)
}

func (s lineStore) Watch(ctx context.Context, prefix string, fn func(Value) error, synced func()) error {
	if err := s.line.use(ctx); err != nil {
		return err
	}
	return s.Store.Watch(ctx, prefix, func(v Value) error {
		if err := s.line.use(ctx); err != nil {
			return err
		}
		return fn(v)
	}, synced)
}

// lineLog is a log behind a line.
type lineLog struct {
	*memLog
	line *line
}

func (l lineLog) Append(ctx context.Context, e Entry, after uint64) (uint64, error) {
	if err := l.line.use(ctx); err != nil {
		return 0, err
	}
	return l.memLog.Append(ctx, e, after)
}

func (l lineLog) Last(ctx context.Context, partition int) (uint64, error) {
	if err := l.line.use(ctx); err != nil {
		return 0, err
	}
	return l.memLog.Last(ctx, partition)
}

func (l lineLog) Purge(ctx context.Context, partition int, before uint64) error {
	if err := l.line.use(ctx); err != nil {
		return err
	}
	return l.memLog.Purge(ctx, partition, before)
}

func (l lineLog) Tail(ctx context.Context, after uint64, fn func(Entry) error) error {
	return l.memLog.Tail(ctx, after, func(e Entry) error {
		if l.line.deaf.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		if err := l.line.whole(ctx); err != nil { // as the contract says, it goes on where it was
			return err
		}
		return fn(e)
	})
}

// fleet is nodes that share one log.
type fleet struct {
	t      *testing.T
	log    *memLog
	store  *memStore
	shared *sharedStore
	net    *memNet
	nodes  []*node

	journal func(l *line) JournalConfig // of the node at the end of a line; nil: none has one
}

// node is one of them.
type node struct {
	*bundle
	name   string
	peers  *memPeers
	line   *line // to log and stores
	shared *line // to the shared store alone
	pbx    *fakePBX
	kill   func()
	ends   func() error // what Run gives up with by itself, nil: it goes on
}

func inFleet(t *testing.T, partitions, nodes int, test func(t *testing.T, f *fleet)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		log.partitions = partitions
		f := &fleet{t: t, log: log, store: &memStore{}, shared: newSharedStore(), net: newMemNet()}
		for range nodes {
			f.start()
		}
		if nodes > 0 {
			f.settle()
		}
		defer func() {
			for _, n := range slices.Clone(f.nodes) {
				n.stop()
			}
		}()
		test(t, f)
	})
}

func testLogger() *slog.Logger {
	if os.Getenv("RINGCAST_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// start adds a node.
func (f *fleet) start() *node {
	n := &node{peers: f.net.join(), line: &line{}, shared: &line{}, pbx: &fakePBX{state: "connected"}}
	n.name = n.peers.name
	logger := testLogger()
	if logger != nil {
		logger = logger.With("on", n.name)
	}
	var journal JournalConfig
	if f.journal != nil {
		journal = f.journal(n.line)
	}
	g := New(Config{
		Journal: journal, Log: lineLog{f.log, n.line}, Store: lineStore{f.store, n.line}, Directory: directory(), Logger: logger,
		Peers: n.peers, Shared: lineStore{lineStore{f.shared, n.line}, n.shared},
	})
	g.Attach("acme", "office", n.pbx)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-g.Ready()
	n.bundle = &bundle{Gateway: g, t: f.t, log: f.log, store: f.store}
	dead := false
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !dead {
			f.t.Errorf("Run: %v", err)
		}
		f.nodes = slices.DeleteFunc(f.nodes, func(m *node) bool { return m == n })
	})
	n.ends = func() error {
		select {
		case err := <-done:
			dead = true
			done <- err
			return err
		case <-time.After(time.Minute):
			return nil
		}
	}
	n.kill = func() {
		dead = true
		n.line.sever()
		f.net.mu.Lock()
		n.peers.answer = nil
		delete(f.net.nodes, n.name)
		f.net.mu.Unlock()
		n.stop()
	}
	f.nodes = append(f.nodes, n)
	return n
}

// settle waits until every partition has an owner and none is to be handed over.
func (f *fleet) settle() {
	f.t.Helper()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(lookEvery) {
		least, most, all := 1000, 0, 0
		for _, n := range f.nodes {
			own := n.own()
			least, most, all = min(least, own), max(most, own), all+own
		}
		if all == f.log.partitions && most-least <= 1 {
			return
		}
	}
	f.t.Fatal("the nodes do not settle")
}

// own is how many partitions a node owns.
func (n *node) own() (own int) {
	for _, p := range n.Partitions() {
		if p.Mine {
			own++
		}
	}
	return own
}

// owner returns who owns acme's partition, and another node.
func (f *fleet) owner() (owner, other *node) {
	f.t.Helper()
	for _, n := range f.nodes {
		if n.Partitions()[n.partition("acme")].Mine {
			owner = n
		} else {
			other = n
		}
	}
	if owner == nil {
		f.t.Fatal("nobody owns the partition")
	}
	return owner, other
}

// send emits until it is taken, as a PBX would, and returns how long that took.
func (n *node) send(lines ...string) time.Duration {
	n.t.Helper()
	begun := time.Now()
	for {
		_, err := n.Emit(n.t.Context(), "acme", "office", lineEvents(lines...))
		if err == nil {
			return time.Since(begun)
		}
		if code := CodeOf(err); code != CodeUnavailable && code != CodeDraining || time.Since(begun) > time.Minute {
			n.t.Fatalf("emit %q after %v: %v", lines, time.Since(begun), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// contains says whether some entry holds a text.
func (l *memLog) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.entries, func(e Entry) bool { return strings.Contains(string(e.Data), text) })
}

// end is the last entry of a partition.
func (f *fleet) end(partition int) uint64 {
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	return f.log.last(partition)
}
