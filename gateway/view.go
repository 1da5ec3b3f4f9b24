package gateway

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// For returns the call as a user sees it, and whether he has a share in it at all.
func (c *Call) For(user string) (View, bool) {
	mine := c.share(user)
	if mine == nil || c.StartedAt.IsZero() {
		return View{}, false
	}
	number := c.outside(mine.Caller)
	v := View{
		ID: c.ID, Version: c.Version, Direction: c.Direction, PhoneRaw: number.Raw, PhoneDisplay: cmp.Or(number.Shown, number.Raw),
		Name: c.Name, Line: c.Line, Extension: mine.Extension, Outgoing: mine.Caller, State: mine.state(), AnsweredBy: c.answeredBy(mine), Peer: c.peer(mine),
		StartedAt: Millis(c.StartedAt), Talk: int(c.talked(user) / time.Second), Contact: c.Contact,
	}
	if number.E164 != "" {
		v.Phone = &number.E164
	}
	if isWeb(c.Recording) { // "file:" is a path at the PBX: recordingLink makes something of it
		v.Recording = &c.Recording
	}
	v.AnsweredAt = (*Millis)(c.answered(user))
	if !mine.Live() {
		v.Outcome, v.EndedAt = &mine.Outcome, (*Millis)(&mine.EndedAt)
	}
	return v, true
}

// recordingLink is Config.Recording.
type recordingLink func(c *Call) string

// view is For, with the link under which people get the recording.
func (link recordingLink) view(c *Call, user string) (View, bool) {
	v, ok := c.For(user)
	if !ok || link == nil || c.Recording == "" {
		return v, ok
	}
	if url := link(c); url != "" {
		v.Recording = &url
	}
	return v, true
}

func isWeb(url string) bool {
	scheme, _, ok := strings.Cut(url, "://")
	return ok && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"))
}

// Users returns the users who have a share in the call, each once.
func (c *Call) Users() []string {
	var users []string
	for i := range c.Legs {
		if user := c.Legs[i].User; user != "" && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}

// share is the user's leg that counts most: one that talks, else one that rings, else the last to end.
func (c *Call) share(user string) *Leg {
	var best *Leg
	for i := range c.Legs {
		leg := &c.Legs[i]
		if leg.User == user && (best == nil || leg.weight() > best.weight() ||
			leg.weight() == best.weight() && leg.EndedAt.After(best.EndedAt)) {
			best = leg
		}
	}
	return best
}

func (l *Leg) weight() int {
	switch {
	case !l.TalkingSince.IsZero():
		return 3
	case l.Live():
		return 2
	case !l.AnsweredAt.IsZero():
		return 1
	default:
		return 0
	}
}

func (l *Leg) state() State {
	switch {
	case !l.Live():
		return Ended
	case l.Held:
		return Held
	case !l.TalkingSince.IsZero():
		return Talking
	default:
		return Ringing
	}
}

// outside is the other party's number, for the one who made the call and for those who got it.
func (c *Call) outside(caller bool) *Number {
	if c.Direction == Outbound || c.Direction == Internal && caller {
		return &c.To
	}
	return &c.From
}

// answeredBy is who took the call as the user's leg knew it: he himself, who took it while it rang, or
// else the first to answer.
func (c *Call) answeredBy(mine *Leg) *Person {
	switch {
	case mine.TakenBy != nil:
		return mine.TakenBy
	case mine.Caller:
		return c.AnsweredBy
	case !mine.AnsweredAt.IsZero():
		return &mine.Person
	case mine.Live():
		return nil
	default:
		return c.AnsweredBy
	}
}

// peer is the colleague at the other end of an internal call.
func (c *Call) peer(mine *Leg) *Person {
	if c.Direction != Internal {
		return nil
	}
	if mine.Caller && c.AnsweredBy != nil {
		return c.AnsweredBy
	}
	for i := range c.Legs {
		if c.Legs[i].Caller != mine.Caller {
			return &c.Legs[i].Person
		}
	}
	return nil
}

// result is what became of the call as a whole, once it is over, and how long it was from the first answer on.
func (c *Call) result() (Outcome, time.Duration) {
	switch {
	case !c.AnsweredAt.IsZero():
		return Answered, c.EndedAt.Sub(c.AnsweredAt)
	case len(c.Legs) == 0:
		return Missed, 0
	default:
		return c.Legs[0].Outcome, 0
	}
}

func (c *Call) talked(user string) time.Duration {
	var sum time.Duration
	for i := range c.Legs {
		if c.Legs[i].User == user {
			sum += c.Legs[i].Talked
		}
	}
	return sum
}

// answered is when the user first talked, nil if he has not.
func (c *Call) answered(user string) *time.Time {
	var first *time.Time
	for i := range c.Legs {
		leg := &c.Legs[i]
		if leg.User == user && !leg.AnsweredAt.IsZero() && (first == nil || leg.AnsweredAt.Before(*first)) {
			first = &leg.AnsweredAt
		}
	}
	return first
}

// concerned returns the users who see a difference between two versions of a call. That of a recording is one though it
// may be at a path of the PBX's that nobody gets a link of.
func concerned(before, after *Call) []string {
	var users []string
	for _, user := range after.Users() {
		was, had := before.For(user)
		is, has := after.For(user)
		if has && (!had || !sameView(was, is) || before.Recording != after.Recording) {
			users = append(users, user)
		}
	}
	return users
}

// sameView compares all that a user sees, but for the version.
func sameView(a, b View) bool {
	return a.Direction == b.Direction && a.PhoneRaw == b.PhoneRaw && a.Name == b.Name && a.Line == b.Line &&
		a.Extension == b.Extension && a.Outgoing == b.Outgoing && a.State == b.State && a.Talk == b.Talk &&
		time.Time(a.StartedAt).Equal(time.Time(b.StartedAt)) &&
		same(a.Phone, b.Phone) && same(a.Outcome, b.Outcome) && same(a.AnsweredBy, b.AnsweredBy) &&
		same(a.Peer, b.Peer) && same(a.Contact, b.Contact) && same(a.Recording, b.Recording) &&
		sameTime(a.AnsweredAt, b.AnsweredAt) && sameTime(a.EndedAt, b.EndedAt)
}

func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func sameTime(a, b *Millis) bool {
	return a == b || a != nil && b != nil && time.Time(*a).Equal(time.Time(*b))
}
