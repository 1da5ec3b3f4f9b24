package asterisk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ringcast/gateway"
)

// Recorded is a piece of what came over a connection to a manager: the greeting and messages, as many as there are,
// each whole; and when that was.
type Recorded struct {
	At  time.Time
	Raw []byte
}

// Player is an Asterisk that was recorded. As gateway.PBX it tells a sink what a link would have told then: the same
// calls, with the times of the recording.
type Player struct {
	link *Link
	next func(ctx context.Context) (Recorded, error)
	raw  *reader // of the piece that is played
}

var _ gateway.PBX = (*Player)(nil)

// NewPlayer returns a player of what next returns, which may take its time and returns io.EOF at the end. Of the
// config only what says how Asterisk's events are read counts.
func NewPlayer(config Config, next func(ctx context.Context) (Recorded, error)) *Player {
	return &Player{link: New(config), next: next, raw: newReader(nil)}
}

// State tells whether it is playing.
func (p *Player) State() gateway.LinkState { return p.link.State() }

// Run plays the recording to its end, and returns then, or when ctx ends.
func (p *Player) Run(ctx context.Context, sink gateway.Sink) error {
	p.link.setState("connected", "")
	defer func() { p.link.setState("retrying", "the recording is over") }()
	p.link.correlator.expectList("the first")
	for {
		r, err := p.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := p.play(ctx, sink, r); err != nil {
			return err
		}
	}
}

// play tells the sink what follows from a piece.
func (p *Player) play(ctx context.Context, sink gateway.Sink, r Recorded) error {
	p.raw.buf.Reset(bytes.NewReader(r.Raw))
	if bytes.HasPrefix(r.Raw, []byte("Asterisk Call Manager")) {
		if _, err := p.raw.banner(); err != nil {
			return err
		}
		p.link.correlator.expectList("the first") // a new connection: in sync with its list
	}
	for {
		m, err := p.raw.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("recorded at %v: %w", r.At, err)
		}
		waited := !p.link.correlator.listed()
		if m.get("Response") != "" && m.get("Message") == "Channels will follow" {
			p.link.correlator.expectList(m.get("ActionID"))
		}
		p.link.fold([]received{{message: m, at: r.At}})
		if err := p.link.flush(ctx, sink); err != nil {
			return err
		}
		if waited && p.link.correlator.listed() {
			if err := p.link.live(ctx, sink); err != nil {
				return err
			}
		}
	}
}
