package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// What is measured. Ringcast's kinds are its durabilities.
const (
	kindBare   = "bare fan-out"
	kindNaive  = "naive"
	kindStrict = "strict"
	kindFast   = "fast"
)

// site is where a command does its work.
type site struct {
	o        options
	dir      string // of this run, on a disk
	ringcast string // the server's binary
	stderr   io.Writer
}

func newSite(ctx context.Context, o options, stderr io.Writer) (*site, error) {
	s := &site{o: o, ringcast: o.ringcast, stderr: stderr}
	var err error
	if o.dir == "" {
		o.dir = diskDir()
	}
	if s.dir, err = os.MkdirTemp(o.dir, "ringcast-load-"); err != nil {
		return nil, err
	}
	if err = checkDisk(s.dir); err == nil && s.ringcast == "" {
		s.ringcast, err = build(ctx, s.dir, stderr)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *site) close() { _ = os.RemoveAll(s.dir) } //nolint:gosec // made by newSite

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

// serve starts a server of a kind, which serves the accounts when it returns.
func (s *site) serve(ctx context.Context, kind string, accounts []*account) (*process, error) {
	var p *process
	var err error
	switch kind {
	case kindBare:
		p, err = newPeer(ctx, bareCommand)
	case kindNaive:
		p, err = newPeer(ctx, naiveCommand)
	default:
		p, err = s.newRingcast(ctx, kind, accounts)
	}
	if err != nil {
		return nil, err
	}
	p.pin, p.stderr = s.o.pin, s.stderr
	return p, p.Start(ctx)
}

// newRingcast prepares a server that has a directory to itself.
func (s *site) newRingcast(ctx context.Context, durability string, accounts []*account) (*process, error) {
	dir, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		return nil, err
	}
	c := serverConfig{durability: durability, dataDir: filepath.Join(dir, "data")}
	if s.o.tls {
		if c.cert, c.key, err = certificate(dir); err != nil {
			return nil, err
		}
	}
	return newRingcast(ctx, s.ringcast, dir, c, accounts)
}

// lenient is what bounds on times and sizes are multiplied by: -short runs beside other tests, to find what is broken.
func (s *site) lenient() float64 {
	if s.o.short {
		return leniency
	}
	return 1
}

// atRest is a server's memory when nothing has happened for a while.
func (s *site) atRest(ctx context.Context, p *process) (int64, error) {
	if err := pause(ctx, s.o.rest); err != nil {
		return 0, err
	}
	return memory(p.PID())
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
