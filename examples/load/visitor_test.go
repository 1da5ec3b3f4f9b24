package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// lonely is a visitor of a crowd that consists of it.
func lonely(t *testing.T, addr string) *visitor {
	t.Helper()
	c := &crowd{
		crowdConfig: crowdConfig{addrs: []string{addr}, tokenLife: time.Hour}, changed: make(chan struct{}, 1), over: t.Context().Done(),
	}
	a := newAccounts(1, 1)[0]
	return &visitor{
		crowd: c, account: a, tab: a.tabs[0], client: "page", home: net.IPv4(127, 0, 0, 1), tally: &tally{}, through: func() {},
		random: rand.New(rand.NewPCG(1, 2)),
	}
}

// callMessage is about the tab's first event.
func callMessage(cursor, prev string) string {
	return fmt.Sprintf(`{"type":"call","cursor":%q,"prev":%q,"event":"call.dial","call":{"id":"main:load0000.101.0","extension":"101"}}`, cursor, prev)
}

func TestEventStream(t *testing.T) {
	t.Parallel()
	hello := "id: 1\ndata: {\"type\":\"hello\",\"cursor\":\"1\"}\n\n"
	for name, c := range map[string]struct {
		stream string
		gives  string // what the error holds
		events int64
	}{
		"whole":              {":" + strings.Repeat(" ", 2048) + "\n\n" + hello + "id: 2\ndata: " + callMessage("2", "1") + "\n\n", "unexpected EOF", 1},
		"half":               {hello + "id: 2\ndata: " + callMessage("2", "1") + "\n", "unexpected EOF", 0},
		"another id":         {hello + "id: 3\ndata: " + callMessage("2", "1") + "\n\n", "an event's id", 1},
		"not JSON":           {hello + "data: {\n\n", "message", 0},
		"bye":                {hello + "data: {\"type\":\"bye\",\"code\":\"draining\",\"retry_in\":[10,20]}\n\n" + hello, "draining", 0},
		"a ping has no id":   {hello + "data: {\"type\":\"ping\"}\n\n", "unexpected EOF", 0},
		"in two data fields": {hello + "data: {\"type\":\ndata: \"ping\"}\n\n", "unexpected EOF", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := lonely(t, "")
			v.tab.posting(time.Now())
			err := v.takeEvents(strings.NewReader(c.stream))
			if err == nil || !strings.Contains(err.Error(), c.gives) || v.crowd.delivered.Load() != c.events {
				t.Errorf("%d events, %v", v.crowd.delivered.Load(), err)
			}
		})
	}
}

// TestScriptPoll: the answer is a script of one form, and each ticket leads to the next.
func TestScriptPoll(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(text string) {
			fmt.Fprintf(w, "/**/typeof __ringcast.x==='function'&&__ringcast.x(%s);", text)
		}
		switch n := asked.Add(1); {
		case r.Method == http.MethodPost:
			fmt.Fprintf(w, `{"ticket":"t%d","expires_at":"2030-01-01T00:00:00.000Z"}`, n)
		case r.FormValue("ticket") == "t1" && r.FormValue("cursor") == "":
			answer(`{"cursor":"1","messages":[{"type":"hello","cursor":"1"}],"ticket":"t2"}`)
		case r.FormValue("ticket") == "t2" && r.FormValue("cursor") == "1" && n == 3:
			answer(`{"cursor":"2","messages":[` + callMessage("2", "1") + `],"ticket":"t3"}`)
		case r.FormValue("ticket") == "t3":
			answer(`{"error":{"code":"draining","message":"","retry_in":[10,20]}}`)
		default:
			_, _ = w.Write([]byte(`alert("what?")`))
		}
	}))
	defer web.Close()
	v := lonely(t, web.Listener.Addr().String())
	v.tab.posting(time.Now())
	err := visitScript(t.Context(), v)
	var refused *refusal
	if !errors.As(err, &refused) || refused.Code != "draining" || final(err) || v.crowd.delivered.Load() != 1 || v.ticket != "" {
		t.Errorf("%v; %d events, ticket %q", err, v.crowd.delivered.Load(), v.ticket)
	}
	if d := v.delay(9); d < 10*time.Millisecond || d >= 20*time.Millisecond {
		t.Errorf("it comes back after %v, and not in the server's window", d)
	}
	v.ticket = "t9"
	if err := visitScript(t.Context(), v); err == nil || !strings.Contains(err.Error(), "not the script of a poll") {
		t.Errorf("%v", err)
	}
	v.hangUp(false)
}

