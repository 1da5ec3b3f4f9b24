package natslog

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"ringcast/gateway"
)

func (l *eventLog) Tail(ctx context.Context, after uint64, fn func(gateway.Entry) error) error {
	r := &reader{db: l.db, stream: l.name(), last: after, handler: tail{log: l, fn: fn}}
	return r.run(ctx)
}

// tail handles what a reader reads of the log.
type tail struct {
	log *eventLog
	fn  func(gateway.Entry) error
}

// resume makes sure that the stream is still the one that was opened: in another the sequences mean nothing.
func (t tail) resume(ctx context.Context, _ *reader) error {
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
	return nil
}

func (t tail) take(msg *nats.Msg, meta *nats.MsgMetadata) error {
	e, err := entryOf(msg, meta)
	if err != nil {
		return err
	}
	return t.fn(e)
}

func (tail) atEnd() error { return nil }

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
		Data:      msg.Data,
	}, nil
}
