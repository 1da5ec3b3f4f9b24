package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// How long things are good for, as documented.
const (
	amoCodeLife      = 20 * time.Minute
	amoAccessLife    = 24 * time.Hour
	amoRefreshMonths = 3
)

// AmoIntegration is an integration that an account's administrators may let in.
type AmoIntegration struct {
	ID           string // client_id, a UUID
	Secret       string // client_secret, also the key of its disposable tokens and of the uninstall hook's signature
	RedirectURI  string
	UninstallURI string   // is told when the integration is switched off; empty: it is not
	Name         string   // on the page that asks for consent
	Private      bool     // made in the account itself: it may list users and have long-lived tokens
	Scopes       []string // nil: crm and notifications. Without crm /api/v4 is closed, without notifications /api/v2/events
}

// amoClient is an integration as it is kept.
type amoClient struct {
	AmoIntegration

	grants []*amoGrant
}

// amoGrant is what one consent of an administrator has led to.
type amoGrant struct {
	client *amoClient
	user   AmoUser // who consented
	dead   bool    // switched off
	pairs  []*amoPair
}

// amoPair is an access token and the refresh token that came with it.
type amoPair struct {
	grant        *amoGrant
	accessUntil  time.Time
	refreshUntil time.Time
	retired      bool // a later pair has been used: the refresh token is no longer good
}

type amoCode struct {
	client *amoClient
	user   AmoUser
	until  time.Time
}

// amoTokens are the tokens of all integrations.
type amoTokens struct {
	clients []*amoClient
	codes   map[string]amoCode
	access  map[string]*amoPair
	refresh map[string]*amoPair
	key     []byte // of access tokens. Nobody but the CRM is meant to check them
}

func newAmoTokens(cfg AmoConfig) (*amoTokens, error) {
	t := &amoTokens{codes: map[string]amoCode{}, access: map[string]*amoPair{}, refresh: map[string]*amoPair{}, key: []byte(rand.Text())}
	own := AmoIntegration{
		ID: cfg.ClientID, Secret: cfg.ClientSecret, RedirectURI: cfg.RedirectURI, UninstallURI: cfg.UninstallURI, Name: amoWidgetCode,
		Private: cfg.Private, Scopes: cfg.Scopes,
	}
	for _, in := range append([]AmoIntegration{own}, cfg.Integrations...) {
		if in.ID != "" && t.client(in.ID) != nil {
			return nil, fmt.Errorf("the integration %s is there twice", in.ID)
		}
		if in.Scopes == nil {
			in.Scopes = []string{"crm", "notifications"}
		}
		t.clients = append(t.clients, &amoClient{AmoIntegration: in})
	}
	return t, nil
}

// client returns nil if there is none, as an account without a widget has none.
func (t *amoTokens) client(id string) *amoClient {
	i := slices.IndexFunc(t.clients, func(c *amoClient) bool { return c.ID == id })
	if i < 0 || id == "" {
		return nil
	}
	return t.clients[i]
}

// used retires the refresh tokens that were kept only in case the answer with this pair was lost.
func (p *amoPair) used() {
	for _, older := range p.grant.pairs {
		if older == p {
			return
		}
		older.retired = true
	}
}

// The CRM's words for what is wrong with a request for tokens. Libraries look at the hint.
const (
	amoOAuthType = "https://developers.amocrm.ru/v3/errors/OAuthProblemJson"
	amoNoClient  = "Авторизация клиента не прошла"
	amoNoParams  = "В запросе отсутствует ряд параметров или параметры невалидны"
)

func badGrant(status int, hint string) amoProblem {
	return amoProblem{Status: status, Title: "Некорректный запрос", Type: amoOAuthType, Detail: amoNoParams, Hint: hint}
}

func badClient() amoProblem {
	return amoProblem{Status: http.StatusUnauthorized, Title: "Некорректный клиент", Type: amoOAuthType, Detail: amoNoClient}
}

func (a *Amo) oauthRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /oauth", a.askConsent)
	mux.HandleFunc("POST /oauth", a.answerConsent)
	mux.Handle("POST /oauth2/access_token", a.answering(a.giveTokens))
	mux.Handle("GET /oauth2/account/current/subdomain", a.answering(a.subdomainByRefresh))
	mux.Handle("GET /oauth2/account/subdomain", a.answering(a.subdomainByAccess))
}

