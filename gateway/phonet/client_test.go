package phonet

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// TestRefusals: a wrong key or subscriber is said in words, in whatever way Phonet may say it, and the key never is.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, how := range []sandbox.PhonetRefusal{sandbox.PhonetRefusesByStatus, sandbox.PhonetRefusesByClose, sandbox.PhonetRefusesByError} {
		for what, edit := range map[string]func(*Config){
			"key":        func(c *Config) { c.APIKey = "wrong/key+" },
			"subscriber": func(c *Config) { c.Subscribers = subscribers("199") },
		} {
			t.Run(string(how)+" "+what, func(t *testing.T) {
				t.Parallel()
				var cfg Config
				o := openOffice(t, func(p *sandbox.PhonetConfig, c *Config) {
					p.Refusal = how
					edit(c)
					cfg = *c
				})
				state := o.untilState("refused")
				cfg.BaseURL = o.server.URL
				_, err := Check(t.Context(), cfg)
				for _, text := range []string{state.Reason, err.Error()} {
					if !strings.Contains(text, "refused") || strings.Contains(text, "wrong/key") || strings.Contains(text, "wrong%2Fkey") {
						t.Errorf("%q", text)
					}
				}
				if strings.Contains(o.log.String(), "wrong/key+") {
					t.Error("the key is in the log")
				}
			})
		}
	}
}

// TestKeyIsMasked wherever a URL or a body may carry it into an error.
func TestKeyIsMasked(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, base := range []string{gone.URL, "http://127.0.0.1:1", "https://[::1", "http://no such host"} {
		cfg := Config{Domain: testDomain, APIKey: testKey, BaseURL: base, Subscribers: subscribers("101")}
		_, err := Check(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: no error", base)
			continue
		}
		r := newREST(cfg.withDefaults())
		for _, e := range []error{err, r.masked(&statusError{code: 400, text: "apiKey=" + testKey}), r.masked(r.login(t.Context(), 0))} {
			for _, form := range []string{testKey, "S3cret%2Bkey", "S3cret+key"} {
				if strings.Contains(e.Error(), form) {
					t.Errorf("%s: %q", base, e)
				}
			}
		}
	}
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	o := openOffice(t, nil)
	cfg := Config{Domain: testDomain, APIKey: testKey, BaseURL: o.server.URL, Subscribers: subscribers("199", "anna+CRM@acme.example")}
	notes, err := Check(t.Context(), cfg)
	if err != nil || !slices.Equal(notes, []string{"it has no employee 199"}) {
		t.Errorf("%q, %v", notes, err)
	}
	cfg.Subscribers = nil
	if _, err := Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "subscribers") {
		t.Error(err)
	}
	cfg.APIKey = ""
	if _, err := Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "key") {
		t.Error(err)
	}
	bare := openOffice(t, func(p *sandbox.PhonetConfig, _ *Config) { p.NoREST = true })
	notes, err = Check(t.Context(), Config{Domain: testDomain, APIKey: testKey, BaseURL: bare.server.URL, Subscribers: subscribers("101")})
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "no HTTP API") {
		t.Errorf("%q, %v", notes, err)
	}
}

func TestConfigThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Domain: "a b", APIKey: "k"}, {Domain: "acme.phonet.example"}, {BaseURL: "ftp://x", APIKey: "k"}} {
		if err := New(cfg).Run(t.Context(), newLedger()); err == nil {
			t.Errorf("%+v runs", cfg)
		}
	}
}

// TestDeadLine: a PBX that does not answer pings any more is connected anew.
func TestDeadLine(t *testing.T) {
	t.Parallel()
	var sockets atomic.Int32
	again, release := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live/connector/v3/easy" {
			http.NotFound(w, r)
			return
		}
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if sockets.Add(1) == 1 {
			<-release // reads nothing, answers nothing
			return
		}
		again <- struct{}{}
		_, _, _ = conn.ReadMessage()
	}))
	link := New(Config{Domain: testDomain, APIKey: testKey, BaseURL: server.URL, Subscribers: subscribers("101"), Ping: 20 * time.Millisecond, haste: 100})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- link.Run(ctx, newLedger()) }()
	select {
	case <-again:
	case <-time.After(20 * time.Second):
		t.Error("the dead line was not left")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(release)
	server.CloseClientConnections()
	server.Close()
}

