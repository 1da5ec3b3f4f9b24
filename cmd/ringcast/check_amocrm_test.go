package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringcast/gateway/amocrm"
	"ringcast/gateway/sandbox"
)

const privateInTheBox = `origins: ["$BOX"]
accounts:
  - id: office
    pbx: [{id: main, kind: webhook, key: ` + acmePBXKey + `}]
    crm: {kind: amocrm, domain: acme.amocrm.ru, client_id: $CLIENT, client_secret: $SECRET, redirect_uri: "$REDIRECT", base_url: "$BOX", token: $TOKEN}
`

func TestCheckOfAmoCRMNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	private := func(cfg *sandbox.AmoConfig) { cfg.Private = true }
	for name, c := range map[string]struct {
		box    func(*sandbox.AmoConfig)
		config []string // from, to
		then   func(*crmBox)
		says   string // on a line that fails; "": none does
	}{
		"nothing":         {},
		"another secret":  {config: []string{"client_secret: " + boxSecret, "client_secret: guessed"}, says: "does not know client_id with this client_secret"},
		"another client":  {config: []string{"client_id: " + boxClient, "client_id: nobody"}, says: "does not know client_id with this client_secret"},
		"a new secret":    {then: func(b *crmBox) { b.NewSecret(boxClient, "new") }, says: "does not know client_id with this client_secret"},
		"redirect_uri":    {config: []string{"/oauth/amocrm", "/oauth/other"}, says: "has another redirect_uri for the integration"},
		"origin":          {config: []string{`origins: ["http`, `origins: ["https`}, says: `its pages in origins: .* add "http://.*" to origins`},
		"scope crm":       {box: func(cfg *sandbox.AmoConfig) { cfg.Scopes = []string{"notifications"} }, says: "give it the scope crm"},
		"scope of events": {box: func(cfg *sandbox.AmoConfig) { cfg.Scopes = []string{"crm"} }, says: "has not got the scope notifications"},
		"revoked":         {then: func(b *crmBox) { b.Revoke(boxClient) }, says: "lets Ringcast in.*401"},
		"never connected": {config: []string{", token: $TOKEN", ""}, says: "ringcast connect -account office prints the link"},
		"down":            {then: func(b *crmBox) { b.Refuse("/", http.StatusServiceUnavailable, "") }, says: "could not be tried: .*503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
				private(cfg)
				if c.box != nil {
					c.box(cfg)
				}
			})
			token, err := box.LongLivedToken(boxClient, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if c.then != nil {
				c.then(box)
			}
			yaml := privateInTheBox
			if c.config == nil {
				c.config = []string{"", ""}
			}
			yaml = strings.Replace(yaml, c.config[0], c.config[1], 1)
			yaml = strings.Replace(box.config(strings.ReplaceAll(yaml, "$TOKEN", token)), c.config[0], c.config[1], 1)
			code, stdout, stderr := ringcast(t, "check", "-config", configFile(t, yaml))
			if fails := strings.Contains(stdout, "FAIL"); fails != (c.says != "") || code == 0 == fails {
				t.Errorf("exit code %d, %q\n%s", code, stderr, stdout)
			}
			if c.says != "" && !regexp.MustCompile(`(?m)^FAIL .*`+c.says).MatchString(stdout) {
				t.Errorf("no line that fails says %q:\n%s", c.says, stdout)
			}
			if strings.Count(stdout, "FAIL") > 1 {
				t.Errorf("one thing is wrong, and more is told:\n%s", stdout)
			}
		})
	}
}

func TestCheckOfAnInstalledAccount(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	file := configFile(t, box.config(strings.Replace(oursInTheBox, "integrations:", `origins: ["$BOX"]`+"\nintegrations:", 1)))
	code, stdout, _ := ringcast(t, "check", "-config", file)
	if code != 0 || !strings.Contains(stdout, "nobody has installed the integration ours yet") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	p := start(t, "serve", "-config", file)
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	p.awaitInstall("acme", amocrm.StateConnected)
	code, stdout, _ = ringcast(t, "check", "-config", file)
	if code != 0 || !strings.Contains(stdout, "ok    integration ours: redirect_uri leads to Ringcast") || strings.Count(stdout, "redirect_uri leads") != 1 {
		t.Errorf("while it serves: exit code %d\n%s", code, stdout)
	}
	p.stop()
	code, stdout, _ = ringcast(t, "check", "-config", file)
	if code != 0 || !regexp.MustCompile(`(?m)^ok .*account acme of integration ours, .*: lets Ringcast in`).MatchString(stdout) {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	box.Revoke(boxClient)
	code, stdout, _ = ringcast(t, "check", "-config", file)
	if code != 1 || !regexp.MustCompile(`(?m)^FAIL .*lets Ringcast in.*401`).MatchString(stdout) {
		t.Errorf("revoked: exit code %d\n%s", code, stdout)
	}
}