// giveTokens is the token endpoint.
func (a *Amo) giveTokens(w http.ResponseWriter, r *http.Request) error {
	if a.hasLeft(r.Host) {
		return amoProblem{Status: http.StatusNotFound, Detail: "Account not found"}
	}
	var body struct {
		Client   string `json:"client_id"`
		Secret   string `json:"client_secret"`
		Grant    string `json:"grant_type"`
		Code     string `json:"code"`
		Refresh  string `json:"refresh_token"`
		Redirect string `json:"redirect_uri"`
	}
	if isForm(r) { // as general libraries send it
		body.Client, body.Secret, body.Grant = r.PostFormValue("client_id"), r.PostFormValue("client_secret"), r.PostFormValue("grant_type")
		body.Code, body.Refresh, body.Redirect = r.PostFormValue("code"), r.PostFormValue("refresh_token"), r.PostFormValue("redirect_uri")
	} else if err := readAmo(r, &body); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	client := a.tokens.client(body.Client)
	switch {
	case body.Client == "":
		return badGrant(http.StatusBadRequest, "Check the `client_id` parameter")
	case client == nil || client.Secret != body.Secret || body.Redirect != "" && client.RedirectURI != body.Redirect:
		return badClient()
	case body.Redirect == "": // who is asking is settled before this is
		return badGrant(http.StatusBadRequest, "Check the `redirect_uri` parameter")
	}
	var grant *amoGrant
	var err error
	switch body.Grant {
	case "authorization_code":
		grant, err = a.grantOfCode(client, body.Code)
	case "refresh_token":
		grant, err = a.grantOfRefresh(client, body.Refresh)
	default:
		return badGrant(http.StatusBadRequest, "Check the `grant_type` parameter")
	}
	if err != nil {
		return err
	}
	access, refresh, err := a.pair(grant, amoAccessLife)
	if err != nil {
		return err
	}
	writeAmo(w, http.StatusOK, "application/json", map[string]any{
		"token_type": "Bearer", "expires_in": int64(amoAccessLife.Seconds()), "server_time": a.now().Unix(),
		"access_token": access, "refresh_token": refresh,
	})
	return nil
}

// grantOfCode takes a code: it is good once. The caller holds the lock.
func (a *Amo) grantOfCode(client *amoClient, code string) (*amoGrant, error) {
	given, ok := a.tokens.codes[code]
	switch {
	case !ok:
		return nil, badGrant(http.StatusBadRequest, "Cannot decrypt the authorization code")
	case given.client != client:
		return nil, badGrant(http.StatusBadRequest, "Authorization code was not issued to this client")
	case given.until.IsZero():
		return nil, badGrant(http.StatusBadRequest, "Authorization code has been revoked")
	case a.now().After(given.until):
		return nil, badGrant(http.StatusBadRequest, "Authorization code has expired")
	}
	a.tokens.codes[code] = amoCode{client: client}
	grant := &amoGrant{client: client, user: given.user}
	client.grants = append(client.grants, grant)
	return grant, nil
}

// grantOfRefresh takes a refresh token. The caller holds the lock.
func (a *Amo) grantOfRefresh(client *amoClient, refresh string) (*amoGrant, error) {
	p := a.tokens.refresh[refresh]
	switch {
	case p == nil:
		return nil, badGrant(http.StatusUnauthorized, "Cannot decrypt the refresh token")
	case p.grant.client != client:
		return nil, badGrant(http.StatusUnauthorized, "Token is not linked to client")
	case p.retired || p.grant.dead:
		return nil, badGrant(http.StatusUnauthorized, "Token has been revoked")
	case a.now().After(p.refreshUntil):
		return nil, badGrant(http.StatusUnauthorized, "Token has expired")
	}
	p.used()
	return p.grant, nil
}

// pair makes the next pair of a grant. The caller holds the lock.
func (a *Amo) pair(grant *amoGrant, life time.Duration) (access, refresh string, err error) {
	now := a.now()
	at := a.where.Load()
	access, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"aud": grant.client.ID, "jti": amoUUID(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
		"sub": strconv.FormatInt(grant.user.ID, 10), "grant_type": "", "account_id": a.cfg.Account, "base_domain": amoBaseDomain(a.cfg.Platform),
		"api_domain": at.domain, "version": 2, "scopes": grant.client.Scopes,
	}).SignedString(a.tokens.key)
	if err != nil {
		return "", "", err
	}
	p := &amoPair{grant: grant, accessUntil: now.Add(life), refreshUntil: now.AddDate(0, amoRefreshMonths, 0)}
	grant.pairs = append(grant.pairs, p)
	refresh = amoSecret()
	a.tokens.access[access], a.tokens.refresh[refresh] = p, p
	return access, refresh, nil
}

func amoBaseDomain(platform string) string {
	return map[string]string{AmoPlatform: "amocrm.ru", KommoPlatform: "kommo.com"}[platform]
}

// amoSecret looks like the CRM's codes and refresh tokens do.
func amoSecret() string {
	var b [60]byte
	_, _ = rand.Read(b[:]) // never fails
	return "def50200" + hex.EncodeToString(b[:])
}

