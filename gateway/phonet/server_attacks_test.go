package phonet

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// TestWrongCredentials: neither which of them is wrong nor whether an account exists can be told from an answer.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	_, _, want := r.refused("domain=unknown.example&apiKey="+url.QueryEscape(acmeKey)+"&subscriber=101", nil)
	for name, query := range map[string]string{
		"nothing":                 "",
		"no key":                  "domain=" + acmeDomain + "&subscriber=101",
		"empty key":               "domain=" + acmeDomain + "&apiKey=&subscriber=101",
		"wrong key":               "domain=" + acmeDomain + "&apiKey=wrong&subscriber=101",
		"part of the key":         "domain=" + acmeDomain + "&apiKey=S3Bvc2eNim&subscriber=101",
		"another account's key":   "domain=" + acmeDomain + "&apiKey=another-key-of-another-account&subscriber=101",
		"key in other letters":    "domain=" + acmeDomain + "&apiKey=" + strings.ToLower(acmeKey) + "&subscriber=101",
		"no domain":               "apiKey=" + acmeKey + "&subscriber=101",
		"unknown subscriber, too": "domain=" + acmeDomain + "&apiKey=wrong&subscriber=999",
	} {
		status, code, body := r.refused(query, nil)
		if status != http.StatusUnauthorized || code != gateway.CodeUnauthorized || body != want {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestUnknownSubscriber(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	for _, subscriber := range []string{"999", "911@example.com", "@", "1 01", "Boris", "*", "101&subscriber", "acme/7", strings.Repeat("1", 3000)} {
		if status, code, body := r.refused(query(subscriber), nil); status != http.StatusForbidden || code != gateway.CodeRevoked {
			t.Errorf("%.20q: %d %s", subscriber, status, body)
		}
	}
	if status, code, _ := r.refused(query(""), nil); status != http.StatusBadRequest || code != gateway.CodeInvalid {
		t.Errorf("none: %d %s", status, code)
	}
}

// TestEmptyEMailMatchesNobody: users without an address are not found by having none.
func TestEmptyEMailMatchesNobody(t *testing.T) {
	t.Parallel()
	if u, _, ok := findSubscriber(gateway.NewAccounts(gateway.Account{ID: "acme", Users: acmeUsers()}), "acme", ""); ok {
		t.Errorf("found %+v", u)
	}
}

// TestOneParameterTwice: a proxy that checks the first and a server that takes the second would differ.
func TestOneParameterTwice(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	for _, more := range []string{"&subscriber=102", "&apiKey=x", "&domain=globex.phonet.example"} {
		if status, code, body := r.refused(query("101")+more, nil); status != http.StatusBadRequest || code != gateway.CodeInvalid || strings.Contains(body, "S3Bvc") {
			t.Errorf("%s: %d %s", more, status, body)
		}
	}
	if status, _, body := r.refused("domain="+acmeDomain+"&subscriber=101&apiKey=S3Bvc2%zz", nil); status != http.StatusBadRequest || strings.Contains(body, "S3Bvc") {
		t.Errorf("a broken escape: %d %s", status, body)
	}
}

// TestKeyIsNeverWritten looks for it in whatever the server logs and answers, in any encoding that a URL may have it in.
func TestKeyIsNeverWritten(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	var bodies strings.Builder
	refuse := func(query string, header http.Header) {
		_, _, body := r.refused(query, header)
		bodies.WriteString(body)
	}
	p := r.connect("101")
	p.send(acmeKey)
	bodies.WriteString(p.frame())
	p.send(`{"action":"` + acmeKey + `"}`)
	bodies.WriteString(p.frame())
	_ = p.conn.Close()
	refuse(query("999"), nil)
	refuse(query(""), nil)
	refuse(query("101")+"x", http.Header{"Origin": {"https://evil.example"}})
	refuse(query("101")+"&domain=", nil)
	refuse("domain=unknown.example&subscriber=101&apiKey="+acmeKey, nil)
	refuse("domain="+acmeDomain+"&subscriber=101&apiKey="+acmeKey+"%", nil)
	r.gw.refuse = gateway.Errorf(gateway.CodeUnavailable, "not now")
	refuse(query("101"), nil)
	r.gw.refuse = nil
	r.gw.onSubscribe = func() { panic("as it may") }
	if _, _, err := r.try(query("101"), nil); err == nil {
		t.Error("let in")
	}
	r.server.Close()
	refuse(query("101"), nil)
	if _, ok := r.server.endpoints[acmeDomain]; !ok {
		t.Fatal("no endpoint")
	}
	written := r.log.String() + bodies.String() + fmt.Sprintf("%+v %+v", r.server.endpoints, r.server.cfg.Endpoints)
	if !strings.Contains(written, "request refused") {
		t.Errorf("nothing was logged: %s", written)
	}
	for _, key := range []string{acmeKey, url.QueryEscape(acmeKey), url.PathEscape(acmeKey), acmeKey[:10], "apiKey="} {
		if strings.Contains(written, key) {
			t.Errorf("%s in\n%s", key, written)
		}
	}
}

func TestHugeFrame(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	p.send(`{"action":"call","to":"` + strings.Repeat("1", maxServerFrame) + `"}`)
	if code := p.closed(); code != websocket.CloseMessageTooBig {
		t.Errorf("closed with %d", code)
	}
}

func TestFloodOfFrames(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string]int{"text": websocket.TextMessage, "pings": websocket.PingMessage} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newServerRig(t, nil)
			p := r.connect("101")
			for range 2 * floodBurst {
				if p.conn.WriteMessage(frame, []byte("x")) != nil {
					break
				}
			}
			if code := p.closed(); code != websocket.ClosePolicyViolation {
				t.Errorf("closed with %d", code)
			}
		})
	}
}

