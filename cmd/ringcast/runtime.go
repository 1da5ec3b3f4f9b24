package main

import (
	"context"
	"runtime"
	"runtime/debug"
	gauges "runtime/metrics"
	"time"
)

const (
	memoryTick = time.Second
	quietBytes = 4 << 20  // allocated within a tick: less is quiet
	worthBytes = 16 << 20 // that could be given back: less is not worth a collection
	busyEvents = 500      // within a tick
)

// tune sets the runtime up for a server, as far as the operator has not, until ctx ends. Events counts what the node
// has read from the log.
func (a *app) tune(ctx context.Context, events func() uint64) {
	if _, set := a.env("GOMAXPROCS"); !set && runtime.GOMAXPROCS(0) == 1 {
		// Where there is one processor, whoever waits for the disk must not hold it.
		runtime.GOMAXPROCS(2)
	}
	if _, set := a.env("GOGC"); set {
		events = nil
	}
	keepMemory(ctx, memoryTick, events)
}

// keepMemory returns memory to the system whenever the node has become quiet: a busy one lets garbage grow, and
// the runtime alone would keep most of that for minutes. If it is told of events, it also says how much garbage may grow.
func keepMemory(ctx context.Context, every time.Duration, events func() uint64) {
	samples := []gauges.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	percent := 0
	for before, read := uint64(0), uint64(0); ; {
		gauges.Read(samples)
		allocated, live := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		held := samples[2].Value.Uint64() + samples[3].Value.Uint64() + samples[4].Value.Uint64()
		if events != nil {
			all := events()
			if now := garbagePercent(live, all-read >= busyEvents); now != percent {
				percent = now
				debug.SetGCPercent(percent)
			}
			read = all
		}
		if allocated-before < quietBytes && held > live+max(worthBytes, live/4) {
			debug.FreeOSMemory()
		}
		before = allocated
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// garbagePercent is how much garbage may come to so many live bytes. A small heap beside a high rate of events is
// collected so often that it stalls the slowest percent of them; a large one should not grow to its multiple. Without
// that rate it is sessions that come, and those who stay should not lie scattered among the garbage of their greetings.
func garbagePercent(live uint64, busy bool) int {
	switch {
	case live < 32<<20 && !busy:
		return 200
	case live < 128<<20 && busy:
		return 400
	case live < 512<<20 && busy:
		return 200
	default:
		return 100
	}
}
