package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
	"ringcast/widget"
)

// TestWidgetSettingsReachTheDirectory: what an administrator saves in the CRM's settings window is who has which
// extension at a real gateway, after a restart as well, and the widget of who got one connects. Whom its config gives one
// is in the window, and keeps it.
func TestWidgetSettingsReachTheDirectory(t *testing.T) {
	t.Parallel()
	var crm swappable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { crm.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	file := configFile(t, fmt.Sprintf(`
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
origins: [%q]
accounts:
  - id: acme
    region: RU
    pbx: [{id: main, kind: webhook, key: %s}]
    crm: {kind: amocrm, domain: acme.amocrm.ru, account_id: 12345678, client_id: %s, client_secret: %q, redirect_uri: %q, base_url: %q}
    users: [{id: "99999", name: Boris, extensions: ["102"]}]
`, server.URL, acmePBXKey, integration, officeKey, redirectURI, server.URL))
	run := start(t, "serve", "-config", file)
	archive, err := buildWidget(run.node.cfg.PublicURL, widget.Version)
	if err != nil {
		t.Fatal(err)
	}
	crm.Handler, err = sandbox.NewAmo(sandbox.AmoConfig{
		Account: 12345678, Subdomain: "acme", BaseURL: server.URL, Lang: "en",
		Users:    []sandbox.AmoUser{{ID: 88888, Name: "Anna", Admin: true}, {ID: 99999, Name: "Boris"}},
		ClientID: integration, ClientSecret: officeKey, RedirectURI: redirectURI, WidgetZip: archive, NotInstalled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := openPage(browsertest.New(t), t, "widget-settings", server.URL+"/settings/widgets/?user="+anna, 1180, 1500)
	p.wait(`document.querySelector('.tile[data-code="ringcast"]')`)
	p.text(`document.querySelector('.tile[data-code="ringcast"]').click()`)
	const lines = `[...document.querySelectorAll('.ringcast-check .ringcast-check__line')].map((line) => line.textContent).join('\n')`
	p.wait(`document.querySelector('.ringcast-consent input')`)
	p.want(lines, "") // nobody is told anything before the consent
	p.text(`document.querySelector('.ringcast-consent input').click()`)
	p.wait(`/Account: acme/.test(` + lines + `)`)
	p.wait(`document.querySelector('[name="extensions[99999]"]').value === '102'`)
	p.text(`require('jquery')('[name="extensions[88888]"]').val('101, 103').trigger('change').length`)
	p.wait(`!document.querySelector('.js-widget-save').disabled`)
	p.text(`document.querySelector('.js-widget-save').click()`)
	const want = "99999:Boris:102 88888:Anna:101+103"
	eventually(t, "the directory", func() bool {
		a, _ := run.node.directory.Account("acme")
		return len(a.Users) == 2
	})
	run.wantUsers("acme", want)
	eventually(t, "Anna's session", func() bool {
		return strings.Contains(run.request(http.MethodGet, run.ops+"/metrics", "").body, "ringcast_sessions{rung=\"ws\"} 1\n")
	})
	run.stop()
	start(t, "serve", "-config", file).wantUsers("acme", want)
}
