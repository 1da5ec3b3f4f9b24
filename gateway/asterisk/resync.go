package asterisk

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"ringcast/gateway"
)

// expectList prepares for a list of all channels that an action is about to ask for. Channels that begin
// from now on need not be on it.
func (c *correlator) expectList(actionID string) {
	c.listing++
	c.listID, c.list = actionID, nil
}

// listed says whether the last list that was asked for has come.
func (c *correlator) listed() bool { return c.listID == "" }

// compare takes the list of channels, now complete, for the truth: what was unknown begins, what is gone
// ends. Events from before the list that come after it find their channel further on, or gone. size is
// how many channels Asterisk says there are: what is not on a list that lost some is not gone.
func (c *correlator) compare(size int) {
	list, known := c.list, c.born
	early := c.early
	c.early = nil // of channels that began before the list: they are on it, or over
	whole := size < 0 || size == len(list)
	c.listID, c.list = "", nil
	slices.SortStableFunc(list, compareListed)
	c.quiet = true // nothing is told before all is known
	for _, m := range list {
		id := m.get("Uniqueid")
		if c.channels[id] == nil && c.newChannel(m, wasCalled(m)) == nil {
			continue
		}
		ch := c.channels[id]
		ch.seen = c.listing
		ch.rise(m.number("ChannelState"), c.step)
		ch.begun = ch.begun || ch.live() || m.get("Application") == "AppDial"
		ch.call.reach(ch)
		if m.get("BridgeId") == "" {
			ch.exit()
		}
	}
	for _, m := range list {
		ch := c.channels[m.get("Uniqueid")]
		if ch == nil {
			continue
		}
		if b := c.bridge(message{{"BridgeUniqueid", m.get("BridgeId")}}); b != nil {
			c.enter(ch, b)
		}
		c.relink(ch, m.get("Linkedid"))
	}
	if whole {
		c.dropUnseen()
		c.dropOrders()
	}
	maps.DeleteFunc(c.bridges, func(_ string, b *bridge) bool { return len(b.channels) == 0 })
	c.quiet = false
	for _, k := range c.byAge() {
		k.waits = false
		first := !k.found && (k.born > known || !k.begun)
		k.found = k.found || first
		c.talkUnseen(k)
		c.settle(k)
		if first && !k.over {
			c.present(k)
		}
	}
	for _, e := range early { // parked calls are listed as well
		if e.message.get("Event") == "ParkedCall" {
			c.parked(e.message)
		}
	}
}

// relink makes calls one that became one unseen: a consultation that has taken the customer's Linkedid. Two
// customers' calls stay two, unless a bridge that both are in makes them one.
func (c *correlator) relink(ch *channel, linked string) {
	k := c.calls[linked]
	if k == nil || k == ch.call || k.outside() && ch.call.outside() || ch.bridge != nil && ch.bridge.meeting {
		return
	}
	if other := firstParty(k.channels); other != nil {
		c.meet(other, ch)
	}
}

// talkUnseen tells of those who talked before anything was heard of it, and hear nobody just now: one of two who talked
// waits in their bridge, say, while the other announces him to a third, there or already out of it.
func (c *correlator) talkUnseen(k *call) {
	if k.answered || k.over {
		return
	}
	var parties []*channel
	waits := false
	for _, ch := range k.channels {
		switch {
		case len(c.company(ch)) > 1, ch.kind == kindTrunk && ch.up > 0 && ch.bridge == nil: // a customer is still in a queue
			return
		case !ch.party() || ch.up == 0:
		case ch.bridge != nil:
			parties, waits = append(parties, ch), true
		case ch.ext != "":
			parties = append(parties, ch)
		}
	}
	if !waits || len(parties) < 2 {
		return
	}
	k.answered = true
	var talking []string
	for _, ch := range parties {
		ch.speak(c.step, c.clock)
		apart := ch.bridge != nil && ch.bridge.apart
		if l := k.leg(ch.ext); ch.ext != "" && !apart && (l == nil || !l.talking) && !slices.Contains(talking, ch.ext) {
			talking = append(talking, ch.ext)
		}
	}
	if len(talking) > 0 {
		c.talk(k, talking, gateway.EventBridge)
	}
}

// present tells who takes part in a call that was found in a list. The gateway may know it from before, and others
// of it who have left since.
func (c *correlator) present(k *call) {
	var extensions []string
	for _, ch := range k.channels {
		if ch.ext != "" && k.has(ch.ext) && !slices.Contains(extensions, ch.ext) {
			extensions = append(extensions, ch.ext)
		}
	}
	slices.Sort(extensions)
	if !k.announced && !k.over {
		switch {
		case k.direction == gateway.Inbound, k.ordered:
			c.announce(k, nil)
		case k.caller != "" && k.reached != nil:
			c.ring(k, nil)
		}
	}
	if k.announced {
		for _, ext := range extensions {
			if k.leg(ext) == nil {
				k.legs = append(k.legs, &leg{ext: ext})
			}
		}
	}
	c.emit(gateway.Event{Type: gateway.EventPresent, Call: k.id, Extensions: extensions})
}

// dropUnseen drops the channels that a list should have had. Those that were called go first: that the
// caller was the first to go is not known.
func (c *correlator) dropUnseen() {
	var lost []*channel
	for _, ch := range c.channels {
		if ch.seen < c.listing {
			lost = append(lost, ch)
		}
	}
	slices.SortFunc(lost, func(a, b *channel) int {
		return cmp.Or(-compareBool(a.outgoing, b.outgoing), strings.Compare(a.id, b.id))
	})
	for _, ch := range lost {
		c.drop(ch, -1)
	}
}

// byAge returns the calls, oldest first.
func (c *correlator) byAge() []*call {
	var calls []*call
	for _, k := range c.calls {
		calls = append(calls, k)
	}
	slices.SortFunc(calls, func(a, b *call) int { return cmp.Compare(a.born, b.born) })
	return slices.Compact(calls)
}

// compareListed puts those first that say what a call is: its first channel, then those that call.
func compareListed(a, b message) int {
	first := func(m message) bool { return m.get("Uniqueid") == m.get("Linkedid") }
	age := func(m message) string { return m.get("Duration") }
	return cmp.Or(
		-compareBool(first(a), first(b)),
		compareBool(wasCalled(a), wasCalled(b)),
		-cmp.Or(cmp.Compare(len(age(a)), len(age(b))), strings.Compare(age(a), age(b))),
		strings.Compare(a.get("Uniqueid"), b.get("Uniqueid")),
	)
}

// wasCalled says of a channel that is new or listed whether Asterisk called it; else it called Asterisk.
func wasCalled(m message) bool {
	switch m.get("Application") {
	case "AppDial", "AppDial2", "AppQueue":
		return true
	}
	switch m.number("ChannelState") {
	case stateDown, stateDialing, stateRinging:
		return true
	case stateUp:
		return m.get("Event") == "Newchannel"
	default: // ringing at Asterisk, or an analogue telephone on its way to that
		return false
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
