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
	"Newchannel": true, "Newstate": true, "NewCallerid": true, "HangupRequest": true, "Hangup": true,
	"DialBegin": true, "DialState": true, "DialEnd": true, "LocalBridge": true,
	"BridgeCreate": true, "BridgeEnter": true, "BridgeLeave": true, "BridgeDestroy": true,
	"Hold": true, "Unhold": true, "BlindTransfer": true, "AttendedTransfer": true, "Pickup": true, "ParkedCall": true,
	"VarSet": true, "BridgeListItem": true, "CoreShowChannel": true, "CoreShowChannelsComplete": true,
	"FullyBooted": true,
}

// correlator makes calls out of channels: AMI events in, gateway events out. It does nothing else: no
// clock, no connection, no goroutine. It is made of these parts:
//
//   - channel.go and bridge.go: what is known of Asterisk's channels and bridges, and who hears whom;
//   - origin.go: where a call comes from and goes to;
//   - legs.go: who rings and talks, told as it changes;
//   - fate.go: why somebody who was called did not talk;
//   - merge.go and handover.go: calls that become one, transfers, pick-up, parking;
//   - resync.go: a list of all channels, taken for the truth.
//
// Events of a link may come in any order that Asterisk produces: those of different kinds go through
// different queues there, and one may be some milliseconds behind another. So nothing is decided by what came
// first. An event of a channel that is not known waits until the channel is (early.go); where a call comes from
// is settled when somebody rings; and why a leg ended is looked at again while more may come, and then told
// anew, as of just before (revise). What a caller does comes in its order, though: that he hung up before or after
// those whom he called were called no more (DialEnd) is certain, however fast or slowly events come.
type correlator struct {
	isUser      func(extension string) bool // the configured ones
	devices     map[string]string           // endpoints that are not called like the extension whose they are, and that
	trunks      []string                    // endpoints that lead outside, though they are called like extensions
	numbers     gateway.DialRules           // how telephones dial
	recordingAt func(path string) string    // where a recording can be had; "" for those that cannot
	prefix      string                      // of event ids, this correlator's own

	channels map[string]*channel
	bridges  map[string]*bridge
	pairs    map[string][]*channel // the halves of Local channels
	calls    map[string]*call      // by each Linkedid that led to one
	orders   map[string]order      // calls that were ordered, by the id of their first channel
	gone     tombstones            // channels and calls that are over
	early    []earlyEvent          // events of channels that are not known yet
	waiting  []*call               // for their root
	touched  []*call               // by the event at hand

	list    []message     // of channels, as far as it has come
	listID  string        // the action that asked for it
	listing int           // counts the lists asked for
	quiet   bool          // a list is being taken in
	born    int           // counts the calls
	step    int           // counts the events that were read
	told    int           // counts the events
	at      time.Time     // of the last event
	clock   time.Time     // of the PBX where it sends one, else ours: how far events are apart
	ahead   time.Duration // how far that is ahead of at

	out []gateway.Event
}

func newCorrelator(prefix string, isUser func(string) bool) *correlator {
	return &correlator{
		isUser:      isUser,
		recordingAt: func(path string) string { return "file:" + path },
		prefix:      prefix,
		channels:    map[string]*channel{},
		bridges:     map[string]*bridge{},
		pairs:       map[string][]*channel{},
		calls:       map[string]*call{},
		orders:      map[string]order{},
		gone:        tombstones{has: map[string]*channel{}},
	}
}

// isExtension says whether a number is one within the company, of somebody who is no user perhaps.
func (c *correlator) isExtension(number string) bool { return isShort(number) || c.isUser(number) }

func isShort(number string) bool {
	return len(number) >= 2 && len(number) <= 5 && strings.Trim(number, "0123456789") == ""
}

// extension returns whose device a channel is: one that the configuration names, 101, or one that is called after a
// user's extension, such as 101-mobile. Of those that nobody names, a few digits are the telephone of somebody who is
// no user: a provider's account may be all digits too, but has more of them as a rule.
func (c *correlator) extension(ch *channel) (string, bool) {
	if ext, ok := c.devices[ch.endpoint]; ok {
		return ext, true
	}
	if slices.Contains(c.trunks, ch.endpoint) {
		return "", false
	}
	if c.isUser(ch.endpoint) {
		return ch.endpoint, true
	}
	if i := strings.IndexAny(ch.endpoint, "-_."); i > 0 && c.isUser(ch.endpoint[:i]) {
		return ch.endpoint[:i], true
	}
	return ch.endpoint, isShort(ch.endpoint) && !ch.isLine()
}

