package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
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

	requests chan *request
	carried  *request // did not fit into the last group
	last     uint64   // the partition's last entry
	synced   bool     // last is known and the feed has come up to it
	ahead    []appended
}

type appended struct {
	seq uint64
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
)

func newOwner(partition int, log Log, feed *Feed, logger *slog.Logger, now func() time.Time) *owner {
	return &owner{
		partition: partition, log: log, feed: feed, logger: logger.With("partition", partition), now: now,
		requests: make(chan *request, 1024),
	}
}

// submit hands a request to the owner and waits until its records are durable, or refused.
func (o *owner) submit(ctx context.Context, build func(d *draft) error) error {
	r := &request{ctx: ctx, build: build, done: newDone()}
	select {
	case o.requests <- r:
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

func newDone() chan error { return make(chan error, 1) }

// run serves requests until ctx ends, and answers those that are left.
func (o *owner) run(ctx context.Context) {
	for {
		r := o.carried
		o.carried = nil
		if r == nil {
			select {
			case r = <-o.requests:
			case <-ctx.Done():
				o.refuse()
				return
			}
		}
		o.serve(ctx, r)
	}
}

func (o *owner) refuse() {
	for {
		select {
		case r := <-o.requests:
			r.done <- &Error{Code: CodeDraining, Message: "this node is going down", RetryAfter: time.Second}
		default:
			return
		}
	}
}

// serve appends one group that begins with r.
func (o *owner) serve(ctx context.Context, r *request) {
	group := []*request{r}
	id := rand.Text()
	for try := 1; ; try++ {
		var d *draft
		err := o.sync(ctx)
		if err == nil {
			d, group = o.fold(group, try == 1)
			if len(group) == 0 {
				return
			}
			if len(d.records) == 0 {
				answer(group, nil)
				return
			}
			err = o.append(ctx, entryID(id, try), d)
		}
		if err == nil {
			answer(group, nil)
			return
		}
		o.synced = false
		found := o.find(ctx, id)
		if found {
			answer(group, nil)
			return
		}
		if try == appendTries || ctx.Err() != nil || errors.Is(err, ErrLogFull) {
			answer(group, unavailable(err))
			return
		}
		o.logger.Warn("append again", "try", try, "err", err)
	}
}

func answer(group []*request, err error) {
	for _, r := range group {
		r.done <- err
	}
}

func unavailable(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: "the log does not take records now: send it again", RetryAfter: time.Second, Err: err}
}

// fold makes a draft of the requests, and of more that wait if there are any and there is room. It
// answers those that refuse and returns the others.
func (o *owner) fold(group []*request, more bool) (*draft, []*request) {
	d := newDraft(o, o.now().UTC().Truncate(time.Microsecond))
	d.data = append(d.data, entryHead...)
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
		own := newDraft(d, d.now)
		switch err := errors.Join(r.build(own), own.err); {
		case err != nil:
			r.done <- err
		case len(entryHead)+len(own.data) > room:
			r.done <- Errorf(CodeTooLarge, "the request makes %d bytes of records, %d fit: send fewer events at a time", len(own.data), room)
		case len(d.data)+len(own.data) > room:
			o.carried = r
			return d, kept
		default:
			d.take(own)
			kept = append(kept, r)
		}
	}
}

func (o *owner) append(ctx context.Context, id string, d *draft) error {
	ctx, cancel := context.WithTimeoutCause(ctx, appendTimeout, fmt.Errorf("append to the log took more than %v", appendTimeout))
	defer cancel()
	o.feed.local.leave(id, d.records)
	begun := time.Now()
	seq, err := o.log.Append(ctx, Entry{Partition: o.partition, ID: id, Data: d.data}, o.last)
	if o.onAppend != nil {
		o.onAppend(len(d.records), time.Since(begun), err)
	}
	if err != nil {
		o.feed.local.take(id)
		return err
	}
	o.last = seq
	d.data, d.records, d.below = nil, nil, nil
	o.ahead = append(o.ahead, appended{seq, d})
	return nil
}

// sync makes sure that the owner knows the partition's end and that the feed has come up to it.
func (o *owner) sync(ctx context.Context) error {
	if o.synced {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, appendTimeout, errors.New("the log did not answer"))
	defer cancel()
	last, err := o.log.Last(ctx, o.partition)
	if err != nil {
		return fmt.Errorf("end of partition %d: %w", o.partition, err)
	}
	if err := o.feed.wait(ctx, last); err != nil {
		return err
	}
	o.last, o.ahead, o.synced = last, nil, true
	return nil
}

// entryID names one try to append a group, so that what its entry holds is known.
func entryID(group string, try int) string { return group + "-" + strconv.Itoa(try) }

// find looks for an entry of a group of ours whose append was not confirmed.
func (o *owner) find(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, appendTimeout, errors.New("the log did not answer"))
	defer cancel()
	end, err := o.log.Last(ctx, o.partition)
	if err != nil || end <= o.last {
		return false
	}
	errFound := errors.New("found")
	err = o.log.Tail(ctx, o.last, func(e Entry) error {
		if group, _, _ := strings.Cut(e.ID, "-"); group == id {
			return errFound
		}
		if e.Seq >= end {
			return ErrNotFound
		}
		return nil
	})
	return errors.Is(err, errFound)
}

// The owner as a reader: what it appended, over the feed.

// trim forgets what the feed has read back.
func (o *owner) trim() {
	head := o.feed.head.Load()
	n := 0
	for n < len(o.ahead) && o.ahead[n].seq <= head {
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
		for key, c := range a.calls {
			if own, _, _ := cutCallID(key.id); key.account != account || own != pbx {
				continue
			}
			if c.Over() {
				delete(calls, key.id)
			} else {
				calls[key.id] = c
			}
		}
	}
	return calls
}
