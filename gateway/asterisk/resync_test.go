package asterisk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// switchboard is what an Asterisk would list, kept up to date from the events of a trace: bridges and channels.
type switchboard struct {
	exchange
	bridges, parked map[string]message
}

func (s *switchboard) take(m message) {
	s.exchange.take(m)
	for _, keys := range [][2]string{{"Uniqueid", "Linkedid"}, {"DestUniqueid", "DestLinkedid"}} {
		if id, linked := m.get(keys[0]), m.get(keys[1]); s.channels[id] != nil && linked != "" && s.channels[id].get("Linkedid") != linked {
			listed := slices.DeleteFunc(slices.Clone(s.channels[id]), func(f field) bool { return f.key == "Linkedid" })
			s.channels[id] = append(listed, field{"Linkedid", linked})
		}
	}
	switch id := m.get("BridgeUniqueid"); m.get("Event") {
	case "BridgeCreate":
		listed := slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == "Event" || f.key == "Timestamp" })
		s.bridges[id] = append(listed, field{"Event", "BridgeListItem"})
	case "BridgeDestroy":
		delete(s.bridges, id)
	case "ParkedCall":
		s.parked[m.get("ParkeeUniqueid")] = slices.DeleteFunc(slices.Clone(m), func(f field) bool { return f.key == "Timestamp" })
	case "BridgeLeave", "Hangup":
		if m.get("BridgeTechnology") == "holding_bridge" || id == "" {
			delete(s.parked, m.get("Uniqueid"))
		}
	}
}

func (s *switchboard) list(actionID string) []message {
	var list []message
	for _, id := range slices.Sorted(maps.Keys(s.bridges)) {
		list = append(list, s.bridges[id])
	}
	for _, id := range slices.Sorted(maps.Keys(s.parked)) {
		list = append(list, s.parked[id])
	}
	return append(list, s.exchange.list(actionID)...)
}

// rehearsal is a trace that nobody cut: what its calls looked like after each event.
type rehearsal struct {
	trace  []message
	boards []*switchboard              // after so many events
	states []map[cardKey]gateway.State // of the cards that were open then
	final  *book
}

func rehearse(t *testing.T, name string) *rehearsal {
	t.Helper()
	r := &rehearsal{trace: heedfulTrace(t, name), final: newBook(t)}
	c := newCorrelator("r-", isUser)
	s := &switchboard{exchange{map[string]message{}}, map[string]message{}, map[string]message{}}
	note := func() {
		copied := &switchboard{exchange{maps.Clone(s.channels)}, maps.Clone(s.bridges), maps.Clone(s.parked)}
		r.boards, r.states = append(r.boards, copied), append(r.states, states(r.final))
	}
	note()
	for _, m := range r.trace {
		s.take(m)
		r.final.take(replay(t, c, []message{m}))
		note()
	}
	return r
}

// states returns who rings and who talks. Who holds is not in any list.
func states(b *book) map[cardKey]gateway.State {
	open := map[cardKey]gateway.State{}
	for _, key := range b.open() {
		if open[key] = b.cards[key].state; open[key] == gateway.Held {
			open[key] = gateway.Talking
		}
	}
	return open
}

// TestLinkCutAnywhere loses every stretch of every trace and resynchronises after it. Whoever rings then, or talks,
// has his card, and nobody else; all cards close in the end; who had answered, as far as Asterisk still knew it, has
// answered; and what became of each card is what became of it without the cut, unless that happened in the gap.
func TestLinkCutAnywhere(t *testing.T) {
	t.Parallel()
	testCut(t, func(c *correlator) *correlator { return c })
}

// TestKilledInMidCall is the same for a gateway that was killed: the log has what was told, the correlator is new.
func TestKilledInMidCall(t *testing.T) {
	t.Parallel()
	testCut(t, func(c *correlator) *correlator { return newCorrelator(c.prefix+"x", isUser) })
}

