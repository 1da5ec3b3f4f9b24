package gateway

import (
	"fmt"
	"testing"
	"time"
)

// The CRM hangs, the gateway gives up after 20 s, and a minute later the CRM does what it was asked for.
func TestCallThatACRMWritesLateIsThereOnce(t *testing.T) {
	for name, meanwhile := range map[string]func(o *archive){
		"":                       func(*archive) {},
		"it may be tried again":  func(o *archive) { o.JournalRetry("acme") },
		"a later version comes":  func(o *archive) { o.emit("c1: recording rec=https://pbx.example.com/1.mp3") },
		"other calls are saved":  func(o *archive) { o.ring("c2"); pass(8 * time.Second); o.want(1) },
		"the gateway is killed":  func(o *archive) { o.kill(); o.start() },
		"it is away for a while": func(o *archive) { o.kill(); pass(20 * time.Second); o.start() },
	} {
		for _, after := range []time.Duration{15 * time.Second, 28 * time.Second} { // while it is under way, and after that
			t.Run(fmt.Sprint(name, " after ", after), func(t *testing.T) {
				inArchive(t, func(t *testing.T, o *archive) {
					first := true
					o.crm.set(func(due DueCall) manner {
						if due.Call.ID != "office:c1" || !first {
							return fine
						}
						first = false
						return isLate
					})
					o.ring("c1")
					pass(after)
					meanwhile(o)
					pass(5 * time.Minute)
					e, _ := o.crm.entry("acme/office:c1")
					if e.made != 1 || o.queue.len() != 0 {
						t.Errorf("made %d times, %d items are left", e.made, o.queue.len())
					}
				})
			})
		}
	}
}

// What the CRM may still write does not wait for ever where the gateway does not live for long.
func TestGatewayThatIsKilledAgainAndAgainSavesWhatWasUnderWay(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(DueCall) manner { return isLate })
		o.ring("c1")
		pass(10 * time.Second)
		o.crm.set(nil)
		o.crm.reset()
		for range 6 {
			o.kill()
			o.start()
			pass(time.Minute)
		}
		if seen := o.crm.asked(); len(seen) != 1 || !seen[0].Unsure {
			t.Errorf("%+v", seen)
		}
	})
}

func TestCRMThatHangsIsAwayThoughItMayWriteLate(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(acmeIs(isLate))
		o.backlog(100)
		pass(30 * time.Second)
		if a := o.entries("acme"); a.Trouble == nil {
			t.Errorf("%+v", a)
		}
		before := o.crm.tried()
		pass(time.Hour)
		if tried := o.crm.tried() - before; tried < 30 || tried > 200 {
			t.Errorf("asked %d times in an hour", tried)
		}
		o.crm.set(nil)
		pass(10 * time.Minute)
		o.want(100)
	})
}

// More calls than a lane takes at a time wait for what becomes of them.
func TestCallsThatACRMMayStillWriteHoldUpNoOthers(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		const calls = 2 * 4 * maxTasks
		n := 0
		o.crm.slow(100 * time.Millisecond)
		o.crm.set(func(due DueCall) manner {
			if n++; n%4 == 0 && !due.Unsure {
				return drops
			}
			return fine
		})
		o.backlog(calls)
		pass(6*time.Second + calls/(savesPerLane-1)*100*time.Millisecond + 2*time.Second)
		o.want(calls - 2*maxTasks)
		pass(2 * time.Minute)
		o.want(calls)
	})
}
