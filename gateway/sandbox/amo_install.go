package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	amoHookPatience = 3 * time.Second // for a server that is told of an installation
	amoHookAgent    = "amoService-oAuth-Code-Sender/1.0"
)

// amoConsent asks whether an integration may come in.
const amoConsent = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Access to {{.Account}}</title>
<style>body{font:16px/1.5 sans-serif;max-width:26em;margin:15vh auto;padding:0 1em}button{font:inherit;padding:.5em 1.2em;margin-right:.5em}</style>
<h1>{{.Name}}</h1>
{{if .Admin}}<p>wants to come into the account <b>{{.Account}}</b> and may then: {{range $i, $s := .Scopes}}{{if $i}}, {{end}}{{$s}}{{end}}.</p>
<form method="post" action="/oauth">
<input type="hidden" name="client_id" value="{{.Client}}"><input type="hidden" name="state" value="{{.State}}"><input type="hidden" name="user" value="{{.User}}">
<button name="answer" value="allow" class="oauth__allow">Allow</button><button name="answer" value="deny" class="oauth__deny">Deny</button>
</form>{{else}}<p>Only an administrator of the account <b>{{.Account}}</b> can let it in.</p>{{end}}
</html>
`

// consenting finds out which integration asks whom. Without a user in the address it is the account's first.
func (a *Amo) consenting(r *http.Request) (*amoClient, AmoUser, error) {
	a.mu.Lock()
	client := a.tokens.client(r.FormValue("client_id"))
	a.mu.Unlock()
	user, ok := a.cfg.Users[0], true
	if id := r.FormValue("user"); id != "" {
		user, ok = a.user(id)
	}
	switch {
	case client == nil:
		return nil, user, errors.New("there is no such integration")
	case !ok:
		return nil, user, errors.New("there is no such user in this account")
	}
	return client, user, nil
}

// askConsent is the page that an install button outside of the CRM leads to.
func (a *Amo) askConsent(w http.ResponseWriter, r *http.Request) {
	client, user, err := a.consenting(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	err = a.consent.Execute(w, map[string]any{
		"Account": a.where.Load().subdomain, "Name": client.Name, "Scopes": client.Scopes, "Admin": user.Admin,
		"Client": client.ID, "State": r.FormValue("state"), "User": user.ID,
	})
	if err != nil {
		a.log.WarnContext(r.Context(), "sandbox amoCRM: page not written", "err", err)
	}
}

// answerConsent leads the browser back to the integration, with a code or with word that there is none.
func (a *Amo) answerConsent(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	client, user, err := a.consenting(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {r.PostFormValue("state")}, "client_id": {client.ID}, "referer": {a.domain(r)}}
	switch {
	case r.PostFormValue("answer") != "allow":
		back.Set("error", "access_denied")
	case !user.Admin:
		http.Error(w, "Only an administrator can let it in.", http.StatusForbidden)
		return
	default:
		a.mu.Lock()
		back.Set("code", a.code(client, user))
		a.mu.Unlock()
	}
	http.Redirect(w, r, withQuery(client.RedirectURI, back), http.StatusFound)
}

func withQuery(to string, query url.Values) string {
	if strings.Contains(to, "?") {
		return to + "&" + query.Encode()
	}
	return to + "?" + query.Encode()
}

// domain is what the CRM calls itself towards integrations.
func (a *Amo) domain(r *http.Request) string {
	if at := a.where.Load(); at.domain != "" {
		return at.domain
	}
	return r.Host
}

// Install does what happens when an administrator installs the integration's widget: the CRM's server calls the
// redirect URI with a code, waits three seconds for an answer, whatever it is, and never asks again. The account
// needs a BaseURL or a Domain. The error, that nobody answered in time, is for tests: the CRM takes no notice.
func (a *Amo) Install(ctx context.Context, client string) error {
	domain := a.where.Load().domain
	if domain == "" {
		return errors.New("sandbox amoCRM: an account that does not know its own address cannot tell it")
	}
	code, err := a.Code(client)
	if err != nil {
		return err
	}
	c := a.integration(client)
	return a.callHook(ctx, withQuery(c.RedirectURI, url.Values{"code": {code}, "referer": {domain}, "client_id": {client}, "from_widget": {"1"}}))
}

// Uninstall does what happens when an administrator switches an integration off: its tokens are worthless, and its
// uninstall hook, if it has one, is called.
func (a *Amo) Uninstall(ctx context.Context, client string) error {
	a.Revoke(client)
	c := a.integration(client)
	if c.UninstallURI == "" {
		return nil
	}
	account := strconv.FormatInt(a.cfg.Account, 10)
	mac := hmac.New(sha256.New, []byte(c.Secret))
	_, _ = mac.Write([]byte(client + "|" + account)) // never fails
	return a.callHook(ctx, withQuery(c.UninstallURI, url.Values{
		"client_uuid": {client}, "account_id": {account}, "signature": {hex.EncodeToString(mac.Sum(nil))},
	}))
}

// integration returns the zero value if there is none.
func (a *Amo) integration(client string) AmoIntegration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.tokens.client(client); c != nil {
		return c.AmoIntegration
	}
	return AmoIntegration{}
}

// callHook calls an integration's server as the CRM does: one GET without a browser.
func (a *Amo) callHook(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, amoHookPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return fmt.Errorf("sandbox amoCRM: hook: %w", err)
	}
	r.Header.Set("User-Agent", amoHookAgent)
	res, err := (&http.Transport{DisableKeepAlives: true, Proxy: nil}).RoundTrip(r)
	if err != nil {
		return fmt.Errorf("sandbox amoCRM: hook: %w", err)
	}
	return res.Body.Close()
}

func newAmoConsent() (*template.Template, error) { return template.New("consent").Parse(amoConsent) }

// trimBase and hostOf read a base URL; it was checked before.
func trimBase(base string) string { return strings.TrimRight(base, "/") }

func hostOf(base string) string {
	_, host, _ := strings.Cut(base, "://")
	return host
}
