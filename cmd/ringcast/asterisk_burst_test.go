package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// scenes are calls as a real Asterisk told them, and how they end for each extension.
var scenes = map[string]map[string]gateway.Outcome{
	"in-answered":  {"101": gateway.Answered},
	"in-ringgroup": {"101": gateway.Elsewhere, "102": gateway.Answered},
	"in-noanswer":  {"101": gateway.Missed},
	"in-cancelled": {"101": gateway.Cancelled},
	"out-answered": {"101": gateway.Answered},
}

// scene is one of them: its events with CALL for what is each call's own.
type scene struct {
	events   []string
	id       string // of the call
	outcomes map[string]gateway.Outcome
}

func readScene(t *testing.T, name string) scene {
	t.Helper()
	data, err := os.ReadFile("../../gateway/asterisk/testdata/" + name + ".ami")
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`\b\d{10}(\.\d+)\b`)
	bridge := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	s := scene{outcomes: scenes[name]}
	for event := range strings.SplitSeq(string(data), "\r\n\r\n") {
		if !strings.Contains(event, "\r\nPrivilege: call,") { // as the link asks for
			continue
		}
		event = bridge.ReplaceAllString(own.ReplaceAllString(event, "CALL$1"), "CALL-$0")
		s.events = append(s.events, event+"\r\n\r\n")
		if linked := regexp.MustCompile(`\nLinkedid: (\S+)`).FindStringSubmatch(event); s.id == "" && linked != nil {
			s.id = linked[1]
		}
	}
	return s
}

// exchange is a PBX that sends events as fast as it is told to. It keeps what Asterisk's default for
// writetimeout asks of its clients: who does not take an event within 100 ms is dropped.
type exchange struct {
	t        *testing.T
	listener net.Listener
	linked   chan net.Conn
	served   sync.WaitGroup

	write sync.Mutex
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{t: t, listener: l, linked: make(chan net.Conn, 16)}
	x.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			x.served.Go(func() { x.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		x.served.Wait()
	})
	return x
}

func (x *exchange) send(conn net.Conn, text string) error {
	x.write.Lock()
	defer x.write.Unlock()
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := conn.Write([]byte(text))
	return err
}

func (x *exchange) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	say := func(text string) {
		if err := x.send(conn, text); err != nil && !errors.Is(err, net.ErrClosed) {
			x.t.Errorf("the link does not take an answer: %v", err)
		}
	}
	say("Asterisk Call Manager/11.0.0\r\n")
	fields := map[string]string{}
	for in := bufio.NewScanner(conn); in.Scan(); {
		if key, value, ok := strings.Cut(in.Text(), ": "); ok {
			fields[key] = value
			continue
		}
		id := "ActionID: " + fields["ActionID"] + "\r\n"
		say("Response: Success\r\n" + id + "\r\n")
		switch fields["Action"] {
		case "CoreShowChannels":
			say("Event: CoreShowChannelsComplete\r\n" + id + "ListItems: 0\r\n\r\n")
			x.linked <- conn
		case "Originate":
			say("Event: OriginateResponse\r\n" + id + "Response: Failure\r\nReason: 0\r\n\r\n")
		}
		clear(fields)
	}
}

// burst plays calls, many at a time, at so many events a second for so long, and then to their end. It returns
// what was sent: the outcomes of each call by extension.
func (x *exchange) burst(conn net.Conn, rate int, lasting time.Duration) (sent map[string]map[string]gateway.Outcome, events int) {
	var cast []scene
	for name := range scenes {
		cast = append(cast, readScene(x.t, name))
	}
	type played struct {
		scene
		number string
		next   int
	}
	const atOnce, beat = 200, 5 * time.Millisecond
	sent = map[string]map[string]gateway.Outcome{}
	var calls []*played
	begin := func() {
		c := &played{scene: cast[len(sent)%len(cast)], number: fmt.Sprint(1700000000 + len(sent))}
		sent["office:"+strings.ReplaceAll(c.id, "CALL", c.number)] = c.outcomes
		calls = append(calls, c)
	}
	random := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		elapsed := time.Since(began)
		for elapsed < lasting && len(calls) < atOnce {
			begin()
		}
		if len(calls) == 0 {
			return sent, events
		}
		var group strings.Builder
		due := min(int(elapsed.Seconds()*float64(rate)), events+rate/20) // not all at once that a machine owes that stood still
		for ; events < due && len(calls) > 0; events++ {
			i := random.IntN(len(calls))
			c := calls[i]
			group.WriteString(strings.ReplaceAll(c.events[c.next], "CALL", c.number))
			if c.next++; c.next == len(c.events) {
				calls[i] = calls[len(calls)-1]
				calls = calls[:len(calls)-1]
				if elapsed < lasting {
					begin()
				}
			}
		}
		if err := x.send(conn, group.String()); err != nil {
			x.t.Fatalf("the link does not keep up: %v after %d events", err, events)
		}
	}
}

