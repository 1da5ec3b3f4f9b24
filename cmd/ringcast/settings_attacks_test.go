package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const takeOver = `{"extensions":{"12":"101,102","88888":"","99999":""},"save":true}`

func TestSettingsSavedByNoAdministrator(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	for name, claims := range map[string]jwt.MapClaims{
		"says nothing": nil, "says no": {"is_admin": false}, "says it in a string": {"is_admin": "true"},
		"says it elsewhere": {"admin": true, "Is_Admin": 1, "rights": map[string]any{"is_admin": true}},
	} {
		t.Run(name, func(t *testing.T) {
			p.as(t).settings(crmToken(t, "acme", 88888, claims), takeOver).refused(t, http.StatusForbidden, gateway.CodeNotAdmin)
		})
	}
	p.settings(crmToken(t, "acme", 88888, nil), `{"is_admin":true,"admin":true,"save":true}`).refused(t, http.StatusForbidden, gateway.CodeNotAdmin)
	p.wantUsers("acme", asConfigured)
	p.untilMetric(`ringcast_refusals_total{code="not_admin",route="settings"}`, 5)
}

func TestSettingsByATokenOfAnother(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	admin := jwt.MapClaims{"is_admin": true}
	with := func(name string, value any) string {
		return crmToken(t, "acme", 1, jwt.MapClaims{"is_admin": true, name: value})
	}
	past := time.Now().Add(-time.Hour).Unix()
	for name, c := range map[string]struct {
		token  string
		status int
		code   gateway.Code
	}{
		"none":                        {"", 401, gateway.CodeBadToken},
		"another integration":         {with("client_uuid", "globex-client"), 401, gateway.CodeBadToken},
		"another CRM account":         {with("account_id", 2), 401, gateway.CodeBadToken},
		"another CRM":                 {with("iss", globexCRM), 401, gateway.CodeBadToken},
		"another gateway":             {with("aud", "https://evil.example.com"), 401, gateway.CodeBadToken},
		"expired":                     {crmToken(t, "acme", 1, jwt.MapClaims{"is_admin": true, "iat": past, "nbf": past, "exp": past + 1800}), 401, gateway.CodeTokenExpired},
		"a session token":             {backendToken(t, acmeBackendKey, admin), 401, gateway.CodeBadToken},
		"the admin key":               {adminKey, 401, gateway.CodeBadToken},
		"a signature taken off":       {strings.TrimRight(asAdmin(t, "acme", 1), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 401, gateway.CodeBadToken},
		"an agent's, with new claims": {forged(t, crmToken(t, "acme", 1, nil), asAdmin(t, "acme", 1)), 401, gateway.CodeBadToken},
	} {
		t.Run(name, func(t *testing.T) {
			p.as(t).settings(c.token, takeOver).refused(t, c.status, c.code)
		})
	}
	p.wantUsers("acme", asConfigured)
}

// forged is a token with the claims of one and the signature of another.
func forged(t *testing.T, signed, claims string) string {
	t.Helper()
	a, b := strings.Split(signed, "."), strings.Split(claims, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

// The account is the token's, whatever the request says besides.
func TestSettingsOfAnotherAccount(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "globex", 1)
	body := `{"account":"acme","extensions":{"88888":"105"},"save":true}`
	got, _ := p.request(http.MethodPost, p.web+settingsPath+"?account=acme", body, "X-Auth-Token", token, "X-Account", "acme").taken(t)
	if got.Account != "globex" {
		t.Errorf("saved for %s", got.Account)
	}
	p.wantUsers("acme", asConfigured)
	p.wantUsers("globex", "88888:88888:105")
	if got, _ := p.settings(token, `{"extensions":{"1":"101"},"save":true}`).taken(t); !got.Saved { // which acme has, too
		t.Errorf("got %+v", got)
	}
}

func TestSettingsFromAnotherPage(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "acme", 1)
	for _, origin := range []string{"https://evil.example.com", "https://evil.amocrm.ru", goodOrigin, "null"} { // some of them may connect
		p.settings(token, takeOver, "Origin", origin).refused(t, http.StatusForbidden, gateway.CodeOrigin)
	}
	preflight := func(origin string) answer {
		return p.request(http.MethodOptions, p.web+settingsPath, "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "content-type,x-auth-token")
	}
	if a := preflight(acmeCRM); a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != acmeCRM ||
		!strings.Contains(strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), "x-auth-token") {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	if a := preflight("https://evil.example.com"); a.status != http.StatusForbidden || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another page: %d %v", a.status, a.header)
	}
	if a := p.settings("x", `{}`, "Origin", acmeCRM); a.status != http.StatusUnauthorized || a.header.Get("Access-Control-Allow-Origin") != acmeCRM {
		t.Errorf("a refusal that the page cannot read: %d %v", a.status, a.header)
	}
	p.request(http.MethodGet, p.web+settingsPath, "", "X-Auth-Token", token).refused(t, http.StatusNotFound, gateway.CodeNotFound)
	p.wantUsers("acme", asConfigured)
}

// A token may come again while it lives: the CRM's page may keep one.
func TestSettingsByATokenThatComesAgain(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "acme", 1)
	for range 3 {
		p.settings(token, `{"extensions":{"88888":"105"},"save":true}`).taken(t)
	}
	p.wantUsers("acme", "88888:Anna:105 99999:Boris:102")
}

