package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// The bounds of a storm: resumes a second of the server's processor time, its processor time to the naive server's,
// and how long after its window a page that was sent away may be back.
const (
	boundResumes = 5_000
	boundStorm   = 1.0
	boundBack    = 5 * time.Second
)

// storm is what happened when everybody came back.
type storm struct {
	sessions int
	took     time.Duration // until the last session stood
	cpu      time.Duration // of the server
	away     []time.Duration
	whole    int // resumes
	faults   faults
}

func (s storm) perCPU() float64 { return float64(s.sessions) / max(s.cpu.Seconds(), 0.01) }

// measureStorm cuts everybody off at once, and then has the server send everybody away.
func measureStorm(ctx context.Context, s *site, stdout io.Writer) (bool, error) {
	fmt.Fprintf(stdout, "%d WebSocket sessions of %d accounts that come back\n\n", s.o.sessions, s.o.accounts)
	naive, err := s.stormNaive(ctx)
	if err != nil {
		return false, fmt.Errorf("naive: %w", err)
	}
	cut, drained, window, err := s.stormRingcast(ctx)
	if err != nil {
		return false, fmt.Errorf("ringcast: %w", err)
	}
	table := newTable(stdout)
	fmt.Fprintln(table, "\tsessions\tall live after s\taway p50 ms\tp99\twhole\treset\tlost\tCPU s\t× naive\treturns/CPU s\t")
	row := func(name string, r storm) {
		fmt.Fprintf(table, "%s\t%d\t%.2f\t%.0f\t%.0f\t%d\t%d\t%d\t", name, r.sessions, r.took.Seconds(),
			ms(at(r.away, 0.5)), ms(at(r.away, 0.99)), r.whole, r.faults.resets, r.faults.lost)
		if r.cpu > 0 {
			fmt.Fprintf(table, "%.2f\t%.2f\t%.0f\t", r.cpu.Seconds(), r.cpu.Seconds()/naive.cpu.Seconds(), r.perCPU())
		}
		fmt.Fprintln(table)
	}
	row("naive, cut", naive)
	row("ringcast, cut", cut)
	row("ringcast, sent away", drained)
	_ = table.Flush() // to what stdout is, as everything here
	fmt.Fprintln(stdout)

	v := &verdicts{w: stdout, ok: true}
	ratio := cut.cpu.Seconds() / naive.cpu.Seconds()
	full := !s.o.short && !s.o.tls // the naive server has no TLS
	v.sayIf(full, ratio <= boundStorm, "a storm costs %.2f × the naive server's processor time, tokens checked; at most %.2f", ratio, boundStorm)
	v.sayIf(full, cut.perCPU() >= boundResumes, "%.0f resumes a second of processor time, handshakes included; at least %d", cut.perCPU(), boundResumes)
	for _, row := range []storm{cut, drained} {
		v.say(row.whole == row.sessions && row.faults == faults{}, "%d of %d sessions resumed whole; %+v", row.whole, row.sessions, row.faults)
	}
	late := time.Duration(s.lenient()) * boundBack
	v.say(drained.took <= window+late, "sent away, all were back after %.1fs; the last was asked to be after %.1fs, and may be %v later",
		drained.took.Seconds(), window.Seconds(), late)
	return v.ok, nil
}

// stormNaive cuts everybody off from the naive server.
func (s *site) stormNaive(ctx context.Context) (_ storm, err error) {
	accounts := newAccounts(s.o.sessions, s.o.accounts)
	p, err := s.serve(ctx, kindNaive, accounts)
	if err != nil {
		return storm{}, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	c, err := connect(ctx, accounts, crowdConfig{addrs: []string{p.addr}, rungs: []string{"ws"}, returns: true, seed: s.o.seed})
	if err != nil {
		return storm{}, err
	}
	defer c.leave()
	return s.cutOff(ctx, nodes{all: []node{newNode(p, p.addr, p.ops)}}, c)
}

// stormRingcast does so with Ringcast, and then drains a node, which is started again when that is over or when there
// is no other. The window is how long after the beginning of the drain the last was to be back.
func (s *site) stormRingcast(ctx context.Context) (cut, drained storm, window time.Duration, err error) {
	accounts := newAccounts(s.o.sessions, s.o.accounts)
	n, err := s.nodes(ctx, accounts)
	if err != nil {
		return storm{}, storm{}, 0, err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	c, err := connect(ctx, accounts, crowdConfig{addrs: n.addrs(), secure: s.o.tls, rungs: []string{"ws"}, returns: true, seed: s.o.seed})
	if err != nil {
		return storm{}, storm{}, 0, err
	}
	defer c.leave()
	if cut, err = s.cutOff(ctx, n, c); err != nil {
		return storm{}, storm{}, 0, err
	}
	drained, window, err = s.sendAway(ctx, n, c)
	return cut, drained, window, err
}

// cutOff breaks all connections at once, after each tab has had an event, and waits until all sessions stand again.
func (s *site) cutOff(ctx context.Context, n nodes, c *crowd) (storm, error) {
	if err := s.postEach(ctx, n, c); err != nil {
		return storm{}, err
	}
	before, err := n.cpu()
	if err != nil {
		return storm{}, err
	}
	begin := time.Now()
	c.cutAll()
	if err := c.awaitReturns(ctx, len(c.visitors)); err != nil {
		return storm{}, err
	}
	found := storm{sessions: len(c.visitors), took: time.Since(begin)}
	after, err := n.cpu()
	found.cpu = after - before
	found.settle(c)
	return found, err
}

// sendAway drains the first node. Its processor time is not counted: it ends with the process.
func (s *site) sendAway(ctx context.Context, n nodes, c *crowd) (storm, time.Duration, error) {
	node := n.all[0]
	found := storm{sessions: c.at(node.addr)}
	begin := time.Now()
	if err := node.Stop(); err != nil {
		return storm{}, 0, err
	}
	if len(n.all) == 1 {
		if err := node.Start(ctx); err != nil {
			return storm{}, 0, err
		}
	}
	served := time.Since(begin) // until somebody did again
	if len(n.all) == 1 {
		served += backOffEnd // for pages that knocked meanwhile
	}
	if err := c.awaitReturns(ctx, found.sessions); err != nil {
		return storm{}, 0, err
	}
	found.took = time.Since(begin)
	if len(n.all) > 1 {
		if err := node.Start(ctx); err != nil {
			return storm{}, 0, err
		}
	}
	err := s.postEach(ctx, n, c) // whoever missed something would show a gap
	return found, served + found.settle(c), err
}

// postEach sends an event to each tab.
func (s *site) postEach(ctx context.Context, n nodes, c *crowd) error {
	already := c.delivered.Load()
	l := load{addrs: n.addrs(), secure: c.secure, retries: true, batch: 1, once: true, duration: time.Minute}
	sent, _, err := l.run(ctx, c.accounts, s.o.senders)
	if err != nil {
		return err
	}
	return errors.Join(sent.refused, c.await(ctx, already+int64(sent.acknowledged), 3*time.Second))
}

// settle takes what the crowd has found since the last time, and returns the window that it was given.
func (s *storm) settle(c *crowd) (window time.Duration) {
	s.away, window = c.takeReturns()
	for _, v := range c.visitors {
		t := v.tab.settle()
		s.faults.add(t.faults)
		s.whole += t.resumes
	}
	return window
}
