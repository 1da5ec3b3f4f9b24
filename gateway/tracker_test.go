package gateway

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var ( // who is who in these tests
	anna  = Person{User: "u1", Name: "Anna", Extension: "101"}
	boris = Person{User: "u2", Name: "Boris", Extension: "102"}
	clara = Person{User: "u3", Name: "Clara", Extension: "103"}
	start = time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
)

// ev makes an event at a second of the call from a line such as "dial 101 102", "hangup:busy 101".
func ev(second float64, line string) Event {
	words := strings.Fields(line)
	kind, cause, _ := strings.Cut(words[0], ":")
	e := Event{
		PBX: "office", Call: "c1", Type: EventType("call." + kind), ID: fmt.Sprintf("%v %s", second, line),
		At: start.Add(time.Duration(second * float64(time.Second))), Cause: Cause(cause), Direction: Inbound,
		From: Number{Raw: "89991112233", E164: "+79991112233"}, To: Number{Raw: "5550101"}, Line: "5550101",
		People: []Person{anna, boris, clara},
	}
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			switch key {
			case "to":
				e.Target = value
			case "into":
				e.Into = value
			case "dir":
				e.Direction = Direction(value)
			case "from":
				e.From = Number{Raw: value}
			case "rec":
				e.Recording = value
			}
			continue
		}
		e.Extensions = append(e.Extensions, w)
	}
	return e
}

func fold(events ...Event) Call {
	var c Call
	for _, e := range events {
		c, _ = Tracker{}.Apply(c, e)
	}
	return c
}

// seen is a user's view in one line: state, outcome, extension, talk seconds.
func seen(c Call, p Person) string {
	v, ok := c.For(p.User)
	if !ok {
		return "-"
	}
	s := string(v.State)
	if v.Outcome != nil {
		s += " " + string(*v.Outcome)
	}
	if v.Talk > 0 {
		s += fmt.Sprintf(" %ds", v.Talk)
	}
	return s
}

