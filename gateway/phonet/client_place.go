package phonet

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"ringcast/gateway"
)

// about is how far times may be apart that are meant to be the same: the history counts in seconds.
const about = 2 * time.Second

// place finds the call of a row of the history that comes of one nobody spoke of: neither the sockets nor the history
// always tell of what is between a menu and those who are rung. It returns false for a row that may be of several
// calls: it is better left out of all than put into another's.
func (b *book) place(f fact, now time.Time) bool {
	if b.root[f.uuid] != nil || b.root[f.parent] != nil {
		return true
	}
	f = b.inOurTime(f, now)
	f.kind = cmp.Or(f.kind, b.kindOf(f.ext))
	var found []*call
	for _, c := range b.calls {
		alike := c.told.number == f.number && c.told.caller == f.caller && c.told.direction == f.direction
		if alike && (f.parent != "" && c.mayHold(f) || f.parent == "" && f.kind != legUser && c.mayComeOf(f)) {
			found = append(found, c)
		}
	}
	if len(found) > 1 {
		found = narrow(found, func(c *call) bool { return c.told.line == f.line })
		found = narrow(found, func(c *call) bool { return f.parent == "" || !c.has(f.ext) })
		found = closest(found, f.endAt)
	}
	switch {
	case len(found) == 1:
		b.root[f.uuid] = found[0]
		return true
	case f.parent == "":
		return true // it is a call, whatever else there is
	default:
		return len(found) == 0
	}
}

// mayHold says whether what a row tells of may have come of a call, of whose menu or group is known.
func (c *call) mayHold(f fact) bool {
	top := slices.IndexFunc(c.parts, func(p *part) bool { return p.parent == "" && !p.person() })
	until := c.until()
	if top < 0 || f.dialAt.Before(c.told.dialAt.Add(-about)) || !until.IsZero() && f.endAt.After(until.Add(about)) {
		return false
	}
	if !f.bridged {
		return true
	}
	talksElsewhere := func(p *part) bool { // the caller talks to one at a time
		end := f.endAt
		if !p.live() {
			end = earlier(end, p.endAt)
		}
		return p.person() && p.bridged && end.Sub(later(p.bridgeAt, f.bridgeAt)) > about
	}
	missed := c.parts[top].settled && !c.parts[top].bridged
	return !missed && !slices.ContainsFunc(c.parts, talksElsewhere)
}

// mayComeOf says whether a call of which only those are known who were rung may have come of a row's menu or group.
func (c *call) mayComeOf(f fact) bool {
	until := c.until()
	return !slices.ContainsFunc(c.parts, func(p *part) bool { return p.parent == "" }) &&
		!f.dialAt.After(c.told.dialAt.Add(about)) && !f.endAt.Before(c.told.dialAt) && !f.endAt.Before(until.Add(-about))
}

// until is when the last of a call that has ended ended, zero while any of it lives.
func (c *call) until() (end time.Time) {
	if !c.endAt.IsZero() {
		return c.endAt
	}
	for _, p := range c.parts {
		if p.live() {
			return time.Time{}
		}
		end = later(end, p.endAt)
	}
	return end
}

// has says whether an extension was rung in a call, or calls.
func (c *call) has(ext string) bool {
	return slices.ContainsFunc(c.parts, func(p *part) bool { return p.person() && p.ext == ext })
}

// narrow leaves those calls of which something holds, if there are any.
func narrow(calls []*call, holds func(*call) bool) []*call {
	var left []*call
	for _, c := range calls {
		if holds(c) {
			left = append(left, c)
		}
	}
	if len(left) == 0 {
		return calls
	}
	return left
}

// closest leaves the call that ended at a time or first after it, if it was about then: who is called by a menu or
// group ends the caller's stay, or does so with it.
func closest(calls []*call, end time.Time) []*call {
	near := narrow(calls, func(c *call) bool { d := c.until().Sub(end); return d >= 0 && d <= about })
	slices.SortFunc(near, func(a, b *call) int { return a.until().Compare(b.until()) })
	if d := near[0].until().Sub(end); d < 0 || d > about {
		return calls
	}
	return near[:1]
}

// former tells of everything that an earlier run, which did not know what was above it, may have called a call by,
// that it is this call. Who was still thought to ring or talk there does so no more when he does not here.
func (b *book) former(now time.Time) (events []gateway.Event) {
	for _, c := range b.calls {
		names := map[string]bool{}
		for _, p := range c.parts {
			names[p.parent] = true
			if !p.person() {
				names[p.uuid] = true
			}
		}
		delete(names, "")
		delete(names, c.id)
		at := later(now, c.last) // its clock may be fast
		for name := range names {
			events = append(events, gateway.Event{Call: name, Type: gateway.EventMerge, ID: name + " merge", At: at, Into: c.id})
		}
		if len(names) > 0 && c.endAt.IsZero() {
			events = append(events, c.present(at.Add(time.Microsecond)))
		}
	}
	return events
}

// present tells who is in a call that lives.
func (c *call) present(at time.Time) gateway.Event {
	e := gateway.Event{Call: c.id, Type: gateway.EventPresent, ID: c.id + " present " + strconv.FormatInt(at.UnixMicro(), 10), At: at}
	for _, p := range c.parts {
		if p.live() && p.person() && p.ext != "" {
			e.Extensions = append(e.Extensions, p.ext)
		}
		if p.live() && p.caller != "" {
			e.Extensions = append(e.Extensions, p.caller)
		}
	}
	return e
}
