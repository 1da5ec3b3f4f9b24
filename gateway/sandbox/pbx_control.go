package sandbox

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"ringcast/gateway"
)

// The slots for parked calls.
const (
	pbxFirstSlot = 701
	pbxLastSlot  = 720
)

// HangUp ends the extension's leg of a call: one that rings is declined, one that talks or waits is over.
func (p *PBX) HangUp(ctx context.Context, call, extension string) error {
	return p.asked(ctx, func() error {
		ph, err := p.partOf(call, extension)
		switch {
		case err != nil:
			return err
		case ph.call.id == call:
			p.putDown(ph)
		default:
			p.end(ph.behind, gateway.CauseNormal)
		}
		return nil
	})
}

// Answer picks up the telephone where the call rings.
func (p *PBX) Answer(ctx context.Context, call, extension string) error {
	return p.asked(ctx, func() error {
		ph, err := p.at(call, extension, "answer", PartyRinging)
		if err == nil {
			p.pickUp(ph)
		}
		return err
	})
}

// Hold puts the other side on hold, or takes it back.
func (p *PBX) Hold(ctx context.Context, call, extension string, on bool) error {
	return p.asked(ctx, func() error {
		ph, err := p.at(call, extension, "hold", PartyTalking, PartyHeld)
		if err == nil && on != (ph.state == PartyHeld) {
			p.hold(ph, on)
		}
		return err
	})
}

// Mute turns the telephone's microphone off, or on again.
func (p *PBX) Mute(ctx context.Context, call, extension string, on bool) error {
	return p.asked(ctx, func() error {
		ph, err := p.at(call, extension, "mute", PartyTalking, PartyHeld)
		if err == nil {
			ph.muted = on
		}
		return err
	})
}

// Transfer hands the other side to an extension, which rings, or to an outside number. If an extension is engaged
// or not registered, the talk stays where it is.
func (p *PBX) Transfer(ctx context.Context, call, extension string, to gateway.Number) error {
	return p.asked(ctx, func() error {
		ph, err := p.at(call, extension, "transfer", PartyTalking, PartyHeld)
		if err != nil {
			return err
		}
		return p.transfer(ph, cmp.Or(to.E164, to.Raw))
	})
}

// Consult holds the other side and calls an extension or an outside number.
func (p *PBX) Consult(ctx context.Context, call, extension string, to gateway.Number) error {
	return p.asked(ctx, func() error {
		ph, err := p.at(call, extension, "consult", PartyTalking, PartyHeld)
		if err != nil {
			return err
		}
		if ph.behind != nil {
			return gateway.Errorf(gateway.CodeRejected, "telephone %s consults somebody already", extension)
		}
		if _, err := p.opposite(ph.call, ph); err != nil {
			return err
		}
		target := cmp.Or(to.E164, to.Raw)
		if _, _, err := p.party(ph, target); err != nil {
			return err
		}
		c, err := p.outgoing(ph, target)
		if err != nil {
			return err
		}
		if ph.state == PartyTalking {
			p.hold(ph, true)
		}
		ph.behind = ph.call
		p.dialOut(ph, c)
		return nil
	})
}

// Complete joins the side that waits with the one that is consulted, once that has answered.
func (p *PBX) Complete(ctx context.Context, call, extension string) error {
	return p.asked(ctx, func() error {
		ph, err := p.consulting(call, extension)
		if err != nil {
			return err
		}
		other := p.otherIn(ph.call, ph)
		if ph.state == PartyCalling || other != nil && other.call != ph.call {
			return gateway.Errorf(gateway.CodeRejected, "who is consulted does not listen yet: wait, or cancel")
		}
		stays, err := p.opposite(ph.behind, ph)
		if err == nil {
			p.join(ph, other, stays)
		}
		return err
	})
}

// Cancel ends the call with who is consulted and takes the other side back.
func (p *PBX) Cancel(ctx context.Context, call, extension string) error {
	return p.asked(ctx, func() error {
		ph, err := p.consulting(call, extension)
		if err != nil {
			return err
		}
		cause := gateway.CauseNormal
		if ph.state == PartyCalling {
			cause = gateway.CauseCancelled
		}
		p.end(ph.call, cause)
		p.hold(ph, false)
		return nil
	})
}

