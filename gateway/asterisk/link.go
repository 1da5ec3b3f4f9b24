package asterisk

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"ringcast/gateway"
)

// Config says how to reach an Asterisk, and what its dial plan is like. Address, Username and Secret are
// needed; New fills in the rest.
type Config struct {
	ID       string      // the PBX's id in the configuration; for the log only
	Address  string      // host:port of the manager, 5038 as a rule
	Username string      // of the manager user
	Secret   string      //
	TLS      *tls.Config // nil: plain TCP

	// IsExtension says whether an endpoint ("101" of PJSIP/101-0000004a) is a telephone of the company
	// and not a trunk. It is asked for every new channel and must not block. Endpoints of two to five
	// digits count as extensions whatever it says.
	IsExtension func(endpoint string) bool

	Technology  string        // of telephones that click-to-call rings; PJSIP
	Context     string        // of the dial plan, where a telephone's calls begin; from-internal
	RingTimeout time.Duration // for how long click-to-call rings the caller's own telephone; 30 s
	Variables   []string      // for click-to-call channels, each NAME=VALUE: what makes a telephone pick up by itself, say
	Numbers     gateway.DialRules

	DialTimeout time.Duration // to connect and log in; 10 s
	KeepAlive   time.Duration // between pings; 20 s
	Logger      *slog.Logger  // slog.Default()

	connect func(ctx context.Context) (net.Conn, error)
	now     func() time.Time
}

func (cfg Config) withDefaults() *Config {
	orString(&cfg.Technology, "PJSIP")
	orString(&cfg.Context, "from-internal")
	orDuration(&cfg.RingTimeout, 30*time.Second)
	orDuration(&cfg.DialTimeout, 10*time.Second)
	orDuration(&cfg.KeepAlive, 20*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Logger = cfg.Logger.With("pbx", cfg.ID)
	if cfg.IsExtension == nil {
		cfg.IsExtension = func(string) bool { return false }
	}
	if cfg.connect == nil {
		cfg.connect = func(ctx context.Context) (net.Conn, error) { return connect(ctx, cfg.Address, cfg.TLS) }
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	return &cfg
}

func orString(s *string, def string) {
	if *s == "" {
		*s = def
	}
}

func orDuration(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// Link is a link to one Asterisk.
type Link struct {
	cfg *Config

	mu         sync.Mutex
	correlator *correlator
	client     *client // nil: not connected, or not in sync yet
	state      gateway.LinkState
	dialling   map[string]*attempt // clicks under way, by call

	pending []gateway.Event // told by the correlator, not yet taken by the sink; Run's own
}

var (
	_ gateway.PBX         = (*Link)(nil)
	_ gateway.Dialer      = (*Link)(nil)
	_ gateway.CallControl = (*Link)(nil)
)

// New returns a link that does nothing until it is run.
func New(config Config) *Link {
	cfg := config.withDefaults()
	return &Link{
		cfg:        cfg,
		correlator: newCorrelator(rand.Text()[:8]+"-", cfg.IsExtension),
		dialling:   map[string]*attempt{},
		state:      gateway.LinkState{State: "connecting", Since: cfg.now()},
	}
}

// State tells how the link is now.
func (l *Link) State() gateway.LinkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func (l *Link) setState(state, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.State != state {
		l.state.Since = l.cfg.now()
	}
	l.state.State, l.state.Reason = state, reason
}

// Run holds the link until ctx ends. A refused login is tried again too, as slowly as can be: it is
// mended at the PBX. It returns an error for an address that can never work.
func (l *Link) Run(ctx context.Context, sink gateway.Sink) error {
	if _, _, err := net.SplitHostPort(l.cfg.Address); err != nil {
		return fmt.Errorf("address of Asterisk's manager: %w; give it as host:5038", err)
	}
	l.pending = nil // of an earlier run: another node may have held the link since
	var wait backoff
	for {
		inSync, err := l.session(ctx, sink)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if inSync {
			wait.reset()
		}
		delay, state := wait.next(), "retrying"
		if errors.Is(err, errRefused) {
			delay, state = maxBackoff, "refused"
		}
		l.setState(state, err.Error())
		l.cfg.Logger.Warn("asterisk link down", "err", err, "again_in", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
	}
}
