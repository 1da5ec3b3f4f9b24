package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// TestServeControlsTheTelephones gives commands by WebSocket and by POST, and looks at what the telephone does.
func TestServeControlsTheTelephones(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(nil)
	t.Cleanup(files.Close)
	p, pbx := startWithPBX(t, &site{Server: files}, "")
	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	id, err := pbx.Ring("+79991112233", "", "101")
	if err != nil {
		t.Fatal(err)
	}
	call := anna.call(gateway.EventDial, gateway.Ringing).ID
	if !strings.HasSuffix(call, ":"+id) {
		t.Errorf("the call is %s", call)
	}
	for i, step := range []struct {
		action string
		code   gateway.Code // of the refusal
		is     sandbox.PartyState
	}{
		{"hold", gateway.CodeRejected, sandbox.PartyRinging},
		{"answer", "", sandbox.PartyTalking},
		{"answer", gateway.CodeRejected, sandbox.PartyTalking},
		{"hold", "", sandbox.PartyHeld},
		{"hold", "", sandbox.PartyHeld},
		{"complete", gateway.CodeRejected, sandbox.PartyHeld},
		{"unhold", "", sandbox.PartyTalking},
		{"mute", "", sandbox.PartyTalking},
		{"transfer", gateway.CodeBadNumber, sandbox.PartyTalking},
		{"park", "", sandbox.PartyIdle},
	} {
		fields := map[string]any{"action": step.action, "call": call, "id": "k" + string(rune('a'+i))}
		send := anna.command
		if i%2 == 1 {
			send = func(fields map[string]any) message { return p.action(token, fields) }
		}
		r := send(fields)
		if r.OK != (step.code == "") || r.Error.Code != string(step.code) {
			t.Errorf("%s: %+v %+v, want %q", step.action, r, r.Error, step.code)
		}
		if is := pbx.Snapshot().Phones[0].State; is != step.is {
			t.Errorf("after %s the telephone is %s, want %s", step.action, is, step.is)
		}
		if step.code == "" { // the gateway is to have heard of it before the next
			eventually(t, "the card after "+step.action, func() bool { return cardIsUp(p, token, step.is) })
		}
	}
}

// cardIsUp says whether a user's card is as his telephone is.
func cardIsUp(p *program, token string, is sandbox.PartyState) bool {
	calls := p.poll(token, "").Messages[0].Calls
	if is == sandbox.PartyIdle {
		return len(calls) == 0
	}
	return len(calls) == 1 && string(calls[0].State) == string(is)
}
