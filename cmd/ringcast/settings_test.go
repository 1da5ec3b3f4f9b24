package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const (
	acmeCRM   = "https://acme.amocrm.ru"
	globexCRM = "https://globex.kommo.com"
)

// crmAccounts is a config with two accounts of CRMs; of acme's administrators the config names one, 55555.
const crmAccounts = `
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
public_url: https://calls.example.com
data_dir: data
admin_key: ` + adminKey + `
origins: ["` + goodOrigin + `", "https://*.amocrm.ru", "https://*.kommo.com"]
accounts:
  - id: acme
    region: RU
    backend_key: ` + acmeBackendKey + `
    pbx: [{id: main, kind: webhook, key: ` + acmePBXKey + `}]
    crm: {kind: amocrm, domain: acme.amocrm.ru, client_id: acme-client, client_secret: acme-secret, redirect_uri: "https://calls.example.com/oauth", account_id: 1, admins: ["55555"]}
    users:
      - {id: "88888", name: Anna, extensions: ["101"], email: anna@example.com}
      - {id: "99999", name: Boris, extensions: ["102"]}
  - id: globex
    backend_key: ` + globexBackendKey + `
    pbx: [{id: main, kind: webhook, key: ` + globexPBXKey + `}]
    crm: {kind: amocrm, domain: globex.kommo.com, client_id: globex-client, client_secret: globex-secret, redirect_uri: "https://calls.example.com/oauth"}
`

