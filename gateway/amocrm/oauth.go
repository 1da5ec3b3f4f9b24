package amocrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	grantTime = 15 * time.Second // for one request
	maxGrant  = 256 << 10

	tokenPath     = "/oauth2/access_token"
	subdomainPath = "/oauth2/account/current/subdomain"
	accountPath   = "/api/v4/account"
	userAgent     = "Ringcast"
)

// pair is an access token and the refresh token that came with it.
type pair struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

func (p pair) life() time.Duration { return p.Expires.Sub(p.Issued) }

// AccountInfo is what the CRM says of an account.
type AccountInfo struct {
	ID        int64  `json:"id"`
	Subdomain string `json:"subdomain"`
	User      int64  `json:"current_user_id"` // who let the integration in: an administrator
}

// door asks a CRM for what goes before its API. It goes nowhere but where it is told: no redirect is followed.
type door struct {
	client  *http.Client
	limiter *Limiter
}

func newDoor(client *http.Client, limiter *Limiter) *door {
	if limiter == nil {
		limiter = NewLimiter(Limits{})
	}
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &door{&own, limiter}
}

func (d *door) byCode(ctx context.Context, in *Integration, base, code string) (pair, error) {
	return d.grant(ctx, in, base, map[string]string{"grant_type": "authorization_code", "code": code})
}

func (d *door) byRefresh(ctx context.Context, in *Integration, base, refresh string) (pair, error) {
	return d.grant(ctx, in, base, map[string]string{"grant_type": "refresh_token", "refresh_token": refresh})
}

// grant asks for tokens. While the secret is being changed either may be the good one.
func (d *door) grant(ctx context.Context, in *Integration, base string, fields map[string]string) (p pair, err error) {
	for _, secret := range in.Secrets {
		fields["client_id"], fields["client_secret"], fields["redirect_uri"] = in.ClientID, secret, in.RedirectURI
		if p, err = d.tokens(ctx, base, fields); answerStatus(err) != http.StatusUnauthorized {
			return p, err
		}
	}
	return p, err
}

func (d *door) tokens(ctx context.Context, base string, fields map[string]string) (pair, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return pair{}, err
	}
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int64  `json:"expires_in"`
	}
	asked := time.Now()
	to := Access{BaseURL: base, Integration: fields["client_id"]}
	if err := d.ask(ctx, to, http.MethodPost, tokenPath, http.Header{"Content-Type": {"application/json"}}, body, &answer); err != nil {
		return pair{}, err
	}
	if answer.Access == "" || answer.Refresh == "" || answer.Expires <= 0 {
		return pair{}, &Error{Status: http.StatusOK, Title: "an answer without tokens", Sent: true}
	}
	return pair{answer.Access, answer.Refresh, asked, asked.Add(time.Duration(answer.Expires) * time.Second)}, nil
}

// account says whose token an access has.
func (d *door) account(ctx context.Context, to Access) (info AccountInfo, err error) {
	err = d.ask(ctx, to, http.MethodGet, accountPath, http.Header{"Authorization": {"Bearer " + to.Token}}, nil, &info)
	if err == nil && info.ID <= 0 {
		err = &Error{Status: http.StatusOK, Title: "an account without a number"}
	}
	return info, err
}

// moved asks where an account is now. The host to ask stands in its access token; "": it names none that may be asked.
func (d *door) moved(ctx context.Context, in *Integration, p pair) (base string, err error) {
	shared, err := in.base(apiDomain(p.Access), true)
	if err != nil {
		return "", nil //nolint:nilerr // a token that says nothing is no failure
	}
	var answer struct {
		Domain string `json:"domain"`
	}
	if err := d.ask(ctx, Access{BaseURL: shared, Integration: in.ClientID}, http.MethodGet, subdomainPath, http.Header{"X-Refresh-Token": {p.Refresh}}, nil, &answer); err != nil {
		return "", err
	}
	return in.base(answer.Domain, true)
}

// apiDomain reads an access token's claim. Nobody but the CRM can verify it, so it is as good as what a stranger says.
func apiDomain(access string) string {
	var claims struct {
		Domain string `json:"api_domain"`
	}
	readClaims(access, &claims)
	return claims.Domain
}

