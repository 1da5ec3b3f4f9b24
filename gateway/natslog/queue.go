package natslog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

const (
	headerItemID  = "Ringcast-Item"
	headerAttempt = "Ringcast-Attempt"
	headerReason  = "Ringcast-Reason"

	consumerName = "workers"

	dedupWindow   = 2 * time.Minute
	maxItemID     = 256
	maxUnfinished = 10_000 // items handed out or waiting for another try; more wait untouched

	// A failed item is tried again after about a second, then twice that, and so on.
	firstDelay = time.Second
	maxDelay   = 5 * time.Minute

	fetchExpiry = 30 * time.Second
	fetchRetry  = time.Second
)

var queueName = regexp.MustCompile(`^[-_a-zA-Z0-9]{1,64}$`)

// queue is a work-queue stream, from which an item is gone once it is done, with one durable consumer, and
// a second stream for what was parked. Attempts are counted anew when an item is released. An item that
// was done before a restart is not known after it: the same id within two minutes is then a new item.
type queue struct {
	cfg     Config
	line    *line
	js      jetstream.JetStream
	name    string
	parked  jetstream.Stream
	ackWait time.Duration
	logger  *slog.Logger
}

var _ gateway.WorkQueue = (*queue)(nil)

func openQueue(ctx context.Context, db *DB, name string) (*queue, error) {
	if !queueName.MatchString(name) {
		return nil, errors.New("not a name")
	}
	q := &queue{cfg: db.cfg, line: db.work, js: db.js, name: name, ackWait: db.cfg.ackWait, logger: db.cfg.Logger.With("queue", name)}
	_, err := db.stream(ctx, jetstream.StreamConfig{
		Name:       q.stream(),
		Subjects:   []string{q.subject()},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.WorkQueuePolicy,
		Discard:    jetstream.DiscardNew,
		Duplicates: dedupWindow,
	}, nil)
	if err != nil {
		return nil, err
	}
	q.parked, err = db.stream(ctx, jetstream.StreamConfig{
		Name:     db.cfg.streamName("PARKED_" + name),
		Subjects: []string{q.parkedSubject("*", "*")},
		Storage:  jetstream.FileStorage,
		// The same item parked again, after a kill between park and acknowledgement, takes its own place.
		MaxMsgsPerSubject: 1,
	}, nil)
	if err != nil {
		return nil, err
	}
	_, err = q.consumer(ctx)
	return q, err
}

func (q *queue) stream() string  { return q.cfg.streamName("QUEUE_" + q.name) }
func (q *queue) subject() string { return q.cfg.subject("queue." + q.name) }

// parkedSubject names the item of that id that had this place in the queue.
func (q *queue) parkedSubject(id, place string) string {
	return q.cfg.subject("parked." + q.name + "." + id + "." + place)
}

// consumer returns the queue's consumer, made if it is not there.
func (q *queue) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, done := q.line.ask(ctx)
	cons, err := q.js.CreateOrUpdateConsumer(ctx, q.stream(), jetstream.ConsumerConfig{
		Durable:       consumerName,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.ackWait,
		MaxDeliver:    -1,
		MaxAckPending: maxUnfinished,
	})
	return cons, done(err)
}

func (q *queue) Add(ctx context.Context, item gateway.Item) error {
	if n := len(item.ID); n < 1 || n > maxItemID {
		return fmt.Errorf("queue %s: an item id of %d bytes", q.name, n)
	}
	return q.put(ctx, "add:"+item.ID, item)
}

// put adds an item unless something with the same key was put within the dedup window.
func (q *queue) put(ctx context.Context, key string, item gateway.Item) error {
	ctx, done := q.line.ask(ctx)
	_, err := q.js.PublishMsg(ctx, &nats.Msg{
		Subject: q.subject(),
		Header: nats.Header{
			jetstream.MsgIDHeader: {url.QueryEscape(key)},
			headerItemID:          {url.QueryEscape(item.ID)},
		},
		Data: item.Data,
	})
	if err = done(err); err != nil {
		return fmt.Errorf("queue %s: add %q: %w", q.name, item.ID, refusal(err))
	}
	return nil
}

func (q *queue) Work(ctx context.Context, parallel int, fn func(context.Context, gateway.Item) error) error {
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() { q.worker(ctx, fn) })
	}
	workers.Wait()
	return ctx.Err()
}

// worker works on one item after the other. It asks for the next only when it is free, so that an item's
// time to be acknowledged never runs while the item waits for a worker.
func (q *queue) worker(ctx context.Context, fn func(context.Context, gateway.Item) error) {
	for ctx.Err() == nil {
		cons, err := q.consumer(ctx)
		for err == nil && ctx.Err() == nil {
			var msg jetstream.Msg
			msg, err = cons.Next(jetstream.FetchContext(ctx))
			if errors.Is(err, nats.ErrTimeout) {
				err = nil
			} else if err == nil {
				q.handle(ctx, msg, fn)
			}
		}
		if ctx.Err() != nil {
			return
		}
		q.logger.Warn("a worker lost its queue and looks for it again", "err", err)
		select {
		case <-time.After(fetchRetry):
		case <-ctx.Done():
		}
	}
}

