package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A snapshot lets a start begin near the log's end. Calls are kept packed, many to a value: a write to a
// strict store costs a sync of the disk. Each snapshot writes the live calls and the users' last
// positions anew, as a generation of their own, and adds what has come since the one before: the calls that
// ended, and what is known by its id so that it is not done twice. The head names the generation once all of it
// is there. What a snapshot holds may be newer than the head's position, never older, and records applied over it
// again change nothing.
const (
	keyHead  = "snapshot"
	keyLive  = "live"  // live.GENERATION.N: calls
	keyUsers = "users" // users.GENERATION.N: positions
	keyEnded = "ended" // ended.GENERATION.N: calls, kept for 24 hours
	keyKnown = "known" // known.GENERATION.N: records of commands and claims, likewise
	keyHeard = "heard" // heard.GENERATION.N: ids of events, kept for 10 minutes

	packSize = 1 << 20 // bytes of a value, about

	maxKeptBytes = 256 << 20 // of a kind that is kept for a time: what a node remembers of ended calls in memory, about
)

// resumeWindow is how much of the log is kept for browsers to resume from after a restart.
const resumeWindow = 15 * time.Minute

type snapshotHead struct {
	Epoch      string   `json:"epoch"`
	Seq        uint64   `json:"seq"`
	Generation string   `json:"generation"`
	Purged     uint64   `json:"purged,omitempty"` // entries up to it may be gone from the log
	Forgotten  Position `json:"forgotten"`        // the last position of any user that is no longer remembered
}

// userPosition is a user's last position in a snapshot.
type userPosition struct {
	Account string   `json:"account"`
	User    string   `json:"user"`
	Last    Position `json:"last"`
}

// savedEvent is an event's id in a snapshot.
type savedEvent struct {
	Account string `json:"account"`
	PBX     string `json:"pbx"`
	ID      string `json:"id"`
}

// lifetime is for how long the packs of a kind are of use; 0: as long as the snapshot that they belong to.
func lifetime(kind string) time.Duration {
	switch kind {
	case keyEnded, keyKnown:
		return rememberCalls
	case keyHeard:
		return rememberIDs
	default:
		return 0
	}
}

// snapshots is what the node that writes them knows of those before.
type snapshots struct {
	last     snapshotHead
	revision uint64 // of the head in the store
	whole    bool   // obsolete names all packs that there are: no other node has written since they were listed
	obsolete obsolete
}

// writesSnapshots says whether this node is the one that does: who has the lease of the first partition, also when
// the log is too full to take it over.
func (g *Gateway) writesSnapshots() bool {
	return g.cluster == nil || g.cluster.in() && g.cluster.view().leases[0].Node == g.cluster.node
}

// keepSnapshot writes a snapshot, or takes note of what another node wrote.
func (g *Gateway) keepSnapshot(ctx context.Context, window time.Duration) error {
	if g.writesSnapshots() {
		return g.snapshot(ctx, window)
	}
	g.snapshots.whole = false
	head, _, err := readHead(ctx, g.cfg.Store)
	if err != nil {
		return err
	}
	g.noteSnapshot(head)
	return nil
}

// noteSnapshot forgets what was kept for the next snapshot and is in this one.
func (g *Gateway) noteSnapshot(head snapshotHead) {
	if head.Epoch != g.feed.epoch {
		return
	}
	for i := range g.feed.shards {
		g.feed.shards[i].saved(head.Seq)
	}
}

// logFull has whoever writes snapshots make room.
func (g *Gateway) logFull() {
	if g.writesSnapshots() {
		g.makeRoom()
		return
	}
	if err := g.tellAll(kindFull, nil); err != nil {
		g.cfg.Logger.Warn("log is full", "err", err)
	}
}

// readHead returns the head of the last snapshot and its revision, 0 if there is none.
func readHead(ctx context.Context, store Store) (head snapshotHead, revision uint64, err error) {
	value, err := store.Get(ctx, keyHead)
	if errors.Is(err, ErrNotFound) {
		return head, 0, nil
	}
	if err != nil {
		return head, 0, fmt.Errorf("read snapshot: %w", err)
	}
	if err := json.Unmarshal(value.Data, &head); err != nil {
		return head, 0, fmt.Errorf("snapshot: %w", err)
	}
	return head, value.Rev, nil
}

