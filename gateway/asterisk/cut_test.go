package asterisk

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// everything says whether to try all that takes long: RINGCAST_ASTERISK=all.
func everything() bool { return os.Getenv("RINGCAST_ASTERISK") == "all" }

// way is how a link comes back after a cut: how many events nobody heard, how many come before the list of
// channels, and how many after it though they happened before: Asterisk sends a list at once, and events from a
// queue.
type way struct{ lost, before, late int }

func (w way) String() string {
	return fmt.Sprintf("lost %d, before %d, late %d", w.lost, w.before, w.late)
}

// TestLinkCutAtEveryEvent cuts the connection at every event of every trace. What the link tells in the end is
// what it tells without the cut; where events were lost, every call that it told of ends, once.
func TestLinkCutAtEveryEvent(t *testing.T) {
	t.Parallel()
	ways := []way{{}, {before: 3}, {late: 4}, {lost: 2}, {lost: 9, before: 1, late: 1}}
	for n, name := range traceNames(t) {
		if name == "resync-midcall" {
			continue // begins with a list of its own
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace := heedfulTrace(t, name)
			whole := track(t, replay(t, newCorrelator("t-", isUser), trace))
			step := 1
			if !everything() {
				step = 1 + len(trace)/2
			}
			for i, w := range ways {
				if (i+n)%2 == 1 && !everything() {
					continue
				}
				for cut := (7*n + 5*i) % step; cut <= len(trace); cut += step { // others in each trace
					synctest.Test(t, func(t *testing.T) {
						f := pipeFake(t)
						f.paced = true
						cutTraceAt(t, f.fake, f.config(), trace, whole, cut, w)
					})
				}
				if i == n%2 { // and over a real network, once
					f := newFake(t)
					cfg := f.config()
					cfg.retry = time.Millisecond
					cutTraceAt(t, f, cfg, trace, whole, 13*n%len(trace), w)
				}
			}
		})
	}
}

func cutTraceAt(t *testing.T, f *fake, cfg Config, trace []message, whole map[string]gateway.Call, cut int, w way) {
	t.Helper()
	r := newRecorder()
	l := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, r) }()
	defer func() {
		cancel()
		<-ended
	}()
	s := <-f.sessions
	x := exchange{map[string]message{}}
	play := func(events []message, send func(message)) {
		for _, m := range events {
			send(m)
			x.take(m)
		}
	}
	send := func(m message) {
		f.pace(m)
		s.sendMessage(m)
	}
	play(trace[:cut], send)
	rest := trace[cut:]
	next := func(n int) (events []message) {
		n = min(n, len(rest))
		events, rest = rest[:n], rest[n:]
		return events
	}
	play(next(w.lost), f.pace)
	if len(rest) > 0 {
		f.pace(rest[0])
	}
	before := next(within(rest, w.before))
	late := next(within(rest, w.late))
	f.setList(func(id string) []message {
		var answer []message
		play(before, func(m message) { answer = append(answer, m) })
		play(late, func(message) {})
		answer = slices.Concat(answer, x.list(id), late)
		before, late = nil, nil
		return answer
	})
	s.hangUp() // this is the cut
	s = <-f.sessions
	r.until(t, "a second sync", func(r *recorder) bool { return len(r.lives) == 2 })
	play(rest, send)
	if w.lost+w.late == 0 {
		r.untilOver(t, len(whole))
	} else {
		synctest.Wait()
	}
	told := r.told()
	checkSane(t, told)
	calls := track(t, told)
	if w.lost == 0 {
		sameCalls(t, calls, whole, w.late > 0 || !f.paced)
	}
	if t.Failed() {
		t.Logf("cut at %d of %d, %v; told\n  %s", cut, len(trace), w, strings.Join(brief(told), "\n  "))
	}
}

// hangUp ends a connection so that all that was sent arrives: what is lost is the test's to say.
func (s *fakeSession) hangUp() {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		tcp.CloseWrite() // a close would throw away what is under way if the link has just sent something
		return
	}
	s.conn.Close() // over
}

// pace waits, within a bubble, as long as there was between the events of a trace.
func (f *fake) pace(m message) {
	at := timestamp(m)
	if f.paced && at > f.at && f.at > 0 {
		time.Sleep(time.Duration((at - f.at) * float64(time.Second))) // fake time
	}
	f.at = at
}

func timestamp(m message) float64 {
	s, _ := strconv.ParseFloat(m.get("Timestamp"), 64)
	return s
}

// within returns how many of n events come close enough to each other to be about a list of channels.
func within(events []message, n int) int {
	for i, m := range events[:min(n, len(events))] {
		if timestamp(m)-timestamp(events[0]) > 0.02 {
			return i
		}
	}
	return n
}

// sameCalls compares what a person would see of calls, but for the time. Where Asterisk was late, or all came at once,
// what was dialled may not be known, nor why somebody did not talk, or talks no more.
func sameCalls(t *testing.T, got, want map[string]gateway.Call, late bool) {
	t.Helper()
	for id, w := range want {
		g, ok := got[id]
		if !ok && late && w.AnsweredAt.IsZero() {
			continue // over before Asterisk told of it
		}
		if !ok {
			t.Errorf("call %s was not told", id)
			continue
		}
		if late {
			g.Line, g.To, g.Direction, w.Line, w.To, w.Direction = "", gateway.Number{}, "", "", gateway.Number{}, ""
		}
		if a, b := summary(g, late), summary(w, late); a != b {
			t.Errorf("call %s\n got %s\nwant %s", id, a, b)
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			t.Errorf("call %s, which there was not", id)
		}
	}
}

func summary(c gateway.Call, late bool) string {
	legs := make([]string, 0, len(c.Legs))
	for _, l := range c.Legs {
		if late {
			l.Outcome = ""
		}
		legs = append(legs, fmt.Sprint(l.Extension, " ", l.Outcome, " ", !l.AnsweredAt.IsZero()))
	}
	slices.Sort(legs)
	by := ""
	if c.AnsweredBy != nil {
		by = c.AnsweredBy.Extension
	}
	return fmt.Sprint(c.Direction, " ", c.From.Raw, ">", c.To.Raw, " line ", c.Line, " by ", by, " into ", c.Into, " ", legs)
}
