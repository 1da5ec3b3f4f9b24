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
	"sync/atomic"
	"time"
)

// Config is what a Gateway is made of. Log, Store and Directory are required.
type Config struct {
	Log       Log
	Store     Store
	Directory Directory
	Peers     Peers                // the other nodes; nil: this node is alone
	Shared    Store                // what lives no longer than the nodes do: leases, presence. Its values stay until they are deleted. nil: this node is alone
	Logger    *slog.Logger         // default: none
	Now       func() time.Time     // default: time.Now
	Metrics   Metrics              // default: none
	Recording func(c *Call) string // where people get a call's recording; "", or nil: where it is, if that is a URL
	Journal   JournalConfig        // brings ended calls into the CRMs; without a queue: nothing does

	// What an account's CRM can do while it rings; nil, or a nil answer: nothing. Asked for every call, so not to block.
	Finders   func(account string) Finder
	Notifiers func(account string) Notifier
}

// Metrics are called for what is worth counting; each may be nil. They must be quick.
type Metrics struct {
	Appended         func(records int, took time.Duration, err error)
	Applied          func(records int, appended time.Time) // a log entry reached this node's feed
	UnknownExtension func(account string, extensions []string)
	Shown            func(rung string, after time.Duration)  // a card is on a screen, so long after its ringing was appended
	TookOver         func(partition int, took time.Duration) // this node owns a partition, so long after it could
	Journal          func(account, result string)            // a try to save a call in the CRM: JournalSaved, JournalFailed, JournalParked
	Unshown          func(account, why string)               // a call rang and no screen showed it; why: "offline", "unseen"
	PutOff           func(account, what string)              // too many calls at once: the CRM hears of one later, if it still goes on; what: "find", "notify"
}

// Gateway takes events from PBX links, makes them true by appending them to the log, and hands each
// user's share to whoever listens. All methods may be called from many goroutines.
type Gateway struct {
	cfg     Config
	feed    *Feed
	cluster *cluster      // nil: this node is alone
	seats   []*seat       // by partition
	ready   chan struct{} // closed once the log was read to its end
	ended   chan struct{} // closed once this node owns nothing any more
	leaves  atomic.Bool   // it is about to
	leaving sync.Once
	full    chan struct{} // the log refused an append

	links    map[string][]*Link // by account; fixed before Run
	presence *presence
	receipts *receipts
	callers  *callers
	replies  replies
	clicks   clicks
	claims   claims
	numbers  numbers
	remote   remote

	snapshots snapshots
	journal   *journal // nil: there is none
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
		cfg: cfg, feed: newFeed(cfg.Log, cfg.Logger, cfg.Now), links: map[string][]*Link{},
		ready: make(chan struct{}), ended: make(chan struct{}), full: make(chan struct{}, 1),
	}
	g.feed.onApplied, g.feed.onMissed, g.feed.recording = cfg.Metrics.Applied, g.missed, cfg.Recording
	g.presence = newPresence(cfg.Directory, g.feed.busy)
	if cfg.Peers != nil && cfg.Shared != nil {
		g.presence.exchange = newExchange(g.presence, cfg.Shared, cfg.Peers.Node(), g.nodes, cfg.Logger, cfg.Now)
	}
	g.receipts = newReceipts(g)
	g.hear(kindShown, g.receipts.heard)
	g.callers = newCallers(g)
	g.feed.onRecord = g.receipts.record // a receipt may come while its record is applied
	g.feed.onChange = func(r *Record) {
		g.presence.record(r)
		g.callers.record(r)
	}
	for p := range cfg.Log.Info().Partitions {
		g.seats = append(g.seats, &seat{gateway: g, partition: p})
	}
	g.journal = newJournal(g)
	g.handleAsOwner(kindEmit, g.answerEmit)
	g.handleAsOwner(kindCommand, g.answerCommand)
	g.handleAsOwner(kindPhones, g.answerTelephones)
	g.handle(kindClient, g.answerClient)
	g.hear(kindFull, func([]byte) { g.makeRoom() })
	if cfg.Peers != nil && cfg.Shared != nil {
		g.cluster = newCluster(cfg.Peers.Node(), cfg.Shared, len(g.seats), cfg.Logger, g.report)
		g.claims.track()
	}
	return g
}

