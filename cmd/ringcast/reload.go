package main

import (
	"context"
	"os"
	"reflect"
	"slices"

	"ringcast/gateway"
)

// reloads reads the config file again for each signal, until ctx ends.
func (a *app) reloads(ctx context.Context, n *node, file string, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			if err := n.reload(file, a.env); err != nil {
				n.logger.Error("the config was not taken anew; the old one stays", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// reload takes the users of the accounts as the config file has them now. Everything else in it waits for the next
// start.
func (n *node) reload(file string, env func(string) (string, bool)) error {
	cfg, err := LoadConfig(file, env)
	if err != nil {
		return err
	}
	var accounts []gateway.Account
	users := 0
	for _, running := range n.cfg.Accounts {
		account, ok := cfg.Account(running.ID)
		if !ok {
			account = running
		}
		users += len(account.Users)
		accounts = append(accounts, gateway.Account{ID: running.ID, Region: running.Region, Users: account.Users})
	}
	for _, w := range cfg.Warnings {
		n.logger.Warn("config", "problem", w)
	}
	n.reconfigured(accounts)
	n.logger.Info("took the users of the config anew", "accounts", len(accounts), "users", users)
	for _, a := range accounts {
		n.tellOverlaid(a.ID)
	}
	if !reflect.DeepEqual(butUsers(cfg), butUsers(n.cfg)) {
		n.logger.Warn("the config has other changes, which wait for the next start")
	}
	return nil
}

// tellOverlaid says whom the widget's settings or the admin API have changed, so that the config does not count.
func (n *node) tellOverlaid(account string) {
	const most = 20 // ids on a line
	configured, added := n.directory.Overlaid(account)
	if len(configured)+len(added) == 0 {
		return
	}
	n.logger.Info("what was saved in the widget's settings or by the admin API outranks the config", "account", account,
		"config_outranked", len(configured), "users", configured[:min(len(configured), most)],
		"not_in_config", len(added), "others", added[:min(len(added), most)])
}

// butUsers is a config without what reload takes and what a run has changed.
func butUsers(c *Config) Config {
	bare := *c
	bare.Warnings = nil
	if !c.publicURLGiven { // it followed the listener
		bare.PublicURL = ""
	}
	bare.Accounts = slices.Clone(c.Accounts)
	for i := range bare.Accounts {
		bare.Accounts[i].Users = nil
	}
	return bare
}
