package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// findFaults has users cut off, moved from rung to rung, and their nodes killed, while events are posted; then it counts.
func findFaults(ctx context.Context, s *site, stdout io.Writer) (ok bool, err error) {
	o := s.o
	fmt.Fprintf(stdout, "%d users of %d accounts over %v, %d events/s, %d cuts and %d changes of rung a second, for %v;\n"+
		"one of %d nodes killed every %v or so, frozen every %v, one of the NATS servers killed every %v (0s: never); -seed %d\n\n",
		o.sessions, o.accounts, &o.rungs, o.rate, o.cuts, o.moves(), o.duration, o.nodes, o.kills, o.freezes, o.natsKills, o.seed)
	accounts := newAccounts(o.sessions, o.accounts)
	n, err := s.nodes(ctx, accounts)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	c, err := connect(ctx, accounts, crowdConfig{addrs: n.addrs(), rungs: o.rungs, returns: true, seed: o.seed})
	if err != nil {
		return false, err
	}
	defer c.leave()

	calm := c.disturb(ctx, o.cuts, (*visitor).cut)
	stay := c.disturb(ctx, o.moves(), (*visitor).move)
	kills, freezes := troubles(ctx, n.all, o.kills, o.seed, killed), troubles(ctx, n.all, o.freezes, o.seed, frozen)
	servers := troubles(ctx, n.servers, o.natsKills, o.seed, killed)
	l := load{
		addrs: n.addrs(), retries: true, batch: 1, every: time.Second / time.Duration(o.rate), duration: o.duration,
	}
	posted, _, err := l.run(ctx, accounts, o.senders)
	calm()
	stay()
	died, err1 := kills()
	froze, err2 := freezes()
	natsDied, err3 := servers()
	if err = errors.Join(err, err1, err2, err3); err != nil {
		return false, err
	}
	fmt.Fprintf(stdout, "%d kills, %d freezes, %d kills of a NATS server; ", died, froze, natsDied)
	if err := c.settleDown(ctx, posted); err != nil {
		return false, err
	}
	r := result{planned: l.planned(), sent: posted.events, acknowledged: posted.acknowledged, firstError: posted.refused}
	r.settle(accounts)
	slices.Sort(r.latency)
	return judgeFaults(stdout, c, posted, r), nil
}

// moves are changes of rung a second.
func (o *options) moves() int {
	if len(o.rungs) < 2 {
		return 0
	}
	return o.cuts / 4
}

// trouble is what happens to nodes now and then, one at a time; it leaves the node running.
type trouble func(ctx context.Context, n node, random *rand.Rand) error

// killed is a node that dies and comes back soon.
func killed(ctx context.Context, n node, random *rand.Rand) error {
	if err := n.Kill(); err != nil {
		return err
	}
	_ = pause(ctx, around(time.Second, random)) // when it is over, start it for what is to be checked
	return n.Start(context.WithoutCancel(ctx))
}

// frozen is a node whose machine stops, perhaps for so long that others take its place, and goes on as if nothing had been.
func frozen(ctx context.Context, n node, random *rand.Rand) error {
	p, err := os.FindProcess(n.PID())
	if err == nil {
		err = p.Signal(syscall.SIGSTOP)
	}
	if err != nil {
		return err
	}
	_ = pause(ctx, around(5*time.Second, random))
	return p.Signal(syscall.SIGCONT)
}

// around is a random time of which d is the mean.
func around(d time.Duration, random *rand.Rand) time.Duration {
	return d/2 + time.Duration(random.Int64N(int64(d)))
}

// troubles begins a trouble every so often, until the returned function is called: it returns when all nodes run, and
// says how many there were.
func troubles(ctx context.Context, all []node, every time.Duration, seed uint64, t trouble) func() (count int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	count, failed := 0, error(nil)
	if len(all) == 0 {
		every = 0
	}
	random := rand.New(rand.NewPCG(seed, uint64(every)))
	done.Go(func() {
		for every > 0 && failed == nil && pause(ctx, around(every, random)) == nil {
			node := all[random.IntN(len(all))]
			node.busy.Lock()
			failed = t(ctx, node, random)
			node.busy.Unlock()
			count++
		}
	})
	return func() (int, error) {
		cancel()
		done.Wait()
		return count, failed
	}
}

func judgeFaults(w io.Writer, c *crowd, posted sent, r result) bool {
	away, _ := c.takeReturns()
	fmt.Fprintf(w, "%d POSTs sent again; %d returns, %s ms after the session before (p50; p99 %s)\n", posted.repeated, len(away),
		milliseconds(at(away, 0.5)), milliseconds(at(away, 0.99)))
	fmt.Fprintf(w, "from the event posted to the message in the tab, outages included: p50 %s, p99 %s, max %s ms\n",
		milliseconds(at(r.latency, 0.5)), milliseconds(at(r.latency, 0.99)), milliseconds(at(r.latency, 1)))
	for _, rung := range c.rungs {
		fmt.Fprintf(w, "%-6s  %6d visits, %7d events\n", rung, c.tally[rung].visits.Load(), c.tally[rung].events.Load())
	}
	table := newTable(w)
	fmt.Fprintln(table, "to send\tacknowledged\tdelivered\tlost\tdoubled\tout of order\tat the wrong user\tgaps in prev\tresets\tusers who gave up\t")
	fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n\n", r.planned, r.acknowledged, r.delivered,
		r.faults.lost, r.faults.doubled, r.faults.disordered, r.faults.misrouted, r.faults.gaps, r.faults.resets, r.cut)
	_ = table.Flush() // to what stdout is, as everything here
	v := &verdicts{w: w, ok: true}
	v.say(r.acknowledged == r.planned && r.delivered == r.acknowledged, "%d of %d events acknowledged, %d delivered", r.acknowledged, r.planned, r.delivered)
	v.say(r.faults == faults{}, "0 lost, 0 applied twice, 0 out of order, 0 at the wrong user, no gap, every resume whole")
	v.say(r.cut == 0, "nobody was turned away for good")
	for _, rung := range c.rungs {
		v.say(c.tally[rung].events.Load() > 0, "%s brought events", rung)
	}
	r.explain(w)
	return v.ok
}
