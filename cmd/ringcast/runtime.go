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
)

// tune sets the runtime up for a server, as far as the operator has not, until ctx ends.
func (a *app) tune(ctx context.Context) {
	if _, set := a.env("GOMAXPROCS"); !set && runtime.GOMAXPROCS(0) == 1 {
		// Where there is one processor, whoever waits for the disk must not hold it.
		runtime.GOMAXPROCS(2)
	}
	_, set := a.env("GOGC")
	keepMemory(ctx, memoryTick, !set)
}

// keepMemory returns memory to the system whenever the node has become quiet: a busy one lets garbage grow, and
// the runtime alone would keep most of that for minutes. With pace it also says how much garbage may grow.
func keepMemory(ctx context.Context, every time.Duration, pace bool) {
	samples := []gauges.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for before, percent := uint64(0), 0; ; {
		gauges.Read(samples)
		allocated, live := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		held := samples[2].Value.Uint64() + samples[3].Value.Uint64() + samples[4].Value.Uint64()
		if now := garbagePercent(live); pace && now != percent {
			percent = now
			debug.SetGCPercent(percent)
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

// garbagePercent is how much garbage may come to so many live bytes. A very small heap beside a high rate of events is
// collected so often that it stalls the slowest percent of them. More garbage on a larger one costs more memory for
// good, since what stays lives scattered among it, than it saves of the processor.
func garbagePercent(live uint64) int {
	if live < 32<<20 {
		return 200
	}
	return 100
}
