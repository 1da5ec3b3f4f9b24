package asterisk

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// The traces in testdata are AMI connections to a real Asterisk, byte for byte, each with the truth of
// what happened, timed at the telephones.

func traceNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.ami")
	if err != nil || len(files) < 20 {
		t.Fatalf("traces: %v, %v", files, err)
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".ami"))
	}
	return names
}

// readTrace returns the messages of a trace without the response to the login, which is the first.
func readTrace(t testing.TB, name string) []message {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".ami"))
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(bytes.NewReader(data))
	if _, err := r.banner(); err != nil {
		t.Fatal(err)
	}
	var all []message
	for {
		m, err := r.next()
		if errors.Is(err, io.EOF) {
			return all[1:]
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

type truth struct {
	Calls []truthCall `json:"calls"`
}

type truthCall struct {
	Linkedid    string     `json:"linkedid"`
	Direction   string     `json:"direction"`
	Origin      string     `json:"origin"`
	Caller      string     `json:"caller"`
	Callee      string     `json:"callee"`
	CallerName  string     `json:"caller_name"`
	StartedAt   float64    `json:"started_at"`
	EndedAt     float64    `json:"ended_at"`
	Legs        []truthLeg `json:"legs"`
	AnsweredAt  *float64   `json:"answered_at"`
	AnsweredBy  *string    `json:"answered_by"`
	Disposition string     `json:"disposition"`
	MergedInto  string     `json:"merged_into"`
	Connected   float64    `json:"connected_at"`
	Holds       []struct {
		By string `json:"by"`
	} `json:"holds"`
}

type truthLeg struct {
	Ext        string   `json:"ext"`
	RingStart  *float64 `json:"ring_start"`
	RingEnd    *float64 `json:"ring_end"`
	Result     string   `json:"result"`
	AnsweredAt *float64 `json:"answered_at"`
	OverAt     float64  `json:"over_at"`
}

func readTruth(t *testing.T, name string) truth {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tr truth
	if err := json.Unmarshal(data, &tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

// replay feeds a trace to a correlator, at the times that its events carry.
func replay(t testing.TB, c *correlator, trace []message) []gateway.Event {
	t.Helper()
	var out []gateway.Event
	at := time.Unix(1, 0)
	for _, m := range trace {
		if m.get("Response") != "" && m.get("Event") == "" {
			if m.get("Message") == "Channels will follow" {
				c.expectList(m.get("ActionID"))
			}
			continue
		}
		if s, err := strconv.ParseFloat(m.get("Timestamp"), 64); err == nil {
			sec, frac := math.Modf(s)
			at = time.Unix(int64(sec), int64(frac*1e9))
		}
		out = append(out, c.take(m, at)...)
	}
	return out
}

func isUser(ext string) bool { return len(ext) == 3 && ext[:2] == "10" }

// track folds events as the gateway does, in a directory of users 101 to 109.
func track(t testing.TB, events []gateway.Event) map[string]gateway.Call {
	t.Helper()
	calls := map[string]gateway.Call{}
	for _, e := range events {
		for _, ext := range append(slices.Clone(e.Extensions), e.From.Raw, e.Target) {
			if isUser(ext) {
				e.People = append(e.People, gateway.Person{User: "u" + ext, Extension: ext})
			}
		}
		c, news := gateway.Tracker{}.Apply(calls[e.Call], e)
		if !news {
			t.Errorf("event is no news: %+v", e)
		}
		calls[e.Call] = c
	}
	return calls
}

const slack = 0.3 // seconds between a telephone's clock and Asterisk's events

func near(at time.Time, want float64) bool {
	return !at.IsZero() && math.Abs(float64(at.UnixMicro())/1e6-want) < slack
}

func TestCorrelatorTellsTheTruth(t *testing.T) {
	t.Parallel()
	for _, name := range traceNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCorrelator("t-", isUser)
			events := replay(t, c, readTrace(t, name))
			checkSane(t, events)
			calls := track(t, events)
			if live := c.live(); len(live) > 0 {
				t.Errorf("calls left: %v", live)
			}
			compareWithTruth(t, readTruth(t, name), calls)
			if t.Failed() {
				for _, e := range events {
					t.Logf("%s %-13s %s %v %s>%s %s into=%s target=%s line=%s", e.At.Format("05.000000"), e.Type, e.Call, e.Extensions, e.From.Raw, e.To.Raw, e.Cause, e.Into, e.Target, e.Line)
				}
			}
		})
	}
}

func compareWithTruth(t *testing.T, tr truth, calls map[string]gateway.Call) {
	t.Helper()
	told := 0
	for _, want := range tr.Calls {
		c, ok := calls[want.Linkedid]
		if !ok {
			t.Errorf("call %s was not told", want.Linkedid)
			continue
		}
		told++
		compareCall(t, want, c)
	}
	if told != len(calls) {
		t.Errorf("%d calls told, %d in truth", len(calls), len(tr.Calls))
	}
}

func compareCall(t *testing.T, want truthCall, c gateway.Call) {
	t.Helper()
	directions := map[string]gateway.Direction{"in": gateway.Inbound, "out": gateway.Outbound, "internal": gateway.Internal}
	if c.Direction != directions[want.Direction] {
		t.Errorf("direction %s, want %s", c.Direction, want.Direction)
	}
	if c.From.Raw != want.Caller || c.To.Raw != want.Callee && want.Connected == 0 {
		t.Errorf("from %q to %q, want %q %q", c.From.Raw, c.To.Raw, want.Caller, want.Callee)
	}
	if want.Direction == "in" && want.Connected == 0 && c.Line != want.Callee {
		t.Errorf("line %q, want %q", c.Line, want.Callee)
	}
	if want.Direction == "out" && want.Origin == "phone" && c.Line != "5550100" {
		t.Errorf("line %q, want the company's number", c.Line)
	}
	if c.Name != want.CallerName {
		t.Errorf("name %q, want %q", c.Name, want.CallerName)
	}
	if !near(c.EndedAt, want.EndedAt) {
		t.Errorf("ended at %v, want %.2f", c.EndedAt, want.EndedAt)
	}
	if (want.MergedInto != "") != (c.Into != "") {
		t.Errorf("merged into %q, want %q", c.Into, want.MergedInto)
	}
	if want.AnsweredAt == nil != c.AnsweredAt.IsZero() ||
		want.AnsweredAt != nil && !near(c.AnsweredAt, max(*want.AnsweredAt, want.Connected)) {
		t.Errorf("answered at %v, want %v", c.AnsweredAt, want.AnsweredAt)
	}
	if want.Direction != "out" && want.AnsweredBy != nil && (c.AnsweredBy == nil || c.AnsweredBy.Extension != *want.AnsweredBy) {
		t.Errorf("answered by %v, want %s", c.AnsweredBy, *want.AnsweredBy)
	}
	compareLegs(t, want, c)
}

func compareLegs(t *testing.T, want truthCall, c gateway.Call) {
	t.Helper()
	last := map[string]truthLeg{}
	for _, l := range want.Legs {
		if l.RingStart != nil || l.AnsweredAt != nil {
			last[l.Ext] = l
		}
	}
	for _, l := range c.Legs {
		w, ok := last[l.Extension]
		delete(last, l.Extension)
		if !ok {
			if !l.Caller || l.Extension != want.Caller {
				t.Errorf("leg of %s, who had none", l.Extension)
			}
			continue
		}
		compareLeg(t, want, w, l)
	}
	for ext := range last {
		t.Errorf("no leg of %s", ext)
	}
}

func compareLeg(t *testing.T, call truthCall, want truthLeg, got gateway.Leg) {
	t.Helper()
	started := want.AnsweredAt // who dialled a code to join rings when he joins
	if want.RingStart != nil {
		started = want.RingStart
	}
	early := call.MergedInto == "" && len(call.Holds) > 0 // joined by an attended transfer
	if !near(got.RangAt, max(*started, call.Connected)) && !early {
		t.Errorf("%s rang at %v, want %.2f", got.Extension, got.RangAt, *started)
	}
	outcomes := map[string]gateway.Outcome{
		"no-answer": gateway.Missed, "cancelled": gateway.Cancelled, "elsewhere": gateway.Elsewhere, "answered": gateway.Answered,
	}
	outcome := outcomes[want.Result]
	switch {
	case got.Outcome == gateway.Transferred && want.Result == "answered":
		return // handed on, or merged: over when that happened
	case call.Origin == "click-to-call" && call.AnsweredAt == nil:
		outcome = gateway.Cancelled // did not pick up his own call
	case call.Origin == "click-to-call" && !near(got.AnsweredAt, *call.AnsweredAt):
		t.Errorf("%s talks at %v, want when the far end answers, %.2f", got.Extension, got.AnsweredAt, *call.AnsweredAt)
	}
	if got.Outcome != outcome {
		t.Errorf("%s: outcome %s, want %s", got.Extension, got.Outcome, want.Result)
	}
	if !near(got.EndedAt, want.OverAt) {
		t.Errorf("%s over at %v, want %.2f", got.Extension, got.EndedAt, want.OverAt)
	}
}

// checkSane checks what holds of any sequence of events.
func checkSane(t testing.TB, events []gateway.Event) {
	t.Helper()
	ids := map[string]bool{}
	over, begun := map[string]bool{}, map[string]bool{}
	var at time.Time
	for i, e := range events {
		if !e.At.After(at) || e.At.Nanosecond()%1000 != 0 {
			t.Errorf("event %d: time %v does not rise, or is too fine", i, e.At)
		}
		at = e.At
		if e.ID == "" || ids[e.ID] || e.Call == "" || len(e.Call) > 128 {
			t.Errorf("event %d: id %q of call %q", i, e.ID, e.Call)
		}
		ids[e.ID] = true
		if over[e.Call] {
			t.Errorf("event %d: %s of call %s, which is over", i, e.Type, e.Call)
		}
		if !begun[e.Call] && e.Type != gateway.EventDial {
			t.Errorf("event %d: call %s begins with %s", i, e.Call, e.Type)
		}
		begun[e.Call] = true
		over[e.Call] = e.Type == gateway.EventMerge || e.Type == gateway.EventHangup && len(e.Extensions) == 0
		switch e.Type {
		case gateway.EventDial:
			if e.Direction == "" {
				t.Errorf("event %d: no direction", i)
			}
		case gateway.EventBridge, gateway.EventHold, gateway.EventUnhold, gateway.EventTransfer:
			if len(e.Extensions) == 0 {
				t.Errorf("event %d: %s of nobody", i, e.Type)
			}
		case gateway.EventHangup:
			if e.Cause == "" {
				t.Errorf("event %d: hangup without a cause", i)
			}
		}
	}
	for id := range begun {
		if !over[id] {
			t.Errorf("call %s does not end", id)
		}
	}
}
