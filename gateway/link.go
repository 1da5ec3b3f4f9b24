package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Link is a PBX of an account as the gateway holds it.
type Link struct {
	Account string
	ID      string // the PBX's id in the configuration
	PBX     PBX

	gateway *Gateway
	since   time.Time
	held    atomic.Bool // this node, one of several, runs it
}

// Attach adds a PBX to an account. It must be called before Run.
func (g *Gateway) Attach(account, id string, pbx PBX) {
	g.links[account] = append(g.links[account], &Link{Account: account, ID: id, PBX: pbx, gateway: g, since: g.cfg.Now()})
}

// Links returns every PBX link, in no order.
func (g *Gateway) Links() []*Link {
	var all []*Link
	g.eachLink(func(l *Link) { all = append(all, l) })
	return all
}

func (g *Gateway) eachLink(fn func(l *Link)) {
	for _, links := range g.links {
		for _, l := range links {
			fn(l)
		}
	}
}

// State tells how the link is. One that another node holds, or will, is "elsewhere" here.
func (l *Link) State() LinkState {
	if l.gateway.cluster != nil && !l.held.Load() {
		return LinkState{State: "elsewhere", Since: l.since}
	}
	return l.PBX.State()
}

// run keeps the link until ctx ends: what it says goes to o and to nobody else. A link that gives up is logged
// and stays down: its state says why.
func (l *Link) run(ctx context.Context, o *owner) {
	defer l.held.Store(false)
	if err := l.PBX.Run(ctx, sink{l, o}); err != nil && ctx.Err() == nil {
		l.gateway.cfg.Logger.Error("PBX link given up", "account", l.Account, "pbx", l.ID, "err", err)
		<-ctx.Done()
	}
}

// sink is what a link speaks to: the owner of the account's partition on this node. When another node takes the
// partition over, that has a link of its own, and what this one still says is refused: both may say the same.
type sink struct {
	link  *Link
	owner *owner
}

var _ Sink = sink{}

// Emit is Sink.Emit.
func (s sink) Emit(ctx context.Context, events []Event) error {
	_, err := s.link.gateway.emit(ctx, s.owner, s.link.Account, s.link.ID, events)
	return s.refusal(err)
}

// Live is Sink.Live.
func (s sink) Live(ctx context.Context, calls []string, at time.Time) error {
	return s.refusal(s.link.gateway.live(ctx, s.owner, s.link.Account, s.link.ID, calls, at))
}

func (s sink) refusal(err error) error {
	if errors.Is(err, errElsewhere) {
		return &Error{Code: CodeUnavailable, Message: "another node holds this link now", RetryAfter: time.Second, Err: err}
	}
	return err
}

// linkOf returns the link that a call came from.
func (g *Gateway) linkOf(account, id string) (*Link, string, bool) {
	pbx, call, _ := cutCallID(id)
	for _, l := range g.links[account] {
		if l.ID == pbx {
			return l, call, true
		}
	}
	return nil, "", false
}

// dialer returns the account's PBX that places calls: the first that can and is connected.
func (g *Gateway) dialer(account string) (*Link, Dialer, error) {
	var down *Link
	for _, l := range g.links[account] {
		d, ok := l.PBX.(Dialer)
		if !ok {
			continue
		}
		if l.State().State == "connected" {
			return l, d, nil
		}
		down = l
	}
	switch {
	case len(g.links[account]) == 0:
		return nil, nil, Errorf(CodePBXOffline, "this gateway is linked to no PBX of this account: dial at the telephone")
	case down == nil:
		return nil, nil, Errorf(CodeNotPermitted, "no PBX of this account can place calls: dial at the telephone")
	}
	return nil, nil, Errorf(CodePBXOffline, "the PBX %q is not connected (%s): dial at the telephone", down.ID, down.State().State)
}
