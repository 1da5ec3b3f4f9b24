package gatewaytest

import (
	"context"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// Office is a telephone system with its people, for Controls. Nothing is going on in it at first, and its link is up.
type Office struct {
	PBX gateway.PBX // also a CallControl, TalkControl and Transferrer

	Agent, Colleague string // extensions

	// Call has an outside caller ring the agent's telephone and returns the PBX's id of the call, once it rings.
	Call func(t *testing.T) string

	// PickUp answers at a telephone that rings.
	PickUp func(t *testing.T, extension string)

	// Doing is what a telephone does: gateway.Ringing, Talking or Held, gateway.Ended when nothing. Of two calls that of
	// a consultation counts.
	Doing func(extension string) gateway.State
}

// Controls checks what a PBX does with live calls when it is asked to. The function opens an office, and closes it
// with the test.
func Controls(t *testing.T, open func(t *testing.T) Office) {
	for name, test := range map[string]func(t *testing.T, b *controlBench){
		"AnswerTakesTheCall":           testAnswerTakesTheCall,
		"HangUpDeclinesAndEnds":        testHangUpDeclinesAndEnds,
		"HoldTwiceIsNoError":           testHoldTwiceIsNoError,
		"MuteTwiceIsNoError":           testMuteTwiceIsNoError,
		"TransferRingsAtAnother":       testTransferRingsAtAnother,
		"TransferToNoNumberIsRefused":  testTransferToNoNumberIsRefused,
		"ConsultAndComplete":           testConsultAndComplete,
		"ConsultAndCancel":             testConsultAndCancel,
		"WithoutConsultNothingToEnd":   testWithoutConsultNothingToEnd,
		"ParkNamesASlot":               testParkNamesASlot,
		"CallThatIsNotThere":           testCallThatIsNotThere,
		"EndedContextIsNotAnsweredYes": testEndedContextIsNotAnsweredYes,
	} {
		t.Run(name, func(t *testing.T) {
			b := &controlBench{Office: open(t), t: t}
			var ok [3]bool
			b.calls, ok[0] = b.PBX.(gateway.CallControl)
			b.talks, ok[1] = b.PBX.(gateway.TalkControl)
			b.hands, ok[2] = b.PBX.(gateway.Transferrer)
			if ok != [3]bool{true, true, true} {
				t.Fatal("the PBX cannot do what is to be checked")
			}
			test(t, b)
		})
	}
}

// controlBench is one test's office.
type controlBench struct {
	Office
	t     *testing.T
	calls gateway.CallControl
	talks gateway.TalkControl
	hands gateway.Transferrer
}

func (b *controlBench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

// talk is a call that the agent has answered.
func (b *controlBench) talk() string {
	b.t.Helper()
	call := b.Call(b.t)
	b.PickUp(b.t, b.Agent)
	b.wait(b.Agent, gateway.Talking)
	return call
}

func (b *controlBench) wait(extension string, state gateway.State) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); b.Doing(extension) != state; {
		select {
		case <-tick.C:
		case <-end:
			b.t.Fatalf("telephone %s is %s, want %s", extension, b.Doing(extension), state)
		}
	}
}

