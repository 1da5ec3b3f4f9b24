package sandbox

import (
	"slices"
	"time"

	"ringcast/gateway"
)

// PartyState is what a telephone does.
type PartyState string

// The states of a telephone. An outside party is never idle.
const (
	PartyIdle    PartyState = "idle"
	PartyRinging PartyState = "ringing" // it is called
	PartyCalling PartyState = "calling" // it hears the other end ring
	PartyTalking PartyState = "talking"
	PartyHeld    PartyState = "held"
)

// PBXSnapshot is everything that can be seen of a PBX at a moment.
type PBXSnapshot struct {
	Now     gateway.Millis `json:"now"`
	Link    PBXLinkState   `json:"link"`
	Phones  []PBXPhone     `json:"phones"`  // in the order of the configuration
	Outside []PBXOutside   `json:"outside"` // the outside parties of live calls, oldest call first
	Calls   []PBXCall      `json:"calls"`   // live, oldest first
	Story   []PBXHappening `json:"story"`   // what happened last, oldest first, at most 50
}

// PBXLinkState is the link between PBX and gateway.
type PBXLinkState struct {
	State  string         `json:"state"` // as in gateway.LinkState
	Since  gateway.Millis `json:"since"`
	Reason string         `json:"reason"`
	Cut    bool           `json:"cut"`
}

// PBXPhone is a desk telephone.
type PBXPhone struct {
	Extension  string         `json:"extension"`
	Registered bool           `json:"registered"`
	State      PartyState     `json:"state"`
	Since      gateway.Millis `json:"since"`          // of the state; a hold does not interrupt the talk's clock
	Call       string         `json:"call,omitempty"` // the call's id, unless idle
	Peer       string         `json:"peer,omitempty"` // the other side's number; empty when withheld
	Clicked    bool           `json:"clicked"`        // it rings because its own user clicked a number
	Muted      bool           `json:"muted,omitempty"`
	Behind     string         `json:"behind,omitempty"` // the call that is held while it consults somebody
}

// PBXOutside is the outside party of a live call.
type PBXOutside struct {
	Call      string          `json:"call"`
	Number    string          `json:"number"` // empty: withheld
	Name      string          `json:"name,omitempty"`
	State     PartyState      `json:"state"`
	Since     gateway.Millis  `json:"since"`
	AnswersAt *gateway.Millis `json:"answers_at"` // when it will pick up by itself, if it will
}

// PBXCall is a live call.
type PBXCall struct {
	ID         string            `json:"id"`
	Direction  gateway.Direction `json:"direction"`
	From       string            `json:"from"`
	To         string            `json:"to"`
	Extensions []string          `json:"extensions"`     // whose telephones are in it now
	Slot       string            `json:"slot,omitempty"` // where it is parked
}

// PBXHappening is one line of the PBX's story: an event as the gateway sees it, or link.cut, link.restore.
type PBXHappening struct {
	Seq        int               `json:"seq"` // rises by one
	At         gateway.Millis    `json:"at"`
	What       string            `json:"what"`
	Call       string            `json:"call,omitempty"`
	Direction  gateway.Direction `json:"direction,omitempty"`
	From       string            `json:"from,omitempty"`
	To         string            `json:"to,omitempty"`
	Extensions []string          `json:"extensions,omitempty"`
	Cause      gateway.Cause     `json:"cause,omitempty"`
	Target     string            `json:"target,omitempty"`
	Clicked    bool              `json:"clicked,omitempty"` // its own user ordered the call by a click
	Unheard    bool              `json:"unheard,omitempty"` // the link was down
}

// Snapshot returns the PBX as it is now.
func (p *PBX) Snapshot() PBXSnapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	link := p.link.state
	s := PBXSnapshot{
		Now:     gateway.Millis(time.Now()),
		Link:    PBXLinkState{State: link.State, Since: gateway.Millis(link.Since), Reason: link.Reason, Cut: p.link.cut},
		Phones:  make([]PBXPhone, 0, len(p.phones)),
		Outside: []PBXOutside{},
		Calls:   []PBXCall{},
		Story:   append([]PBXHappening{}, p.story.lines...),
	}
	for _, ph := range p.phones {
		view := PBXPhone{Extension: ph.extension, Registered: !ph.unregistered, State: ph.state, Since: gateway.Millis(ph.since), Muted: ph.muted}
		if ph.behind != nil {
			view.Behind = ph.behind.id
		}
		if c := ph.call; c != nil {
			view.Call, view.Peer, view.Clicked = c.id, c.from.Raw, ph == c.caller && c.picking
			if ph == c.caller || c.direction == gateway.Outbound {
				view.Peer = c.to.Raw
			}
		}
		s.Phones = append(s.Phones, view)
	}
	for _, c := range p.calls {
		call := PBXCall{ID: c.id, Direction: c.direction, From: c.from.Raw, To: c.to.Raw, Slot: c.slot, Extensions: []string{}}
		for _, ph := range p.phones {
			if ph.call == c || ph.behind == c {
				call.Extensions = append(call.Extensions, ph.extension)
			}
		}
		s.Calls = append(s.Calls, call)
		if o := c.outside; o != nil {
			view := PBXOutside{Call: c.id, Number: o.number.Raw, Name: c.name, State: o.state, Since: gateway.Millis(o.since)}
			if !o.answersAt.IsZero() {
				at := gateway.Millis(o.answersAt)
				view.AnswersAt = &at
			}
			s.Outside = append(s.Outside, view)
		}
	}
	return s
}

// watch returns a channel that has something in it whenever the PBX changed since it was last emptied, and
// what ends that.
func (p *PBX) watch() (changes <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.story.watchers = append(p.story.watchers, ch)
	return ch, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.story.watchers = slices.DeleteFunc(p.story.watchers, func(w chan struct{}) bool { return w == ch })
	}
}

// pbxStory is what happened last and who wants to know, guarded by PBX.mu.
type pbxStory struct {
	lines    []PBXHappening
	seq      int
	watchers []chan struct{}
}

func (s *pbxStory) add(h PBXHappening) {
	s.seq++
	h.Seq = s.seq
	s.lines = append(s.lines, h)
	if len(s.lines) > 50 {
		s.lines = slices.Delete(s.lines, 0, len(s.lines)-50)
	}
}

func (s *pbxStory) changed() {
	for _, w := range s.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}
