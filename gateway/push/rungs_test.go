package push

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// wanderer is a client that changes rungs and has one cursor.
type wanderer struct {
	r      *rig
	who    userKey
	rand   *rand.Rand
	cursor string
	seen   []int // numbers of messages, as they were applied
}

// apply takes a message into the page, which proves by prev that none is missing.
func (c *wanderer) apply(m message) {
	c.r.t.Helper()
	switch m.Type {
	case "hello":
		if m.Resumed != (c.cursor != "") {
			c.r.t.Fatalf("came with %q and got %+v", c.cursor, m)
		}
	case "call":
		if m.Prev != c.cursor {
			c.r.t.Fatalf("message %s follows %q, the last was %q", m.Cursor, m.Prev, c.cursor)
		}
		n, err := strconv.Atoi(strings.TrimPrefix(m.Cursor, "e1-"))
		if err != nil {
			c.r.t.Fatal(err)
		}
		c.seen = append(c.seen, n)
	default:
		return
	}
	c.cursor = m.Cursor
}

// ride uses one rung until it has read n calls, or none is left, and drops it then without a word.
func (c *wanderer) ride(rung string, n int) {
	c.r.t.Helper()
	switch rung {
	case rungWS:
		tab := c.r.dial()
		tab.send(map[string]any{"type": "hello", "token": c.r.token(c.who), "cursor": c.cursor, "client": "w"})
		tab.last = c.cursor
		c.take(n, tab.next)
		_ = tab.ws.UnderlyingConn().Close()
	case rungSSE:
		q := url.Values{"ticket": {c.r.ticket(c.r.token(c.who), "w")}, "cursor": {c.cursor}}
		stream, resp := c.r.openEvents(q)
		if resp.StatusCode != http.StatusOK {
			c.r.t.Fatalf("stream: %d", resp.StatusCode)
		}
		stream.last = c.cursor
		c.take(n, stream.next)
		_ = stream.body.Close()
	case rungPoll:
		for range 1 + n/3 {
			c.answered(c.r.poll(map[string]any{"token": c.r.token(c.who), "cursor": c.cursor, "client": "w", "wait": 0}))
		}
	case rungScript:
		ticket := c.r.ticket(c.r.token(c.who), "w")
		for range 1 + n/3 {
			a := c.r.script(scriptQuery(ticket, c.cursor))
			if c.answered(a.pollAnswer) {
				ticket = a.Ticket
			}
		}
	}
}

// take reads the hello and n calls, as far as there are that many.
func (c *wanderer) take(n int, next func() message) {
	c.apply(next())
	for ; n > 0 && c.cursor != c.r.gw.head(c.who); n-- {
		c.apply(next())
	}
}

// answered takes the answer to a poll, unless it gets lost on the way.
func (c *wanderer) answered(a pollAnswer) bool {
	if c.rand.IntN(4) == 0 {
		return false
	}
	for _, m := range a.Messages {
		c.apply(m)
	}
	if a.Cursor != c.cursor {
		c.r.t.Fatalf("the answer ends at %q, its messages at %q", a.Cursor, c.cursor)
	}
	return true
}

func TestChangingRungsMissesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.PerUser, c.Limits.HandshakeBurst, c.Limits.QueueMessages = 1000, 1000, 1000 })
	rungs := []string{rungWS, rungSSE, rungPoll, rungScript}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i, who := range []userKey{anna, boris, clara} {
		c := &wanderer{r: r, who: who, rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		for c.cursor == "" { // the first answer may get lost
			c.ride(rungs[c.rand.IntN(len(rungs))], 0)
		}
		for len(c.seen) < 60 {
			var publishing sync.WaitGroup
			n := c.rand.IntN(8)
			publishing.Go(func() { // while the client connects, reads, drops
				for range n {
					r.gw.publish(who, 0)
				}
			})
			c.ride(rungs[c.rand.IntN(len(rungs))], c.rand.IntN(6))
			publishing.Wait()
		}
		c.ride(rungWS, 1<<30)
		for i, n := range c.seen {
			if n != i+1 {
				t.Fatalf("message %d was applied as number %d: %v", n, i+1, c.seen)
			}
		}
		if got, want := c.cursor, r.gw.head(who); got != want {
			t.Errorf("at %s of %s", got, want)
		}
	}
}

