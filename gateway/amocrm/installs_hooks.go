package amocrm

import (
	"context"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	maxHookText = 4 << 10          // of a code or a state
	pageWait    = 10 * time.Second // for the CRM, before an administrator is told to look later
	movedPace   = time.Minute      // how often a new address is looked into
	pageStart   = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="robots" content="noindex"><title>Ringcast</title><body style="font:16px/1.5 sans-serif;max-width:32em;margin:15vh auto;padding:0 1em"><p>`
	pagePolicy  = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
)

// RedirectPaths are the paths at which ServeRedirect is to be served: those of the integrations' redirect URIs.
func (i *Installs) RedirectPaths() map[string]bool {
	paths := map[string]bool{}
	for _, in := range i.integrations {
		if in.Token == "" {
			paths[in.redirectPath()] = true
		}
	}
	return paths
}

// ServeRedirect serves an integration's redirect_uri: an administrator comes back to it from the CRM with a code, or the
// CRM's own server calls when the integration is installed, waits three seconds and never calls again. The latter is
// answered at once; either way the code is kept before the answer. It is a gateway.HandlerFunc.
//
// Nothing of the request is believed: a code and the secret go only to a host that an account of the integration may
// have, and a state has to be one of Link's.
func (i *Installs) ServeRedirect(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s %s", r.Method, r.URL.Path)
	}
	query := r.URL.Query()
	code, state, referer, client := query.Get("code"), query.Get("state"), query.Get("referer"), query.Get("client_id")
	for _, text := range []string{code, state, referer, client} {
		if len(text) > maxHookText {
			return gateway.Errorf(gateway.CodeInvalid, "this is too long to be the CRM's")
		}
	}
	var in *Integration
	var base, account string
	var err error
	if state != "" {
		if in, account, err = i.begun(state); err == nil && client != "" && client != in.ClientID {
			err = gateway.Errorf(gateway.CodeBadToken, "the link was for another integration")
		}
	}
	if err != nil {
		return err
	}
	if query.Get("error") != "" {
		return page(w, http.StatusOK, "The CRM's administrator has not let Ringcast in. Nothing was changed.")
	}
	if code == "" {
		return gateway.Errorf(gateway.CodeInvalid, "there is no code: begin with the link of GET /v1/admin/installs, or install the integration in the CRM")
	}
	ours := in != nil
	if in, base, err = i.meant(in, r.URL.Path, client, referer); err != nil {
		return err
	}
	done, err := i.arrive(r.Context(), in, account, base, code, ours)
	if err != nil {
		return err
	}
	if query.Get("from_widget") != "" {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	wait := time.NewTimer(pageWait)
	defer wait.Stop()
	select {
	case result := <-done:
		if result.err != nil {
			return page(w, http.StatusBadGateway, "Ringcast could not be connected: "+html.EscapeString(result.err.Error()))
		}
		return page(w, http.StatusOK, "Ringcast is connected to the CRM, as the account <b>"+html.EscapeString(result.account)+"</b>. This window can be closed.")
	case <-wait.C:
		return page(w, http.StatusAccepted, "The CRM has not answered yet. Ringcast goes on trying: GET /v1/admin/installs tells what came of it.")
	case <-r.Context().Done():
		return nil
	}
}

// meant finds out which integration a request is about, and where the account is. is is the one that the state names; nil:
// there was none.
func (i *Installs) meant(is *Integration, path, client, referer string) (*Integration, string, error) {
	var found *Integration
	var at string
	for _, in := range i.integrations {
		if in.Token != "" || is != nil && in != is || client != "" && client != in.ClientID || in.redirectPath() != path {
			continue
		}
		base, err := in.base(referer, i.number(in) != 0)
		switch {
		case err != nil:
			continue
		case found != nil:
			return nil, "", gateway.Errorf(gateway.CodeInvalid, "several integrations have this redirect_uri: give each its own")
		}
		found, at = in, base
	}
	if found == nil {
		return nil, "", gateway.Errorf(gateway.CodeNotPermitted, "no integration here could have an account at this referer")
	}
	return found, at, nil
}

// number is that of an integration's own account in the CRM, 0 if it is not known.
func (i *Installs) number(in *Integration) int64 {
	if in.Account == "" || in.AccountID != 0 {
		return in.AccountID
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if h := i.held[in.Account]; h != nil && h.ClientID == in.ClientID {
		return h.AccountID
	}
	return 0
}

// page answers an administrator's browser.
func page(w http.ResponseWriter, status int, text string) error {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer") // the code stands in the address
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, pageStart+text+"</p></body></html>\n") // the browser went: nobody to tell
	return nil
}

// ServeUninstall serves the CRM's word that an integration was removed from an account. It is a gateway.HandlerFunc.
func (i *Installs) ServeUninstall(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	client, account, signature := query.Get("client_uuid"), query.Get("account_id"), query.Get("signature")
	good := false
	for _, in := range i.integrations {
		if in.ClientID == client && len(account) < 32 && in.signedHook(account, signature) {
			good = true
		}
	}
	if !good {
		return gateway.Errorf(gateway.CodeNotPermitted, "this is not signed by an integration of here")
	}
	number, err := strconv.ParseInt(account, 10, 64)
	if err != nil || number <= 0 {
		return gateway.Errorf(gateway.CodeInvalid, "account_id is not a number")
	}
	for _, known := range i.All() {
		if known.ClientID != client || known.AccountID != number || known.State == StateUninstalled {
			continue
		}
		if err := i.remove(r.Context(), known); err != nil {
			return &gateway.Error{Code: gateway.CodeUnavailable, Message: "the store does not answer now", RetryAfter: time.Second, Err: err}
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// remove forgets the tokens of an account. Its name, and its PBXes' keys, it has again when it comes back.
func (i *Installs) remove(ctx context.Context, known Installation) error {
	removed := false
	err := i.update(ctx, known.Account, func(r *record, s *secrets) (bool, error) {
		if removed = r.ClientID == known.ClientID && r.State != StateUninstalled; !removed {
			return false, nil
		}
		s.pair, s.Previous = pair{}, ""
		r.State, r.Since, r.Reason, r.Lease, r.Refused = StateUninstalled, now(), "an administrator of the CRM's account has removed the integration", nil, ""
		return true, nil
	})
	if err == nil && removed {
		i.tellLost(known.Account, "the integration was removed there")
	}
	return err
}

// Moved says that a token came from an account at another address than it had. If the CRM says so as well, the account is
// there from now on. It does not block.
func (i *Installs) Moved(account, base string) {
	i.mu.Lock()
	h := i.held[account]
	if h == nil || h.State != StateConnected || h.BaseURL == base || time.Now().Before(h.moveRest) {
		i.mu.Unlock()
		return
	}
	h.moveRest = time.Now().Add(movedPace)
	in, was, token, number := i.of(account, &h.record), h.BaseURL, h.Access, h.AccountID
	i.mu.Unlock()
	if in == nil || token == "" {
		return
	}
	_, host, _ := strings.Cut(base, "://")
	if allowed, err := in.base(host, true); err != nil || allowed != base {
		return
	}
	i.work.Go(func() {
		info, err := i.door.account(i.life, Access{BaseURL: base, Token: token, Integration: in.ClientID})
		if err != nil || info.ID != number {
			i.logger.WarnContext(i.life, "a widget says that the CRM's account has another address, and the CRM does not", "account", account, "address", base, "err", err)
			return
		}
		err = i.update(i.life, account, func(r *record, _ *secrets) (bool, error) {
			if r.BaseURL != was || r.AccountID != number {
				return false, nil
			}
			r.BaseURL = base
			return true, nil
		})
		if err != nil {
			i.logger.WarnContext(i.life, "the CRM's account has another address, which could not be kept", "account", account, "err", err)
			return
		}
		i.logger.InfoContext(i.life, "the CRM's account has another address", "account", account, "address", base)
	})
}
