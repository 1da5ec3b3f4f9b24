package phonet

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"ringcast/gateway"
)

// teller says in Phonet's three events what happens to the calls of a user. It goes by what is, not by what an event is
// called, so that it says each thing once and in order: a call that rings began, one that is talked on was answered, and
// what is over was hung up, however it came to that. Hold is nothing. Who hands a call on, or to whom it rang when
// another took it, has hung up; to whom it is handed, it begins.
type teller struct {
	gateway       Gateway
	directory     gateway.Directory
	account, user string
	now           func() time.Time
	calls         map[string]*toldCall // live ones, by id
}

// toldCall is what the client knows of a call. It is one attempt to reach the user: who is rung again, is called anew.
type toldCall struct {
	uuid             text
	parent           textOrNull // what is said of it in all of its messages
	dialAt, bridgeAt millis
}

// together is how far apart those are rung, at most, who are rung at once: some PBXs tell of one after another.
const together = 30 * time.Millisecond

// mayBeShared says whether a call begins for the client of which it may turn out in a moment that others are rung, too.
func (t *teller) mayBeShared(v gateway.View) bool {
	if t.calls[v.ID] != nil || v.State != gateway.Ringing || v.Direction == gateway.Outbound {
		return false
	}
	call, mine := t.behind(v)
	return t.begin(v, call, mine).parent == ""
}

func newTeller(s *Server, account, user string) *teller {
	return &teller{
		gateway: s.cfg.Gateway, directory: s.cfg.Directory, account: account, user: user, now: time.Now, calls: map[string]*toldCall{},
	}
}

// connected takes a call that lives when the client connects, and returns what it is told of it.
func (t *teller) connected(v gateway.View, on OnConnect) []callMessage {
	messages := t.changed(v)
	if on == TellNothing || on != TellLive && v.State != gateway.Ringing {
		return nil
	}
	return messages
}

// changed takes a call as it is now, and returns what the client is told.
func (t *teller) changed(v gateway.View) (messages []callMessage) {
	known := t.calls[v.ID]
	if known == nil && v.State == gateway.Ended { // it was told, or there was nothing to tell
		return nil
	}
	call, mine := t.behind(v)
	say := func(event string) { messages = append(messages, t.message(event, v, known, mine)) }
	if known == nil {
		known = t.begin(v, call, mine)
		t.calls[v.ID] = known
		say(eventDial)
	}
	if at := answeredAt(v, mine, known.dialAt); known.bridgeAt == 0 && at != 0 {
		known.bridgeAt = at
		say(eventBridge)
	}
	if v.State == gateway.Ended {
		delete(t.calls, v.ID)
		say(eventHangup)
	}
	return messages
}

// behind returns the call behind a view, which may have come further by now, and the user's leg in it. Either may be
// nil.
func (t *teller) behind(v gateway.View) (*gateway.Call, *gateway.Leg) {
	call, ok := t.gateway.Call(t.account, v.ID)
	if !ok {
		return nil, nil
	}
	for i := range call.Legs {
		if leg := &call.Legs[i]; leg.User == t.user && leg.Extension == v.Extension {
			return call, leg
		}
	}
	return call, nil
}

// begin names an attempt to reach the user, so that every client of his calls it the same, and no other's is called so:
// the call, the user, and, where he was not rung from the beginning, how many milliseconds later he was. Where one rings
// one colleague, both speak of the caller's.
func (t *teller) begin(v gateway.View, call *gateway.Call, mine *gateway.Leg) *toldCall {
	began := millisOf(time.Time(v.StartedAt)) // to the millisecond, as everybody sees it
	user, rang, known := t.user, began, &toldCall{}
	if mine != nil {
		rang = max(began, millisOf(rangAt(call, mine)))
	}
	if shared(call, rang.time().Add(together)) { // a group's, or one that was handed on: this is one part of it
		known.parent = textOrNull(v.ID)
	} else if caller := colleague(call, mine); caller != nil {
		user, rang = caller.User, max(began, millisOf(rangAt(call, caller)))
	}
	known.uuid, known.dialAt = partOf(v.ID, user), rang
	if rang > began {
		known.uuid += text("-" + strconv.FormatInt(int64(rang-began), 10))
	}
	return known
}

// colleague is the leg of who made an internal call, to whom it reached first and once; nil to himself and to others.
func colleague(call *gateway.Call, mine *gateway.Leg) *gateway.Leg {
	if mine == nil || !internal(call) || rungBefore(call, mine) {
		return nil
	}
	for i := range call.Legs {
		if leg := &call.Legs[i]; leg.Caller && leg.User != "" && leg.User != mine.User {
			return leg
		}
	}
	return nil
}

// internal says whether a call began among colleagues: one that a customer's was merged into is his by now.
func internal(call *gateway.Call) bool {
	if past := call.Settled; past != nil && past.Direction != "" {
		return past.Direction == gateway.Internal
	}
	for i := range call.Events {
		if e := &call.Events[i]; e.Type == gateway.EventDial {
			return e.Direction == gateway.Internal
		}
	}
	return call.Direction == gateway.Internal
}

