package gateway

import (
	"encoding/json"
	"time"
)

// Hello is what a browser session begins with (design §4.3).
type Hello struct {
	Cursor  string // where the session stands; the first message follows it
	Resumed bool   // true: Missed is all that the client missed and Calls is empty
	Reason  string // why not resumed: "new", "epoch", "evicted", "future", "foreign"
	Calls   []View // the user's live calls, oldest first, unless resumed
	Missed  []Message
}

// Message is one change of one of a user's calls, as every rung carries it. The session adds prev.
type Message struct {
	Cursor string
	At     time.Time // when the gateway took the event
	Event  EventType
	Call   json.RawMessage // a View; shared, do not change
}

// View is a call as one user sees it: the call object of design §4.3.
type View struct {
	ID           string    `json:"id"`
	Version      int       `json:"version"`
	Direction    Direction `json:"direction"`
	Phone        *string   `json:"phone"`
	PhoneRaw     string    `json:"phone_raw"`
	PhoneDisplay string    `json:"phone_display"`  // as people in the account's region write it; "" for a withheld number
	Name         string    `json:"name,omitempty"` // the outside party's, as the PBX gave it
	Line         string    `json:"line"`
	Extension    string    `json:"extension"`
	Outgoing     bool      `json:"outgoing,omitempty"` // he made the call: it is not for him to answer
	State        State     `json:"state"`
	Outcome      *Outcome  `json:"outcome"`
	AnsweredBy   *Person   `json:"answered_by"`
	Peer         *Person   `json:"peer"`
	StartedAt    Millis    `json:"started_at"`
	AnsweredAt   *Millis   `json:"answered_at"`
	EndedAt      *Millis   `json:"ended_at"`
	Talk         int       `json:"talk_seconds"`
	Contact      *Contact  `json:"contact"`
	Recording    *string   `json:"recording"`
}

// State of a call for one user.
type State string

// The states.
const (
	Ringing State = "ringing"
	Talking State = "talking"
	Held    State = "held"
	Ended   State = "ended"
)

// Outcome of an ended call for one user (design §4.3, settled points).
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"
	Missed      Outcome = "missed"
	Busy        Outcome = "busy"
	Cancelled   Outcome = "cancelled"
	Rejected    Outcome = "rejected"
	Elsewhere   Outcome = "elsewhere"
	Transferred Outcome = "transferred"
	Failed      Outcome = "failed"
)

// Contact is the CRM's entity behind a number.
type Contact struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Millis is a time that is written as the wire wants it: RFC 3339, UTC, milliseconds.
type Millis time.Time

// MarshalJSON writes the time.
func (m Millis) MarshalJSON() ([]byte, error) { return m.append(make([]byte, 0, 26)), nil }

func (m Millis) append(b []byte) []byte {
	t := time.Time(m).UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		return t.AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
	}
	b = append(appendSeconds(append(b, '"'), t), '.')
	return append(appendDigits(b, t.Nanosecond()/1e6, 3), 'Z', '"')
}

// UnmarshalJSON reads a time in RFC 3339.
func (m *Millis) UnmarshalJSON(data []byte) error {
	return (*time.Time)(m).UnmarshalJSON(data)
}

// Command is what a user's client asks for. The user comes from a verified token, never from the client.
type Command struct {
	Account string
	User    string
	Client  string // names the tab or page; claims end with it

	ID       string `json:"id"`       // 1 to 64 characters; a repeat gets the same reply and does nothing
	Action   string `json:"action"`   // call, hangup, answer, hold, unhold, mute, unmute, transfer, complete, cancel, park, claim, result
	To       string `json:"to"`       // call, transfer: a number or an extension
	From     string `json:"from"`     // which of the user's extensions does it: call: his first if "", else the one in the call
	Call     string `json:"call"`     // all but call: the id from a View
	Attended bool   `json:"attended"` // transfer: announce it first; complete or cancel ends that
	What     string `json:"what"`     // claim: notify, notify_end, result, alert, open
	Done     bool   `json:"done"`     // claim: it was carried out, for good

	// Of result: what the call led to, at most 2,000 characters, and what in the CRM it is about; either may be left out.
	Text   string  `json:"text,omitempty"`
	Entity *Entity `json:"entity,omitempty"`
}

// Reply answers a Command.
type Reply struct {
	ID    string      `json:"id"`
	OK    bool        `json:"ok"`
	Call  string      `json:"call,omitempty"`
	Slot  string      `json:"slot,omitempty"` // of park: dial it to take the call back
	Error *ReplyError `json:"error,omitempty"`
}

// ReplyError says why a command was not carried out.
type ReplyError struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}
