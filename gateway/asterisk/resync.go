package asterisk

import (
	"cmp"
	"maps"
	"slices"
	"strings"
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
	list := c.list
	whole := size < 0 || size == len(list)
	c.listID, c.list = "", nil
	slices.SortStableFunc(list, compareListed)
	for _, m := range list {
		id := m.get("Uniqueid")
		if c.channels[id] == nil && c.newChannel(m, wasCalled(m)) == nil {
			continue
		}
		ch := c.channels[id]
		ch.seen = c.listing
		ch.state = max(ch.state, min(m.number("ChannelState"), stateUp))
		ch.begun = ch.begun || ch.live()
		ch.call.reach(ch)
		if m.get("BridgeId") == "" {
			ch.exit()
		}
	}
	for _, m := range list {
		if ch := c.channels[m.get("Uniqueid")]; ch != nil {
			c.enter(ch, c.bridge(message{{"BridgeUniqueid", m.get("BridgeId")}}))
		}
	}
	if whole {
		c.dropUnseen()
		c.dropOrders()
	}
	maps.DeleteFunc(c.bridges, func(_ string, b *bridge) bool { return len(b.channels) == 0 })
	for _, k := range c.byAge() {
		c.settle(k)
	}
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
	touched := map[*call]bool{}
	for _, ch := range lost {
		touched[ch.call] = true
		c.drop(ch, 0)
	}
	for _, k := range c.byAge() {
		if touched[k] {
			c.settle(k)
		}
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
