package asterisk

import (
	"slices"
	"strings"
	"testing"

	"ringcast/gateway"
)

func TestHoldAtTheTelephone(t *testing.T) {
	t.Parallel()
	f, l, s := hearing(t, talk...)
	f.on("PJSIPNotify", says(event("Hold", "Uniqueid", "2")))
	if err := l.Hold(t.Context(), "1", "101", true); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Channel", "Endpoint", "Variable"}, "PJSIPNotify PJSIP/101-2 Event=hold")
}

func TestTelephoneThatDoesNotObey(t *testing.T) {
	t.Parallel()
	f, l, _ := hearing(t, talk...)
	f.on("PJSIPNotify", says(event("Hold", "Uniqueid", "1"), event("Unhold", "Uniqueid", "2"))) // another's, and another thing
	err := l.Hold(t.Context(), "1", "101", true)
	wantCode(t, gateway.CodeRejected, err)
	if !strings.Contains(err.Error(), "do it there") {
		t.Error(err)
	}
}

func TestTelephoneThatHangsUpMeanwhile(t *testing.T) {
	t.Parallel()
	f, l, _ := hearing(t, talk...)
	f.on("PJSIPNotify", says(hangup("2", "16")))
	wantCode(t, gateway.CodeNotFound, l.Hold(t.Context(), "1", "101", true))
}

// TestNotifyThatCannotNameACall: old versions of Asterisk send it to the telephone as such. They are not asked to
// where the telephone might take it for another of its calls.
func TestNotifyThatCannotNameACall(t *testing.T) {
	t.Parallel()
	second := []message{newchannel("PJSIP/101-6", "6", "6", "4", "101", "102")}
	for name, c := range map[string]struct {
		told    []message
		refused string // an action that is, if it has this field
		field   string
		want    gateway.Code
		actions []string
	}{
		"PJSIP, one call": {talk, "PJSIPNotify", "Channel", "", []string{"PJSIPNotify 101 Event=hold"}},
		"PJSIP, two":      {append(slices.Clone(talk), second...), "PJSIPNotify", "Channel", gateway.CodeNotPermitted, nil},
		"SIP": {asSIP(talk), "", "", "", []string{
			"Getvar SIP/101-2 SIPCALLID", "SIPnotify 101 Event=hold",
		}},
		"SIP, two": {asSIP(append(slices.Clone(talk), second...)), "Getvar", "Channel", gateway.CodeNotPermitted, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, l, s := hearing(t, c.told...)
			f.mu.Lock()
			f.refuse = func(m message) string {
				if m.get("Action") == c.refused && m.get(c.field) != "" {
					return "PJSIPNotify requires an endpoint name or a SIP URI."
				}
				return ""
			}
			f.mu.Unlock()
			for _, action := range []string{"PJSIPNotify", "SIPnotify"} {
				f.on(action, says(event("Hold", "Uniqueid", "2")))
			}
			wantCode(t, c.want, l.Hold(t.Context(), "1", "101", true))
			s.did(t, []string{"Endpoint", "Channel", "Variable"}, c.actions...)
		})
	}
}

// asSIP is the same over chan_sip.
func asSIP(told []message) []message {
	var all []message
	for _, m := range told {
		m = slices.Clone(m)
		for i := range m {
			m[i].value = strings.Replace(m[i].value, "PJSIP/", "SIP/", 1)
		}
		all = append(all, m)
	}
	return all
}

func TestTelephonesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	told := slices.Clone(talk)
	told[1] = newchannel("IAX2/101-2", "2", "1", "0", "", "s")
	_, l, s := hearing(t, told...)
	wantCode(t, gateway.CodeNotPermitted, l.Hold(t.Context(), "1", "101", true))
	s.did(t, nil)
}

