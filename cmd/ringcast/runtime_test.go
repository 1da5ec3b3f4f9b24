package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// A node that was busy gives its garbage back when it is quiet.
func TestMemoryIsGivenBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	garbage := make([]byte, 8*worthBytes)
	for i := range garbage {
		garbage[i] = 1
	}
	runtime.KeepAlive(garbage)
	runtime.GC() // as it happens while a node is busy: what is free now is kept for what comes
	done := make(chan struct{})
	giving, stop := context.WithCancel(ctx)
	go func() {
		defer close(done)
		keepMemory(giving, time.Millisecond, nil)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		runtime.ReadMemStats(&now)
		if held, had := now.Sys-now.HeapReleased, before.Sys-before.HeapReleased; held < had+2*worthBytes {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("holds %d MB", (now.Sys-now.HeapReleased)>>20)
		}
	}
	stop()
	<-done
}

func TestGarbageFollowsTheEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live   uint64
		busy   bool
		expect int
	}{{20 << 20, false, 200}, {60 << 20, false, 100}, {60 << 20, true, 400}, {200 << 20, true, 200}, {1 << 30, true, 100}} {
		if got := garbagePercent(c.live, c.busy); got != c.expect {
			t.Errorf("%d MB live, busy %v: %d %%, want %d", c.live>>20, c.busy, got, c.expect)
		}
	}
}
