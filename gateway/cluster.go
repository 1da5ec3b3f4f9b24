package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Nodes know of each other by what they keep in the shared store: each writes its heartbeat, and each partition has
// a lease that names its owner. Nobody's clock is compared with another's: a node is dead for an observer when its
// heartbeat has not changed for deadAfter by the observer's clock, while the observer's own came back through the
// same watch. A node that could not write its heartbeat counts itself out sooner than anybody else can.
const (
	beatEvery = 500 * time.Millisecond
	beatTime  = time.Second     // one heartbeat's write takes no longer, or is begun anew
	outAfter  = 2 * time.Second // since the last heartbeat that was written was begun
	deadAfter = 3 * time.Second // since the last heartbeat that was seen
	lookEvery = 200 * time.Millisecond

	// What an observer must have seen of its own heartbeats since the last of a node that it takes for dead.
	echoesOfLife = 3

	// A free partition is its first candidate's for so long, then anybody's.
	candidateTime = time.Second

	keyCluster = "cluster"
	keyNode    = keyCluster + ".node."
	keyLease   = keyCluster + ".lease."
)

// heartbeat is what a node says of itself.
type heartbeat struct {
	Ready   bool   `json:"ready"`             // it takes partitions; false: it starts or leaves
	Serving []int  `json:"serving,omitempty"` // the partitions that it owns and takes events for
	Head    uint64 `json:"head"`              // the last entry that its feed has applied
}

// lease says who owns a partition; its generation is the key's revision. "": nobody.
type lease struct {
	Node       string `json:"node"`
	generation uint64
}

// cluster is this node's view of all nodes and leases, and its own heartbeat.
type cluster struct {
	node    string
	shared  Store
	logger  *slog.Logger
	report  func() heartbeat
	begun   time.Time
	renewed atomic.Int64  // when the last heartbeat that was written was begun, since begun
	absence atomic.Int64  // how often this node was out
	hurry   chan struct{} // to send a heartbeat at once
	current atomic.Pointer[view]
	beating sync.Mutex // held while a heartbeat is sent

	mu      sync.Mutex
	members map[string]*member
	leases  []lease
	free    []time.Time    // since when nobody who is alive owns the partition; zero: somebody does
	echoes  int            // own heartbeats that came back
	echoed  time.Time      // the last of them
	lost    time.Time      // when the last node that is gone was last heard of
	heirs   map[int]string // to whom this node, which leaves, has promised partitions
}

// member is a node as its heartbeats show it.
type member struct {
	heartbeat
	rev    uint64
	beats  bool      // it has changed under our eyes: what was found may be what a dead node left behind
	seen   time.Time // when it last changed
	echoes int       // own heartbeats that had come back then
}

// view is how things stand. It does not change; when they do there is another.
type view struct {
	changed chan struct{} // closed when there is a newer view
	in      bool          // this node counts
	absence int64         // how often it did not
	alive   []string      // all nodes, sorted
	leases  []lease
	mine    []bool // the partitions that this node should own
	give    int    // the one of them that it should hand over, to the node; -1: none
	to      string
}

// wait returns when there is another view, or ctx ends, or after d.
func (v *view) wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-v.changed:
	case <-ctx.Done():
	}
}

func newCluster(node string, shared Store, partitions int, logger *slog.Logger, report func() heartbeat) *cluster {
	c := &cluster{
		node: node, shared: shared, logger: logger.With("node", node), report: report, begun: time.Now(), hurry: make(chan struct{}, 1),
		members: map[string]*member{}, heirs: map[int]string{}, leases: make([]lease, partitions), free: make([]time.Time, partitions),
	}
	c.renewed.Store(int64(-time.Hour))
	c.lost = c.begun
	c.current.Store(&view{changed: make(chan struct{}), leases: make([]lease, partitions), mine: make([]bool, partitions), give: -1})
	return c
}

// in says whether this node counts: whether nobody can take it for dead.
func (c *cluster) in() bool { return time.Since(c.begun)-time.Duration(c.renewed.Load()) < outAfter }

