package push

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

func TestPollFirstVisitThenResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.publish(anna, 0)
	token := r.token(anna)
	first := r.poll(map[string]any{"token": token, "wait": 25})
	if first.Cursor != "e1-1" || len(first.Messages) != 1 || first.Messages[0].Type != "hello" || first.Messages[0].Cursor != "e1-1" {
		t.Fatalf("first visit: %+v", first)
	}
	r.gw.publish(anna, 0)
	r.gw.publish(boris, 0)
	r.gw.publish(anna, 0)
	for range 2 { // the answer may be lost: the cursor, not the sending, moves on
		a := r.poll(map[string]any{"token": token, "cursor": "e1-1", "wait": 25})
		if a.Cursor != "e1-3" || len(a.Messages) != 2 || a.Messages[0].Prev != "e1-1" || a.Messages[1].Prev != "e1-2" || a.Messages[1].Cursor != "e1-3" {
			t.Errorf("resume: %+v", a)
		}
	}
	if a := r.poll(map[string]any{"token": token, "cursor": "e1-3", "wait": 0}); a.Cursor != "e1-3" || len(a.Messages) != 0 {
		t.Errorf("nothing new: %+v", a)
	}
	if a := r.poll(map[string]any{"token": token, "cursor": "rubbish", "wait": 25}); a.Cursor != "e1-3" || len(a.Messages) != 1 || a.Messages[0].Reason != "epoch" {
		t.Errorf("reset: %+v", a)
	}
}

func TestPollAnswersInBatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for range 230 {
		r.gw.publish(anna, 0)
	}
	cursor, sizes := "e1-0", []int(nil)
	for cursor != "e1-230" {
		a := r.poll(map[string]any{"token": r.token(anna), "cursor": cursor})
		for _, m := range a.Messages {
			if m.Prev != cursor {
				t.Fatalf("message %s follows %q, the last was %q", m.Cursor, m.Prev, cursor)
			}
			cursor = m.Cursor
		}
		if a.Cursor != cursor {
			t.Fatalf("cursor %q after %q", a.Cursor, cursor)
		}
		sizes = append(sizes, len(a.Messages))
	}
	if fmt.Sprint(sizes) != "[100 100 30]" {
		t.Errorf("batches of %v", sizes)
	}
	for range 3 {
		r.gw.publish(boris, 40<<10)
	}
	if a := r.poll(map[string]any{"token": r.token(boris), "cursor": "e1-0"}); len(a.Messages) != 2 {
		t.Errorf("%d messages of 40 KiB in one answer", len(a.Messages))
	}
}

func TestPollHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, h, _ := r.post("/v1/poll", map[string]any{"token": r.token(anna)})
	if h.Get("Cache-Control") != "no-store, no-transform" || h.Get("X-Accel-Buffering") != "no" || h.Get("X-Content-Type-Options") != "nosniff" ||
		h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != goodOrigin {
		t.Errorf("headers %v", h)
	}
}

func TestRequestRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.dir.revoke("acme", "2")
	good := r.token(anna)
	for name, c := range map[string]struct {
		path   string
		body   any
		status int
		code   gateway.Code
	}{
		"poll, no JSON":              {"/v1/poll", "{", 400, gateway.CodeInvalid},
		"poll, wait as text":         {"/v1/poll", `{"wait":"long"}`, 400, gateway.CodeInvalid},
		"poll, long client":          {"/v1/poll", map[string]any{"token": good, "client": strings.Repeat("x", 65)}, 400, gateway.CodeInvalid},
		"poll, large body":           {"/v1/poll", strings.Repeat(" ", maxBody) + "{}", 413, gateway.CodeTooLarge},
		"poll, no token":             {"/v1/poll", `{}`, 401, gateway.CodeBadToken},
		"poll, wrong token":          {"/v1/poll", `{"token":"x.y.z"}`, 401, gateway.CodeBadToken},
		"poll, expired token":        {"/v1/poll", map[string]any{"token": sign(t, key("acme"), jwt.SigningMethodHS256, jwt.MapClaims{"iss": "acme", "sub": "1", "exp": in(-time.Hour)})}, 401, gateway.CodeTokenExpired},
		"poll, revoked user":         {"/v1/poll", map[string]any{"token": r.token(boris)}, 403, gateway.CodeRevoked},
		"action, no JSON":            {"/v1/actions", "", 400, gateway.CodeInvalid},
		"action, large body":         {"/v1/actions", strings.Repeat(" ", maxBody) + "{}", 413, gateway.CodeTooLarge},
		"action, wrong token":        {"/v1/actions", `{"token":"x","id":"1","action":"call"}`, 401, gateway.CodeBadToken},
		"action, revoked user":       {"/v1/actions", map[string]any{"token": r.token(boris), "id": "1", "action": "call"}, 403, gateway.CodeRevoked},
		"action, no id":              {"/v1/actions", map[string]any{"token": good, "action": "call"}, 400, gateway.CodeInvalid},
		"exchange, no authorization": {"/v1/sessions/backend", "", 401, gateway.CodeBadToken},
	} {
		status, _, body := r.post(c.path, c.body)
		if status != c.status || problemCode(t, body) != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, status, body, c.status, c.code)
		}
	}
}