// readClaims reads what an access token says, if it is one that says something.
func readClaims(access string, claims any) {
	if parts := strings.Split(access, "."); len(parts) == 3 {
		if data, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(data, claims) // then it says nothing
		}
	}
}

// ask sends a request when the limits let it, and reads the answer into out. The error is an *Error.
func (d *door) ask(ctx context.Context, to Access, method, path string, header http.Header, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, grantTime)
	defer cancel()
	pass, err := d.limiter.enter(ctx, to, false)
	var held *Error
	switch {
	case errors.As(err, &held):
		return held
	case err != nil:
		return &Error{Err: err}
	}
	answer := d.exchange(ctx, method, to.BaseURL+path, header, body, out)
	d.limiter.leave(pass, answer)
	if answer == nil {
		return nil
	}
	return answer
}

func (d *door) exchange(ctx context.Context, method, url string, header http.Header, body []byte, out any) *Error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return &Error{Err: err}
	}
	req.Header = header
	req.Header.Set("User-Agent", userAgent)
	res, err := d.client.Do(req)
	if err != nil {
		return &Error{Sent: true, Err: err}
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxGrant))
	if err != nil {
		return &Error{Sent: true, Err: err}
	}
	answer := &Error{Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id"), Sent: true}
	if res.StatusCode != http.StatusOK {
		answer.explain(res, data)
		return answer
	}
	if err := json.Unmarshal(data, out); err != nil {
		answer.Title = "an answer that is no JSON"
		return answer
	}
	return nil
}

// lacksScope says that the CRM lets a token in, and not to what was asked.
func lacksScope(err error) bool { return answerStatus(err) == http.StatusForbidden && isDenied(err) }

// answerStatus returns the status of the CRM's answer, 0 if there was none.
func answerStatus(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// refused says that the CRM has understood and said no: asking again would not help.
func refused(err error) bool {
	switch answerStatus(err) {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound:
		return true
	}
	return false
}

// Probe says what is wrong with an integration's keys, by asking for tokens with a code that cannot be good: who is not let
// that far has the wrong client_id or secret, or another redirect_uri than the CRM has. nil: nothing.
func Probe(ctx context.Context, client *http.Client, in Integration, base string) error {
	d := newDoor(client, nil)
	for i, secret := range in.Secrets {
		fields := map[string]string{"client_id": in.ClientID, "client_secret": secret, "grant_type": "authorization_code", "code": "ringcast-check"}
		_, err := d.tokens(ctx, base, fields)
		if err := probed(err, ErrWrongSecret); err != nil {
			if i > 0 && errors.Is(err, ErrWrongSecret) {
				continue // the one before, which is worth nothing once it was changed
			}
			return err
		}
		fields["redirect_uri"] = in.RedirectURI
		_, err = d.tokens(ctx, base, fields)
		if err := probed(err, ErrWrongRedirect); err != nil {
			return err
		}
	}
	return nil
}

// What Probe finds.
var (
	ErrWrongSecret   = errors.New("the CRM does not know client_id with this client_secret: copy both anew from the integration's page (Keys and scopes)")
	ErrWrongRedirect = errors.New("the CRM has another redirect_uri for the integration: they have to be the same to the letter")
)

func probed(err, wrong error) error {
	switch answerStatus(err) {
	case http.StatusBadRequest:
		return nil
	case http.StatusUnauthorized:
		return wrong
	}
	if err == nil {
		return errors.New("it gives tokens for any code: this is not the CRM")
	}
	return fmt.Errorf("the integration's keys could not be tried: %w", err)
}

// CheckRights says which right a token lacks, nil if none. It reads a little; of what only writing would show, the
// scopes that stand in the token tell.
func CheckRights(ctx context.Context, client *http.Client, access Access) error {
	d := newDoor(client, nil)
	if _, err := d.account(ctx, access); err != nil {
		if lacksScope(err) {
			return fmt.Errorf("%w (%w)", errNoScope, err)
		}
		return err
	}
	var claims struct {
		Scopes []string `json:"scopes"`
	}
	readClaims(access.Token, &claims)
	for _, scope := range []string{"crm", "notifications"} {
		if len(claims.Scopes) > 0 && !slices.Contains(claims.Scopes, scope) {
			return fmt.Errorf("the integration has not got the scope %s: give it that on its page, and let an administrator install it again", scope)
		}
	}
	return nil
}
