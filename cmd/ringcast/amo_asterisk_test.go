package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// TestCallsOnARealAsteriskAreInTheCRM has somebody whom the CRM knows and a stranger call a real Asterisk that records:
// the one's call is in his contact's card, the other's in unsorted, and a browser plays what was said from either.
func TestCallsOnARealAsteriskAreInTheCRM(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	phones := lab.Phones(t)
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
		cfg.Private, cfg.Second = true, 50*time.Millisecond
		cfg.Contacts = []sandbox.AmoContact{{ID: 1001, Name: "Ivan Petrov", Phones: []string{"8 (900) 555-01-11"}, Responsible: 99999}}
	})
	account := box.privateInTheBox("acme", "")
	pbx := fmt.Sprintf("    recordings: {links_last: forever}\n    pbx: [{id: office, kind: asterisk, address: %q, username: %s, secret: %s, recordings_dir: %q, recordings: {folder: %[4]q}}]\n",
		lab.AMI, asterisktest.User, asterisktest.Secret(asterisktest.User), lab.Recordings())
	begin, end := strings.Index(account, "    pbx: "), strings.Index(account, "    crm: ")
	p := startAt(t, paceOf(amoSecond), "serve", "-config",
		configFile(t, "listen: 127.0.0.1:0\nops_listen: 127.0.0.1:0\ndata_dir: data\naccounts:\n"+account[:begin]+pbx+account[end:]))
	eventually(t, "a link to Asterisk", func() bool { return p.node.gateway.Links()[0].PBX.State().State == "connected" })

	const stranger = "79005550222"
	for _, caller := range []string{ivan, stranger} {
		phones.Forget()
		phones.Do(t, "trunk", "dial", "5550400", caller)
		phones.Wait(t, "101", "ringing")
		phones.Do(t, "101", "answer")
		phones.Wait(t, "trunk", "up")
		phones.Do(t, "101", "listen")
		phones.Wait(t, "101", "heard")
		phones.Do(t, "trunk", "hangup")
		phones.Wait(t, "101", "ended")
	}
	eventually(t, "both calls", func() bool { return len(box.Calls()) >= 2 && p.node.journalIsEmpty(t) })

	browser := browsertest.New(t)
	want := map[string]sandbox.AmoCall{
		"+" + ivan:     {Via: sandbox.AmoViaCalls, Kind: "contacts", Entity: 1001},
		"+" + stranger: {Via: sandbox.AmoViaUnsorted},
	}
	for _, c := range box.Calls() {
		is, ok := want[c.Phone]
		delete(want, c.Phone)
		if !ok || c.Via != is.Via || c.Kind != is.Kind || c.Entity != is.Entity || c.Direction != "inbound" || c.Responsible != "Anna" {
			t.Errorf("%+v", c)
			continue
		}
		page := openPage(browser, t, "recording", box.url+"/leads/", 400, 300)
		page.wait(fmt.Sprintf(`(window.player ||= Object.assign(new Audio(%q), { muted: true, preload: "auto" })).readyState >= 1`, c.Link))
		page.wait(`(player.begun ||= player.play()) && player.ended && player.duration > 0.1 && player.error === null`)
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}
