package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// phonetPBX is a pretend Phonet PBX with the desks of Anna and Boris, and the pbx section that names it.
func phonetPBX(t *testing.T) (pbx *sandbox.Phonet, section string) {
	t.Helper()
	pbx, err := sandbox.NewPhonet(sandbox.PhonetConfig{
		Domain: vendorDomain, APIKey: vendorKey,
		Employees: []sandbox.PhonetEmployee{{ID: 120, Name: "Anna", Ext: "101", Email: "anna@example.com"}, {ID: 121, Name: "Boris", Ext: "102"}},
		Groups:    []sandbox.PhonetGroup{{ID: 9, Name: "Support", Ext: "911", Members: []string{"101", "102"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pbx.Handler())
	t.Cleanup(server.Close)
	return pbx, fmt.Sprintf("{id: cloud, kind: phonet, domain: %s, api_key: %s, base_url: %q}", vendorDomain, vendorKey, server.URL)
}

const ofPhonetPBX = `
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
origins: ["` + goodOrigin + `"]
accounts:
  - id: acme
    region: UA
    backend_key: ` + acmeBackendKey + `
    pbx: [%s]
    users:
      - {id: "88888", name: Anna, extensions: ["101"]}
      - {id: "99999", name: Boris, extensions: ["102"]}
`

// TestServeBesideAPhonetPBX: calls of a Phonet PBX come to the tabs, and clicks to it.
func TestServeBesideAPhonetPBX(t *testing.T) {
	t.Parallel()
	pbx, section := phonetPBX(t)
	p := start(t, "serve", "-log-level", "debug", "-config", configFile(t, fmt.Sprintf(ofPhonetPBX, section)))
	eventually(t, "the sockets", func() bool {
		return p.node.gateway.Links()[0].State().State == "connected" && pbx.Listening() == 2
	})
	anna, boris := p.open(tokenOf(t, "acme", "88888"), "", nil), p.open(tokenOf(t, "acme", "99999"), "", nil)

	if _, err := pbx.Ring("+380567777777", "Тест", "911", "Welcome"); err != nil {
		t.Fatal(err)
	}
	card := anna.call(gateway.EventDial, gateway.Ringing)
	if card.Phone == nil || *card.Phone != "+380567777777" || card.Extension != "101" || card.Direction != gateway.Inbound {
		t.Errorf("%+v", card)
	}
	boris.call(gateway.EventDial, gateway.Ringing)
	if err := pbx.Answer("102"); err != nil {
		t.Fatal(err)
	}
	if taken := boris.untilState(gateway.Talking); taken.ID != card.ID {
		t.Errorf("two calls: %s and %s", taken.ID, card.ID)
	}
	if lost := anna.untilState(gateway.Ended); lost.Outcome == nil || *lost.Outcome != gateway.Elsewhere {
		t.Errorf("%+v", lost)
	}
	if reply := boris.command(map[string]any{"id": "h1", "action": "hangup", "call": card.ID}); !reply.OK {
		t.Errorf("%+v", reply.Error)
	}
	boris.untilState(gateway.Ended)

	reply := anna.command(map[string]any{"id": "c1", "action": "call", "to": "+380671112233"})
	if !reply.OK {
		t.Fatalf("%+v", reply.Error)
	}
	if mine := anna.untilState(gateway.Ringing); fmt.Sprintf("%q", mine.ID) != string(reply.Call) || mine.Direction != gateway.Outbound {
		t.Errorf("%+v, asked for %s", mine, reply.Call)
	}
	pbx.Away("102", true)
	eventually(t, "that Boris is away", func() bool {
		users := p.node.gateway.Presence("acme")
		return !users[0].Away && users[1].Away
	})
	if text := p.stderr.String() + p.stdout.String(); strings.Contains(text, vendorKey) {
		t.Errorf("the key is in the log:\n%s", text)
	}
}

// untilState reads on until a call is in a state.
func (w *tab) untilState(state gateway.State) gateway.View {
	w.t.Helper()
	for {
		if m := w.next(); m.Type == "call" {
			if v := m.view(w.t); v.State == state {
				return v
			}
		}
	}
}

func TestCheckOfAPhonetPBX(t *testing.T) {
	t.Parallel()
	_, section := phonetPBX(t)
	yaml := fmt.Sprintf(ofPhonetPBX, section)
	if code, stdout, stderr := ringcast(t, "check", "-config", configFile(t, yaml)); code != 0 || !strings.Contains(stdout, "ok    account acme, pbx cloud: Phonet at http://") {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	wrong := strings.Replace(yaml, vendorKey, "wrong-wrong-wrong", 1)
	code, stdout, stderr := ringcast(t, "check", "-config", configFile(t, wrong))
	if code == 0 || !strings.Contains(stdout, "FAIL  account acme, pbx cloud") || !strings.Contains(stdout, "compare domain, api_key") || strings.Contains(stdout+stderr, "wrong-wrong") {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
}

// TestUserWithoutExtension: a Phonet PBX cannot serve who is known by an e-mail address alone, and check says so. No
// socket is opened in vain.
func TestUserWithoutExtension(t *testing.T) {
	t.Parallel()
	users := []gateway.User{{ID: "88888", Email: "anna@example.com"}, {ID: "99999", Extensions: []string{"102"}}}
	if got := phonetSubscribers(users, nil); len(got) != 1 || got[0].Name != "102" {
		t.Errorf("%+v", got)
	}
	if got := phonetSubscribers(users, []string{"anna@example.com"}); len(got) != 1 || got[0].Name != "anna@example.com" {
		t.Errorf("who is named is subscribed to: %+v", got)
	}
	_, section := phonetPBX(t)
	yaml := strings.Replace(fmt.Sprintf(ofPhonetPBX, section), `extensions: ["101"]`, "email: anna@example.com", 1)
	if code, stdout, stderr := ringcast(t, "check", "-config", configFile(t, yaml)); code != 0 || !strings.Contains(stdout, "note: user 88888 has no extension") {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
}

// TestRingcastBehindRingcast: a Ringcast is a client of another's endpoint for Phonet's clients, which has no HTTP API.
func TestRingcastBehindRingcast(t *testing.T) {
	t.Parallel()
	near := start(t, "serve", "-config", configFile(t, phonetAccount))
	section := fmt.Sprintf("{id: cloud, kind: phonet, domain: %s, api_key: %s, base_url: %q}", vendorDomain, vendorKey, near.web)
	far := start(t, "serve", "-config", configFile(t, fmt.Sprintf(ofPhonetPBX, section)))
	far.untilConnected()
	anna := far.open(tokenOf(t, "acme", "88888"), "", nil)
	near.emit(inboundDial("1", `"101","102"`))
	anna.call(gateway.EventDial, gateway.Ringing)
	near.emit(`{"event":"call.bridge","call":"1","extension":"102"}`)
	anna.untilState(gateway.Ended)
	near.emit(inboundDial("2", `"101"`), `{"event":"call.bridge","call":"2","extension":"101"}`)
	talk := anna.untilState(gateway.Talking)
	if talk.Extension != "101" || talk.PhoneRaw != "8 999 111-22-33" {
		t.Errorf("%+v", talk)
	}
	near.emit(`{"event":"call.hangup","call":"2"}`)
	over := anna.untilState(gateway.Ended)
	for over.ID != talk.ID { // more may become known of the first, which is over
		over = anna.untilState(gateway.Ended)
	}
	if over.Outcome == nil || *over.Outcome != gateway.Answered {
		t.Errorf("%+v", over)
	}
}

// untilConnected waits for all sockets of a Phonet link.
func (p *program) untilConnected() {
	p.t.Helper()
	eventually(p.t, "the sockets", func() bool {
		state := p.node.gateway.Links()[0].State()
		return state.State == "connected" && !strings.Contains(state.Reason, "not connected")
	})
}
