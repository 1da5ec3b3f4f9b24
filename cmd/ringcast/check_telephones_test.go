package main

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
)

// TestCheckOfExtensionsAtARealAsterisk: what the config names and what an administrator has saved.
func TestCheckOfExtensionsAtARealAsterisk(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	phones := lab.Phones(t)
	phones.Do(t, "103", "unregister")
	crm := httptest.NewServer(anyCRM())
	t.Cleanup(crm.Close)
	yaml := strings.NewReplacer(
		"pbx: [{id: main, kind: webhook, key: "+acmePBXKey+"}]",
		`pbx: [{id: office, kind: asterisk, address: "`+lab.AMI+`", username: `+asterisktest.User+`, secret: `+asterisktest.Secret(asterisktest.User)+`}]`,
		"domain: acme.amocrm.ru", `domain: acme.amocrm.ru, base_url: "`+crm.URL+`", token: acme-token`,
		"domain: globex.kommo.com", `domain: globex.kommo.com, base_url: "`+crm.URL+`", token: globex-token`,
		`"https://*.kommo.com"`, `"`+crm.URL+`"`,
	).Replace(crmAccounts)
	file := configFile(t, yaml)
	p := start(t, "serve", "-config", file)
	acme := map[string]any{"is_admin": true, "iss": crm.URL}
	eventually(t, "the link", func() bool { return p.node.gateway.Links()[0].State().State == "connected" })
	pbx, _ := p.node.gateway.Links()[0].PBX.(gateway.Telephones)
	eventually(t, "103 to be off", func() bool {
		state, err := pbx.Telephone(t.Context(), "103")
		return err == nil && state == gateway.TelephoneUnregistered
	})
	got, line := p.settings(crmToken(t, "acme", 1, acme), `{"extensions":{"7":"103, 199"},"names":{"7":"Carol"},"save":true}`).taken(t)
	if line != "88888:Anna 101=ok, 99999:Boris 102=ok, 7:Carol 103=unregistered 199=unknown" || len(got.PBX) != 1 || got.PBX[0].State != "connected" {
		t.Errorf("the settings say %s of %+v", line, got.PBX)
	}
	p.stop()
	code, stdout, stderr := ringcast(t, "check", "-config", file)
	if code != 0 {
		t.Errorf("exit code %d, %q\n%s", code, stderr, stdout)
	}
	for _, want := range []string{
		`ok    account acme: its PBX knows 3 of 4 extensions`,
		`  note: extension 103 of Carol \(user 7\): no telephone is connected`,
		`  note: extension 199 of Carol \(user 7\): the PBX has no telephone of that name: mend the number`,
		`  note: account globex has no users yet: an administrator`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(stdout) {
			t.Errorf("no line says %q:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "of Anna") {
		t.Errorf("it has something to say of what is well:\n%s", stdout)
	}

	// What this one does not know, another that cannot be reached may have.
	away := strings.Replace(yaml, "pbx: [{id: office", `pbx: [{id: far, kind: asterisk, address: "127.0.0.1:1", username: u, secret: s}, {id: office`, 1)
	write(t, file, away)
	code, stdout, _ = ringcast(t, "check", "-config", file)
	if code == 0 || !strings.Contains(stdout, "extension 199 of Carol (user 7): whether there is such a telephone could not be found out") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
}
