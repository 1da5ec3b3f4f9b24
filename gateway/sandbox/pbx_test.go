package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// pbxSink writes down what a link says, a line a time.
type pbxSink struct {
	mu     sync.Mutex
	lines  []string
	events []gateway.Event
	lives  []string
	refuse error         // what Emit answers
	stuck  chan struct{} // until it is closed, or ctx ends, Emit does not return
}

func (s *pbxSink) Emit(ctx context.Context, events []gateway.Event) error {
	s.mu.Lock()
	stuck, refuse := s.stuck, s.refuse
	s.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if refuse != nil {
		return refuse
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.events = append(s.events, e)
		line := strings.TrimPrefix(string(e.Type), "call.")
		if e.Type == gateway.EventDial {
			line += fmt.Sprintf(" %s %s>%s", e.Direction, e.From.Raw, e.To.Raw)
		}
		if len(e.Extensions) > 0 {
			line += fmt.Sprint(" ", e.Extensions)
		}
		for _, more := range []string{e.Target, string(e.Cause)} {
			if more != "" {
				line += " " + more
			}
		}
		s.lines = append(s.lines, line)
	}
	return nil
}

func (s *pbxSink) Live(_ context.Context, calls []string, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives = append(s.lives, strings.Join(calls, " "))
	return nil
}

func (s *pbxSink) set(refuse error, stuck chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse, s.stuck = refuse, stuck
}

// heard returns what came since the last heard.
func (s *pbxSink) heard() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines
	s.lines = nil
	return lines
}

