package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	keyPresence = "presence" // presence.NODE.ACCOUNT.USER: how a user is on a node

	// nodeLeave is how long the users of a node that is gone count as here: as long as a bye gives clients to come
	// back to another node.
	nodeLeave = 30 * time.Second

	exchangeTick  = time.Second
	exchangeTime  = 5 * time.Second // for the store to answer
	exchangeWidth = 8               // writes at a time
	sweepAtOnce   = 500             // keys of dead nodes that are deleted in a tick
)

// exchange joins the boards of the nodes: it writes this node's users into the shared store, and what the others
// write there onto the board. Each node writes its own keys only. What a dead node has left there, all of the others
// delete.
type exchange struct {
	board  *presence
	store  Store
	self   string
	nodes  func() []string // the other nodes that are alive
	logger *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	dirty  map[userKey]struct{} // users of this node whose keys may not say how they are
	places map[place]int        // whose keys may not say what this node's PBX links told, and how often they told it
	wake   chan struct{}

	// These belong to run.
	gone    map[string]time.Time // since when a node that is on the board is not alive
	garbage []deadUser
	failing bool // the store
}

// deadUser is a user on a node that is gone.
type deadUser struct {
	node string
	key  userKey
}

func newExchange(board *presence, store Store, self string, nodes func() []string, logger *slog.Logger, now func() time.Time) *exchange {
	return &exchange{
		board: board, store: store, self: self, nodes: nodes, logger: logger, now: now,
		dirty: map[userKey]struct{}{}, places: map[place]int{}, wake: make(chan struct{}, 1), gone: map[string]time.Time{},
	}
}

// write has a user of this node written as he is by then.
func (x *exchange) write(keys ...userKey) {
	x.mu.Lock()
	for _, key := range keys {
		x.dirty[key] = struct{}{}
	}
	x.mu.Unlock()
	x.rouse()
}

func (x *exchange) rouse() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *exchange) run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { follow(ctx, x.store, keyPresence, x.logger, x.begin) })
	following.Go(func() { follow(ctx, x.store, keyAway, x.logger, x.beginAway) })
	tick := time.NewTicker(exchangeTick)
	defer tick.Stop()
	for {
		select {
		case <-x.wake:
			x.flush(ctx)
		case <-tick.C:
			x.sweep(ctx)
			x.flush(ctx) // what failed
		case <-ctx.Done():
			return
		}
	}
}

// begin takes in what the store holds, once it is listed drops what it does not hold, and writes this node's own.
func (x *exchange) begin() (take func(Value), synced func()) {
	listed := map[deadUser]struct{}{}
	take = func(v Value) {
		node, key, ok := presenceKey(v.Key)
		here := hereOf(v.Data)
		switch {
		case !ok:
		case node == x.self:
			if here != x.board.here(key) { // somebody took this node for dead, or it has changed since
				x.write(key)
			}
		default:
			if listed != nil && here.Online {
				listed[deadUser{node, key}] = struct{}{}
			}
			x.board.setOther(node, key, here)
		}
	}
	synced = func() {
		for _, node := range x.board.nodes() {
			x.board.drop(node, func(key userKey) bool {
				_, there := listed[deadUser{node, key}]
				return !there
			})
		}
		listed = nil
		x.write(x.board.onThisNode()...)
	}
	return take, synced
}

// flush writes what has changed.
func (x *exchange) flush(ctx context.Context) {
	x.mu.Lock()
	keys, places := slices.Collect(maps.Keys(x.dirty)), maps.Clone(x.places)
	clear(x.dirty)
	x.mu.Unlock()
	failed, err := each(ctx, keys, func(ctx context.Context, key userKey) error {
		name := key.in(keyPresence + "." + x.self)
		if here := x.board.here(key); here.Online {
			_, err := x.store.Put(ctx, name, hereData(here), AnyRevision)
			return err
		}
		return x.store.Delete(ctx, name, AnyRevision)
	})
	unwritten, errAway := each(ctx, slices.Collect(maps.Keys(places)), x.writePlace)
	if err = errors.Join(err, errAway); err != nil && !x.failing && ctx.Err() == nil { // said once
		x.logger.Warn("presence is not told to the other nodes", "err", err)
	}
	x.failing = err != nil
	x.mu.Lock()
	defer x.mu.Unlock()
	for at, told := range places { // what was told meanwhile has woken the next flush
		if x.places[at] == told && !slices.Contains(unwritten, at) {
			delete(x.places, at)
		}
	}
	for _, key := range failed { // again with the next tick
		x.dirty[key] = struct{}{}
	}
}

// sweep drops the users of nodes that are gone for long enough.
func (x *exchange) sweep(ctx context.Context) {
	now, alive := x.now(), map[string]bool{}
	for _, node := range x.nodes() {
		alive[node] = true
		delete(x.gone, node)
	}
	for _, node := range x.board.nodes() {
		since, known := x.gone[node]
		switch {
		case alive[node]:
		case !known:
			x.gone[node] = now
		case now.Sub(since) >= nodeLeave:
			delete(x.gone, node)
			for _, key := range x.board.drop(node, func(userKey) bool { return true }) {
				x.garbage = append(x.garbage, deadUser{node, key})
			}
		}
	}
	n := min(len(x.garbage), sweepAtOnce)
	failed, _ := each(ctx, x.garbage[:n], func(ctx context.Context, dead deadUser) error {
		name := dead.key.in(keyPresence + "." + dead.node)
		if !alive[dead.node] {
			return x.store.Delete(ctx, name, AnyRevision)
		}
		// It was only out of sight. Should somebody have deleted the key, the node writes it anew.
		v, err := x.store.Get(ctx, name)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil {
			x.board.setOther(dead.node, dead.key, hereOf(v.Data))
		}
		return err
	})
	x.garbage = append(failed, x.garbage[n:]...)
}

// each calls fn for the items, some at a time, until all are done or one has failed; it returns those that are not
// done, and why the first failed.
func each[T any](ctx context.Context, items []T, fn func(context.Context, T) error) (failed []T, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	one := func(item T) error {
		ctx, cancel := context.WithTimeout(ctx, exchangeTime)
		defer cancel()
		return fn(ctx, item)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range min(exchangeWidth, len(items)) {
		wg.Go(func() {
			for i := w; i < len(items); i += exchangeWidth {
				if err := one(items[i]); err != nil {
					stop(err)
					mu.Lock()
					failed = append(failed, items[i])
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed, context.Cause(ctx)
}

// presenceKey takes a key below keyPresence apart.
func presenceKey(key string) (node string, user userKey, ok bool) {
	rest, ok := strings.CutPrefix(key, keyPresence+".")
	node, _, two := strings.Cut(rest, ".")
	if !ok || !two {
		return "", userKey{}, false
	}
	user, ok = userBelow(keyPresence+"."+node, key)
	return node, user, ok
}

// What stands in the store for a user who is on a node.
const (
	hereOnline  = "online"
	hereVisible = "visible"
)

func hereData(h Here) []byte {
	if h.Visible {
		return []byte(hereVisible)
	}
	return []byte(hereOnline)
}

// hereOf reads what hereData wrote; no data is nobody.
func hereOf(data []byte) Here {
	return Here{Online: data != nil, Visible: string(data) == hereVisible}
}
