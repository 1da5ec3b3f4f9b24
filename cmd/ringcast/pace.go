package main

import (
	"time"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// pace is how fast a node goes about its CRMs. The zero value is as they want it; tests have no time.
type pace struct {
	limits   amocrm.Limits
	timeout  time.Duration                     // of a request; 0: the usual one
	settling time.Duration                     // as of amocrm.CallLogConfig
	journal  gateway.JournalConfig             // its times
	crm      func(crm gateway.CRM) gateway.CRM // what takes the place of a CRM; nil: itself
}

func (p pace) around(crms gateway.CRMs) gateway.CRMs {
	if p.crm == nil {
		return crms
	}
	return func(account string) gateway.CRM {
		if crm := crms(account); crm != nil {
			return p.crm(crm)
		}
		return nil
	}
}
