package asterisk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// exchange is what an Asterisk would list, kept up to date from the events of a trace.
type exchange struct{ channels map[string]message }

func (x *exchange) take(m message) {
	id := m.get("Uniqueid")
	set := func(key, value string) {
		if m := x.channels[id]; m != nil {
			m = slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == key })
			x.channels[id] = append(m, field{key, value})
		}
	}
	switch m.get("Event") {
	case "Newchannel":
		listed := slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == "Event" })
		listed = append(listed, field{"Event", "CoreShowChannel"}, field{"Duration", "00:00:01"})
		if wasCalled(m) {
			listed = append(listed, field{"Application", "AppDial"})
		}
		x.channels[id] = listed
	case "Newstate":
		set("ChannelState", m.get("ChannelState"))
	case "BridgeEnter":
		set("BridgeId", m.get("BridgeUniqueid"))
		set("Linkedid", m.get("Linkedid"))
	case "BridgeLeave":
		set("BridgeId", "")
	case "Hangup":
		delete(x.channels, id)
	}
}

// list is the answer to CoreShowChannels.
func (x *exchange) list(actionID string) []message {
	var list []message
	for _, id := range slices.Sorted(maps.Keys(x.channels)) {
		list = append(list, append(slices.Clone(x.channels[id]), field{"ActionID", actionID}))
	}
	return append(list, message{
		{"Event", "CoreShowChannelsComplete"}, {"ActionID", actionID}, {"ListItems", fmt.Sprint(len(x.channels))},
	})
}

// heedfulTrace returns the messages of a trace that the correlator would get to see.
func heedfulTrace(t testing.TB, name string) []message {
	t.Helper()
	return heedful(readTrace(t, name))
}

func heedful(trace []message) []message {
	return slices.DeleteFunc(trace, func(m message) bool {
		name := m.get("Event") // a login brings FullyBooted by itself, and asks for lists
		return !heeded[name] || name == "FullyBooted" || strings.HasPrefix(name, "CoreShow")
	})
}

// event makes a message of "Key value" pairs.
func event(name string, pairs ...string) message {
	m := message{{"Event", name}}
	for i := 0; i < len(pairs); i += 2 {
		m = append(m, field{pairs[i], pairs[i+1]})
	}
	return m
}

func newchannel(name, id, linked, state, from, to string) message {
	return event("Newchannel", "Channel", name, "Uniqueid", id, "Linkedid", linked, "ChannelState", state, "CallerIDNum", from, "Exten", to)
}

func newstate(id, state string) message {
	return event("Newstate", "Uniqueid", id, "ChannelState", state)
}

func hangup(id, cause string) message { return event("Hangup", "Uniqueid", id, "Cause", cause) }

func feed(c *correlator, messages ...message) []gateway.Event {
	var out []gateway.Event
	for _, m := range messages {
		out = append(out, c.take(m, time.Unix(1000, 0))...)
	}
	return out
}

func brief(events []gateway.Event) []string {
	var out []string
	for _, e := range events {
		s := strings.TrimPrefix(string(e.Type), "call.") + " " + e.Call
		if len(e.Extensions) > 0 {
			s += " " + strings.Join(e.Extensions, ",")
		}
		if e.Cause != "" {
			s += " " + string(e.Cause)
		}
		out = append(out, s)
	}
	return out
}

func wantEvents(t *testing.T, events []gateway.Event, want ...string) {
	t.Helper()
	if got := brief(events); !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestSeveralDevicesOfAnExtensionAreOneLeg(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	wantEvents(t, feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7900", "5550101"),
		newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newchannel("SIP/101-3", "3", "1", "0", "", "s"),
		newstate("2", "5"), newstate("3", "5"),
		hangup("2", "17"), // one device is busy, the other rings on
		newstate("3", "6"),
		event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "3"), event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "1"),
		hangup("1", "16"), hangup("3", "16"),
	), "dial 1 101", "bridge 1 101", "hangup 1 normal")
}

func TestCallLostInTheIVRIsRecorded(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	events := feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "anonymous", "5550100"), newstate("1", "6"),
		event("HangupRequest", "Uniqueid", "1"), hangup("1", "16"))
	wantEvents(t, events, "dial 1", "hangup 1 cancelled")
	if e := events[0]; e.Direction != gateway.Inbound || e.From.Raw != "" || e.To.Raw != "5550100" {
		t.Errorf("got %+v", e)
	}
}

