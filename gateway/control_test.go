package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The commands for a live call, as Anna gives them when she talks, and what the PBX is to be asked then.
var controls = []struct {
	cmd  Command
	asks string
}{
	{Command{Action: "hangup"}, "hangup c1 101"},
	{Command{Action: "hold"}, "hold c1 101 true"},
	{Command{Action: "unhold"}, "hold c1 101 false"},
	{Command{Action: "mute"}, "mute c1 101 true"},
	{Command{Action: "unmute"}, "mute c1 101 false"},
	{Command{Action: "transfer", To: "102"}, "transfer c1 101 102 "},
	{Command{Action: "transfer", To: "8 (999) 111-22-33"}, "transfer c1 101 89991112233 +79991112233"},
	{Command{Action: "transfer", To: "102", Attended: true}, "consult c1 101 102 "},
	{Command{Action: "complete"}, "complete c1 101"},
	{Command{Action: "cancel"}, "cancel c1 101"},
	{Command{Action: "park"}, "park c1 101"},
}

// with gives a command an id, and c1 for its call.
func (cmd Command) with(id string) Command {
	cmd.ID, cmd.Call = id, "office:c1"
	return cmd
}

func TestEachCommandAsksThePBXForTheUsersOwnLegAndOnce(t *testing.T) {
	pbx := &fakePBX{state: "connected", slot: "701"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102", "bridge 101")
		synctest.Wait()
		for i, tt := range controls {
			pbx.did, pbx.hold = nil, make(chan struct{})
			cmd := tt.cmd.with(fmt.Sprint("k", i))
			var wg sync.WaitGroup
			replies := make([]Reply, 3)
			for i := range replies {
				wg.Go(func() { replies[i] = b.do("u1", cmd) })
			}
			synctest.Wait()
			close(pbx.hold)
			wg.Wait()
			want := Reply{ID: cmd.ID, OK: true, Call: "office:c1"}
			if cmd.Action == "park" {
				want.Slot = "701"
			}
			for _, r := range append(replies, b.do("u1", cmd)) {
				if r != want {
					t.Errorf("%s: reply %+v %+v, want %+v", tt.asks, r, r.Error, want)
				}
			}
			if !slices.Equal(pbx.did, []string{tt.asks}) {
				t.Errorf("the PBX was asked %q, want %q", pbx.did, tt.asks)
			}
		}
	})
}

func TestAnswerTakesWhatRingsAtTheUser(t *testing.T) {
	pbx := &fakePBX{state: "connected"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102")
		synctest.Wait()
		wantCode(t, b.do("u2", Command{Action: "answer"}.with("k1")), "")
		if !slices.Equal(pbx.did, []string{"answer c1 102"}) {
			t.Errorf("the PBX was asked %q", pbx.did)
		}
	})
}

func TestTransferBegunBeforeARestartIsNotRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		pbx := &fakePBX{state: "connected", slot: "701"}
		b := begin(t, log, store, pbx)
		b.emit("dial 101", "bridge 101", "c2: dial 101", "c2: bridge 101")
		synctest.Wait()
		begun := Command{Account: "acme", User: "u1", Action: "transfer", To: "102"}.with("k1")
		if err := recordCommand(t.Context(), b.seats[0].owner.Load(), begun, nil); err != nil { // killed right after the intent
			t.Fatal(err)
		}
		parked := b.do("u1", Command{Action: "park"}.with("k2"))
		b.stop()
		b = begin(t, log, store, pbx)
		defer b.stop()
		wantCode(t, b.Command(t.Context(), begun), CodeTimeout)
		if again := b.do("u1", Command{Action: "park"}.with("k2")); again != parked || again.Slot != "701" {
			t.Errorf("reply %+v after the restart, %+v before", again, parked)
		}
		if !slices.Equal(pbx.did, []string{"park c1 101"}) {
			t.Errorf("the PBX was asked %q", pbx.did)
		}
	})
}

func TestCommandIsAnsweredWithinFiveSecondsByAnyPBX(t *testing.T) {
	for name, pbx := range map[string]*fakePBX{"slow": {state: "connected"}, "deaf": {state: "connected", deaf: true}} {
		t.Run(name, func(t *testing.T) { testAnsweredInTime(t, pbx) })
	}
}

