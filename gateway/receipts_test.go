package gateway

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tally is what the metrics were told of receipts, a line each.
type tally struct {
	mu    sync.Mutex
	lines []string
}

func (c *tally) metrics() Metrics {
	add := func(format string, args ...any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lines = append(c.lines, fmt.Sprintf(format, args...))
	}
	return Metrics{
		Shown:   func(rung string, after time.Duration) { add("%s %v", rung, after) },
		Unshown: func(account, why string) { add("%s %s", account, why) },
	}
}

func (c *tally) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.lines, want) {
		t.Errorf("counted %q, want %q", c.lines, want)
	}
	c.lines = nil
}

// inReceipts runs a test in a bubble with a gateway whose metrics it sees.
func inReceipts(t *testing.T, test func(t *testing.T, b *bundle, counted *tally)) {
	inGateway(t, func(t *testing.T, b *bundle) {
		counted := &tally{}
		b.receipts.metrics = counted.metrics()
		test(t, b, counted)
		b.receipts.mu.Lock()
		defer b.receipts.mu.Unlock()
		if n := len(b.receipts.over); n > 0 {
			t.Errorf("%d calls are not judged", n)
		}
	})
}

func unshown(t *testing.T, g *Gateway) string {
	t.Helper()
	calls, err := g.Unshown(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, u := range calls {
		var rung []string
		for _, p := range u.Rung {
			rung = append(rung, p.User)
		}
		parts = append(parts, u.Call+" "+u.Why+" "+strings.Join(rung, "+"))
	}
	return strings.Join(parts, ", ")
}

// A tab on the same machine may say that it shows a card before the feed has done with the record.
func TestReceiptWhileTheRecordIsApplied(t *testing.T) {
	inReceipts(t, func(t *testing.T, b *bundle, counted *tally) {
		_, stop, err := b.Subscribe("acme", "u1", "", func(Message) {
			b.receipts.shown(userKey{"acme", "u1"}, "office:c1", "ws")
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		b.emit("dial 101")
		counted.expect(t, "ws 0s")
		b.emit("hangup")
		pass(receiptTime + receiptTick)
		counted.expect(t)
	})
}

func TestCardTimes(t *testing.T) {
	inReceipts(t, func(t *testing.T, b *bundle, counted *tally) {
		b.emit("dial 101 102")
		synctest.Wait()
		pass(40 * time.Millisecond)
		b.Shown("acme", "u1", "office:c1", "ws")
		b.Shown("acme", "u1", "office:c1", "sse") // another window
		counted.expect(t, "ws 40ms")
		pass(time.Second)
		b.Shown("acme", "u2", "office:c1", "poll")
		counted.expect(t, "poll 1.04s")
		b.emit("hangup")
		synctest.Wait()
		pass(receiptTime + 2*receiptTick)
		counted.expect(t)
		b.Shown("acme", "u1", "office:c1", "ws")
		b.Shown("acme", "u3", "office:c1", "ws")
		b.Shown("acme", "u1", "office:never", "ws")
		counted.expect(t)
		if n := len(b.receipts.calls); n != 0 || unshown(t, b.Gateway) != "" {
			t.Errorf("%d calls are remembered; unshown: %q", n, unshown(t, b.Gateway))
		}
	})
}

func TestCallThatNoScreenShowed(t *testing.T) {
	inReceipts(t, func(t *testing.T, b *bundle, counted *tally) {
		b.emit("dial 101 102")
		b.emit("c2: dial 102")
		b.SetPresence("acme", "u1", online)
		b.emit("hangup", "c2: hangup")
		synctest.Wait()
		pass(receiptTime - time.Millisecond)
		counted.expect(t)
		pass(2 * receiptTick)
		counted.expect(t, "acme unseen", "acme offline")
		if got := unshown(t, b.Gateway); got != "office:c1 unseen u1+u2, office:c2 offline u2" {
			t.Error(got)
		}
	})
}

func TestReceiptAfterTheEndCounts(t *testing.T) {
	inReceipts(t, func(t *testing.T, b *bundle, counted *tally) {
		b.emit("dial 101", "hangup")
		synctest.Wait()
		pass(2 * time.Second)
		b.Shown("acme", "u1", "office:c1", "ws")
		pass(receiptTime + 2*receiptTick)
		counted.expect(t, "ws 2s")
	})
}

// Only a telephone that rang has to bring a card: not the caller's own, and not one that answered at once.
func TestOwnCardNeedsNoReceipt(t *testing.T) {
	inReceipts(t, func(t *testing.T, b *bundle, counted *tally) {
		events := lineEvents("out: dial 101", "in: dial 102")
		events[0].Direction = Outbound
		events[1].Direction, events[1].From.Raw = Internal, "101"
		if _, err := b.Emit(t.Context(), "acme", "office", events); err != nil {
			t.Fatal(err)
		}
		b.emit("unknown: dial 999")
		b.emit("out: hangup", "in: hangup", "unknown: hangup")
		synctest.Wait()
		pass(receiptTime + 2*receiptTick)
		counted.expect(t, "acme offline")
		if got := unshown(t, b.Gateway); got != "office:in offline u2" {
			t.Error(got)
		}
	})
}

// What began before a start rang where its receipts may have gone with the process.
func TestCallsOfBeforeTheStartAreNotJudged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		b := begin(t, log, store)
		b.emit("dial 101")
		b.emit("c2: dial 101")
		b.emit("c2: bridge 101")
		b.stop()
		b = begin(t, log, store)
		defer b.stop()
		counted := &tally{}
		b.receipts.metrics = counted.metrics()
		b.emit("c3: dial 101")
		b.emit("hangup", "c2: transfer 102", "c2: hangup", "c3: hangup")
		synctest.Wait()
		pass(receiptTime + 2*receiptTick)
		counted.expect(t, "acme offline")
		if got := unshown(t, b.Gateway); got != "office:c3 offline u1" {
			t.Error(got)
		}
	})
}

