package asterisk

import (
	"context"
	"sync"
	"testing"

	"ringcast/gateway"
)

// A double click, or two tabs, that hand a call on: it goes on once. The second transfer used to fetch the customer back
// by Redirect, the second consultation typed into the first.
func TestMovedTwiceAtTheSameTime(t *testing.T) {
	t.Parallel()
	for action, move := range map[string]func(l *Link, ctx context.Context, to string) error{
		"BlindTransfer": func(l *Link, ctx context.Context, to string) error {
			return l.Transfer(ctx, "1", "101", gateway.Number{Raw: to})
		},
		"Atxfer": func(l *Link, ctx context.Context, to string) error {
			return l.Consult(ctx, "1", "101", gateway.Number{Raw: to})
		},
	} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			f, l, s := hearing(t, talk...)
			begun, end := make(chan struct{}), make(chan struct{})
			f.mu.Lock()
			f.busy = map[string]func(){action: func() { close(begun); <-end }}
			f.mu.Unlock()
			f.on(action, func(_ message, reply func(string)) {
				reply(encodeMessage(event("Hold", "Uniqueid", "2")))
				reply(encodeMessage(event("BridgeEnter", "BridgeUniqueid", "x", "Uniqueid", "2")))
			})
			var first sync.WaitGroup
			first.Go(func() {
				if err := move(l, t.Context(), "102"); err != nil {
					t.Error(err)
				}
			})
			<-begun
			if err := move(l, t.Context(), "103"); gateway.CodeOf(err) != gateway.CodeRejected {
				t.Errorf("the second: %v", err)
			}
			close(end)
			first.Wait()
			moved := 0
			for len(s.actions) > 0 {
				if m := <-s.actions; m.get("Action") != "ShowDialPlan" {
					moved++
				}
			}
			if moved != 1 {
				t.Errorf("%d actions", moved)
			}
		})
	}
}

func TestPanicInAControlIsAnError(t *testing.T) {
	t.Parallel()
	if err := inTime(t.Context(), func(context.Context) error { panic("at the PBX") }); gateway.CodeOf(err) != gateway.CodeInternal {
		t.Errorf("got %v", err)
	}
}
