package natslog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

// lostPatience is how long the log may end before what was read of it until it counts as lost.
const lostPatience = 3 * time.Second

func (l *eventLog) Tail(ctx context.Context, after uint64, fn func(gateway.Entry) error) error {
	r := &reader{db: l.db, stream: l.name(), last: after, handler: &tail{log: l, fn: fn}}
	return r.run(ctx)
}

func (l *eventLog) TailPartition(ctx context.Context, partition int, after uint64, fn func(gateway.Entry) error) error {
	if err := l.check(partition); err != nil {
		return err
	}
	r := &reader{db: l.db, stream: l.name(), last: after, handler: &tail{log: l, fn: fn}}
	if l.info.Partitions > 1 {
		r.filters = []string{l.subject(strconv.Itoa(partition))}
	}
	return r.run(ctx)
}

// tail handles what a reader reads of the log.
type tail struct {
	log  *eventLog
	fn   func(gateway.Entry) error
	last string    // the id of the last entry read, as it is in the header
	lost time.Time // since when the stream seems to have lost that entry; zero: it does not

	unpacker unpacker
}

// resume makes sure that the stream is still the one that was opened: in another the sequences mean nothing. So they
// do where the servers crashed and lost the end of it, which what is appended now takes the place of.
func (t *tail) resume(ctx context.Context, r *reader) error {
	if !t.log.db.cfg.external() {
		return nil // nobody else could have changed it
	}
	guarded, done := t.log.db.work.ask(ctx)
	info, err := t.log.stream.Info(guarded)
	if err = done(err); err != nil {
		return passingError{err}
	}
	if epoch := info.Config.Metadata[metaEpoch]; epoch != t.log.info.Epoch {
		return t.log.remade(epoch)
	}
	if t.last == "" {
		return nil
	}
	lost, err := t.losesEnd(ctx, r.last)
	if err != nil {
		return passingError{err}
	}
	if lost {
		return t.log.renew(ctx)
	}
	return nil
}

// losesEnd says whether the stream has lost its entry last, which this has read. A server that has just become the
// stream's leader may come to it yet.
func (t *tail) losesEnd(ctx context.Context, last uint64) (bool, error) {
	guarded, done := t.log.db.work.ask(ctx)
	msg, err := t.log.stream.GetMsg(guarded, last)
	err = done(err)
	switch {
	case err == nil:
		t.lost = time.Time{}
		return msg.Header.Get(headerEntryID) != t.last, nil
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return false, err
	}
	guarded, done = t.log.db.work.ask(ctx)
	info, err := t.log.stream.Info(guarded)
	switch err = done(err); {
	case err != nil:
		return false, err
	case info.State.LastSeq >= last: // it was purged
		t.lost = time.Time{}
		return false, nil
	case t.lost.IsZero():
		t.lost = time.Now()
	}
	if time.Since(t.lost) < lostPatience {
		return false, fmt.Errorf("the log ends at %d, %d was read", info.State.LastSeq, last)
	}
	return true, nil
}

func (t *tail) take(msg *nats.Msg, meta *nats.MsgMetadata) error {
	e, err := entryOf(msg, meta)
	if err != nil {
		return err
	}
	if e.Data, err = t.unpacker.unpack(msg); err != nil {
		return fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	t.last = msg.Header.Get(headerEntryID)
	return t.fn(e)
}

func (*tail) atEnd() error { return nil }

// entryOf is all of an entry but its data.
func entryOf(msg *nats.Msg, meta *nats.MsgMetadata) (gateway.Entry, error) {
	partition, err := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	if err != nil {
		return gateway.Entry{}, fmt.Errorf("entry %d: subject %q", meta.Sequence.Stream, msg.Subject)
	}
	id, err := url.QueryUnescape(msg.Header.Get(headerEntryID))
	if err != nil {
		return gateway.Entry{}, fmt.Errorf("entry %d: id: %w", meta.Sequence.Stream, err)
	}
	return gateway.Entry{
		Seq:       meta.Sequence.Stream,
		Partition: partition,
		ID:        id,
		Time:      meta.Timestamp,
	}, nil
}
