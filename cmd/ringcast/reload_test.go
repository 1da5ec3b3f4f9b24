package main

import (
	"os"
	"strings"
	"testing"
)

// A save of the widget is about names and extensions: the rest of an entry is the config's, as it is now.
func TestReloadOverWhatWasSaved(t *testing.T) {
	t.Parallel()
	file := configFile(t, crmAccounts)
	p := start(t, "serve", "-config", file)
	p.settings(asAdmin(t, "acme", 1), `{"extensions":{"88888":"105","77777":"107"},"save":true}`).taken(t)
	write(t, file, strings.NewReplacer("anna@example.com", "orlova@example.com", `extensions: ["101"]`, `extensions: ["111"]`, `extensions: ["102"]`, `extensions: ["112"]`).Replace(crmAccounts))
	if err := p.node.reload(file, noEnv); err != nil {
		t.Fatal(err)
	}
	p.wantUsers("acme", "88888:Anna:105 99999:Boris:112 77777:77777:107")
	if u, _ := p.node.directory.User("acme", "88888"); u.Email != "orlova@example.com" {
		t.Errorf("after the reload: %+v", u)
	}
	if log := p.stderr.String(); !strings.Contains(log, "config_outranked=1 users=[88888] not_in_config=1 others=[77777]") {
		t.Errorf("it is not said whose entries do not count:\n%s", log)
	}
	write(t, file, strings.Replace(crmAccounts, `- {id: "88888", name: Anna, extensions: ["101"], email: anna@example.com}`, "", 1))
	if err := p.node.reload(file, noEnv); err != nil {
		t.Fatal(err)
	}
	p.wantUsers("acme", "99999:Boris:102 77777:77777:107 88888:Anna:105") // he was given it where it is kept
}

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
