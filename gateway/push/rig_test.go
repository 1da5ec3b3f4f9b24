package push

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

const (
	publicURL  = "https://ringcast.example.com"
	goodOrigin = "https://acme.amocrm.ru"
	patience   = 20 * time.Second // only a failing test waits that long
)

var (
	anna  = userKey{"acme", "1"}
	boris = userKey{"acme", "2"}
	clara = userKey{"globex", "1"}
)

func key(s string) []byte { return []byte(strings.Repeat(s, 32)[:32]) }

func backendKey(account string) ([]byte, bool) {
	switch account {
	case "acme", "globex":
		return key(account), true
	case "short":
		return []byte("short"), true
	}
	return nil, false
}

// rig is a server on a port of its own, over a fake gateway.
type rig struct {
	t      testing.TB
	gw     *fakeGateway
	dir    *switchable
	tokens *Tokens
	server *Server
	web    *httptest.Server
}

// newParts makes everything but the sockets.
func newParts(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	tokens, err := NewTokens(TokensConfig{SessionKey: key("session"), BackendKey: backendKey, PublicURL: publicURL})
	if err != nil {
		t.Fatal(err)
	}
	origins, err := NewOrigins([]string{"https://*.amocrm.ru"})
	if err != nil {
		t.Fatal(err)
	}
	dir := &switchable{revoked: map[userKey]bool{}, Accounts: gateway.NewAccounts(
		gateway.Account{ID: "acme", Users: []gateway.User{{ID: "1", Name: "Anna", Extensions: []string{"101"}}, {ID: "2", Name: "Boris"}}},
		gateway.Account{ID: "globex", Users: []gateway.User{{ID: "1", Name: "Clara"}}},
	)}
	r := &rig{t: t, gw: newFakeGateway(), dir: dir, tokens: tokens}
	cfg := Config{Gateway: r.gw, Directory: dir, Tokens: tokens, Origins: origins, Limits: Limits{HelloWait: patience}} // a busy machine may take long
	if change != nil {
		change(&cfg)
	}
	if r.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := newParts(t, change)
	r.web = httptest.NewServer(r.server.Handler())
	t.Cleanup(func() {
		r.close()
		r.web.Close()
	})
	return r
}

