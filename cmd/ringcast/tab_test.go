package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// message is anything that a tab is told (design §4.3).
type message struct {
	Type    string            `json:"type"`
	Cursor  string            `json:"cursor"`
	Prev    string            `json:"prev"`
	Resumed bool              `json:"resumed"`
	Reason  string            `json:"reason"`
	User    gateway.User      `json:"user"`
	Calls   []gateway.View    `json:"calls"`
	Event   gateway.EventType `json:"event"`
	Call    json.RawMessage   `json:"call"` // a view, or in a reply the id
	ID      string            `json:"id"`
	OK      bool              `json:"ok"`
	Error   struct{ Code, Message string }
	Code    string `json:"code"`
	RetryIn []int  `json:"retry_in"`
}

// view is the call of a call message.
func (m message) view(t *testing.T) gateway.View {
	t.Helper()
	var v gateway.View
	if err := json.Unmarshal(m.Call, &v); err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	return v
}

// tab is a browser's WebSocket.
type tab struct {
	t      *testing.T
	conn   *websocket.Conn
	hello  message
	cursor string
	early  []message // read while a reply was awaited
}

// dialWS opens a WebSocket. With an answer instead, the server has refused.
func (p *program) dialWS(header http.Header) (*websocket.Conn, *http.Response) {
	p.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"ringcast.v1"}, HandshakeTimeout: patience}
	conn, response, err := dialer.DialContext(p.t.Context(), "ws"+strings.TrimPrefix(p.web, "http")+"/v1/ws", header)
	if err != nil && !errors.Is(err, websocket.ErrBadHandshake) {
		p.t.Fatal(err)
	}
	if err != nil {
		return nil, response
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return conn, nil
}

// open is a tab that has said and heard hello. header may be nil.
func (p *program) open(token, cursor string, header http.Header) *tab {
	p.t.Helper()
	conn, refused := p.dialWS(header)
	if refused != nil {
		p.t.Fatalf("the upgrade was answered with %d", refused.StatusCode)
	}
	w := &tab{t: p.t, conn: conn}
	w.send(map[string]string{"type": "hello", "token": token, "cursor": cursor})
	w.hello = w.next()
	if w.hello.Type != "hello" {
		p.t.Fatalf("the first message is %+v", w.hello)
	}
	w.cursor = w.hello.Cursor
	return w
}

func (w *tab) send(v any) {
	w.t.Helper()
	if err := w.conn.WriteJSON(v); err != nil {
		w.t.Fatal(err)
	}
}

// next is the next message but pings.
func (w *tab) next() message {
	w.t.Helper()
	if len(w.early) > 0 {
		m := w.early[0]
		w.early = w.early[1:]
		return m
	}
	return w.read()
}

// read reads the next message. Those of calls must follow each other without a gap.
func (w *tab) read() message {
	w.t.Helper()
	for {
		var m message
		_ = w.conn.SetReadDeadline(time.Now().Add(patience))
		if err := w.conn.ReadJSON(&m); err != nil {
			w.t.Fatalf("no message: %v", err)
		}
		if m.Type == "ping" {
			continue
		}
		if m.Type == "call" {
			if m.Prev != w.cursor {
				w.t.Errorf("a gap: %s says that it follows %q, not %q", m.Cursor, m.Prev, w.cursor)
			}
			w.cursor = m.Cursor
		}
		return m
	}
}

// call is the next message, which must be of that event and state.
func (w *tab) call(event gateway.EventType, state gateway.State) gateway.View {
	w.t.Helper()
	m := w.next()
	if m.Type != "call" || m.Event != event {
		w.t.Fatalf("got %s %s %s, want %s", m.Type, m.Event, m.Call, event)
	}
	v := m.view(w.t)
	if v.State != state {
		w.t.Fatalf("%s: the call is %s, want %s", event, v.State, state)
	}
	return v
}

// command sends one and returns its reply. What comes before that is kept for next.
func (w *tab) command(fields map[string]any) message {
	w.t.Helper()
	w.send(fields)
	m := w.read()
	for ; m.Type == "call"; m = w.read() {
		w.early = append(w.early, m)
	}
	if m.Type != "reply" || m.ID != fields["id"] {
		w.t.Fatalf("%v was answered with %+v", fields, m)
	}
	return m
}

// closed reads to the end and returns the close code.
func (w *tab) closed() int {
	w.t.Helper()
	return closeCodeOf(w.t, w.conn)
}

