package phonet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"ringcast/gateway"
)

// Where what Config.Tap is given comes from. An answer over HTTP bears its path and query instead.
const (
	fromSocket = "socket "        // and the subscriber
	fromAsking = "survey asked"   // the PBX is asked for its calls; nothing is read yet
	fromLearnt = "survey learned" // the answers since then are complete
)

// Recorded is what Config.Tap was given, and when.
type Recorded struct {
	At   time.Time
	From string
	Raw  []byte
}

// afterLast is for how long the player waits behind the last that it is given, for what follows of itself.
const afterLast = settleTime + time.Second

// Player is a Phonet that was recorded. As gateway.PBX it tells a sink what a Link would have told then: the same
// calls, with the times of the recording.
type Player struct {
	link *Link
	next func(ctx context.Context) (Recorded, error)
	now  time.Time // in the recording
	asks answer    // the survey that is under way
}

var _ gateway.PBX = (*Player)(nil)

// NewPlayer returns a player of what next returns, which may take its time and returns io.EOF at the end. Of the
// config only ID, BaseURL or Domain, Numbers and Logger count.
func NewPlayer(config Config, next func(ctx context.Context) (Recorded, error)) *Player {
	p := &Player{next: next}
	config.now = func() time.Time { return p.now }
	p.link = New(config)
	return p
}

// State is that of a PBX which is heard when it says something.
func (p *Player) State() gateway.LinkState { return gateway.LinkState{State: "connected"} }

// Run plays the recording to its end, and returns then, or when ctx ends.
func (p *Player) Run(ctx context.Context, sink gateway.Sink) error {
	for {
		r, err := p.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case errors.Is(err, io.EOF):
			return p.pass(ctx, sink, p.now.Add(p.link.cfg.pace(afterLast)))
		case err != nil:
			return err
		}
		if err := p.pass(ctx, sink, r.At); err != nil {
			return err
		}
		if err := p.play(r, sink); err != nil {
			return fmt.Errorf("recorded at %v, from %s: %w", r.At, r.From, err)
		}
		if err := p.link.flush(ctx, sink); err != nil {
			return err
		}
	}
}

// pass has the time go by as it did for the link, which looks for what is due every now and then.
func (p *Player) pass(ctx context.Context, sink gateway.Sink, until time.Time) error {
	tick := p.link.cfg.pace(tickEvery)
	for ; len(p.link.book.calls) > 0 && p.now.Add(tick).Before(until) && ctx.Err() == nil; p.now = p.now.Add(tick) {
		p.link.expire(p.now)
		if len(p.link.pending) > 0 {
			if err := p.link.flush(ctx, sink); err != nil {
				return err
			}
		}
	}
	p.now = later(p.now, until)
	return nil
}

// play has the link hear a message.
func (p *Player) play(r Recorded, sink gateway.Sink) (err error) {
	path, _, _ := strings.Cut(r.From, "?")
	switch {
	case strings.HasPrefix(r.From, fromSocket):
		p.hear(r, sink)
	case r.From == fromAsking:
		p.asks = answer{at: r.At}
	case r.From == fromLearnt && !p.asks.at.IsZero():
		p.link.survey.whole = true
		p.link.learn(p.asks)
		p.asks = answer{}
	case path == pathActive:
		p.asks.active, err = decodeActive(r.Raw)
	case path == pathUsers:
		err = json.Unmarshal(r.Raw, &p.asks.users)
	case strings.HasPrefix(path, pathHistory):
		var rows []finishedRow
		err = json.Unmarshal(r.Raw, &rows)
		for _, row := range rows {
			p.asks.rows = append(p.asks.rows, row.fact(p.link.cfg.BaseURL))
		}
	}
	return err
}

// hear takes a frame. One that could not be read then is passed over again.
func (p *Player) hear(r Recorded, sink gateway.Sink) {
	m, err := decode(bytes.Clone(r.Raw))
	switch {
	case err != nil:
		p.link.cfg.Logger.Warn("a frame of phonet's was not understood", "at", r.At, "from", r.From, "err", err)
	case !m.isReply():
		p.link.fold(heard{m, r.At}, sink)
	}
}