// close fails the test when something keeps the server from ending.
func (r *rig) close() {
	r.t.Helper()
	done := make(chan struct{})
	go func() { r.server.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		r.t.Errorf("the server does not close: a session has leaked\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

func (r *rig) token(who userKey) string {
	r.t.Helper()
	token, _, err := r.tokens.Mint(who.account, who.user, SessionLife)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// sign makes a token of any kind.
func sign(t testing.TB, key any, method jwt.SigningMethod, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// tab is a page with a WebSocket.
type tab struct {
	t    testing.TB
	ws   *websocket.Conn
	last string // cursor
}

type dialOption func(*websocket.Dialer, http.Header)

func origin(o string) dialOption {
	return func(_ *websocket.Dialer, h http.Header) { h.Set("Origin", o) }
}

// fixedBuffer keeps the kernel from taking in tens of megabytes for a page that does not read.
func fixedBuffer(d *websocket.Dialer, _ http.Header) {
	d.NetDial = func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(256 << 10)
		}
		return c, err
	}
}

func (r *rig) tryDial(options ...dialOption) (*tab, *http.Response, error) {
	dialer := &websocket.Dialer{Subprotocols: []string{subprotocol}}
	header := http.Header{"Origin": {goodOrigin}}
	for _, o := range options {
		o(dialer, header)
	}
	ws, resp, err := dialer.Dial("ws"+strings.TrimPrefix(r.web.URL, "http")+"/v1/ws", header)
	if err != nil {
		return nil, resp, err
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	return &tab{t: r.t, ws: ws}, resp, nil
}

func (r *rig) dial(options ...dialOption) *tab {
	r.t.Helper()
	tab, _, err := r.tryDial(options...)
	if err != nil {
		r.t.Fatalf("dial: %v", err)
	}
	return tab
}

// enter opens a tab and says hello, as a client of its own.
func (r *rig) enter(who userKey, cursor string, options ...dialOption) (*tab, message) {
	r.t.Helper()
	return r.enterAs(who, "", cursor, options...)
}

func (r *rig) enterAs(who userKey, client, cursor string, options ...dialOption) (*tab, message) {
	r.t.Helper()
	tab := r.dial(options...)
	tab.send(map[string]any{"type": "hello", "token": r.token(who), "cursor": cursor, "client": client})
	hello := tab.next()
	if hello.Type != "hello" {
		r.t.Fatalf("first message: %+v", hello)
	}
	return tab, hello
}

func (c *tab) send(v any) {
	c.t.Helper()
	if err := c.ws.WriteJSON(v); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// message is any message to a tab.
type message struct {
	Type    string          `json:"type"`
	Cursor  string          `json:"cursor"`
	Prev    string          `json:"prev"`
	Event   string          `json:"event"`
	Call    json.RawMessage `json:"call"`
	Resumed bool            `json:"resumed"`
	Reason  string          `json:"reason"`
	User    *gateway.User   `json:"user"`
	Calls   json.RawMessage `json:"calls"`
	Ping    int             `json:"ping"`
	ID      string          `json:"id"`
	OK      bool            `json:"ok"`
	Slot    string          `json:"slot"`
	Code    string          `json:"code"`
	RetryIn []int           `json:"retry_in"`
	Error   *gateway.ReplyError
}

// read returns the next message that is no ping, or the error that ended the connection. A call has to
// follow the one before.
func (c *tab) read() (message, error) {
	for {
		_ = c.ws.SetReadDeadline(time.Now().Add(patience))
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return message{}, err
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			c.t.Fatalf("message %s: %v", data, err)
		}
		switch m.Type {
		case "ping":
			continue
		case "call":
			if m.Prev != c.last {
				c.t.Fatalf("message %s follows %q, the last was %q", m.Cursor, m.Prev, c.last)
			}
			c.last = m.Cursor
		case "hello":
			c.last = m.Cursor
		}
		return m, nil
	}
}

func (c *tab) next() message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("next message: %v", err)
	}
	return m
}

// wantClose reads to the end, which must come with the code, and returns the messages before it.
func (c *tab) wantClose(code closeCode) (before []message) {
	c.t.Helper()
	for {
		m, err := c.read()
		if err == nil {
			before = append(before, m)
			continue
		}
		if !websocket.IsCloseError(err, int(code)) {
			c.t.Fatalf("ended with %v, want %d", err, int(code))
		}
		return before
	}
}

// post sends a body as a page's simple request does.
func (r *rig) post(path string, body any, change ...func(*http.Request)) (int, http.Header, []byte) {
	r.t.Helper()
	resp, data := r.do(r.request(path, body, change...))
	return resp.StatusCode, resp.Header, data
}

func (r *rig) request(path string, body any, change ...func(*http.Request)) *http.Request {
	r.t.Helper()
	text, ok := body.(string)
	if !ok {
		data, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		text = string(data)
	}
	base := "http://ringcast.test"
	if r.web != nil {
		base = r.web.URL
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, base+path, bytes.NewBufferString(text))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Origin", goodOrigin)
	for _, fn := range change {
		fn(req)
	}
	return req
}

func (r *rig) do(req *http.Request) (*http.Response, []byte) {
	r.t.Helper()
	resp, err := r.web.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, data
}

func problemCode(t testing.TB, body []byte) gateway.Code {
	t.Helper()
	var p struct {
		Code   gateway.Code `json:"code"`
		Status int          `json:"status"`
		Type   string       `json:"type"`
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Type != "about:blank" || p.Status == 0 {
		t.Fatalf("not a problem document: %s (%v)", body, err)
	}
	return p.Code
}

type pollAnswer struct {
	Cursor   string    `json:"cursor"`
	Messages []message `json:"messages"`
}

func parsePoll(t testing.TB, status int, body []byte) pollAnswer {
	t.Helper()
	var a pollAnswer
	if err := json.Unmarshal(body, &a); err != nil || status != http.StatusOK || a.Messages == nil {
		t.Fatalf("poll answered %d %s (%v)", status, body, err)
	}
	return a
}

func (r *rig) poll(body any) pollAnswer {
	r.t.Helper()
	status, _, data := r.post("/v1/poll", body)
	return parsePoll(r.t, status, data)
}

// recv waits for a signal.
func recv[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}
