package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// seat is a partition's place on this node: while this node owns the partition its owner sits here, and the
// links to the PBXs of its accounts run.
type seat struct {
	gateway   *Gateway
	partition int
	owner     atomic.Pointer[owner] // takes requests; nil: not here
	post      post
}

const (
	takeTime  = 5 * time.Second        // what a take-over may last before it is begun anew
	takePause = 250 * time.Millisecond // before it is
	unlinked  = time.Second            // how long a hand-over waits for the links to end

	// Whoever has the lease and cannot finish so often leaves it to another, and waits.
	takeTries = 3
	takeLeave = 5 * time.Second
)

// errElsewhere means that this node does not own the partition, and nothing was done.
var errElsewhere = errors.New("another node owns the partition")

// alone makes this node the owner, as the only one there is.
func (s *seat) alone() *owner {
	o := s.gateway.newOwner(s.partition)
	s.owner.Store(o)
	return o
}

// run owns the partition whenever this node should, until ctx ends.
func (s *seat) run(ctx context.Context) {
	for failed := 0; ctx.Err() == nil; {
		v := s.gateway.cluster.view()
		if !v.mine[s.partition] {
			select {
			case <-v.changed:
			case <-ctx.Done():
			}
			continue
		}
		err := s.term(ctx, v)
		if err == nil || ctx.Err() != nil {
			failed = 0
			continue
		}
		if errors.Is(err, ErrConflict) { // another was faster, which is as good: soon it may hand over
			v.wait(ctx, takePause)
			continue
		}
		s.gateway.cfg.Logger.Warn("partition not taken", "partition", s.partition, "err", err)
		if failed++; failed >= takeTries {
			s.pass(ctx)
			failed = 0
		}
		wait(ctx, takePause)
	}
}

// pass leaves the partition to another node, if there is one: this one has the lease and cannot make use of it.
func (s *seat) pass(ctx context.Context) {
	g := s.gateway
	l := g.cluster.view().leases[s.partition]
	if l.Node != g.cluster.node || len(g.nodes()) == 0 {
		return
	}
	if _, err := g.cluster.write(ctx, s.partition, "", l.generation); err != nil {
		g.cfg.Logger.Warn("partition not passed on", "partition", s.partition, "err", err)
		return
	}
	g.cfg.Logger.Warn("partition passed on", "partition", s.partition)
	wait(ctx, takeLeave)
}

// term owns the partition from now until it should not any more.
func (s *seat) term(ctx context.Context, v *view) error {
	g := s.gateway
	begun := time.Now()
	o, err := s.take(ctx, v)
	if err != nil {
		return err
	}
	// What this node knew when it was the owner before may have been overtaken; the log has what is true.
	g.claims.forget(s.has)
	g.replies.forget(s.has)

	ownerCtx, stopOwner := context.WithCancel(context.WithoutCancel(ctx))
	linksCtx, stopLinks := context.WithCancelCause(ownerCtx)
	var serving, links sync.WaitGroup
	defer links.Wait()
	defer serving.Wait()
	defer stopOwner()
	defer stopLinks(nil)
	serving.Go(func() { o.run(ownerCtx) })
	g.eachLink(func(l *Link) {
		if s.has(l.Account) {
			l.held.Store(true)
			links.Go(func() { l.run(linksCtx, o) })
		}
	})
	s.owner.Store(o)
	links.Go(func() { g.journal.run(linksCtx, s.partition) })
	g.cluster.tell()
	g.cfg.Logger.Info("partition taken", "partition", s.partition, "generation", o.generation, "took", time.Since(begun).Round(time.Microsecond))
	if g.cfg.Metrics.TookOver != nil {
		g.cfg.Metrics.TookOver(s.partition, time.Since(begun))
	}

	heir, kept := s.sit(ctx, o)
	if !kept {
		s.owner.Store(nil)
		stopLinks(errElsewhere)
		g.cfg.Logger.Warn("partition lost", "partition", s.partition, "generation", o.generation)
		return nil
	}
	// In good order: the links say what they have to say, then the owner finishes, then the other may begin.
	stopLinks(nil)
	waitFor(&links, unlinked)
	s.owner.Store(nil)
	stopOwner()
	serving.Wait()
	if ctx.Err() != nil {
		g.farewell(ctx)
	}
	handOver, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTime)
	defer cancel()
	if _, err := g.cluster.write(handOver, s.partition, heir, o.generation); err != nil {
		return err
	}
	g.cfg.Logger.Info("partition handed over", "partition", s.partition, "generation", o.generation, "to", heir)
	return nil
}

