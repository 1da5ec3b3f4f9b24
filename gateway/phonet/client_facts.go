package phonet

import (
	"cmp"
	"time"

	"ringcast/gateway"
)

// fact is what a message, a row of the live calls or one of the history says of a part of a call. Times are
// Phonet's.
type fact struct {
	uuid, parent string
	direction    gateway.Direction
	ext          string  // whose telephone rings or (outgoing) calls; of a group, its number; "" for a menu
	kind         legType // 0: not known
	caller       string  // of an internal call: the extension that calls
	number       string  // the outside party's
	name, line   string

	dialAt, bridgeAt, endAt time.Time // zero: not, or not known
	saidAt                  time.Time // when it was said
	bridged, over           bool
	cause                   gateway.Cause // "": not known
	recording               string
	handed                  []string // who had the leg before, of the history
	listed                  bool     // it is of the list of live calls
	settled                 bool     // it is of the history: the last word on a call
}

// skew is how far Phonet's clock is from ours.
type skew struct {
	known bool
	least time.Duration // between the time a message bears and its arrival
}

// heard learns from a message's own time.
func (s *skew) heard(sent, now time.Time) {
	if sent.IsZero() {
		return
	}
	if d := now.Sub(sent); !s.known || d < s.least {
		s.known, s.least = true, d
	}
}

// fix returns a time of Phonet's by our clock.
func (s *skew) fix(t time.Time) time.Time {
	if s.least.Abs() < maxSkew {
		return t
	}
	return t.Add(s.least)
}

// theirs returns a time of ours by Phonet's clock.
func (s *skew) theirs(t time.Time) time.Time { return t.Add(t.Sub(s.fix(t))) }

// directionOf is what a direction means to the gateway, "" for what is no call.
func directionOf(d direction) gateway.Direction {
	switch d {
	case dirInternal:
		return gateway.Internal
	case dirOutgoing:
		return gateway.Outbound
	case dirIncoming:
		return gateway.Inbound
	default:
		return ""
	}
}

// factOf reads a message of a call, or a row of the live ones.
func factOf(m callMessage) fact {
	f := fact{
		uuid: string(m.UUID), parent: string(m.ParentUUID), direction: directionOf(m.LgDirection), line: string(cmp.Or(m.TrunkNum, m.TrunkName)),
		dialAt: m.DialAt.time(), bridgeAt: m.BridgeAt.time(), endAt: millis(m.ServerTime).time(),
		saidAt:  millis(m.ServerTime).time(),
		bridged: m.Event == eventBridge || m.BridgeAt != 0, over: m.Event == eventHangup,
	}
	whose := m.Leg
	if f.direction == gateway.Internal {
		f.caller, _ = m.Leg.whose()
		whose = m.Leg2
	}
	f.ext, f.kind = whose.whose()
	f.number, f.name = m.OtherLegs.client()
	return f
}

// whose returns a leg's extension, and what it is; 0 when the message does not say that.
func (l *leg) whose() (ext string, kind legType) {
	if l == nil {
		return "", legScenario
	}
	return string(l.Ext), l.Type
}

// client returns the outside party's number and name: of the first CRM that knows them.
func (o otherLegs) client() (number, name string) {
	var company string
	for _, l := range o {
		number, name, company = cmp.Or(number, string(l.Num)), cmp.Or(name, string(l.Name)), cmp.Or(company, string(l.CompanyName))
	}
	return number, cmp.Or(name, company)
}
