package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// archive is a gateway with a journal that is started again and again on the same data.
type archive struct {
	*bundle
	t     *testing.T
	log   *memLog
	store *memStore
	queue *memQueue
	crm   *memCRM
	line  *line
	cfg   JournalConfig
	wrap  func(Store) Store // nil: it is used as it is
	kill  func()
}

func inArchive(t *testing.T, test func(t *testing.T, o *archive)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newArchive(t)
		o.start()
		defer func() { o.stop() }()
		test(t, o)
		for _, fault := range o.crm.check() {
			t.Error(fault)
		}
	})
}

func newArchive(t *testing.T) *archive {
	o := &archive{t: t, log: newMemLog(), store: &memStore{}, queue: &memQueue{}, crm: newMemCRM(t)}
	o.cfg = JournalConfig{CRMs: func(string) CRM { return o.crm }, MaxRetry: time.Minute}
	return o
}

// start begins another run.
func (o *archive) start() {
	o.t.Helper()
	o.line = &line{}
	cfg := o.cfg
	cfg.Queue = lineQueue{o.queue, o.line}
	store := Store(lineStore{o.store, o.line})
	if o.wrap != nil {
		store = o.wrap(store)
	}
	g := New(Config{Log: lineLog{o.log, o.line}, Store: store, Directory: directory(), Logger: testLogger(), Journal: cfg})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-g.Ready()
	o.bundle = &bundle{Gateway: g, t: o.t, log: o.log, store: o.store}
	killed := false
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !killed {
			o.t.Errorf("Run: %v", err)
		}
	})
	line := o.line
	o.kill = func() { // whatever it does from now on reaches nobody
		killed = true
		line.sever()
		o.stop()
	}
}

func (o *archive) restart() {
	o.stop()
	o.start()
}

// call has a call of acme ring, talk and end.
func (o *archive) ring(id string) {
	o.t.Helper()
	o.emit(id+": dial 101", id+": bridge 101", id+": hangup")
}

func (o *archive) want(entries int) {
	o.t.Helper()
	if n := o.crm.len(); n != entries {
		o.t.Fatalf("the CRM has %d calls, want %d", n, entries)
	}
}

func (o *archive) entries(account string) JournalAccount {
	o.t.Helper()
	all, err := o.Journal(o.t.Context(), account)
	if err != nil || len(all) > 1 {
		o.t.Fatalf("%+v, %v", all, err)
	}
	if len(all) == 0 {
		return JournalAccount{}
	}
	return all[0]
}

func TestEndedCallIsSavedOnceAfterAWhile(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.emit("dial 101", "bridge 101")
		pass(time.Minute)
		o.emit("hangup")
		pass(4 * time.Second)
		o.want(0)
		pass(3 * time.Second)
		o.want(1)
		pass(time.Hour)
		o.restart()
		pass(time.Hour)
		if o.crm.tried() != 1 || o.queue.len() != 0 {
			t.Errorf("%d tries, %d in the queue", o.crm.tried(), o.queue.len())
		}
		e, _ := o.crm.entry("acme/office:c1")
		if c := e.last; c.Version != 3 || c.AnsweredBy == nil || c.AnsweredBy.User != "u1" || c.EndedAt.IsZero() {
			t.Errorf("saved %+v", e.last)
		}
	})
}

func TestOnlyCallsForTheCRMAreSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newArchive(t)
		o.cfg.CRMs = func(account string) CRM {
			if account == "acme" {
				return o.crm
			}
			return nil
		}
		o.start()
		defer func() { o.stop() }()
		o.emit("live: dial 101", "nodial: hangup", "a: dial 101", "a: bridge 101", "b: dial 102", "a: merge into=b", "b: bridge 102", "b: hangup")
		if _, err := o.Emit(t.Context(), "other", "office", lineEvents("dial 101", "hangup")); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Minute)
		if _, ok := o.crm.entry("acme/office:b"); !ok || o.crm.len() != 1 || o.queue.len() != 0 {
			t.Errorf("saved: %v; %d in the queue", o.crm.order, o.queue.len())
		}
	})
}

