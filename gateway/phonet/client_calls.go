package phonet

import (
	"cmp"
	"time"

	"ringcast/gateway"
)

// When calls are ended of which nobody says that they are.
const (
	maxRing     = 15 * time.Minute // nobody talks, and nothing has been heard
	maxTalk     = 4 * time.Hour
	afterTalk   = 30 * time.Second       // only the group or menu still lives, after somebody has talked
	settleTime  = 5 * time.Second        // nobody lives, but the menu may hand the caller on, the group ring the next
	closeTime   = 3 * time.Second        // the group has hung up, a member talks on: his own end is due any moment
	rememberFor = time.Hour              // what has ended, for what comes late
	momentTime  = 300 * time.Millisecond // a member's end is kept back, for what his colleagues' sockets say of it
	maxSkew     = 5 * time.Second        // of Phonet's clock, until which its times are taken as they are
)

// Longer names are nobody's.
const (
	maxUUID = 128
	maxExt  = 64
)

// call is a call as the gateway is told of it: the uuid of the topmost parent that was known when it began.
type call struct {
	id       string
	told     fact // what its first dial said; zero direction: not told yet
	parts    []*part
	answered bool
	closing  bool      // its group has hung up
	endAt    time.Time // zero: it lives
	last     time.Time // the latest time that was told of it
	heard    time.Time // when something last changed, by our clock
}

// part is one telephone's share of a call, or a group's or a menu's. A leg that goes over to another telephone
// keeps its uuid and is another part.
type part struct {
	fact
	call      *call
	dialled   bool      // its ringing was told
	handed    bool      // it has handed its leg on to another telephone
	took      time.Time // by the PBX: when it was first spoken of
	heard     time.Time // by our clock: when it was last spoken of
	endedHere time.Time // likewise: when it ended, zero while it lives
	untold    time.Time // likewise, while that is kept back; zero: it is not
}

func (p *part) live() bool    { return p.endedHere.IsZero() }
func (p *part) person() bool  { return p.kind == legUser }
func (p *part) talking() bool { return p.live() && p.bridged }

type partKey struct{ uuid, ext string }

// book is what is known of a PBX's calls. It makes gateway events of facts, in whatever order and however often
// these come: each part goes from ringing to talking to over, never back, and says each but once. It knows no
// clock. Not for concurrent use.
type book struct {
	rules gateway.DialRules
	pace  func(time.Duration) time.Duration
	calls map[string]*call // by id
	root  map[string]*call // by the uuid of any part, or of a parent nobody spoke of
	parts map[partKey]*part
	skew  skew
	staff map[string]bool // the employees' extensions; empty: not known
	asked []*asked        // clicks that wait for their call
}

// newBook returns an empty book. pace is Config.pace.
func newBook(rules gateway.DialRules, pace func(time.Duration) time.Duration) *book {
	return &book{rules: rules, pace: pace, calls: map[string]*call{}, root: map[string]*call{}, parts: map[partKey]*part{}}
}

// take adds a fact that was heard at now.
func (b *book) take(f fact, now time.Time) (events []gateway.Event) {
	if f.uuid == "" || len(f.uuid) > maxUUID || len(f.parent) > maxUUID || len(f.ext) > maxExt || f.direction == "" {
		return nil
	}
	if f.settled && !b.place(f, now) {
		return nil
	}
	for _, ext := range f.handed {
		first := f
		first.ext, first.handed, first.kind, first.over, first.settled, first.recording = ext, nil, legUser, false, false, ""
		first.saidAt = f.dialAt.Add(-time.Hour) // long before whoever has it now: only the order counts
		events = append(events, b.take(first, now)...)
	}
	f = b.inOurTime(f, now)
	if f.kind == 0 { // some messages leave it out
		f.kind = b.kindOf(f.ext)
	}
	p, merged := b.part(f, now)
	events = append(events, merged...)
	c := p.call
	p.heard = now
	if c.endAt.IsZero() {
		c.heard = now
	}
	p.settled = p.settled || f.settled
	p.speak(f)
	events = append(events, b.dial(p, f)...)
	if f.listed || f.settled {
		f.bridgeAt = c.afterRinging(f.bridgeAt)
	}
	if f.bridged && !p.bridged {
		events = append(events, b.bridge(p, f)...)
	}
	switch {
	case f.over && p.handed: // it is spoken of by who had it first
		for _, q := range c.parts {
			if q.uuid == p.uuid && q.live() && c.endAt.IsZero() {
				events = append(events, b.end(q, f, now)...)
			}
		}
	case f.over && p.live():
		guess := c.cause(p)
		events = append(events, b.end(p, f, now)...)
		if f.settled && !c.answered && c.cause(p) != guess { // which an earlier link may have told
			events = append(events, b.correct(p, f))
		}
	case f.settled && c.wrong(p, f):
		events = append(events, b.correct(p, f))
	}
	if f.recording != "" && p.recording == "" {
		p.recording = f.recording
		events = append(events, gateway.Event{
			Call: c.id, Type: gateway.EventRecording, ID: c.eventID("recording", p), At: cmp.Or(p.endAt, now), Recording: f.recording,
		})
	}
	return events
}

// afterRinging returns a time that is known to the second only so that whoever began to ring in that second did so
// before it.
func (c *call) afterRinging(at time.Time) time.Time {
	within := at
	for _, q := range c.parts {
		if q.dialAt.Sub(at) < time.Second {
			within = later(within, q.dialAt)
		}
	}
	return within
}

