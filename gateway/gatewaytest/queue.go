package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringcast/gateway"
)

// OpenQueue opens the work queue that is kept at dir, made anew if there is none, and returns it with what
// closes it. It may be called for the same dir again once that has returned. It fails the test itself.
type OpenQueue func(t *testing.T, dir string) (q gateway.WorkQueue, closeQueue func())

// WorkQueue checks an implementation of gateway.WorkQueue.
func WorkQueue(t *testing.T, open OpenQueue) {
	for name, test := range map[string]func(*testing.T, *queueBench){
		"AddedTwiceIsKeptOnce":       testAddedTwiceIsKeptOnce,
		"DoneIsGone":                 testDoneIsGone,
		"FailedComesAgain":           testFailedComesAgain,
		"FailedDoesNotStopOthers":    testFailedDoesNotStopOthers,
		"ItemsArriveAsAdded":         testItemsArriveAsAdded,
		"ItemIDs":                    testItemIDs,
		"LaterComesLater":            testLaterComesLater,
		"OldestFirst":                testOldestFirst,
		"ParallelIsBound":            testParallelIsBound,
		"ParkedAndReleased":          testParkedAndReleased,
		"ParkedSurvivesReopen":       testParkedSurvivesReopen,
		"ReleaseUnknown":             testReleaseUnknown,
		"UnfinishedSurvivesReopen":   testUnfinishedSurvivesReopen,
		"WorkWaitsForWhatIsRunning":  testWorkWaitsForWhatIsRunning,
		"WorkSeesWhatIsAddedLater":   testWorkSeesWhatIsAddedLater,
		"WorkWithAnEndedContext":     testWorkWithAnEndedContext,
		"WorkersLeavingGiveItemBack": testWorkersLeavingGiveItemBack,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &queueBench{t: t, open: open, dir: t.TempDir()}
			b.reopen()
			t.Cleanup(func() { b.closeQueue() })
			test(t, b)
		})
	}
}

// queueBench is one test's queue.
type queueBench struct {
	t          *testing.T
	open       OpenQueue
	dir        string
	queue      gateway.WorkQueue
	closeQueue func()
}

func (b *queueBench) reopen() {
	b.t.Helper()
	if b.closeQueue != nil {
		b.closeQueue()
	}
	b.closeQueue = func() {}
	b.queue, b.closeQueue = b.open(b.t, b.dir)
}

func (b *queueBench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *queueBench) add(ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		if err := b.queue.Add(b.ctx(), gateway.Item{ID: id, Data: []byte("data of " + id)}); err != nil {
			b.t.Fatalf("Add(%q): %v", id, err)
		}
	}
}

// work works one item at a time until fn reports that it was the last one.
func (b *queueBench) work(fn func(gateway.Item) (last bool, err error)) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	ended := false
	err := b.queue.Work(ctx, 1, func(_ context.Context, item gateway.Item) error {
		last, err := fn(item)
		if last {
			ended = true
			cancel()
		}
		return err
	})
	if !errors.Is(err, context.Canceled) || !ended {
		b.t.Fatalf("Work = %v before the last item", err)
	}
}

// drain adds one more item and works until that is reached; it returns the ids of the others.
func (b *queueBench) drain() []string {
	b.t.Helper()
	last := fmt.Sprintf("last-%d", time.Now().UnixNano())
	b.add(last)
	var ids []string
	b.work(func(item gateway.Item) (bool, error) {
		if item.ID == last {
			return true, nil
		}
		ids = append(ids, item.ID)
		return false, nil
	})
	return ids
}

func (b *queueBench) wantDrained(want ...string) {
	b.t.Helper()
	if got := b.drain(); !slices.Equal(got, want) {
		b.t.Fatalf("the queue had %q, want %q", got, want)
	}
}

func (b *queueBench) parked() []gateway.ParkedItem {
	b.t.Helper()
	parked, err := b.queue.Parked(b.ctx())
	if err != nil {
		b.t.Fatalf("Parked: %v", err)
	}
	return parked
}

func testAddedTwiceIsKeptOnce(_ *testing.T, b *queueBench) {
	b.add("a", "b", "a")
	b.wantDrained("a", "b")
	b.add("a") // done, and still within the two minutes
	b.wantDrained()
}

func testDoneIsGone(_ *testing.T, b *queueBench) {
	b.add("a", "b", "c")
	b.wantDrained("a", "b", "c")
	b.wantDrained()
	b.reopen()
	b.wantDrained()
}

