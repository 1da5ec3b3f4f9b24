package asterisk

import (
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
)

// Transfers, parking, pick-up. That the customer then is elsewhere is told by the channels, and many transfers
// have no event at all; these events say who handed the call on, and to whom.

func (c *correlator) blindTransfer(m message) {
	if m.get("Result") != "Success" {
		return
	}
	if by := c.know(m.get("TransfererUniqueid")); by != nil {
		c.handOn(by.call, by.ext, text(m.get("Extension")), by)
	}
}

// attendedTransfer joins the two calls of the one who transfers, or the two sides of his one call.
func (c *correlator) attendedTransfer(m message) {
	if m.get("Result") != "Success" {
		return
	}
	by, second := c.know(m.get("OrigTransfererUniqueid")), c.know(m.get("SecondTransfererUniqueid"))
	to := c.channels[m.get("TransferTargetUniqueid")]
	for _, x := range []*channel{by, second} {
		if x != nil {
			x.handedOn = true
		}
	}
	c.meet(to, c.channels[m.get("TransfereeUniqueid")], by, second)
	if by == nil {
		return
	}
	for _, x := range by.call.channels { // in the call that his two became
		x.handedOn = x.handedOn || x.ext == by.ext && by.ext != ""
	}
	target := text(m.get("TransferTargetCallerIDNum"))
	if to != nil && to.ext != "" {
		target = to.ext
	}
	c.handOn(by.call, by.ext, target, by, second)
}

// parked ends the part of the one who parked the call, also where he used no transfer for it.
func (c *correlator) parked(m message) {
	parkee := c.find(m, "ParkeeUniqueid")
	parker := m.get("ParkerDialString")
	_, endpoint, _ := strings.Cut(parker, "/")
	ext, ok := c.extension(&channel{name: parker, endpoint: endpoint})
	if parkee == nil || !ok {
		return
	}
	var own []*channel
	parkee.call.anyParty(func(x *channel) bool {
		if x.ext == ext && x.up > 0 && !x.handedOn {
			own = append(own, x)
		}
		return false
	})
	if len(own) > 0 {
		if l := parkee.call.leg(ext); l != nil && !l.talking { // he had answered unseen
			c.talk(parkee.call, []string{ext}, gateway.EventBridge)
		}
		c.handOn(parkee.call, ext, text(m.get("ParkingSpace")), own...)
	}
}

// pickup ties the one who takes a ringing call to it. He is connected in place of the telephone that rang.
func (c *correlator) pickup(m message) {
	by, rang := c.find(m, "Uniqueid"), c.know(m.get("TargetUniqueid"))
	if by == nil || rang == nil || rang.call.over {
		return
	}
	rang.taken = true
	k := rang.call
	c.touch(k)
	if rang.died == 0 {
		c.meet(rang, by)
		k = rang.call
	} else if other := firstParty(k.channels); other != nil {
		c.meet(other, by)
		k = other.call
	}
	c.settle(k)
}

func firstParty(channels []*channel) *channel {
	if i := slices.IndexFunc(channels, (*channel).party); i >= 0 {
		return channels[i]
	}
	return nil
}

// know returns a channel that there is, or was until just now.
func (c *correlator) know(id string) *channel {
	if ch := c.channels[id]; ch != nil {
		return ch
	}
	return c.gone.channel(id)
}

// handOn tells that an extension handed the call on. Its channels, which may stay for a moment, are not its part in
// the call any more; when they are gone already, this comes late.
func (c *correlator) handOn(k *call, ext, target string, by ...*channel) {
	for _, ch := range by {
		if ch != nil {
			ch.handedOn = true
		}
	}
	if c.isExtension(target) {
		target = "" // whether it rings there is told when it does
	}
	if !k.over {
		c.waitAside(k, ext)
	}
	e := gateway.Event{Type: gateway.EventTransfer, Call: k.id, Extensions: []string{ext}, Target: target}
	switch l := k.leg(ext); {
	case ext == "":
	case l != nil && !k.has(ext):
		k.legs = slices.DeleteFunc(k.legs, func(x *leg) bool { return x == l })
		c.emit(e)
	case l == nil:
		for _, old := range slices.Backward(k.recent) {
			if old.ext == ext && old.cause == gateway.CauseNormal && c.clock.Sub(old.clock) < lateCause {
				old.at = old.at.Add(-time.Microsecond)
				c.emitAt(e, old.at)
				break
			}
		}
	}
	if !k.over {
		c.settle(k)
	}
}

// waitAside tells of the colleagues whom an extension talked with and hands on that they talk with nobody just now.
func (c *correlator) waitAside(k *call, by string) {
	if k.outside() {
		return
	}
	for _, l := range k.legs {
		if l.ext != by && l.talking && !l.consults && k.has(l.ext) {
			l.consults = true
			c.emit(gateway.Event{Type: gateway.EventConsult, Call: k.id, Extensions: []string{l.ext}})
		}
	}
}

// record notes where the recording of a channel's call is kept at the PBX.
func (c *correlator) record(uniqueid, path string) {
	if ch := c.know(uniqueid); ch != nil && path != "" {
		if where := c.recordingAt(path); where != "" {
			c.setRecording(ch.call, where)
		}
	}
}

func (c *correlator) setRecording(k *call, where string) {
	if k.recording == where {
		return
	}
	k.recording = where
	if k.announced {
		c.emit(gateway.Event{Type: gateway.EventRecording, Call: k.id, Recording: where})
	}
}
