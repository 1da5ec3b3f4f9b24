package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
	"ringcast/gateway/natslog"
	"ringcast/gateway/phonet"
	"ringcast/gateway/webhook"
)

// replay plays a recording into a gateway of its own and says what each user would have seen, and what became of
// each call.
func (a *app) replay(ctx context.Context, flags *flag.FlagSet, args []string) error {
	file := flags.String("in", "", "the `recording`, as ringcast record writes it")
	config := flags.String("config", "", "the config `file` that says who sits where, and how the PBX is read; left out, every extension has a user")
	speed := flags.Float64("speed", 0, "how many `times` faster than it was; 0: as fast as can be, 1: as it was")
	asJSON := flags.Bool("json", false, "print nothing but the calls as they ended, as JSON: to compare with")
	level := flags.String("log-level", "warn", "debug, info, warn or error")
	if err := parse(flags, args, "in"); err != nil {
		return err
	}
	logger, err := a.logger(*level)
	if err != nil {
		return err
	}
	in, err := os.Open(*file)
	if err != nil {
		return err
	}
	defer in.Close()
	head, err := readRecording(in)
	if err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	stage, err := a.stage(head.recordingHead, *config, logger)
	if err != nil {
		return err
	}
	open := func() (*recording, error) {
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return readRecording(in)
	}
	if stage.account.Users == nil {
		if stage.account.Users, err = stage.cast(ctx, open); err != nil {
			return err
		}
	}
	r, err := open()
	if err != nil {
		return err
	}
	if !*asJSON {
		stage.out = a.stdout
	}
	seen, err := stage.play(ctx, stage.player(r, *speed, logger))
	if err != nil {
		return err
	}
	if *asJSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(seen.all())
	}
	return seen.report(a.stdout)
}

// stage is where a recording is played.
type stage struct {
	account gateway.Account
	pbx     string
	player  func(r *recording, speed float64, logger *slog.Logger) gateway.PBX
	logger  *slog.Logger
	out     io.Writer // of what users see, as it happens; nil: nobody looks
}

// stage prepares one for a recording. Without a config nobody is in the account yet.
func (a *app) stage(head recordingHead, config string, logger *slog.Logger) (*stage, error) {
	s := &stage{account: gateway.Account{ID: head.Account, Region: head.Region}, pbx: head.PBX, logger: logger}
	system := PBXConfig{ID: head.PBX}
	if config != "" {
		cfg, err := LoadConfig(config, a.env)
		if err != nil {
			return nil, err
		}
		var acc AccountConfig
		if acc, system, err = cfg.pbx(head.Account, head.PBX); err != nil {
			return nil, err
		}
		if system.kind() != head.Kind {
			return nil, fmt.Errorf("the recording is of a PBX of kind %s, and %s is %s in the config", head.Kind, head.PBX, system.kind())
		}
		s.account.Region, s.account.Users = acc.Region, append([]gateway.User{}, acc.Users...)
	}
	switch head.Kind {
	case "asterisk":
		ami := asterisk.Config{ID: head.PBX, Address: "recording:0"}
		if system.Asterisk != nil {
			ami = asteriskConfig(head.Account, system, gateway.NewAccounts(s.account), logger)
		}
		s.player = func(r *recording, speed float64, logger *slog.Logger) gateway.PBX {
			ami.Logger = logger
			return asterisk.NewPlayer(ami, r.pieces(speed))
		}
	case "phonet":
		vendor := phonet.Config{ID: head.PBX, BaseURL: "https://phonet.invalid"}
		if system.Phonet != nil {
			vendor = phonetConfig(head.Account, system, gateway.NewAccounts(s.account), logger)
		}
		s.player = func(r *recording, speed float64, logger *slog.Logger) gateway.PBX {
			vendor.Logger = logger
			return phonet.NewPlayer(vendor, r.frames(speed))
		}
	case "webhook":
		var mapping *webhook.Mapping
		if system.Webhook != nil {
			mapping = system.Webhook.Mapping
		}
		if head.Mapped && mapping == nil {
			return nil, errors.New("the PBX that was recorded posts in a format of its own: -config is needed, with its mapping")
		}
		s.player = func(r *recording, speed float64, logger *slog.Logger) gateway.PBX {
			return &requests{next: r.paced(speed), mapping: mapping, logger: logger}
		}
	default:
		return nil, fmt.Errorf("a recording of a PBX of kind %q cannot be played in this version", head.Kind)
	}
	return s, nil
}

