package asterisk

import (
	"slices"
	"time"

	"ringcast/gateway"
)

// settle tells what has changed in a call: it compares who rings and talks now with what was told. It is
// called after anything happened to the call, and does nothing when nothing follows.
func (c *correlator) settle(k *call) {
	c.touch(k)
	if k.waits || c.quiet {
		return
	}
	if len(k.channels) == 0 {
		c.finish(k)
		return
	}
	if k.over {
		return // who is heard of late is about to be gone
	}
	c.orient(k)
	now := c.look(k)
	if len(now.ringing) > 0 {
		c.ring(k, now.ringing)
	}
	if len(now.consulting) > 0 {
		c.talk(k, now.consulting, gateway.EventConsult)
	}
	if len(now.talking) > 0 {
		c.talk(k, now.talking, gateway.EventBridge)
	}
	if now.outside && !k.bridged {
		c.talkOutside(k)
	}
	if k.announced && !k.lineTold && k.line != "" {
		c.announce(k, nil)
	}
	c.endLegs(k)
}

// news is who begins to ring and to talk.
type news struct {
	ringing, talking, consulting []string
	outside                      bool // two parties talk of whom none is an extension of the call
}

func (c *correlator) look(k *call) news {
	var n news
	inside := false
	for _, ch := range k.channels {
		if ch.handedOn || !ch.party() {
			continue
		}
		company := c.company(ch)
		talks := len(company) > 1 || ch.hungUpAtOnce()
		if talks {
			ch.speak(c.step, c.clock)
			k.answered = true
		}
		if ch.kind == kindTrunk {
			n.outside = n.outside || talks
			continue
		}
		inside = inside || talks
		l := k.leg(ch.ext)
		switch {
		case talks && k.lost(company):
			if l == nil || !l.talking || !l.consults {
				n.consulting = append(n.consulting, ch.ext)
			}
		case talks && (l == nil || !l.talking || l.consults):
			if !c.consults(ch, company) {
				n.talking = append(n.talking, ch.ext)
			} else if l == nil || !l.talking {
				n.consulting = append(n.consulting, ch.ext)
			}
		case l == nil && k.ringsOn(ch):
			n.ringing = append(n.ringing, ch.ext)
		}
	}
	n.outside = n.outside && !inside
	for _, list := range []*[]string{&n.ringing, &n.talking, &n.consulting} {
		if len(*list) > 1 {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
	}
	return n
}

// lost says whether colleagues of this company talk on whose customer hung up.
func (k *call) lost(company []*channel) bool {
	if !k.outside() || len(company) < 2 {
		return false
	}
	gone := false
	return !k.anyParty(func(ch *channel) bool {
		gone = gone || ch.kind == kindTrunk && ch.talked()
		return ch.kind == kindTrunk && ch.asked == 0 && ch.died == 0 || slices.Contains(company, ch) && ch.kind == kindTrunk
	}) && gone
}

// hungUpAtOnce says whether somebody who was called answered, whereupon his caller was, and asked to hang up before
// they heard each other.
func (ch *channel) hungUpAtOnce() bool {
	if ch.asked == 0 || ch.up == 0 || ch.rang == 0 || ch.talked() {
		return false
	}
	_, by := ch.caller()
	return by != nil && by.up > ch.rang
}

// ringsOn says whether a channel makes its extension ring. The caller's own rings until the far end
// answers, once it is clear that it calls outside; in an internal call that goes without saying.
func (k *call) ringsOn(ch *channel) bool {
	switch {
	case k.called(ch):
		return ch.rings()
	case ch.ext != k.caller || !ch.live():
		return false
	case k.direction == gateway.Outbound:
		return !k.answered && (k.ordered || k.reached != nil)
	default:
		return k.ordered && !k.announced
	}
}

// ring tells that extensions ring.
func (c *correlator) ring(k *call, extensions []string) {
	if !k.announced {
		c.decide(k, extensions)
		if k.direction == gateway.Internal && k.caller != "" {
			extensions = slices.DeleteFunc(extensions, func(ext string) bool { return ext == k.caller })
			k.legs = append(k.legs, &leg{ext: k.caller})
		}
	}
	for _, ext := range extensions {
		k.legs = append(k.legs, &leg{ext: ext})
	}
	c.announce(k, extensions)
}

// announce emits a call.dial, the first of which says everything about the call.
func (c *correlator) announce(k *call, extensions []string) {
	first := !k.announced
	k.announced, k.lineTold = true, k.line != ""
	c.emit(k.dial(extensions))
	if first && k.recording != "" {
		c.emit(gateway.Event{Type: gateway.EventRecording, Call: k.id, Recording: k.recording})
	}
}

// dial is a call.dial of the call.
func (k *call) dial(extensions []string) gateway.Event {
	return gateway.Event{
		Type: gateway.EventDial, Call: k.id, Direction: k.direction, Extensions: extensions,
		From: gateway.Number{Raw: k.from}, To: gateway.Number{Raw: k.to}, Line: k.line, Name: k.name,
	}
}

// talk tells that extensions talk. Those that did not ring, because they dialled to take the call or
// answered by themselves, ring first.
func (c *correlator) talk(k *call, extensions []string, as gateway.EventType) {
	unknown := slices.DeleteFunc(slices.Clone(extensions), func(ext string) bool { return k.leg(ext) != nil })
	if len(unknown) > 0 || !k.announced {
		c.ring(k, unknown)
	}
	both := false // somebody besides the caller talks: that the caller does goes without saying
	for _, l := range k.legs {
		if slices.Contains(extensions, l.ext) {
			if l.held && as == gateway.EventConsult { // nobody is held any more
				l.held = false
				c.emit(gateway.Event{Type: gateway.EventUnhold, Call: k.id, Extensions: []string{l.ext}})
			}
			l.talking, l.consults = true, as == gateway.EventConsult
		}
		both = both || l.talking && l.ext != k.caller
	}
	if k.direction == gateway.Internal && both && !k.bridged {
		extensions = slices.DeleteFunc(extensions, func(ext string) bool { return ext == k.caller })
	}
	if len(extensions) > 0 {
		k.bridged = true
		c.emit(gateway.Event{Type: as, Call: k.id, Extensions: extensions})
	}
}

// talkOutside tells that the call was answered, though by nobody at a telephone of the company: on a mobile that it
// was forwarded to, or in a conference.
func (c *correlator) talkOutside(k *call) {
	if !k.announced {
		c.ring(k, nil)
	}
	k.bridged = true
	c.emit(gateway.Event{Type: gateway.EventBridge, Call: k.id})
}

// endLegs tells which extensions are out of the call: those that have no channel left in it.
func (c *correlator) endLegs(k *call) {
	k.legs = slices.DeleteFunc(k.legs, func(l *leg) bool {
		if k.has(l.ext) {
			return false
		}
		c.endLeg(k, l)
		return true
	})
}

func (c *correlator) endLeg(k *call, l *leg) {
	cause := k.legCause(l)
	c.makeRoom()
	at := c.emit(gateway.Event{Type: gateway.EventHangup, Call: k.id, Extensions: []string{l.ext}, Cause: cause})
	k.recent = append(k.recent, &ending{l.ext, l.last, cause, at, c.clock})
}

// finish ends a call whose last channel is gone. One that reached no telephone was never announced: it was
// made all the same.
func (c *correlator) finish(k *call) {
	c.end(k)
	late := k.over
	k.over = true
	c.orient(k)
	switch {
	case k.announced && late: // revise tells what is clearer now
		if len(k.recent) > 0 && !k.lineTold && k.line != "" {
			k.lineTold = true
			c.emitAt(k.dial(nil), k.recent[0].at.Add(-2*time.Microsecond))
		}
		return
	case k.announced:
	case k.direction == gateway.Inbound:
		c.announce(k, nil)
	case k.caller != "" && k.reached != nil, c.inVain(k):
		if k.ordered && k.reached == nil {
			c.announce(k, nil)
		} else {
			c.ring(k, []string{k.caller})
		}
	default:
		if k.found && !late { // as far as the gateway knows it
			c.emit(gateway.Event{Type: gateway.EventPresent, Call: k.id, Cause: k.cause()})
		}
		return
	}
	whole := k.cause()
	var last []*leg
	for _, l := range k.legs {
		if k.legCause(l) == whole {
			last = append(last, l)
		} else {
			c.endLeg(k, l)
		}
	}
	c.makeRoom()
	at := c.emit(gateway.Event{Type: gateway.EventHangup, Call: k.id, Cause: whole})
	k.recent = append(k.recent, &ending{cause: whole, at: at, clock: c.clock})
	for _, l := range last {
		k.recent = append(k.recent, &ending{l.ext, l.last, whole, at, c.clock})
	}
	k.legs = nil
}
