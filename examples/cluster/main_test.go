package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"ringcast/examples/cluster/fleet"
)

const (
	patience = time.Minute
	takeOver = 5 * time.Second // from the death of an owner to events being accepted again
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// message is what a tab is told, as far as it matters here.
type message struct {
	Type    string `json:"type"`
	Cursor  string `json:"cursor"`
	Prev    string `json:"prev"`
	Resumed bool   `json:"resumed"`
	Event   string `json:"event"`
	Call    struct {
		ID string `json:"id"`
	} `json:"call"`
}

// tab is a browser page of Anna's that comes back to any gateway.
type tab struct {
	t      *testing.T
	name   string
	cursor string
	conn   *websocket.Conn

	mu    sync.Mutex
	heard []string // "EVENT CALL", in order
	more  chan struct{}
	ended chan struct{} // closed when the connection has
}

func newTab(t *testing.T, name string) *tab {
	return &tab{t: t, name: name, more: make(chan struct{}, 1)}
}

// connect opens the tab's session on a gateway, where it was if it had one.
func (w *tab) connect(ctx context.Context, g *fleet.Process) {
	w.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"ringcast.v1"}}
	conn, answer, err := dialer.DialContext(ctx, "ws://"+g.Addr+"/v1/ws", nil)
	if err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	_ = answer.Body.Close()
	hello := map[string]any{"type": "hello", "token": token(w.t), "client": w.name}
	if w.cursor != "" {
		hello["cursor"] = w.cursor
	}
	if err := conn.WriteJSON(hello); err != nil {
		w.t.Fatal(err)
	}
	var m message
	if err := conn.ReadJSON(&m); err != nil || m.Type != "hello" || m.Resumed != (w.cursor != "") {
		w.t.Fatalf("%s with cursor %q on %s: %+v, %v", w.name, w.cursor, g.Name, m, err)
	}
	w.cursor, w.conn, w.ended = m.Cursor, conn, make(chan struct{})
	go w.read(conn, w.ended)
}

// read takes messages until the connection ends. Those of calls must follow each other without a gap.
func (w *tab) read(conn *websocket.Conn, ended chan struct{}) {
	defer close(ended)
	for {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			_ = conn.Close()
			return
		}
		if m.Type != "call" {
			continue
		}
		w.mu.Lock()
		if m.Prev != w.cursor {
			w.t.Errorf("%s: %s of %s follows %q, and the tab has come to %q", w.name, m.Event, m.Call.ID, m.Prev, w.cursor)
		}
		w.cursor = m.Cursor
		w.heard = append(w.heard, m.Event+" "+m.Call.ID)
		w.mu.Unlock()
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}

// want returns when the tab has heard exactly this, in this order.
func (w *tab) want(ctx context.Context, events []string) {
	w.t.Helper()
	for {
		w.mu.Lock()
		heard := slices.Clone(w.heard)
		w.mu.Unlock()
		if len(heard) >= len(events) {
			if !slices.Equal(heard, events) {
				w.t.Fatalf("%s heard\n%s\nwant\n%s", w.name, strings.Join(heard, "\n"), strings.Join(events, "\n"))
			}
			return
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			w.t.Fatalf("%s heard %d events of %d:\n%s", w.name, len(heard), len(events), strings.Join(heard, "\n"))
		}
	}
}

func (w *tab) close() {
	_ = w.conn.Close()
	<-w.ended
}

// token is what Anna's page gets from the account's own server.
func token(t *testing.T) string {
	t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "acme", "sub": "anna", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(backendKey))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// pbx posts calls to any gateway, and again until they are taken.
type pbx struct {
	t      *testing.T
	client *http.Client
	calls  int
	posted []string // as a tab hears of it
}

