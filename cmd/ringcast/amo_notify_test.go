package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/push"
	"ringcast/gateway/sandbox"
)

// TestWidgetAndBackEndDoNotBothNotify has a page see to the CRM's notification, as the widget does, and leave: when the
// call goes on to ring somebody else, the back end tells him alone.
func TestWidgetAndBackEndDoNotBothNotify(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) { cfg.Private, cfg.Second = true, 50*time.Millisecond })
	p := startAt(t, paceOf(amoSecond), "serve", "-config", configFile(t, box.config("accounts:\n"+box.privateInTheBox("office", ""))))
	token, _, err := p.node.tokens.Mint("office", "88888", push.SessionLife)
	if err != nil {
		t.Fatal(err)
	}
	online := func() bool {
		return slices.ContainsFunc(p.node.gateway.Presence("office"), func(u gateway.UserPresence) bool { return u.User == "88888" && u.Online })
	}
	anna := p.open(token, "", nil)
	eventually(t, "Anna to be here", online)
	dial := func(extension string) {
		event := strings.Replace(inboundDial("1", `"`+extension+`"`), `"event"`, `"id":"to `+extension+`","event"`, 1)
		p.post("office", acmePBXKey, event).decode(t, http.StatusAccepted, new(took))
	}
	dial("101")
	anna.call(gateway.EventDial, gateway.Ringing)
	if m := anna.command(map[string]any{"id": "n1", "action": "claim", "call": "main:1", "what": "notify", "done": true}); !m.OK {
		t.Fatalf("the claim: %+v", m.Error)
	}
	_ = anna.conn.Close()
	eventually(t, "Anna to be gone", func() bool { return !online() })
	dial("102")
	eventually(t, "a notification", func() bool { return len(box.Events()) > 0 })
	if all := box.Events(); len(all) != 1 || all[0].Everybody || !slices.Equal(all[0].Users, []int64{99999}) {
		t.Errorf("notified %+v", all)
	}
}
