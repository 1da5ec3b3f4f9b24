package phonet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

const (
	acmeDomain = "acme.phonet.example"
	acmeKey    = "S3Bvc2eNim+uQmQWyJt5/aEvNjbND1fz0X"
	goodPage   = "https://crm.example.com"
	wait       = 20 * time.Second // only a failing test waits that long
)

// callsBegin is when the calls of a test begin, and a little, as clocks have it.
var callsBegin = time.UnixMilli(1473973200000).UTC().Add(123456)

// fakeGateway keeps calls as the real one does, and shows them to who has subscribed.
type fakeGateway struct {
	refuse      error                                                // what Subscribe answers, if set
	onSubscribe func()                                               // between the registration and the return
	answer      func(context.Context, gateway.Command) gateway.Reply // of Command

	begin  time.Time     // of the calls
	fresh  bool          // events are taken as they are told, else long ago
	looked chan struct{} // if set, somebody has asked for a call

	mu       sync.Mutex
	calls    map[string]gateway.Call
	subs     map[string]map[int]func(gateway.Message) // by user
	next     int
	commands []gateway.Command
}

func newFakeGateway() *fakeGateway {
	return &fakeGateway{begin: callsBegin, calls: map[string]gateway.Call{}, subs: map[string]map[int]func(gateway.Message){}}
}

func (g *fakeGateway) Subscribe(account, user, _ string, deliver func(gateway.Message)) (gateway.Hello, func(), error) {
	if g.refuse != nil {
		return gateway.Hello{}, nil, g.refuse
	}
	g.mu.Lock()
	key := account + "/" + user
	if g.subs[key] == nil {
		g.subs[key] = map[int]func(gateway.Message){}
	}
	id := g.next
	g.next++
	g.subs[key][id] = deliver
	var hello gateway.Hello
	for _, c := range g.calls {
		if v, ok := c.For(user); ok && v.State != gateway.Ended && account == "acme" {
			hello.Calls = append(hello.Calls, v)
		}
	}
	g.mu.Unlock()
	if g.onSubscribe != nil {
		g.onSubscribe()
	}
	return hello, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.subs[key], id)
	}, nil
}

func (g *fakeGateway) Call(_, id string) (*gateway.Call, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.calls[id]
	select {
	case g.looked <- struct{}{}:
	default:
	}
	return &c, ok
}

func (g *fakeGateway) LiveCalls(account string) (calls []*gateway.Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		if !c.Over() && account == "acme" {
			calls = append(calls, &c)
		}
	}
	return calls
}

func (g *fakeGateway) Command(ctx context.Context, cmd gateway.Command) gateway.Reply {
	g.mu.Lock()
	g.commands = append(g.commands, cmd)
	answer := g.answer
	g.mu.Unlock()
	if answer != nil {
		return answer(ctx, cmd)
	}
	return gateway.Reply{ID: cmd.ID, OK: true, Call: "office:1"}
}

func (g *fakeGateway) asked() []gateway.Command {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]gateway.Command(nil), g.commands...)
}

func (g *fakeGateway) subscribers() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, subs := range g.subs {
		n += len(subs)
	}
	return n
}

// happens adds an event to a call of acme, at a second after its begin, and tells everybody whom it concerns.
func (g *fakeGateway) happens(second int, call string, e gateway.Event, people ...gateway.Person) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e.At, e.People = g.begin.Add(time.Duration(second)*time.Second), people
	was := g.calls[call]
	was.Account, was.ID = "acme", call
	is, _ := gateway.Tracker{}.Apply(was, e)
	g.calls[call] = is
	for _, user := range is.Users() {
		v, ok := is.For(user)
		before, had := was.For(user)
		data, _ := json.Marshal(v)
		if old, _ := json.Marshal(before); !ok || had && bytes.Equal(bytes.Replace(old, fmt.Appendf(nil, `"version":%d`, before.Version), fmt.Appendf(nil, `"version":%d`, v.Version), 1), data) {
			continue
		}
		for _, deliver := range g.subs["acme/"+user] {
			m := gateway.Message{Event: e.Type, Call: data}
			if g.fresh {
				m.At = time.Now()
			}
			deliver(m)
		}
	}
}

// switchable is a directory that can be changed.
type switchable struct {
	mu sync.Mutex
	*gateway.Accounts
	revoked map[string]time.Time
	found   func() // called after the first look-up of an extension
}

func (d *switchable) set(accounts ...gateway.Account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Accounts = gateway.NewAccounts(accounts...)
}

func (d *switchable) now() *gateway.Accounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Accounts
}

func (d *switchable) Account(account string) (gateway.Account, bool) { return d.now().Account(account) }
func (d *switchable) User(account, user string) (gateway.User, bool) {
	return d.now().User(account, user)
}
func (d *switchable) ByExtension(account, ext string) (gateway.User, bool) {
	u, ok := d.now().ByExtension(account, ext)
	d.mu.Lock()
	found := d.found
	d.found = nil
	d.mu.Unlock()
	if found != nil {
		found()
	}
	return u, ok
}

func (d *switchable) revoke(user string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revoked[user] = time.Now()
}

func (d *switchable) isRevoked(_, user string, at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, ok := d.revoked[user]
	return ok && !at.After(since)
}

