package gateway

import (
	"slices"
	"time"
)

// Call is everything known of one call: a value with a version. Tracker makes a new one for each event;
// nothing reachable from a Call is changed afterwards, so it may be shared freely.
type Call struct {
	Account string `json:"account"`
	ID      string `json:"id"` // the PBX's id in the configuration, a colon, and its own id of the call
	Version int    `json:"version"`
	Known          // what the events add up to

	// Events are the call's latest events in the order in which they happened, and Settled is what those
	// before them added up to: an event that happened before all of Events comes too late to count.
	Events  []Event `json:"events"`
	Settled *Known  `json:"settled,omitempty"`
}

// Known is what a call's events add up to.
type Known struct {
	Direction  Direction `json:"direction,omitempty"`
	From       Number    `json:"from,omitzero"`
	To         Number    `json:"to,omitzero"`
	Line       string    `json:"line,omitempty"`
	Name       string    `json:"name,omitempty"`
	StartedAt  time.Time `json:"started_at,omitzero"`  // zero: no dial yet, nobody sees the call
	AnsweredAt time.Time `json:"answered_at,omitzero"` // the first talk; once set it stays
	AnsweredBy *Person   `json:"answered_by,omitempty"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Into       string    `json:"into,omitempty"` // the call it was merged into
	Recording  string    `json:"recording,omitempty"`
	Legs       []Leg     `json:"legs,omitempty"`
}

// Leg is one extension's share of a call. Several devices of an extension are one leg.
type Leg struct {
	Person
	Caller       bool          `json:"caller,omitempty"` // this extension made the call
	RangAt       time.Time     `json:"rang_at,omitzero"`
	AnsweredAt   time.Time     `json:"answered_at,omitzero"`   // its first talk; once set it stays
	TalkingSince time.Time     `json:"talking_since,omitzero"` // zero unless it talks
	Talked       time.Duration `json:"talked,omitempty"`       // talks that are over
	Held         bool          `json:"held,omitempty"`
	EndedAt      time.Time     `json:"ended_at,omitzero"`
	Outcome      Outcome       `json:"outcome,omitempty"`
}

// Live says whether the leg rings or talks.
func (l Leg) Live() bool { return l.EndedAt.IsZero() }

func (l Leg) ringing() bool { return l.Live() && l.TalkingSince.IsZero() }

// Over says whether the whole call has ended.
func (k Known) Over() bool { return !k.EndedAt.IsZero() }

// atADesk says whether any telephone still rings or talks.
func (k Known) atADesk() bool {
	return slices.ContainsFunc(k.Legs, Leg.Live)
}

// after returns what is known after e. The legs of k are copied, not changed.
func (k Known) after(e Event) Known {
	if e.Recording != "" {
		k.Recording = e.Recording
	}
	if k.Over() { // settled: whatever else comes is late
		return k
	}
	k.Legs = slices.Clone(k.Legs)
	switch e.Type {
	case EventDial:
		k.dial(e)
	case EventBridge:
		k.bridge(e)
	case EventHold, EventUnhold:
		k.hold(e)
	case EventTransfer:
		k.transfer(e)
	case EventMerge:
		for i := range k.Legs {
			k.Legs[i].end(e.At, Transferred)
		}
		k.EndedAt, k.Into = e.At, e.Into
	case EventHangup:
		k.hangup(e)
	}
	return k
}

func (k *Known) dial(e Event) {
	first := k.StartedAt.IsZero()
	if first {
		k.Direction, k.From, k.To, k.Line, k.Name, k.StartedAt = e.Direction, e.From, e.To, e.Line, e.Name, e.At
		if e.Direction == Internal {
			k.ring(e.person(e.From.Raw), e.At).Caller = true
		}
	}
	for _, ext := range e.Extensions {
		leg := k.ring(e.person(ext), e.At)
		leg.Caller = leg.Caller || first && e.Direction == Outbound
	}
}

// ring begins a leg, or begins it anew when it had ended: a queue that tries a member again.
func (k *Known) ring(p Person, at time.Time) *Leg {
	leg := k.leg(p.Extension)
	if leg == nil {
		k.Legs = append(k.Legs, Leg{Person: p, RangAt: at})
		return &k.Legs[len(k.Legs)-1]
	}
	if !leg.Live() {
		leg.RangAt, leg.EndedAt, leg.Outcome = at, time.Time{}, ""
	}
	return leg
}

func (k *Known) bridge(e Event) {
	closes := false
	for _, ext := range e.Extensions {
		leg := k.ring(e.person(ext), e.At)
		if !leg.ringing() {
			continue
		}
		leg.talk(e.At)
		closes = closes || !leg.Caller
		if !leg.Caller && k.AnsweredBy == nil {
			p := leg.Person
			k.AnsweredBy = &p
		}
	}
	if k.AnsweredAt.IsZero() {
		k.AnsweredAt = e.At
	}
	if !closes {
		return
	}
	for i := range k.Legs {
		switch leg := &k.Legs[i]; {
		case !leg.ringing():
		case leg.Caller:
			leg.talk(e.At)
		default:
			leg.end(e.At, Elsewhere) // the others' cards close at the answer, not at their hangup
		}
	}
}

func (k *Known) hold(e Event) {
	for i := range k.Legs {
		leg := &k.Legs[i]
		if !leg.TalkingSince.IsZero() && (len(e.Extensions) == 0 || slices.Contains(e.Extensions, leg.Extension)) {
			leg.Held = e.Type == EventHold
		}
	}
}

func (k *Known) transfer(e Event) {
	if from := k.transferor(e.Extensions); from != nil {
		from.end(e.At, Transferred)
	}
	if p := e.person(e.Target); p.User != "" {
		k.ring(p, e.At)
	}
}

// transferor is the leg that hands the call on: the one named, else the last that began to talk.
func (k *Known) transferor(extensions []string) *Leg {
	var found *Leg
	for i := range k.Legs {
		leg := &k.Legs[i]
		switch {
		case !leg.Live():
		case len(extensions) > 0:
			if slices.Contains(extensions, leg.Extension) {
				return leg
			}
		case !leg.TalkingSince.IsZero() && (found == nil || leg.TalkingSince.After(found.TalkingSince)):
			found = leg
		}
	}
	return found
}

func (k *Known) hangup(e Event) {
	whole := len(e.Extensions) == 0
	for i := range k.Legs {
		leg := &k.Legs[i]
		if whole || slices.Contains(e.Extensions, leg.Extension) {
			leg.end(e.At, leg.outcome(e.Cause, !k.AnsweredAt.IsZero()))
		}
	}
	if whole {
		k.EndedAt = e.At
	}
}

func (k *Known) leg(extension string) *Leg {
	for i := range k.Legs {
		if k.Legs[i].Extension == extension {
			return &k.Legs[i]
		}
	}
	return nil
}

func (l *Leg) talk(at time.Time) {
	l.TalkingSince = at
	if l.AnsweredAt.IsZero() {
		l.AnsweredAt = at
	}
}

func (l *Leg) end(at time.Time, outcome Outcome) {
	if !l.Live() {
		return
	}
	if !l.TalkingSince.IsZero() {
		l.Talked += at.Sub(l.TalkingSince)
	}
	l.EndedAt, l.Outcome, l.TalkingSince, l.Held = at, outcome, time.Time{}, false
}

// outcome of a leg that hangs up now. "Answered" is a latch: who talked once did not miss the call.
func (l *Leg) outcome(cause Cause, answered bool) Outcome {
	if !l.AnsweredAt.IsZero() {
		return Answered
	}
	switch cause {
	case CauseBusy:
		return Busy
	case CauseCancelled:
		return Cancelled
	case CauseRejected:
		return Rejected
	case CauseFailed:
		return Failed
	case CauseElsewhere:
		return Elsewhere
	case CauseNoAnswer:
		return Missed
	}
	switch {
	case l.Caller:
		return Cancelled
	case answered:
		return Elsewhere
	default:
		return Missed
	}
}

// person returns who sits at an extension of the event; User is "" when the directory knows nobody.
func (e Event) person(extension string) Person {
	for _, p := range e.People {
		if p.Extension == extension {
			return p
		}
	}
	return Person{Extension: extension}
}
