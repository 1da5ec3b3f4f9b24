package phonet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

// Config says how to reach a Phonet PBX. Domain, APIKey and Subscribers are needed; New fills in the rest.
type Config struct {
	ID      string // the PBX's id in the configuration; for the log only
	Domain  string // the PBX's own, such as acme.phonet.com.ua
	APIKey  string // of the account
	BaseURL string // https://Domain; another for tests

	// Subscribers returns the employees whose calls are wanted. It is asked every few seconds and must not block.
	Subscribers func() []Subscriber

	Numbers gateway.DialRules // without a Format: as Phonet has it, digits, with a plus over HTTP

	DialTimeout time.Duration // to open a socket, and for each request; 10 s
	Ping        time.Duration // between pings; 20 s. A socket that is silent for three of them is dead
	Pace        time.Duration // between the openings of two sockets; 100 ms
	Logger      *slog.Logger  // slog.Default()

	// Tap is given what a Player needs: each frame of a socket, each answer over HTTP about calls and employees, byte
	// for byte, and where it comes from, which does not show the key. It is called by many goroutines, must not block,
	// and must not keep raw.
	Tap func(from string, raw []byte)

	now   func() time.Time
	haste time.Duration // of tests: what all waits are divided by but that for a reply; 1
	reply time.Duration // for an answer to a command; who waits gives up sooner
}

// Subscriber is an employee of the PBX.
type Subscriber struct {
	Name      string // inner number or e-mail, as Phonet knows him
	Extension string // his inner number, if Name is not it; "" when nobody here knows it
}

func (cfg Config) withDefaults() *Config {
	cfg.BaseURL = strings.TrimSuffix(cmp.Or(cfg.BaseURL, "https://"+cfg.Domain), "/")
	cfg.DialTimeout = cmp.Or(max(cfg.DialTimeout, 0), 10*time.Second)
	cfg.haste = max(cfg.haste, 1)
	cfg.reply = cmp.Or(cfg.reply, 10*time.Second)
	cfg.Ping = cmp.Or(max(cfg.Ping, 0), 20*time.Second)
	cfg.Pace = cmp.Or(max(cfg.Pace, 0), 100*time.Millisecond)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default()).With("pbx", cfg.ID)
	if cfg.Subscribers == nil {
		cfg.Subscribers = func() []Subscriber { return nil }
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.Tap == nil {
		cfg.Tap = func(string, []byte) {}
	}
	return &cfg
}

// pace is how long to wait where others wait for d.
func (cfg *Config) pace(d time.Duration) time.Duration { return d / cfg.haste }

// valid says what is wrong with a configuration that can never work.
func (cfg *Config) valid() error {
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("Phonet's domain %q is not one: give it as acme.phonet.com.ua", cfg.Domain) //nolint:staticcheck // a name
	}
	if cfg.APIKey == "" {
		return errors.New("there is no key for Phonet: it is shown in its settings under Integration, Other CRM")
	}
	return nil
}

// socketURL is where a subscriber's socket is opened. It carries the key: it is not to be shown to anybody.
func (cfg *Config) socketURL(subscriber string) string {
	query := url.Values{"domain": {cfg.Domain}, "apiKey": {cfg.APIKey}, "subscriber": {subscriber}}
	return "ws" + strings.TrimPrefix(cfg.BaseURL, "http") + "/live/connector/v3/easy?" + query.Encode()
}

const (
	followEvery = 2 * time.Second // between two looks at who the subscribers are
	retrySink   = time.Second     // when it took nothing
	tickEvery   = 250 * time.Millisecond
	groupSize   = 500   // messages folded, and events emitted, at a time
	maxPending  = 10000 // events kept while the sink takes none
	queueSize   = 256   // messages between the sockets and Run
)

// Link is a link to one Phonet PBX.
type Link struct {
	cfg  *Config
	rest *rest

	mu      sync.Mutex
	book    *book
	sockets map[string]*socket // by subscriber's name
	state   gateway.LinkState
	clicks  map[string]*click // by key
	noREST  error             // why the HTTP API is not used; nil: it is, or has not been tried
	asked   bool              // the HTTP API has answered

	heard   chan heard
	changed chan struct{} // a socket came up

	// These are Run's own.
	pending []gateway.Event // not yet taken by the sink
	away    map[string]bool // what was last said of an extension
	survey  survey
}