// Park lets the other side wait at a slot, which anybody dials to take the call.
func (p *PBX) Park(ctx context.Context, call, extension string) (slot string, err error) {
	err = p.asked(ctx, func() error {
		ph, err := p.at(call, extension, "park", PartyTalking, PartyHeld)
		if err != nil {
			return err
		}
		if _, err := p.opposite(ph.call, ph); err != nil {
			return err
		}
		if slot = p.freeSlot(); slot == "" {
			return gateway.Errorf(gateway.CodeRejected, "all slots for parked calls are taken")
		}
		c := ph.call
		p.leave(ph, slot)
		if c.slot = slot; c.outside != nil {
			c.outside.state = PartyHeld
		}
		p.after(c, p.cfg.ParkTimeout, func() { p.comeBack(c, ph) })
		return nil
	})
	return slot, err
}

// partOf returns the telephone that is in the call, or has it waiting.
func (p *PBX) partOf(call, extension string) (*pbxPhone, error) {
	ph := p.phone(extension)
	if ph == nil || ph.call == nil || ph.call.id != call && (ph.behind == nil || ph.behind.id != call) {
		return nil, gateway.Errorf(gateway.CodeNotFound, "extension %q has no part in call %q", extension, call)
	}
	return ph, nil
}

// at returns the telephone if it is in the call, and in one of the states.
func (p *PBX) at(call, extension, what string, states ...PartyState) (*pbxPhone, error) {
	ph, err := p.partOf(call, extension)
	switch {
	case err != nil:
		return nil, err
	case ph.call.id != call:
		return nil, gateway.Errorf(gateway.CodeRejected, "telephone %s consults somebody: complete or cancel that first", extension)
	}
	return p.in(extension, what, states...)
}

// consulting returns the telephone if it has the call waiting while it consults somebody.
func (p *PBX) consulting(call, extension string) (*pbxPhone, error) {
	ph, err := p.partOf(call, extension)
	if err == nil && (ph.behind == nil || ph.behind.id != call) {
		return nil, gateway.Errorf(gateway.CodeRejected, "nobody is consulted about this call")
	}
	return ph, err
}

func (p *PBX) hold(ph *pbxPhone, on bool) {
	state, event := PartyTalking, gateway.EventUnhold
	if on {
		state, event = PartyHeld, gateway.EventHold
	}
	ph.state = state // the clock of the talk runs on
	if ph.call.outside != nil {
		ph.call.outside.state = state
	}
	p.emit(ph.call, gateway.Event{Type: event, Extensions: []string{ph.extension}})
}

// party is whom a call can be handed to: a telephone that is free, or a number outside.
func (p *PBX) party(ph *pbxPhone, to string) (*pbxPhone, gateway.Number, error) {
	if !pbxIsExtension(to) {
		number, err := pbxNumber(to)
		return nil, number, err
	}
	other := p.phone(to)
	switch other {
	case ph:
		return nil, gateway.Number{}, gateway.Errorf(gateway.CodeBadNumber, "%s is this telephone itself", to)
	case nil:
		return nil, gateway.Number{}, gateway.Errorf(gateway.CodeBadNumber, "this PBX has no extension %s", to)
	}
	return other, gateway.Number{Raw: to}, other.free()
}

// transfer hands a talk on. An outside number picks up at once.
func (p *PBX) transfer(ph *pbxPhone, to string) error {
	if ph.behind != nil {
		return gateway.Errorf(gateway.CodeRejected, "telephone %s consults somebody: complete or cancel that first", ph.extension)
	}
	other, number, err := p.party(ph, to)
	if err != nil {
		return err
	}
	c := ph.call
	stays, err := p.opposite(c, ph)
	if err != nil {
		return err
	}
	p.leave(ph, number.Raw)
	switch {
	case other != nil && c.outside != nil:
		c.outside.state, c.outside.since = PartyCalling, p.clock
		p.ring(c, []string{to})
	case other != nil:
		p.between(c, stays, to)
		p.ring(c, []string{to})
	case c.outside != nil:
		c.outside.state = PartyTalking
	default:
		c.direction, c.from, c.to = gateway.Outbound, gateway.Number{Raw: stays.extension}, number
		c.outside = &pbxOutside{number: number, state: PartyTalking, since: p.clock}
	}
	return nil
}

