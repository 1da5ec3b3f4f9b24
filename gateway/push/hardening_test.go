package push

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

func TestBadHellosAreClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.dir.revoke("acme", "2")
	hs := jwt.SigningMethodHS256
	for name, c := range map[string]struct {
		frame any
		want  closeCode
	}{
		"wrong token":            {map[string]any{"type": "hello", "token": "rubbish"}, closeBadToken},
		"alg none":               {map[string]any{"type": "hello", "token": sign(t, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Hour)})}, closeBadToken},
		"another account's key":  {map[string]any{"type": "hello", "token": sign(t, key("globex"), hs, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Hour)})}, closeBadToken},
		"expired token":          {map[string]any{"type": "hello", "token": sign(t, key("acme"), hs, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(-time.Hour)})}, closeExpired},
		"user not in directory":  {map[string]any{"type": "hello", "token": sign(t, key("acme"), hs, jwt.MapClaims{"iss": "acme", "sub": "404", "exp": in(time.Hour)})}, closeRevoked},
		"user taken out":         {map[string]any{"type": "hello", "token": r.token(boris)}, closeRevoked},
		"command first":          {map[string]any{"id": "1", "action": "call", "token": r.token(anna)}, closeProtocol},
		"no object":              {[]int{1}, closeProtocol},
		"null":                   {nil, closeProtocol},
		"client of 65 bytes":     {map[string]any{"type": "hello", "token": r.token(anna), "client": strings.Repeat("x", 65)}, closeProtocol},
		"hello of more than 8 K": {map[string]any{"type": "hello", "token": r.token(anna), "x": strings.Repeat("x", maxHello)}, closeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			tab := r.dial()
			tab.t = t
			tab.send(c.frame)
			if before := tab.wantClose(c.want); len(before) > 0 {
				t.Errorf("got %+v", before)
			}
		})
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions were made", n)
	}
}

func TestBadFramesAreClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, c := range map[string]struct {
		kind int
		data string
		want closeCode
	}{
		"no JSON":                   {websocket.TextMessage, "{", closeProtocol},
		"unknown type":              {websocket.TextMessage, `{"type":"subscribe"}`, closeProtocol},
		"binary":                    {websocket.BinaryMessage, `{}`, closeProtocol},
		"longer than any":           {websocket.TextMessage, `{"x":"` + strings.Repeat("x", maxFrame) + `"}`, closeProtocol},
		"more than is read":         {websocket.TextMessage, strings.Repeat("x", maxMessage+1), websocket.CloseMessageTooBig},
		"bad renewal":               {websocket.TextMessage, `{"type":"hello","token":"x"}`, closeBadToken},
		"bad renewal by command":    {websocket.TextMessage, `{"id":"1","action":"renew","token":"x"}`, closeBadToken},
		"renewal for another user":  {websocket.TextMessage, fmt.Sprintf(`{"type":"hello","token":%q}`, r.token(boris)), closeBadToken},
		"renewal for another's tab": {websocket.TextMessage, fmt.Sprintf(`{"id":"1","action":"renew","token":%q}`, r.token(clara)), closeBadToken},
	} {
		t.Run(name, func(t *testing.T) {
			tab, _ := r.enter(anna, "")
			tab.t = t
			if err := tab.ws.WriteMessage(c.kind, []byte(c.data)); err != nil {
				t.Fatal(err)
			}
			tab.wantClose(c.want)
		})
	}
}

func TestTooManyFramesAreClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.Commands, c.Limits.QueueMessages = 100, 1000 })
	tab, _ := r.enter(anna, "") // the hello is one frame
	refused := 0
	for i := range floodPerWindow {
		tab.send(map[string]any{"id": fmt.Sprint(i), "action": "call"})
		if i > commandsPerWindow {
			continue
		}
		if m := tab.next(); m.Error != nil && m.Error.Code == gateway.CodeTooMany {
			refused++
		}
	}
	tab.wantClose(closeProtocol)
	if refused != 1 {
		t.Errorf("%d commands of %d were refused", refused, commandsPerWindow+1)
	}
}

func TestNoHelloInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.HelloWait = 20 * time.Millisecond })
	tab := r.dial()
	tab.wantClose(closeProtocol)
}

func TestWrongOriginIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const evil = "https://acme.amocrm.ru.evil.com"
	_, resp, err := r.tryDial(origin(evil))
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("upgrade: %v %v", resp, err)
	}
	from := func(o string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("Origin", o) }
	}
	for _, path := range []string{"/v1/poll", "/v1/actions", "/v1/sessions/backend"} {
		status, header, body := r.post(path, map[string]any{"token": r.token(anna), "wait": 0}, from(evil))
		if status != http.StatusForbidden || problemCode(t, body) != gateway.CodeOrigin || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s %v", path, status, body, header)
		}
		preflight := func(req *http.Request) {
			req.Method = http.MethodOptions
			req.Header.Set("Access-Control-Request-Method", "POST")
			req.Header.Set("Access-Control-Request-Headers", "content-type,x-auth-token")
		}
		status, header, _ = r.post(path, "", from(evil), preflight)
		if status != http.StatusForbidden || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of %s: %d %v", path, status, header)
		}
		status, header, _ = r.post(path, "", preflight)
		if status != http.StatusNoContent || header.Get("Access-Control-Allow-Origin") != goodOrigin ||
			header.Get("Access-Control-Allow-Credentials") != "" || header.Get("Access-Control-Max-Age") != "7200" {
			t.Errorf("good preflight of %s: %d %v", path, status, header)
		}
	}
}

func TestErrorsCarryCORSHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	status, header, _ := r.post("/v1/poll", map[string]any{"token": "x"})
	if status != http.StatusUnauthorized || header.Get("Access-Control-Allow-Origin") != goodOrigin || header.Get("Vary") == "" {
		t.Errorf("%d %v", status, header)
	}
}

func TestFloodOfSocketsThatSayNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Limits.Unauthenticated = 5
		c.Limits.UnauthenticatedPerIP = 3
	})
	via := func(addr string) dialOption {
		return func(_ *websocket.Dialer, h http.Header) { h.Set("X-Forwarded-For", "spoofed, "+addr) }
	}
	var last *tab
	for range 3 {
		last = r.dial(via("203.0.113.1"))
	}
	refused := func(addr string) {
		t.Helper()
		if _, resp, err := r.tryDial(via(addr)); err == nil || resp == nil || resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s: %v %v", addr, resp, err)
		}
	}
	refused("203.0.113.1")
	r.dial(via("2001:db8::1"))
	r.dial(via("2001:db8::2"))
	refused("203.0.113.9") // the total
	last.send(map[string]any{"type": "hello", "token": r.token(anna)})
	last.next()
	r.dial(via("203.0.113.1")) // one is no stranger any more
}

func TestFloodOfHandshakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Limits.HandshakesPerIP, c.Limits.HandshakeBurst = 0.001, 3
		c.ClientAddr = func(*http.Request) string { return "203.0.113.1" }
	})
	for range 3 {
		tab, _ := r.enter(anna, "")
		_ = tab.ws.Close()
	}
	if _, resp, err := r.tryDial(); err == nil || resp == nil || resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%v %v", resp, err)
	}
}

func TestTooManySessionsOfOneUser(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.PerUser = 2 })
	hello := func(client string) *tab {
		tab := r.dial()
		tab.send(map[string]any{"type": "hello", "token": r.token(anna), "client": client})
		return tab
	}
	hello("one").next()
	two := hello("two")
	two.next()
	hello("three").wantClose(closeTooMany)
	again := hello("two")
	again.next() // back from sleep, its old connection half open: it is no third
	r.enter(boris, "")
	_, _ = two.ws.Close(), again.ws.Close()
	recv(t, r.gw.gone)
	hello("three").next()
}