func TestAction(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	status, _, body := r.post("/v1/actions", map[string]any{"token": r.token(anna), "id": "k1", "action": "call", "to": "100", "account": "globex"})
	if status != http.StatusOK || string(body) != `{"type":"reply","id":"k1","ok":true,"call":"acme/1/call/100"}` {
		t.Errorf("%d %s", status, body)
	}
	r.gw.onCommand = func(cmd gateway.Command) gateway.Reply {
		return gateway.Reply{ID: cmd.ID, Error: &gateway.ReplyError{Code: gateway.CodePBXOffline, Message: "nobody holds the link"}}
	}
	status, _, body = r.post("/v1/actions", map[string]any{"token": r.token(anna), "id": "k2", "action": "call", "to": "100"})
	if status != http.StatusOK || string(body) != `{"type":"reply","id":"k2","ok":false,"error":{"code":"pbx_offline","message":"nobody holds the link"}}` {
		t.Errorf("%d %s", status, body)
	}
}

func TestTooManyActionsAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.Commands = 1 })
	running, hold := make(chan struct{}), make(chan struct{})
	r.gw.onCommand = func(gateway.Command) gateway.Reply {
		running <- struct{}{}
		<-hold
		return gateway.Reply{OK: true}
	}
	body := map[string]any{"token": r.token(anna), "id": "1", "action": "call"}
	done := make(chan int, 1)
	go func() { status, _, _ := r.post("/v1/actions", body); done <- status }()
	recv(t, running)
	status, header, data := r.post("/v1/actions", body)
	if status != http.StatusTooManyRequests || problemCode(t, data) != gateway.CodeTooMany || header.Get("Retry-After") == "" {
		t.Errorf("%d %s", status, data)
	}
	close(hold)
	if status := recv(t, done); status != http.StatusOK {
		t.Errorf("the first: %d", status)
	}
}

// callPoll polls without a socket, so that time can be faked.
func (r *rig) callPoll(body any) pollAnswer {
	rec := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(rec, r.request("/v1/poll", body))
	return parsePoll(r.t, rec.Code, rec.Body.Bytes())
}

func TestPollWaitsNoLongerThanTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		for wait, want := range map[any]time.Duration{nil: 25 * time.Second, 3: 3 * time.Second, 0.5: 500 * time.Millisecond, 1 << 40: 25 * time.Second, -1: 0} {
			start := time.Now()
			body := map[string]any{"token": r.token(anna), "cursor": "e1-0", "wait": wait}
			if a := r.callPoll(body); a.Cursor != "e1-0" || len(a.Messages) != 0 || time.Since(start) != want {
				t.Errorf("wait %v: %+v after %v", wait, a, time.Since(start))
			}
		}
	})
}

func TestPollGathersABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		start := time.Now()
		answer := make(chan pollAnswer, 1)
		go func() { answer <- r.callPoll(map[string]any{"token": r.token(anna), "cursor": "e1-0"}) }()
		synctest.Wait()
		for range 3 {
			r.gw.publish(anna, 0)
		}
		if a := <-answer; len(a.Messages) != 3 || a.Cursor != "e1-3" || time.Since(start) != coalesce {
			t.Errorf("%+v after %v", a, time.Since(start))
		}
	})
}

