package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/push"
	"ringcast/gateway/sandbox"
	"ringcast/widget"
)

// The people of the office: their ids in the CRM.
const (
	anna  = "88888" // 101 and 103
	boris = "99999" // 102
)

// Who calls: the numbers as the telephone network tells them.
const (
	ivan    = "79005550111" // Ivan Petrov, a contact
	maria   = "79005550122" // Maria Sokolova, a contact
	unknown = "79005550999"
)

const (
	integration = "6f3f2e0a-0c7d-4f0e-9c55-0d5b1f0f7a11"
	redirectURI = "http://127.0.0.1/oauth"
	officeKey   = "the secret of the office's integration"
)

// office is a company that runs Ringcast: a real Asterisk with its telephones, `ringcast serve` connected to
// it as the manager user with the least rights, and a pretend amoCRM where the widget's archive is installed.
type office struct {
	*asterisktest.Phones
	t   *testing.T
	lab *asterisktest.Lab
	run *program
	amo *sandbox.Amo
	crm string // the CRM's address
}

// newOffice opens one. ami is the address at which Ringcast finds the lab's manager.
func newOffice(t *testing.T, lab *asterisktest.Lab, ami string) *office {
	t.Helper()
	var crm swappable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { crm.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	o := &office{t: t, lab: lab, crm: server.URL}
	o.run = start(t, "serve", "-config", configFile(t, fmt.Sprintf(`
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
origins: [%q]
accounts:
  - id: acme
    region: RU
    pbx: [{id: office, kind: asterisk, address: %q, username: %s, secret: %s}]
    crm: {kind: amocrm, domain: acme.amocrm.ru, account_id: 12345678, client_id: %s, client_secret: %q, redirect_uri: %q, base_url: %q}
    users:
      - {id: %q, name: Anna, extensions: ["101", "103"]}
      - {id: %q, name: Boris, extensions: ["102"]}
`, o.crm, ami, asterisktest.User, asterisktest.Secret(asterisktest.User), integration, officeKey, redirectURI, o.crm, anna, boris)))

	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ringcast said:\n%s", o.run.stderr)
		}
	})

	archive, err := buildWidget(o.run.node.cfg.PublicURL, widget.Version)
	if err != nil {
		t.Fatal(err)
	}
	o.amo, err = sandbox.NewAmo(sandbox.AmoConfig{
		Account: 12345678, Subdomain: "acme", BaseURL: o.crm, Lang: "en",
		Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna", Admin: true}, {ID: 99999, Name: "Boris", Dark: true}},
		Contacts: []sandbox.AmoContact{
			{ID: 1001, Name: "Ivan Petrov", Phones: []string{"+7 900 555-01-11"}, Company: "Petrov & Sons", Responsible: 88888},
			{ID: 1002, Name: "Maria Sokolova", Phones: []string{"8 (900) 555-01-22"}, Responsible: 99999},
		},
		ClientID: integration, ClientSecret: officeKey, RedirectURI: redirectURI, WidgetZip: archive,
	})
	if err != nil {
		t.Fatal(err)
	}
	crm.Handler = o.amo
	o.Phones = lab.Phones(t)
	o.linked("connected")
	return o
}

// linked waits until the link to Asterisk is in a state.
func (o *office) linked(state string) {
	o.t.Helper()
	eventually(o.t, "a link that is "+state, func() bool { return o.run.node.gateway.Links()[0].PBX.State().State == state })
}

// desk opens a user's CRM in the browser and waits until the widget runs there.
func (o *office) desk(browser context.Context, name, user string) *page {
	o.t.Helper()
	p := openPage(browser, o.t, name, o.crm+"/leads/?user="+user, 1180, 760)
	p.wait(hasWidget)
	return p
}

// tab opens a user's own connection beside the browser, to see every message.
func (o *office) tab(user string) *tab {
	o.t.Helper()
	token, _, err := o.run.node.tokens.Mint("acme", user, push.SessionLife)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.run.open(token, "", nil)
}

// until reads up to a message of a call that is in that state.
func (w *tab) until(state gateway.State) (gateway.EventType, gateway.View) {
	w.t.Helper()
	for {
		m := w.next()
		if m.Type != "call" {
			w.t.Fatalf("got %+v, want a call that is %s", m, state)
		}
		if v := m.view(w.t); v.State == state {
			return m.Event, v
		}
	}
}

// sessions waits until so many are open.
func (o *office) sessions(n int) {
	o.t.Helper()
	line := fmt.Sprintf("ringcast_sessions{rung=\"ws\"} %d\n", n)
	eventually(o.t, fmt.Sprintf("%d sessions", n), func() bool {
		return strings.Contains(o.run.request(http.MethodGet, o.run.ops+"/metrics", "").body, line)
	})
}
