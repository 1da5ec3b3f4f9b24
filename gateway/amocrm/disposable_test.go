package amocrm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const (
	secret    = "amocrm-secret-key-of-sixty-four-characters-as-they-are-given-out"
	oldSecret = "the-one-before"
	kommo     = "kommo-has-another-one"
	issuer    = "https://acme.amocrm.ru"
	client    = "a1b2c3d4-0000-4000-8000-000000000001"
)

func installs() []Install {
	return []Install{
		{Account: "acme", Domain: "acme.amocrm.ru", AccountID: 12345678, ClientID: client, Secrets: []string{secret, oldSecret}, RedirectURI: "https://gw.example.com:8443/v1/amocrm/oauth"},
		{Account: "globex", Domain: "globex.amocrm.ru", ClientID: client, Secrets: []string{secret, oldSecret}, RedirectURI: "https://gw.example.com/cb"},
		{Account: "kommo", Domain: "acme.kommo.com", ClientID: "kommo-client", Secrets: []string{kommo}, RedirectURI: "https://gw.example.com/cb"},
		{Account: "lab", BaseURL: "http://127.0.0.1:8080/", ClientID: "lab-client", Secrets: []string{"lab"}, RedirectURI: "http://127.0.0.1:9090/cb"},
	}
}

func newVerifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := NewVerifier(installs()...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func claims(change ...map[string]any) jwt.MapClaims {
	now := time.Now().Unix()
	c := jwt.MapClaims{
		"iss": issuer, "aud": "https://gw.example.com", "jti": "f3d0f7d9-0000-4000-8000-000000000001",
		"iat": now, "nbf": now, "exp": now + 1800,
		"account_id": 12345678, "subdomain": "acme", "client_uuid": client, "user_id": 87654321,
	}
	for _, ch := range change {
		maps.Copy(c, ch)
	}
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func request(token, origin string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/sessions/amocrm", nil)
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func TestExchange(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	hs := func(c jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, []byte(secret), c) }
	with := func(k string, val any) string { return hs(claims(map[string]any{k: val})) }
	lab := claims(map[string]any{"iss": "http://127.0.0.1:8080", "aud": "http://127.0.0.1", "client_uuid": "lab-client", "subdomain": "demo"})

	for name, c := range map[string]struct {
		token, origin string
		account       string
		code          gateway.Code
	}{
		"as the CRM makes it":          {hs(claims()), issuer, "acme", ""},
		"without Origin":               {hs(claims()), "", "acme", ""},
		"the secret before":            {sign(t, jwt.SigningMethodHS256, []byte(oldSecret), claims()), issuer, "acme", ""},
		"aud in an array":              {with("aud", []string{"https://gw.example.com"}), issuer, "acme", ""},
		"is_admin":                     {with("is_admin", true), issuer, "acme", ""},
		"no subdomain":                 {with("subdomain", nil), issuer, "acme", ""},
		"their clock is ahead":         {hs(claims(map[string]any{"iat": now + 50, "nbf": now + 50, "exp": now + 1850})), issuer, "acme", ""},
		"their clock is behind":        {hs(claims(map[string]any{"iat": now - 1850, "nbf": now - 1850, "exp": now - 50})), issuer, "acme", ""},
		"account_id not known":         {hs(claims(map[string]any{"iss": "https://globex.amocrm.ru", "subdomain": "globex", "account_id": 5})), "https://globex.amocrm.ru", "globex", ""},
		"Kommo":                        {sign(t, jwt.SigningMethodHS256, []byte(kommo), claims(map[string]any{"iss": "https://acme.kommo.com", "client_uuid": "kommo-client"})), "https://acme.kommo.com", "kommo", ""},
		"a base URL of its own":        {sign(t, jwt.SigningMethodHS256, []byte("lab"), lab), "http://127.0.0.1:8080", "lab", ""},
		"nothing":                      {"", issuer, "", gateway.CodeBadToken},
		"rubbish":                      {"a.b.c", issuer, "", gateway.CodeBadToken},
		"too long":                     {with("x", strings.Repeat("x", 10000)), issuer, "", gateway.CodeBadToken},
		"alg none":                     {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims()), issuer, "", gateway.CodeBadToken},
		"HS512, as Salesbot's":         {sign(t, jwt.SigningMethodHS512, []byte(secret), claims()), issuer, "", gateway.CodeBadToken},
		"RS256":                        {sign(t, jwt.SigningMethodRS256, rsaKey, claims()), issuer, "", gateway.CodeBadToken},
		"wrong secret":                 {sign(t, jwt.SigningMethodHS256, []byte("wrong"), claims()), issuer, "", gateway.CodeBadToken},
		"empty secret":                 {sign(t, jwt.SigningMethodHS256, []byte{}, claims()), issuer, "", gateway.CodeBadToken},
		"another integration's secret": {sign(t, jwt.SigningMethodHS256, []byte(kommo), claims()), issuer, "", gateway.CodeBadToken},
		"another integration":          {with("client_uuid", "kommo-client"), issuer, "", gateway.CodeBadToken},
		"no integration":               {with("client_uuid", nil), issuer, "", gateway.CodeBadToken},
		"another CRM account":          {with("iss", "https://evil.amocrm.ru"), "https://evil.amocrm.ru", "", gateway.CodeBadToken},
		"iss in other letters":         {with("iss", "https://ACME.amocrm.ru"), issuer, "", gateway.CodeBadToken},
		"no iss":                       {with("iss", nil), issuer, "", gateway.CodeBadToken},
		"another gateway's":            {with("aud", "https://other.example.com"), issuer, "", gateway.CodeBadToken},
		"aud with the port":            {with("aud", "https://gw.example.com:8443"), issuer, "", gateway.CodeBadToken},
		"aud with a path":              {with("aud", "https://gw.example.com/"), issuer, "", gateway.CodeBadToken},
		"aud among others":             {with("aud", []string{"https://gw.example.com", "x"}), issuer, "", gateway.CodeBadToken},
		"no aud":                       {with("aud", nil), issuer, "", gateway.CodeBadToken},
		"expired":                      {hs(claims(map[string]any{"iat": now - 1900, "nbf": now - 1900, "exp": now - 70})), issuer, "", gateway.CodeTokenExpired},
		"no exp":                       {with("exp", nil), issuer, "", gateway.CodeBadToken},
		"not yet":                      {with("nbf", now+120), issuer, "", gateway.CodeBadToken},
		"issued tomorrow":              {hs(claims(map[string]any{"iat": now + 86400, "exp": now + 88200})), issuer, "", gateway.CodeBadToken},
		"no iat":                       {with("iat", nil), issuer, "", gateway.CodeBadToken},
		"lives an hour":                {with("exp", now+3600), issuer, "", gateway.CodeBadToken},
		"lives for ever":               {hs(claims(map[string]any{"iat": -1e11, "exp": 1e11})), issuer, "", gateway.CodeBadToken},
		"another account_id":           {with("account_id", 999), issuer, "", gateway.CodeBadToken},
		"no account_id":                {with("account_id", nil), issuer, "", gateway.CodeBadToken},
		"account_id as text":           {with("account_id", "12345678"), issuer, "", gateway.CodeBadToken},
		"unknown account_id of zero":   {hs(claims(map[string]any{"iss": "https://globex.amocrm.ru", "subdomain": "globex", "account_id": 0})), "", "", gateway.CodeBadToken},
		"no user_id":                   {with("user_id", nil), issuer, "", gateway.CodeBadToken},
		"user_id of zero":              {with("user_id", 0), issuer, "", gateway.CodeBadToken},
		"negative user_id":             {with("user_id", -1), issuer, "", gateway.CodeBadToken},
		"fraction of a user_id":        {with("user_id", 1.5), issuer, "", gateway.CodeBadToken},
		"another subdomain":            {with("subdomain", "evil"), issuer, "", gateway.CodeBadToken},
		"a page of another account":    {hs(claims()), "https://evil.amocrm.ru", "", gateway.CodeOrigin},
		"a page over http":             {hs(claims()), "http://acme.amocrm.ru", "", gateway.CodeOrigin},
		"a page without origin":        {hs(claims()), "null", "", gateway.CodeOrigin},
	} {
		account, user, err := v.Exchange(t.Context(), request(c.token, c.origin))
		if gateway.CodeOf(err) != c.code || account != c.account {
			t.Errorf("%s: %q %q %v, want %q %q", name, account, user, err, c.account, c.code)
		}
		if err == nil && user != "87654321" {
			t.Errorf("%s: user %q", name, user)
		}
	}
}

func TestTokenMayComeAgain(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	token := sign(t, jwt.SigningMethodHS256, []byte(secret), claims())
	for range 3 {
		if _, _, err := v.Exchange(t.Context(), request(token, issuer)); err != nil {
			t.Error(err)
		}
	}
}

func TestBadInstallsAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Install){
		"no account":          func(in *Install) { in.Account = "" },
		"no domain":           func(in *Install) { in.Domain = "" },
		"domain with a path":  func(in *Install) { in.Domain = "acme.amocrm.ru/x" },
		"base URL of no kind": func(in *Install) { in.BaseURL = "ftp://acme.amocrm.ru" },
		"no client":           func(in *Install) { in.ClientID = "" },
		"no secret":           func(in *Install) { in.Secrets = nil },
		"empty secret":        func(in *Install) { in.Secrets = []string{secret, ""} },
		"no redirect":         func(in *Install) { in.RedirectURI = "" },
		"redirect of no kind": func(in *Install) { in.RedirectURI = "gw.example.com/cb" },
		"negative account_id": func(in *Install) { in.AccountID = -1 },
	} {
		in := installs()[0]
		change(&in)
		if _, err := NewVerifier(in); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := NewVerifier(installs()[0], installs()[0]); err == nil {
		t.Error("the same install twice was taken")
	}
}

