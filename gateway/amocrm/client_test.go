package amocrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// keys are Tokens that a test has in its hand.
type keys struct {
	base string

	mu       sync.Mutex
	tokens   []string // the first is good now
	rejected []string
	err      error
}

func (k *keys) Access(context.Context, string) (Access, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return Access{}, k.err
	}
	if len(k.tokens) == 0 {
		return Access{}, ErrDisconnected
	}
	return Access{BaseURL: k.base, Token: k.tokens[0], ClientID: "client", Integration: "ours"}, nil
}

func (k *keys) Rejected(_ context.Context, _, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rejected = append(k.rejected, token); k.tokens[0] == token {
		k.tokens = k.tokens[1:]
	}
}

// dial returns a client of a server that answers so, whose second is short.
func dial(t *testing.T, answer http.HandlerFunc) (*Client, *keys, *strings.Builder) {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	k, said := &keys{base: srv.URL, tokens: []string{"token-one", "token-two"}}, &strings.Builder{}
	c := NewClient(ClientConfig{
		Tokens: k, Limiter: NewLimiter(Limits{Second: 10 * time.Millisecond}), Timeout: 5 * time.Second,
		Logger: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(c.Close)
	return c, k, said
}

func TestARequestIsAsTheAPIWantsIt(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	c, _, said := dial(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.Header().Set("Content-Type", "application/hal+json")
		_, _ = io.WriteString(w, `{"id":5}`)
	})
	var out struct {
		ID int64 `json:"id"`
	}
	err := c.Do(t.Context(), "acme", Request{
		Method: http.MethodPost, Path: "/api/v4/calls", Query: url.Values{"query": {"9991112233"}}, Body: []map[string]int{{"a": 1}},
	}, &out)
	if err != nil || out.ID != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
	if h := got.Header; h.Get("Authorization") != "Bearer token-one" || h.Get("User-Agent") != "Ringcast" || h.Get("Content-Type") != "application/json" ||
		h.Get("X-Client-UUID") != "client" || got.URL.RequestURI() != "/api/v4/calls?query=9991112233" || body != `[{"a":1}]` {
		t.Errorf("%s %v %s", got.URL, h, body)
	}
	if s := said.String(); strings.Contains(s, "token-one") || strings.Contains(s, "9991112233") {
		t.Errorf("the log says too much: %s", s)
	}
}

func TestNothingFoundIsNoError(t *testing.T) {
	t.Parallel()
	c, _, _ := dial(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	out := []int{7}
	if err := c.Do(t.Context(), "acme", Request{Method: http.MethodGet, Path: "/api/v4/contacts"}, &out); err != nil || len(out) != 1 {
		t.Errorf("%v, %v", out, err)
	}
}

func TestAProblemIsToldInFull(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Error{
		`{"title":"Bad Request","status":400,"detail":"Request validation failed","validation-errors":[{"request_id":"c1","errors":[{"code":"FieldMissing","path":"phone","detail":"This field is missing."}]}]}`: {Status: 400,
			Title: "Bad Request", Detail: "Request validation failed", Fields: []FieldError{{"c1", "FieldMissing", "phone", "This field is missing."}}},
		`{"_total_items":0,"errors":[{"title":"Entity not found","status":400,"detail":"","request_id":0}]}`: {Status: 400,
			Title: "Bad Request", Fields: []FieldError{{"0", "400", "", "Entity not found"}}},
		`{"hint":"Check it","title":"T"}`:  {Status: 400, Title: "T", Detail: "Check it"},
		`[]`:                               {Status: 400, Title: "Bad Request"},
		`<html>`:                           {Status: 400, Title: "Bad Request"},
		`{"errors":{"odd":1},"title":"T"}`: {Status: 400, Title: "T"},
	} {
		c, _, _ := dial(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "r-1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, body)
		})
		err := c.Do(t.Context(), "acme", Request{Method: http.MethodPost, Path: "/api/v4/calls"}, nil)
		var got *Error
		if !errors.As(err, &got) {
			t.Fatalf("%s: %v", body, err)
		}
		want.RequestID = "r-1"
		if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v", body, *got)
		}
	}
}

