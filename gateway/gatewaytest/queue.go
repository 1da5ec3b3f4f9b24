package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
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
		"EmptyLane":                  testEmptyLane,
		"FromManyGoroutines":         testQueueFromManyGoroutines,
		"ItemsArriveAsAdded":         testItemsArriveAsAdded,
		"ItemsSurviveReopen":         testItemsSurviveReopen,
		"LanesAndIDs":                testLanesAndIDs,
		"LanesAreApart":              testLanesAreApart,
		"NewestIsTheLast":            testNewestIsTheLast,
		"OldestFirst":                testOldestFirst,
		"PlacesRise":                 testPlacesRise,
		"RemovedIsGone":              testRemovedIsGone,
		"RemovingWhatIsNotThere":     testRemovingWhatIsNotThere,
		"WithAnEndedContextNoAnswer": testQueueWithAnEndedContext,
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

// add puts items into lane "l" and returns their places.
func (b *queueBench) add(ids ...string) []uint64 {
	b.t.Helper()
	places := make([]uint64, len(ids))
	for i, id := range ids {
		places[i] = b.addTo("l", id)
	}
	return places
}

func (b *queueBench) addTo(lane, id string) uint64 {
	b.t.Helper()
	place, err := b.queue.Add(b.ctx(), gateway.Item{Lane: lane, ID: id, Data: []byte("data of " + id)})
	if err != nil {
		b.t.Fatalf("Add(%q) to %q: %v", id, lane, err)
	}
	return place
}

func (b *queueBench) remove(places ...uint64) {
	b.t.Helper()
	for _, place := range places {
		if err := b.queue.Remove(b.ctx(), place); err != nil {
			b.t.Fatalf("Remove(%d): %v", place, err)
		}
	}
}

// lane reads a lane from its beginning.
func (b *queueBench) lane(lane string) (ids []string) {
	b.t.Helper()
	for after := uint64(0); ; {
		item, err := b.queue.Next(b.ctx(), lane, after)
		if errors.Is(err, gateway.ErrNotFound) {
			return ids
		}
		if err != nil || item.Place <= after || item.Lane != lane {
			b.t.Fatalf("Next(%q, %d) = %+v, %v", lane, after, item, err)
		}
		ids, after = append(ids, item.ID), item.Place
	}
}

func (b *queueBench) want(lane string, want ...string) {
	b.t.Helper()
	if got := b.lane(lane); !slices.Equal(got, want) {
		b.t.Errorf("lane %q has %q, want %q", lane, got, want)
	}
}

func (b *queueBench) wantLanes(want map[string]int) {
	b.t.Helper()
	got := map[string]int{}
	if err := b.queue.Lanes(b.ctx(), func(lane string, items int) { got[lane] += items }); err != nil || !maps.Equal(got, want) {
		b.t.Errorf("lanes %v, %v; want %v", got, err, want)
	}
}

func testAddedTwiceIsKeptOnce(t *testing.T, b *queueBench) {
	places := b.add("a", "b", "a")
	if places[2] != places[0] {
		t.Errorf("places %v", places)
	}
	b.addTo("other", "a") // another item
	b.want("l", "a", "b")
	b.remove(places...)
	b.add("a") // removed, and still within the two minutes
	b.want("l")
	b.want("other", "a")
}

func testEmptyLane(t *testing.T, b *queueBench) {
	b.addTo("other", "a")
	if _, err := b.queue.Next(b.ctx(), "l", 0); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("Next: %v", err)
	}
	if _, err := b.queue.Newest(b.ctx(), "l"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("Newest: %v", err)
	}
}

