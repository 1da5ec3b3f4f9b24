package phonet

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"ringcast/gateway"
)

// bridge tells that a part was answered. When the same leg talks, or talked, at another telephone, one of them has
// handed it on to the other.
func (b *book) bridge(p *part, f fact) []gateway.Event {
	c := p.call
	p.bridged, p.bridgeAt = true, later(f.bridgeAt, p.dialAt)
	if !p.person() || p.ext == "" {
		return nil
	}
	c.answered = true
	var others []gateway.Event
	for _, q := range c.parts {
		if q == p || q.uuid != p.uuid || !q.person() || !q.bridged {
			continue
		}
		from, to := q, p
		if p.took.Before(q.took) { // it comes late
			from, to = p, q
		}
		to.bridgeAt = later(to.bridgeAt, to.took)
		if !from.handed {
			others = append(others, from.handOn(to, p.heard))
		}
	}
	if !p.live() {
		p.bridgeAt = later(p.dialAt, earlier(p.bridgeAt, p.endAt.Add(-time.Microsecond)))
	}
	return append([]gateway.Event{{
		Call: c.id, Type: gateway.EventBridge, ID: c.eventID("bridge", p), At: c.tell(p.bridgeAt), Extensions: []string{p.ext},
	}}, others...)
}

// handOn tells that a part's leg went over to another's telephone.
func (p *part) handOn(to *part, now time.Time) gateway.Event {
	at := later(to.took, p.bridgeAt)
	p.handed = true
	if p.live() {
		p.endAt, p.endedHere = at, now
	}
	return gateway.Event{
		Call: p.call.id, Type: gateway.EventTransfer, ID: p.call.eventID("transfer "+p.ext, to), At: p.call.tell(at),
		Extensions: []string{p.ext}, Target: to.ext,
	}
}

// end tells that a part is over, and the call if nothing of it is left.
func (b *book) end(p *part, f fact, now time.Time) []gateway.Event {
	c := p.call
	p.endAt, p.endedHere, p.cause, p.over = later(f.endAt, p.dialAt, p.bridgeAt), now, f.cause, true
	c.heard = now
	c.closing = c.closing || c.closes(p)
	if !c.endAt.IsZero() {
		return nil
	}
	if b.due(c, now) {
		return b.finish(c, now)
	}
	if p.parent != "" && !p.bridged && !c.answered {
		p.untold = now // for a moment: a colleague's answer, heard on his own socket, says better why
		return nil
	}
	return c.leave(p)
}

// leave tells that a part of a call that goes on is over, unless its extension has another.
func (c *call) leave(p *part) []gateway.Event {
	p.untold = time.Time{}
	if !p.person() || p.ext == "" || slices.ContainsFunc(c.parts, func(q *part) bool { return q.person() && q.live() && q.ext == p.ext }) {
		return nil
	}
	return []gateway.Event{{
		Call: c.id, Type: gateway.EventHangup, ID: c.eventID("hangup", p), At: c.tell(p.endAt),
		Extensions: []string{p.ext}, Cause: c.cause(p),
	}}
}

// closes says whether the end of a part, a group's, is that of the caller's stay.
func (c *call) closes(p *part) bool {
	return p.kind == legGroup && p.parent == "" && !slices.ContainsFunc(c.parts, func(q *part) bool { return q.live() && !q.person() })
}

// due says whether a call that was last heard of some time ago is over by now.
func (b *book) due(c *call, now time.Time) bool {
	var rings, talks, others bool
	for _, p := range c.parts {
		switch {
		case !p.live():
		case !p.person():
			others = true
		case p.talking():
			talks = true
		default:
			rings = true
		}
	}
	var patience time.Duration
	switch {
	case c.closing && talks:
		patience = b.pace(closeTime)
	case c.closing:
	case talks:
		patience = maxTalk
	case rings:
		patience = maxRing
	case others && c.answered:
		patience = b.pace(afterTalk)
	case others:
		patience = maxRing
	case c.under():
		patience = b.pace(settleTime)
	}
	return now.Sub(c.heard) >= patience
}

// under says whether more of a call may come though all that is known of it is over: it has, or is, what hands
// callers on.
func (c *call) under() bool {
	return slices.ContainsFunc(c.parts, func(p *part) bool { return !p.person() || p.parent != "" })
}

// finish tells that a whole call is over.
func (b *book) finish(c *call, now time.Time) []gateway.Event {
	last := c.parts[0]
	c.endAt = c.last // of a part whose end was never told, no more is known
	for _, p := range c.parts {
		c.endAt = later(c.endAt, p.endAt)
		if !p.endAt.IsZero() && !p.endAt.Before(last.endAt) {
			last = p
		}
	}
	for _, p := range c.parts {
		if p.live() {
			p.endAt, p.endedHere = c.endAt, now
		}
	}
	e := gateway.Event{Call: c.id, Type: gateway.EventHangup, ID: c.eventID("end", nil), At: c.tell(c.endAt), Cause: c.cause(last)}
	if c.answered {
		e.Cause = gateway.CauseNormal
	}
	return []gateway.Event{e}
}