func testAnsweredInTime(t *testing.T, pbx *fakePBX) {
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102", "bridge 101", "c2: dial 102")
		synctest.Wait()
		pbx.hold = make(chan struct{})
		defer close(pbx.hold)
		within := func(user string, cmd Command) {
			begun := time.Now()
			r := b.do(user, cmd)
			if wantCode(t, r, CodeTimeout); r.OK {
				t.Errorf("%s: %+v", cmd.Action, r)
			}
			if took := time.Since(begun); took > commandTimeout {
				t.Errorf("%s: answered after %v", cmd.Action, took)
			}
		}
		for i, tt := range controls {
			within("u1", tt.cmd.with(fmt.Sprint("k", i)))
		}
		within("u2", Command{ID: "answer", Action: "answer", Call: "office:c2"})
		within("u1", Command{ID: "call", Action: "call", To: "+79991112233"})
	})
}

func TestCommandIsAnsweredWithinFiveSecondsThoughTheLogStalls(t *testing.T) {
	pbx := &fakePBX{state: "connected", deaf: true}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 101", "bridge 101")
		synctest.Wait()
		pbx.hold = make(chan struct{})
		defer close(pbx.hold)
		b.log.mu.Lock()
		b.log.onAppend = func(e Entry) error {
			if strings.Contains(string(e.Data), `"reply"`) {
				time.Sleep(20 * time.Second)
			}
			return nil
		}
		b.log.mu.Unlock()
		begun := time.Now()
		wantCode(t, b.do("u1", Command{Action: "transfer", To: "102"}.with("k1")), CodeTimeout)
		if took := time.Since(begun); took > commandTimeout {
			t.Errorf("answered after %v", took)
		}
	})
}

// What is done the moment it is asked for was answered with a timeout now and then: its context had ended with it.
func TestAnswerOfAPBXIsNotLost(t *testing.T) {
	t.Parallel()
	for range 2000 {
		if got, err := askPBX(t.Context(), func(context.Context) (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Fatal(got, err)
		}
	}
}

func TestPanicOfAPBXIsAFailureOfThatCommandAlone(t *testing.T) {
	pbx := &fakePBX{state: "connected", fault: "out of order"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 101", "bridge 101")
		synctest.Wait()
		wantCode(t, b.do("u1", Command{Action: "hold"}.with("k1")), CodeInternal)
		wantCode(t, b.do("u1", Command{ID: "k2", Action: "call", To: "100500"}), CodeInternal)
		pbx.fault = nil
		wantCode(t, b.do("u1", Command{Action: "hold"}.with("k3")), "")
	})
}

// reports is a PBX that only reports calls.
type reports struct{ PBX }

