package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringcast/gateway/amocrm"
	"ringcast/gateway/sandbox"
)

// TestRevokedIntegration takes the access away in the midst of calls: the operator is told, the CRM is left alone, and
// once somebody has installed the integration again every call is there.
func TestRevokedIntegration(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
		cfg.Second = 50 * time.Millisecond
		cfg.Contacts = []sandbox.AmoContact{{ID: 1001, Name: "Ivan Petrov", Phones: []string{"8 (900) 555-01-11"}, Responsible: 99999}}
	})
	p := startAt(t, paceOf(amoSecond), "serve", "-config", configFile(t, box.config(oursInTheBox)))
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	key := p.awaitInstall("acme", amocrm.StateConnected).PBX[0].Key
	posted := 0
	calls := func(n int) {
		var events []string
		for range n {
			events = append(events, talked(fmt.Sprint("c", posted), "inbound", "+79005550111", "+74951234567", "101")...)
			posted++
		}
		p.post("acme", key, "["+strings.Join(events, ",")+"]").decode(t, http.StatusAccepted, new(took))
	}
	calls(5)
	eventually(t, "the first calls", func() bool { return len(box.Calls()) == 5 })

	box.Revoke(boxClient)
	calls(40)
	lost := p.awaitInstall("acme", amocrm.StateDisconnected)
	if lost.Reason == "" || lost.Since == nil || !strings.HasPrefix(lost.Link, box.url+"/oauth?client_id="+boxClient) {
		t.Errorf("it is told as %+v", lost)
	}
	asked := len(box.Requests())
	calls(40)
	tries := func() float64 { return p.metrics()[`ringcast_journal_saves_total{account="acme",result="failed"}`] }
	before := tries()
	eventually(t, "the journal to try again and again", func() bool { return tries() >= before+6 })
	if n := len(box.Requests()) - asked; n > 2 {
		t.Errorf("the CRM was asked %d times more since it has said no", n)
	}
	accounts, err := p.node.gateway.Journal(t.Context(), "acme")
	if err != nil || len(accounts) != 1 || accounts[0].Waiting != 80 || accounts[0].Parked != 0 || accounts[0].Trouble == nil {
		t.Errorf("the journal says %+v, %v", accounts, err)
	}

	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	p.awaitInstall("acme", amocrm.StateConnected)
	eventually(t, "all calls", func() bool { return len(box.Calls()) >= posted && p.node.journalIsEmpty(t) })
	for i := range posted {
		if n := len(box.logged(fmt.Sprint("main:c", i))); n != 1 {
			t.Errorf("call %d is there %d times", i, n)
		}
	}
	box.keepsTheLimits(50 * time.Millisecond)
}

// TestReinstalledAccountsCallsGoOnAtOnce, and not when each was to be tried again.
func TestReinstalledAccountsCallsGoOnAtOnce(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
		cfg.Second = 50 * time.Millisecond
		cfg.Contacts = []sandbox.AmoContact{{ID: 1001, Name: "Ivan Petrov", Phones: []string{"8 (900) 555-01-11"}, Responsible: 99999}}
	})
	pace := paceOf(amoSecond)
	pace.crm, pace.journal.MaxRetry = nil, time.Hour
	p := startAt(t, pace, "serve", "-config", configFile(t, box.config(oursInTheBox)))
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	key := p.awaitInstall("acme", amocrm.StateConnected).PBX[0].Key
	box.Revoke(boxClient)
	const calls = 3
	var events []string
	for i := range calls {
		events = append(events, talked(fmt.Sprint("c", i), "inbound", "+79005550111", "+74951234567", "101")...)
	}
	p.post("acme", key, "["+strings.Join(events, ",")+"]").decode(t, http.StatusAccepted, new(took))
	eventually(t, "each to be tried", func() bool {
		return p.metrics()[`ringcast_journal_saves_total{account="acme",result="failed"}`] >= calls
	})
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all calls", func() bool { return p.node.journalIsEmpty(t) })
}
