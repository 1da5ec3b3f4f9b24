package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// measureRate runs the rounds and prints the report. It says whether all bounds hold.
func measureRate(ctx context.Context, s *site, stdout io.Writer) (bool, error) {
	b := &bench{site: s, kinds: []string{kindBare, kindNaive}}
	if s.o.durability != kindFast {
		b.kinds = append(b.kinds, kindStrict)
	}
	if s.o.durability != kindStrict {
		b.kinds = append(b.kinds, kindFast)
	}
	report := newReport(s.o, b.kinds)
	report.printHead(stdout)
	for round := 1; round <= s.o.rounds; round++ {
		for _, kind := range b.kinds {
			results, err := b.round(ctx, kind)
			if err != nil {
				return false, fmt.Errorf("round %d, %s: %w", round, kind, err)
			}
			report.add(kind, results)
			report.printRound(stdout, round, kind, results)
		}
	}
	report.printTable(stdout)
	return report.judge(stdout), nil
}

// bench measures a rate of events.
type bench struct {
	*site
	kinds []string
}

// results are those of one server in one round.
type results struct {
	empty     int64   // bytes of memory before anybody connected
	idle      int64   // with all sessions connected, before anything was posted
	loaded    int64   // after the events at the given rate, at rest
	paced     result  // at the given rate
	saturated *result // as fast as it goes
	ended     error   // nil: cleanly, when it was asked to
}

// result is one measurement.
type result struct {
	planned, sent, acknowledged, delivered int
	faults                                 faults
	notes                                  []string // what was wrong, the first few
	cut                                    int      // sessions that the server ended
	firstError                             error    // why a POST was refused or a session ended

	latency []time.Duration // sorted: from when the event was to be posted to its message in the tab
	late    []time.Duration // sorted: how long after that its POST began
	rate    float64         // acknowledged events a second
	cpu     time.Duration   // of the server
	rss     int64           // of the server, at the end
	server  float64         // processors that the server kept busy
	self    float64         // processors that this program kept busy
	others  float64         // share of the machine's processors that neither the server nor this program took
}

// round starts a server of a kind, connects everybody, measures and stops it.
func (b *bench) round(ctx context.Context, kind string) (r results, err error) {
	accounts := newAccounts(b.o.sessions, b.o.accounts)
	p, err := b.serve(ctx, kind, accounts)
	if err != nil {
		return results{}, err
	}
	defer func() { r.ended = p.Stop() }()
	if r.empty, err = b.atRest(ctx, p); err != nil {
		return results{}, err
	}
	cfg := crowdConfig{addrs: []string{p.addr}, rungs: []string{"ws"}}
	if b.ours(kind) {
		cfg.rungs, cfg.returns = b.o.rungs, b.o.cuts > 0
	}
	c, err := connect(ctx, accounts, cfg)
	if err != nil {
		return results{}, err
	}
	defer c.leave()
	if r.idle, err = b.atRest(ctx, p); err != nil {
		return results{}, err
	}
	if cfg.returns {
		defer c.disturb(ctx, b.o.cuts, (*visitor).cut)()
	}
	err = b.measureBoth(ctx, &r, kind, p, c)
	return r, err
}

// ours says whether a kind is Ringcast. The others have one rung, and lose what is sent when nobody is there.
func (b *bench) ours(kind string) bool { return kind != kindBare && kind != kindNaive }

// batch is how many events a POST to a kind has. The naive server is what it is in the issue: one.
func (b *bench) batch(kind string) int {
	if kind == kindNaive {
		return 1
	}
	return b.o.batch
}

func (b *bench) measureBoth(ctx context.Context, r *results, kind string, p *process, c *crowd) error {
	batch := b.batch(kind)
	paced := load{
		addrs: []string{p.addr}, batch: batch, every: time.Duration(batch) * time.Second / time.Duration(b.o.rate), duration: b.o.duration,
	}
	warmUp := paced
	warmUp.duration /= 10
	warm, err := b.measure(ctx, p, c, warmUp)
	if err != nil {
		return err
	}
	if r.paced, err = b.measure(ctx, p, c, paced); err != nil {
		return err
	}
	r.paced.countIn(warm)
	if r.loaded, err = b.atRest(ctx, p); err != nil || !b.o.saturate {
		return err
	}
	full := load{addrs: []string{p.addr}, batch: batch, duration: max(time.Second, b.o.duration/4)}
	saturated, err := b.measure(ctx, p, c, full)
	r.saturated = &saturated
	return err
}

