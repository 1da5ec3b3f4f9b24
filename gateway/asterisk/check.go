package asterisk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Check logs in as a link would and tries, with actions that do no harm, whether the manager user has the
// rights that a link needs. It says in words what is wrong and how to mend it; nil, all is well.
func Check(ctx context.Context, config Config) error {
	cfg := config.withDefaults()
	if _, _, err := net.SplitHostPort(cfg.Address); err != nil {
		return fmt.Errorf("address %q: %w; give it as host:5038", cfg.Address, err)
	}
	c, err := cfg.dial(ctx)
	if err != nil {
		return cfg.explain(err)
	}
	defer c.close()
	return errors.Join(cfg.checkList(ctx, c), cfg.checkHangup(ctx, c), cfg.checkOriginate(ctx, c))
}

func (cfg *Config) explain(err error) error {
	var name *net.DNSError
	switch {
	case errors.Is(err, errRefused):
		return fmt.Errorf("%w; compare user, secret, deny and permit with manager.conf", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s; in manager.conf set enabled = yes, bindaddr and port: %w", cfg.Address, err)
	case errors.As(err, &name):
		return fmt.Errorf("host of %s cannot be found: %w", cfg.Address, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %s; is a firewall between? %w", cfg.Address, cfg.DialTimeout, err)
	default:
		return fmt.Errorf("%s: %w", cfg.Address, err)
	}
}

func (cfg *Config) lacks(right, use string, err error) error {
	return fmt.Errorf("manager user %q lacks %s, needed to %s: %w", cfg.Username, right, use, err)
}

func (cfg *Config) checkList(ctx context.Context, c *client) error {
	_, err := c.do(ctx, newAction("CoreShowChannels"))
	if denied(err) {
		return cfg.lacks("write = reporting", "see the calls that there are after a reconnect", err)
	}
	return err
}

func (cfg *Config) checkHangup(ctx context.Context, c *client) error {
	_, err := c.do(ctx, newAction("Hangup", field{"Channel", "ringcast-check/none"}))
	if denied(err) {
		return cfg.lacks("write = call", "hang up", err)
	}
	var no *actionError
	if errors.As(err, &no) {
		return nil // no such channel: as it should be
	}
	return err
}

// errSilent is a click-to-call of which no event came.
var errSilent = errors.New("no call event came for an attempt to call")

// checkOriginate calls an endpoint that there is not: the answer comes as an event of the class call.
func (cfg *Config) checkOriginate(ctx context.Context, c *client) error {
	id := c.id()
	outcome, forget := c.expect(c.watch, id)
	defer forget()
	_, err := c.doAs(ctx, id, newAction("Originate",
		field{"Channel", cfg.Technology + "/ringcast-check"}, field{"Application", "Wait"}, field{"Data", "0"},
		field{"Timeout", "1000"}, field{"Async", "true"}))
	if denied(err) {
		return cfg.lacks("write = originate", "dial for a user", err)
	}
	if err != nil {
		return err
	}
	timer := time.NewTimer(failsWithin)
	defer timer.Stop()
	select {
	case <-outcome:
		return nil
	case <-timer.C:
		return cfg.lacks("read = call", "see calls", errSilent)
	case <-c.done:
		return c.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}
