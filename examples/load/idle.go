package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The bounds of an idle session's memory, in bytes.
const (
	boundIdle    = 12 << 10
	boundIdleTLS = 24 << 10
)

// idler is a server that nothing happens to.
type idler struct {
	name     string
	bound    float64 // of a session's memory; 0: none
	accounts []*account
	process  *process

	empty, full int64 // bytes of memory, without sessions and with them
}

// measureIdle connects sessions that nothing happens to, and says what each costs.
func measureIdle(ctx context.Context, s *site, stdout io.Writer) (ok bool, err error) {
	fmt.Fprintf(stdout, "%d idle WebSocket sessions of %d accounts; memory after %v at rest\n\n", s.o.sessions, s.o.accounts, s.o.rest)
	var all []*idler
	defer func() {
		for _, i := range all {
			err = errors.Join(err, i.process.Stop())
		}
	}()
	for _, k := range []struct {
		name, kind string
		tls        bool
		bound      float64
	}{{"naive", kindNaive, false, 0}, {"ringcast", kindStrict, false, boundIdle}, {"ringcast, TLS", kindStrict, true, boundIdleTLS}} {
		i := &idler{name: k.name, bound: k.bound * s.lenient(), accounts: newAccounts(s.o.sessions, s.o.accounts)}
		at := *s
		at.o.tls = k.tls
		if i.process, err = at.serve(ctx, k.kind, i.accounts); err != nil {
			return false, fmt.Errorf("%s: %w", k.name, err)
		}
		all = append(all, i)
	}
	if err := pause(ctx, s.o.rest); err != nil {
		return false, err
	}
	for _, i := range all {
		if i.empty, err = memory(i.process.PID()); err != nil {
			return false, err
		}
	}
	for _, i := range all { // one after another: this program has so many connections at a time
		if err := i.fill(ctx, s); err != nil {
			return false, fmt.Errorf("%s: %w", i.name, err)
		}
	}
	return judgeIdle(stdout, s.o.sessions, all), nil
}

// fill connects everybody and waits.
func (i *idler) fill(ctx context.Context, s *site) error {
	c, err := connect(ctx, i.accounts, crowdConfig{addrs: []string{i.process.addr}, secure: i.process.secure, rungs: []string{"ws"}})
	if err != nil {
		return err
	}
	defer c.leave()
	i.full, err = s.atRest(ctx, i.process)
	return errors.Join(err, c.firstRefusal())
}

func judgeIdle(w io.Writer, sessions int, all []*idler) bool {
	table := newTable(w)
	fmt.Fprintln(table, "\tMB empty\tMB with sessions\tB/session\t× naive\t")
	each := func(i *idler) float64 { return float64(i.full-i.empty) / float64(sessions) }
	for _, i := range all {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.0f\t%.2f\t\n", i.name, float64(i.empty)/1e6, float64(i.full)/1e6, each(i), each(i)/each(all[0]))
	}
	_ = table.Flush() // to what stdout is, as everything here
	fmt.Fprintln(w)
	v := &verdicts{w: w, ok: true}
	for _, i := range all {
		if i.bound > 0 {
			v.say(each(i) <= i.bound, "%s: %.0f B for an idle session, at most %.0f", i.name, each(i), i.bound)
		}
	}
	return v.ok
}
