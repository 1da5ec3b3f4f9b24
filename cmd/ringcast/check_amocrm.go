package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// crmAccess is what is known of the access to an account's CRM.
type crmAccess struct {
	amocrm.Installation

	access amocrm.Access
	err    error // why there is none
}

// checkAccess finds out which CRMs the config, and what a store holds, have access to. A nil store: what the config has.
func checkAccess(ctx context.Context, cfg *Config, store gateway.Store) (map[string]crmAccess, error) {
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sessionKeyFile)); cfg.SessionKey == "" && errors.Is(err, fs.ErrNotExist) {
		trial := *cfg // a key that this made, perhaps as root, the service's user could not read
		trial.SessionKey = Secret(rand.Text() + rand.Text())
		cfg = &trial
	}
	installs, err := newInstalls(cfg, store, nil, func() {}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer installs.Close()
	if store != nil {
		if err := installs.Load(ctx); err != nil {
			return nil, err
		}
	}
	all := map[string]crmAccess{}
	for _, install := range installs.All() {
		if install.Removed {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, checkTimeout)
		access, err := installs.Access(asking, install.Account)
		cancel()
		all[install.Account] = crmAccess{install, access, err}
	}
	return all, nil
}

// crms checks the access to all CRMs. running: another process has the store, and is asked instead.
func (r *report) crms(ctx context.Context, cfg *Config, all map[string]crmAccess, running bool) {
	var states map[string]crmState // nil: nobody else knows better
	if running {
		states = runningStates(ctx, cfg)
	}
	integrations := map[string]amocrm.Integration{}
	for _, in := range cfg.amoIntegrations() {
		integrations[in.ID] = in
	}
	for _, account := range cfg.Accounts {
		if crm := account.AmoCRM; crm != nil {
			name := "account " + account.ID + ", amoCRM at " + crm.BaseURL
			r.crm(ctx, cfg, name, integrations[account.ID], all[account.ID], states)
			if crm.Token == "" {
				r.redirect(ctx, name, crm.RedirectURI)
			}
		}
	}
	for _, in := range cfg.Integrations {
		installed := 0
		for _, access := range all {
			if access.Integration != in.ID {
				continue
			}
			installed++
			r.crm(ctx, cfg, "account "+access.Account+" of integration "+in.ID+", at "+access.BaseURL, integrations[in.ID], access, states)
		}
		if installed == 0 && !running {
			fmt.Fprintf(r.app.stdout, "  note: nobody has installed the integration %s yet: ringcast connect -account %s prints a link\n", in.ID, in.ID)
		}
		if theirs, ours := hostIn(in.RedirectURI), hostIn(cfg.PublicURL); theirs != ours {
			fmt.Fprintf(r.app.stdout, "  note: integration %s: redirect_uri is at %s and public_url at %s: both have to lead here\n", in.ID, theirs, ours)
		}
		r.redirect(ctx, "integration "+in.ID, in.RedirectURI)
	}
}

// crm checks one account's. The first thing that is wrong makes the rest of no interest.
func (r *report) crm(ctx context.Context, cfg *Config, name string, in amocrm.Integration, access crmAccess, states map[string]crmState) {
	r.say(name+": its pages in origins", checkOrigin(cfg, access.BaseURL))
	site := checkSite(ctx, access.BaseURL)
	r.say(name+": address, certificate and clock", site)
	if site != nil {
		return
	}
	probing, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	keys := amocrm.Probe(probing, nil, in, access.BaseURL)
	r.say(name+": takes client_id, client_secret and redirect_uri", keys)
	if keys != nil {
		return
	}
	state, known := states[access.Account]
	switch {
	case states != nil && !known:
		fmt.Fprintf(r.app.stdout, "  note: the running ringcast was not heard about account %s: GET /v1/admin/installs tells whether it has access\n", access.Account)
	case known && state.State != amocrm.StateConnected:
		r.say(name+": lets Ringcast in", fmt.Errorf("%s: %s; GET /v1/admin/installs has the link for an administrator", state.State, state.Reason))
	case known:
		r.say(name+": lets the running ringcast in", nil)
	case access.err != nil:
		r.say(name+": lets Ringcast in", fmt.Errorf("%w: ringcast connect -account %s prints the link for an administrator (%s)", access.err, access.Account, access.Reason))
	default:
		r.rights(ctx, name, access)
	}
}

// rights checks what a token may do. Only reading is tried; of the rest the token itself tells.
func (r *report) rights(ctx context.Context, name string, access crmAccess) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r.say(name+": lets Ringcast in, with the rights that it needs", amocrm.CheckRights(ctx, nil, access.access))
}

// redirect looks whether a redirect_uri leads to this gateway.
func (r *report) redirect(ctx context.Context, name, redirectURI string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, redirectURI, nil)
	if err != nil {
		return
	}
	res, err := http.DefaultTransport.RoundTrip(req) // a redirect is an answer
	if err != nil {
		fmt.Fprintf(r.app.stdout, "  note: %s: nothing answers at redirect_uri from here; while ringcast serves, it has to from outside\n", name)
		return
	}
	defer func() { _ = res.Body.Close() }()
	var problem struct {
		Code gateway.Code `json:"code"`
	}
	if res.StatusCode != http.StatusBadRequest || json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxAdminBody)).Decode(&problem) != nil || problem.Code != gateway.CodeInvalid {
		r.say(name+": redirect_uri leads to Ringcast", fmt.Errorf("%s answers %d, as something else than a ringcast with this config would: let the proxy pass it on", redirectURI, res.StatusCode))
		return
	}
	r.say(name+": redirect_uri leads to Ringcast", nil)
}

// runningStates asks a process that serves this config how it stands with the CRMs. It is empty if nobody tells.
func runningStates(ctx context.Context, cfg *Config) map[string]crmState {
	states := map[string]crmState{}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, urlOf(cfg.OpsListen)+"/readyz", nil)
	if err != nil {
		return states
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return states
	}
	defer func() { _ = res.Body.Close() }()
	var answer readiness
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return states
	}
	for _, s := range answer.CRM {
		states[s.Account] = s
	}
	return states
}