func testFailedComesAgain(t *testing.T, b *queueBench) {
	b.add("a")
	var attempts []int
	var at []time.Time
	b.work(func(item gateway.Item) (bool, error) {
		attempts, at = append(attempts, item.Attempt), append(at, time.Now())
		if len(attempts) < 3 {
			return false, errors.New("not today")
		}
		return true, nil
	})
	if !slices.Equal(attempts, []int{1, 2, 3}) {
		t.Errorf("attempts %v", attempts)
	}
	if gap := at[1].Sub(at[0]); gap < 50*time.Millisecond {
		t.Errorf("the second attempt came after %v", gap)
	}
	b.wantDrained()
}

func testFailedDoesNotStopOthers(_ *testing.T, b *queueBench) {
	b.add("bad", "good")
	b.work(func(item gateway.Item) (bool, error) {
		if item.ID == "bad" {
			return false, &gateway.LaterError{Delay: time.Hour, Err: errors.New("not today")}
		}
		return item.ID == "good", nil
	})
}

func testItemsArriveAsAdded(t *testing.T, b *queueBench) {
	big := bytes.Repeat([]byte{0, 1, '\n', 255}, 1<<16)
	for id, data := range map[string][]byte{"big": big, "empty": nil} {
		if err := b.queue.Add(b.ctx(), gateway.Item{ID: id, Data: data, Attempt: 77}); err != nil {
			t.Fatal(err)
		}
		b.work(func(item gateway.Item) (bool, error) {
			if item.ID != id || !bytes.Equal(item.Data, data) || item.Attempt != 1 {
				t.Errorf("got %q, %d bytes, attempt %d", item.ID, len(item.Data), item.Attempt)
			}
			return true, nil
		})
	}
}

func testItemIDs(t *testing.T, b *queueBench) {
	ids := []string{"acme/office:1700000000.12", "*", ">", "a.b", "with space ", "new\r\nline", "ü%41", strings.Repeat("я", 128)}
	b.add(ids...)
	b.add(ids...)
	b.work(func(item gateway.Item) (bool, error) {
		return item.ID == ids[len(ids)-1], &gateway.ParkError{Err: errors.New("to see its id")}
	})
	for i, p := range b.parked() {
		if p.ID != ids[i] {
			t.Errorf("parked item %d is %q, want %q", i, p.ID, ids[i])
		}
	}
	for _, id := range ids {
		if err := b.queue.Release(b.ctx(), id); err != nil {
			t.Errorf("Release(%q): %v", id, err)
		}
	}
	b.wantDrained(ids...)
	for _, id := range []string{"", strings.Repeat("x", 257)} {
		if err := b.queue.Add(b.ctx(), gateway.Item{ID: id}); err == nil {
			t.Errorf("an id of %d bytes was accepted", len(id))
		}
	}
}

func testLaterComesLater(t *testing.T, b *queueBench) {
	const delay = 300 * time.Millisecond
	b.add("a")
	var first time.Time
	b.work(func(item gateway.Item) (bool, error) {
		if item.Attempt == 1 {
			first = time.Now()
			return false, fmt.Errorf("wrapped: %w", &gateway.LaterError{Delay: delay, Err: errors.New("not now")})
		}
		if wait := time.Since(first); wait < delay || wait > delay+10*time.Second {
			t.Errorf("the item came again after %v, want %v", wait, delay)
		}
		return true, nil
	})
}

func testOldestFirst(_ *testing.T, b *queueBench) {
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("item-%02d", i))
	}
	b.add(want...)
	b.wantDrained(want...)
}