// snapshot writes a snapshot, unless nothing has happened since the last one, then purges from the log what
// is older than the window, in the snapshot and read by the journal.
func (g *Gateway) snapshot(ctx context.Context, window time.Duration) error {
	now := g.cfg.Now()
	if err := g.succeed(ctx); err != nil {
		return err
	}
	// Room first: a store that is full takes no snapshot, and without one the log is not purged and fills up too.
	if err := g.dropObsolete(ctx, now); err != nil {
		return err
	}
	last, seq := g.snapshots.last, g.feed.head.Load()
	if last.Epoch != g.feed.epoch || seq > last.Seq { // only forward: another node may have seen more
		if err := g.writeSnapshot(ctx, seq, now); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
		if err := g.dropObsolete(ctx, now); err != nil {
			return err
		}
	}
	if window > 0 {
		seq = min(seq, g.feed.times.before(now.Add(-window)))
	}
	if g.cluster != nil {
		read, err := g.cluster.heads(ctx)
		if err != nil {
			return fmt.Errorf("what the other nodes have read: %w", err)
		}
		seq = min(seq, read)
	}
	if err := g.notePurge(ctx, seq); err != nil {
		return err
	}
	for p := range g.seats {
		read, err := g.journal.read(ctx, p)
		if err != nil {
			return err
		}
		if err := g.cfg.Log.Purge(ctx, p, min(seq, read+1)); err != nil {
			return fmt.Errorf("purge the log: %w", err)
		}
	}
	return nil
}

// notePurge notes that the entries before one are about to be purged, so that nobody takes what is gone for what
// never was.
func (g *Gateway) notePurge(ctx context.Context, seq uint64) error {
	s := &g.snapshots
	if seq <= s.last.Purged+1 {
		return nil
	}
	head := s.last
	head.Purged = seq - 1
	revision, err := putHead(ctx, g.cfg.Store, head, s.revision)
	if s.whole = err == nil; err != nil { // another writes snapshots by now, or this was written though the answer was lost
		return fmt.Errorf("note how far the log is purged: %w", err)
	}
	s.last, s.revision = head, revision
	return nil
}

// missed is told that entries after one are missing in the log. If they were purged since this node began, it was
// cut off for longer than the others waited, and only a new start, from a snapshot, brings it up to them.
func (g *Gateway) missed(ctx context.Context, after, next uint64) error {
	head, _, err := readHead(ctx, g.cfg.Store)
	if err != nil {
		return fmt.Errorf("entries of the log are missing after %d: %w", after, err)
	}
	if head.Epoch == g.feed.epoch && head.Purged > after {
		return fmt.Errorf("the log was purged up to entry %d while this node, cut off from it, was at %d: start again", head.Purged, after)
	}
	g.cfg.Logger.Warn("entries of the log are missing", "after", after, "before", next) // nobody has them
	return nil
}

// succeed makes this node the one that writes snapshots, if another did: the head is written anew, so that what
// that may still be about to write fails, and only then is it looked what there is.
func (g *Gateway) succeed(ctx context.Context) error {
	s := &g.snapshots
	if s.whole {
		return nil
	}
	head, revision, err := readHead(ctx, g.cfg.Store)
	if err != nil {
		return err
	}
	if g.cluster != nil {
		if revision, err = putHead(ctx, g.cfg.Store, head, revision); err != nil {
			return err
		}
	}
	s.last, s.revision, s.obsolete = head, revision, nil
	g.noteSnapshot(head)
	for _, prefix := range []string{keyEnded, keyKnown, keyHeard, keyLive, keyUsers} {
		err := g.cfg.Store.List(ctx, prefix, func(v Value) error {
			s.obsolete = append(s.obsolete, pack{v.Key, len(v.Data)})
			return nil
		})
		if err != nil {
			return fmt.Errorf("list snapshots: %w", err)
		}
	}
	s.whole = true
	return nil
}

func putHead(ctx context.Context, store Store, head snapshotHead, revision uint64) (uint64, error) {
	data, err := json.Marshal(head)
	if err != nil {
		return 0, err
	}
	return store.Put(ctx, keyHead, data, revision)
}

func (g *Gateway) dropObsolete(ctx context.Context, now time.Time) error {
	if err := g.snapshots.obsolete.drop(ctx, g.cfg.Store, g.snapshots.last.Generation, now); err != nil {
		return fmt.Errorf("delete old snapshots: %w", err)
	}
	return nil
}