func TestEveryOrderOfTwoRungs(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.PerUser, c.Limits.HandshakeBurst = 1000, 1000 })
	rungs := []string{rungWS, rungSSE, rungPoll, rungScript}
	for _, from := range rungs {
		for _, to := range rungs {
			c := &wanderer{r: r, who: anna, rand: rand.New(rand.NewPCG(1, 2)), cursor: r.gw.head(anna)}
			r.gw.publish(anna, 0)
			for c.ride(from, 1); len(c.seen) < 1; {
				c.ride(from, 1)
			}
			r.gw.publish(anna, 0) // while it is on none
			for c.ride(to, 1); len(c.seen) < 2; {
				c.ride(to, 1)
			}
			if c.cursor != r.gw.head(anna) || c.seen[1] != c.seen[0]+1 {
				t.Errorf("%s to %s: %v, at %s of %s", from, to, c.seen, c.cursor, r.gw.head(anna))
			}
		}
	}
}

// refusalOn comes with a token on a rung, and returns the code of its refusal, "" for none.
func (r *rig) refusalOn(rung, token string) string {
	r.t.Helper()
	switch rung {
	case rungWS:
		tab := r.dial()
		defer func() { _ = tab.ws.Close() }()
		tab.send(map[string]any{"type": "hello", "token": token})
		var closed *websocket.CloseError
		if _, err := tab.read(); errors.As(err, &closed) {
			return closed.Text
		}
		return ""
	case rungSSE, rungScript: // it is the ticket that is asked for
		rung = "tickets"
	}
	status, _, body := r.post("/v1/"+rung, map[string]any{"token": token, "wait": 0, "id": "1", "action": "call"})
	if status == http.StatusOK {
		return ""
	}
	return string(problemCode(r.t, body))
}

func TestRefusalsHaveTheirCodeOnEveryRung(t *testing.T) {
	t.Parallel()
	var revoked sync.Map
	r := newRig(t, func(c *Config) {
		c.Revoked = func(account, user string, issued time.Time) bool {
			before, ok := revoked.Load(userKey{account, user})
			return ok && issued.Before(before.(time.Time))
		}
	})
	r.dir.revoke("acme", "2")
	revoked.Store(clara, time.Now().Add(time.Minute))
	hs := jwt.SigningMethodHS256
	for name, c := range map[string]struct{ token, want string }{
		"good":                     {r.token(anna), ""},
		"foreign":                  {sign(t, key("globex"), hs, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Hour)}), "bad_token"},
		"rubbish":                  {"x.y.z", "bad_token"},
		"a ticket":                 {r.mintTicket(anna, ""), "bad_token"},
		"expired":                  {sign(t, key("acme"), hs, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(-time.Hour)}), "token_expired"},
		"user not in directory":    {r.token(boris), "revoked"},
		"revoked":                  {r.token(clara), "revoked"},
		"revoked, does not say of": {sign(t, key("globex"), hs, jwt.MapClaims{"iss": "globex", "sub": "1", "exp": in(time.Hour)}), "revoked"},
		"issued after revocation":  {sign(t, key("globex"), hs, jwt.MapClaims{"iss": "globex", "sub": "1", "exp": in(time.Hour), "iat": in(2 * time.Minute)}), ""},
	} {
		for _, rung := range []string{rungWS, rungSSE, rungPoll, rungScript, "actions"} {
			if got := r.refusalOn(rung, c.token); got != c.want {
				t.Errorf("%s on %s: %q, want %q", name, rung, got, c.want)
			}
		}
	}
}

