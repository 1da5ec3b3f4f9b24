package asterisk

import (
	"context"
	"slices"
	"time"
)

// awaited are the events that only answer what was asked for; the correlator does not read them.
var awaited = map[string]bool{
	"OriginateResponse": true, "ParkedCall": true, "ListDialplan": true, "ShowDialPlanComplete": true, "NewConnectedLine": true,
}

// observer is somebody who waits for events that an action brings about.
type observer struct {
	wants func(message) bool
	seen  chan message
}

// observed is how many events an observer may leave unread; further ones are lost to it.
const observed = 64

// observe returns a channel for the events that somebody wants, from now until stop. wants must not block.
func (c *client) observe(wants func(message) bool) (seen <-chan message, stop func()) {
	o := &observer{wants, make(chan message, observed)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.observers == nil {
		c.observers = map[*observer]bool{}
	}
	c.observers[o] = true
	return o.seen, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.observers, o)
	}
}

// show hands a message to those who want it. It never blocks.
func (c *client) show(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o := range c.observers {
		if o.wants(m) {
			select {
			case o.seen <- m:
			default:
			}
		}
	}
}

// next waits for what an observer sees. It fails when the connection ends, or ctx.
func (c *client) next(ctx context.Context, seen <-chan message) (message, error) {
	select {
	case m := <-seen:
		return m, nil
	default:
	}
	select {
	case m := <-seen:
		return m, nil
	case <-c.done:
		return nil, c.cause()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// nextWithin waits for what an observer sees no longer than patience; nil: nothing came.
func (c *client) nextWithin(ctx context.Context, seen <-chan message, patience time.Duration) (message, error) {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := c.next(short, seen)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return m, err
}

// of says whether a message is one of some events about a channel.
func (m message) of(channel string, events ...string) bool {
	return m.get("Uniqueid") == channel && slices.Contains(events, m.get("Event"))
}
