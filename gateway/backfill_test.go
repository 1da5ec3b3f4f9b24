package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (b *bundle) past() PastSink {
	return sink{&Link{Account: "acme", ID: "office", gateway: b.Gateway}, b.seats[0].owner.Load()}
}

// pastOf makes a past call of lines such as "10: dial 101", each with its second since a time.
func pastOf(id string, since time.Time, lines ...string) PastCall {
	p := PastCall{ID: id}
	for i, line := range lines {
		var second int
		at, line, _ := strings.Cut(line, ": ")
		if _, err := fmt.Sscan(at, &second); err != nil {
			panic(err)
		}
		e := lineEvents(line)[0]
		e.Call, e.At, e.ID = id, since.Add(time.Duration(second)*time.Second), fmt.Sprint("cdr ", id, " ", i)
		p.Events = append(p.Events, e)
	}
	return p
}

func (b *bundle) backfill(want Backfilled, again time.Time, calls ...PastCall) {
	b.t.Helper()
	got, err := b.past().Backfill(b.t.Context(), calls, again)
	if err != nil || got.Added != want.Added || got.Mended != want.Mended {
		b.t.Errorf("backfilled %+v, %v; want %+v", got, err, want)
	}
	synctest.Wait()
}

func TestBackfilledCallIsSavedOnceAndNobodyGetsACard(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.ring("before")
		pass(time.Minute)
		o.restart()
		tab := o.open("u1", "")
		down := time.Now().Add(-time.Hour)
		call := pastOf("c9", down, "0: dial 101", "10: bridge 101", "70: hangup")
		again := time.Now()
		o.backfill(Backfilled{Added: 1}, again, call)
		o.backfill(Backfilled{}, again, call)
		tab.expect()
		if hello := o.open("u1", "").hello; len(hello.Calls) > 0 {
			t.Errorf("cards: %+v", hello.Calls)
		}
		pass(time.Minute)
		o.restart()
		o.backfill(Backfilled{}, again, call)
		pass(time.Minute)
		o.want(2)
		e, _ := o.crm.entry("acme/office:c9")
		c := e.last
		if c.AnsweredBy == nil || c.AnsweredBy.User != "u1" || !c.StartedAt.Equal(down) || c.Legs[0].Talked != time.Minute {
			t.Errorf("saved %+v", c.Known)
		}
	})
}

// TestBackfilledCallThatOnlyTheJournalRemembers: the log has forgotten it.
func TestBackfilledCallThatOnlyTheJournalRemembers(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		begun := time.Now()
		o.ring("c9")
		pass(time.Minute)
		o.want(1)
		pass(26 * time.Hour)
		if _, ok := o.feed.call("acme", "office:c9"); ok {
			t.Fatal("the call is still remembered")
		}
		o.backfill(Backfilled{}, time.Now(), pastOf("c9", begun, "0: dial 101", "1: hangup"))
		pass(time.Minute)
		if o.want(1); o.crm.tried() != 1 {
			t.Errorf("%d tries", o.crm.tried())
		}
	})
}

// TestIDOfAPastCallThatWasUsedBefore: a PBX that begins to count anew makes a call of its own.
func TestIDOfAPastCallThatWasUsedBefore(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("c9: dial 101", "c9: bridge 101", "c9: hangup")
		pass(3 * time.Hour)
		b.backfill(Backfilled{Added: 1}, time.Now(), pastOf("c9", time.Now().Add(-time.Hour), "0: dial 102", "9: hangup"))
		if v, ok := b.view("c9", "u2"); !ok || *v.Outcome != Missed || v.Version != 5 {
			t.Errorf("%+v", v)
		}
	})
}

