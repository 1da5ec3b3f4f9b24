package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// roster is the accounts that there are: the config's, and those that installed an integration.
type roster struct {
	changing sync.Mutex // one change at a time reaches all who are told

	mu         sync.RWMutex
	configured []gateway.Account // as the config has them now
	installed  map[string]AccountConfig
}

// account returns an account by its id, of the config or installed.
func (n *node) account(id string) (AccountConfig, bool) {
	if a, ok := n.cfg.Account(id); ok {
		return a, true
	}
	return n.installed(id)
}

// installed returns an account that installed an integration.
func (n *node) installed(id string) (AccountConfig, bool) {
	n.roster.mu.RLock()
	defer n.roster.mu.RUnlock()
	a, ok := n.roster.installed[id]
	return a, ok
}

// accounts are all accounts: the config's in its order, then those installed by id.
func (n *node) accounts() []AccountConfig {
	n.roster.mu.RLock()
	defer n.roster.mu.RUnlock()
	all := slices.Clone(n.cfg.Accounts)
	for _, a := range n.roster.installed {
		all = append(all, a)
	}
	slices.SortFunc(all[len(n.cfg.Accounts):], func(a, b AccountConfig) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// gatewayAccounts are all accounts as package gateway knows them.
func (n *node) gatewayAccounts() []gateway.Account {
	n.roster.mu.RLock()
	defer n.roster.mu.RUnlock()
	all := slices.Clone(n.roster.configured)
	if all == nil {
		all = n.cfg.GatewayAccounts()
	}
	for _, a := range n.roster.installed {
		all = append(all, gateway.Account{ID: a.ID, Region: a.Region})
	}
	return all
}

// reconfigured puts other users of the config's accounts in place of those before.
func (n *node) reconfigured(accounts []gateway.Account) {
	n.roster.changing.Lock()
	defer n.roster.changing.Unlock()
	n.roster.mu.Lock()
	n.roster.configured = accounts
	n.roster.mu.Unlock()
	n.directory.SetAccounts(n.gatewayAccounts()...)
}

// readInstalls takes the accounts that integrations are installed in.
func (n *node) readInstalls() {
	integrations := map[string]IntegrationConfig{}
	for _, in := range n.cfg.Integrations {
		integrations[in.ID] = in
	}
	installed := map[string]AccountConfig{}
	for _, install := range n.installs.All() {
		in, ok := integrations[install.Integration]
		switch _, own := n.cfg.Account(install.Account); {
		case !ok:
		case own:
			n.logger.Error("an account of the config has the id of one that was installed, which is left out", "account", install.Account, "integration", in.ID)
		case !install.Removed:
			installed[install.Account] = n.installedAccount(in, install)
		}
	}
	n.roster.mu.Lock()
	defer n.roster.mu.Unlock()
	n.roster.installed = installed
}

func (n *node) installedAccount(in IntegrationConfig, install amocrm.Installation) AccountConfig {
	account := AccountConfig{ID: install.Account, Region: in.Region, AmoCRM: &AmoCRMConfig{
		ClientID: in.ClientID, ClientSecrets: in.ClientSecrets, RedirectURI: in.RedirectURI,
		AccountID: install.AccountID, BaseURL: install.BaseURL, Support: in.Support, PrivacyURL: in.PrivacyURL, CRMCallsConfig: in.CRMCallsConfig,
	}}
	if u, err := url.Parse(install.BaseURL); err == nil {
		account.AmoCRM.Domain = u.Host
	}
	if install.Admin != "" {
		account.AmoCRM.Admins = []string{install.Admin} // where the CRM's tokens do not say who is one
	}
	for _, id := range in.PBX {
		key := Secret(n.installs.PBXKey(install.Account, id))
		account.PBX = append(account.PBX, PBXConfig{ID: id, Webhook: &WebhookConfig{Key: key}})
	}
	return account
}

// installsChanged tells everybody who has to know accounts: the directory, who posts events, which pages may come, whose
// tokens are believed.
func (n *node) installsChanged() {
	n.roster.changing.Lock()
	defer n.roster.changing.Unlock()
	n.readInstalls()
	n.directory.SetAccounts(n.gatewayAccounts()...)
	back := n.setCallers()
	n.hooks.Set(n.postingAccounts())
	n.routing.askers.Set(n.askingPBXes())
	n.origins.Extend(n.installedOrigins())
	n.verify(n.amocrm)
	for _, account := range back {
		n.gateway.JournalRetry(account)
	}
}

// installedOrigins are the pages of the CRMs that integrations are installed in.
func (n *node) installedOrigins() (origins []string) {
	for _, install := range n.installs.All() {
		if install.State != amocrm.StateUninstalled && !install.Removed {
			origins = append(origins, install.BaseURL)
		}
	}
	return origins
}

// shownInstall is an install as the operator sees it.
type shownInstall struct {
	Account     string           `json:"account"`
	Integration string           `json:"integration,omitempty"`
	Platform    amocrm.Platform  `json:"platform,omitempty"`
	Address     string           `json:"address,omitempty"`
	CRMAccount  int64            `json:"crm_account,omitempty"`
	State       amocrm.State     `json:"state"`
	Since       *gateway.Millis  `json:"since,omitempty"`
	Reason      string           `json:"reason,omitempty"`
	Link        string           `json:"link,omitempty"` // for an administrator of the CRM's account
	Renewed     *gateway.Millis  `json:"tokens_renewed_at,omitempty"`
	PBX         []shownInstalled `json:"pbx,omitempty"` // of an account that is not in the config
}

type shownInstalled struct {
	ID  string `json:"id"`
	Key string `json:"key"`
	URL string `json:"url"`
}

// shownIntegration is an integration whose accounts appear by installing.
type shownIntegration struct {
	ID           string          `json:"id"`
	Platform     amocrm.Platform `json:"platform"`
	Accounts     int             `json:"accounts"`
	Link         string          `json:"link"` // installs it in another account
	RedirectURI  string          `json:"redirect_uri"`
	UninstallURL string          `json:"uninstall_url"`
}

// listInstalls tells how it stands with the access to each CRM, and what mends it.
func (n *node) listInstalls(w http.ResponseWriter) {
	answer := struct {
		Installs     []shownInstall     `json:"installs"`
		Integrations []shownIntegration `json:"integrations"`
	}{[]shownInstall{}, []shownIntegration{}}
	accounts := map[string]int{}
	for _, install := range n.installs.All() {
		shown := shownInstall{
			Account: install.Account, Integration: install.Integration, Platform: install.Platform, Address: install.BaseURL,
			CRMAccount: install.AccountID, State: install.State, Reason: install.Reason,
		}
		if !install.Since.IsZero() {
			since := gateway.Millis(install.Since)
			shown.Since = &since
		}
		if !install.Renewed.IsZero() {
			renewed := gateway.Millis(install.Renewed)
			shown.Renewed = &renewed
		}
		if install.Removed {
			shown.Reason = "its integration is not in the configuration any more, or an account there has its id"
		}
		shown.Link, _ = n.installs.Link(install.Account)
		if account, ok := n.installed(install.Account); ok {
			accounts[install.Integration]++
			for _, pbx := range account.PBX {
				shown.PBX = append(shown.PBX, shownInstalled{pbx.ID, string(pbx.Webhook.Key), n.cfg.PublicURL + "/v1/accounts/" + account.ID + "/events"})
			}
		}
		answer.Installs = append(answer.Installs, shown)
	}
	for _, in := range n.cfg.Integrations {
		link, _ := n.installs.Link(in.ID)
		answer.Integrations = append(answer.Integrations, shownIntegration{
			in.ID, in.Platform, accounts[in.ID], link, in.RedirectURI, n.cfg.PublicURL + amoPath + uninstallName,
		})
	}
	writeJSON(w, http.StatusOK, answer)
}

// crmState is how it stands with the access to an account's CRM, for readyz.
type crmState struct {
	Account string       `json:"account"`
	State   amocrm.State `json:"state"`
	Reason  string       `json:"reason,omitempty"`
	Stopped string       `json:"stopped,omitempty"` // why nothing is sent there for a while, and until when
}

func (n *node) crmStates() (states []crmState) {
	for _, install := range n.installs.All() {
		if install.Removed {
			continue
		}
		state := crmState{Account: install.Account, State: install.State, Reason: install.Reason}
		if until, why := n.limiter.Stopped(install.BaseURL, install.ClientID); why != nil {
			state.Stopped = fmt.Sprintf("until %s: %v", until.UTC().Format(time.RFC3339), why)
		}
		states = append(states, state)
	}
	return states
}

// crmCollector shows the access to each CRM as it is when asked.
type crmCollector struct {
	states             func() []crmState
	connected, stopped *prometheus.Desc
}

func (m *metrics) watchCRMs(states func() []crmState) {
	m.registry.MustRegister(crmCollector{
		states,
		prometheus.NewDesc("ringcast_crm_connected", "1 when there is access to the account's CRM.", []string{"account", "state"}, nil),
		prometheus.NewDesc("ringcast_crm_stopped", "1 while this node sends nothing to the account's CRM, which refuses its requests as too many.", []string{"account"}, nil),
	})
}

// Describe sends the descriptions.
func (c crmCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.connected
	ch <- c.stopped
}

// Collect sends the gauges of each account.
func (c crmCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.states() {
		up, stopped := 0.0, 0.0
		if s.State == amocrm.StateConnected {
			up = 1
		}
		if s.Stopped != "" {
			stopped = 1
		}
		ch <- prometheus.MustNewConstMetric(c.connected, prometheus.GaugeValue, up, s.Account, string(s.State))
		ch <- prometheus.MustNewConstMetric(c.stopped, prometheus.GaugeValue, stopped, s.Account)
	}
}