func TestLaterVersionsAreSavedWithWhatWasSavedBefore(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.ring("c1")
		pass(time.Minute)
		o.emit("recording rec=https://pbx.example.com/1.mp3")
		pass(time.Minute)
		if r := o.do("u1", Command{ID: "k1", Action: "result", Call: "office:c1", Text: "wants a cat"}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		o.restart()
		pass(time.Minute)
		seen := o.crm.asked()
		if len(seen) != 3 {
			t.Fatalf("saved %d times", len(seen))
		}
		for i, due := range seen {
			if due.Unsure || due.Before.ID != []string{"", "1", "1"}[i] || due.Call.Version != 3+i {
				t.Errorf("Save %d: version %d, before %+v, unsure %v", i, due.Call.Version, due.Before, due.Unsure)
			}
		}
		if last := seen[2].Call; last.Recording == "" || last.Result == nil || last.Result.Text != "wants a cat" || last.Result.User != "u1" {
			t.Errorf("at last: %+v", last.Known)
		}
	})
}

func TestRecordingIsWaitedForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newArchive(t)
		o.cfg.Recorded = func(account, pbx string) bool { return account == "acme" && pbx == "office" }
		o.start()
		defer func() { o.stop() }()
		o.ring("c1")
		o.ring("c2")
		o.emit("missed: dial 101", "missed: hangup")
		pass(10 * time.Second)
		o.want(1) // the missed one has none
		o.emit("c2: recording rec=https://pbx.example.com/2.mp3")
		pass(10 * time.Second)
		o.want(2)
		pass(35 * time.Second)
		o.want(2)
		o.restart() // what it waits for is not begun anew
		pass(10 * time.Second)
		o.want(3)
		if o.crm.tried() != 3 {
			t.Errorf("%d tries", o.crm.tried())
		}
	})
}

func TestResultWindowOfAnUnknownCallerIsWaitedFor(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		claim := Command{ID: "k1", Client: "tab", Action: "claim", What: ClaimResult, Call: "office:c1"}
		open := func(call string) {
			claim.ID, claim.Call, claim.Done = "open"+call, "office:"+call, false
			if r := o.do("u1", claim); !r.OK {
				t.Fatalf("%+v", r.Error)
			}
		}
		for _, call := range []string{"c1", "c2"} {
			o.ring(call)
			pass(time.Millisecond)
			open(call)
		}
		pass(5 * time.Minute)
		o.want(0)
		if r := o.do("u1", Command{ID: "k2", Action: "result", Call: "office:c1", Text: "a cat", Entity: &Entity{"leads", "7"}}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		claim.ID, claim.Call, claim.Done = "k3", "office:c1", true
		if r := o.do("u1", claim); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		pass(7 * time.Second)
		o.want(1)
		pass(5 * time.Minute)
		o.want(2) // ten minutes are enough
		if o.crm.tried() != 2 {
			t.Errorf("%d tries", o.crm.tried())
		}
	})
}

func TestLostAnswerIsLookedUpFirst(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if due.Unsure {
				return fine
			}
			return loses
		})
		o.ring("c1")
		pass(time.Minute)
		if seen := o.crm.asked(); len(seen) != 2 || seen[0].Unsure || !seen[1].Unsure {
			t.Errorf("%+v", seen)
		}
	})
}

func TestKilledWhileSavingLooksFirst(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(DueCall) manner { return isSlowDone })
		o.ring("c1")
		pass(10 * time.Second)
		o.kill()
		o.crm.set(nil)
		o.crm.reset()
		o.start()
		pass(time.Minute)
		if seen := o.crm.asked(); len(seen) != 0 {
			t.Errorf("the CRM may still be at it: %+v", seen)
		}
		pass(time.Minute)
		if seen := o.crm.asked(); len(seen) != 1 || !seen[0].Unsure {
			t.Errorf("%+v", seen)
		}
	})
}

func TestStopCutsAHangingSave(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(DueCall) manner { return isSlow })
		o.ring("c1")
		pass(10 * time.Second)
		begun := time.Now()
		o.stop()
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v to leave", took)
		}
		o.crm.set(nil)
		o.start()
		pass(2 * time.Minute)
		o.want(1)
	})
}