func TestSettingsOfTenThousandUsers(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	token := asAdmin(t, "globex", 1)
	body := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, `,"%d":"%d"`, 1+i, 10_000+i)
		}
		return `{"extensions":{` + b.String()[1:] + `},"save":true}`
	}
	begun := time.Now()
	got, _ := p.settings(token, body(0, maxSettingsUsers)).taken(t)
	if len(got.Users) != maxSettingsUsers {
		t.Errorf("%d users", len(got.Users))
	}
	t.Logf("saved after %v", time.Since(begun))
	p.settings(token, body(maxSettingsUsers, maxSettingsUsers+1)).refused(t, http.StatusRequestEntityTooLarge, gateway.CodeTooLarge)
	p.settings(token, body(0, 20)).taken(t)
	if u, ok := p.node.directory.ByExtension("globex", "19999"); !ok || u.ID != "10000" {
		t.Errorf("the last is %+v", u)
	}

	var worst strings.Builder
	for i := range 15_000 {
		fmt.Fprintf(&worst, `,"%d":"!"`, i+1)
	}
	doc := p.settings(token, `{"extensions":{`+worst.String()[1:]+`},"save":true}`).refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	if len(doc.Errors) != maxSettingsErrors || !strings.Contains(doc.Detail, fmt.Sprint(15_000-maxSettingsErrors)) {
		t.Errorf("%d errors are told: %s", len(doc.Errors), doc.Detail)
	}
}

// Whoever asks without end is told to be slower, and does not keep the administrators out.
func TestSettingsAskedForWithoutEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, crmAccounts))
	agent := crmToken(t, "acme", 99999, nil)
	for range 10 * settingsBurst {
		if a := p.settings(agent, `{}`); a.status != http.StatusOK {
			a.refused(t, http.StatusTooManyRequests, gateway.CodeTooMany)
			if a.header.Get("Retry-After") == "" {
				t.Error("it does not say when to come again")
			}
			p.settings(asAdmin(t, "acme", 1), `{"save":true}`).taken(t)
			p.settings(crmToken(t, "globex", 99999, nil), `{}`).taken(t)
			return
		}
	}
	t.Error("there is no end to it")
}

// FuzzSettings holds what an administrator may save to what the configuration would take.
func FuzzSettings(f *testing.F) {
	for _, body := range []string{
		`{"extensions":{"88888":"101, 102","99999":""},"names":{"88888":"Anna Orlova"},"save":true}`,
		`{"extensions":{"1":"102","2":"101;103 104","3":"*45"},"names":{"1":"","2":"\u0000"}}`,
		`{"extensions":{"1":"1,1","a b":"!","01":"5"},"names":null,"save":1}`, `{"extensions":{"1":null}}`, `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	now := []gateway.User{{ID: "1", Name: "Anna", Extensions: []string{"101"}, Email: "a@example.com"}, {ID: "boris", Name: "Boris", Extensions: []string{"102"}}}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := parseSettings(body)
		if err != nil {
			if gateway.CodeOf(err) != gateway.CodeInvalid {
				t.Errorf("%v", err)
			}
			return
		}
		users, changes, err := in.applied(now)
		if err != nil {
			if code := gateway.CodeOf(err); code != gateway.CodeInvalid && code != gateway.CodeTooLarge {
				t.Errorf("%v", err)
			}
			return
		}
		owners := map[string]string{}
		for _, u := range users {
			if _, err := parseUserID(u.ID); err != nil || u.Name == "" || checkUserName(u.Name) != nil || len(u.Extensions) > maxUserExtensions {
				t.Errorf("user %+v", u)
			}
			for _, ext := range u.Extensions {
				if _, err := parseExtension(ext); err != nil || owners[ext] != "" {
					t.Errorf("extension %q of %q and %q: %v", ext, u.ID, owners[ext], err)
				}
				owners[ext] = u.ID
			}
		}
		_, named := in.Extensions["boris"]
		if users[0].Email != now[0].Email || !named && !slices.Equal(users[1].Extensions, now[1].Extensions) {
			t.Errorf("what the settings do not say is otherwise: %+v", users)
		}
		if again, more, err := in.applied(users); err != nil || len(more) > 0 || len(again) != len(users) || len(changes) > len(users) {
			t.Errorf("the same again: %+v, %+v, %v", again, more, err)
		}
	})
}
