package gateway

import (
	"context"
	"time"
)

// Link is a PBX of an account as the gateway holds it.
type Link struct {
	Account string
	ID      string // the PBX's id in the configuration
	PBX     PBX

	gateway *Gateway
}

// Attach adds a PBX to an account. It must be called before Run.
func (g *Gateway) Attach(account, id string, pbx PBX) {
	g.links[account] = append(g.links[account], &Link{Account: account, ID: id, PBX: pbx, gateway: g})
}

// Links returns every PBX link, in no order.
func (g *Gateway) Links() []*Link {
	var all []*Link
	for _, links := range g.links {
		all = append(all, links...)
	}
	return all
}

// run keeps the link until ctx ends. A link that gives up is logged and stays down: its state says why.
func (l *Link) run(ctx context.Context) {
	if err := l.PBX.Run(ctx, l); err != nil && ctx.Err() == nil {
		l.gateway.cfg.Logger.Error("PBX link given up", "account", l.Account, "pbx", l.ID, "err", err)
	}
}

var _ Sink = (*Link)(nil)

// Emit is Sink.Emit.
func (l *Link) Emit(ctx context.Context, events []Event) error {
	_, err := l.gateway.Emit(ctx, l.Account, l.ID, events)
	return err
}

// Live is Sink.Live.
func (l *Link) Live(ctx context.Context, calls []string, at time.Time) error {
	return l.gateway.live(ctx, l.Account, l.ID, calls, at)
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
		if l.PBX.State().State == "connected" {
			return l, d, nil
		}
		down = l
	}
	if down == nil {
		return nil, nil, Errorf(CodePBXOffline, "no PBX of this account can place calls")
	}
	return nil, nil, Errorf(CodePBXOffline, "the PBX %q is not connected (%s)", down.ID, down.PBX.State().State)
}
