package asterisk

import (
	"slices"
	"sync"
	"time"
)

// received is an event, when it came, and how much memory it holds.
type received struct {
	message
	at   time.Time
	size int
}

// inbox is what was read from a connection and not folded into calls yet, in order. It is bounded by
// memory, since a message may be of any size.
type inbox struct {
	ready chan struct{} // has an element when something was put, cap 1

	mu    sync.Mutex
	items []received
	size  int
}

// put adds an event. It never blocks, and says false when there is no room.
func (b *inbox) put(r received) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size+r.size > maxInbox {
		return false
	}
	b.items, b.size = append(b.items, r), b.size+r.size
	b.wake()
	return true
}

func (b *inbox) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns up to n events, those that came first; none when there are none.
func (b *inbox) take(n int) []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.items))
	group := slices.Clone(b.items[:n])
	clear(b.items[:n]) // what is taken is not held any more, though its place may be
	if b.items = b.items[n:]; len(b.items) > 0 {
		b.wake()
	} else {
		b.items = nil
	}
	for _, r := range group {
		b.size -= r.size
	}
	return group
}
