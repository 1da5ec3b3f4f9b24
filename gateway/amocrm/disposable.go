package amocrm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const (
	tokenHeader  = "X-Auth-Token"
	tokenLeeway  = time.Minute      // between the CRM's clock and ours
	tokenLife    = 35 * time.Minute // real ones live 30
	maxTokenSize = 8 << 10
)

// Install is one account's integration: whose tokens are believed, and for whom.
type Install struct {
	Account     string   // Ringcast's
	Domain      string   // acme.amocrm.ru
	BaseURL     string   // the CRM's origin, the token's iss; "": https:// and the domain
	AccountID   int64    // the CRM's; 0: not known
	ClientID    string   // the integration's id, the token's client_uuid
	Secrets     []string // the integration's secret key, as text; two while it is being changed
	RedirectURI string   // the integration's; its scheme and host are the token's aud
}

// Verifier checks disposable tokens, of accounts that come and go. All methods may be called from many goroutines.
type Verifier struct {
	known  atomic.Pointer[verifiable]
	parser *jwt.Parser
	moved  atomic.Pointer[func(account, baseURL string)]
}

// verifiable are the installs of a moment.
type verifiable struct {
	installs map[installKey]*install
	numbers  map[numberKey]*install // those whose account_id is known
}

// numberKey is what an install is known by when its account has moved to another subdomain.
type numberKey struct {
	client  string
	account int64
}

// installKey tells installs apart: one integration may serve many accounts.
type installKey struct{ client, issuer string }

type install struct {
	account   string
	issuer    string
	accountID int64
	subdomain string // "" where the base URL is not the CRM's own
	audience  string
	keys      jwt.VerificationKeySet
}

// NewVerifier fails for an install that is incomplete or there twice, and says which.
func NewVerifier(installs ...Install) (*Verifier, error) {
	v := &Verifier{parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(tokenLeeway),
	)}
	if err := v.Set(installs...); err != nil {
		return nil, err
	}
	return v, nil
}

// Set puts other installs in place of those that there are, at once for every token that comes after. Those that are
// incomplete or there twice are left out; the error says which.
func (v *Verifier) Set(installs ...Install) error {
	next := &verifiable{map[installKey]*install{}, map[numberKey]*install{}}
	var errs []error
	for _, in := range installs {
		key, known, err := in.compile()
		if err != nil {
			errs = append(errs, fmt.Errorf("amocrm, account %q: %w", in.Account, err))
			continue
		}
		if other := next.installs[key]; other != nil {
			errs = append(errs, fmt.Errorf("amocrm: accounts %q and %q are the same install", other.account, in.Account))
			continue
		}
		next.installs[key] = known
		if in.AccountID != 0 {
			next.numbers[numberKey{in.ClientID, in.AccountID}] = known
		}
	}
	v.known.Store(next)
	return errors.Join(errs...)
}

// OnMove has fn called for a good token of an account that is at another address now than its install says. It must not
// block.
func (v *Verifier) OnMove(fn func(account, baseURL string)) { v.moved.Store(&fn) }

func (in *Install) compile() (installKey, *install, error) {
	fail := func(format string, args ...any) (installKey, *install, error) {
		return installKey{}, nil, fmt.Errorf(format, args...)
	}
	known := &install{account: in.Account, accountID: in.AccountID}
	base := in.BaseURL
	if base == "" {
		base = "https://" + in.Domain
	}
	issuer, err := url.Parse(strings.ToLower(strings.TrimRight(base, "/")))
	if err != nil || !isHTTP(issuer) || issuer.Path != "" {
		return fail("%q is not the address of an account", base)
	}
	known.issuer = issuer.Scheme + "://" + issuer.Host
	known.subdomain = subdomainOf(known.issuer)
	redirect, err := url.Parse(in.RedirectURI)
	if err != nil || !isHTTP(redirect) {
		return fail("redirect_uri %q is not an http or https address", in.RedirectURI)
	}
	known.audience = redirect.Scheme + "://" + strings.ToLower(redirect.Hostname())
	if in.Account == "" || in.ClientID == "" || in.AccountID < 0 {
		return fail("account and client_id are needed, and account_id is a positive number")
	}
	if len(in.Secrets) == 0 || slices.Contains(in.Secrets, "") {
		return fail("client_secret is empty: anybody could sign with it")
	}
	for _, secret := range in.Secrets {
		known.keys.Keys = append(known.keys.Keys, []byte(secret))
	}
	return installKey{in.ClientID, known.issuer}, known, nil
}

// subdomainOf returns an account's label, "" for what is not an account's address on either platform.
func subdomainOf(issuer string) string {
	host, ok := strings.CutPrefix(issuer, "https://")
	if !ok {
		return ""
	}
	return cmp.Or(PlatformAmoCRM.subdomainAt(host), PlatformKommo.subdomainAt(host))
}