func TestBurstBeyondTheOutboxLosesAPollNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		answer := make(chan pollAnswer, 1)
		go func() { answer <- r.callPoll(map[string]any{"token": r.token(anna), "cursor": "e1-0"}) }()
		synctest.Wait()
		const burst = 600 // more than the outbox takes, and than one answer does
		for range burst {
			r.gw.publish(anna, 0)
		}
		a, got := <-answer, 0
		for ; len(a.Messages) > 0; a = r.callPoll(map[string]any{"token": r.token(anna), "cursor": a.Cursor, "wait": 0}) {
			if len(a.Messages) > batchMessages {
				t.Errorf("%d messages in one answer", len(a.Messages))
			}
			for range a.Messages {
				got++
			}
			if want := "e1-" + strconv.Itoa(got); a.Cursor != want {
				t.Fatalf("at %s after %d messages", a.Cursor, got)
			}
		}
		if got != burst {
			t.Errorf("%d messages of %d", got, burst)
		}
	})
}

func TestNewerPollEndsTheOlder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		poll := func(client string) chan pollAnswer {
			answer := make(chan pollAnswer, 1)
			go func() {
				answer <- r.callPoll(map[string]any{"token": r.token(anna), "cursor": "e1-0", "client": client})
			}()
			synctest.Wait()
			return answer
		}
		start := time.Now()
		old, other, newer := poll("a"), poll("b"), poll("a")
		if a := <-old; len(a.Messages) != 0 || a.Cursor != "e1-0" || time.Since(start) != 0 {
			t.Errorf("the older: %+v after %v", a, time.Since(start))
		}
		r.gw.publish(anna, 0)
		for _, answer := range []chan pollAnswer{other, newer} {
			if a := <-answer; len(a.Messages) != 1 {
				t.Errorf("%+v", a)
			}
		}
	})
}

func TestPollerIsGoneWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		start := time.Now()
		for range 3 { // it lives as long as it comes back
			r.callPoll(map[string]any{"token": r.token(anna), "cursor": "e1-0", "client": "a"})
		}
		got := <-r.gw.gone
		if d := time.Since(start) - 75*time.Second; got != (clientKey{anna, "a"}) || d < 10*time.Second || d > 12*time.Second {
			t.Errorf("gone %+v, %v after its last poll", got, d)
		}
	})
}

// stuckWriter is a response whose reader does not read.
type stuckWriter struct {
	*httptest.ResponseRecorder
	writing, goOn chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	w.writing <- struct{}{}
	<-w.goOn
	return w.ResponseRecorder.Write(p)
}

func TestSlowReaderOfAnAnswerHoldsNoSession(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	writing, goOn := make(chan struct{}), make(chan struct{})
	var serving sync.WaitGroup
	for _, req := range []*http.Request{
		r.request("/v1/poll", map[string]any{"token": r.token(anna), "wait": 0}),
		r.get("/v1/poll.js", scriptQuery(r.mintTicket(anna, ""), ""), fromPage(goodPage)),
	} {
		serving.Go(func() { r.server.Handler().ServeHTTP(&stuckWriter{httptest.NewRecorder(), writing, goOn}, req) })
		recv(t, writing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.server.Drain(ctx); err != nil { // waits for sessions
		t.Error(err)
	}
	close(goOn)
	serving.Wait()
}

func TestPollOfAClientThatLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		ctx, cancel := context.WithCancel(t.Context())
		rec := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			req := r.request("/v1/poll", map[string]any{"token": r.token(anna), "cursor": "e1-0"})
			r.server.Handler().ServeHTTP(rec, req.WithContext(ctx))
		}()
		synctest.Wait()
		cancel()
		<-done
		if rec.Body.Len() > 0 || r.gw.subscribers() != 0 {
			t.Errorf("answered %s, %d subscriptions", rec.Body, r.gw.subscribers())
		}
	})
}
