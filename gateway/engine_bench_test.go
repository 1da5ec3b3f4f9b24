package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkEngine measures what the engine itself does with an event, in groups: folding it into its call, writing
// the record, applying it to the feed, and the view for the one tab that listens. Log and network are left out.
func BenchmarkEngine(b *testing.B) {
	for _, group := range []int{1, 50} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			g := New(Config{Log: newMemLog(), Store: new(memStore), Directory: NewAccounts()})
			f, o := g.feed, g.newOwner(0)
			extensions := make([]string, 5000)
			for i := range extensions {
				extensions[i] = fmt.Sprint(i)
				_, end := f.subscribe("acme", "u"+extensions[i], "", func(Message) {})
				defer end()
			}
			n, seq := 0, uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				requests := make([]*request, group)
				for i := range requests {
					e := benchmarkEvent(n, extensions)
					n++
					requests[i] = &request{ctx: context.Background(), build: func(d *draft) error { d.apply(e); return nil }, done: make(chan error, 1)}
				}
				d, _ := o.fold(requests, false)
				o.buffer = d.out.data
				seq++
				for i, r := range d.records {
					f.apply(Position{seq, i}, r)
				}
				f.head.Store(seq)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*group), "ns/event")
		})
	}
}

// benchmarkEvent is the nth event of calls that ring, are answered and hung up, for one user after another.
func benchmarkEvent(n int, extensions []string) Event {
	ext, turn := extensions[n%len(extensions)], n/len(extensions)
	call := fmt.Sprint(ext, ".", turn/3)
	e := Event{Account: "acme", PBX: "office", Call: call, ID: fmt.Sprint(call, ".", turn%3), At: time.Unix(1.8e9+int64(n), 0).UTC()}
	people := []Person{{User: "u" + ext, Name: "Anna", Extension: ext}}
	switch turn % 3 {
	case 0:
		number := Number{Raw: "+79991112233", E164: "+79991112233"}
		e.Type, e.Direction, e.From, e.To, e.Line, e.Extensions, e.People = EventDial, Inbound, number, number, "+74951234567", []string{ext}, people
	case 1:
		e.Type, e.Extensions, e.People = EventBridge, []string{ext}, people
	default:
		e.Type, e.Cause = EventHangup, CauseNormal
	}
	return e
}