// handle hands one item to fn and does as fn's error says.
func (q *queue) handle(ctx context.Context, msg jetstream.Msg, fn func(context.Context, gateway.Item) error) {
	item, place, err := itemOf(msg)
	if err == nil {
		beating := q.keepAlive(msg)
		err = fn(ctx, item)
		beating()
	} else {
		err = &gateway.ParkError{Err: err}
	}

	var park *gateway.ParkError
	var later *gateway.LaterError
	switch {
	case err == nil:
		err = q.done(ctx, msg)
	case errors.As(err, &park):
		err = q.park(ctx, msg, item, place, park)
	case errors.As(err, &later):
		err = msg.NakWithDelay(max(later.Delay, time.Millisecond))
	case ctx.Err() != nil:
		err = msg.Nak() // it was fn's leave-taking, not the item
	default:
		err = msg.NakWithDelay(retryDelay(item.Attempt))
	}
	if err != nil {
		q.logger.Error("cannot settle an item: it will be handed out again", "item", item.ID, "err", err)
	}
}

// keepAlive tells the server that the item is being worked on, until the returned function is called.
func (q *queue) keepAlive(msg jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		beat := time.NewTicker(q.ackWait / 3)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				if err := msg.InProgress(); err != nil {
					q.logger.Warn("cannot keep hold of an item", "err", err)
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		beating.Wait()
	}
}

// done takes the item off the queue, also when ctx has ended meanwhile.
func (q *queue) done(ctx context.Context, msg jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	return msg.DoubleAck(ctx)
}

// park puts the item aside, and takes it off the queue only once it is safe there.
func (q *queue) park(ctx context.Context, msg jetstream.Msg, item gateway.Item, place uint64, cause *gateway.ParkError) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	_, err := q.js.PublishMsg(ctx, &nats.Msg{
		Subject: q.parkedSubject(subjectToken(item.ID), strconv.FormatUint(place, 10)),
		Header: nats.Header{
			headerItemID:  {url.QueryEscape(item.ID)},
			headerAttempt: {strconv.Itoa(item.Attempt)},
			headerReason:  {url.QueryEscape(cause.Err.Error())},
		},
		Data: item.Data,
	})
	if err != nil {
		return errors.Join(err, msg.NakWithDelay(retryDelay(item.Attempt)))
	}
	return msg.DoubleAck(ctx)
}

func (q *queue) Parked(ctx context.Context) ([]gateway.ParkedItem, error) {
	var items []gateway.ParkedItem
	err := q.eachParked(ctx, "*", func(_ uint64, p gateway.ParkedItem) error {
		items = append(items, p)
		return nil
	})
	return items, err
}

func (q *queue) Release(ctx context.Context, id string) error {
	found := false
	err := q.eachParked(ctx, subjectToken(id), func(seq uint64, p gateway.ParkedItem) error {
		found = true
		// The key makes it safe to repeat a release that was interrupted half-way.
		if err := q.put(ctx, fmt.Sprintf("release:%d", seq), p.Item); err != nil {
			return err
		}
		return q.parked.DeleteMsg(ctx, seq)
	})
	if err == nil && !found {
		return fmt.Errorf("queue %s: parked item %q: %w", q.name, id, gateway.ErrNotFound)
	}
	return err
}

// eachParked calls fn for the parked items with this subject token, oldest first, with their sequences.
func (q *queue) eachParked(ctx context.Context, id string, fn func(uint64, gateway.ParkedItem) error) error {
	for seq := uint64(1); ; {
		asking, done := q.line.ask(ctx)
		raw, err := q.parked.GetMsg(asking, seq, jetstream.WithGetMsgSubject(q.parkedSubject(id, "*")))
		err = done(err)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("queue %s: parked items: %w", q.name, err)
		}
		p, err := parkedOf(raw)
		if err == nil {
			err = fn(raw.Sequence, p)
		}
		if err != nil {
			return fmt.Errorf("queue %s: parked item %d: %w", q.name, raw.Sequence, err)
		}
		seq = raw.Sequence + 1
	}
}

func parkedOf(raw *jetstream.RawStreamMsg) (gateway.ParkedItem, error) {
	id, err1 := url.QueryUnescape(raw.Header.Get(headerItemID))
	reason, err2 := url.QueryUnescape(raw.Header.Get(headerReason))
	attempt, err3 := strconv.Atoi(raw.Header.Get(headerAttempt))
	return gateway.ParkedItem{
		Item:   gateway.Item{ID: id, Data: raw.Data, Attempt: attempt},
		Reason: reason,
		Since:  raw.Time,
	}, errors.Join(err1, err2, err3)
}

// itemOf returns the item in msg and its place in the queue.
func itemOf(msg jetstream.Msg) (gateway.Item, uint64, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return gateway.Item{}, 0, err
	}
	item := gateway.Item{Data: msg.Data(), Attempt: int(meta.NumDelivered)}
	item.ID, err = url.QueryUnescape(msg.Headers().Get(headerItemID))
	return item, meta.Sequence.Stream, err
}

// subjectToken spells an id so that it can stand in a subject.
func subjectToken(id string) string { return "i" + base64.RawURLEncoding.EncodeToString([]byte(id)) }

// retryDelay grows with each attempt. Half of it is chance, so that what failed together comes back apart.
func retryDelay(attempt int) time.Duration {
	d := maxDelay
	if shift := max(attempt-1, 0); shift < 16 {
		d = min(firstDelay<<shift, maxDelay)
	}
	return d/2 + rand.N(d/2)
}