// writeSnapshot writes the state, which is that of the log's entry seq or newer.
func (g *Gateway) writeSnapshot(ctx context.Context, seq uint64, now time.Time) (err error) {
	f, s := g.feed, &g.snapshots
	head := snapshotHead{Epoch: f.epoch, Seq: seq, Generation: strconv.FormatInt(now.UnixNano(), 36)}
	if s.last.Epoch == f.epoch {
		head.Purged = s.last.Purged
	}
	live := packer{ctx: ctx, store: g.cfg.Store, prefix: keyLive + "." + head.Generation}
	users := packer{ctx: ctx, store: g.cfg.Store, prefix: keyUsers + "." + head.Generation}
	ended := packer{ctx: ctx, store: g.cfg.Store, prefix: keyEnded + "." + head.Generation}
	known := packer{ctx: ctx, store: g.cfg.Store, prefix: keyKnown + "." + head.Generation}
	heard := packer{ctx: ctx, store: g.cfg.Store, prefix: keyHeard + "." + head.Generation}
	for i := range f.shards {
		state := f.shards[i].state()
		if state.forgotten.Compare(head.Forgotten) > 0 {
			head.Forgotten = state.forgotten
		}
		for i := range state.live {
			live.add(state.live[i].get())
		}
		for i := range state.ended {
			ended.add(state.ended[i].get())
		}
		for _, r := range state.taken.records {
			known.add(r.item)
		}
		for _, e := range state.taken.events {
			pbx, _, _ := cutCallID(e.item.call.id)
			heard.add(savedEvent{e.item.call.account, pbx, e.item.id})
		}
		for _, u := range state.users {
			users.add(u)
		}
		defer func() {
			if err != nil {
				f.shards[i].unsavedAgain(state.taken)
			}
		}()
	}
	err = errors.Join(live.flush(), users.flush(), ended.flush(), known.flush(), heard.flush())
	packs := obsolete(slices.Concat(live.packs, users.packs, ended.packs, known.packs, heard.packs))
	if err == nil {
		// When this fails the head may be another's, or this one though the answer was lost.
		s.revision, err = putHead(ctx, g.cfg.Store, head, s.revision)
		s.whole = err == nil
	}
	if errors.Is(err, ErrConflict) { // nobody else knows of these: they go, as if their time was over
		return errors.Join(err, packs.drop(ctx, g.cfg.Store, s.last.Generation, now.Add(rememberCalls)))
	}
	s.obsolete = slices.Concat(s.obsolete, packs) // also those of a failed attempt
	if err == nil {
		s.last = head
	}
	return err
}

// packer writes values as JSON lines, many to a key. Its first error sticks.
type packer struct {
	ctx    context.Context //nolint:containedctx // lives for one snapshot
	store  Store
	prefix string
	packs  []pack
	data   []byte
	err    error
}

func (p *packer) add(value any) {
	line, err := encodeLine(value)
	if err != nil {
		p.err = errors.Join(p.err, err)
		return
	}
	if len(p.data) > 0 && len(p.data)+len(line) > packSize {
		p.put()
	}
	p.data = append(append(p.data, line...), '\n')
}

func encodeLine(value any) ([]byte, error) {
	c, ok := value.(*Call)
	if !ok {
		return json.Marshal(value)
	}
	var e encoder
	e.call(c)
	return e.data, e.err
}

func (p *packer) put() {
	key := p.prefix + "." + strconv.Itoa(len(p.packs))
	if p.err == nil {
		_, p.err = p.store.Put(p.ctx, key, p.data, AnyRevision)
	}
	p.packs, p.data = append(p.packs, pack{key, len(p.data)}), nil
}

func (p *packer) flush() error {
	if len(p.data) > 0 {
		p.put()
	}
	return p.err
}

// pack is a value that a packer wrote.
type pack struct {
	key   string
	bytes int
}

// written splits a pack's key into its kind, its generation, and when that was begun.
func (p pack) written() (kind, generation string, at time.Time) {
	kind, rest, _ := strings.Cut(p.key, ".")
	generation, _, _ = strings.Cut(rest, ".")
	nanos, err := strconv.ParseInt(generation, 36, 64)
	if err != nil { // not one of ours: as old as can be
		return kind, generation, time.Time{}
	}
	return kind, generation, time.Unix(0, nanos)
}

