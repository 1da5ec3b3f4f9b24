package asterisk

import (
	"testing"
	"time"

	"ringcast/gateway"
)

// FuzzCorrelator makes events of any bytes, out of a small world so that they meet: nothing panics, what
// is told is sane, and when all channels are gone every call has ended.
func FuzzCorrelator(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 5, 0, 2, 1, 6, 0, 5, 0, 1, 0, 5, 1, 1, 0, 7, 0, 0, 0})
	f.Add([]byte{0, 8, 0, 0, 0, 9, 8, 0, 5, 8, 1, 0, 11, 8, 9, 0, 12, 3, 3, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newCorrelator("f-", isUser)
		c.order("2", order{extension: "101", number: "7900"})
		at := time.Unix(1000, 0)
		var events []gateway.Event
		take := func(m message) { events = append(events, c.take(m, at)...) }
		for ; len(data) >= 4 && len(events) < 10000; data = data[4:] {
			at = at.Add(time.Duration(data[3]) * time.Microsecond)
			take(fuzzEvent(c, data[0], data[1], data[2], data[3]))
		}
		c.expectList("end")
		take(event("CoreShowChannelsComplete", "ActionID", "end", "ListItems", "0"))
		checkSane(t, events)
		if b := newBook(t); len(events) < 300 { // to fold more takes its time
			if b.take(events); len(b.open()) > 0 {
				t.Errorf("open: %v", b.open())
			}
		}
		if len(c.live()) > 0 || len(c.channels) > 0 || len(c.calls) > 0 || len(c.pairs) > 0 || len(c.bridges) > 0 || len(c.waiting) > 0 {
			t.Errorf("left: %v, %d channels, %d pairs, %d bridges", c.live(), len(c.channels), len(c.pairs), len(c.bridges))
		}
	})
}

var fuzzNames = []string{
	"PJSIP/trunk-1", "PJSIP/101-2", "PJSIP/102-3", "PJSIP/101-4", "Local/101@x-1;1", "Local/101@x-1;2", "Recorder/x-1", "odd",
}

func fuzzEvent(c *correlator, what, a, b, n byte) message {
	id := func(x byte) string { return string('0' + x%16) }
	channel := []string{
		"Uniqueid", id(a), "Channel", fuzzNames[int(n)%len(fuzzNames)], "Linkedid", id(b), "ChannelState", id(b % 8),
		"CallerIDNum", "7900", "Exten", "555", "Application", []string{"", "AppDial"}[n%2],
	}
	bridge := []string{"BridgeUniqueid", "b" + id(b%4), "Uniqueid", id(a), "BridgeTechnology", []string{"", "", "", "holding_bridge"}[b%4]}
	switch what % 21 {
	case 0, 1:
		return event("Newchannel", append(channel, "ChannelState", id(n%7))...)
	case 2:
		return newstate(id(a), id(b%8))
	case 3:
		return event("DialBegin", "Uniqueid", id(a), "DestUniqueid", id(b))
	case 4:
		return event("LocalBridge", "LocalOneUniqueid", id(a), "LocalTwoUniqueid", id(b))
	case 5:
		return event("BridgeEnter", bridge...)
	case 6:
		return event("BridgeLeave", bridge...)
	case 7:
		return hangup(id(a), []string{"16", "17", "21", "26", "x"}[b%5])
	case 8:
		return event([]string{"Hold", "Unhold", "HangupRequest", "BridgeDestroy"}[b%4], bridge...)
	case 9:
		return event("BlindTransfer", "Result", "Success", "TransfererUniqueid", id(a), "Extension", []string{"102", "700"}[b%2])
	case 10:
		return event("AttendedTransfer", "Result", "Success", "OrigTransfererUniqueid", id(a), "TransferTargetUniqueid", id(b), "TransfereeUniqueid", id(n))
	case 11:
		c.expectList("l")
		return event("CoreShowChannel", append(channel, "ActionID", "l", "BridgeId", []string{"", "b0", "b1"}[n%3])...)
	case 12:
		return event("CoreShowChannelsComplete", "ActionID", "l", "ListItems", []string{"1", "x", "9"}[n%3])
	case 13:
		return event("Pickup", "Uniqueid", id(a), "TargetUniqueid", id(b))
	case 14:
		return event("ParkedCall", "ParkeeUniqueid", id(a), "ParkerDialString", []string{"PJSIP/101", "PJSIP/102", "", "PJSIP/trunk"}[n%4], "ParkingSpace", "701")
	case 15:
		return event([]string{"DialState", "DialEnd"}[n%2], "Uniqueid", id(b), "DestUniqueid", id(a), "DialStatus", "RINGING", "DestConnectedLineNum", "101")
	case 16:
		return event("NewCallerid", "Uniqueid", id(a), "CallerIDNum", "7900", "CallerIDName", "x")
	case 17:
		return event("VarSet", "Uniqueid", id(a), "Variable", "MIXMONITOR_FILENAME", "Value", "/x"+id(b))
	case 18:
		return event("AttendedTransfer", "Result", "Success", "OrigTransfererUniqueid", id(a), "SecondTransfererUniqueid", id(b))
	case 19:
		return event("BridgeEnter", "BridgeUniqueid", "room", "Uniqueid", id(a), "BridgeCreator", "ConfBridge")
	default:
		return event("CoreShowChannel", append(channel, "ActionID", "l", "BridgeId", "b1")...)
	}
}
