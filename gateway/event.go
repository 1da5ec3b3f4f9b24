package gateway

import (
	"slices"
	"strings"
	"time"
)

// EventType says what happened (design §4.1).
type EventType string

// What a PBX reports; EventUpdate is Ringcast's own: a contact or a recording became known.
const (
	EventDial      EventType = "call.dial"
	EventBridge    EventType = "call.bridge"
	EventHold      EventType = "call.hold"
	EventUnhold    EventType = "call.unhold"
	EventTransfer  EventType = "call.transfer"
	EventMerge     EventType = "call.merge"
	EventHangup    EventType = "call.hangup"
	EventRecording EventType = "call.recording"
	EventUpdate    EventType = "call.update"

	// EventResult is Ringcast's own, too: a user said what the call led to.
	EventResult EventType = "call.result"

	// EventJoin is the gateway's own, too: legs of a call that was merged into this one go on here.
	EventJoin EventType = "call.join"

	// For adapters that know: EventConsult says of extensions that they talk aside, or to nobody, so that their talk
	// counts from the next EventBridge on: the call is announced to them before it is handed on, or they are handed
	// on; EventPresent says which extensions ring or talk in a call, if the gateway knows it, after a time in which
	// others may have ended unseen; with a Cause, that it is over.
	EventConsult EventType = "call.consult"
	EventPresent EventType = "call.present"
)

// shown is an event's name on the wire to browsers, which know fewer (design §4.3).
func (t EventType) shown() EventType {
	switch t {
	case EventRecording, EventResult:
		return EventUpdate
	case EventMerge, EventJoin:
		return EventTransfer
	case EventConsult:
		return EventBridge
	case EventPresent:
		return EventHangup
	default:
		return t
	}
}

// Direction of a call, seen from the company.
type Direction string

// The directions.
const (
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
	Internal Direction = "internal"
)

// Cause says why a leg or a call ended.
type Cause string

// The causes of design §4.1. CauseElsewhere is for adapters that know that another telephone took the call.
const (
	CauseNormal    Cause = "normal"
	CauseNoAnswer  Cause = "no_answer"
	CauseBusy      Cause = "busy"
	CauseCancelled Cause = "cancelled"
	CauseRejected  Cause = "rejected"
	CauseFailed    Cause = "failed"
	CauseElsewhere Cause = "elsewhere"
)

// Event is one normalised fact from a PBX. Which fields an event needs is the table of design §4.1;
// CheckEvent holds it.
type Event struct {
	Account string    `json:"-"`
	PBX     string    `json:"-"`
	Call    string    `json:"-"`            // the PBX's id of the call
	Type    EventType `json:"event"`        //
	ID      string    `json:"id,omitempty"` // the event's own id, unique for the PBX within 10 minutes

	// At is when it happened. Zero: on arrival, after everything that arrived before.
	At time.Time `json:"at,omitzero"`

	Direction  Direction `json:"direction,omitempty"`
	From       Number    `json:"from,omitzero"`
	To         Number    `json:"to,omitzero"`
	Line       string    `json:"line,omitempty"`       // the company's own number or trunk
	Name       string    `json:"name,omitempty"`       // the outside party's name, where the PBX knows it
	Extensions []string  `json:"extensions,omitempty"` // who rings, answered, holds; whose leg ended
	Cause      Cause     `json:"cause,omitempty"`      // on hangup
	Target     string    `json:"target,omitempty"`     // on transfer: the extension or number it goes to
	Into       string    `json:"into,omitempty"`       // on merge: the PBX's id of the call that lives on
	Recording  string    `json:"recording,omitempty"`  // http or https URL; from an adapter also "file:" and its path at the PBX

	Contact *Contact    `json:"contact,omitempty"` // on update: who the outside party is in the CRM
	Result  *CallResult `json:"result,omitempty"`  // on result

	Joins State `json:"joins,omitempty"` // on join: how the legs come, Ringing or Talking

	// Version is the call's version that the event made. Tracker sets it.
	Version int `json:"version,omitempty"`

	// People are the users behind the extensions that the event names. The gateway looks them up when it
	// takes the event; adapters leave it empty.
	People []Person `json:"people,omitempty"`
}

// clean makes the texts of an event valid UTF-8, as they are when they come back from the log: every node, and the
// owner before and after a restart, is to know the event and its call by the same.
func (e *Event) clean() {
	for _, text := range []*string{&e.Call, &e.ID, &e.From.Raw, &e.To.Raw, &e.Line, &e.Name, &e.Target, &e.Into, &e.Recording} {
		*text = cleanText(*text)
	}
	for i, ext := range e.Extensions {
		if valid := cleanText(ext); valid != ext {
			e.Extensions = slices.Clone(e.Extensions)
			e.Extensions[i] = valid
		}
	}
}

func cleanText(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// Number is a telephone number as the PBX wrote it and, where it is one that can be called from
// anywhere, as E.164 and as people of the account's region write it.
type Number struct {
	Raw   string `json:"raw,omitempty"`
	E164  string `json:"e164,omitempty"`
	Shown string `json:"shown,omitempty"` // "": as it is in Raw
}

// Person is a user at an extension.
type Person struct {
	User      string `json:"user"`
	Name      string `json:"name"`
	Extension string `json:"extension"`
}
