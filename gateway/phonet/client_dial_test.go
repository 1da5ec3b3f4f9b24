package phonet

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

var far = gateway.Number{Raw: "8 (067) 111-22-33", E164: "+380671112233"}

// TestClick places a call in each of the ways that there are: it is one call, under the id that Dial returned, and a
// second click with the same key is the same call.
func TestClick(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*sandbox.PhonetConfig, *Config){
		"over HTTP":               nil,
		"by socket":               func(p *sandbox.PhonetConfig, _ *Config) { p.NoREST = true },
		"by socket, dial first":   func(p *sandbox.PhonetConfig, _ *Config) { p.NoREST, p.DialFirst = true, true },
		"by socket of the e-mail": func(p *sandbox.PhonetConfig, c *Config) { p.NoREST, c.Subscribers = true, emailOfAnna },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, edit)
			o.untilListening(len(o.link.cfg.Subscribers()))
			if edit == nil {
				o.inSync(0)
			}
			req := gateway.DialRequest{Key: "k1", Extension: "101", To: far}
			ids := make(chan string, 2)
			for range 2 {
				go func() {
					id, err := o.link.Dial(t.Context(), req)
					if err != nil {
						t.Error(err)
					}
					ids <- id
				}()
			}
			id := <-ids
			if other := <-ids; other != id {
				t.Errorf("two calls: %s and %s", id, other)
			}
			o.ledger.until(t, "the call", func() bool { _, ok := o.ledger.calls[id]; return ok })
			o.must(o.pbx.OutsideAnswer(o.pbx.Live()[0]))
			o.must(o.pbx.HangUp("101"))
			o.ledger.until(t, "its end", func() bool { return o.ledger.calls[id].Over() })
			o.ledger.mu.Lock()
			defer o.ledger.mu.Unlock()
			if got := o.ledger.summary(); len(got) != 1 || !strings.HasPrefix(got[0], "outbound 101 > +380671112233, 101 answered; over") {
				t.Errorf("%q", got)
			}
		})
	}
}

func emailOfAnna() []Subscriber {
	return []Subscriber{{Name: "anna+crm@acme.example", Extension: "101"}, {Name: "102"}}
}

// TestRefusedClicks have a name, whichever way they were refused.
func TestRefusedClicks(t *testing.T) {
	t.Parallel()
	for _, noREST := range []bool{false, true} {
		o := openOffice(t, func(p *sandbox.PhonetConfig, c *Config) {
			p.NoREST = noREST
			c.Numbers.Deny = []string{"+380900"}
		})
		o.untilListening(3)
		if !noREST {
			o.inSync(0)
		}
		_, err := o.pbx.Dial("102", "+380671112244")
		o.must(err)
		o.pbx.Unregister("103")
		for _, click := range []struct {
			extension string
			to        gateway.Number
			want      gateway.Code
		}{
			{"102", far, gateway.CodeBusy},
			{"103", far, gateway.CodeNotRegistered},
			{"101", gateway.Number{Raw: "12345"}, gateway.CodeBadNumber},
			{"101", gateway.Number{Raw: "anna"}, gateway.CodeBadNumber},
			{"101", gateway.Number{Raw: "+380900112233", E164: "+380900112233"}, gateway.CodeBadNumber},
		} {
			_, err := o.link.Dial(t.Context(), gateway.DialRequest{Key: "k" + click.extension + click.to.Raw, Extension: click.extension, To: click.to})
			if got := gateway.CodeOf(err); got != click.want {
				t.Errorf("no REST %v, %s to %s: %v, want %s", noREST, click.extension, click.to.Raw, err, click.want)
			}
		}
		if noREST {
			_, err := o.link.Dial(t.Context(), gateway.DialRequest{Key: "k9", Extension: "199", To: far})
			if gateway.CodeOf(err) != gateway.CodeNotPermitted {
				t.Errorf("an extension that is no subscriber's: %v", err)
			}
			o.ledger.until(t, "the call of 102", func() bool { return len(o.ledger.order) == 1 })
			err = o.link.HangUp(t.Context(), o.pbx.Live()[0], "102")
			o.untilNoREST()
			if gateway.CodeOf(err) != gateway.CodeNotPermitted {
				t.Errorf("a hang-up without REST: %v", err)
			}
		}
		if err := o.link.HangUp(t.Context(), "none", "101"); gateway.CodeOf(err) != gateway.CodeNotFound {
			t.Errorf("a hang-up of no call: %v", err)
		}
		o.pbx.Cut()
		o.untilState("retrying")
		if noREST {
			_, err = o.link.Dial(t.Context(), gateway.DialRequest{Key: "kx", Extension: "101", To: far})
			if gateway.CodeOf(err) != gateway.CodePBXOffline {
				t.Errorf("a click while the link is down: %v", err)
			}
		}
	}
}

// untilNoREST waits until the link has found out that there is no HTTP API.
func (o *office) untilNoREST() {
	o.t.Helper()
	timeout := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		o.link.mu.Lock()
		found := o.link.noREST != nil
		o.link.mu.Unlock()
		if found {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			o.t.Fatal("waited in vain")
		}
	}
}

// TestHangUpInAGroup ends the member's own part.
func TestHangUpInAGroup(t *testing.T) {
	t.Parallel()
	o := openOffice(t, nil)
	o.inSync(0)
	uuid, err := o.pbx.Ring(caller, "Тест", "911", "")
	o.must(err)
	o.must(o.pbx.Answer("102"))
	o.ledger.untilCalls(t, fromClient+", 101 elsewhere, 102 talks, 103 elsewhere")
	o.must(o.link.HangUp(t.Context(), uuid, "102"))
	o.ledger.untilCalls(t, fromClient+", 101 elsewhere, 102 answered, 103 elsewhere; over, recorded")
	if err := o.link.HangUp(t.Context(), uuid, "102"); gateway.CodeOf(err) != gateway.CodeNotFound {
		t.Errorf("a second time: %v", err)
	}
}

// TestUnansweredCommand: what an answer that comes too late answers nobody could tell, so the socket is opened anew.
func TestUnansweredCommand(t *testing.T) {
	t.Parallel()
	opened := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{}
		if r.URL.Path != "/live/connector/v3/easy" {
			http.NotFound(w, r)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		opened <- struct{}{}
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
		_ = conn.Close()
	}))
	o := &office{t: t, server: server, ledger: newLedger(), log: &syncBuffer{}, cfg: Config{
		Domain: testDomain, APIKey: testKey, BaseURL: server.URL, Subscribers: subscribers("101"), haste: 100, reply: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}}
	o.start()
	<-opened
	o.untilState("connected")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req := gateway.DialRequest{Key: "k1", Extension: "101", To: far}
	for range 2 { // the second is the same
		if _, err := o.link.Dial(ctx, req); gateway.CodeOf(err) != gateway.CodeTimeout {
			t.Error(err)
		}
	}
	select {
	case <-opened:
	case <-time.After(10 * time.Second):
		t.Error("the socket stays")
	}
	o.stop()
	server.Close()
}

// TestOneCommandAtATime: while one has no answer the next waits, and who gives up is told.
func TestOneCommandAtATime(t *testing.T) {
	t.Parallel()
	l := New(Config{Domain: testDomain, APIKey: testKey, haste: 1})
	s := newSocket(l, Subscriber{Name: "101"}, func() {})
	s.slot <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.call(ctx, "380671112233"); gateway.CodeOf(err) != gateway.CodeTimeout {
		t.Error(err)
	}
}
