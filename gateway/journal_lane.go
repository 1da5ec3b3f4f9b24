package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	savesPerLane = 4  // of one account at a time; the last of them takes the newest call
	maxTasks     = 64 // items of a lane that are taken at a time: all but those under way wait for another try

	// So many calls beside them may be in the hands of a CRM that did not answer: they wait for longer than the rest, and
	// are not to hold it up.
	maxOpen = 256

	// So many failures without a success between them, and the account's CRM counts as away: one Save at a time tries
	// whether it is back.
	missesOfAway = 3

	// So often has a call failed, with others of its account saved between each two of its failures, when it is parked.
	failsAlone = 12

	leaveTime = 500 * time.Millisecond // what is under way has when the term ends in good order, before its context does
)

// lane brings the waiting calls of one account into its CRM. It lives while there are any.
type lane struct {
	*journalTerm
	account string
	woken   chan struct{}
	hurried chan struct{} // nothing is to wait for its time any more
	ended   chan *task
	workers sync.WaitGroup

	tasks   map[uint64]*task     // taken from the queue and not removed, by place
	busy    map[string]bool      // calls that are under way, by id
	open    map[string]time.Time // calls that the CRM may still write, by id: until when
	head    uint64               // the last place that was taken from the front
	more    bool                 // there may be items behind it
	running int
	newest  bool // the newest is under way

	misses int       // failures since the last success
	rest   time.Time // nothing is begun before
	saves  int
	marked bool // the trouble may stand in the store
}

// task is an item that was taken.
type task struct {
	Item
	journalItem
	err error // of reading the item

	running, newest bool
	due             time.Time
	tries           int
	alone           int // failures with a success of another since the one before
	saves           int // of the lane, at the last failure
	outcome         outcome
}

// outcome is what became of a try.
type outcome struct {
	kind  string    // JournalSaved, JournalFailed, JournalParked; "": the CRM was not asked
	err   error     // why the item is not done
	until time.Time // not zero: it was not begun, since the CRM may still write the call
}

// work keeps lanes for the accounts of the partition that have calls in the queue, until ctx ends and they have ended.
func (t *journalTerm) work(ctx context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	look := time.NewTicker(journalLook)
	defer look.Stop()
	again := true
	for {
		if again {
			again = false
			err := t.Queue.Lanes(ctx, func(name string, _ int) {
				if kind, account := cutLane(name); kind == laneDue && t.parts(account) == t.partition {
					t.wake(account)
				}
			})
			if err != nil && ctx.Err() == nil {
				t.logger.Warn("the journal does not see what waits", "partition", t.partition, "err", err)
			}
		}
		for _, l := range t.idle() {
			lanes.Go(func() { l.run(ctx) })
		}
		select {
		case <-t.look:
		case <-look.C: // what another node has added
			again = true
		case <-ctx.Done():
			return
		}
	}
}

// wake says that an account's lane has something to do.
func (t *journalTerm) wake(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lanes[account]; l != nil {
		notify(l.woken)
		return
	}
	t.lanes[account] = nil // to be begun
	notify(t.look)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is known
	}
}