func TestReceiptsOfAFleet(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		counted := map[*node]*tally{owner: {}, other: {}}
		for n, c := range counted {
			n.receipts.metrics = c.metrics()
		}
		owner.SetPresence("acme", "u2", online)
		owner.emit("dial 101", "c2: dial 102")
		synctest.Wait()
		other.Shown("acme", "u1", "office:c1", "sse")
		other.emit("hangup", "c2: hangup")
		synctest.Wait()
		pass(receiptTime + 2*receiptTick)
		counted[owner].expect(t, "acme unseen")
		counted[other].expect(t, "sse 0s")
		if got := unshown(t, other.Gateway); got != "office:c2 unseen u2" {
			t.Error(got)
		}
		// Who has shown a call may have told the node that is gone.
		owner.emit("c3: dial 101")
		synctest.Wait()
		owner.kill()
		f.settle()
		other.emit("c4: dial 101", "c3: hangup", "c4: hangup")
		synctest.Wait()
		pass(receiptTime + 2*receiptTick)
		counted[other].expect(t, "acme offline")
		if got := unshown(t, other.Gateway); got != "office:c4 offline u1, office:c2 unseen u2" {
			t.Error(got)
		}
	})
}

// waiting makes the receipts of a node that shares a store, and nobody is online.
func waiting(store Store, term func(string) uint64, counted *tally) *receipts {
	return &receipts{
		metrics: counted.metrics(), logger: slog.New(slog.DiscardHandler), now: time.Now, shared: store,
		online: func(userKey) bool { return false }, term: term, calls: map[callKey]*rungCall{},
	}
}

func rings(r *receipts, call string) {
	leg := Leg{Person: Person{User: "u1", Extension: "101"}, RangAt: time.Now()}
	c := &Call{Account: "acme", ID: call, Known: Known{StartedAt: time.Now(), Legs: []Leg{leg}}}
	r.record(&Record{Account: "acme", At: time.Now(), Call: c})
}

func ends(r *receipts, call string) {
	leg := Leg{Person: Person{User: "u1", Extension: "101"}, RangAt: time.Now(), EndedAt: time.Now()}
	c := &Call{Account: "acme", ID: call, Known: Known{StartedAt: time.Now(), EndedAt: time.Now(), Legs: []Leg{leg}}}
	r.record(&Record{Account: "acme", At: time.Now(), Call: c})
}