// TestFloodOfCalls counts for the user, so that connecting anew does not help.
func TestFloodOfCalls(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	placed := 0
	for range 5 {
		p := r.connect("101")
		for range commandBurst / 2 {
			p.send(`{"action":"call","to":"100"}`)
			if p.frame() == `{"event":"success"}` {
				placed++
			}
		}
		_ = p.conn.Close()
	}
	if placed < commandBurst || placed > commandBurst+10 {
		t.Errorf("%d calls were placed", placed)
	}
	r.connect("102").send(`{"action":"call","to":"100"}`) // another is not concerned
}

func TestSocketsWithoutEnd(t *testing.T) {
	t.Parallel()
	address := func(r *http.Request) string { return r.Header.Get("X-Address") }
	from := func(addr string) http.Header { return http.Header{"X-Address": {addr}} }
	for name, test := range map[string]struct {
		limits ServerLimits
		header http.Header
	}{
		"of a user":                   {ServerLimits{PerUser: 3}, nil},
		"from an address":             {ServerLimits{SocketsPerIP: 3}, from("192.0.2.1")},
		"in all":                      {ServerLimits{Sessions: 3}, nil},
		"handshakes, from an address": {ServerLimits{HandshakeBurst: 3, HandshakesPerIP: 1e-9}, from("192.0.2.1")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newServerRig(t, func(cfg *ServerConfig) { cfg.Limits, cfg.ClientAddr = test.limits, address })
			var open []*websocket.Conn
			for range 3 {
				conn, _, err := r.try(query("101"), test.header)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				open = append(open, conn)
			}
			status, code, _ := r.refused(query("101"), test.header)
			if status != http.StatusTooManyRequests || code != gateway.CodeTooMany {
				t.Errorf("%d %s", status, code)
			}
			if test.limits.HandshakeBurst != 0 {
				if conn, _, err := r.try(query("101"), from("192.0.2.2")); err != nil {
					t.Errorf("from elsewhere: %v", err)
				} else {
					_ = conn.Close()
				}
				return
			}
			_ = open[0].Close()
			for deadline := time.Now().Add(wait); ; { // the server has to notice first
				conn, _, err := r.try(query("101"), test.header)
				if err == nil {
					_ = conn.Close()
					return
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestGuessingKeys from one address is slow.
func TestGuessingKeys(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) {
		cfg.Limits = ServerLimits{HandshakeBurst: 5, HandshakesPerIP: 1e-9}
		cfg.ClientAddr = func(*http.Request) string { return "192.0.2.1" }
	})
	for i := range 8 {
		want := http.StatusUnauthorized
		if i >= 5 {
			want = http.StatusTooManyRequests
		}
		if status, _, _ := r.refused(fmt.Sprintf("domain=%s&apiKey=%d&subscriber=101", acmeDomain, i), nil); status != want {
			t.Errorf("guess %d: %d", i, status)
		}
	}
}

// TestClientThatDoesNotRead is cut off, while others hear of their calls.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	r := newServerRig(t, func(cfg *ServerConfig) {
		cfg.Limits = ServerLimits{Queue: 8, WriteWait: 100 * time.Millisecond}
		cfg.Metrics.Closed = func(int) { close(gone) }
	})
	users := acmeUsers()
	users[1].Name = strings.Repeat("Анна ", 20_000) // long messages fill what the network holds sooner
	r.dir.set(gateway.Account{ID: "acme", Users: users})
	r.connect("101")
	for i := 0; ; i++ {
		r.gw.happens(i, fmt.Sprintf("office:%d", i), rung(inbound, "101"), anna)
		select {
		case <-gone:
			return
		default:
		}
	}
}

// TestSilentPeer: a machine that is gone without a word does not hold its place.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) {
		cfg.Limits = ServerLimits{PingEvery: 20 * time.Millisecond, WriteWait: 20 * time.Millisecond}
	})
	gone := make(chan struct{})
	r.server.cfg.Metrics.Closed = func(int) { close(gone) }
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s?%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", Path, query("101")); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatalf("%s %v", line, err)
	}
	<-gone
}

func TestBrokenHandshakeLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.web.URL+Path+"?"+query("101"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"8"}}
	resp, err := r.web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestPanicOfACommand ends its socket, and no other.
func TestPanicOfACommand(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.answer = func(context.Context, gateway.Command) gateway.Reply { panic("as it may") }
	a, b := r.connect("101"), r.connect("101")
	a.send(`{"action":"call","to":"100"}`)
	if code := a.closed(); code != websocket.CloseInternalServerErr {
		t.Errorf("closed with %d", code)
	}
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	b.want("call.dial 4")
}

// TestAnotherAccountsCalls: the same ids and numbers in another account are other people.
func TestAnotherAccountsCalls(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	conn, _, err := r.try("domain=globex.phonet.example&apiKey=another-key-of-another-account&subscriber=101", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	clara := &phone{t, conn}
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	clara.nothingMore()
}
