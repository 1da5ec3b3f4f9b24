package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
	"ringcast/gateway/sandbox"
)

const (
	boxClient = "6f0b7b5c-1d0e-4d0a-9d8e-0c7f8a3c1a11"
	boxSecret = "box-secret"
)

// crmBox is a pretend amoCRM at an address of its own, whose integration redirects to a gateway that may not be there yet.
type crmBox struct {
	*sandbox.Amo

	t        *testing.T
	url      string
	redirect string
	gateway  string // host and port
}

func newCRMBox(t *testing.T, change func(*sandbox.AmoConfig)) *crmBox {
	t.Helper()
	box := &crmBox{t: t, gateway: steadyAddress(t)}
	box.redirect = "http://" + box.gateway + "/oauth/amocrm"
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { box.ServeHTTP(w, r) }))
	box.url = "http://" + server.Listener.Addr().String()
	cfg := sandbox.AmoConfig{
		Account: 12345678, Subdomain: "acme", BaseURL: box.url, ClientID: boxClient, ClientSecret: boxSecret, RedirectURI: box.redirect,
		UninstallURI: "http://" + box.gateway + amoPath + uninstallName, Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna", Admin: true}, {ID: 99999, Name: "Boris"}},
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if box.Amo, err = sandbox.NewAmo(cfg); err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	return box
}

// config has the integration, or what else crm is, and an operator.
func (b *crmBox) config(crm string) string {
	return "listen: " + b.gateway + "\nops_listen: 127.0.0.1:0\ndata_dir: data\nadmin_key: " + adminKey + "\n" + strings.NewReplacer(
		"$BOX", b.url, "$CLIENT", boxClient, "$SECRET", boxSecret, "$REDIRECT", b.redirect).Replace(crm)
}

const oursInTheBox = `integrations:
  - {id: ours, kind: amocrm, client_id: $CLIENT, client_secret: $SECRET, redirect_uri: "$REDIRECT", base_url: "$BOX", account: {region: RU}}
`

// token is a disposable token of a user of the box.
func (b *crmBox) token(user int, change ...jwt.MapClaims) string {
	b.t.Helper()
	now := time.Now().Unix()
	claims := jwt.MapClaims{
		"iss": b.url, "aud": "http://127.0.0.1", "jti": "j", "iat": now, "nbf": now, "exp": now + 1800,
		"account_id": 12345678, "subdomain": "acme", "client_uuid": boxClient, "user_id": user,
	}
	for _, ch := range change {
		for name, value := range ch {
			claims[name] = value
		}
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(boxSecret))
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// installs are what the operator sees.
func (p *program) installs() (list struct {
	Installs     []shownInstall     `json:"installs"`
	Integrations []shownIntegration `json:"integrations"`
},
) {
	p.t.Helper()
	p.request(http.MethodGet, p.web+"/v1/admin/installs", "", "Authorization", "Bearer "+adminKey).decode(p.t, http.StatusOK, &list)
	return list
}

func (p *program) awaitInstall(account string, state amocrm.State) (found shownInstall) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s to be %s", account, state), func() bool {
		for _, install := range p.installs().Installs {
			if install.Account == account {
				found = install
			}
		}
		return found.State == state
	})
	return found
}

