package asterisk

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"ringcast/gateway"
)

// narrowSink takes so many events at a time and no more.
type narrowSink struct{ room, taken int }

func (s *narrowSink) Emit(_ context.Context, events []gateway.Event) error {
	if len(events) > s.room {
		return gateway.Errorf(gateway.CodeTooLarge, "%d events", len(events))
	}
	s.taken += len(events)
	return nil
}

func (s *narrowSink) Live(context.Context, []string, time.Time) error { return nil }

func TestBacklogThatIsTooLargeGoesInSmallerGroups(t *testing.T) {
	t.Parallel()
	l := New(Config{Address: "127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)})
	l.pending = make([]gateway.Event, 700)
	sink := &narrowSink{room: 100}
	if err := l.flush(t.Context(), sink); err != nil || sink.taken != 700 || len(l.pending) != 0 {
		t.Errorf("%v: %d of 700 taken, %d left", err, sink.taken, len(l.pending))
	}
}
