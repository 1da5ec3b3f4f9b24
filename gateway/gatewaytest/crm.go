package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// CRMServer is what stands behind a gateway.CRM in a test: a pretend server of the real service, and what it has been
// told. All methods may be called from many goroutines.
type CRMServer interface {
	// CRM returns the implementation, for an account whose calls are all to be logged.
	CRM() gateway.CRM

	// Next says what the server does with the next request that would write something.
	Next(how CRMFault)

	// Entries returns how often a call is logged, and whether one of them has this recording.
	Entries(call gateway.Call) (entries int, recording bool)
}

// CRMFault is how a server does badly.
type CRMFault string

// The faults that every CRM has.
const (
	CRMFails    CRMFault = "answers 500 and does nothing"
	CRMBusy     CRMFault = "says that it is asked too often and does nothing" // 429
	CRMHangs    CRMFault = "does nothing and does not answer"
	CRMCuts     CRMFault = "does nothing and cuts the connection"
	CRMLoses    CRMFault = "does it and cuts the connection"
	CRMGoneMute CRMFault = "does it and does not answer"
)

// CRM checks an implementation of gateway.CRM; open returns a server that has heard of nothing. Calls are inbound,
// answered and from numbers that nobody has.
func CRM(t *testing.T, open func(t *testing.T) CRMServer) {
	for name, test := range map[string]func(*testing.T, *crmBench){
		"CallsFromManyGoroutines":  testCRMManyGoroutines,
		"FaultsAreErrors":          testCRMFaults,
		"LaterVersionIsTheSame":    testCRMLaterVersion,
		"LostAnswerIsLookedUp":     testCRMLostAnswer,
		"SavedIsThere":             testCRMSaved,
		"UnsureThoughNothingCame":  testCRMUnsureOfNothing,
		"UnsureOfALaterVersion":    testCRMUnsureLater,
		"WaitsNoLongerThanContext": testCRMContext,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := open(t)
			test(t, &crmBench{t: t, server: server, crm: server.CRM()})
		})
	}
}

type crmBench struct {
	t      *testing.T
	server CRMServer
	crm    gateway.CRM
}

// call is one that is over; each n is another's.
func (b *crmBench) call(n int) gateway.DueCall {
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	number := fmt.Sprintf("+7999%07d", 1110000+n)
	c := gateway.Call{Account: "acme", ID: fmt.Sprintf("office:1700000000.%d", n)}
	anna := []gateway.Person{{User: "88888", Name: "Anna", Extension: "101"}}
	for i, e := range []gateway.Event{
		{Type: gateway.EventDial, Direction: gateway.Inbound, From: gateway.Number{Raw: number, E164: number}, To: gateway.Number{Raw: "101"},
			Line: "+74951234567", Extensions: []string{"101"}, People: anna},
		{Type: gateway.EventBridge, Extensions: []string{"101"}, People: anna},
		{Type: gateway.EventHangup, Cause: gateway.CauseNormal},
	} {
		e.At = at.Add(time.Duration(i) * 5 * time.Second)
		c, _ = gateway.Tracker{}.Apply(c, e)
	}
	return gateway.DueCall{Call: c}
}

const crmRecording = "https://calls.example.com/v1/recordings/1.mp3"

// recorded is the next version of a call, with its recording.
func recorded(due gateway.DueCall, saved gateway.Saved) gateway.DueCall {
	c, _ := gateway.Tracker{}.Apply(due.Call, gateway.Event{Type: gateway.EventRecording, At: due.Call.EndedAt.Add(time.Second), Recording: crmRecording})
	return gateway.DueCall{Call: c, Before: saved}
}

func (b *crmBench) save(due gateway.DueCall) gateway.Saved {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	saved, err := b.crm.Save(ctx, due)
	if err != nil {
		b.t.Fatalf("Save of %s version %d: %v", due.Call.ID, due.Call.Version, err)
	}
	return saved
}

