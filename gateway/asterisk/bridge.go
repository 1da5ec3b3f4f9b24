package asterisk

import "slices"

// bridge is one of Asterisk's bridges: who is in it hears the others.
type bridge struct {
	id       string
	apart    bool // its channels do not hear each other: parking, waiting
	meeting  bool // a conference room
	channels []*channel
}

func (b *bridge) describe(m message) {
	if m.get("BridgeTechnology") == "holding_bridge" || m.get("BridgeType") == "parking" {
		b.apart = true
	}
	if m.get("BridgeCreator") == "ConfBridge" {
		b.meeting = true
	}
}

// bridge returns the bridge that a message names, nil if it names none.
func (c *correlator) bridge(m message) *bridge {
	id := m.get("BridgeUniqueid")
	if id == "" {
		return nil
	}
	b := c.bridges[id]
	if b == nil {
		b = &bridge{id: id}
		c.bridges[id] = b
	}
	b.describe(m)
	return b
}

func (c *correlator) enter(ch *channel, b *bridge) {
	if ch == nil || ch.bridge == b {
		return
	}
	ch.exit()
	ch.bridge = b
	b.channels = append(b.channels, ch)
	company := c.company(ch)
	switch {
	case b.meeting:
		c.join(ch, company)
	case !b.apart:
		c.meet(company...)
	}
	c.settle(ch.call)
	for i, x := range company {
		if x.call != ch.call && !slices.ContainsFunc(company[:i], func(y *channel) bool { return y.call == x.call }) {
			c.settle(x.call)
		}
	}
}

// join makes those who meet in a conference room part of one call, as far as no more than one customer's is among
// theirs: two customers stay two calls.
func (c *correlator) join(ch *channel, company []*channel) {
	var host *channel
	for _, x := range company {
		if x.call == ch.call || x.call.outside() && ch.call.outside() {
			continue
		}
		if host == nil || x.call.outside() && !host.call.outside() {
			host = x
		}
	}
	c.meet(ch, host)
}

func (c *correlator) leave(m message) {
	ch := c.find(m, "Uniqueid")
	if ch == nil || ch.bridge == nil || ch.bridge.id != m.get("BridgeUniqueid") {
		return
	}
	ch.exit()
	c.settle(ch.call)
}

func (ch *channel) exit() {
	if b := ch.bridge; b != nil {
		b.channels = slices.DeleteFunc(b.channels, func(x *channel) bool { return x == ch })
		ch.bridge = nil
	}
}

// company returns the parties that hear each other where ch is, itself included: those in its bridge, and
// in the bridges that pairs of Local channels join to it.
func (c *correlator) company(ch *channel) []*channel {
	if ch.bridge == nil || ch.bridge.apart {
		return nil
	}
	var parties []*channel
	visited := make([]*bridge, 1, 4)
	visited[0] = ch.bridge
	for i := 0; i < len(visited); i++ {
		for _, x := range visited[i].channels {
			if x.party() {
				parties = append(parties, x)
			}
			if x.pair == "" {
				continue
			}
			for _, half := range c.pairs[x.pair] {
				if b := half.bridge; b != nil && !b.apart && !slices.Contains(visited, b) {
					visited = append(visited, b)
				}
			}
		}
	}
	return parties
}

// consults says whether ch, in this company, only hears of a call that waits for it elsewhere: whoever is to be
// handed on to it is alone in a bridge of his own, while a colleague announces him.
func (c *correlator) consults(ch *channel, company []*channel) bool {
	k := ch.call
	if k.outside() && slices.ContainsFunc(company, func(x *channel) bool { return x.kind == kindTrunk }) {
		return false
	}
	return slices.ContainsFunc(k.channels, func(x *channel) bool {
		return x.talked() && !x.handedOn && x.ext != ch.ext && !slices.Contains(company, x) && len(c.company(x)) == 1
	})
}