func TestSubscribersFollowTheDirectory(t *testing.T) {
	t.Parallel()
	var wanted atomic.Value
	wanted.Store([]string{"101", "102"})
	o := openOffice(t, func(_ *sandbox.PhonetConfig, c *Config) {
		c.Subscribers = func() []Subscriber { return subscribers(wanted.Load().([]string)...)() }
	})
	o.untilListening(2)
	wanted.Store([]string{"102", "103", "anna+CRM@acme.example"})
	o.untilListening(3)
	wanted.Store([]string{})
	o.untilListening(0)
}

// TestManySockets are opened at a measured pace.
func TestManySockets(t *testing.T) {
	t.Parallel()
	p := newPace(10 * time.Millisecond)
	began := time.Now()
	for range 10 {
		done, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done()
	}
	if took := time.Since(began); took < 90*time.Millisecond {
		t.Errorf("ten in %v", took)
	}
	full := newPace(0)
	for range atOnce {
		if _, err := full.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := full.take(ctx); err == nil {
		t.Error("there is room for more than atOnce")
	}
}

func TestLinkHearsWhoIsAway(t *testing.T) {
	t.Parallel()
	o := openOffice(t, func(p *sandbox.PhonetConfig, _ *Config) { p.Twice = true })
	o.inSync(0)
	o.pbx.Away("101", true)
	o.pbx.Away("101", false)
	o.ledger.until(t, "two changes", func() bool { return slices.Equal(o.ledger.away, []string{"101 true", "101 false"}) })
	if len(o.ledger.order) > 0 {
		t.Errorf("that is no call: %v", o.ledger.order)
	}
}

// TestEventsThatTheLogDidNotTake wait, and come when it takes them.
func TestEventsThatTheLogDidNotTake(t *testing.T) {
	t.Parallel()
	o := openOffice(t, func(p *sandbox.PhonetConfig, _ *Config) { p.NoREST = true })
	o.untilListening(3)
	o.ledger.mu.Lock()
	o.ledger.refuse = &gateway.Error{Code: gateway.CodeUnavailable}
	o.ledger.mu.Unlock()
	o.play(scenarios()[0], func() {})
	o.ledger.mu.Lock()
	news := o.ledger.news
	o.ledger.mu.Unlock()
	<-news // it was offered
	o.ledger.mu.Lock()
	o.ledger.refuse = nil
	o.ledger.mu.Unlock()
	o.ledger.untilCalls(t, strings.TrimSuffix(scenarios()[0].want[0], ", recorded"))
}

// TestEventThatIsInvalidIsDroppedAlone: one that the gateway will never take does not hold up the rest.
func TestEventThatIsInvalidIsDroppedAlone(t *testing.T) {
	t.Parallel()
	o := openOffice(t, func(p *sandbox.PhonetConfig, _ *Config) { p.NoREST, p.Trunk = true, "invalid" })
	o.untilListening(3)
	o.play(scenarios()[0], func() {})
	o.ledger.until(t, "the end", func() bool {
		return slices.ContainsFunc(o.ledger.events, func(e gateway.Event) bool { return e.Type == gateway.EventHangup })
	})
}

// TestSessionRunsOut: the HTTP API forgets us, and knows us again.
func TestSessionRunsOut(t *testing.T) {
	t.Parallel()
	o := openOffice(t, nil)
	o.inSync(0)
	uuid, err := o.pbx.Ring(caller, "", "101", "")
	o.must(err)
	o.ledger.until(t, "the call", func() bool { return len(o.ledger.order) == 1 })
	o.pbx.Expire()
	o.must(o.link.HangUp(t.Context(), uuid, "101"))
	if n := o.pbx.Logins(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
	o.ledger.untilCalls(t, "inbound +380567777777 > 567850550, 101 missed; over")
}

// TestSilentHost: a host that takes connections and says nothing is given up, and ending Run does not wait for it.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	link := New(Config{
		Domain: testDomain, APIKey: testKey, BaseURL: "http://" + listener.Addr().String(), Subscribers: subscribers("101"),
		DialTimeout: 50 * time.Millisecond, haste: 100,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- link.Run(ctx, newLedger()) }()
	o := &office{t: t, link: link, log: &syncBuffer{}}
	if state := o.untilState("retrying"); strings.Contains(state.Reason, "apiKey") {
		t.Errorf("%+v", state)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
