package push

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

func TestFirstVisit(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.publish(anna, 0)
	tab, hello := r.enter(anna, "")
	if hello.Resumed || hello.Reason != "new" || hello.Cursor != "e1-1" || hello.Ping != 25 || string(hello.Calls) != "[]" {
		t.Errorf("hello %+v", hello)
	}
	if hello.User == nil || hello.User.ID != "1" || hello.User.Name != "Anna" || len(hello.User.Extensions) != 1 {
		t.Errorf("user %+v", hello.User)
	}
	if got := tab.ws.Subprotocol(); got != subprotocol {
		t.Errorf("subprotocol %q", got)
	}
	sent := r.gw.publish(anna, 0)
	if m := tab.next(); m.Cursor != "e1-2" || m.Prev != "e1-1" || m.Event != "call.dial" || string(m.Call) != string(sent.Call) {
		t.Errorf("message %+v", m)
	}
}

func TestResumeBringsWhatWasMissedAfterTheHello(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for range 300 { // more than the live queue takes
		r.gw.publish(anna, 0)
	}
	tab, hello := r.enter(anna, "e1-10")
	if !hello.Resumed || hello.Cursor != "e1-10" || hello.Reason != "" {
		t.Errorf("hello %+v", hello)
	}
	for tab.last != "e1-300" {
		tab.next()
	}
}

func TestUnknownCursorIsAReset(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const cursor = "e0-\"</script>\u2028"
	_, hello := r.enter(anna, cursor)
	if hello.Resumed || hello.Reason != "epoch" {
		t.Errorf("hello %+v", hello)
	}
	if got := r.gw.lastCursor(); got != cursor {
		t.Errorf("the gateway saw %q", got)
	}
}

func TestOnlyOwnMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, _ := r.enter(anna, "")
	b, _ := r.enter(boris, "")
	c, _ := r.enter(clara, "") // the same user id, another account
	for range 5 {
		r.gw.publish(boris, 0)
		r.gw.publish(clara, 0)
	}
	r.gw.publish(anna, 0)
	if m := a.next(); !strings.Contains(string(m.Call), `"main:1-1"`) {
		t.Errorf("anna got %+v", m)
	}
	for range 5 {
		if m := b.next(); !strings.Contains(string(m.Call), `"main:2-`) {
			t.Errorf("boris got %+v", m)
		}
		c.next()
	}
}

func TestBackendTokenServesAsSessionToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab := r.dial()
	tab.send(map[string]any{"type": "hello", "token": sign(t, key("acme"), jwt.SigningMethodHS256, jwt.MapClaims{"iss": "acme", "sub": "2", "exp": in(time.Hour)})})
	if hello := tab.next(); hello.User.Name != "Boris" || hello.User.Extensions == nil {
		t.Errorf("hello %+v", hello)
	}
}

func TestCommandsAreTheTokensUsers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab, _ := r.enter(boris, "")
	tab.send(map[string]any{"id": "7", "action": "call", "to": "+380991234567", "account": "globex", "user": "1"})
	if m := tab.next(); m.Type != "reply" || m.ID != "7" || !m.OK || string(m.Call) != `"acme/2/call/+380991234567"` {
		t.Errorf("reply %+v", m)
	}
}

