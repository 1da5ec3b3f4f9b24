package asterisk

import "ringcast/gateway"

// meet makes one call of all calls that the channels belong to; nil channels do not matter.
func (c *correlator) meet(channels ...*channel) {
	var into *call
	for _, ch := range channels {
		if ch != nil && (into == nil || ch.call.outlives(into)) {
			into = ch.call
		}
	}
	for _, ch := range channels {
		if ch != nil && ch.call != into {
			c.merge(ch.call, into)
		}
	}
}

// outlives says which of two calls that become one goes on: the one with somebody outside, for it is the
// one that the CRM is about; else the older.
func (k *call) outlives(other *call) bool {
	if k.outside() != other.outside() {
		return k.outside()
	}
	return k.born < other.born
}

// merge moves all of one call into another. Its legs there are told anew.
func (c *correlator) merge(from, into *call) {
	for _, ch := range from.channels {
		ch.call = into
	}
	into.channels = append(into.channels, from.channels...)
	for _, link := range from.links {
		c.calls[link] = into
	}
	into.links = append(into.links, from.links...)
	into.reached = into.reached || from.reached
	if !from.announced {
		return // the settling that follows tells the rest
	}
	if !into.announced {
		c.settle(into)
	}
	if !into.announced {
		c.ring(into, nil)
	}
	c.emit(gateway.Event{Type: gateway.EventMerge, Call: from.id, Into: into.id})
	c.settle(into)
}

// transfer tells who handed the call on, and to whom. That the customer then is elsewhere is told by the
// channels; many transfers have no event at all.
func (c *correlator) transfer(m message) {
	if m.get("Result") != "Success" {
		return
	}
	var by *channel
	var target string
	if m.get("Event") == "BlindTransfer" {
		by, target = c.channels[m.get("TransfererUniqueid")], text(m.get("Extension"))
	} else {
		by = c.channels[m.get("OrigTransfererUniqueid")]
		to := c.channels[m.get("TransferTargetUniqueid")]
		c.meet(by, to, c.channels[m.get("SecondTransfererUniqueid")], c.channels[m.get("TransfereeUniqueid")])
		target = text(m.get("TransferTargetCallerIDNum"))
		if to != nil && to.ext != "" {
			target = to.ext
		}
	}
	if by == nil {
		return
	}
	k := by.call
	if l := k.leg(by.ext); l != nil && l.talking && !l.handedOn && target != "" {
		l.handedOn = true
		if c.isUser(target) && k.leg(target) == nil {
			k.legs = append(k.legs, &leg{ext: target, expected: true})
		}
		c.emit(gateway.Event{
			Type: gateway.EventTransfer, Call: k.id, Extensions: []string{by.ext}, Target: target,
		})
	}
	c.settle(k)
}