// useful says whether a pack belongs to a generation, or is kept for a time that is not over.
func (p pack) useful(generation string, now time.Time) bool {
	kind, of, at := p.written()
	if life := lifetime(kind); life > 0 {
		return now.Sub(at) < life
	}
	return of == generation
}

// obsolete are the packs of snapshots, each to be dropped once it is of no use.
type obsolete []pack

// drop deletes what belongs to other generations than the current, and of each kind that is kept for a time
// what is older and, the latest first, what is beyond maxKeptBytes.
func (o *obsolete) drop(ctx context.Context, store Store, generation string, now time.Time) error {
	slices.SortStableFunc(*o, func(a, b pack) int {
		_, _, atA := a.written()
		_, _, atB := b.written()
		return atB.Compare(atA)
	})
	var kept []pack
	var errs []error
	bytes := map[string]int{} // by kind
	for _, p := range *o {
		keep := p.useful(generation, now)
		if kind, _, _ := p.written(); lifetime(kind) > 0 {
			bytes[kind] += p.bytes
			keep = keep && bytes[kind] <= maxKeptBytes
		}
		if !keep {
			err := store.Delete(ctx, p.key, AnyRevision)
			errs = append(errs, err)
			keep = err != nil
		}
		if keep {
			kept = append(kept, p)
		}
	}
	*o = kept
	return errors.Join(errs...)
}

// restore loads the last snapshot, if there is one, into a feed that has not begun. alone: no other node writes any.
func (s *snapshots) restore(ctx context.Context, store Store, f *Feed, now time.Time, alone bool) error {
	s.whole = alone
	for {
		head, revision, err := readHead(ctx, store)
		if err != nil {
			return err
		}
		if revision == 0 {
			return nil
		}
		if err := s.load(ctx, store, head, f, now); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		again, revision, err := readHead(ctx, store)
		if err != nil {
			return err
		}
		if again.Generation == head.Generation {
			s.last, s.revision = head, revision
			return nil
		}
		// Another node has written the next one, and deletes this: what was read may not be all of it.
	}
}

func (s *snapshots) load(ctx context.Context, store Store, head snapshotHead, f *Feed, now time.Time) error {
	s.obsolete = nil
	// The calls are true in any case, but positions mean nothing in another incarnation of the log.
	if f.restored = head.Epoch == f.epoch; f.restored {
		f.purged = head.Purged
		for i := range f.shards {
			f.shards[i].forgotten = head.Forgotten
		}
	}
	putCall := func(line string) error {
		c := new(Call)
		if err := json.Unmarshal([]byte(line), c); err != nil {
			return err
		}
		f.shard(c.Account).restoreCall(c, now)
		return nil
	}
	putRecord := func(line string) error {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return err
		}
		f.shard(r.Account).restoreRecord(&r)
		return nil
	}
	putEvent := func(line string) error {
		var e savedEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return err
		}
		f.shard(e.Account).restoreEvent(e, now)
		return nil
	}
	putUser := func(line string) error {
		var u userPosition
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			return err
		}
		if f.restored {
			f.shard(u.Account).restoreUser(u, now)
		}
		return nil
	}
	for _, part := range []struct {
		prefix string
		put    func(line string) error
	}{{keyEnded, putCall}, {keyKnown, putRecord}, {keyHeard, putEvent}, {keyLive, putCall}, {keyUsers, putUser}} {
		if err := s.unpack(ctx, store, part.prefix, head.Generation, now, part.put); err != nil {
			return err
		}
	}
	return nil
}

// unpack calls put for each line of the packs of a kind that are of use, and notes all keys for later.
func (s *snapshots) unpack(
	ctx context.Context, store Store, prefix, generation string, now time.Time, put func(line string) error,
) error {
	return store.List(ctx, prefix, func(v Value) error {
		p := pack{v.Key, len(v.Data)}
		s.obsolete = append(s.obsolete, p)
		if !p.useful(generation, now) {
			return nil
		}
		for line := range strings.Lines(string(v.Data)) {
			if err := put(line); err != nil {
				return fmt.Errorf("%s: %w", v.Key, err)
			}
		}
		return nil
	})
}
