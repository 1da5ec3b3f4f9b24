package main

import (
	"context"
	"sync/atomic"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// callers are the accounts that have a CRM.
type callers struct {
	accounts atomic.Pointer[map[string]callerAccount]
}

// callerAccount is what an account's CRM does while it rings and afterwards. Of one without access nobody is looked up or
// notified: the operator was told once, and need not be at each call. Its log takes calls, and says that they have to wait.
type callerAccount struct {
	connected bool
	log       *amocrm.CallLog
	finder    *amocrm.Finder   // nil: nobody is looked up
	notifier  *amocrm.Notifier // nil: nobody is notified
	rules     []gateway.RouteRule
}

func (c *callers) account(id string) callerAccount {
	if all := c.accounts.Load(); all != nil {
		return (*all)[id]
	}
	return callerAccount{}
}

func (c *callers) finder(account string) gateway.Finder {
	if f := c.account(account).finder; f != nil {
		return f
	}
	return nil
}

func (c *callers) notifier(account string) gateway.Notifier {
	if n := c.account(account).notifier; n != nil {
		return n
	}
	return nil
}

// log returns the CRM that logs an account's ended calls, nil if it has none.
func (c *callers) log(account string) gateway.CRM {
	if l := c.account(account).log; l != nil {
		return l
	}
	return nil
}

// openCallers makes the way to the CRMs, and who is asked for which account.
func (n *node) openCallers() {
	n.crm = amocrm.NewClient(amocrm.ClientConfig{
		Tokens: n.installs, Limiter: n.limiter, Timeout: n.cfg.pace.timeout, Logger: n.logger,
	})
	n.setCallers()
}

// setCallers takes the accounts as they are now, and returns those that are connected and were not before. The memory of
// one that stays is kept.
func (n *node) setCallers() (back []string) {
	connected := map[string]bool{}
	for _, install := range n.installs.All() {
		connected[install.Account] = install.State == amocrm.StateConnected
	}
	all := map[string]callerAccount{}
	var before map[string]callerAccount
	if was := n.callers.accounts.Load(); was != nil {
		before = *was
	}
	for _, a := range n.accounts() {
		crm := a.AmoCRM
		if crm == nil {
			continue
		}
		is := callerAccount{rules: crm.Route, connected: connected[a.ID], log: n.newCallLog(a.ID, crm.Log)}
		if is.connected && !before[a.ID].connected {
			back = append(back, a.ID)
		}
		if crm.Lookup && is.connected {
			if is.finder = before[a.ID].finder; is.finder == nil {
				is.finder = n.newFinder(a.ID)
			}
		}
		if crm.Notify && is.connected {
			is.notifier = &amocrm.Notifier{API: n.crm, Account: a.ID}
		}
		all[a.ID] = is
	}
	n.callers.accounts.Store(&all)
	for id, was := range before {
		if was.finder != nil && all[id].finder == nil {
			was.finder.Close()
		}
	}
	return back
}

func (n *node) newCallLog(account string, rules amocrm.LogRules) *amocrm.CallLog {
	return amocrm.NewCallLog(amocrm.CallLogConfig{
		API: n.crm, Account: account, Rules: rules, Store: n.db.Store(), Settling: n.cfg.pace.settling, Logger: n.logger.With("account", account),
		Link: func(c *gateway.Call) string { return n.recordings.Link(c) },
	})
}

func (n *node) newFinder(account string) *amocrm.Finder {
	return amocrm.NewFinder(amocrm.FinderConfig{
		API: n.crm, Account: account, Logger: n.logger,
		BaseURL: func() string {
			if a, ok := n.account(account); ok && a.AmoCRM != nil {
				return a.AmoCRM.BaseURL
			}
			return ""
		},
	})
}

// closeCallers ends the questions under way, and the connections to the CRMs.
func (n *node) closeCallers() {
	if n.crm != nil {
		defer n.crm.Close()
	}
	if all := n.callers.accounts.Load(); all != nil {
		for _, a := range *all {
			if a.finder != nil {
				a.finder.Close()
			}
		}
	}
}

// routeCall says where a call goes, by the account's rules.
func (n *node) routeCall(ctx context.Context, account, phone, line string) (gateway.Routed, error) {
	return n.gateway.Route(ctx, account, n.callers.account(account).rules, phone, line)
}
