package gateway

import (
	"cmp"
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

	Seen time.Time `json:"seen,omitzero"` // when the gateway last heard of it, whatever time the event bore
}

// Known is what a call's events add up to.
type Known struct {
	Direction  Direction   `json:"direction,omitempty"`
	From       Number      `json:"from,omitzero"`
	To         Number      `json:"to,omitzero"`
	Line       string      `json:"line,omitempty"`
	Name       string      `json:"name,omitempty"`
	StartedAt  time.Time   `json:"started_at,omitzero"`  // zero: no dial yet, nobody sees the call
	AnsweredAt time.Time   `json:"answered_at,omitzero"` // the first talk; once set it stays
	AnsweredBy *Person     `json:"answered_by,omitempty"`
	EndedAt    time.Time   `json:"ended_at,omitzero"`
	Into       string      `json:"into,omitempty"` // the call it was merged into
	Recording  string      `json:"recording,omitempty"`
	Contact    *Contact    `json:"contact,omitempty"` // who the outside party is in the CRM; nil: nobody, or not known yet
	Result     *CallResult `json:"result,omitempty"`
	Legs       []Leg       `json:"legs,omitempty"`
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
	Consults     bool          `json:"consults,omitempty"` // its talk does not count: it is told of the call, or waits to be handed on
	EndedAt      time.Time     `json:"ended_at,omitzero"`
	Outcome      Outcome       `json:"outcome,omitempty"`
	TakenBy      *Person       `json:"taken_by,omitempty"` // who answered while it rang
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
	if e.Contact != nil {
		k.Contact = e.Contact
	}
	if e.Result != nil {
		k.Result = e.Result
	}
	k.Legs = slices.Clone(k.Legs)
	if k.Over() { // settled: whatever else comes is late
		k.late(e)
		return k
	}
	switch e.Type {
	case EventDial:
		k.dial(e)
	case EventBridge, EventConsult:
		k.bridge(e)
	case EventHold, EventUnhold:
		k.hold(e)
	case EventTransfer:
		k.transfer(e)
	case EventJoin:
		k.join(e)
	case EventMerge:
		for i := range k.Legs {
			k.Legs[i].end(e.At, Transferred)
		}
		k.EndedAt, k.Into = e.At, e.Into
	case EventHangup:
		k.hangup(e)
	case EventPresent:
		k.present(e)
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
	k.fill(e)
	for _, ext := range e.Extensions {
		leg := k.ring(e.person(ext), e.At)
		leg.Caller = leg.Caller || e.Direction == Outbound && (first || ext == k.From.Raw)
	}
	if first && !k.AnsweredAt.IsZero() { // its answer was heard first
		k.taken(k.AnsweredBy, e.At)
	}
}

// fill adds what a later dial knows and the first did not: by which line a call leaves, say, or that a short number
// that could have been a colleague's is outside.
func (k *Known) fill(e Event) {
	if k.Direction == Internal && e.Direction == Outbound && k.From.Raw == e.From.Raw && k.To.Raw == e.To.Raw {
		k.Direction = Outbound
	}
	if e.Direction != k.Direction {
		return
	}
	if k.From.Raw == "" {
		k.From = e.From
	}
	if k.To.Raw == "" {
		k.To = e.To
	}
	k.Line, k.Name = cmp.Or(k.Line, e.Line), cmp.Or(k.Name, e.Name)
}

// late notes who was rung by an event that came to lie after the end: a card that was shown for it ends.
func (k *Known) late(e Event) {
	var rung []string
	switch e.Type {
	case EventDial, EventBridge, EventConsult, EventJoin:
		rung = e.Extensions
	case EventTransfer:
		rung = []string{e.Target}
	}
	for _, ext := range rung {
		if k.leg(ext) == nil && e.person(ext).User != "" {
			leg := Leg{Person: e.person(ext), RangAt: k.EndedAt}
			leg.end(k.EndedAt, leg.outcome("", !k.AnsweredAt.IsZero()))
			k.Legs = append(k.Legs, leg)
		}
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
		leg.RangAt, leg.EndedAt, leg.Outcome, leg.TakenBy = at, time.Time{}, "", nil
	}
	return leg
}

func (k *Known) bridge(e Event) {
	var by *Person
	for _, ext := range e.Extensions {
		leg := k.ring(e.person(ext), e.At)
		if leg.Consults != (e.Type == EventConsult) && !leg.TalkingSince.IsZero() {
			leg.pause(e.At)
			leg.Consults, leg.TalkingSince = !leg.Consults, e.At
		}
		if !leg.ringing() {
			continue
		}
		leg.talk(e.At)
		leg.Consults = e.Type == EventConsult
		if !leg.Caller && by == nil {
			p := leg.Person
			by = &p
		}
	}
	if k.AnsweredAt.IsZero() {
		k.AnsweredAt, k.AnsweredBy = e.At, by
	}
	if by != nil || len(e.Extensions) == 0 { // nobody of the company: a mobile that the call was forwarded to
		k.taken(by, e.At)
	}
}

// taken ends the ringing of those who did not answer: at the answer, not at their hangup. The caller of an
// internal call talks now.
func (k *Known) taken(by *Person, at time.Time) {
	for i := range k.Legs {
		switch leg := &k.Legs[i]; {
		case !leg.ringing():
		case leg.Caller:
			leg.talk(at)
		default:
			leg.end(at, leg.outcome(CauseElsewhere, true))
			leg.TakenBy = by
		}
	}
}

// join takes over legs of a call that was merged into this one, and who is at the other end: a call among
// colleagues that a customer's is merged into is the customer's then.
func (k *Known) join(e Event) {
	if k.StartedAt.IsZero() || k.Direction == Internal && e.Direction != Internal {
		k.Direction, k.From, k.To, k.Line, k.Name = e.Direction, e.From, e.To, e.Line, e.Name
	}
	if k.StartedAt.IsZero() {
		k.StartedAt = e.At
	}
	for _, ext := range e.Extensions {
		leg := k.ring(e.person(ext), e.At)
		if e.Joins != Talking || !leg.ringing() {
			continue
		}
		leg.talk(e.At)
		if k.AnsweredAt.IsZero() {
			p := leg.Person
			k.AnsweredAt, k.AnsweredBy = e.At, &p
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

// transferor is the leg that hands the call on: the one named, else the last that began to talk, else the
// only one that rings.
func (k *Known) transferor(extensions []string) *Leg {
	var talks, rings *Leg
	ringing := 0
	for i := range k.Legs {
		leg := &k.Legs[i]
		switch {
		case !leg.Live(), len(extensions) > 0 && !slices.Contains(extensions, leg.Extension):
		case leg.ringing():
			rings = leg
			ringing++
		case talks == nil || leg.TalkingSince.After(talks.TalkingSince):
			talks = leg
		}
	}
	if talks == nil && ringing == 1 {
		return rings
	}
	return talks
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

// present ends the legs that ended unseen.
func (k *Known) present(e Event) {
	for i := range k.Legs {
		if leg := &k.Legs[i]; !slices.Contains(e.Extensions, leg.Extension) {
			leg.end(e.At, leg.outcome(e.Cause, !k.AnsweredAt.IsZero()))
		}
	}
	if e.Cause != "" {
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
	l.pause(at)
	l.EndedAt, l.Outcome, l.TalkingSince, l.Held, l.Consults = at, outcome, time.Time{}, false, false
}

// pause adds up a talk that ends, or goes on in another way.
func (l *Leg) pause(at time.Time) {
	if !l.TalkingSince.IsZero() && !l.Consults {
		l.Talked += at.Sub(l.TalkingSince)
	}
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
