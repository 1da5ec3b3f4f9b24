package asterisk

import "ringcast/gateway"

// order is a call that a user asked for by a click: Asterisk calls his own telephone first.
type order struct {
	extension, number string
	listing           int // when it was given
}

// order says that the call of this id, which is also that of its first channel, is about to begin.
func (c *correlator) order(call string, o order) {
	o.listing = c.listing
	c.orders[call] = o
}

// cancelOrder says that nothing came of an order.
func (c *correlator) cancelOrder(call string) {
	if c.calls[call] == nil {
		delete(c.orders, call)
	}
}

// knows says whether a call was ordered and is not over.
func (c *correlator) knows(call string) bool {
	_, ordered := c.orders[call]
	return ordered || c.calls[call] != nil
}

// dropOrders forgets the orders of which nothing came for the time of two lists.
func (c *correlator) dropOrders() {
	for id, o := range c.orders {
		if c.calls[id] == nil && o.listing < c.listing-1 {
			delete(c.orders, id)
		}
	}
}

// follow makes the call the one that was ordered.
func (k *call) follow(o order, isExtension func(string) bool) {
	k.ordered, k.learned, k.rooted = true, true, true
	k.caller, k.from, k.to = o.extension, o.extension, o.number
	k.direction = gateway.Outbound
	if isExtension(o.number) {
		k.direction = gateway.Internal
	}
}