// rungBefore says whether the call was at a user's telephones before the attempt that a leg belongs to.
func rungBefore(call *gateway.Call, mine *gateway.Leg) bool {
	at := rangAt(call, mine)
	return slices.ContainsFunc(call.Events, func(e gateway.Event) bool {
		return e.At.Before(at) && slices.ContainsFunc(call.Legs, func(leg gateway.Leg) bool {
			return leg.User == mine.User && (leg.Extension == e.Target || slices.Contains(e.Extensions, leg.Extension))
		})
	})
}

// partOf names a user's part of a call that has rung at his telephone from its beginning.
func partOf(call, user string) text {
	return text(call + "-" + strconv.FormatInt(int64(legID(gateway.Person{User: user})), 10))
}

// rangAt is when the attempt began that a leg belongs to: with the first of the user's telephones, if others of them
// still rang when this one began to.
func rangAt(call *gateway.Call, mine *gateway.Leg) time.Time {
	at := mine.RangAt
	for earlier := true; earlier; {
		earlier = false
		for i := range call.Legs {
			leg := &call.Legs[i]
			if leg.User == mine.User && leg.RangAt.Before(at) && (leg.Live() || leg.EndedAt.After(at)) {
				at, earlier = leg.RangAt, true
			}
		}
	}
	return at
}

// answeredAt is when the user answered, 0 if he has not. His first answer may belong to an attempt before this one.
func answeredAt(v gateway.View, mine *gateway.Leg, dialAt millis) millis {
	var at millis
	if v.AnsweredAt != nil {
		at = millisOf(time.Time(*v.AnsweredAt))
	}
	switch talks := v.State == gateway.Talking || v.State == gateway.Held; {
	case v.State == gateway.Ringing, at < dialAt && !talks:
		return 0
	case at >= dialAt:
		return at
	case mine != nil && !mine.TalkingSince.IsZero():
		return max(millisOf(mine.TalkingSince), dialAt)
	default:
		return dialAt
	}
}

func (t *teller) message(event string, v gateway.View, known *toldCall, mine *gateway.Leg) callMessage {
	m := callMessage{
		Event: event, UUID: known.uuid, DialAt: known.dialAt, BridgeAt: known.bridgeAt,
		ParentUUID: known.parent, ServerTime: sentAt(millisOf(t.now())),
	}
	me := t.me(v)
	switch v.Direction {
	case gateway.Internal:
		m.LgDirection = dirInternal
		if other := t.peer(v); mine != nil && mine.Caller {
			m.Leg, m.Leg2 = me, other
		} else {
			m.Leg, m.Leg2 = other, me
		}
		return m
	case gateway.Outbound:
		m.LgDirection = dirOutgoing
	default:
		m.LgDirection = dirIncoming
	}
	m.Leg = me
	m.OtherLegs = otherLegs{client(v)}
	m.TrunkNum, m.TrunkName = textOrNull(v.Line), textOrNull(v.Line)
	return m
}

// shared says whether a call has been at several people's telephones by a time, those of who made an internal one aside.
func shared(call *gateway.Call, by time.Time) bool {
	if call == nil {
		return false
	}
	var first *gateway.Person
	amongUs := internal(call)
	for i := range call.Legs {
		leg := &call.Legs[i]
		switch {
		case leg.Caller && amongUs, leg.RangAt.After(by):
		case first == nil:
			first = &leg.Person
		case leg.User != first.User, leg.User == "":
			return true
		}
	}
	return false
}

// me is the user at the extension of the call.
func (t *teller) me(v gateway.View) *leg {
	user, _ := t.directory.User(t.account, t.user)
	return employee(gateway.Person{User: t.user, Name: user.Name, Extension: v.Extension})
}

// peer is the other end of an internal call: a colleague, or an extension that nobody has.
func (t *teller) peer(v gateway.View) *leg {
	if v.Peer != nil {
		return employee(*v.Peer)
	}
	user, _ := t.directory.ByExtension(t.account, v.PhoneRaw) // whose telephone does not ring yet
	return employee(gateway.Person{User: user.ID, Name: user.Name, Extension: v.PhoneRaw})
}

func employee(p gateway.Person) *leg {
	return &leg{
		ID: legID(p), Type: legUser, DisplayName: text(cmp.Or(p.Name, p.Extension, p.User)), Ext: textOrNull(p.Extension),
	}
}

// safeInteger is below the largest number that JavaScript counts to.
const safeInteger = 1 << 52

// legID is a number that is always the same for a person, and another's for hardly anybody: the id in the CRM, where
// that is a number.
func legID(p gateway.Person) number {
	if n, err := strconv.ParseInt(p.User, 10, 64); err == nil && n > 0 && n < safeInteger && strconv.FormatInt(n, 10) == p.User {
		return number(n)
	}
	name := p.User
	if name == "" {
		name = "\x00" + p.Extension
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name)) // never fails
	return number(sum.Sum64()%safeInteger + safeInteger)
}

// client is the other end of a call with the outside, as the CRM knows it.
func client(v gateway.View) otherLeg {
	o := otherLeg{Num: text(v.PhoneRaw), Priority: 1}
	if v.Phone != nil {
		o.Num = text(*v.Phone)
	}
	if c := v.Contact; c != nil {
		o.ID, o.Name, o.URL = textOrNull(c.ID), textOrNull(c.Name), text(c.URL)
		if c.Type == "company" {
			o.CompanyName = o.Name
		}
	}
	return o
}
