package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// waiters are those who wait for the feed to reach an entry; there are hardly ever any.
type waiters struct {
	count atomic.Int32
	mu    sync.Mutex
	all   map[chan struct{}]uint64
}

func (w *waiters) add(seq uint64) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]uint64{}
	}
	ch := make(chan struct{})
	w.all[ch] = seq
	w.count.Add(1)
	return ch
}

func (w *waiters) drop(ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.all[ch]; ok {
		delete(w.all, ch)
		w.count.Add(-1)
	}
}

func (w *waiters) reached(head uint64) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, seq := range w.all {
		if seq <= head {
			close(ch)
			delete(w.all, ch)
			w.count.Add(-1)
		}
	}
}

// timeline remembers which entry was the last at which time, coarsely, to tell what is older than the
// resume window.
type timeline struct {
	mu    sync.Mutex
	marks []timeMark
}

type timeMark struct {
	at  time.Time
	seq uint64
}

const timelineStep = 10 * time.Second

func (t *timeline) add(at time.Time, seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.marks); n == 0 || at.Sub(t.marks[n-1].at) >= timelineStep {
		t.marks = append(t.marks, timeMark{at, seq})
	}
}

// before returns an entry such that all before it are older than at, and forgets what is older still.
func (t *timeline) before(at time.Time) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var seq uint64
	for len(t.marks) > 0 && t.marks[0].at.Before(at) {
		seq = t.marks[0].seq
		if len(t.marks) == 1 || !t.marks[1].at.Before(at) {
			break
		}
		t.marks = t.marks[1:]
	}
	return seq
}
