package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// soakSample is how often the server is looked at.
const soakSample = 500 * time.Millisecond

// boundLeft is how much more than before anybody came there may be when all have left.
const boundLeft = 15

// gauge is something of the server's that must not grow with the visits it has had.
type gauge struct {
	name  string
	count bool    // a number of things: it tells in seconds already
	bound float64 // of its growth with each return of a visitor
	of    func(map[string]float64) float64
	seen  []float64
}

func newGauges() []*gauge {
	metric := func(name string) func(map[string]float64) float64 {
		return func(m map[string]float64) float64 { return m[name] }
	}
	return []*gauge{
		{name: "goroutines", count: true, bound: 0.01, of: metric("go_goroutines")},
		{name: "open files", count: true, bound: 0.01, of: metric("process_open_fds")},
		// The heap that the last collection found in use: what is garbage at the moment says nothing.
		{name: "bytes of live heap", bound: 256, of: func(m map[string]float64) float64 {
			return m["go_memstats_next_gc_bytes"] / (1 + m["go_gc_gogc_percent"]/100)
		}},
		{name: "bytes of stacks", bound: 256, of: metric("go_memstats_stack_inuse_bytes")},
	}
}

// soak makes in minutes the visits of an hour: sleeps, cuts, changes of rung, renewals of tokens. Events are few, since
// the server keeps each for a while and is meant to.
func soak(ctx context.Context, s *site, stdout io.Writer) (ok bool, err error) {
	o := s.o
	fmt.Fprintf(stdout, "%d users of %d accounts over %v, %d cuts, %d changes of rung and %d sleeps a second, tokens of %v, %d events/s, for %v; -seed %d\n\n",
		o.sessions, o.accounts, &o.rungs, o.cuts, o.moves(), o.sleeps(), o.tokenLife, o.rate, o.duration, o.seed)
	accounts := newAccounts(o.sessions, o.accounts)
	n, err := s.nodes(ctx, accounts)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	before, err := n.all[0].metrics(ctx)
	if err != nil {
		return false, err
	}
	c, err := connect(ctx, accounts, crowdConfig{addrs: n.addrs(), rungs: o.rungs, returns: true, tokenLife: o.tokenLife, seed: o.seed})
	if err != nil {
		return false, err
	}
	left := false
	defer func() {
		if !left {
			c.leave()
		}
	}()
	stop := []func(){c.disturb(ctx, o.cuts, (*visitor).cut), c.disturb(ctx, o.moves(), (*visitor).move), c.disturb(ctx, o.sleeps(), (*visitor).doze)}

	gauges := newGauges()
	var returns []float64
	sampling := make(chan error, 1)
	done, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		var err error
		for err == nil && pause(done, soakSample) == nil {
			err = sample(ctx, n.all[0], gauges)
			returns = append(returns, float64(c.returned.Load()))
		}
		sampling <- err
	}()
	l := load{addrs: n.addrs(), retries: true, batch: 1, every: time.Second / time.Duration(o.rate), duration: o.duration}
	posted, _, err := l.run(ctx, accounts, o.senders)
	for _, stop := range stop {
		stop()
	}
	cancel()
	if err = errors.Join(err, <-sampling); err != nil {
		return false, err
	}
	if err := c.settleDown(ctx, posted); err != nil {
		return false, err
	}
	c.leave()
	left = true
	after, err := n.all[0].quiet(ctx, before)
	if err != nil {
		return false, err
	}
	r := result{planned: l.planned(), acknowledged: posted.acknowledged, firstError: posted.refused}
	r.settle(accounts)
	return s.judgeSoak(stdout, c, r, gauges, returns, before, after), nil
}

// sleeps are machines that fall asleep a second.
func (o *options) sleeps() int { return max(1, o.cuts/4) }

// doze makes a visitor sleep for a while.
func (v *visitor) doze(random *rand.Rand) {
	v.sleep(time.Duration(random.Int64N(int64(10 * time.Second))))
}

func sample(ctx context.Context, n node, gauges []*gauge) error {
	metrics, err := n.metrics(ctx)
	for _, g := range gauges {
		g.seen = append(g.seen, g.of(metrics))
	}
	return err
}

// quiet returns the node's metrics when it has noticed that all have left, or will not.
func (n node) quiet(ctx context.Context, before map[string]float64) (map[string]float64, error) {
	var now map[string]float64
	for range 60 {
		var err error
		if now, err = n.metrics(ctx); err != nil {
			return nil, err
		}
		if excess(before, now, "go_goroutines") <= boundLeft && excess(before, now, "process_open_fds") <= boundLeft {
			break
		}
		if err := pause(ctx, soakSample); err != nil {
			return nil, err
		}
	}
	return now, nil
}

func excess(before, after map[string]float64, name string) float64 { return after[name] - before[name] }

func (s *site) judgeSoak(w io.Writer, c *crowd, r result, gauges []*gauge, returns []float64, before, after map[string]float64) bool {
	fmt.Fprintf(w, "%.0f returns, %d renewals of tokens in place\n", returns[len(returns)-1], c.renewals.Load())
	for _, rung := range c.rungs {
		fmt.Fprintf(w, "%-6s  %6d visits, %7d events\n", rung, c.tally[rung].visits.Load(), c.tally[rung].events.Load())
	}
	table := newTable(w)
	fmt.Fprintln(table, "\tat first\tin the middle\tat the end\tgrowth each 1,000 returns\t")
	v := &verdicts{w: w, ok: true}
	var judged []func()
	for _, g := range gauges {
		half := len(g.seen) / 2
		slope, deviation := fit(returns[half:], g.seen[half:])
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.1f ± %.1f\t\n", g.name, g.seen[0], g.seen[half], g.seen[len(g.seen)-1], 1000*slope, 1000*deviation)
		bound := s.lenient() * g.bound
		judged = append(judged, func() {
			v.sayIf(g.count || !s.o.short, slope-2*deviation <= bound, "%s grow by %.4g with each return, give or take %.2g; at most %.4g", g.name, slope, deviation, bound)
		})
	}
	_ = table.Flush() // to what stdout is, as everything here
	fmt.Fprintln(w)
	for _, judge := range judged {
		judge()
	}
	for _, metric := range []string{"go_goroutines", "process_open_fds"} {
		v.say(excess(before, after, metric) <= boundLeft, "%s when all have left: %.0f, before they came %.0f", metric, after[metric], before[metric])
	}
	v.say(r.acknowledged == r.planned && r.faults == faults{} && r.cut == 0,
		"each of %d events acknowledged, delivered once, in order, to its user: %+v", r.planned, r.faults)
	r.explain(w)
	return v.ok
}

// fit returns the slope of the line through points, by least squares, and its standard deviation.
func fit(x, y []float64) (slope, deviation float64) {
	n := float64(len(x))
	if n < 3 {
		return 0, math.Inf(1)
	}
	var meanX, meanY float64
	for i := range x {
		meanX += x[i] / n
		meanY += y[i] / n
	}
	var xx, xy float64
	for i := range x {
		xx += (x[i] - meanX) * (x[i] - meanX)
		xy += (x[i] - meanX) * (y[i] - meanY)
	}
	if xx == 0 {
		return 0, math.Inf(1)
	}
	slope = xy / xx
	var rest float64
	for i := range x {
		d := y[i] - meanY - slope*(x[i]-meanX)
		rest += d * d
	}
	return slope, math.Sqrt(rest / (n - 2) / xx)
}
