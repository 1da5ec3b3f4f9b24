package phonet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What the event of a message says.
const (
	eventDial    = "call.dial"   // a call began: somewhere it rings
	eventBridge  = "call.bridge" // it was answered
	eventHangup  = "call.hangup" // the call, or the talk, ended
	eventError   = "error"       // a command failed; of its own accord, the telephony did
	eventSuccess = "success"     // a command was done
)

// direction is lgDirection. The last two are no calls: an employee went away from his place, or came back.
type direction int

const (
	dirInternal direction = 1
	dirOutgoing direction = 2
	dirIncoming direction = 4
	dirAway     direction = 32
	dirPresent  direction = 64
)

// legType says what a leg is.
type legType int

const (
	legUser     legType = 1
	legGroup    legType = 2
	legScenario legType = 4 // a voice menu; it has no ext
)

// callMessage is what a server says of a call. It is encoded exactly as Phonet does: every field is there, in this
// order, and null where there is nothing. serverTime is a string, as in the vendor's sample. Messages are decoded
// more freely than they are encoded: see decode.
type callMessage struct {
	Event       string     `json:"event"`
	UUID        text       `json:"uuid"`
	ParentUUID  textOrNull `json:"parentUuid"` // of the call to the group that this call to a member came of
	LgDirection direction  `json:"lgDirection"`
	Leg         *leg       `json:"leg"`       // who called (outgoing, internal), or was called
	Leg2        *leg       `json:"leg2"`      // who was called, in an internal call
	OtherLegs   otherLegs  `json:"otherLegs"` // the client, once for each CRM that Phonet knows
	DialAt      millis     `json:"dialAt"`
	BridgeAt    millis     `json:"bridgeAt"`
	ServerTime  sentAt     `json:"serverTime"`
	TrunkNum    textOrNull `json:"trunkNum"` // the company's own number; null in internal calls
	TrunkName   textOrNull `json:"trunkName"`
}

// leg is an employee, a group or a voice menu.
type leg struct {
	ID          number     `json:"id"`
	Type        legType    `json:"type"`
	DisplayName text       `json:"displayName"`
	Ext         textOrNull `json:"ext"`
}

// otherLeg is the client as a CRM knows him. A client whom it does not know has a null id and name.
type otherLeg struct {
	ID          textOrNull `json:"id"`
	Name        textOrNull `json:"name"`
	Num         text       `json:"num"` // with a plus
	CompanyName textOrNull `json:"companyName"`
	URL         text       `json:"url"`
	Priority    number     `json:"priority"`
}

// reply answers a command: success has an event and nothing else.
type reply struct {
	Event   string `json:"event"`
	Message string `json:"message,omitempty"`
}

// command is what a client sends. The only action there is is "call".
type command struct {
	Action text `json:"action"`
	To     text `json:"to"`
}

// message is any message of a server: of a call, or (without a uuid) the answer to a command. An error may also
// come by itself.
type message struct {
	callMessage
	Message text `json:"message"`
}

// isReply says whether it is not of a call.
func (m message) isReply() bool {
	return m.UUID == "" && (m.Event == eventSuccess || m.Event == eventError)
}

// decode reads a message of a server: times in milliseconds or seconds (all below 10^12), ids and times as numbers
// or strings, fields that are left out, of another kind or new, and anything that follows the first value.
func decode(frame []byte) (message, error) {
	var m message
	if err := decodeFirst(frame, &m); err != nil {
		return message{}, err
	}
	if m.Event == "" {
		return message{}, errors.New("a message without an event")
	}
	return m, nil
}

// decodeCommand reads a command of a client.
func decodeCommand(frame []byte) (command, error) {
	var c command
	err := decodeFirst(frame, &c)
	return c, err
}

var byteOrderMark = []byte("\ufeff")

// decodeFirst decodes the JSON object that data begins with.
func decodeFirst(data []byte, into any) error {
	data = bytes.TrimLeft(bytes.TrimPrefix(data, byteOrderMark), " \t\r\n")
	if len(data) == 0 || data[0] != '{' {
		return errors.New("not a JSON object")
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		return fmt.Errorf("malformed: %w", err)
	}
	return nil
}

