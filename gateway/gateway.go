package gateway

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a Gateway is made of. Log, Store and Directory are required.
type Config struct {
	Log       Log
	Store     Store
	Directory Directory
	Peers     Peers            // the other nodes; nil: this node is alone
	Shared    Store            // what lives no longer than the nodes do: leases, presence. nil: this node is alone
	Logger    *slog.Logger     // default: none
	Now       func() time.Time // default: time.Now
	Metrics   Metrics          // default: none
}

// Metrics are called for what is worth counting; each may be nil. They must be quick.
type Metrics struct {
	Appended         func(records int, took time.Duration, err error)
	Applied          func(records int, appended time.Time) // a log entry reached this node's feed
	UnknownExtension func(account string, extensions []string)
	Shown            func(rung string, after time.Duration) // a card is on a screen, so long after its ringing was appended
	Unshown          func(account, why string)              // a call rang and no screen showed it; why: "offline", "unseen"
}

// Gateway takes events from PBX links, makes them true by appending them to the log, and hands each
// user's share to whoever listens. All methods may be called from many goroutines.
type Gateway struct {
	cfg    Config
	feed   *Feed
	owners []*owner
	ready  chan struct{} // closed once the log was read to its end
	full   chan struct{} // the log refused an append

	links    map[string][]*Link // by account; fixed before Run
	presence presence
	receipts receipts
	replies  replies
	claims   claims
	numbers  numbers

	// These belong to whoever writes snapshots.
	obsolete   obsolete
	generation string // of the last one
	saved      uint64 // the entry that it holds for
}

// New returns a gateway that is not yet running.
func New(cfg Config) *Gateway {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gateway{
		cfg: cfg, feed: newFeed(cfg.Log, cfg.Logger, cfg.Now), ready: make(chan struct{}), full: make(chan struct{}, 1), links: map[string][]*Link{},
	}
	g.feed.onApplied = cfg.Metrics.Applied
	g.feed.onRecord = func(r *Record) {
		g.presence.record(r)
		g.receipts.record(r)
	}
	for p := range cfg.Log.Info().Partitions {
		o := newOwner(p, cfg.Log, g.feed, cfg.Logger, cfg.Now)
		o.onAppend, o.full = cfg.Metrics.Appended, g.full
		g.owners = append(g.owners, o)
	}
	return g
}

// Ready is closed once the gateway serves: the snapshot and the log have been read to their end.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Run restores the state from the snapshot and the log, then serves until ctx ends; it returns nil
// then. The PBX links run within it. Before it returns it writes a last snapshot.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.restore(ctx); err != nil {
		return err
	}
	// The feed outlives the owners, and they outlive the links: each can finish what the one before began.
	feedCtx, stopFeed := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFeed()
	serveCtx, stopServing := context.WithCancelCause(ctx)
	defer stopServing(nil)
	feedDone := make(chan struct{})
	go func() {
		defer close(feedDone)
		stopServing(g.feed.run(feedCtx))
	}()
	err := g.serve(serveCtx)
	stopFeed()
	<-feedDone
	if ctx.Err() == nil {
		return fmt.Errorf("gateway: %w", errors.Join(err, context.Cause(serveCtx)))
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	if err := g.snapshot(closing, resumeWindow); err != nil { // the log has it all: the next start takes a little longer
		g.cfg.Logger.Warn("last snapshot", "err", err)
	}
	return nil
}

// serve reads the log to its end, then runs owners, links and housekeeping until ctx ends.
func (g *Gateway) serve(ctx context.Context) error {
	for p := range g.owners {
		last, err := g.cfg.Log.Last(ctx, p)
		if err == nil {
			err = g.feed.wait(ctx, last)
		}
		if err != nil {
			return fmt.Errorf("read the log to its end: %w", err)
		}
	}
	close(g.ready)

	var owners, links sync.WaitGroup
	ownersCtx, stopOwners := context.WithCancel(context.WithoutCancel(ctx))
	defer owners.Wait()
	defer stopOwners()
	for _, o := range g.owners {
		owners.Go(func() { o.run(ownersCtx) })
	}
	defer links.Wait()
	for _, accountLinks := range g.links {
		for _, l := range accountLinks {
			links.Go(func() { l.run(ctx) })
		}
	}
	links.Go(func() { g.presence.run(ctx) })
	links.Go(func() { g.receipts.run(ctx) })
	g.keepHouse(ctx)
	return nil
}

// Result says what became of the events of a request.
type Result struct {
	Accepted   int      // new ones
	Duplicates int      // known by their id, or without effect because they come too late
	Unknown    []string // extensions that nobody in the directory has
}