func TestAccountAppearsByInstalling(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	file := configFile(t, box.config(oursInTheBox))
	p := start(t, "serve", "-config", file)
	admin := box.token(88888) // whom the CRM calls no administrator, as Kommo does
	p.settings(admin, `{}`, "Origin", box.url).refused(t, http.StatusForbidden, gateway.CodeOrigin)
	p.settings(admin, `{}`).refused(t, http.StatusUnauthorized, gateway.CodeBadToken)
	if list := p.installs(); len(list.Installs) != 0 || len(list.Integrations) != 1 || !strings.HasPrefix(list.Integrations[0].Link, box.url+"/oauth?") {
		t.Errorf("before: %+v", list)
	}

	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	install := p.awaitInstall("acme", amocrm.StateConnected)
	if install.Integration != "ours" || install.CRMAccount != 12345678 || install.Address != box.url || len(install.PBX) != 1 || install.PBX[0].ID != "main" {
		t.Fatalf("installed as %+v", install)
	}
	saved, _ := p.settings(admin, `{"extensions":{"88888":"101","99999":"102"},"names":{"88888":"Anna"},"save":true}`, "Origin", box.url).taken(t)
	if saved.Account != "acme" || !saved.Saved || !saved.Admin {
		t.Errorf("the settings were answered %+v", saved)
	}
	p.settings(box.token(99999), `{"extensions":{"99999":"101"},"save":true}`).refused(t, http.StatusForbidden, gateway.CodeNotAdmin)
	p.settings(box.token(88888, jwt.MapClaims{"account_id": 7}), `{}`).refused(t, http.StatusUnauthorized, gateway.CodeBadToken)

	var session struct {
		Token string `json:"token"`
	}
	p.request(http.MethodPost, p.web+"/v1/sessions/amocrm", "", "X-Auth-Token", admin, "Origin", box.url).decode(t, http.StatusOK, &session)
	anna := p.open(session.Token, "", http.Header{"Origin": {box.url}})
	key := install.PBX[0].Key
	p.post("acme", "guessed", inboundDial("1", `"101"`)).refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	p.post("acme", key, inboundDial("1", `"101"`)).decode(t, http.StatusAccepted, new(took))
	if v := anna.call(gateway.EventDial, gateway.Ringing); *v.Phone != "+79991112233" { // by the integration's region
		t.Errorf("the call is %+v", v)
	}
	if _, err := p.node.installs.Access(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
	if err := p.node.reload(file, noEnv); err != nil {
		t.Fatal(err)
	}
	p.wantUsers("acme", "88888:Anna:101 99999:99999:102")
	out := filepath.Join(t.TempDir(), "widget.zip")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	public := configFile(t, "public_url: https://calls.example.com\n"+string(config))
	if code, stdout, stderr := ringcast(t, "widget", "-config", public, "-account", "ours", "-out", out); code != 0 || !strings.Contains(stdout, "for amocrm") {
		t.Errorf("the integration's widget: exit code %d, %q, %q", code, stdout, stderr)
	}

	p.stop()
	p = start(t, "serve", "-config", file)
	if again := p.awaitInstall("acme", amocrm.StateConnected); again.PBX[0].Key != key {
		t.Error("after a restart the PBX has another key")
	}
	p.wantUsers("acme", "88888:Anna:101 99999:99999:102")
}

func TestIntegrationIsRemovedAndComesBack(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	p := start(t, "serve", "-config", configFile(t, box.config(oursInTheBox)))
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	key := p.awaitInstall("acme", amocrm.StateConnected).PBX[0].Key
	forged := url.Values{"client_uuid": {boxClient}, "account_id": {"12345678"}, "signature": {strings.Repeat("0", 64)}}
	p.request(http.MethodGet, p.web+amoPath+uninstallName+"?"+forged.Encode(), "").refused(t, http.StatusForbidden, gateway.CodeNotPermitted)
	p.awaitInstall("acme", amocrm.StateConnected)
	if err := box.Uninstall(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	gone := p.awaitInstall("acme", amocrm.StateUninstalled)
	if gone.Reason == "" || !strings.HasPrefix(gone.Link, box.url+"/oauth?client_id="+boxClient) {
		t.Errorf("it is told as %+v", gone)
	}
	p.settings(box.token(88888), `{}`).refused(t, http.StatusUnauthorized, gateway.CodeBadToken)
	p.post("acme", key, inboundDial("1", `"101"`)).decode(t, http.StatusAccepted, new(took)) // no call is lost
	ready := p.request(http.MethodGet, p.ops+"/readyz", "")
	var answer readiness
	ready.decode(t, http.StatusOK, &answer)
	if len(answer.CRM) != 1 || answer.CRM[0].State != amocrm.StateUninstalled || !answer.Ready {
		t.Errorf("readyz says %+v", answer)
	}
	if metrics := p.request(http.MethodGet, p.ops+"/metrics", ""); !strings.Contains(metrics.body, `ringcast_crm_connected{account="acme",state="uninstalled"} 0`) {
		t.Error("the metrics do not tell")
	}
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	if back := p.awaitInstall("acme", amocrm.StateConnected); back.PBX[0].Key != key {
		t.Error("it came back with another key")
	}
}

// TestAConfigAccountIsNotEnteredByAnInstallOfItsName: somebody named his account of the CRM as the operator will name one.
func TestAConfigAccountIsNotEnteredByAnInstallOfItsName(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	file := configFile(t, box.config(oursInTheBox))
	p := start(t, "serve", "-config", file)
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	p.awaitInstall("acme", amocrm.StateConnected)
	p.settings(box.token(88888), `{}`).taken(t)
	p.stop()

	config := box.config(oursInTheBox) + `accounts:
  - id: acme
    pbx: [{id: office, kind: asterisk, address: "127.0.0.1:1", username: u, secret: s}]
    users: [{id: "88888", name: The operator's own, extensions: ["101"]}]
`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, "serve", "-config", file)
	p.settings(box.token(88888), `{}`).refused(t, http.StatusUnauthorized, gateway.CodeBadToken)
	p.request(http.MethodPost, p.web+"/v1/sessions/amocrm", "", "X-Auth-Token", box.token(88888)).refused(t, http.StatusUnauthorized, gateway.CodeBadToken)
	if list := p.installs(); len(list.Installs) != 1 || list.Installs[0].Reason == "" || list.Installs[0].Link != "" || len(list.Installs[0].PBX) != 0 {
		t.Errorf("it is shown as %+v", list)
	}
	var answer readiness
	p.request(http.MethodGet, p.ops+"/readyz", "").decode(t, http.StatusOK, &answer)
	if len(answer.CRM) != 0 {
		t.Errorf("readyz says %+v", answer.CRM)
	}
	if err := box.Install(t.Context(), boxClient); err != nil { // again, and it has a name of its own
		t.Fatal(err)
	}
	p.awaitInstall("amo-12345678", amocrm.StateConnected)
	if saved, _ := p.settings(box.token(88888), `{}`, "Origin", box.url).taken(t); saved.Account != "amo-12345678" {
		t.Errorf("a token of the CRM's is let in as %+v", saved)
	}
}

// TestOperatorSeesThatTheCRMHasShutUsOut before any call has to wait for it.
func TestOperatorSeesThatTheCRMHasShutUsOut(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	p := start(t, "serve", "-config", configFile(t, box.config(oursInTheBox)))
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	p.awaitInstall("acme", amocrm.StateConnected)
	shown := func() (string, string) {
		var answer readiness
		p.request(http.MethodGet, p.ops+"/readyz", "").decode(t, http.StatusOK, &answer)
		return answer.CRM[0].Stopped, p.request(http.MethodGet, p.ops+"/metrics", "").body
	}
	if stopped, metrics := shown(); stopped != "" || !strings.Contains(metrics, `ringcast_crm_stopped{account="acme"} 0`) {
		t.Errorf("before: %q", stopped)
	}
	box.Fail(sandbox.AmoFault{Pattern: "/api/", Failure: sandbox.AmoBan})
	if err := p.node.crm.Do(t.Context(), "acme", amocrm.Request{Method: http.MethodGet, Path: "/api/v4/account"}, nil); err == nil {
		t.Fatal("the CRM is not as it was to be")
	}
	if stopped, metrics := shown(); !strings.Contains(stopped, "403") || !strings.Contains(metrics, `ringcast_crm_stopped{account="acme"} 1`) {
		t.Errorf("readyz says %q", stopped)
	}
}

// TestWithoutAccessNobodyIsLookedUp, which would fail, and be told, at each call.
func TestWithoutAccessNobodyIsLookedUp(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	p := start(t, "serve", "-config", configFile(t, box.config(strings.Replace(oursInTheBox, "region: RU", "region: RU, notify: true", 1))))
	asked := func() bool { return p.node.callers.finder("acme") != nil && p.node.callers.notifier("acme") != nil }
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be asked", asked)
	if err := box.Uninstall(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be left alone", func() bool {
		return p.node.callers.finder("acme") == nil && p.node.callers.notifier("acme") == nil
	})
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be asked again", asked)
}

