package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ringcast/gateway/push"
	"ringcast/gateway/webhook"
)

// webhooks takes the events of PBXes that post them as Ringcast has them. The key of one with a mapping is not known
// here: it would open the account without the addresses and the signature that the mapping asks for as well.
func (n *node) webhooks() *webhook.Handler {
	accounts, pbxes := n.postingAccounts()
	return webhook.New(n.gateway, accounts, pbxes, time.Now)
}

// postingAccounts are all accounts, and the PBXes among them that post their events.
func (n *node) postingAccounts() (accounts []string, pbxes []webhook.PBX) {
	for _, a := range n.accounts() {
		accounts = append(accounts, a.ID)
		for _, p := range a.PBX {
			if p.Webhook != nil && p.Webhook.Mapping == nil {
				pbxes = append(pbxes, webhook.PBX{Account: a.ID, ID: p.ID, Key: string(p.Webhook.Key)})
			}
		}
	}
	return accounts, pbxes
}

// mappedPaths are the URLs of a PBX with a format of its own: as it is given to the vendor, and with what the vendor puts
// behind it.
var mappedPaths = [...]string{"/v1/accounts/{account}/pbx/{pbx}/events", "/v1/accounts/{account}/pbx/{pbx}/events/{rest...}"}

// mappedRoutes adds the URLs of the PBXes that have a format of their own.
func (n *node) mappedRoutes() {
	var pbxes []webhook.MappedPBX
	for _, a := range n.cfg.Accounts {
		for _, p := range a.PBX {
			if p.Webhook != nil && p.Webhook.Mapping != nil {
				pbxes = append(pbxes, webhook.MappedPBX{Account: a.ID, ID: p.ID, Mapping: p.Webhook.Mapping})
			}
		}
	}
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ringcast_webhook_total",
		Help: "What came of the requests that a mapping reads: events taken, items ignored, requests unmappable or refused."},
		[]string{"account", "pbx", "what"})
	n.metrics.registry.MustRegister(counted)
	mapped := webhook.NewMapped(webhook.MappedConfig{
		Emitter: n.gateway, PBXes: pbxes, ClientAddr: push.ClientAddr(n.cfg.TrustedProxies), Logger: n.logger, Now: time.Now,
		Count: func(account, pbx, what string, count int) {
			counted.WithLabelValues(account, pbx, what).Add(float64(count))
		},
	})
	for _, path := range mappedPaths {
		n.mux.Handle("POST "+path, n.route("pbx_events", mapped.ServeEvents))
		n.mux.Handle("GET "+path, n.route("pbx_events", mapped.ServeGet))
	}
}

// mappedURL is where a PBX with a mapping posts.
func (c *Config) mappedURL(account, pbx string) string {
	return fmt.Sprintf("%s/v1/accounts/%s/pbx/%s/events", c.PublicURL, account, pbx)
}
