package asterisk

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"

	"ringcast/gateway"
)

// call is a set of channels, and what the gateway was told of it.
type call struct {
	id       string
	born     int      // the order in which calls began
	links    []string // the Linkedids that lead here
	channels []*channel

	direction gateway.Direction // "" until it is clear who is called
	caller    string            // the extension that made the call, if one did
	from, to  string
	line      string
	name      string
	ordered   bool // by a click: Asterisk calls the caller first
	reached   bool // somebody besides the caller was called, or is there
	answered  bool // two parties talked
	gaveUp    bool // the caller hung up before that

	announced bool
	legs      []*leg
	ends      []gateway.Cause // of those who were called and did not talk
}

// leg is an extension's share of a call, as the gateway was told.
type leg struct {
	ext      string
	talking  bool
	held     bool
	handedOn bool // by a transfer: its end is told
	expected bool // a transfer goes there, and it does not ring yet
	cause    gateway.Cause
}

// add makes a channel part of the call. The first one says where the call comes from and what was
// dialled: both change in the dial plan later.
func (k *call) add(ch *channel, m message) {
	ch.call = k
	k.channels = append(k.channels, ch)
	if k.direction == "" && k.caller == "" {
		switch {
		case ch.kind == kindTrunk && !ch.outgoing:
			k.direction = gateway.Inbound
			k.from, k.to, k.name = publicNumber(m.get("CallerIDNum")), dialled(m), text(m.get("CallerIDName"))
			k.line = k.to
			if k.line == "" || m.get("Event") == "CoreShowChannel" { // the dial plan has moved on since
				k.line = text(ch.endpoint)
			}
		case ch.kind == kindDevice && !ch.outgoing:
			k.caller, k.from, k.to = ch.ext, ch.ext, dialled(m)
		case ch.kind == kindDevice: // called, and nobody calls: somebody ordered it
			k.ordered, k.direction, k.caller, k.from = true, gateway.Outbound, ch.ext, ch.ext
		case ch.kind == kindTrunk:
			k.direction = gateway.Outbound
		}
	}
	k.hear(ch, m)
}

// hear learns what a channel's events say by the way.
func (k *call) hear(ch *channel, m message) {
	if k.ordered && k.to == "" && ch.ext == k.caller {
		for _, key := range []string{"ConnectedLineNum", "CallerIDNum"} {
			if n := publicNumber(m.get(key)); n != "" && n != k.caller {
				k.to = n
				break
			}
		}
	}
	if ch.live() {
		k.leaveBy(ch, m.get("ConnectedLineNum"))
	}
	k.reach(ch)
}

// dials learns from the beginning of a Dial to a channel of the call.
func (k *call) dials(to *channel, m message) {
	k.reach(to)
	k.leaveBy(to, m.get("CallerIDNum"))
}

// leaveBy learns the line of a call to the outside: the number that the dial plan put in the caller's
// place, else the trunk.
func (k *call) leaveBy(trunk *channel, number string) {
	if trunk.kind != kindTrunk || !trunk.outgoing || k.line != "" {
		return
	}
	k.line = publicNumber(number)
	if k.line == "" || k.line == k.caller || k.line == k.to || k.line == k.from {
		k.line = text(trunk.endpoint)
	}
}

// reach notes that somebody besides the caller is called.
func (k *call) reach(ch *channel) {
	if !ch.outgoing || !ch.begun || !ch.party() || ch.ext != "" && ch.ext == k.caller {
		return
	}
	k.reached = true
	if k.direction == "" {
		k.direction = gateway.Internal
		if ch.kind == kindTrunk {
			k.direction = gateway.Outbound
		}
	}
}

// outside says whether somebody outside the company takes part.
func (k *call) outside() bool {
	return k.direction == gateway.Inbound || k.direction == gateway.Outbound
}

// called says whether a channel is one that was called in this call.
func (k *call) called(ch *channel) bool { return ch.outgoing && ch.party() && !k.calls(ch) }

// calls says whether a channel is the caller's own.
func (k *call) calls(ch *channel) bool {
	return ch.party() && !ch.outgoing || k.ordered && ch.ext != "" && ch.ext == k.caller
}