// leave takes a telephone out of a call that goes on without it, to a target.
func (p *PBX) leave(ph *pbxPhone, target string) {
	c := ph.call
	p.emit(c, gateway.Event{Type: gateway.EventTransfer, Extensions: []string{ph.extension}, Target: target})
	ph.enter(nil, PartyIdle, p.clock)
	if stays := p.otherIn(c, ph); stays != nil {
		c.caller = stays
	}
}

// between makes an internal call one of a telephone with an extension.
func (p *PBX) between(c *pbxCall, caller *pbxPhone, to string) {
	c.caller, c.from, c.to = caller, gateway.Number{Raw: caller.extension}, gateway.Number{Raw: to}
}

// join makes one call of that which waits at a telephone and that in which it consults somebody, and takes it out of
// both. At the ends of it are telephones then, other the one that was consulted, or, where they are nil, outside parties.
func (p *PBX) join(ph, other, stays *pbxPhone) {
	c, consultation := ph.behind, ph.call
	target := consultation.to.Raw
	p.emit(consultation, gateway.Event{Type: gateway.EventMerge, Into: c.id})
	p.drop(consultation)
	ph.behind = nil
	ph.enter(c, PartyTalking, p.clock)
	p.leave(ph, target)
	switch {
	case other != nil:
		other.enter(c, PartyTalking, p.clock)
		p.emit(c, gateway.Event{Type: gateway.EventBridge, Extensions: []string{other.extension}})
		if c.outside == nil {
			p.between(c, stays, other.extension)
		}
	case c.outside == nil:
		c.outside, c.direction, c.from, c.to = consultation.outside, gateway.Outbound, gateway.Number{Raw: stays.extension}, consultation.to
	}
	if c.outside != nil {
		c.outside.state = PartyTalking
	}
}

// otherIn returns another telephone that is in a call, or has it waiting.
func (p *PBX) otherIn(c *pbxCall, ph *pbxPhone) *pbxPhone {
	i := slices.IndexFunc(p.phones, func(other *pbxPhone) bool { return other != ph && (other.call == c || other.behind == c) })
	if i < 0 {
		return nil
	}
	return p.phones[i]
}

// opposite returns the telephone at the other end of a telephone's talk, nil if somebody outside is there. While it
// rings there or the call is parked, there is nobody.
func (p *PBX) opposite(c *pbxCall, ph *pbxPhone) (*pbxPhone, error) {
	if c.outside != nil {
		return nil, nil
	}
	other := p.otherIn(c, ph)
	if other == nil || other.call == c && other.state != PartyTalking && other.state != PartyHeld {
		return nil, gateway.Errorf(gateway.CodeRejected, "nobody is at the other end of telephone %s just now", ph.extension)
	}
	return other, nil
}

func (p *PBX) parkedAt(slot string) *pbxCall {
	for _, c := range p.calls {
		if c.slot != "" && c.slot == slot {
			return c
		}
	}
	return nil
}

// freeSlot returns a slot where no call waits and that is no extension, "" if there is none.
func (p *PBX) freeSlot() string {
	for n := pbxFirstSlot; n <= pbxLastSlot; n++ {
		if slot := strconv.Itoa(n); p.parkedAt(slot) == nil && p.phone(slot) == nil {
			return slot
		}
	}
	return ""
}

// unpark connects a telephone that dialled a slot with the call that waits there, if nobody else was faster.
func (p *PBX) unpark(c *pbxCall) {
	ph, parked := c.caller, c.takes
	if parked.slot != c.to.Raw {
		p.end(c, gateway.CauseFailed)
		return
	}
	if len(c.events) > 0 { // its ringing was told
		p.emit(c, gateway.Event{Type: gateway.EventMerge, Into: parked.id})
	}
	p.drop(c)
	parked.slot = ""
	if parked.outside == nil {
		p.between(parked, parked.caller, ph.extension)
	}
	ph.enter(parked, PartyCalling, p.clock)
	p.connect(parked, ph)
}

// comeBack rings the telephone that parked a call, which nobody has taken.
func (p *PBX) comeBack(c *pbxCall, ph *pbxPhone) {
	if ph.free() != nil {
		p.after(c, p.cfg.ParkTimeout, func() { p.comeBack(c, ph) })
		return
	}
	if c.slot = ""; c.outside != nil {
		c.outside.state, c.outside.since = PartyCalling, p.clock
	} else {
		p.between(c, c.caller, ph.extension)
	}
	p.ring(c, []string{ph.extension})
}
