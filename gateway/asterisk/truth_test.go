package asterisk

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringcast/gateway"
)

// The traces in testdata are AMI connections to a real Asterisk, byte for byte, each with the truth of
// what happened, timed at the telephones.

type truth struct {
	Calls []truthCall `json:"calls"`

	slack float64 // how far times may be off, in seconds
}

type truthCall struct {
	Label       string      `json:"label"`
	Linkedid    string      `json:"linkedid"`
	Direction   string      `json:"direction"`
	Origin      string      `json:"origin"`
	Caller      string      `json:"caller"`
	Callee      string      `json:"callee"`
	CallerName  string      `json:"caller_name"`
	StartedAt   float64     `json:"started_at"`
	EndedAt     float64     `json:"ended_at"`
	Legs        []truthLeg  `json:"legs"`
	Talks       []truthTalk `json:"talks"`
	Consult     []truthTalk `json:"consult"`
	AnsweredAt  *float64    `json:"answered_at"`
	AnsweredBy  *string     `json:"answered_by"`
	Disposition string      `json:"disposition"`
	MergedInto  string      `json:"merged_into"`
	Connected   float64     `json:"connected_at"`
	Holds       []truthHold `json:"holds"`
	Transfers   []struct {
		Kind   string  `json:"kind"`
		By     *string `json:"by"`
		At     float64 `json:"at"`
		Result string  `json:"result"`
	} `json:"transfers"`
	Parked []struct {
		By   string  `json:"by"`
		From float64 `json:"from"`
	} `json:"parked"`
	Recording *struct {
		File string `json:"file"`
	} `json:"recording"`
}

// truthLeg is one ringing of one telephone.
type truthLeg struct {
	Ext        string   `json:"ext"`
	RingStart  *float64 `json:"ring_start"`
	RingEnd    *float64 `json:"ring_end"`
	Result     string   `json:"result"`
	AnsweredAt *float64 `json:"answered_at"`
	OverAt     float64  `json:"over_at"`
}

type truthTalk struct {
	Ext  string  `json:"ext"`
	Peer string  `json:"peer"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

type truthHold struct {
	By   string  `json:"by"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

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

func readTruth(t testing.TB, name string) truth {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	tr := truth{slack: slack}
	if err := json.Unmarshal(data, &tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

// replay feeds a trace to a correlator, at the times that its events carry.
func replay(t rapid.TB, c *correlator, trace []message) []gateway.Event {
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
		if stamped, ok := stamp(m); ok {
			at = stamped
		}
		out = append(out, c.take(m, at)...)
	}
	return out
}

// stamp is when Asterisk sent an event.
func stamp(m message) (time.Time, bool) {
	s, err := strconv.ParseFloat(m.get("Timestamp"), 64)
	return unix(s), err == nil
}

func unix(seconds float64) time.Time {
	whole, frac := math.Modf(seconds)
	return time.Unix(int64(whole), int64(frac*1e9))
}

func isUser(ext string) bool { return len(ext) == 3 && ext[:2] == "10" }

func TestCorrelatorTellsTheTruth(t *testing.T) {
	t.Parallel()
	for _, name := range traceNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCorrelator("t-", isUser)
			events := replay(t, c, readTrace(t, name))
			checkSane(t, events)
			if live := c.live(); len(live) > 0 {
				t.Errorf("calls left: %v", live)
			}
			compareWithTruth(t, readTruth(t, name), events)
		})
	}
}

// logEvents shows what was told when a test has failed.
func logEvents(t testing.TB, events []gateway.Event) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, e := range events {
		t.Logf("%s %-13s %s %v %s>%s %s into=%s target=%s line=%s", e.At.Format("05.000000"), e.Type, e.Call, e.Extensions, e.From.Raw, e.To.Raw, e.Cause, e.Into, e.Target, e.Line)
	}
}