// lose takes a channel that is gone out of the call and learns from how it went.
func (k *call) lose(ch *channel, cause int) {
	k.channels = slices.DeleteFunc(k.channels, func(x *channel) bool { return x == ch })
	if k.calls(ch) {
		k.gaveUp = k.gaveUp || !k.answered && (ch.asked || k.rings())
	}
	if !k.called(ch) {
		return
	}
	end := k.endOf(ch, cause)
	if l := k.leg(ch.ext); l != nil {
		l.cause, l.expected = end, false
	}
	if !ch.talked {
		k.ends = append(k.ends, end)
	}
}

// rings says whether somebody who was called rings still.
func (k *call) rings() bool {
	return slices.ContainsFunc(k.channels, func(ch *channel) bool { return k.called(ch) && ch.state == stateRinging })
}

// endOf says why a called channel ended. Only the causes that come from the telephone itself can be
// believed; the rest is told by what the others do.
func (k *call) endOf(ch *channel, cause int) gateway.Cause {
	taken := slices.ContainsFunc(k.channels, func(x *channel) bool { return k.called(x) && x.state == stateUp })
	asked := slices.ContainsFunc(k.channels, func(x *channel) bool { return k.calls(x) && x.asked })
	switch {
	case ch.talked:
		return gateway.CauseNormal
	case cause == 26 || taken:
		return gateway.CauseElsewhere
	case k.gaveUp || asked && !k.answered:
		return gateway.CauseCancelled
	case cause == 17:
		return gateway.CauseBusy
	case cause == 21:
		return gateway.CauseRejected
	case ch.state != stateRinging && unreachable[cause]:
		return gateway.CauseFailed
	default:
		return gateway.CauseNoAnswer
	}
}

// unreachable lists the causes (Q.850) of a number or a line that does not work.
var unreachable = map[int]bool{
	1: true, 2: true, 3: true, 20: true, 22: true, 27: true, 28: true, 29: true, 34: true, 38: true, 41: true,
	42: true, 44: true, 50: true, 52: true, 54: true, 57: true, 58: true, 66: true, 88: true,
}

// cause says why the whole call ended.
func (k *call) cause() gateway.Cause {
	for _, own := range []struct {
		is    bool
		cause gateway.Cause
	}{
		{k.answered, gateway.CauseNormal},
		{k.gaveUp, gateway.CauseCancelled},
		{k.ordered && !k.reached, gateway.CauseCancelled}, // the caller did not pick up his own call
	} {
		if own.is {
			return own.cause
		}
	}
	for _, cause := range []gateway.Cause{
		gateway.CauseNoAnswer, gateway.CauseRejected, gateway.CauseBusy, gateway.CauseFailed, gateway.CauseCancelled,
	} {
		if slices.Contains(k.ends, cause) {
			return cause
		}
	}
	if k.direction == gateway.Outbound {
		return gateway.CauseFailed
	}
	return gateway.CauseNoAnswer
}

func (k *call) leg(ext string) *leg {
	if i := slices.IndexFunc(k.legs, func(l *leg) bool { return l.ext == ext }); i >= 0 {
		return k.legs[i]
	}
	return nil
}

// callID is the id under which the gateway knows a call, of at most the 128 characters that it allows.
func callID(linked string) string {
	if linked = text(linked); len(linked) <= 128 {
		return linked
	}
	sum := sha256.Sum256([]byte(linked))
	return hex.EncodeToString(sum[:])
}

// dialled returns the number that a channel's first event says was dialled.
func dialled(m message) string {
	if exten := text(m.get("Exten")); exten != "s" {
		return exten
	}
	return ""
}

// publicNumber returns a caller's number, "" for one that is withheld.
func publicNumber(s string) string {
	switch strings.ToLower(s) {
	case "anonymous", "restricted", "private", "unavailable", "withheld", "unknown", "asterisk", "s":
		return ""
	}
	return text(s)
}

// text makes a value from outside fit to be shown: no control characters, no endless names.
func text(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s))
	if runes := []rune(s); len(runes) > 128 {
		return string(runes[:128])
	}
	return s
}
