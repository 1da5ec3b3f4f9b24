package phonet

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

func TestSubscriberIsWhateverPhonetCallsHim(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	for _, subscriber := range []string{"101", "103", "anna+calls@example.COM", "Anna+calls@Example.com", "7"} {
		p := r.connect(subscriber)
		r.gw.happens(0, "office:"+subscriber, rung(inbound, "101"), anna)
		if m := p.want("call.dial 4"); m.Leg.ID != 7 {
			t.Errorf("%s is told of %+v", subscriber, m.Leg)
		}
		_ = p.conn.Close()
		r.gw.happens(1, "office:"+subscriber, event(gateway.EventHangup, gateway.CauseNoAnswer))
	}
}

// TestClientsThatEncodeNothing put keys and addresses into the URL as they are, pluses and slashes included.
func TestClientsThatEncodeNothing(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	conn, _, err := r.try("domain="+acmeDomain+"&apiKey="+acmeKey+"&subscriber=anna+calls@example.com&_=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	conn, _, err = r.try("subscriber=102&apiKey="+url.QueryEscape(acmeKey)+"&domain="+strings.ToUpper(acmeDomain), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestClickToCall(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("103")
	p.send(`{"action":"call","to":"380991234567"}`)
	if got := p.frame(); got != `{"event":"success"}` {
		t.Errorf("answer %s", got)
	}
	p.send(`{"action" : "call", "to" : 380991234567}`)
	if got := p.frame(); got != `{"event":"success"}` {
		t.Errorf("answer %s", got)
	}
	r.gw.answer = func(_ context.Context, cmd gateway.Command) gateway.Reply {
		return gateway.Reply{ID: cmd.ID, Error: &gateway.ReplyError{Code: gateway.CodeNotRegistered, Message: "your telephone is not connected"}}
	}
	p.send(`{"action":"call","to":"100"}`)
	if got := p.frame(); got != `{"event":"error","message":"your telephone is not connected"}` {
		t.Errorf("answer %s", got)
	}
	asked := r.gw.asked()
	ids := map[string]bool{}
	for i, to := range []string{"380991234567", "380991234567", "100"} {
		cmd := asked[i]
		ids[cmd.ID] = true
		if cmd.Account != "acme" || cmd.User != "7" || cmd.Action != "call" || cmd.To != to || cmd.From != "103" || cmd.Check() != nil {
			t.Errorf("the gateway was asked %+v", cmd)
		}
	}
	if len(asked) != 3 || len(ids) != 3 {
		t.Errorf("%d commands with %d ids", len(asked), len(ids))
	}
	p = r.connect("anna+calls@example.com")
	p.send(`{"action":"call","to":"100"}`)
	p.frame()
	if cmd := r.gw.asked()[3]; cmd.From != "" {
		t.Errorf("from %s", cmd.From)
	}
}

// TestNonsenseIsAnswered with an error event, and the socket stays.
func TestNonsenseIsAnswered(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	for _, frame := range []string{
		`{`, ``, `ping`, `[]`, `null`, `"call"`, `{}`, `{"action":"hangup"}`, `{"action":{}}`, `{"action":"call"}`,
		`{"action":"call","to":null}`, `{"action":"call","to":["1"]}`, `{"action":"call","to":"  "}`, "\xff\xfe", strings.Repeat("[", 4000),
	} {
		p.send(frame)
		if got := p.frame(); !strings.HasPrefix(got, `{"event":"error","message":"`) {
			t.Errorf("%.40q is answered %s", frame, got)
		}
	}
	if err := p.conn.WriteMessage(websocket.BinaryMessage, []byte{0, 1}); err != nil {
		t.Fatal(err)
	}
	if got := p.frame(); !strings.HasPrefix(got, `{"event":"error"`) {
		t.Errorf("bytes are answered %s", got)
	}
	if len(r.gw.asked()) != 0 {
		t.Error("the gateway was asked for something")
	}
	p.send(`{"action":"call","to":"100"}`)
	if got := p.frame(); got != `{"event":"success"}` {
		t.Errorf("answer %s", got)
	}
}

// TestAnswersAreInOrder: there is nothing in an answer that says what it answers.
func TestAnswersAreInOrder(t *testing.T) {
	t.Parallel()
	first := make(chan struct{})
	r := newServerRig(t, nil)
	r.gw.answer = func(_ context.Context, cmd gateway.Command) gateway.Reply {
		if cmd.To == "1" {
			<-first
			return gateway.Reply{ID: cmd.ID, Error: &gateway.ReplyError{Code: gateway.CodeTimeout}}
		}
		return gateway.Reply{ID: cmd.ID, OK: true}
	}
	p := r.connect("101")
	p.send(`{"action":"call","to":"1"}`)
	p.send(`{"action":"call","to":"2"}`)
	// A call is told of although a command is under way.
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	p.want("call.dial 4")
	close(first)
	if got := p.frame() + p.frame(); got != `{"event":"error","message":"timeout"}{"event":"success"}` {
		t.Errorf("answers %s", got)
	}
}

func TestUpgradeOnly(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	resp, err := r.web.Client().Get(r.web.URL + Path + "?" + query("101"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", resp.StatusCode, resp.Header)
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestLogIsNotThere(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.refuse = &gateway.Error{Code: gateway.CodeUnavailable, Message: "the log does not answer", RetryAfter: time.Second}
	if status, code, body := r.refused(query("101"), nil); status != http.StatusServiceUnavailable || code != gateway.CodeUnavailable {
		t.Errorf("%d %s", status, body)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	conn, _, err := r.try(query("101"), http.Header{"Origin": {goodPage}})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	for _, origin := range []string{"https://evil.example", "null", r.web.URL} {
		if status, code, _ := r.refused(query("101"), http.Header{"Origin": {origin}}); status != http.StatusForbidden || code != gateway.CodeOrigin {
			t.Errorf("%s: %d %s", origin, status, code)
		}
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Limits.PingEvery = 20 * time.Millisecond })
	p := r.connect("101")
	pings := make(chan struct{}, 100)
	answer := p.conn.PingHandler()
	p.conn.SetPingHandler(func(data string) error {
		pings <- struct{}{}
		return answer(data)
	})
	go func() { _, _, _ = p.conn.ReadMessage() }() // until the test closes it
	for range 5 {
		<-pings
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	a, b := r.connect("101"), r.connect("102")
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(ctx) }()
	for _, p := range []*phone{a, b} {
		if code := p.closed(); code != websocket.CloseServiceRestart {
			t.Errorf("closed with %d", code)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if status, code, _ := r.refused(query("101"), nil); status != http.StatusServiceUnavailable || code != gateway.CodeDraining {
		t.Errorf("%d %s", status, code)
	}
	if n := r.gw.subscribers(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestDrainWithoutTime(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Limits.DrainRate = 1 })
	phones := []*phone{r.connect("101"), r.connect("101"), r.connect("102")}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.server.Drain(ctx)
	for _, p := range phones {
		p.closed()
	}
}

func TestUserWhoLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*serverRig){
		"the directory": func(r *serverRig) {
			r.dir.set(gateway.Account{ID: "acme", Users: acmeUsers()[2:]})
			r.server.Recheck("acme", "")
		},
		"by revocation": func(r *serverRig) {
			r.dir.revoke("7")
			r.server.Recheck("acme", "7")
		},
		"an account that is no more": func(r *serverRig) {
			r.dir.set()
			r.server.Recheck("", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newServerRig(t, func(cfg *ServerConfig) { cfg.Limits.PingEvery = time.Hour })
			a := r.connect("101")
			leave(r)
			r.gw.happens(0, "office:1", rung(inbound, "101"), anna) // of which he hears nothing
			_ = a.conn.SetReadDeadline(time.Now().Add(wait))
			if _, frame, err := a.conn.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
				t.Errorf("%s %v", frame, err)
			}
		})
	}
}

// TestLeavesUntold: somebody forgot to call Recheck.
func TestLeavesUntold(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Limits.PingEvery = 10 * time.Millisecond })
	p := r.connect("101")
	r.dir.set()
	if code := p.closed(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

// TestLeavesWhileHeConnects: between the look at the directory and the index that Recheck goes by.
func TestLeavesWhileHeConnects(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.onSubscribe = func() {
		r.dir.set()
		r.server.Recheck("acme", "7")
	}
	if code := r.connect("101").closed(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

// TestLeavesBeforeHeIsKnown: between the look at the directory and the index.
func TestLeavesBeforeHeIsKnown(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.dir.found = func() {
		r.dir.set()
		r.server.Recheck("acme", "7")
	}
	if status, code, _ := r.refused(query("101"), nil); status != http.StatusForbidden || code != gateway.CodeRevoked {
		t.Errorf("%d %s", status, code)
	}
}

// TestExtensionOfAnother: who subscribed to a number goes on hearing of that number, not of who had it.
func TestExtensionOfAnother(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	byNumber, byMail := r.connect("101"), r.connect("anna+calls@example.com")
	users := acmeUsers()
	users[1].Extensions, users[2].Extensions = nil, []string{"101", "102"}
	r.dir.set(gateway.Account{ID: "acme", Users: users})
	r.server.Recheck("acme", "")
	if code := byNumber.closed(); code != websocket.CloseServiceRestart {
		t.Errorf("closed with %d", code)
	}
	byMail.nothingMore()
	again := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101"), gateway.Person{User: "boris", Name: "Boris", Extension: "101"})
	again.want("call.dial 4")
}

// TestWhatHappensWhileItConnects is told after what there was, and once.
func TestWhatHappensWhileItConnects(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	r.gw.onSubscribe = func() { r.gw.happens(1, "office:1", event(gateway.EventBridge, "", "101"), anna) }
	p := r.connect("101")
	p.want("call.dial 4", "call.bridge 4")
	p.nothingMore()
}

func TestServerIsMadeOfEnough(t *testing.T) {
	t.Parallel()
	good := ServerConfig{Gateway: newFakeGateway(), Directory: gateway.NewAccounts()}
	for name, change := range map[string]func(*ServerConfig){
		"no gateway":   func(c *ServerConfig) { c.Gateway = nil },
		"no directory": func(c *ServerConfig) { c.Directory = nil },
		"no domain":    func(c *ServerConfig) { c.Endpoints = []Endpoint{{Account: "acme", APIKey: "k"}} },
		"no key":       func(c *ServerConfig) { c.Endpoints = []Endpoint{{Account: "acme", Domain: "d.example"}} },
		"a domain of two accounts": func(c *ServerConfig) {
			c.Endpoints = []Endpoint{{"acme", "d.example", "k1", ""}, {"globex", "D.example", "k2", ""}}
		},
	} {
		cfg := good
		change(&cfg)
		if s, err := NewServer(cfg); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "k1") || strings.Contains(err.Error(), "k2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetricsOfAServer(t *testing.T) {
	t.Parallel()
	var log transcript
	note := func(format string, args ...any) { _, _ = fmt.Fprintf(&log, format+"\n", args...) }
	r := newServerRig(t, func(cfg *ServerConfig) {
		cfg.Metrics = ServerMetrics{
			Opened:  func() { note("opened") },
			Closed:  func(code int) { note("closed %d", code) },
			Sent:    func(time.Time) { note("sent") },
			Command: func(code gateway.Code) { note("command %q", code) },
			Refused: func(code gateway.Code) { note("refused %s", code) },
		}
	})
	p := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	p.want("call.dial 4")
	p.send(`{"action":"call","to":"100"}`)
	p.frame()
	p.send(`{`)
	p.frame()
	r.refused("domain=x", nil)
	r.dir.revoke("7")
	r.server.Recheck("acme", "7")
	p.closed()
	r.server.Close()
	got := strings.Split(strings.TrimSpace(log.String()), "\n") // what is sent may be answered before it is counted
	slices.Sort(got)
	if want := []string{`closed 1008`, `command ""`, `command "invalid"`, "opened", "refused unauthorized", "sent"}; !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
