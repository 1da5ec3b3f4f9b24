package gateway

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Tracker folds events into calls: Call × Event → Call. It is pure: no clock, no I/O, no state of its
// own, and the same events make the same call in whatever order they come and however often.
//
// It keeps a call's latest events sorted by the time at which they happened, and adds them up again when
// one comes out of turn. What happened at the same instant counts in the order dial, bridge, join, hold,
// unhold, transfer, recording, merge, hangup.
type Tracker struct {
	// Keep is how many events of a call stay open to late ones; 0 means 64. A call that lives on has its
	// oldest events settled.
	Keep int
}

const keepEvents = 64

// Apply returns the call after e, which must have a time, and whether e was news: a repeated event id
// and an event from before what is settled are not. The version rises by one with each piece of news.
func (t Tracker) Apply(c Call, e Event) (Call, bool) {
	if e.ID != "" && slices.ContainsFunc(c.Events, func(old Event) bool { return old.ID == e.ID }) {
		return c, false
	}
	at, _ := slices.BinarySearchFunc(c.Events, e, compareEvents)
	for at < len(c.Events) && compareEvents(c.Events[at], e) == 0 { // equals keep the order of arrival
		at++
	}
	if at == 0 && c.Settled != nil && len(c.Events) > 0 {
		return c, false
	}
	c.Events = slices.Insert(slices.Clone(c.Events), at, e)
	if at == len(c.Events)-1 {
		c.Known = c.after(e)
	} else {
		c.Known = t.refold(c)
	}
	keep := cmp.Or(t.Keep, keepEvents)
	if extra := len(c.Events) - keep; extra > 0 {
		settled := c.base()
		for _, old := range c.Events[:extra] {
			settled = settled.after(old)
		}
		c.Settled, c.Events = &settled, c.Events[extra:]
	}
	c.Version++
	return c, true
}

func (t Tracker) refold(c Call) Known {
	k := c.base()
	for _, e := range c.Events {
		k = k.after(e)
	}
	return k
}

// merged returns the event that merged the call into another, and what was known before it.
func (c Call) merged() (Known, Event, bool) {
	k := c.base()
	for _, e := range c.Events {
		if e.Type == EventMerge && !k.Over() {
			return k, e, true
		}
		k = k.after(e)
	}
	return k, Event{}, false
}

// settled returns an ended call without its events. What happened before its end comes too late then.
func (c *Call) settled() *Call {
	if len(c.Events) == 0 {
		return c
	}
	short, known := *c, c.Known
	short.Settled, short.Events = &known, nil
	return &short
}

func (c Call) base() Known {
	if c.Settled == nil {
		return Known{}
	}
	return *c.Settled
}

// lastAt is when the latest event of the call happened, zero if there was none.
func (c Call) lastAt() time.Time {
	if len(c.Events) == 0 {
		return time.Time{}
	}
	return c.Events[len(c.Events)-1].At
}

func compareEvents(a, b Event) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(rank(a.Type), rank(b.Type)), strings.Compare(a.ID, b.ID))
}

func rank(t EventType) int {
	switch t {
	case EventDial:
		return 0
	case EventBridge:
		return 1
	case EventJoin:
		return 2
	case EventHold:
		return 3
	case EventUnhold:
		return 4
	case EventTransfer:
		return 5
	case EventRecording, EventUpdate:
		return 6
	case EventMerge:
		return 7
	default:
		return 8
	}
}
