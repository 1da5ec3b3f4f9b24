package asterisk

import (
	"cmp"
	"context"
	"strings"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/gatewaytest"
)

// devices makes the fake tell device states: of "PJSIP/101", or whatever is asked for.
func (f *fake) devices(states map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.value = func(variable string) string {
		name, _ := strings.CutPrefix(variable, "DEVICE_STATE(")
		return cmp.Or(states[strings.TrimSuffix(name, ")")], "INVALID")
	}
}

func TestTelephoneIsWhatAsteriskSaysOfTheDevice(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]gateway.TelephoneState{
		"INVALID": gateway.TelephoneUnknown, "UNAVAILABLE": gateway.TelephoneUnregistered,
		"NOT_INUSE": gateway.TelephoneOK, "INUSE": gateway.TelephoneOK, "BUSY": gateway.TelephoneOK, "RINGING": gateway.TelephoneOK,
		"RINGINUSE": gateway.TelephoneOK, "ONHOLD": gateway.TelephoneOK, "UNKNOWN": "", "": "", "what?": "",
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			f, r := newFake(t), newRecorder()
			f.value = func(string) string { return state }
			l, s := f.up(r)
			got, err := l.Telephone(t.Context(), "101")
			if got != want || want == "" && gateway.CodeOf(err) != gateway.CodeNotPermitted || want != "" && err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if a := <-s.actions; a.get("Action") != "Getvar" || a.get("Variable") != "DEVICE_STATE(PJSIP/101)" || a.get("Channel") != "" {
				t.Errorf("asked %v", a)
			}
		})
	}
}

func TestTelephoneOfSeveralDevices(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	config := f.config()
	config.Technology = "SIP"
	config.Devices = map[string]string{"anna-desk": "101", "anna-mobile": "101", "odd)name": "101", "boris": "102"}
	f.devices(map[string]string{"SIP/anna-desk": "UNAVAILABLE", "SIP/boris": "UNAVAILABLE"})
	r := newRecorder()
	l, _ := f.run(config, r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	want := func(ext string, state gateway.TelephoneState) {
		t.Helper()
		if got, err := l.Telephone(t.Context(), ext); got != state || err != nil {
			t.Errorf("%s: got %q, %v, want %q", ext, got, err, state)
		}
	}
	want("101", gateway.TelephoneUnregistered)
	want("102", gateway.TelephoneUnregistered)
	want("103", gateway.TelephoneUnknown)
	f.devices(map[string]string{"SIP/anna-desk": "UNAVAILABLE", "SIP/anna-mobile": "NOT_INUSE"})
	want("101", gateway.TelephoneOK)
}

func TestTelephoneThatCannotBeAskedAbout(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	l, s := f.up(r)
	for _, ext := range []string{"101)", "PJSIP/101", "1,2", "", "1\r\nAction: Logoff", "*45", strings.Repeat("1", 65)} {
		if got, err := l.Telephone(t.Context(), ext); gateway.CodeOf(err) != gateway.CodeBadNumber {
			t.Errorf("%q: got %q, %v", ext, got, err)
		}
	}
	if len(s.actions) > 0 {
		t.Errorf("Asterisk was asked %v", <-s.actions)
	}
	f.deny("Getvar", "Permission denied")
	if _, err := l.Telephone(t.Context(), "101"); gateway.CodeOf(err) != gateway.CodeNotPermitted || !strings.Contains(err.Error(), "write = call") {
		t.Errorf("without the right: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Telephone(ended, "101"); gateway.CodeOf(err) != gateway.CodeTimeout {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := New(Config{Address: "127.0.0.1:1"}).Telephone(t.Context(), "101"); gateway.CodeOf(err) != gateway.CodePBXOffline {
		t.Errorf("without a link: %v", err)
	}
}

func TestCheckOfTelephones(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.devices(map[string]string{"PJSIP/101": "INUSE", "PJSIP/102": "UNAVAILABLE"})
	states, err := AskTelephones(t.Context(), f.config(), []string{"101", "102", "*45", "103"})
	if err == nil || !strings.Contains(err.Error(), "*45") || len(states) != 3 || states["101"] != gateway.TelephoneOK ||
		states["102"] != gateway.TelephoneUnregistered || states["103"] != gateway.TelephoneUnknown {
		t.Errorf("got %v, %v", states, err)
	}
	f.deny("Getvar", "Permission denied")
	if states, err := AskTelephones(t.Context(), f.config(), []string{"101", "102"}); len(states) > 0 || gateway.CodeOf(err) != gateway.CodeNotPermitted {
		t.Errorf("got %v, %v", states, err)
	}
	if _, err := AskTelephones(t.Context(), Config{Address: "127.0.0.1:1"}, []string{"101"}); err == nil {
		t.Error("nothing listens there")
	}
}

// TestRealAsteriskKnowsItsTelephones asks with the rights of a link and no more.
func TestRealAsteriskKnowsItsTelephones(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	gatewaytest.Telephones(t, func(*testing.T) gatewaytest.Switchboard {
		return gatewaytest.Switchboard{PBX: d.link, Extension: "103", Nobody: "199", Connect: func(t *testing.T, on bool) {
			t.Helper()
			d.Do(t, "103", map[bool]string{false: "unregister", true: "register"}[on])
		}}
	})
	d.Do(t, "trunk", "dial", "5550102", customer)
	d.Wait(t, "102", "ringing")
	if got, err := d.link.Telephone(t.Context(), "102"); got != gateway.TelephoneOK || err != nil {
		t.Errorf("a telephone that rings: %q, %v", got, err)
	}
	d.Do(t, "trunk", "hangup")
	d.over()

	d.Do(t, "101", "unregister")
	config := labConfig(d.lab, asterisktest.User)
	config.Devices = map[string]string{"102": "101"}
	states, err := AskTelephones(t.Context(), config, []string{"101", "104", "199"})
	if err != nil || states["101"] != gateway.TelephoneOK || states["199"] != gateway.TelephoneUnknown || len(states) != 3 {
		t.Errorf("got %v, %v", states, err)
	}
	config.Technology = "SIP" // which this Asterisk has not
	if states, err := AskTelephones(t.Context(), config, []string{"103"}); err != nil || states["103"] != gateway.TelephoneUnknown {
		t.Errorf("by a technology that there is not: %v, %v", states, err)
	}
}
