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
	// and not a trunk. It is asked for every new channel and must not block. Endpoints of two to five digits count as
	// extensions whatever it says, but for lines of DAHDI, channels that begin in a context such as from-pstn, and
	// Trunks. A number to call of which it says so is dialled as it is written.
	IsExtension func(endpoint string) bool

	Technology  string        // of telephones that click-to-call rings; PJSIP
	Context     string        // of the dial plan, where a telephone's calls begin; from-internal
	RingTimeout time.Duration // for how long click-to-call rings the caller's own telephone; 30 s
	AutoAnswer  AutoAnswer    // how that telephone is asked to pick up by itself; NoAutoAnswer
	Variables   []string      // for click-to-call channels, each NAME=VALUE
	Numbers     gateway.DialRules

	TransferContext string // of the dial plan, where those begin who are handed on; Context

	// Devices are the endpoints that are not called like the extension whose they are: endpoint to extension.
	Devices map[string]string

	// Trunks are the endpoints that lead outside, though by their names they could be extensions.
	Trunks []string

	// Recordings is the URL at which recordings can be had, with {path} or {file} for the file's path below
	// RecordingsDir (/var/spool/asterisk/monitor) or its name alone. Left out, events say where it is at the PBX.
	Recordings    string
	RecordingsDir string

	CDR *CDR // where Asterisk lists past calls; nil: calls that are made while nobody listens stay unknown

	DialTimeout time.Duration // to connect and log in; 10 s
	KeepAlive   time.Duration // between pings; 20 s
	Logger      *slog.Logger  // slog.Default()

	// Connect replaces the way to the manager: a replayed connection, or one through a tunnel.
	Connect func(ctx context.Context) (net.Conn, error)

	// Tap is given what the link reads, byte for byte: the greeting of each connection, responses, and all events, of
	// which more are asked for then; and, as events, what it found out about recordings. It may be called from several
	// goroutines, must not block, and must not keep raw.
	Tap func(at time.Time, raw []byte)

	now   func() time.Time
	retry time.Duration // the longest wait before the first attempt to come back; minBackoff
}

func (cfg Config) withDefaults() *Config {
	orString(&cfg.Technology, "PJSIP")
	orString(&cfg.Context, "from-internal")
	orString(&cfg.TransferContext, cfg.Context)
	orString(&cfg.RecordingsDir, "/var/spool/asterisk/monitor")
	orDuration(&cfg.RingTimeout, 30*time.Second)
	orDuration(&cfg.DialTimeout, 10*time.Second)
	orDuration(&cfg.KeepAlive, 20*time.Second)
	if cfg.CDR != nil {
		records := cfg.CDR.withDefaults()
		cfg.CDR = &records
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Logger = cfg.Logger.With("pbx", cfg.ID)
	if cfg.IsExtension == nil {
		cfg.IsExtension = func(string) bool { return false }
	}
	if cfg.Connect == nil {
		cfg.Connect = func(ctx context.Context) (net.Conn, error) { return connect(ctx, cfg.Address, cfg.TLS) }
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
	found      []finding           // what the manager user lacks, as the latest connection knows it
	heard      bool                // events of calls come; once found out it is not tried again
	dialling   map[string]*attempt // clicks under way, by call
	moving     map[string]bool     // calls that are being handed on, or parked
	tooOld     time.Time           // since when calls were not fetched because CDR.Days forbids it; zero: none were
	regret     time.Time           // until when that can be changed

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
		correlator: cfg.newCorrelator(rand.Text()[:8] + "-"),
		dialling:   map[string]*attempt{},
		moving:     map[string]bool{},
		state:      gateway.LinkState{State: "connecting", Since: cfg.now()},
	}
}

func (cfg *Config) newCorrelator(prefix string) *correlator {
	c := newCorrelator(prefix, cfg.IsExtension)
	c.devices, c.trunks, c.numbers, c.recordingAt = cfg.Devices, cfg.Trunks, cfg.Numbers, cfg.recordingAt
	return c
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
	l.become(state, reason)
}

// become is setState for those who hold l.mu.
func (l *Link) become(state, reason string) {
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
	wait := backoff{least: l.cfg.retry}
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
			delay, state = refusedPause, "refused"
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