// FuzzExchange: what is taken has been signed with a secret of an integration, whatever its claims are.
func FuzzExchange(f *testing.F) {
	v := newVerifier(f)
	f.Add(sign(f, jwt.SigningMethodHS256, []byte(secret), claims()))
	f.Add(sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims()))
	f.Add("a.b.c")
	f.Add("e30.bnVsbA.")
	f.Fuzz(func(t *testing.T, token string) {
		_, _, err := v.Exchange(t.Context(), request(token, ""))
		if err == nil && !signed(token, secret, oldSecret, kommo, "lab") {
			t.Errorf("%q was taken", token)
		}
		if code := gateway.CodeOf(err); err != nil && code != gateway.CodeBadToken && code != gateway.CodeTokenExpired {
			t.Errorf("%q: %v", token, err)
		}
	})
}

// signed says whether a token has been signed with one of those secrets.
func signed(token string, secrets ...string) bool {
	end := strings.LastIndexByte(token, '.')
	if end < 0 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	return err == nil && slices.ContainsFunc(secrets, func(secret string) bool {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(token[:end]))
		return hmac.Equal(mac.Sum(nil), signature)
	})
}

func TestAdministratorIsWhomTheTokenCallsSo(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	for _, c := range []struct {
		claim any
		want  bool
	}{{true, true}, {false, false}, {nil, false}, {"true", false}, {"Y", false}, {1, false}, {map[string]any{"is": true}, false}} {
		token := sign(t, jwt.SigningMethodHS256, []byte(secret), claims(map[string]any{"is_admin": c.claim}))
		got, err := v.Identify(request(token, issuer))
		if want := (Identity{Account: "acme", User: "87654321", Admin: c.want}); err != nil || got != want {
			t.Errorf("is_admin %v: got %+v, %v, want %+v", c.claim, got, err, want)
		}
	}
	forged := sign(t, jwt.SigningMethodHS256, []byte("guessed"), claims(map[string]any{"is_admin": true}))
	if got, err := v.Identify(request(forged, issuer)); gateway.CodeOf(err) != gateway.CodeBadToken || got != (Identity{}) {
		t.Errorf("a forged token: %+v, %v", got, err)
	}
}
