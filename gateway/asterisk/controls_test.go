package asterisk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// talk is a call of a customer at trunk with 101, as the fake tells of it.
var talk = slices.Concat(
	[]message{newchannel("PJSIP/trunk-1", "1", "1", "4", "79005550111", "5550101")},
	joins("PJSIP/101-2", "2"), []message{enters("1", "b")},
)

// joins is a channel that is called in the talk and answers.
func joins(name, id string) []message {
	return []message{newchannel(name, id, "1", "0", "", "s"), newstate(id, "5"), newstate(id, "6"), enters(id, "b")}
}

func enters(channel, bridge string) message {
	return event("BridgeEnter", "BridgeUniqueid", bridge, "BridgeType", "basic", "BridgeTechnology", "simple_bridge", "Uniqueid", channel)
}

// hears runs a link to a fake whose dial plan has any number, and tells it of calls.
func hearing(t *testing.T, told ...message) (*fake, *Link, *fakeSession) {
	t.Helper()
	f, r := newFake(t), newRecorder()
	f.on("ShowDialPlan", listed("from-internal"))
	l, s := f.up(r)
	for _, m := range told {
		s.sendMessage(m)
	}
	s.sendMessage(newchannel("PJSIP/109-999", "999", "999", "4", "109", "102")) // it comes after all these
	s.sendMessage(newchannel("PJSIP/102-998", "998", "999", "0", "", "s"))
	s.sendMessage(newstate("998", "5"))
	r.until(t, "what is told last", func(r *recorder) bool {
		return slices.ContainsFunc(r.events, func(e gateway.Event) bool { return e.Call == "999" })
	})
	return f, l, s
}

// listed is what Asterisk says of a number that a context has.
func listed(context string) func(message, func(string)) {
	return func(m message, reply func(string)) {
		reply(encodeMessage(event("ListDialplan", "ActionID", m.get("ActionID"), "Context", context, "Extension", m.get("Extension"))))
		reply(encodeMessage(event("ShowDialPlanComplete", "ActionID", m.get("ActionID"))))
	}
}

// says has Asterisk follow an action with events.
func says(events ...message) func(message, func(string)) {
	return func(_ message, reply func(string)) {
		for _, m := range events {
			reply(encodeMessage(m))
		}
	}
}