// speak notes when the PBX first spoke of a part. Lists do not say when a leg came to a telephone: after it was at
// the others.
func (p *part) speak(f fact) {
	if !f.settled && !f.listed {
		p.took = earlier(cmp.Or(p.took, f.saidAt), f.saidAt)
		return
	}
	if !p.took.IsZero() {
		return
	}
	p.took = later(f.dialAt, f.bridgeAt)
	for _, q := range p.call.parts {
		if q.uuid == p.uuid {
			p.took = later(p.took, q.took)
		}
	}
}

// inOurTime puts a fact's times in order and onto our clock.
func (b *book) inOurTime(f fact, now time.Time) fact {
	fix := func(t *time.Time) {
		if !t.IsZero() {
			*t = b.skew.fix(*t)
		}
	}
	fix(&f.dialAt)
	fix(&f.bridgeAt)
	fix(&f.endAt)
	fix(&f.saidAt)
	f.saidAt = cmp.Or(f.saidAt, f.dialAt, now)
	f.endAt = cmp.Or(f.endAt, now)
	f.dialAt = earlier(cmp.Or(f.dialAt, f.bridgeAt, f.endAt), f.endAt)
	if f.bridged {
		f.bridgeAt = earlier(later(cmp.Or(f.bridgeAt, f.endAt), f.dialAt), f.endAt)
	}
	return f
}

// kindOf guesses what an extension is.
func (b *book) kindOf(ext string) legType {
	switch {
	case ext == "":
		return legScenario
	case len(b.staff) > 0 && !b.staff[ext]:
		return legGroup
	default:
		return legUser
	}
}

// part finds or makes the part that a fact speaks of, in its call.
func (b *book) part(f fact, now time.Time) (*part, []gateway.Event) {
	if p := b.parts[partKey{f.uuid, f.ext}]; p != nil {
		_, events := b.callOf(f, now)
		return p, events
	}
	c, events := b.callOf(f, now)
	if f.settled { // the history may speak of a telephone by the call's own uuid
		for _, p := range c.parts {
			if p.person() && f.ext != "" && p.ext == f.ext {
				return p, events
			}
		}
	}
	p := &part{fact: f, call: c}
	p.bridged, p.over, p.cause, p.recording = false, false, "", ""
	b.parts[partKey{f.uuid, f.ext}] = p
	c.parts = append(c.parts, p)
	if !c.endAt.IsZero() { // it comes late
		p.endAt, p.endedHere = c.endAt, now
	} else {
		p.endAt = time.Time{}
	}
	return p, events
}

// callOf returns the call of a fact. Two calls of which it tells that one is the other's parent become one.
func (b *book) callOf(f fact, now time.Time) (*call, []gateway.Event) {
	own := b.root[f.uuid]
	if own == nil {
		own = b.answerTo(f, now)
	}
	var above *call
	if f.parent != "" && f.parent != f.uuid {
		above = b.root[f.parent]
	}
	if own == nil && above != nil && !above.endAt.IsZero() && f.dialAt.After(above.endAt) {
		above, f.parent = nil, "" // the parent was taken for dead: this is a call of its own
	}
	switch {
	case own == nil && above == nil:
		own = &call{id: cmp.Or(f.parent, f.uuid), heard: now}
		b.calls[own.id] = own
	case own == nil:
		own = above
	case above != nil && above != own && own.endAt.IsZero() && above.endAt.IsZero():
		return above, b.merge(own, above, now)
	}
	b.root[f.uuid] = own
	if f.parent != "" && b.root[f.parent] == nil {
		b.root[f.parent] = own
	}
	return own, nil
}

// merge makes a call a part of the one that turned out to be its parent.
func (b *book) merge(from, into *call, now time.Time) []gateway.Event {
	for _, p := range from.parts {
		p.call = into
	}
	into.parts = append(into.parts, from.parts...)
	into.answered, into.heard = into.answered || from.answered, now
	for uuid, c := range b.root {
		if c == from {
			b.root[uuid] = into
		}
	}
	delete(b.calls, from.id)
	if from.told.direction == "" {
		return nil
	}
	return []gateway.Event{{
		Call: from.id, Type: gateway.EventMerge, ID: from.eventID("merge", nil), At: later(now, from.last), Into: into.id,
	}}
}

// dial tells of a part's ringing, and with the first of a call, who is in it.
func (b *book) dial(p *part, f fact) []gateway.Event {
	c := p.call
	if p.dialled {
		return nil
	}
	p.dialled = true
	first := c.told.direction == ""
	if first {
		c.told = f
	}
	if !first && !p.person() {
		return nil
	}
	about := c.told
	e := gateway.Event{
		Call: c.id, Type: gateway.EventDial, ID: c.eventID("dial", p), At: c.tell(p.dialAt),
		Direction: about.direction, Line: about.line, Name: about.name,
	}
	switch about.direction {
	case gateway.Inbound:
		e.From, e.To = gateway.Number{Raw: about.number}, gateway.Number{Raw: about.line}
	case gateway.Outbound:
		e.From, e.To = gateway.Number{Raw: about.ext}, gateway.Number{Raw: b.rules.Dialled(about.number)}
	case gateway.Internal:
		e.From, e.To = gateway.Number{Raw: about.caller}, gateway.Number{Raw: about.ext}
	}
	if p.person() && p.ext != "" {
		e.Extensions = []string{p.ext}
	}
	return []gateway.Event{e}
}
