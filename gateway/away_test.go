package gateway

import (
	"testing"
	"testing/synctest"
)

// hears has a node's PBX link hear that somebody went away, or came back.
func (s *site) hears(extension string, away bool) {
	at := place{"acme", extension}
	s.setAway(at, away)
	s.exchange.writeAway(at)
}

func TestAwayIsToldOnAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a, b := o.open("a"), o.open("b")
		a.hears("101", true)
		a.told.expect(t, "u1=away")
		b.told.expect(t, "u1=away")
		a.hears("101", true) // as it was
		a.hears("999", true) // nobody's
		a.told.expect(t)
		b.told.expect(t)
		c := o.open("c")
		if got := described(c.list("acme")); got != "u1=away u2= u3=" {
			t.Errorf("a node that comes later: %s", got)
		}
		c.told.forget()
		a.hears("101", false)
		a.hears("101", true)
		a.hears("101", false) // which is what counts
		b.told.expect(t, "u1=")
		c.told.expect(t, "u1=")
		a.told.forget()
		b.told.forget()
		b.hears("102", true) // the link is b's by now
		b.told.expect(t, "u2=away")
		o.kill(b)
		a.hears("102", false) // and a's again
		a.told.expect(t, "u2=away", "u2=")
		c.told.expect(t, "u2=away", "u2=")
	})
}

// TestAwayThatTheStoreLost: a store that is made anew knows of nobody, and says so.
func TestAwayThatTheStoreLost(t *testing.T) {
	t.Parallel()
	p := newPresence(directory(), func(string, string) bool { return false })
	p.exchange = newExchange(p, newSharedStore(), "a", func() []string { return nil }, nil, nil)
	p.setAway(place{"acme", "101"}, true)
	p.setAway(place{"acme", "102"}, true)
	p.exchange.writeAway(place{"acme", "102"}) // is yet to be written
	_, synced := p.exchange.beginAway()
	synced()
	if got := described(p.list("acme")); got != "u1= u2=away u3=" {
		t.Error(got)
	}
}

func TestLinkTellsWhoIsAway(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		told := &telling{}
		defer b.WatchPresence("acme", told.take)()
		link := &Link{Account: "acme", ID: "office", gateway: b.Gateway}
		var s Sink = sink{link, b.seats[0].owner.Load()}
		s.(AwaySink).Away("101", true)
		told.expect(t, "u1=away")
		s.(AwaySink).Away("101", false)
		told.expect(t, "u1=")
	})
}
