package gateway

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// switchboard is a small model of a PBX: what its telephones may do, and what it says of that. Extension 101 to 103 ring,
// talk, hold, hand calls on and consult each other; two calls may become one.
type switchboard struct {
	t      *rapid.T
	second float64
	events []Event
	calls  []*switchedCall
}

type switchedCall struct {
	id   string
	dir  string
	legs map[string]string // "ring", "talk", "held"
	from string
	over bool
}

// story draws what a PBX says of one to three calls, each event with its id and a time of its own.
func story(t *rapid.T) []Event {
	o := &switchboard{t: t}
	for range rapid.IntRange(1, 3).Draw(t, "calls") {
		o.begin()
	}
	for range rapid.IntRange(2, 16).Draw(t, "steps") {
		if live := o.live(); len(live) > 0 {
			o.step(rapid.SampledFrom(live).Draw(t, "call"))
		}
	}
	for _, c := range o.live() {
		o.end(c)
	}
	return o.events
}

func (o *switchboard) live() []*switchedCall {
	return slices.DeleteFunc(slices.Clone(o.calls), func(c *switchedCall) bool { return c.over })
}

func (o *switchboard) say(c *switchedCall, format string, args ...any) {
	o.second++
	e := ev(o.second, fmt.Sprintf(format, args...)+" dir="+c.dir+" from="+c.from)
	e.Account, e.Call, e.ID = "acme", c.id, c.id+" "+e.ID
	o.events = append(o.events, e)
}

func (o *switchboard) draw(c *switchedCall, states ...string) string {
	var exts []string
	for ext, state := range c.legs {
		if slices.Contains(states, state) {
			exts = append(exts, ext)
		}
	}
	if len(exts) == 0 {
		return ""
	}
	slices.Sort(exts)
	return rapid.SampledFrom(exts).Draw(o.t, "extension")
}

func (o *switchboard) begin() {
	c := &switchedCall{
		id: fmt.Sprintf("c%d", len(o.calls)+1), legs: map[string]string{},
		dir: rapid.SampledFrom([]string{"inbound", "outbound", "internal"}).Draw(o.t, "direction"),
	}
	o.calls = append(o.calls, c)
	ext := rapid.SampledFrom([]string{"101", "102", "103"}).Draw(o.t, "extension")
	c.legs[ext] = "ring"
	switch c.dir {
	case "inbound":
		c.from = "89991112233"
		if rapid.Bool().Draw(o.t, "group") {
			other := "102"
			if ext == other {
				other = "103"
			}
			c.legs[other] = "ring"
			o.say(c, "dial %s %s", ext, other)
			return
		}
	case "outbound":
		c.from = ext
	case "internal":
		c.from = "101"
		if ext == c.from {
			c.from = "103"
		}
		c.legs[c.from] = "calls"
	}
	o.say(c, "dial %s", ext)
}

