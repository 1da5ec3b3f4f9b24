package sandbox_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway/sandbox"
)

// remote is a pretend amoCRM behind a real socket, as an integration sees it.
type remote struct {
	amo   *sandbox.Amo
	url   string
	token string
}

func newRemote(t *testing.T, cfg sandbox.AmoConfig) *remote {
	t.Helper()
	amo := newCRM(t, cfg)
	srv := httptest.NewServer(amo)
	t.Cleanup(srv.Close)
	return &remote{amo: amo, url: srv.URL, token: tokens(t, amo).Access}
}

// send returns 0 if there was no answer.
func (c *remote) send(ctx context.Context, t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(read)
}

func TestAmoLosesAnswers(t *testing.T) {
	t.Parallel()
	c := newRemote(t, crmConfig())
	const calls = "POST /api/v4/calls"
	for _, step := range []struct {
		fault sandbox.AmoFault
		done  int // calls that are kept after it
	}{
		{sandbox.AmoFault{Pattern: calls, Failure: sandbox.AmoLose, Times: 1}, 1},
		{sandbox.AmoFault{Pattern: calls, Failure: sandbox.AmoCut, Times: 1}, 2},
	} {
		lift := c.amo.Fail(step.fault)
		if status, _ := c.send(t.Context(), t, "POST", "/api/v4/calls", aCall("+79005550111", "")); status != 0 {
			t.Errorf("%+v: %d", step.fault, status)
		}
		if n := len(c.amo.Calls()); n != step.done {
			t.Errorf("%+v: %d calls, want %d", step.fault, n, step.done)
		}
		if status, _ := c.send(t.Context(), t, "POST", "/api/v4/calls", aCall("+79005550111", "")); status != 200 {
			t.Errorf("the next one: %d", status)
		}
		lift()
	}
	// The token endpoint loses answers, too: the refresh has happened.
	c.amo.Fail(sandbox.AmoFault{Pattern: "/oauth2/", Failure: sandbox.AmoLose, Times: 1})
	if status, _ := c.send(t.Context(), t, "POST", "/oauth2/access_token", "{}"); status != 0 {
		t.Errorf("tokens: %d", status)
	}
	for _, r := range c.amo.Requests()[1:] {
		if r.Status != 0 && r.Status != 200 {
			t.Errorf("recorded: %+v", r)
		}
	}
}

func TestAmoHangsUntilItIsReleased(t *testing.T) {
	t.Parallel()
	c := newRemote(t, crmConfig())
	release := c.amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/calls", Failure: sandbox.AmoHang, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan int)
	go func() {
		status, _ := c.send(ctx, t, "POST", "/api/v4/calls", aCall("+79005550111", ""))
		gone <- status
	}()
	for len(c.amo.Requests()) < 2 { // the first got the token
		if status, _ := c.send(t.Context(), t, "GET", "/sandbox/none", ""); status != 404 {
			t.Fatalf("another request: %d", status)
		}
	}
	cancel()
	if status := <-gone; status != 0 {
		t.Errorf("who did not wait: %d", status)
	}
	if n := len(c.amo.Calls()); n != 0 {
		t.Errorf("%d calls of who did not wait", n)
	}
	release()
}

// TestAmoReadsWhatItLetsHang: a server does not see its client go while there is something to be read, and what hung
// would be carried out at its release, long after somebody else has looked whether it was.
func TestAmoReadsWhatItLetsHang(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	release := amo.Hang("POST /api/v4/calls")
	defer release()
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "POST", "/api/v4/calls", io.MultiReader(strings.NewReader(aCall("+79005550111", "")), leaver(leave)))
	r.Header.Set("Authorization", "Bearer "+token)
	amo.ServeHTTP(httptest.NewRecorder(), r)
	if n := len(amo.Calls()); n != 0 {
		t.Errorf("%d calls of who did not wait", n)
	}
}

