package sandbox

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ringcast/gateway"
)

// Ring is an outside caller who dials the company's number, and the PBX rings the extensions for it. An empty
// number is withheld; a name is what the telephone network tells, mostly none. Extensions that are engaged or
// not registered refuse at once; when all do, the call is over before Ring returns.
func (p *PBX) Ring(number, name string, extensions ...string) (call string, err error) {
	err = p.do(func() error {
		var from gateway.Number
		if number != "" {
			if from, err = pbxNumber(number); err != nil {
				return err
			}
		}
		if utf8.RuneCountInString(name) > 64 || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
			return gateway.Errorf(gateway.CodeInvalid, "a name is up to 64 printable characters")
		}
		if len(extensions) == 0 {
			return gateway.Errorf(gateway.CodeInvalid, "name the extensions to ring")
		}
		for i, ext := range extensions {
			if _, err := p.known(ext); err != nil {
				return err
			}
			if slices.Contains(extensions[:i], ext) {
				return gateway.Errorf(gateway.CodeInvalid, "extension %s is named twice", ext)
			}
		}
		c := p.newCall(gateway.Inbound, from, pbxWritten(p.cfg.Line))
		c.name = name
		c.outside = &pbxOutside{number: from, state: PartyCalling, since: p.clock}
		call = c.id
		p.ring(c, extensions)
		return nil
	})
	return call, err
}

// PickUp answers at a telephone that rings.
func (p *PBX) PickUp(extension string) error {
	return p.do(func() error {
		ph, err := p.in(extension, "answer", PartyRinging)
		if err == nil {
			p.pickUp(ph)
		}
		return err
	})
}

func (p *PBX) pickUp(ph *pbxPhone) {
	if ph.call.picking {
		p.pickedUp(ph.call)
	} else {
		p.connect(ph.call, ph)
	}
}

// PutDown hangs a telephone up, whatever it does: it declines what rings and ends what talks.
func (p *PBX) PutDown(extension string) error {
	return p.do(func() error {
		ph, err := p.in(extension, "hang up", PartyRinging, PartyCalling, PartyTalking, PartyHeld)
		if err != nil {
			return err
		}
		p.putDown(ph)
		return nil
	})
}

// PressHold lets the other side of a telephone's talk wait.
func (p *PBX) PressHold(extension string) error { return p.pressHold(extension, "hold", PartyTalking) }

// PressResume takes a talk back from hold.
func (p *PBX) PressResume(extension string) error {
	return p.pressHold(extension, "resume", PartyHeld)
}

func (p *PBX) pressHold(extension, what string, from PartyState) error {
	return p.do(func() error {
		ph, err := p.in(extension, what, from)
		if err == nil {
			p.hold(ph, from == PartyTalking)
		}
		return err
	})
}

// PressTransfer hands the other side of a telephone's talk to another extension, which then rings, or to an outside
// number. If an extension is engaged or not registered, the talk stays where it is.
func (p *PBX) PressTransfer(extension, target string) error {
	return p.do(func() error {
		ph, err := p.in(extension, "transfer", PartyTalking, PartyHeld)
		if err != nil {
			return err
		}
		return p.transfer(ph, target)
	})
}

// DialOut is a desk telephone that dials, an extension or an outside number.
func (p *PBX) DialOut(extension, to string) (call string, err error) {
	err = p.do(func() error {
		ph, err := p.known(extension)
		if err != nil {
			return err
		}
		if err := ph.free(); err != nil {
			return err
		}
		c, err := p.outgoing(ph, to)
		if err != nil {
			return err
		}
		call = c.id
		p.dialOut(ph, c)
		return nil
	})
	return call, err
}

func (p *PBX) dialOut(ph *pbxPhone, c *pbxCall) {
	ph.enter(c, PartyCalling, p.clock)
	if c.direction == gateway.Outbound {
		p.emit(c, gateway.Event{Type: gateway.EventDial, Extensions: []string{ph.extension}})
	}
	p.onward(c)
}

// OutsideAnswer picks up for the outside party that a call rings.
func (p *PBX) OutsideAnswer(call string) error {
	return p.do(func() error {
		c, err := p.withOutside(call)
		if err != nil {
			return err
		}
		if c.outside.state != PartyRinging {
			return gateway.Errorf(gateway.CodeRejected, "the outside party cannot answer: it is %s", c.outside.state)
		}
		p.connect(c, c.caller)
		return nil
	})
}

// OutsideHangUp hangs up for the outside party of a call: a caller gives up or ends the talk, a called
// party declines or ends the talk.
func (p *PBX) OutsideHangUp(call string) error {
	return p.do(func() error {
		c, err := p.withOutside(call)
		if err != nil {
			return err
		}
		switch c.outside.state {
		case PartyCalling:
			p.end(c, gateway.CauseCancelled)
		case PartyRinging:
			p.end(c, gateway.CauseRejected)
		default:
			p.end(c, gateway.CauseNormal)
		}
		return nil
	})
}

// Register connects a telephone to the PBX or takes it off, which ends what it was doing.
func (p *PBX) Register(extension string, registered bool) error {
	return p.do(func() error {
		ph, err := p.known(extension)
		if err != nil {
			return err
		}
		for !registered && ph.call != nil { // the one that waits behind it, too
			p.putDown(ph)
		}
		ph.unregistered = !registered
		return nil
	})
}

func (p *PBX) withOutside(call string) (*pbxCall, error) {
	for _, c := range p.calls {
		if c.id == call && c.outside != nil {
			return c, nil
		}
	}
	return nil, gateway.Errorf(gateway.CodeNotFound, "no outside party is in a call %q", call)
}

