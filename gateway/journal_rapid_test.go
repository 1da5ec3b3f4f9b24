package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever kills, repeats and orders come, each ended call is in the CRM once, with its last version, and is never
// saved twice at once.
func TestWhateverHappensEachCallIsSavedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(step, 5, 60).Draw(rt, "steps")
		var faults []string
		synctest.Test(t, func(t *testing.T) { faults = play(t, steps) })
		if len(faults) > 0 {
			rt.Fatal(strings.Join(faults, "\n"))
		}
	})
}

// oddStep is one thing that happens.
type oddStep struct {
	what string
	n    int
}

var step = rapid.Custom(func(t *rapid.T) oddStep {
	return oddStep{rapid.SampledFrom([]string{
		"call", "call", "call", "record", "result", "repeat", "wait", "wait", "wait", "long wait", "stop", "kill", "kill",
		"crm", "crm", "crm", "full", "not full", "cut", "mend", "release",
	}).Draw(t, "what"), rapid.IntRange(0, 9).Draw(t, "n")}
})

// play has steps happen, then lets everything come right, and returns what is wrong then.
func play(t *testing.T, steps []oddStep) []string {
	o := newArchive(t)
	o.cfg.Recorded = func(string, string) bool { return len(steps)%2 == 0 }
	o.start()
	manners := []manner{fine, refuses, isSlow, isSlowDone, isLate, loses, drops, putsOff, denies, cannot}
	calls := map[string]int{} // by id: which versions there are
	emit := func(lines ...string) bool {
		_, err := o.Emit(t.Context(), "acme", "office", lineEvents(lines...))
		synctest.Wait()
		return err == nil
	}
	release := func() {
		parked, _ := o.Parked(t.Context(), "")
		for _, p := range parked {
			_ = o.ReleaseParked(t.Context(), p.ID, CallMend{})
		}
	}
	for i, s := range steps {
		some := fmt.Sprint("c", s.n)
		if _, ok := calls[some]; !ok && (s.what == "record" || s.what == "result") {
			continue
		}
		switch s.what {
		case "call":
			if id := fmt.Sprint("c", len(calls)); emit(id+": dial 101", id+": bridge 101", id+": hangup") {
				calls[id] = 3
			}
		case "record":
			if emit(fmt.Sprintf("%s: recording rec=https://pbx.example.com/%d", some, i)) {
				calls[some]++
			}
		case "result":
			if o.do("u1", Command{ID: fmt.Sprint("k", i), Action: "result", Call: "office:" + some, Text: fmt.Sprint("text ", i)}).OK {
				calls[some]++
			}
			synctest.Wait()
		case "repeat":
			o.queue.forget()
		case "wait":
			pass(time.Duration(1+s.n) * time.Second)
		case "long wait":
			pass(time.Duration(1+s.n) * time.Minute)
		case "stop":
			o.line.mend()
			o.restart()
		case "kill":
			o.kill()
			o.start()
		case "crm":
			n := 0
			bad := manners[s.n%len(manners)]
			o.crm.set(func(DueCall) manner {
				if n++; s.n >= len(manners) || n%3 == 0 {
					return manners[(s.n+n)%len(manners)]
				}
				return bad
			})
		case "full", "not full":
			o.queue.setFull(s.what == "full")
		case "cut":
			o.line.sever()
		case "mend":
			o.line.mend()
		case "release":
			release()
		}
	}
	o.crm.set(nil)
	o.queue.setFull(false)
	o.line.mend()
	pass(20 * time.Minute)
	release()
	pass(20 * time.Minute)
	o.stop()
	faults := o.crm.check()
	for id := range calls {
		e, ok := o.crm.entry("acme/office:" + id)
		last, _ := o.feed.call("acme", "office:"+id)
		if !ok || e.last.Version != last.Version || e.last.Recording != last.Recording || !e.last.Result.is(last.Result) {
			faults = append(faults, fmt.Sprintf("%s: %v, version %d is saved, %d is the last", id, ok, e.last.Version, last.Version))
		}
	}
	if o.queue.len() != 0 {
		faults = append(faults, fmt.Sprintf("%d items are left in the queue", o.queue.len()))
	}
	return faults
}

// forget makes the queue take the same ids again.
func (q *memQueue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen = nil
}
