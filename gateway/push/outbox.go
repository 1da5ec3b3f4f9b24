package push

import (
	"time"

	"ringcast/gateway"
)

// A burst is more than a client can have read yet: events come up to 500 in a request. Who does not read is known by
// this only after a while.
const (
	burstTime   = time.Second
	burstFactor = 16 // times Limits.QueueMessages, at most
)

// item is one message on its way out. A call is encoded when it is taken, so that what waits shares the
// call's bytes with every other tab.
type item struct {
	raw      []byte // ready to send; nil: a call
	message  gateway.Message
	live     bool
	ping     bool
	presence bool // the place of outbox.presence
}

// outbox holds what waits for a client, oldest first. What was missed is bounded by the gateway's ring and
// not counted; what happens live is.
type outbox struct {
	items []item
	live  int
	bytes int       // of live calls and replies
	moved time.Time // when the oldest became the oldest

	presence []byte // the one message of presence that waits, nil for none
	ping     bool   // one waits
}

func (o *outbox) add(it item) {
	if len(o.items) == 0 {
		o.moved = time.Now()
	}
	o.items = append(o.items, it)
	o.ping = o.ping || it.ping
	if it.live {
		o.live++
		o.bytes += it.size()
	}
}

func (o *outbox) take() (item, bool) {
	if len(o.items) == 0 {
		return item{}, false
	}
	it := o.items[0]
	o.items[0] = item{}
	o.items = o.items[1:]
	if len(o.items) == 0 {
		o.items = nil // an idle session keeps no buffer
	} else {
		o.moved = time.Now()
	}
	if it.ping {
		o.ping = false
	}
	if it.presence {
		it.raw, o.presence = o.presence, nil
	}
	if it.live {
		o.live--
		o.bytes -= it.size()
	}
	return it, true
}

// bring queues a message of presence. One that is whole takes the place of what waits; another does not come after it.
func (o *outbox) bring(frame []byte, whole bool) bool {
	switch {
	case o.presence == nil:
		o.add(item{presence: true})
	case !whole:
		return false
	}
	o.presence = frame
	return true
}

// fits says whether one more live message is within the limits.
func (o *outbox) fits(it item, limits *Limits) bool {
	if o.bytes+it.size() > limits.QueueBytes || o.live >= burstFactor*limits.QueueMessages {
		return false
	}
	return o.live < limits.QueueMessages || time.Since(o.moved) < burstTime
}

func (it *item) size() int { return len(it.raw) + len(it.message.Call) }
