package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	recordingTime = time.Minute      // since the end, for the recording to come
	resultTime    = 10 * time.Minute // since the end, for the result window of an unknown caller to be closed

	journalTick   = time.Second
	journalSave   = 5 * time.Second // how often the position is written
	journalLook   = 10 * time.Second
	journalPause  = time.Second // after log, store or queue failed
	journalAnswer = 5 * time.Second
)

// journalTerm is the journal of a partition for as long as this node owns it.
type journalTerm struct {
	*journal
	partition int
	id        string
	began     time.Time
	room      chan struct{} // signalled when fewer calls are held
	look      chan struct{} // signalled when there may be lanes with work

	settling sync.Mutex // one settles at a time

	mu     sync.Mutex
	held   map[callKey]*heldCall
	upTo   uint64 // the last entry that was read
	saved  uint64 // the position that is in the store
	rev    uint64
	failed bool // the queue refuses
	lanes  map[string]*lane
}

// heldCall is an ended call that is not due.
type heldCall struct {
	call  *Call
	seq   uint64    // of the first entry that told of it
	first time.Time // when that was appended
	last  time.Time // when something was heard of it
}

func (t *journalTerm) run(ctx context.Context) {
	for !t.begin(ctx) {
		if !wait(ctx, journalPause) {
			return
		}
	}
	var work sync.WaitGroup
	work.Go(func() { t.follow(ctx) })
	work.Go(func() { t.keep(ctx) })
	work.Go(func() { t.work(ctx) })
	work.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalAnswer)
	defer cancel()
	if err := t.savePosition(closing); err != nil { // then the next reads a little again
		t.logger.Warn("journal's last position", "partition", t.partition, "err", err)
	}
}