func TestTracker(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		events []Event
		want   [3]string // what Anna, Boris and Clara see
	}{
		{"rings", []Event{ev(0, "dial 101")}, [3]string{"ringing", "-", "-"}},
		{"answered", []Event{ev(0, "dial 101"), ev(5, "bridge 101"), ev(65, "hangup")}, [3]string{"ended answered 60s", "-", "-"}},
		{"not answered", []Event{ev(0, "dial 101"), ev(12, "hangup:no_answer")}, [3]string{"ended missed", "-", "-"}},
		{"caller gave up", []Event{ev(0, "dial 101"), ev(3, "hangup:cancelled")}, [3]string{"ended cancelled", "-", "-"}},
		{"busy", []Event{ev(0, "dial 101"), ev(0.1, "hangup:busy 101"), ev(0.2, "hangup")}, [3]string{"ended busy", "-", "-"}},
		{"declined", []Event{ev(0, "dial 101"), ev(2, "hangup:rejected")}, [3]string{"ended rejected", "-", "-"}},
		{"failed", []Event{ev(0, "dial 101"), ev(2, "hangup:failed")}, [3]string{"ended failed", "-", "-"}},
		{"the others' cards close at the answer, not at their hangup",
			[]Event{ev(0, "dial 101 102"), ev(4, "bridge 102")}, [3]string{"ended elsewhere", "talking", "-"}},
		{"answered is a latch: a late leg does not undo it",
			[]Event{ev(0, "dial 101 102"), ev(4, "bridge 102"), ev(4.1, "hangup:no_answer 101"), ev(10, "hangup")},
			[3]string{"ended elsewhere", "ended answered 6s", "-"}},
		{"members rung one after another",
			[]Event{ev(0, "dial 101"), ev(4, "hangup:no_answer 101"), ev(5, "dial 102"), ev(7, "bridge 102")},
			[3]string{"ended missed", "talking", "-"}},
		{"a member rung again",
			[]Event{ev(0, "dial 101"), ev(4, "hangup:no_answer 101"), ev(9, "dial 101")}, [3]string{"ringing", "-", "-"}},
		{"several devices of one extension are one leg",
			[]Event{ev(0, "dial 101"), ev(0.1, "dial 101"), ev(2, "bridge 101")}, [3]string{"talking", "-", "-"}},
		{"hold", []Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(2, "hold 101")}, [3]string{"held", "-", "-"}},
		{"unhold", []Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(2, "hold"), ev(3, "unhold")}, [3]string{"talking", "-", "-"}},
		{"blind transfer moves the card",
			[]Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(11, "transfer 101 to=102")}, [3]string{"ended transferred 10s", "ringing", "-"}},
		{"the transferred leg's own hangup changes nothing",
			[]Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(11, "transfer to=102"), ev(11.1, "hangup 101"), ev(12, "bridge 102"), ev(20, "hangup")},
			[3]string{"ended transferred 10s", "ended answered 8s", "-"}},
		{"transfer to the outside", []Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(3, "transfer to=+79990000000")},
			[3]string{"ended transferred 2s", "-", "-"}},
		{"merged into another call", []Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(3, "merge into=c2")},
			[3]string{"ended transferred 2s", "-", "-"}},
		{"outbound rings until the far end answers", []Event{ev(0, "dial 101 dir=outbound")}, [3]string{"ringing", "-", "-"}},
		{"outbound answered", []Event{ev(0, "dial 101 dir=outbound"), ev(5, "bridge 101"), ev(8, "hangup")}, [3]string{"ended answered 3s", "-", "-"}},
		{"outbound, caller gives up", []Event{ev(0, "dial 101 dir=outbound"), ev(5, "hangup")}, [3]string{"ended cancelled", "-", "-"}},
		{"outbound, far end busy", []Event{ev(0, "dial 101 dir=outbound"), ev(5, "hangup:busy")}, [3]string{"ended busy", "-", "-"}},
		{"internal: the caller has a card too", []Event{ev(0, "dial 102 dir=internal from=101")}, [3]string{"ringing", "ringing", "-"}},
		{"internal answered: both talk",
			[]Event{ev(0, "dial 102 103 dir=internal from=101"), ev(2, "bridge 102")}, [3]string{"talking", "talking", "ended elsewhere"}},
		{"no dial yet, no card", []Event{ev(1, "bridge 101")}, [3]string{"-", "-", "-"}},
		{"the dial comes after the bridge", []Event{ev(1, "bridge 101"), ev(0, "dial 101 102")}, [3]string{"talking", "ended elsewhere", "-"}},
		{"the hangup comes before the bridge",
			[]Event{ev(0, "dial 101"), ev(9, "hangup"), ev(4, "bridge 101")}, [3]string{"ended answered 5s", "-", "-"}},
		{"what comes after the end is late", []Event{ev(0, "dial 101"), ev(9, "hangup:no_answer"), ev(10, "dial 101")}, [3]string{"ended missed", "-", "-"}},
		{"a conference: one leaves, the other talks on",
			[]Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(2, "bridge 101 102"), ev(5, "hangup 101")}, [3]string{"ended answered 4s", "talking", "-"}},
		{"who talked before and rings again while another takes it did not miss the call",
			[]Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(3, "hangup 101"), ev(4, "dial 101 102"), ev(5, "bridge 102")},
			[3]string{"ended answered 2s", "talking", "-"}},
		{"who talked before and rings in vain again did not miss the call",
			[]Event{ev(0, "dial 101"), ev(1, "bridge 101"), ev(3, "hangup 101"), ev(4, "dial 101"), ev(9, "hangup:no_answer")},
			[3]string{"ended answered 2s", "-", "-"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := fold(tt.events...)
			got := [3]string{seen(c, anna), seen(c, boris), seen(c, clara)}
			if got != tt.want {
				t.Errorf("seen %q, want %q", got, tt.want)
			}
			if c.Version != len(tt.events) {
				t.Errorf("version %d after %d events", c.Version, len(tt.events))
			}
		})
	}
}

