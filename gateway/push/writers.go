package push

import (
	"sync"
	"time"
)

// turn is how long a writer goes on until another takes its place, also if it is held up.
const turn = 10 * time.Millisecond

// writers do what is waiting to be written, in order, a few at a time: to wake a goroutine of its own for every message
// to every session would cost as much as to write it, and each would keep a stack. Whoever is held up, by a client that
// does not read, is replaced when its turn is over: nobody waits longer for it.
type writers struct {
	most    int // at a time; whose turn is over does not count
	running sync.WaitGroup

	mu      sync.Mutex
	waiting []writing
	taken   int // of waiting, its beginning
	active  int
}

// writing is something to write. It handles its errors and panics.
type writing interface{ write() }

func newWriters(most int) *writers { return &writers{most: most} }

// add has a thing written. It does not block.
func (w *writers) add(next writing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken > len(w.waiting)/2 { // else what was taken would stay as long as there is more
		n := copy(w.waiting, w.waiting[w.taken:])
		clear(w.waiting[n:])
		w.waiting, w.taken = w.waiting[:n], 0
	}
	w.waiting = append(w.waiting, next)
	w.begin()
}

// begin puts one more to work, if there is work and room.
func (w *writers) begin() {
	if w.taken < len(w.waiting) && w.active < w.most {
		w.active++
		w.running.Go(w.run)
	}
}

// run writes until nothing waits, or for its turn. One timer a turn, not one a message: each that is moved to an
// earlier time costs the runtime a look at all of them, and every session has one.
func (w *writers) run() {
	over := false    // guarded by mu
	w.running.Add(1) // the timer counts, too: whom it puts to work must not come behind wait
	timer := time.AfterFunc(turn, func() {
		defer w.running.Done()
		w.replace(&over)
	})
	for next := w.next(&over); next != nil; next = w.next(&over) {
		next.write()
	}
	if timer.Stop() {
		w.running.Done()
	}
}

// next is what a writer is to do next. If there is nothing its turn is over.
func (w *writers) next(over *bool) writing {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *over {
		return nil
	}
	if w.taken == len(w.waiting) {
		*over = true
		w.active--
		return nil
	}
	next := w.waiting[w.taken]
	w.waiting[w.taken] = nil
	if w.taken++; w.taken == len(w.waiting) {
		w.waiting, w.taken = w.waiting[:0], 0
	}
	return next
}

// replace ends a turn: somebody else takes over.
func (w *writers) replace(over *bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !*over {
		*over = true
		w.active--
		w.begin()
	}
}

// wait returns when all has been written. Nothing may be added any more.
func (w *writers) wait() { w.running.Wait() }