func (o *switchboard) step(c *switchedCall) {
	switch rapid.SampledFrom([]string{"answer", "give up", "hold", "unhold", "transfer", "leave", "ring", "merge", "record", "end"}).Draw(o.t, "step") {
	case "answer":
		if ext := o.draw(c, "ring"); ext != "" {
			o.say(c, "bridge %s", ext)
			for other, state := range c.legs {
				if state == "ring" {
					delete(c.legs, other)
				}
				if state == "calls" {
					c.legs[other] = "talk"
				}
			}
			c.legs[ext] = "talk"
		}
	case "give up":
		if ext := o.draw(c, "ring"); ext != "" {
			o.say(c, "hangup:%s %s", rapid.SampledFrom([]Cause{CauseNoAnswer, CauseBusy, CauseRejected}).Draw(o.t, "cause"), ext)
			delete(c.legs, ext)
		}
	case "hold":
		if ext := o.draw(c, "talk"); ext != "" {
			o.say(c, "hold %s", ext)
			c.legs[ext] = "held"
		}
	case "unhold":
		if ext := o.draw(c, "held"); ext != "" {
			o.say(c, "unhold %s", ext)
			c.legs[ext] = "talk"
		}
	case "transfer":
		to := rapid.SampledFrom([]string{"101", "102", "103"}).Draw(o.t, "to")
		if ext := o.draw(c, "talk", "held"); ext != "" && c.legs[to] == "" {
			o.say(c, "transfer %s to=%s", ext, to)
			delete(c.legs, ext)
			c.legs[to] = "ring"
		}
	case "leave":
		if ext := o.draw(c, "talk", "held"); ext != "" {
			o.say(c, "hangup:normal %s", ext)
			delete(c.legs, ext)
		}
	case "ring":
		ext := rapid.SampledFrom([]string{"101", "102", "103"}).Draw(o.t, "extension")
		if c.legs[ext] == "" {
			o.say(c, "dial %s", ext)
			c.legs[ext] = "ring"
		}
	case "merge":
		for _, into := range o.live() {
			if into != c {
				o.say(c, "merge into=%s", into.id)
				for ext, state := range c.legs {
					if into.legs[ext] != "talk" && into.legs[ext] != "held" {
						into.legs[ext] = state
					}
				}
				c.over = true
				return
			}
		}
	case "record":
		o.say(c, "recording rec=https://rec.example/%v", o.second)
	case "end":
		o.end(c)
	}
}

func (o *switchboard) end(c *switchedCall) {
	o.say(c, "hangup:normal")
	c.over = true
}

// nothing is what lies under a draft when there is nothing yet.
type nothing struct{}

func (nothing) call(string, string) (*Call, bool)         { return nil, false }
func (nothing) knowsEvent(eventKey) bool                  { return false }
func (nothing) liveCalls(string, string) map[string]*Call { return map[string]*Call{} }

// told is what the calls are after the events were heard in this order.
func told(events []Event) map[string]Known {
	d := newDraft(nothing{}, start.Add(time.Hour), nil)
	for _, e := range events {
		d.apply(e)
	}
	calls := map[string]Known{}
	for key, c := range d.calls {
		calls[key.id] = c.Known
	}
	return calls
}

// What a PBX says of its calls makes the same calls in whatever order it is heard, and however often.
func TestEveryOrderTellsTheSameStory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := story(t)
		want := told(events)
		order := rapid.Permutation(events).Draw(t, "order")
		repeats := rapid.SliceOf(rapid.SampledFrom(events)).Draw(t, "repeats")
		at := rapid.IntRange(0, len(order)).Draw(t, "where")
		got := told(slices.Concat(order[:at], repeats, order[at:]))
		for id, call := range want {
			if !reflect.DeepEqual(got[id], call) {
				t.Fatalf("%s in order\n%+v\nas heard\n%+v", id, call, got[id])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d calls, want %d", len(got), len(want))
		}
	})
}

// Calls that are merged into each other, one of them twice: each join took the place of the other's, for ever.
func TestMergedIntoEachOther(t *testing.T) {
	t.Parallel()
	said := func(call string, second float64, line string) Event {
		e := ev(second, line)
		e.Account, e.Call, e.ID = "acme", call, ""
		return e
	}
	told([]Event{said("a", 3, "merge into=b"), said("b", 0, "dial 102"), said("b", 1, "merge into=a"), said("b", 2, "merge into=a")})
	told([]Event{said("a", 0, "dial 101"), said("b", 0, "dial 102"), said("b", 1, "merge into=a"), said("a", 1, "merge into=b"), said("a", 1, "merge into=a")})
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.SampledFrom([]string{"a", "b", "c"})
		var events []Event
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			line := rapid.SampledFrom([]string{"dial 101", "dial 102 103", "bridge 101", "merge into=a", "merge into=b", "merge into=c", "hangup 102"}).Draw(t, "line")
			events = append(events, said(calls.Draw(t, "call"), float64(rapid.IntRange(0, 5).Draw(t, "second")), line))
		}
		told(events)
	})
}
