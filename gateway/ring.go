package gateway

import (
	"slices"
	"time"
)

// Limits of what is kept in memory for each user to resume from (reference: 256 messages and some
// minutes are far more than a day's calls of a reconnecting agent need).
const (
	ringCount = 256
	ringAge   = 15 * time.Minute
)

// ring holds a user's latest messages. It is whole since floor: every message after floor is in it.
type ring struct {
	floor Position
	items []ringItem
}

// ringItem is a message. It is made again, of the call's events, for the few who come back and missed it.
type ringItem struct {
	seq            uint64
	index, version uint32
	at             int64 // Unix
	call           *kept
}

func (it *ringItem) pos() Position { return Position{Seq: it.seq, Index: int(it.index)} }

func (r *ring) add(pos Position, at time.Time, call *kept, version int) {
	r.items = append(r.items, ringItem{pos.Seq, uint32(pos.Index), uint32(version), at.Unix(), call})
	if len(r.items) > ringCount {
		r.evict()
	}
}

// expire drops what is older than the resume window.
func (r *ring) expire(now time.Time) {
	for len(r.items) > 0 && now.Sub(time.Unix(r.items[0].at, 0)) > ringAge {
		r.evict()
	}
	if len(r.items) == 0 {
		r.items = nil
	}
}

func (r *ring) evict() {
	r.floor = r.items[0].pos()
	r.items[0] = ringItem{}
	r.items = r.items[1:]
}

// after returns the user's messages after pos; ok is false when some of them are gone.
func (r *ring) after(pos Position, epoch, user string, recording recordingLink) (missed []Message, ok bool) {
	if pos.Compare(r.floor) < 0 {
		return nil, false
	}
	from, found := slices.BinarySearchFunc(r.items, pos, func(it ringItem, p Position) int { return it.pos().Compare(p) })
	if found {
		from++
	}
	for _, it := range r.items[from:] {
		call, event, ok := it.call.get().at(int(it.version))
		if !ok {
			return nil, false
		}
		view, ok := recording.view(&call, user)
		if !ok {
			return nil, false
		}
		var e encoder
		e.view(&view)
		missed = append(missed, Message{Cursor: Cursor{epoch, it.pos()}.String(), At: time.Unix(it.at, 0).UTC(), Event: event.shown(), Call: e.data})
	}
	return missed, true
}
