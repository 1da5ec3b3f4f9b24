package gateway

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestResultIsTheLastWordOfWhoHadTheCall(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		anna := b.open("u1", "")
		b.emit("dial 101", "bridge 101", "hangup", "c2: dial 102")
		synctest.Wait()
		call := func() *Call {
			synctest.Wait()
			c, _ := b.feed.call("acme", "office:c1")
			return c
		}
		version := call().Version
		say := func(id, text string, e *Entity) Reply {
			return b.do("u1", Command{ID: id, Action: "result", Call: "office:c1", Text: text, Entity: e})
		}
		if r := say("k1", "wants a cat", &Entity{"leads", "7"}); !r.OK || r.Call != "office:c1" {
			t.Fatalf("%+v", r)
		}
		if got := call(); got.Version != version+1 || got.Result == nil || got.Result.Text != "wants a cat" || *got.Result.Entity != (Entity{"leads", "7"}) || got.Result.User != "u1" {
			t.Errorf("version %d, %+v", got.Version, got.Result)
		}
		if r := say("k1", "wants a dog", nil); !r.OK || call().Result.Text != "wants a cat" {
			t.Errorf("a repeat of a command changes nothing: %+v", call().Result)
		}
		if r := say("k2", "wants a cat", &Entity{"leads", "7"}); !r.OK || call().Version != version+1 {
			t.Errorf("the same again changes nothing: version %d", call().Version)
		}
		if r := say("k3", "wants a dog", nil); !r.OK || call().Result.Text != "wants a dog" || call().Result.Entity != nil {
			t.Errorf("%+v", call().Result)
		}
		anna.expect("dial ringing", "bridge talking", "hangup ended answered") // nobody's card changes
		if last := call(); !last.Over() || last.AnsweredAt.IsZero() {
			t.Errorf("%+v", last.Known)
		}
	})
}

func TestResultsThatAreRefused(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 101", "bridge 101", "hangup", "c2: dial 102")
		synctest.Wait()
		for name, c := range map[string]struct {
			cmd  Command
			code Code
		}{
			"another's call":         {Command{Call: "office:c2", Text: "x"}, CodeNotFound},
			"no call":                {Command{Text: "x"}, CodeNotFound},
			"no such call":           {Command{Call: "office:c9", Text: "x"}, CodeNotFound},
			"too long":               {Command{Call: "office:c1", Text: strings.Repeat("ж", 2001)}, CodeInvalid},
			"entity without an id":   {Command{Call: "office:c1", Entity: &Entity{Type: "leads"}}, CodeInvalid},
			"entity without a type":  {Command{Call: "office:c1", Entity: &Entity{ID: "1"}}, CodeInvalid},
			"entity that is a path":  {Command{Call: "office:c1", Entity: &Entity{"leads/../x", "1"}}, CodeInvalid},
			"id that is a path":      {Command{Call: "office:c1", Entity: &Entity{"leads", "../1"}}, CodeInvalid},
			"type that is too long":  {Command{Call: "office:c1", Entity: &Entity{strings.Repeat("a", 33), "1"}}, CodeInvalid},
			"id that is too long":    {Command{Call: "office:c1", Entity: &Entity{"leads", strings.Repeat("1", 65)}}, CodeInvalid},
			"text of another action": {Command{Action: "claim", What: ClaimResult, Call: "office:c1", Text: strings.Repeat("x", 2001)}, CodeInvalid},
		} {
			cmd := c.cmd
			cmd.ID = name
			if cmd.Action == "" {
				cmd.Action = "result"
			}
			if r := b.do("u1", cmd); r.OK || r.Error.Code != c.code {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if r := b.do("u1", Command{ID: "most", Action: "result", Call: "office:c1", Text: strings.Repeat("ж", 2000)}); !r.OK {
			t.Errorf("2,000 characters: %+v", r.Error)
		}
	})
}

func TestResultSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		b := begin(t, log, store)
		b.emit("dial 101", "bridge 101", "hangup")
		synctest.Wait()
		b.do("u1", Command{ID: "k1", Action: "result", Call: "office:c1", Text: "a cat\xff", Entity: &Entity{"leads", "7"}})
		pass(20 * time.Minute)
		b.stop()
		b = begin(t, log, store)
		defer b.stop()
		c, ok := b.feed.call("acme", "office:c1")
		if !ok || c.Result == nil || c.Result.Text != "a cat\ufffd" || c.Result.Entity == nil || c.Result.Entity.ID != "7" {
			t.Errorf("%+v", c.Result)
		}
	})
}

// An attended transfer or a pickup ends the call whose form somebody is filling in.
func TestResultOfACallThatBecameAnotherIsThatOnes(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("a: dial 101", "a: bridge 101", "b: dial 102", "b: bridge 102", "a: merge into=b")
		synctest.Wait()
		if r := b.do("u1", Command{ID: "k1", Action: "result", Call: "office:a", Text: "wants a cat"}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		synctest.Wait()
		a, _ := b.feed.call("acme", "office:a")
		c, _ := b.feed.call("acme", "office:b")
		if a.Result != nil || c.Result == nil || c.Result.Text != "wants a cat" || c.Result.User != "u1" {
			t.Errorf("a has %+v, b %+v", a.Result, c.Result)
		}
	})
}