// fails has a Save fail, within a second where the server does not answer.
func (b *crmBench) fails(how CRMFault, due gateway.DueCall) error {
	b.t.Helper()
	limit := patience
	if how == CRMHangs || how == CRMGoneMute {
		limit = time.Second
	}
	b.server.Next(how)
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	_, err := b.crm.Save(ctx, due)
	if err == nil {
		b.t.Errorf("Save returned nil though the server %s", how)
	}
	return err
}

func (b *crmBench) want(due gateway.DueCall, entries int, recording bool) {
	b.t.Helper()
	if n, r := b.server.Entries(due.Call); n != entries || r != recording {
		b.t.Errorf("%s: %d entries, recording %v; want %d, %v", due.Call.ID, n, r, entries, recording)
	}
}

func testCRMSaved(_ *testing.T, b *crmBench) {
	due := b.call(1)
	b.save(due)
	b.want(due, 1, false)
	b.want(b.call(2), 0, false)
}

func testCRMLaterVersion(_ *testing.T, b *crmBench) {
	due := b.call(1)
	later := recorded(due, b.save(due))
	saved := b.save(later)
	b.want(later, 1, true)
	later.Before = saved
	later.Call.Version++ // something that the CRM has no place for
	b.save(later)
	b.want(later, 1, true)
}

func testCRMLostAnswer(_ *testing.T, b *crmBench) {
	for i, how := range []CRMFault{CRMLoses, CRMGoneMute} {
		due := b.call(i)
		_ = b.fails(how, due)
		due.Unsure = true
		saved := b.save(due)
		b.want(due, 1, false)
		b.save(recorded(due, saved))
		b.want(due, 1, true)
	}
}

func testCRMUnsureOfNothing(_ *testing.T, b *crmBench) {
	for i, how := range []CRMFault{CRMFails, CRMBusy, CRMCuts, CRMHangs} {
		due := b.call(i)
		_ = b.fails(how, due)
		b.want(due, 0, false)
		due.Unsure = true
		b.saveInTime(due)
		b.want(due, 1, false)
	}
}

// saveInTime is save after the CRM said when to come again.
func (b *crmBench) saveInTime(due gateway.DueCall) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for {
		_, err := b.crm.Save(ctx, due)
		var later *gateway.LaterError
		if err == nil {
			return
		}
		if !errors.As(err, &later) {
			b.t.Fatalf("Save of %s: %v", due.Call.ID, err)
		}
		select {
		case <-time.After(later.Delay):
		case <-ctx.Done():
			b.t.Fatalf("Save of %s: %v", due.Call.ID, err)
		}
	}
}

func testCRMUnsureLater(_ *testing.T, b *crmBench) {
	due := b.call(1)
	later := recorded(due, b.save(due))
	_ = b.fails(CRMLoses, later)
	later.Unsure = true
	b.save(later)
	b.want(later, 1, true)
}

func testCRMFaults(t *testing.T, b *crmBench) {
	for i, how := range []CRMFault{CRMFails, CRMBusy, CRMHangs, CRMCuts} {
		if err := b.fails(how, b.call(i)); errors.As(err, new(*gateway.ParkError)) {
			t.Errorf("that the server %s passes: %v", how, err)
		}
	}
}

func testCRMContext(t *testing.T, b *crmBench) {
	b.server.Next(CRMHangs)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := b.crm.Save(ctx, b.call(1)); err == nil {
		t.Error("Save returned nil")
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("Save went on for %v", took)
	}
}

func testCRMManyGoroutines(_ *testing.T, b *crmBench) {
	var saving sync.WaitGroup
	for i := range 8 {
		due := b.call(i)
		saving.Go(func() {
			ctx, cancel := context.WithTimeout(b.t.Context(), patience)
			defer cancel()
			if _, err := b.crm.Save(ctx, due); err != nil {
				b.t.Errorf("%s: %v", due.Call.ID, err)
			}
		})
	}
	saving.Wait()
	for i := range 8 {
		b.want(b.call(i), 1, false)
	}
}