func wantCode(t *testing.T, want gateway.Code, err error) {
	t.Helper()
	if gateway.CodeOf(err) != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// did checks which actions came, each with the fields that are asked for, and no more.
func (s *fakeSession) did(t *testing.T, keys []string, want ...string) {
	t.Helper()
	var got []string
	for len(got) < len(want) || len(s.actions) > 0 {
		select {
		case m := <-s.actions:
			line := m.get("Action")
			for _, key := range keys {
				if v := m.get(key); v != "" {
					line += " " + v
				}
			}
			if m.get("Action") != "ShowDialPlan" {
				got = append(got, line)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no more actions than\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("actions:\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

var colleague = gateway.Number{Raw: "103"}

// controls are all things that can be done to a call.
var controls = map[string]func(*Link, context.Context, string) error{
	"Hangup":      func(l *Link, ctx context.Context, call string) error { return l.HangUp(ctx, call, "101") },
	"PJSIPNotify": func(l *Link, ctx context.Context, call string) error { return l.Hold(ctx, call, "101", true) },
	"MuteAudio":   func(l *Link, ctx context.Context, call string) error { return l.Mute(ctx, call, "101", true) },
	"BlindTransfer": func(l *Link, ctx context.Context, call string) error {
		return l.Transfer(ctx, call, "101", colleague)
	},
	"Atxfer": func(l *Link, ctx context.Context, call string) error { return l.Consult(ctx, call, "101", colleague) },
	"Park": func(l *Link, ctx context.Context, call string) error {
		_, err := l.Park(ctx, call, "101")
		return err
	},
}

func TestControlsWithoutALinkOrACall(t *testing.T) {
	t.Parallel()
	_, up, s := hearing(t, talk...)
	down := New(Config{Address: "127.0.0.1:1"})
	for name, control := range controls {
		wantCode(t, gateway.CodePBXOffline, control(down, t.Context(), "1"))
		if err := control(up, t.Context(), "2"); gateway.CodeOf(err) != gateway.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantCode(t, gateway.CodeRejected, up.Complete(t.Context(), "1", "101"))
	wantCode(t, gateway.CodeRejected, up.Cancel(t.Context(), "1", "101"))
	wantCode(t, gateway.CodeRejected, up.Answer(t.Context(), "1", "101"))
	wantCode(t, gateway.CodeNotFound, up.Answer(t.Context(), "1", "102"))
	wantCode(t, gateway.CodeBadNumber, up.Transfer(t.Context(), "1", "101", gateway.Number{Raw: "1&2"}))
	wantCode(t, gateway.CodeBadNumber, up.Consult(t.Context(), "1", "101", gateway.Number{Raw: "#1"}))
	s.did(t, nil)
}

func TestRefusedControlsAreNamed(t *testing.T) {
	t.Parallel()
	for action, control := range controls {
		for message, want := range map[string]gateway.Code{
			"Permission denied": gateway.CodeNotPermitted,
			"Invalid/unknown command: " + action + ". Use Action: ListCommands to show available commands.": gateway.CodeNotPermitted,
			"No such channel":                  gateway.CodeNotFound,
			"Channel specified does not exist": gateway.CodeNotFound,
			"Channel not found":                gateway.CodeNotFound,
			"It does not feel like that":       gateway.CodeRejected,
		} {
			t.Run(action+" "+message, func(t *testing.T) {
				t.Parallel()
				f, l, _ := hearing(t, talk...)
				f.deny(action, message)
				f.deny("Redirect", message) // where BlindTransfer does not do it
				wantCode(t, want, control(l, t.Context(), "1"))
			})
		}
	}
}

func TestLackingRightIsSaid(t *testing.T) {
	t.Parallel()
	f, l, _ := hearing(t, talk...)
	for action, right := range map[string]string{"PJSIPNotify": "write = system", "MuteAudio": "write = system", "Atxfer": "write = call"} {
		f.deny(action, "Permission denied")
		if err := controls[action](l, t.Context(), "1"); !strings.Contains(fmt.Sprint(err), right) {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// TestAsteriskThatSaysNothing: the connection stands, and nobody reads it.
func TestAsteriskThatSaysNothing(t *testing.T) {
	t.Parallel()
	everything := maps.Clone(controls)
	everything["Originate"] = func(l *Link, ctx context.Context, _ string) error {
		_, err := l.Dial(ctx, click)
		return err
	}
	for name, control := range everything {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, l, _ := hearing(t, talk...)
			silence := make(chan struct{})
			f.on("Wait", func(message, func(string)) { <-silence })
			t.Cleanup(func() { close(silence) })
			l.mu.Lock()
			c := l.client
			l.mu.Unlock()
			if err := c.send(t.Context(), "x", newAction("Wait", field{"Seconds", "1"})); err != nil {
				t.Fatal(err)
			}
			if err := control(l, context.Background(), "1"); gateway.CodeOf(err) != gateway.CodeTimeout {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatIsAskedForIsAnsweredWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		began := time.Now()
		err := inTime(t.Context(), func(context.Context) error { <-stuck; return nil })
		if took := time.Since(began); gateway.CodeOf(err) != gateway.CodeTimeout || took > 5*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		close(stuck)
	})
}

func TestTransferIsBlind(t *testing.T) {
	t.Parallel()
	_, l, s := hearing(t, talk...)
	if err := l.Transfer(t.Context(), "1", "101", gateway.Number{Raw: "8 (900) 555-02-22"}); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Channel", "Context", "Exten"}, "BlindTransfer PJSIP/101-2 from-internal 89005550222")
}

// TestTransferOutOfAConference: the customer goes, and whoever hands him on; a colleague stays for himself.
func TestTransferOutOfAConference(t *testing.T) {
	t.Parallel()
	_, l, s := hearing(t, append(slices.Clone(talk), joins("PJSIP/102-3", "3")...)...)
	if err := l.Transfer(t.Context(), "1", "101", colleague); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Channel", "Context", "Exten"}, "Redirect PJSIP/trunk-1 from-internal 103", "Hangup PJSIP/101-2")
	_, err := l.Park(t.Context(), "1", "101")
	wantCode(t, gateway.CodeRejected, err) // who of the two?
}

func TestTransferToANumberThatIsNotThere(t *testing.T) {
	t.Parallel()
	none := "Did not find extension 103@from-internal"
	for name, c := range map[string]struct {
		set  func(f *fake)
		want gateway.Code
	}{
		"not in the dial plan":             {func(f *fake) { f.deny("ShowDialPlan", none); f.deny("Originate", "Extension does not exist.") }, gateway.CodeBadNumber},
		"in a database":                    {func(f *fake) { f.deny("ShowDialPlan", none) }, ""},
		"caught by FreePBX":                {func(f *fake) { f.on("ShowDialPlan", listed("bad-number")) }, gateway.CodeBadNumber},
		"nobody may ask":                   {func(f *fake) { f.deny("ShowDialPlan", "Permission denied") }, ""},
		"the transfer fails, and Redirect": {func(f *fake) { f.deny("BlindTransfer", "Transfer failed"); f.deny("Redirect", "Redirect failed") }, gateway.CodeRejected},
		"only the transfer fails":          {func(f *fake) { f.deny("BlindTransfer", "Transfer failed") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, l, _ := hearing(t, talk...)
			c.set(f)
			wantCode(t, c.want, l.Transfer(t.Context(), "1", "101", colleague))
		})
	}
}

// TestTwoCallsAtOneTelephone: what is done to one call names no channel of the other.
func TestTwoCallsAtOneTelephone(t *testing.T) {
	t.Parallel()
	second := []message{
		newchannel("PJSIP/trunk-5", "5", "5", "4", "79005550333", "5550101"), newchannel("PJSIP/101-6", "6", "5", "0", "", "s"),
		newstate("6", "5"), newstate("6", "6"), enters("6", "c"), enters("5", "c"),
	}
	f, l, s := hearing(t, append(slices.Clone(talk), second...)...)
	f.on("Park", says(event("ParkedCall", "ParkeeUniqueid", "1", "ParkingSpace", "702"), event("ParkedCall", "ParkeeUniqueid", "5", "ParkingSpace", "701")))
	if slot, err := l.Park(t.Context(), "5", "101"); err != nil || slot != "701" {
		t.Errorf("parked at %q, %v", slot, err)
	}
	if err := l.Mute(t.Context(), "1", "101", true); err != nil {
		t.Error(err)
	}
	if err := l.Mute(t.Context(), "1", "101", false); err != nil {
		t.Error(err)
	}
	if err := l.HangUp(t.Context(), "5", "101"); err != nil {
		t.Error(err)
	}
	s.did(t, []string{"Channel", "TimeoutChannel", "Direction", "State"}, "Park PJSIP/trunk-5 PJSIP/101-6", "Hangup PJSIP/101-6",
		"MuteAudio PJSIP/101-2 in on", "MuteAudio PJSIP/101-2 in off", "Hangup PJSIP/101-6")
}
