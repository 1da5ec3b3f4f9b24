package asterisk

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// heeded are the events that the correlator reads. All others are dropped as they are read.
var heeded = map[string]bool{
	"Newchannel": true, "Newstate": true, "HangupRequest": true, "Hangup": true,
	"DialBegin": true, "LocalBridge": true,
	"BridgeCreate": true, "BridgeEnter": true, "BridgeLeave": true, "BridgeDestroy": true,
	"Hold": true, "Unhold": true, "BlindTransfer": true, "AttendedTransfer": true,
	"BridgeListItem": true, "CoreShowChannel": true, "CoreShowChannelsComplete": true,
	"FullyBooted": true,
}

// correlator makes calls out of channels: AMI events in, gateway events out. It does nothing else: no
// clock, no connection, no goroutine. Events of a link may come in any order that Asterisk produces.
type correlator struct {
	isUser func(extension string) bool // the configured ones
	prefix string                      // of event ids, this correlator's own

	channels map[string]*channel
	bridges  map[string]*bridge
	pairs    map[string][]*channel // the halves of Local channels
	calls    map[string]*call      // by each Linkedid that led to one
	orders   map[string]order      // calls that were ordered, by the id of their first channel
	gone     tombstones            // channels and calls that are over

	list    []message // of channels, as far as it has come
	listID  string    // the action that asked for it
	listing int       // counts the lists asked for
	born    int       // counts the calls
	told    int       // counts the events
	at      time.Time // of the last event

	out []gateway.Event
}

func newCorrelator(prefix string, isUser func(string) bool) *correlator {
	return &correlator{
		isUser:   isUser,
		prefix:   prefix,
		channels: map[string]*channel{},
		bridges:  map[string]*bridge{},
		pairs:    map[string][]*channel{},
		calls:    map[string]*call{},
		orders:   map[string]order{},
		gone:     tombstones{has: map[string]bool{}},
	}
}

// isExtension says whether an endpoint is a telephone of the company. A provider's account may be all
// digits too, but has more of them.
func (c *correlator) isExtension(endpoint string) bool {
	return len(endpoint) >= 2 && len(endpoint) <= 5 && strings.Trim(endpoint, "0123456789") == "" || c.isUser(endpoint)
}

// take reads one event and returns what follows from it.
func (c *correlator) take(m message, at time.Time) []gateway.Event {
	c.now(at)
	switch m.get("Event") {
	case "Newchannel":
		c.newChannel(m, wasCalled(m))
	case "Newstate":
		c.newState(m)
	case "DialBegin":
		c.dialBegin(m)
	case "LocalBridge":
		c.meet(c.channels[m.get("LocalOneUniqueid")], c.channels[m.get("LocalTwoUniqueid")])
	case "BridgeCreate", "BridgeListItem":
		c.bridge(m)
	case "BridgeEnter":
		c.enter(c.channels[m.get("Uniqueid")], c.bridge(m))
	case "BridgeLeave":
		c.leave(m)
	case "BridgeDestroy":
		delete(c.bridges, m.get("BridgeUniqueid"))
	case "Hold", "Unhold":
		c.hold(m)
	case "BlindTransfer", "AttendedTransfer":
		c.transfer(m)
	case "HangupRequest":
		if ch := c.channels[m.get("Uniqueid")]; ch != nil {
			ch.asked = true
		}
	case "Hangup":
		c.hangup(m)
	case "CoreShowChannel":
		if m.get("ActionID") == c.listID {
			c.list = append(c.list, m)
		}
	case "CoreShowChannelsComplete":
		if m.get("ActionID") == c.listID {
			c.compare(m.number("ListItems"))
		}
	}
	out := c.out
	c.out = nil
	return out
}

func (c *correlator) now(at time.Time) {
	if at = at.Truncate(time.Microsecond); at.After(c.at) {
		c.at = at
	}
}

// emit adds an event. Times rise strictly, so that the order of the link's events is in them.
func (c *correlator) emit(e gateway.Event) {
	c.told++
	c.at = c.at.Add(time.Microsecond)
	e.At, e.ID = c.at, c.prefix+strconv.Itoa(c.told)
	c.out = append(c.out, e)
}

// newChannel makes a channel known and part of a call.
func (c *correlator) newChannel(m message, outgoing bool) *channel {
	id := m.get("Uniqueid")
	if id == "" || c.channels[id] != nil || c.gone.has[id] {
		return nil
	}
	ch := &channel{id: id, name: m.get("Channel"), outgoing: outgoing, seen: c.listing}
	ch.state = max(stateDown, m.number("ChannelState"))
	ch.classify(c.isExtension)
	c.channels[id] = ch
	if ch.pair != "" {
		c.pairs[ch.pair] = append(c.pairs[ch.pair], ch)
	}
	c.callOf(id, m.get("Linkedid")).add(ch, m)
	c.settle(ch.call)
	return ch
}

