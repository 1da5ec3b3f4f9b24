package asterisk

import (
	"strings"

	"ringcast/gateway"
)

// learn takes from a new channel where its call comes from. The root says it best, for what a channel's first event
// names changes in the dial plan later; until that has come, the first that called will do.
func (c *correlator) learn(k *call, ch *channel, m message) {
	root := ch.id == k.links[0]
	k.waits = k.waits && !root
	if root && ch.kind == kindLocal {
		k.headless = true
		for _, x := range k.channels { // it may come after those that it calls
			if x != ch && x.party() && x.outgoing && !k.learned && !k.announced {
				k.ordersBy(x)
			}
		}
	}
	if k.rooted || k.announced || !ch.party() || k.learned && !root {
		return
	}
	switch {
	case ch.kind == kindTrunk && !ch.outgoing:
		k.direction, k.caller = gateway.Inbound, ""
		k.from, k.to = publicNumber(m.get("CallerIDNum")), dialled(m)
		k.name = callerName(m.get("CallerIDName"), k.from)
		k.line = k.to
		if k.line == "" || m.get("Event") == "CoreShowChannel" { // the dial plan has moved on since
			k.line = text(ch.endpoint)
		}
	case ch.kind == kindDevice && !ch.outgoing:
		k.direction, k.caller, k.from, k.to = "", ch.ext, ch.ext, c.numbers.Dialled(dialled(m))
		k.line, k.name = "", ""
	case root || k.headless:
		k.ordersBy(ch)
	default: // called by one that is not known yet
		return
	}
	k.learned, k.rooted = true, root || k.headless
}

// ordersBy makes the call one that somebody ordered: Asterisk calls, and nobody called it.
func (k *call) ordersBy(first *channel) {
	k.learned, k.rooted, k.direction = true, true, gateway.Outbound
	if first.kind != kindDevice {
		return
	}
	k.ordered, k.caller, k.from = true, first.ext, first.ext
	if k.reached != nil && k.reached.ext == k.caller { // he seemed to be the one who is called
		k.reached, k.to = nil, ""
	}
}

// newCallerID learns the number and the name of a caller that come, or are looked up, after his channel began.
func (c *correlator) newCallerID(m message) {
	ch := c.channels[m.get("Uniqueid")]
	if ch == nil || ch.kind != kindTrunk || ch.outgoing || ch.call.announced || ch.call.direction != gateway.Inbound ||
		ch.id != ch.call.links[0] || strings.Contains(m.get("CID-CallingPres"), "Prohibited") {
		return
	}
	k := ch.call
	if k.from == "" {
		k.from = publicNumber(m.get("CallerIDNum"))
	}
	if k.name == "" {
		k.name = callerName(m.get("CallerIDName"), k.from)
	}
}

// hear learns what a channel's events say by the way.
func (k *call) hear(ch *channel, m message) {
	ch.show(m.get("CallerIDNum"), m.get("ConnectedLineNum"))
	if ch.live() {
		k.leaveBy(ch, m.get("ConnectedLineNum"))
	}
	k.reach(ch)
}

// dials learns from the beginning of a Dial to a channel of the call.
func (k *call) dials(to *channel, m message) {
	k.reach(to)
	if number := dialString(m.get("DialString")); k.to == "" && to == k.reached && k.direction != gateway.Inbound {
		k.to = text(number)
		if to.ext != "" {
			k.to = to.ext
		}
	}
	if m.get("Uniqueid") != "" { // else nobody's number is in it
		k.leaveBy(to, m.get("CallerIDNum"))
	}
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
	if k.reached == nil || k.reached.kind == kindTrunk && ch.kind == kindDevice && !k.announced {
		k.reached = ch
	}
}

// orient decides the direction of a call that a telephone made, when somebody is called: who dials a colleague
// makes an internal call also when that one is to be found on a mobile.
func (c *correlator) orient(k *call) {
	if k.ordered && k.to == "" {
		k.to = k.orderedNumber()
	}
	if k.ordered && !k.announced && c.isExtension(k.to) {
		k.direction = gateway.Internal
	}
	if k.ordered && k.direction == gateway.Internal && k.reached != nil && k.reached.kind == kindTrunk && !c.isUser(k.to) {
		k.direction = gateway.Outbound // it seemed to be a colleague who is no user, and is a short public number
	}
	if k.direction != "" || k.caller == "" || k.reached == nil {
		return
	}
	k.direction = gateway.Internal
	if k.reached.kind == kindTrunk && !c.isUser(k.to) {
		k.direction = gateway.Outbound
	}
}

// inVain says whether a call that is over and reached nobody was meant for somebody: who calls a colleague whose
// telephone is off, or a number when all lines are, or orders a call while his own is busy. It decides which it was.
// Who calls a service of Asterisk, to hear his voicemail or to park, is answered by that.
func (c *correlator) inVain(k *call) bool {
	if k.caller == "" || k.to == "" || k.to == k.caller {
		return false
	}
	isCode := strings.Trim(k.to, "+0123456789") != ""
	if !c.isUser(k.to) && (isCode || k.anyParty(func(ch *channel) bool { return ch.up > 0 })) {
		return false
	}
	if k.direction == "" {
		k.direction = gateway.Outbound
		if c.isExtension(k.to) {
			k.direction = gateway.Internal
		}
	}
	return true
}

// orderedNumber is whom an ordered call is for, as the caller's own telephone shows it.
func (k *call) orderedNumber() string {
	number := ""
	k.anyParty(func(ch *channel) bool {
		for _, n := range []string{ch.partner, ch.number} {
			if number == "" && ch.ext == k.caller && n != k.caller {
				number = n
			}
		}
		return number != ""
	})
	return number
}

// decide settles what is still open when the gateway is to be told of a call.
func (c *correlator) decide(k *call, extensions []string) {
	c.orient(k)
	if !k.learned { // its root is gone, or was never seen
		for _, ch := range k.channels {
			if ch.kind == kindTrunk && k.direction == "" {
				k.direction, k.to = gateway.Outbound, ch.number
			}
		}
	}
	if k.direction == "" {
		k.direction = gateway.Internal
	}
	if k.direction == gateway.Outbound && k.from == "" && len(extensions) > 0 {
		k.from = extensions[0]
	}
}
