package push

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

type exchangerFunc func(*http.Request) (string, string, error)

func (f exchangerFunc) Exchange(_ context.Context, r *http.Request) (string, string, error) {
	return f(r)
}

type sessionAnswer struct {
	Token     string       `json:"token"`
	ExpiresAt string       `json:"expires_at"`
	Account   string       `json:"account"`
	User      gateway.User `json:"user"`
}

func (r *rig) wantSession(status int, header http.Header, body []byte, want userKey) {
	r.t.Helper()
	var a sessionAnswer
	if err := json.Unmarshal(body, &a); err != nil || status != http.StatusOK || header.Get("Cache-Control") != "no-store, no-transform" {
		r.t.Fatalf("%d %s (%v)", status, body, err)
	}
	expires, err := time.Parse("2006-01-02T15:04:05.000Z", a.ExpiresAt)
	if left := time.Until(expires); err != nil || left > time.Hour || left < 59*time.Minute {
		r.t.Errorf("expires_at %q (%v)", a.ExpiresAt, err)
	}
	if a.Account != want.account || a.User.ID != want.user || a.User.Extensions == nil {
		r.t.Errorf("for %+v", a)
	}
	who, err := r.tokens.verify(a.Token)
	if err != nil || (userKey{who.account, who.user}) != want || !who.expires.Equal(expires) {
		r.t.Errorf("the token is for %+v (%v)", who, err)
	}
}

func bearer(token string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+token) }
}

func TestExchangeOfABackendToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	signed := func(claims jwt.MapClaims) func(*http.Request) {
		return bearer(sign(t, key("acme"), jwt.SigningMethodHS256, claims))
	}
	status, header, body := r.post("/v1/sessions/backend", "", signed(jwt.MapClaims{"iss": "acme", "sub": "2", "exp": in(time.Hour)}))
	r.wantSession(status, header, body, boris)

	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
		code   gateway.Code
	}{
		"a session token": {bearer(r.token(anna)), 401, gateway.CodeBadToken},
		"foreign aud":     {signed(jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Hour), "aud": "https://other.example.com"}), 401, gateway.CodeBadToken},
		"no exp":          {signed(jwt.MapClaims{"iss": "acme", "sub": "1"}), 401, gateway.CodeBadToken},
		"other account":   {signed(jwt.MapClaims{"iss": "globex", "sub": "1", "exp": in(time.Hour)}), 401, gateway.CodeBadToken},
		"expired":         {signed(jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(-time.Hour)}), 401, gateway.CodeTokenExpired},
		"unknown user":    {signed(jwt.MapClaims{"iss": "acme", "sub": "404", "exp": in(time.Hour)}), 403, gateway.CodeRevoked},
		"basic":           {func(req *http.Request) { req.SetBasicAuth("acme", "1") }, 401, gateway.CodeBadToken},
	} {
		status, _, body := r.post("/v1/sessions/backend", "", c.change)
		if status != c.status || problemCode(t, body) != c.code {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestExchangeOfACRMsProof(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Exchangers = map[string]Exchanger{"amocrm": exchangerFunc(func(req *http.Request) (string, string, error) {
			if req.Header.Get("X-Auth-Token") != "proof" {
				return "", "", gateway.Errorf(gateway.CodeBadToken, "no proof")
			}
			return "globex", "1", nil
		})}
	})
	proof := func(p string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("X-Auth-Token", p) }
	}
	status, header, body := r.post("/v1/sessions/amocrm", "", proof("proof"))
	r.wantSession(status, header, body, clara)
	status, _, body = r.post("/v1/sessions/amocrm", "", proof("lie"))
	if status != http.StatusUnauthorized || problemCode(t, body) != gateway.CodeBadToken {
		t.Errorf("%d %s", status, body)
	}
}
