package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func (a *app) serve(ctx context.Context, flags *flag.FlagSet, args []string) error {
	file := flags.String("config", "", "the config `file`")
	level := flags.String("log-level", "info", "what to log: debug, info, warn or error")
	if err := parse(flags, args, "config"); err != nil {
		return err
	}
	logger, err := a.logger(*level)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // from now on, or it would end the process
	defer signal.Stop(hangups)
	cfg, err := LoadConfig(*file, a.env)
	if err != nil {
		return err
	}
	cfg.pace = a.pace
	for _, w := range cfg.Warnings {
		logger.Warn("config", "problem", w)
	}
	n, err := openNode(ctx, cfg, logger)
	if err != nil {
		return err
	}
	reloading, endReloads := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer endReloads()
	reloads.Go(func() { a.reloads(reloading, n, *file, hangups) })
	reloads.Go(func() { a.tune(reloading, n.metrics.read.Load) })
	return n.run(ctx, func() {
		logger.Info("serving", "listen", n.web.addr(), "ops", n.ops.addr(), "public_url", cfg.PublicURL)
		if a.started != nil {
			a.started(n)
		}
	})
}