// callOf returns the call that a new channel belongs to. Linkedid is the best hint there is, unless it
// names a call that is over: such ids outlive their channels.
func (c *correlator) callOf(id, linked string) *call {
	k := c.calls[linked]
	if k == nil && (linked == "" || c.gone.has[linked]) {
		linked = id
		k = c.calls[id]
	}
	if k == nil {
		c.born++
		k = &call{id: callID(linked), born: c.born, links: []string{linked}}
		c.calls[linked] = k
		if o, ok := c.orders[linked]; ok {
			k.follow(o, c.isExtension)
		}
	}
	return k
}

func (c *correlator) newState(m message) {
	ch := c.channels[m.get("Uniqueid")]
	if ch == nil {
		return
	}
	if s := m.number("ChannelState"); s > ch.state && s <= stateUp {
		ch.state = s
	}
	ch.begun = ch.begun || ch.live()
	ch.call.hear(ch, m)
	c.settle(ch.call)
}

// dialBegin ties a called channel to the one that calls. There is none when a call is ordered.
func (c *correlator) dialBegin(m message) {
	to := c.channels[m.get("DestUniqueid")]
	if to == nil {
		return
	}
	to.begun = true
	if from := c.channels[m.get("Uniqueid")]; from != nil {
		from.call.dials(to, m)
		c.meet(from, to)
	}
	c.settle(to.call)
}

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
	if ch == nil || b == nil || ch.bridge == b {
		return
	}
	ch.exit()
	ch.bridge = b
	b.channels = append(b.channels, ch)
	company := c.company(ch)
	if !b.apart && !b.meeting {
		c.meet(company...)
	}
	c.settle(ch.call)
	for _, x := range company {
		c.settle(x.call)
	}
}

func (c *correlator) leave(m message) {
	ch := c.channels[m.get("Uniqueid")]
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
	var parties []*channel
	var visited []*bridge
	for next := []*bridge{ch.bridge}; len(next) > 0; next = next[1:] {
		b := next[0]
		if b == nil || b.apart || slices.Contains(visited, b) {
			continue
		}
		visited = append(visited, b)
		for _, x := range b.channels {
			if x.party() {
				parties = append(parties, x)
			}
			for _, half := range c.pairs[x.pair] {
				next = append(next, half.bridge)
			}
		}
	}
	return parties
}

// hold tells that an extension holds, or takes back. Asterisk reports an end of holding before a transfer
// though nobody held.
func (c *correlator) hold(m message) {
	ch := c.channels[m.get("Uniqueid")]
	if ch == nil || ch.kind != kindDevice {
		return
	}
	held := m.get("Event") == "Hold"
	l := ch.call.leg(ch.ext)
	if l == nil || !l.talking || l.held == held {
		return
	}
	l.held = held
	e := gateway.Event{Type: gateway.EventUnhold, Call: ch.call.id, Extensions: []string{ch.ext}}
	if held {
		e.Type = gateway.EventHold
	}
	c.emit(e)
}

// hangup ends a channel, and with its last one the call.
func (c *correlator) hangup(m message) {
	id := m.get("Uniqueid")
	ch := c.channels[id]
	if ch == nil {
		c.gone.add(id) // a list that is under way may still have it
		return
	}
	c.drop(ch, m.number("Cause"))
	c.settle(ch.call)
}

// drop forgets a channel that is gone. Settle its call afterwards.
func (c *correlator) drop(ch *channel, cause int) {
	ch.exit()
	delete(c.channels, ch.id)
	if ch.pair != "" {
		rest := slices.DeleteFunc(c.pairs[ch.pair], func(x *channel) bool { return x == ch })
		if c.pairs[ch.pair] = rest; len(rest) == 0 {
			delete(c.pairs, ch.pair)
		}
	}
	c.gone.add(ch.id)
	ch.call.lose(ch, cause)
}

// end forgets a call.
func (c *correlator) end(k *call) {
	for _, id := range k.links {
		delete(c.calls, id)
		delete(c.orders, id)
		c.gone.add(id)
	}
}

// live returns the ids of the calls that there are, sorted.
func (c *correlator) live() []string {
	ids := []string{}
	for _, k := range c.calls {
		ids = append(ids, k.id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// tombstones remember the latest ids that are over, so that what comes late begins nothing new.
type tombstones struct {
	has  map[string]bool
	ring []string
	next int
}

const keepTombstones = 4096

func (t *tombstones) add(id string) {
	if id == "" || t.has[id] {
		return
	}
	t.has[id] = true
	if len(t.ring) < keepTombstones {
		t.ring = append(t.ring, id)
		return
	}
	delete(t.has, t.ring[t.next])
	t.ring[t.next] = id
	t.next = (t.next + 1) % keepTombstones
}