// find returns the install of a token that nobody has verified yet, and where the account is now if that is elsewhere. A
// subdomain can be changed; the number of the account stays, and both CRMs have their own integrations.
func (k *verifiable) find(c *disposableClaims) (known *install, moved bool) {
	if known = k.installs[installKey{c.ClientUUID, c.Issuer}]; known != nil {
		return known, false
	}
	known = k.numbers[numberKey{c.ClientUUID, c.AccountID}]
	label := subdomainOf(c.Issuer)
	if known == nil || known.subdomain == "" || label == "" || label != c.Subdomain || !sameDomain(known.issuer, c.Issuer) {
		return nil, false
	}
	return known, true
}

// sameDomain says whether two accounts' addresses differ in their subdomains only.
func sameDomain(a, b string) bool {
	_, a, _ = strings.Cut(a, ".")
	_, b, _ = strings.Cut(b, ".")
	return a == b
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// disposableClaims are what a token says.
type disposableClaims struct {
	jwt.RegisteredClaims
	Admin      flag   `json:"is_admin"`
	AccountID  int64  `json:"account_id"`
	UserID     int64  `json:"user_id"`
	Subdomain  string `json:"subdomain"`
	ClientUUID string `json:"client_uuid"`
}

// flag is true where the CRM says so in so many words. Whatever else it may write there is no reason to refuse a token.
type flag bool

// UnmarshalJSON never fails.
func (f *flag) UnmarshalJSON(data []byte) error {
	*f = string(data) == "true"
	return nil
}

// Identity is whom a token speaks for.
type Identity struct {
	Account string // Ringcast's
	User    string // his id in the CRM
	Admin   bool   // the CRM says that he administers the account there; not every token tells
}

// Identify verifies the token in X-Auth-Token and returns whose it is. A token may come again until it expires: whether
// the CRM's page takes a new one for each request is not known. It fails with a *gateway.Error of CodeBadToken,
// CodeTokenExpired or CodeOrigin.
func (v *Verifier) Identify(r *http.Request) (Identity, error) {
	claims, known, err := v.verify(r.Header.Get(tokenHeader))
	if err != nil {
		return Identity{}, err
	}
	if origin := r.Header.Get("Origin"); origin != "" && !strings.EqualFold(origin, claims.Issuer) {
		return Identity{}, gateway.Errorf(gateway.CodeOrigin, "a token of %s came from a page of %q", claims.Issuer, origin)
	}
	return Identity{Account: known.account, User: strconv.FormatInt(claims.UserID, 10), Admin: bool(claims.Admin)}, nil
}

// Exchange is Identify for who wants to know account and user only.
func (v *Verifier) Exchange(_ context.Context, r *http.Request) (account, user string, err error) {
	who, err := v.Identify(r)
	return who.Account, who.User, err
}

// verify checks everything that a token says of itself.
func (v *Verifier) verify(token string) (*disposableClaims, *install, error) {
	if token == "" || len(token) > maxTokenSize {
		return nil, nil, errBadToken(fmt.Errorf("%s has %d bytes", tokenHeader, len(token)))
	}
	claims := &disposableClaims{}
	var known *install
	moved := false
	_, err := v.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) {
		// Not verified yet: it only picks the secret that then has to fit.
		if known, moved = v.known.Load().find(claims); known == nil {
			return nil, fmt.Errorf("no install of integration %q at %q", claims.ClientUUID, claims.Issuer)
		}
		return known.keys, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, nil, &gateway.Error{Code: gateway.CodeTokenExpired, Message: "the token has expired: get a new one and come again", Err: err}
	case err != nil:
		return nil, nil, errBadToken(err)
	}
	if err := known.check(claims, moved); err != nil {
		return nil, nil, errBadToken(err)
	}
	if tell := v.moved.Load(); moved && tell != nil {
		(*tell)(known.account, claims.Issuer)
	}
	return claims, known, nil
}

// check holds a token with a good signature against the install. moved: the account has another subdomain since.
func (in *install) check(c *disposableClaims, moved bool) error {
	switch {
	case len(c.Audience) != 1 || c.Audience[0] != in.audience:
		return fmt.Errorf("made for %q, not for %q", c.Audience, in.audience)
	case c.IssuedAt == nil:
		return errors.New("it does not say when it was issued")
	case c.ExpiresAt.Sub(c.IssuedAt.Time) > tokenLife:
		return fmt.Errorf("it lives longer than %v", tokenLife)
	case c.UserID <= 0 || c.AccountID <= 0:
		return fmt.Errorf("user_id %d of account_id %d: neither may be missing", c.UserID, c.AccountID)
	case in.accountID != 0 && c.AccountID != in.accountID:
		return fmt.Errorf("account_id %d, not %d", c.AccountID, in.accountID)
	case !moved && in.subdomain != "" && c.Subdomain != "" && c.Subdomain != in.subdomain:
		return fmt.Errorf("subdomain %q, not %q", c.Subdomain, in.subdomain)
	}
	return nil
}

// errBadToken tells the log why and the client nothing that helps to guess.
func errBadToken(cause error) error {
	return &gateway.Error{Code: gateway.CodeBadToken, Message: "the token is not valid here", Err: cause}
}