func TestParkedCallersAreNotOneCall(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	park := []string{"BridgeUniqueid", "park", "BridgeTechnology", "holding_bridge", "Uniqueid"}
	feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"), newchannel("PJSIP/trunk-2", "2", "2", "4", "7902", "5550101"),
		event("BridgeEnter", append(park, "1")...), event("BridgeEnter", append(park, "2")...))
	if got := c.live(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("live: %v", got)
	}
}

func TestConferenceIsTheCustomersCall(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	room := []string{"BridgeUniqueid", "room", "BridgeCreator", "ConfBridge", "Uniqueid"}
	wantEvents(t, feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"), newchannel("PJSIP/trunk-4", "4", "4", "4", "7902", "5550101"),
		newchannel("PJSIP/101-2", "2", "2", "4", "101", "800"), newchannel("PJSIP/102-3", "3", "3", "4", "102", "800"),
		event("BridgeEnter", append(room, "2")...), event("BridgeEnter", append(room, "3")...), event("BridgeEnter", append(room, "1")...),
		event("BridgeEnter", append(room, "4")...), // another customer's call stays one of its own
		hangup("2", "16"), hangup("3", "16"), hangup("1", "16"), hangup("4", "16"),
	), "dial 2 102", "bridge 2 102", "dial 1 101,102", "bridge 1 101,102", "merge 2",
		"dial 4", "bridge 4", "hangup 1 101 normal", "hangup 1 102 normal", "hangup 1 normal", "hangup 4 normal")
}

func TestDeclinedAndBusyAfterRinging(t *testing.T) {
	t.Parallel()
	for cause, want := range map[string]string{"21": "rejected", "17": "busy", "0": "no_answer", "26": "elsewhere"} {
		c := newCorrelator("", isUser)
		wantEvents(t, feed(c,
			newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"),
			newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newstate("2", "5"), hangup("2", cause),
		), "dial 1 101", "hangup 1 101 "+want)
	}
}

func TestColleagueOrderedByClick(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	c.order("ringcast-k", order{extension: "101", number: "102"})
	events := feed(c,
		newchannel("PJSIP/101-1", "ringcast-k", "ringcast-k", "0", "", "s"), newstate("ringcast-k", "5"), newstate("ringcast-k", "6"),
		newchannel("PJSIP/102-2", "2", "ringcast-k", "0", "", "s"), newstate("2", "5"), newstate("2", "6"),
		event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "2"), event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "ringcast-k"),
		hangup("2", "16"), hangup("ringcast-k", "16"))
	wantEvents(t, events, "dial ringcast-k", "dial ringcast-k 102", "bridge ringcast-k 102", "hangup ringcast-k 102 normal", "hangup ringcast-k normal")
	if e := events[0]; e.Direction != gateway.Internal || e.From.Raw != "101" || e.To.Raw != "102" {
		t.Errorf("got %+v", e)
	}
}

func TestTransferThatNobodyTakesLeavesNoCard(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	enter := func(id string) message { return event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", id) }
	wantEvents(t, feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"),
		newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newstate("2", "5"), newstate("2", "6"), enter("2"), enter("1"),
		event("BlindTransfer", "Result", "Success", "TransfererUniqueid", "2", "Extension", "102"),
		event("BridgeLeave", "BridgeUniqueid", "b", "Uniqueid", "1"), hangup("2", "16"),
		newchannel("PJSIP/102-3", "3", "1", "0", "", "s"), hangup("3", "17"), // busy: it never rings
		hangup("1", "17"),
	), "dial 1 101", "bridge 1 101", "transfer 1 101", "hangup 1 normal")
}

func TestLateEventsBeginNothing(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	root := newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101")
	feed(c, root, hangup("1", "16"))
	if got := feed(c, root, newstate("1", "6"), event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "1"), hangup("1", "16")); len(got) > 0 {
		t.Errorf("got %v", brief(got))
	}
	// A Linkedid outlives its call: what is called under it later is a call of its own.
	wantEvents(t, feed(c, newchannel("PJSIP/trunk-2", "2", "1", "4", "7902", "5550101"), hangup("2", "16")),
		"dial 2", "hangup 2 no_answer")
}

