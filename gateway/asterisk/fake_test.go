package asterisk

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// fake is an Asterisk manager as a link sees it, on a port of its own. It knows user "gateway" with
// secret "s3cret".
type fake struct {
	t    *testing.T
	addr string

	mu     sync.Mutex
	denies map[string]string                              // action: the message with which it is refused
	list   func(actionID string) []message                // CoreShowChannels; nil: none
	answer map[string]func(m message, reply func(string)) // what happens after "Success" to an action
	busy   map[string]func()                              // what it does before it answers an action; nil: nothing
	refuse func(m message) string                         // as denies, by what is asked for; nil: nothing is refused
	mute   string                                         // the event that it does not send by itself
	files  map[string]string                              // of the recording of a channel, by name
	value  func(variable string) string                   // what Getvar gives without a channel; nil: nothing

	paced bool    // plays a trace as fast as it was
	at    float64 // the time stamp of the latest event

	sessions chan *fakeSession // those that have logged in and had their lists
}

// fakeSession is one connection to a fake.
type fakeSession struct {
	conn    net.Conn
	write   sync.Mutex
	actions chan message // that arrived, but for login, lists and pings
	ended   chan struct{}
}

func newFake(t *testing.T) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newFakeOn(t, listener)
}

func newFakeOn(t *testing.T, listener net.Listener) *fake {
	t.Helper()
	f := &fake{
		t: t, addr: listener.Addr().String(), denies: map[string]string{},
		answer: map[string]func(message, func(string)){}, sessions: make(chan *fakeSession, 16),
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close() // over
		mu.Lock()
		for _, conn := range open {
			conn.Close() // over
		}
		mu.Unlock()
		all.Wait()
	})
	return f
}

func (f *fake) deny(action, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denies[action] = message
}

func (f *fake) setList(list func(actionID string) []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

// on says what follows the successful answer to an action; reply sends messages.
func (f *fake) on(action string, follow func(m message, reply func(string))) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[action] = follow
}

func (f *fake) serve(conn net.Conn) {
	s := &fakeSession{conn: conn, actions: make(chan message, 64), ended: make(chan struct{})}
	defer close(s.ended)
	s.send(greeting)
	in := newReader(conn)
	for {
		m, err := in.next()
		if err != nil {
			return
		}
		f.obey(s, m)
	}
}

func (f *fake) obey(s *fakeSession, m message) {
	f.mu.Lock()
	name := m.get("Action")
	denied, list, follow, mute, wait := f.denies[name], f.list, f.answer[name], f.mute, f.busy[name]
	if f.refuse != nil && denied == "" {
		denied = f.refuse(m)
	}
	file, value := f.files[m.get("Channel")], ""
	if f.value != nil && name == "Getvar" && m.get("Channel") == "" {
		value = f.value(m.get("Variable"))
	}
	f.mu.Unlock()
	id := m.get("ActionID")
	respond := func(kind, fields string) {
		s.send("Response: " + kind + "\r\nActionID: " + id + "\r\n" + fields + "\r\n\r\n")
	}
	if denied != "" {
		respond("Error", "Message: "+denied)
		return
	}
	switch name {
	case "Challenge":
		respond("Success", "Challenge: 840415273")
	case "Login":
		sum := md5.Sum([]byte("840415273" + "s3cret"))
		if m.get("Username") != "gateway" || m.get("Secret") != "s3cret" && m.get("Key") != hex.EncodeToString(sum[:]) {
			respond("Error", "Message: Authentication failed")
			return
		}
		respond("Success", "Message: Authentication accepted")
		if mute != "FullyBooted" {
			s.send("Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n")
		}
	case "BridgeList", "ParkedCalls":
		respond("Success", "EventList: start")
	case "CoreShowChannels":
		respond("Success", "EventList: start\r\nMessage: Channels will follow")
		if list == nil {
			list = (&exchange{}).list
		}
		for _, m := range list(id) {
			s.sendMessage(m)
		}
		f.sessions <- s
	case "Ping":
		respond("Success", "Ping: Pong")
	case "CoreSettings":
		respond("Success", "AMIversion: 11.0.0\r\nAsteriskVersion: 22.10.1")
	default:
		if len(m) == 2 { // without arguments: whether it may
			respond("Error", "Message: Channel not specified")
			return
		}
		if m.get("Variable") == fileVariable {
			respond("Success", "Variable: "+fileVariable+"\r\nValue: "+file)
			return
		}
		if m.get("Channel") == "Ringcast/none" {
			respond("Success", "Message: Originate successfully queued")
			if mute != "OriginateResponse" {
				s.send("Event: OriginateResponse\r\nActionID: " + id + "\r\nResponse: Failure\r\nReason: 0\r\n\r\n")
			}
			return
		}
		s.actions <- m // before it is answered: who has the answer may look
		if name == "Getvar" && m.get("Channel") == "" {
			respond("Success", "Variable: "+m.get("Variable")+"\r\nValue: "+value)
			return
		}
		if wait != nil {
			wait()
		}
		respond("Success", "Message: queued")
		if follow != nil {
			follow(m, s.send)
		}
	}
}

