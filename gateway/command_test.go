package gateway

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakePBX does what it is told and remembers it.
type fakePBX struct {
	mu     sync.Mutex
	dialed []DialRequest
	did    []string // all else, as "hold c1 101"
	state  string
	err    error
	slot   string
	hold   chan struct{} // closed to let it go on
	deaf   bool          // it does not heed a context
	fault  any           // it panics with it
	phones map[string]TelephoneState
}

func (p *fakePBX) Run(ctx context.Context, _ Sink) error { <-ctx.Done(); return nil }

func (p *fakePBX) State() LinkState { return LinkState{State: p.state} }

func (p *fakePBX) Dial(ctx context.Context, req DialRequest) (string, error) {
	p.mu.Lock()
	p.dialed = append(p.dialed, req)
	p.mu.Unlock()
	return "rc-" + req.Key, p.take(ctx)
}

func (p *fakePBX) take(ctx context.Context) error {
	if p.fault != nil {
		panic(p.fault)
	}
	if p.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.err
}

func (p *fakePBX) do(ctx context.Context, what ...string) error {
	p.mu.Lock()
	p.did = append(p.did, strings.Join(what, " "))
	p.mu.Unlock()
	return p.take(ctx)
}

func (p *fakePBX) HangUp(ctx context.Context, call, ext string) error {
	return p.do(ctx, "hangup", call, ext)
}

func (p *fakePBX) Answer(ctx context.Context, call, ext string) error {
	return p.do(ctx, "answer", call, ext)
}

func (p *fakePBX) Hold(ctx context.Context, call, ext string, on bool) error {
	return p.do(ctx, "hold", call, ext, strconv.FormatBool(on))
}

func (p *fakePBX) Mute(ctx context.Context, call, ext string, on bool) error {
	return p.do(ctx, "mute", call, ext, strconv.FormatBool(on))
}

func (p *fakePBX) Transfer(ctx context.Context, call, ext string, to Number) error {
	return p.do(ctx, "transfer", call, ext, to.Raw, to.E164)
}

func (p *fakePBX) Consult(ctx context.Context, call, ext string, to Number) error {
	return p.do(ctx, "consult", call, ext, to.Raw, to.E164)
}

func (p *fakePBX) Complete(ctx context.Context, call, ext string) error {
	return p.do(ctx, "complete", call, ext)
}

func (p *fakePBX) Cancel(ctx context.Context, call, ext string) error {
	return p.do(ctx, "cancel", call, ext)
}

func (p *fakePBX) Park(ctx context.Context, call, ext string) (string, error) {
	return p.slot, p.do(ctx, "park", call, ext)
}

func withPBX(t *testing.T, pbx *fakePBX, test func(t *testing.T, b *bundle)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, newMemLog(), &memStore{}, pbx)
		defer b.stop()
		test(t, b)
	})
}

func (b *bundle) do(user string, cmd Command) Reply {
	cmd.Account, cmd.User = "acme", user
	return b.Command(b.t.Context(), cmd)
}

func wantCode(t *testing.T, r Reply, code Code) {
	t.Helper()
	switch {
	case r.Error == nil && code != "":
		t.Errorf("reply %+v, want %s", r, code)
	case r.Error != nil && r.Error.Code != code:
		t.Errorf("error %+v, want %q", r.Error, code)
	}
}

func TestDialIsDoneOncePerID(t *testing.T) {
	pbx := &fakePBX{state: "connected"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		pbx.hold = make(chan struct{})
		cmd := Command{ID: "k1", Action: "call", To: "8 (999) 111-22-33"}
		var wg sync.WaitGroup
		replies := make([]Reply, 5)
		for i := range replies { // a double click, and a client that repeats after a lost connection
			wg.Go(func() { replies[i] = b.do("u1", cmd) })
		}
		synctest.Wait()
		close(pbx.hold)
		wg.Wait()
		for _, r := range append(replies, b.do("u1", cmd)) {
			if !r.OK || r.Call != "office:rc-"+pbx.dialed[0].Key {
				t.Errorf("reply %+v", r)
			}
		}
		if len(pbx.dialed) != 1 || pbx.dialed[0].Extension != "101" || pbx.dialed[0].To.E164 != "+79991112233" {
			t.Errorf("dialed %+v", pbx.dialed)
		}
		if r := b.do("u2", cmd); !r.OK || len(pbx.dialed) != 2 || pbx.dialed[0].Key == pbx.dialed[1].Key {
			t.Errorf("another user's command of the same id is another command: %+v", pbx.dialed)
		}
	})
}

func TestDialBegunBeforeARestartIsNotRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		pbx := &fakePBX{state: "connected"}
		b := begin(t, log, store, pbx)
		cmd := Command{ID: "k1", Action: "call", To: "+79991112233", Account: "acme", User: "u1"}
		if err := recordCommand(t.Context(), b.seats[0].owner.Load(), cmd, nil); err != nil { // killed right after the intent
			t.Fatal(err)
		}
		done := b.do("u1", Command{ID: "k2", Action: "call", To: "+79991112233"})
		b.stop()
		b = begin(t, log, store, pbx)
		defer b.stop()
		wantCode(t, b.Command(t.Context(), cmd), CodeTimeout)
		if again := b.do("u1", Command{ID: "k2", Action: "call", To: "+79991112233"}); again != done {
			t.Errorf("reply %+v after the restart, %+v before", again, done)
		}
		if len(pbx.dialed) != 1 {
			t.Errorf("dialed %d times", len(pbx.dialed))
		}
	})
}