// view returns how things stand.
func (c *cluster) view() *view { return c.current.Load() }

// run keeps heartbeat and view until ctx ends, and then takes the heartbeat away.
func (c *cluster) run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { c.beat(ctx) })
	loops.Go(func() { c.bury(ctx) })
	loops.Go(func() { c.watch(ctx) })
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			c.mu.Lock()
			c.look()
			c.mu.Unlock()
		case <-ctx.Done():
		}
	}
	loops.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTime)
	defer cancel()
	if err := c.shared.Delete(ctx, keyNode+c.node, AnyRevision); err != nil {
		c.logger.Warn("heartbeat left behind", "err", err)
	}
}

// beat sends heartbeats until ctx ends.
func (c *cluster) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if err := c.sendBeat(ctx); err != nil && ctx.Err() == nil {
			c.logger.Warn("heartbeat", "err", err)
		}
		select {
		case <-tick.C:
		case <-c.hurry:
		case <-ctx.Done():
			return
		}
	}
}

func (c *cluster) sendBeat(ctx context.Context) error {
	c.beating.Lock() // what was reported first is not to be written last
	defer c.beating.Unlock()
	begun := time.Since(c.begun)
	data, err := json.Marshal(c.report())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	if _, err := c.shared.Put(ctx, keyNode+c.node, data, AnyRevision); err != nil {
		return err
	}
	if begun-time.Duration(c.renewed.Load()) >= outAfter {
		c.absence.Add(1) // what this node owned before it does not own any more, though it counts again
	}
	c.renewed.Store(int64(begun))
	return nil
}

// tell makes this node's heartbeat say at once what is new.
func (c *cluster) tell() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// bury deletes the heartbeats of dead nodes until ctx ends: who starts should not take them for alive. One node
// does it; if two do, or a node comes back that very moment, no harm is done.
func (c *cluster) bury(ctx context.Context) {
	for wait(ctx, beatEvery) {
		if v := c.view(); !v.in || len(v.alive) == 0 || v.alive[0] != c.node {
			continue
		}
		dead := map[string]uint64{}
		c.mu.Lock()
		for node, m := range c.members {
			if !c.alive(m) {
				dead[node] = m.rev
			}
		}
		c.mu.Unlock()
		for node, rev := range dead {
			if err := c.shared.Delete(ctx, keyNode+node, rev); err != nil && !errors.Is(err, ErrConflict) && ctx.Err() == nil {
				c.logger.Warn("heartbeat of a dead node", "dead", node, "err", err)
			}
		}
	}
}

// watch follows the shared store until ctx ends.
func (c *cluster) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.watchOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		c.logger.Warn("watch the other nodes again", "err", err)
		wait(ctx, beatEvery)
	}
}

var errSilent = errors.New("this node's own heartbeats do not come back")

// watchOnce follows the shared store until it fails, or is silent although this node writes to it.
func (c *cluster) watchOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.echoed = time.Now()
	known := c.newest()
	c.mu.Unlock()
	var silence sync.WaitGroup
	defer silence.Wait()
	silence.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			c.mu.Lock()
			silent := c.in() && time.Since(c.echoed) > deadAfter
			c.mu.Unlock()
			if silent {
				cancel(errSilent)
			}
		}
	})
	var first map[string]Value // what there is when the watch begins; nil once that is known
	first = map[string]Value{}
	err := c.shared.Watch(ctx, keyCluster, func(v Value) error {
		if first != nil {
			first[v.Key] = v
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.apply(v)
		c.look()
		return nil
	}, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.begin(first, known)
		c.look()
		first = nil
	})
	cancel(err)
	return errors.Join(err, context.Cause(ctx))
}

// newest is the newest revision that the view knows of.
func (c *cluster) newest() (rev uint64) {
	for _, m := range c.members {
		rev = max(rev, m.rev)
	}
	for _, l := range c.leases {
		rev = max(rev, l.generation)
	}
	return rev
}

