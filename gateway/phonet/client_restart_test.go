package phonet

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// again runs a new link and waits until it has told all that it learned.
func (o *office) again() {
	o.t.Helper()
	o.ledger.mu.Lock()
	lives := len(o.ledger.lives)
	o.ledger.mu.Unlock()
	o.start()
	o.inSync(lives)
}

// TestRedialWhileNoLinkRuns: he who gave up in the menu and called again at once has called twice.
func TestRedialWhileNoLinkRuns(t *testing.T) {
	t.Parallel()
	o := openOffice(t, nil)
	o.inSync(0)
	o.stop()
	o.play(scenario{steps: []func(*office) error{
		ring("911", "Welcome"), outside(1), ring("911", "Welcome"), picksUp("103"), hangUp("103"),
	}}, func() {})
	o.again()
	o.ledger.untilCalls(t, fromClient+", 101 missed, 102 missed, 103 missed; over",
		fromClient+", 101 elsewhere, 102 elsewhere, 103 answered; over, recorded")
}

// overlapping is two calls of one number at a time, through menu and group.
func overlapping() scenario {
	return scenario{steps: []func(*office) error{
		ring("911", "Welcome"), picksUp("102"), ring("911", "Welcome"), picksUp("103"), hangUp("102"), hangUp("103"),
	}, want: []string{
		fromClient + ", 101 elsewhere, 102 answered, 103 elsewhere; over, recorded",
		fromClient + ", 101 elsewhere, 103 answered; over, recorded",
	}}
}

// TestTwoCallsOfOneNumberWhileNoLinkRuns are two.
func TestTwoCallsOfOneNumberWhileNoLinkRuns(t *testing.T) {
	t.Parallel()
	o := openOffice(t, nil)
	o.inSync(0)
	o.stop()
	s := overlapping()
	o.play(s, func() {})
	o.again()
	o.ledger.untilCalls(t, s.want...)
}

// TestRestartLeavesAloneWhatIsOver: the history of calls that an earlier link has told of adds nothing to them, and
// makes no others: also of two at a time from one number, and of callers who withhold theirs.
func TestRestartLeavesAloneWhatIsOver(t *testing.T) {
	t.Parallel()
	withheld := []func(*office) error{
		func(o *office) error { _, err := o.pbx.Ring("", "", "911", "Welcome"); return err }, picksUp("102"), hangUp("102"),
	}
	all := append(scenarios(), overlapping())
	all[len(all)-1].name = "two of one number"
	nobody := "inbound  > 567850550, 101 elsewhere, 102 answered, 103 elsewhere; over, recorded"
	all = append(all, scenario{"withheld", withheld, []string{nobody}},
		scenario{"withheld twice", append(slices.Clone(withheld), withheld...), []string{nobody, nobody}})
	// Where the groups are unseen, the first link cannot know of the menu above one, and names the call by the group; that
	// an ended one goes by that name the second cannot know.
	named := []string{"menu and group", "two of one number", "withheld", "withheld twice"}
	for name, edit := range variants() {
		for _, s := range all {
			if name == groupsUnseen && slices.Contains(named, s.name) {
				continue
			}
			t.Run(name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				o := openOffice(t, edit)
				o.inSync(0)
				o.play(s, func() {})
				o.ledger.untilCalls(t, s.want...)
				o.stop()
				before := slices.Clone(o.ledger.summary())
				o.again()
				o.ledger.mu.Lock()
				defer o.ledger.mu.Unlock()
				if after := o.ledger.summary(); !slices.Equal(after, before) {
					t.Errorf("was\n  %s\nand is\n  %s", strings.Join(before, "\n  "), strings.Join(after, "\n  "))
				}
			})
		}
	}
}

// TestRowThatMayBeOfTwoCalls is of neither.
func TestRowThatMayBeOfTwoCalls(t *testing.T) {
	t.Parallel()
	row := func(uuid, parent, ext string, kind legType, dial, bridge, end int) fact {
		f := factOf(leaf(eventHangup, uuid, parent, ext, dial, bridge, end))
		f.kind, f.settled, f.cause = kind, true, gateway.CauseNoAnswer
		return f
	}
	hear := func(r *listener, f fact) {
		for _, e := range r.take(f, r.now) {
			r.apply(e)
		}
	}
	of := "inbound " + caller + " > 567850550"
	for _, tt := range []struct {
		name string
		row  fact
		want []string
	}{
		{"rang in the midst of both", row("a", "g", "101", legUser, 20, 0, 30), []string{of + "; over", of + "; over"}},
		{"ended with one", row("a", "g", "101", legUser, 20, 0, 60), []string{of + ", 101 missed; over", of + "; over"}},
		{"talked in the one that was answered", row("a", "g", "101", legUser, 20, 30, 50), []string{of + "; over", of + ", 101 answered; over"}},
		{"was in neither", row("a", "g", "101", legUser, 90, 0, 95), []string{of + "; over", of + "; over", of + ", 101 missed; over"}},
	} {
		r := newReader()
		r.now = moment(100).time()
		hear(r, row("m", "", "", legScenario, 0, 0, 60))
		hear(r, row("n", "", "", legScenario, 10, 11, 80))
		hear(r, tt.row)
		r.pass(time.Minute)
		if r.want(t, tt.want...); t.Failed() {
			t.Fatal(tt.name)
		}
	}
}

// TestGhostWithoutREST: a call that rang at a restart, and of which nobody speaks any more, is ended when it cannot
// ring any more; one that is spoken of is not.
func TestGhostWithoutREST(t *testing.T) {
	t.Parallel()
	o := openOffice(t, func(p *sandbox.PhonetConfig, _ *Config) { p.NoREST = true })
	o.untilListening(3)
	uuid, err := o.pbx.Ring(caller, "", "101", "")
	o.must(err)
	_, err = o.pbx.Ring(caller, "", "102", "")
	o.must(err)
	of := "inbound +380567777777 > 567850550"
	o.ledger.untilCalls(t, of+", 101 rings", of+", 102 rings")
	o.stop()
	o.must(o.pbx.OutsideHangUp(uuid, 1))
	base := time.Now()
	var passed atomic.Int64
	o.cfg.now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	o.start()
	o.untilListening(3)
	o.untilNoREST()
	o.must(o.pbx.Answer("102"))
	o.ledger.untilCalls(t, of+", 101 rings", of+", 102 talks")
	passed.Store(int64(maxRing))
	o.ledger.untilCalls(t, of+", 101 missed; over", of+", 102 talks")
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	if at := o.ledger.calls[uuid].EndedAt; at.Sub(base) > time.Minute {
		t.Errorf("it ended %v after the restart", at.Sub(base))
	}
}

// TestHistoryFails: that it is not to be had just now does not keep the link from learning which calls live. What
// became of the others is learned when it is.
func TestHistoryFails(t *testing.T) {
	t.Parallel()
	for _, code := range []int{400, 429, 500} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, nil)
			o.inSync(0)
			o.pbx.FailHistory(code)
			o.play(scenario{steps: []func(*office) error{ring("101", ""), ring("102", "")}}, func() {})
			o.ledger.untilCalls(t, fromClient+", 101 rings", fromClient+", 102 rings")
			o.pbx.Cut()
			o.play(scenario{steps: []func(*office) error{picksUp("101"), hangUp("101")}}, func() {})
			o.pbx.Restore()
			o.ledger.untilCalls(t, fromClient+", 101 missed; over", fromClient+", 102 rings")
			o.pbx.FailHistory(0)
			o.ledger.untilCalls(t, fromClient+", 101 answered; over, recorded", fromClient+", 102 rings")
		})
	}
}