func TestCallHalfSeenEndsWhenItDid(t *testing.T) {
	for _, test := range []struct {
		name string
		seen []string
		tab  []string
		talk time.Duration
	}{
		{"talking", []string{"dial 101", "bridge 101"}, []string{"hangup ended answered", "hangup ended answered"}, 100 * time.Second},
		{"ringing", []string{"dial 101"}, []string{"hangup ended missed", "hangup ended answered"}, 90 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			inGateway(t, func(t *testing.T, b *bundle) {
				begun := time.Now()
				b.emit(test.seen...)
				one, two := b.open("u1", ""), b.open("u2", "")
				pass(10 * time.Minute)
				again := time.Now()
				if err := b.live(t.Context(), b.seats[0].owner.Load(), "acme", "office", nil, again); err != nil {
					t.Fatal(err)
				}
				past := pastOf("c1", begun, "0: dial 101", "10: bridge 101", "100: dial 102", "100: bridge 102", "100: hangup 101", "160: hangup")
				b.backfill(Backfilled{Mended: 1}, again, past)
				b.backfill(Backfilled{}, again, past)
				one.expect(test.tab...)
				two.expect() // he had no card
				c, _ := b.feed.call("acme", "office:c1")
				if !c.EndedAt.Equal(begun.Add(160*time.Second)) || len(c.Legs) != 2 || c.Legs[0].Talked.Round(time.Second) != test.talk || c.Legs[1].Talked.Round(time.Second) != time.Minute {
					t.Errorf("%+v", c.Known)
				}
			})
		})
	}
}

// TestCallHalfSeenIsMendedBeforeItIsEnded: the records were read sooner than the list of channels.
func TestCallHalfSeenIsMendedBeforeItIsEnded(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		begun := time.Now()
		b.emit("dial 101", "bridge 101")
		pass(time.Minute)
		b.backfill(Backfilled{Mended: 1}, time.Now(), pastOf("c1", begun, "0: dial 101", "0: bridge 101", "30: hangup"))
		if v, ok := b.view("c1", "u1"); !ok || v.State != Ended || time.Time(*v.EndedAt).Sub(begun) != 30*time.Second {
			t.Errorf("%+v", v)
		}
	})
}

func TestCallSeenToItsEndStaysAsItIs(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		begun := time.Now()
		b.emit("dial 101", "bridge 101", "hangup")
		pass(time.Minute)
		call := pastOf("other", begun, "0: dial 101", "3: bridge 101", "4: hangup")
		call.Also = []string{"c1"}
		b.backfill(Backfilled{}, time.Now(), call)
		if c, _ := b.feed.call("acme", "office:c1"); c.Version != 3 {
			t.Errorf("%+v", c.Known)
		}
	})
}

func TestManyPastCallsGoInGroups(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.log.mu.Lock()
		b.log.maxEntry = 10_000
		b.log.mu.Unlock()
		var calls []PastCall
		for i := range 130 {
			calls = append(calls, pastOf(fmt.Sprint("p", i), time.Now().Add(-time.Hour), "0: dial 101", "9: dial 199", "9: hangup"))
		}
		got, err := b.past().Backfill(t.Context(), calls, time.Now())
		if err != nil || got.Added != len(calls) || !slices.Equal(got.Unknown, []string{"199"}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestPastCallTooLargeForTheLogKeepsNoneFromIt(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.log.mu.Lock()
		b.log.maxEntry = 10_000
		b.log.mu.Unlock()
		since := time.Now().Add(-time.Hour)
		huge := pastOf("huge", since, "0: dial 101", "9: hangup")
		huge.Events[0].Line = strings.Repeat("1", 12_000)
		b.backfill(Backfilled{Added: 2}, time.Now(), pastOf("one", since, "0: dial 101", "9: hangup"), huge, pastOf("two", since, "0: dial 102", "9: hangup"))
		if _, ok := b.view("two", "u2"); !ok {
			t.Error("the call behind it is not in the log")
		}
	})
}

// TestPastCallThatTheLogKnowsCostsNoQuestion: the records are read again and again, and most of the calls are there.
func TestPastCallThatTheLogKnowsCostsNoQuestion(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		call := pastOf("c9", time.Now().Add(-time.Hour), "0: dial 101", "10: bridge 101", "70: hangup")
		call.Also = []string{"c10", "c11"}
		o.backfill(Backfilled{Added: 1}, time.Now(), call)
		pass(time.Minute)
		o.line.sever()
		defer o.line.mend()
		o.backfill(Backfilled{}, time.Now(), call)
	})
}

func TestUnheardSince(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		b := begin(t, log, store)
		want := func(want time.Time) {
			t.Helper()
			synctest.Wait()
			if got, err := b.past().Unheard(t.Context()); err != nil || !got.Equal(want) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		}
		want(time.Time{})
		b.emit("dial 101")
		heard := time.Now()
		want(heard) // where nothing was noted
		pass(time.Minute)
		if err := b.past().Heard(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		heard = time.Now()
		pass(time.Hour)
		b.stop()
		b = begin(t, log, store)
		defer b.stop()
		want(heard)
	})
}