// Ready is closed once the gateway serves: the snapshot and the log have been read to their end.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// report is what this node says of itself to the others.
func (g *Gateway) report() heartbeat {
	h := heartbeat{Ready: g.serving() == nil && !g.leaves.Load(), Head: g.feed.head.Load()}
	for _, s := range g.seats {
		if s.owner.Load() != nil {
			h.Serving = append(h.Serving, s.partition)
		}
	}
	return h
}

// Run restores the state from the snapshot and the log, then serves until ctx ends; it returns nil
// then, also if it had not got as far as serving. The PBX links run within it. Before it returns it hands over what it owns, or if there is no other
// node writes a last snapshot.
func (g *Gateway) Run(ctx context.Context) error {
	serveCtx, stopServing := context.WithCancelCause(ctx)
	defer stopServing(nil)
	leave, err := g.join(serveCtx, stopServing)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer leave()
	if err := g.snapshots.restore(serveCtx, g.cfg.Store, g.feed, g.cfg.Now(), g.cluster == nil); err != nil {
		return unlessEnded(ctx, errors.Join(err, context.Cause(serveCtx)))
	}
	// The feed outlives the owners, and they outlive the links: each can finish what the one before began.
	feedCtx, stopFeed := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFeed()
	feedDone := make(chan struct{})
	go func() {
		defer close(feedDone)
		stopServing(g.feed.run(feedCtx))
	}()
	err = g.serve(serveCtx)
	close(g.ended)
	stopFeed()
	<-feedDone
	if ctx.Err() == nil {
		return fmt.Errorf("gateway: %w", errors.Join(err, context.Cause(serveCtx)))
	}
	if len(g.nodes()) > 0 {
		return nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	if err := g.snapshot(closing, resumeWindow); err != nil { // the log has it all: the next start takes a little longer
		g.cfg.Logger.Warn("last snapshot", "err", err)
	}
	return nil
}

// unlessEnded is what went wrong, but for what did so because ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// join makes this node one of the nodes, if it is not the only one, and returns what takes it out again. stop is
// called should that break off. The others know of it before it reads a snapshot: they leave in the log what it
// has still to read.
func (g *Gateway) join(ctx context.Context, stop context.CancelCauseFunc) (leave func(), err error) {
	if g.cluster == nil {
		return func() {}, nil
	}
	if err := g.cluster.sendBeat(ctx); err != nil {
		return nil, fmt.Errorf("gateway: join the other nodes: %w", err)
	}
	memberCtx, stopMember := context.WithCancel(context.WithoutCancel(ctx))
	serveCtx, stopServing := context.WithCancel(memberCtx)
	var member, serving sync.WaitGroup
	member.Go(func() { g.cluster.run(memberCtx) })
	serving.Go(func() {
		if err := g.cfg.Peers.Serve(serveCtx, g.answer, g.heard); err != nil {
			stop(fmt.Errorf("serve the other nodes: %w", err))
		}
	})
	return func() { // what was asked is answered before the others take the node for gone
		stopServing()
		serving.Wait()
		stopMember()
		member.Wait()
	}, nil
}

// farewell tells the other nodes, once, that this one takes no partitions any more. When it returns they know before
// they hear of anything that is handed over: else who has the most would hand back to who has the fewest.
func (g *Gateway) farewell(ctx context.Context) {
	g.leaving.Do(func() {
		g.leaves.Store(true)
		if g.cluster == nil {
			return
		}
		if err := g.cluster.sendBeat(context.WithoutCancel(ctx)); err != nil {
			g.cfg.Logger.Warn("the other nodes do not know that this one leaves", "err", err)
		}
	})
}

// serve reads the log to its end, then runs owners, links and housekeeping until ctx ends.
func (g *Gateway) serve(ctx context.Context) error {
	for p := range g.seats {
		last, err := g.cfg.Log.Last(ctx, p)
		if err == nil {
			err = g.feed.wait(ctx, last)
		}
		if err != nil {
			return fmt.Errorf("read the log to its end: %w", err)
		}
	}
	defer g.farewell(ctx) // has ended before the heartbeat is taken away
	defer context.AfterFunc(ctx, func() { g.farewell(ctx) })()
	g.callers.open(ctx)
	var seats, links sync.WaitGroup
	defer seats.Wait()
	if g.cluster != nil {
		close(g.ready)
		g.cluster.tell()
		for _, s := range g.seats {
			seats.Go(func() { s.run(ctx) })
		}
	} else {
		seatsCtx, stopSeats := context.WithCancel(context.WithoutCancel(ctx))
		defer stopSeats()
		for _, s := range g.seats {
			o := s.alone()
			seats.Go(func() { o.run(seatsCtx) })
		}
		close(g.ready)
		for p := range g.seats {
			links.Go(func() { g.journal.run(ctx, p) })
		}
		g.eachLink(func(l *Link) {
			links.Go(func() { l.run(ctx, g.seats[g.partition(l.Account)].owner.Load()) })
		})
	}
	defer links.Wait()
	links.Go(func() { g.presence.run(ctx) })
	links.Go(func() { g.receipts.run(ctx) })
	links.Go(func() { g.callers.run(ctx) })
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
	if err := g.serving(); err != nil {
		return Result{}, err
	}
	s := g.seats[g.partition(account)]
	if o := s.owner.Load(); o != nil {
		result, err := g.emit(ctx, o, account, pbx, events)
		if !errors.Is(err, errElsewhere) {
			return result, err
		}
	}
	if _, ok := g.cfg.Directory.Account(account); !ok {
		return Result{}, noAccount(account)
	}
	data, err := encodePosted(account, pbx, events)
	if err != nil {
		return Result{}, err
	}
	var result Result
	err = g.atOwner(ctx, account, route{}, func(ctx context.Context, o *owner) (err error) {
		result, err = g.emit(ctx, o, account, pbx, events)
		return err
	}, func(ctx context.Context, _ lease) (err error) {
		result, err = s.send(ctx, data)
		return err
	})
	if errors.Is(err, errElsewhere) {
		err = unavailable(err)
	}
	return result, err
}

func noAccount(account string) error { return Errorf(CodeNotFound, "there is no account %q", account) }

// emit is Emit at the owner. errElsewhere: it is not any more, and nothing was taken.
func (g *Gateway) emit(ctx context.Context, o *owner, account, pbx string, events []Event) (Result, error) {
	acc, ok := g.cfg.Directory.Account(account)
	if !ok {
		return Result{}, noAccount(account)
	}
	var unknown []string
	prepared := make([]Event, len(events))
	for i, e := range events {
		prepared[i], unknown = g.prepare(acc, pbx, e, unknown)
	}
	var result Result
	var ended []*Call
	err := o.submit(ctx, func(d *draft) error {
		result, ended = Result{Unknown: unknown}, ended[:0]
		for _, e := range prepared {
			ends := e.Type == EventHangup && !d.over(e)
			at := len(d.records)
			if !d.apply(e) {
				result.Duplicates++
				continue
			}
			result.Accepted++
			if c := d.records[at].Call; ends && c.Over() {
				ended = append(ended, c)
			}
		}
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	g.logEvents(ctx, prepared)
	for _, c := range ended {
		g.logEnd(ctx, c)
	}
	if len(unknown) > 0 && g.cfg.Metrics.UnknownExtension != nil {
		g.cfg.Metrics.UnknownExtension(account, unknown)
	}
	return result, nil
}

// prepare adds to an event of a PBX what the gateway knows of it, and to unknown its extensions that nobody has.
func (g *Gateway) prepare(acc Account, pbx string, e Event, unknown []string) (Event, []string) {
	e.clean()
	e.Account, e.PBX = acc.ID, pbx
	if !e.At.IsZero() {
		e.At = e.At.UTC().Truncate(time.Microsecond)
	}
	e.From, e.To = g.numbers.parse(e.From.Raw, acc.Region), g.numbers.parse(e.To.Raw, acc.Region)
	e.People, unknown = g.people(e, unknown)
	g.recall(&e)
	return e, unknown
}

// logEvents writes a line about each event that was taken. They cost as much as all else that is done for it.
func (g *Gateway) logEvents(ctx context.Context, events []Event) {
	if !g.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for i := range events {
		e := &events[i]
		g.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, string(e.Type), slog.String("account", e.Account), slog.String("call", callID(e.PBX, e.Call)),
			slog.Any("extensions", e.Extensions), slog.String("cause", string(e.Cause)))
	}
}

// logEnd writes the one line that each call is worth.
func (g *Gateway) logEnd(ctx context.Context, c *Call) {
	if !g.cfg.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	outcome, talked := c.result()
	g.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "call ended", slog.String("account", c.Account), slog.String("call", c.ID),
		slog.String("direction", string(c.Direction)), slog.Any("users", c.Users()), slog.String("outcome", string(outcome)),
		slog.Int("talk_seconds", int(talked/time.Second)))
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
func (g *Gateway) live(ctx context.Context, o *owner, account, pbx string, calls []string, at time.Time) error {
	still := make(map[string]bool, len(calls))
	for _, id := range calls {
		still[callID(pbx, cleanText(id))] = true
	}
	for most := endAtOnce; ; {
		var ended []string
		err := o.submit(ctx, func(d *draft) error {
			ended = ended[:0]
			for id, c := range d.liveCalls(account, pbx) {
				if still[id] || !c.StartedAt.Before(at) {
					continue
				}
				d.end(c, at)
				if ended = append(ended, id); len(ended) == most {
					break
				}
			}
			return nil
		})
		if most > 1 && CodeOf(err) == CodeTooLarge {
			most /= 2
			continue
		}
		if err != nil {
			return err
		}
		for _, id := range ended {
			g.cfg.Logger.Info("ended unseen", "account", account, "call", id)
		}
		if len(ended) < most {
			return nil
		}
	}
}

// endAtOnce is how many calls are ended in one request, whose records must fit into one entry of the log: fewer
// when they do not.
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
			g.journal.hurry(ctx)
			if err := g.keepSnapshot(ctx, 0); err != nil && ctx.Err() == nil {
				g.cfg.Logger.Error("make room in the log", "err", err)
			}
			continue
		case <-tick.C:
		}
		if err := g.sweep(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, errElsewhere) {
			g.cfg.Logger.Warn("sweep", "err", err)
		}
		if n%snapshotEvery != 0 {
			continue
		}
		g.feed.forget()
		g.claims.expire(g.cfg.Now())
		g.replies.expire(g.cfg.Now())
		if err := g.keepSnapshot(ctx, resumeWindow); err != nil && ctx.Err() == nil {
			g.cfg.Logger.Warn("snapshot", "err", err)
		}
	}
}

