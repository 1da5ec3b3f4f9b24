package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/push"
	"ringcast/gateway/sandbox"
)

// TestCallsMadeWhileRingcastIsDown makes calls through a real Asterisk while no Ringcast runs, and ends one that began
// before. Each is in the CRM once afterwards, with its own times, and nobody gets a card.
func TestCallsMadeWhileRingcastIsDown(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	phones := lab.Phones(t)
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) { cfg.Private, cfg.Second = true, 50*time.Millisecond })
	account := box.privateInTheBox("acme", "")
	pbx := fmt.Sprintf("    pbx: [{id: office, kind: asterisk, address: %q, username: %s, secret: %s, cdr: {csv: %q}}]\n",
		lab.AMI, asterisktest.User, asterisktest.Secret(asterisktest.User), lab.CDRFile())
	begin, end := strings.Index(account, "    pbx: "), strings.Index(account, "    crm: ")
	file := configFile(t, "listen: 127.0.0.1:0\nops_listen: 127.0.0.1:0\ndata_dir: data\naccounts:\n"+account[:begin]+pbx+account[end:])
	at := paceOf(amoSecond)
	at.journal.After = 3 * time.Second // the records are read by then
	openTab := func(p *program) *tab {
		token, _, err := p.node.tokens.Mint("acme", anna, push.SessionLife)
		if err != nil {
			t.Fatal(err)
		}
		return p.open(token, "", nil)
	}
	run := func() *program {
		p := startAt(t, at, "serve", "-config", file)
		eventually(t, "the link", func() bool { return p.node.gateway.Links()[0].PBX.State().State == "connected" })
		return p
	}

	p := run()
	w := openTab(p)
	phones.Do(t, "trunk", "dial", "5550101", ivan)
	phones.Wait(t, "101", "ringing")
	phones.Do(t, "101", "answer")
	phones.Wait(t, "trunk", "up")
	_, half := w.until(gateway.Talking)
	p.stop()

	phones.Do(t, "101", "hangup")
	phones.Wait(t, "trunk", "ended")
	phones.Forget()
	phones.Do(t, "trunk", "dial", "5550102", maria)
	phones.Wait(t, "102", "ringing")
	phones.Do(t, "102", "answer")
	phones.Wait(t, "trunk", "up")
	phones.Do(t, "102", "hangup")
	phones.Wait(t, "trunk", "ended")
	eventually(t, "the records", func() bool { return len(lab.CDRs(t)) >= 2 })
	over := time.Now()

	for range 2 { // what is there is not fetched again
		p = run()
		eventually(t, "the calls", func() bool { return len(box.Calls()) >= 2 && p.node.journalIsEmpty(t) })
		if calls := openTab(p).hello.Calls; len(calls) > 0 {
			t.Errorf("cards: %+v", calls)
		}
		p.stop()
	}
	calls := box.Calls()
	if len(calls) != 2 || len(box.logged(half.ID)) != 1 {
		t.Fatalf("the CRM has %+v", calls)
	}
	for _, c := range calls {
		if c.CreatedAt.After(over) || c.Direction != "inbound" {
			t.Errorf("%+v", c)
		}
	}
}

func TestCheckOfCallDetailRecords(t *testing.T) {
	t.Parallel()
	const config = `
accounts:
  - id: acme
    pbx: [{id: office, kind: asterisk, address: "127.0.0.1:1", username: a, secret: x, cdr: {csv: Master.csv, zone: UTC}}]
`
	file := configFile(t, config)
	_, out, _ := ringcast(t, "check", "-config", file)
	if !strings.Contains(out, "FAIL  account acme, pbx office: call detail records, ") || !strings.Contains(out, "Master.csv: no such file or directory") {
		t.Errorf("%s", out)
	}
	write(t, strings.Replace(file, "ringcast.yaml", "Master.csv", 1),
		`"","101","102","x","","PJSIP/101-1","PJSIP/102-2","Dial","","2026-01-31 23:59:00",,"2026-01-31 23:59:59",59,0,"NO ANSWER","","1769903940.1"`+"\n")
	_, out, _ = ringcast(t, "check", "-config", file)
	if !strings.Contains(out, "Master.csv: the last is of 2026-01-31 23:59:59\n") {
		t.Errorf("%s", out)
	}
}