// A click that began while the link was away: its caller did not answer it.
func TestCallerHeardOfLaterIsTheCaller(t *testing.T) {
	t.Parallel()
	c := fold(ev(0, "dial dir=outbound from=101"), ev(1, "dial 101 dir=outbound from=101"), ev(5, "bridge 101"))
	if c.AnsweredBy != nil || !c.Legs[0].Caller {
		t.Errorf("answered by %v, legs %+v", c.AnsweredBy, c.Legs)
	}
}

func TestTrackerKeepsRecordingAfterTheEnd(t *testing.T) {
	t.Parallel()
	c := fold(ev(0, "dial 101"), ev(1, "bridge 101"), ev(2, "hangup"), ev(60, "recording rec=https://rec.example/1.mp3"))
	if v, _ := c.For(anna.User); v.Recording == nil || *v.Recording != "https://rec.example/1.mp3" {
		t.Errorf("recording %v", v.Recording)
	}
}

func TestRecordingAtThePBXIsNotForTheTab(t *testing.T) {
	t.Parallel()
	for recording, shown := range map[string]bool{
		"https://rec.example/1.mp3": true, "HTTP://rec.example/1.mp3": true,
		"file:/var/spool/asterisk/monitor/1.wav": false, "javascript:alert(1)": false, "https:": false, "/1.wav": false,
	} {
		c := fold(ev(0, "dial 101"), ev(1, "bridge 101"), ev(2, "recording rec="+recording))
		if v, _ := c.For(anna.User); (v.Recording != nil) != shown || c.Recording != recording {
			t.Errorf("%s: the view has %v, the call %q", recording, v.Recording, c.Recording)
		}
	}
}

func TestTrackerDoesNotChangeWhatItWasGiven(t *testing.T) {
	t.Parallel()
	before := fold(ev(0, "dial 101 102"), ev(5, "hold"))
	was := fmt.Sprintf("%+v", before)
	fold2, _ := Tracker{}.Apply(before, ev(3, "bridge 101"))
	_, _ = Tracker{}.Apply(fold2, ev(4, "hangup"))
	if is := fmt.Sprintf("%+v", before); is != was {
		t.Errorf("the call changed:\n%s\n%s", was, is)
	}
}

func TestTrackerSettlesOldEvents(t *testing.T) {
	t.Parallel()
	c := fold(ev(0, "dial 101"), ev(1, "bridge 101"))
	for i := range 300 {
		kind := "hold"
		if i%2 == 1 {
			kind = "unhold"
		}
		c, _ = Tracker{}.Apply(c, ev(float64(2+i), kind))
	}
	if len(c.Events) > keepEvents {
		t.Errorf("%d events kept, want at most %d", len(c.Events), keepEvents)
	}
	late, news := Tracker{}.Apply(c, ev(0.5, "hangup"))
	if news || seen(late, anna) != "talking" {
		t.Errorf("an event from before what is settled changed the call: %s", seen(late, anna))
	}
	if end := fold2(c, ev(1000, "hangup")); seen(end, anna) != "ended answered 999s" {
		t.Errorf("seen %s", seen(end, anna))
	}
}

func fold2(c Call, e Event) Call {
	c, _ = Tracker{}.Apply(c, e)
	return c
}

// Events that carry id and time may come in any order and be repeated: the call ends the same.
func TestTrackerOrderAndRepetitionDoNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := history(t)
		want := fold(events...)
		shuffled := rapid.Permutation(events).Draw(t, "order")
		repeats := rapid.SliceOf(rapid.SampledFrom(events)).Draw(t, "repeats")
		at := rapid.IntRange(0, len(shuffled)).Draw(t, "where")
		got := fold(slices.Concat(shuffled[:at], repeats, shuffled[at:])...)
		if !reflect.DeepEqual(got.Known, want.Known) {
			t.Fatalf("in order  %+v\nshuffled  %+v", want.Known, got.Known)
		}
		if got.Version != want.Version {
			t.Fatalf("version %d, want %d: a repeat counted", got.Version, want.Version)
		}
	})
}

