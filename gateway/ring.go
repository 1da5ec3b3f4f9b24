package gateway

import (
	"slices"
	"time"
)

// Limits of what is kept in memory for each user to resume from (reference: 256 messages and some
// minutes are far more than a day's calls of a reconnecting agent need).
const (
	ringCount = 256
	ringBytes = 256 << 10
	ringAge   = 15 * time.Minute
)

// ring holds a user's latest messages. It is whole since floor: every message after floor is in it.
type ring struct {
	floor Position
	items []ringItem
	bytes int
}

type ringItem struct {
	pos Position
	at  time.Time
	msg Message
}

func (r *ring) add(pos Position, at time.Time, msg Message) {
	r.items = append(r.items, ringItem{pos, at, msg})
	r.bytes += len(msg.Call)
	for len(r.items) > ringCount || r.bytes > ringBytes && len(r.items) > 1 {
		r.evict()
	}
}

// expire drops what is older than the resume window.
func (r *ring) expire(now time.Time) {
	for len(r.items) > 0 && now.Sub(r.items[0].at) > ringAge {
		r.evict()
	}
}

func (r *ring) evict() {
	r.floor = r.items[0].pos
	r.bytes -= len(r.items[0].msg.Call)
	r.items[0] = ringItem{}
	r.items = r.items[1:]
}

// after returns the messages after pos; ok is false when some of them are gone.
func (r *ring) after(pos Position) (missed []Message, ok bool) {
	if pos.Compare(r.floor) < 0 {
		return nil, false
	}
	from, found := slices.BinarySearchFunc(r.items, pos, func(it ringItem, p Position) int { return it.pos.Compare(p) })
	if found {
		from++
	}
	for _, it := range r.items[from:] {
		missed = append(missed, it.msg)
	}
	return missed, true
}
