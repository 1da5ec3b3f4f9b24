package asterisk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// up runs a link to the fake and waits until calls can be made over it.
func (f *fake) up(r *recorder) (*Link, *fakeSession) {
	f.t.Helper()
	l, s := f.run(f.config(), r)
	r.until(f.t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	return l, s
}

var click = gateway.DialRequest{Key: "k1", Extension: "101", To: gateway.Number{Raw: "8 (900) 555-01-11"}}

// rings makes Asterisk ring the telephone that a click asks for.
func rings(m message, reply func(string)) {
	id := m.get("ChannelId")
	reply(encodeMessage(newchannel("PJSIP/101-1", id, id, "0", "101", "s")))
	reply(encodeMessage(append(newstate(id, "5"), field{"CallerIDNum", "101"})))
}

func TestClickIsOneCallWithAKnownId(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.on("Originate", rings)
	l, s := f.up(r)
	call, err := l.Dial(t.Context(), click)
	if err != nil || call != "ringcast-k1" {
		t.Fatalf("got %q, %v", call, err)
	}
	a := <-s.actions
	for key, want := range map[string]string{
		"Channel": "PJSIP/101", "ChannelId": "ringcast-k1", "Context": "from-internal", "Exten": "89005550111",
		"Priority": "1", "Timeout": "30000", "Async": "true",
	} {
		if got := a.get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	told := r.untilEvents(t, 1)
	if e := told[0]; e.Call != call || e.Direction != gateway.Outbound || e.To.Raw != "89005550111" || e.Extensions[0] != "101" {
		t.Errorf("got %+v", e)
	}
	again, err := l.Dial(t.Context(), click) // the same click, from another tab or after a lost answer
	if again != call || err != nil || len(s.actions) > 0 {
		t.Errorf("dialled again: %q, %v, %d actions", again, err, len(s.actions))
	}
	s.sendMessage(hangup(call, "19"))
	wantEvents(t, r.untilOver(t, 1), "dial ringcast-k1 101", "hangup ringcast-k1 cancelled")
}

// TestClickAtATelephoneWithoutACallerID: it calls as its extension then, as when the number is dialled there.
func TestClickAtATelephoneWithoutACallerID(t *testing.T) {
	t.Parallel()
	for shown, want := range map[string][]string{
		"<unknown>": {"Originate PJSIP/101", "Setvar PJSIP/101-1 CALLERID(num) 101"},
		"5550100":   {"Originate PJSIP/101"},
	} {
		f, r := newFake(t), newRecorder()
		f.on("Originate", func(m message, reply func(string)) {
			reply(encodeMessage(append(newstate(m.get("ChannelId"), "5"), field{"Channel", "PJSIP/101-1"}, field{"CallerIDNum", shown})))
		})
		l, s := f.up(r)
		if _, err := l.Dial(t.Context(), click); err != nil {
			t.Error(err)
		}
		for _, line := range want {
			a := <-s.actions
			got := a.get("Action") + " " + a.get("Channel")
			if a.get("Action") == "Setvar" {
				got += " " + a.get("Variable") + " " + a.get("Value")
			}
			if got != line {
				t.Errorf("%s: got %s, want %s", shown, got, line)
			}
		}
		if len(s.actions) > 0 {
			t.Errorf("%s: %d more actions", shown, len(s.actions))
		}
	}
}

func TestSameClickAtTheSameTime(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.on("Originate", rings)
	l, s := f.up(r)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if call, err := l.Dial(t.Context(), click); err != nil || call != "ringcast-k1" {
				t.Errorf("got %q, %v", call, err)
			}
		})
	}
	all.Wait()
	if len(s.actions) != 1 {
		t.Errorf("%d calls ordered", len(s.actions))
	}
}