var (
	_ gateway.PBX         = (*Link)(nil)
	_ gateway.Dialer      = (*Link)(nil)
	_ gateway.CallControl = (*Link)(nil)
)

// New returns a link that does nothing until it is run.
func New(config Config) *Link {
	cfg := config.withDefaults()
	l := &Link{
		cfg:     cfg,
		rest:    newREST(cfg),
		state:   gateway.LinkState{State: "connecting", Since: cfg.now()},
		changed: make(chan struct{}, 1),
	}
	l.reset()
	return l
}

// reset forgets everything of an earlier run: another node may have held the link since.
func (l *Link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book, l.sockets, l.clicks = newBook(l.cfg.Numbers, l.cfg.pace), map[string]*socket{}, map[string]*click{}
	l.heard, l.pending, l.away, l.survey = make(chan heard, queueSize), nil, map[string]bool{}, survey{pace: l.cfg.pace, lookups: map[string]*lookup{}}
	l.noREST, l.asked = nil, false
}

// State tells how the link is now: connected as soon as one subscriber is.
func (l *Link) State() gateway.LinkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Run holds the link until ctx ends. A refused key or subscriber is tried again too, slowly: it is mended at the
// PBX. It returns an error for a configuration that can never work.
func (l *Link) Run(ctx context.Context, sink gateway.Sink) error {
	if err := l.cfg.valid(); err != nil {
		return err
	}
	l.reset()
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer func() {
		cancel()
		helpers.Wait()
		l.rest.client.CloseIdleConnections()
		l.settleState()
	}()
	answers := make(chan answer, 1)
	tick := time.NewTicker(l.cfg.pace(tickEvery))
	defer tick.Stop()
	var follow, retry time.Time
	turns := newPace(l.cfg.Pace)
	for {
		now := l.cfg.now()
		if !now.Before(follow) {
			follow = now.Add(l.cfg.pace(followEvery))
			l.followSubscribers(ctx, &helpers, turns)
		}
		if l.survey.due(now, l.ready()) {
			since := l.since(now)
			staff := l.survey.begin(now)
			helpers.Go(func() { l.ask(ctx, now, since, staff, answers) })
		}
		select {
		case <-ctx.Done():
			return nil
		case first := <-l.heard:
			l.fold(first, sink)
		case a := <-answers:
			l.learn(a)
		case <-l.changed:
			l.survey.want(l.cfg.now(), true)
		case <-tick.C:
			l.expire(l.cfg.now())
		}
		l.settleState()
		if now := l.cfg.now(); !now.Before(retry) {
			if err := l.flush(ctx, sink); err != nil && ctx.Err() == nil {
				retry = now.Add(l.cfg.pace(retrySink))
				l.cfg.Logger.Warn("events of phonet wait", "events", len(l.pending), "err", err)
			}
		}
	}
}

// fold adds what the sockets heard to what is known of calls.
func (l *Link) fold(first heard, sink gateway.Sink) {
	group := []heard{first}
	for len(group) < groupSize && len(l.heard) > 0 {
		group = append(group, <-l.heard)
	}
	for _, h := range group {
		l.mu.Lock()
		l.book.skew.heard(millis(h.message.ServerTime).time(), h.at)
		events := l.book.take(factOf(h.message.callMessage), h.at)
		l.mu.Unlock()
		l.queue(events)
		l.tellAway(h.message, sink)
	}
}

// tellAway hands on that somebody went away or came back.
func (l *Link) tellAway(m message, sink gateway.Sink) {
	if m.LgDirection != dirAway && m.LgDirection != dirPresent || m.Leg == nil || m.Leg.Ext == "" {
		return
	}
	board, ok := sink.(gateway.AwaySink)
	ext, away := string(m.Leg.Ext), m.LgDirection == dirAway
	if was, known := l.away[ext]; !ok || known && was == away {
		return
	}
	l.away[ext] = away
	board.Away(ext, away)
}

func (l *Link) expire(now time.Time) {
	l.mu.Lock()
	events := l.book.expire(now)
	doubtful := l.book.doubtful(now, quietTime)
	l.mu.Unlock()
	l.queue(events)
	l.forgetClicks(now)
	if doubtful {
		l.survey.wantWithin(now, l.cfg.pace(doubtEvery))
	}
	if since := l.survey.presumed(now); since != nil {
		l.survey.tell = since
	}
}

