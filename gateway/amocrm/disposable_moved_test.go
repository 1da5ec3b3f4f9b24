package amocrm

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

func TestInstallsComeAndGo(t *testing.T) {
	t.Parallel()
	v, err := NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, jwt.SigningMethodHS256, []byte(secret), claims())
	want := func(account string) {
		t.Helper()
		if got, _, err := v.Exchange(t.Context(), request(token, issuer)); got != account || (account == "") != (gateway.CodeOf(err) == gateway.CodeBadToken) {
			t.Errorf("it is of %q, %v; want %q", got, err, account)
		}
	}
	want("")
	bad := installs()[1]
	bad.Secrets = nil
	if err := v.Set(installs()[0], bad, installs()[0]); err == nil || !strings.Contains(err.Error(), "globex") || !strings.Contains(err.Error(), "the same install") {
		t.Errorf("what is wrong is not told: %v", err)
	}
	want("acme")
	if err := v.Set(installs()[1]); err != nil {
		t.Error(err)
	}
	want("")
}

func TestTokenOfARenamedSubdomain(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	var moved []string
	v.OnMove(func(account, base string) { moved = append(moved, account+" "+base) })
	renamed := map[string]any{"iss": "https://renamed.amocrm.ru", "subdomain": "renamed"}
	for name, c := range map[string]struct {
		key    string
		change map[string]any
		origin string
		code   gateway.Code
	}{
		"as the CRM makes it":        {secret, nil, "https://renamed.amocrm.ru", ""},
		"from a page of before":      {secret, nil, issuer, gateway.CodeOrigin},
		"another secret":             {kommo, nil, "", gateway.CodeBadToken},
		"another account's number":   {secret, map[string]any{"account_id": 5}, "", gateway.CodeBadToken},
		"another subdomain than iss": {secret, map[string]any{"subdomain": "acme"}, "", gateway.CodeBadToken},
		"no subdomain":               {secret, map[string]any{"subdomain": nil}, "", gateway.CodeBadToken},
		"on the other platform":      {secret, map[string]any{"iss": "https://renamed.kommo.com"}, "", gateway.CodeBadToken},
		"on a stranger's host":       {secret, map[string]any{"iss": "https://renamed.example.com"}, "", gateway.CodeBadToken},
		"below an account":           {secret, map[string]any{"iss": "https://renamed.acme.amocrm.ru"}, "", gateway.CodeBadToken},
		"without encryption":         {secret, map[string]any{"iss": "http://renamed.amocrm.ru"}, "", gateway.CodeBadToken},
	} {
		moved = nil
		token := sign(t, jwt.SigningMethodHS256, []byte(c.key), claims(renamed, c.change))
		account, _, err := v.Exchange(t.Context(), request(token, c.origin))
		if gateway.CodeOf(err) != c.code || (account == "acme") != (c.code == "") {
			t.Errorf("%s: %q, %v, want %q", name, account, err, c.code)
		}
		if told := strings.Join(moved, ","); c.code == gateway.CodeBadToken && told != "" || c.code == "" && told != "acme https://renamed.amocrm.ru" {
			t.Errorf("%s: told %q", name, told)
		}
	}
}

func TestSubdomainIsHeldAgainstAConfiguredBaseURL(t *testing.T) {
	t.Parallel()
	in := installs()[0]
	in.Domain, in.BaseURL = "", issuer
	v, err := NewVerifier(in)
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, jwt.SigningMethodHS256, []byte(secret), claims(map[string]any{"subdomain": "globex"}))
	if _, err := v.Identify(request(token, issuer)); gateway.CodeOf(err) != gateway.CodeBadToken {
		t.Errorf("a token of globex at acme's address: %v", err)
	}
}