// Emit makes events of one PBX durable, all or none, and returns when they are.
func (g *Gateway) Emit(ctx context.Context, account, pbx string, events []Event) (Result, error) {
	acc, ok := g.cfg.Directory.Account(account)
	if !ok {
		return Result{}, Errorf(CodeNotFound, "there is no account %q", account)
	}
	var unknown []string
	prepared := make([]Event, len(events))
	for i, e := range events {
		e.Account, e.PBX = account, pbx
		if !e.At.IsZero() {
			e.At = e.At.UTC().Truncate(time.Microsecond)
		}
		e.From, e.To = g.numbers.parse(e.From.Raw, acc.Region), g.numbers.parse(e.To.Raw, acc.Region)
		e.People, unknown = g.people(e, unknown)
		prepared[i] = e
	}
	var result Result
	err := g.submit(ctx, account, func(d *draft) error {
		result = Result{Unknown: unknown}
		for _, e := range prepared {
			if d.apply(e) {
				result.Accepted++
			} else {
				result.Duplicates++
			}
		}
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	for _, e := range prepared {
		g.cfg.Logger.LogAttrs(ctx, logLevel(e.Type), string(e.Type), slog.String("account", account),
			slog.String("call", callID(pbx, e.Call)), slog.Any("extensions", e.Extensions), slog.String("cause", string(e.Cause)))
	}
	if len(unknown) > 0 && g.cfg.Metrics.UnknownExtension != nil {
		g.cfg.Metrics.UnknownExtension(account, unknown)
	}
	return result, nil
}

// logLevel of an event: a call's beginning, answer and end are worth a line each.
func logLevel(t EventType) slog.Level {
	switch t {
	case EventDial, EventBridge, EventHangup:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// people looks up who sits behind the extensions that an event names. Only an event's own extensions
// count as unknown: the others may as well be outside numbers.
func (g *Gateway) people(e Event, unknown []string) ([]Person, []string) {
	var people []Person
	add := func(ext string) bool {
		u, ok := g.cfg.Directory.ByExtension(e.Account, ext)
		if ok {
			people = append(people, Person{User: u.ID, Name: u.Name, Extension: ext})
		}
		return ok
	}
	for _, ext := range e.Extensions {
		if !add(ext) && !slices.Contains(unknown, ext) {
			unknown = append(unknown, ext)
		}
	}
	if e.Direction == Internal {
		add(e.From.Raw)
	}
	if e.Target != "" {
		add(e.Target)
	}
	return people, unknown
}

// live ends the calls of a PBX that began before at and are not among those that it still has.
func (g *Gateway) live(ctx context.Context, account, pbx string, calls []string, at time.Time) error {
	still := make(map[string]bool, len(calls))
	for _, id := range calls {
		still[callID(pbx, id)] = true
	}
	for {
		var ended []string
		err := g.submit(ctx, account, func(d *draft) error {
			ended = ended[:0]
			for id, c := range d.liveCalls(account, pbx) {
				if still[id] || !c.StartedAt.Before(at) {
					continue
				}
				d.end(c, at)
				if ended = append(ended, id); len(ended) == endAtOnce {
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range ended {
			g.cfg.Logger.Info("ended unseen", "account", account, "call", id)
		}
		if len(ended) < endAtOnce {
			return nil
		}
	}
}

// endAtOnce is how many calls are ended in one request, whose records must fit into one entry of the log.
const endAtOnce = 50

// keepHouse ends calls that nobody will end, forgets what is old, writes snapshots and purges the log.
func (g *Gateway) keepHouse(ctx context.Context) {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-g.full:
			// To go on is worth more than to resume after a restart: what the snapshot has may go.
			if err := g.snapshot(ctx, 0); err != nil && ctx.Err() == nil {
				g.cfg.Logger.Error("make room in the log", "err", err)
			}
			continue
		case <-tick.C:
		}
		if err := g.sweep(ctx); err != nil && ctx.Err() == nil {
			g.cfg.Logger.Warn("sweep", "err", err)
		}
		if n%snapshotEvery != 0 {
			continue
		}
		g.feed.forget()
		g.claims.expire(g.cfg.Now())
		g.replies.expire(g.cfg.Now())
		if err := g.snapshot(ctx, resumeWindow); err != nil && ctx.Err() == nil {
			g.cfg.Logger.Warn("snapshot", "err", err)
		}
	}
}

const (
	housekeeping  = 5 * time.Second
	snapshotEvery = 12 // a minute

	undialledLife = 30 * time.Second // events of a call whose dial never came (design §4.1)
	deskLife      = time.Hour        // a call that is at nobody's telephone: a queue, parking
	longestLife   = 24 * time.Hour   // since its last event: a PBX that forgot to say that it ended
)

// sweep ends the calls that have outlived what a call can.
func (g *Gateway) sweep(ctx context.Context) error {
	now := g.cfg.Now()
	var errs []error
	for _, account := range g.feed.liveAccounts() {
		// By when it was heard of, not by its events' own times: a PBX may send what it has kept for hours.
		stale := func(c *Call) bool {
			switch idle := now.Sub(c.Seen); {
			case c.StartedAt.IsZero():
				return idle > undialledLife
			case !c.atADesk():
				return idle > deskLife
			default:
				return idle > longestLife
			}
		}
		var ids []string
		g.feed.live(account, func(c *Call) {
			if len(ids) < endAtOnce && stale(c) { // the others' turn comes
				ids = append(ids, c.ID)
			}
		})
		if len(ids) == 0 {
			continue
		}
		g.cfg.Logger.Info("ending by age", "account", account, "calls", ids)
		errs = append(errs, g.submit(ctx, account, func(d *draft) error {
			for _, id := range ids {
				if c, ok := d.call(account, id); ok && !c.Over() && stale(c) {
					d.end(c, c.lastAt())
				}
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// submit appends what build adds to a draft; see owner.submit.
func (g *Gateway) submit(ctx context.Context, account string, build func(d *draft) error) error {
	if err := g.serving(); err != nil {
		return err
	}
	return g.owners[partitionOf(account, len(g.owners))].submit(ctx, build)
}

func (g *Gateway) serving() error {
	select {
	case <-g.ready:
		return nil
	default:
		return &Error{Code: CodeUnavailable, Message: "the gateway is starting: come again", RetryAfter: time.Second}
	}
}

func partitionOf(account string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account))
	return int(h.Sum32() % uint32(partitions))
}

// A call's id in the log and on the wire is the PBX's id in the configuration and its own id of the call.
func callID(pbx, call string) string { return pbx + ":" + call }

func cutCallID(id string) (pbx, call string, ok bool) { return strings.Cut(id, ":") }
