package phonet

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// shape replaces each value of a JSON document by its kind, and keeps the order of its keys.
func shape(t *testing.T, text string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	var b strings.Builder
	for {
		token, err := d.Token()
		if err != nil {
			return b.String()
		}
		switch v := token.(type) {
		case json.Delim:
			b.WriteString(v.String())
		case string:
			if strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ2") == "" && b.Len() > 0 {
				b.WriteString(v + ":")
				continue
			}
			b.WriteString("text ")
		case float64:
			b.WriteString("number ")
		case nil:
			b.WriteString("null ")
		}
	}
}

// TestMessageIsTheVendorsSample makes the call of the vendor's page, of an account whose CRM knows the client.
func TestMessageIsTheVendorsSample(t *testing.T) {
	t.Parallel()
	phone := "+380567777777"
	contact := &gateway.Contact{ID: "29", Type: "company", Name: "Рекламное агентство", URL: "https://qwerty.phonet.com.ua/features/crm/contacts/edit.jsp#/?id=1"}
	dir := gateway.NewAccounts(gateway.Account{ID: "acme", Users: acmeUsers()})
	tell := &teller{
		gateway: newFakeGateway(), directory: dir, account: "acme", user: "120",
		now: func() time.Time { return callsBegin.Add(time.Second) }, calls: map[string]*toldCall{},
	}
	got := tell.changed(gateway.View{
		ID: "23:1453990999.41", Direction: gateway.Inbound, Phone: &phone, Line: "567850550", Extension: "911",
		State: gateway.Ringing, StartedAt: gateway.Millis(callsBegin), Contact: contact,
	})
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	frame, err := json.Marshal(&got[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":"call.dial","uuid":"23:1453990999.41-120","parentUuid":null,"lgDirection":4,` +
		`"leg":{"id":120,"type":1,"displayName":"Support Phonet","ext":"911"},"leg2":null,` +
		`"otherLegs":[{"id":"29","name":"Рекламное агентство","num":"+380567777777","companyName":"Рекламное агентство",` +
		`"url":"https://qwerty.phonet.com.ua/features/crm/contacts/edit.jsp#/?id=1","priority":1}],` +
		`"dialAt":1473973200000,"bridgeAt":null,"serverTime":"1473973201000","trunkNum":"567850550","trunkName":"567850550"}`
	if string(frame) != want {
		t.Errorf("got  %s\nwant %s", frame, want)
	}
	sample, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	// The sample's order of fields within a leg differs from the rest of the page by nothing that JSON knows.
	if got, want := sortedShape(t, frame), sortedShape(t, sample); got != want {
		t.Errorf("of the shape\n%s\nwant the vendor's\n%s", got, want)
	}
}

// sortedShape is shape with the keys of each object in order.
func sortedShape(t *testing.T, data []byte) string {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return shape(t, string(sorted))
}

var inbound = gateway.Event{
	Type: gateway.EventDial, Direction: gateway.Inbound, From: gateway.Number{Raw: "0567777777", E164: "+380567777777"},
	To: gateway.Number{Raw: "567850550"}, Line: "567850550",
}

// rung is an event of the extensions.
func rung(e gateway.Event, extensions ...string) gateway.Event {
	e.Extensions = extensions
	return e
}

func event(kind gateway.EventType, cause gateway.Cause, extensions ...string) gateway.Event {
	return gateway.Event{Type: kind, Cause: cause, Extensions: extensions}
}

func TestIncomingCallOfAnUnknownClient(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	text := p.frame()
	before, after, _ := strings.Cut(text, `"serverTime":"`)
	if want := `{"event":"call.dial","uuid":"office:1-7","parentUuid":null,"lgDirection":4,` +
		`"leg":{"id":7,"type":1,"displayName":"Анна","ext":"101"},"leg2":null,` +
		`"otherLegs":[{"id":null,"name":null,"num":"+380567777777","companyName":null,"url":"","priority":1}],` +
		`"dialAt":1473973200000,"bridgeAt":null,`; before != want {
		t.Errorf("got  %s\nwant %s", before, want)
	}
	if _, trunk, _ := strings.Cut(after, `",`); trunk != `"trunkNum":"567850550","trunkName":"567850550"}` {
		t.Errorf("behind serverTime: %s", after)
	}

	r.gw.happens(5, "office:1", event(gateway.EventBridge, "", "101"), anna)
	if m := p.want("call.bridge 4"); m.DialAt != 1473973200000 || m.BridgeAt != 1473973205000 || m.UUID != "office:1-7" {
		t.Errorf("bridge: %+v", m)
	}
	r.gw.happens(6, "office:1", event(gateway.EventHold, "", "101"), anna)
	r.gw.happens(7, "office:1", event(gateway.EventUnhold, "", "101"), anna)
	r.gw.happens(9, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	if m := p.want("call.hangup 4"); m.DialAt != 1473973200000 || m.BridgeAt != 1473973205000 {
		t.Errorf("hangup: %+v", m)
	}
	r.gw.happens(10, "office:1", gateway.Event{Type: gateway.EventRecording, Recording: "https://pbx.example/1.wav"})
	p.nothingMore()
}

func TestRingGroupIsAParentWithAPartForEach(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	a, b := r.connect("101"), r.connect("102")
	r.gw.happens(0, "office:1", rung(inbound, "101", "102"), anna, boris)
	da, db := a.want("call.dial 4"), b.want("call.dial 4")
	if da.UUID != "office:1-7" || db.UUID != partOf("office:1", "boris") || da.ParentUUID != "office:1" || db.ParentUUID != "office:1" {
		t.Errorf("%s of %s, %s of %s", da.UUID, da.ParentUUID, db.UUID, db.ParentUUID)
	}
	r.gw.happens(3, "office:1", event(gateway.EventBridge, "", "101"), anna)
	a.want("call.bridge 4")
	if m := b.want("call.hangup 4"); m.BridgeAt != 0 || m.UUID != db.UUID || m.ParentUUID != "office:1" {
		t.Errorf("Boris, whom Anna was quicker than: %+v", m)
	}
	r.gw.happens(9, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	a.want("call.hangup 4")
	a.nothingMore()
	b.nothingMore()
}

func TestMissedCall(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	r.gw.happens(20, "office:1", event(gateway.EventHangup, gateway.CauseNoAnswer))
	p.want("call.dial 4")
	if m := p.want("call.hangup 4"); m.BridgeAt != 0 {
		t.Errorf("nobody answered: %+v", m)
	}
}

// TestTwoTelephonesOfOnePerson are one attempt to reach him, whichever he takes and whenever a client connects.
func TestTwoTelephonesOfOnePerson(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Endpoints[0].OnConnect = TellLive })
	p := r.connect("101")
	other := gateway.Person{User: "7", Name: "Анна", Extension: "103"}
	r.gw.happens(0, "office:1", rung(inbound, "102"), boris)
	r.gw.happens(2, "office:1", rung(inbound, "101"), anna)
	r.gw.happens(5, "office:1", rung(inbound, "103"), other)
	first := p.want("call.dial 4")
	if first.ParentUUID != "office:1" {
		t.Errorf("Boris was rung, too: %+v", first)
	}
	r.gw.happens(6, "office:1", event(gateway.EventHangup, gateway.CauseNoAnswer, "101"), anna)
	r.gw.happens(8, "office:1", event(gateway.EventBridge, "", "103"), other)
	if m := p.want("call.bridge 4"); m.UUID != first.UUID || m.Leg.Ext != "103" {
		t.Errorf("%+v, and it began as %s", m, first.UUID)
	}
	if m := r.connect("103").want("call.dial 4", "call.bridge 4"); m.UUID != first.UUID || m.DialAt != first.DialAt {
		t.Errorf("%+v, and it began as %s at %d", m, first.UUID, first.DialAt)
	}
}

func TestTwoTelephonesAreNoGroup(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101", "103"), anna, gateway.Person{User: "7", Name: "Анна", Extension: "103"})
	if m := p.want("call.dial 4"); m.ParentUUID != "" {
		t.Errorf("%+v", m)
	}
	r.gw.happens(2, "office:1", rung(inbound, "199"))
	r.gw.happens(3, "office:1", event(gateway.EventBridge, "", "101"), anna)
	if m := p.want("call.bridge 4"); m.ParentUUID != "" {
		t.Errorf("it began as nobody's part: %+v", m)
	}
	r.gw.happens(5, "office:2", rung(inbound, "101", "199"), anna)
	if m := p.want("call.dial 4"); m.ParentUUID != "office:2" {
		t.Errorf("an extension that nobody has makes it one: %+v", m)
	}
}

// TestQueueThatTriesAgain: each attempt is a call of its own to a client that goes by the uuid.
func TestQueueThatTriesAgain(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	first := p.want("call.dial 4")
	r.gw.happens(10, "office:1", event(gateway.EventHangup, gateway.CauseNoAnswer, "101"), anna)
	if m := p.want("call.hangup 4"); m.UUID != first.UUID {
		t.Errorf("hangup of %s", m.UUID)
	}
	r.gw.happens(15, "office:1", rung(inbound, "101"), anna)
	again := p.want("call.dial 4")
	if again.UUID == first.UUID || again.DialAt != 1473973215000 {
		t.Errorf("the second attempt: %+v", again)
	}
	if other := r.connect("103").want("call.dial 4"); other.UUID != again.UUID || other.DialAt != again.DialAt {
		t.Errorf("who connects meanwhile is told of %s, not %s", other.UUID, again.UUID)
	}
	r.gw.happens(18, "office:1", event(gateway.EventBridge, "", "101"), anna)
	if m := p.want("call.bridge 4"); m.BridgeAt != 1473973218000 || m.UUID != again.UUID {
		t.Errorf("its answer: %+v", m)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	a, b := r.connect("101"), r.connect("102")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	r.gw.happens(2, "office:1", event(gateway.EventBridge, "", "101"), anna)
	a.want("call.dial 4", "call.bridge 4")
	r.gw.happens(8, "office:1", gateway.Event{Type: gateway.EventTransfer, Extensions: []string{"101"}, Target: "102"}, anna, boris)
	if m := a.want("call.hangup 4"); m.BridgeAt != 1473973202000 {
		t.Errorf("who handed it on: %+v", m)
	}
	if m := b.want("call.dial 4"); m.ParentUUID != "office:1" || m.DialAt != 1473973208000 || m.OtherLegs[0].Num != "+380567777777" {
		t.Errorf("to whom it was handed: %+v", m)
	}
	r.gw.happens(9, "office:1", event(gateway.EventBridge, "", "102"), boris)
	b.want("call.bridge 4")
	// And back, to one who has talked before.
	r.gw.happens(12, "office:1", gateway.Event{Type: gateway.EventTransfer, Extensions: []string{"102"}, Target: "101"}, anna, boris)
	b.want("call.hangup 4")
	if m := a.want("call.dial 4"); m.BridgeAt != 0 || m.DialAt != 1473973212000 {
		t.Errorf("it is handed back: %+v", m)
	}
	r.gw.happens(14, "office:1", event(gateway.EventBridge, "", "101"), anna)
	if m := a.want("call.bridge 4"); m.BridgeAt != 1473973214000 {
		t.Errorf("he answers again: %+v", m)
	}
	r.gw.happens(20, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	a.want("call.hangup 4")
	a.nothingMore()
	b.nothingMore()
}

// TestHandedBackAndMissed: the answer of the first talk is not that of the second ringing.
func TestHandedBackAndMissed(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	a := r.connect("101")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	r.gw.happens(2, "office:1", event(gateway.EventBridge, "", "101"), anna)
	r.gw.happens(8, "office:1", gateway.Event{Type: gateway.EventTransfer, Extensions: []string{"101"}, Target: "102"}, anna, boris)
	r.gw.happens(12, "office:1", gateway.Event{Type: gateway.EventTransfer, Extensions: []string{"102"}, Target: "101"}, anna, boris)
	r.gw.happens(20, "office:1", event(gateway.EventHangup, gateway.CauseNoAnswer))
	if m := a.want("call.dial 4", "call.bridge 4", "call.hangup 4", "call.dial 4", "call.hangup 4"); m.BridgeAt != 0 {
		t.Errorf("the second time he did not answer: %+v", m)
	}
}

func TestOutgoingCall(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("102")
	r.gw.happens(0, "office:1", gateway.Event{
		Type: gateway.EventDial, Direction: gateway.Outbound, From: gateway.Number{Raw: "102"}, Line: "567850550",
		To: gateway.Number{Raw: "0567777777", E164: "+380567777777"}, Extensions: []string{"102"},
	}, boris)
	m := p.want("call.dial 2")
	if m.Leg.Ext != "102" || m.Leg.ID != legID(boris) || m.Leg2 != nil || m.ParentUUID != "" || len(m.OtherLegs) != 1 || m.OtherLegs[0].Num != "+380567777777" {
		t.Errorf("%+v", m)
	}
	r.gw.happens(4, "office:1", event(gateway.EventBridge, "", "102"), boris)
	r.gw.happens(9, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	p.want("call.bridge 2", "call.hangup 2")
}

func TestInternalCallHasTwoLegsAndNoClient(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	a, b := r.connect("101"), r.connect("102")
	r.gw.happens(0, "office:1", gateway.Event{
		Type: gateway.EventDial, Direction: gateway.Internal, From: gateway.Number{Raw: "102"}, To: gateway.Number{Raw: "101"},
		Line: "567850550", Extensions: []string{"101"},
	}, anna, boris)
	for _, p := range []*phone{a, b} {
		text := p.frame()
		for _, part := range []string{
			`"lgDirection":1,"leg":{"id":`, `,"type":1,"displayName":"Boris","ext":"102"},"leg2":{"id":7,"type":1,"displayName":"Анна","ext":"101"},"otherLegs":[],`,
			`"parentUuid":null`, `"trunkNum":null,"trunkName":null}`,
		} {
			if !strings.Contains(text, part) {
				t.Errorf("without %s: %s", part, text)
			}
		}
	}
	r.gw.happens(3, "office:1", event(gateway.EventBridge, "", "101"), anna)
	r.gw.happens(5, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	a.want("call.bridge 1", "call.hangup 1")
	b.want("call.bridge 1", "call.hangup 1")
}

func TestWithheldNumberIsEmptyAndShown(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p := r.connect("101")
	hidden := rung(inbound, "101")
	hidden.From, hidden.Line = gateway.Number{}, ""
	r.gw.happens(0, "office:1", hidden, anna)
	if text := p.frame(); !strings.Contains(text, `"num":""`) || !strings.Contains(text, `"trunkNum":null,"trunkName":null`) {
		t.Error(text)
	}
}

// TestWhatWasUnseenIsInOrder: a call whose answer is heard of after its end was answered all the same.
func TestWhatWasUnseenIsInOrder(t *testing.T) {
	t.Parallel()
	tell := newServerParts(t, nil)
	t.Cleanup(tell.server.Close)
	calls := newTeller(tell.server, "acme", "7")
	at := gateway.Millis(callsBegin)
	answered := gateway.Answered
	v := gateway.View{ID: "office:1", Extension: "101", State: gateway.Ended, StartedAt: at, AnsweredAt: &at, EndedAt: &at, Outcome: &answered}
	if got := calls.changed(v); got != nil {
		t.Errorf("a call that was over when it was first heard of: %+v", got)
	}
	v.State = gateway.Ringing
	if got := calls.changed(v); len(got) != 1 || got[0].Event != eventDial {
		t.Errorf("%+v", got)
	}
	v.State = gateway.Ended
	if got := calls.changed(v); len(got) != 2 || got[0].Event != eventBridge || got[1].Event != eventHangup {
		t.Errorf("%+v", got)
	}
	if len(calls.calls) != 0 {
		t.Error("a call that is over is kept")
	}
}

func TestOnConnect(t *testing.T) {
	t.Parallel()
	for on, want := range map[OnConnect]struct{ ringing, talking []string }{
		"":          {ringing: []string{"call.dial 4"}},
		TellRinging: {ringing: []string{"call.dial 4"}},
		TellLive:    {ringing: []string{"call.dial 4"}, talking: []string{"call.dial 4", "call.bridge 4"}},
		TellNothing: {},
	} {
		t.Run("on "+string(on), func(t *testing.T) {
			t.Parallel()
			r := newServerRig(t, func(cfg *ServerConfig) { cfg.Endpoints[0].OnConnect = on })
			r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
			p := r.connect("101")
			p.want(want.ringing...)
			p.nothingMore()
			r.gw.happens(2, "office:1", event(gateway.EventBridge, "", "101"), anna)
			p.want("call.bridge 4") // whether it was told of the call or not, as with Phonet

			p = r.connect("101")
			p.want(want.talking...)
			p.nothingMore()
			r.gw.happens(9, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
			if m := p.want("call.hangup 4"); m.UUID != "office:1-7" || m.BridgeAt != 1473973202000 {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestNumbersOfPeople(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]number{"1": 1, "88888": 88888, "4503599627370495": 4503599627370495} {
		if got := legID(gateway.Person{User: user}); got != want {
			t.Errorf("%s is %d", user, got)
		}
	}
	seen := map[number]string{}
	for _, p := range []gateway.Person{
		{User: "boris"}, {User: "07"}, {User: "7"}, {User: "+7"}, {User: "-7"}, {User: "0"}, {User: "4503599627370496"},
		{User: "99999999999999999999"}, {Extension: "boris"}, {Extension: "7"}, {User: "boris@example.com"},
	} {
		id := legID(p)
		if id != legID(p) || id <= 0 || id >= 1<<53 {
			t.Errorf("%+v is %d", p, id)
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%+v has the number of %s", p, other)
		}
		seen[id] = p.User + "/" + p.Extension
	}
}

// TestParentNeverChanges: of those who are rung one after another, each is told the same parent in all messages of his
// call, and by whichever node; who is rung first has none.
func TestParentNeverChanges(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Endpoints[0].OnConnect = TellLive })
	a, b := r.connect("101"), r.connect("102")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	first := a.want("call.dial 4")
	r.gw.happens(10, "office:1", rung(inbound, "102"), boris)
	second := b.want("call.dial 4")
	if first.ParentUUID != "" || second.ParentUUID != "office:1" {
		t.Errorf("%q and %q", first.ParentUUID, second.ParentUUID)
	}
	for _, p := range []*phone{r.connect("101"), r.connect("102")} {
		if m := p.want("call.dial 4"); m.UUID == first.UUID && m.ParentUUID != first.ParentUUID || m.UUID == second.UUID && m.ParentUUID != second.ParentUUID {
			t.Errorf("who connects meanwhile is told of %+v", m)
		}
	}
	r.gw.happens(12, "office:1", event(gateway.EventBridge, "", "102"), boris)
	if m := a.want("call.hangup 4"); m.ParentUUID != first.ParentUUID {
		t.Errorf("%+v", m)
	}
	if m := b.want("call.bridge 4"); m.ParentUUID != second.ParentUUID {
		t.Errorf("%+v", m)
	}
}

// TestGroupThatIsToldOneByOne is one: the first member's call waits a moment for the others.
func TestGroupThatIsToldOneByOne(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.fresh, r.gw.looked, r.server.patience = true, make(chan struct{}, 1), 500*time.Millisecond
	a, b := r.connect("101"), r.connect("102")
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	<-r.gw.looked // so far he is alone
	r.gw.happens(0, "office:1", rung(inbound, "102"), boris)
	da, db := a.want("call.dial 4"), b.want("call.dial 4")
	if da.ParentUUID != "office:1" || db.ParentUUID != "office:1" {
		t.Errorf("%q and %q", da.ParentUUID, db.ParentUUID)
	}
}
