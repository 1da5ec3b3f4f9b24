package gateway

import (
	"testing"
	"time"
)

// secondly applies events of one call, a second apart.
func secondly(t *testing.T, events ...Event) Call {
	t.Helper()
	var c Call
	for i, e := range events {
		e.At = time.Unix(int64(1000+i), 0)
		for _, ext := range e.Extensions {
			e.People = append(e.People, Person{User: "u" + ext, Extension: ext})
		}
		var news bool
		if c, news = (Tracker{}).Apply(c, e); !news {
			t.Fatalf("event %d is no news", i)
		}
	}
	return c
}

// TestConsultationIsNoTalkOfTheCall: who is told of a call before it is handed on to him talks with the customer only
// from then on.
func TestConsultationIsNoTalkOfTheCall(t *testing.T) {
	t.Parallel()
	c := secondly(t,
		Event{Type: EventDial, Direction: Inbound, From: Number{Raw: "7900"}, Extensions: []string{"101"}},
		Event{Type: EventBridge, Extensions: []string{"101"}},
		Event{Type: EventDial, Direction: Inbound, Extensions: []string{"102"}},
		Event{Type: EventConsult, Extensions: []string{"102"}},
		Event{Type: EventBridge, Extensions: []string{"102"}},
		Event{Type: EventTransfer, Extensions: []string{"101"}},
		Event{Type: EventHangup},
	)
	for ext, want := range map[string]time.Duration{"101": 4 * time.Second, "102": 2 * time.Second} {
		if l := c.leg(ext); l.Talked != want || l.Consults || l.AnsweredAt.IsZero() {
			t.Errorf("%s: %+v, want %v", ext, l, want)
		}
	}
	if c.AnsweredBy.Extension != "101" || c.leg("102").Outcome != Answered {
		t.Errorf("%+v", c.Known)
	}
}

// TestColleagueWhoIsHandedOnWaitsAside: the time in which nobody hears him is no talk.
func TestColleagueWhoIsHandedOnWaitsAside(t *testing.T) {
	t.Parallel()
	c := secondly(t,
		Event{Type: EventDial, Direction: Inbound, Extensions: []string{"101"}},
		Event{Type: EventBridge, Extensions: []string{"101"}},
		Event{Type: EventConsult, Extensions: []string{"101"}},
		Event{Type: EventBridge, Extensions: []string{"101"}},
		Event{Type: EventHangup},
	)
	if l := c.leg("101"); l.Talked != 2*time.Second || !l.AnsweredAt.Equal(time.Unix(1001, 0)) {
		t.Errorf("%+v", l)
	}
}

// TestWhoIsNotPresentEndedUnseen: a link that is new, or was cut, knows who is there, and not who was.
func TestWhoIsNotPresentEndedUnseen(t *testing.T) {
	t.Parallel()
	c := secondly(t,
		Event{Type: EventDial, Direction: Inbound, Extensions: []string{"101", "102", "103"}},
		Event{Type: EventPresent, Extensions: []string{"102"}},
	)
	if c.leg("101").Outcome != Missed || !c.leg("102").Live() || c.leg("103").Live() || c.Over() {
		t.Errorf("%+v", c.Known)
	}
	c = secondly(t, Event{Type: EventDial, Direction: Inbound, Extensions: []string{"101"}}, Event{Type: EventPresent, Cause: CauseCancelled})
	if c.leg("101").Outcome != Cancelled || !c.Over() {
		t.Errorf("%+v", c.Known)
	}
}

// TestAnsweredByNobodyOfTheCompany: a mobile took the call, and the telephones stop ringing.
func TestAnsweredByNobodyOfTheCompany(t *testing.T) {
	t.Parallel()
	c := secondly(t,
		Event{Type: EventDial, Direction: Inbound, Extensions: []string{"101"}},
		Event{Type: EventBridge},
		Event{Type: EventHangup},
	)
	if c.AnsweredAt.IsZero() || c.AnsweredBy != nil || c.leg("101").Outcome != Elsewhere {
		t.Errorf("%+v", c.Known)
	}
	if outcome, _ := c.result(); outcome != Answered {
		t.Errorf("outcome %s", outcome)
	}
}

// TestLineThatIsLearntLater: which line a call takes is known when it leaves.
func TestLineThatIsLearntLater(t *testing.T) {
	t.Parallel()
	c := secondly(t,
		Event{Type: EventDial, Direction: Outbound, From: Number{Raw: "101"}, Extensions: []string{"101"}},
		Event{Type: EventDial, Direction: Outbound, From: Number{Raw: "1"}, To: Number{Raw: "7900"}, Line: "5550100"},
	)
	if c.From.Raw != "101" || c.To.Raw != "7900" || c.Line != "5550100" {
		t.Errorf("%+v", c.Known)
	}
}