func TestListThatLostSomeEndsNothing(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	feed(c, newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"), newchannel("PJSIP/101-2", "2", "1", "0", "", "s"), newstate("2", "5"))
	c.expectList("l")
	complete := func(n string) message {
		return event("CoreShowChannelsComplete", "ActionID", "l", "ListItems", n)
	}
	wantEvents(t, feed(c, complete("2")))
	c.expectList("l")
	wantEvents(t, feed(c, event("CoreShowChannelsComplete", "ActionID", "another", "ListItems", "0")))
	wantEvents(t, feed(c, complete("0")), "hangup 1 no_answer")
}

// TestCustomerConnectedToAColleague: 101 talks with 102, then calls a customer and connects the two. The
// customer's call goes on, though it is the younger.
func TestCustomerConnectedToAColleague(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	enter := func(id, bridge string) message {
		return event("BridgeEnter", "BridgeUniqueid", bridge, "Uniqueid", id)
	}
	wantEvents(t, feed(c,
		newchannel("PJSIP/101-1", "1", "1", "4", "101", "102"), newchannel("PJSIP/102-2", "2", "1", "0", "", "s"),
		newstate("2", "5"), newstate("2", "6"), enter("2", "a"), enter("1", "a"),
		newchannel("PJSIP/101-3", "3", "3", "4", "101", "7900"), newchannel("PJSIP/trunk-4", "4", "3", "0", "", "s"),
		event("DialBegin", "Uniqueid", "3", "DestUniqueid", "4"), newstate("4", "6"), enter("4", "b"), enter("3", "b"),
		event("BridgeLeave", "BridgeUniqueid", "a", "Uniqueid", "2"), event("BridgeLeave", "BridgeUniqueid", "b", "Uniqueid", "3"),
		enter("2", "b"),
		event("AttendedTransfer", "Result", "Success", "OrigTransfererUniqueid", "1", "TransferTargetUniqueid", "4", "TransferTargetCallerIDNum", "7900"),
		hangup("1", "16"), hangup("3", "16"), hangup("4", "16"), hangup("2", "16"),
	), "dial 1 102", "bridge 1 102", "dial 3 101", "bridge 3 101",
		"merge 1", "dial 3 102", "bridge 3 102", "transfer 3 101", "hangup 3 normal")
}

// TestFarEndRingsBeforeTheDialBegins is an order in which Asterisk may send its events.
func TestFarEndRingsBeforeTheDialBegins(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	events := feed(c,
		newchannel("PJSIP/101-1", "1", "1", "4", "101", "79005550111"), newchannel("PJSIP/trunk-2", "2", "1", "0", "", "s"),
		event("Newstate", "Uniqueid", "2", "ChannelState", "5", "ConnectedLineNum", "5550100"),
		event("DialBegin", "Uniqueid", "1", "CallerIDNum", "5550100", "DestUniqueid", "2"), newstate("2", "6"))
	wantEvents(t, events, "dial 1 101")
	if e := events[0]; e.Direction != gateway.Outbound || e.Line != "5550100" {
		t.Errorf("got %+v", e)
	}
}

// TestServicesOfAsteriskAreNoCalls: who calls Asterisk itself, to hear his voicemail, calls nobody; who calls somebody
// that cannot be reached does.
func TestServicesOfAsteriskAreNoCalls(t *testing.T) {
	t.Parallel()
	for to, want := range map[string][]string{
		"*97": nil, "700": nil, // answered by Asterisk
		"104":         {"dial 1", "hangup 1 no_answer"},
		"10-4":        {"dial 1", "hangup 1 no_answer"},
		"79005550111": {"dial 1 101", "hangup 1 failed"},
	} {
		c := newCorrelator("", func(ext string) bool { return isUser(ext) || ext == "10-4" })
		trace := []message{newchannel("PJSIP/101-1", "1", "1", "4", "101", to)}
		if want == nil {
			trace = append(trace, newstate("1", "6"))
		}
		wantEvents(t, feed(c, append(trace, hangup("1", "20"))...), want...)
	}
}

// TestClickThatReachesNobody: the caller picked up, and Asterisk could call nobody. He did not give up.
func TestClickThatReachesNobody(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{"104": "hangup c no_answer", "79005550111": "hangup c failed"} {
		c := newCorrelator("", isUser)
		c.order("c", order{extension: "101", number: number})
		events := feed(c, newchannel("PJSIP/101-1", "c", "c", "0", "101", "s"), newstate("c", "5"), newstate("c", "6"), hangup("c", "20"))
		if got := brief(events); !slices.Contains(got, want) {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
}

// TestClickToAShortNumber: it may be a colleague's who is no user, which is clear when it is reached, as where a
// telephone dials it.
func TestClickToAShortNumber(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		number, reached string
		want            gateway.Direction
	}{
		{"900", "PJSIP/trunk-2", gateway.Outbound},
		{"112", "PJSIP/trunk-2", gateway.Outbound},
		{"155", "PJSIP/155-2", gateway.Internal},
		{"600", "PJSIP/155-2", gateway.Internal},   // a group of them
		{"104", "PJSIP/trunk-2", gateway.Internal}, // on his mobile
		{"79005550111", "PJSIP/trunk-2", gateway.Outbound},
	} {
		c := newCorrelator("", isUser)
		c.order("c", order{extension: "101", number: x.number})
		enter := func(id string) message { return event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", id) }
		events := feed(c, newchannel("PJSIP/101-1", "c", "c", "0", "101", "s"), newstate("c", "5"))
		wantEvents(t, events, map[bool]string{true: "dial c 101", false: "dial c"}[events[0].Direction == gateway.Outbound])
		events = append(events, feed(c, newstate("c", "6"), newchannel(x.reached, "2", "c", "0", "", "s"),
			event("DialBegin", "Uniqueid", "c", "CallerIDNum", "101", "DestUniqueid", "2", "DialString", x.number+"@trunk"),
			newstate("2", "5"), newstate("2", "6"), enter("c"), enter("2"), hangup("2", "16"), hangup("c", "16"))...)
		calls := track(t, events)
		call := calls["c"]
		if call.Direction != x.want || call.From.Raw != "101" || call.To.Raw != x.number || call.AnsweredAt.IsZero() || len(calls) != 1 {
			t.Errorf("%s by %s: %+v of %q", x.number, x.reached, call, brief(events))
		}
	}
}

// TestHungUpAtOnce: a telephone that answered and hung up before anybody heard anything has answered.
func TestHungUpAtOnce(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	wantEvents(t, feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"), newchannel("PJSIP/101-2", "2", "1", "0", "", "s"),
		event("DialBegin", "Uniqueid", "1", "DestUniqueid", "2"), newstate("2", "5"), newstate("2", "6"),
		event("DialEnd", "Uniqueid", "1", "DestUniqueid", "2"), newstate("1", "6"),
		event("HangupRequest", "Uniqueid", "2", "Cause", "16"),
		event("BridgeEnter", "BridgeUniqueid", "b", "Uniqueid", "2"), event("BridgeLeave", "BridgeUniqueid", "b", "Uniqueid", "2"),
		hangup("2", "16"), hangup("1", "16"),
	), "dial 1 101", "bridge 1 101", "hangup 1 101 normal", "hangup 1 normal")
}

// TestColleaguesTalkOnWithoutTheCustomer: 101 announces a customer to 102, the customer hangs up, and the two talk on:
// never with the customer.
func TestColleaguesTalkOnWithoutTheCustomer(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	enter := func(id, bridge string) message {
		return event("BridgeEnter", "BridgeUniqueid", bridge, "Uniqueid", id)
	}
	leave := func(id, bridge string) message {
		return event("BridgeLeave", "BridgeUniqueid", bridge, "Uniqueid", id)
	}
	wantEvents(t, feed(c,
		newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"), newchannel("PJSIP/101-2", "2", "1", "0", "", "s"),
		newstate("2", "5"), newstate("2", "6"), enter("2", "a"), enter("1", "a"),
		event("Hold", "Uniqueid", "2"), leave("2", "a"), enter("2", "b"),
		newchannel("PJSIP/102-3", "3", "1", "0", "", "s"), newstate("3", "5"), newstate("3", "6"), enter("3", "b"),
		event("HangupRequest", "Uniqueid", "1", "Cause", "16"), leave("1", "a"), hangup("1", "16"),
		event("HangupRequest", "Uniqueid", "2", "Cause", "16"), leave("2", "b"), leave("3", "b"), hangup("3", "16"), hangup("2", "16"),
	), "dial 1 101", "bridge 1 101", "hold 1 101", "dial 1 102", "consult 1 102", "unhold 1 101", "consult 1 101",
		"hangup 1 102 normal", "hangup 1 normal")
}

// TestCallHeardOfBeforeItsList: a channel of a running call begins after the login, and before the list that has the
// others comes. The gateway may know the call from before: it is told who is in it.
func TestCallHeardOfBeforeItsList(t *testing.T) {
	t.Parallel()
	c := newCorrelator("", isUser)
	c.expectList("l")
	at := time.Unix(1000, 0)
	events := c.take(newchannel("PJSIP/102-3", "3", "1", "0", "", "s"), at)
	events = append(events, c.take(newstate("3", "5"), at.Add(time.Second))...) // Asterisk takes its time for the list
	wantEvents(t, events)
	listed := func(m message) message {
		return append(m[1:], field{"Event", "CoreShowChannel"}, field{"ActionID", "l"})
	}
	wantEvents(t, feed(c,
		listed(newchannel("PJSIP/trunk-1", "1", "1", "6", "7901", "5550101")),
		listed(newchannel("PJSIP/102-3", "3", "1", "5", "", "s")),
		event("CoreShowChannelsComplete", "ActionID", "l", "ListItems", "2"),
	), "dial 1 102", "present 1 102")
}