func (s *pbxSink) want(t *testing.T, lines ...string) {
	t.Helper()
	if got := s.heard(); !slices.Equal(got, lines) {
		t.Errorf("the sink heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

func (s *pbxSink) wantLive(t *testing.T, calls ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.lives, calls) {
		t.Errorf("Live was told %q, want %q", s.lives, calls)
	}
}

// linked plays f in a bubble of its own time, with a PBX whose link is up.
func linked(t *testing.T, cfg sandbox.PBXConfig, f func(t *testing.T, p *sandbox.PBX, s *pbxSink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, err := sandbox.NewPBX(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s := &pbxSink{}
		go func() { ended <- p.Run(ctx, s) }()
		synctest.Wait()
		f(t, p, s)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code gateway.Code) {
	t.Helper()
	if gateway.CodeOf(err) != code {
		t.Errorf("got error %v, want code %q", err, code)
	}
}

func wantPhones(t *testing.T, p *sandbox.PBX, states ...sandbox.PartyState) {
	t.Helper()
	var got []sandbox.PartyState
	for _, ph := range p.Snapshot().Phones {
		got = append(got, ph.State)
	}
	if !slices.Equal(got, states) {
		t.Errorf("the telephones are %v, want %v", got, states)
	}
}

const (
	ivan   = "+79005550111"
	olga   = "+79005550222"
	office = "+74951234567"
)

func TestPBXCallFlows(t *testing.T) {
	t.Parallel()
	type actors struct {
		*sandbox.PBX
		call string
	}
	ring := func(exts ...string) func(*actors) error {
		return func(a *actors) (err error) { a.call, err = a.Ring(ivan, "", exts...); return err }
	}
	dial := func(ext, to string) func(*actors) error {
		return func(a *actors) (err error) { a.call, err = a.DialOut(ext, to); return err }
	}
	answer := func(ext string) func(*actors) error { return func(a *actors) error { return a.PickUp(ext) } }
	putDown := func(ext string) func(*actors) error { return func(a *actors) error { return a.PutDown(ext) } }
	hold := func(ext string) func(*actors) error { return func(a *actors) error { return a.PressHold(ext) } }
	unhold := func(ext string) func(*actors) error { return func(a *actors) error { return a.PressResume(ext) } }
	transfer := func(ext, to string) func(*actors) error {
		return func(a *actors) error { return a.PressTransfer(ext, to) }
	}
	unregister := func(ext string) func(*actors) error {
		return func(a *actors) error { return a.Register(ext, false) }
	}
	pass := func(d time.Duration) func(*actors) error {
		return func(*actors) error { time.Sleep(d); return nil } // of the bubble's time: takes none
	}
	outsideAnswers := func(a *actors) error { return a.OutsideAnswer(a.call) }
	outsideHangsUp := func(a *actors) error { return a.OutsideHangUp(a.call) }

	const (
		in        = "dial inbound " + ivan + ">" + office
		out       = "dial outbound 101>" + ivan + " [101]"
		untilDone = 10 * time.Second
	)
	for _, c := range []struct {
		name string
		play []func(*actors) error
		want []string
	}{
		{
			"answered, the telephone hangs up", []func(*actors) error{ring("101"), answer("101"), putDown("101")},
			[]string{in + " [101]", "bridge [101]", "hangup normal"},
		},
		{
			"answered, the caller hangs up", []func(*actors) error{ring("101"), answer("101"), outsideHangsUp},
			[]string{in + " [101]", "bridge [101]", "hangup normal"},
		},
		{
			"of both one answers", []func(*actors) error{ring("101", "102"), answer("102"), putDown("102")},
			[]string{in + " [101 102]", "bridge [102]", "hangup [101] elsewhere", "hangup normal"},
		},
		{
			"of both one declines", []func(*actors) error{ring("101", "102"), putDown("101"), answer("102"), outsideHangsUp},
			[]string{in + " [101 102]", "hangup [101] rejected", "bridge [102]", "hangup normal"},
		},
		{
			"both decline", []func(*actors) error{ring("101", "102"), putDown("101"), putDown("102")},
			[]string{in + " [101 102]", "hangup [101] rejected", "hangup [102] rejected", "hangup rejected"},
		},
		{
			"nobody answers", []func(*actors) error{ring("101", "102"), pass(25 * time.Second)},
			[]string{in + " [101 102]", "hangup no_answer"},
		},
		{
			"the caller gives up", []func(*actors) error{ring("101"), outsideHangsUp},
			[]string{in + " [101]", "hangup cancelled"},
		},
		{
			"engaged", []func(*actors) error{dial("101", "102"), answer("102"), ring("101"), putDown("102")},
			[]string{
				"dial internal 101>102 [102]", "bridge [102]",
				in + " [101]", "hangup [101] busy", "hangup busy", "hangup normal",
			},
		},
		{
			"one engaged, one free", []func(*actors) error{ring("101"), ring("101", "102"), answer("102"), putDown("102"), putDown("101")},
			[]string{
				in + " [101]", in + " [101 102]", "hangup [101] busy", "bridge [102]", "hangup normal",
				"hangup [101] rejected", "hangup rejected",
			},
		},
		{
			"not registered", []func(*actors) error{unregister("101"), ring("101")},
			[]string{in + " [101]", "hangup [101] failed", "hangup failed"},
		},
		{
			"unregistered in mid-call", []func(*actors) error{ring("101"), answer("101"), unregister("101")},
			[]string{in + " [101]", "bridge [101]", "hangup normal"},
		},
		{
			"hold", []func(*actors) error{ring("101"), answer("101"), hold("101"), unhold("101"), hold("101"), outsideHangsUp},
			[]string{in + " [101]", "bridge [101]", "hold [101]", "unhold [101]", "hold [101]", "hangup normal"},
		},
		{
			"transfer", []func(*actors) error{ring("101"), answer("101"), transfer("101", "102"), answer("102"), putDown("102")},
			[]string{in + " [101]", "bridge [101]", "transfer [101] 102", in + " [102]", "bridge [102]", "hangup normal"},
		},
		{
			"transfer that nobody takes", []func(*actors) error{ring("101"), answer("101"), transfer("101", "102"), pass(25 * time.Second)},
			[]string{in + " [101]", "bridge [101]", "transfer [101] 102", in + " [102]", "hangup no_answer"},
		},
		{
			"outbound, answered by itself", []func(*actors) error{dial("101", "+7 (900) 555-01-11"), pass(untilDone), putDown("101")},
			[]string{out, "bridge [101]", "hangup normal"},
		},
		{
			"outbound, answered", []func(*actors) error{dial("101", ivan), outsideAnswers, pass(untilDone), outsideHangsUp},
			[]string{out, "bridge [101]", "hangup normal"},
		},
		{
			"outbound, declined", []func(*actors) error{dial("101", ivan), outsideHangsUp, pass(untilDone)},
			[]string{out, "hangup rejected"},
		},
		{
			"outbound, given up", []func(*actors) error{dial("101", ivan), putDown("101"), pass(untilDone)},
			[]string{out, "hangup cancelled"},
		},
		{
			"internal", []func(*actors) error{dial("101", "102"), answer("102"), putDown("101")},
			[]string{"dial internal 101>102 [102]", "bridge [102]", "hangup normal"},
		},
		{
			"internal, declined", []func(*actors) error{dial("101", "102"), putDown("102")},
			[]string{"dial internal 101>102 [102]", "hangup [102] rejected", "hangup rejected"},
		},
		{
			"internal, given up", []func(*actors) error{dial("101", "102"), putDown("101")},
			[]string{"dial internal 101>102 [102]", "hangup cancelled"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
				a := &actors{PBX: p}
				for _, step := range c.play {
					must(t, step(a))
					synctest.Wait()
				}
				s.want(t, c.want...)
				wantPhones(t, p, sandbox.PartyIdle, sandbox.PartyIdle)
				if left := p.Snapshot().Calls; len(left) > 0 {
					t.Errorf("still live: %v", left)
				}
			})
		})
	}
}

func TestPBXEventsAreComplete(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		call, err := p.Ring("+7 900 555-01-11", "Ivan Petrov", "101")
		must(t, err)
		_, err = p.Ring("", "", "102") // withheld, at the same instant
		must(t, err)
		must(t, p.PickUp("101"))
		s.heard()
		first := s.events[0]
		first.At = time.Time{}
		want := gateway.Event{
			Call: call, Type: gateway.EventDial, ID: call + "-1", Direction: gateway.Inbound, Line: office, Name: "Ivan Petrov",
			From: gateway.Number{Raw: ivan, E164: ivan}, To: gateway.Number{Raw: office, E164: office}, Extensions: []string{"101"},
		}
		if !reflect.DeepEqual(first, want) {
			t.Errorf("got  %+v\nwant %+v", first, want)
		}
		if from := s.events[1].From; from != (gateway.Number{}) {
			t.Errorf("a withheld number is told as %+v", from)
		}
		ids := map[string]bool{}
		for i, e := range s.events {
			if ids[e.ID] {
				t.Errorf("event id %s is there twice", e.ID)
			}
			ids[e.ID] = true
			if i > 0 && !e.At.After(s.events[i-1].At) {
				t.Errorf("%s happened at %v, not after %v", e.ID, e.At, s.events[i-1].At)
			}
		}
	})
}

