package sandbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"ringcast/gateway"
)

// The delays between two attempts of a link that failed.
const (
	pbxFirstRetry   = 200 * time.Millisecond
	pbxLongestRetry = 5 * time.Second
)

// pbxLink is the wire between the telephone system and a gateway, guarded by PBX.mu.
type pbxLink struct {
	running bool
	cut     bool
	hang    context.CancelFunc // ends the session; nil: there is none
	pending []pbxPending
	state   gateway.LinkState
	wake    chan struct{} // something to do for Run
}

// pbxPending is an event that the sink has not acknowledged yet.
type pbxPending struct {
	call  *pbxCall
	event gateway.Event
}

func (l *pbxLink) init(now time.Time) {
	l.wake = make(chan struct{}, 1)
	l.state = gateway.LinkState{State: "connecting", Since: now}
}

// queue takes an event for the sink, if somebody listens.
func (l *pbxLink) queue(c *pbxCall, e gateway.Event) bool {
	if l.hang == nil {
		return false
	}
	l.pending = append(l.pending, pbxPending{c, e})
	return true
}

// needed refuses what can only come over the link while it is down.
func (l *pbxLink) needed() error {
	if l.hang == nil {
		return gateway.Errorf(gateway.CodePBXOffline, "the link to the PBX is down")
	}
	return nil
}

func (l *pbxLink) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run holds the link: after each connect it says which calls live and what it has not told of them, and
// then everything that happens. It returns an error only when another Run holds the link.
func (p *PBX) Run(ctx context.Context, sink gateway.Sink) error {
	if !p.claim() {
		return errors.New("sandbox: the PBX has a link already; one Run at a time")
	}
	defer p.release()
	for delay := pbxFirstRetry; ctx.Err() == nil; {
		if !p.uncut(ctx) {
			return nil
		}
		heard, err := p.session(ctx, sink)
		if heard {
			delay = pbxFirstRetry
		}
		if err == nil { // cut, or ctx is over
			continue
		}
		p.log.Warn("sandbox link failed", "err", err)
		select {
		case <-time.After(rand.N(delay)):
		case <-ctx.Done():
		}
		delay = min(2*delay, pbxLongestRetry)
	}
	return nil
}

// State tells how the link is.
func (p *PBX) State() gateway.LinkState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link.state
}

// Cut breaks the link. The telephones go on; what happens at them goes unheard.
func (p *PBX) Cut() {
	_ = p.do(func() error {
		if p.link.cut {
			return nil
		}
		p.link.cut = true
		p.link.state = gateway.LinkState{State: "retrying", Since: p.clock, Reason: "the link was cut"}
		if p.link.hang != nil {
			p.link.hang()
			p.link.hang, p.link.pending = nil, nil
		}
		p.story.add(PBXHappening{At: gateway.Millis(p.clock), What: "link.cut"})
		return nil
	})
}

// Restore mends a link that was cut.
func (p *PBX) Restore() {
	_ = p.do(func() error {
		if p.link.cut {
			p.link.cut = false
			p.story.add(PBXHappening{At: gateway.Millis(p.clock), What: "link.restore"})
		}
		return nil
	})
}

func (p *PBX) claim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := !p.link.running
	p.link.running = true
	return free
}

func (p *PBX) release() {
	_ = p.do(func() error {
		p.link.running = false
		p.link.state = gateway.LinkState{State: "connecting", Since: p.clock, Reason: "nobody holds the link"}
		return nil
	})
}

// uncut waits until the link is not cut; false: ctx ended first.
func (p *PBX) uncut(ctx context.Context) bool {
	for {
		p.mu.Lock()
		cut := p.link.cut
		p.mu.Unlock()
		if !cut {
			return true
		}
		select {
		case <-p.link.wake:
		case <-ctx.Done():
			return false
		}
	}
}

// session is one connection, until it is cut or ctx ends (no error) or the sink fails. It was heard if the
// sink took events.
func (p *PBX) session(ctx context.Context, sink gateway.Sink) (heard bool, err error) {
	ctx, hang := context.WithCancel(ctx)
	defer hang()
	live, at, ok := p.connectLink(hang)
	if !ok {
		return false, nil
	}
	defer func() {
		if ctx.Err() != nil {
			err = nil
		}
		p.dropLink(ctx, err)
	}()

	if err := sink.Live(ctx, live, at); err != nil {
		return false, err
	}
	for {
		batch := p.next()
		if len(batch) == 0 {
			select {
			case <-p.link.wake:
				continue
			case <-ctx.Done():
				return heard, nil
			}
		}
		events := make([]gateway.Event, len(batch))
		for i, b := range batch {
			events[i] = b.event
		}
		err := sink.Emit(ctx, events)
		if gateway.CodeOf(err) == gateway.CodeInvalid {
			p.log.Error("sandbox events refused", "call", batch[0].call.id, "events", len(batch), "err", err)
			err = nil
		}
		if err != nil {
			return heard, err
		}
		heard = true
		p.told(batch)
	}
}

// connectLink opens a session, unless it was cut meanwhile: it says which calls live and has everything
// waiting that the sink does not know of them. What happens from here on waits behind it.
func (p *PBX) connectLink(hang context.CancelFunc) (live []string, at time.Time, ok bool) {
	_ = p.do(func() error {
		if p.link.cut {
			return nil
		}
		p.link.hang, p.link.pending = hang, nil
		p.link.state = gateway.LinkState{State: "connected", Since: p.clock}
		live = make([]string, 0, len(p.calls))
		for _, c := range p.calls {
			live = append(live, c.id)
			for _, e := range c.events[c.told:] {
				p.link.queue(c, e)
			}
		}
		at, ok = p.clock, true
		return nil
	})
	return live, at, ok
}

// dropLink closes a session, unless the cut has done so.
func (p *PBX) dropLink(ctx context.Context, err error) {
	_ = p.do(func() error {
		if p.link.hang == nil {
			return nil
		}
		p.link.hang, p.link.pending = nil, nil
		if err == nil {
			err = ctx.Err()
		}
		p.link.state = gateway.LinkState{State: "retrying", Since: p.clock}
		if err != nil {
			p.link.state.Reason = err.Error()
		}
		return nil
	})
}

func (p *PBX) next() []pbxPending {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := p.link.pending
	p.link.pending = nil
	return batch
}

func (p *PBX) told(batch []pbxPending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range batch {
		b.call.told++
	}
}
