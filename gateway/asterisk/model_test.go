package asterisk

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringcast/gateway"
)

// model is a small Asterisk: it plays a customer's call as Asterisk would tell it, event by event.
type model struct {
	*rapid.T

	at    time.Time
	ids   int
	trace []message
}

// tell adds an event a little after the one before.
func (m *model) tell(name string, pairs ...string) {
	m.at = m.at.Add(300 * time.Microsecond)
	stamp := strconv.FormatFloat(float64(m.at.UnixMicro())/1e6, 'f', 6, 64)
	m.trace = append(m.trace, event(name, append(pairs, "Timestamp", stamp)...))
}

func (m *model) pause() { m.at = m.at.Add(time.Second) }

func (m *model) channel(name, state, linked string) string {
	m.ids++
	id := fmt.Sprintf("%d", m.ids)
	if linked == "" {
		linked = id
	}
	m.tell("Newchannel", "Channel", name+"-"+id, "Uniqueid", id, "Linkedid", linked, "ChannelState", state, "CallerIDNum", "7900", "Exten", "5550100")
	return id
}

func (m *model) hangup(id string, cause int) {
	m.tell("Hangup", "Uniqueid", id, "Cause", strconv.Itoa(cause))
}

func (m *model) enter(bridge string, ids ...string) {
	for _, id := range ids {
		m.tell("BridgeEnter", "BridgeUniqueid", bridge, "Uniqueid", id)
	}
}

// ring lets some telephones ring, and returns who answered, "" if nobody did; over says that the customer is gone.
func (m *model) ring() (by, ext string, over bool) {
	exts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"101", "102", "103"}), 1, 3, rapid.ID).Draw(m.T, "rung")
	rung := map[string]string{}
	for _, ext := range exts {
		id := m.channel("PJSIP/"+ext, "0", "1")
		m.tell("DialBegin", "Uniqueid", "1", "DestUniqueid", id, "DialString", ext)
		m.tell("Newstate", "Uniqueid", id, "ChannelState", "5")
		rung[ext] = id
	}
	m.pause()
	rest := func(cause int) {
		for _, ext := range slices.Sorted(maps.Keys(rung)) {
			m.hangup(rung[ext], cause)
		}
	}
	switch rapid.SampledFrom([]string{"answered", "answered", "answered", "rang out", "declined", "gave up"}).Draw(m.T, "outcome") {
	case "answered":
		ext = exts[0]
		by = rung[ext]
		delete(rung, ext)
		m.tell("Newstate", "Uniqueid", by, "ChannelState", "6")
		rest(26)
		m.tell("Newstate", "Uniqueid", "1", "ChannelState", "6")
		m.enter("talk"+by, by, "1")
		m.pause()
		return by, ext, false
	case "declined":
		for _, ext := range exts {
			m.tell("HangupRequest", "Uniqueid", rung[ext], "Cause", "21")
			m.hangup(rung[ext], 21)
		}
	case "rang out":
		rest(0)
	case "gave up":
		m.tell("HangupRequest", "Uniqueid", "1", "Cause", "127")
		rest(127)
		m.hangup("1", 127)
		return "", "", true
	}
	m.pause()
	return "", "", false
}

// call plays a whole call: telephones ring, one after another; who answers hands the customer on, or parks him.
func (m *model) call() {
	m.channel("PJSIP/trunk", "4", "")
	m.pause()
	for range rapid.IntRange(1, 4).Draw(m.T, "turns") {
		by, ext, over := m.ring()
		if over {
			return
		}
		if by == "" {
			continue
		}
		switch rapid.SampledFrom([]string{"stays", "transfers", "parks"}).Draw(m.T, "then") {
		case "stays":
			m.tell("HangupRequest", "Uniqueid", by, "Cause", "16")
			m.tell("BridgeLeave", "BridgeUniqueid", "talk"+by, "Uniqueid", by)
			m.hangup(by, 16)
			m.tell("BridgeLeave", "BridgeUniqueid", "talk"+by, "Uniqueid", "1")
			m.hangup("1", 16)
			return
		case "transfers":
			m.tell("BridgeLeave", "BridgeUniqueid", "talk"+by, "Uniqueid", "1")
			m.tell("BlindTransfer", "Result", "Success", "TransfererUniqueid", by, "TransfereeUniqueid", "1", "Extension", "600")
			m.tell("BridgeLeave", "BridgeUniqueid", "talk"+by, "Uniqueid", by)
			m.hangup(by, 16)
		case "parks":
			m.tell("ParkedCall", "ParkeeUniqueid", "1", "ParkerDialString", "PJSIP/"+ext, "ParkingSpace", "701")
			m.tell("BridgeEnter", "BridgeUniqueid", "lot", "Uniqueid", "1", "BridgeTechnology", "holding_bridge")
			m.tell("BridgeLeave", "BridgeUniqueid", "talk"+by, "Uniqueid", by)
			m.hangup(by, 16)
		}
		m.pause()
	}
	m.hangup("1", 16)
}

// TestAnyCallInAnyOrder plays calls that nobody wrote down, in any order in which Asterisk may tell of them.
func TestAnyCallInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{T: rt, at: time.Unix(1000, 0)}
		m.call()
		want := m.outcomes(m.trace)
		seed := rapid.Uint64().Draw(rt, "seed")
		for i := range uint64(5) {
			queues := []func(message) []string{byKind, byChannel}[i%2]
			mixed := reordered(m.trace, queues, 2*time.Millisecond, rand.New(rand.NewPCG(seed, i)))
			if got := m.outcomes(mixed); !maps.Equal(got, want) {
				rt.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

// outcomes plays a trace and returns what became of each user's share: his outcome, and how long he talked.
func (m *model) outcomes(trace []message) map[string]string {
	c := newCorrelator("m-", isUser)
	events := replay(m.T, c, trace)
	checkSane(m.T, events)
	b := newBook(m.T)
	b.take(events)
	if len(b.calls) != 1 || len(c.live()) > 0 || len(b.open()) > 0 {
		m.Fatalf("%d calls, %v live, %v open", len(b.calls), c.live(), b.open())
	}
	all := map[string]string{}
	for key, k := range b.cards {
		all[key.user] = fmt.Sprintf("%s %v %s", deref(k.last.Outcome), k.directions, k.phones)
		for _, s := range k.spans[gateway.Talking] {
			all[key.user] += fmt.Sprintf(" %.1f", s.to.Sub(s.from).Round(100*time.Millisecond).Seconds())
		}
	}
	return all
}
