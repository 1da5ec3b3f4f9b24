package asterisk

import (
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
				if name == "in-queue-left" && !stamped {
					continue // nothing but time tells that he left the queue by a key, and hung up later
				}
				c := newCorrelator("t-", isUser)
				var events []gateway.Event
				for _, m := range trace {
					if !stamped {
						m = slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == "Timestamp" })
					}
					events = append(events, c.take(m, time.Unix(1000, 0))...)
				}
				checkSane(t, events)
				wantEvents(t, events, want...)
			}
		})
	}
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