var (
	anna  = gateway.Person{User: "7", Name: "Анна", Extension: "101"}
	boris = gateway.Person{User: "boris", Name: "Boris", Extension: "102"}
)

func acmeUsers() []gateway.User {
	return []gateway.User{
		{ID: "120", Name: "Support Phonet", Extensions: []string{"911"}},
		{ID: "7", Name: "Анна", Extensions: []string{"101", "103"}, Email: "Anna+calls@Example.com"},
		{ID: "boris", Name: "Boris", Extensions: []string{"102"}},
	}
}

// serverRig is a server on a port of its own, over a fake gateway.
type serverRig struct {
	t      testing.TB
	gw     *fakeGateway
	dir    *switchable
	log    *transcript
	server *Server
	web    *httptest.Server
}

// transcript keeps what is logged.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// newServerParts makes everything but the sockets.
func newServerParts(t testing.TB, change func(*ServerConfig)) *serverRig {
	t.Helper()
	r := &serverRig{t: t, gw: newFakeGateway(), log: &transcript{}, dir: &switchable{revoked: map[string]time.Time{}}}
	r.dir.set(gateway.Account{ID: "acme", Users: acmeUsers()}, gateway.Account{ID: "globex", Users: []gateway.User{{ID: "7", Name: "Clara", Extensions: []string{"101"}}}})
	cfg := ServerConfig{
		Gateway: r.gw, Directory: r.dir, Revoked: r.dir.isRevoked,
		Logger:      slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		AllowOrigin: func(origin string) bool { return origin == goodPage },
		Endpoints: []Endpoint{
			{Account: "acme", Domain: acmeDomain, APIKey: acmeKey},
			{Account: "globex", Domain: "globex.phonet.example", APIKey: "another-key-of-another-account"},
		},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.server, err = NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func newServerRig(t testing.TB, change func(*ServerConfig)) *serverRig {
	t.Helper()
	r := newServerParts(t, change)
	r.web = httptest.NewUnstartedServer(r.server.Handler())
	r.web.Config.ErrorLog = log.New(r.log, "", 0)
	r.web.Start()
	t.Cleanup(func() {
		r.server.Close()
		r.web.Close()
	})
	return r
}

// query is that of a subscriber of acme, encoded as a careful client does.
func query(subscriber string) string {
	return url.Values{"domain": {acmeDomain}, "apiKey": {acmeKey}, "subscriber": {subscriber}}.Encode()
}

// try opens a socket, if it may.
func (r *serverRig) try(query string, header http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(r.web.URL, "http")+Path+"?"+query, header)
}

// refused tries to open a socket and returns the problem that it is answered with.
func (r *serverRig) refused(query string, header http.Header) (status int, code gateway.Code, body string) {
	r.t.Helper()
	conn, resp, err := r.try(query, header)
	if err == nil {
		_ = conn.Close()
		r.t.Fatal("it was let in")
	}
	if resp == nil {
		r.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(resp.Body)
	var problem struct{ Code gateway.Code }
	if err := json.Unmarshal(text.Bytes(), &problem); err != nil {
		r.t.Errorf("no problem document: %s", text.String())
	}
	return resp.StatusCode, problem.Code, text.String()
}

// phone is a client of the endpoint.
type phone struct {
	t    testing.TB
	conn *websocket.Conn
}

func (r *serverRig) connect(subscriber string) *phone {
	r.t.Helper()
	conn, resp, err := r.try(query(subscriber), nil)
	if err != nil {
		r.t.Fatalf("not let in: %v %+v", err, resp)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return &phone{r.t, conn}
}

func (p *phone) send(frame string) {
	p.t.Helper()
	if err := p.conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		p.t.Fatal(err)
	}
}

// frame returns the next message, as it is.
func (p *phone) frame() string {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	kind, data, err := p.conn.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		p.t.Fatalf("no message: %d %v", kind, err)
	}
	return string(data)
}

// call returns the next message of a call.
func (p *phone) call() message {
	p.t.Helper()
	text := p.frame()
	m, err := decode([]byte(text))
	if err != nil || m.UUID == "" {
		p.t.Fatalf("%s: %v", text, err)
	}
	return m
}

// want reads messages, each given as "event lgDirection", and returns the last.
func (p *phone) want(all ...string) (m message) {
	p.t.Helper()
	for _, want := range all {
		m = p.call()
		if got := fmt.Sprintf("%s %d", m.Event, m.LgDirection); got != want {
			p.t.Fatalf("got %s, want %s of %q", got, want, all)
		}
	}
	return m
}

// nothingMore says that all that was to come has come: the answer to a command is next.
func (p *phone) nothingMore() {
	p.t.Helper()
	p.send(`{"action":"nothing"}`)
	if got := p.frame(); !strings.HasPrefix(got, `{"event":"error"`) {
		p.t.Errorf("one more message: %s", got)
	}
}

// closed reads until the end, and returns the code of it.
func (p *phone) closed() int {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	for {
		_, _, err := p.conn.ReadMessage()
		if end := (*websocket.CloseError)(nil); errors.As(err, &end) {
			return end.Code
		}
		if err != nil {
			p.t.Fatalf("it ends with %v, without a code", err)
		}
	}
}
