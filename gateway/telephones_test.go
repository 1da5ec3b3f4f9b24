package gateway

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func (p *fakePBX) Telephone(ctx context.Context, ext string) (TelephoneState, error) {
	if p.phones[ext] == "slow" {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return cmp.Or(p.phones[ext], TelephoneUnknown), p.do(ctx, "telephone", ext)
}

// mutePBX is one that cannot say which extensions it has.
type mutePBX struct{ PBX }

// phonesAt is what a PBX has.
func phonesAt(states ...string) *fakePBX {
	p := &fakePBX{state: "connected", phones: map[string]TelephoneState{}}
	for i := 0; i < len(states); i += 2 {
		p.phones[states[i]] = TelephoneState(states[i+1])
	}
	return p
}

func wantTelephones(t *testing.T, got TelephoneReport, want map[string]TelephoneState) {
	t.Helper()
	for ext, state := range want {
		if got.Telephones[ext] != state {
			t.Errorf("%s is %q, want %q", ext, got.Telephones[ext], state)
		}
	}
	if len(got.Telephones) != len(want) {
		t.Errorf("got %v", got.Telephones)
	}
}

func TestExtensionsAreAskedOfAllPBXes(t *testing.T) {
	t.Parallel()
	refusing := phonesAt("101", "ok")
	refusing.err = Errorf(CodeNotPermitted, "no")
	faulty := phonesAt()
	faulty.fault = "what?"
	away := phonesAt("101", "ok")
	away.state = "retrying"
	for name, tt := range map[string]struct {
		pbx  []PBX
		want TelephoneState // of 101
	}{
		"none":                     {nil, TelephoneUnchecked},
		"one that has it":          {[]PBX{phonesAt("101", "ok")}, TelephoneOK},
		"one that has not":         {[]PBX{phonesAt("102", "ok")}, TelephoneUnknown},
		"the second has it":        {[]PBX{phonesAt(), phonesAt("101", "ok")}, TelephoneOK},
		"both, one connected":      {[]PBX{phonesAt("101", "unregistered"), phonesAt("101", "ok")}, TelephoneOK},
		"no telephone is on it":    {[]PBX{phonesAt("101", "unregistered"), phonesAt()}, TelephoneUnregistered},
		"one cannot say":           {[]PBX{phonesAt(), mutePBX{phonesAt("101", "ok")}}, TelephoneUnchecked},
		"one cannot say, one does": {[]PBX{mutePBX{phonesAt()}, phonesAt("101", "unregistered")}, TelephoneUnregistered},
		"one is away":              {[]PBX{away, phonesAt()}, TelephoneUnchecked},
		"one refuses":              {[]PBX{refusing}, TelephoneUnchecked},
		"one panics":               {[]PBX{faulty, phonesAt("101", "ok")}, TelephoneOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, newMemLog(), &memStore{}, tt.pbx...)
				defer b.stop()
				got := b.AskTelephones(t.Context(), "acme", []string{"101"})
				wantTelephones(t, got, map[string]TelephoneState{"101": tt.want})
				if len(got.PBX) != len(tt.pbx) {
					t.Errorf("PBXes %v", got.PBX)
				}
				if name == "one is away" && got.PBX[0] != (PBXStatus{"office", "retrying"}) {
					t.Errorf("PBXes %v", got.PBX)
				}
			})
		})
	}
}

func TestExtensionsAreAskedWhereTheLinkIs(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.pbx.phones = map[string]TelephoneState{"101": TelephoneOK, "102": TelephoneUnregistered}
		for _, n := range []*node{owner, other} {
			got := n.AskTelephones(t.Context(), "acme", []string{"101", "102", "103"})
			wantTelephones(t, got, map[string]TelephoneState{"101": TelephoneOK, "102": TelephoneUnregistered, "103": TelephoneUnknown})
			if len(got.PBX) != 1 || got.PBX[0] != (PBXStatus{"office", "connected"}) {
				t.Errorf("%s: PBXes %v", n.name, got.PBX)
			}
		}
		if len(other.pbx.did) > 0 {
			t.Errorf("the node without the link asked its own: %q", other.pbx.did)
		}
		owner.pbx.phones["103"] = "slow"
		for _, n := range []*node{owner, other} { // what was told in time is not lost
			begun := time.Now()
			got := n.AskTelephones(t.Context(), "acme", []string{"103", "101"})
			if took := time.Since(begun); took >= telephonesTime { // the way back takes time, too
				t.Errorf("%s: answered after %v", n.name, took)
			}
			wantTelephones(t, got, map[string]TelephoneState{"101": TelephoneOK, "103": TelephoneUnchecked})
			if got.PBX[0].State != "connected" {
				t.Errorf("%s: PBXes %v", n.name, got.PBX)
			}
		}
		owner.kill() // and for some seconds nobody holds the link
		begun := time.Now()
		got := other.AskTelephones(t.Context(), "acme", []string{"101"})
		wantTelephones(t, got, map[string]TelephoneState{"101": TelephoneUnchecked})
		if took := time.Since(begun); took > telephonesTime {
			t.Errorf("answered after %v", took)
		}
		if len(got.PBX) != 1 || got.PBX[0].State != "elsewhere" {
			t.Errorf("PBXes %v", got.PBX)
		}
	})
}

func TestManyExtensionsAreAskedWithinBounds(t *testing.T) {
	pbx := phonesAt()
	withPBX(t, pbx, func(t *testing.T, b *bundle) {
		var all []string
		for i := range 10_000 {
			all = append(all, fmt.Sprint(i))
		}
		got := b.AskTelephones(t.Context(), "acme", all)
		if len(got.Telephones) != len(all) || got.Telephones["499"] != TelephoneUnknown || got.Telephones["500"] != TelephoneUnchecked || len(pbx.did) != 500 {
			t.Errorf("%d extensions, of which the PBX was asked about %d", len(got.Telephones), len(pbx.did))
		}
	})
}

func TestSlowPBXDoesNotDelayTheAnswer(t *testing.T) {
	for name, deaf := range map[string]bool{"slow": false, "deaf": true} {
		t.Run(name, func(t *testing.T) {
			pbx := &fakePBX{state: "connected", deaf: deaf, hold: make(chan struct{})}
			withPBX(t, pbx, func(t *testing.T, b *bundle) {
				pbx.hold = make(chan struct{}) // of this bubble
				defer close(pbx.hold)
				var all []string
				want := map[string]TelephoneState{}
				for i := range 100 {
					all = append(all, fmt.Sprint(i))
					want[all[i]] = TelephoneUnchecked
				}
				begun := time.Now()
				wantTelephones(t, b.AskTelephones(t.Context(), "acme", all), want)
				if took := time.Since(begun); took > telephonesTime {
					t.Errorf("answered after %v", took)
				}
				pbx.mu.Lock()
				defer pbx.mu.Unlock()
				if len(pbx.did) != telephonesAtOnce {
					t.Errorf("%d questions at a time", len(pbx.did))
				}
			})
		})
	}
}