// take reads one event and returns what follows from it.
func (c *correlator) take(m message, at time.Time) []gateway.Event {
	c.now(at)
	c.tick(m)
	c.step++
	c.read(m)
	c.waited()
	c.revise()
	out := c.out
	c.out = nil
	return out
}

func (c *correlator) read(m message) {
	switch m.get("Event") {
	case "Newchannel":
		c.newChannel(m, wasCalled(m))
	case "Newstate":
		c.newState(m)
	case "NewCallerid":
		c.newCallerID(m)
	case "DialBegin":
		c.dialBegin(m)
	case "DialState":
		c.dialState(m)
	case "DialEnd":
		c.dialEnd(m)
	case "LocalBridge":
		c.meet(c.channels[m.get("LocalOneUniqueid")], c.channels[m.get("LocalTwoUniqueid")])
	case "BridgeCreate", "BridgeListItem":
		c.bridge(m)
	case "BridgeEnter":
		if b := c.bridge(m); b != nil {
			c.enter(c.find(m, "Uniqueid"), b)
		}
	case "BridgeLeave":
		c.leave(m)
	case "BridgeDestroy":
		delete(c.bridges, m.get("BridgeUniqueid"))
	case "Hold", "Unhold":
		c.hold(m)
	case "BlindTransfer":
		c.blindTransfer(m)
	case "AttendedTransfer":
		c.attendedTransfer(m)
	case "Pickup":
		c.pickup(m)
	case "ParkedCall":
		c.parked(m)
	case "HangupRequest":
		c.hangupRequest(m)
	case "Hangup":
		c.hangup(m)
	case "VarSet":
		if m.get("Variable") == "MIXMONITOR_FILENAME" {
			c.find(m, "Uniqueid")
			c.record(m.get("Uniqueid"), m.get("Value"))
		}
	case "CoreShowChannel":
		if m.get("ActionID") == c.listID {
			c.list = append(c.list, m)
		}
	case "CoreShowChannelsComplete":
		if m.get("ActionID") == c.listID {
			c.compare(m.number("ListItems"))
		}
	}
}

func (c *correlator) now(at time.Time) {
	if at = at.Truncate(time.Microsecond); at.After(c.at) {
		c.at = at
	}
}

// tick reads the time that an event bears where Asterisk is told to send it (timestampevents). Events that were held
// up on their way come all at once; then only this tells how far they are apart. What bears none, as lists do, came as
// long after the one before as it did here.
func (c *correlator) tick(m message) {
	if stamp := m.get("Timestamp"); stamp != "" {
		if seconds, err := strconv.ParseFloat(stamp, 64); err == nil && seconds > 0 && seconds < 1e11 {
			c.ahead = time.UnixMicro(int64(seconds * 1e6)).Sub(c.at)
		}
	}
	c.clock = c.at.Add(c.ahead)
}

// emit adds an event. Times rise strictly, so that the order of the link's events is in them.
func (c *correlator) emit(e gateway.Event) time.Time {
	c.at = c.at.Add(time.Microsecond)
	c.emitAt(e, c.at)
	return c.at
}

// emitAt adds an event as of a time that may have passed.
func (c *correlator) emitAt(e gateway.Event, at time.Time) {
	c.told++
	e.At, e.ID = at, c.prefix+strconv.Itoa(c.told)
	c.out = append(c.out, e)
}

// newChannel makes a channel known and part of a call.
func (c *correlator) newChannel(m message, outgoing bool) *channel {
	id := m.get("Uniqueid")
	if id == "" || c.channels[id] != nil || c.gone.knows(id) {
		return nil
	}
	ch := &channel{id: id, name: m.get("Channel"), outgoing: outgoing, seen: c.listing, born: c.step}
	if m.get("Event") == "Newchannel" { // later it is where the dial plan has gone on to
		ch.context = strings.Clone(m.get("Context"))
	}
	ch.rise(m.number("ChannelState"), c.step)
	ch.classify(c.extension)
	c.channels[id] = ch
	if ch.pair != "" {
		for _, half := range c.pairs[ch.pair] {
			ch.other, half.other = half, ch
		}
		c.pairs[ch.pair] = append(c.pairs[ch.pair], ch)
	}
	k := c.callOf(ch, m.get("Linkedid"))
	ch.call = k
	k.begun = k.begun || id == k.links[0] && m.get("Event") == "Newchannel"
	k.channels = append(k.channels, ch)
	c.learn(k, ch, m)
	k.hear(ch, m)
	c.settle(k)
	c.catchUp(ch)
	return ch
}