func TestPBXRefuses(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		_, err := p.Ring(ivan, "", "199")
		wantCode(t, err, gateway.CodeNotFound)
		_, err = p.Ring(ivan, "")
		wantCode(t, err, gateway.CodeInvalid)
		_, err = p.Ring(ivan, "", "101", "101")
		wantCode(t, err, gateway.CodeInvalid)
		_, err = p.Ring(ivan, "Ivan\nPetrov", "101")
		wantCode(t, err, gateway.CodeInvalid)
		for _, number := range []string{"1234", "+", "abc", "+7 900 55x-01-11", "8+9005550111", "1234567890123456", strings.Repeat(" ", 40) + ivan} {
			_, err = p.Ring(number, "", "101")
			wantCode(t, err, gateway.CodeBadNumber)
		}
		for _, number := range []string{"", "101", "199"} {
			_, err = p.DialOut("101", number)
			wantCode(t, err, gateway.CodeBadNumber)
		}
		wantCode(t, p.PickUp("101"), gateway.CodeRejected)
		wantCode(t, p.PutDown("101"), gateway.CodeRejected)
		wantCode(t, p.PressHold("101"), gateway.CodeRejected)
		wantCode(t, p.PressResume("101"), gateway.CodeRejected)
		wantCode(t, p.PressTransfer("101", "102"), gateway.CodeRejected)
		wantCode(t, p.OutsideAnswer("1.1"), gateway.CodeNotFound)
		wantCode(t, p.OutsideHangUp("1.1"), gateway.CodeNotFound)
		wantCode(t, p.Register("199", true), gateway.CodeNotFound)
		s.want(t)

		call, err := p.DialOut("101", "102")
		must(t, err)
		wantCode(t, p.OutsideHangUp(call), gateway.CodeNotFound)
		_, err = p.DialOut("102", ivan)
		wantCode(t, err, gateway.CodeBusy)
		must(t, p.PickUp("102"))
		wantCode(t, p.PressTransfer("101", "102"), gateway.CodeBusy)
		must(t, p.PutDown("102"))
		must(t, p.Register("102", false))
		_, err = p.DialOut("102", ivan)
		wantCode(t, err, gateway.CodeNotRegistered)
	})
}

func TestPBXRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for _, exts := range [][]string{{"1"}, {"10x"}, {"10101"}, {"101", "101"}} {
		if _, err := sandbox.NewPBX(sandbox.PBXConfig{Extensions: exts}); err == nil {
			t.Errorf("a PBX with the extensions %q was made", exts)
		}
	}
}

func TestPBXClickToCall(t *testing.T) {
	t.Parallel()
	to := gateway.Number{Raw: "8 900 555-01-11", E164: ivan}
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		dial := func(key, ext string) (string, error) {
			return p.Dial(t.Context(), gateway.DialRequest{Key: key, Extension: ext, To: to})
		}
		call, err := dial("k1", "101")
		must(t, err)
		if again, err := dial("k1", "101"); err != nil || again != call {
			t.Errorf("the same key again: %q, %v; want %q and nothing else", again, err, call)
		}
		if ph := p.Snapshot().Phones[0]; ph.State != sandbox.PartyRinging || !ph.Clicked || ph.Peer != ivan {
			t.Errorf("the operator's telephone: %+v", ph)
		}
		must(t, p.PickUp("101"))
		wantPhones(t, p, sandbox.PartyCalling, sandbox.PartyIdle)
		s.want(t, "dial outbound 101>"+ivan+" [101]")
		time.Sleep(2 * time.Second)
		s.want(t, "bridge [101]")
		_, err = dial("k2", "101")
		wantCode(t, err, gateway.CodeBusy)
		must(t, p.HangUp(t.Context(), call, "101"))
		s.want(t, "hangup normal")

		call2, err := dial("k1", "101") // the first call is over: this is another
		must(t, err)
		if call2 == call {
			t.Errorf("a second call has the id of the first, %q", call)
		}
		time.Sleep(25 * time.Second)
		s.want(t, "dial outbound 101>"+ivan+" [101]", "hangup cancelled")

		_, err = dial("k3", "199")
		wantCode(t, err, gateway.CodeNotRegistered)
		must(t, p.Register("102", false))
		_, err = dial("k3", "102")
		wantCode(t, err, gateway.CodeNotRegistered)
		_, err = p.Dial(t.Context(), gateway.DialRequest{Key: "k4", Extension: "101", To: gateway.Number{Raw: "junk"}})
		wantCode(t, err, gateway.CodeBadNumber)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = p.Dial(over, gateway.DialRequest{Key: "k5", Extension: "101", To: to})
		wantCode(t, err, gateway.CodeTimeout)
		s.want(t)
	})
}

func TestPBXClickToCallAColleague(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{AutoAnswer: true}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		call, err := p.Dial(t.Context(), gateway.DialRequest{Key: "k", Extension: "101", To: gateway.Number{Raw: "102"}})
		must(t, err)
		wantPhones(t, p, sandbox.PartyCalling, sandbox.PartyRinging)
		must(t, p.HangUp(t.Context(), call, "102"))
		s.want(t, "dial internal 101>102 [101]", "dial internal 101>102 [102]", "hangup [102] rejected", "hangup rejected")
	})
}

func TestPBXOutsideWaitsToBeTold(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{OutsideAnswers: -1, AutoAnswer: true}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		_, err := p.Dial(t.Context(), gateway.DialRequest{Key: "k", Extension: "101", To: gateway.Number{Raw: ivan}})
		must(t, err)
		time.Sleep(24 * time.Second)
		s.want(t, "dial outbound 101>"+ivan+" [101]")
		time.Sleep(time.Second)
		s.want(t, "hangup no_answer")
	})
}

func TestPBXHangUpNeedsAPartInTheCall(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		call, err := p.Ring(ivan, "", "101")
		must(t, err)
		wantCode(t, p.HangUp(t.Context(), call, "102"), gateway.CodeNotFound)
		wantCode(t, p.HangUp(t.Context(), "1.1", "101"), gateway.CodeNotFound)
		wantCode(t, p.HangUp(t.Context(), call, "199"), gateway.CodeNotFound)
		must(t, p.HangUp(t.Context(), call, "101"))
		wantCode(t, p.HangUp(t.Context(), call, "101"), gateway.CodeNotFound)
		s.want(t, "dial inbound "+ivan+">"+office+" [101]", "hangup [101] rejected", "hangup rejected")
	})
}

