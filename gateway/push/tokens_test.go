package push

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)

	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)})

	session := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"iss": "ringcast", "aud": "ringcast-session", "account": "acme", "sub": "1", "exp": in(time.Minute)}
		if change != nil {
			change(c)
		}
		return c
	}
	backend := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Minute)}
		if change != nil {
			change(c)
		}
		return c
	}
	set := func(k string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[k] = v } }
	without := func(k string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, k) } }
	hs := jwt.SigningMethodHS256

	for name, c := range map[string]struct {
		token string
		want  gateway.Code
	}{
		"minted":                          {r.token(anna), ""},
		"session":                         {sign(t, key("session"), hs, session(nil)), ""},
		"backend":                         {sign(t, key("acme"), hs, backend(nil)), ""},
		"backend for us":                  {sign(t, key("acme"), hs, backend(set("aud", publicURL))), ""},
		"backend for us among others":     {sign(t, key("acme"), hs, backend(set("aud", []string{"x", publicURL + "/"}))), ""},
		"backend of 24 hours":             {sign(t, key("acme"), hs, backend(set("exp", in(24*time.Hour)))), ""},
		"empty":                           {"", gateway.CodeBadToken},
		"rubbish":                         {"a.b.c", gateway.CodeBadToken},
		"too long":                        {sign(t, key("acme"), hs, backend(set("x", strings.Repeat("x", 3000)))), gateway.CodeBadToken},
		"wrong key":                       {sign(t, key("other"), hs, session(nil)), gateway.CodeBadToken},
		"alg none":                        {sign(t, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, session(nil)), gateway.CodeBadToken},
		"HS512":                           {sign(t, key("session"), jwt.SigningMethodHS512, session(nil)), gateway.CodeBadToken},
		"RS256":                           {sign(t, rsaKey, jwt.SigningMethodRS256, session(nil)), gateway.CodeBadToken},
		"HS256 with a public key":         {sign(t, public, hs, session(nil)), gateway.CodeBadToken},
		"expired":                         {sign(t, key("session"), hs, session(set("exp", in(-time.Minute)))), gateway.CodeTokenExpired},
		"expired with a wrong key":        {sign(t, key("other"), hs, session(set("exp", in(-time.Minute)))), gateway.CodeBadToken},
		"without exp":                     {sign(t, key("session"), hs, session(without("exp"))), gateway.CodeBadToken},
		"exp zero":                        {sign(t, key("session"), hs, session(set("exp", 0))), gateway.CodeTokenExpired},
		"exp as text":                     {sign(t, key("session"), hs, session(set("exp", "never"))), gateway.CodeBadToken},
		"exp without end":                 {sign(t, key("session"), hs, session(set("exp", 1e12))), gateway.CodeBadToken},
		"session of two hours":            {sign(t, key("session"), hs, session(set("exp", in(2*time.Hour)))), gateway.CodeBadToken},
		"not yet valid":                   {sign(t, key("session"), hs, session(set("nbf", in(time.Minute)))), gateway.CodeBadToken},
		"session for another audience":    {sign(t, key("session"), hs, session(set("aud", publicURL))), gateway.CodeBadToken},
		"session without audience":        {sign(t, key("session"), hs, session(without("aud"))), gateway.CodeBadToken},
		"session without account":         {sign(t, key("session"), hs, session(without("account"))), gateway.CodeBadToken},
		"session without user":            {sign(t, key("session"), hs, session(without("sub"))), gateway.CodeBadToken},
		"backend without user":            {sign(t, key("acme"), hs, backend(without("sub"))), gateway.CodeBadToken},
		"backend without issuer":          {sign(t, key("acme"), hs, backend(without("iss"))), gateway.CodeBadToken},
		"backend without exp":             {sign(t, key("acme"), hs, backend(without("exp"))), gateway.CodeBadToken},
		"backend for somebody else":       {sign(t, key("acme"), hs, backend(set("aud", "https://other.example.com"))), gateway.CodeBadToken},
		"backend of two days":             {sign(t, key("acme"), hs, backend(set("exp", in(48*time.Hour)))), gateway.CodeBadToken},
		"another account's key":           {sign(t, key("globex"), hs, backend(nil)), gateway.CodeBadToken},
		"the session key for a backend":   {sign(t, key("session"), hs, backend(nil)), gateway.CodeBadToken},
		"a backend key for a session":     {sign(t, key("acme"), hs, session(nil)), gateway.CodeBadToken},
		"an account without key":          {sign(t, []byte{}, hs, backend(set("iss", "nobody"))), gateway.CodeBadToken},
		"an account with too short a key": {sign(t, []byte("short"), hs, backend(set("iss", "short"))), gateway.CodeBadToken},
	} {
		who, err := r.tokens.verify(c.token)
		if got := gateway.CodeOf(err); got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
		if err == nil && (userKey{who.account, who.user}) != anna {
			t.Errorf("%s: taken for %+v", name, who)
		}
	}
}

func TestBackendTokenCannotNameItsAccountElsewhere(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	token := sign(t, key("globex"), jwt.SigningMethodHS256, jwt.MapClaims{"iss": "globex", "account": "acme", "sub": "1", "exp": in(time.Minute)})
	who, err := r.tokens.verify(token)
	if err != nil || (userKey{who.account, who.user}) != clara {
		t.Errorf("taken for %+v (%v)", who, err)
	}
}

func TestShortSessionKeyIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := NewTokens(TokensConfig{SessionKey: []byte("secret")}); err == nil {
		t.Error("a session key of 6 bytes was taken")
	}
}

func TestMintedTokenLivesAnHourAtMost(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	_, expires, err := r.tokens.Mint("acme", "1", 48*time.Hour)
	if err != nil || time.Until(expires) > time.Hour {
		t.Errorf("expires %v (%v)", expires, err)
	}
}

// FuzzToken: what is taken has been signed with a key of ours, whatever its claims are.
func FuzzToken(f *testing.F) {
	r := newParts(f, nil)
	f.Cleanup(r.close)
	f.Add(r.token(anna))
	f.Add(sign(f, key("acme"), jwt.SigningMethodHS256, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Minute)}))
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.bnVsbA.")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := r.tokens.verify(token); err == nil && !signed(token, "session", "acme", "globex") {
			t.Errorf("%q was taken", token)
		}
	})
}

// signed says whether a token has been signed with the key of one of those.
func signed(token string, keys ...string) bool {
	end := strings.LastIndexByte(token, '.')
	if end < 0 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	return err == nil && slices.ContainsFunc(keys, func(of string) bool {
		mac := hmac.New(sha256.New, key(of))
		mac.Write([]byte(token[:end]))
		return hmac.Equal(mac.Sum(nil), signature)
	})
}
