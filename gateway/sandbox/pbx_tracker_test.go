package sandbox_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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
	to := rapid.SampledFrom(append([]string{ivan, "701"}, exts...))
	outside := func(f func(string) error) {
		if parties := p.Snapshot().Outside; len(parties) > 0 {
			_ = f(rapid.SampledFrom(parties).Draw(t, "party").Call)
		}
	}
	// over is a command for any telephone's part in any call.
	over := func(f func(call, ext string) error) {
		if live := p.Snapshot().Calls; len(live) > 0 {
			c := rapid.SampledFrom(live).Draw(t, "call")
			_ = f(c.ID, rapid.SampledFrom(append(append(c.Extensions, c.Extensions...), exts...)).Draw(t, "of"))
		}
	}
	allPickUp := func() {
		for _, ph := range p.Snapshot().Phones {
			_ = p.PickUp(ph.Extension)
		}
	}
	number := func() gateway.Number { return gateway.Number{Raw: to.Draw(t, "to")} }
	// What is refused changes nothing, so refusals are played too.
	moves := []func(){
		func() {
			_, _ = p.Ring(ivan, "", rapid.SliceOfNDistinct(ext, 1, 3, rapid.ID[string]).Draw(t, "rung")...)
		},
		func() { _ = p.PickUp(ext.Draw(t, "answers")) },
		allPickUp, allPickUp, allPickUp,
		func() { _ = p.PutDown(ext.Draw(t, "hangs up")) },
		func() { _ = p.PressHold(ext.Draw(t, "holds")) },
		func() { _ = p.PressResume(ext.Draw(t, "unholds")) },
		func() { _ = p.PressTransfer(ext.Draw(t, "transfers"), ext.Draw(t, "target")) },
		func() { _, _ = p.DialOut(ext.Draw(t, "dials"), to.Draw(t, "to")) },
		func() {
			_, _ = p.Dial(ctx, gateway.DialRequest{Extension: ext.Draw(t, "clicks"), To: gateway.Number{Raw: to.Draw(t, "to")}})
		},
		func() {
			over(func(call, ext string) error { return p.Hold(ctx, call, ext, rapid.Bool().Draw(t, "on")) })
		},
		func() { over(func(call, ext string) error { return p.Transfer(ctx, call, ext, number()) }) },
		func() { over(func(call, ext string) error { return p.Consult(ctx, call, ext, number()) }) },
		func() { over(func(call, ext string) error { return p.Consult(ctx, call, ext, number()) }) },
		func() { over(func(call, ext string) error { return p.Complete(ctx, call, ext) }) },
		func() { over(func(call, ext string) error { return p.Complete(ctx, call, ext) }) },
		func() { over(func(call, ext string) error { return p.Cancel(ctx, call, ext) }) },
		func() { over(func(call, ext string) error { return p.HangUp(ctx, call, ext) }) },
		func() { over(func(call, ext string) error { _, err := p.Park(ctx, call, ext); return err }) },
		func() { _, _ = p.DialOut(ext.Draw(t, "takes"), "701") },
		func() { synctest.Wait(); time.Sleep(50 * time.Second) },
		func() { outside(p.OutsideAnswer) },
		func() { outside(p.OutsideHangUp) },
		func() { p.Cut() },
		func() { p.Restore(); synctest.Wait() },
	}
	for range rapid.IntRange(1, 40).Draw(t, "moves") {
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
		if ph.Behind != "" {
			want = append([]gateway.State{gateway.Held}, want...) // the calls are in the order of their beginnings
		}
		if !slices.Equal(cards, want) {
			t.Errorf("telephone %s is %s, its user sees %v", ph.Extension, ph.State, cards)
		}
	}
}
