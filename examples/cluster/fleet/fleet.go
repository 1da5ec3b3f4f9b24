// Package fleet runs a whole Ringcast cluster on this machine's loopback: NATS servers that form one
// JetStream cluster, and gateways on it, each a process of its own with the real program. Any of them may be
// killed and started again where it was.
//
// The programs are built from this module, so it must be used from within it. The methods of one Process are
// for one goroutine at a time; different processes may be handled at once.
package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Config says what to start.
type Config struct {
	Dir      string // keeps configs, data and logs; made when it does not exist. What lies there is gone on with
	Servers  int    // NATS servers, default 3
	Gateways int    // default 2
	Accounts string // the gateways' accounts: a YAML list, as it stands below "accounts:" in a config file
	Settings string // more lines of the gateways' config file, at its top level
	Ringcast string // the program to run as a gateway; default: built from this module
}

// Fleet is a running cluster. Its slices do not change.
type Fleet struct {
	Servers  []*Process
	Gateways []*Process
}

// Start builds what is to run, starts the servers and then the gateways, and returns when all are ready. All
// are killed when ctx ends; Stop ends them in order.
func Start(ctx context.Context, cfg Config) (*Fleet, error) {
	if cfg.Servers == 0 {
		cfg.Servers = 3
	}
	if cfg.Gateways == 0 {
		cfg.Gateways = 2
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	f := &Fleet{}
	if err := f.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, f.Kill())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context, cfg Config) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	server := filepath.Join(cfg.Dir, "nats-server")
	if err := build(ctx, server, "github.com/nats-io/nats-server/v2"); err != nil {
		return err
	}
	if cfg.Ringcast == "" {
		cfg.Ringcast = filepath.Join(cfg.Dir, "ringcast")
		if err := build(ctx, cfg.Ringcast, "ringcast/cmd/ringcast"); err != nil {
			return err
		}
	}
	ports, err := steadyPorts(ctx, 3*cfg.Servers+2*cfg.Gateways)
	if err != nil {
		return err
	}
	next := func() string {
		address := ports[0]
		ports = ports[1:]
		return address
	}

	routes := make([]string, cfg.Servers)
	for i := range routes {
		routes[i] = next()
	}
	var urls []string
	for i := range cfg.Servers {
		s := &Process{
			Name: fmt.Sprintf("nats-%d", i+1), Addr: next(), Ops: next(),
			dir: cfg.Dir, program: server, health: "/healthz",
		}
		s.args = []string{"-c", s.ConfigFile()}
		if err := s.writeConfig(serverConfig(s, i, routes)); err != nil {
			return err
		}
		f.Servers = append(f.Servers, s)
		urls = append(urls, "nats://"+s.Addr)
	}
	if err := each(f.Servers, func(p *Process) error { return p.Start(ctx) }); err != nil {
		return err
	}

	sessionKey, err := keyOf(cfg.Dir)
	if err != nil {
		return err
	}
	for i := range cfg.Gateways {
		g := &Process{
			Name: fmt.Sprintf("gateway-%d", i+1), Addr: next(), Ops: next(),
			dir: cfg.Dir, program: cfg.Ringcast, health: "/readyz",
		}
		g.args = []string{"serve", "-config", g.ConfigFile()}
		if err := g.writeConfig(gatewayConfig(g, strings.Join(urls, ","), sessionKey, cfg)); err != nil {
			return err
		}
		f.Gateways = append(f.Gateways, g)
	}
	return each(f.Gateways, func(p *Process) error { return p.Start(ctx) })
}

// Stop ends the gateways, and when they have left, the servers. It returns what did not end well; processes
// that were killed before are no error.
func (f *Fleet) Stop() error {
	return errors.Join(each(f.Gateways, (*Process).Stop), each(f.Servers, (*Process).Stop))
}

// Kill ends everything at once.
func (f *Fleet) Kill() error {
	return errors.Join(each(f.Gateways, (*Process).Kill), each(f.Servers, (*Process).Kill))
}

// each calls do for all processes at once.
func each(all []*Process, do func(*Process) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() { errs[i] = do(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func build(ctx context.Context, out, pkg string) error {
	said, err := exec.CommandContext(ctx, "go", "build", "-o", out, pkg).CombinedOutput() //nolint:gosec // a package of this module or one that it needs
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, said)
	}
	return nil
}

// keyOf returns the session key that all gateways of a directory share, also when they are started again.
func keyOf(dir string) (string, error) {
	name := filepath.Join(dir, "session-key")
	key, err := os.ReadFile(name)
	if err == nil {
		return string(key), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	made := rand.Text() + rand.Text()
	return made, os.WriteFile(name, []byte(made), 0o600)
}