func TestOnlyTheOwnerJudges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, countedA, countedB := newSharedStore(), &tally{}, &tally{}
		var mu sync.Mutex
		term := uint64(7)
		a := waiting(store, func(string) uint64 { mu.Lock(); defer mu.Unlock(); return term }, countedA)
		b := waiting(store, func(string) uint64 { return 0 }, countedB)
		both := func(do func(*receipts, string), call string) { do(a, call); do(b, call) }
		defer background(t, a.run)()
		defer background(t, b.run)()
		for _, call := range []string{"c1", "c2"} {
			both(rings, call)
		}
		if !b.shown(userKey{"acme", "u1"}, "c1", "ws") || b.shown(userKey{"acme", "u1"}, "c1", "ws") {
			t.Error("the first receipt, and only it, is for the other nodes")
		}
		a.heard([]byte(`{"account":"acme","call":"c1"}`))
		a.heard([]byte(`{"account":"acme","call":"never"}`))
		a.heard([]byte(`{`))
		both(ends, "c1")
		both(ends, "c2")
		pass(receiptTime + 2*receiptTick)
		countedA.expect(t, "acme offline")
		countedB.expect(t, "ws 0s")
		if all, err := b.list(t.Context()); err != nil || len(all) != 1 || all[0].Call != "c2" {
			t.Errorf("the other node lists %v, %v", all, err)
		}
		rings(a, "c3") // it changes hands there and back, and who knows which receipts were missed
		mu.Lock()
		term = 9
		mu.Unlock()
		ends(a, "c3")
		pass(receiptTime + 2*receiptTick)
		countedA.expect(t)
	})
}

// A node whose memory begins in the middle of a call, with a snapshot, has no receipts of before.
func TestCallThatWasAtADeskBeforeIsNotJudged(t *testing.T) {
	t.Parallel()
	counted := &tally{}
	r := waiting(nil, func(string) uint64 { return 1 }, counted)
	now := time.Now()
	talked := Leg{Person: Person{User: "u1", Extension: "101"}, RangAt: now, AnsweredAt: now, EndedAt: now}
	next := Leg{Person: Person{User: "u2", Extension: "102"}, RangAt: now}
	c := &Call{Account: "acme", ID: "c1", Known: Known{StartedAt: now, Legs: []Leg{talked, next}}}
	r.record(&Record{Account: "acme", At: now, Call: c})
	ends(r, "c1")
	r.now = func() time.Time { return now.Add(time.Minute) }
	if r.judge(); len(counted.lines) != 0 || len(r.calls) != 0 {
		t.Errorf("%v, %v", counted.lines, r.calls)
	}
}

func TestUnshownListIsBoundedAndOutlivesAStoreThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		r := waiting(store, func(string) uint64 { return 1 }, &tally{})
		defer background(t, r.run)()
		ring := func(from, to int) {
			for i := from; i < to; i++ {
				rings(r, fmt.Sprint("c", i))
				ends(r, fmt.Sprint("c", i))
				pass(time.Millisecond)
			}
			pass(receiptTime + 2*receiptTick)
		}
		ring(0, 150)
		store.breaks(errStore)
		ring(150, 400)
		store.breaks(nil)
		pass(2 * receiptTick)
		ring(400, 410)
		all, err := r.list(t.Context())
		if err != nil || len(all) != maxUnshown || all[0].Call != "c409" || all[maxUnshown-1].Call != "c210" {
			t.Errorf("%d calls, %v", len(all), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.unshown) != 0 || len(r.calls) != 0 || len(r.over) != 0 {
			t.Errorf("left in memory: %d, %d, %d", len(r.unshown), len(r.calls), len(r.over))
		}
	})
}

func TestReceiptsAreBounded(t *testing.T) {
	t.Parallel()
	counted := &tally{}
	r := waiting(nil, func(string) uint64 { return 1 }, counted)
	for i := range maxRung + 10 {
		rings(r, fmt.Sprint("c", i))
	}
	if len(r.calls) != maxRung {
		t.Errorf("%d calls", len(r.calls))
	}
}
