package natslog

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// embedded is a server in this process, on a directory that nobody else has open.
type embedded struct {
	cfg  Config
	dir  *dir
	srv  *server.Server
	boot string // names the run of the kernel; empty: not known
	last run
}

var _ host = (*embedded)(nil)

func (e *embedded) start(context.Context) (renew bool, err error) {
	if e.boot, err = e.cfg.bootID(); err != nil {
		e.cfg.Logger.Warn("cannot tell whether the machine was restarted: will assume so after an unclean stop", "err", err)
	}
	if e.dir, err = openDir(e.cfg.Dir); err != nil {
		return false, err
	}
	if e.last, err = e.dir.lastRun(); err != nil {
		e.cfg.Logger.Warn("cannot tell how the last run ended: will assume the worst", "err", err)
	}
	if e.srv, err = startServer(e.cfg); err != nil {
		return false, err
	}
	return e.last.mayHaveLostTail(e.boot), nil
}

func (e *embedded) connect(_ context.Context, name string) (*line, error) {
	return connect("", name, e.cfg.Logger, nats.InProcessServer(e.srv))
}

func (e *embedded) opened() error {
	if !e.last.Clean {
		// What the last run left to the kernel must not be older than what this run calls durable.
		if err := e.dir.sync(); err != nil {
			return err
		}
	}
	return e.dir.setRun(run{Durability: e.cfg.Durability, Boot: e.boot})
}

func (e *embedded) healthy(ctx context.Context, _ *DB) error { return serverHealth(ctx, e.srv) }

func (e *embedded) stop(clean bool) error {
	if e.srv != nil {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
	if e.dir == nil {
		return nil
	}
	var err error
	if clean && e.cfg.Durability == Fast {
		// The server does not sync when it stops, and the mark vouches for everything before it.
		err = e.dir.sync()
	}
	if clean && err == nil {
		err = e.dir.setRun(run{Clean: true})
	}
	return errors.Join(err, e.dir.close())
}

// kernelBootID returns an id that Linux makes anew at each boot.
func kernelBootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
