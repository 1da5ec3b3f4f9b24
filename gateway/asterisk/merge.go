package asterisk

import (
	"slices"
	"time"

	"ringcast/gateway"
)

// meet makes one call of all calls that the channels belong to; nil channels do not matter, nor those of calls that
// are over.
func (c *correlator) meet(channels ...*channel) {
	var into *call
	for _, ch := range channels {
		if ch != nil && !ch.call.over && (into == nil || ch.call.outlives(into)) {
			into = ch.call
		}
	}
	for _, ch := range channels {
		if ch != nil && !ch.call.over && ch.call != into {
			c.merge(ch.call, into)
		}
	}
}

// outlives says which of two calls that become one goes on: the one with somebody outside, for it is the
// one that the CRM is about; else the older.
func (k *call) outlives(other *call) bool {
	if k.foreign() != other.foreign() {
		return k.foreign()
	}
	return k.born < other.born
}

// foreign says whether a call is, or will turn out to be, one with somebody outside.
func (k *call) foreign() bool {
	return k.outside() || slices.ContainsFunc(k.channels, func(ch *channel) bool { return ch.kind == kindTrunk })
}

// merge moves all of one call into another. Its legs there are told anew.
func (c *correlator) merge(from, into *call) {
	into.waits = into.waits && from.waits
	c.leaveBefore(from)
	for _, ch := range from.channels {
		ch.call = into
	}
	for _, ch := range from.departed {
		ch.call = into
	}
	into.channels = append(into.channels, from.channels...)
	into.departed = append(into.departed, from.departed...)
	into.forget()
	for _, link := range from.links {
		c.calls[link] = into
	}
	into.links = append(into.links, from.links...)
	for len(into.links) > keepLinks {
		c.unlink(into.links[1])
		into.links = slices.Delete(into.links, 1, 2)
	}
	if into.reached == nil {
		into.reached = from.reached
	}
	from.channels, from.departed, from.recent, from.over = nil, nil, nil, true
	if from.announced {
		if !into.announced {
			c.settle(into)
		}
		if !into.announced {
			c.ring(into, nil)
		}
		c.emit(gateway.Event{Type: gateway.EventMerge, Call: from.id, Into: into.id})
		c.settle(into)
		for _, l := range from.legs { // the gateway moves them
			if into.leg(l.ext) == nil {
				into.legs = append(into.legs, l)
			}
		}
		c.settle(into)
	}
	if !from.announced && from.found { // as far as the gateway knows it
		c.emit(gateway.Event{Type: gateway.EventPresent, Call: from.id, Cause: gateway.CauseNormal})
	}
	if into.recording == "" && from.recording != "" {
		c.setRecording(into, from.recording)
	}
}

// leaveBefore tells who handed the call on that is about to be merged: who does not go on in the other call, and who
// left this one just before.
func (c *correlator) leaveBefore(from *call) {
	if !from.announced {
		return
	}
	for _, old := range from.recent {
		if old.ext != "" && (old.cause == gateway.CauseNormal || old.ext == from.caller) && c.clock.Sub(old.clock) < lateCause {
			c.emitAt(gateway.Event{Type: gateway.EventTransfer, Call: from.id, Extensions: []string{old.ext}}, old.at.Add(-time.Microsecond))
		}
	}
	from.legs = slices.DeleteFunc(from.legs, func(l *leg) bool {
		if from.has(l.ext) {
			return false
		}
		c.emit(gateway.Event{Type: gateway.EventTransfer, Call: from.id, Extensions: []string{l.ext}})
		return true
	})
}