func TestTicketRefusalsHaveTheirCodeOnBothRungs(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.PerUser = 1 })
	used := r.mintTicket(anna, "")
	r.script(scriptQuery(used, ""))
	if resp, body := r.do(r.get("/v1/sse", url.Values{"ticket": {used}})); resp.StatusCode != 401 || problemCode(t, body) != gateway.CodeTicketUsed {
		t.Errorf("a script's ticket in a stream: %d %s", resp.StatusCode, body)
	}
	r.enterEvents(anna, "")
	gone := r.mintTicket(boris, "")
	r.dir.revoke("acme", "2")
	for name, c := range map[string]struct {
		ticket string
		status int
		code   gateway.Code
	}{
		"none":            {"", 401, gateway.CodeBadToken},
		"a session token": {r.token(anna), 401, gateway.CodeBadToken},
		"revoked user":    {gone, 403, gateway.CodeRevoked},
		"too many":        {r.mintTicket(anna, ""), 429, gateway.CodeTooMany},
	} {
		resp, body := r.do(r.get("/v1/sse", url.Values{"ticket": {c.ticket}}))
		if resp.StatusCode != c.status || problemCode(t, body) != c.code {
			t.Errorf("%s in a stream: %d %s", name, resp.StatusCode, body)
		}
		if c.code == gateway.CodeTooMany {
			c.ticket = r.mintTicket(anna, "")
		}
		if a := r.script(scriptQuery(c.ticket, "")); a.Error == nil || a.Error.Code != string(c.code) {
			t.Errorf("%s in a script poll: %+v", name, a)
		}
	}
	resp, body := r.do(r.get("/v1/sse", url.Values{"ticket": {r.mintTicket(anna, "")}, "client": {strings.Repeat("x", 65)}}))
	if resp.StatusCode != http.StatusBadRequest || problemCode(t, body) != gateway.CodeInvalid {
		t.Errorf("long client: %d %s", resp.StatusCode, body)
	}
}

func TestRevocationEndsLiveSessionsOnEveryRung(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ account, user string }{
		"of a user": {"acme", "1"}, "of an account": {"acme", ""}, "of all": {"", ""},
	} {
		var since sync.Map
		r := newRig(t, func(c *Config) {
			c.Revoked = func(account, user string, issued time.Time) bool {
				at, ok := since.Load(userKey{account, user})
				return ok && !issued.After(at.(time.Time))
			}
		})
		tab, _ := r.enter(anna, "")
		stream, _ := r.enterEvents(anna, "")
		stays, _ := r.enterEvents(clara, "")
		subscribed := make(chan struct{}, 2)
		r.gw.onSubscribe = func(userKey) { subscribed <- struct{}{} }
		poll, script := make(chan string, 1), make(chan scriptAnswer, 1)
		go func() {
			_, _, body := r.post("/v1/poll", map[string]any{"token": r.token(anna), "cursor": "e1-0", "client": "p"})
			poll <- string(body)
		}()
		go func() { script <- r.script(scriptQuery(r.mintTicket(anna, "s"), "e1-0", "wait", "20")) }()
		recv(t, subscribed)
		recv(t, subscribed)

		r.server.Recheck(c.account, c.user) // nothing has changed
		since.Store(anna, time.Now())
		r.server.Recheck("acme", "2") // not this user
		r.server.Recheck(c.account, c.user)
		tab.wantClose(closeRevoked)
		stream.wantBye(closeRevoked)
		if body := recv(t, poll); !strings.Contains(body, `"code":"revoked"`) {
			t.Errorf("%s: poll %s", name, body)
		}
		if a := recv(t, script); a.Error == nil || a.Error.Code != "revoked" {
			t.Errorf("%s: script %+v", name, a)
		}
		r.gw.publish(clara, 0)
		stays.next()
	}
}

func TestRenewedSessionIsRecheckedByItsNewToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(time.Minute)
		r := newParts(t, func(c *Config) {
			c.Revoked = func(_, _ string, issued time.Time) bool { return issued.Before(at) && time.Now().After(at) }
		})
		defer r.close()
		old, renewed := r.openReader(t, anna, time.Hour), r.openReader(t, anna, time.Hour)
		defer old.session.end()
		defer renewed.session.end()
		time.Sleep(time.Minute)
		if err := renewed.session.renew(r.token(anna)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		r.server.Recheck("acme", "1")
		if _, code, _ := old.state(); code != closeRevoked {
			t.Errorf("the old one: %v", code)
		}
		if _, code, _ := renewed.state(); code != 0 {
			t.Errorf("the renewed one: %v", code)
		}
	})
}

func TestRevokedBetweenTheCheckAndTheSession(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	id, user, err := r.server.authorize(r.token(anna))
	if err != nil {
		t.Fatal(err)
	}
	r.dir.revoke("acme", "1")
	r.server.Recheck("acme", "1") // sees no session yet
	c := newReader(r.server)
	defer c.session.end()
	if err := c.session.open(id, user, opening{}); gateway.CodeOf(err) != gateway.CodeRevoked {
		t.Errorf("opened: %v", err)
	}
}

func TestRevokedBackendTokenGetsNoSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Revoked = func(_, _ string, issued time.Time) bool { return issued.Before(time.Now().Add(-time.Minute)) }
	})
	exchange := func(iat time.Duration) int {
		token := sign(t, key("acme"), jwt.SigningMethodHS256, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(time.Hour), "iat": in(iat)})
		status, _, _ := r.post("/v1/sessions/backend", "", header("Authorization", "Bearer "+token))
		return status
	}
	if status := exchange(-2 * time.Minute); status != http.StatusForbidden {
		t.Errorf("an old one: %d", status)
	}
	if status := exchange(0); status != http.StatusOK {
		t.Errorf("a fresh one: %d", status)
	}
}

func TestCommandsOnEveryRung(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab, _ := r.enter(anna, "")
	tab.send(map[string]any{"id": "1", "action": "call", "to": "100"})
	if m := tab.next(); !m.OK || m.ID != "1" {
		t.Errorf("%+v", m)
	}
	for i := range 2 { // with a stream, and without any session
		if i == 0 {
			r.enterEvents(anna, "")
		}
		_, _, body := r.post("/v1/actions", map[string]any{"token": r.token(anna), "client": "tab-1", "id": "2", "action": "call", "to": "100"})
		if string(body) != `{"type":"reply","id":"2","ok":true,"call":"acme/1/call/100"}` {
			t.Errorf("%s", body)
		}
	}
	if a := r.script(scriptQuery(r.mintTicket(anna, ""), "", "command", `{"id":"3","action":"call"}`)); len(a.Messages) != 2 || !a.Messages[1].OK {
		t.Errorf("%+v", a)
	}
}

func TestNoticesAreNotAnsweredAndNoCommands(t *testing.T) {
	t.Parallel()
	shown := make(chan string, 200)
	r := newRig(t, func(c *Config) {
		c.Metrics.Command = func(code gateway.Code) { t.Errorf("counted as a command: %q", code) }
	})
	r.gw.onShown = func(account, user, call, rung string) { shown <- fmt.Sprint(account, user, call, rung) }
	want := func(s string) {
		t.Helper()
		if got := recv(t, shown); got != s {
			t.Errorf("shown %s, want %s", got, s)
		}
	}
	tab, _ := r.enter(anna, "")
	for range commandsPerWindow + 10 {
		tab.send(map[string]any{"action": "shown", "call": "main:1"})
		want("acme1main:1ws")
	}
	tab.send(map[string]any{"action": "visible", "visible": true})
	r.gw.publish(anna, 0)
	if m := tab.next(); m.Type != "call" {
		t.Errorf("a notice was answered: %+v", m)
	}

	act := func(client string, body map[string]any) {
		t.Helper()
		body["token"], body["client"] = r.token(boris), client
		if status, _, data := r.post("/v1/actions", body); status != http.StatusOK || string(data) != `{"type":"reply","id":"","ok":true}` {
			t.Errorf("%d %s", status, data)
		}
	}
	r.enterEvents(boris, "")
	act("tab-2", map[string]any{"action": "shown", "call": "main:2"})
	want("acme2main:2sse")
	act("tab-3", map[string]any{"action": "shown", "call": "main:2"})
	want("acme2main:2poll") // between two polls
	act("tab-3", map[string]any{"action": "visible", "visible": false})

	if a := r.script(scriptQuery(r.mintTicket(anna, ""), "e1-1", "command", `{"action":"shown","call":"main:1"}`)); len(a.Messages) != 0 {
		t.Errorf("%+v", a)
	}
	want("acme1main:1script")
}

