package push

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const (
	sessionIssuer   = "ringcast" // no account may be called that
	sessionAudience = "ringcast-session"

	// SessionLife is the longest, and the usual, life of a session token.
	SessionLife = time.Hour

	backendLife  = 24 * time.Hour
	tokenLeeway  = 5 * time.Second // between our nodes' clocks and the customer's
	maxTokenSize = 2 << 10         // so that a frame of maxFrame has room for one
	minKeySize   = 32
)

// TokensConfig is what tokens are made and checked with. Keys are HMAC keys byte for byte, 32 bytes at
// least: a shorter one verifies nothing.
type TokensConfig struct {
	SessionKey []byte                              // ours
	BackendKey func(account string) ([]byte, bool) // the account's own, if it has one
	PublicURL  string                              // what a backend's token may name as its audience
}

// Tokens makes and checks the tokens of browser sessions (design §4.2). It may be used from many
// goroutines.
type Tokens struct {
	cfg    TokensConfig
	parser *jwt.Parser
	now    func() time.Time
}

// NewTokens checks the session key and returns the tokens made with it.
func NewTokens(cfg TokensConfig) (*Tokens, error) {
	if len(cfg.SessionKey) < minKeySize {
		return nil, fmt.Errorf("the session key has %d bytes; it needs %d at least", len(cfg.SessionKey), minKeySize)
	}
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	return &Tokens{
		cfg: cfg,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(tokenLeeway),
		),
		now: time.Now,
	}, nil
}

// Mint makes a session token of the given life, at most SessionLife, and says when it expires.
func (t *Tokens) Mint(account, user string, life time.Duration) (string, time.Time, error) {
	now := t.now()
	expires := now.Add(min(life, SessionLife)).Truncate(time.Second)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, sessionClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    sessionIssuer,
			Audience:  jwt.ClaimStrings{sessionAudience},
			Subject:   user,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
		},
		Account: account,
	}).SignedString(t.cfg.SessionKey)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("signing a session token: %w", err)
	}
	return token, expires, nil
}

// sessionClaims are those of both kinds of tokens; a backend's has no account, its issuer is one.
type sessionClaims struct {
	jwt.RegisteredClaims
	Account string `json:"account,omitempty"`
}

// identity is who a verified token speaks for.
type identity struct {
	account, user   string
	issued, expires time.Time // of the token; issued is zero when it does not say
}

// verify checks a token that stands where a session token goes: ours, or one of the account's backend.
func (t *Tokens) verify(token string) (identity, error) {
	claims, err := t.parse(token, func(c *sessionClaims) ([]byte, bool) {
		if c.Issuer == sessionIssuer {
			return t.cfg.SessionKey, true
		}
		return t.backendKey(c.Issuer)
	})
	if err != nil {
		return identity{}, err
	}
	if claims.Issuer != sessionIssuer {
		return t.backendIdentity(claims)
	}
	if !slices.Equal(claims.Audience, jwt.ClaimStrings{sessionAudience}) || claims.Account == "" {
		return identity{}, errBadToken(errors.New("not a session token"))
	}
	return t.identity(claims.Account, claims, SessionLife)
}

// verifyBackend checks a token that is to be exchanged: only an account's backend makes those, so that a
// session token cannot renew itself.
func (t *Tokens) verifyBackend(token string) (identity, error) {
	claims, err := t.parse(token, func(c *sessionClaims) ([]byte, bool) { return t.backendKey(c.Issuer) })
	if err != nil {
		return identity{}, err
	}
	return t.backendIdentity(claims)
}

func (t *Tokens) backendKey(account string) ([]byte, bool) {
	if account == "" || account == sessionIssuer || t.cfg.BackendKey == nil {
		return nil, false
	}
	key, ok := t.cfg.BackendKey(account)
	return key, ok && len(key) >= minKeySize
}

func (t *Tokens) backendIdentity(claims *sessionClaims) (identity, error) {
	if len(claims.Audience) > 0 && !slices.ContainsFunc(claims.Audience, func(aud string) bool {
		return strings.TrimRight(aud, "/") == t.cfg.PublicURL
	}) {
		return identity{}, errBadToken(fmt.Errorf("made for %q, not for %q", claims.Audience, t.cfg.PublicURL))
	}
	return t.identity(claims.Issuer, claims, backendLife)
}

func (t *Tokens) identity(account string, claims *sessionClaims, life time.Duration) (identity, error) {
	if claims.Subject == "" {
		return identity{}, errBadToken(errors.New("it names no user (sub)"))
	}
	expires := claims.ExpiresAt.Time
	if expires.Sub(t.now()) > life+tokenLeeway {
		return identity{}, errBadToken(fmt.Errorf("it lives longer than %v", life))
	}
	who := identity{account: account, user: claims.Subject, expires: expires}
	if claims.IssuedAt != nil {
		who.issued = claims.IssuedAt.Time
	}
	return who, nil
}

// parse verifies signature and times with the key that keyOf picks by the claims.
func (t *Tokens) parse(token string, keyOf func(*sessionClaims) ([]byte, bool)) (*sessionClaims, error) {
	if token == "" || len(token) > maxTokenSize {
		return nil, errBadToken(fmt.Errorf("it has %d bytes", len(token)))
	}
	claims := &sessionClaims{}
	_, err := t.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) {
		key, ok := keyOf(claims)
		if !ok {
			return nil, errors.New("its issuer has no key here")
		}
		return key, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, &gateway.Error{Code: gateway.CodeTokenExpired, Message: "the token has expired: renew it and come again", Err: err}
	case err != nil:
		return nil, errBadToken(err)
	}
	return claims, nil
}

// errBadToken tells the log why and the client nothing that helps to guess.
func errBadToken(cause error) error {
	return &gateway.Error{Code: gateway.CodeBadToken, Message: "the token is not valid here: get a new one by POST /v1/sessions/…, or from your own server", Err: cause}
}