func TestOperatorsLinkConnectsAnAccountOfTheConfig(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, nil)
	file := configFile(t, box.config(`accounts:
  - id: office
    crm: {kind: amocrm, domain: acme.amocrm.ru, client_id: $CLIENT, client_secret: $SECRET, redirect_uri: "$REDIRECT", base_url: "$BOX"}
`))
	p := start(t, "serve", "-config", file)
	if waits := p.awaitInstall("office", amocrm.StateWaiting); waits.Link == "" || waits.Reason == "" {
		t.Errorf("it waits as %+v", waits)
	}
	code, stdout, _ := ringcast(t, "connect", "-config", file, "-account", "office")
	link, err := url.Parse(strings.TrimSpace(stdout))
	if code != 0 || err != nil {
		t.Fatalf("exit code %d, %q", code, stdout)
	}
	consent := link.Query()
	consent.Set("answer", "allow")
	res := p.request(http.MethodPost, box.url+"/oauth", consent.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if res.status != http.StatusFound {
		t.Fatalf("the consent was answered %d %s", res.status, res.body)
	}
	back := p.request(http.MethodGet, res.header.Get("Location"), "")
	if back.status != http.StatusOK || !strings.Contains(back.body, "<b>office</b>") {
		t.Errorf("the administrator sees %d %s", back.status, back.body)
	}
	p.awaitInstall("office", amocrm.StateConnected)
	for id, says := range map[string]string{"nobody": "names no account with a crm", "": "-account is needed"} {
		if code, _, stderr := ringcast(t, "connect", "-config", file, "-account", id); code == 0 || !strings.Contains(stderr, says) {
			t.Errorf("%q: exit code %d, %q", id, code, stderr)
		}
	}
	p.request(http.MethodGet, p.web+"/v1/admin/installs", "").refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	p.request(http.MethodGet, box.redirect+"?code=x&referer=evil.example.com", "").refused(t, http.StatusForbidden, gateway.CodeNotPermitted)
}

// anyCRM is as much of a CRM as a check asks: it knows every integration, and lets every token in.
func anyCRM() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/access_token", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	mux.HandleFunc("GET /api/v4/account", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(amocrm.AccountInfo{ID: 1})
	})
	return mux
}
