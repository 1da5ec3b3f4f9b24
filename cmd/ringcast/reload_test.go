package main

import (
	"os"
	"strings"
	"testing"
)

func TestReloadTakesTheUsersAnew(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts)
	p := start(t, "serve", "-config", file)
	boris := p.open(tokenOf(t, "acme", "99999"), "", nil)
	anna := p.open(tokenOf(t, "acme", "88888"), "", nil)

	// Boris has left, and his extension is Anna's.
	write(t, file, strings.Replace(twoAccounts, `- {id: "88888", name: Anna, extensions: ["101"]}
      - {id: "99999", name: Boris, extensions: ["102"]}`, `- {id: "88888", name: Anna, extensions: ["101", "102"]}`, 1))
	if err := p.node.reload(file, noEnv); err != nil {
		t.Fatal(err)
	}
	if code := boris.closed(); code != 4501 {
		t.Errorf("Boris was sent away with %d", code)
	}
	p.emit(inboundDial("1", `"102"`))
	if v := anna.call("call.dial", "ringing"); v.Extension != "102" {
		t.Errorf("Anna's call is at %q", v.Extension)
	}

	// What cannot be used changes nothing.
	write(t, file, "accounts: nonsense")
	if err := p.node.reload(file, noEnv); err == nil {
		t.Error("a broken config was taken")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := p.node.reload(file, noEnv); err == nil {
		t.Error("a config that is gone was taken")
	}
	p.emit(inboundDial("2", `"102"`))
	anna.call("call.dial", "ringing")
	if strings.Contains(p.stderr.String(), "wait for the next start") {
		t.Error("a change of users counts as another change")
	}
	write(t, file, strings.Replace(twoAccounts, "region: RU", "region: UA", 1))
	if err := p.node.reload(file, noEnv); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.stderr.String(), "wait for the next start") {
		t.Errorf("nothing is said of the region's change:\n%s", p.stderr)
	}
}