// patience is how long it may be quiet before what is missing counts as lost: with cuts, longer than a page stays away.
func patience(o options) time.Duration {
	if o.cuts > 0 {
		return backOffEnd
	}
	return 3 * time.Second
}

// countIn adds what is counted in another measurement, not what is timed.
func (r *result) countIn(other result) {
	r.planned += other.planned
	r.sent += other.sent
	r.acknowledged += other.acknowledged
	r.delivered += other.delivered
	r.faults.add(other.faults)
	r.notes = append(r.notes, other.notes...)
	if r.firstError == nil {
		r.firstError = other.firstError
	}
}

func (b *bench) measure(ctx context.Context, p *process, c *crowd, l load) (result, error) {
	watch, err := startWatch(p)
	if err != nil {
		return result{}, err
	}
	already := c.delivered.Load()
	s, begin, err := l.run(ctx, c.accounts, b.o.senders)
	if err != nil {
		return result{}, err
	}
	if err := c.await(ctx, already+int64(s.acknowledged), patience(b.o)); err != nil {
		return result{}, err
	}
	r := result{
		planned: l.planned(), sent: s.events, acknowledged: s.acknowledged, late: s.lateness, firstError: s.refused,
		rate: float64(s.acknowledged) / s.lastAnswer.Sub(begin).Seconds(),
	}
	if r.planned == 0 {
		r.planned = r.sent
	}
	r.settle(c.accounts)
	slices.Sort(r.late)
	slices.Sort(r.latency)
	return r, watch.stop(&r)
}

// explain prints what is known of what went wrong.
func (r *result) explain(w io.Writer) {
	for _, note := range r.notes {
		fmt.Fprintf(w, "      %s\n", note)
	}
	if r.firstError != nil {
		fmt.Fprintf(w, "      %v\n", r.firstError)
	}
}

// planned is how many events the load has, 0 if that is not known before.
func (l load) planned() int {
	if l.every == 0 {
		return 0
	}
	return int((l.duration+l.every-1)/l.every) * l.batch
}

func (r *result) settle(accounts []*account) {
	for _, a := range accounts {
		for _, t := range a.tabs {
			s := t.settle()
			r.faults.add(s.faults)
			r.notes = append(r.notes, s.notes[:min(len(s.notes), max(0, 5-len(r.notes)))]...)
			if s.gone != nil {
				r.cut++
				r.firstError = errors.Join(r.firstError, s.gone)
			}
			for _, e := range s.events {
				if !e.arrived.IsZero() {
					r.delivered++
					r.latency = append(r.latency, e.arrived.Sub(e.due))
				}
			}
		}
	}
}

// watch is the processors' account of a measurement.
type watch struct {
	process               *process
	begun                 time.Time
	server, self, machine time.Duration
}

func startWatch(p *process) (watch, error) {
	w := watch{process: p, begun: time.Now()}
	var err [3]error
	w.server, err[0] = cpuTime(p.PID())
	w.self, err[1] = cpuTime(os.Getpid())
	w.machine, err[2] = machineTime()
	return w, errors.Join(err[:]...)
}

func (w watch) stop(r *result) error {
	now, err := startWatch(w.process)
	if err != nil {
		return err
	}
	r.cpu = now.server - w.server
	took := now.begun.Sub(w.begun).Seconds()
	r.server, r.self = r.cpu.Seconds()/took, (now.self-w.self).Seconds()/took
	others := now.machine - w.machine - r.cpu - (now.self - w.self)
	r.others = max(0, others.Seconds()/(took*float64(processors())))
	r.rss, err = memory(w.process.PID())
	return err
}

// at returns a quantile of sorted times.
func at(sorted []time.Duration, quantile float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(quantile*float64(len(sorted))))]
}
