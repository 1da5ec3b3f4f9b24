package asterisk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

const (
	groupSize  = 500   // messages folded, and events emitted, at a time
	maxPending = 10000 // events kept while the sink takes none

	listEvery = 15 // keep-alives between two lists of channels
)

// session is one connection, from the login to its end. It says whether there was a time when the sink
// had been told everything, and why the connection ended.
func (l *Link) session(ctx context.Context, sink gateway.Sink) (inSync bool, err error) {
	l.setState("connecting", l.State().Reason)
	l.limitPending()
	missed, err := l.unheard(ctx, sink)
	if err != nil {
		return false, err
	}
	c, err := l.cfg.dial(ctx)
	if err != nil {
		return false, err
	}
	began := l.cfg.now()
	l.mu.Lock()
	l.correlator.expectList(c.id()) // in sync not before this connection's own list
	l.mu.Unlock()
	work, cancel := context.WithCancel(ctx)
	relist := make(chan struct{}, 1)
	var helper sync.WaitGroup
	helper.Go(func() { l.tend(work, c, relist) })
	for range tracers {
		helper.Go(func() { c.trace(work) })
	}
	defer func() {
		l.use(nil)
		cancel()
		c.close()
		helper.Wait()
	}()
	for {
		group, err := next(ctx, c)
		if err != nil {
			return inSync, err
		}
		listed, booted := l.fold(group)
		if err := l.flush(ctx, sink); err != nil {
			return inSync, err
		}
		if listed && !inSync {
			l.use(c)
			if err := l.live(ctx, sink); err != nil {
				return inSync, err
			}
			inSync = true
			missed.begin(work, &helper, began)
			helper.Go(func() { l.traceLive(work, c) })
		} else if booted && inSync {
			select {
			case relist <- struct{}{}:
			default:
			}
		}
	}
}

