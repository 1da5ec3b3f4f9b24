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

const (
	tailBatch     = 512      // entries asked for in one request
	tailBytes     = 16 << 20 // and their bytes: more than the largest entry
	tailExpiry    = 30 * time.Second
	tailHeartbeat = time.Second // of a server that has nothing to deliver
	tailSilence   = 2500 * time.Millisecond
	tailRetry     = 100 * time.Millisecond
	tailIdle      = 30 * time.Second // after which the server drops a consumer that nobody asks
)

// A request's status, in a message without data (NATS ADR-13).
const (
	statusHeader      = "Status"
	descriptionHeader = "Description"

	statusAlive   = "100"
	statusNone    = "404" // no more entries
	statusExpired = "408"
	statusEnded   = "409" // for the reason in the description

	endedByBytes = "message size exceeds maxbytes"
	endedByCount = "batch completed" // told because the request had a limit of bytes too
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
		if l.js.Conn().IsClosed() {
			return fmt.Errorf("tail: %w", err)
		}
		l.logger.Warn("the tail of the log was interrupted and goes on", "after", t.last, "err", err)
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
//
// It asks the consumer by itself: the client library's iterator can wait for ever after a reconnect.
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
	name := cons.CachedInfo().Name
	defer t.remove(ctx, name)

	conn := t.log.js.Conn()
	msgs := make(chan *nats.Msg, 2*tailBatch) // one request's entries, and its status
	inbox := conn.NewInbox()
	sub, err := conn.ChanSubscribe(inbox, msgs)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection has ended it before

	silence := time.NewTimer(tailSilence)
	defer silence.Stop()
	asked := false // a request runs until its status says that it ended
	for delivered := uint64(0); ; {
		if !asked {
			if err := conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+logStream+"."+name, inbox, tailRequest()); err != nil {
				return err
			}
			asked = true
		}
		silence.Reset(tailSilence)
		select {
		case msg := <-msgs:
			switch status := statusOf(msg); status {
			case "":
				delivered++
				if err := t.take(msg, delivered); err != nil {
					return err
				}
			case statusAlive:
			case statusNone, statusExpired:
				asked = false
			default:
				return fmt.Errorf("the consumer is of no more use: %s", status)
			}
		case <-t.log.closed:
			return nats.ErrConnectionClosed
		case <-silence.C:
			return errors.New("the consumer is silent")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tailRequest asks a consumer for its next entries.
func tailRequest() []byte {
	return fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
		tailBatch, tailBytes, tailExpiry.Nanoseconds(), tailHeartbeat.Nanoseconds())
}

// statusOf returns the status that msg carries, "" for an entry. A request that delivered all it may
// counts as expired.
func statusOf(msg *nats.Msg) string {
	if len(msg.Data) > 0 {
		return ""
	}
	status := msg.Header.Get(statusHeader)
	if status != statusEnded {
		return status
	}
	description := strings.ToLower(msg.Header.Get(descriptionHeader))
	if strings.Contains(description, endedByBytes) || strings.Contains(description, endedByCount) {
		return statusExpired
	}
	return description
}

// take hands msg to fn, if it is the delivery that is due.
func (t *tail) take(msg *nats.Msg, due uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != due {
		return fmt.Errorf("delivery %d came where %d was due", meta.Sequence.Consumer, due)
	}
	if meta.Sequence.Stream <= t.last {
		return nil
	}
	e, err := entryOf(msg, meta)
	if err == nil {
		err = t.fn(e)
	}
	if err != nil {
		t.failed = err
		return err
	}
	t.last = e.Seq
	return nil
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
		t.log.logger.Debug("cannot remove the consumer of an ended tail", "err", err)
	}
}

func entryOf(msg *nats.Msg, meta *nats.MsgMetadata) (gateway.Entry, error) {
	partition, err := strconv.Atoi(strings.TrimPrefix(msg.Subject, logPrefix))
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
