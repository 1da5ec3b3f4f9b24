package main

import (
	"context"
	"time"

	"ringcast/gateway/asterisk"
)

// cdr tries whether the call detail records of an Asterisk can be read.
func (r *report) cdr(ctx context.Context, name string, c *CDRConfig) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	where := c.CSV
	if c.Driver != "" {
		where = c.Driver + " table " + c.Table
	}
	last, err := asterisk.CheckCDR(ctx, *c.cdr())
	what := name + ": call detail records, " + where
	switch {
	case err != nil:
	case last.IsZero():
		what += ": there are none yet"
	default:
		what += ": the last is of " + last.In(c.Zone).Format(time.DateTime)
	}
	r.say(what, err)
}
