package asterisk

import (
	"testing"

	"ringcast/gateway"
)

func TestDevicesThatAreNotCalledLikeTheirExtension(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	c.devices = map[string]string{"yealink7": "101", "0000FFFF0009": "102"}
	for endpoint, want := range map[string]string{
		"101": "101", "101-desk": "101", "101_mobile": "101", "101.web": "101", "yealink7": "101", "0000FFFF0009": "102",
		"trunk": "", "provider-101": "", "199-desk": "", "199": "199", "74951234567": "",
	} {
		ch := &channel{name: "PJSIP/" + endpoint + "-0000004a"}
		if ch.classify(c.extension); ch.ext != want || (ch.kind == kindDevice) != (want != "") {
			t.Errorf("%s: %q %v, want %q", endpoint, ch.ext, ch.kind, want)
		}
	}
	wantEvents(t, feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7900", "5550101"),
		newchannel("PJSIP/101-desk-2", "2", "1", "0", "", "s"), newchannel("SIP/yealink7-3", "3", "1", "0", "", "s"),
		newstate("2", "5"), newstate("3", "5"), newstate("3", "6"), hangup("2", "26"),
		event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "3"), event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "1"),
		hangup("1", "16"), hangup("3", "16"),
	), "dial 1 101", "bridge 1 101", "hangup 1 normal")
}

// TestLinesThatAreCalledLikeExtensions: who calls over one is a customer.
func TestLinesThatAreCalledLikeExtensions(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		channel, context string
		isLine           bool
	}{
		{"DAHDI/12-1", "from-internal", true},
		{"Zap/12-1", "from-internal", true},
		{"DAHDI/i1/7900-5", "from-internal", true},
		{"DAHDI/104-1", "from-internal", false}, // a user's
		{"DAHDI/5-1", "from-internal", false},   // named
		{"PJSIP/7812-0000004a", "from-internal", true},
		{"PJSIP/7813-0000004a", "from-internal", false},
		{"PJSIP/7813-0000004a", "from-pstn", true},
		{"SIP/7813-0000004a", "from-trunk-sip-7813", true},
		{"IAX2/7813-77", "from-did-direct", true},
		{"IAX2/7813-77", "from-internal", false},
		{"PJSIP/104-0000004a", "from-trunk", false},
	} {
		c := newCorrelator("", isUser)
		c.devices, c.trunks = map[string]string{"5": "105"}, []string{"7812"}
		begin := append(newchannel(x.channel, "1", "1", "4", "79005550111", "5550101"), field{"Context", x.context})
		events := feed(c, begin, newchannel("PJSIP/101-2", "2", "1", "0", "", "s"),
			event("DialBegin", "Uniqueid", "1", "DestUniqueid", "2"), newstate("2", "5"))
		wantEvents(t, events, "dial 1 101")
		e := events[0]
		if isLine := e.Direction == gateway.Inbound && e.From.Raw == "79005550111" && e.Line == "5550101"; isLine != x.isLine {
			t.Errorf("%s in %s: %+v", x.channel, x.context, e)
		}
	}
}

func TestNumbersAsTelephonesDialThem(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ dialled, prefix, want string }{
		{"979005550111", "9", "79005550111"},
		{"9112", "9", "9112"}, // no public number behind it
		{"sip:+79005550111@pbx;user=phone", "", "+79005550111"},
		{"79005550111", "", "79005550111"},
	} {
		c := newCorrelator("", isUser)
		c.numbers = gateway.DialRules{Prefix: x.prefix}
		events := feed(c,
			newchannel("PJSIP/101-1", "1", "1", "4", "101", x.dialled), newchannel("PJSIP/trunk-2", "2", "1", "0", "", "s"),
			event("DialBegin", "Uniqueid", "1", "CallerIDNum", "5550100", "DestUniqueid", "2", "DialString", "79005550111@trunk"),
			hangup("2", "16"), hangup("1", "16"))
		if e := events[0]; e.Direction != gateway.Outbound || e.To.Raw != x.want || e.From.Raw != "101" || e.Line != "5550100" {
			t.Errorf("%s: %+v", x.dialled, e)
		}
	}
}

func TestCallersWhoShowNoNumber(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"": "", "anonymous": "", "Anonymous": "", "anonymous@anonymous.invalid": "", "sip:anonymous@anonymous.invalid": "",
		"Restricted": "", "+anonymous": "", "unknown": "", "sip:+79005550111@provider": "+79005550111", "tel:+7-900": "+7-900",
		"+79005550111": "+79005550111",
	} {
		c := newCorrelator("", isUser)
		events := feed(c, event("Newchannel", "Channel", "PJSIP/trunk-1", "Uniqueid", "1", "Linkedid", "1", "ChannelState", "4",
			"CallerIDNum", number, "CallerIDName", "Anonymous", "Exten", "5550101"), hangup("1", "16"))
		if e := events[0]; e.From.Raw != want || e.Name != "" || e.Direction != gateway.Inbound {
			t.Errorf("%q: %+v", number, e)
		}
	}
}

func TestNumberThatComesAfterTheChannel(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	feed(c, newchannel("DAHDI/1-1", "1", "1", "4", "", "s"))
	events := feed(c, event("NewCallerid", "Uniqueid", "1", "CallerIDNum", "7900", "CallerIDName", "Ivan", "CID-CallingPres", "0 (Presentation Allowed, Not Screened)"),
		newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newstate("2", "5"))
	if e := events[0]; e.From.Raw != "7900" || e.Name != "Ivan" || e.Line != "1" {
		t.Errorf("%+v", e)
	}
}

func TestRecordingIsToldOnceTheCallIs(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	taped := event("VarSet", "Uniqueid", "1", "Variable", "MIXMONITOR_FILENAME", "Value", "/rec/a.wav")
	events := feed(c, taped, // it may come before its channel
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7900", "5550101"),
		newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newstate("2", "5"), taped,
		hangup("2", "0"), hangup("1", "16"))
	wantEvents(t, events, "dial 1 101", "recording 1", "hangup 1 101 no_answer", "hangup 1 no_answer")
	if events[1].Recording != "file:/rec/a.wav" {
		t.Errorf("%+v", events[1])
	}
}
