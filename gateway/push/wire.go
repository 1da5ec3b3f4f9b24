package push

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// closeCode ends a session and tells the client what to do next: 4000 to 4499 come back, 4500 to 4999 stay
// away.
type closeCode int

const (
	closeSlow       closeCode = 4001
	closeDraining   closeCode = 4002
	closeExpired    closeCode = 4003
	closeSuperseded closeCode = 4004
	closeBadToken   closeCode = 4500
	closeRevoked    closeCode = 4501
	closeProtocol   closeCode = 4502
	closeTooMany    closeCode = 4503
)

// String is the code as a bye says it.
func (c closeCode) String() string {
	switch c {
	case closeSlow:
		return "slow"
	case closeDraining:
		return "draining"
	case closeExpired:
		return "token_expired"
	case closeSuperseded:
		return "superseded"
	case closeBadToken:
		return "bad_token"
	case closeRevoked:
		return "revoked"
	case closeProtocol:
		return "bad_protocol"
	case closeTooMany:
		return "too_many"
	default:
		return strconv.Itoa(int(c))
	}
}

// frame is the payload of a WebSocket close frame.
func (c closeCode) frame() []byte { return websocket.FormatCloseMessage(int(c), c.String()) }

// closeFor is the code for a session that could not begin or go on. What is not the client's fault is
// worth another try.
func closeFor(err error) closeCode {
	switch gateway.CodeOf(err) {
	case gateway.CodeBadToken:
		return closeBadToken
	case gateway.CodeTokenExpired:
		return closeExpired
	case gateway.CodeRevoked:
		return closeRevoked
	case gateway.CodeInvalid:
		return closeProtocol
	case gateway.CodeTooMany:
		return closeTooMany
	default:
		return closeDraining
	}
}

const maxClient = 64

// inbound is everything that a client may send, in a frame or a body.
type inbound struct {
	Type     string `json:"type"`
	Token    string `json:"token"`
	Cursor   string `json:"cursor"`
	Client   string `json:"client"`
	Presence bool   `json:"presence"` // of a hello: wants presence messages
	Visible  bool   `json:"visible"`  // of a hello and of the notice "visible"
	ID       string `json:"id"`
	Action   string `json:"action"`
	To       string `json:"to"`
	From     string `json:"from"`
	Call     string `json:"call"`
	Attended bool   `json:"attended"`
	What     string `json:"what"`
	Done     bool   `json:"done"`

	Text   string          `json:"text"`
	Entity *gateway.Entity `json:"entity"`
}

// opening is what a client says when it opens a session, the same on every rung.
type opening struct {
	client   string // its own name
	cursor   string
	visible  bool    // a page of it is looked at
	presence *string // it wants presence messages; when it polls: those after this version, "" for all
}

// command makes a command of it, for the user of a verified token.
func (in *inbound) command(who identity, client string) gateway.Command {
	return gateway.Command{
		Account: who.account, User: who.user, Client: client,
		ID: in.ID, Action: in.Action, To: in.To, From: in.From, Call: in.Call, Attended: in.Attended, What: in.What, Done: in.Done,
		Text: in.Text, Entity: in.Entity,
	}
}

func encodeHello(h gateway.Hello, user gateway.User, ping time.Duration) ([]byte, error) {
	if user.Extensions == nil {
		user.Extensions = []string{}
	}
	if h.Calls == nil {
		h.Calls = []gateway.View{}
	}
	return json.Marshal(struct {
		Type    string         `json:"type"`
		Cursor  string         `json:"cursor"`
		Resumed bool           `json:"resumed"`
		Reason  string         `json:"reason,omitempty"`
		User    gateway.User   `json:"user"`
		Calls   []gateway.View `json:"calls"`
		Ping    int            `json:"ping"`
	}{"hello", h.Cursor, h.Resumed, h.Reason, user, h.Calls, int((ping + time.Second - 1) / time.Second)})
}

// encodeCall puts what differs between sessions before the call that they share.
func encodeCall(m gateway.Message, prev string) []byte {
	b := make([]byte, 0, len(m.Call)+len(m.Cursor)+len(prev)+len(m.Event)+64)
	b = append(b, `{"type":"call","cursor":`...)
	b = appendString(b, m.Cursor)
	b = append(b, `,"prev":`...)
	b = appendString(b, prev)
	b = append(b, `,"event":`...)
	b = appendString(b, string(m.Event))
	b = append(b, `,"call":`...)
	b = append(b, m.Call...)
	return append(b, '}')
}

func encodeReply(r gateway.Reply) ([]byte, error) {
	return json.Marshal(struct {
		Type string `json:"type"`
		gateway.Reply
	}{"reply", r})
}

// encodeBye is the last that a client hears. One that is sent away from a node that goes down is told to come
// back at a random moment of a window.
func encodeBye(code closeCode, from, to time.Duration) []byte {
	if code != closeDraining {
		return []byte(`{"type":"bye","code":"` + code.String() + `"}`)
	}
	b := []byte(`{"type":"bye","code":"draining","retry_in":[`)
	b = strconv.AppendInt(b, from.Milliseconds(), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, to.Milliseconds(), 10)
	return append(b, "]}"...)
}

func encodePing() []byte { return []byte(`{"type":"ping"}`) }

// encodePoll is the answer to a poll: frames as they are, in one document, and the next ticket if there is one.
func encodePoll(cursor string, frames []frame, ticket string) []byte {
	size := len(cursor) + len(ticket) + 48
	for _, f := range frames {
		size += len(f.data) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, `{"cursor":`...)
	b = appendString(b, cursor)
	b = append(b, `,"messages":[`...)
	for i, f := range frames {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.data...)
	}
	b = append(b, ']')
	if ticket != "" {
		b = append(b, `,"ticket":`...)
		b = appendString(b, ticket)
	}
	return append(b, '}')
}

// appendString appends s as a JSON string, without allocating for what cursors are made of.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always marshals
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
