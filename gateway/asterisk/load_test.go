package asterisk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/natslog"
)

// TestAsteriskLoad sends very many calls through a real Asterisk and a gateway with a log on disk: each must have
// one record, with the outcome that SIPp's telephones and Asterisk's own call detail records have. It does not run
// in parallel with others of this package: it takes the whole machine, and they compare times.
func TestAsteriskLoad(t *testing.T) {
	load := asterisktest.Load{PerSecond: 50, AtATime: 200, Calls: 350, Talk: 4 * time.Second}
	whole := os.Getenv("RINGCAST_ASTERISK") == "all"
	if whole { // two minutes, of calls long enough that there are more than 200
		load.Calls, load.Talk, load.AtATime = 6000, 6*time.Second, 300
	}
	lab := asterisktest.Start(t)
	log := follow(t, lab)
	calls := load.Play(t, lab)
	if len(calls) != load.Calls {
		t.Fatalf("%d calls were played, want %d", len(calls), load.Calls)
	}
	got := ended(t, log, load.Calls)
	cdrs := map[string]asterisktest.CDR{}
	for _, cdr := range lab.CDRs(t) {
		if _, twice := cdrs[cdr.Caller]; twice {
			t.Errorf("%s has two call detail records", cdr.Caller)
		}
		cdrs[cdr.Caller] = cdr
	}
	counts := map[gateway.Cause]int{}
	for customer, call := range calls {
		want := wantOf(t, call)
		counts[want.cause]++
		if cdrs[customer].Disposition != want.disposition {
			t.Errorf("%s to %s: call detail record %q, the telephones say %q", customer, call.Operator, cdrs[customer].Disposition, want.disposition)
		}
		of := got[customer]
		if len(of) != 1 {
			t.Errorf("%s to %s: %d records", customer, call.Operator, len(of))
			continue
		}
		for id, c := range of {
			if id != "office:"+cdrs[customer].Uniqueid {
				t.Errorf("%s: the record is of %s, Asterisk's of %s", customer, id, cdrs[customer].Uniqueid)
			}
			compareLoaded(t, call, want, c)
		}
	}
	most, took := crowd(slices.Collect(maps.Values(cdrs)))
	t.Logf("%d calls: %v; %d at a time, and %v from the first to the last", len(calls), counts, most, took)
	if whole && (most < 200 || took > 125*time.Second) {
		t.Errorf("%d calls at a time, and %v from the first to the last: want 200 and two minutes", most, took)
	}
}

// crowd tells how many calls Asterisk had at a time and how long after the first the last began. Records have seconds:
// a call lives for sure from the one after that in which it began to that in which it ended.
func crowd(cdrs []asterisktest.CDR) (most int, took time.Duration) {
	changes := map[time.Time]int{}
	for _, cdr := range cdrs {
		changes[cdr.Start.Add(time.Second)]++
		changes[cdr.End.Add(time.Second)]--
	}
	now := 0
	for _, at := range slices.SortedFunc(maps.Keys(changes), time.Time.Compare) {
		now += changes[at]
		most = max(most, now)
	}
	earlier := func(a, b asterisktest.CDR) int { return a.Start.Compare(b.Start) }
	return most, slices.MaxFunc(cdrs, earlier).Start.Sub(slices.MinFunc(cdrs, earlier).Start)
}

// loaded is what a call of a load comes to.
type loaded struct {
	outcome     gateway.Outcome // of the operator
	cause       gateway.Cause   // of the whole call
	disposition string          // Asterisk's
}

// wantOf tells what came of a call from what both telephones noticed, which must agree.
func wantOf(t *testing.T, c asterisktest.LoadCall) loaded {
	t.Helper()
	switch c.Did + " " + c.Got {
	case "answered 200":
		return loaded{gateway.Answered, gateway.CauseNormal, "ANSWERED"}
	case "busy 486":
		return loaded{"", gateway.CauseBusy, "BUSY"} // no telephone rang: no card
	case "declined 480":
		return loaded{gateway.Rejected, gateway.CauseRejected, "NO ANSWER"}
	case "rang 480":
		return loaded{gateway.Missed, gateway.CauseNoAnswer, "NO ANSWER"}
	case "rang 487":
		return loaded{gateway.Cancelled, gateway.CauseCancelled, "NO ANSWER"}
	}
	t.Errorf("the operator %s, the customer got %s", c.Did, c.Got)
	return loaded{}
}

