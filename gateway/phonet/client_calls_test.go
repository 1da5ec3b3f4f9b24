package phonet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// leaf makes a message of an employee's call. Times are seconds after a moment.
func leaf(event, uuid, parent, ext string, dial, bridge, said int) callMessage {
	m := callMessage{
		Event: event, UUID: text(uuid), ParentUUID: textOrNull(parent), LgDirection: dirIncoming,
		Leg: &leg{ID: 1, Type: legUser, Ext: textOrNull(ext)}, OtherLegs: otherLegs{{Num: caller}}, DialAt: moment(dial),
		ServerTime: sentAt(moment(said)), TrunkNum: "567850550",
	}
	if bridge > 0 {
		m.BridgeAt = moment(bridge)
	}
	return m
}

func moment(seconds int) millis { return millis(1_800_000_000_000 + seconds*1000) }

// group makes a message of a group's call out of an employee's.
func group(m callMessage) callMessage {
	m.Leg = &leg{ID: 9, Type: legGroup, Ext: "911"}
	return m
}

// listener is a book and the ledger that hears what it tells.
type listener struct {
	*book
	*ledger
	now time.Time
}

func newReader() *listener {
	return &listener{newBook(gateway.DialRules{}, func(d time.Duration) time.Duration { return d }), newLedger(), moment(0).time()}
}

func (r *listener) hear(messages ...callMessage) {
	for _, m := range messages {
		for _, e := range r.take(factOf(m), r.now) {
			r.apply(e)
		}
	}
}

// pass lets time go by.
func (r *listener) pass(d time.Duration) {
	r.now = r.now.Add(d)
	for _, e := range r.expire(r.now) {
		r.apply(e)
	}
}

func (r *listener) want(t *testing.T, want ...string) {
	t.Helper()
	if got := r.summary(); !sameCalls(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s\nevents\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "), strings.Join(told(r.events), "\n  "))
	}
}

// groupCall is a group of two, of whom 102 takes the call.
func groupCall() []callMessage {
	return []callMessage{
		group(leaf(eventDial, "g", "", "", 0, 0, 0)),
		leaf(eventDial, "a", "g", "101", 1, 0, 1), leaf(eventDial, "b", "g", "102", 1, 0, 1),
		leaf(eventBridge, "b", "g", "102", 1, 5, 5), leaf(eventHangup, "a", "g", "101", 1, 0, 6),
		group(leaf(eventBridge, "g", "", "", 0, 5, 6)),
		leaf(eventHangup, "b", "g", "102", 1, 5, 20), group(leaf(eventHangup, "g", "", "", 0, 5, 21)),
	}
}

// TestAnyOrder: the messages of a group's call in any order, and each any number of times, end in the same call.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	want := "inbound " + caller + " > 567850550, 101 elsewhere, 102 answered; over"
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		messages := append(groupCall(), groupCall()[rng.IntN(8)])
		rng.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		r := newReader()
		r.hear(messages...)
		r.pass(time.Minute)
		if r.want(t, want); t.Failed() {
			t.Fatalf("%+v", messages)
		}
		if c := r.ledger.calls["g"]; c.EndedAt.Sub(c.AnsweredAt) < 15*time.Second {
			t.Fatalf("talked %v", c.EndedAt.Sub(c.AnsweredAt))
		}
	}
}

// TestOnlyTheEndIsHeard: a bridge without a dial, a hangup without either.
func TestOnlyTheEndIsHeard(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.hear(leaf(eventBridge, "x", "", "101", 0, 5, 5))
	r.want(t, "inbound "+caller+" > 567850550, 101 talks")
	r.hear(leaf(eventHangup, "y", "", "102", 0, 5, 9), leaf(eventHangup, "z", "", "103", 0, 0, 9), leaf(eventDial, "y", "", "102", 0, 0, 0))
	r.want(t, "inbound "+caller+" > 567850550, 101 talks", "inbound "+caller+" > 567850550, 102 answered; over", "inbound "+caller+" > 567850550, 103 missed; over")
}

// TestParentIsLearnedLate: two calls turn out to be one.
func TestParentIsLearnedLate(t *testing.T) {
	t.Parallel()
	r := newReader()
	menu := leaf(eventDial, "s", "", "", 0, 0, 0)
	menu.Leg = &leg{Type: legScenario}
	r.hear(menu, leaf(eventDial, "a", "g", "101", 2, 0, 2))
	r.want(t, "inbound "+caller+" > 567850550", "inbound "+caller+" > 567850550, 101 rings")
	r.hear(group(leaf(eventDial, "g", "s", "", 1, 0, 1)))
	r.want(t, "inbound "+caller+" > 567850550", "inbound "+caller+" > 567850550, 101 transferred; merged")
	r.hear(leaf(eventBridge, "a", "g", "101", 2, 5, 5), leaf(eventHangup, "a", "g", "101", 2, 5, 9))
	r.pass(time.Minute)
	r.want(t, "inbound "+caller+" > 567850550, 101 answered; over", "inbound "+caller+" > 567850550, 101 transferred; merged")
}

