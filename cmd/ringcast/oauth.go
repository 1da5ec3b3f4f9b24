package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// amoPath is below which amoCRM and Kommo themselves call: its own name, and the redirect_uri where an operator has put
// it there.
const (
	amoPath       = "/v1/amocrm/"
	uninstallName = "uninstall"
)

// amoIntegrations are the integrations of the config: those of its accounts, and those whose accounts appear by installing.
func (c *Config) amoIntegrations() (all []amocrm.Integration) {
	for _, a := range c.Accounts {
		if crm := a.AmoCRM; crm != nil {
			all = append(all, amocrm.Integration{
				ID: a.ID, Account: a.ID, Platform: amocrm.PlatformOf(crm.Domain), ClientID: crm.ClientID, Secrets: revealed(crm.ClientSecrets),
				RedirectURI: crm.RedirectURI, Token: string(crm.Token), BaseURLs: []string{crm.BaseURL}, Domain: crm.Domain, AccountID: crm.AccountID,
			})
		}
	}
	for _, in := range c.Integrations {
		all = append(all, amocrm.Integration{
			ID: in.ID, Platform: in.Platform, ClientID: in.ClientID, Secrets: revealed(in.ClientSecrets), RedirectURI: in.RedirectURI, BaseURLs: in.BaseURLs,
		})
	}
	return all
}

func revealed(secrets []Secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = string(s)
	}
	return texts
}

// sealer keeps the CRMs' tokens: by the keys for that, and by the session key as long as there were none.
func (c *Config) sealer() (*amocrm.Sealer, error) {
	session, err := c.LoadSessionKey()
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for _, key := range append(slices.Clone(c.TokenKeys), session) {
		keys = append(keys, []byte(key))
	}
	return amocrm.NewSealer(keys...)
}

// newInstalls returns the installs of a config. limiter and changed are as of amocrm.InstallsConfig.
func newInstalls(cfg *Config, store gateway.Store, limiter *amocrm.Limiter, changed func(), logger *slog.Logger) (*amocrm.Installs, error) {
	sealer, err := cfg.sealer()
	if err != nil {
		return nil, err
	}
	return amocrm.NewInstalls(amocrm.InstallsConfig{
		Store: store, Sealer: sealer, Integrations: cfg.amoIntegrations(), Limiter: limiter, Changed: changed, Logger: logger,
		Taken: func(account string) bool { _, ok := cfg.Account(account); return ok },
	})
}

// openInstalls reads which accounts have installed an integration, and how it stands with the access to each.
func (n *node) openInstalls(ctx context.Context) (err error) {
	n.limiter = amocrm.NewLimiter(n.cfg.pace.limits)
	if n.installs, err = newInstalls(n.cfg, n.db.Store(), n.limiter, n.installsChanged, n.logger); err != nil {
		return err
	}
	if err := n.installs.Load(ctx); err != nil {
		return err
	}
	n.readInstalls()
	for _, install := range n.installs.All() {
		if install.State != amocrm.StateConnected && !install.Removed {
			level := slog.LevelWarn
			if install.State == amocrm.StateWaiting { // as every new one is
				level = slog.LevelInfo
			}
			n.logger.Log(ctx, level, "not connected to its CRM: GET /v1/admin/installs, or ringcast connect, has the link for an administrator",
				"account", install.Account, "state", install.State, "reason", install.Reason)
		}
	}
	return nil
}

// amoVerifier checks disposable tokens. Of the config's own accounts nothing may be wrong.
func (n *node) amoVerifier() (*amocrm.Verifier, error) {
	var own []amocrm.Install
	for _, install := range n.installs.Verifiable() {
		if _, ok := n.cfg.Account(install.Account); ok {
			own = append(own, install)
		}
	}
	verifier, err := amocrm.NewVerifier(own...)
	if err != nil {
		return nil, err
	}
	verifier.OnMove(n.installs.Moved)
	n.verify(verifier)
	return verifier, nil
}

func (n *node) verify(verifier *amocrm.Verifier) {
	if err := verifier.Set(n.installs.Verifiable()...); err != nil {
		n.logger.Error("the widgets of some accounts are not let in", "err", err)
	}
}

// installRoutes adds what the CRMs call when an integration is installed or removed, and what the operator asks of it.
func (n *node) installRoutes() {
	for path := range n.installs.RedirectPaths() {
		if path == "/" {
			path = "/{$}"
		}
		n.mux.Handle("GET "+path, n.route("install", n.installs.ServeRedirect))
	}
	n.mux.Handle("GET "+amoPath+uninstallName, n.route("uninstall", n.installs.ServeUninstall))
	n.mux.Handle("GET /v1/admin/installs", n.route("admin", func(w http.ResponseWriter, r *http.Request) error {
		if err := n.authorizeAdmin(r); err != nil {
			return err
		}
		n.listInstalls(w)
		return nil
	}))
}

// connect prints the link by which an administrator lets an integration into an account of the CRM.
func (a *app) connect(_ context.Context, flags *flag.FlagSet, args []string) error {
	file := flags.String("config", "", "the config `file`")
	id := flags.String("account", "", "the `id` of an account, or of an integration")
	if err := parse(flags, args, "config", "account"); err != nil {
		return err
	}
	cfg, err := LoadConfig(*file, a.env)
	if err != nil {
		return err
	}
	installs, err := newInstalls(cfg, nil, nil, func() {}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer installs.Close()
	link, ok := installs.Link(*id)
	if !ok {
		if account, found := cfg.Account(*id); found && account.AmoCRM != nil {
			return errors.New("the account has a long-lived token: it is connected as long as that is good")
		}
		return fmt.Errorf("%s names no account with a crm and no integration %q", *file, *id)
	}
	fmt.Fprintln(a.stdout, link)
	fmt.Fprintln(a.stderr, "Open it within an hour, as an administrator of the CRM's account, while ringcast serves.")
	return nil
}
