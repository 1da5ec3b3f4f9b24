package push

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/olahol/melody"
)

// BenchmarkIdleSessions reports what an idle WebSocket session costs the process in heap and stacks, beside
// a stock melody with the same clients in the same run. The clients are bare sockets, a few hundred bytes
// each on both sides of the comparison; the kernel's share is not counted.
func BenchmarkIdleSessions(b *testing.B) {
	const sessions = 2000
	for b.Loop() {
		stock := melody.New()
		stock.Config.MaxMessageSize = maxMessage
		stock.HandleMessage(func(s *melody.Session, _ []byte) { _ = s.Write([]byte(`{"type":"hello"}`)) })
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = stock.HandleRequest(w, r) }))
		theirs := idleCost(b, sessions, func(int) (net.Conn, error) { return rawSession(web.Listener.Addr().String(), "{}") })
		_ = stock.Close()
		web.Close()

		r := newParts(b, func(c *Config) { c.Limits.PerUser = sessions })
		web = httptest.NewServer(r.server.Handler())
		token := r.token(anna)
		ours := idleCost(b, sessions, func(i int) (net.Conn, error) {
			return rawSession(web.Listener.Addr().String(), fmt.Sprintf(`{"type":"hello","token":%q,"client":"tab-%d"}`, token, i))
		})
		r.close()
		web.Close()

		b.ReportMetric(ours, "B/session")
		b.ReportMetric(theirs, "stock-B/session")
		b.ReportMetric(ours/theirs, "ratio")
	}
}

func idleCost(b *testing.B, n int, open func(int) (net.Conn, error)) float64 {
	b.Helper()
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	before := memoryInUse()
	for i := range n {
		c, err := open(i)
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, c)
	}
	return float64(memoryInUse()-before) / float64(n)
}

func memoryInUse() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// BenchmarkIdleStreams reports what an idle event stream costs, as BenchmarkIdleSessions does.
func BenchmarkIdleStreams(b *testing.B) {
	const sessions = 2000
	for b.Loop() {
		r := newParts(b, func(c *Config) { c.Limits.PerUser = sessions })
		who, err := r.tokens.verify(r.token(anna))
		if err != nil {
			b.Fatal(err)
		}
		web := httptest.NewServer(r.server.Handler())
		cost := idleCost(b, sessions, func(int) (net.Conn, error) {
			text, err := r.server.tickets.sign(r.server.tickets.chain(who, "", ""), 1, time.Now().Add(ticketLife).Unix())
			if err != nil {
				return nil, err
			}
			return rawStream(web.Listener.Addr().String(), text)
		})
		r.close()
		web.Close()
		b.ReportMetric(cost, "B/session")
	}
}

// rawStream opens an event stream with headers as a browser sends them, and waits for the hello.
func rawStream(addr, ticket string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(c, "GET /v1/sse?ticket=%s HTTP/1.1\r\nHost: ringcast.example.com\r\nAccept: text/event-stream\r\nOrigin: %s\r\n"+
		"User-Agent: %s\r\nAccept-Language: %s\r\nReferer: %s/\r\n\r\n", ticket, goodOrigin, strings.Repeat("u", 120), strings.Repeat("l", 60), goodOrigin)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(c, 1024)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(line, "data: ") {
			return c, nil
		}
	}
}

// rawSession upgrades with headers as a browser sends them, says hello, and waits for an answer.
func rawSession(addr, hello string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(c, "GET /v1/ws HTTP/1.1\r\nHost: ringcast.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Origin: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n"+
		"User-Agent: %s\r\nAccept-Language: %s\r\nCookie: %s\r\n\r\n",
		goodOrigin, subprotocol, strings.Repeat("u", 120), strings.Repeat("l", 60), strings.Repeat("c", 400))
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(c, 1024)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("upgrade: %s", resp.Status)
	}
	if _, err := c.Write(maskedText(hello)); err != nil {
		return nil, err
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	size := int64(head[1])
	if size == 126 {
		long := make([]byte, 2)
		if _, err := io.ReadFull(in, long); err != nil {
			return nil, err
		}
		size = int64(binary.BigEndian.Uint16(long))
	}
	var answer struct {
		Type string `json:"type"`
	}
	if err := json.NewDecoder(io.LimitReader(in, size)).Decode(&answer); err != nil || answer.Type != "hello" {
		return nil, fmt.Errorf("answer %+v: %w", answer, err)
	}
	return c, nil
}

// maskedText is a client's text frame.
func maskedText(s string) []byte {
	frame := []byte{0x81}
	if len(s) < 126 {
		frame = append(frame, 0x80|byte(len(s)))
	} else {
		frame = append(frame, 0x80|126)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(s)))
	}
	mask := make([]byte, 4)
	_, _ = rand.Read(mask)
	frame = append(frame, mask...)
	for i := range len(s) {
		frame = append(frame, s[i]^mask[i%4])
	}
	return frame
}

// BenchmarkDeliver is one message to one tab, from the gateway to the hand-over to the socket.
func BenchmarkDeliver(b *testing.B) {
	r := newParts(b, nil)
	b.Cleanup(r.close)
	who, user, err := r.server.authorize(r.token(anna))
	if err != nil {
		b.Fatal(err)
	}
	out := &sink{}
	out.session = newSession(r.server, out, "ws", true)
	if err := out.session.open(who, user, opening{client: "a"}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(out.session.end)
	m := r.gw.publish(boris, 400)
	b.ReportAllocs()
	for b.Loop() {
		out.session.deliver(m)
	}
}

// sink is a transport that takes everything and keeps nothing.
type sink struct{ session session }

func (s *sink) close(closeCode) {}
func (s *sink) wake() {
	for ok := true; ok; {
		_, ok = s.session.take()
	}
}
