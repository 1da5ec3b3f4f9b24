package push

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

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
			pass(time.Second)
		}
		if len(flood) != limits.SocketsPerIP {
			t.Errorf("one address has %d sockets", len(flood))
		}
		for _, c := range flood {
			g.leave(c.addr)
		}
		pass(time.Minute)
		g.tick()
		if _, known := g.peers["flood"]; known || g.sockets != 2 {
			t.Errorf("%d sockets are left, and of the flood %v", g.sockets, g.peers["flood"])
		}
	})
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
