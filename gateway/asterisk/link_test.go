package asterisk

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// prepare returns what of a trace is to be sent as Asterisk sent it. Lists in it become what the fake lists.
func (f *fake) prepare(trace []message) []message {
	var listed, events []message
	for _, m := range trace {
		switch {
		case strings.HasPrefix(m.get("Event"), "CoreShowChannel"):
			listed = append(listed, m)
		case m.get("Event") != "FullyBooted":
			events = append(events, m)
		}
	}
	if len(listed) > 0 {
		f.setList(func(id string) []message {
			for i, m := range listed {
				m = slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == "ActionID" })
				listed[i] = append(m, field{"ActionID", id})
			}
			return listed
		})
	}
	return events
}

// TestLinkTellsEveryTrace plays each at the speed at which it was recorded: the link tells what the correlator makes
// of it, timed on arrival.
func TestLinkTellsEveryTrace(t *testing.T) {
	t.Parallel()
	for _, name := range traceNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, r := pipeFake(t), newRecorder()
				f.paced = true
				events := f.prepare(readTrace(t, name))
				began := time.Now().Truncate(time.Microsecond)
				l := New(f.config())
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- l.Run(ctx, r) }()
				s := <-f.sessions
				for _, m := range events {
					f.pace(m)
					s.sendMessage(m)
				}
				synctest.Wait()
				cancel()
				<-ended
				told := r.told()
				checkSane(t, told)
				if told[0].At.Before(began) || told[len(told)-1].At.After(time.Now().Add(time.Millisecond)) {
					t.Errorf("events are not timed on arrival: %v", told[0].At)
				}
				c := newCorrelator("t-", isUser)
				want := brief(replay(t, c, readTrace(t, name)))
				if got := brief(told); !slices.Equal(got, want) {
					t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
				}
			})
		})
	}
}

// TestCallThatEndsWhileTheLinkIsCut is the case of a card that would stay for ever.
func TestCallThatEndsWhileTheLinkIsCut(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	_, s := f.run(f.config(), r)
	x := exchange{map[string]message{}}
	for _, m := range heedfulTrace(t, "in-answered") {
		if m.get("Event") == "HangupRequest" {
			break
		}
		s.sendMessage(m)
		x.take(m)
	}
	r.untilEvents(t, 2)
	s.conn.Close() // this is the cut
	f.session()
	wantEvents(t, r.untilOver(t, 1), "dial 1795253959.69 101", "bridge 1795253959.69 101", "hangup 1795253959.69 normal")
	r.until(t, "the list of live calls", func(r *recorder) bool { return len(r.lives) == 2 && len(r.lives[1]) == 0 })
}

// TestCallSurvivesACut: the link is cut in a talk and comes back before it ends.
func TestCallSurvivesACut(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	x := exchange{map[string]message{}}
	_, s := f.run(f.config(), r)
	trace := heedfulTrace(t, "in-answered")
	end := slices.IndexFunc(trace, func(m message) bool { return m.get("Event") == "HangupRequest" })
	for _, m := range trace[:end] {
		s.sendMessage(m)
		x.take(m)
	}
	r.untilEvents(t, 2)
	f.setList(x.list)
	s.conn.Close() // this is the cut
	s = f.session()
	r.until(t, "the list of live calls", func(r *recorder) bool {
		return len(r.lives) == 2 && slices.Equal(r.lives[1], []string{"1795253959.69"})
	})
	for _, m := range trace[end:] {
		s.sendMessage(m)
	}
	wantEvents(t, r.untilOver(t, 1), "dial 1795253959.69 101", "bridge 1795253959.69 101", "hangup 1795253959.69 normal")
}

