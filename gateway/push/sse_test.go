package push

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// get asks as a page's GET does.
func (r *rig) get(path string, q url.Values, change ...func(*http.Request)) *http.Request {
	r.t.Helper()
	req := r.request(path+"?"+q.Encode(), "", change...)
	req.Method, req.Body, req.ContentLength = http.MethodGet, nil, 0
	req.Header.Del("Content-Type")
	return req
}

func header(name, value string) func(*http.Request) {
	return func(req *http.Request) {
		if req.Header.Del(name); value != "" {
			req.Header.Set(name, value)
		}
	}
}

// ticket exchanges a token.
func (r *rig) ticket(token, client string, change ...func(*http.Request)) string {
	r.t.Helper()
	status, _, body := r.post("/v1/tickets", map[string]any{"token": token, "client": client}, change...)
	var out struct{ Ticket string }
	if err := json.Unmarshal(body, &out); err != nil || status != http.StatusOK || out.Ticket == "" {
		r.t.Fatalf("ticket: %d %s", status, body)
	}
	return out.Ticket
}

// events is a page with an EventSource.
type events struct {
	t    testing.TB
	body io.ReadCloser
	in   *bufio.Reader
	last string // cursor
	id   string // of the last event
}

func (r *rig) openEvents(q url.Values, change ...func(*http.Request)) (*events, *http.Response) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	resp, err := r.web.Client().Do(r.get("/v1/sse", q, change...).WithContext(ctx))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return &events{t: r.t, body: resp.Body, in: bufio.NewReader(resp.Body)}, resp
}

// enterEvents opens a stream and reads its hello.
func (r *rig) enterEvents(who userKey, cursor string, change ...func(*http.Request)) (*events, message) {
	r.t.Helper()
	q := url.Values{"ticket": {r.ticket(r.token(who), "tab-"+who.user)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	c, resp := r.openEvents(q, change...)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("stream: %d %s", resp.StatusCode, body)
	}
	hello := c.next()
	if hello.Type != "hello" {
		r.t.Fatalf("first message: %+v", hello)
	}
	return c, hello
}

// read returns the next message that is no ping. A call has to follow the one before.
func (c *events) read() (message, error) {
	var id, data string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return message{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			data += line[6:]
		case line == "" && data != "":
			m := parseMessage(c.t, data)
			data = ""
			if m.Type == "ping" {
				continue
			}
			if id != m.Cursor && m.Type != "reply" {
				c.t.Errorf("event %q has the id %q", m.Cursor, id)
			}
			if id != "" {
				c.id = id
			}
			follow(c.t, m, &c.last)
			return m, nil
		case line != "" && line[0] != ':':
			c.t.Fatalf("line %q", line)
		}
	}
}

func parseMessage(t testing.TB, data string) (m message) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		t.Fatalf("message %s: %v", data, err)
	}
	return m
}

// follow checks that a call follows the message before it.
func follow(t testing.TB, m message, last *string) {
	t.Helper()
	if m.Type == "call" && m.Prev != *last {
		t.Fatalf("message %s follows %q, the last was %q", m.Cursor, m.Prev, *last)
	}
	if m.Cursor != "" {
		*last = m.Cursor
	}
}

func (c *events) next() message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatalf("next message: %v", err)
	}
	return m
}

// wantBye reads to the end, which must be announced with the code, and returns the messages before it.
func (c *events) wantBye(code closeCode) (before []message) {
	c.t.Helper()
	for {
		m := c.next()
		if m.Type != "bye" {
			before = append(before, m)
			continue
		}
		if m.Code != code.String() || (len(m.RetryIn) == 2) != (code == closeDraining) {
			c.t.Errorf("bye %+v, want %v", m, code)
		}
		if _, err := c.read(); !errors.Is(err, io.EOF) {
			c.t.Errorf("after the bye: %v", err)
		}
		return before
	}
}

func TestEventStreamFirstVisitThenResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.publish(anna, 0)
	c, hello := r.enterEvents(anna, "")
	if hello.Resumed || hello.Reason != "new" || hello.Cursor != "e1-1" || hello.User.Name != "Anna" || string(hello.Calls) != "[]" {
		t.Errorf("hello %+v", hello)
	}
	for range 3 {
		sent := r.gw.publish(anna, 0)
		r.gw.publish(boris, 0)
		if m := c.next(); m.Cursor != sent.Cursor || string(m.Call) != string(sent.Call) {
			t.Errorf("message %+v", m)
		}
	}
	_ = c.body.Close()
	for range 300 {
		r.gw.publish(anna, 0)
	}
	again, hello := r.enterEvents(anna, c.last)
	if !hello.Resumed || hello.Cursor != "e1-4" {
		t.Errorf("hello %+v", hello)
	}
	for again.last != "e1-304" {
		again.next()
	}
	if again.id != again.last {
		t.Errorf("id %q", again.id)
	}
}

func TestEventStreamHeadersAndPadding(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, resp := r.openEvents(url.Values{"ticket": {r.ticket(r.token(anna), "")}})
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
		"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": goodOrigin, "Vary": "Origin",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	in := bufio.NewReader(resp.Body)
	line, err := in.ReadString('\n')
	if err != nil || line[0] != ':' || len(line) < paddingSize || strings.Trim(line, ": \n") != "" {
		t.Errorf("begins with %.20q… of %d bytes (%v)", line, len(line), err)
	}
}

