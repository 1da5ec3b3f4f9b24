package natslog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

const (
	tailBatch     = 512      // entries asked for ahead
	tailBytes     = 16 << 20 // of one request, more than the largest entry
	tailHeartbeat = 2 * time.Second
	tailExpiry    = 30 * time.Second
	tailRetry     = 100 * time.Millisecond
	tailIdle      = 30 * time.Second // after which the server drops a consumer that nobody asks
)

// Tail reads through a consumer of its own. When that is lost, deleted, silent or has skipped something,
// another is made which starts after the last entry that fn has seen.
func (l *eventLog) Tail(ctx context.Context, after uint64, fn func(gateway.Entry) error) error {
	t := tail{log: l, last: after, fn: fn}
	for {
		err := t.follow(ctx)
		if t.failed != nil {
			return t.failed
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, jetstream.ErrConnectionClosed) || l.js.Conn().IsClosed() {
			return fmt.Errorf("tail: %w", err)
		}
		l.logger.Warn("the tail of the log was interrupted and goes on", "after", t.last, "error", err)
		select {
		case <-time.After(tailRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tail is the state of one Tail call.
type tail struct {
	log    *eventLog
	last   uint64 // what fn has seen
	fn     func(gateway.Entry) error
	failed error // what ends the tail: fn's error, or an entry that is none
}

// follow makes a consumer and hands its entries to fn, until either fails or ctx ends.
func (t *tail) follow(ctx context.Context) error {
	cons, err := t.log.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       t.last + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: tailIdle,
	})
	if err != nil {
		return err
	}
	defer t.remove(ctx, cons.CachedInfo().Name)
	msgs, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(tailBatch, tailBytes),
		jetstream.PullExpiry(tailExpiry), jetstream.PullHeartbeat(tailHeartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer msgs.Stop()

	for delivered := uint64(1); ; delivered++ {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != delivered {
			return fmt.Errorf("delivery %d came where %d was due", meta.Sequence.Consumer, delivered)
		}
		if meta.Sequence.Stream <= t.last {
			continue
		}
		e, err := entryOf(msg, meta)
		if err == nil {
			err = t.fn(e)
		}
		if err != nil {
			t.failed = err
			return nil
		}
		t.last = e.Seq
	}
}

// remove drops the consumer, also when ctx has ended; if that fails, the server drops it before long.
func (t *tail) remove(ctx context.Context, consumer string) {
	if t.log.js.Conn().IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	err := t.log.stream.DeleteConsumer(ctx, consumer)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.log.logger.Debug("cannot remove the consumer of an ended tail", "error", err)
	}
}

func entryOf(msg jetstream.Msg, meta *jetstream.MsgMetadata) (gateway.Entry, error) {
	partition, err := strconv.Atoi(strings.TrimPrefix(msg.Subject(), logPrefix))
	if err != nil {
		return gateway.Entry{}, fmt.Errorf("entry %d: subject %q", meta.Sequence.Stream, msg.Subject())
	}
	id, err := url.QueryUnescape(msg.Headers().Get(headerEntryID))
	if err != nil {
		return gateway.Entry{}, fmt.Errorf("entry %d: id: %w", meta.Sequence.Stream, err)
	}
	return gateway.Entry{
		Seq:       meta.Sequence.Stream,
		Partition: partition,
		ID:        id,
		Time:      meta.Timestamp,
		Data:      msg.Data(),
	}, nil
}
