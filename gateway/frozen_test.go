package gateway

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every field of an event is kept, also one that is added one day.
func TestFrozenEventsAreTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c, again Call
		c.Version = int(rapid.Int32().Draw(t, "version"))
		c.Seen = times.Draw(t, "seen")
		fill(t, reflect.ValueOf(&c.Events).Elem())
		for i := range c.Events {
			e := &c.Events[i]
			e.Account, e.PBX, e.Call = "", "", "" // not in a call's events
			if len(e.Extensions) == 0 {
				e.Extensions = nil
			}
			if len(e.People) == 0 {
				e.People = nil
			}
		}
		if len(c.Events) == 0 {
			c.Events = nil
		}
		thaw(new(ice).freeze(&c), &again)
		again.Known = Known{}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("froze  %+v\nthawed %+v", c, again)
		}
	})
}

// What a user was told of an earlier version can be told again, in whatever order the events came.
func TestPastVersionsAreMadeAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tracker := Tracker{Keep: rapid.SampledFrom([]int{0, 3}).Draw(t, "keep")}
		c := Call{Account: "acme", ID: "office:c1"}
		var all []Call
		var types []EventType
		for _, e := range rapid.Permutation(history(t)).Draw(t, "order") {
			after, news := tracker.Apply(c, e)
			if news {
				c, all, types = after, append(all, after), append(types, e.Type)
			}
		}
		k := kept{account: c.Account, id: c.ID}
		k.set(&c, new(ice))
		if c.Over() && c.Settled == nil && k.call != nil {
			t.Fatal("an ended call is not frozen")
		}
		last := k.get()
		if !reflect.DeepEqual(*last, c) {
			t.Fatalf("kept %+v\ngot  %+v", c, *last)
		}
		for i, want := range all {
			past, made, ok := last.at(want.Version)
			if !ok && c.Settled != nil { // it says so: that is a reset
				continue
			}
			if !ok || made != types[i] || !reflect.DeepEqual(past.Known, want.Known) {
				t.Fatalf("version %d was of %s\n%+v\nmade again of %s, %v\n%+v", want.Version, types[i], want.Known, made, ok, past.Known)
			}
		}
	})
}

func TestRecentIDs(t *testing.T) {
	t.Parallel()
	r, begin := newRecent(), time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	a, b := eventKey{"acme", "office", "a"}, eventKey{"acme", "offic", "ea"}
	r.add(a, begin)
	for _, step := range []struct {
		after time.Duration
		knows bool
	}{{0, true}, {rememberIDs - 1, true}, {rememberIDs, true}, {2*rememberIDs - 1, true}, {2 * rememberIDs, false}} {
		if r.age(begin.Add(step.after)); r.has(a) != step.knows || r.has(b) {
			t.Errorf("after %v: %v, %v", step.after, r.has(a), r.has(b))
		}
	}
}

func BenchmarkFreeze(b *testing.B) {
	c := endedRecord().Call
	var w ice
	b.ReportAllocs()
	for b.Loop() {
		_ = w.freeze(c)
	}
	b.ReportMetric(float64(len(w.out)), "bytes/call")
}