// begin finds where to read on.
func (t *journalTerm) begin(ctx context.Context) bool {
	p, rev, err := t.position(ctx, t.partition)
	if err != nil {
		if ctx.Err() == nil {
			t.logger.Warn("the journal cannot begin", "partition", t.partition, "err", err)
		}
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.upTo, t.saved, t.rev = p.Seq, p.Seq, rev
	return true
}

// follow reads the log until ctx ends.
func (t *journalTerm) follow(ctx context.Context) {
	for ctx.Err() == nil {
		t.mu.Lock()
		after := t.upTo
		t.mu.Unlock()
		err := t.tail(ctx, after, func(e Entry) error { return t.take(ctx, e) })
		if ctx.Err() == nil {
			t.logger.Error("the journal reads the log again", "partition", t.partition, "err", err)
			wait(ctx, journalPause)
		}
	}
}

func (t *journalTerm) tail(ctx context.Context, after uint64, fn func(e Entry) error) error {
	if log, ok := t.log.(PartitionLog); ok {
		return log.TailPartition(ctx, t.partition, after, fn)
	}
	return t.log.Tail(ctx, after, func(e Entry) error {
		if e.Partition != t.partition {
			return nil
		}
		return fn(e)
	})
}

// take reads an entry.
func (t *journalTerm) take(ctx context.Context, e Entry) error {
	for line := range bytes.Lines(e.Data) {
		if !tellsOfEnd(line) {
			continue
		}
		r, err := decodeRecord(line)
		if err != nil {
			return fmt.Errorf("log entry %d: %w", e.Seq, err)
		}
		if r.Call == nil {
			continue
		}
		if err := t.hold(ctx, e.Seq, r); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.upTo = e.Seq
	return nil
}

// tellsOfEnd says whether a record may be of a call that is over. Most are not, and to decode them costs more than
// anything else that is done with them here.
func tellsOfEnd(line []byte) bool {
	for _, word := range [...]string{`"` + string(EventHangup) + `"`, `"` + string(EventPresent) + `"`, `"` + string(EventMerge) + `"`, `"settled"`} {
		if bytes.Contains(line, []byte(word)) {
			return true
		}
	}
	return false
}

// hold keeps a call until it is due, if it is one for the CRM.
func (t *journalTerm) hold(ctx context.Context, seq uint64, r *Record) error {
	c, key := r.Call, callKey{r.Account, r.Call.ID}
	wanted := c.forJournal() && t.CRMs(r.Account) != nil
	at := r.At
	if now := t.now(); at.After(now) { // another node's clock
		at = now
	}
	for {
		t.mu.Lock()
		h := t.held[key]
		switch {
		case !wanted:
			delete(t.held, key)
		case h != nil:
			h.call, h.last = c, at
		case len(t.held) < t.Held:
			t.held[key] = &heldCall{call: c, seq: seq, first: at, last: at}
		default:
			t.mu.Unlock()
			select {
			case <-t.room:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		t.mu.Unlock()
		return nil
	}
}

// forJournal says whether a call is one for the CRM: it is over, began in our sight, and lives on in no other.
func (c *Call) forJournal() bool { return c.Over() && c.Into == "" && !c.StartedAt.IsZero() }

// keep adds what is due to the queue and writes the position now and then, until ctx ends.
func (t *journalTerm) keep(ctx context.Context) {
	tick := time.NewTicker(min(journalTick, max(t.After/4, time.Millisecond)))
	defer tick.Stop()
	var written time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := t.settle(ctx, t.due)
		if now := t.now(); now.Sub(written) >= journalSave {
			err = errors.Join(err, t.savePosition(ctx))
			written = now
		}
		t.note(ctx, err)
	}
}

// note logs that the queue or the store begins to refuse, or ends to.
func (t *journalTerm) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	was := t.failed
	t.failed = err != nil
	t.mu.Unlock()
	switch {
	case err != nil && !was:
		t.logger.Error("the journal waits: ended calls stay in the log for now", "partition", t.partition, "err", err)
	case err == nil && was:
		t.logger.Info("the journal goes on", "partition", t.partition)
	}
}

// due says whether a call need not wait any longer.
func (t *journalTerm) due(h *heldCall) bool {
	now, c := t.now(), h.call
	if now.Sub(h.last) < t.After {
		return false
	}
	pbx, _, _ := cutCallID(c.ID)
	answered := !c.AnsweredAt.IsZero()
	if answered && c.Recording == "" && now.Sub(h.first) < recordingTime && t.Recorded(c.Account, pbx) {
		return false
	}
	unknown := c.Direction == Inbound && answered && c.Contact == nil
	return !unknown || now.Sub(h.first) >= resultTime || !t.awaited(c)
}

// settle adds calls to the queue: those that are due, and where too many are held more, the oldest first.
func (t *journalTerm) settle(ctx context.Context, due func(h *heldCall) bool) error {
	t.settling.Lock()
	defer t.settling.Unlock()
	t.mu.Lock()
	all := make([]heldCall, 0, len(t.held))
	for _, h := range t.held {
		all = append(all, *h)
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b heldCall) int { return cmp.Compare(a.seq, b.seq) })
	early := len(all) - t.Held*9/10
	for i := range all {
		h := &all[i]
		if i >= early && !due(h) {
			continue
		}
		item, err := journalItem{Call: h.call}.item(laneDue, fmt.Sprint(journalID(h.call.Account, h.call.ID), ".", h.call.Version))
		if err == nil {
			_, err = t.Queue.Add(ctx, item)
		}
		if err != nil {
			return fmt.Errorf("add a call to the queue: %w", err)
		}
		t.release(h)
		t.wake(h.call.Account)
	}
	return nil
}

// release ends the holding of a call that is in the queue, unless more was heard of it meanwhile.
func (t *journalTerm) release(was *heldCall) {
	key := callKey{was.call.Account, was.call.ID}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.held[key]; h != nil && h.call == was.call {
		delete(t.held, key)
	}
	select {
	case t.room <- struct{}{}:
	default:
	}
}

// savePosition writes how far the log is read, only forward.
func (t *journalTerm) savePosition(ctx context.Context) error {
	t.mu.Lock()
	p, saved, rev := journalPosition{t.epoch, t.upTo}, t.saved, t.rev
	for _, h := range t.held {
		p.Seq = min(p.Seq, h.seq-1)
	}
	t.mu.Unlock()
	if p.Seq <= saved {
		return nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	rev, err = t.store.Put(ctx, positionKey(t.partition), data, rev)
	if errors.Is(err, ErrConflict) { // whoever owned the partition before, in its last moment; or this, though the answer was lost
		var there journalPosition
		if there, rev, err = t.position(ctx, t.partition); err == nil && there.Seq < p.Seq {
			rev, err = t.store.Put(ctx, positionKey(t.partition), data, rev)
		}
	}
	if err != nil {
		return fmt.Errorf("write the journal's position: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.saved, t.rev = p.Seq, rev
	return nil
}
