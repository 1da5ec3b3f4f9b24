package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// backlog has many calls of acme end while its CRM takes none.
func (o *archive) backlog(calls int) {
	o.t.Helper()
	o.backlogOf("b", calls)
}

func (o *archive) backlogOf(id string, calls int) {
	o.t.Helper()
	const atOnce = 100
	for i := 0; i < calls; i += atOnce {
		var lines []string
		for n := i; n < min(i+atOnce, calls); n++ {
			lines = append(lines, fmt.Sprintf("%s%d: dial 101", id, n), fmt.Sprintf("%s%d: hangup", id, n))
		}
		o.emit(lines...)
	}
}

// ringOther has a call of the account other end.
func (o *archive) ringOther(id string) {
	o.t.Helper()
	if _, err := o.Emit(o.t.Context(), "other", "office", lineEvents(id+": dial 101", id+": hangup")); err != nil {
		o.t.Fatal(err)
	}
}

func acmeIs(how manner) func(DueCall) manner {
	return func(due DueCall) manner {
		if due.Call.Account == "acme" {
			return how
		}
		return fine
	}
}

func TestBacklogOfOneAccountDelaysNoOther(t *testing.T) {
	for _, how := range []manner{refuses, isSlow, isLate, fine} {
		t.Run(string("it "+how), func(t *testing.T) {
			inArchive(t, func(t *testing.T, o *archive) {
				o.crm.set(acmeIs(how))
				o.crm.slow(300 * time.Millisecond)
				o.backlog(10_000)
				pass(20 * time.Second)
				for i := range 3 {
					o.ringOther(fmt.Sprint("c", i))
					pass(8 * time.Second)
					if _, ok := o.crm.entry(fmt.Sprintf("other/office:c%d", i)); !ok {
						t.Errorf("call %d of the other account is not saved after 8 s", i)
					}
				}
			})
		})
	}
}

func TestNewestCallDoesNotWaitForTheBacklog(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.slow(300 * time.Millisecond)
		o.backlog(2000)
		pass(10 * time.Second)
		o.ring("new")
		pass(8 * time.Second)
		if _, ok := o.crm.entry("acme/office:new"); !ok {
			t.Error("the newest call is not saved after 8 s")
		}
		if _, ok := o.crm.entry("acme/office:b10"); !ok {
			t.Error("nor is one of the oldest")
		}
		pass(10 * time.Minute)
		o.want(2001)
		if most := o.crm.most.Load(); most != savesPerLane {
			t.Errorf("%d at a time", most)
		}
	})
}

func TestCRMThatIsAwayForLongIsLeftInPeace(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(acmeIs(refuses))
		o.backlog(1000)
		pass(10 * time.Minute)
		if a := o.entries("acme"); a.Waiting != 1000 || a.Trouble == nil || a.Trouble.Error != "the CRM answers 500" || a.Oldest == nil {
			t.Errorf("%+v", a)
		}
		o.ringOther("c1")
		before := o.crm.tried()
		pass(6 * time.Hour)
		if tried := o.crm.tried() - before; tried > 6*60*60/10 {
			t.Errorf("asked %d times in six hours", tried)
		}
		o.journal.term(0).mu.Lock()
		held, tasks := len(o.journal.term(0).held), len(o.journal.term(0).lanes["acme"].tasks)
		o.journal.term(0).mu.Unlock()
		if held != 0 || tasks > maxTasks+1 {
			t.Errorf("%d calls are held, %d are tasks", held, tasks)
		}
		if n := o.log.records(); n > 3 {
			t.Errorf("%d records are left in the log", n)
		}
		o.crm.set(nil)
		pass(10 * time.Minute)
		o.want(1001)
		if a := o.entries("acme"); a.Trouble != nil || a.Waiting != 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestCallThatFailsAloneIsParked(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if due.Call.ID == "office:odd" {
				return refuses
			}
			return fine
		})
		o.ring("odd")
		for i := range 60 {
			o.ring(fmt.Sprint("c", i))
			pass(time.Minute)
		}
		o.want(60)
		if a := o.entries("acme"); a.Parked != 1 || a.Waiting != 0 {
			t.Errorf("%+v", a)
		}
	})
}