func TestParkedCallIsSeenAndReleased(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if due.Call.ID == "office:bad" || due.Call.ID == "office:worse" {
				return cannot
			}
			return fine
		})
		o.ring("bad")
		pass(3 * time.Second)
		o.ring("worse")
		o.ring("good")
		pass(10 * time.Second)
		o.want(1)
		o.restart()
		parked, err := o.Parked(t.Context(), "acme")
		if err != nil || len(parked) != 2 || parked[0].Call != "office:bad" || !strings.Contains(parked[0].Reason, "400") || parked[0].From != "89991112233" {
			t.Fatalf("%+v, %v", parked, err)
		}
		if a := o.entries("acme"); a.Parked != 2 || a.Waiting != 0 {
			t.Errorf("%+v", a)
		}
		for range 3 { // released, it is parked again; also within the queue's two minutes
			if err := o.ReleaseParked(t.Context(), parked[0].ID, CallMend{}); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
			if a := o.entries("acme"); a.Parked != 2 {
				t.Errorf("%+v", a)
			}
		}
		o.crm.set(nil)
		if err := o.ReleaseParked(t.Context(), parked[0].ID, CallMend{}); err != nil {
			t.Fatal(err)
		}
		if err := o.ReleaseParked(t.Context(), parked[0].ID, CallMend{}); CodeOf(err) != CodeNotFound {
			t.Errorf("released twice: %v", err)
		}
		pass(10 * time.Second)
		o.want(2)
		if err := o.DropParked(t.Context(), parked[1].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		o.want(2)
		for _, id := range []string{parked[0].ID, parked[1].ID, "", "a", ".", "x.y", parked[0].ID + "0", strings.Repeat("../", 20)} {
			if err := o.ReleaseParked(t.Context(), id, CallMend{}); CodeOf(err) != CodeNotFound {
				t.Errorf("Release(%q): %v", id, err)
			}
		}
		if o.queue.len() != 0 {
			t.Errorf("%d items are left", o.queue.len())
		}
	})
}

func TestLaterVersionOfAParkedCallSavesIt(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(DueCall) manner { return cannot })
		o.ring("c1")
		pass(10 * time.Second)
		o.emit("recording rec=https://pbx.example.com/1.mp3")
		pass(10 * time.Second)
		if a := o.entries("acme"); a.Parked != 1 {
			t.Errorf("%+v: the later version takes the place of the earlier", a)
		}
		o.crm.set(nil)
		o.do("u1", Command{ID: "k1", Action: "result", Call: "office:c1", Text: "a cat"})
		pass(10 * time.Second)
		o.want(1)
		if o.queue.len() != 0 {
			t.Errorf("%d items are left", o.queue.len())
		}
	})
}

// The answer was lost, the look-up was refused, and somebody saw the call in the CRM.
func TestCallThatWasGivenUpIsLookedForBeforeALaterVersion(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if due.Unsure {
				return cannot
			}
			return loses
		})
		o.ring("c1")
		pass(time.Minute)
		parked, err := o.Parked(t.Context(), "acme")
		if err != nil || len(parked) != 1 {
			t.Fatalf("%+v, %v", parked, err)
		}
		if err := o.DropParked(t.Context(), parked[0].ID); err != nil {
			t.Fatal(err)
		}
		o.crm.set(nil)
		o.emit("recording rec=https://pbx.example.com/1.mp3")
		pass(time.Minute)
		if e, _ := o.crm.entry("acme/office:c1"); e.made != 1 || e.last.Recording == "" {
			t.Errorf("made %d times, with the recording %q", e.made, e.last.Recording)
		}
	})
}

// The node was killed, or the store away, when the call was parked and its entry did not say so yet.
func TestParkedItemThatNothingPointsToIsNotShownForEver(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(DueCall) manner { return cannot })
		o.ring("c1")
		pass(10 * time.Second)
		first, err := o.queue.Next(t.Context(), laneParked+"acme", 0)
		if err != nil {
			t.Fatal(err)
		}
		first.ID = "of another try"
		if _, err := o.queue.Add(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		parked, err := o.Parked(t.Context(), "acme")
		if err != nil || len(parked) != 1 || o.entries("acme").Parked != 1 {
			t.Fatalf("%+v, %v, %d items", parked, err, o.entries("acme").Parked)
		}
		o.crm.set(nil)
		if err := o.ReleaseParked(t.Context(), parked[0].ID, CallMend{}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		o.want(1)
	})
}

// lastingStore is a store whose keys can have a life.
type lastingStore struct {
	Store
	lives chan time.Duration
}

func (s lastingStore) PutFor(ctx context.Context, key string, data []byte, rev uint64, life time.Duration) (uint64, error) {
	s.lives <- life
	return s.Put(ctx, key, data, rev)
}

func TestWhatIsRememberedOfACallEndsSomeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newArchive(t)
		lives := make(chan time.Duration, 1)
		o.cfg.Keep = 100 * time.Hour
		o.wrap = func(s Store) Store { return lastingStore{s, lives} }
		o.start()
		defer func() { o.stop() }()
		o.ring("c1")
		pass(time.Minute)
		if life := <-lives; life != 100*time.Hour {
			t.Errorf("for %v", life)
		}
	})
}