// ends is what a user was told of how his calls ended.
type ends struct {
	mu       sync.Mutex
	outcomes map[string]gateway.Outcome
	versions map[string]int
	wrong    []string
}

func (e *ends) take(m gateway.Message) {
	var v gateway.View
	if err := json.Unmarshal(m.Call, &v); err != nil {
		panic(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if v.Version <= e.versions[v.ID] {
		e.wrong = append(e.wrong, fmt.Sprintf("%s: version %d after %d", v.ID, v.Version, e.versions[v.ID]))
	}
	e.versions[v.ID] = v.Version
	if v.Outcome == nil {
		return
	}
	if before, ended := e.outcomes[v.ID]; ended && before != *v.Outcome {
		e.wrong = append(e.wrong, fmt.Sprintf("%s ended as %s and as %s", v.ID, before, *v.Outcome))
	}
	e.outcomes[v.ID] = *v.Outcome
}

func (e *ends) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.outcomes)
}

// TestAsteriskBurst: 10,000 events a second, of many calls at a time, go through the link into the log without
// one that is lost. RINGCAST_ASTERISK=all makes it ten seconds of them. It has the machine to itself: the PBX waits for
// nobody.
func TestAsteriskBurst(t *testing.T) {
	x := newExchange(t)
	lasting := 2 * time.Second
	if os.Getenv("RINGCAST_ASTERISK") == "all" {
		lasting = 10 * time.Second
	}
	p := start(t, "serve", "-config", configFile(t, fmt.Sprintf(`
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
origins: [%q]
accounts:
  - id: acme
    pbx: [{id: office, kind: asterisk, address: %q, username: ringcast, secret: s3cret}]
    users:
      - {id: "88888", name: Anna, extensions: ["101"]}
      - {id: "99999", name: Boris, extensions: ["102"]}
`, goodOrigin, x.listener.Addr())))
	users := map[string]string{"101": anna, "102": boris}
	told := map[string]*ends{}
	for ext, user := range users {
		told[ext] = &ends{outcomes: map[string]gateway.Outcome{}, versions: map[string]int{}}
		_, stop, err := p.node.gateway.Subscribe("acme", user, "", told[ext].take)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	sent, events := x.burst(<-x.linked, 10000, lasting)
	took := time.Since(began)

	want := map[string]int{}
	for _, outcomes := range sent {
		for ext := range outcomes {
			want[ext]++
		}
	}
	for ext := range users {
		eventually(t, "the end of every call of "+ext, func() bool { return told[ext].count() >= want[ext] })
	}
	late := time.Since(began) - took
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	t.Logf("%d events of %d calls in %v (%.0f a second), the last told %v after; %d MB more of the system's memory",
		events, len(sent), took.Round(time.Millisecond), float64(events)/took.Seconds(), late.Round(time.Millisecond), int64(after.Sys-before.Sys)>>20)
	if grown := int64(after.Sys - before.Sys); grown > 512<<20 {
		t.Errorf("it took %d MB", grown>>20)
	}
	for ext := range users {
		told[ext].mu.Lock()
		defer told[ext].mu.Unlock()
		for id, outcomes := range sent {
			if outcome, part := outcomes[ext]; part && told[ext].outcomes[id] != outcome {
				t.Errorf("%s ended for %s as %q, want %s", id, ext, told[ext].outcomes[id], outcome)
			}
		}
		if len(told[ext].outcomes) != want[ext] || len(told[ext].wrong) > 0 {
			t.Errorf("%s: %d calls told, %d sent; %v", ext, len(told[ext].outcomes), want[ext], told[ext].wrong)
		}
	}
	if n := len(x.linked); n > 0 {
		t.Errorf("connected %d times more", n)
	}
}