// TestFailuresAsATabSeesThem has every way in which a command for a call can fail: the name, and what the agent reads.
func TestFailuresAsATabSeesThem(t *testing.T) {
	pbx := &fakePBX{state: "connected"}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := beginConfig(t, Config{Log: newMemLog(), Store: &memStore{}, Directory: directory()}, func(g *Gateway) {
			g.Attach("acme", "office", pbx)
			g.Attach("acme", "mute", reports{pbx})
		})
		defer g.stop()
		g.emit("rings: dial 101", "mine: dial 101 dir=outbound", "talks: dial 101", "talks: bridge 101", "held: dial 101",
			"held: bridge 101", "held: hold 101", "over: dial 101", "over: hangup", "other: dial 102")
		for _, pbxID := range []string{"mute", "gone"} {
			if _, err := g.Emit(t.Context(), "acme", pbxID, lineEvents("dial 101", "bridge 101")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		offline := func() { pbx.state = "retrying" }
		fails := func(code Code, message string) func() {
			return func() { pbx.err = Errorf(code, "%s", message) }
		}
		tests := []struct {
			action, call, to string
			pbx              func()
			code             Code
			says             string
		}{
			{"hold", "office:none", "", nil, CodeNotFound, "you have no such call"},
			{"hold", "", "", nil, CodeNotFound, "you have no such call"},
			{"hold", "office:other", "", nil, CodeNotFound, "you have no such call"},
			{"answer", "office:over", "", nil, CodeNotFound, "this call is over"},
			{"hangup", "office:over", "", nil, CodeNotFound, "this call is over"},
			{"answer", "office:talks", "", nil, CodeRejected, "you have answered this call already"},
			{"answer", "office:mine", "", nil, CodeRejected, "you make this call: it is for the other side to answer"},
			{"hold", "office:rings", "", nil, CodeRejected, "nobody has answered this call yet: answer it first"},
			{"mute", "office:rings", "", nil, CodeRejected, "nobody has answered this call yet: answer it first"},
			{"transfer", "office:rings", "102", nil, CodeRejected, "nobody has answered this call yet: answer it first"},
			{"park", "office:mine", "", nil, CodeRejected, "the other side has not answered yet: wait for that, or hang up"},
			{"unhold", "office:mine", "", nil, CodeRejected, "the other side has not answered yet: wait for that, or hang up"},
			{"transfer", "office:held", "", nil, CodeBadNumber, `"" is not a number that can be dialled`},
			{"transfer", "office:talks", "Boris", nil, CodeBadNumber, `"Boris" is not a number that can be dialled`},
			{"transfer", "office:talks", "102&PJSIP/103", nil, CodeBadNumber, `"102&PJSIP/103" is not a number that can be dialled`},
			{"transfer", "office:talks", "101\r\nAction: x", nil, CodeBadNumber, `"101\r\nAction: x" is not a number that can be dialled`},
			{"transfer", "office:talks", "1-0-1", nil, CodeBadNumber, "101 is your own telephone: name another"},
			{"call", "", "101", nil, CodeBadNumber, "101 is your own telephone"},
			{"call", "", "call me", nil, CodeBadNumber, `"call me" is not a number that can be dialled`},
			{"hangup", "mute:c1", "", nil, CodeNotPermitted, "hangup is not possible from here with this PBX: do it at the telephone"},
			{"hold", "mute:c1", "", nil, CodeNotPermitted, "hold is not possible from here with this PBX: do it at the telephone"},
			{"transfer", "mute:c1", "102", nil, CodeNotPermitted, "transfer is not possible from here with this PBX: do it at the telephone"},
			{"hold", "gone:c1", "", nil, CodeNotPermitted, "the call came from a PBX that only reports its calls, and cannot be told to: do it at the telephone"},
			{"hold", "office:talks", "", offline, CodePBXOffline, `the PBX "office" is not connected (retrying): do it at the telephone`},
			{"call", "", "102", offline, CodePBXOffline, `the PBX "office" is not connected (retrying): dial at the telephone`},
			{"explode", "office:talks", "", nil, CodeInvalid, `unknown action "explode": call, hangup, answer, hold, unhold, mute, unmute, ` +
				`transfer, complete, cancel, park, claim, result, renew, shown and visible are known`},
			{"hold", strings.Repeat("x", 257), "", nil, CodeInvalid, "call has 257 bytes, at most 256 are allowed"},
			{"transfer", "office:talks", strings.Repeat("1", 257), nil, CodeInvalid, "to has 257 bytes, at most 256 are allowed"},

			// What the PBX says is passed on as it is, for each name.
			{"call", "", "103", fails(CodeNotRegistered, "telephone 101 is not there"), CodeNotRegistered, "telephone 101 is not there"},
			{"call", "", "103", fails(CodeBusy, "telephone 101 is engaged"), CodeBusy, "telephone 101 is engaged"},
			{"call", "", "103", fails(CodeBadNumber, "810 may not be called"), CodeBadNumber, "810 may not be called"},
			{"transfer", "office:held", "102", fails(CodeBusy, "102 is engaged"), CodeBusy, "102 is engaged"},
			{"complete", "office:talks", "", fails(CodeRejected, "there is no consultation"), CodeRejected, "there is no consultation"},
			{"mute", "office:held", "", fails(CodeNotPermitted, "add call to write"), CodeNotPermitted, "add call to write"},
			{"cancel", "office:held", "", fails(CodeNotFound, "no such leg"), CodeNotFound, "no such leg"},
			{"park", "office:talks", "", fails(CodePBXOffline, "the link broke"), CodePBXOffline, "the link broke"},
			{"hold", "office:talks", "", fails(CodeTimeout, "not yet"), CodeTimeout, "not yet"},
			{"hold", "office:talks", "", func() { pbx.err = context.DeadlineExceeded }, CodeTimeout,
				"the PBX did not answer in time: look at the telephone before you try again"},
			{"hold", "office:talks", "", func() { pbx.err = errors.New("secret") }, CodeInternal, "something went wrong here; the log has the details"},
		}
		for i, tt := range tests {
			pbx.state, pbx.err = "connected", nil
			if tt.pbx != nil {
				tt.pbx()
			}
			r := g.do("u1", Command{ID: fmt.Sprint(i), Action: tt.action, Call: tt.call, To: tt.to})
			if r.OK || r.Error == nil || r.Error.Code != tt.code || r.Error.Message != tt.says {
				t.Errorf("%s of %.20s to %.20q: got %+v %+v, want %s %q", tt.action, tt.call, tt.to, r, r.Error, tt.code, tt.says)
			}
		}
	})
}

