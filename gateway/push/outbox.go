package push

import "ringcast/gateway"

// item is one message on its way out. A call is encoded when it is taken, so that what waits shares the
// call's bytes with every other tab.
type item struct {
	raw     []byte // ready to send; nil: a call
	message gateway.Message
	live    bool
}

// outbox holds what waits for a client, oldest first. What was missed is bounded by the gateway's ring and
// not counted; what happens live is.
type outbox struct {
	items []item
	live  int
	bytes int // of live calls and replies
}

func (o *outbox) add(it item) {
	o.items = append(o.items, it)
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
	}
	if it.live {
		o.live--
		o.bytes -= it.size()
	}
	return it, true
}

// fits says whether one more live message is within the limits.
func (o *outbox) fits(it item, limits *Limits) bool {
	return o.live < limits.QueueMessages && o.bytes+it.size() <= limits.QueueBytes
}

func (it *item) size() int { return len(it.raw) + len(it.message.Call) }