func (b *controlBench) done(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *controlBench) refused(what string, err error, code gateway.Code) {
	b.t.Helper()
	if gateway.CodeOf(err) != code {
		b.t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func testAnswerTakesTheCall(t *testing.T, b *controlBench) {
	call := b.Call(t)
	b.done("Answer", b.talks.Answer(b.ctx(), call, b.Agent))
	b.wait(b.Agent, gateway.Talking)
	b.refused("Answer again", b.talks.Answer(b.ctx(), call, b.Agent), gateway.CodeRejected)
}

func testHangUpDeclinesAndEnds(t *testing.T, b *controlBench) {
	for _, call := range []func() string{func() string { return b.Call(t) }, b.talk} {
		b.done("HangUp", b.calls.HangUp(b.ctx(), call(), b.Agent))
		b.wait(b.Agent, gateway.Ended)
	}
}

func testHoldTwiceIsNoError(_ *testing.T, b *controlBench) {
	call := b.talk()
	for on, state := range map[bool]gateway.State{true: gateway.Held, false: gateway.Talking} {
		for range 2 {
			b.done("Hold", b.talks.Hold(b.ctx(), call, b.Agent, on))
			b.wait(b.Agent, state)
		}
	}
}

func testMuteTwiceIsNoError(_ *testing.T, b *controlBench) {
	call := b.talk()
	for _, on := range []bool{false, true, true, false, false} {
		b.done("Mute", b.talks.Mute(b.ctx(), call, b.Agent, on))
	}
	b.wait(b.Agent, gateway.Talking)
}

func testTransferRingsAtAnother(t *testing.T, b *controlBench) {
	call := b.talk()
	b.done("Transfer", b.hands.Transfer(b.ctx(), call, b.Agent, gateway.Number{Raw: b.Colleague}))
	b.wait(b.Agent, gateway.Ended)
	b.wait(b.Colleague, gateway.Ringing)
	b.PickUp(t, b.Colleague)
	b.wait(b.Colleague, gateway.Talking)
	b.refused("HangUp afterwards", b.calls.HangUp(b.ctx(), call, b.Agent), gateway.CodeNotFound)
}

func testTransferToNoNumberIsRefused(_ *testing.T, b *controlBench) {
	call := b.talk()
	for _, to := range []string{"", "Boris", b.Colleague + "&SIP/666", b.Colleague + "\r\nAction: Hangup"} {
		b.refused("Transfer", b.hands.Transfer(b.ctx(), call, b.Agent, gateway.Number{Raw: to}), gateway.CodeBadNumber)
		b.refused("Consult", b.hands.Consult(b.ctx(), call, b.Agent, gateway.Number{Raw: to}), gateway.CodeBadNumber)
	}
	b.wait(b.Agent, gateway.Talking)
}

func (b *controlBench) consult(call string) {
	b.t.Helper()
	b.done("Consult", b.hands.Consult(b.ctx(), call, b.Agent, gateway.Number{Raw: b.Colleague}))
	b.wait(b.Colleague, gateway.Ringing)
}

func testConsultAndComplete(t *testing.T, b *controlBench) {
	call := b.talk()
	b.consult(call)
	b.PickUp(t, b.Colleague)
	b.wait(b.Agent, gateway.Talking)
	b.done("Complete", b.hands.Complete(b.ctx(), call, b.Agent))
	b.wait(b.Agent, gateway.Ended)
	b.wait(b.Colleague, gateway.Talking)
}

func testConsultAndCancel(t *testing.T, b *controlBench) {
	call := b.talk()
	for _, answered := range []bool{false, true} {
		b.consult(call)
		if answered {
			b.PickUp(t, b.Colleague)
			b.wait(b.Colleague, gateway.Talking)
		}
		b.done("Cancel", b.hands.Cancel(b.ctx(), call, b.Agent))
		b.wait(b.Colleague, gateway.Ended)
		b.wait(b.Agent, gateway.Talking)
	}
}

func testWithoutConsultNothingToEnd(_ *testing.T, b *controlBench) {
	call := b.talk()
	b.refused("Complete", b.hands.Complete(b.ctx(), call, b.Agent), gateway.CodeRejected)
	b.refused("Cancel", b.hands.Cancel(b.ctx(), call, b.Agent), gateway.CodeRejected)
	b.wait(b.Agent, gateway.Talking)
}

func testParkNamesASlot(t *testing.T, b *controlBench) {
	slot, err := b.hands.Park(b.ctx(), b.talk(), b.Agent)
	b.done("Park", err)
	if slot == "" || strings.Trim(slot, "0123456789*#") != "" {
		t.Errorf("the slot %q cannot be dialled", slot)
	}
	b.wait(b.Agent, gateway.Ended)
}

// each asks for everything that can be done with a call, at an extension.
func (b *controlBench) each(ctx context.Context, call, extension string) map[string]error {
	to := gateway.Number{Raw: b.Colleague}
	_, parked := b.hands.Park(ctx, call, extension)
	return map[string]error{
		"HangUp":   b.calls.HangUp(ctx, call, extension),
		"Answer":   b.talks.Answer(ctx, call, extension),
		"Hold":     b.talks.Hold(ctx, call, extension, true),
		"Mute":     b.talks.Mute(ctx, call, extension, true),
		"Transfer": b.hands.Transfer(ctx, call, extension, to),
		"Consult":  b.hands.Consult(ctx, call, extension, to),
		"Complete": b.hands.Complete(ctx, call, extension),
		"Cancel":   b.hands.Cancel(ctx, call, extension),
		"Park":     parked,
	}
}

func testCallThatIsNotThere(_ *testing.T, b *controlBench) {
	call := b.talk()
	for what, err := range b.each(b.ctx(), "nobody", b.Agent) {
		b.refused(what+" of no call", err, gateway.CodeNotFound)
	}
	for what, err := range b.each(b.ctx(), call, b.Colleague) {
		b.refused(what+" for somebody who has no part in it", err, gateway.CodeNotFound)
	}
	b.wait(b.Agent, gateway.Talking)
}

func testEndedContextIsNotAnsweredYes(t *testing.T, b *controlBench) {
	call := b.talk()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range b.each(ctx, call, b.Agent) {
		if err == nil {
			t.Errorf("%s: done, though the context had ended", what)
		}
	}
}
