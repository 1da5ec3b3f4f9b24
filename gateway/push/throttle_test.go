package push

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"ringcast/gateway"
)

// inTime runs a test with a server that has no network, in a bubble.
func inTime(t *testing.T, change func(*Config), test func(t *testing.T, r *rig)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, change)
		defer r.close()
		test(t, r)
	})
}

// unlimited lets one user do as much as a fuzzer does. Before anything is served.
func (r *rig) unlimited() {
	r.server.hub.limits.PerUser = 1 << 30
	for _, throttle := range []*throttle{r.server.commands, r.server.frames, r.server.polls} {
		throttle.limit = rate.Inf
	}
}

// ask serves a POST without a network.
func (r *rig) ask(path string, who userKey, body map[string]any) *httptest.ResponseRecorder {
	r.t.Helper()
	body["token"] = r.token(who)
	rec := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(rec, r.request(path, body))
	return rec
}

func wantTooMany(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	if rec.Code != http.StatusTooManyRequests || problemCode(t, rec.Body.Bytes()) != gateway.CodeTooMany || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s %v", rec.Code, rec.Body, rec.Header())
	}
}

func TestFloodOfCommandsOverHTTP(t *testing.T) {
	inTime(t, nil, func(t *testing.T, r *rig) {
		command := func(who userKey, id int) *httptest.ResponseRecorder { // each client has a name of its own
			return r.ask("/v1/actions", who, map[string]any{"client": fmt.Sprint(id), "id": fmt.Sprint(id), "action": "call"})
		}
		for i := range commandsPerWindow {
			if rec := command(anna, i); rec.Code != http.StatusOK {
				t.Fatalf("number %d: %d %s", i, rec.Code, rec.Body)
			}
		}
		wantTooMany(t, command(anna, 100))
		// What rides on a poll counts, too, and is refused as its reply.
		a := r.callScript(scriptQuery(r.mintTicket(anna, "a"), "e1-0", "command", `{"id":"x","action":"call"}`))
		if len(a.Messages) != 1 || a.Messages[0].ID != "x" || a.Messages[0].Error == nil || a.Messages[0].Error.Code != gateway.CodeTooMany {
			t.Errorf("%+v", a)
		}
		if rec := command(boris, 100); rec.Code != http.StatusOK {
			t.Errorf("another user: %d %s", rec.Code, rec.Body)
		}
		if rec := r.ask("/v1/actions", anna, map[string]any{"client": "0", "action": "shown", "call": "main:1"}); rec.Code != http.StatusOK {
			t.Errorf("a notice: %d %s", rec.Code, rec.Body)
		}
		time.Sleep(frameWindow)
		for i := range commandsPerWindow {
			if rec := command(anna, i); rec.Code != http.StatusOK {
				t.Fatalf("later, number %d: %d %s", i, rec.Code, rec.Body)
			}
		}
		time.Sleep(time.Minute)
		for _, t2 := range []*throttle{r.server.commands, r.server.frames, r.server.polls} {
			t2.mu.Lock()
			if n := len(t2.users); n != 0 {
				t.Errorf("%d users are remembered of %s", n, t2.what)
			}
			t2.mu.Unlock()
		}
	})
}

func TestFloodOfNoticesOverHTTP(t *testing.T) {
	inTime(t, nil, func(t *testing.T, r *rig) {
		notice := func(who userKey) *httptest.ResponseRecorder {
			return r.ask("/v1/actions", who, map[string]any{"client": "a", "action": "visible", "visible": true})
		}
		for range floodPerWindow {
			if rec := notice(anna); rec.Code != http.StatusOK {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		wantTooMany(t, notice(anna))
		if rec := notice(boris); rec.Code != http.StatusOK {
			t.Errorf("another user: %d %s", rec.Code, rec.Body)
		}
	})
}

func TestFloodOfPolls(t *testing.T) {
	inTime(t, nil, func(t *testing.T, r *rig) {
		poll := func(who userKey) *httptest.ResponseRecorder {
			return r.ask("/v1/poll", who, map[string]any{"wait": 0})
		}
		for range pollsPerWindow {
			if rec := poll(anna); rec.Code != http.StatusOK {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		wantTooMany(t, poll(anna))
		if a := r.callScript(scriptQuery(r.mintTicket(anna, "a"), "")); a.Error == nil || a.Error.Code != "too_many" || len(a.Error.RetryIn) != 2 {
			t.Errorf("%+v", a)
		}
		if rec := poll(boris); rec.Code != http.StatusOK {
			t.Errorf("another user: %d %s", rec.Code, rec.Body)
		}
	})
}

// Each name that a page makes up would be kept for as long as a lease lasts.
func TestFloodOfClientNames(t *testing.T) {
	inTime(t, func(c *Config) { c.Limits.PerUser = 2 }, func(t *testing.T, r *rig) {
		poll := func(client string) *httptest.ResponseRecorder {
			return r.ask("/v1/poll", anna, map[string]any{"client": client, "wait": 0})
		}
		for i := range 2 * leasesPerSession {
			if rec := poll(fmt.Sprint(i)); rec.Code != http.StatusOK {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		wantTooMany(t, poll("another"))
		wantTooMany(t, r.ask("/v1/actions", anna, map[string]any{"id": "another", "action": "call"}))
		if rec := poll("0"); rec.Code != http.StatusOK {
			t.Errorf("one of them: %d %s", rec.Code, rec.Body)
		}
		time.Sleep(time.Minute)
		if rec := poll("another"); rec.Code != http.StatusOK {
			t.Errorf("when they have gone: %d %s", rec.Code, rec.Body)
		}
	})
}
