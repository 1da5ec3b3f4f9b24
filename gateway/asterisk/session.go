package asterisk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	c, err := l.cfg.dial(ctx)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	l.correlator.expectList(c.id()) // in sync not before this connection's own list
	l.mu.Unlock()
	work, cancel := context.WithCancel(ctx)
	relist := make(chan struct{}, 1)
	var helper sync.WaitGroup
	helper.Go(func() { l.tend(work, c, relist) })
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
		} else if booted && inSync {
			select {
			case relist <- struct{}{}:
			default:
			}
		}
	}
}

// next waits for events and returns all that there are. What came before the end of the connection comes
// before its error.
func next(ctx context.Context, c *client) ([]received, error) {
	var group []received
	select {
	case r := <-c.events:
		group = append(group, r)
	case <-c.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for len(group) < groupSize {
		select {
		case r := <-c.events:
			group = append(group, r)
			continue
		default:
		}
		break
	}
	if len(group) == 0 {
		return nil, c.cause()
	}
	return group, nil
}

// fold adds events to what is known of calls. It says whether a list of channels has been asked for and
// has come, and whether Asterisk has just started.
func (l *Link) fold(group []received) (listed, booted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range group {
		booted = booted || r.get("Event") == "FullyBooted"
		l.pending = append(l.pending, l.correlator.take(r.message, r.at)...)
	}
	return l.correlator.listed(), booted
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
	l.correlator = newCorrelator(l.correlator.prefix+"x", l.cfg.IsExtension)
}

// use makes a connection the one over which calls are ordered and ended; nil: there is none.
func (l *Link) use(c *client) {
	l.mu.Lock()
	l.client = c
	l.mu.Unlock()
	if c != nil {
		l.setState("connected", "")
		l.cfg.Logger.Info("asterisk link up", "address", l.cfg.Address)
	}
}

// tend asks for the channels there are, at first, now and then, and when told to, and in between makes
// sure that the connection lives. It ends the connection when it does not.
func (l *Link) tend(ctx context.Context, c *client, relist <-chan struct{}) {
	tick := time.NewTicker(l.cfg.KeepAlive)
	defer tick.Stop()
	err := l.askForList(ctx, c)
	for n := 1; err == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-c.done:
			return
		case <-relist:
			err = l.askForList(ctx, c)
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

// askForList asks for all bridges, to know what kind they are, and all channels. The lists come as events.
func (l *Link) askForList(ctx context.Context, c *client) error {
	var no *actionError
	if _, err := c.do(ctx, newAction("BridgeList")); err != nil && !errors.As(err, &no) {
		return err
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

const (
	minBackoff = 500 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// backoff is how long to wait before the next attempt: anything up to a bound that doubles.
type backoff struct{ bound time.Duration }

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, minBackoff), maxBackoff)
	return rand.N(b.bound) + time.Millisecond // jitter
}

func (b *backoff) reset() { b.bound = 0 }