func TestCommandRefusals(t *testing.T) {
	pbx := &fakePBX{state: "connected"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 102")
		b.emit("c2: dial 101", "c2: hangup")
		synctest.Wait()
		tests := []struct {
			name string
			user string
			cmd  Command
			want Code
		}{
			{"no id", "u1", Command{Action: "call", To: "+79991112233"}, CodeInvalid},
			{"no such action", "u1", Command{ID: "1", Action: "explode"}, CodeInvalid},
			{"letters", "u1", Command{ID: "2", Action: "call", To: "call me"}, CodeBadNumber},
			{"AMI injection", "u1", Command{ID: "3", Action: "call", To: "101\r\nAction: Command"}, CodeBadNumber},
			{"nothing", "u1", Command{ID: "4", Action: "call"}, CodeBadNumber},
			{"no extension", "u3", Command{ID: "5", Action: "call", To: "+79991112233"}, CodeNotPermitted},
			{"not in the directory", "u9", Command{ID: "6", Action: "call", To: "+79991112233"}, CodeNotPermitted},
			{"another user's call", "u1", Command{ID: "7", Action: "hangup", Call: "office:c1"}, CodeNotFound},
			{"a call that does not exist", "u1", Command{ID: "8", Action: "hangup", Call: "office:c9"}, CodeNotFound},
			{"a call that is over", "u1", Command{ID: "9", Action: "hangup", Call: "office:c2"}, CodeNotFound},
			{"claim of another user's call", "u1", Command{ID: "10", Action: "claim", Call: "office:c1", What: "notify"}, CodeNotFound},
			{"claim of what", "u2", Command{ID: "11", Action: "claim", Call: "office:c1", What: "everything"}, CodeInvalid},
		}
		for _, tt := range tests {
			r := b.do(tt.user, tt.cmd)
			if r.Error == nil || r.Error.Code != tt.want {
				t.Errorf("%s: reply %+v %+v, want %s", tt.name, r, r.Error, tt.want)
			}
		}
		if len(pbx.dialed)+len(pbx.did) != 0 {
			t.Errorf("the PBX was asked: %v %v", pbx.dialed, pbx.did)
		}
	})
}

func TestHangUpOwnCall(t *testing.T) {
	pbx := &fakePBX{state: "connected"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102")
		synctest.Wait()
		if r := b.do("u2", Command{ID: "1", Action: "hangup", Call: "office:c1"}); !r.OK || pbx.did[0] != "hangup c1 102" {
			t.Errorf("%+v %v", r, pbx.did)
		}
	})
}

func TestPBXOffline(t *testing.T) {
	withPBX(t, &fakePBX{state: "retrying"}, func(t *testing.T, b *bundle) {
		wantCode(t, b.do("u1", Command{ID: "1", Action: "call", To: "+79991112233"}), CodePBXOffline)
	})
}

func TestSlowPBXIsAnsweredWithinFiveSeconds(t *testing.T) {
	pbx := &fakePBX{state: "connected"}
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		pbx.hold = make(chan struct{})
		begun := time.Now()
		wantCode(t, b.do("u1", Command{ID: "1", Action: "call", To: "+79991112233"}), CodeTimeout)
		if took := time.Since(begun); took > commandTimeout {
			t.Errorf("answered after %v", took)
		}
	})
}

func TestClaimGoesToOneClient(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102")
		synctest.Wait()
		n := 0
		claim := func(user, client string, done bool) Reply {
			n++
			return b.do(user, Command{ID: string(rune('a' + n)), Client: client, Action: "claim", Call: "office:c1", What: "notify", Done: done})
		}
		wantCode(t, claim("u1", "tab1", false), "")
		wantCode(t, claim("u1", "tab1", false), "") // it is his already
		wantCode(t, claim("u1", "tab2", false), CodeTaken)
		wantCode(t, claim("u2", "tab3", false), "") // another user's is another claim

		b.ClientGone("acme", "u1", "tab1")
		time.Sleep(claimGrace - time.Second)
		wantCode(t, claim("u1", "tab2", false), CodeTaken)
		time.Sleep(2 * time.Second)
		wantCode(t, claim("u1", "tab2", true), "")
		b.ClientGone("acme", "u1", "tab2")
		time.Sleep(time.Minute)
		wantCode(t, claim("u1", "tab1", false), CodeTaken) // carried out is carried out
	})
}

func TestClaimCarriedOutIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		b := begin(t, log, store)
		b.emit("dial 101")
		synctest.Wait()
		wantCode(t, b.do("u1", Command{ID: "1", Client: "tab1", Action: "claim", Call: "office:c1", What: "notify", Done: true}), "")
		b.stop()
		b = begin(t, log, store)
		defer b.stop()
		wantCode(t, b.do("u1", Command{ID: "2", Client: "tab2", Action: "claim", Call: "office:c1", What: "notify"}), CodeTaken)
	})
}

func TestUnknownActionsAreToldWhatIsKnown(t *testing.T) {
	withPBX(t, &fakePBX{state: "connected"}, func(t *testing.T, b *bundle) {
		for _, action := range []string{"nonsense", "", "Hold", "transfer "} {
			r := b.do("u1", Command{ID: "k-" + action, Action: action})
			if wantCode(t, r, CodeInvalid); r.Error == nil || !strings.Contains(r.Error.Message, "call, hangup, answer, hold, unhold, mute") {
				t.Errorf("%q: %+v", action, r.Error)
			}
		}
	})
}
