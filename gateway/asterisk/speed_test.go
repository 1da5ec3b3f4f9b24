package asterisk

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ringcast/gateway"
)

// TestFullSpeed replays every trace as fast as it can be read: the same is told, whether or not Asterisk is told to
// put the time into its events.
func TestFullSpeed(t *testing.T) {
	t.Parallel()
	for _, name := range traceNames(t) {
		if name == "resync-midcall" {
			continue // its list needs the time of its request
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace := heedfulTrace(t, name)
			want := brief(replay(t, newCorrelator("t-", isUser), trace))
			for _, stamped := range []bool{true, false} {
				c := newCorrelator("t-", isUser)
				var events []gateway.Event
				for _, m := range trace {
					if !stamped {
						m = unstamped(m)
					}
					events = append(events, c.take(m, time.Unix(1000, 0))...)
				}
				checkSane(t, events)
				wantEvents(t, events, want...)
			}
		})
	}
}

func unstamped(m message) message {
	return slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == "Timestamp" })
}

// TestFullSpeedInAnyOrder puts the events of every trace into orders that Asterisk may send them in, takes the time
// out of them, and replays them as fast as they can be read: the same becomes of every call.
func TestFullSpeedInAnyOrder(t *testing.T) {
	t.Parallel()
	seeds := uint64(60)
	if testing.Short() {
		seeds = 6
	}
	for _, name := range traceNames(t) {
		if name == "resync-midcall" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace := heedfulTrace(t, name)
			want := ends(t, replay(t, newCorrelator("t-", isUser), trace))
			for seed := range seeds {
				rnd := rand.New(rand.NewPCG(11, seed)) // a test
				queues := []func(message) []string{byKind, byChannel, byOnlyChannel}[seed%3]
				c := newCorrelator("t-", isUser)
				var events []gateway.Event
				for i, m := range reordered(trace, queues, 5*time.Millisecond, rnd) {
					events = append(events, c.take(unstamped(m), time.Unix(1000, int64(i)*1000))...)
				}
				checkSane(t, events)
				if got := ends(t, events); !maps.Equal(got, want) {
					t.Errorf("seed %d: got %v, want %v", seed, got, want)
					logEvents(t, events)
					return
				}
			}
		})
	}
}

// ends returns what became of each call, and what each user's screen says of it in the end.
func ends(t *testing.T, events []gateway.Event) map[cardKey]string {
	t.Helper()
	b := newBook(t)
	b.take(events)
	all := map[cardKey]string{}
	for id, k := range b.calls {
		all[cardKey{call: id}] = fmt.Sprint(k.Direction, k.From.Raw, k.To.Raw, k.Line, k.Into, !k.AnsweredAt.IsZero())
	}
	for _, e := range events {
		if e.Type == gateway.EventHangup && len(e.Extensions) == 0 {
			all[cardKey{e.Call, "whole"}] = string(e.Cause)
		}
	}
	for key, k := range b.cards {
		all[key] = fmt.Sprint(deref(k.last.Outcome), k.last.AnsweredAt != nil, k.phones, k.directions)
	}
	return all
}

// TestRepeatedEvents sends stretches of every trace once more right after they came, as when a list of channels and
// the events of the same time overlap: the truth holds.
func TestRepeatedEvents(t *testing.T) {
	t.Parallel()
	for _, name := range traceNames(t) {
		if name == "resync-midcall" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace, want := heedfulTrace(t, name), readTruth(t, name)
			for _, stretch := range []int{1, 2} {
				var doubled []message
				for part := range slices.Chunk(trace, stretch) {
					doubled = append(append(doubled, part...), part...)
				}
				events := replay(t, newCorrelator("t-", isUser), doubled)
				checkSane(t, events)
				compareWithTruth(t, want, events)
			}
		})
	}
}