// TestEventsThatTheLogDidNotTake come after it is back, once, with what happened meanwhile.
func TestEventsThatTheLogDidNotTake(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	x := exchange{map[string]message{}}
	_, s := f.run(f.config(), r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	r.set(&gateway.Error{Code: gateway.CodeUnavailable, Err: errDown}, nil)
	trace := heedfulTrace(t, "in-ringgroup")
	end := slices.IndexFunc(trace, func(m message) bool { return m.get("Event") == "HangupRequest" })
	for _, m := range trace[:end] {
		x.take(m)
	}
	f.setList(x.list)
	for _, m := range trace[:end] {
		s.sendMessage(m)
	}
	<-s.ended // the link drops the connection, and again until events are taken
	r.set(nil, nil)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 2 })
	s = f.lastSession()
	for _, m := range trace[end:] {
		s.sendMessage(m)
	}
	told := r.untilOver(t, 1)
	checkSane(t, told)
	c := track(t, told)["1795254007.107"]
	if c.AnsweredBy == nil || c.AnsweredBy.Extension != "102" || c.EndedAt.IsZero() {
		t.Errorf("got %+v", c.Known)
	}
}

// lastSession returns the latest session.
func (f *fake) lastSession() *fakeSession {
	s := f.session()
	for len(f.sessions) > 0 {
		s = f.session()
	}
	return s
}

func TestEventThatIsInvalidIsDroppedAlone(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	r.set(nil, make(chan struct{}))
	hold := r.hold
	_, s := f.run(f.config(), r)
	s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "invalid"))
	s.sendMessage(newchannel("PJSIP/101-2", "2", "1", "0", "", "s"))
	s.sendMessage(newstate("2", "5"))
	s.sendMessage(hangup("2", "16"))
	s.sendMessage(hangup("1", "16"))
	close(hold)
	r.set(nil, nil)
	wantEvents(t, r.untilOver(t, 1), "hangup 1 101 no_answer", "hangup 1 no_answer")
}

// TestSlowSinkDoesNotStallTheReader: the PBX is read however long the sink takes, and when too much has
// gathered the link drops the connection itself and begins again.
func TestSlowSinkDoesNotStallTheReader(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	hold := make(chan struct{})
	_, s := f.run(f.config(), r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	r.set(nil, hold)
	s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
	s.sendMessage(newchannel("PJSIP/101-2", "2", "1", "0", "", "s"))
	s.sendMessage(newstate("2", "5"))
	big := append(newstate("2", "5"), field{"Padding", strings.Repeat("x", maxLine/2)})
	burst := strings.Repeat(encodeMessage(big), 100)
	for range maxInbox/len(burst) + 4 {
		s.send(burst)
	}
	<-s.ended // not because it waited: it stopped reading us
	r.set(nil, nil)
	close(hold)
	f.session()
	wantEvents(t, r.untilOver(t, 1), "dial 1 101", "hangup 1 no_answer")
}

func TestRefusedLoginIsSaidAndTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pipeFake(t)
		cfg := f.config()
		cfg.Secret = "wrong"
		l := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, newRecorder()) }()
		synctest.Wait()
		state := l.State()
		if state.State != "refused" || !strings.Contains(state.Reason, "Authentication failed") {
			t.Errorf("got %+v", state)
		}
		time.Sleep(refusedPause + time.Second) // fake time
		synctest.Wait()
		if n := f.connects; n != 2 {
			t.Errorf("%d attempts to log in, want a second one", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAddressWithoutAPort(t *testing.T) {
	t.Parallel()
	if err := New(Config{Address: "pbx"}).Run(t.Context(), newRecorder()); err == nil || !strings.Contains(err.Error(), "host:5038") {
		t.Errorf("got %v", err)
	}
}

func TestBackoffIsJitteredAndBounded(t *testing.T) {
	t.Parallel()
	var b backoff
	bound := minBackoff
	for range 12 {
		if d := b.next(); d <= 0 || d > bound+time.Millisecond {
			t.Errorf("%v, bound %v", d, bound)
		}
		bound = min(2*bound, maxBackoff)
	}
	b.reset()
	if d := b.next(); d > minBackoff+time.Millisecond {
		t.Errorf("%v after a reset", d)
	}
}

// bubbleFake is a fake within a synctest bubble: its connections are pipes, its time is the bubble's.
type bubbleFake struct {
	*fake
	connects int
	mute     bool // does not answer pings
}

func pipeFake(t *testing.T) *bubbleFake {
	t.Helper()
	return &bubbleFake{fake: &fake{
		t: t, addr: "pbx:5038", denies: map[string]string{},
		answer: map[string]func(message, func(string)){}, sessions: make(chan *fakeSession, 16),
	}}
}

func (f *bubbleFake) config() Config {
	cfg := f.fake.config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Connect = func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		f.connects++
		if f.mute {
			far = deafAfterList{far}
		}
		go f.serve(far)
		return near, nil
	}
	return cfg
}

// deafAfterList is a connection that dies without a word once the lists were asked for.
type deafAfterList struct{ net.Conn }

func (c deafAfterList) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if strings.Contains(string(p[:n]), "Action: Ping") {
		io.Copy(io.Discard, c.Conn) // it says nothing any more
		return 0, io.EOF
	}
	return n, err
}

func TestDeadConnectionIsFoundByPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pipeFake(t)
		f.mute = true
		cfg := f.config()
		l := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, newRecorder()) }()
		synctest.Wait()
		if s := l.State().State; s != "connected" {
			t.Errorf("state %s", s)
		}
		time.Sleep(l.cfg.KeepAlive + actionTimeout + time.Second) // fake time
		synctest.Wait()
		if f.connects < 2 {
			t.Errorf("%d connections", f.connects)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestLostEventDoesNotLast: a hangup that was never sent is found out by the list that is asked for now
// and then.
func TestLostEventDoesNotLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pipeFake(t)
		cfg, r := f.config(), newRecorder()
		l := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, r) }()
		s := <-f.sessions
		s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
		synctest.Wait()
		time.Sleep((listEvery + 1) * l.cfg.KeepAlive) // fake time
		synctest.Wait()
		wantEvents(t, r.told(), "dial 1", "hangup 1 no_answer")
		if len(r.lives) != 1 || f.connects != 1 {
			t.Errorf("%d lists of live calls, %d connections", len(r.lives), f.connects)
		}
		cancel()
		<-ended
	})
}

// TestAsteriskStartsAgain: FullyBooted in the middle of a connection asks for a new list.
func TestAsteriskStartsAgain(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	_, s := f.run(f.config(), r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
	s.sendMessage(event("FullyBooted", "Status", "Fully Booted"))
	wantEvents(t, r.untilOver(t, 1), "dial 1", "hangup 1 no_answer")
}

// TestAsteriskStops: calls do not outlive it, and nobody waits until it is back to learn that.
func TestAsteriskStops(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	_, s := f.run(f.config(), r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
	s.sendMessage(newchannel("PJSIP/101-2", "2", "1", "0", "", "s"))
	s.sendMessage(newstate("2", "5"))
	s.sendMessage(event("Shutdown", "Shutdown", "Uncleanly", "Restart", "True"))
	told := r.untilOver(t, 1)
	wantEvents(t, told[:1], "dial 1 101")
	s.conn.Close() // and then it goes
	f.session()
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 2 && len(r.lives[1]) == 0 })
}

// TestHalfOpenConnection: the network between has forgotten the connection, and nothing says so. The link finds out
// in bounded time, and what happened meanwhile is told by the list of the next connection.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pipeFake(t)
		f.mute = true
		cfg, r := f.config(), newRecorder()
		l := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, r) }()
		s := <-f.sessions
		s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
		s.sendMessage(newchannel("PJSIP/101-2", "2", "1", "0", "", "s"))
		s.sendMessage(newstate("2", "5"))
		cut := time.Now()
		<-f.sessions
		synctest.Wait()
		if took, most := time.Since(cut), l.cfg.KeepAlive+actionTimeout+minBackoff; took > most {
			t.Errorf("found out after %v, want %v at most", took, most)
		}
		told := r.told()
		if last := brief(told)[len(told)-1]; last != "hangup 1 no_answer" {
			t.Errorf("the call that is gone ends with %q", last)
		}
		cancel()
		<-ended
	})
}
