package asterisk

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
)

// desk is a real Asterisk, its telephones, and a link to it.
type desk struct {
	*asterisktest.Phones
	t    *testing.T
	lab  *asterisktest.Lab
	link *Link
	sink *recorder
}

func labConfig(lab *asterisktest.Lab, user string) Config {
	return Config{
		ID: "lab", Address: lab.AMI, Username: user, Secret: asterisktest.Secret(user), IsExtension: isUser,
		Devices: map[string]string{"101-mobile": "101"}, Logger: slog.New(slog.DiscardHandler),
	}
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	lab := asterisktest.Start(t)
	d := &desk{Phones: lab.Phones(t), t: t, lab: lab, sink: newRecorder(), link: New(labConfig(lab, asterisktest.User))}
	runLink(t, d.link, d.sink)
	return d
}

// runLink runs a link until the test ends, and returns when it is up.
func runLink(t *testing.T, l *Link, sink *recorder) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	sink.until(t, "the link", func(r *recorder) bool { return len(r.lives) == 1 })
}

// over waits until the call is over and returns what was told of it.
func (d *desk) over() []gateway.Event {
	d.t.Helper()
	events := d.sink.untilOver(d.t, 1)
	checkSane(d.t, events)
	return events
}

// overOf is over for one call, where others may be told of at the same time.
func (d *desk) overOf(call string) []gateway.Event {
	d.t.Helper()
	var events []gateway.Event
	d.sink.until(d.t, "the end of "+call, func(r *recorder) bool {
		events = r.of(call)
		return slices.ContainsFunc(events, isEnd)
	})
	checkSane(d.t, events)
	return events
}

// fresh forgets what was told and noticed, between calls.
func (d *desk) fresh(t *testing.T) {
	t.Helper()
	d.t = t
	d.Forget()
	d.sink.forget(t)
}

// forget waits for the calls told of to end, and forgets them. Telephones are done before the link has told of it:
// who forgot earlier would take the end of the last call for that of the next.
func (r *recorder) forget(t *testing.T) {
	t.Helper()
	r.until(t, "the calls before to end", func(r *recorder) bool {
		for _, e := range r.events {
			if !slices.ContainsFunc(r.of(e.Call), isEnd) {
				return false
			}
		}
		r.events = nil
		return true
	})
}

// of returns what was told of a call. The caller holds the lock.
func (r *recorder) of(call string) []gateway.Event {
	return slices.DeleteFunc(slices.Clone(r.events), func(e gateway.Event) bool { return e.Call != call })
}

// isEnd reports whether an event is the last of its call.
func isEnd(e gateway.Event) bool {
	return e.Type == gateway.EventMerge || e.Type == gateway.EventHangup && len(e.Extensions) == 0
}

// told waits for events, given as brief has them with CALL for the call's id, and returns them.
func (d *desk) told(want ...string) []gateway.Event {
	d.t.Helper()
	events := d.sink.untilEvents(d.t, len(want))
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "CALL", events[0].Call)
	}
	wantEvents(d.t, events, want...)
	return events
}

// TestRealAsterisk plays calls through a real Asterisk with real SIP telephones.
func TestRealAsterisk(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, call := range []struct {
		name string
		play func(*desk)
	}{
		{"inbound answered", (*desk).inboundAnswered},
		{"inbound not answered", (*desk).inboundCancelled},
		{"inbound busy", (*desk).inboundBusy},
		{"ring group", (*desk).ringGroup},
		{"internal", (*desk).internal},
		{"outbound", (*desk).outbound},
		{"click to call", (*desk).clickToCall},
		{"click that fails", (*desk).clickThatFails},
		{"hang up", (*desk).hangUp},
		{"cut in a call", (*desk).cutInACall},
	} {
		t.Run(call.name, func(t *testing.T) {
			d.fresh(t)
			call.play(d)
		})
	}
}

const customer = "79005550111"

// near checks that something was told within half a second of a telephone's noticing it.
func (d *desk) near(what string, told gateway.Event, noticed asterisktest.Event) {
	d.t.Helper()
	if diff := told.At.Sub(noticed.At()); diff < -500*time.Millisecond || diff > 500*time.Millisecond {
		d.t.Errorf("%s: told at %v, %v from what the telephone noticed", what, told.At, diff)
	}
}

