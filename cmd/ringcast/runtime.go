package main

import (
	"context"
	"runtime"
	"runtime/debug"
	gauges "runtime/metrics"
	"time"
)

// tune sets the runtime up for a server, as far as the operator has not.
func (a *app) tune() {
	if _, set := a.env("GOGC"); !set {
		// A small heap beside a high rate of events is collected so often that it stalls the slowest percent of
		// them. Half as often costs less than half as much again of memory.
		debug.SetGCPercent(200)
	}
	if _, set := a.env("GOMAXPROCS"); !set && runtime.GOMAXPROCS(0) == 1 {
		// Where there is one processor, whoever waits for the disk must not hold it.
		runtime.GOMAXPROCS(2)
	}
}

const (
	memoryTick = time.Second
	quietBytes = 4 << 20  // allocated within a tick: less is quiet
	worthBytes = 16 << 20 // that could be given back: less is not worth a collection
)

// giveBack returns memory to the system when the node has become quiet, until ctx ends. A busy node lets garbage
// grow to twice what it needs, and the runtime alone would keep most of that for minutes.
func giveBack(ctx context.Context, every time.Duration) {
	samples := []gauges.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for before := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		gauges.Read(samples)
		allocated, live := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		held := samples[2].Value.Uint64() + samples[3].Value.Uint64() + samples[4].Value.Uint64()
		if allocated-before < quietBytes && held > live+max(worthBytes, live/4) {
			debug.FreeOSMemory()
		}
		before = allocated
	}
}
