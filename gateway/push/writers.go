package push

import (
	"sync"
	"time"
)

// heldUp is how long a writer may take for one thing until another takes its place.
const heldUp = 10 * time.Millisecond

// writers do what is waiting to be written, in order, a few at a time: to wake a goroutine of its own for every message
// to every session would cost as much as to write it, and each would keep a stack. Whoever is held up, by a client that
// does not read, goes on by itself and is replaced: nobody else waits for it.
type writers struct {
	most    int // at a time; who is held up does not count
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

// run writes until nothing waits, or until it was replaced.
func (w *writers) run() {
	w.running.Add(1) // the watch counts, too: whom it puts to work must not come behind wait
	for watch := time.AfterFunc(heldUp, w.replace); watch.Stop(); {
		next := w.next()
		if next == nil {
			w.running.Done()
			return
		}
		watch.Reset(heldUp)
		next.write()
	}
}

// next is what a writer is to do next. If there is nothing it is none any more.
func (w *writers) next() writing {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken == len(w.waiting) {
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

// replace counts out one who is held up.
func (w *writers) replace() {
	defer w.running.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active--
	w.begin()
}

// wait returns when all has been written. Nothing may be added any more.
func (w *writers) wait() { w.running.Wait() }