// queue has events wait for the sink. The history is asked soon for what it says of a call that has ended.
func (l *Link) queue(events []gateway.Event) {
	l.pending = append(l.pending, events...)
	for _, e := range events {
		if e.Type == gateway.EventHangup && len(e.Extensions) == 0 {
			l.survey.ended(e.Call, l.cfg.now())
		}
	}
	if len(l.pending) > maxPending {
		l.cfg.Logger.Error("events dropped: they were not taken for too long", "events", len(l.pending)-maxPending)
		l.pending = slices.Delete(l.pending, 0, len(l.pending)-maxPending)
	}
}

// flush hands the sink what is pending; and, when the calls that live are known, those. What it refuses as invalid
// will never be taken and is dropped, alone. Phonet does not repeat what it has said: what cannot be taken now waits
// here, and the sockets stay open.
func (l *Link) flush(ctx context.Context, sink gateway.Sink) error {
	size := groupSize
	for len(l.pending) > 0 {
		size = min(size, len(l.pending))
		err := sink.Emit(ctx, l.pending[:size])
		switch code := gateway.CodeOf(err); {
		case code == gateway.CodeInvalid && size > 1:
			size = 1
			continue
		case code == gateway.CodeTooLarge && size > 1:
			size /= 2
			continue
		case code == gateway.CodeInvalid, code == gateway.CodeTooLarge:
			l.cfg.Logger.Error("event refused", "call", l.pending[0].Call, "event", l.pending[0].Type, "err", err)
		case err != nil:
			return err
		}
		l.pending = l.pending[size:]
	}
	l.pending = nil
	if l.survey.tell == nil {
		return nil
	}
	l.mu.Lock()
	calls := l.book.liveCalls()
	l.mu.Unlock()
	if err := sink.Live(ctx, calls, *l.survey.tell); err != nil {
		return err
	}
	l.survey.tell = nil
	return nil
}

// followSubscribers opens sockets for who is new and closes those of who is gone.
func (l *Link) followSubscribers(ctx context.Context, helpers *sync.WaitGroup, turns *pace) {
	wanted := map[string]Subscriber{}
	for _, s := range l.cfg.Subscribers() {
		if _, twice := wanted[s.Name]; s.Name != "" && !twice {
			wanted[s.Name] = s
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, s := range l.sockets {
		if _, ok := wanted[name]; !ok {
			s.cancel()
			delete(l.sockets, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if s := l.sockets[name]; s != nil {
			s.extension = cmp.Or(wanted[name].Extension, s.extension)
			continue
		}
		own, cancel := context.WithCancel(ctx)
		s := newSocket(l, wanted[name], cancel)
		l.sockets[name] = s
		helpers.Go(func() { s.run(own, turns) })
	}
}

// ready says whether every socket has been tried and some are open: what happens from now on is heard.
func (l *Link) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := false
	for _, s := range l.sockets {
		if !s.tried {
			return false
		}
		open = open || s.open()
	}
	return open
}

// settleState makes the link's state of its sockets'.
func (l *Link) settleState() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open, refused int
	var troubles []string
	for _, name := range slices.Sorted(maps.Keys(l.sockets)) {
		s := l.sockets[name]
		switch {
		case s.open():
			open++
			continue
		case s.refused:
			refused++
		}
		if s.reason != "" {
			troubles = append(troubles, name+": "+s.reason)
		}
	}
	state := "connecting"
	switch {
	case open > 0:
		state = "connected"
	case refused > 0:
		state = "refused"
	case len(troubles) > 0:
		state = "retrying"
	}
	reason := ""
	if len(troubles) > 0 {
		reason = troubles[0]
		if n := len(l.sockets); n > 1 {
			reason = fmt.Sprintf("%d of %d subscribers not connected; %s", len(troubles), n, reason)
		}
	}
	if len(l.sockets) == 0 {
		reason = "there are no subscribers: no user of this account has an extension"
	}
	if open > 0 && l.noREST != nil && reason == "" {
		reason = "on events alone: " + l.noREST.Error()
	}
	if l.state.State != state {
		l.state.Since = l.cfg.now()
		l.cfg.Logger.Info("phonet link", "state", state, "reason", reason)
	}
	l.state.State, l.state.Reason = state, reason
}