func TestLastEventIDWinsWhenItIsNewer(t *testing.T) {
	t.Parallel()
	at := func(epoch string, seq uint64, index int) string {
		return gateway.Cursor{Epoch: epoch, Position: gateway.Position{Seq: seq, Index: index}}.String()
	}
	for name, c := range map[string]struct{ cursor, last, want string }{
		"newer entry":    {at("e", 7, 0), at("e", 8, 0), at("e", 8, 0)},
		"newer record":   {at("e", 7, 0), at("e", 7, 1), at("e", 7, 1)},
		"older":          {at("e", 70, 0), at("e", 8, 0), at("e", 70, 0)},
		"after a reset":  {at("e", 70, 0), at("f", 8, 0), at("f", 8, 0)},
		"first visit":    {"", at("e", 8, 0), at("e", 8, 0)},
		"no header":      {at("e", 7, 0), "", at("e", 7, 0)},
		"header rubbish": {at("e", 7, 0), "rubbish", at("e", 7, 0)},
		"cursor rubbish": {"rubbish", at("e", 7, 0), at("e", 7, 0)},
		"both rubbish":   {"", "rubbish", "rubbish"},
	} {
		if got := newerCursor(c.cursor, c.last); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	r := newRig(t, nil)
	r.enterEvents(anna, "", header("Last-Event-ID", "e1-0"))
	if got := r.gw.lastCursor(); got != "e1-0" {
		t.Errorf("the gateway saw %q", got)
	}
}

// pipes is a listener whose connections have no buffers, so that a reader who stops is noticed at once.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// openEvents opens a stream and reads its hello.
func (p pipes) openEvents(r *rig, client, cursor string) (*events, message) {
	r.t.Helper()
	conn, server := net.Pipe()
	p <- server
	q := url.Values{"ticket": {r.mintTicket(anna, client)}, "cursor": {cursor}}
	if _, err := fmt.Fprintf(conn, "GET /v1/sse?%s HTTP/1.0\r\nHost: x\r\n\r\n", q.Encode()); err != nil {
		r.t.Fatal(err)
	}
	c := &events{t: r.t, body: conn, in: bufio.NewReader(conn), last: cursor}
	for line := "?"; strings.TrimSpace(line) != ""; {
		var err error
		if line, err = c.in.ReadString('\n'); err != nil {
			r.t.Fatal(err)
		}
	}
	hello := c.next()
	if hello.Type != "hello" {
		r.t.Fatalf("%+v", hello)
	}
	return c, hello
}

func TestStuckStreamIsCutOffAloneAndMadeWhole(t *testing.T) {
	var closed chan int
	inTime(t, func(c *Config) {
		closed = make(chan int, 4)
		c.Limits.QueueMessages = 1000 // it is the writing that takes too long
		c.Metrics.Closed = func(_ string, code int) { closed <- code }
	}, func(t *testing.T, r *rig) {
		listener := make(pipes)
		web := &http.Server{Handler: r.server.Handler()}
		var serving sync.WaitGroup
		serving.Go(func() { _ = web.Serve(listener) })
		defer serving.Wait()
		defer close(listener)
		stuck, _ := listener.openEvents(r, "stuck", "")
		fast, _ := listener.openEvents(r, "fast", "")
		defer fast.body.Close()
		const messages = 50
		for range messages {
			sent := r.gw.publish(anna, 500)
			if m := fast.next(); m.Cursor != sent.Cursor {
				t.Fatalf("the fast stream got %s, not %s", m.Cursor, sent.Cursor)
			}
		}
		if code := <-closed; code != int(closeSlow) {
			t.Errorf("closed with %d", code)
		}
		got := 0
		for m, err := stuck.read(); err == nil && m.Type == "call"; m, err = stuck.read() {
			got++ // what it had before it was cut off
		}
		if got >= messages {
			t.Error("the stuck stream was cut off after everything")
		}
		again, hello := listener.openEvents(r, "stuck", stuck.last)
		defer again.body.Close()
		if !hello.Resumed {
			t.Fatalf("hello %+v", hello)
		}
		for again.last != fast.last {
			again.next()
			got++
		}
		if got != messages {
			t.Errorf("the stuck stream got %d messages of %d", got, messages)
		}
	})
}

// slowWriter is a response that lets writes through one by one.
type slowWriter struct {
	http.ResponseWriter
	writing, pass chan struct{}
}

func (w *slowWriter) Write(b []byte) (int, error) {
	w.writing <- struct{}{}
	<-w.pass
	return w.ResponseWriter.Write(b)
}

func (w *slowWriter) Flush() {}

func TestSlowStreamKeepsNoMoreThanItsOutbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, func(c *Config) { c.Limits.QueueMessages = 2 })
		defer r.close()
		rec := httptest.NewRecorder()
		w := &slowWriter{rec, make(chan struct{}), make(chan struct{})}
		served := make(chan struct{})
		go func() {
			defer close(served)
			r.server.Handler().ServeHTTP(w, r.get("/v1/sse", url.Values{"ticket": {r.mintTicket(anna, "")}}))
		}()
		recv(t, w.writing) // the hello
		for range 33 {     // one more than the outbox takes of a burst
			r.gw.publish(anna, 0)
		}
		close(w.pass)
		go func() {
			for range w.writing {
			}
		}()
		recv(t, served)
		close(w.writing)
		body := rec.Body.String()
		if n := strings.Count(body, `"type":"call"`); n != 32 {
			t.Errorf("%d messages", n)
		}
		if !strings.HasSuffix(body, "\n\ndata: {\"type\":\"bye\",\"code\":\"slow\"}\n\n") {
			t.Errorf("ends with %q", body[max(0, len(body)-100):])
		}
	})
}

// mintTicket makes a ticket without asking for it.
func (r *rig) mintTicket(who userKey, client string) string {
	r.t.Helper()
	id, err := r.tokens.verify(r.token(who))
	if err != nil {
		r.t.Fatal(err)
	}
	text, _, err := r.server.tickets.first(id, client, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

func TestWaitingMessagesLeaveInOneWrite(t *testing.T) {
	t.Parallel()
	r := newParts(t, func(c *Config) { c.Limits.QueueMessages = 2 })
	t.Cleanup(r.close)
	rec := httptest.NewRecorder()
	w := &slowWriter{rec, make(chan struct{}), make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		req := r.get("/v1/sse", url.Values{"ticket": {r.mintTicket(anna, "")}})
		r.server.Handler().ServeHTTP(w, req.WithContext(ctx))
	}()
	recv(t, w.writing)
	for range 5 {
		r.gw.publish(anna, 0)
	}
	w.pass <- struct{}{}
	recv(t, w.writing) // all five
	w.pass <- struct{}{}
	cancel()
	recv(t, served)
	if n := strings.Count(rec.Body.String(), strings.Repeat(" ", paddingSize)); n != 1 {
		t.Errorf("the padding came %d times", n)
	}
}

func TestEventStreamIsPingedAndEndsWithItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		token, _, err := r.tokens.Mint(anna.account, anna.user, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		body := r.callEvents(token, "a")
		if d := time.Since(start); d != 85*time.Second {
			t.Errorf("ended after %v", d)
		}
		if n := strings.Count(body, "data: {\"type\":\"ping\"}\n\n"); n != 4 {
			t.Errorf("%d pings", n)
		}
		if !strings.HasSuffix(body, "data: {\"type\":\"bye\",\"code\":\"token_expired\"}\n\n") {
			t.Errorf("ends with %q", body[max(0, len(body)-100):])
		}
	})
}

