package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// The bounds. Those on times are a time or a multiple of the bare fan-out's in the same run, whichever is more; those
// on costs are multiples of the naive server's, and count at the rate and on the machine that they were set for: on
// any other they are printed as notes.
const (
	boundP99        = 10 * time.Millisecond
	boundRatio      = 4
	boundDurable    = 0.5    // of strict's saturation to fast's
	boundSaturation = 20_000 // events/s that a processor takes
	boundCost       = 1.5
	boundCostBatch  = 0.65 // with arrays
	boundLoaded     = 0.45 // of the memory after load

	costRate  = 20_000 // events/s
	costBatch = 50
	memoryFor = 5_000 // sessions: the server's own memory is a small part then

	tolerable = 0.1 // share of the processors that others may take before the report says so

	leniency = 4 // of -short, which runs beside other tests: it is to find what is broken, not to measure
)

// report collects what the rounds found.
type report struct {
	o      options
	kinds  []string
	rounds map[string][]results
}

func newReport(o options, kinds []string) *report {
	return &report{o: o, kinds: kinds, rounds: map[string][]results{}}
}

func (r *report) add(kind string, found results) { r.rounds[kind] = append(r.rounds[kind], found) }

func (r *report) printHead(w io.Writer) {
	fmt.Fprintf(w, "%d sessions of %d accounts, %d events/s in POSTs of %d over %d connections, %v, %d rounds\n\n",
		r.o.sessions, r.o.accounts, r.o.rate, r.o.batch, r.o.senders, r.o.duration, r.o.rounds)
}

// printRound is a line of progress.
func (r *report) printRound(w io.Writer, round int, kind string, found results) {
	fmt.Fprintf(w, "round %d  %-12s  p50 %s  p99 %s ms, %.0f events/s", round, kind,
		milliseconds(at(found.paced.latency, 0.5)), milliseconds(at(found.paced.latency, 0.99)), found.paced.rate)
	if found.saturated != nil {
		fmt.Fprintf(w, "; at most %.0f events/s", found.saturated.rate)
	}
	fmt.Fprintf(w, "; other programs took %.0f %% of the processors\n", 100*found.paced.others)
}

