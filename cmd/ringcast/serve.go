package main

import (
	"context"
	"flag"
	"runtime/debug"
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
	if _, set := a.env("GOGC"); !set {
		// A small heap beside a high rate of events is collected so often that it stalls the slowest percent of
		// them. Half as often costs less than half as much again of memory.
		debug.SetGCPercent(200)
	}
	cfg, err := LoadConfig(*file, a.env)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		logger.Warn("config", "problem", w)
	}
	n, err := openNode(ctx, cfg, logger)
	if err != nil {
		return err
	}
	return n.run(ctx, func() {
		logger.Info("serving", "listen", n.web.addr(), "ops", n.ops.addr(), "public_url", cfg.PublicURL)
		if a.started != nil {
			a.started(n)
		}
	})
}