// cause is why a part ended, as far as it can be known: Phonet does not say. Who talked to nobody missed the call,
// or gave up calling.
func (c *call) cause(p *part) gateway.Cause {
	switch {
	case p.bridged:
		return gateway.CauseNormal
	case c.answered:
		return gateway.CauseElsewhere
	case c.told.direction == gateway.Internal && p.cause == gateway.CauseNoAnswer:
		return "" // he who called gave up, and the other missed it
	case p.cause != "" && p.cause != gateway.CauseNormal:
		return p.cause
	case c.told.direction == gateway.Outbound:
		return gateway.CauseCancelled
	case c.told.direction == gateway.Inbound:
		return gateway.CauseNoAnswer
	default:
		return ""
	}
}

// wrong says whether the history gives another cause for the end of a part than was told.
func (c *call) wrong(p *part, f fact) bool {
	told := c.cause(p)
	p.cause = cmp.Or(f.cause, p.cause)
	return c.cause(p) != told
}

// correct tells why a part ended that has been told to have ended for another reason. It is put just before that.
func (b *book) correct(p *part, f fact) gateway.Event {
	c := p.call
	e := gateway.Event{
		Call: c.id, Type: gateway.EventHangup, ID: c.eventID("correct", p), Cause: c.cause(p),
		At: later(p.dialAt, earlier(p.endAt, f.endAt).Add(-time.Microsecond)),
	}
	if p.person() && p.ext != "" {
		e.Extensions = []string{p.ext}
	}
	return e
}

// expire ends the calls that are due, and forgets those that ended long ago.
func (b *book) expire(now time.Time) (events []gateway.Event) {
	for id, c := range b.calls {
		for _, p := range c.parts {
			if c.endAt.IsZero() && !p.untold.IsZero() && (c.answered || now.Sub(p.untold) >= b.pace(momentTime)) {
				events = append(events, c.leave(p)...)
			}
		}
		switch {
		case c.endAt.IsZero() && b.due(c, now):
			events = append(events, b.finish(c, now)...)
			c.heard = now
		case !c.endAt.IsZero() && now.Sub(c.heard) >= rememberFor:
			delete(b.calls, id)
			for _, p := range c.parts {
				delete(b.parts, partKey{p.uuid, p.ext})
			}
			maps.DeleteFunc(b.root, func(_ string, of *call) bool { return of == c })
		}
	}
	b.forgetClicks(now)
	return events
}

// compare ends the parts that are not among those that live, by uuid and extension, except what has been spoken of
// since. Whose leg lives at another telephone has handed it on.
func (b *book) compare(live map[string][]string, since time.Time) (events []gateway.Event) {
	for _, c := range b.calls {
		for _, p := range slices.Clone(c.parts) {
			exts, listed := live[p.uuid]
			switch {
			case !p.live() || !c.endAt.IsZero() || !p.heard.Before(since) || slices.Contains(exts, p.ext):
			case listed:
				if to := b.parts[partKey{p.uuid, exts[0]}]; to != nil && to.bridged {
					events = append(events, p.handOn(to, since))
				}
			default:
				events = append(events, b.end(p, fact{endAt: later(p.dialAt, p.bridgeAt, since)}, since)...)
			}
		}
	}
	return events
}

// liveCalls returns the ids of the calls that live.
func (b *book) liveCalls() []string {
	ids := []string{}
	for id, c := range b.calls {
		if c.endAt.IsZero() {
			ids = append(ids, id)
		}
	}
	return ids
}

// complete says whether the history has said of a call all that there is to say.
func (b *book) complete(id string) bool {
	c := b.calls[id]
	return c == nil || slices.ContainsFunc(c.parts, func(p *part) bool { return p.settled && (p.recording != "" || !c.answered) })
}

// doubtful says whether a call lives of which nothing has been heard for long enough to ask: sooner when everybody who
// was rung is gone, since the end of the menu or group, which the list told of, may be told to nobody.
func (b *book) doubtful(now time.Time, quiet time.Duration) bool {
	for _, c := range b.calls {
		patience := quiet
		if slices.ContainsFunc(c.parts, (*part).person) && !slices.ContainsFunc(c.parts, func(p *part) bool { return p.person() && p.live() }) {
			patience = b.pace(settleTime)
		}
		if c.endAt.IsZero() && now.Sub(c.heard) >= patience {
			return true
		}
	}
	return false
}

// find returns the uuid of an extension's part in a call: one that talks, else one that rings.
func (b *book) find(id, extension string) (uuid string, ok bool) {
	c := b.calls[id]
	if c == nil {
		return "", false
	}
	for _, p := range c.parts {
		mine := p.person() && p.ext == extension || p.caller == extension
		if mine && p.live() && (!ok || p.talking()) {
			uuid, ok = p.uuid, true
		}
	}
	return uuid, ok
}

// eventID names what is told of a call, or of a part of it. It is the same whoever tells it, and whenever.
func (c *call) eventID(what string, p *part) string {
	if p == nil {
		return c.id + " " + what
	}
	return c.id + " " + what + " " + p.uuid + " " + p.ext
}

// tell notes a time that is told of a call.
func (c *call) tell(at time.Time) time.Time {
	c.last = later(c.last, at)
	return at
}

func later(t time.Time, others ...time.Time) time.Time {
	for _, o := range others {
		if o.After(t) {
			t = o
		}
	}
	return t
}

func earlier(t, o time.Time) time.Time {
	if o.Before(t) {
		return o
	}
	return t
}