func testParallelIsBound(t *testing.T, b *queueBench) {
	const parallel, items = 3, 12
	for i := range items {
		b.add(fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	var running, most, done atomic.Int32
	together := make(chan struct{})
	err := b.queue.Work(ctx, parallel, func(ctx context.Context, _ gateway.Item) error {
		n := running.Add(1)
		defer running.Add(-1)
		if n == parallel && most.Swap(parallel) < parallel {
			close(together)
		}
		if n > parallel {
			t.Errorf("%d at a time, want at most %d", n, parallel)
		}
		select {
		case <-together: // as many as allowed have been running at once
		case <-ctx.Done():
			return ctx.Err()
		}
		if done.Add(1) == items {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || done.Load() != items {
		t.Errorf("Work = %v, %d of %d items done", err, done.Load(), items)
	}
}

func testParkedAndReleased(t *testing.T, b *queueBench) {
	b.add("a", "b", "c")
	b.work(func(item gateway.Item) (bool, error) {
		if item.ID == "c" {
			return true, nil
		}
		return false, fmt.Errorf("wrapped: %w", &gateway.ParkError{Err: errors.New("because of\n" + item.ID)})
	})
	parked := b.parked()
	if len(parked) != 2 {
		t.Fatalf("%d parked items, want 2", len(parked))
	}
	for i, id := range []string{"a", "b"} {
		p := parked[i]
		if p.ID != id || string(p.Data) != "data of "+id || p.Attempt != 1 || p.Reason != "because of\n"+id {
			t.Errorf("parked item %d is %q, data %q, attempt %d, reason %q", i, p.ID, p.Data, p.Attempt, p.Reason)
		}
		if age := time.Since(p.Since); age < -time.Minute || age > time.Hour {
			t.Errorf("parked item %d since %v", i, p.Since)
		}
	}
	b.wantDrained()

	if err := b.queue.Release(b.ctx(), "a"); err != nil {
		t.Fatal(err)
	}
	if parked := b.parked(); len(parked) != 1 || parked[0].ID != "b" {
		t.Errorf("after the release of a: %v", parked)
	}
	if err := b.queue.Release(b.ctx(), "a"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("the second Release: %v, want ErrNotFound", err)
	}
	b.work(func(item gateway.Item) (bool, error) {
		if item.ID != "a" || string(item.Data) != "data of a" {
			t.Errorf("released item is %q, data %q", item.ID, item.Data)
		}
		return true, &gateway.ParkError{Err: errors.New("again")}
	})
	if parked := b.parked(); len(parked) != 2 || parked[1].ID != "a" || parked[1].Reason != "again" {
		t.Errorf("after a was parked again: %v", parked)
	}
}

func testParkedSurvivesReopen(t *testing.T, b *queueBench) {
	b.add("a")
	b.work(func(gateway.Item) (bool, error) { return true, &gateway.ParkError{Err: errors.New("why")} })
	b.reopen()
	if parked := b.parked(); len(parked) != 1 || parked[0].ID != "a" || parked[0].Reason != "why" {
		t.Fatalf("parked: %v", parked)
	}
	if err := b.queue.Release(b.ctx(), "a"); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	b.wantDrained("a")
}

func testReleaseUnknown(t *testing.T, b *queueBench) {
	b.add("a") // in the queue, but not parked
	for _, id := range []string{"a", "*", ">", ""} {
		if err := b.queue.Release(b.ctx(), id); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("Release(%q): %v, want ErrNotFound", id, err)
		}
	}
	b.wantDrained("a")
}

func testUnfinishedSurvivesReopen(_ *testing.T, b *queueBench) {
	b.add("a", "b", "c")
	b.work(func(gateway.Item) (bool, error) { return true, nil })
	b.reopen()
	b.wantDrained("b", "c")
}

func testWorkWaitsForWhatIsRunning(t *testing.T, b *queueBench) {
	b.add("a")
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	var returned atomic.Bool
	err := b.queue.Work(ctx, 4, func(ctx context.Context, _ gateway.Item) error {
		cancel()
		<-ctx.Done() // fn hears of the end, and takes its time
		returned.Store(true)
		return nil
	})
	if !errors.Is(err, context.Canceled) || !returned.Load() {
		t.Errorf("Work = %v, fn had returned: %v", err, returned.Load())
	}
	b.wantDrained() // what it finished after the end is done all the same
}

func testWorkSeesWhatIsAddedLater(t *testing.T, b *queueBench) {
	b.add("0")
	b.work(func(item gateway.Item) (bool, error) {
		n := len(item.ID)
		if n < 5 {
			if err := b.queue.Add(b.ctx(), gateway.Item{ID: strings.Repeat("0", n+1)}); err != nil {
				t.Error(err)
			}
		}
		return n == 5, nil
	})
}

func testWorkWithAnEndedContext(t *testing.T, b *queueBench) {
	b.add("a")
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	err := b.queue.Work(ctx, 2, func(context.Context, gateway.Item) error {
		t.Error("fn was called")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Work = %v", err)
	}
}

// testWorkersLeavingGiveItemBack ends the workers in the middle of an item, as a deploy does.
func testWorkersLeavingGiveItemBack(t *testing.T, b *queueBench) {
	b.add("a")
	ctx, cancel := context.WithCancel(b.ctx())
	_ = b.queue.Work(ctx, 1, func(ctx context.Context, _ gateway.Item) error {
		cancel()
		return ctx.Err()
	})
	left := time.Now()
	b.work(func(item gateway.Item) (bool, error) { return item.ID == "a", nil })
	if wait := time.Since(left); wait > 10*time.Second {
		t.Errorf("the item came again after %v", wait)
	}
}
