package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"ringcast/gateway"
)

// PBXConfig describes a pretend telephone system. The zero value is one with the extensions 101 and 102.
type PBXConfig struct {
	Extensions []string // default: 101, 102
	Line       string   // the company's own number, which outside callers dial; default "+74951234567"

	// RingTimeout is how long a telephone rings before the PBX gives up; default 25 s.
	RingTimeout time.Duration

	// OutsideAnswers is after how long an outside party that is called picks up by itself; default 2 s,
	// negative: only when told to.
	OutsideAnswers time.Duration

	// AutoAnswer lets the operator's telephone pick up by itself when he clicked to call, as telephones do
	// that understand such a request.
	AutoAnswer bool

	// ParkTimeout is after how long a parked call rings at the telephone again that parked it; default 45 s.
	ParkTimeout time.Duration

	Logger *slog.Logger // default: none
}

// PBX is a pretend telephone system with desk telephones, one call each (and one that waits during a consultation),
// and an outside world. As gateway.PBX it is the link to that system: cut it, and the telephones go on unheard;
// restored, it says what lives still and tells what it missed of that. Parked calls wait at 701 to 720: who dials
// that takes one back.
//
// Methods that play a part in a call return a *gateway.Error with one of CodeNotFound (no such extension or
// call), CodeNotRegistered, CodeBusy, CodeRejected (not in this state), CodeBadNumber, CodeInvalid.
type PBX struct {
	cfg PBXConfig
	log *slog.Logger

	mu     sync.Mutex
	phones []*pbxPhone
	calls  []*pbxCall // live, oldest first
	serial int        // of calls
	clock  time.Time  // of the last thing that happened
	link   pbxLink
	story  pbxStory
}

var (
	_ gateway.PBX         = (*PBX)(nil)
	_ gateway.Dialer      = (*PBX)(nil)
	_ gateway.CallControl = (*PBX)(nil)
	_ gateway.TalkControl = (*PBX)(nil)
	_ gateway.Transferrer = (*PBX)(nil)
)

// pbxPhone is a desk telephone. It takes one call at a time.
type pbxPhone struct {
	extension    string
	unregistered bool
	state        PartyState
	since        time.Time
	call         *pbxCall // nil when idle
	behind       *pbxCall // is held while the telephone consults somebody in call
	muted        bool
}

// pbxCall is a live call.
type pbxCall struct {
	id        string
	key       string // of the DialRequest that made it
	direction gateway.Direction
	from, to  gateway.Number
	name      string
	caller    *pbxPhone   // who dialled; nil: the outside party
	picking   bool        // the caller clicked, and his own telephone still rings
	outside   *pbxOutside // nil: the call is internal
	slot      string      // where it is parked
	takes     *pbxCall    // the parked call that this one is made for
	events    []gateway.Event
	told      int // so many of the events the sink has acknowledged
	timer     *time.Timer
}

// pbxOutside is the outside party of a call.
type pbxOutside struct {
	number    gateway.Number
	state     PartyState
	since     time.Time
	answersAt time.Time // when it will pick up by itself
}

// NewPBX returns a telephone system with all its telephones registered and idle. It fails when the
// configuration names an extension that is none.
func NewPBX(cfg PBXConfig) (*PBX, error) {
	if len(cfg.Extensions) == 0 {
		cfg.Extensions = []string{"101", "102"}
	}
	cfg.Line = cmp.Or(cfg.Line, "+74951234567")
	cfg.RingTimeout = cmp.Or(cfg.RingTimeout, 25*time.Second)
	cfg.ParkTimeout = cmp.Or(cfg.ParkTimeout, 45*time.Second)
	cfg.OutsideAnswers = cmp.Or(cfg.OutsideAnswers, 2*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))

	p := &PBX{cfg: cfg, log: cfg.Logger, clock: time.Now().UTC()}
	for i, ext := range cfg.Extensions {
		if !pbxIsExtension(ext) {
			return nil, fmt.Errorf("sandbox: extension %q is not 2 to 4 digits", ext)
		}
		if slices.Contains(cfg.Extensions[:i], ext) {
			return nil, fmt.Errorf("sandbox: extension %s is there twice", ext)
		}
		p.phones = append(p.phones, &pbxPhone{extension: ext, state: PartyIdle, since: p.clock})
	}
	p.link.init(p.clock)
	return p, nil
}

// Dial rings the extension and, once it is picked up, calls the number: click-to-call as one call.
func (p *PBX) Dial(ctx context.Context, req gateway.DialRequest) (call string, err error) {
	err = p.asked(ctx, func() error {
		for _, c := range p.calls {
			if req.Key != "" && c.key == req.Key {
				call = c.id
				return nil
			}
		}
		ph := p.phone(req.Extension)
		if ph == nil {
			return gateway.Errorf(gateway.CodeNotRegistered, "extension %q is not known to the PBX", req.Extension)
		}
		if err := ph.free(); err != nil {
			return err
		}
		c, err := p.outgoing(ph, cmp.Or(req.To.E164, req.To.Raw))
		if err != nil {
			return err
		}
		call, c.key, c.picking = c.id, req.Key, true
		c.caller.enter(c, PartyRinging, p.clock)
		p.emit(c, gateway.Event{Type: gateway.EventDial, Extensions: []string{ph.extension}})
		if p.cfg.AutoAnswer {
			p.pickedUp(c)
			return nil
		}
		p.after(c, p.cfg.RingTimeout, func() { p.end(c, gateway.CauseCancelled) })
		return nil
	})
	return call, err
}