// paced returns the messages, each when its time has come: so many times faster than it was, or without a wait.
func (r *recording) paced(speed float64) func(ctx context.Context) (recorded, error) {
	begun := time.Now()
	return func(ctx context.Context) (recorded, error) {
		m, err := r.next()
		if err != nil || speed <= 0 {
			return m, err
		}
		due := begun.Add(time.Duration(float64(m.At.Sub(r.At)) / speed))
		select {
		case <-time.After(time.Until(due)):
			return m, nil
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
}

// pieces are an Asterisk's.
func (r *recording) pieces(speed float64) func(ctx context.Context) (asterisk.Recorded, error) {
	next := r.paced(speed)
	return func(ctx context.Context) (asterisk.Recorded, error) {
		m, err := next(ctx)
		return asterisk.Recorded{At: m.At, Raw: m.content()}, err
	}
}

// frames are a Phonet's.
func (r *recording) frames(speed float64) func(ctx context.Context) (phonet.Recorded, error) {
	next := r.paced(speed)
	return func(ctx context.Context) (phonet.Recorded, error) {
		m, err := next(ctx)
		return phonet.Recorded{At: m.At, From: m.From, Raw: m.content()}, err
	}
}

// cast returns a user for each extension that the recording names.
func (s *stage) cast(ctx context.Context, open func() (*recording, error)) ([]gateway.User, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	names := extensionSink{}
	if err := s.player(r, 0, slog.New(slog.DiscardHandler)).Run(ctx, names); err != nil { // it is to be played once more
		return nil, err
	}
	users := []gateway.User{}
	for _, ext := range slices.Sorted(maps.Keys(names)) {
		users = append(users, gateway.User{ID: ext, Name: ext, Extensions: []string{ext}})
	}
	return users, nil
}

// extensionSink notes the extensions that events name.
type extensionSink map[string]bool

// Emit notes those of the events.
func (s extensionSink) Emit(_ context.Context, events []gateway.Event) error {
	for _, e := range events {
		for _, ext := range e.Extensions {
			s[ext] = true
		}
		if e.Direction == gateway.Internal && e.From.Raw != "" {
			s[e.From.Raw] = true
		}
	}
	return nil
}

// Live is of no use to it.
func (s extensionSink) Live(context.Context, []string, time.Time) error { return nil }

// play has a gateway run with the player as its PBX, until the recording is over, and returns what was seen.
func (s *stage) play(ctx context.Context, player gateway.PBX) (seen *audience, err error) {
	dir, err := os.MkdirTemp("", "ringcast-replay")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := natslog.Open(ctx, natslog.Config{Dir: dir, Durability: natslog.Fast, Logger: s.logger})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	account := s.account
	account.Users = append(slices.Clone(account.Users), gateway.User{ID: lastInTheRow, Extensions: []string{lastInTheRow}})
	g := gateway.New(gateway.Config{Log: db.Log(), Store: db.Store(), Directory: gateway.NewAccounts(account), Logger: s.logger}) //nolint:contextcheck // a caller is looked up after the request is over
	seen = newAudience(s.out)
	stageDoor := &performance{player: player, seats: seen, began: make(chan struct{}), over: make(chan error, 1)}
	g.Attach(account.ID, s.pbx, stageDoor)

	ctx, stop := context.WithCancel(ctx)
	engine := make(chan error, 1)
	go func() { engine <- g.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-engine)
	}()
	select {
	case <-g.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, u := range account.Users {
		_, leave, err := g.Subscribe(account.ID, u.ID, "", func(m gateway.Message) { seen.see(u, m) }) //nolint:contextcheck // a subscription ends when it is left
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	close(stageDoor.began)
	if err := <-stageDoor.over; err != nil {
		return nil, err
	}
	select {
	case <-seen.last:
		return seen, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lastInTheRow is a user who is rung when the recording is over: what he sees, everybody has seen before.
const lastInTheRow = "ringcast-replay"

// performance is the player as the gateway's PBX. It waits for the audience.
type performance struct {
	player gateway.PBX
	seats  *audience
	began  chan struct{}
	over   chan error
}

// State is the player's.
func (p *performance) State() gateway.LinkState { return p.player.State() }

// Run plays once.
func (p *performance) Run(ctx context.Context, sink gateway.Sink) error {
	select {
	case <-p.began:
	case <-ctx.Done():
		return nil
	}
	err := p.player.Run(ctx, prompter{sink, p.seats})
	if err == nil {
		err = sink.Emit(ctx, []gateway.Event{
			{Type: gateway.EventDial, Call: lastInTheRow, Direction: gateway.Inbound, Extensions: []string{lastInTheRow}},
			{Type: gateway.EventHangup, Call: lastInTheRow, Cause: gateway.CauseNormal},
		})
	}
	p.over <- err
	return nil
}

// prompter notes what the sink is told.
type prompter struct {
	gateway.Sink
	seats *audience
}

// Emit notes and passes on.
func (p prompter) Emit(ctx context.Context, events []gateway.Event) error {
	for _, e := range events {
		p.seats.hear(e)
	}
	return p.Sink.Emit(ctx, events)
}