// TestAmoDoesLateWhatItWasAskedFor: some of its seconds after the client has gone, and at once for one that still waits.
func TestAmoDoesLateWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := crmConfig()
		cfg.Second = time.Minute
		amo := newCRM(t, cfg)
		token := tokens(t, amo).Access
		lift := amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/calls", Failure: sandbox.AmoLate, Late: 3})
		ask := func(ctx context.Context) {
			defer func() { _ = recover() }() // the connection is cut
			r := httptest.NewRequestWithContext(ctx, "POST", "/api/v4/calls", strings.NewReader(aCall("+79005550111", "")))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			amo.ServeHTTP(httptest.NewRecorder(), r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ask(ctx)
		for _, step := range []struct {
			passes time.Duration
			calls  int
		}{{3*time.Minute - time.Second, 0}, {2 * time.Second, 1}} {
			time.Sleep(step.passes) // of the bubble's time
			synctest.Wait()
			if n := len(amo.Calls()); n != step.calls {
				t.Errorf("%v more: %d calls, want %d", step.passes, n, step.calls)
			}
		}
		time.AfterFunc(time.Hour, lift)
		ask(t.Context())
		if n := len(amo.Calls()); n != 2 {
			t.Errorf("%d calls, though somebody waited for the second", n)
		}
	})
}

// leaver is the end of what a client sends, after which it leaves.
type leaver func()

func (leave leaver) Read([]byte) (int, error) {
	leave()
	return 0, io.EOF
}

func TestAmoFailsTheNextFew(t *testing.T) {
	t.Parallel()
	c := newRemote(t, crmConfig())
	for _, status := range []int{429, 403, 500, 503, 504} {
		c.amo.Fail(sandbox.AmoFault{Pattern: "/api/v4/", Status: status, Times: 2})
		for i := range 3 {
			got, body := c.send(t.Context(), t, "GET", "/api/v4/account", "")
			if want := map[bool]int{true: status, false: 200}[i < 2]; got != want || !strings.HasPrefix(body, "{") {
				t.Errorf("request %d of %d: %d %s", i, status, got, body)
			}
		}
	}
	lift := c.amo.Fail(sandbox.AmoFault{Failure: sandbox.AmoBan})
	if status, body := c.send(t.Context(), t, "GET", "/api/v4/account", ""); status != 403 || !strings.HasPrefix(body, "<html>") {
		t.Errorf("banned: %d %s", status, body)
	}
	lift()
	lift()
	if status, _ := c.send(t.Context(), t, "GET", "/api/v4/account", ""); status != 200 {
		t.Errorf("after it: %d", status)
	}
}

func TestAmoFailsAShareThatTheSeedChooses(t *testing.T) {
	t.Parallel()
	pattern := func(seed uint64) (failed string) {
		amo := newCRM(t, crmConfig())
		amo.Fail(sandbox.AmoFault{Pattern: "/api/", Status: 503, Share: 0.3, Seed: seed})
		for range 100 {
			failed += map[int]string{200: ".", 503: "x"}[ask(amo, anna, "GET", "/api/v4/account", "").Code]
		}
		return failed
	}
	first := pattern(1)
	if n := strings.Count(first, "x"); len(first) != 100 || n < 15 || n > 45 {
		t.Errorf("%s", first)
	}
	if pattern(1) != first || pattern(2) == first {
		t.Error("the seed does not choose")
	}
}

func TestAmoTakesHalfABatch(t *testing.T) {
	t.Parallel()
	c := newRemote(t, crmConfig())
	lift := c.amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/", Failure: sandbox.AmoHalf})
	note := `{"entity_id":3001,"note_type":"common","params":{"text":"x"}}`
	if status, _ := c.send(t.Context(), t, "POST", "/api/v4/leads/notes", `[`+note+`,`+note+`,`+note+`,`+note+`]`); status != 504 || len(c.amo.Notes()) != 2 {
		t.Errorf("%d, %d notes", status, len(c.amo.Notes()))
	}
	if status, _ := c.send(t.Context(), t, "POST", "/api/v4/calls", aCall("+79005550111", "")); status != 504 || len(c.amo.Calls()) != 0 {
		t.Errorf("one alone: %d, %d calls", status, len(c.amo.Calls()))
	}
	lift()
}

// TestAmoCountsWhatFails: a client that goes on against a CRM in trouble runs into its limits all the same.
func TestAmoCountsWhatFails(t *testing.T) {
	t.Parallel()
	cfg := crmConfig()
	cfg.RateLimit = 3
	amo := newCRM(t, cfg)
	token := tokens(t, amo).Access
	amo.Refuse("/api/", 500, "")
	codes := map[int]int{}
	for range 5 {
		codes[bear(amo, token, "GET", "/api/v4/account", "").Code]++
	}
	if codes[500] != 3 || codes[429] != 2 {
		t.Errorf("%v", codes)
	}
}