// ring posts a call with its end, event by event.
func (p *pbx) ring(ctx context.Context, gateways ...*fleet.Process) {
	p.t.Helper()
	p.calls++
	call := fmt.Sprint("call-", p.calls)
	for i, event := range []string{
		`"event":"call.dial","direction":"inbound","from":"+79991112233","to":"+74951234567","extension":"101"`,
		`"event":"call.bridge","extension":"101"`,
		`"event":"call.hangup","cause":"normal"`,
	} {
		body := fmt.Sprintf(`{"call":%q,"id":"%s-%d","at":%q,%s}`, call, call, i, time.Now().UTC().Format(time.RFC3339Nano), event)
		p.post(ctx, gateways[(p.calls+i)%len(gateways)], body)
		name, _, _ := strings.Cut(strings.TrimPrefix(event, `"event":"`), `"`)
		p.posted = append(p.posted, name+" main:"+call)
	}
}

func (p *pbx) post(ctx context.Context, g *fleet.Process, body string) {
	p.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		if last = p.try(ctx, g, body); last == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			p.t.Fatalf("%s never took %s: %v", g.Name, body, last)
		}
	}
}

func (p *pbx) try(ctx context.Context, g *fleet.Process, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Addr+"/v1/accounts/acme/events", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+pbxKey)
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode == http.StatusAccepted {
		return nil
	}
	err = fmt.Errorf("%d %s", answer.StatusCode, said)
	if answer.StatusCode != http.StatusServiceUnavailable {
		p.t.Error(err)
	}
	return err
}

// TestKilledGateway runs what the example runs. Tabs on both gateways hear of every event once, whichever
// gateway it was posted to. Then each gateway is killed in turn, so that at least once it is the owner of the
// account: events are accepted by the other before long, and its tab misses nothing there.
func TestKilledGateway(t *testing.T) { killGateways(t, patience) }

// TestFiguresOfATakeOver: before long is within 5 s.
func TestFiguresOfATakeOver(t *testing.T) { killGateways(t, takeOver) }

func killGateways(t *testing.T, takeOver time.Duration) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts five processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	f, err := fleet.Start(ctx, fleet.Config{Dir: t.TempDir(), Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	}()
	tabs := []*tab{newTab(t, "tab-1"), newTab(t, "tab-2")}
	for i, w := range tabs {
		w.connect(ctx, f.Gateways[i])
		defer w.close()
	}
	p := &pbx{t: t, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for range 5 {
		p.ring(ctx, f.Gateways...)
	}
	for _, w := range tabs {
		w.want(ctx, p.posted)
	}

	for i, victim := range f.Gateways {
		survivor := f.Gateways[1-i]
		killed := time.Now()
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		p.ring(ctx, survivor)
		if took := time.Since(killed); took > takeOver {
			t.Errorf("%s took events %v after %s was killed, want %v at most", survivor.Name, took, victim.Name, takeOver)
		} else {
			t.Logf("%s took events %v after %s was killed", survivor.Name, took, victim.Name)
		}
		<-tabs[i].ended
		p.ring(ctx, survivor)
		tabs[i].connect(ctx, survivor)
		p.ring(ctx, survivor)
		for _, w := range tabs {
			w.want(ctx, p.posted)
		}

		// The tab goes back when its gateway is there again.
		tabs[i].close()
		if err := victim.Start(ctx); err != nil {
			t.Fatal(err)
		}
		tabs[i].connect(ctx, victim)
		p.ring(ctx, f.Gateways...)
		for _, w := range tabs {
			w.want(ctx, p.posted)
		}
	}
}

// TestExample runs the program itself for a moment.
func TestExample(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two processes")
	}
	var out, problems strings.Builder
	if code := run([]string{"-servers", "1", "-gateways", "1", "-for", "100ms", "-dir", t.TempDir()}, &out, &problems); code != 0 {
		t.Fatalf("exit code %d: %s", code, problems.String())
	}
	for _, want := range []string{"nats-1", "gateway-1", "/v1/poll", "Stopping"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output does not mention %s:\n%s", want, out.String())
		}
	}
	if code := run([]string{"-servers", "0"}, &out, &problems); code != 2 {
		t.Errorf("no servers: exit code %d", code)
	}
}
