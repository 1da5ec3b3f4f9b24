package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestParkedCallIsSavedAsItIsMended(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		o.crm.set(func(due DueCall) manner {
			if due.Call.From.E164 == "+79991112244" {
				return fine
			}
			return cannot
		})
		o.ring("c1")
		pass(time.Millisecond)
		if r := o.do("u1", Command{ID: "k1", Action: "result", Call: "office:c1", Text: "a cat", Entity: &Entity{"leads", "7"}}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		pass(10 * time.Second)
		parked := func() ParkedCall {
			t.Helper()
			all, err := o.Parked(t.Context(), "acme")
			if err != nil || len(all) != 1 {
				t.Fatalf("%+v, %v", all, err)
			}
			return all[0]
		}
		release := func(mend CallMend) {
			t.Helper()
			if err := o.ReleaseParked(t.Context(), parked().ID, mend); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
		}
		if p := parked(); p.Mend != nil {
			t.Errorf("%+v", p.Mend)
		}
		release(CallMend{Entity: &Entity{}, Text: new("a dog")}) // which is not what was wrong
		if p := parked(); p.Mend == nil || *p.Mend.Text != "a dog" {
			t.Errorf("%+v", p)
		}
		release(CallMend{Number: "8 999 111-22-44"})
		o.emit("recording rec=https://pbx.example.com/1.mp3")
		o.kill()
		o.start()
		pass(time.Minute)
		e, _ := o.crm.entry("acme/office:c1")
		if c := e.last; c.From.E164 != "+79991112244" || c.Recording == "" || c.Result == nil || c.Result.Text != "a dog" || c.Result.Entity != nil || c.Result.User != "u1" {
			t.Errorf("saved as %+v, %+v", c.From, c.Result)
		}
		if c, _ := o.feed.call("acme", "office:c1"); c.From.E164 != "+79991112233" || c.Result.Text != "a cat" {
			t.Errorf("for everybody else the call is what it was: %+v, %+v", c.From, c.Result)
		}
	})
}

func TestMendsThatAreNone(t *testing.T) {
	inArchive(t, func(t *testing.T, o *archive) {
		for name, mend := range map[string]CallMend{
			"no number":       {Number: "Ivan"},
			"a long number":   {Number: strings.Repeat("1", 65)},
			"half an entity":  {Entity: &Entity{Type: "leads"}},
			"a path":          {Entity: &Entity{"leads", "../7"}},
			"too long a text": {Text: new(strings.Repeat("x", 2001))},
		} {
			if err := o.ReleaseParked(t.Context(), "x", mend); CodeOf(err) != CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestMendOfAnOutboundCallIsOfWhoWasCalled(t *testing.T) {
	t.Parallel()
	c := &Call{Known: Known{Direction: Outbound, From: Number{Raw: "101"}, To: Number{Raw: "1"}}}
	mended := (&CallMend{Number: "22"}).of(c, func(_, raw string) Number { return Number{Raw: raw} })
	if mended.From.Raw != "101" || mended.To.Raw != "22" || c.To.Raw != "1" || mended.Result != nil {
		t.Errorf("%+v; it was %+v", mended.Known, c.Known)
	}
}