// crmToken is a disposable token as the CRM of an account makes it; claims change it.
func crmToken(t *testing.T, account string, user int, claims jwt.MapClaims) string {
	t.Helper()
	now := time.Now().Unix()
	all := jwt.MapClaims{
		"iss": map[string]string{"acme": acmeCRM, "globex": globexCRM}[account], "aud": "https://calls.example.com", "jti": "j",
		"iat": now, "nbf": now, "exp": now + 1800, "account_id": 1, "subdomain": account, "client_uuid": account + "-client", "user_id": user,
	}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(account + "-secret"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// asAdmin is a token of an administrator.
func asAdmin(t *testing.T, account string, user int) string {
	t.Helper()
	return crmToken(t, account, user, jwt.MapClaims{"is_admin": true})
}

// settings asks as the widget does.
func (p *program) settings(token, body string, header ...string) answer {
	p.t.Helper()
	return p.request(http.MethodPost, p.web+settingsPath, body, append([]string{"X-Auth-Token", token, "Content-Type", "application/json"}, header...)...)
}

// taken is the answer to settings that were, on one line.
func (a answer) taken(t *testing.T) (got settingsAnswer, line string) {
	t.Helper()
	a.decode(t, http.StatusOK, &got)
	var parts []string
	for _, u := range got.Users {
		part := u.ID + ":" + u.Name
		for _, ext := range u.Extensions {
			part += fmt.Sprintf(" %s=%s", ext.Extension, ext.State)
		}
		parts = append(parts, part)
	}
	return got, strings.Join(parts, ", ")
}

func (p *program) wantUsers(account, want string) {
	p.t.Helper()
	a, _ := p.node.directory.Account(account)
	var parts []string
	for _, u := range a.Users {
		parts = append(parts, u.ID+":"+u.Name+":"+strings.Join(u.Extensions, "+"))
	}
	if got := strings.Join(parts, " "); got != want {
		p.t.Errorf("users of %s: %s\nwant %s", account, got, want)
	}
}

const asConfigured = "88888:Anna:101 99999:Boris:102"

func TestSettingsAreSavedAndKept(t *testing.T) {
	t.Parallel()
	file := configFile(t, crmAccounts)
	p := start(t, "serve", "-config", file)
	token := asAdmin(t, "acme", 77777) // who is not in the directory
	got, line := p.settings(token, `{"extensions":{"88888":" 102;103\n104 ","99999":"101","77777":"","66666":"106"},"names":{"66666":"Clara","1":"nobody"},"save":true}`,
		"Origin", acmeCRM).taken(t)
	if !got.Admin || !got.Saved || got.Account != "acme" || len(got.PBX) != 0 ||
		line != "88888:Anna 102=unchecked 103=unchecked 104=unchecked, 99999:Boris 101=unchecked, 66666:Clara 106=unchecked" {
		t.Errorf("answered %+v", got)
	}
	const saved = "88888:Anna:102+103+104 99999:Boris:101 66666:Clara:106"
	p.wantUsers("acme", saved)
	p.wantUsers("globex", "")
	if u, _ := p.node.directory.User("acme", "88888"); u.Email != "anna@example.com" {
		t.Errorf("what the settings do not say is lost: %+v", u)
	}
	p.stop()
	p = start(t, "serve", "-config", file)
	p.wantUsers("acme", saved)
	if log := p.stderr.String(); strings.Contains(log, token) {
		t.Error("the log has the token")
	}
	p.settings(token, `{"extensions":{"99999":""},"save":true}`).taken(t)
	p.wantUsers("acme", "88888:Anna:102+103+104 99999:Boris: 66666:Clara:106") // he keeps his place, and who is not named his extensions
}

func TestFirstSaveMakesTheDirectory(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "globex", 1)
	p.request(http.MethodPost, p.web+"/v1/sessions/amocrm", "", "X-Auth-Token", token).refused(t, http.StatusForbidden, gateway.CodeRevoked)
	_, line := p.settings(token, `{"extensions":{"1":"101"},"names":{"1":"Zoe"},"save":true}`).taken(t)
	if line != "1:Zoe 101=unchecked" { // the other account's 101 does not matter
		t.Errorf("answered %s", line)
	}
	p.request(http.MethodPost, p.web+"/v1/sessions/amocrm", "", "X-Auth-Token", token).decode(t, http.StatusOK, new(struct{}))
	p.wantUsers("acme", asConfigured)
}

func TestSettingsWithoutSaveChangeNothing(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	got, line := p.settings(asAdmin(t, "acme", 1), `{"extensions":{"88888":"109"}}`).taken(t)
	if got.Saved || line != "88888:Anna 109=unchecked, 99999:Boris 102=unchecked" {
		t.Errorf("an administrator hears %s", line)
	}
	p.settings(asAdmin(t, "acme", 1), `{"extensions":{"88888":"102"}}`).refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	for user, want := range map[int]string{99999: "99999:Boris 102=unchecked", 12: ""} { // the second is not in the directory
		got, line = p.settings(crmToken(t, "acme", user, nil), `{"extensions":{"99999":"101","88888":"103"}}`).taken(t)
		if got.Admin || got.Saved || line != want {
			t.Errorf("user %d hears %s", user, line)
		}
	}
	p.wantUsers("acme", asConfigured)
}

func TestSettingsChangeLiveSessionsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	anna, boris := p.open(tokenOf(t, "acme", "88888"), "", nil), p.open(tokenOf(t, "acme", "99999"), "", nil)
	p.settings(asAdmin(t, "acme", 1), `{"extensions":{"88888":"201","99999":"101"},"save":true}`).taken(t)
	p.emit(inboundDial("1", `"201"`))
	if v := anna.call(gateway.EventDial, gateway.Ringing); v.Extension != "201" {
		t.Errorf("Anna sees %+v", v)
	}
	p.emit(inboundDial("2", `"101"`))
	if v := boris.call(gateway.EventDial, gateway.Ringing); v.Extension != "101" || v.ID != "main:2" {
		t.Errorf("Boris sees %+v", v)
	}
	var got took
	p.post("acme", acmePBXKey, inboundDial("3", `"102"`)).decode(t, http.StatusAccepted, &got)
	if len(got.Unknown) != 1 || got.Unknown[0] != "102" {
		t.Errorf("an extension that is nobody's any more: %+v", got)
	}
	if m := anna.command(map[string]any{"id": "h1", "action": "hangup", "call": "main:1"}); m.OK { // the tab lives; only the PBX cannot
		t.Errorf("a command: %+v", m)
	}
}

func TestAdministratorOfTheConfig(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	for _, claims := range []jwt.MapClaims{nil, {"is_admin": false}, {"is_admin": "no"}} {
		if got, _ := p.settings(crmToken(t, "acme", 55555, claims), `{"extensions":{"88888":"101"},"save":true}`).taken(t); !got.Admin || !got.Saved {
			t.Errorf("%v: %+v", claims, got)
		}
	}
	p.settings(crmToken(t, "globex", 55555, nil), `{"save":true}`).refused(t, http.StatusForbidden, gateway.CodeNotAdmin) // who is another there
}

func TestSettingsNameEachFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "acme", 1)
	for name, c := range map[string]struct {
		body   string
		status int
		code   gateway.Code
		fields string
	}{
		"one extension at two users":  {`{"extensions":{"1":"105","2":"104,105"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0] extensions.2[1]"},
		"another's extension":         {`{"extensions":{"1":"102"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0]"},
		"twice the same":              {`{"extensions":{"1":"105 105"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[1]"},
		"no extension":                {`{"extensions":{"1":"10/5","2":"105,a!"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0] extensions.2[1]"},
		"no user of the CRM":          {`{"extensions":{"anna":"105","01":"106"},"save":true}`, 400, gateway.CodeInvalid, "extensions.01[0] extensions.anna[0]"},
		"an extension of AMI's lines": {`{"extensions":{"1":"105\u0000\r\nAction:"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0] extensions.1[1]"},
		"a long extension":            {`{"extensions":{"1":"` + strings.Repeat("1", 10_000) + `"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0]"},
		"101 extensions":              {`{"extensions":{"1":"` + digits(101) + `"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0]"},
		"a long user":                 {`{"extensions":{"` + strings.Repeat("1", 10_000) + `":"105"},"save":true}`, 400, gateway.CodeInvalid, "extensions." + strings.Repeat("1", 64) + "[0]"},
		"a good one beside a bad one": {`{"extensions":{"1":"105","2":"?"},"save":true}`, 400, gateway.CodeInvalid, "extensions.2[0]"},
		"no JSON":                     {`extensions[1]=105`, 400, gateway.CodeInvalid, ""},
		"two documents":               {`{}{}`, 400, gateway.CodeInvalid, ""},
		"a list":                      {`[{"save":true}]`, 400, gateway.CodeInvalid, ""},
		"a number for an extension":   {`{"extensions":{"1":105,"99999":"103"},"save":true}`, 400, gateway.CodeInvalid, "extensions.1[0]"},
		"null":                        {`{"extensions":{"99999":null},"save":true}`, 400, gateway.CodeInvalid, "extensions.99999[0]"},
		"a list of extensions":        {`{"extensions":{"88888":["101"],"99999":{}},"save":true}`, 400, gateway.CodeInvalid, "extensions.88888[0] extensions.99999[0]"},
		"a list for the map":          {`{"extensions":[],"save":true}`, 400, gateway.CodeInvalid, ""},
		"nothing":                     {``, 400, gateway.CodeInvalid, ""},
		"a body that is too large":    {`{"names":{"1":"` + strings.Repeat("x", maxSettingsBody) + `"}}`, 413, gateway.CodeTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			doc := p.as(t).settings(token, c.body).refused(t, c.status, c.code)
			var fields []string
			for _, e := range doc.Errors {
				if fields = append(fields, fmt.Sprintf("%s[%d]", e.Field, e.Index)); e.Reason == "" || len(e.Reason) > 300 {
					t.Errorf("%s: the reason is %q", e.Field, e.Reason)
				}
			}
			if got := strings.Join(fields, " "); got != c.fields {
				t.Errorf("names %q, want %q", got, c.fields)
			}
		})
	}
	p.wantUsers("acme", asConfigured)
}

// digits are n extensions.
func digits(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(1000+i))
	}
	return strings.Join(all, ",")
}

// A name is whatever somebody is called in the CRM: no reason to refuse his extension.
func TestSettingsMakeNamesFit(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	long := strings.Repeat("я", maxUserName)
	p.settings(asAdmin(t, "acme", 1), `{"extensions":{"1":"111","2":"112","3":"113","88888":"114","99999":"115"},"names":{"1":" Zoe\r\nX:\u202e y\t","2":"`+long+
		`","3":7,"88888":"\u0000","99999":""},"save":true}`).taken(t)
	p.wantUsers("acme", "88888:Anna:114 99999:Boris:115 1:Zoe X: y:111 2:"+long[:maxUserName]+":112 3:3:113")
}

// The CRM's form may be empty where the gateway has extensions: it hears of them, and what it does not send stays.
func TestSettingsTellWhatIsHeld(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "acme", 1)
	held := func(body, want string, kept bool) {
		t.Helper()
		got, _ := p.settings(token, body).taken(t)
		var parts []string
		for _, u := range got.Users {
			parts = append(parts, u.ID+":"+strings.Join(u.Held, "+"))
		}
		if line := strings.Join(parts, " "); line != want || got.Kept != kept {
			t.Errorf("%s: held is %s, kept %v", body, line, got.Kept)
		}
	}
	held(`{}`, "88888:101 99999:102", true)
	held(`{"extensions":{"99999":" 102 "},"names":{"99999":"Boris Ivanov"}}`, "88888:101 99999:102", true)
	held(`{"extensions":{"88888":"105","77777":"106"}}`, "88888:101 99999:102 77777:", false)
	held(`{"extensions":{"88888":""}}`, "88888:101 99999:102", false)
	held(`{"extensions":{"88888":"105","77777":"106"},"save":true}`, "88888:105 99999:102 77777:106", true)
	held(`{"extensions":{"88888":"105","77777":"106"}}`, "88888:105 99999:102 77777:106", true)
	if a := p.settings(crmToken(t, "acme", 99999, nil), `{}`); !strings.Contains(a.body, `"kept":false`) || !strings.Contains(a.body, `"held":["102"]`) || strings.Contains(a.body, "105") {
		t.Errorf("who is no administrator hears %s", a.body)
	}
}

// Somebody who left the CRM has no field in its form; and an integrator may have called him what he liked.
func TestSettingsTakeExtensionsFromWhoIsInNoForm(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, strings.Replace(crmAccounts, `"99999"`, "boris", 1)))
	token := asAdmin(t, "acme", 1)
	p.settings(token, `{"extensions":{"1":"102"},"save":true}`).refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	p.settings(token, `{"extensions":{"boris":"","1":"102"},"save":true}`).taken(t)
	p.wantUsers("acme", "88888:Anna:101 boris:Boris: 1:1:102")
}

// Two who save at once: what is kept is the one's or the other's, also when they give the same extensions away.
func TestAdministratorsWhoSaveAtOnceDoNotMix(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	bodies := []string{
		`{"extensions":{"88888":"201","99999":"202","3":"203"},"names":{"88888":"one","99999":"one","3":"one"},"save":true}`,
		`{"extensions":{"88888":"202","99999":"201","3":"204"},"names":{"88888":"two","99999":"two","3":"two"},"save":true}`,
	}
	tokens := []string{asAdmin(t, "acme", 1), asAdmin(t, "acme", 2)}
	var all sync.WaitGroup
	for i := range settingsBurst {
		all.Go(func() {
			a, err := p.try(http.MethodPost, p.web+settingsPath, strings.NewReader(bodies[i%2]), "X-Auth-Token", tokens[i%2])
			if err != nil || a.status != http.StatusOK {
				t.Errorf("%v, %d %s", err, a.status, a.body)
				return
			}
			var got settingsAnswer
			if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Users[0].Name != got.Users[1].Name || got.Users[1].Name != got.Users[2].Name {
				t.Errorf("%v, mixed: %s", err, a.body)
			}
		})
	}
	all.Wait()
	account, _ := p.node.directory.Account("acme")
	for _, u := range account.Users {
		if u.Name != account.Users[0].Name {
			t.Errorf("kept is %+v", account.Users)
		}
	}
}

// TestDemoKnowsItsTelephones asks by the sandbox's own disposable tokens, of its own PBX.
func TestDemoKnowsItsTelephones(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "-listen", "127.0.0.1:0")
	crm := p.node.cfg.Accounts[0].AmoCRM
	token := func(user string) string {
		var disposable struct{ Token string }
		p.request(http.MethodGet, crm.BaseURL+"/ajax/v2/integrations/"+crm.ClientID+"/disposable_token", "",
			"X-Sandbox-User", user, "X-Requested-With", "XMLHttpRequest").decode(t, http.StatusOK, &disposable)
		return disposable.Token
	}
	got, line := p.settings(token("88888"), `{"extensions":{"88888":"101, 199"},"save":true}`, "Origin", crm.BaseURL).taken(t)
	if len(got.PBX) != 1 || got.PBX[0] != (gateway.PBXStatus{ID: "desk", State: "connected"}) || !strings.Contains(line, "101=ok 199=unknown") || !strings.Contains(line, "102=ok") {
		t.Errorf("%s, of %+v", line, got.PBX)
	}
	p.settings(token("99999"), `{"save":true}`, "Origin", crm.BaseURL).refused(t, http.StatusForbidden, gateway.CodeNotAdmin)
}