func testQueueFromManyGoroutines(_ *testing.T, b *queueBench) {
	ctx := b.ctx()
	var adding sync.WaitGroup
	for g := range 4 {
		adding.Go(func() {
			for i := range 25 {
				place, err := b.queue.Add(ctx, gateway.Item{Lane: fmt.Sprint(g), ID: fmt.Sprint(i)})
				if err == nil && i%2 == 0 {
					err = b.queue.Remove(ctx, place)
				}
				if err != nil {
					b.t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	b.wantLanes(map[string]int{"0": 12, "1": 12, "2": 12, "3": 12})
}

func testItemsArriveAsAdded(t *testing.T, b *queueBench) {
	big := bytes.Repeat([]byte{0, 1, '\n', 255}, 1<<16)
	for id, data := range map[string][]byte{"big": big, "empty": nil} {
		place, err := b.queue.Add(b.ctx(), gateway.Item{Lane: id, ID: id, Data: data, Place: 77})
		if err != nil {
			t.Fatal(err)
		}
		item, err := b.queue.Next(b.ctx(), id, 0)
		if err != nil || item.ID != id || !bytes.Equal(item.Data, data) || item.Place != place || place == 0 {
			t.Errorf("got %q, %d bytes, place %d, %v", item.ID, len(item.Data), item.Place, err)
		}
		if age := time.Since(item.Added); age < -time.Minute || age > time.Hour {
			t.Errorf("added at %v", item.Added)
		}
	}
}

func testItemsSurviveReopen(_ *testing.T, b *queueBench) {
	places := b.add("a", "b", "c")
	b.remove(places[0])
	b.reopen()
	b.want("l", "b", "c")
	b.remove(places[1:]...)
	b.reopen()
	b.want("l")
	b.wantLanes(map[string]int{})
}

func testLanesAndIDs(t *testing.T, b *queueBench) {
	names := []string{"acme/office:1700000000.12", "*", ">", "a.b", "with space ", "new\r\nline", "ü%41", strings.Repeat("я", 128)}
	lanes := map[string]int{}
	for _, name := range names {
		b.addTo(name, name)
		b.addTo(name, name)
		lanes[name] = 1
	}
	for _, name := range names {
		b.want(name, name)
	}
	b.wantLanes(lanes)
	for _, name := range []string{"", strings.Repeat("x", 257)} {
		for _, item := range []gateway.Item{{Lane: "l", ID: name}, {Lane: name, ID: "a"}} {
			if _, err := b.queue.Add(b.ctx(), item); err == nil {
				t.Errorf("%d bytes were accepted: %+v", len(name), item)
			}
		}
	}
}

func testLanesAreApart(_ *testing.T, b *queueBench) {
	var first []uint64
	for i := range 5 {
		first = append(first, b.addTo("a", fmt.Sprint("a", i)))
		b.addTo("b", fmt.Sprint("b", i))
	}
	b.want("a", "a0", "a1", "a2", "a3", "a4")
	b.want("b", "b0", "b1", "b2", "b3", "b4")
	b.wantLanes(map[string]int{"a": 5, "b": 5})
	b.remove(first...)
	b.want("b", "b0", "b1", "b2", "b3", "b4")
	b.wantLanes(map[string]int{"b": 5})
}

func testNewestIsTheLast(t *testing.T, b *queueBench) {
	places := b.add("a", "b", "c")
	b.addTo("other", "d")
	for i := 2; i >= 0; i-- {
		item, err := b.queue.Newest(b.ctx(), "l")
		if err != nil || item.Place != places[i] || string(item.Data) != "data of "+item.ID {
			t.Errorf("Newest = %+v, %v; want place %d", item, err, places[i])
		}
		b.remove(places[i])
	}
}

func testOldestFirst(_ *testing.T, b *queueBench) {
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("item-%02d", i))
	}
	b.add(want...)
	b.want("l", want...)
}

func testPlacesRise(t *testing.T, b *queueBench) {
	last := b.add("a")[0]
	b.remove(last)
	for i := range 3 {
		b.reopen()
		place := b.add(fmt.Sprint(i))[0]
		if place <= last {
			t.Errorf("place %d after %d", place, last)
		}
		b.remove(place)
		last = place
	}
}

func testRemovedIsGone(_ *testing.T, b *queueBench) {
	places := b.add("a", "b", "c")
	b.remove(places[1])
	b.want("l", "a", "c")
	b.remove(places[0], places[2])
	b.want("l")
	b.wantLanes(map[string]int{})
}

func testRemovingWhatIsNotThere(_ *testing.T, b *queueBench) {
	places := b.add("a", "b")
	b.remove(places[0], places[0], places[1]+1000)
	b.want("l", "b")
}

func testQueueWithAnEndedContext(t *testing.T, b *queueBench) {
	b.add("a")
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	if _, err := b.queue.Next(ctx, "l", 0); err == nil {
		t.Error("Next answered")
	}
	if _, err := b.queue.Add(ctx, gateway.Item{Lane: "l", ID: "b"}); err == nil {
		t.Error("Add answered")
	}
}