// TestMembersOneAfterAnother: between two members nobody rings, and the group may be hidden; the call goes on, or the
// next member's is a call of its own rather than nobody's.
func TestMembersOneAfterAnother(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.hear(leaf(eventDial, "a", "g", "101", 0, 0, 0), leaf(eventHangup, "a", "g", "101", 0, 0, 10))
	r.pass(2 * time.Second)
	r.hear(leaf(eventDial, "b", "g", "102", 12, 0, 12))
	r.want(t, "inbound "+caller+" > 567850550, 101 missed, 102 rings")
	r.hear(leaf(eventHangup, "b", "g", "102", 12, 0, 22))
	r.pass(time.Minute)
	r.want(t, "inbound "+caller+" > 567850550, 101 missed, 102 missed; over")
	r.hear(leaf(eventDial, "c", "g", "103", 82, 0, 82))
	r.want(t, "inbound "+caller+" > 567850550, 101 missed, 102 missed; over", "inbound "+caller+" > 567850550, 103 rings")
}

// TestEndThatNeverComes: without the HTTP API a call is ended after a limit, one that rings sooner than a talk.
func TestEndThatNeverComes(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.hear(leaf(eventDial, "a", "", "101", 0, 0, 0), leaf(eventBridge, "b", "", "102", 0, 5, 5))
	r.pass(maxRing)
	r.want(t, "inbound "+caller+" > 567850550, 101 missed; over", "inbound "+caller+" > 567850550, 102 talks")
	r.pass(maxTalk)
	r.want(t, "inbound "+caller+" > 567850550, 101 missed; over", "inbound "+caller+" > 567850550, 102 answered; over")
	r.hear(group(leaf(eventDial, "g", "", "", 0, 0, 0)), leaf(eventBridge, "c", "g", "103", 0, 5, 5), group(leaf(eventHangup, "g", "", "", 0, 5, 9)))
	r.pass(closeTime)
	if c := r.ledger.calls["g"]; !c.Over() || c.EndedAt.Sub(c.AnsweredAt) != 4*time.Second {
		t.Errorf("a talk that outlives its group: %+v", c.Known)
	}
	r.pass(rememberFor)
	if len(r.book.calls)+len(r.parts)+len(r.root) > 0 {
		t.Errorf("left: %v %v %v", r.book.calls, r.parts, r.root)
	}
}

// TestSnapshotDoesNotUndo what was heard since it was asked for.
func TestSnapshotDoesNotUndo(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.hear(leaf(eventDial, "a", "", "101", 0, 0, 0), leaf(eventDial, "gone", "", "103", 0, 0, 0))
	asked := r.now.Add(time.Second)
	r.now = r.now.Add(2 * time.Second)
	r.hear(leaf(eventHangup, "a", "", "101", 0, 0, 2), leaf(eventDial, "new", "", "102", 2, 0, 2))
	listed := factOf(leaf(eventDial, "a", "", "101", 0, 0, 0))
	listed.listed = true
	r.take(listed, asked)
	for _, e := range r.compare(map[string][]string{"a": {"101"}}, asked) {
		r.apply(e)
	}
	r.want(t, "inbound "+caller+" > 567850550, 101 missed; over", "inbound "+caller+" > 567850550, 102 rings", "inbound "+caller+" > 567850550, 103 missed; over")
	if got := r.liveCalls(); !slices.Equal(got, []string{"new"}) {
		t.Errorf("live: %v", got)
	}
}

// TestHandedOnAndEndedUnderTheOldName: the leg that had the call first may be who the end is told of.
func TestHandedOnAndEndedUnderTheOldName(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.hear(leaf(eventBridge, "x", "", "101", 0, 5, 5), leaf(eventBridge, "x", "", "102", 0, 5, 30), leaf(eventHangup, "x", "", "101", 0, 5, 60))
	r.want(t, "inbound "+caller+" > 567850550, 101 transferred, 102 answered; over")
}

// TestClocks: Phonet's may be wrong; what it says is put onto ours.
func TestClocks(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.now = moment(3600).time()
	m := leaf(eventDial, "x", "", "101", 0, 0, 1)
	r.skew.heard(millis(m.ServerTime).time(), r.now)
	r.hear(m)
	if at := r.ledger.calls["x"].StartedAt; !at.Equal(moment(3599).time()) {
		t.Errorf("began at %v, by our clock %v", at, r.now)
	}
}

func TestNameAndNumberOfTheClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		legs         otherLegs
		number, name string
	}{
		{nil, "", ""},
		{otherLegs{{}}, "", ""},
		{otherLegs{{Num: "+380"}, {Num: "+381", Name: "Anna"}}, "+380", "Anna"},
		{otherLegs{{Num: "380", CompanyName: "Acme"}}, "380", "Acme"},
	} {
		if number, name := tt.legs.client(); number != tt.number || name != tt.name {
			t.Errorf("%+v: %q %q", tt.legs, number, name)
		}
	}
}