// callOf returns the call that a new channel belongs to. Linkedid is the best hint there is, unless it
// names a call that is over: such ids outlive their channels. Only who was called in its very last moment
// may be heard of when it is over.
func (c *correlator) callOf(ch *channel, linked string) *call {
	id, k := ch.id, c.calls[linked]
	if k == nil && (linked == "" || c.gone.knows(linked)) {
		if root := c.gone.channel(linked); root != nil && ch.outgoing && root.call.over && c.clock.Sub(root.diedAt).Abs() < rootWithin {
			return root.call
		}
		linked = id
		k = c.calls[id]
	}
	if k == nil {
		c.born++
		k = &call{id: callID(linked), born: c.born, links: []string{strings.Clone(linked)}, since: c.clock}
		c.calls[k.links[0]] = k
		if linked != id {
			c.wait(k)
		}
		if o, ok := c.orders[linked]; ok {
			k.follow(o, c.isExtension)
		}
	}
	return k
}

func (c *correlator) newState(m message) {
	ch := c.find(m, "Uniqueid")
	if ch == nil {
		return
	}
	ch.rise(m.number("ChannelState"), c.step)
	ch.begun = ch.begun || ch.live()
	ch.call.hear(ch, m)
	c.settle(ch.call)
}

// dialBegin ties a called channel to the one that calls. There is none when a call is ordered.
func (c *correlator) dialBegin(m message) {
	to := c.find(m, "DestUniqueid")
	if to == nil {
		c.dialBeginLate(m)
		return
	}
	to.begun = true
	if by := m.get("Uniqueid"); by != "" {
		from := c.find(m, "Uniqueid")
		if from == nil && !c.gone.knows(by) {
			return // this is read once more when it comes
		}
		to.dialled(c.know(by), c.step)
		c.meet(from, to)
	}
	to.call.dials(to, m)
	c.settle(to.call)
}

// dialBeginLate learns from a Dial that was over before its beginning was heard of: the number was busy.
func (c *correlator) dialBeginLate(m message) {
	to := c.gone.channel(m.get("DestUniqueid"))
	if to == nil {
		return
	}
	to.begun = true
	to.dialled(c.know(m.get("Uniqueid")), c.step)
	to.call.dials(to, m)
	c.settle(to.call)
}

// dialEnd notes that a channel is called no more. Asterisk may say so twice. How its status means it, only the
// application knows that dialled.
func (c *correlator) dialEnd(m message) {
	to := c.find(m, "DestUniqueid")
	if to == nil {
		to = c.gone.channel(m.get("DestUniqueid"))
	}
	if to != nil && to.ended == 0 {
		to.ended = c.step
		c.touch(to.call)
	}
}

// dialState notices a telephone that lets the caller hear something before it rings, or instead of ringing.
func (c *correlator) dialState(m message) {
	switch m.get("DialStatus") {
	case "RINGING", "PROGRESS":
		if to := c.find(m, "DestUniqueid"); to != nil && to.party() {
			to.alert(c.step)
			to.show(m.get("DestCallerIDNum"), m.get("DestConnectedLineNum"))
			c.settle(to.call)
		}
	}
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

// hangupRequest notes that the far end of a channel asked to hang up: who ended the call, that is.
func (c *correlator) hangupRequest(m message) {
	ch := c.find(m, "Uniqueid")
	if ch == nil {
		ch = c.gone.channel(m.get("Uniqueid"))
	}
	if ch != nil && ch.asked == 0 {
		ch.asked, ch.askedAt, ch.refusal = c.step, c.clock, m.number("Cause")
		if c.touch(ch.call); ch.died == 0 {
			c.settle(ch.call)
		}
	}
}

// hangup ends a channel, and with its last one the call.
func (c *correlator) hangup(m message) {
	id := m.get("Uniqueid")
	ch := c.channels[id]
	if ch == nil {
		if !c.gone.knows(id) {
			c.forgetEarly(id)
			c.gone.add(id, nil) // a list that is under way may still have it
		}
		return
	}
	ch.show(m.get("CallerIDNum"), m.get("ConnectedLineNum"))
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
	ch.cause, ch.died, ch.diedAt = cause, c.step, c.clock
	c.gone.add(ch.id, ch)
	ch.call.lose(ch)
}

// end forgets a call.
func (c *correlator) end(k *call) {
	for _, id := range k.links {
		c.unlink(id)
	}
}

func (c *correlator) unlink(id string) {
	delete(c.calls, id)
	delete(c.orders, id)
	c.gone.add(id, nil)
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
