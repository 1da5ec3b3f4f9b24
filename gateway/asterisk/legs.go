package asterisk

import (
	"slices"

	"ringcast/gateway"
)

// settle tells what has changed in a call: it compares who rings and talks now with what was told. It is
// called after anything happened to the call, and does nothing when nothing follows.
func (c *correlator) settle(k *call) {
	if len(k.channels) == 0 {
		c.finish(k)
		return
	}
	ringing, talking := c.look(k)
	if len(ringing) > 0 {
		c.ring(k, ringing)
	}
	if len(talking) > 0 {
		c.talk(k, talking)
	}
	c.endLegs(k)
}

// look returns the extensions that begin to ring and to talk.
func (c *correlator) look(k *call) (ringing, talking []string) {
	for _, ch := range k.channels {
		talks := len(c.company(ch)) > 1
		if talks && ch.party() {
			ch.talked, k.answered = true, true
		}
		if ch.kind != kindDevice {
			continue
		}
		l := k.leg(ch.ext)
		switch {
		case talks && (l == nil || !l.talking && !l.handedOn):
			talking = append(talking, ch.ext)
		case k.ringsOn(ch) && (l == nil || l.expected || l.handedOn && k.called(ch)):
			ringing = append(ringing, ch.ext)
		}
	}
	slices.Sort(ringing)
	slices.Sort(talking)
	return slices.Compact(ringing), slices.Compact(talking)
}

// ringsOn says whether a channel makes its extension ring. The caller's own rings until the far end
// answers, once it is clear that it calls outside; in an internal call that goes without saying.
func (k *call) ringsOn(ch *channel) bool {
	switch {
	case k.called(ch):
		return ch.state == stateRinging
	case ch.ext != k.caller || !ch.live():
		return false
	case k.direction == gateway.Outbound:
		return k.ordered || k.reached
	default:
		return k.ordered && !k.announced
	}
}

// ring tells that extensions ring.
func (c *correlator) ring(k *call, extensions []string) {
	for _, l := range k.legs { // the call went elsewhere than its transfer said
		l.expected = l.expected && slices.Contains(extensions, l.ext)
	}
	if k.direction == "" {
		k.direction = gateway.Internal
	}
	if !k.announced && k.direction == gateway.Internal && k.caller != "" {
		extensions = slices.DeleteFunc(extensions, func(ext string) bool { return ext == k.caller })
		k.legs = append(k.legs, &leg{ext: k.caller})
	}
	for _, ext := range extensions {
		k.legs = slices.DeleteFunc(k.legs, func(l *leg) bool { return l.ext == ext })
		k.legs = append(k.legs, &leg{ext: ext})
	}
	c.announce(k, extensions)
}

// announce emits a call.dial, the first of which says everything about the call.
func (c *correlator) announce(k *call, extensions []string) {
	k.announced = true
	c.emit(gateway.Event{
		Type: gateway.EventDial, Call: k.id, Direction: k.direction, Extensions: extensions,
		From: gateway.Number{Raw: k.from}, To: gateway.Number{Raw: k.to}, Line: k.line, Name: k.name,
	})
}

// talk tells that extensions talk. Those that did not ring, because they dialled to take the call or
// answered by themselves, ring first.
func (c *correlator) talk(k *call, extensions []string) {
	unknown := slices.DeleteFunc(slices.Clone(extensions), func(ext string) bool { return k.leg(ext) != nil })
	if len(unknown) > 0 || !k.announced {
		c.ring(k, unknown)
	}
	both := false // somebody besides the caller talks: that the caller does goes without saying
	for _, l := range k.legs {
		if slices.Contains(extensions, l.ext) {
			l.talking, l.expected = true, false
		}
		both = both || l.talking && l.ext != k.caller
	}
	if k.direction == gateway.Internal && both {
		extensions = slices.DeleteFunc(extensions, func(ext string) bool { return ext == k.caller })
	}
	if len(extensions) > 0 {
		c.emit(gateway.Event{Type: gateway.EventBridge, Call: k.id, Extensions: extensions})
	}
}

// endLegs tells which extensions are out of the call: those that have no channel left in it.
func (c *correlator) endLegs(k *call) {
	k.legs = slices.DeleteFunc(k.legs, func(l *leg) bool {
		if l.expected || slices.ContainsFunc(k.channels, func(ch *channel) bool { return ch.ext == l.ext && ch.live() }) {
			return false
		}
		if !l.handedOn {
			c.emit(gateway.Event{
				Type: gateway.EventHangup, Call: k.id, Extensions: []string{l.ext}, Cause: k.legCause(l),
			})
		}
		return true
	})
}

func (k *call) legCause(l *leg) gateway.Cause {
	switch {
	case l.talking:
		return gateway.CauseNormal
	case l.cause != "":
		return l.cause
	case l.ext == k.caller:
		return gateway.CauseCancelled
	default:
		return gateway.CauseNoAnswer
	}
}

// finish ends a call whose last channel is gone. A customer's call that reached no telephone was never
// announced: he called all the same.
func (c *correlator) finish(k *call) {
	c.end(k)
	if !k.announced && k.direction == gateway.Inbound {
		c.announce(k, nil)
	}
	if k.announced {
		c.emit(gateway.Event{Type: gateway.EventHangup, Call: k.id, Cause: k.cause()})
	}
}