func TestSessionsAreCountedByRungAndBeginning(t *testing.T) {
	t.Parallel()
	opened, closed := make(chan string, 20), make(chan string, 20)
	delivered := make(chan string, 20)
	r := newRig(t, func(c *Config) {
		c.Metrics.Opened = func(rung, how string) { opened <- rung + " " + how }
		c.Metrics.Closed = func(rung string, code int) { closed <- fmt.Sprint(rung, " ", code) }
		c.Metrics.Delivered = func(rung string, taken time.Time) { delivered <- fmt.Sprint(rung, " ", time.Since(taken) < patience) }
	})
	want := func(c <-chan string, s string) {
		t.Helper()
		if got := recv(t, c); got != s {
			t.Errorf("counted %q, want %q", got, s)
		}
	}
	tab, _ := r.enter(anna, "")
	want(opened, "ws new")
	stream, _ := r.enterEvents(anna, "e1-0")
	want(opened, "sse resumed")
	r.gw.publish(anna, 0)
	tab.next()
	stream.next()
	if got := map[string]bool{recv(t, delivered): true, recv(t, delivered): true}; !got["ws true"] || !got["sse true"] {
		t.Errorf("delivered %v", got)
	}
	r.poll(map[string]any{"token": r.token(anna), "cursor": "e1-0"}) // what happened between two polls is no replay
	want(opened, "poll resumed")
	want(delivered, "poll true")
	want(closed, "poll 0")
	r.script(scriptQuery(r.mintTicket(anna, ""), "rubbish"))
	want(opened, "script epoch")
	want(closed, "script 0")
	r.dir.revoke("acme", "1")
	r.server.Recheck("acme", "1")
	stream.wantBye(closeRevoked)
	tab.wantClose(closeRevoked)
	if got := map[string]bool{recv(t, closed): true, recv(t, closed): true}; !got["ws 4501"] || !got["sse 4501"] || len(delivered) > 0 {
		t.Errorf("closed %v, %d more delivered", got, len(delivered))
	}
}

func TestRefusalsAreCountedByRoute(t *testing.T) {
	t.Parallel()
	refused := make(chan string, 20)
	r := newRig(t, func(c *Config) {
		c.Metrics.Refused = func(route string, code gateway.Code) { refused <- fmt.Sprint(route, " ", code) }
	})
	for path, want := range map[string]string{
		"/v1/poll": "poll bad_token", "/v1/actions": "actions bad_token", "/v1/tickets": "tickets bad_token",
		"/v1/sessions/backend": "sessions bad_token", "/v1/x": "other not_found",
	} {
		r.post(path, `{}`)
		if got := recv(t, refused); got != want {
			t.Errorf("%s: %s", path, got)
		}
		r.post(path, `{}`, header("Origin", "https://evil.example"))
		if got := recv(t, refused); got != strings.Fields(want)[0]+" origin" {
			t.Errorf("%s: %s", path, got)
		}
	}
	r.do(r.get("/v1/sse", nil))
	if got := recv(t, refused); got != "sse bad_token" {
		t.Error(got)
	}
	r.script(scriptQuery("", ""))
	if got := recv(t, refused); got != "script bad_token" {
		t.Error(got)
	}
	tab := r.dial()
	tab.send(map[string]any{"type": "hello", "token": "x"})
	if got := recv(t, refused); got != "ws bad_token" {
		t.Error(got)
	}
}

func TestDrainSaysByeOnEveryRung(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab, _ := r.enter(anna, "")
	stream, _ := r.enterEvents(anna, "")
	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(t.Context()) }()
	if before := tab.wantClose(closeDraining); len(before) != 1 || before[0].Code != "draining" {
		t.Errorf("tab: %+v", before)
	}
	stream.wantBye(closeDraining) // once
	if err := recv(t, drained); err != nil {
		t.Error(err)
	}
	for path, ask := range map[string]*http.Request{
		"tickets": r.request("/v1/tickets", map[string]any{"token": r.token(anna)}),
		"stream":  r.get("/v1/sse", url.Values{"ticket": {r.mintTicket(anna, "")}}),
	} {
		if resp, body := r.do(ask); resp.StatusCode != http.StatusServiceUnavailable || problemCode(t, body) != gateway.CodeDraining {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

func TestCloseSaysByeToAStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	stream, _ := r.enterEvents(anna, "")
	go r.close()
	stream.wantBye(closeDraining)
}

func TestSomethingElseThanACallWakesAPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		start := time.Now()
		answer := make(chan pollAnswer, 1)
		go func() { answer <- r.callPoll(map[string]any{"token": r.token(anna), "cursor": "e1-0", "client": "a"}) }()
		synctest.Wait()
		for _, s := range r.server.hub.of("acme", "1") {
			s.say([]byte(`{"type":"presence","users":[]}`))
		}
		if a := <-answer; len(a.Messages) != 1 || a.Messages[0].Type != "presence" || a.Cursor != "e1-0" || time.Since(start) != coalesce {
			t.Errorf("%+v after %v", a, time.Since(start))
		}
	})
}
