package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memQueue is a WorkQueue in memory, which can be full.
type memQueue struct {
	mu    sync.Mutex
	items []Item
	last  uint64
	seen  map[string]Item // by lane and id
	full  bool

	looks atomic.Int64 // for the newest
}

var _ WorkQueue = (*memQueue)(nil)

func (q *memQueue) Add(_ context.Context, item Item) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return 0, ErrLogFull
	}
	key := item.Lane + "|" + item.ID
	if was, ok := q.seen[key]; ok && time.Since(was.Added) < 2*time.Minute {
		return was.Place, nil
	}
	q.last++
	item.Place, item.Added = q.last, time.Now()
	if q.seen == nil {
		q.seen = map[string]Item{}
	}
	q.seen[key] = item
	q.items = append(q.items, item)
	return item.Place, nil
}

func (q *memQueue) Next(_ context.Context, lane string, after uint64) (Item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, _ := slices.BinarySearchFunc(q.items, after+1, func(i Item, place uint64) int { return int(i.Place) - int(place) })
	for _, i := range q.items[at:] {
		if i.Lane == lane {
			return i, nil
		}
	}
	return Item{}, ErrNotFound
}

func (q *memQueue) Newest(_ context.Context, lane string) (Item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looks.Add(1)
	for _, i := range slices.Backward(q.items) {
		if i.Lane == lane {
			return i, nil
		}
	}
	return Item{}, ErrNotFound
}

func (q *memQueue) Remove(_ context.Context, place uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = slices.DeleteFunc(q.items, func(i Item) bool { return i.Place == place })
	return nil
}

func (q *memQueue) Lanes(_ context.Context, fn func(lane string, items int)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	count := map[string]int{}
	for _, i := range q.items {
		count[i.Lane]++
	}
	for lane, items := range count {
		fn(lane, items)
	}
	return nil
}

func (q *memQueue) setFull(full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full = full
}