func (s *fakeSession) send(raw string) {
	s.write.Lock()
	defer s.write.Unlock()
	s.conn.Write([]byte(raw)) // a link that has gone is no failure
}

func (s *fakeSession) sendMessage(m message) { s.send(encodeMessage(m)) }

func encodeMessage(m message) string { return m.text() }

// recorder is a sink that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	events []gateway.Event
	lives  [][]string
	refuse error // what Emit returns
	hold   chan struct{}
	news   chan struct{} // closed, and made anew, at every change
}

func newRecorder() *recorder { return &recorder{news: make(chan struct{})} }

func (r *recorder) Emit(ctx context.Context, events []gateway.Event) error {
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed()
	for _, e := range events {
		if strings.Contains(e.Line, "invalid") {
			return gateway.Errorf(gateway.CodeInvalid, "line")
		}
	}
	if r.refuse != nil {
		return r.refuse
	}
	r.events = append(r.events, events...)
	return nil
}

func (r *recorder) Live(_ context.Context, calls []string, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed()
	r.lives = append(r.lives, calls)
	return nil
}

func (r *recorder) changed() {
	close(r.news)
	r.news = make(chan struct{})
}

func (r *recorder) set(refuse error, hold chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse, r.hold = refuse, hold
}

func (r *recorder) told() []gateway.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]gateway.Event(nil), r.events...)
}

// until waits until what was told satisfies a condition.
func (r *recorder) until(t *testing.T, what string, ok func(r *recorder) bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		done, news := ok(r), r.news
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-timeout:
			t.Fatalf("timed out waiting for %s; told:\n  %s", what, strings.Join(brief(r.told()), "\n  "))
		}
	}
}

func (r *recorder) untilEvents(t *testing.T, n int) []gateway.Event {
	t.Helper()
	r.until(t, fmt.Sprint(n, " events"), func(r *recorder) bool { return len(r.events) >= n })
	return r.told()
}

// untilOver waits until so many calls have ended.
func (r *recorder) untilOver(t *testing.T, calls int) []gateway.Event {
	t.Helper()
	r.until(t, fmt.Sprint(calls, " calls to end"), func(r *recorder) bool {
		n := 0
		for _, e := range r.events {
			if isEnd(e) {
				n++
			}
		}
		return n >= calls
	})
	return r.told()
}

func (f *fake) config() Config {
	return Config{
		ID: "office", Address: f.addr, Username: "gateway", Secret: "s3cret", IsExtension: isUser,
		Logger: slog.New(slog.NewTextHandler(f.t.Output(), nil)),
	}
}

// run runs a link to the fake until the test ends, and waits until it is up.
func (f *fake) run(cfg Config, sink gateway.Sink) (*Link, *fakeSession) {
	f.t.Helper()
	l := f.start(cfg, sink)
	return l, f.session()
}

func (f *fake) start(cfg Config, sink gateway.Sink) *Link {
	l := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, sink) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	return l
}

func (f *fake) session() *fakeSession {
	f.t.Helper()
	select {
	case s := <-f.sessions:
		return s
	case <-time.After(30 * time.Second):
		f.t.Fatal("no session")
		return nil
	}
}

var errDown = errors.New("the log is down")