// sit waits until the term is over, and says who should have the partition then. kept is false when it was
// lost already.
func (s *seat) sit(ctx context.Context, o *owner) (heir string, kept bool) {
	for {
		v := s.gateway.cluster.view()
		switch {
		case o.over() || v.leases[s.partition] != (lease{o.node, o.generation}):
			return "", false
		case ctx.Err() != nil:
			return s.gateway.cluster.heir(s.partition), true
		case v.give == s.partition:
			return v.to, true
		}
		select {
		case <-v.changed:
		case <-o.lost:
		case <-ctx.Done():
		}
	}
}

// take makes this node the owner. The lease is written between a look at the partition's end and a fence
// appended right there: whoever owned the partition until now cannot append any more, and if another took the
// lease meanwhile, either it is not written or the fence is not.
func (s *seat) take(ctx context.Context, v *view) (*owner, error) {
	g := s.gateway
	ctx, cancel := context.WithTimeoutCause(ctx, takeTime, fmt.Errorf("taking partition %d over took more than %v", s.partition, takeTime))
	defer cancel()
	o := g.newOwner(s.partition)
	o.cluster, o.node, o.absence, o.parting = g.cluster, g.cluster.node, g.cluster.absence.Load(), errElsewhere
	if !g.cluster.in() {
		return nil, errors.New("this node does not count at the moment")
	}
	generation := v.leases[s.partition].generation
	for pause := appendPause; ; pause = min(2*pause, time.Second) {
		last, err := g.cfg.Log.Last(ctx, s.partition)
		if err != nil {
			return nil, fmt.Errorf("end of partition %d: %w", s.partition, err)
		}
		if generation, err = g.cluster.write(ctx, s.partition, g.cluster.node, generation); err != nil {
			return nil, err
		}
		o.last, o.generation = last, generation
		fence := newDraft(o, o.now().UTC().Truncate(time.Microsecond), nil)
		fence.record(&Record{Fence: &FenceRecord{Node: g.cluster.node, Generation: generation}})
		err = o.append(ctx, entryID(rand.Text(), 1), fence)
		if err == nil {
			break
		}
		if errors.Is(err, ErrLogFull) {
			g.logFull()
		}
		if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("fence partition %d: %w", s.partition, err)
		}
		wait(ctx, pause) // an append of the owner before may be under way
	}
	if err := g.feed.wait(ctx, o.last); err != nil {
		return nil, err
	}
	if o.over() {
		return nil, errElsewhere
	}
	o.forgetAhead()
	o.synced = true
	return o, nil
}

// has says whether an account belongs to the partition.
func (s *seat) has(account string) bool { return s.gateway.partition(account) == s.partition }

// waitFor waits for a group, but not for ever.
func waitFor(group *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		group.Wait()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// PartitionState says how one partition of the log stands, as this node sees it.
type PartitionState struct {
	Partition  int
	Owner      string // the node that owns it and is alive; "": none, or this node is the only one
	Mine       bool   // this node owns it and takes events for it
	Generation uint64 // of the owner; it is another with each change
}

// Partitions returns how each partition stands.
func (g *Gateway) Partitions() []PartitionState {
	states := make([]PartitionState, len(g.seats))
	for p, s := range g.seats {
		states[p] = PartitionState{Partition: p, Mine: s.owner.Load() != nil}
		if g.cluster == nil {
			continue
		}
		if l, ok := g.cluster.view().owner(p); ok {
			states[p].Owner, states[p].Generation = l.Node, l.generation
		}
	}
	return states
}