func TestRefusedCommands(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	r := newRig(t, func(c *Config) { c.Limits.Commands = 1 })
	r.gw.onCommand = func(cmd gateway.Command) gateway.Reply {
		if cmd.Action == "wait" {
			<-hold
		}
		return gateway.Reply{Error: &gateway.ReplyError{Code: gateway.CodePBXOffline, Message: "nobody"}}
	}
	tab, _ := r.enter(anna, "")
	want := func(id string, code gateway.Code) {
		t.Helper()
		if m := tab.next(); m.Type != "reply" || m.ID != id || m.OK || m.Error == nil || m.Error.Code != code {
			t.Errorf("reply %+v %+v, want %s", m, m.Error, code)
		}
	}
	tab.send(map[string]any{"id": "1", "action": "call"})
	want("1", gateway.CodePBXOffline)
	tab.send(map[string]any{"action": "call"})
	want("", gateway.CodeInvalid)
	tab.send(map[string]any{"id": strings.Repeat("я", 65), "action": "call"})
	want(strings.Repeat("я", 65), gateway.CodeInvalid)
	tab.send(map[string]any{"id": "2", "action": "wait"})
	tab.send(map[string]any{"id": "3", "action": "call"})
	want("3", gateway.CodeTooMany)
	close(hold)
	want("2", gateway.CodePBXOffline)
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab, _ := r.enter(anna, "")
	tab.send(map[string]any{"type": "hello", "token": r.token(anna)})
	tab.send(map[string]any{"id": "1", "action": "renew", "token": r.token(anna)})
	if m := tab.next(); m.Type != "reply" || m.ID != "1" || !m.OK {
		t.Errorf("reply %+v", m)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	get := func(change func(http.Header)) (*http.Response, []byte) {
		req := r.request("/v1/ws", "")
		req.Method, req.Body, req.ContentLength = http.MethodGet, nil, 0
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
			req.Header.Set(k, v)
		}
		change(req.Header)
		return r.do(req)
	}
	for name, change := range map[string]func(http.Header){
		"upgrade stripped": func(h http.Header) { h.Del("Upgrade") },
		"no key":           func(h http.Header) { h.Del("Sec-WebSocket-Key") },
		"short key":        func(h http.Header) { h.Set("Sec-WebSocket-Key", "AAAA") },
		"old version":      func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") },
		"other protocol":   func(h http.Header) { h.Set("Sec-WebSocket-Protocol", "graphql-ws, mqtt") },
	} {
		resp, body := get(change)
		if resp.StatusCode != http.StatusBadRequest || problemCode(t, body) != gateway.CodeInvalid {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

func TestClientWithoutSubprotocolSpeaksTheFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.enter(anna, "", func(d *websocket.Dialer, _ http.Header) { d.Subprotocols = nil })
}

func TestClientThatIsNoBrowserSendsNoOrigin(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.enter(anna, "", func(_ *websocket.Dialer, h http.Header) { h.Del("Origin") })
}

// A client that is back before the gateway was told that it went has not gone.
func TestLateGoneDoesNotOverrideHere(t *testing.T) {
	t.Parallel()
	var r *rig
	var back *reader
	r = newParts(t, func(c *Config) {
		c.Metrics.Closed = func(string, int) { // the old session is forgotten, and the gateway not told yet
			if back == nil {
				back = r.come(t, anna, opening{client: "a"})
			}
		}
	})
	t.Cleanup(r.close)
	old := r.come(t, anna, opening{client: "a"})
	old.session.end()
	select {
	case gone := <-r.gw.gone:
		t.Errorf("gone %+v, which is here", gone)
	default:
	}
	back.session.end()
	if got := recv(t, r.gw.gone); got != (clientKey{anna, "a"}) {
		t.Errorf("gone %+v", got)
	}
}

func TestClientGoneWithItsLastSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	one, _ := r.enterAs(anna, "tab-1", "")
	two, _ := r.enterEvents(anna, "")
	other, _ := r.enterAs(anna, "other", "")
	_ = one.ws.Close()
	_ = other.ws.Close()
	if got := recv(t, r.gw.gone); got != (clientKey{anna, "other"}) {
		t.Errorf("gone %+v: its second session lives", got)
	}
	_ = two.body.Close()
	if got := recv(t, r.gw.gone); got != (clientKey{anna, "tab-1"}) {
		t.Errorf("gone %+v", got)
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

func TestNamelessClientGetsAName(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab := r.dial()
	tab.send(map[string]any{"type": "hello", "token": r.token(anna)})
	tab.next()
	_ = tab.ws.Close()
	if got := recv(t, r.gw.gone); got.userKey != anna || got.client == "" {
		t.Errorf("gone %+v", got)
	}
}

func TestCallIsNotMarshalledAgain(t *testing.T) {
	t.Parallel()
	m := gateway.Message{Cursor: "c\"2", Event: gateway.EventDial, Call: json.RawMessage(`{"b": 1, "a":2}`)}
	got := string(encodeCall(m, "c1"))
	if want := `{"type":"call","cursor":"c\"2","prev":"c1","event":"call.dial","call":{"b": 1, "a":2}}`; got != want {
		t.Errorf("%s", got)
	}
}

// A page can see that the line lives, and so can the machine that it runs on, which answers by itself.
func TestPingsReachThePageAndItsMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.PingEvery = 50 * time.Millisecond })
	tab, _ := r.enter(anna, "")
	pings := 0
	tab.ws.SetPingHandler(func(string) error { pings++; return nil })
	for range 3 {
		_ = tab.ws.SetReadDeadline(time.Now().Add(patience))
		_, data, err := tab.ws.ReadMessage()
		if err != nil || string(data) != `{"type":"ping"}` {
			t.Fatalf("%s %v", data, err)
		}
	}
	if pings != 3 {
		t.Errorf("%d pings to the machine with 3 to the page", pings)
	}
}

// noted is a connection that notes its write deadlines.
type noted struct {
	net.Conn
	from time.Time
	set  []time.Duration // -1: none
}

func (d *noted) SetWriteDeadline(t time.Time) error {
	after := t.Sub(d.from)
	if t.IsZero() {
		after = -1
	}
	d.set = append(d.set, after)
	return nil
}

func TestWriteDeadlineIsMovedOnlyWhenItWouldNotDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &noted{from: time.Now()}
		w := &wire{Conn: d}
		within := func(span time.Duration) {
			if err := w.SetWriteDeadline(time.Now().Add(span)); err != nil {
				t.Error(err)
			}
		}
		within(5 * time.Second) // lasts for 10 s
		time.Sleep(5 * time.Second)
		within(5 * time.Second) // it will do
		time.Sleep(time.Millisecond)
		within(5 * time.Second) // it would not
		within(time.Second)     // sooner
		within(5 * time.Second) // and later again
		if err := w.SetWriteDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		const ms = time.Millisecond
		if want := []time.Duration{10_000 * ms, 15_001 * ms, 7_001 * ms, 15_001 * ms, -1}; !slices.Equal(d.set, want) {
			t.Errorf("set to %v, want %v", d.set, want)
		}
	})
}