// begin makes what the store holds the view. What is not there is no more. known is the newest revision that was
// known before it was looked.
func (c *cluster) begin(all map[string]Value, known uint64) {
	var newest uint64
	for _, v := range all {
		newest = max(newest, v.Rev)
	}
	for p, l := range c.leases {
		// A lease may have been written since. But in another incarnation of the store revisions are lower.
		if newest < known || l.generation <= newest {
			c.leases[p] = lease{}
		}
	}
	for node := range c.members {
		if _, ok := all[keyNode+node]; !ok {
			c.apply(Value{Key: keyNode + node})
		}
	}
	for _, v := range all {
		c.apply(v)
	}
}

func (c *cluster) partition(key string) (int, bool) {
	text, ok := strings.CutPrefix(key, keyLease)
	p, err := strconv.Atoi(text)
	return p, ok && err == nil && p >= 0 && p < len(c.leases)
}

// apply takes one change into the view.
func (c *cluster) apply(v Value) {
	if node, ok := strings.CutPrefix(v.Key, keyNode); ok {
		c.applyBeat(node, v)
		return
	}
	p, ok := c.partition(v.Key)
	if !ok {
		return
	}
	var l lease
	if v.Data != nil {
		if err := json.Unmarshal(v.Data, &l); err != nil {
			c.logger.Error("a lease that is none", "partition", p, "err", err)
		}
		l.generation = v.Rev
	}
	c.grant(p, l)
}

func (c *cluster) applyBeat(node string, v Value) {
	m := c.members[node]
	if v.Data == nil {
		if m != nil {
			c.gone(m)
			delete(c.members, node)
		}
		return
	}
	if node == c.node {
		c.echoes++
		c.echoed = time.Now()
	}
	if m == nil {
		m = &member{}
		c.members[node] = m
	}
	if m.rev == v.Rev {
		return
	}
	*m = member{rev: v.Rev, beats: node == c.node || m.rev != 0, seen: time.Now(), echoes: c.echoes}
	if err := json.Unmarshal(v.Data, &m.heartbeat); err != nil {
		c.logger.Error("a heartbeat that is none", "of", node, "err", err)
	}
}

// granted notes a lease that this node has written.
func (c *cluster) granted(p int, l lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grant(p, l)
	c.look()
}

// grant takes a lease into the view, unless a later one is known.
func (c *cluster) grant(p int, l lease) {
	if l.generation < c.leases[p].generation && l.generation != 0 {
		return
	}
	c.leases[p] = l
}

// alive says whether a node may be: whether what it owns is its own still.
func (c *cluster) alive(m *member) bool {
	return time.Since(m.seen) < deadAfter || c.echoes-m.echoes < echoesOfLife
}

// takes says whether a node, which may be alive, can be given partitions.
func (m *member) takes() bool { return m.Ready && m.beats }

// gone notes that a node is no more.
func (c *cluster) gone(m *member) {
	if m.seen.After(c.lost) {
		c.lost = m.seen
	}
}

// look makes a new view if things stand otherwise than in the last.
func (c *cluster) look() {
	old := c.view()
	v := &view{in: c.in(), absence: c.absence.Load(), leases: slices.Clone(c.leases), changed: make(chan struct{})}
	var candidates []string
	for node, m := range c.members {
		if !c.alive(m) {
			if slices.Contains(old.alive, node) {
				c.logger.Warn("a node is dead", "dead", node, "silent", time.Since(m.seen).Round(time.Millisecond))
				c.gone(m)
			}
			continue
		}
		v.alive = append(v.alive, node)
		if m.takes() {
			candidates = append(candidates, node)
		}
	}
	slices.Sort(v.alive)
	slices.Sort(candidates)
	c.share(v, candidates)
	if v.same(old) {
		return
	}
	c.current.Store(v)
	close(old.changed)
}

