package phonet

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"ringcast/gateway"
)

// among is the dial of an internal call that 101 makes.
func among(to string, extensions ...string) gateway.Event {
	return gateway.Event{
		Type: gateway.EventDial, Direction: gateway.Internal, From: gateway.Number{Raw: "101"}, To: gateway.Number{Raw: to}, Extensions: extensions,
	}
}

// listed are the calls of the list over HTTP.
func (c *restCaller) listed() (calls []activeRow) {
	c.r.t.Helper()
	status, answer := c.ask(http.MethodGet, "/rest/calls/active/v3", "")
	if err := json.Unmarshal([]byte(answer), &calls); err != nil || status != http.StatusOK {
		c.r.t.Fatalf("%d %s", status, answer)
	}
	return calls
}

// TestInternalCallIsOneCallToBoth of whom it consists, however late the second telephone rings, on the sockets and in
// the list.
func TestInternalCallIsOneCallToBoth(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]int{"at once": 0, "a click": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newServerRig(t, func(cfg *ServerConfig) { cfg.Endpoints[0].OnConnect = TellLive })
			a, b, c := r.connect("101"), r.connect("102"), r.login()
			if later > 0 {
				r.gw.happens(0, "office:1", among("102", "101"), anna)
			}
			r.gw.happens(later, "office:1", among("102", "102"), anna, boris)
			same := func(event string) {
				t.Helper()
				ma, mb := a.want(event+" 1"), b.want(event+" 1")
				if ma.UUID != "office:1-7" || ma.UUID != mb.UUID || ma.ParentUUID != "" || mb.ParentUUID != "" || ma.DialAt != mb.DialAt || ma.BridgeAt != mb.BridgeAt {
					t.Errorf("to Anna %+v,\nto Boris %+v", ma, mb)
				}
				if *ma.Leg != *mb.Leg || ma.Leg.Ext != "101" || *ma.Leg2 != *mb.Leg2 || ma.Leg2.Ext != "102" {
					t.Errorf("of %+v and %+v, to Boris of %+v and %+v", ma.Leg, ma.Leg2, mb.Leg, mb.Leg2)
				}
			}
			same(eventDial)
			if calls := c.listed(); len(calls) != 1 || calls[0].UUID != "office:1-7" || calls[0].LastEvent != eventDial {
				t.Errorf("the list has %+v", calls)
			}
			r.gw.happens(5, "office:1", event(gateway.EventBridge, "", "101", "102"), anna, boris)
			same(eventBridge)
			if calls := c.listed(); len(calls) != 1 || calls[0].UUID != "office:1-7" || calls[0].LastEvent != eventBridge {
				t.Errorf("the list has %+v", calls)
			}
			if m := r.connect("102").want("call.dial 1", "call.bridge 1"); m.UUID != "office:1-7" {
				t.Errorf("who connects meanwhile is told of %s", m.UUID)
			}
			c.want(http.MethodGet, "/rest/calls/active/office:1-7/hangup", "", "")
			r.gw.happens(9, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
			same(eventHangup)
		})
	}
}

// TestInternalCallOfAGroup has a part for each member, with the call for its parent, and one for who made it.
func TestInternalCallOfAGroup(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	a, b, s := r.connect("101"), r.connect("102"), r.connect("911")
	r.gw.happens(0, "office:1", among("600", "102", "911"), anna, boris, gateway.Person{User: "120", Name: "Support Phonet", Extension: "911"})
	ma, mb, ms := a.want("call.dial 1"), b.want("call.dial 1"), s.want("call.dial 1")
	if mb.UUID != partOf("office:1", "boris") || ms.UUID != partOf("office:1", "120") || mb.ParentUUID != "office:1" || ms.ParentUUID != "office:1" {
		t.Errorf("to the members: %+v\n%+v", mb, ms)
	}
	if ma.UUID != "office:1-7" {
		t.Errorf("to who made it: %+v", ma)
	}
}

// TestColleagueWhoIsRungAgain is called anew, and who connects only then is told the same.
func TestColleagueWhoIsRungAgain(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	b := r.connect("102")
	r.gw.happens(0, "office:1", among("102", "102"), anna, boris)
	first := b.want("call.dial 1")
	r.gw.happens(4, "office:1", event(gateway.EventHangup, gateway.CauseNoAnswer, "102"), boris)
	if m := b.want("call.hangup 1"); m.UUID != first.UUID {
		t.Errorf("hangup of %s", m.UUID)
	}
	r.gw.happens(6, "office:1", among("102", "102"), anna, boris)
	again := b.want("call.dial 1")
	if again.UUID != partOf("office:1", "boris")+"-6000" || again.DialAt != first.DialAt+6000 {
		t.Errorf("the second attempt: %+v", again)
	}
	if m := r.connect("102").want("call.dial 1"); m.UUID != again.UUID {
		t.Errorf("who connects meanwhile is told of %s", m.UUID)
	}
}

// TestCustomerIsMergedIntoAnInternalCall: what the colleague was told keeps its name, and its lack of a parent.
func TestCustomerIsMergedIntoAnInternalCall(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Endpoints[0].OnConnect = TellLive })
	b, c := r.connect("102"), r.login()
	r.gw.happens(0, "office:1", among("102", "102"), anna, boris)
	r.gw.happens(2, "office:1", event(gateway.EventBridge, "", "102"), boris)
	first := b.want("call.dial 1", "call.bridge 1")
	join := rung(inbound, "102")
	join.Type, join.Joins = gateway.EventJoin, gateway.Talking
	r.gw.happens(5, "office:1", join, boris)
	r.gw.happens(5, "office:1", event(gateway.EventHangup, gateway.CauseNormal, "101"), anna)
	if m := r.connect("102").want("call.dial 4", "call.bridge 4"); m.UUID != first.UUID || m.ParentUUID != "" {
		t.Errorf("who connects then is told of %+v", m)
	}
	if calls := c.listed(); len(calls) != 1 || calls[0].UUID != first.UUID || calls[0].ParentUUID != "" {
		t.Errorf("the list has %+v", calls)
	}
}

// TestBothEndsOfAnInternalCall: a Link that hears of it on both sockets makes one call of it.
func TestBothEndsOfAnInternalCall(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.begin = time.Now().Add(-time.Minute)
	book := newLedger()
	r.follow(book)
	r.gw.happens(20, "office:1", among("102", "102"), anna, boris)
	r.gw.happens(23, "office:1", event(gateway.EventBridge, "", "102"), boris)
	book.untilCalls(t, "internal 101 > 102, 101 talks, 102 talks")
	r.gw.happens(30, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	book.untilCalls(t, "internal 101 > 102, 101 answered, 102 answered; over")
}

// follow has a Link for the server's client, with the sockets of Anna and Boris, until the test ends.
func (r *serverRig) follow(sink gateway.Sink) {
	r.t.Helper()
	link := New(Config{
		ID: "far", Domain: acmeDomain, APIKey: acmeKey, BaseURL: r.web.URL, Subscribers: subscribers("101", "102"), Pace: time.Millisecond, haste: 50,
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- link.Run(ctx, sink) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for r.gw.subscribers() < 2 {
		<-tick.C
	}
}