// subdomainByRefresh tells where the account is now, on whatever host it is asked.
func (a *Amo) subdomainByRefresh(w http.ResponseWriter, r *http.Request) error {
	a.mu.Lock()
	p := a.tokens.refresh[r.Header.Get("X-Refresh-Token")]
	good := p != nil && !p.retired && !p.grant.dead && !a.now().After(p.refreshUntil)
	a.mu.Unlock()
	return a.tellSubdomain(w, good)
}

// subdomainByAccess is the older way to the same.
func (a *Amo) subdomainByAccess(w http.ResponseWriter, r *http.Request) error {
	a.mu.Lock()
	p := a.accessPair(r)
	a.mu.Unlock()
	return a.tellSubdomain(w, p != nil)
}

func (a *Amo) tellSubdomain(w http.ResponseWriter, known bool) error {
	if !known {
		return unauthorized()
	}
	at := a.where.Load()
	writeAmo(w, http.StatusOK, "application/json", map[string]any{
		"id": a.cfg.Account, "subdomain": at.subdomain, "domain": at.domain, "top_level_domain": a.topLevel(),
	})
	return nil
}

func (a *Amo) topLevel() string {
	return map[string]string{AmoPlatform: "ru", KommoPlatform: "com"}[a.cfg.Platform]
}

// Code returns what an administrator's consent hands to an integration, as if he had pressed the button.
func (a *Amo) Code(client string) (string, error) {
	i := slices.IndexFunc(a.cfg.Users, func(u AmoUser) bool { return u.Admin })
	if i < 0 {
		return "", fmt.Errorf("sandbox amoCRM: account %d has no administrator", a.cfg.Account)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.tokens.client(client)
	if c == nil {
		return "", fmt.Errorf("sandbox amoCRM: there is no integration %q", client)
	}
	return a.code(c, a.cfg.Users[i]), nil
}

// code makes one. The caller holds the lock.
func (a *Amo) code(client *amoClient, user AmoUser) string {
	code := amoSecret()
	a.tokens.codes[code] = amoCode{client: client, user: user, until: a.now().Add(amoCodeLife)}
	return code
}

// LongLivedToken returns an access token of a private integration as an administrator makes it in the settings.
// It has no refresh token.
func (a *Amo) LongLivedToken(client string, life time.Duration) (string, error) {
	code, err := a.Code(client)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.tokens.client(client)
	if !c.Private {
		return "", fmt.Errorf("sandbox amoCRM: the integration %q is not private", client)
	}
	grant, err := a.grantOfCode(c, code)
	if err != nil {
		return "", err
	}
	access, refresh, err := a.pair(grant, life)
	delete(a.tokens.refresh, refresh)
	return access, err
}

// NewSecret gives an integration another secret key: the old one is no longer good for anything.
func (a *Amo) NewSecret(client, secret string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.tokens.client(client); c != nil {
		c.Secret = secret
	}
}

// Revoke makes all tokens of an integration worthless without telling it. Consent given after that is good.
func (a *Amo) Revoke(client string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.tokens.client(client)
	if c == nil {
		return
	}
	for _, g := range c.grants {
		g.dead = true
	}
	for code, given := range a.tokens.codes {
		if given.client == c {
			a.tokens.codes[code] = amoCode{client: c}
		}
	}
}

// amoClientKey is where a request's context has the integration whose token it bears.
type amoClientKey struct{}

// clientOf returns nil for a request of a browser's session.
func clientOf(ctx context.Context) *amoClient {
	c, _ := ctx.Value(amoClientKey{}).(*amoClient)
	return c
}

// now is the time by which tokens live.
func (a *Amo) now() time.Time {
	if a.cfg.Clock == nil {
		return time.Now()
	}
	return a.cfg.Clock()
}

// amoPlace is where an account is to be found. It can move.
type amoPlace struct {
	base      string // scheme and host without a slash; empty: what the browser asked for
	domain    string // host as the CRM tells it; empty: the base's
	subdomain string
	left      []string // hosts where it was before
}

// Move gives the account another address, as after a change of its subdomain. Its API and its tokens are no longer
// to be had at the old one, if that was known.
func (a *Amo) Move(base, domain, subdomain string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.where.Load()
	next := newAmoPlace(base, domain, subdomain)
	next.left = append(slices.Clone(before.left), newAmoPlace(before.base, "", "").domain)
	now := newAmoPlace(base, "", "").domain
	next.left = slices.DeleteFunc(next.left, func(host string) bool { return host == "" || host == now })
	a.where.Store(&next)
}

func (a *Amo) hasLeft(host string) bool { return slices.Contains(a.where.Load().left, host) }

func newAmoPlace(base, domain, subdomain string) amoPlace {
	p := amoPlace{base: trimBase(base), subdomain: subdomain}
	p.domain = cmp.Or(domain, hostOf(p.base))
	return p
}
