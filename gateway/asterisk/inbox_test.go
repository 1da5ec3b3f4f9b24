package asterisk

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInboxIsBoundedByMemory(t *testing.T) {
	t.Parallel()
	b := inbox{ready: make(chan struct{}, 1)}
	big := received{message: newstate("1", "5"), size: maxInbox / 4}
	for range 4 {
		if !b.put(big) {
			t.Fatal("no room for what there is room for")
		}
	}
	if b.put(received{size: 1}) {
		t.Error("took more than there is room for")
	}
	<-b.ready
	if got := b.take(3); len(got) != 3 || b.size != maxInbox/4 || len(b.ready) != 1 {
		t.Errorf("took %d, %d bytes left, %d signs of more", len(got), b.size, len(b.ready))
	}
	<-b.ready
	if got := b.take(3); len(got) != 1 || b.size != 0 || b.items != nil || len(b.ready) != 0 {
		t.Errorf("took %d, %d bytes left", len(got), b.size)
	}
	if got := b.take(3); len(got) != 0 || !b.put(big) {
		t.Errorf("took %d out of nothing", len(got))
	}
}

// TestTapHasTheSessionAsItCame: what it got, read again, is the session, with what nobody heeds; and more is asked for.
func TestTapHasTheSessionAsItCame(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	cfg := f.config()
	var tapped bytes.Buffer // the one that reads writes it, and has ended when the test reads
	var at time.Time
	cfg.Tap = func(when time.Time, raw []byte) {
		tapped.Write(raw)
		if when.Before(at) {
			t.Errorf("%v after %v", when, at)
		}
		at = when
	}
	logins := make(chan string, 2)
	f.refuse = func(m message) string {
		if m.get("Action") == "Login" {
			logins <- m.get("Events")
		}
		return ""
	}
	l := New(cfg)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.session(t.Context(), r)
	}()
	s := f.session()
	var trace []message
	for _, m := range heedfulTrace(t, "in-answered") {
		trace = append(trace, event("RTCPSent", "Privilege", "reporting,all"), event("VarSet", "Variable", "FROM_DID", "Value", "5550101"), m)
	}
	for _, m := range trace {
		s.sendMessage(m)
	}
	r.untilOver(t, 1)
	s.hangUp()
	<-ended
	if raw := tapped.String(); !strings.HasPrefix(raw, greeting) || !strings.Contains(raw, "\r\nMessage: Authentication accepted\r\n\r\n") {
		t.Errorf("got %.200q", raw)
	}
	all, _ := readAll(t, &tapped)
	all = slices.DeleteFunc(all, func(m message) bool { // what the link asked for by itself comes in between
		event := m.get("Event")
		return !heeded[event] && event != "RTCPSent" || event == "FullyBooted" || strings.HasPrefix(event, "CoreShow")
	})
	if len(all) < len(trace) {
		t.Fatalf("%d messages of %d", len(all), len(trace))
	}
	events := all[len(all)-len(trace):]
	for i, m := range trace {
		if encodeMessage(events[i]) != encodeMessage(m) {
			t.Fatalf("event %d: %v, want %v", i, events[i], m)
		}
	}
	if classes := <-logins; !strings.Contains(classes, "dialplan") || !strings.Contains(classes, "reporting") {
		t.Errorf("asked for %s", classes)
	}
	cfg.Tap = nil
	f.run(cfg, r)
	if classes := <-logins; classes != "system,call" {
		t.Errorf("without a tap asked for %s", classes)
	}
}