// That several in a row are refused, time and again, is no sign that the CRM takes none while it takes others.
func TestCallsThatAreDeniedStallNoOthersAndAreParked(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if strings.HasPrefix(due.Call.ID, "office:odd") {
				return denies
			}
			return fine
		})
		o.ring("odd1")
		o.ring("odd2")
		o.ring("odd3")
		pass(time.Minute)
		o.ring("first")
		pass(2 * time.Minute) // for all that it knows, the CRM takes none until then
		o.want(1)
		for i := range 150 {
			o.ring(fmt.Sprint("c", i))
			pass(8 * time.Second)
			o.want(i + 2)
			if a := o.entries("acme"); a.Trouble != nil {
				t.Fatalf("after %d calls: %+v", i+1, a)
			}
			pass(time.Minute)
		}
		if a := o.entries("acme"); a.Parked != 3 || a.Waiting != 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestCRMThatDeniesEverythingIsAway(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.backlog(20)
		pass(time.Minute)
		o.want(20)
		o.crm.set(acmeIs(denies))
		o.backlogOf("d", 20)
		pass(10 * time.Second)
		if a := o.entries("acme"); a.Trouble == nil || a.Waiting != 20 {
			t.Errorf("%+v", a)
		}
		pass(3 * time.Hour)
		if a := o.entries("acme"); a.Parked != 0 {
			t.Errorf("%+v", a)
		}
		o.crm.set(nil)
		pass(10 * time.Minute)
		o.want(40)
	})
}

func only(call string, how manner) func(DueCall) manner {
	return func(due DueCall) manner {
		if due.Call.ID == "office:"+call {
			return how
		}
		return fine
	}
}

func TestCallThatWaitsForAnotherStopsNoOtherAndIsNoTrouble(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(only("second", waits))
		o.ring("second")
		for i := range 3 {
			pass(10 * time.Minute)
			if a := o.entries("acme"); a.Trouble != nil || a.Waiting != 1 {
				t.Errorf("while it waits: %+v", a)
			}
			o.ring(fmt.Sprint("c", i))
			pass(8 * time.Second)
			o.want(i + 1)
		}
		o.crm.set(nil)
		pass(2 * time.Minute)
		o.want(4)
	})
}

func TestOldCallThatIsPutOffStarvesNoNewOne(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(only("odd", putsOff))
		o.ring("odd")
		pass(10 * time.Minute)
		o.ring("new")
		pass(time.Minute)
		o.want(1)
	})
}

func TestReconnectedCRMGetsWhatWaitsAtOnce(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.JournalRetry("nobody")
		o.crm.set(acmeIs(putsOff))
		o.backlog(20)
		pass(10*time.Minute + 10*time.Second)
		o.crm.set(nil)
		pass(time.Second)
		o.want(0)
		o.JournalRetry("acme")
		pass(time.Second)
		o.want(20)
	})
}

func TestAccountWithoutACRMForATimeLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newArchive(t)
		gone := make(chan struct{}, 1)
		o.cfg.CRMs = func(string) CRM {
			if len(gone) > 0 {
				return nil
			}
			return o.crm
		}
		o.start()
		defer func() { o.stop() }()
		o.crm.set(func(DueCall) manner { return refuses })
		o.ring("c1")
		pass(time.Minute)
		gone <- struct{}{} // uninstalled: what waits stays, what ends is not for it
		o.ring("c2")
		pass(24 * time.Hour)
		<-gone
		o.crm.set(nil)
		pass(5 * time.Minute)
		if _, ok := o.crm.entry("acme/office:c1"); !ok || o.crm.len() != 1 {
			t.Errorf("saved: %v", o.crm.order)
		}
	})
}

// What is due again waits for a place, and the queue is not asked over and over meanwhile.
func TestSavesThatHangMakeNobodyBusy(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if due.Call.ID == "office:bad" {
				return refuses
			}
			return isSlow
		})
		o.cfg.Retry = 20 * time.Second
		o.restart()
		o.ring("bad")
		pass(6 * time.Second) // it has failed, and is to be tried again while the others hang
		for i := range savesPerLane - 1 {
			o.ring(fmt.Sprint("slow", i))
		}
		pass(30 * time.Second)
		before := o.queue.looks.Load()
		pass(time.Minute)
		if n := o.queue.looks.Load() - before; n > 60 {
			t.Errorf("the queue was asked %d times in a minute", n)
		}
		o.crm.set(nil)
		pass(10 * time.Minute)
		o.want(savesPerLane)
	})
}