func (q *memQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// lineQueue is a queue behind a line.
type lineQueue struct {
	WorkQueue
	line *line
}

func (q lineQueue) Add(ctx context.Context, item Item) (uint64, error) {
	if err := q.line.use(ctx); err != nil {
		return 0, err
	}
	return q.WorkQueue.Add(ctx, item)
}

func (q lineQueue) Next(ctx context.Context, lane string, after uint64) (Item, error) {
	if err := q.line.use(ctx); err != nil {
		return Item{}, err
	}
	return q.WorkQueue.Next(ctx, lane, after)
}

func (q lineQueue) Newest(ctx context.Context, lane string) (Item, error) {
	if err := q.line.use(ctx); err != nil {
		return Item{}, err
	}
	return q.WorkQueue.Newest(ctx, lane)
}

func (q lineQueue) Remove(ctx context.Context, place uint64) error {
	if err := q.line.use(ctx); err != nil {
		return err
	}
	return q.WorkQueue.Remove(ctx, place)
}

func (q lineQueue) Lanes(ctx context.Context, fn func(lane string, items int)) error {
	if err := q.line.use(ctx); err != nil {
		return err
	}
	return q.WorkQueue.Lanes(ctx, fn)
}

// memCRM is a CRM that keeps what it is sent, and does badly in ways that a test says.
type memCRM struct {
	t       *testing.T
	answer  func(due DueCall) manner // nil: well
	mu      sync.Mutex
	takes   time.Duration        // a request
	entries map[string]*crmEntry // by account and call
	order   []string             // of the entries
	running map[string]int
	seen    []DueCall
	faults  []string
	most    atomic.Int32 // Saves at a time
	now     atomic.Int32
}

type crmEntry struct {
	id, made int
	last     Call
	told     Call // the last whose Save was told that it is saved
}

// manner is how a CRM answers a request.
type manner string

const (
	fine       manner = ""
	refuses    manner = "refuses"
	isSlow     manner = "hangs until nobody waits any more"
	isSlowDone manner = "does it, and hangs"
	loses      manner = "does it, and the answer is lost"
	isLate     manner = "hangs, and does it long after nobody waits any more"
	drops      manner = "does not do it, and nobody knows"
	putsOff    manner = "says later"
	waits      manner = "says later of this call alone"
	denies     manner = "does not allow it"
	cannot     manner = "says never"
)

func newMemCRM(t *testing.T) *memCRM {
	return &memCRM{t: t, entries: map[string]*crmEntry{}, running: map[string]int{}}
}

func (m *memCRM) set(answer func(due DueCall) manner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *memCRM) slow(takes time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes = takes
}

func (m *memCRM) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func (m *memCRM) begin(key string, due DueCall) (manner, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[key]++; m.running[key] > 1 {
		m.fault("%s is saved twice at once", key)
	}
	m.seen = append(m.seen, due)
	n := m.now.Add(1)
	m.most.Store(max(m.most.Load(), n))
	if !due.Call.Over() || due.Call.Into != "" || due.Call.StartedAt.IsZero() {
		m.fault("%s is not over: %+v", key, due.Call)
	}
	if e := m.entries[key]; e != nil && !due.Unsure && due.Call.Version <= e.told.Version && due.Call.StartedAt.Equal(e.told.StartedAt) {
		m.fault("%s: version %d is saved again", key, due.Call.Version)
	}
	if m.answer == nil {
		return fine, m.takes
	}
	return m.answer(due), m.takes
}

func (m *memCRM) Save(ctx context.Context, due DueCall) (Saved, error) {
	key := due.Call.Account + "/" + due.Call.ID
	how, takes := m.begin(key, due)
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running[key]--
		m.now.Add(-1)
	}()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return Saved{}, ctx.Err()
		}
	}
	switch how {
	case refuses:
		return Saved{}, errors.New("the CRM answers 500")
	case putsOff:
		return Saved{}, &LaterError{Delay: 30 * time.Second, Err: errors.New("the CRM answers 429")}
	case denies:
		return Saved{}, &LaterError{Delay: 10 * time.Minute, Denied: true, Err: errors.New("the CRM answers 403")}
	case waits:
		return Saved{}, &LaterError{Delay: time.Minute, Alone: true, Err: errors.New("another call goes first")}
	case cannot:
		return Saved{}, &ParkError{errors.New("the CRM answers 400")}
	case isSlow:
		<-ctx.Done()
		return Saved{}, ctx.Err()
	case isSlowDone:
		m.write(key, due)
		<-ctx.Done()
		return Saved{}, ctx.Err()
	case loses:
		m.write(key, due)
		return Saved{}, errors.New("the connection was cut")
	case drops:
		return Saved{}, &UnsureError{errors.New("the connection was cut")}
	case isLate:
		_, there := m.entry(key)
		due.Unsure = due.Unsure && there // it has looked already
		select {
		case <-time.After(20 * time.Second):
		case <-ctx.Done():
		}
		time.AfterFunc(time.Minute, func() { m.write(key, due) })
		return Saved{}, fmt.Errorf("call: %w", &UnsureError{errors.New("the CRM does not answer")})
	}
	saved := m.write(key, due)
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil {
		e.told = due.Call
	}
	return saved, nil
}

// write makes an entry or changes it, as an adapter would that looks first when it is not sure.
func (m *memCRM) write(key string, due DueCall) Saved {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	switch {
	case due.Before.ID != "":
		if e == nil || due.Before.ID != fmt.Sprint(e.id) {
			m.fault("%s was saved as %q before, it says: %+v", key, due.Before.ID, e)
			return Saved{}
		}
	case e != nil && due.Unsure: // found
	default:
		if e == nil {
			e = &crmEntry{id: len(m.entries) + 1}
			m.entries[key] = e
			m.order = append(m.order, key)
		}
		e.made++
	}
	if due.Call.Version >= e.last.Version {
		e.last = due.Call
	}
	return Saved{ID: fmt.Sprint(e.id), Data: json.RawMessage(`{"kind":"note"}`)}
}

func (m *memCRM) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

func (m *memCRM) entry(key string) (e crmEntry, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key] != nil {
		return *m.entries[key], true
	}
	return e, false
}

// asked returns what Save was asked for since the last reset.
func (m *memCRM) asked() []DueCall {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

func (m *memCRM) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = nil
}

func (m *memCRM) tried() int { return len(m.asked()) }

// check fails for what must not have happened.
func (m *memCRM) check() (faults []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	faults = slices.Clone(m.faults)
	for key, e := range m.entries {
		if e.made != 1 {
			faults = append(faults, fmt.Sprintf("%s was made %d times", key, e.made))
		}
	}
	return faults
}