// closeCodeOf reads to the end and returns the close code. Only a hello and pings may come before it.
func closeCodeOf(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := conn.ReadMessage()
		var end *websocket.CloseError
		switch {
		case errors.As(err, &end):
			return end.Code
		case err != nil:
			t.Fatalf("not closed with a code: %v", err)
		case !strings.HasPrefix(string(data), `{"type":"ping"`) && !strings.HasPrefix(string(data), `{"type":"hello"`):
			t.Errorf("before the close came %s", data)
		}
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is an RFC 9457 document, and what else an answer of Ringcast may hold.
type problem struct {
	Status  int                  `json:"status"`
	Title   string               `json:"title"`
	Detail  string               `json:"detail"`
	Code    string               `json:"code"`
	Errors  []gateway.FieldError `json:"errors"`
	content string
}

// request makes one. header holds name, value, name, value and so on.
func (p *program) request(method, url, body string, header ...string) answer {
	p.t.Helper()
	a, err := p.try(method, url, strings.NewReader(body), header...)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// try is request for other goroutines than the test's, and for bodies that are still being written.
func (p *program) try(method, url string, body io.Reader, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{}, err
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	res, err := p.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	data, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(data)}, errors.Join(err, res.Body.Close())
}

// refused checks that an answer is a problem document of that status and code.
func (a answer) refused(t *testing.T, status int, code gateway.Code) problem {
	t.Helper()
	doc := problem{content: a.header.Get("Content-Type")}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatalf("%d with no problem document: %q", a.status, a.body)
	}
	if a.status != status || doc.Status != status || doc.Code != string(code) || doc.content != "application/problem+json" {
		t.Errorf("got %d %s %s, want %d and code %q", a.status, doc.content, a.body, status, code)
	}
	if doc.Title == "" || doc.Detail == "" {
		t.Errorf("the problem document says nothing to a person: %s", a.body)
	}
	return doc
}

// decode reads a JSON answer of the status.
func (a answer) decode(t *testing.T, status int, into any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %d %s, want %d", a.status, a.body, status)
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%q: %v", a.body, err)
	}
}

func (p *program) post(account, key, body string) answer {
	p.t.Helper()
	return p.request(http.MethodPost, p.web+"/v1/accounts/"+account+"/events", body, "Authorization", "Bearer "+key)
}

// took is the answer of ingest.
type took struct {
	Accepted   int      `json:"accepted"`
	Duplicates int      `json:"duplicates"`
	Unknown    []string `json:"unknown_extensions"`
}

// emit posts events of account acme, all of which must be taken.
func (p *program) emit(events ...string) {
	p.t.Helper()
	var got took
	p.post("acme", acmePBXKey, "["+strings.Join(events, ",")+"]").decode(p.t, http.StatusAccepted, &got)
	if got.Accepted != len(events) || got.Duplicates != 0 || got.Unknown != nil {
		p.t.Fatalf("%d events: %+v", len(events), got)
	}
}

// polled is the answer to a poll.
type polled struct {
	Cursor   string    `json:"cursor"`
	Messages []message `json:"messages"`
}

func pollBody(token, cursor string, wait float64) string {
	body, _ := json.Marshal(map[string]any{"token": token, "cursor": cursor, "wait": wait})
	return string(body)
}

// poll asks once, waiting up to 25 s.
func (p *program) poll(token, cursor string) polled {
	p.t.Helper()
	var got polled
	p.request(http.MethodPost, p.web+"/v1/poll", pollBody(token, cursor, 25), "Content-Type", "text/plain").
		decode(p.t, http.StatusOK, &got)
	return got
}

// pollUntil polls until it has n messages, which must follow each other from the cursor on.
func (p *program) pollUntil(token, cursor string, n int) []message {
	p.t.Helper()
	var all []message
	for len(all) < n {
		got := p.poll(token, cursor)
		for _, m := range got.Messages {
			if m.Type != "call" || m.Prev != cursor {
				p.t.Fatalf("after %q came %+v", cursor, m)
			}
			cursor = m.Cursor
		}
		if got.Cursor != cursor {
			p.t.Fatalf("the poll's cursor is %q, its last message's %q", got.Cursor, cursor)
		}
		all = append(all, got.Messages...)
	}
	return all
}

// action posts a command.
func (p *program) action(token string, fields map[string]any) message {
	p.t.Helper()
	fields["token"] = token
	body, err := json.Marshal(fields)
	if err != nil {
		p.t.Fatal(err)
	}
	var reply message
	p.request(http.MethodPost, p.web+"/v1/actions", string(body), "Content-Type", "text/plain").decode(p.t, http.StatusOK, &reply)
	return reply
}
