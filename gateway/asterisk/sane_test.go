package asterisk

import (
	"time"

	"pgregory.net/rapid"

	"ringcast/gateway"
)

// checkSane checks what holds of any sequence of events.
func checkSane(t rapid.TB, events []gateway.Event) {
	t.Helper()
	ids := map[string]bool{}
	over, begun := map[string]bool{}, map[string]bool{}
	var at time.Time
	for i, e := range events {
		revised := revises(e) && e.At.Before(at)
		if !e.At.After(at) && !revised || e.At.Nanosecond()%1000 != 0 {
			t.Errorf("event %d: time %v does not rise, or is too fine", i, e.At)
		}
		if e.ID == "" || ids[e.ID] || e.Call == "" || len(e.Call) > 128 {
			t.Errorf("event %d: id %q of call %q", i, e.ID, e.Call)
		}
		ids[e.ID] = true
		if e.Type == gateway.EventPresent && !begun[e.Call] {
			at = e.At
			continue // of a call that the gateway may know
		}
		if over[e.Call] && !revised && e.Type != gateway.EventRecording {
			t.Errorf("event %d: %s of call %s, which is over", i, e.Type, e.Call)
		}
		if !begun[e.Call] && e.Type != gateway.EventDial {
			t.Errorf("event %d: call %s begins with %s", i, e.Call, e.Type)
		}
		begun[e.Call] = true
		if !revised {
			at = e.At
			over[e.Call] = over[e.Call] || e.Type == gateway.EventMerge || e.Type == gateway.EventHangup && len(e.Extensions) == 0
		}
		checkFields(t, i, e)
	}
	for id := range begun {
		if !over[id] {
			t.Errorf("call %s does not end", id)
		}
	}
}

// revises says whether an event is of a kind that may be told anew, as of before.
func revises(e gateway.Event) bool {
	return e.Type == gateway.EventHangup || e.Type == gateway.EventTransfer || e.Type == gateway.EventDial && len(e.Extensions) == 0
}

func checkFields(t rapid.TB, i int, e gateway.Event) {
	t.Helper()
	switch e.Type {
	case gateway.EventDial:
		if e.Direction == "" {
			t.Errorf("event %d: no direction", i)
		}
	case gateway.EventConsult, gateway.EventHold, gateway.EventUnhold, gateway.EventTransfer:
		if len(e.Extensions) == 0 {
			t.Errorf("event %d: %s of nobody", i, e.Type)
		}
	case gateway.EventHangup:
		if e.Cause == "" {
			t.Errorf("event %d: hangup without a cause", i)
		}
	}
}