// TestAnswerOnOneOfSeveralDevices has 101 ring on two, the second of which obeys.
func TestAnswerOnOneOfSeveralDevices(t *testing.T) {
	t.Parallel()
	f, l, s := hearing(t, newchannel("PJSIP/trunk-1", "1", "1", "4", "79005550111", "5550101"),
		newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newstate("2", "5"),
		newchannel("PJSIP/101-3", "3", "1", "0", "", "s"), newstate("3", "5"))
	f.on("PJSIPNotify", func(m message, reply func(string)) {
		if m.get("Channel") == "PJSIP/101-3" {
			reply(encodeMessage(newstate("3", "6")))
		}
	})
	if err := l.Answer(t.Context(), "1", "101"); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Channel", "Variable"}, "PJSIPNotify PJSIP/101-2 Event=talk", "PJSIPNotify PJSIP/101-3 Event=talk")
}

func TestCallThatRingsCannotBeHandedOn(t *testing.T) {
	t.Parallel()
	_, l, s := hearing(t, talk[:3]...)
	for name, control := range controls {
		if name != "Hangup" {
			wantCode(t, gateway.CodeRejected, control(l, t.Context(), "1"))
		}
	}
	if err := l.HangUp(t.Context(), "1", "101"); err != nil {
		t.Error(err)
	}
	s.did(t, []string{"Channel", "Cause"}, "Hangup PJSIP/101-2 21") // as if it was declined there
}

// consulting is a talk in which 101 announces the customer to 103.
var consulting = slices.Concat(talk, []message{
	event("Hold", "Uniqueid", "2"),
	newchannel("Local/103@from-internal-0;1", "7", "1", "0", "", "103"), newchannel("Local/103@from-internal-0;2", "8", "1", "4", "", "103"),
	event("LocalBridge", "LocalOneUniqueid", "7", "LocalTwoUniqueid", "8"),
	event("BridgeLeave", "BridgeUniqueid", "b", "Uniqueid", "2"), enters("7", "d"), enters("2", "d"),
})

func TestConsultation(t *testing.T) {
	t.Parallel()
	f, l, s := hearing(t, talk...)
	f.on("Atxfer", says(event("Hold", "Uniqueid", "2"), enters("2", "d")))
	if err := l.Consult(t.Context(), "1", "101", colleague); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Channel", "Context", "Exten"}, "Atxfer PJSIP/101-2 from-internal 103#")
}

// TestConsultationWithANumberInE164: Asterisk is to read it as if it was typed.
func TestConsultationWithANumberInE164(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.on("ShowDialPlan", listed("from-internal"))
	f.on("Atxfer", says(event("Hold", "Uniqueid", "2"), enters("2", "d")))
	cfg := f.config()
	cfg.Numbers.Format = gateway.PlusE164
	l, s := f.run(cfg, r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	for _, m := range talk {
		s.sendMessage(m)
	}
	r.until(t, "the talk", func(r *recorder) bool { return slices.Contains(brief(r.events), "bridge 1 101") })
	if err := l.Consult(t.Context(), "1", "101", gateway.Number{Raw: "8 900 555-02-22", E164: "+79005550222"}); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Exten"}, "Atxfer 79005550222#")
}

func TestConsultationThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		follows []message
		want    gateway.Code
	}{
		"nothing happens":     {nil, gateway.CodeNotPermitted}, // the dial plan lets nobody transfer
		"unreachable at once": {[]message{event("Hold", "Uniqueid", "2"), enters("2", "d"), enters("2", "b"), event("Unhold", "Uniqueid", "2")}, gateway.CodeRejected},
		"hangs up":            {[]message{event("Hold", "Uniqueid", "2"), hangup("2", "16")}, gateway.CodeNotFound},
		"never gets so far":   {[]message{event("Hold", "Uniqueid", "2")}, gateway.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, l, _ := hearing(t, talk...)
			f.on("Atxfer", says(c.follows...))
			wantCode(t, c.want, l.Consult(t.Context(), "1", "101", colleague))
		})
	}
}