// A PBX may tell late that two calls are one.
func TestCallThatBecomesAnotherWhileItWaitsIsNotSaved(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(DueCall) manner { return isSlow })
		for i := range savesPerLane { // all that are under way at a time
			o.ring(fmt.Sprint("slow", i))
		}
		pass(10 * time.Second)
		o.emit("a: dial 101", "a: bridge 101", "b: dial 102", "b: bridge 102", "a: hangup")
		pass(10 * time.Second)
		if a := o.entries("acme"); a.Waiting != savesPerLane+1 {
			t.Fatalf("%+v", a)
		}
		late := lineEvents("a: merge into=b", "b: hangup")
		a, _ := o.feed.call("acme", "office:a")
		late[0].At = a.AnsweredAt
		if _, err := o.Emit(t.Context(), "acme", "office", late); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a, _ := o.feed.call("acme", "office:a"); a.Into == "" {
			t.Fatalf("%+v", a)
		}
		o.crm.set(nil)
		pass(10 * time.Minute)
		if _, ok := o.crm.entry("acme/office:b"); !ok || o.crm.len() != savesPerLane+1 || o.queue.len() != 0 {
			t.Errorf("saved: %v, %d items are left", o.crm.order, o.queue.len())
		}
	})
}

// What the journal has not brought away yet is not in the way of new calls.
func TestFullLogHurriesTheJournal(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.cfg.After = time.Hour
		o.restart()
		for i := range 30 {
			o.ring(fmt.Sprint("c", i))
		}
		o.log.mu.Lock()
		o.log.onAppend = func(Entry) error {
			if o.log.records() > 50 {
				return ErrLogFull
			}
			return nil
		}
		o.log.mu.Unlock()
		synctest.Wait()
		if _, err := o.Emit(t.Context(), "acme", "office", lineEvents("late: dial 101")); CodeOf(err) != CodeUnavailable {
			t.Fatalf("%v", err)
		}
		pass(time.Minute)
		o.want(30)
		o.emit("late: dial 101")
	})
}

// A log that nobody has read for long holds more ended calls than are held in memory.
func TestMoreEndedCallsThanAreHeldAreSavedAll(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.cfg.After, o.cfg.Held = time.Hour, 100
		o.restart()
		var lines []string
		for i := range 500 {
			lines = append(lines, fmt.Sprintf("c%d: dial 101", i), fmt.Sprintf("c%d: hangup", i))
		}
		o.emit(lines...)
		pass(10 * time.Minute)
		if n := o.crm.len(); n < 400 || n == 500 {
			t.Errorf("%d are saved: only as many as fit wait for an hour", n)
		}
		pass(2 * time.Hour)
		o.want(500)
	})
}

func TestIdsThatAPBXUsesAgainAreOtherCalls(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.ring("c1")
		o.emit("recording rec=https://pbx.example.com/1.mp3")
		pass(25 * time.Hour) // the feed has forgotten it
		o.crm.set(func(DueCall) manner { return putsOff })
		o.crm.reset()
		o.ring("c1")
		pass(7 * time.Second)
		if seen := o.crm.asked(); len(seen) != 1 || seen[0].Before.ID != "" || seen[0].Unsure || seen[0].Call.Version != 3 {
			t.Errorf("%+v", seen)
		}
	})
}

func TestFullQueueKeepsCallsInTheLog(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.queue.setFull(true)
		for i := range 20 {
			o.ring(fmt.Sprint("c", i))
			pass(time.Minute)
		}
		pass(time.Hour) // snapshots are written, and the log purged
		o.kill()
		o.start()
		pass(time.Hour)
		o.want(0)
		o.queue.setFull(false)
		pass(time.Minute)
		o.want(20)
		pass(time.Hour)
		if n := o.log.records(); n > 3 {
			t.Errorf("%d records are left in the log", n)
		}
	})
}

func TestStoreThatIsAwayStopsNothingForGood(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		for i := range 10 {
			o.ring(fmt.Sprint("c", i))
		}
		o.crm.slow(2 * time.Second)
		pass(6 * time.Second)
		o.line.sever() // in the middle of some
		pass(10 * time.Minute)
		o.line.mend()
		pass(2 * time.Minute)
		o.want(10)
	})
}

func TestPanicInACRMIsAFailure(t *testing.T) {
	t.Parallel()
	if _, err := callSave(t.Context(), panicCRM{}, DueCall{}); err == nil || errors.As(err, new(*ParkError)) {
		t.Errorf("%v", err)
	}
}

type panicCRM struct{}

func (panicCRM) Save(context.Context, DueCall) (Saved, error) { panic("oh") }