// ring calls extensions. Those that cannot take it end at once; when none can, so does the call.
func (p *PBX) ring(c *pbxCall, extensions []string) {
	p.emit(c, gateway.Event{Type: gateway.EventDial, Extensions: slices.Clone(extensions)})
	why, rings := gateway.CauseFailed, false
	for _, ext := range extensions {
		ph := p.phone(ext)
		err := ph.free()
		if err == nil {
			ph.enter(c, PartyRinging, p.clock)
			rings = true
			continue
		}
		cause := gateway.CauseFailed
		if gateway.CodeOf(err) == gateway.CodeBusy {
			cause, why = gateway.CauseBusy, gateway.CauseBusy
		}
		p.emit(c, gateway.Event{Type: gateway.EventHangup, Extensions: []string{ext}, Cause: cause})
	}
	if !rings {
		p.end(c, why)
		return
	}
	p.after(c, p.cfg.RingTimeout, func() { p.end(c, gateway.CauseNoAnswer) })
}

// pickedUp goes on with a click-to-call whose caller has lifted his own telephone.
func (p *PBX) pickedUp(c *pbxCall) {
	c.picking = false
	c.caller.enter(c, PartyCalling, p.clock)
	p.onward(c)
}

// onward rings the far end of a call that a telephone makes.
func (p *PBX) onward(c *pbxCall) {
	if c.takes != nil {
		p.unpark(c)
		return
	}
	if c.direction == gateway.Internal {
		p.ring(c, []string{c.to.Raw})
		return
	}
	c.outside = &pbxOutside{number: c.to, state: PartyRinging, since: p.clock}
	if d := p.cfg.OutsideAnswers; d >= 0 && d < p.cfg.RingTimeout {
		c.outside.answersAt = p.clock.Add(d)
		p.after(c, d, func() { p.connect(c, c.caller) })
		return
	}
	p.after(c, p.cfg.RingTimeout, func() { p.end(c, gateway.CauseNoAnswer) })
}

// connect starts the talk with the telephone that is the company's end of it; the others stop ringing.
func (p *PBX) connect(c *pbxCall, ph *pbxPhone) {
	p.settle(c)
	p.emit(c, gateway.Event{Type: gateway.EventBridge, Extensions: []string{ph.extension}})
	now := p.clock
	ph.enter(c, PartyTalking, now)
	if c.outside != nil {
		*c.outside = pbxOutside{number: c.outside.number, state: PartyTalking, since: now}
	} else if c.caller.call == c && c.caller.state == PartyCalling {
		c.caller.enter(c, PartyTalking, now)
	}
	for _, other := range p.phones {
		if other.call == c && other.state == PartyRinging {
			other.enter(nil, PartyIdle, now)
			p.emit(c, gateway.Event{Type: gateway.EventHangup, Extensions: []string{other.extension}, Cause: gateway.CauseElsewhere})
		}
	}
}

// putDown ends a telephone's part in its call, and the call unless others still ring for it.
func (p *PBX) putDown(ph *pbxPhone) {
	c := ph.call
	switch {
	case ph.state == PartyTalking || ph.state == PartyHeld:
		p.end(c, gateway.CauseNormal)
		return
	case ph == c.caller && ph.state != PartyRinging, c.picking:
		p.end(c, gateway.CauseCancelled)
		return
	}
	ph.enter(nil, PartyIdle, p.clock)
	p.emit(c, gateway.Event{Type: gateway.EventHangup, Extensions: []string{ph.extension}, Cause: gateway.CauseRejected})
	for _, other := range p.phones {
		if other.call == c && other.state == PartyRinging {
			return
		}
	}
	p.end(c, gateway.CauseRejected)
}

// end ends a call for everyone in it. Who consulted somebody in it has the call back that waited, on hold still.
func (p *PBX) end(c *pbxCall, cause gateway.Cause) {
	p.emit(c, gateway.Event{Type: gateway.EventHangup, Cause: cause})
	for _, ph := range p.phones {
		switch {
		case ph.behind == c:
			ph.behind = nil
		case ph.call == c && ph.behind != nil:
			ph.enter(ph.behind, PartyHeld, p.clock)
			ph.behind = nil
		case ph.call == c:
			ph.enter(nil, PartyIdle, p.clock)
		}
	}
	p.drop(c)
}

// drop forgets a call.
func (p *PBX) drop(c *pbxCall) {
	p.settle(c)
	p.calls = slices.DeleteFunc(p.calls, func(live *pbxCall) bool { return live == c })
}

// pbxIsExtension tells extensions from outside numbers, by their length.
func pbxIsExtension(s string) bool {
	return len(s) >= 2 && len(s) <= 4 && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// pbxNumber reads an outside number as people write it.
func pbxNumber(s string) (gateway.Number, error) {
	bad := gateway.Errorf(gateway.CodeBadNumber, "%.40q is not a telephone number: 5 to 15 digits, + only in front", s)
	raw := strings.NewReplacer(" ", "", "\u00a0", "", "-", "", "(", "", ")", "", ".", "").Replace(s)
	digits := strings.TrimPrefix(raw, "+")
	if len(s) > 40 || len(digits) < 5 || len(digits) > 15 {
		return gateway.Number{}, bad
	}
	for _, r := range digits {
		if r < '0' || r > '9' {
			return gateway.Number{}, bad
		}
	}
	return pbxWritten(raw), nil
}

// pbxWritten is a number as this PBX writes it. One with its country code needs no region to be E.164.
func pbxWritten(raw string) gateway.Number {
	n := gateway.Number{Raw: raw}
	if len(raw) >= 9 && raw[0] == '+' {
		n.E164 = raw
	}
	return n
}
