package sandbox_test

import (
	"context"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// TestPBXEventsAddUpToItsTelephones plays at random and folds what the link tells: each user must see
// exactly what his telephone does, also after the link was cut.
func TestPBXEventsAddUpToItsTelephones(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, checkCards) // wrapped: rapid asks a testing.T for its deadline, which a bubble forbids
	})
}

func checkCards(t *rapid.T) {
	exts := []string{"101", "102", "103"}
	var people []gateway.Person
	for _, ext := range exts {
		people = append(people, gateway.Person{User: "u" + ext, Name: "n" + ext, Extension: ext})
	}
	p, err := sandbox.NewPBX(sandbox.PBXConfig{Extensions: exts, OutsideAnswers: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := &pbxSink{}
	go func() { ended <- p.Run(ctx, s) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()

	ext := rapid.SampledFrom(exts)
	to := rapid.SampledFrom(append([]string{ivan}, exts...))
	outside := func(f func(string) error) {
		if parties := p.Snapshot().Outside; len(parties) > 0 {
			_ = f(rapid.SampledFrom(parties).Draw(t, "party").Call)
		}
	}
	// What is refused changes nothing, so refusals are played too.
	moves := []func(){
		func() {
			_, _ = p.Ring(ivan, "", rapid.SliceOfNDistinct(ext, 1, 3, rapid.ID[string]).Draw(t, "rung")...)
		},
		func() { _ = p.Answer(ext.Draw(t, "answers")) },
		func() { _ = p.Answer(ext.Draw(t, "answers")) },
		func() { _ = p.PutDown(ext.Draw(t, "hangs up")) },
		func() { _ = p.Hold(ext.Draw(t, "holds")) },
		func() { _ = p.Unhold(ext.Draw(t, "unholds")) },
		func() { _ = p.Transfer(ext.Draw(t, "transfers"), ext.Draw(t, "target")) },
		func() { _, _ = p.DialOut(ext.Draw(t, "dials"), to.Draw(t, "to")) },
		func() {
			_, _ = p.Dial(ctx, gateway.DialRequest{Extension: ext.Draw(t, "clicks"), To: gateway.Number{Raw: to.Draw(t, "to")}})
		},
		func() { outside(p.OutsideAnswer) },
		func() { outside(p.OutsideHangUp) },
		func() { p.Cut() },
		func() { p.Restore(); synctest.Wait() },
	}
	for range rapid.IntRange(1, 30).Draw(t, "moves") {
		moves[rapid.IntRange(0, len(moves)-1).Draw(t, "move")]()
	}
	p.Restore()
	synctest.Wait()

	calls := map[string]gateway.Call{}
	for _, e := range s.events {
		e.People = people
		calls[e.Call], _ = gateway.Tracker{}.Apply(calls[e.Call], e)
	}
	for _, ph := range p.Snapshot().Phones {
		var cards []gateway.State
		for _, live := range p.Snapshot().Calls { // Live ends the others
			c := calls[live.ID]
			if view, ok := c.For("u" + ph.Extension); ok && view.State != gateway.Ended {
				cards = append(cards, view.State)
			}
		}
		var want []gateway.State
		switch ph.State {
		case sandbox.PartyIdle:
		case sandbox.PartyTalking:
			want = []gateway.State{gateway.Talking}
		case sandbox.PartyHeld:
			want = []gateway.State{gateway.Held}
		default:
			want = []gateway.State{gateway.Ringing}
		}
		if len(cards) != len(want) || len(want) == 1 && cards[0] != want[0] {
			t.Errorf("telephone %s is %s, its user sees %v", ph.Extension, ph.State, cards)
		}
	}
}
