package natslog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

const shortAckWait = 200 * time.Millisecond

func openCRMQueue(t *testing.T, ackWait time.Duration) (*DB, *queue) {
	t.Helper()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast, ackWait: ackWait})
	t.Cleanup(func() { closeDB(t, db) })
	q, err := openQueue(t.Context(), db, "crm")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Add(t.Context(), gateway.Item{ID: "a", Data: []byte("data")}); err != nil {
		t.Fatal(err)
	}
	return db, q
}

// TestLongWorkIsNotHandedOutTwice works on an item for longer than the time to acknowledge it, counted in
// signs of life.
func TestLongWorkIsNotHandedOutTwice(t *testing.T) {
	t.Parallel()
	db, q := openCRMQueue(t, 1500*time.Millisecond) // a loaded machine must not miss three beats
	const beats = 5                                 // three a wait
	signs := make(chan *nats.Msg, 100)
	sub, err := db.appends.ChanSubscribe("$JS.ACK.>", signs)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := db.appends.FlushTimeout(answerTimeout); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	calls := make(chan int, 100)
	_ = q.Work(ctx, 2, func(ctx context.Context, item gateway.Item) error {
		calls <- item.Attempt
		for alive := 0; alive < beats; {
			select {
			case msg := <-signs:
				if string(msg.Data) == "+WPI" {
					alive++
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		cancel()
		return nil
	})
	if len(calls) != 1 || <-calls != 1 {
		t.Error("the item was handed out again while it was being worked on")
	}
}

// TestParkedItemWhoseAcknowledgementFailed is handed out again, and parked in the same place.
func TestParkedItemWhoseAcknowledgementFailed(t *testing.T) {
	t.Parallel()
	_, q := openCRMQueue(t, shortAckWait)
	cons, err := q.consumer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	errPark := &gateway.ParkError{Err: errors.New("bad")}
	parkIt := func(context.Context, gateway.Item) error { return errPark }
	msg, err := cons.Next(jetstream.FetchMaxWait(answerTimeout))
	if err != nil {
		t.Fatal(err)
	}
	q.handle(t.Context(), unacknowledged{msg}, parkIt)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_ = q.Work(ctx, 1, func(_ context.Context, item gateway.Item) error {
		if item.Attempt != 2 {
			t.Errorf("attempt %d", item.Attempt)
		}
		cancel()
		return errPark
	})
	parked, err := q.Parked(t.Context())
	if err != nil || len(parked) != 1 || parked[0].ID != "a" || parked[0].Attempt != 2 {
		t.Errorf("parked: %v, %v", parked, err)
	}
}

// unacknowledged is a message of a process that is killed before its acknowledgement goes out.
type unacknowledged struct{ jetstream.Msg }

func (unacknowledged) DoubleAck(context.Context) error { return errors.New("killed") }

// TestReleaseIsSafeToRepeat repeats a release that was interrupted between its two steps.
func TestReleaseIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	_, q := openCRMQueue(t, shortAckWait)
	ctx, cancel := context.WithCancel(t.Context())
	_ = q.Work(ctx, 1, func(context.Context, gateway.Item) error {
		cancel()
		return &gateway.ParkError{Err: errors.New("bad")}
	})
	var item gateway.ParkedItem
	err := q.eachParked(t.Context(), "*", func(seq uint64, p gateway.ParkedItem) error {
		item = p
		return q.put(t.Context(), fmt.Sprintf("release:%d", seq), p.Item)
	})
	if err != nil || item.ID != "a" {
		t.Fatalf("parked item %q, %v", item.ID, err)
	}
	if err := q.Release(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	stream, err := q.js.Stream(t.Context(), q.stream())
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("the item is in the queue %d times, %v", stream.CachedInfo().State.Msgs, err)
	}
}

// TestWorkersFindTheirConsumerAgain takes it away from workers that wait for items.
func TestWorkersFindTheirConsumerAgain(t *testing.T) {
	t.Parallel()
	_, q := openCRMQueue(t, shortAckWait)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var once sync.Once
	err := q.Work(ctx, 2, func(_ context.Context, item gateway.Item) error {
		once.Do(func() {
			if err := q.js.DeleteConsumer(ctx, q.stream(), consumerName); err != nil {
				t.Error(err)
			}
			if err := q.Add(ctx, gateway.Item{ID: "b"}); err != nil {
				t.Error(err)
			}
		})
		if item.ID == "b" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Work = %v before the second item", err)
	}
}

func TestQueuesAreApartAndNamed(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	defer closeDB(t, db)
	for _, name := range []string{"", "a.b", "a b", "*", "a/b", "ü"} {
		if _, err := db.Queue(t.Context(), name); err == nil {
			t.Errorf("a queue may be called %q", name)
		}
	}
	for _, name := range []string{"crm", "mail"} {
		q, err := db.Queue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Add(t.Context(), gateway.Item{ID: "a", Data: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	q, err := db.Queue(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_ = q.Work(ctx, 1, func(_ context.Context, item gateway.Item) error {
		if string(item.Data) != "crm" {
			t.Errorf("got an item of queue %s", item.Data)
		}
		cancel()
		return nil
	})
}

func TestRetryDelayGrows(t *testing.T) {
	t.Parallel()
	var last time.Duration
	for attempt := range 100 {
		d := retryDelay(attempt)
		if d < firstDelay/2 || d > maxDelay || d < last/4 {
			t.Errorf("attempt %d is delayed by %v, after %v", attempt, d, last)
		}
		last = d
	}
	if last < maxDelay/2 {
		t.Errorf("the last delay is %v", last)
	}
}