// next waits for events and returns some. What came before the end of the connection comes before its error.
func next(ctx context.Context, c *client) ([]received, error) {
	for {
		select {
		case <-c.events.ready:
			if group := c.events.take(groupSize); len(group) > 0 {
				return group, nil
			}
		case <-c.done:
			if group := c.events.take(groupSize); len(group) > 0 {
				return group, nil
			}
			return nil, c.cause()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// fold adds events to what is known of calls. It says whether a list of channels has been asked for and
// has come, and whether Asterisk has just started.
func (l *Link) fold(group []received) (listed, booted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range group {
		switch r.get("Event") {
		case "FullyBooted":
			booted = true
		case "Shutdown":
			l.ending(r)
		}
		l.keep(l.correlator.take(r.message, r.at))
	}
	return l.correlator.listed(), booted
}

// ending ends all calls: Asterisk does not outlive its own announcement, nor they Asterisk.
func (l *Link) ending(r received) {
	l.cfg.Logger.Info("asterisk stops", "restarts", r.get("Restart"), "calls", len(l.correlator.live()))
	l.correlator.expectList("none")
	l.keep(l.correlator.take(message{
		{"Event", "CoreShowChannelsComplete"}, {"ActionID", "none"}, {"ListItems", "0"},
	}, r.at))
}

// keep adds events to those that the sink is to have. They outlive the messages that they were made from.
func (l *Link) keep(events []gateway.Event) {
	for _, e := range events {
		for _, text := range []*string{&e.Call, &e.From.Raw, &e.To.Raw, &e.Line, &e.Name, &e.Target, &e.Into, &e.Recording} {
			*text = strings.Clone(*text)
		}
		e.Extensions = slices.Clone(e.Extensions)
		for i, ext := range e.Extensions {
			e.Extensions[i] = strings.Clone(ext)
		}
		l.pending = append(l.pending, e)
	}
}

// flush hands the sink what is pending. What it refuses as invalid will never be taken and is dropped,
// alone.
func (l *Link) flush(ctx context.Context, sink gateway.Sink) error {
	size := groupSize
	for len(l.pending) > 0 {
		size = min(size, len(l.pending))
		err := sink.Emit(ctx, l.pending[:size])
		switch code := gateway.CodeOf(err); {
		case code == gateway.CodeInvalid && size > 1:
			size = 1
			continue
		case code == gateway.CodeTooLarge && size > 1: // records of calls with many telephones
			size /= 2
			continue
		case code == gateway.CodeInvalid, code == gateway.CodeTooLarge:
			l.cfg.Logger.Error("event refused", "call", l.pending[0].Call, "event", l.pending[0].Type, "err", err)
		case err != nil:
			return fmt.Errorf("events are not taken: %w", err)
		}
		l.pending = l.pending[size:]
	}
	l.pending = nil
	return nil
}

// live tells the sink which calls there are, so that it ends the others.
func (l *Link) live(ctx context.Context, sink gateway.Sink) error {
	l.mu.Lock()
	calls, at := l.correlator.live(), l.correlator.at
	l.mu.Unlock()
	if err := sink.Live(ctx, calls, at); err != nil {
		return fmt.Errorf("the calls that live are not taken: %w", err)
	}
	return nil
}

// limitPending forgets everything when the sink has taken nothing for very long; the next list of
// channels begins anew.
func (l *Link) limitPending() {
	if len(l.pending) <= maxPending {
		return
	}
	l.cfg.Logger.Error("events dropped: they were not taken for too long", "events", len(l.pending))
	l.pending = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.correlator = l.cfg.newCorrelator(l.correlator.prefix + "x")
}

// use makes a connection the one over which calls are ordered and ended; nil: there is none.
func (l *Link) use(c *client) {
	l.mu.Lock()
	l.client = c
	if c != nil {
		l.become("connected", notes(l.found))
		l.state.Version = cmp.Or(l.state.Version, software(c.version))
	}
	l.mu.Unlock()
	if c != nil {
		l.cfg.Logger.Info("asterisk link up", "address", l.cfg.Address, "version", software(c.version))
	}
}

// tend asks for the channels there are, at first, now and then, and when told to, and in between makes
// sure that the connection lives. It ends the connection when it does not.
func (l *Link) tend(ctx context.Context, c *client, relist <-chan struct{}) {
	tick := time.NewTicker(l.cfg.KeepAlive)
	defer tick.Stop()
	err := l.askForList(ctx, c)
	if err == nil {
		err = l.audit(ctx, c)
	}
	for n := 1; err == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-c.done:
			return
		case <-relist: // Asterisk has started: only now it has all its modules
			if err = l.askForList(ctx, c); err == nil {
				err = l.audit(ctx, c)
			}
		case <-tick.C:
			if n%listEvery == 0 {
				err = l.askForList(ctx, c)
			} else {
				_, err = c.do(ctx, newAction("Ping"))
			}
		}
	}
	c.fail(err)
}

// askForList asks for all bridges, to know what kind they are, for who is parked, and for all channels. The lists
// come as events. Queues are not asked for: who waits in one, and whom it rings, has a channel.
func (l *Link) askForList(ctx context.Context, c *client) error {
	var no *actionError
	for _, list := range []string{"BridgeList", "ParkedCalls"} { // the latter is a module's
		if _, err := c.do(ctx, newAction(list)); err != nil && !errors.As(err, &no) {
			return err
		}
	}
	id := c.id()
	l.mu.Lock()
	l.correlator.expectList(id)
	l.mu.Unlock()
	_, err := c.doAs(ctx, id, newAction("CoreShowChannels"))
	if denied(err) {
		return fmt.Errorf("%w: manager user %q may not list channels; give it write = reporting", errRefused, l.cfg.Username)
	}
	return err
}

// audit notes what the manager user lacks and logs what has changed.
func (l *Link) audit(ctx context.Context, c *client) error {
	l.mu.Lock()
	heard := l.heard
	l.mu.Unlock()
	found, version, err := l.cfg.audit(ctx, c, heard)
	if err != nil {
		return err
	}
	l.mu.Lock()
	known := l.found
	l.heard = heard || !slices.ContainsFunc(found, func(f finding) bool { return f.needed })
	l.found, l.state.Version = found, software(c.version)
	if version != "" {
		l.state.Version = "Asterisk " + version
	}
	if l.client == c { // else what connects will tell
		l.state.Reason = notes(found)
	}
	l.mu.Unlock()
	for _, f := range found {
		if !slices.Contains(known, f) {
			l.cfg.Logger.Warn("asterisk link is limited", "reason", f.text)
		}
	}
	for _, f := range known {
		if !slices.Contains(found, f) {
			l.cfg.Logger.Info("asterisk link is limited no more", "reason", f.text)
		}
	}
	return nil
}

const (
	minBackoff   = 500 * time.Millisecond
	maxBackoff   = 10 * time.Second // an Asterisk that starts again takes seconds, and nobody sees calls meanwhile
	refusedPause = 30 * time.Second
)

// backoff is how long to wait before the next attempt: anything up to a bound that doubles.
type backoff struct {
	bound time.Duration
	least time.Duration // of the bound; minBackoff
}

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, cmp.Or(b.least, minBackoff)), maxBackoff)
	return rand.N(b.bound) + time.Millisecond // jitter
}

func (b *backoff) reset() { b.bound = 0 }
