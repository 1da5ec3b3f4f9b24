package gateway

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// What the feed remembers, and for how long (design §2, §4).
const (
	rememberIDs   = 10 * time.Minute // repeated events and commands are known by their ids
	rememberCalls = 24 * time.Hour   // ended calls, for late events
	rememberUsers = 24 * time.Hour   // a user's last position: an idle agent's reconnect is never a reset
	maxEnded      = 10_000           // ended calls of a shard; a node that busy forgets sooner
)

// Feed is this node's tail of the log: every call, the recent messages of each user, who listens. Its
// state is a function of the log alone, so a new start or another node arrives at the same.
//
// State is kept in shards by account; what belongs to an account is read and changed under its shard's
// lock, also the registration of listeners, so that nothing falls between a snapshot and the first
// message after it.
type Feed struct {
	log    Log
	epoch  string
	logger *slog.Logger
	now    func() time.Time
	seed   maphash.Seed
	shards [32]shard

	partition func(account string) int
	head      atomic.Uint64                 // the last entry that was applied in full
	waiters   waiters                       // who waits for head
	times     timeline                      // which entry was the head when
	restored  bool                          // state came from a snapshot
	purged    uint64                        // entries up to it, which the snapshot has, may be missing in the log
	local     local                         // what this node's owners append
	fences    []atomic.Pointer[FenceRecord] // the last of each partition

	recording recordingLink

	onApplied func(records int, appended time.Time)               // for metrics
	onMissed  func(ctx context.Context, after, next uint64) error // entries between these two were purged meanwhile, or are lost
	onRecord  func(r *Record)                                     // before it is applied, and reaches a tab; called in order, must not block
	onChange  func(r *Record)                                     // after it was applied; called in order, may ask the feed, must not block
}

func newFeed(log Log, logger *slog.Logger, now func() time.Time) *Feed {
	info := log.Info()
	f := &Feed{log: log, epoch: info.Epoch, logger: logger, now: now, seed: maphash.MakeSeed()}
	f.partition = func(account string) int { return partitionOf(account, info.Partitions) }
	f.fences = make([]atomic.Pointer[FenceRecord], info.Partitions)
	for i := range f.shards {
		f.shards[i].init()
	}
	return f
}

func (f *Feed) shard(account string) *shard {
	return &f.shards[maphash.String(f.seed, account)%uint64(len(f.shards))]
}

// run applies the log from its beginning until ctx ends.
func (f *Feed) run(ctx context.Context) error {
	begun := map[int]bool{}
	var read, gone uint64 // the last entry, and the last before it that the log no longer has, of whatever partition
	return f.log.Tail(ctx, 0, func(e Entry) error {
		if e.Seq > read+1 {
			gone = e.Seq - 1
		}
		read = e.Seq
		// What was purged before this began to read is in the snapshot.
		if seen := max(f.head.Load(), f.purged); e.Seq > seen+1 && f.onMissed != nil {
			if err := f.onMissed(ctx, seen, e.Seq); err != nil {
				return err
			}
		}
		if !begun[e.Partition] {
			begun[e.Partition] = true
			f.begin(e.Partition, gone)
		}
		records, ok := f.local.take(e.ID)
		if !ok {
			var err error
			if records, err = decodeEntry(e.Data); err != nil {
				return fmt.Errorf("log entry %d: %w", e.Seq, err)
			}
		}
		for index, r := range records {
			if r.Fence != nil {
				f.fences[e.Partition].Store(r.Fence)
				continue
			}
			if f.onRecord != nil {
				f.onRecord(r)
			}
			f.apply(Position{Seq: e.Seq, Index: index}, r)
			if f.onChange != nil {
				f.onChange(r)
			}
		}
		f.times.add(e.Time, e.Seq)
		f.head.Store(e.Seq)
		f.waiters.reached(e.Seq)
		if f.onApplied != nil {
			f.onApplied(len(records), e.Time)
		}
		return nil
	})
}

// begin notes that the log has a partition's entries after gone: from there on the rings of the partition's users will
// be whole.
func (f *Feed) begin(partition int, gone uint64) {
	before := Position{Seq: max(gone, f.purged), Index: lastIndex}
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		if !f.restored && before.Compare(s.forgotten) > 0 {
			s.forgotten = before
		}
		for key, u := range s.users {
			if f.partition(key.account) == partition && before.Compare(u.ring.floor) < 0 {
				u.ring.floor = before
			}
		}
		s.mu.Unlock()
	}
}