// A name is let in again and again, since its old connection may hang half open; it is not there twice.
func TestOneNameIsNotManySessions(t *testing.T) {
	t.Parallel()
	closed := make(chan int, 16)
	r := newRig(t, func(c *Config) {
		c.Limits.PerUser = 2
		c.Metrics.Closed = func(_ string, code int) { closed <- code }
	})
	r.enterAs(anna, "other", "")
	last, _ := r.enterAs(anna, "same", "")
	for range 10 {
		tab, _ := r.enterAs(anna, "same", "")
		last.wantClose(closeSuperseded)
		if code := recv(t, closed); code != int(closeSuperseded) {
			t.Errorf("closed with %d", code)
		}
		last = tab
	}
	r.gw.publish(anna, 0)
	if m := last.next(); m.Type != "call" {
		t.Errorf("the last of them: %+v", m)
	}
	if n := len(r.server.hub.of(anna.account, anna.user)); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// Neither do those count without end that have not opened, or not closed, yet.
func TestOneNameAtOnce(t *testing.T) {
	t.Parallel()
	r := newParts(t, func(c *Config) { c.Limits.PerUser = 3 })
	t.Cleanup(r.close)
	var in []*session
	for i := range 1000 {
		s := newSession(r.server, &reader{}, rungSSE, true)
		s.account, s.user, s.client = "acme", "1", "same"
		older, err := r.server.hub.add(&s)
		if err != nil {
			continue
		}
		if in = append(in, &s); len(older) != i {
			t.Errorf("number %d takes the place of %d", i, len(older))
		}
	}
	if len(in) != 6 {
		t.Errorf("%d sessions", len(in))
	}
	for _, s := range in {
		r.server.hub.remove(s)
	}
	for range 4 { // who has no name has no old connection, either
		s := newSession(r.server, &reader{}, rungPoll, false)
		s.account, s.user = "acme", "1"
		if _, err := r.server.hub.add(&s); err == nil {
			in = append(in, &s)
			t.Cleanup(func() { r.server.hub.remove(&s) })
		}
	}
	if len(in) != 6+3 {
		t.Errorf("%d polls without a name", len(in)-6)
	}
}

func TestSlowTabIsCutOffAloneAndMadeWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.WriteWait = patience })
	slow, _ := r.enter(anna, "", fixedBuffer)
	fast, _ := r.enter(anna, "")
	const messages = 250 // of 64 KiB: more than the kernel buffers for somebody who does not read
	for range messages {
		sent := r.gw.publish(anna, 64<<10)
		if m := fast.next(); m.Cursor != sent.Cursor {
			t.Fatalf("the fast tab got %s, not %s", m.Cursor, sent.Cursor)
		}
	}
	got := len(slow.wantClose(closeSlow))
	if got >= messages {
		t.Errorf("the slow tab was cut off after everything")
	}
	again, hello := r.enter(anna, slow.last)
	if !hello.Resumed {
		t.Fatalf("hello %+v", hello)
	}
	for again.last != fast.last {
		again.next()
		got++
	}
	if got != messages {
		t.Errorf("the slow tab got %d messages of %d", got, messages)
	}
}

func TestLiveNeverOvertakesTheHello(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.QueueMessages = 10000 }) // slowness is another test
	r.gw.onSubscribe = func(who userKey) {                             // delivered before the session knows its hello
		for range 3 {
			r.gw.publish(who, 0)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer cancel()
	publishing.Go(func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			r.gw.publish(anna, 0)
		}
	})
	var tabs sync.WaitGroup
	for i := range 10 {
		tabs.Go(func() {
			cursor := ""
			for range 10 {
				tab := r.dial()
				tab.send(map[string]any{"type": "hello", "token": r.token(anna), "cursor": cursor, "client": fmt.Sprint(i)})
				m, err := tab.read()
				if err != nil || m.Type != "hello" || m.Resumed != (cursor != "") {
					t.Errorf("first message %+v (%v)", m, err)
					return
				}
				for range 5 { // read checks that each follows the one before
					if _, err := tab.read(); err != nil {
						t.Errorf("message: %v", err)
						return
					}
				}
				cursor = tab.last
				_ = tab.ws.Close()
			}
		})
	}
	tabs.Wait()
}

func TestPanicLeavesNoSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.onSubscribe = func(userKey) { panic("in the gateway") }
	tab := r.dial()
	tab.send(map[string]any{"type": "hello", "token": r.token(anna), "client": "tab"})
	tab.wantClose(closeDraining)
	if got := recv(t, r.gw.gone); got.client != "tab" {
		t.Errorf("gone %+v", got)
	}
	r.close() // waits for every socket and session
}

func TestPanicInACommandEndsOnlyTheCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.onCommand = func(gateway.Command) gateway.Reply { panic("in the gateway") }
	tab, _ := r.enter(anna, "")
	for _, id := range []string{"1", "2"} {
		tab.send(map[string]any{"id": id, "action": "call"})
		if m := tab.next(); m.ID != id || m.Error == nil || m.Error.Code != gateway.CodeInternal || strings.Contains(m.Error.Message, "gateway") {
			t.Errorf("reply %+v %+v", m, m.Error)
		}
	}
}

func TestPanicInTheWriterEndsTheSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Metrics.Sent = func(string, int, int) { panic("in the metrics") } // the writer calls it
	})
	tab, _ := r.enter(anna, "")
	tab.wantClose(closeDraining)
	recv(t, r.gw.gone)
	r.close()
}

func TestGatewayThatCannotSubscribe(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.refuse = gateway.Errorf(gateway.CodeUnavailable, "the log is not there yet")
	tab := r.dial()
	tab.send(map[string]any{"type": "hello", "token": r.token(anna)})
	tab.wantClose(closeDraining) // come back
	status, _, body := r.post("/v1/poll", map[string]any{"token": r.token(anna)})
	if status != http.StatusServiceUnavailable || problemCode(t, body) != gateway.CodeUnavailable {
		t.Errorf("%d %s", status, body)
	}
}
