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

func (c closeCode) String() string {
	switch c {
	case closeSlow:
		return "slow"
	case closeDraining:
		return "draining"
	case closeExpired:
		return "token expired"
	case closeSuperseded:
		return "superseded"
	case closeBadToken:
		return "bad token"
	case closeRevoked:
		return "revoked"
	case closeProtocol:
		return "bad protocol"
	case closeTooMany:
		return "too many sessions"
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
	Type   string `json:"type"`
	Token  string `json:"token"`
	Cursor string `json:"cursor"`
	Client string `json:"client"`
	ID     string `json:"id"`
	Action string `json:"action"`
	To     string `json:"to"`
	Call   string `json:"call"`
	What   string `json:"what"`
	Done   bool   `json:"done"`
}

// command makes a command of it, for the user of a verified token.
func (in *inbound) command(who identity, client string) gateway.Command {
	return gateway.Command{
		Account: who.account, User: who.user, Client: client,
		ID: in.ID, Action: in.Action, To: in.To, Call: in.Call, What: in.What, Done: in.Done,
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

// encodeBye tells a client to come back at a random moment of a window.
func encodeBye(from, to time.Duration) []byte {
	b := []byte(`{"type":"bye","code":"draining","retry_in":[`)
	b = strconv.AppendInt(b, from.Milliseconds(), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, to.Milliseconds(), 10)
	return append(b, "]}"...)
}

func encodePing() []byte { return []byte(`{"type":"ping"}`) }

// encodePoll is the answer to a poll: frames as they are, in one document.
func encodePoll(cursor string, frames [][]byte) []byte {
	size := len(cursor) + 32
	for _, f := range frames {
		size += len(f) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, `{"cursor":`...)
	b = appendString(b, cursor)
	b = append(b, `,"messages":[`...)
	for i, f := range frames {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f...)
	}
	return append(b, "]}"...)
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
