package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// owner is the one writer of a partition. Requests that arrive while an append is in flight go together
// with the next one; a request alone is appended at once (design §2, group commit).
//
// What it has appended, and the feed has not yet read back, lies ahead of the feed.
type owner struct {
	partition int
	log       Log
	feed      *Feed
	logger    *slog.Logger
	now       func() time.Time
	onAppend  func(records int, took time.Duration, err error)
	onFull    func() // the log refuses

	requests chan *request
	carried  []*request    // did not fit into the last group, the oldest first
	stopped  chan struct{} // closed once nobody serves requests any more
	parting  error         // what requests get then
	last     uint64        // the partition's last entry
	synced   bool          // last is known and the feed has come up to it
	begun    time.Time     // when the last group was
	busy     bool          // it was of several requests
	ahead    []appended
	bytes    int    // of the entries ahead
	room     int    // for them: what is more waits for the feed
	buffer   []byte // of the last group, to write the next one into

	// One of several nodes owns a partition for a term, until another fences it off or takes it for dead.
	cluster    *cluster // nil: this node is alone, and its term has no end
	node       string
	generation uint64
	absence    int64         // of the cluster when the term began
	ended      atomic.Bool   // the term is over
	lost       chan struct{} // closed then, when it was noticed here
}

type appended struct {
	seq   uint64
	bytes int
	*draft
}

// request is something to append. build adds its records to a draft, and may be run again over another
// one if somebody else wrote first; it may refuse.
type request struct {
	ctx   context.Context
	build func(d *draft) error
	done  chan error
}

const (
	appendTimeout = 5 * time.Second
	appendTries   = 3
	appendPace    = time.Millisecond
	appendPause   = 50 * time.Millisecond // before an append whose answer was lost is tried again; then four times as long

	// What may lie ahead of the feed. Beyond it the owner waits for the feed, and refuses when that stands still.
	maxAhead = 64 << 20
)

func (g *Gateway) newOwner(partition int) *owner {
	return &owner{
		partition: partition, log: g.cfg.Log, feed: g.feed, logger: g.cfg.Logger.With("partition", partition), now: g.cfg.Now,
		onAppend: g.cfg.Metrics.Appended, onFull: g.logFull,
		requests: make(chan *request, 1024), stopped: make(chan struct{}), parting: leaving(), room: maxAhead, lost: make(chan struct{}),
	}
}

// over says whether the owner's term is over: this node may be taken for dead, or was, or another has begun.
func (o *owner) over() bool {
	if o.cluster == nil {
		return false
	}
	if o.ended.Load() {
		return true
	}
	if o.cluster.in() && o.cluster.absence.Load() == o.absence && !o.fenced() {
		return false
	}
	if !o.ended.Swap(true) {
		close(o.lost)
	}
	return true
}

// fenced says whether another owner has begun, as far as the feed has read.
func (o *owner) fenced() bool {
	fence := o.feed.fence(o.partition)
	return fence != nil && *fence != FenceRecord{Node: o.node, Generation: o.generation}
}