// TestCutsLoseWhatIsNotKept: the run that is to find faults finds them in a server that has them.
func TestCutsLoseWhatIsNotKept(t *testing.T) {
	t.Parallel()
	b := newBoard()
	web := httptest.NewServer(b.handler(bareDoor(b)))
	defer web.Close()
	accounts := newAccounts(6, 3)
	addrs := []string{web.Listener.Addr().String()}
	c, err := connect(t.Context(), accounts, crowdConfig{addrs: addrs, rungs: []string{"ws"}, returns: true, seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	calm := c.disturb(t.Context(), 50, (*visitor).cut)
	l := load{addrs: addrs, retries: true, batch: 1, every: 5 * time.Millisecond, duration: time.Second}
	s, _, err := l.run(t.Context(), accounts, 3)
	calm()
	if err == nil {
		err = c.await(t.Context(), int64(s.acknowledged), 100*time.Millisecond)
	}
	r := result{acknowledged: s.acknowledged}
	if r.settle(accounts); err != nil || r.acknowledged != 200 || r.faults.lost == 0 || r.faults.resets == 0 || r.delivered+r.faults.lost != 200 {
		t.Errorf("%+v, %v", r, err)
	}
	if away, _ := c.takeReturns(); len(away) == 0 {
		t.Error("nobody came back")
	}
}

// TestResumeOrReset: a hello that goes on where the tab was is whole, any other after the first is not.
func TestResumeOrReset(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hellos  []message
		resumes int
		want    faults
	}{
		"first visit":    {[]message{{Cursor: "5"}}, 0, faults{}},
		"resumed":        {[]message{{Cursor: "5"}, {Cursor: "5", Resumed: true}}, 1, faults{}},
		"reset":          {[]message{{Cursor: "5"}, {Cursor: "5"}}, 0, faults{resets: 1}},
		"resumed beyond": {[]message{{Cursor: "5"}, {Cursor: "6", Resumed: true}}, 0, faults{gaps: 1}},
	} {
		tab := newTab("load0000", "101")
		for _, hello := range c.hellos {
			tab.greet(hello)
		}
		if s := tab.settle(); s.resumes != c.resumes || s.faults != c.want {
			t.Errorf("%s: %d resumes, %+v", name, s.resumes, s.faults)
		}
	}
}

func TestWhoStaysAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&websocket.CloseError{Code: 4001}, false},
		{fmt.Errorf("x: %w", &websocket.CloseError{Code: 4501}), true},
		{&refusal{Status: 503, Code: "draining"}, false},
		{&refusal{Status: 401, Code: "ticket_used"}, false},
		{&refusal{Status: 401, Code: "bad_token"}, true},
		{&refusal{Status: 404, Code: "not_found"}, true},
		{net.ErrClosed, false},
	} {
		if final(c.err) != c.want {
			t.Errorf("%v: %v", c.err, final(c.err))
		}
	}
}

// TestPostsUntilTaken: what a server did not take, or took and did not say so, is posted again and counted once.
func TestPostsUntilTaken(t *testing.T) {
	t.Parallel()
	answers := make(chan func(http.ResponseWriter), 9)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { (<-answers)(w) }))
	defer web.Close()
	status := func(code int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		}
	}
	taken, known := status(202, `{"accepted":1,"duplicates":0}`), status(202, `{"accepted":0,"duplicates":1}`)
	lost := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		answers        []func(http.ResponseWriter)
		repeated, good int
	}{
		"taken":                    {[]func(http.ResponseWriter){taken}, 0, 1},
		"taken, the answer lost":   {[]func(http.ResponseWriter){lost, known}, 1, 1},
		"refused for the moment":   {[]func(http.ResponseWriter){status(503, "{}"), taken}, 1, 1},
		"refused for good":         {[]func(http.ResponseWriter){status(400, "{}")}, 0, 0},
		"known before it was sent": {[]func(http.ResponseWriter){known}, 0, 0},
	} {
		for _, a := range c.answers {
			answers <- a
		}
		l := load{addrs: []string{web.Listener.Addr().String()}, retries: true, batch: 1, once: true, duration: time.Minute}
		s, _, err := l.run(t.Context(), newAccounts(1, 1), 1)
		if err != nil || s.repeated != c.repeated || s.acknowledged != c.good || (s.refused == nil) != (c.good == 1) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	x, y := []float64{0, 1, 2, 3, 4}, []float64{7, 9, 11, 13, 15}
	if slope, deviation := fit(x, y); math.Abs(slope-2) > 1e-9 || deviation > 1e-9 {
		t.Errorf("slope %v ± %v", slope, deviation)
	}
	if slope, deviation := fit(x, []float64{5, 4, 6, 4, 5}); math.Abs(slope) > deviation {
		t.Errorf("noise has a slope: %v ± %v", slope, deviation)
	}
	if _, deviation := fit([]float64{1, 1, 1}, []float64{1, 2, 3}); !math.IsInf(deviation, 1) {
		t.Error("a line through points above each other")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP a what it is\na 1.5\nb{c=\"d e\"} 2\nb{c=\"f\"} 3e1\n"))
	}))
	defer web.Close()
	m, err := node{ops: web.Listener.Addr().String()}.metrics(t.Context())
	if err != nil || m["a"] != 1.5 || m["b"] != 32 || m[`b{c="d e"}`] != 2 {
		t.Errorf("%v, %v", m, err)
	}
}