func TestAccountWithoutAPBXThatDials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, newMemLog(), &memStore{}, reports{&fakePBX{state: "connected"}})
		defer b.stop()
		wantCode(t, b.do("u1", Command{ID: "k1", Action: "call", To: "102"}), CodeNotPermitted)
		r := b.Command(t.Context(), Command{Account: "other", User: "u1", ID: "k1", Action: "call", To: "102"})
		wantCode(t, r, CodePBXOffline)
	})
}

// TestNobodyCommandsAnothersCalls plays commands of all users for all calls, in whatever state: for each that is not
// the user's own he reads what he reads of a call that does not exist, and the PBX hears of no extension but his.
func TestNobodyCommandsAnothersCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(r *rapid.T) { // wrapped: rapid asks a testing.T for its deadline, which a bubble forbids
			commandAtRandom(t, r)
		})
	})
}

func commandAtRandom(t *testing.T, r *rapid.T) {
	pbx := &fakePBX{state: "connected"}
	b := begin(t, newMemLog(), &memStore{}, pbx)
	defer b.stop()
	ext := rapid.SampledFrom([]string{"101", "102", "199"})
	call := rapid.SampledFrom([]string{"c1", "c2", "c3"})
	event := rapid.SampledFrom([]string{"dial", "dial", "bridge", "hold", "hangup", "hangup *", "dial from=101 dir=internal", "transfer to=102"})
	for range rapid.IntRange(0, 12).Draw(r, "events") {
		what := event.Draw(r, "event")
		if !strings.HasSuffix(what, "*") {
			what += " " + ext.Draw(r, "extension")
		}
		b.emit(call.Draw(r, "call") + ": " + strings.TrimSuffix(what, " *"))
	}
	synctest.Wait()
	for i := range rapid.IntRange(1, 8).Draw(r, "commands") {
		pbx.did = nil
		user := rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(r, "user")
		own := map[string]string{"u1": "101", "u2": "102"}[user]
		cmd := rapid.SampledFrom(controls).Draw(r, "command").cmd
		cmd.ID, cmd.Call, cmd.From = fmt.Sprint(i), "office:"+call.Draw(r, "of"), rapid.SampledFrom([]string{"", "", "101", "199"}).Draw(r, "from")
		c, known := b.feed.call("acme", cmd.Call)
		got := b.do(user, cmd)
		if known && slices.Contains(c.Users(), user) {
			for _, asked := range pbx.did {
				if words := strings.Fields(asked); "office:"+words[1] != cmd.Call || words[2] != own {
					r.Errorf("for %s (%+v) the PBX was asked %q", user, cmd, asked)
				}
			}
			continue
		}
		cmd.ID, cmd.Call = fmt.Sprint(i, " none"), "office:none"
		none := b.do(user, cmd)
		if got.OK || got.Call != none.Call || *got.Error != *none.Error || got.Error.Code != CodeNotFound || len(pbx.did) > 0 {
			r.Errorf("for %s (%+v) the reply was %+v %+v, and the PBX asked %q", user, cmd, got, got.Error, pbx.did)
		}
	}
}

func TestCommandForACallAtAnotherNode(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		other.emit("dial 101", "bridge 101")
		if err := owner.feed.wait(t.Context(), f.end(0)); err != nil {
			t.Fatal(err)
		}
		owner.pbx.slot = "702"
		wantCode(t, other.do("u1", Command{Action: "hold"}.with("k1")), "")
		parked, again := other.do("u1", Command{Action: "park"}.with("k2")), owner.do("u1", Command{Action: "park"}.with("k2"))
		if parked.Slot != "702" || parked != again {
			t.Errorf("%+v %+v, and again %+v", parked, parked.Error, again)
		}
		wantCode(t, other.do("u1", Command{Action: "transfer", To: "102", Attended: true}.with("k3")), "")
		owner.pbx.deaf, owner.pbx.hold = true, make(chan struct{})
		defer close(owner.pbx.hold)
		begun := time.Now()
		wantCode(t, other.do("u1", Command{Action: "mute"}.with("k4")), CodeTimeout)
		if took := time.Since(begun); took > commandTimeout {
			t.Errorf("answered after %v", took)
		}
		owner.pbx.mu.Lock()
		defer owner.pbx.mu.Unlock()
		want := []string{"hold c1 101 true", "park c1 101", "consult c1 101 102 ", "mute c1 101 true"}
		if !slices.Equal(owner.pbx.did, want) || len(other.pbx.did) != 0 {
			t.Errorf("the owner's PBX was asked %q, the other's %q", owner.pbx.did, other.pbx.did)
		}
	})
}