// submit hands a request to the owner and waits until its records are durable, or refused.
func (o *owner) submit(ctx context.Context, build func(d *draft) error) error {
	r := &request{ctx: ctx, build: build, done: make(chan error, 1)}
	select {
	case o.requests <- r:
	case <-o.stopped:
		return o.parting
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	select {
	case err := <-r.done:
		return err
	case <-o.stopped:
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	select {
	case err := <-r.done: // answered while the owner stopped
		return err
	default:
		return o.parting
	}
}

// run serves requests until ctx ends, and answers those that are left. An append that is under way then is
// seen through, so that whether it landed is not left open.
func (o *owner) run(ctx context.Context) {
	defer close(o.stopped)
	for {
		if len(o.carried) == 0 {
			select {
			case r := <-o.requests:
				o.carried = append(o.carried, r)
				o.pace(ctx)
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			o.refuse(o.parting)
			return
		}
		group := o.carried
		o.carried = nil
		o.serve(context.WithoutCancel(ctx), group)
	}
}

// pace lets the requests of a busy node come together: few large groups cost a fraction of what many small ones do.
// Who is alone is appended at once.
func (o *owner) pace(ctx context.Context) {
	if pause := appendPace - time.Since(o.begun); pause > 0 && o.busy {
		wait(ctx, pause)
	}
	o.begun = time.Now()
}

// refuse answers everybody who waits.
func (o *owner) refuse(err error) {
	answer(o.carried, err)
	o.carried = nil
	for {
		select {
		case r := <-o.requests:
			r.done <- err
		default:
			return
		}
	}
}

// serve appends one group that begins with these requests.
//
// An append whose answer was lost may land at any time until another takes its place. So before each new try
// the group's entry is looked for up to the very one that the try is conditional on: what landed before is
// found, and what lands after makes the try fail.
func (o *owner) serve(ctx context.Context, group []*request) {
	id := rand.Text()
	var before uint64 // the partition's last entry at the first try
	var failure error
	open := false                // what was tried may still land
	var cut [appendTries + 2]int // how many requests of the try before each try had no room for
	landed := func(try int) {
		answer(group, nil)
		for _, n := range cut[try+1:] { // they were carried over to the next group
			answer(o.carried[:n], nil)
			o.carried = o.carried[n:]
		}
	}
	for try := 1; ; try++ {
		if err := o.sync(ctx); err != nil {
			o.giveUp(group, failure, err)
			return
		}
		if try == 1 {
			before = o.last
		} else if found, err := o.find(ctx, id, before, o.last); found > 0 {
			landed(found)
			return
		} else if err != nil || try > appendTries {
			o.giveUp(group, failure, err)
			return
		}
		if o.over() {
			refusal := errElsewhere
			if open { // then it may have landed since, before the fence: all of that the feed has read
				fenced := o.fenced()
				found, err := o.find(ctx, id, before, o.feed.head.Load())
				if found > 0 {
					landed(found)
					o.refuse(errElsewhere)
					return
				}
				if err != nil || !fenced {
					refusal = unavailable(failure)
				}
			}
			answer(group, refusal)
			o.refuse(errElsewhere)
			return
		}
		var d *draft
		carried := len(o.carried)
		if d, group = o.fold(group, try == 1); len(d.records) == 0 {
			answer(group, nil)
			return
		}
		if try > 1 {
			cut[try] = len(o.carried) - carried
		}
		o.busy = len(group) > 1
		if failure = o.append(ctx, entryID(id, try), d); failure == nil {
			answer(group, nil)
			return
		}
		o.synced = false
		open = open || !errors.Is(failure, ErrConflict)
		if errors.Is(failure, ErrLogFull) { // nothing was written
			o.onFull()
			answer(group, unavailable(failure))
			return
		}
		o.logger.Warn("append again", "try", try, "err", failure)
		if open { // while the log is at it, it refuses whatever is tried
			wait(ctx, appendPause<<(2*(try-1)))
		}
	}
}

// giveUp refuses a group, and all who wait: while the log is as it is they would fare no better, only later.
func (o *owner) giveUp(group []*request, errs ...error) {
	refusal := unavailable(errors.Join(errs...))
	answer(group, refusal)
	o.refuse(refusal)
}

func answer(group []*request, err error) {
	for _, r := range group {
		r.done <- err
	}
}

func leaving() error {
	return &Error{Code: CodeDraining, Message: "this node is going down", RetryAfter: time.Second}
}

func unavailable(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: "the log does not take records now: send it again", RetryAfter: time.Second, Err: err}
}

// fold makes a draft of the requests, and of more that wait if there are any and there is room. It
// answers those that refuse and returns the others.
func (o *owner) fold(group []*request, more bool) (*draft, []*request) {
	d := newDraft(o, o.now().UTC().Truncate(time.Microsecond), o.buffer)
	room := o.log.Info().MaxEntry
	var kept []*request
	for next := 0; ; next++ {
		var r *request
		switch {
		case next < len(group):
			r = group[next]
		case more:
			select {
			case r = <-o.requests:
			default:
				return d, kept
			}
		default:
			return d, kept
		}
		if r.ctx.Err() != nil { // nobody waits for it any more
			r.done <- unavailable(context.Cause(r.ctx))
			continue
		}
		before := d.mark()
		switch err := errors.Join(r.build(d), d.out.err); {
		case err != nil:
			d.undo(before)
			r.done <- err
		case len(entryHead)+d.since(before) > room:
			r.done <- Errorf(CodeTooLarge, "the request makes %d bytes of records, %d fit: send fewer events at a time", d.since(before), room)
			d.undo(before)
		case len(d.out.data) > room:
			d.undo(before)
			rest := []*request{r}
			if next < len(group) { // folded again a group may have grown: times are written as short as they are
				rest = group[next:]
			}
			o.carried = slices.Concat(rest, o.carried)
			return d, kept
		default:
			kept = append(kept, r)
		}
	}
}

func (o *owner) append(ctx context.Context, id string, d *draft) error {
	ctx, cancel := context.WithTimeoutCause(ctx, appendTimeout, fmt.Errorf("append to the log took more than %v", appendTimeout))
	defer cancel()
	o.feed.local.leave(id, d.records)
	o.buffer = d.out.data // the log has taken what it needs when it answers
	begun := time.Now()
	seq, err := o.log.Append(ctx, Entry{Partition: o.partition, ID: id, Data: d.out.data}, o.last)
	if o.onAppend != nil {
		o.onAppend(len(d.records), time.Since(begun), err)
	}
	if err != nil {
		o.feed.local.take(id)
		return err
	}
	o.last = seq
	o.bytes += len(d.out.data)
	o.ahead = append(o.ahead, appended{seq, len(d.out.data), d})
	d.out, d.records, d.below = encoder{}, nil, nil
	return nil
}

// sync makes sure that the owner knows the partition's end and that the feed has come up to it.
func (o *owner) sync(ctx context.Context) error {
	if o.synced && o.bytes <= o.room {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, appendTimeout, errors.New("the log did not answer"))
	defer cancel()
	if o.synced {
		return o.catchUp(ctx)
	}
	last, err := o.log.Last(ctx, o.partition)
	if err != nil {
		return fmt.Errorf("end of partition %d: %w", o.partition, err)
	}
	if err := o.feed.wait(ctx, last); err != nil {
		return err
	}
	o.forgetAhead()
	o.last, o.synced = last, true
	return nil
}

func (o *owner) forgetAhead() { o.ahead, o.bytes = nil, 0 }

// catchUp waits until the feed has read enough of what lies ahead of it.
func (o *owner) catchUp(ctx context.Context) error {
	o.trim()
	if o.bytes <= o.room {
		return nil
	}
	err := o.feed.wait(ctx, o.ahead[len(o.ahead)/2].seq)
	o.trim()
	return err
}

// entryID names one try to append a group, so that what its entry holds is known.
func entryID(group string, try int) string { return group + "-" + strconv.Itoa(try) }

// find looks for an entry of a group of ours, whose append was not confirmed, from the one after before up to
// until, and returns which try made it, 0 if none.
func (o *owner) find(ctx context.Context, id string, before, until uint64) (try int, err error) {
	if until <= before {
		return 0, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, appendTimeout, errors.New("the log did not answer"))
	defer cancel()
	errEnd := errors.New("read to the end")
	err = o.log.Tail(ctx, before, func(e Entry) error {
		if n, ok := strings.CutPrefix(e.ID, id+"-"); ok {
			if try, err = strconv.Atoi(n); err != nil {
				return fmt.Errorf("entry %q: %w", e.ID, err)
			}
			return errEnd
		}
		if e.Seq >= until {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return try, nil
	}
	return 0, err
}

// The owner as a reader: what it appended, over the feed.

// trim forgets what the feed has read back.
func (o *owner) trim() {
	head := o.feed.head.Load()
	n := 0
	for n < len(o.ahead) && o.ahead[n].seq <= head {
		o.bytes -= o.ahead[n].bytes
		o.ahead[n] = appended{}
		n++
	}
	o.ahead = o.ahead[n:]
}

func (o *owner) call(account, id string) (*Call, bool) {
	o.trim()
	for i := len(o.ahead) - 1; i >= 0; i-- {
		if c, ok := o.ahead[i].calls[callKey{account, id}]; ok {
			return c, true
		}
	}
	return o.feed.call(account, id)
}

func (o *owner) knowsEvent(key eventKey) bool {
	o.trim()
	for _, a := range o.ahead {
		if _, ok := a.events[key]; ok {
			return true
		}
	}
	return o.feed.knowsEvent(key)
}

func (o *owner) liveCalls(account, pbx string) map[string]*Call {
	calls := map[string]*Call{}
	o.feed.live(account, func(c *Call) {
		if own, _, _ := cutCallID(c.ID); own == pbx {
			calls[c.ID] = c
		}
	})
	for _, a := range o.ahead {
		overlay(calls, a.calls, account, pbx)
	}
	return calls
}