// callEvents streams without a socket, to the end.
func (r *rig) callEvents(token, client string) string {
	rec := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(rec, r.request("/v1/tickets", map[string]any{"token": token, "client": client}))
	var out struct{ Ticket string }
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		r.t.Fatalf("%s", rec.Body)
	}
	rec = httptest.NewRecorder()
	r.server.Handler().ServeHTTP(rec, r.get("/v1/sse", url.Values{"ticket": {out.Ticket}}))
	return rec.Body.String()
}

func TestEventStreamIsRenewedInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		token, _, err := r.tokens.Mint(anna.account, anna.user, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ended := make(chan string, 1)
		go func() { ended <- r.callEvents(token, "a") }()
		time.Sleep(50 * time.Second)
		renew := func(client string) string {
			rec := httptest.NewRecorder()
			r.server.Handler().ServeHTTP(rec, r.request("/v1/actions",
				map[string]any{"token": r.token(anna), "client": client, "id": "r1", "action": "renew"}))
			return rec.Body.String()
		}
		if got := renew("a"); got != `{"type":"reply","id":"r1","ok":true}` {
			t.Errorf("renewal: %s", got)
		}
		if got := renew("b"); !strings.Contains(got, `"ok":false,"error":{"code":"not_found"`) {
			t.Errorf("renewal of another's: %s", got)
		}
		<-ended
		if d := time.Since(start); d != 50*time.Second+time.Hour+25*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

func TestNewStreamTakesThePlaceOfTheOlder(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old, _ := r.enterEvents(anna, "")
	r.gw.publish(anna, 0)
	old.next()
	newer, _ := r.enterEvents(anna, old.last)
	if before := old.wantBye(closeSuperseded); len(before) > 0 {
		t.Errorf("before the bye: %+v", before)
	}
	r.gw.publish(anna, 0)
	newer.next()
}

func TestEventStreamOverHTTP2OutlivesItsWriteDeadline(t *testing.T) {
	t.Parallel()
	r := newParts(t, func(c *Config) { c.Limits.WriteWait, c.Limits.PingEvery = 300*time.Millisecond, 500*time.Millisecond })
	r.web = httptest.NewUnstartedServer(r.server.Handler())
	r.web.EnableHTTP2 = true
	r.web.StartTLS()
	t.Cleanup(func() {
		r.close()
		r.web.Close()
	})
	c, resp := r.openEvents(url.Values{"ticket": {r.mintTicket(anna, "")}})
	if resp.ProtoMajor != 2 {
		t.Fatalf("%s", resp.Proto)
	}
	c.next()
	for pings := 0; pings < 2; { // each comes after the deadline of the write before it
		line, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d pings: %v", pings, err)
		}
		if strings.Contains(line, `"ping"`) {
			pings++
		}
	}
	r.server.Recheck("", "")
	r.dir.revoke("acme", "1")
	r.server.Recheck("", "")
	c.wantBye(closeRevoked)
}

func TestEventStreamOfAPageThatLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c, _ := r.enterEvents(anna, "")
	_ = c.body.Close()
	if got := recv(t, r.gw.gone); got != (clientKey{anna, "tab-1"}) {
		t.Errorf("gone %+v", got)
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}