func (f *Feed) apply(pos Position, r *Record) {
	s := f.shard(r.Account)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Call != nil:
		s.applyCall(pos, r, f)
	case r.Command != nil, r.Claim != nil:
		s.know(r)
		s.unsaved.records.add(pos.Seq, r)
	}
}

// fence returns the last fence of a partition, nil if the log held none.
func (f *Feed) fence(partition int) *FenceRecord { return f.fences[partition].Load() }

// subscribe is Gateway.Subscribe.
func (f *Feed) subscribe(account, user, cursor string, deliver func(Message)) (Hello, func()) {
	s := f.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(account, user, f.now())
	hello := f.hello(user, u, cursor)
	sub := &subscriber{deliver}
	u.subs = append(u.subs, sub)
	return hello, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		u.subs = slices.DeleteFunc(u.subs, func(s *subscriber) bool { return s == sub })
		u.seen = f.now()
	}
}

// hello decides between a whole resume and a reset, never anything between.
func (f *Feed) hello(user string, u *userFeed, cursor string) Hello {
	// Entries are applied under the shards' locks one by one: of the one in progress this user may have
	// seen a part, which is then the user's last position.
	head := Position{Seq: f.head.Load(), Index: lastIndex}
	if u.last.Compare(head) > 0 {
		head = u.last
	}
	reset := func(reason string) Hello {
		return Hello{Cursor: Cursor{f.epoch, head}.String(), Reason: reason, Calls: u.views(user, f.recording)}
	}
	if cursor == "" {
		return reset("new")
	}
	c, err := ParseCursor(cursor)
	switch {
	case err != nil:
		return reset("foreign")
	case c.Epoch != f.epoch:
		return reset("epoch")
	case c.Compare(head) > 0:
		return reset("future")
	case c.Compare(u.last) >= 0:
		return Hello{Cursor: cursor, Resumed: true}
	}
	missed, ok := u.ring.after(c.Position, f.epoch, user, f.recording)
	if !ok {
		return reset("evicted")
	}
	return Hello{Cursor: cursor, Resumed: true, Missed: missed}
}

// lastIndex stands for "the whole entry".
const lastIndex = 1<<31 - 1

// wait returns when the feed has applied the entry seq.
func (f *Feed) wait(ctx context.Context, seq uint64) error {
	reached := f.waiters.add(seq)
	defer f.waiters.drop(reached)
	if f.head.Load() >= seq {
		return nil
	}
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for entry %d of the log, at %d: %w", seq, f.head.Load(), context.Cause(ctx))
	}
}

// call returns a call by its id.
func (f *Feed) call(account, id string) (*Call, bool) {
	s := f.shard(account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	k := s.calls[callKey{account, id}]
	if k == nil {
		return nil, false
	}
	return k.get(), true
}

// live calls fn for each of an account's calls that have not ended.
func (f *Feed) live(account string, fn func(c *Call)) {
	s := f.shard(account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.live[account] {
		fn(s.calls[callKey{account, id}].get())
	}
}

// liveAccounts returns the accounts that have live calls.
func (f *Feed) liveAccounts() []string {
	var accounts []string
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.RLock()
		accounts = slices.AppendSeq(accounts, maps.Keys(s.live))
		s.mu.RUnlock()
	}
	return accounts
}

func (f *Feed) knowsEvent(key eventKey) bool {
	s := f.shard(key.account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.events.has(key)
}

func (f *Feed) command(key commandKey) (doneCommand, bool) {
	s := f.shard(key.account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	done, ok := s.commands[key]
	return done, ok && f.now().Sub(done.at) < rememberIDs
}

func (f *Feed) claim(key claimKey) (doneClaim, bool) {
	s := f.shard(key.account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	done, ok := s.claims[key]
	return done, ok
}

// forget drops what is older than it need be remembered.
func (f *Feed) forget() {
	now := f.now()
	f.times.before(now.Add(-resumeWindow))
	for i := range f.shards {
		f.shards[i].forget(now)
	}
}
