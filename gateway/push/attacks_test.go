package push

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

const evil = "https://acme.amocrm.ru.evil.example"

func TestStrangersPageOpensNoSessionOnAnyRung(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if _, resp, err := r.tryDial(origin(evil)); err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("WebSocket: %v %v", resp, err)
	}
	from := header("Origin", evil)
	ticket := url.Values{"ticket": {r.mintTicket(anna, "")}, "callback": {callback}}
	body := map[string]any{"token": r.token(anna)}
	for name, req := range map[string]*http.Request{
		"stream": r.get("/v1/sse", ticket, from), "script": r.get("/v1/poll.js", ticket, from),
		"poll": r.request("/v1/poll", body, from), "ticket": r.request("/v1/tickets", body, from),
		"command": r.request("/v1/actions", body, from), "of an opaque origin": r.get("/v1/sse", ticket, header("Origin", "null")),
	} {
		resp, data := r.do(req)
		if resp.StatusCode != http.StatusForbidden || problemCode(t, data) != gateway.CodeOrigin || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s %v", name, resp.StatusCode, data, resp.Header)
		}
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
	r.script(scriptQuery(ticket.Get("ticket"), "")) // it was not used up by all that
}

func TestStolenTicketAfterItsSuccessorWasUsed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	stolen := r.ticket(r.token(anna), "")
	next := r.script(scriptQuery(stolen, "")).Ticket
	r.script(scriptQuery(next, "")) // the page goes on
	if a := r.script(scriptQuery(stolen, "")); a.Error == nil || a.Error.Code != "ticket_used" || a.Messages != nil || a.Ticket != "" {
		t.Errorf("script: %+v", a)
	}
	for _, ticket := range []string{stolen, next} {
		if resp, body := r.do(r.get("/v1/sse", url.Values{"ticket": {ticket}})); problemCode(t, body) != gateway.CodeTicketUsed {
			t.Errorf("stream: %d %s", resp.StatusCode, body)
		}
	}
}

func TestStolenTicketOfAStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	stolen := url.Values{"ticket": {r.ticket(r.token(anna), "")}}
	stream, _ := r.openEvents(stolen)
	stream.next()
	if resp, body := r.do(r.get("/v1/sse", stolen)); resp.StatusCode != http.StatusUnauthorized || problemCode(t, body) != gateway.CodeTicketUsed {
		t.Errorf("stream: %d %s", resp.StatusCode, body)
	}
	if a := r.script(scriptQuery(stolen.Get("ticket"), "")); a.Error == nil || a.Error.Code != "ticket_used" {
		t.Errorf("script: %+v", a)
	}
}

