package asterisk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Check logs in as a link would and tries, with actions that do no harm, whether the manager user has the
// rights that a link needs. It says in words what is wrong and how to mend it: err is what a link cannot
// do without, notes are what else is not as it could be.
func Check(ctx context.Context, config Config) (notes []string, err error) {
	cfg := config.withDefaults()
	if _, _, err := net.SplitHostPort(cfg.Address); err != nil {
		return nil, fmt.Errorf("address %q: %w; give it as host:5038", cfg.Address, err)
	}
	c, err := cfg.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	found, _, err := cfg.audit(ctx, c, false)
	if err != nil {
		return nil, cfg.explain(err)
	}
	var needed []error
	for _, f := range found {
		if f.needed {
			needed = append(needed, errors.New(f.text))
		} else {
			notes = append(notes, f.text)
		}
	}
	return notes, errors.Join(needed...)
}

// explain adds to an error of the way to Asterisk what to do about it.
func (cfg *Config) explain(err error) error {
	var name *net.DNSError
	tls := explainTLS(err)
	switch {
	case errors.Is(err, errRefused):
		return fmt.Errorf("%w; compare user, secret, deny and permit with manager.conf", err)
	case tls != "":
		return fmt.Errorf("%s: %w", tls, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s; in manager.conf set enabled = yes, bindaddr and port: %w", cfg.Address, err)
	case errors.As(err, &name):
		return fmt.Errorf("host of %s cannot be found: %w", cfg.Address, err)
	case errors.Is(err, errNoGreeting) && cfg.TLS == nil:
		return fmt.Errorf("%s takes connections and says nothing; if the port is that of tlsbindaddr in manager.conf, set tls: true: %w", cfg.Address, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %s; is a firewall between? %w", cfg.Address, cfg.DialTimeout, err)
	default:
		return fmt.Errorf("%s: %w", cfg.Address, err)
	}
}
