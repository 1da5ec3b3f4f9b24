package phonet

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// TestBothEnds has a Link for its client: what it makes of the calls is what they were.
func TestBothEnds(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.answer = func(_ context.Context, cmd gateway.Command) gateway.Reply {
		return gateway.Reply{ID: cmd.ID, OK: true, Call: "office:8"}
	}
	r.gw.begin = time.Now().Add(-time.Minute)
	r.gw.happens(0, "office:0", rung(inbound, "102"), boris) // before the link comes

	book, log := newLedger(), &syncBuffer{}
	link := New(Config{
		ID: "far", Domain: acmeDomain, APIKey: acmeKey, BaseURL: r.web.URL, Subscribers: subscribers("101", "102"), Pace: time.Millisecond, haste: 50,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- link.Run(ctx, book) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String()+r.log.String(), acmeKey) {
			t.Error("the key is in a log")
		}
	})
	find := func(is func(gateway.Call) bool) bool {
		for _, c := range book.calls {
			if is(c) {
				return true
			}
		}
		return false
	}
	book.until(t, "the call that rang before", func() bool {
		return find(func(c gateway.Call) bool { return len(c.Legs) == 1 && c.Legs[0].Extension == "102" && c.Legs[0].Live() })
	})

	r.gw.happens(20, "office:1", rung(inbound, "101", "102"), anna, boris)
	r.gw.happens(25, "office:1", event(gateway.EventBridge, "", "101"), anna)
	book.until(t, "a group's call that one answered", func() bool {
		return find(func(c gateway.Call) bool {
			return c.AnsweredBy != nil && c.AnsweredBy.Extension == "101" && c.From.Raw == "+380567777777" && c.Direction == gateway.Inbound
		})
	})
	r.gw.happens(40, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	r.gw.happens(41, "office:0", event(gateway.EventHangup, gateway.CauseNoAnswer))
	book.until(t, "the end of both", func() bool {
		return !find(func(c gateway.Call) bool { return !c.Over() })
	})
	if got := len(book.calls); got != 2 {
		t.Errorf("%d calls, of two:\n%+v", got, book.calls)
	}

	call, err := link.Dial(t.Context(), gateway.DialRequest{Key: "k1", Extension: "101", To: gateway.Number{Raw: "+380991234567", E164: "+380991234567"}})
	if err != nil || call == "" {
		t.Errorf("dial: %q %v", call, err)
	}
	r.gw.happens(50, "office:8", gateway.Event{
		Type: gateway.EventDial, Direction: gateway.Outbound, From: gateway.Number{Raw: "101"}, To: gateway.Number{Raw: "+380991234567", E164: "+380991234567"}, Extensions: []string{"101"},
	}, anna)
	book.until(t, "the clicked call", func() bool { return book.calls[call].Direction == gateway.Outbound })
	if err := link.HangUp(t.Context(), call, "101"); err != nil {
		t.Error(err)
	}
	if asked := r.gw.asked(); len(asked) != 2 || asked[0].Action != "call" || asked[1].Action != "hangup" || asked[1].Call != "office:8" || asked[1].User != "7" {
		t.Errorf("the gateway was asked %+v", asked)
	}
}