// Asterisk tells every connection how a call was ordered, by the action's id: the failure of another connection's
// first order, at the check of its rights, was taken for that of this one's.
func TestOrdersOfTwoConnectionsAreToldApart(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for range 2 {
		f, r := newFake(t), newRecorder()
		f.on("Originate", rings)
		l, s := f.up(r)
		if _, err := l.Dial(t.Context(), click); err != nil {
			t.Fatal(err)
		}
		a := <-s.actions
		ids[strings.TrimRight(a.get("ActionID"), "0123456789")] = true
	}
	if len(ids) != 2 {
		t.Errorf("the ids of both begin with %v", ids)
	}
}

// A click that comes too late begins nothing, and does not stand in the way of the same one in time.
func TestClickThatComesTooLate(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.on("Originate", rings)
	l, _ := f.up(r)
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Dial(late, click); gateway.CodeOf(err) != gateway.CodeTimeout {
		t.Errorf("got %v", err)
	}
	if call, err := l.Dial(t.Context(), click); err != nil || call != "ringcast-k1" {
		t.Errorf("got %q, %v", call, err)
	}
}

func TestFailuresOfAClickAreNamed(t *testing.T) {
	t.Parallel()
	response := func(reason string) func(message, func(string)) {
		return func(m message, reply func(string)) {
			reply(encodeMessage(event("OriginateResponse", "ActionID", m.get("ActionID"), "Response", "Failure",
				"Uniqueid", "<unknown>", "Reason", reason)))
		}
	}
	for name, c := range map[string]struct {
		set  func(f *fake)
		want gateway.Code
	}{
		"not registered": {func(f *fake) { f.on("Originate", response("0")) }, gateway.CodeNotRegistered},
		"busy":           {func(f *fake) { f.on("Originate", response("5")) }, gateway.CodeBusy},
		"refused":        {func(f *fake) { f.on("Originate", response("1")) }, gateway.CodeRejected},
		"busy at once": {func(f *fake) {
			f.on("Originate", func(m message, reply func(string)) {
				reply(encodeMessage(event("HangupRequest", "Uniqueid", m.get("ChannelId"), "Cause", "17")))
				response("0")(m, reply)
			})
		}, gateway.CodeBusy},
		"busy, as only its end tells": {func(f *fake) {
			f.on("Originate", func(m message, reply func(string)) {
				reply(encodeMessage(event("HangupRequest", "Uniqueid", m.get("ChannelId"))))
				reply(encodeMessage(event("Hangup", "Uniqueid", m.get("ChannelId"), "Cause", "17")))
			})
		}, gateway.CodeBusy},
		"declined at once": {func(f *fake) {
			f.on("Originate", func(m message, reply func(string)) {
				response("0")(m, reply)
				reply(encodeMessage(event("Hangup", "Uniqueid", m.get("ChannelId"), "Cause", "21")))
			})
		}, gateway.CodeRejected},
		"not permitted":  {func(f *fake) { f.deny("Originate", "Permission denied") }, gateway.CodeNotPermitted},
		"no such number": {func(f *fake) { f.deny("Originate", "Extension does not exist.") }, gateway.CodeBadNumber},
		"other refusal":  {func(f *fake) { f.deny("Originate", "Originate failed") }, gateway.CodeRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r := newFake(t), newRecorder()
			c.set(f)
			l, _ := f.up(r)
			if call, err := l.Dial(t.Context(), click); gateway.CodeOf(err) != c.want || call != "" {
				t.Errorf("got %q, %v, want %s", call, err, c.want)
			}
			var e *gateway.Error
			if _, err := l.Dial(t.Context(), click); !errors.As(err, &e) || e.Message == "" { // and may be tried again
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

func TestClickWithoutALink(t *testing.T) {
	t.Parallel()
	l := New(Config{Address: "127.0.0.1:1"})
	if _, err := l.Dial(t.Context(), click); gateway.CodeOf(err) != gateway.CodePBXOffline {
		t.Errorf("got %v", err)
	}
	if err := l.HangUp(t.Context(), "c", "101"); gateway.CodeOf(err) != gateway.CodePBXOffline {
		t.Errorf("got %v", err)
	}
}

func TestClickWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	l, s := f.up(r)
	f.on("Originate", func(message, func(string)) { s.conn.Close() }) // the link breaks
	if _, err := l.Dial(t.Context(), click); gateway.CodeOf(err) != gateway.CodeTimeout && gateway.CodeOf(err) != gateway.CodePBXOffline {
		t.Errorf("got %v", err)
	}
}

// TestSlowTelephone rings late: Asterisk took the request, and Dial does not wait for more.
func TestSlowTelephone(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	l, _ := f.up(r)
	began := time.Now()
	if _, err := l.Dial(t.Context(), click); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestNumbersThatCannotBeDialled(t *testing.T) {
	t.Parallel()
	l := New(Config{Address: "127.0.0.1:1"})
	for _, req := range []gateway.DialRequest{
		{Key: "k", Extension: "101", To: gateway.Number{Raw: "1&2"}},
		{Key: "k", Extension: "101&PJSIP/102", To: gateway.Number{Raw: "100"}},
		{Key: "", Extension: "101", To: gateway.Number{Raw: "100"}},
	} {
		if _, err := l.Dial(context.Background(), req); gateway.CodeOf(err) != gateway.CodeBadNumber {
			t.Errorf("%+v: got %v", req, err)
		}
	}
}

// TestExtensionWithAHyphenIsNotAnothers: without its hyphen 10-1 is a colleague's.
func TestExtensionWithAHyphenIsNotAnothers(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.on("Originate", rings)
	f.on("ShowDialPlan", listed("from-internal"))
	cfg := f.config()
	cfg.IsExtension = func(ext string) bool { return isUser(ext) || ext == "10-3" }
	l, s := f.run(cfg, r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	hyphen := gateway.Number{Raw: "10-3"}
	if _, err := l.Dial(t.Context(), gateway.DialRequest{Key: "k1", Extension: "102", To: hyphen}); err != nil {
		t.Fatal(err)
	}
	for _, m := range talk {
		s.sendMessage(m)
	}
	r.until(t, "the talk", func(r *recorder) bool { return slices.Contains(brief(r.events), "bridge 1 101") })
	wantCode(t, gateway.CodeBadNumber, l.Consult(t.Context(), "1", "101", hyphen)) // no telephone has such a key
	if err := l.Transfer(t.Context(), "1", "101", hyphen); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Exten"}, "Originate 10-3", "BlindTransfer 10-3")
}

func TestHangUpEndsTheTelephonesChannels(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	l, s := f.up(r)
	s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
	for i, name := range []string{"PJSIP/101-2", "SIP/101-3", "PJSIP/102-4"} {
		id := string(rune('2' + i))
		s.sendMessage(newchannel(name, id, "1", "0", "", "s"))
		s.sendMessage(newstate(id, "5"))
	}
	r.untilEvents(t, 2)
	r.until(t, "102 to ring", func(r *recorder) bool { return strings.Contains(strings.Join(brief(r.events), " "), "102") })
	if err := l.HangUp(t.Context(), "1", "101"); err != nil {
		t.Fatal(err)
	}
	if a, b := <-s.actions, <-s.actions; a.get("Channel") != "PJSIP/101-2" || b.get("Channel") != "SIP/101-3" || len(s.actions) > 0 {
		t.Errorf("got %v, %v", a, b)
	}
	for _, c := range [][2]string{{"1", "103"}, {"2", "101"}} {
		if err := l.HangUp(t.Context(), c[0], c[1]); gateway.CodeOf(err) != gateway.CodeNotFound {
			t.Errorf("%v: got %v", c, err)
		}
	}
	f.deny("Hangup", "No such channel")
	if err := l.HangUp(t.Context(), "1", "102"); gateway.CodeOf(err) != gateway.CodeNotFound {
		t.Errorf("got %v", err)
	}
	f.deny("Hangup", "Permission denied")
	if err := l.HangUp(t.Context(), "1", "102"); gateway.CodeOf(err) != gateway.CodeNotPermitted {
		t.Errorf("got %v", err)
	}
}