func TestPBXLinkCutInMidCall(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		s.wantLive(t, "")
		_, err := p.Ring(ivan, "", "101")
		must(t, err)
		must(t, p.PickUp("101"))
		staying, err := p.DialOut("102", ivan)
		must(t, err)
		s.heard()

		p.Cut()
		p.Cut()
		if st := p.State(); st.State != "retrying" || st.Reason == "" {
			t.Errorf("a cut link is %+v", st)
		}
		_, err = p.Dial(t.Context(), gateway.DialRequest{Key: "k", Extension: "101", To: gateway.Number{Raw: ivan}})
		wantCode(t, err, gateway.CodePBXOffline)
		wantCode(t, p.HangUp(t.Context(), staying, "102"), gateway.CodePBXOffline)
		must(t, p.PutDown("101"))              // ends unseen: Live will end it
		unseen, err := p.Ring(ivan, "", "101") // begins unseen, lives
		must(t, err)                           //
		time.Sleep(2 * time.Second)            // meanwhile the party that 102 called picks up
		s.want(t)

		p.Restore()
		s.want(t, "bridge [102]", "dial inbound "+ivan+">"+office+" [101]")
		s.wantLive(t, "", staying+" "+unseen)
		if st := p.State(); st.State != "connected" {
			t.Errorf("a restored link is %+v", st)
		}
		must(t, p.PickUp("101"))
		s.want(t, "bridge [101]")
	})
}

func TestPBXLinkCutWhileTheSinkIsStuck(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		s.set(nil, make(chan struct{}))
		call, err := p.Ring(ivan, "", "101")
		must(t, err)
		s.want(t)
		p.Cut()
		s.set(nil, nil)
		must(t, p.PickUp("101"))
		p.Restore()
		s.want(t, "dial inbound "+ivan+">"+office+" [101]", "bridge [101]")
		s.wantLive(t, "", call)
	})
}

func TestPBXComesAgainWhenTheLogIsUnavailable(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		s.set(gateway.Errorf(gateway.CodeUnavailable, "the log is full"), nil)
		_, err := p.Ring(ivan, "", "101")
		must(t, err)
		time.Sleep(time.Minute)
		if ended := s.heard(); len(ended) > 0 {
			t.Errorf("refused events were taken: %v", ended)
		}
		call, err := p.Ring(ivan, "", "101")
		must(t, err)
		s.want(t)
		s.set(nil, nil)
		time.Sleep(10 * time.Second)
		s.want(t, "dial inbound "+ivan+">"+office+" [101]") // the first call ended unseen
		if got := s.lives[len(s.lives)-1]; got != call {
			t.Errorf("the last Live was told %q, want %q", got, call)
		}
		if n := len(s.lives); n > 40 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

func TestPBXSkipsEventsThatWillNeverBeTaken(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		s.set(gateway.Errorf(gateway.CodeInvalid, "no"), nil)
		_, err := p.Ring(ivan, "", "101")
		must(t, err)
		s.want(t)
		s.set(nil, nil)
		must(t, p.PickUp("101"))
		s.want(t, "bridge [101]")
		s.wantLive(t, "")
	})
}

func TestPBXHasOneLink(t *testing.T) {
	t.Parallel()
	linked(t, sandbox.PBXConfig{}, func(t *testing.T, p *sandbox.PBX, _ *pbxSink) {
		if err := p.Run(t.Context(), &pbxSink{}); err == nil {
			t.Error("two links at a time")
		}
		if st := p.State(); st.State != "connected" {
			t.Errorf("the second Run disturbed the first: %+v", st)
		}
	})
}

func TestPBXTelephonesWorkWithoutALink(t *testing.T) {
	t.Parallel()
	p, err := sandbox.NewPBX(sandbox.PBXConfig{})
	must(t, err)
	if st := p.State(); st.State != "connecting" {
		t.Errorf("before Run the link is %+v", st)
	}
	_, err = p.Ring(ivan, "", "101")
	must(t, err)
	must(t, p.PickUp("101"))
	must(t, p.PutDown("101"))
	_, err = p.Dial(t.Context(), gateway.DialRequest{Key: "k", Extension: "101", To: gateway.Number{Raw: ivan}})
	wantCode(t, err, gateway.CodePBXOffline)
	var e *gateway.Error
	if !errors.As(err, &e) || e.Message == "" {
		t.Errorf("the refusal says nothing: %v", err)
	}
}