// asked is do for what comes over the link.
func (p *PBX) asked(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return gateway.Errorf(gateway.CodeTimeout, "the request ended before the PBX took it: %w", ctx.Err())
	}
	return p.do(func() error {
		if err := p.link.needed(); err != nil {
			return err
		}
		return f()
	})
}

// do plays f under the lock and then tells everyone who watches.
func (p *PBX) do(f func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick()
	err := f()
	p.story.changed()
	p.link.poke()
	return err
}

// tick moves the clock on. It never stands, so that what happens later is later also where the
// machine's clock is coarse or stands still.
func (p *PBX) tick() time.Time {
	now := time.Now().UTC()
	if !now.After(p.clock) {
		now = p.clock.Add(time.Microsecond)
	}
	p.clock = now
	return now
}

func (p *PBX) phone(extension string) *pbxPhone {
	for _, ph := range p.phones {
		if ph.extension == extension {
			return ph
		}
	}
	return nil
}

// known is phone for those who must name an extension that is there.
func (p *PBX) known(extension string) (*pbxPhone, error) {
	if ph := p.phone(extension); ph != nil {
		return ph, nil
	}
	return nil, gateway.Errorf(gateway.CodeNotFound, "this PBX has no extension %q", extension)
}

// in returns the telephone if it is in one of the states.
func (p *PBX) in(extension, what string, states ...PartyState) (*pbxPhone, error) {
	ph, err := p.known(extension)
	if err == nil && !slices.Contains(states, ph.state) {
		err = gateway.Errorf(gateway.CodeRejected, "telephone %s cannot %s: it is %s", extension, what, ph.state)
	}
	return ph, err
}

// free tells why a telephone cannot take a call.
func (ph *pbxPhone) free() error {
	switch {
	case ph.unregistered:
		return gateway.Errorf(gateway.CodeNotRegistered, "telephone %s is not connected to the PBX", ph.extension)
	case ph.call != nil:
		return gateway.Errorf(gateway.CodeBusy, "telephone %s is engaged", ph.extension)
	}
	return nil
}

func (ph *pbxPhone) enter(c *pbxCall, state PartyState, at time.Time) {
	ph.muted = ph.muted && ph.call == c
	ph.call, ph.state, ph.since = c, state, at
}

func (p *PBX) newCall(direction gateway.Direction, from, to gateway.Number) *pbxCall {
	p.serial++
	c := &pbxCall{
		id:        strconv.FormatInt(p.clock.Unix(), 10) + "." + strconv.Itoa(p.serial),
		direction: direction, from: from, to: to,
	}
	p.calls = append(p.calls, c)
	return c
}

// outgoing makes a call from a telephone to an extension or an outside number; nothing rings yet.
func (p *PBX) outgoing(ph *pbxPhone, to string) (*pbxCall, error) {
	from := gateway.Number{Raw: ph.extension}
	if parked := p.parkedAt(to); parked != nil {
		c := p.newCall(gateway.Internal, from, gateway.Number{Raw: to})
		c.caller, c.takes = ph, parked
		return c, nil
	}
	if pbxIsExtension(to) {
		switch {
		case to == ph.extension:
			return nil, gateway.Errorf(gateway.CodeBadNumber, "telephone %s cannot call itself", to)
		case p.phone(to) == nil:
			return nil, gateway.Errorf(gateway.CodeBadNumber, "this PBX has no extension %s", to)
		}
		c := p.newCall(gateway.Internal, from, gateway.Number{Raw: to})
		c.caller = ph
		return c, nil
	}
	number, err := pbxNumber(to)
	if err != nil {
		return nil, err
	}
	c := p.newCall(gateway.Outbound, from, number)
	c.caller = ph
	return c, nil
}

// emit completes an event of a call, tells it to the link and puts it into the story.
func (p *PBX) emit(c *pbxCall, e gateway.Event) {
	e.Call = c.id
	e.ID = c.id + "-" + strconv.Itoa(len(c.events)+1)
	e.At = p.tick()
	if e.Type == gateway.EventDial {
		e.Direction, e.From, e.To, e.Name = c.direction, c.from, c.to, c.name
		if c.direction != gateway.Internal {
			e.Line = p.cfg.Line
		}
	}
	c.events = append(c.events, e)
	heard := p.link.queue(c, e)
	p.story.add(PBXHappening{
		At: gateway.Millis(e.At), What: string(e.Type), Call: c.id, Direction: c.direction, From: c.from.Raw, To: c.to.Raw,
		Extensions: e.Extensions, Cause: e.Cause, Target: cmp.Or(e.Target, e.Into), Clicked: e.Type == gateway.EventDial && c.key != "", Unheard: !heard,
	})
	p.log.Debug("sandbox telephone", "call", c.id, "event", e.Type, "extensions", e.Extensions, "cause", e.Cause, "heard", heard)
}

// after has f done under the lock when d has passed, unless the call has moved on by then.
func (p *PBX) after(c *pbxCall, d time.Duration, f func()) {
	p.settle(c)
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		_ = p.do(func() error {
			if c.timer == timer {
				f()
			}
			return nil
		})
	})
	c.timer = timer
}

// settle forgets what would have happened to the call by itself.
func (p *PBX) settle(c *pbxCall) {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
