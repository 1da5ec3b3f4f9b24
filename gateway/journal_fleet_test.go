package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// journalFleet gives the nodes of a fleet one queue and one CRM.
func inJournalFleet(t *testing.T, partitions, nodes int, test func(t *testing.T, f *fleet, crm *memCRM, queue *memQueue)) {
	inFleet(t, partitions, 0, func(t *testing.T, f *fleet) {
		crm, queue := newMemCRM(t), &memQueue{}
		f.journal = func(l *line) JournalConfig {
			return JournalConfig{Queue: lineQueue{queue, l}, CRMs: func(string) CRM { return crm }, MaxRetry: time.Minute}
		}
		for range nodes {
			f.start()
		}
		f.settle()
		test(t, f, crm, queue)
		for _, fault := range crm.check() {
			t.Error(fault)
		}
		if queue.len() != 0 {
			t.Errorf("%d items are left", queue.len())
		}
	})
}

// calls has so many calls of acme end, at any node that takes them.
func (f *fleet) calls(from, to int) {
	f.t.Helper()
	for i := from; i < to; i++ {
		f.nodes[i%len(f.nodes)].send(fmt.Sprintf("c%d: dial 101", i), fmt.Sprintf("c%d: hangup", i))
	}
}

func TestKilledNodesCallsAreSavedByTheNext(t *testing.T) {
	for _, how := range []manner{fine, loses, isSlowDone, isSlow, isLate} {
		t.Run("it "+string(how), func(t *testing.T) {
			inJournalFleet(t, 4, 2, func(t *testing.T, f *fleet, crm *memCRM, _ *memQueue) {
				crm.slow(200 * time.Millisecond)
				crm.set(func(DueCall) manner { return how })
				owner, other := f.owner()
				f.calls(0, 100)
				pass(6 * time.Second) // it is at it
				owner.kill()
				crm.set(nil)
				f.calls(100, 120)
				pass(5 * time.Minute)
				if crm.len() != 120 {
					t.Errorf("%d calls are saved", crm.len())
				}
				if all, err := other.Journal(t.Context(), ""); err != nil || len(all) != 0 {
					t.Errorf("%+v, %v", all, err)
				}
			})
		})
	}
}

func TestNodesThatComeAndGoSaveEachCallOnce(t *testing.T) {
	inJournalFleet(t, 4, 1, func(t *testing.T, f *fleet, crm *memCRM, _ *memQueue) {
		crm.slow(100 * time.Millisecond)
		n := 0
		for round := range 4 {
			f.calls(n, n+30)
			n += 30
			pass(time.Duration(3+round) * time.Second)
			f.start()
			f.calls(n, n+30)
			n += 30
			pass(7 * time.Second)
			f.nodes[0].stop()
		}
		pass(5 * time.Minute)
		if crm.len() != n {
			t.Errorf("%d of %d calls are saved", crm.len(), n)
		}
		if n := crm.tried(); n != 8*30 {
			t.Errorf("%d tries: who leaves in good order finishes what is under way", n)
		}
	})
}

func TestParkedCallIsReleasedOnAnyNode(t *testing.T) {
	inJournalFleet(t, 4, 2, func(t *testing.T, f *fleet, crm *memCRM, _ *memQueue) {
		crm.set(func(DueCall) manner { return cannot })
		f.calls(0, 1)
		pass(15 * time.Second)
		crm.set(nil)
		_, other := f.owner()
		parked, err := other.Parked(t.Context(), "")
		if err != nil || len(parked) != 1 {
			t.Fatalf("%+v, %v", parked, err)
		}
		if err := other.ReleaseParked(t.Context(), parked[0].ID, CallMend{}); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Second)
		if crm.len() != 1 {
			t.Error("it is not saved")
		}
	})
}

// The next owner knows of the window only from the log.
func TestOpenResultWindowIsWaitedForAfterATakeOver(t *testing.T) {
	inJournalFleet(t, 1, 2, func(t *testing.T, f *fleet, crm *memCRM, _ *memQueue) {
		owner, other := f.owner()
		other.emit("dial 101", "bridge 101", "hangup")
		pass(time.Second)
		if r := other.do("u1", Command{ID: "k1", Client: "tab", Action: "claim", What: ClaimResult, Call: "office:c1"}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		owner.kill()
		pass(time.Minute)
		if crm.len() != 0 {
			t.Error("it is saved while its form is being filled in")
		}
		if r := other.do("u1", Command{ID: "k2", Client: "tab", Action: "claim", What: ClaimResult, Call: "office:c1", Done: true}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		pass(time.Minute)
		if crm.len() != 1 {
			t.Errorf("%d calls are saved", crm.len())
		}
	})
}

// Whoever has the partition now looks for what was under way: it is not to be sent after that.
func TestLostPartitionCutsASaveAtOnce(t *testing.T) {
	inJournalFleet(t, 1, 2, func(t *testing.T, f *fleet, crm *memCRM, _ *memQueue) {
		owner, _ := f.owner()
		crm.set(func(DueCall) manner { return isSlow })
		f.calls(0, 1)
		pass(6 * time.Second)
		if crm.now.Load() != 1 {
			t.Fatalf("%d Saves are under way", crm.now.Load())
		}
		owner.shared.sever()
		for began := time.Now(); owner.own() != 0 && time.Since(began) < 10*time.Second; {
			pass(time.Millisecond) // before the other node has begun its own
		}
		synctest.Wait()
		if owner.own() != 0 || crm.now.Load() != 0 {
			t.Errorf("it owns %d and has %d Saves under way", owner.own(), crm.now.Load())
		}
		crm.set(nil)
		owner.shared.mend()
		pass(5 * time.Minute)
		if crm.len() != 1 {
			t.Errorf("%d calls are saved", crm.len())
		}
	})
}

// TestWhenAnotherTermAskedIsToldByItsMarkNotByItsClock: clocks differ, and a node may stand still.
func TestWhenAnotherTermAskedIsToldByItsMarkNotByItsClock(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	term := &journalTerm{journal: &journal{now: func() time.Time { return began.Add(time.Second) }}, id: "mine", began: began}
	for name, c := range map[string]struct {
		entry journalEntry
		want  time.Time
	}{
		"its own":                  {journalEntry{State: stateSending, Term: "mine", Since: began.Add(time.Second)}, time.Time{}},
		"saved":                    {journalEntry{State: stateDone, Since: began.Add(-time.Second)}, time.Time{}},
		"long before":              {journalEntry{State: stateSending, Term: "other", Since: began.Add(-time.Hour)}, began.Add(saveTime - time.Hour)},
		"just before":              {journalEntry{State: stateSending, Term: "other", Since: began.Add(-time.Second)}, began},
		"of a version before":      {journalEntry{State: stateSending, Since: began.Add(-time.Second)}, began},
		"by a clock that is ahead": {journalEntry{State: stateSending, Term: "other", Since: began.Add(4 * time.Second)}, began.Add(4 * time.Second)},
		"by a clock that is wrong": {journalEntry{State: stateSending, Term: "other", Since: began.AddDate(1, 0, 0)}, began},
	} {
		if got := term.asked(c.entry); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
