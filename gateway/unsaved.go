package gateway

import (
	"slices"
	"time"
)

// unsaved is what a shard has got from the log since the last snapshot, which the next one adds to those before.
type unsaved struct {
	ended   fresh[*kept]
	records fresh[*Record]    // commands and claims
	events  fresh[knownEvent] // that have ids
}

// knownEvent is an event that is known by its id.
type knownEvent struct {
	call *kept
	id   string // of its own: the event's texts are one, which would stay for it
	at   int64  // Unix
}

// saved says that everything up to an entry is in a snapshot that another node wrote.
func (u *unsaved) saved(seq uint64) {
	u.ended.forget(func(at uint64, _ *kept) bool { return at <= seq })
	u.records.forget(func(at uint64, _ *Record) bool { return at <= seq })
	u.events.forget(func(at uint64, _ knownEvent) bool { return at <= seq })
}

// expire forgets what no snapshot need keep any more, should there have been none for so long.
func (u *unsaved) expire(now time.Time) {
	u.records.forget(func(_ uint64, r *Record) bool { return now.Sub(r.At) > rememberCalls })
	u.events.forget(func(_ uint64, e knownEvent) bool { return now.Sub(time.Unix(e.at, 0)) > rememberIDs })
}

// before puts what a failed snapshot took before what has come meanwhile.
func (u *unsaved) before(later unsaved) unsaved {
	return unsaved{
		slices.Concat(u.ended, later.ended), slices.Concat(u.records, later.records), slices.Concat(u.events, later.events),
	}
}

// fresh are things with the sequences of the entries that they were in, in the order of the log.
type fresh[T any] []freshItem[T]

type freshItem[T any] struct {
	seq  uint64
	item T
}

func (f *fresh[T]) add(seq uint64, item T) { *f = append(*f, freshItem[T]{seq, item}) }

// forget drops the first items, as far as they are old.
func (f *fresh[T]) forget(old func(seq uint64, item T) bool) {
	n := slices.IndexFunc(*f, func(i freshItem[T]) bool { return !old(i.seq, i.item) })
	if n < 0 {
		n = len(*f)
	}
	*f = slices.Delete(*f, 0, n)
}