// Whatever happens on the telephones, and in whatever order it is heard of, these hold.
func TestTrackerInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c Call
		for _, e := range rapid.Permutation(history(t)).Draw(t, "order") {
			c, _ = Tracker{}.Apply(c, e)
			for _, leg := range c.Legs {
				if leg.Live() != (leg.Outcome == "") {
					t.Fatalf("leg %+v: an outcome and not ended, or the other way round", leg)
				}
				if c.Over() && leg.Live() {
					t.Fatalf("ghost: leg %+v lives in a call that ended", leg)
				}
				if leg.Talked < 0 || leg.Held && leg.TalkingSince.IsZero() {
					t.Fatalf("leg %+v", leg)
				}
				if !leg.AnsweredAt.IsZero() && !leg.Live() && leg.Outcome != Answered && leg.Outcome != Transferred {
					t.Fatalf("who talked did not miss the call: %+v", leg)
				}
			}
			for _, user := range c.Users() {
				v, ok := c.For(user)
				if ok == c.StartedAt.IsZero() {
					t.Fatalf("a card without a dial, or none with one")
				}
				if ok && (v.State == Ended) != (v.Outcome != nil && v.EndedAt != nil) {
					t.Fatalf("view %+v", v)
				}
			}
		}
	})
}

// history draws the events of a call, at distinct times, as a PBX may send them.
func history(t *rapid.T) []Event {
	exts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"101", "102", "103"}), 0, 2, rapid.ID[string])
	kinds := []EventType{EventDial, EventBridge, EventHold, EventUnhold, EventTransfer, EventHangup, EventRecording, EventMerge}
	n := rapid.IntRange(1, 14).Draw(t, "n")
	events := make([]Event, n)
	dir := rapid.SampledFrom([]string{"inbound", "outbound", "internal"}).Draw(t, "direction")
	for i := range events {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		if i == 0 {
			kind = EventDial
		}
		line := strings.TrimPrefix(string(kind), "call.")
		if kind == EventHangup {
			line += ":" + string(rapid.SampledFrom([]Cause{"", CauseNormal, CauseNoAnswer, CauseBusy, CauseCancelled}).Draw(t, "cause"))
		}
		line += " " + strings.Join(exts.Draw(t, "extensions"), " ") + " dir=" + dir + " from=101 to=103 into=c2 rec=https://r.example/" + fmt.Sprint(i)
		events[i] = ev(float64(i), line)
	}
	return events
}

func TestViewPhone(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, line, user, raw, phone, peer string }{
		{"inbound: the caller", "dial 101", "u1", "89991112233", "+79991112233", ""},
		{"withheld", "dial 101 from=", "u1", "", "", ""},
		{"outbound: the called", "dial 101 dir=outbound", "u1", "5550101", "", ""},
		{"internal, the caller", "dial 102 dir=internal from=101", "u1", "5550101", "", "Boris"},
		{"internal, the called", "dial 102 dir=internal from=101", "u2", "101", "", "Anna"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := fold(ev(0, tt.line))
			v, _ := c.For(tt.user)
			phone, peer := "", ""
			if v.Phone != nil {
				phone = *v.Phone
			}
			if v.Peer != nil {
				peer = v.Peer.Name
			}
			if v.PhoneRaw != tt.raw || phone != tt.phone || peer != tt.peer {
				t.Errorf("raw %q phone %q peer %q", v.PhoneRaw, phone, peer)
			}
		})
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("abc.1.0")
	f.Add("..")
	f.Add("e.zzzzzzzzzzzzzzzzzzz.-1")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		again, err := ParseCursor(c.String())
		if err != nil || again != c {
			t.Errorf("%q read as %+v, written and read as %+v, %v", s, c, again, err)
		}
	})
}