// text is a string that a server may also send as a number, or not at all.
type text string

// UnmarshalJSON never fails: what is neither string nor number is "".
func (t *text) UnmarshalJSON(data []byte) error {
	*t = text(scalar(data))
	return nil
}

// textOrNull is a text that is null when it is empty.
type textOrNull string

// MarshalJSON writes null for "".
func (t textOrNull) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// UnmarshalJSON is text's.
func (t *textOrNull) UnmarshalJSON(data []byte) error {
	*t = textOrNull(scalar(data))
	return nil
}

// number is an integer that a server may also send as a string, or not at all.
type number int64

// UnmarshalJSON never fails: what is no integer is 0.
func (n *number) UnmarshalJSON(data []byte) error {
	*n = number(integer(data))
	return nil
}

// UnmarshalJSON is number's.
func (d *direction) UnmarshalJSON(data []byte) error {
	*d = direction(integer(data))
	return nil
}

// UnmarshalJSON is number's.
func (t *legType) UnmarshalJSON(data []byte) error {
	*t = legType(integer(data))
	return nil
}

// UnmarshalJSON takes what is not an object for a leg without anything.
func (l *leg) UnmarshalJSON(data []byte) error {
	type plain leg
	if len(data) == 0 || data[0] != '{' {
		*l = leg{}
		return nil
	}
	return json.Unmarshal(data, (*plain)(l))
}

// otherLegs is a list that is never null.
type otherLegs []otherLeg

// MarshalJSON writes [] for none.
func (o otherLegs) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]otherLeg(o))
}

// UnmarshalJSON takes a single object for a list of one, and passes over what is not an object.
func (o *otherLegs) UnmarshalJSON(data []byte) error {
	*o = nil
	items := []json.RawMessage{data}
	if len(data) > 0 && data[0] == '[' {
		if err := json.Unmarshal(data, &items); err != nil {
			return err
		}
	}
	for _, item := range items {
		var one otherLeg
		if len(item) > 0 && item[0] == '{' && json.Unmarshal(item, &one) == nil {
			*o = append(*o, one)
		}
	}
	return nil
}

// millis is a time in milliseconds since 1970; 0 is none, and null.
type millis int64

func millisOf(t time.Time) millis {
	if t.IsZero() {
		return 0
	}
	return millis(t.UnixMilli())
}

// time is the zero time for none.
func (m millis) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

const (
	leastMillis = 1_000_000_000_000   // in 2001: what is less are seconds, or no time of a call
	mostMillis  = 253_402_300_800_000 // the year 10000
)

// MarshalJSON writes null for none.
func (m millis) MarshalJSON() ([]byte, error) {
	if m == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(m), 10), nil
}

// UnmarshalJSON takes seconds, too, and strings; what is no time is none.
func (m *millis) UnmarshalJSON(data []byte) error {
	n := integer(data)
	if n > 0 && n < leastMillis {
		n *= 1000
	}
	if n < leastMillis || n >= mostMillis {
		n = 0
	}
	*m = millis(n)
	return nil
}

// sentAt is a time that is written as a string.
type sentAt millis

// MarshalJSON writes null for none.
func (s sentAt) MarshalJSON() ([]byte, error) {
	if s == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, strconv.FormatInt(int64(s), 10)), nil
}

// UnmarshalJSON is millis's.
func (s *sentAt) UnmarshalJSON(data []byte) error { return (*millis)(s).UnmarshalJSON(data) }

// scalar is a JSON string or number as a string, without spaces around; "" for everything else.
func scalar(data []byte) string {
	var s string
	switch {
	case len(data) == 0:
	case data[0] == '"':
		if json.Unmarshal(data, &s) != nil {
			return ""
		}
	case data[0] == '-' || data[0] >= '0' && data[0] <= '9':
		s = string(data)
	}
	return strings.TrimSpace(s)
}

// integer is a JSON number or a string that holds one, without its fraction; 0 for everything else.
func integer(data []byte) int64 {
	s := scalar(data)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1<<62 && f < 1<<62 {
		return int64(f)
	}
	return 0
}
