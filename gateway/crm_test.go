package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
)

// toyCRM is a CRM and its server in one, so that the suite for CRMs is known to be one that can be passed.
type toyCRM struct {
	mu      sync.Mutex
	next    gatewaytest.CRMFault
	entries []toyEntry
}

type toyEntry struct{ call, recording string }

func (c *toyCRM) CRM() gateway.CRM { return c }

func (c *toyCRM) Next(how gatewaytest.CRMFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = how
}

func (c *toyCRM) Entries(call gateway.Call) (entries int, recording bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.call == call.ID {
			entries++
			recording = recording || e.recording != ""
		}
	}
	return entries, recording
}

func (c *toyCRM) find(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.entries {
		if e.call == call {
			return i
		}
	}
	return -1
}

// write is a request that writes at a place, -1: a new one.
func (c *toyCRM) write(ctx context.Context, at int, e toyEntry) (int, error) {
	c.mu.Lock()
	how := c.next
	c.next = ""
	does := how == "" || how == gatewaytest.CRMLoses || how == gatewaytest.CRMGoneMute
	switch {
	case does && at < 0:
		c.entries = append(c.entries, e)
		at = len(c.entries) - 1
	case does:
		c.entries[at] = e
	}
	c.mu.Unlock()
	switch how {
	case "":
		return at, nil
	case gatewaytest.CRMBusy:
		return at, &gateway.LaterError{Delay: time.Millisecond, Err: errors.New("429")}
	case gatewaytest.CRMHangs, gatewaytest.CRMGoneMute:
		<-ctx.Done()
		return at, ctx.Err()
	default:
		return at, errors.New(string(how))
	}
}

func (c *toyCRM) Save(ctx context.Context, due gateway.DueCall) (gateway.Saved, error) {
	at := -1
	if due.Unsure || due.Before.ID != "" {
		at = c.find(due.Call.ID)
	}
	at, err := c.write(ctx, at, toyEntry{due.Call.ID, due.Call.Recording})
	return gateway.Saved{ID: fmt.Sprint(at)}, err
}

func TestTheSuiteForCRMsCanBePassed(t *testing.T) {
	t.Parallel()
	gatewaytest.CRM(t, func(*testing.T) gatewaytest.CRMServer { return &toyCRM{} })
}