// idle returns the lanes that have something to do and do not run yet.
func (t *journalTerm) idle() (lanes []*lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for account, l := range t.lanes {
		if l == nil {
			l = &lane{
				journalTerm: t, account: account, woken: make(chan struct{}, 1), hurried: make(chan struct{}, 1), ended: make(chan *task, savesPerLane),
				tasks: map[uint64]*task{}, busy: map[string]bool{}, open: map[string]time.Time{}, more: true, marked: true,
			}
			t.lanes[account] = l
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// retire ends a lane that has nothing to do, unless it was woken meanwhile.
func (l *lane) retire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.woken) > 0 {
		return false
	}
	delete(l.lanes, l.account)
	return true
}

// run saves calls until there are none left, or ctx ends and what is under way has ended.
func (l *lane) run(ctx context.Context) {
	saving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), errElsewhere) { // else the next owner may be looking for it already
			wait(saving, leaveTime)
		}
		stop()
	})() // not before the workers have ended: this goroutine may see the end of ctx first
	defer l.workers.Wait()
	for ctx.Err() == nil {
		pause := l.fill(ctx, saving)
		if l.running == 0 && len(l.tasks) == 0 && !l.more && l.retire() {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case t := <-l.ended:
			l.finish(ctx, t)
		case <-l.woken:
			l.more = true
		case <-l.hurried:
			l.hasten()
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (l *lane) away() bool { return l.misses >= missesOfAway }

// fill begins as many Saves as may be under way, and returns when to look again if nothing happens until then.
func (l *lane) fill(ctx, saving context.Context) time.Duration {
	most := savesPerLane
	if l.away() {
		most = 1
	}
	for l.running < most {
		now := l.now()
		if now.Before(l.rest) {
			return l.rest.Sub(now)
		}
		t, err := l.pick(ctx, now)
		if err != nil {
			if ctx.Err() == nil {
				l.logger.Warn("the journal cannot read its queue", "account", l.account, "err", err)
			}
			l.rest = now.Add(journalPause)
			return journalPause
		}
		if t == nil {
			break
		}
		l.begin(saving, t)
	}
	pause := journalLook
	for _, t := range l.tasks {
		if !t.running && !l.busy[t.call()] {
			pause = min(pause, max(l.due(t).Sub(l.now()), time.Millisecond))
		}
	}
	if l.running >= most || !l.front() { // whatever is due, first one of these must end
		return journalLook
	}
	return pause
}

// front says whether a Save may begin that is not of the newest.
func (l *lane) front() bool {
	if l.away() {
		return true
	}
	running := l.running
	if l.newest {
		running--
	}
	return running < savesPerLane-1
}

// pick returns what to try next: what failed and is to be tried again, else the first item that was not taken yet, or,
// once all other places are taken, the newest. nil: nothing. Of a CRM that is away, what was not taken yet goes first: what
// failed may have done so for reasons of its own, and would fail for ever in the place of all others.
func (l *lane) pick(ctx context.Context, now time.Time) (*task, error) {
	if l.front() {
		again := l.again(now)
		if again == nil || l.away() {
			if t, err := l.next(ctx); t != nil || err != nil {
				return t, err
			}
		}
		if again != nil {
			return again, nil
		}
	}
	if l.newest || !l.more {
		return nil, nil
	}
	item, err := l.Queue.Newest(ctx, laneDue+l.account)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil || item.Place <= l.head {
		return nil, err
	}
	t := l.take(item)
	if t != nil {
		t.newest = true
	}
	return t, nil
}

// next takes the first item that was not taken yet; nil: there is none, or enough were.
func (l *lane) next(ctx context.Context) (*task, error) {
	for l.more && len(l.tasks) < maxTasks+min(len(l.open), maxOpen) {
		item, err := l.Queue.Next(ctx, laneDue+l.account, l.head)
		if errors.Is(err, ErrNotFound) {
			l.more = false
			break
		}
		if err != nil {
			return nil, err
		}
		l.head = item.Place
		if t := l.take(item); t != nil {
			return t, nil
		}
	}
	return nil, nil
}

// again returns the task that is due for another try, and has been for longest.
func (l *lane) again(now time.Time) (first *task) {
	for _, t := range l.tasks {
		if !t.running && !l.busy[t.call()] && !l.due(t).After(now) && (first == nil || l.due(t).Before(l.due(first))) {
			first = t
		}
	}
	return first
}

// due is when a task is to be tried, if its call is not under way then.
func (l *lane) due(t *task) time.Time {
	if open := l.open[t.call()]; open.After(t.due) {
		return open
	}
	return t.due
}

// take makes a task of an item; nil: it is one already, or its call is under way, or may be, and it has to wait.
func (l *lane) take(item Item) *task {
	if l.tasks[item.Place] != nil {
		return nil
	}
	t := &task{Item: item}
	if t.err = json.Unmarshal(item.Data, &t.journalItem); t.err == nil && t.Call == nil {
		t.err = errors.New("there is no call in it")
	}
	l.tasks[item.Place] = t
	if l.busy[t.call()] || l.open[t.call()].After(l.now()) {
		return nil
	}
	return t
}

// call names the call of a task.
func (t *task) call() string {
	if t.Call == nil {
		return t.ID
	}
	return t.Call.ID
}

func (l *lane) begin(ctx context.Context, t *task) {
	t.running = true
	l.busy[t.call()] = true
	l.newest = l.newest || t.newest
	l.running++
	l.workers.Go(func() {
		select {
		case l.inFlight <- struct{}{}:
			t.outcome = l.save(ctx, t, l.journalTerm)
			<-l.inFlight
		case <-ctx.Done():
			t.outcome = outcome{err: ctx.Err()}
		}
		l.ended <- t
	})
}

// finish takes note of what became of a task.
func (l *lane) finish(ctx context.Context, t *task) {
	delete(l.busy, t.call())
	delete(l.open, t.call())
	l.running--
	if t.newest {
		l.newest, t.newest = false, false
	}
	t.running = false
	o := t.outcome
	if o.kind != "" && l.metrics.Journal != nil {
		l.metrics.Journal(l.account, o.kind)
	}
	if !o.until.IsZero() {
		l.open[t.call()] = o.until
		return
	}
	if o.err == nil {
		delete(l.tasks, t.Place)
		if o.kind != "" { // that it parks a call also shows that the CRM is there
			l.back(ctx)
		}
		return
	}
	if ctx.Err() != nil {
		return
	}
	now := l.now()
	if o.kind == "" { // store or queue
		l.logger.Warn("the journal cannot go on with a call", "account", l.account, "call", t.call(), "err", o.err)
		t.due = now.Add(journalPause)
		l.rest = t.due
		return
	}
	l.miss(ctx, t, now)
}

// miss takes note of a failure.
func (l *lane) miss(ctx context.Context, t *task, now time.Time) {
	t.tries++
	delay := backoff(t.tries, l.Retry, l.MaxRetry)
	var later *LaterError
	own := false // the failure says nothing of the CRM
	if errors.As(t.outcome.err, &later) {
		delay, own = max(later.Delay, l.Retry), later.Alone
	}
	if l.saves > t.saves && (later == nil || later.Denied) {
		t.alone++
		own = later != nil && t.tries > 1
	}
	t.due, t.saves = now.Add(delay), l.saves
	if errors.As(t.outcome.err, new(*UnsureError)) {
		l.open[t.call()] = now.Add(l.Late)
	}
	l.logger.Debug("a call was not saved", "account", l.account, "call", t.call(), "try", t.tries, "again_in", delay, "err", t.outcome.err)
	if own {
		return
	}
	l.misses++
	if !l.away() {
		return
	}
	probe := backoff(l.misses-missesOfAway+1, l.Retry, max(l.MaxRetry/5, l.Retry))
	if later != nil {
		probe = min(delay, l.MaxRetry)
	}
	l.rest = now.Add(probe)
	if l.misses == missesOfAway {
		l.logger.Warn("the CRM takes no calls: they wait", "account", l.account, "call", t.call(), "err", t.outcome.err)
		l.mark(ctx, &JournalTrouble{Since: Millis(now), Error: t.outcome.err.Error()})
	}
}

// back takes note of a success. What failed while the CRM was away is tried again at once.
func (l *lane) back(ctx context.Context) {
	l.saves++
	if l.away() {
		l.logger.Info("the CRM takes calls again", "account", l.account)
		l.hasten()
	}
	l.misses = 0
	if l.marked {
		l.mark(ctx, nil)
	}
}

// hasten has whatever waits for its time tried at once.
func (l *lane) hasten() {
	for _, t := range l.tasks {
		t.due = time.Time{}
	}
	l.rest = time.Time{}
}

// JournalRetry has an account's waiting calls tried at once: there is reason to believe that its CRM takes them again. It
// does nothing where another node saves them.
func (g *Gateway) JournalRetry(account string) {
	if g.journal == nil {
		return
	}
	for _, t := range g.journal.current() {
		t.mu.Lock()
		if l := t.lanes[account]; l != nil {
			notify(l.hurried)
		}
		t.mu.Unlock()
	}
}

// JournalTrouble says why an account's CRM takes no calls.
type JournalTrouble struct {
	Since Millis `json:"since"`
	Error string `json:"error"`
}

// mark notes for all nodes that the account's CRM is away, or with nil that it is not. It is for people: what fails
// here is tried again with the next change.
func (l *lane) mark(ctx context.Context, trouble *JournalTrouble) {
	key := accountKey(keyJournalTrouble, l.account)
	var err error
	if trouble == nil {
		err = l.store.Delete(ctx, key, AnyRevision)
	} else {
		var data []byte
		if data, err = json.Marshal(trouble); err == nil {
			_, err = l.store.Put(ctx, key, data, AnyRevision)
		}
	}
	l.marked = trouble != nil || err != nil
	if err != nil && ctx.Err() == nil {
		l.logger.Warn("how an account's CRM fares is not in the store", "account", l.account, "err", err)
	}
}

// tooOften says why a call is to be parked that fails again and again though its CRM takes others.
func (t *task) tooOften() error {
	if t.alone < failsAlone {
		return nil
	}
	return fmt.Errorf("it failed %d times, while other calls of the account were saved; the last time: %w", t.tries, t.outcome.err)
}
