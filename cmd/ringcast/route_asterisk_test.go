package main

import (
	"strings"
	"testing"
	"time"

	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/sandbox"
)

// TestAsteriskRingsWhoIsResponsible has a real Asterisk ask Ringcast where a call goes, with the dial plans of
// examples/asterisk: over HTTP with CURL(), and over FastAGI.
func TestAsteriskRingsWhoIsResponsible(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
		cfg.Private = true
		cfg.Contacts = []sandbox.AmoContact{
			{ID: 1001, Name: "Ivan \"the Great\" Petrov", Phones: []string{"8 (900) 555-01-11"}, Responsible: 99999},
			{ID: 1002, Name: "Maria Sokolova", Phones: []string{"+79005550122"}, Responsible: 88888},
		}
	})
	token, err := box.LongLivedToken(boxClient, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("$TOKEN", token, "127.0.0.1:1", lab.AMI, "username: a, secret: x", "username: "+asterisktest.User+", secret: "+
		asterisktest.Secret(asterisktest.User), routeKey, strings.ReplaceAll(routeKey, " ", "-"), "[owner, fixed], fixed: \"600\"", "[owner]").Replace(routedInTheBox)
	p := start(t, "serve", "-config", configFile(t, box.config(config)))
	lab.Set(t, "RINGCAST", p.web)
	lab.Set(t, "RINGCAST_AGI", p.node.routing.listener.Addr().String())
	lab.Set(t, "RINGCAST_ACCOUNT", "office")
	lab.Set(t, "RINGCAST_KEY", strings.ReplaceAll(routeKey, " ", "-"))
	phones := lab.Phones(t)

	calls := func(line, from, rings, name string) {
		t.Helper()
		phones.Do(t, "trunk", "dial", line, from)
		if e := phones.Wait(t, rings, "incoming"); name != "" && e.Name != name {
			t.Errorf("%s shows %q, want %q", rings, e.Name, name)
		}
		phones.Do(t, "trunk", "hangup")
		phones.Wait(t, rings, "ended")
		phones.Forget()
	}
	const curl, agi = "5550130", "5550131"
	calls(curl, ivan, "102", "")
	calls(curl, maria, "101", "")
	calls(agi, ivan, "102", "Ivan the Great Petrov")
	calls(agi, maria, "101", "Maria Sokolova")

	// Nobody is responsible for a stranger: all are rung, as before. So they are when the CRM hangs, after half a second,
	// and when Ringcast lets nobody in, or is not there.
	all := func(line, from string) {
		t.Helper()
		phones.Do(t, "trunk", "dial", line, from)
		phones.Wait(t, "101", "incoming")
		phones.Wait(t, "102", "incoming")
		phones.Do(t, "trunk", "hangup")
		phones.Wait(t, "101", "ended")
		phones.Wait(t, "102", "ended")
		phones.Forget()
	}
	all(curl, unknown)
	all(agi, unknown)
	lift := box.Hang("/api/")
	all(curl, "79005550177")
	all(agi, "79005550178")
	lift()
	lab.Set(t, "RINGCAST_KEY", "guessed")
	all(curl, ivan)
	all(agi, ivan)
	lab.Set(t, "RINGCAST_AGI", steadyAddress(t))
	lab.Set(t, "RINGCAST", "http://"+steadyAddress(t))
	all(curl, ivan)
	all(agi, ivan)
}
