package asterisk

import (
	"slices"
	"strings"
	"time"
)

// earlyEvent is an event that overtook the beginning of its channel.
type earlyEvent struct {
	channel string
	message message
	at      time.Time
}

const (
	keepEarly = 256         // events; more are not of channels that begin, but of those that a list is to bring
	late      = time.Second // for how long an event may be behind others, at the very most
)

// find returns the channel that a message names under a key. When it is not known yet the message is kept, and read
// again when it is.
func (c *correlator) find(m message, key string) *channel {
	id := m.get(key)
	ch := c.channels[id]
	if ch == nil && id != "" && !c.gone.knows(id) {
		c.early = slices.DeleteFunc(c.early, func(e earlyEvent) bool { return c.clock.Sub(e.at) > late })
		if len(c.early) < keepEarly {
			c.early = append(c.early, earlyEvent{strings.Clone(id), m, c.clock})
		}
	}
	return ch
}

// catchUp reads the events of a new channel that came before it.
func (c *correlator) catchUp(ch *channel) {
	if len(c.early) == 0 {
		return
	}
	var own []message
	for _, e := range c.early {
		if e.channel == ch.id {
			own = append(own, e.message)
		}
	}
	c.forgetEarly(ch.id)
	for _, m := range own {
		c.read(m)
	}
}

func (c *correlator) forgetEarly(channel string) {
	c.early = slices.DeleteFunc(c.early, func(e earlyEvent) bool { return e.channel == channel })
}

// rootWithin is how long a call waits for its root after another of its channels.
const rootWithin = 20 * time.Millisecond

// wait lets a call that did not begin with its root wait for that. It may never come: a call can outlive its root.
func (c *correlator) wait(k *call) {
	k.waits = true
	c.waiting = append(c.waiting, k)
}

// waited ends the waiting that was long enough, or in vain. While a list is to come that may go on: the root is on it.
func (c *correlator) waited() {
	if len(c.waiting) == 0 || !c.listed() {
		return
	}
	var ready []*call
	c.waiting = slices.DeleteFunc(c.waiting, func(k *call) bool {
		if k.waits && !k.over && c.clock.Sub(k.since).Abs() < rootWithin {
			return false
		}
		ready = append(ready, k)
		return true
	})
	for _, k := range ready {
		if k.waits = false; !k.over {
			c.settle(k)
		}
	}
}

// tombstones remember the latest ids that are over, so that what comes late begins nothing new; and the channels
// among them, since what comes late may still tell how they ended.
type tombstones struct {
	has  map[string]*channel // nil: a call, or a channel of which nothing else is known
	ring []string
	next int
}

const keepTombstones = 4096

func (t *tombstones) knows(id string) bool {
	_, ok := t.has[id]
	return ok
}

func (t *tombstones) channel(id string) *channel { return t.has[id] }

func (t *tombstones) add(id string, ch *channel) {
	if old, ok := t.has[id]; id == "" || ok {
		if ok && old == nil && ch != nil {
			t.has[id] = ch
		}
		return
	}
	id = strings.Clone(id)
	t.has[id] = ch
	if len(t.ring) < keepTombstones {
		t.ring = append(t.ring, id)
		return
	}
	delete(t.has, t.ring[t.next])
	t.ring[t.next] = id
	t.next = (t.next + 1) % keepTombstones
}