// TestVendorsSample decodes what the vendor's page shows, and encodes it again as it stood.
func TestVendorsSample(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(sample)
	if err != nil {
		t.Fatal(err)
	}
	f := factOf(m.callMessage)
	if f.uuid != "23-1453990999.41" || f.ext != "911" || f.number != "+380567777777" || f.name != "Тест" || f.line != "567850550" ||
		!f.dialAt.Equal(time.UnixMilli(1473973200000)) || f.bridged || f.over || f.direction != gateway.Inbound {
		t.Errorf("%+v", f)
	}
	var want, got any
	again, err := json.Marshal(m.callMessage)
	if err = fmt.Errorf("%w%w%w", err, json.Unmarshal(sample, &want), json.Unmarshal(again, &got)); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("%s\nwant %s\n%v", again, sample, err)
	}
}

// TestTolerantDecoding: the same message however a server may write it.
func TestTolerantDecoding(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{
		`{"event":"call.bridge","uuid":"7","lgDirection":"4","leg":{"id":"5","ext":101},"dialAt":"1431686100","bridgeAt":1431686105}`,
		"\ufeff \n" + `{"event":"call.bridge","uuid":7,"lgDirection":4.0,"leg":{"ext":"101","type":null},"otherLegs":null,"leg2":null,"dialAt":1431686100000,"bridgeAt":"1431686105000","new":[1]} trailing`,
		`{"event":"call.bridge","uuid":"7","lgDirection":4,"leg":{"ext":"101"},"leg2":[],"otherLegs":{"num":null},"dialAt":1431686100.4,"bridgeAt":1431686105,"parentUuid":"","trunkNum":0}`,
	} {
		m, err := decode([]byte(frame))
		if err != nil {
			t.Errorf("%s: %v", frame, err)
			continue
		}
		r := newReader()
		r.hear(m.callMessage)
		if c := r.ledger.calls["7"]; len(c.Legs) != 1 || c.Legs[0].Extension != "101" || c.AnsweredAt.Unix() != 1431686105 || c.StartedAt.Unix() != 1431686100 {
			t.Errorf("%s: %+v", frame, c.Known)
		}
	}
	for _, frame := range []string{"", "null", "[]", `{"event":4}`, `{"uuid":"7"}`, `{"event":`, "\x00", `"call"`} {
		if m, err := decode([]byte(frame)); err == nil {
			t.Errorf("%q is %+v", frame, m)
		}
	}
}

// FuzzFrame: whatever a server says, nothing panics, a message that can be read survives being written and read again,
// and a call that it makes is one that the gateway can keep and that ends.
func FuzzFrame(f *testing.F) {
	sample, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample, byte(0))
	for _, m := range groupCall() {
		data, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, byte(3))
	}
	f.Add([]byte(`{"event":"error","message":{"a":1}}`), byte(0))
	f.Add([]byte(`{"event":"call.dial","uuid":1e9,"lgDirection":32,"leg":{"ext":"1"},"dialAt":-1}`), byte(1))
	f.Fuzz(func(t *testing.T, frame []byte, mix byte) {
		m, err := decode(frame)
		if err != nil {
			return
		}
		data, err := json.Marshal(m.callMessage)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if once, twice := factOf(m.callMessage), factOf(again.callMessage); fmt.Sprint(once) != fmt.Sprint(twice) {
			t.Fatalf("%+v\n%+v", once, twice)
		}
		r := newReader()
		r.skew.heard(millis(m.ServerTime).time(), r.now)
		r.hear(groupCall()[:mix%9]...)
		r.hear(m.callMessage, again.callMessage)
		row := factOf(m.callMessage)
		row.over, row.settled, row.handed = true, true, []string{"103"}
		for _, e := range append(r.take(row, r.now), r.compare(nil, r.now)...) {
			r.apply(e)
		}
		for range 3 {
			r.pass(maxTalk)
		}
		if live := r.liveCalls(); len(live) > 0 {
			t.Errorf("%q live on", live)
		}
		for _, e := range r.events {
			if e.Call == "" || e.At.IsZero() || e.ID == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestAnswerHeardAfterTheOthersEnd: a member's end comes on his socket before the colleague's answer on another. Nobody
// is told for a moment that he missed the call.
func TestAnswerHeardAfterTheOthersEnd(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.hear(leaf(eventDial, "a", "g", "101", 1, 0, 1), leaf(eventDial, "b", "g", "102", 1, 0, 1), leaf(eventHangup, "a", "g", "101", 1, 0, 6))
	r.want(t, "inbound "+caller+" > 567850550, 101 rings, 102 rings")
	r.hear(leaf(eventBridge, "b", "g", "102", 1, 5, 5))
	r.pass(0)
	r.want(t, "inbound "+caller+" > 567850550, 101 elsewhere, 102 talks")
	if got := told(r.events); slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "no_answer") }) {
		t.Errorf("%q", got)
	}
	r = newReader()
	r.hear(leaf(eventDial, "a", "g", "101", 1, 0, 1), leaf(eventDial, "b", "g", "102", 1, 0, 1), leaf(eventHangup, "a", "g", "101", 1, 0, 6))
	r.pass(momentTime)
	r.want(t, "inbound "+caller+" > 567850550, 101 missed, 102 rings")
}