func TestStolenTicketUsedFromAnotherOrigin(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const other = "https://thief.amocrm.ru" // an allowed origin, but not the one
	stolen := r.ticket(r.token(anna), "")
	for name, req := range map[string]*http.Request{
		"stream": r.get("/v1/sse", url.Values{"ticket": {stolen}}, header("Origin", other)),
		"script": r.get("/v1/poll.js", scriptQuery(stolen, ""), fromPage(other+"/x")),
	} {
		if resp, body := r.do(req); resp.StatusCode != http.StatusForbidden || problemCode(t, body) != gateway.CodeOrigin {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	r.script(scriptQuery(stolen, "")) // the page's own is still good
	fromServer := r.ticket(r.token(anna), "", header("Origin", ""))
	resp, body := r.do(r.get("/v1/poll.js", scriptQuery(fromServer, ""), fromPage(other+"/x")))
	parseScript(t, resp.StatusCode, resp.Header, body) // its own server asked: any allowed page may be meant
}

func TestTicketIsNoSessionTokenAndTheReverse(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ticket, token := r.mintTicket(anna, ""), r.token(anna)
	if _, err := r.tokens.verify(ticket); gateway.CodeOf(err) != gateway.CodeBadToken {
		t.Errorf("a ticket as a token: %v", err)
	}
	if _, err := r.tokens.verifyBackend(ticket); gateway.CodeOf(err) != gateway.CodeBadToken {
		t.Errorf("a ticket as a backend's token: %v", err)
	}
	if _, err := r.server.tickets.verify(token); gateway.CodeOf(err) != gateway.CodeBadToken {
		t.Errorf("a token as a ticket: %v", err)
	}
	if got := r.refusalOn(rungWS, ticket); got != "bad_token" {
		t.Errorf("a ticket in a hello: %q", got)
	}
}

func TestForgedTickets(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	good := r.mintTicket(anna, "")
	parts := strings.Split(good, ".")
	claims := func(change string, value any) jwt.MapClaims {
		c := jwt.MapClaims{"iss": "ringcast", "aud": "ringcast-ticket", "sub": "1", "account": "acme", "jti": "x", "n": 1, "exp": in(20 * time.Second), "token_exp": in(time.Hour)}
		c[change] = value
		return c
	}
	hs := jwt.SigningMethodHS256
	for name, text := range map[string]string{
		"cut":                    good[:len(good)-1],
		"without signature":      parts[0] + "." + parts[1] + ".",
		"alg none":               "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"another claim":          parts[0] + ".e30." + parts[2],
		"of 2 KiB":               strings.Repeat("x", maxTokenSize+1),
		"with the account's key": sign(t, key("acme"), hs, claims("n", 1)),
		"for another audience":   sign(t, key("session"), hs, claims("aud", sessionAudience)),
		"for two audiences":      sign(t, key("session"), hs, claims("aud", []string{ticketAudience, sessionAudience})),
		"of another issuer":      sign(t, key("session"), hs, claims("iss", "acme")),
		"of no chain":            sign(t, key("session"), hs, claims("jti", "")),
		"before the first":       sign(t, key("session"), hs, claims("n", 0)),
		"of no user":             sign(t, key("session"), hs, claims("sub", "")),
	} {
		if a := r.script(scriptQuery(text, "")); a.Error == nil || a.Error.Code != "bad_token" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// rawWS upgrades a bare connection and says hello.
func (r *rig) rawWS(extensions string) (net.Conn, *bufio.Reader, http.Header) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.web.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(conn, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\nSec-WebSocket-Extensions: %s\r\n\r\n", subprotocol, extensions)
	if err != nil {
		r.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		r.t.Fatalf("%v %v", resp, err)
	}
	if _, err := conn.Write(maskedText(fmt.Sprintf(`{"type":"hello","token":%q}`, r.token(anna)))); err != nil {
		r.t.Fatal(err)
	}
	readFrame(r.t, in)
	return conn, in, resp.Header
}

// readFrame reads a server's frame: its first byte and its payload.
func readFrame(t testing.TB, in *bufio.Reader) (byte, []byte) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		t.Fatal(err)
	}
	size := int(head[1])
	if size == 126 {
		long := make([]byte, 2)
		if _, err := io.ReadFull(in, long); err != nil {
			t.Fatal(err)
		}
		size = int(binary.BigEndian.Uint16(long))
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(in, payload); err != nil {
		t.Fatal(err)
	}
	return head[0], payload
}

func TestCompressedFrameDoesNotGrowMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	conn, in, header := r.rawWS("permessage-deflate; client_max_window_bits")
	if got := header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Fatalf("negotiated %q", got)
	}
	var bomb bytes.Buffer
	squeeze, err := flate.NewWriter(&bomb, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := squeeze.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := squeeze.Close(); err != nil {
		t.Fatal(err)
	}
	frame := maskedText(bomb.String()[:min(bomb.Len(), maxFrame)])
	frame[0] |= 0x40 // RSV1: compressed
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	for {
		op, payload := readFrame(t, in)
		if op&0x0f != websocket.CloseMessage {
			continue
		}
		if code := binary.BigEndian.Uint16(payload); code != websocket.CloseProtocolError {
			t.Errorf("closed with %d %q", code, payload[2:])
		}
		return
	}
}

func TestOversizedFrameDoesNotGrowMemory(t *testing.T) { // not parallel: it looks at the memory
	r := newRig(t, nil)
	conn, in, _ := r.rawWS("")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	head := []byte{0x81, 0x80 | 127} // of 1 GiB
	head = binary.BigEndian.AppendUint64(head, 1<<30)
	if _, err := conn.Write(append(head, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	for op := byte(0); op&0x0f != websocket.CloseMessage; {
		var payload []byte
		if op, payload = readFrame(t, in); op&0x0f == websocket.CloseMessage {
			if code := binary.BigEndian.Uint16(payload); code != websocket.CloseMessageTooBig {
				t.Errorf("closed with %d", code)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}

func TestFloodOfStrangersKeepsNoUserOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.Unauthenticated, c.Limits.UnauthenticatedPerIP = 20, 10 })
	from := func(addr string) dialOption {
		return func(_ *websocket.Dialer, h http.Header) { h.Set("X-Forwarded-For", addr) }
	}
	refused := 0
	for range 30 { // more than there is room for, from one address
		if _, _, err := r.tryDial(from("203.0.113.1")); err != nil {
			refused++
		}
	}
	if refused != 20 {
		t.Errorf("%d were refused", refused)
	}
	r.enter(anna, "", from("198.51.100.7"))
	r.enterEvents(anna, "")
	r.poll(map[string]any{"token": r.token(anna)})
	r.script(scriptQuery(r.ticket(r.token(anna), ""), ""))
}

// deadlines notes what a connection was told.
type deadlines struct {
	http.ResponseWriter
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func TestBodiesHaveADeadline(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	for _, path := range []string{"/v1/poll", "/v1/actions", "/v1/tickets"} {
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		r.server.Handler().ServeHTTP(w, r.request(path, "{}"))
		if len(w.read) != 2 || w.read[0].IsZero() || time.Until(w.read[0]) > 10*time.Second || !w.read[1].IsZero() {
			t.Errorf("%s: %v", path, w.read)
		}
	}
}

func TestClientAddr(t *testing.T) {
	t.Parallel()
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for name, c := range map[string]struct {
		peer, forwarded, want string
		trusted               []netip.Prefix
	}{
		"peer":                             {"203.0.113.1:99", "", "203.0.113.1", nil},
		"peer that lies":                   {"203.0.113.1:99", "192.0.2.1", "203.0.113.1", nil},
		"IPv6 by its network":              {"[2001:db8:1:2:3:4:5:6]:99", "", "2001:db8:1:2::/64", nil},
		"mapped":                           {"[::ffff:203.0.113.1]:99", "", "203.0.113.1", nil},
		"zone":                             {"[fe80::1%eth0]:99", "", "fe80::/64", nil},
		"proxy on this machine":            {"127.0.0.1:99", "203.0.113.1", "203.0.113.1", nil},
		"the client's own words":           {"[::1]:99", "192.0.2.1, 203.0.113.1", "203.0.113.1", nil},
		"this machine's programs":          {"127.0.0.1:99", "", "", nil},
		"proxy that is not trusted":        {"10.0.0.1:99", "203.0.113.1", "10.0.0.1", nil},
		"trusted proxy":                    {"10.0.0.1:99", "192.0.2.1, 203.0.113.1", "203.0.113.1", prefixes},
		"two trusted proxies":              {"127.0.0.1:99", "192.0.2.1,203.0.113.1 , 10.2.0.1", "203.0.113.1", prefixes},
		"trusted proxy of IPv6":            {"[2001:db8:ffff::1]:99", "203.0.113.1:4711", "203.0.113.1", prefixes},
		"with port":                        {"10.0.0.1:99", "[2001:db8:1:2::5]:80", "2001:db8:1:2::/64", prefixes},
		"client in the proxies' network":   {"10.0.0.1:99", "10.7.7.7", "", prefixes},
		"proxy that says rubbish":          {"10.0.0.1:99", "203.0.113.1, unknown", "", prefixes},
		"no address":                       {"pipe", "203.0.113.1", "pipe", nil},
		"spoofed loopback behind a proxy":  {"10.0.0.1:99", "127.0.0.1, 203.0.113.1", "203.0.113.1", prefixes},
		"a trusted one the client invents": {"10.0.0.1:99", "10.9.9.9, 203.0.113.1", "203.0.113.1", prefixes},
	} {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.RemoteAddr = c.peer
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := ClientAddr(c.trusted)(req); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