// median of a figure of a kind's rounds.
func (r *report) median(kind string, figure func(results) float64) float64 {
	var all []float64
	for _, found := range r.rounds[kind] {
		all = append(all, figure(found))
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// column is a figure of the table. Its ratio to the naive server's is printed unless plain.
type column struct {
	name   string
	format string
	plain  bool
	figure func(results) float64
}

func quantile(q float64) func(results) float64 {
	return func(r results) float64 { return ms(at(r.paced.latency, q)) }
}

func p99(r results) float64 { return quantile(0.99)(r) }

func saturation(r results) float64 { return r.saturated.rate }

// cost is the server's processor time, in seconds for 100,000 delivered events.
func cost(r result) float64 { return r.cpu.Seconds() * 1e5 / float64(max(1, len(r.latency))) }

func pacedCost(r results) float64 { return cost(r.paced) }

// idle and loaded are bytes of memory for each session.
func (r *report) idle(f results) float64   { return float64(f.idle-f.empty) / float64(r.o.sessions) }
func (r *report) loaded(f results) float64 { return float64(f.loaded-f.empty) / float64(r.o.sessions) }

func (r *report) printTable(w io.Writer) {
	r.printFigures(w, "From the event posted to the message in the tab, in ms", []column{
		{"p50", "%.2f", false, quantile(0.5)},
		{"p95", "%.2f", false, quantile(0.95)},
		{"p99", "%.2f", false, p99},
		{"max", "%.1f", false, quantile(1)},
		{"posted late, p99", "%.2f", true, func(f results) float64 { return ms(at(f.paced.late, 0.99)) }},
		{"CPU s/100k", "%.2f", false, pacedCost},
		{"B/session idle", "%.0f", false, r.idle},
		{"loaded", "%.0f", false, r.loaded},
		{"RSS MB empty", "%.0f", true, func(f results) float64 { return float64(f.empty) / 1e6 }},
	})
	if r.o.saturate {
		r.printFigures(w, "Posted without a pause", []column{
			{"events/s", "%.0f", false, saturation},
			{"p50 ms", "%.1f", false, func(f results) float64 { return ms(at(f.saturated.latency, 0.5)) }},
			{"p99 ms", "%.1f", false, func(f results) float64 { return ms(at(f.saturated.latency, 0.99)) }},
			{"CPU s/100k", "%.2f", false, func(f results) float64 { return cost(*f.saturated) }},
			{"server's processors", "%.2f", true, func(f results) float64 { return f.saturated.server }},
			{"this program's", "%.2f", true, func(f results) float64 { return f.saturated.self }},
			{"RSS MB", "%.0f", false, func(f results) float64 { return float64(f.saturated.rss) / 1e6 }},
		})
	}
	r.printCounts(w)
	if worst := r.noise(); worst > tolerable {
		fmt.Fprintf(w, "Other programs took up to %.0f %% of the processors meanwhile: the times are not this program's alone.\n\n", 100*worst)
	}
}

// noise is the largest share of the processors that other programs took during a measurement.
func (r *report) noise() float64 {
	worst := 0.0
	for _, kind := range r.kinds {
		for _, found := range r.rounds[kind] {
			worst = max(worst, found.paced.others)
		}
	}
	return worst
}

func (r *report) printFigures(w io.Writer, title string, columns []column) {
	fmt.Fprintf(w, "\n%s; medians of the rounds, × is to the naive server\n", title)
	table := newTable(w)
	for _, c := range columns {
		fmt.Fprintf(table, "\t%s", c.name)
	}
	fmt.Fprintln(table, "\t")
	for _, kind := range r.kinds {
		fmt.Fprint(table, kind)
		for _, c := range columns {
			fmt.Fprintf(table, "\t"+c.format, r.median(kind, c.figure))
		}
		fmt.Fprintln(table, "\t")
		if kind == kindNaive {
			continue
		}
		for _, c := range columns {
			fmt.Fprint(table, "\t")
			if base := r.median(kindNaive, c.figure); !c.plain && base > 0 {
				fmt.Fprintf(table, "%.2f×", r.median(kind, c.figure)/base)
			}
		}
		fmt.Fprintln(table, "\t")
	}
	_ = table.Flush() // to what stdout is, as everything here
}

func (r *report) printCounts(w io.Writer) {
	fmt.Fprintf(w, "\nEvents of all rounds\n")
	table := newTable(w)
	fmt.Fprintln(table, "\tto send\tsent\tacknowledged\tdelivered\tlost\tdoubled\tout of order\tmisrouted\tgaps in prev\tsessions cut\t")
	for _, kind := range r.kinds {
		t := r.total(kind)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", kind, t.planned, t.sent, t.acknowledged, t.delivered,
			t.faults.lost, t.faults.doubled, t.faults.disordered, t.faults.misrouted, t.faults.gaps, t.cut)
	}
	_ = table.Flush()
	fmt.Fprintln(w)
}

func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

// total counts a kind's events of all rounds.
func (r *report) total(kind string) result {
	var t result
	for _, found := range r.rounds[kind] {
		t.countIn(found.paced)
		t.cut += found.paced.cut
		if s := found.saturated; s != nil {
			t.countIn(*s)
			t.cut += s.cut - found.paced.cut // who was gone before is counted again
		}
	}
	return t
}

// judge prints a line for each bound and says whether all hold.
func (r *report) judge(w io.Writer) bool {
	v := &verdicts{w: w, ok: true}
	lenient := 1.0
	if r.o.short {
		lenient = leniency
	}
	base := r.median(kindBare, p99)
	for _, kind := range r.ours() {
		bound := lenient * max(ms(boundP99), boundRatio*base)
		p99 := r.median(kind, p99)
		v.sayIf(r.o.plain(), p99 <= bound, "%s: p99 %.2f ms, at most %.2f ms (the larger of %v and %d × %.2f ms of the bare fan-out%s)",
			kind, p99, bound, boundP99, boundRatio, base, r.leniency())
		r.judgeCost(v, kind)
	}
	if r.o.saturate && r.o.durability == "both" {
		strict, fast := r.median(kindStrict, saturation), r.median(kindFast, saturation)
		v.say(strict >= boundDurable/lenient*fast, "strict takes %.0f events/s, %.2f of fast's %.0f; at least %.3g%s",
			strict, strict/fast, fast, boundDurable/lenient, r.leniency())
	}
	for _, kind := range r.kinds {
		r.judgeCounts(v, kind)
	}
	return v.ok
}

// judgeCost holds a kind's costs against the naive server's.
func (r *report) judgeCost(v *verdicts, kind string) {
	ratio := func(figure func(results) float64) float64 {
		return r.median(kind, figure) / r.median(kindNaive, figure)
	}
	times := func(counts bool, what string, ratio, bound float64) {
		v.sayIf(counts && !r.o.short && r.o.plain(), ratio <= bound, "%s: %s %.2f × the naive server's; at most %.2f", kind, what, ratio, bound)
	}
	if r.o.batch == 1 {
		times(r.o.rate >= costRate, "CPU an event, one a POST,", ratio(pacedCost), boundCost)
	} else {
		times(r.o.rate >= costRate && r.o.batch >= costBatch, "CPU an event, in arrays,", ratio(pacedCost), boundCostBatch)
	}
	times(r.o.sessions >= memoryFor, "memory after load", ratio(r.loaded), boundLoaded)
	if r.o.saturate {
		// What this program cannot post is not the server's limit: count by the time that the server took.
		at := r.median(kind, func(f results) float64 { return 1e5 / cost(*f.saturated) })
		v.sayIf(r.o.pin && !r.o.short, at >= boundSaturation, "%s: at most %.0f events/s a processor; at least %d", kind, at, boundSaturation)
	}
}

func (r *report) judgeCounts(v *verdicts, kind string) {
	t := r.total(kind)
	ok := t.acknowledged == t.planned && t.faults == faults{} && t.cut == 0
	// What the naive server drops when it is full is its own.
	v.sayIf(kind != kindNaive, ok, "%s: each of %d events acknowledged, delivered once, in order, to its user", kind, t.planned)
	t.explain(v.w)
	for _, found := range r.rounds[kind] {
		if found.ended != nil {
			v.say(false, "%s: ends cleanly when it is asked to: %v", kind, found.ended)
		}
	}
}

// plain says whether the sessions are as in the figures: by WebSocket, and left alone.
func (o *options) plain() bool { return o.cuts == 0 && o.rungs.String() == "ws" }

// ours are the kinds that are Ringcast.
func (r *report) ours() []string { return r.kinds[2:] }

func (r *report) leniency() string {
	if !r.o.short {
		return ""
	}
	return fmt.Sprintf("; %d times as lenient, being short", leniency)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", ms(d)) }
