package natslog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

const (
	headerItemID = "Ringcast-Item"

	dedupWindow = 2 * time.Minute
	maxItemID   = 256
)

var queueName = regexp.MustCompile(`^[-_a-zA-Z0-9]{1,64}$`)

// queue is a stream with a subject for each lane; an item's place is its sequence. It has no consumers: who works on a
// lane is alone with it, and takes the lane's first or last item by a direct question. So a lane costs nothing but its
// items, and none that waits for another try keeps the server busy.
type queue struct {
	line   *line
	js     jetstream.JetStream
	name   string
	prefix string // of subjects
	stream jetstream.Stream
}

var _ gateway.WorkQueue = (*queue)(nil)

func openQueue(ctx context.Context, db *DB, name string) (*queue, error) {
	if !queueName.MatchString(name) {
		return nil, errors.New("not a name")
	}
	q := &queue{line: db.work, js: db.js, name: name, prefix: db.cfg.subject("queue." + name + ".")}
	var err error
	q.stream, err = db.stream(ctx, jetstream.StreamConfig{
		Name:       db.cfg.streamName("QUEUE_" + name),
		Subjects:   []string{q.prefix + "*"},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardNew,
		Duplicates: dedupWindow,
	}, nil)
	return q, err
}

func (q *queue) subject(lane string) string { return q.prefix + subjectToken(lane) }

func (q *queue) Add(ctx context.Context, item gateway.Item) (uint64, error) {
	for what, text := range map[string]string{"id": item.ID, "lane": item.Lane} {
		if n := len(text); n < 1 || n > maxItemID {
			return 0, fmt.Errorf("queue %s: an item with a %s of %d bytes", q.name, what, n)
		}
	}
	ctx, done := q.line.ask(ctx)
	ack, err := q.js.PublishMsg(ctx, &nats.Msg{
		Subject: q.subject(item.Lane),
		Header: nats.Header{
			jetstream.MsgIDHeader: {subjectToken(item.Lane) + "/" + url.QueryEscape(item.ID)},
			headerItemID:          {url.QueryEscape(item.ID)},
		},
		Data: item.Data,
	})
	if err = done(err); err != nil {
		return 0, fmt.Errorf("queue %s: add %q: %w", q.name, item.ID, refusal(err))
	}
	return ack.Sequence, nil
}

func (q *queue) Next(ctx context.Context, lane string, after uint64) (gateway.Item, error) {
	ctx, done := q.line.ask(ctx)
	raw, err := q.stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(q.subject(lane)))
	return q.item(lane, raw, done(err))
}

func (q *queue) Newest(ctx context.Context, lane string) (gateway.Item, error) {
	ctx, done := q.line.ask(ctx)
	raw, err := q.stream.GetLastMsgForSubject(ctx, q.subject(lane))
	return q.item(lane, raw, done(err))
}

func (q *queue) item(lane string, raw *jetstream.RawStreamMsg, err error) (gateway.Item, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return gateway.Item{}, fmt.Errorf("queue %s: lane %q: %w", q.name, lane, gateway.ErrNotFound)
	}
	if err != nil {
		return gateway.Item{}, fmt.Errorf("queue %s: lane %q: %w", q.name, lane, err)
	}
	id, err := url.QueryUnescape(raw.Header.Get(headerItemID))
	if err != nil {
		return gateway.Item{}, fmt.Errorf("queue %s: item %d: %w", q.name, raw.Sequence, err)
	}
	return gateway.Item{Lane: lane, ID: id, Data: raw.Data, Place: raw.Sequence, Added: raw.Time}, nil
}

func (q *queue) Remove(ctx context.Context, place uint64) error {
	ctx, done := q.line.ask(ctx)
	err := done(q.stream.DeleteMsg(ctx, place))
	if err == nil || isNotThere(err) {
		return nil
	}
	return fmt.Errorf("queue %s: remove item %d: %w", q.name, place, err)
}

// isNotThere reports whether a message was not deleted because there is none. The client library gives that only in
// words: the server's error 10057, with the description that its store gives.
func isNotThere(err error) bool {
	text := err.Error()
	return errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) &&
		(strings.HasSuffix(text, "no message found") || strings.HasSuffix(text, "message not found") || strings.HasSuffix(text, "stream store EOF"))
}

func (q *queue) Lanes(ctx context.Context, fn func(lane string, items int)) error {
	ctx, done := q.line.ask(ctx)
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(q.prefix+"*"))
	if err = done(err); err != nil {
		return fmt.Errorf("queue %s: lanes: %w", q.name, err)
	}
	for subject, items := range info.State.Subjects {
		lane, err := tokenText(strings.TrimPrefix(subject, q.prefix))
		if err != nil {
			return fmt.Errorf("queue %s: subject %s: %w", q.name, subject, err)
		}
		fn(lane, int(items))
	}
	return nil
}

// subjectToken spells any text so that it can stand in a subject.
func subjectToken(text string) string {
	return "i" + base64.RawURLEncoding.EncodeToString([]byte(text))
}

// tokenText reads what subjectToken wrote.
func tokenText(token string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "i"))
	return string(text), err
}