func TestConsultationIsCompleted(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]gateway.Code{"Success": "", "Fail": gateway.CodeRejected} {
		f, l, s := hearing(t, append(slices.Clone(consulting), newstate("7", "6"))...)
		f.on("Hangup", says(event("AttendedTransfer", "OrigTransfererUniqueid", "2", "Result", result)))
		wantCode(t, gateway.CodeRejected, l.Transfer(t.Context(), "1", "101", gateway.Number{Raw: "104"}))
		wantCode(t, want, l.Complete(t.Context(), "1", "101"))
		s.did(t, []string{"Channel"}, "Hangup PJSIP/101-2")
	}
}

// TestConsultationIsCompletedUnanswered: hanging up while it rings can crash Asterisk, so that is not done.
func TestConsultationIsCompletedUnanswered(t *testing.T) {
	t.Parallel()
	for name, complete := range map[string]func(*Link) error{
		"complete": func(l *Link) error { return l.Complete(t.Context(), "1", "101") },
		"hang up":  func(l *Link) error { return l.HangUp(t.Context(), "1", "101") }, // which does the same
	} {
		f, l, s := hearing(t, consulting...)
		f.on("Hangup", says(enters("2", "b")))
		if err := complete(l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.did(t, []string{"Channel", "Context", "Exten"}, "Hangup Local/103@from-internal-0;1", "BlindTransfer PJSIP/101-2 from-internal 103")
	}
}

func TestConsultationIsCancelled(t *testing.T) {
	t.Parallel()
	f, l, s := hearing(t, consulting...)
	f.on("Hangup", says(enters("2", "b")))
	if err := l.Cancel(t.Context(), "1", "101"); err != nil {
		t.Fatal(err)
	}
	s.did(t, []string{"Channel"}, "Hangup Local/103@from-internal-0;1") // and nothing of the customer's
}

func TestWhatTheCallersChannelIsGiven(t *testing.T) {
	t.Parallel()
	always := func(shown string) []string {
		return []string{"CONNECTEDLINE(name,i)=" + shown, "CONNECTEDLINE(num,i)=" + shown, "__REALCALLERIDNUM=101"}
	}
	own := func(number string) []string {
		return []string{"CALLERID(num)=" + number, "__TRUNKCIDOVERRIDE=" + number, "__RINGCAST_CALLERID=" + number}
	}
	for name, c := range map[string]struct {
		cfg      Config
		number   string
		callerID string
		want     []string
	}{
		"nothing set":    {Config{}, "89005550111", "", nil},
		"his own number": {Config{}, "89005550111", "+7 495 123-45-67", own("74951234567")},
		"as E.164":       {Config{Numbers: gateway.DialRules{Format: gateway.PlusE164}}, "89005550111", "+7 495 123-45-67", own("+74951234567")},
		"a colleague":    {Config{IsExtension: isUser}, "102", "+74951234567", nil},
		"a short one":    {Config{IsExtension: isUser}, "112", "+74951234567", own("74951234567")[1:]},
		"no number":      {Config{}, "89005550111", "Anna,x=y", nil},
		"a prefix":       {Config{Numbers: gateway.DialRules{Prefix: "9"}}, "989005550111", "", nil},
		"picks up":       {Config{AutoAnswer: ByCallInfo}, "89005550111", "", []string{"PJSIP_HEADER(add,Call-Info)=<sip:ringcast>;answer-after=0"}},
		"picks up, chan_sip": {Config{AutoAnswer: ByAlertInfo, Technology: "SIP"}, "89005550111", "",
			[]string{"SIPADDHEADER01=Alert-Info: <http://127.0.0.1>;info=alert-autoanswer;delay=0"}},
		"variables": {Config{Variables: []string{"A=b"}}, "89005550111", "", []string{"A=b"}},
	} {
		got := c.cfg.withDefaults().dialVariables(c.number, gateway.DialRequest{Extension: "101", CallerID: c.callerID})
		if want := slices.Concat(always(strings.TrimPrefix(c.number, c.cfg.Numbers.Prefix)), c.want); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
