package push

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// strangers come from as many addresses as are named.
func strangers(t *testing.T, g *gate, addrs ...string) (in []*conn) {
	t.Helper()
	for _, addr := range addrs {
		if err := g.enter(addr); err == nil {
			in = append(in, &conn{addr: addr})
		} else if code := gateway.CodeOf(err); code != gateway.CodeTooMany && code != gateway.CodeUnavailable {
			t.Errorf("%s: %v", addr, err)
		}
	}
	return in
}

func repeat(addr string, n int) (addrs []string) {
	for range n {
		addrs = append(addrs, addr)
	}
	return addrs
}

// A flood from one address leaves room for everybody else, whether it says who it is or not.
func TestOneAddressCannotTakeAllPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{}.orDefault()
		g := newGate(limits)
		flood := strangers(t, g, repeat("flood", 10*limits.Unauthenticated)...)
		if len(flood) != limits.UnauthenticatedPerIP {
			t.Errorf("one address holds %d places", len(flood))
		}
		if in := strangers(t, g, "office", "home"); len(in) != 2 {
			t.Error("others are kept out")
		}
		for _, c := range flood {
			g.known(c)
		}
		for range 150 { // as fast as it may
			more := strangers(t, g, repeat("flood", 100)...)
			for _, c := range more {
				g.known(c)
			}
			flood = append(flood, more...)
			time.Sleep(time.Second)
		}
		if len(flood) != limits.SocketsPerIP {
			t.Errorf("one address has %d sockets", len(flood))
		}
		for _, c := range flood {
			g.leave(c.addr)
		}
		time.Sleep(time.Minute)
		g.tick()
		if _, known := g.peers["flood"]; known || g.sockets != 2 {
			t.Errorf("%d sockets are left, and of the flood %v", g.sockets, g.peers["flood"])
		}
	})
}

// Streams and polls of an address count as its sockets do, for as long as they last.
func TestOneAddressHasSoManyStreamsAndPolls(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.SocketsPerIP = 3 })
	subscribed := make(chan userKey, 8)
	r.gw.onSubscribe = func(key userKey) { subscribed <- key }
	from := func(addr string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("X-Forwarded-For", addr) }
	}
	const flood, other = "203.0.113.1", "203.0.113.2"
	stream, _ := r.enterEvents(anna, "", from(flood))
	answers := make(chan int, 2)
	go func() {
		status, _, _ := r.post("/v1/poll", map[string]any{"token": r.token(anna), "cursor": "e1-0"}, from(flood))
		answers <- status
	}()
	q := scriptQuery(r.ticket(r.token(anna), ""), "e1-0", "wait", "20")
	go func() {
		resp, _ := r.do(r.get("/v1/poll.js", q, fromPage(goodPage), from(flood)))
		answers <- resp.StatusCode
	}()
	for range 3 {
		recv(t, subscribed)
	}

	poll := func(addr string) int {
		status, _, _ := r.post("/v1/poll", map[string]any{"token": r.token(boris), "wait": 0}, from(addr))
		return status
	}
	if status := poll(flood); status != http.StatusTooManyRequests {
		t.Errorf("a poll: %d", status)
	}
	if _, resp := r.openEvents(url.Values{"ticket": {r.ticket(r.token(boris), "")}}, from(flood)); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a stream: %d", resp.StatusCode)
	}
	resp, body := r.do(r.get("/v1/poll.js", scriptQuery(r.ticket(r.token(boris), ""), ""), fromPage(goodPage), from(flood)))
	if a := parseScript(t, resp.StatusCode, resp.Header, body); a.Error == nil || a.Error.Code != "too_many" || len(a.Error.RetryIn) != 2 {
		t.Errorf("a script: %s", body)
	}
	if _, _, err := r.tryDial(func(_ *websocket.Dialer, h http.Header) { h.Set("X-Forwarded-For", flood) }); err == nil {
		t.Error("a socket is let in")
	}
	if status := poll(other); status != http.StatusOK {
		t.Errorf("from elsewhere: %d", status)
	}
	r.gw.publish(anna, 0)
	for range 2 {
		if status := recv(t, answers); status != http.StatusOK {
			t.Errorf("a poll that waited: %d", status)
		}
	}
	_ = stream.body.Close()
	if status := poll(flood); status != http.StatusOK {
		t.Errorf("when those have gone: %d", status)
	}
	r.close()
	r.web.Close() // waits for the requests
	for addr, p := range r.server.gate.peers {
		if p.sockets != 0 {
			t.Errorf("%d are left of %s", p.sockets, addr)
		}
	}
}

func TestFullNodeSendsToAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.Sessions = 2 })
	a, _ := r.enter(anna, "")
	r.enter(boris, "")
	_, resp, err := r.tryDial()
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a socket too many: %v, %v", resp, err)
	}
	status, header, body := r.post("/v1/poll", map[string]any{"token": r.token(clara), "wait": 0})
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || problemCode(t, body) != gateway.CodeUnavailable {
		t.Errorf("a poll too many: %d %s", status, body)
	}
	_ = a.ws.Close()
	recv(t, r.gw.gone)
	r.poll(map[string]any{"token": r.token(clara), "wait": 0})
}
