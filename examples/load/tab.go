package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tab is one user's page. It knows what was posted for its user and checks off what arrives: what comes first must
// have been posted first, each message once, and each must follow the one before by its prev.
type tab struct {
	extension string
	calls     string // how the ids of its calls begin

	mu      sync.Mutex
	events  []posted
	before  int          // events of measurements before this one
	awaited map[int]bool // those of them that were not acknowledged, and have not arrived
	highest int          // 1 + the latest event that arrived
	cursor  string
	resumes int // whole ones
	faults  faults
	gone    error // why it does not come back
	rung    string
	notes   []string // what was wrong, the first few
}

// maxNotes is how many of a tab's faults are described.
const maxNotes = 2

// note describes a fault. The tab is locked.
func (t *tab) note(format string, args ...any) {
	if len(t.notes) < maxNotes {
		t.notes = append(t.notes, fmt.Sprintf("%s by %s: ", t.calls, t.rung)+fmt.Sprintf(format, args...))
	}
}

// visit notes what the tab is connected by.
func (t *tab) visit(rung string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rung = rung
}

// posted is an event of this measurement.
type posted struct {
	due          time.Time // when its POST was to begin
	acknowledged bool
	arrived      time.Time // zero: not yet
}

// faults are what must not happen.
type faults struct {
	lost       int // acknowledged and not delivered
	doubled    int // delivered again
	disordered int // delivered after a later one
	misrouted  int // another user's, or nobody's
	gaps       int // prev is not the cursor of the message before
	resets     int // a session that could not go on where it was
}

func (f *faults) add(g faults) {
	f.lost += g.lost
	f.doubled += g.doubled
	f.disordered += g.disordered
	f.misrouted += g.misrouted
	f.gaps += g.gaps
	f.resets += g.resets
}

func newTab(account, extension string) *tab {
	return &tab{extension: extension, calls: account + "." + extension + ".", awaited: map[int]bool{}}
}

// posting notes an event that is about to be posted and returns its index.
func (t *tab) posting(due time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, posted{due: due})
	return len(t.events) - 1
}

func (t *tab) acknowledged(index int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events[index].acknowledged = true
}

// greet takes a hello: of a first visit, or of one that goes on where the tab was, or of one that cannot.
func (t *tab) greet(m message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case m.Resumed && m.Cursor != t.cursor:
		t.faults.gaps++
		t.note("resumed at %s, and was at %s", m.Cursor, t.cursor)
	case m.Resumed:
		t.resumes++
	case t.cursor != "":
		t.faults.resets++
		t.note("reset (%s) to %s, and was at %s", m.Reason, m.Cursor, t.cursor)
	}
	t.cursor = m.Cursor
}

// at is where the tab is in the log.
func (t *tab) at() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cursor
}

// end notes that the tab's visitor does not come back.
func (t *tab) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = err
}

// receive checks a message and says whether it is an event that was waited for.
func (t *tab) receive(m message, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.Prev != t.cursor {
		t.faults.gaps++
		t.note("%s follows %s, and was to follow %s", m.Cursor, m.Prev, t.cursor)
	}
	t.cursor = m.Cursor
	n, ok := t.eventNumber(m)
	switch i := n - t.before; {
	case !ok || i >= len(t.events):
		t.faults.misrouted++
		t.note("%s at %s is not the user's", m.Call.ID, m.Cursor)
		return false
	case t.awaited[n]: // too late to be counted
		delete(t.awaited, n)
		return false
	case i < 0 || !t.events[i].arrived.IsZero():
		t.faults.doubled++
		t.note("%s of %s at %s came before", m.Event, m.Call.ID, m.Cursor)
		return false
	default:
		t.events[i].arrived = now
	}
	if n < t.highest {
		t.faults.disordered++
		t.note("%s of %s at %s comes too late", m.Event, m.Call.ID, m.Cursor)
	}
	t.highest = max(t.highest, n+1)
	return true
}

// eventNumber is which of the tab's events a message is about.
func (t *tab) eventNumber(m message) (int, bool) {
	rest, ok := strings.CutPrefix(m.Call.ID, pbxID+":"+t.calls)
	if !ok || m.Call.Extension != t.extension {
		return 0, false
	}
	call, err := strconv.Atoi(rest)
	for phase, event := range phases {
		if err == nil && event == m.Event {
			return call*len(phases) + phase, true
		}
	}
	return 0, false
}

// settled is what a tab had in a measurement.
type settled struct {
	events  []posted
	resumes int
	faults  faults
	notes   []string
	gone    error
}

// settle ends a measurement: it returns what there was and begins the next.
func (t *tab) settle() settled {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := settled{t.events, t.resumes, t.faults, t.notes, t.gone}
	for i, e := range t.events {
		switch {
		case !e.arrived.IsZero():
		case !e.acknowledged:
			t.awaited[t.before+i] = true
		default:
			s.faults.lost++
			if s.faults.lost == 1 {
				s.notes = append(s.notes, fmt.Sprintf("%s lacks event %d, and is at %s", t.calls, t.before+i, t.cursor))
			}
		}
	}
	t.before += len(t.events)
	t.events, t.resumes, t.faults, t.notes = nil, 0, faults{}, nil
	return s
}