func testCut(t *testing.T, after func(*correlator) *correlator) {
	t.Helper()
	gaps := []int{0, 1, 2, 3, 5, 8, 12, 20, 40, 1000}
	if testing.Short() {
		gaps = []int{0, 3, 20}
	}
	for _, name := range traceNames(t) {
		if strings.HasSuffix(name, "resync-midcall") {
			continue // begins with a list of its own
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rehearse(t, name)
			for cut := range len(r.trace) + 1 {
				for _, gap := range gaps {
					r.cut(t, cut, min(cut+gap, len(r.trace)), after)
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

func (r *rehearsal) cut(t *testing.T, cut, restored int, after func(*correlator) *correlator) {
	t.Helper()
	b := newBook(t)
	c := newCorrelator("t-", isUser)
	events := replay(t, c, r.trace[:cut])
	b.take(events)
	fresh := after(c)
	if fresh != c {
		events = nil
	}
	c = fresh
	c.expectList("list")
	at := c.at
	if restored > 0 {
		at, _ = stamp(r.trace[restored-1])
	}
	var listed []gateway.Event
	for _, m := range r.boards[restored].list("list") {
		listed = append(listed, c.take(m, at)...)
	}
	b.take(listed)
	b.live(c.live(), c.at)
	calm := r.calm(restored)
	rest := replay(t, c, r.trace[restored:calm])
	b.take(rest)
	unheard := r.trace[cut:restored]
	if events == nil {
		unheard = r.trace[:restored]
	}
	if got, want := states(b), r.states[calm]; !alike(got, want, unheard) {
		t.Errorf("after the list: %v, want %v", got, want)
	}
	last := replay(t, c, r.trace[calm:])
	b.take(last)
	rest = append(rest, last...)
	checkSane(t, slices.Concat(events, listed, rest))
	if open := b.open(); len(open) > 0 || len(c.live()) > 0 {
		t.Errorf("left: %v, %v", open, c.live())
	}
	r.compare(t, b, cut, restored)
	if t.Failed() {
		t.Logf("cut %d to %d: %s", cut, restored, fmt.Sprint(brief(listed)))
		logEvents(t, slices.Concat(events, listed, rest))
	}
}

// alike says whether who rings and who talks is as it should be, as far as that is to be known when some events were
// not heard.
func alike(got, want map[cardKey]gateway.State, unheard []message) bool {
	has := func(event string) bool {
		return slices.ContainsFunc(unheard, func(m message) bool { return m.get("Event") == event })
	}
	unknown := func(state gateway.State) bool {
		switch {
		case state == "" && (has("ParkedCall") || has("AttendedTransfer")): // he handed it on, and his channel is still there
			return true
		case state == gateway.Ringing && has("AttendedTransfer"): // for another call than it was
			return true
		default: // whom he handed on talks with nobody just then
			return state == gateway.Talking && has("BlindTransfer") && has("BridgeEnter")
		}
	}
	all := maps.Clone(want)
	maps.Copy(all, got)
	for key := range all {
		if got[key] != want[key] && !unknown(want[key]) {
			return false
		}
	}
	return true
}

// calm returns from when on nothing more happened for a while: of what was happening just then, the list has some.
func (r *rehearsal) calm(from int) int {
	for ; from > 0 && from < len(r.trace); from++ {
		before, _ := stamp(r.trace[from-1])
		if next, _ := stamp(r.trace[from]); next.Sub(before) > 250*time.Millisecond {
			break
		}
	}
	return from
}

// live ends the calls that are no more, as the gateway does.
func (b *book) live(calls []string, at time.Time) {
	for id, call := range b.calls {
		if !call.Over() && !slices.Contains(calls, id) {
			b.one(gateway.Event{Type: gateway.EventHangup, Call: id, ID: "ended " + id, At: at, Cause: gateway.CauseNormal})
		}
	}
}

// compare compares what became of each card.
func (r *rehearsal) compare(t *testing.T, b *book, cut, restored int) {
	t.Helper()
	calm := r.calm(restored)
	why := slices.ContainsFunc(r.trace[cut:restored], func(m message) bool {
		switch m.get("Event") {
		case "HangupRequest", "BlindTransfer", "AttendedTransfer", "Pickup", "ParkedCall":
			return true
		default:
			return false
		}
	})
	for key, want := range r.final.cards {
		got := b.cards[key]
		switch state := r.states[calm][key]; {
		case state == "" && (got == nil || r.states[cut][key] != gateway.Talking):
		case got == nil:
			t.Errorf("%v: no card", key)
		case (state == gateway.Talking || r.states[cut][key] == gateway.Talking) && got.last.AnsweredAt == nil:
			t.Errorf("%v: not answered", key)
		case state != "" && !why && deref(got.last.Outcome) != deref(want.last.Outcome):
			t.Errorf("%v: %s, want %s", key, deref(got.last.Outcome), deref(want.last.Outcome))
		}
	}
}