// makeRoom has the log purged, because it refuses.
func (g *Gateway) makeRoom() {
	select {
	case g.full <- struct{}{}:
	default: // it is known
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
		o := g.seats[g.partition(account)].owner.Load()
		if o == nil {
			continue
		}
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
		for most := len(ids); len(ids) > 0; {
			some := ids[:min(most, len(ids))]
			err := o.submit(ctx, func(d *draft) error {
				for _, id := range some {
					if c, ok := d.call(account, id); ok && !c.Over() && stale(c) {
						d.end(c, c.lastAt())
					}
				}
				return nil
			})
			if most > 1 && CodeOf(err) == CodeTooLarge {
				most /= 2
				continue
			}
			errs, ids = append(errs, err), ids[len(some):]
		}
	}
	return errors.Join(errs...)
}

func (g *Gateway) serving() error {
	select {
	case <-g.ready:
		return nil
	default:
		return &Error{Code: CodeUnavailable, Message: "the gateway is starting: come again", RetryAfter: time.Second}
	}
}

// partition is the one that an account belongs to.
func (g *Gateway) partition(account string) int { return partitionOf(account, len(g.seats)) }

func partitionOf(account string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account))
	return int(h.Sum32() % uint32(partitions))
}

// A call's id in the log and on the wire is the PBX's id in the configuration and its own id of the call.
func callID(pbx, call string) string { return pbx + ":" + call }

func cutCallID(id string) (pbx, call string, ok bool) { return strings.Cut(id, ":") }
