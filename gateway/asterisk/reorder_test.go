package asterisk

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Asterisk sends events of different kinds through different queues, and one may be behind another. These tests
// put the events of every trace into orders that follow from that: the truth holds in each.

func queueOf(m message) string {
	switch name := m.get("Event"); {
	case strings.HasPrefix(name, "Bridge"):
		return "bridge"
	case name == "Newchannel", name == "Newstate", name == "Hangup", name == "NewCallerid", name == "NewConnectedLine":
		return "channel"
	case name == "BlindTransfer", name == "AttendedTransfer":
		return "transfer"
	case strings.HasPrefix(name, "Local"):
		return "local"
	case strings.HasSuffix(name, "arkedCall"), name == "Pickup":
		return name
	default:
		return "dial"
	}
}

// byKind names the queue that an event comes through.
func byKind(m message) []string { return []string{queueOf(m)} }

// byChannel lets the events of different channels overtake each other, other than that channels begin and end.
func byChannel(m message) []string {
	queues := []string{cmp.Or(m.get("Uniqueid"), m.get("DestUniqueid"), m.get("BridgeUniqueid"), m.get("Event"))}
	if name := m.get("Event"); name == "Newchannel" || name == "Hangup" {
		queues = append(queues, "lives")
	}
	return queues
}

// byOnlyChannel keeps no order but that of each channel's own events.
func byOnlyChannel(m message) []string { return byChannel(m)[:1] }

// reordered returns a trace in which each event is up to most later than it was, and those that share a queue stay in
// their order. Events from other queues overtake them.
func reordered(trace []message, queues func(message) []string, most time.Duration, rnd *rand.Rand) []message {
	type timed struct {
		m  message
		at time.Time
	}
	events := make([]timed, 0, len(trace))
	last := map[string]time.Time{}
	var at time.Time
	for _, m := range trace {
		if stamped, ok := stamp(m); ok {
			at = stamped
		}
		e := timed{m, at.Add(time.Duration(rnd.Int64N(int64(most))))}
		for _, q := range queues(m) {
			if e.at.Before(last[q]) {
				e.at = last[q]
			}
		}
		for _, q := range queues(m) {
			last[q] = e.at
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b timed) int { return a.at.Compare(b.at) })
	mixed := make([]message, len(events))
	for i, e := range events {
		mixed[i] = e.m
	}
	return mixed
}

func TestEventsInAnyOrderOfTheirQueues(t *testing.T) {
	t.Parallel()
	testReordered(t, byKind)
}

func TestEventsOfChannelsInAnyOrder(t *testing.T) {
	t.Parallel()
	testReordered(t, byChannel)
}

func TestEventsOfAChannelInTheirOrderOnly(t *testing.T) {
	t.Parallel()
	testReordered(t, byOnlyChannel)
}

func testReordered(t *testing.T, queues func(message) []string) {
	t.Helper()
	seeds := uint64(200)
	if testing.Short() {
		seeds = 5
	}
	for _, name := range traceNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace, want := readTrace(t, name), readTruth(t, name)
			listed := 1 + slices.IndexFunc(trace, func(m message) bool { return m.get("Event") == "CoreShowChannelsComplete" })
			list, trace := trace[:listed], heedful(trace[listed:])
			for seed := range seeds {
				rnd := rand.New(rand.NewPCG(7, seed)) // a test
				most := []time.Duration{time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond}[seed%3]
				c := newCorrelator("t-", isUser)
				events := replay(t, c, slices.Concat(list, reordered(trace, queues, most, rnd)))
				checkSane(t, events)
				compareWithTruth(t, want, events)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}
