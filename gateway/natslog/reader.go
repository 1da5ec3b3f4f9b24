package natslog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	readBatch     = 512      // messages asked for in one request
	readBytes     = 16 << 20 // and their bytes: more than the largest
	readExpiry    = 30 * time.Second
	readHeartbeat = time.Second // of a server that has nothing to deliver
	readSilence   = 2500 * time.Millisecond
	readIdle      = 30 * time.Second // after which the server drops a consumer that nobody asks

	// Before a lost consumer is replaced: the first time, and at most.
	readRetry    = 100 * time.Millisecond
	readRetryMax = 2 * time.Second
)

// A request's status, in a message without data (NATS ADR-13).
const (
	statusHeader      = "Status"
	descriptionHeader = "Description"

	statusAlive   = "100"
	statusNone    = "404" // no more messages
	statusExpired = "408"
	statusEnded   = "409" // for the reason in the description

	endedByBytes = "message size exceeds maxbytes"
	endedByCount = "batch completed" // told because the request had a limit of bytes too
)

// reader reads a stream in order, from any place and then on as it grows. It has a consumer for that, and when
// that is lost, deleted, silent or has skipped something, it makes another, which starts after the last message
// that was taken.
type reader struct {
	db      *DB
	stream  string
	filters []string // subjects; none: all
	last    uint64   // sequence of the last message taken
	handler readHandler
	failed  error // what the handler ended the reader with
}

// readHandler is told what a reader reads, by one goroutine. Its errors end the reader.
type readHandler interface {
	// resume is told that a consumer is about to be made. It may set the reader's last. Fail with *passingError
	// to be asked again later.
	resume(ctx context.Context, r *reader) error
	take(msg *nats.Msg, meta *nats.MsgMetadata) error
	// atEnd is told that everything that was there when the consumer was made has been taken.
	atEnd() error
}

// passingError does not end a reader.
type passingError struct{ error }

// run reads until ctx ends or the handler fails; it returns that error.
func (r *reader) run(ctx context.Context) error {
	delay := readRetry
	for {
		before := r.last
		err := r.follow(ctx)
		switch {
		case r.failed != nil:
			return r.failed
		case ctx.Err() != nil:
			return ctx.Err()
		case r.db.work.IsClosed():
			return fmt.Errorf("read %s: %w", r.stream, err)
		case r.last > before:
			delay = readRetry
		}
		r.db.cfg.Logger.Warn("reading was interrupted and goes on", "stream", r.stream, "after", r.last, "err", err)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
		delay = min(2*delay, readRetryMax)
	}
}

// follow makes a consumer and hands its messages on, until either fails or ctx ends.
//
// It asks the consumer by itself: the client library's iterator can wait for ever after a reconnect, and its
// watcher can end unseen.
func (r *reader) follow(ctx context.Context) error {
	if err := r.handler.resume(ctx, r); err != nil {
		return r.fail(err)
	}
	cons, err := r.makeConsumer(ctx)
	if err != nil {
		return err
	}
	name, waiting := cons.CachedInfo().Name, cons.CachedInfo().NumPending
	defer r.remove(ctx, name)

	conn, broken := r.db.work.Conn, r.db.work.unbroken().Done()
	msgs := make(chan *nats.Msg, 2*readBatch) // one request's messages, and its status
	inbox := conn.NewInbox()
	sub, err := conn.ChanSubscribe(inbox, msgs)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection has ended it before

	if waiting == 0 {
		if err := r.handler.atEnd(); err != nil {
			return r.fail(err)
		}
	}
	silence := time.NewTimer(readSilence)
	defer silence.Stop()
	asked := false // a request runs until its status says that it ended
	for delivered := uint64(0); ; {
		if !asked {
			if err := conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+r.stream+"."+name, inbox, readRequest()); err != nil {
				return err
			}
			asked = true
		}
		silence.Reset(readSilence)
		select {
		case msg := <-msgs:
			switch status := statusOf(msg); status {
			case "":
				delivered++
				if err := r.take(msg, delivered); err != nil {
					return err
				}
			case statusAlive, statusNone, statusExpired:
				asked = status == statusAlive
				if err := r.handler.atEnd(); err != nil {
					return r.fail(err)
				}
			case endedByBytes, endedByCount:
				asked = false
			default:
				return fmt.Errorf("the consumer is of no more use: %s", status)
			}
		case <-broken: // the request is lost, or its answers are
			return errBroken
		case <-silence.C:
			return errors.New("the consumer is silent")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *reader) makeConsumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, done := r.db.work.ask(ctx)
	cons, err := r.db.js.CreateConsumer(ctx, r.stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.last + 1,
		FilterSubjects:    r.filters,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: readIdle,
	})
	return cons, done(err)
}

// readRequest asks a consumer for its next messages.
func readRequest() []byte {
	return fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
		readBatch, readBytes, readExpiry.Nanoseconds(), readHeartbeat.Nanoseconds())
}

// statusOf returns the status that msg carries, "" for one of the stream. A request that was ended gives the
// reason for it.
func statusOf(msg *nats.Msg) string {
	if len(msg.Data) > 0 {
		return ""
	}
	status := msg.Header.Get(statusHeader)
	if status != statusEnded {
		return status
	}
	description := strings.ToLower(msg.Header.Get(descriptionHeader))
	for _, usual := range []string{endedByBytes, endedByCount} {
		if strings.Contains(description, usual) {
			return usual
		}
	}
	return description
}

// take hands msg on, if it is the delivery that is due.
func (r *reader) take(msg *nats.Msg, due uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != due {
		return fmt.Errorf("delivery %d came where %d was due", meta.Sequence.Consumer, due)
	}
	if meta.Sequence.Stream > r.last {
		if err := r.handler.take(msg, meta); err != nil {
			return r.fail(err)
		}
		r.last = meta.Sequence.Stream
	}
	if meta.NumPending == 0 {
		return r.fail(r.handler.atEnd())
	}
	return nil
}

// fail ends the reader with the handler's error, if it is one and is not passing.
func (r *reader) fail(err error) error {
	var passing passingError
	if err != nil && !errors.As(err, &passing) {
		r.failed = err
	}
	return err
}

// remove drops the consumer, also when ctx has ended; if that fails, the server drops it before long.
func (r *reader) remove(ctx context.Context, consumer string) {
	if !r.db.work.IsConnected() {
		return
	}
	ctx, done := r.db.work.ask(context.WithoutCancel(ctx))
	err := done(r.db.js.DeleteConsumer(ctx, r.stream, consumer))
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		r.db.cfg.Logger.Debug("cannot remove a consumer that is not needed any more", "stream", r.stream, "err", err)
	}
}
