package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// What is measured. Ringcast's kinds are its durabilities.
const (
	kindBare   = "bare fan-out"
	kindStrict = "strict"
	kindFast   = "fast"
)

// bench is a run of the program.
type bench struct {
	o        options
	kinds    []string
	dir      string // of this run, on a disk
	ringcast string // the server's binary
	stderr   io.Writer
}

func newBench(ctx context.Context, o options, stderr io.Writer) (*bench, error) {
	b := &bench{o: o, kinds: []string{kindBare}, ringcast: o.ringcast, stderr: stderr}
	if o.durability != kindFast {
		b.kinds = append(b.kinds, kindStrict)
	}
	if o.durability != kindStrict {
		b.kinds = append(b.kinds, kindFast)
	}
	var err error
	if o.dir == "" {
		o.dir = diskDir()
	}
	if b.dir, err = os.MkdirTemp(o.dir, "ringcast-load-"); err != nil {
		return nil, err
	}
	if err = checkDisk(b.dir); err == nil && b.ringcast == "" {
		b.ringcast, err = build(ctx, b.dir, stderr)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) } //nolint:gosec // made by newBench

// build makes the server as it ships: without the race detector, also when this program has it.
func build(ctx context.Context, dir string, stderr io.Writer) (string, error) {
	binary := filepath.Join(dir, "ringcast")
	cmd := exec.CommandContext(ctx, "go", "build", "-race=false", "-o", binary, "ringcast/cmd/ringcast") //nolint:gosec // our own
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building the server, from within its module: %w", err)
	}
	return binary, nil
}

// results are those of one server in one round.
type results struct {
	idle      int64   // bytes of memory with all sessions connected, before anything was posted
	paced     result  // at the given rate
	saturated *result // as fast as it goes
	ended     error   // nil: cleanly, when it was asked to
}

// result is one measurement.
type result struct {
	planned, sent, acknowledged, delivered int
	faults                                 faults
	cut                                    int   // sessions that the server ended
	firstError                             error // why a POST was refused or a session ended

	latency []time.Duration // sorted: from when the event was to be posted to its message in the tab
	late    []time.Duration // sorted: how long after that its POST began
	rate    float64         // acknowledged events a second
	cpu     time.Duration   // of the server
	rss     int64           // of the server, at the end
	others  float64         // share of the machine's processors that neither the server nor this program took
}

// round starts a server of a kind, connects everybody, measures and stops it.
func (b *bench) round(ctx context.Context, kind string) (r results, err error) {
	accounts := newAccounts(b.o.sessions, b.o.accounts)
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return results{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() //nolint:gosec // made above
	var p *process
	if kind == kindBare {
		p, err = startBare(ctx, b.stderr)
	} else {
		p, err = startRingcast(ctx, b.ringcast, dir, kind, accounts, b.stderr)
	}
	if err != nil {
		return results{}, err
	}
	defer func() { r.ended = p.stop() }()
	c, err := connect(ctx, accounts, p.addr)
	if err != nil {
		return results{}, err
	}
	defer c.leave()
	if r.idle, err = p.rss(); err != nil {
		return results{}, err
	}
	err = b.measureBoth(ctx, &r, p, c)
	return r, err
}

func (b *bench) measureBoth(ctx context.Context, r *results, p *process, c *crowd) error {
	paced := load{
		addr: p.addr, batch: b.o.batch, every: time.Duration(b.o.batch) * time.Second / time.Duration(b.o.rate), duration: b.o.duration,
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
	if !b.o.saturate {
		return nil
	}
	full := load{addr: p.addr, batch: b.o.batch, duration: max(time.Second, b.o.duration/4)}
	saturated, err := b.measure(ctx, p, c, full)
	r.saturated = &saturated
	return err
}

// countIn adds what is counted in another measurement, not what is timed.
func (r *result) countIn(other result) {
	r.planned += other.planned
	r.sent += other.sent
	r.acknowledged += other.acknowledged
	r.delivered += other.delivered
	r.faults.add(other.faults)
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
	if err := c.await(ctx, already+int64(s.acknowledged)); err != nil {
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
			events, f, gone := t.settle()
			r.faults.add(f)
			if gone != nil {
				r.cut++
				r.firstError = errors.Join(r.firstError, gone)
			}
			for _, e := range events {
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
	w.server, err[0] = p.cpu()
	w.self, err[1] = cpuTime("self")
	w.machine, err[2] = machineTime()
	return w, errors.Join(err[:]...)
}

func (w watch) stop(r *result) error {
	now, err := startWatch(w.process)
	if err != nil {
		return err
	}
	r.cpu = now.server - w.server
	others := now.machine - w.machine - r.cpu - (now.self - w.self)
	r.others = max(0, others.Seconds()/(now.begun.Sub(w.begun).Seconds()*float64(processors())))
	r.rss, err = w.process.rss()
	return err
}

// at returns a quantile of sorted times.
func at(sorted []time.Duration, quantile float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(quantile*float64(len(sorted))))]
}
