package asterisk

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringcast/gateway"
)

// book folds a link's events into calls as the gateway does, and keeps what each user's screen showed of
// each call, from event to event.
type book struct {
	rapid.TB

	calls map[string]gateway.Call
	cards map[cardKey]*card
}

type cardKey struct{ call, user string }

// card is what one user saw of one call.
type card struct {
	state      gateway.State
	since      time.Time
	spans      map[gateway.State][]span // how long it was in each state
	phones     []string                 // at the other end, in turn
	names      []string
	directions []gateway.Direction
	last       gateway.View
}

type span struct{ from, to time.Time }

// newBook returns a book in a directory of users 101 to 109.
func newBook(t rapid.TB) *book {
	return &book{TB: t, calls: map[string]gateway.Call{}, cards: map[cardKey]*card{}}
}

func (b *book) take(events []gateway.Event) {
	for _, e := range events {
		b.one(e)
	}
}

func (b *book) one(e gateway.Event) {
	if e.People == nil {
		named := append(slices.Clone(e.Extensions), e.Target)
		if e.Direction == gateway.Internal {
			named = append(named, e.From.Raw)
		}
		for _, ext := range named {
			if isUser(ext) {
				e.People = append(e.People, gateway.Person{User: "u" + ext, Extension: ext})
			}
		}
	}
	before, known := b.calls[e.Call]
	if e.Type == gateway.EventPresent && !known || e.Type == gateway.EventJoin && e.Joins == gateway.Ringing && len(e.People) == 0 {
		return
	}
	before.ID = "pbx:" + e.Call
	c, news := gateway.Tracker{}.Apply(before, e)
	if !news {
		if e.Type != gateway.EventJoin {
			b.Errorf("event is no news: %+v", e)
		}
		return
	}
	b.calls[e.Call] = c
	b.see(e.Call, c, e.At)
	for _, join := range c.Joins() {
		b.one(join)
	}
}

func (b *book) see(id string, c gateway.Call, at time.Time) {
	for _, user := range c.Users() {
		v, ok := c.For(user)
		if !ok {
			continue
		}
		k := b.cards[cardKey{id, user}]
		if k == nil {
			k = &card{spans: map[gateway.State][]span{}}
			b.cards[cardKey{id, user}] = k
		}
		k.see(v, at)
	}
}

func (k *card) see(v gateway.View, at time.Time) {
	k.last = v
	k.phones, k.names, k.directions = changed(k.phones, v.PhoneRaw), changed(k.names, v.Name), changed(k.directions, v.Direction)
	if v.State == k.state {
		return
	}
	if k.state != "" && k.state != gateway.Ended {
		k.spans[k.state] = append(k.spans[k.state], span{k.since, at})
	}
	k.state, k.since = v.State, at
}

func changed[T comparable](list []T, x T) []T {
	if len(list) > 0 && list[len(list)-1] == x {
		return list
	}
	return append(list, x)
}

// open returns the cards that are not closed.
func (b *book) open() []cardKey {
	var open []cardKey
	for key, k := range b.cards {
		if k.state != gateway.Ended {
			open = append(open, key)
		}
	}
	return open
}

// track folds events and returns the calls.
func track(t testing.TB, events []gateway.Event) map[string]gateway.Call {
	t.Helper()
	b := newBook(t)
	b.take(events)
	return b.calls
}