// share says who should own what: all nodes come to the same as long as they see the same.
func (c *cluster) share(v *view, candidates []string) {
	v.mine, v.give = make([]bool, len(v.leases)), -1
	owns := map[string]int{}
	settled := true // nobody waits for a partition to be taken over
	for p, l := range v.leases {
		if !slices.Contains(v.alive, l.Node) {
			settled = false
			if c.free[p].IsZero() {
				c.free[p] = time.Now()
			}
			continue
		}
		c.free[p] = time.Time{}
		owns[l.Node]++
		settled = settled && slices.Contains(c.members[l.Node].Serving, p)
	}
	if len(candidates) == 0 || !v.in {
		return
	}
	less := func(a, b string) int { return owns[a] - owns[b] }
	takes := slices.Contains(candidates, c.node)
	for p, l := range v.leases {
		if c.free[p].IsZero() {
			v.mine[p] = l.Node == c.node && takes
			continue
		}
		next := slices.MinFunc(candidates, less) // the first of those that have the fewest
		owns[next]++
		v.mine[p] = takes && (next == c.node || time.Since(c.free[p]) > candidateTime)
	}
	fewest, most := slices.MinFunc(candidates, less), slices.MaxFunc(candidates, less)
	if settled && most == c.node && owns[most]-owns[fewest] >= 2 {
		for p, mine := range v.mine {
			if mine {
				v.give, v.to = p, fewest
			}
		}
	}
}

// heir is who should have a partition that this node, which leaves, gives up: another that has the fewest;
// "": there is none.
func (c *cluster) heir(partition int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	owns := map[string]int{}
	for p, l := range c.leases {
		if heir, ok := c.heirs[p]; ok {
			owns[heir]++
		} else {
			owns[l.Node]++
		}
	}
	var heir string
	for _, node := range c.view().alive {
		if m := c.members[node]; node != c.node && m != nil && m.takes() && (heir == "" || owns[node] < owns[heir]) {
			heir = node
		}
	}
	c.heirs[partition] = heir
	return heir
}

// lastLoss is since when at the latest the sessions of all nodes that are gone are gone.
func (c *cluster) lastLoss() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// write puts a lease into the store in the place of that of a generation, and notes it.
func (c *cluster) write(ctx context.Context, p int, node string, generation uint64) (uint64, error) {
	l := lease{Node: node}
	data, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	l.generation, err = c.shared.Put(ctx, keyLease+strconv.Itoa(p), data, generation)
	if err != nil {
		return 0, fmt.Errorf("lease of partition %d: %w", p, err)
	}
	c.granted(p, l)
	return l.generation, nil
}

// heads returns the least entry that the feed of any other live node has applied, by a fresh look at the store: a
// node that is about to start is seen before it has read a snapshot.
func (c *cluster) heads(ctx context.Context) (uint64, error) {
	least := ^uint64(0)
	err := c.shared.List(ctx, strings.TrimSuffix(keyNode, "."), func(v Value) error {
		node := strings.TrimPrefix(v.Key, keyNode)
		c.mu.Lock()
		m := c.members[node]
		dead := m != nil && m.rev == v.Rev && !c.alive(m)
		c.mu.Unlock()
		if node == c.node || dead {
			return nil
		}
		var h heartbeat
		if err := json.Unmarshal(v.Data, &h); err != nil {
			return fmt.Errorf("heartbeat of %s: %w", node, err)
		}
		least = min(least, h.Head)
		return nil
	})
	return least, err
}

func (v *view) same(w *view) bool {
	return v.in == w.in && v.absence == w.absence && v.give == w.give && v.to == w.to &&
		slices.Equal(v.alive, w.alive) && slices.Equal(v.leases, w.leases) && slices.Equal(v.mine, w.mine)
}

// owner returns who owns a partition, if that node is alive.
func (v *view) owner(p int) (lease, bool) {
	l := v.leases[p]
	return l, slices.Contains(v.alive, l.Node)
}

// away waits until a node is not alive; it returns false when ctx ended first.
func (c *cluster) away(ctx context.Context, node string) bool {
	for {
		v := c.view()
		if !slices.Contains(v.alive, node) {
			return true
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return false
		}
	}
}
