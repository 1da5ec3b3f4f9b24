package asterisk

import (
	"testing"
	"time"
)

// BenchmarkCorrelator folds traces, over and over: 10,000 events a second are to be no work.
func BenchmarkCorrelator(b *testing.B) {
	for _, name := range []string{"in-answered", "in-queue-ringall", "freepbx-queue", "transfer-attended-sip"} {
		b.Run(name, func(b *testing.B) {
			trace := heedfulTrace(b, name)
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				c := newCorrelator("b-", isUser)
				for _, m := range trace {
					c.take(m, time.Unix(1000, 0))
				}
				events += len(trace)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}
