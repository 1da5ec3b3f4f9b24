package gateway

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Who is alone is appended at once; while many ask, their requests come together.
func TestABusyOwnerMakesLargeGroups(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		var begun []time.Time // of the appends, which take no time here
		b.log.mu.Lock()
		b.log.onAppend = func(Entry) error { begun = append(begun, time.Now()); return nil }
		b.log.mu.Unlock()
		start := time.Now()
		for i := range 3 {
			b.emit("a" + strconv.Itoa(i) + ": dial 101")
		}
		if len(begun) != 3 || !begun[2].Equal(start) {
			t.Fatalf("alone: appends at %v, want three at %v", begun, start)
		}

		b.seats[0].owner.Load().busy = true // as after a group of several
		begun = nil
		var crowd sync.WaitGroup
		for i := range 10 {
			crowd.Go(func() { b.emit("b" + strconv.Itoa(i) + ": dial 102") })
		}
		crowd.Wait()
		if want := []time.Time{start.Add(appendPace)}; !slices.EqualFunc(begun, want, time.Time.Equal) {
			t.Errorf("a crowd: appends at %v, want one at %v", begun, want)
		}
		synctest.Wait()
	})
}