func compareLoaded(t *testing.T, call asterisktest.LoadCall, want loaded, c *gateway.Call) {
	t.Helper()
	last := c.Events[len(c.Events)-1]
	if c.Direction != gateway.Inbound || c.To.Raw != "555"+call.Operator || last.Type != gateway.EventHangup || last.Cause != want.cause {
		t.Errorf("%s to %s: %s to %s ended by %s %s, want %s", c.From.Raw, call.Operator, c.Direction, c.To.Raw, last.Type, last.Cause, want.cause)
	}
	switch {
	case want.outcome == "":
		if len(c.Legs) > 0 {
			t.Errorf("%s to %s: a card for whom did not ring: %+v", c.From.Raw, call.Operator, c.Legs)
		}
	case len(c.Legs) != 1 || c.Legs[0].Extension != call.Operator || c.Legs[0].Outcome != want.outcome:
		t.Errorf("%s to %s: %+v, want %s", c.From.Raw, call.Operator, c.Legs, want.outcome)
	}
}

// follow runs a gateway with a log on disk and a link to a lab, and returns the log.
func follow(t *testing.T, lab *asterisktest.Lab) gateway.Log {
	t.Helper()
	db, err := natslog.Open(t.Context(), natslog.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	account := gateway.Account{ID: "acme", Region: "RU"}
	for n := 2001; n <= 2050; n++ {
		ext := strconv.Itoa(n)
		account.Users = append(account.Users, gateway.User{ID: "u" + ext, Name: "Operator " + ext, Extensions: []string{ext}})
	}
	up := make(chan struct{})
	g := gateway.New(gateway.Config{Log: db.Log(), Store: db.Store(), Directory: gateway.NewAccounts(account)})
	g.Attach("acme", "office", &watched{Link: New(labConfig(lab, asterisktest.User)), up: up})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("log: %v", err)
		}
	})
	<-up
	return db.Log()
}

// watched is a link that closes up when it first knows all calls.
type watched struct {
	*Link
	up chan struct{}
}

func (w *watched) Run(ctx context.Context, sink gateway.Sink) error {
	return w.Link.Run(ctx, &watchedSink{Sink: sink, up: sync.OnceFunc(func() { close(w.up) })})
}

type watchedSink struct {
	gateway.Sink
	up func()
}

func (s *watchedSink) Live(ctx context.Context, calls []string, at time.Time) error {
	defer s.up()
	return s.Sink.Live(ctx, calls, at)
}

// ended reads a log until so many calls have ended in it, and returns all calls in their last version: by the
// caller's number, by their id.
func ended(t *testing.T, log gateway.Log, n int) map[string]map[string]*gateway.Call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	calls, over := map[string]*gateway.Call{}, map[string]bool{}
	enough := errors.New("enough")
	err := log.Tail(ctx, 0, func(e gateway.Entry) error {
		_, lines, _ := bytes.Cut(e.Data, []byte("\n")) // the first says how the others are written
		for line := range bytes.Lines(lines) {
			var r gateway.Record
			if err := json.Unmarshal(line, &r); err != nil {
				return err
			}
			if r.Call == nil {
				continue
			}
			calls[r.Call.ID] = r.Call
			if last := r.Call.Events[len(r.Call.Events)-1]; last.Type == gateway.EventHangup && len(last.Extensions) == 0 {
				over[r.Call.ID] = true
			}
		}
		if len(over) >= n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("%d of %d calls have ended: %v", len(over), n, err)
	}
	by := map[string]map[string]*gateway.Call{}
	for id, c := range calls {
		folded := gateway.Call{ID: id, Settled: c.Settled}
		for _, e := range c.Events { // what they add up to is not in the log
			folded, _ = gateway.Tracker{}.Apply(folded, e)
		}
		if by[folded.From.Raw] == nil {
			by[folded.From.Raw] = map[string]*gateway.Call{}
		}
		by[folded.From.Raw][id] = &folded
	}
	return by
}