func TestARefusedTokenIsReportedAndTheNextOneTried(t *testing.T) {
	t.Parallel()
	bad := map[string]bool{"Bearer token-one": true}
	c, k, _ := dial(t, func(w http.ResponseWriter, r *http.Request) {
		if bad[r.Header.Get("Authorization")] {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		data, _ := io.ReadAll(r.Body)
		_, _ = w.Write(data)
	})
	var out string
	if err := c.Do(t.Context(), "acme", Request{Method: http.MethodPost, Path: "/", Body: "all of it"}, &out); err != nil || out != "all of it" {
		t.Errorf("%q, %v", out, err)
	}
	bad["Bearer token-two"] = true
	if err := c.Do(t.Context(), "acme", Request{Path: "/", Method: http.MethodGet}, nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	if strings.Join(k.rejected, " ") != "token-one token-two" {
		t.Errorf("reported: %v", k.rejected)
	}
	k.err = errors.New("the tokens rest")
	var got *Error
	if err := c.Do(t.Context(), "acme", Request{Path: "/", Method: http.MethodGet}, nil); !errors.As(err, &got) || got.Sent || got.Status != 0 {
		t.Errorf("got %v", err)
	}
}

// TestOnlyTwoTokensAreTried: a CRM that refuses every token is not asked for ever.
func TestOnlyTwoTokensAreTried(t *testing.T) {
	t.Parallel()
	c, k, _ := dial(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	k.tokens = append(k.tokens, "token-three", "token-four")
	if err := c.Do(t.Context(), "acme", Request{Path: "/", Method: http.MethodGet}, nil); !isStatus(err, http.StatusUnauthorized) || len(k.rejected) != 2 {
		t.Errorf("%v after %v", err, k.rejected)
	}
}

// TestSentSaysWhetherTheRequestMayHaveBeenCarriedOut is what keeps calls from being logged twice.
func TestSentSaysWhetherTheRequestMayHaveBeenCarriedOut(t *testing.T) {
	t.Parallel()
	status := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		sent   bool
	}{
		"refused":    {status(400, "{}"), 400, false},
		"too many":   {status(429, "{}"), 429, false},
		"redirected": {status(302, ""), 302, false},
		"broken":     {status(500, ""), 500, true},
		"gateway":    {status(504, ""), 504, true},
		"no JSON":    {status(200, "<html>"), 200, true},
		"reset":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, true},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"id":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 200, true},
	} {
		client, _, _ := dial(t, c.answer)
		err := client.Do(t.Context(), "acme", Request{Method: http.MethodPost, Path: "/api/v4/calls", Body: 1}, &struct{}{})
		var got *Error
		if !errors.As(err, &got) || got.Status != c.status || got.Sent != c.sent {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}

	release := make(chan struct{})
	client, k, _ := dial(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // so that the server sees the client go
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	client.cfg.Timeout = 50 * time.Millisecond
	var got *Error
	if err := client.Do(t.Context(), "acme", Request{Method: http.MethodPost, Path: "/hangs", Body: 1}, nil); !errors.As(err, &got) || !got.Sent || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("it hangs: %v", err)
	}

	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.base = "http://" + closed.Addr().String()
	_ = closed.Close()
	if err := client.Do(t.Context(), "acme", Request{Method: http.MethodPost, Path: "/?secret", Body: 1}, nil); !errors.As(err, &got) || got.Sent || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestABanIsTold(t *testing.T) {
	t.Parallel()
	for body, banned := range map[string]bool{"": true, "<html>Blocked</html>": true, "{}": true, `"no"`: true,
		`{"title":"Forbidden","status":403}`: false, `{"detail":"No right"}`: false} {
		asked := 0
		c, k, said := dial(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, body)
		})
		var first, second *Error
		if err := c.Do(t.Context(), "acme", Request{Method: http.MethodGet, Path: "/"}, nil); !errors.As(err, &first) || first.Sent || first.ban != banned || (first.RetryAfter > 0) != banned {
			t.Errorf("%q: %#v", body, first)
		}
		if err := c.Do(t.Context(), "acme", Request{Method: http.MethodGet, Path: "/", Urgent: true}, nil); !errors.As(err, &second) || second.Status != http.StatusForbidden {
			t.Errorf("%q: %v", body, err)
		}
		_, why := c.cfg.Limiter.Stopped(k.base, "ours")
		if want := map[bool]int{true: 1, false: 2}[banned]; asked != want || (why != nil) != banned || strings.Contains(said.String(), "level=ERROR") != banned {
			t.Errorf("%q: asked %d times, stopped by %v\n%s", body, asked, why, said)
		}
	}
}

func TestNoNullIsEverSent(t *testing.T) {
	t.Parallel()
	f := &facts{}
	for _, body := range []any{
		callBody{callParams: f.params("")}, noteBody{Params: f.params("")}, contactBody{}, f.contact(), leadBody{}, sipBody{}, taskBody{},
		newParts{Leads: []leadBody{{Embedded: &newParts{}}}},
	} {
		data, err := json.Marshal(body)
		if err != nil || strings.Contains(string(data), "null") {
			t.Errorf("%T: %s %v", body, data, err)
		}
	}
	if data, _ := json.Marshal(callBody{}); !strings.Contains(string(data), `"duration":0`) {
		t.Errorf("a call without talk: %s", data)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add(400, "application/problem+json", `{"title":"x","validation-errors":[{"request_id":1,"errors":[{"code":2,"path":"p","detail":"d"}]}]}`)
	f.Add(403, "text/html", "<html>")
	f.Add(400, "application/json", `{"errors":[{"request_id":{},"code":[]}]}`)
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		e := &Error{Status: status}
		e.explain(&http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}}, []byte(body))
		if e.Error() == "" || e.ban && status != http.StatusForbidden {
			t.Errorf("%+v", e)
		}
		_, _, _ = e.aboutNobody(), e.aboutUsers(), e.mend()
	})
}