func (d *desk) inboundAnswered() {
	d.Do(d.t, "trunk", "dial", "5550101", customer, "Ivan Petrov")
	rang := d.Wait(d.t, "101", "ringing")
	dial := d.told("dial CALL 101")[0]
	d.near("ringing", dial, rang)
	if dial.Direction != gateway.Inbound || dial.From.Raw != customer || dial.To.Raw != "5550101" || dial.Name != "Ivan Petrov" {
		d.t.Errorf("got %+v", dial)
	}
	d.Do(d.t, "101", "answer")
	up := d.Wait(d.t, "101", "up")
	d.near("answer", d.told("dial CALL 101", "bridge CALL 101")[1], up)
	d.Wait(d.t, "trunk", "up")
	d.Do(d.t, "101", "hold")
	d.told("dial CALL 101", "bridge CALL 101", "hold CALL 101")
	d.Do(d.t, "101", "unhold")
	d.told("dial CALL 101", "bridge CALL 101", "hold CALL 101", "unhold CALL 101")
	d.Do(d.t, "trunk", "hangup")
	events := d.over()
	d.near("end", events[len(events)-1], d.Wait(d.t, "101", "ended"))
}

func (d *desk) inboundCancelled() {
	d.Do(d.t, "trunk", "dial", "5550101", customer)
	d.Wait(d.t, "101", "ringing")
	d.Wait(d.t, "trunk", "ringing")
	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "101", "ended")
	events := d.over()
	if c := track(d.t, events)[events[0].Call]; c.Legs[0].Outcome != gateway.Cancelled {
		d.t.Errorf("got %+v", c.Known)
	}
}

func (d *desk) inboundBusy() {
	d.Do(d.t, "101", "auto", "busy")
	d.Do(d.t, "trunk", "dial", "5550101", customer)
	d.told("dial CALL", "hangup CALL busy") // no telephone rang: no card
	d.Wait(d.t, "trunk", "ended")
	d.Do(d.t, "101", "auto", "ring")
}

func (d *desk) ringGroup() {
	d.Do(d.t, "trunk", "dial", "5550200", customer)
	d.Wait(d.t, "101", "ringing")
	d.Wait(d.t, "102", "ringing")
	d.Do(d.t, "102", "answer")
	answered := d.Wait(d.t, "102", "up")
	d.Wait(d.t, "trunk", "up")
	isTalk := func(e gateway.Event) bool { return e.Type == gateway.EventBridge }
	d.sink.until(d.t, "the talk", func(r *recorder) bool { return slices.ContainsFunc(r.events, isTalk) })
	events := d.sink.told()
	d.near("answer", events[slices.IndexFunc(events, isTalk)], answered)
	d.Do(d.t, "102", "hangup")
	call := track(d.t, d.over())[events[0].Call]
	d.Wait(d.t, "trunk", "ended")
	for _, leg := range call.Legs {
		switch {
		case leg.Extension == "102" && leg.Outcome == gateway.Answered:
		case leg.Extension == "101" && leg.Outcome == gateway.Elsewhere && leg.EndedAt.Sub(answered.At()) < 500*time.Millisecond:
		default:
			d.t.Errorf("leg %+v", leg)
		}
	}
}

func (d *desk) internal() {
	d.Do(d.t, "101", "dial", "102")
	d.Wait(d.t, "102", "ringing")
	dial := d.told("dial CALL 102")[0]
	if dial.Direction != gateway.Internal || dial.From.Raw != "101" || dial.To.Raw != "102" {
		d.t.Errorf("got %+v", dial)
	}
	d.Do(d.t, "102", "answer")
	d.told("dial CALL 102", "bridge CALL 102")
	d.Wait(d.t, "101", "up")
	d.Do(d.t, "101", "hangup")
	d.over()
	d.Wait(d.t, "102", "ended")
}

func (d *desk) outbound() {
	d.Do(d.t, "101", "dial", customer)
	d.Wait(d.t, "trunk", "ringing")
	dial := d.told("dial CALL 101")[0]
	if dial.Direction != gateway.Outbound || dial.From.Raw != "101" || dial.To.Raw != customer || dial.Line != "5550100" {
		d.t.Errorf("got %+v", dial)
	}
	d.Do(d.t, "trunk", "answer")
	answered := d.Wait(d.t, "101", "up")
	d.near("answer", d.told("dial CALL 101", "bridge CALL 101")[1], answered)
	d.Do(d.t, "101", "hangup")
	d.over()
	d.Wait(d.t, "trunk", "ended")
}

