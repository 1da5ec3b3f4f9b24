package push

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scribe writes one thing: it notes its number, and may be held up.
type scribe struct {
	number int
	until  chan struct{} // nil: it is not
	notes  *notes
}

type notes struct {
	mu      sync.Mutex
	numbers []int
	busy    int
	most    int // who were at it at once
}

func (s scribe) write() {
	s.notes.mu.Lock()
	s.notes.busy++
	s.notes.most = max(s.notes.most, s.notes.busy)
	s.notes.mu.Unlock()
	if s.until != nil {
		<-s.until
	}
	s.notes.mu.Lock()
	defer s.notes.mu.Unlock()
	s.notes.busy--
	s.notes.numbers = append(s.notes.numbers, s.number)
}

func (n *notes) sorted() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(slices.Values(n.numbers))
}

func TestWritersDoEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where no turn ends
		var all notes
		w := newWriters(3)
		var adding sync.WaitGroup
		for from := range 10 {
			adding.Go(func() {
				for i := range 100 {
					w.add(scribe{number: 100*from + i, notes: &all})
				}
			})
		}
		adding.Wait()
		w.wait()
		for i, n := range all.sorted() {
			if i != n {
				t.Fatalf("%d was written %d-th", n, i)
			}
		}
		if len(all.numbers) != 1000 || all.most > 3 || w.active != 0 || len(w.waiting) != 0 {
			t.Errorf("%d written, %d at once; %d active, %d wait", len(all.numbers), all.most, w.active, len(w.waiting))
		}
	})
}

// However many clients do not read, the others do not wait for them.
func TestWritersThatAreHeldUpAreReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all notes
		w := newWriters(2)
		free := make(chan struct{})
		for i := range 50 {
			w.add(scribe{i, free, &all})
			w.add(scribe{100 + i, nil, &all})
		}
		synctest.Wait()
		for range 50 {
			time.Sleep(turn)
		}
		if got := all.sorted(); len(got) != 50 || got[0] != 100 {
			t.Errorf("while the others are held up: %v", got)
		}
		close(free)
		w.wait()
		if len(all.sorted()) != 100 || w.active != 0 || all.most > 52 {
			t.Errorf("%d written, %d at once, %d active", len(all.numbers), all.most, w.active)
		}
	})
}

// loop writes itself again and again, and never lets the queue run empty.
type loop struct {
	w    *writers
	left int
	most *int
}

func (l *loop) write() {
	if l.left--; l.left > 0 {
		l.w.add(l)
	}
	*l.most = max(*l.most, cap(l.w.waiting))
}

func TestQueueThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, most := newWriters(1), 0
		for range 3 {
			w.add(&loop{w: w, left: 10_000, most: &most})
		}
		w.wait()
		if most > 16 {
			t.Errorf("room for %d where 3 wait", most)
		}
	})
}
