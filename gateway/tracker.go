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
// and an event from before what is settled are not; a join takes the place of the one with its id. The version
// rises by one with each piece of news.
func (t Tracker) Apply(c Call, e Event) (Call, bool) {
	if e.ID != "" && c.has(e.ID) {
		if e.Type != EventJoin {
			return c, false
		}
		return t.replace(c, e)
	}
	at, _ := slices.BinarySearchFunc(c.Events, e, compareEvents)
	for at < len(c.Events) && compareEvents(c.Events[at], e) == 0 { // equals keep the order of arrival
		at++
	}
	if at == 0 && c.Settled != nil && len(c.Events) > 0 {
		return c, false
	}
	c.Version++
	e.Version = c.Version
	e.Account, e.PBX, e.Call = "", "", "" // the call's id says it
	c.Events = inserted(c.Events, at, e)
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
		c.Settled, c.Events = &settled, slices.Clone(c.Events[extra:])
	}
	return c, true
}

// replace puts a join in the place of the one that is there.
func (t Tracker) replace(c Call, e Event) (Call, bool) {
	at := slices.IndexFunc(c.Events, func(old Event) bool { return old.ID == e.ID })
	if same := c.Events[at]; same.At.Equal(e.At) && slices.Equal(same.People, e.People) && same.From == e.From &&
		same.To == e.To && same.Direction == e.Direction && same.Line == e.Line && same.Name == e.Name {
		return c, false
	}
	c.Version++
	e.Version = c.Version
	e.Account, e.PBX, e.Call = "", "", ""
	c.Events = slices.Clone(c.Events)
	c.Events[at] = e
	c.Known = t.refold(c)
	return c, true
}

// inserted returns a copy of events with e at a place.
func inserted(events []Event, at int, e Event) []Event {
	all := make([]Event, len(events)+1)
	copy(all, events[:at])
	all[at] = e
	copy(all[at+1:], events[at:])
	return all
}

func (t Tracker) refold(c Call) Known {
	k := c.base()
	for _, e := range c.Events {
		k = k.after(e)
	}
	return k
}

// merges returns the events that merged the call into others, the first for each: one, unless a PBX says strange
// things.
func (c Call) merges() []Event {
	var merges []Event
	for _, e := range c.Events {
		known := func(m Event) bool { return m.Into == e.Into }
		if e.Type == EventMerge && !slices.ContainsFunc(merges, known) {
			merges = append(merges, e)
		}
	}
	return merges
}

// before returns what was known of the call just before one of its events.
func (c Call) before(e Event) Known {
	k := c.base()
	for _, old := range c.Events {
		if compareEvents(old, e) == 0 {
			break
		}
		k = k.after(old)
	}
	return k
}

// going returns who rings and who talks in a call that is not over. Without its dial it is not known who is at the
// other end: nobody goes on elsewhere then.
func (k Known) going() (ringing, talking []Person) {
	if k.Over() || k.StartedAt.IsZero() {
		return nil, nil
	}
	for _, leg := range k.Legs {
		switch {
		case !leg.Live():
		case leg.ringing():
			ringing = append(ringing, leg.Person)
		default:
			talking = append(talking, leg.Person)
		}
	}
	return ringing, talking
}

// Joins returns what a call that was merged into another hands on to that one: who rings there from then on, and
// who talks. They lack the account and the PBX.
func (c Call) Joins() []Event {
	var joins []Event
	for _, merge := range c.merges() {
		known := c.before(merge)
		ringing, talking := known.going()
		join := Event{
			Call: merge.Into, Type: EventJoin, At: merge.At,
			Direction: known.Direction, From: known.From, To: known.To, Line: known.Line, Name: known.Name,
		}
		if known.Over() {
			join.Direction = ""
		}
		joins = append(joins, join.joining(Ringing, c.ID, ringing), join.joining(Talking, c.ID, talking))
	}
	return joins
}

func (e Event) joining(state State, from string, who []Person) Event {
	e.Joins, e.ID = state, "join "+from+" "+string(state)
	for _, p := range who {
		e.Extensions, e.People = append(e.Extensions, p.Extension), append(e.People, p)
	}
	return e
}

// tells says whether a join has anything to tell. That of nobody who talks does: it tells whose call it is.
func (e Event) tells() bool {
	return len(e.People) > 0 || e.Joins == Talking && e.Direction != ""
}

func (c Call) has(event string) bool {
	return slices.ContainsFunc(c.Events, func(e Event) bool { return e.ID == event })
}

// at returns the call as it was at an earlier version, and the type of the event that made it that. It returns
// false when the events of that time are no longer all there.
func (c *Call) at(version int) (Call, EventType, bool) {
	past := Call{Account: c.Account, ID: c.ID, Version: version, Settled: c.Settled}
	var made EventType
	first := c.Version
	for _, e := range c.Events {
		first = min(first, e.Version)
		if e.Version <= version {
			past.Events = append(past.Events, e)
		}
		if e.Version == version {
			made = e.Type
		}
	}
	// What is settled came before the rest if that is without gaps.
	if made == "" || first == 0 || c.Settled != nil && first+len(c.Events)-1 != c.Version {
		return Call{}, "", false
	}
	past.Known = Tracker{}.refold(past)
	return past, made, true
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
	case EventBridge, EventConsult:
		return 1
	case EventJoin:
		return 2
	case EventHold:
		return 3
	case EventUnhold:
		return 4
	case EventTransfer:
		return 5
	case EventRecording, EventUpdate, EventResult:
		return 6
	case EventMerge:
		return 7
	default:
		return 8
	}
}
