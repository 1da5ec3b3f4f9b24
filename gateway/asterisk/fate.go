package asterisk

import (
	"slices"
	"time"

	"ringcast/gateway"
)

// How Asterisk says why a channel ended (Q.850), as far as the telephone itself says so. All other causes mean
// different things in different dial plans.
const (
	causeBusy      = 17
	causeDeclined  = 21
	causeForwarded = 23
	causeElsewhere = 26 // another telephone took the call
)

// unreachable lists the causes of a number or a line that does not work.
var unreachable = map[int]bool{
	1: true, 2: true, 3: true, 20: true, 22: true, 27: true, 28: true, 29: true, 34: true, 38: true, 41: true,
	42: true, 44: true, 50: true, 52: true, 54: true, 57: true, 58: true, 66: true, 88: true,
}

// fate says why a called channel that is gone ended. What the telephone does not say is told by what the others do.
func (k *call) fate(ch *channel) gateway.Cause {
	switch {
	case ch.talked():
		return gateway.CauseNormal
	case ch.cause == causeElsewhere || ch.taken:
		return gateway.CauseElsewhere
	case ch.refusal == causeBusy:
		return gateway.CauseBusy
	case ch.refusal == causeDeclined:
		return gateway.CauseRejected
	case k.givenUp(ch):
		return gateway.CauseCancelled
	case ch.cause == causeBusy: // from a driver that tells of no request, or another telephone's, handed down
		return gateway.CauseBusy
	case ch.cause == causeDeclined:
		return gateway.CauseRejected
	case k.takenFrom(ch):
		return gateway.CauseElsewhere
	case ch.rang == 0 && unreachable[ch.cause]:
		return gateway.CauseFailed
	default:
		return gateway.CauseNoAnswer
	}
}

// takenFrom says whether somebody else who was called while the channel rang began to talk meanwhile.
func (k *call) takenFrom(ch *channel) bool {
	if ch.rang == 0 {
		return false
	}
	return k.anyParty(func(x *channel) bool {
		return x != ch && k.called(x) && (x.ext == "" || x.ext != ch.ext) && x.born < ch.died && x.spoke > ch.rang &&
			ch.endsAfter(x.spokeAt) && !x.follows(ch)
	})
}

// follows says whether a channel was called when its caller had another called no more.
func (ch *channel) follows(earlier *channel) bool {
	a, by := earlier.caller()
	b, also := ch.caller()
	return by != nil && by == also && a.ended > 0 && b.called > a.ended
}

// givenUp says whether those for whom the channel rang hung up before it was answered: at least one asked to, and
// nobody was left who did not.
func (k *call) givenUp(ch *channel) bool {
	asked := false
	stays := k.anyParty(func(x *channel) bool {
		switch {
		case x == ch, x.ext != "" && x.ext == ch.ext, x.handedOn, x.died > 0 && x.died < ch.rang, k.called(x) && x.up == 0:
			return false
		}
		if x.gaveUp(ch) {
			asked = true
			return false
		}
		return x.asked > 0 || x.died == 0 || !ch.endsAfter(x.diedAt)
	})
	return asked && !stays
}

// gaveUp says whether a party asked to hang up while it rang at a channel, or had just stopped to: not when it had
// that channel called no more, or talked with somebody else.
func (ch *channel) gaveUp(on *channel) bool {
	switch {
	case ch.asked == 0, on.died > 0 && (ch.heard >= on.died || !on.endsAfter(ch.askedAt)), ch.spoke > on.rang:
		return false
	}
	if first, by := on.caller(); by == ch && first.ended > 0 {
		return ch.asked < first.ended
	}
	return true
}

// endsAfter says whether the channel, which is gone, ended after something, as far as that can be told.
func (ch *channel) endsAfter(at time.Time) bool { return !at.After(ch.diedAt.Add(lateCause)) }

// anyParty says whether a test holds for any party that is or was in the call.
func (k *call) anyParty(test func(*channel) bool) bool {
	return slices.ContainsFunc(k.departed, test) ||
		slices.ContainsFunc(k.channels, func(x *channel) bool { return x.party() && test(x) })
}

// legCause says why a leg ended that has no channel left.
func (k *call) legCause(l *leg) gateway.Cause {
	switch {
	case l.talking:
		return gateway.CauseNormal
	case l.last != nil:
		return k.fate(l.last)
	case l.ext == k.caller:
		return k.cause()
	default:
		return gateway.CauseNoAnswer
	}
}

// cause says why the whole call ended.
func (k *call) cause() gateway.Cause {
	switch {
	case k.answered:
		return gateway.CauseNormal
	case k.anyParty(func(x *channel) bool { return k.calls(x) && x.asked > 0 && k.stillRang(x) }):
		return gateway.CauseCancelled
	case k.ordered && k.reached == nil && !k.anyParty(func(x *channel) bool { return k.calls(x) && x.up > 0 }):
		return gateway.CauseCancelled // the caller did not pick up his own call
	}
	ends := slices.Clone(k.ends)
	k.anyParty(func(x *channel) bool {
		if k.called(x) && x.cause != causeForwarded {
			ends = append(ends, k.fate(x))
		}
		return false
	})
	for _, cause := range []gateway.Cause{
		gateway.CauseNoAnswer, gateway.CauseRejected, gateway.CauseBusy, gateway.CauseFailed, gateway.CauseCancelled,
	} {
		if slices.Contains(ends, cause) {
			return cause
		}
	}
	if k.direction == gateway.Outbound {
		return gateway.CauseFailed
	}
	return gateway.CauseNoAnswer
}

// stillRang says whether it rang somewhere when the caller asked to hang up, or never had: then he gave up. Who was
// left to a machine, to voicemail, when those who rang had stopped, ends a call that nobody took.
func (k *call) stillRang(caller *channel) bool {
	rang := false
	rings := k.anyParty(func(x *channel) bool {
		if !k.called(x) || x.rang == 0 {
			return false
		}
		rang = true
		return x.died == 0 || caller.gaveUp(x)
	})
	return rings || !rang && len(k.ends) == 0
}

// lateCause is for how long it may turn out that a leg ended for another reason than was told.
const lateCause = 100 * time.Millisecond

// makeRoom leaves some time before an end that may have to be told anew, as of just before.
func (c *correlator) makeRoom() { c.at = c.at.Add(10 * time.Microsecond) }

// touch notes that something happened to a call.
func (c *correlator) touch(k *call) {
	if !slices.Contains(c.touched, k) {
		c.touched = append(c.touched, k)
	}
}

// revise tells anew, as of just before, how legs ended of which that is clearer now: by an event that Asterisk sent
// too late.
func (c *correlator) revise() {
	for _, k := range c.touched {
		if len(k.recent) == 0 {
			continue
		}
		k.recent = slices.DeleteFunc(k.recent, func(e *ending) bool { return c.clock.Sub(e.clock) > lateCause })
		for _, e := range k.recent {
			cause := e.cause
			switch {
			case e.ch != nil:
				cause = k.fate(e.ch)
			case e.ext == "", e.ext == k.caller:
				cause = k.cause()
			}
			if cause != e.cause {
				e.cause, e.at = cause, e.at.Add(-time.Microsecond)
				hangup := gateway.Event{Type: gateway.EventHangup, Call: k.id, Cause: cause}
				if e.ext != "" {
					hangup.Extensions = []string{e.ext}
				}
				c.emitAt(hangup, e.at)
			}
		}
	}
	clear(c.touched)
	c.touched = c.touched[:0]
}
