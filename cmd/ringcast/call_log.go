package main

import (
	"reflect"
	"sync"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// callLogs write the accounts' calls into their CRMs. Each is made when it is first asked for.
type callLogs struct {
	mu   sync.Mutex
	logs map[string]*amocrm.CallLog // by account
	kept map[string]amocrm.LogRules // that they were made with
}

// callLog returns the CRM that logs an account's ended calls, nil if it has none.
func (n *node) callLog(account string) gateway.CRM {
	a, ok := n.account(account)
	if !ok || a.AmoCRM == nil {
		return nil
	}
	rules := a.AmoCRM.Log
	n.calls.mu.Lock()
	defer n.calls.mu.Unlock()
	if log := n.calls.logs[account]; log != nil && reflect.DeepEqual(n.calls.kept[account], rules) {
		return log
	}
	if n.calls.logs == nil {
		n.calls.logs, n.calls.kept = map[string]*amocrm.CallLog{}, map[string]amocrm.LogRules{}
	}
	log := amocrm.NewCallLog(amocrm.CallLogConfig{
		API: n.crm, Account: account, Rules: rules, Store: n.db.Store(), Link: n.recordings.Link,
		Settling: n.cfg.pace.settling, Logger: n.logger.With("account", account),
	})
	n.calls.logs[account], n.calls.kept[account] = log, rules
	return log
}