func (d *desk) clickToCall() {
	call, err := d.link.Dial(d.t.Context(), gateway.DialRequest{Key: "click1", Extension: "101", To: gateway.Number{Raw: "+7 900 555-01-11"}})
	if err != nil {
		d.t.Fatal(err)
	}
	if rang := d.Wait(d.t, "101", "ringing"); rang.From != customer {
		d.t.Errorf("the caller's display shows %q", rang.From)
	}
	dial := d.told("dial " + call + " 101")[0]
	if dial.Direction != gateway.Outbound || dial.To.Raw != customer {
		d.t.Errorf("got %+v", dial)
	}
	d.Do(d.t, "101", "answer")
	far := d.Wait(d.t, "trunk", "ringing") // the real far end rings; no talk until it answers
	dialled := d.told("dial "+call+" 101", "dial "+call)[1]
	if line := dialled.Line; line != "5550100" { // it is known only now
		d.t.Errorf("line %q", line)
	}
	if far.To != customer {
		d.t.Errorf("dialled %q", far.To)
	}
	d.Do(d.t, "trunk", "answer")
	d.told("dial "+call+" 101", "dial "+call, "bridge "+call+" 101")
	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "101", "ended")
	events := d.over()
	if c := track(d.t, events)[call]; c.Legs[0].Outcome != gateway.Answered || len(c.Legs) != 1 {
		d.t.Errorf("got %+v", c.Known)
	}
}

func (d *desk) clickThatFails() {
	dial := func(key, ext string) gateway.Code {
		_, err := d.link.Dial(d.t.Context(), gateway.DialRequest{Key: key, Extension: ext, To: gateway.Number{Raw: customer}})
		return gateway.CodeOf(err)
	}
	d.Do(d.t, "103", "unregister")
	if got := dial("f1", "103"); got != gateway.CodeNotRegistered {
		d.t.Errorf("not registered: %s", got)
	}
	d.Do(d.t, "103", "register")
	if got := dial("f2", "199"); got != gateway.CodeNotRegistered {
		d.t.Errorf("no such telephone: %s", got)
	}
	d.Do(d.t, "102", "auto", "busy")
	if got := dial("f3", "102"); got != gateway.CodeBusy {
		d.t.Errorf("busy: %s", got)
	}
	d.Do(d.t, "102", "auto", "ring")
	d.told("dial ringcast-f3", "hangup ringcast-f3 cancelled") // it was tried, and rang nowhere: a record, and no card
}

func (d *desk) hangUp() {
	d.Do(d.t, "trunk", "dial", "5550101", customer)
	d.Wait(d.t, "101", "ringing")
	call := d.told("dial CALL 101")[0].Call
	d.Do(d.t, "101", "answer")
	d.Wait(d.t, "trunk", "up")
	d.told("dial CALL 101", "bridge CALL 101")
	if err := d.link.HangUp(d.t.Context(), call, "101"); err != nil {
		d.t.Fatal(err)
	}
	d.Wait(d.t, "101", "ended")
	d.Wait(d.t, "trunk", "ended")
	d.over()
}

// cutInACall cuts the link in a talk; the talk ends before it is back.
func (d *desk) cutInACall() {
	d.Do(d.t, "trunk", "dial", "5550101", customer)
	d.Wait(d.t, "101", "ringing")
	d.Do(d.t, "101", "answer")
	d.Wait(d.t, "trunk", "up")
	d.told("dial CALL 101", "bridge CALL 101")
	d.link.mu.Lock()
	conn := d.link.client.conn
	d.link.mu.Unlock()
	conn.Close() // this is the cut
	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "101", "ended")
	events := d.over()
	if c := track(d.t, events)[events[0].Call]; c.Legs[0].Outcome != gateway.Answered {
		d.t.Errorf("got %+v", c.Known)
	}
	d.sink.until(d.t, "the link", func(r *recorder) bool { return len(r.lives) == 2 })
}

// TestCheckOnARealAsterisk tries the manager users of the lab, some of which may too little.
func TestCheckOnARealAsterisk(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	for user, want := range map[string]string{
		asterisktest.User:         "",
		asterisktest.UserMute:     "read = call",
		asterisktest.UserListener: "write = originate",
		"nobody":                  "login refused",
	} {
		_, err := Check(t.Context(), labConfig(lab, user))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", user, err, want)
		}
	}
}
