package push

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

const (
	callback = "__ringcast.cb1"
	goodPage = goodOrigin + "/leads/list/"
)

// scriptAnswer is what an answer calls the callback with.
type scriptAnswer struct {
	pollAnswer
	Ticket string `json:"ticket"`
	Error  *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		RetryIn []int  `json:"retry_in"`
	} `json:"error"`
}

var scriptPattern = regexp.MustCompile(`^/\*\*/typeof (__ringcast\.[a-z][a-z0-9]{0,15})==='function'&&(__ringcast\.[a-z][a-z0-9]{0,15})\((\{.*\})\);$`)

func parseScript(t testing.TB, status int, header http.Header, body []byte) (a scriptAnswer) {
	t.Helper()
	parts := scriptPattern.FindSubmatch(body)
	if status != http.StatusOK || len(parts) != 4 || string(parts[1]) != callback || string(parts[2]) != callback {
		t.Fatalf("script answered %d %s", status, body)
	}
	if strings.ContainsAny(string(parts[3]), "<>&\u2028\u2029\n") {
		t.Errorf("not escaped: %s", parts[3])
	}
	for name, want := range map[string]string{
		"Content-Type": "application/javascript; charset=utf-8", "Cache-Control": "no-store, no-transform",
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin", "X-Accel-Buffering": "no",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if err := json.Unmarshal(parts[3], &a); err != nil || (a.Error == nil) == (a.Messages == nil) {
		t.Fatalf("script's argument %s (%v)", parts[3], err)
	}
	return a
}

// fromPage makes a request the loading of a script by a page.
func fromPage(page string) func(*http.Request) {
	return func(req *http.Request) {
		req.Header.Del("Origin")
		req.Header.Set("Referer", page)
		req.Header.Set("Sec-Fetch-Dest", "script")
		req.Header.Set("Sec-Fetch-Mode", "no-cors")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
	}
}

func scriptQuery(ticket, cursor string, more ...string) url.Values {
	q := url.Values{"ticket": {ticket}, "callback": {callback}, "wait": {"0"}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}

func (r *rig) script(q url.Values) scriptAnswer {
	r.t.Helper()
	resp, body := r.do(r.get("/v1/poll.js", q, fromPage(goodPage)))
	return parseScript(r.t, resp.StatusCode, resp.Header, body)
}

// callScript polls without a socket.
func (r *rig) callScript(q url.Values) scriptAnswer {
	rec := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(rec, r.get("/v1/poll.js", q, fromPage(goodPage)))
	return parseScript(r.t, rec.Code, rec.Header(), rec.Body.Bytes())
}

func TestScriptFirstVisitThenResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.publish(anna, 0)
	first := r.script(scriptQuery(r.ticket(r.token(anna), "a"), ""))
	if first.Cursor != "e1-1" || len(first.Messages) != 1 || first.Messages[0].Type != "hello" {
		t.Fatalf("first visit: %+v", first)
	}
	r.gw.publish(anna, 0)
	r.gw.publish(boris, 0)
	r.gw.publish(anna, 0)
	var again scriptAnswer
	for range 2 { // the answer may be lost: the same ticket and cursor bring it again, with the same successor
		a := r.script(scriptQuery(first.Ticket, "e1-1"))
		if a.Cursor != "e1-3" || len(a.Messages) != 2 || a.Messages[0].Prev != "e1-1" || a.Messages[1].Prev != "e1-2" || a.Ticket == first.Ticket {
			t.Errorf("resume: %+v", a)
		}
		if again.Ticket != "" && again.Ticket != a.Ticket {
			t.Error("another successor")
		}
		again = a
	}
	if a := r.script(scriptQuery(again.Ticket, "e1-3")); a.Cursor != "e1-3" || len(a.Messages) != 0 {
		t.Errorf("nothing new: %+v", a)
	}
	if a := r.script(scriptQuery(first.Ticket, "e1-3")); a.Error == nil || a.Error.Code != "ticket_used" {
		t.Errorf("after the successor: %+v", a)
	}
}

func TestScriptWaitsNoLongerThan20Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		for wait, want := range map[string]time.Duration{"": 20 * time.Second, "3": 3 * time.Second, "0.5": 500 * time.Millisecond, "1e9": 20 * time.Second, "Inf": 20 * time.Second, "-1": 0} {
			q := scriptQuery(r.mintTicket(anna, ""), "e1-0", "wait", wait)
			if wait == "" {
				q.Del("wait")
			}
			start := time.Now()
			if a := r.callScript(q); a.Cursor != "e1-0" || len(a.Messages) != 0 || time.Since(start) != want {
				t.Errorf("wait %q: %+v after %v", wait, a, time.Since(start))
			}
		}
		for _, wait := range []string{"long", "NaN", ""} {
			rec := httptest.NewRecorder()
			r.server.Handler().ServeHTTP(rec, r.get("/v1/poll.js", scriptQuery(r.mintTicket(anna, ""), "e1-0", "wait", wait), fromPage(goodPage)))
			if rec.Code != http.StatusBadRequest || problemCode(t, rec.Body.Bytes()) != gateway.CodeInvalid {
				t.Errorf("wait %q: %d %s", wait, rec.Code, rec.Body)
			}
		}
	})
}

func TestScriptCarriesACommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		ticket := r.mintTicket(anna, "a")
		older := make(chan scriptAnswer, 1)
		go func() { older <- r.callScript(scriptQuery(ticket, "e1-0", "wait", "20")) }()
		synctest.Wait()
		start := time.Now()
		a := r.callScript(scriptQuery(ticket, "e1-0", "wait", "20", "command", `{"id":"k1","action":"call","to":"+380991234567"}`))
		if len(a.Messages) != 1 || a.Messages[0].Type != "reply" || a.Messages[0].ID != "k1" || !a.Messages[0].OK ||
			string(a.Messages[0].Call) != `"acme/1/call/+380991234567"` || time.Since(start) != 0 {
			t.Errorf("%+v after %v", a, time.Since(start))
		}
		if late := <-older; len(late.Messages) != 0 || late.Ticket != a.Ticket || late.Cursor != "e1-0" {
			t.Errorf("the older poll: %+v", late)
		}
	})
}

func TestScriptCommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for command, code := range map[string]gateway.Code{
		`{"action":"call","to":"1"}`:                  gateway.CodeInvalid, // no id
		`{"id":"1","action":"renew","token":"x.y.z"}`: gateway.CodeInvalid,
		`null`: gateway.CodeInvalid,
	} {
		a := r.script(scriptQuery(r.ticket(r.token(anna), ""), "e1-0", "command", command))
		if len(a.Messages) != 1 || a.Messages[0].Error == nil || a.Messages[0].Error.Code != code {
			t.Errorf("%s: %+v", command, a)
		}
	}
	for _, command := range []string{"{", `{"x":"` + strings.Repeat("x", maxFrame) + `"}`} {
		resp, body := r.do(r.get("/v1/poll.js", scriptQuery(r.ticket(r.token(anna), ""), "e1-0", "command", command), fromPage(goodPage)))
		if resp.StatusCode != http.StatusBadRequest || problemCode(t, body) != gateway.CodeInvalid {
			t.Errorf("%.10s: %d %s", command, resp.StatusCode, body)
		}
	}
}

func TestScriptErrorsThatAClientMustSee(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.PerUser = 1 })
	gone := r.mintTicket(boris, "")
	used := r.mintTicket(anna, "")
	first := r.script(scriptQuery(used, "e1-0"))
	second := r.script(scriptQuery(first.Ticket, "e1-0"))
	r.dir.revoke("acme", "2")
	want := func(ticket string, code gateway.Code) scriptAnswer {
		t.Helper()
		a := r.script(scriptQuery(ticket, "e1-0"))
		if a.Error == nil || a.Error.Code != string(code) || a.Error.Message == "" {
			t.Errorf("%+v, want %s", a, code)
		}
		return a
	}
	want("x.y.z", gateway.CodeBadToken)
	want("", gateway.CodeBadToken)
	want(used, gateway.CodeTicketUsed)
	want(gone, gateway.CodeRevoked)
	tab, _ := r.enter(anna, "")
	if a := want(second.Ticket, gateway.CodeTooMany); len(a.Error.RetryIn) != 2 || a.Error.RetryIn[0] < 1000 {
		t.Errorf("%+v", a.Error)
	}
	_ = tab.ws.Close()
	fresh := r.mintTicket(anna, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.server.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if a := want(fresh, gateway.CodeDraining); len(a.Error.RetryIn) != 2 || a.Error.RetryIn[0] >= a.Error.RetryIn[1] {
		t.Errorf("%+v", a.Error)
	}
}

func TestScriptSaysByeWhenItDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		answer := make(chan scriptAnswer, 1)
		go func() { answer <- r.callScript(scriptQuery(r.mintTicket(anna, ""), "e1-0", "wait", "20")) }()
		synctest.Wait()
		if err := r.server.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := <-answer; len(a.Messages) != 1 || a.Messages[0].Code != "draining" || a.Ticket == "" {
			t.Errorf("%+v", a)
		}
	})
}

func TestCallbackInjection(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, evil := range []string{
		"", "alert", "alert(1)//", "__ringcast", "__ringcast.", "__ringcast.A", "__ringcast.1", "__ringcast.0a", "__ringcast.a.b", "__ringcast.a(1)", "__ringcast.a;x",
		"__ringcast.a\n", "__ringcast.a\u2028", "__ringcast.\u0430", "__ringcast.0123456789abcdefg", "x__ringcast.a", "window.__ringcast.a",
		"__ringcast.a<script>", "__ringcast['a']", "__ringcast.constructor.x", "__ringcast.__proto__", "CWSMIKI0hCD0Up0IZUnnnnnnnn",
	} {
		q := scriptQuery(r.mintTicket(anna, ""), "e1-0")
		q.Set("callback", evil)
		resp, body := r.do(r.get("/v1/poll.js", q, fromPage(goodPage)))
		if resp.StatusCode != http.StatusBadRequest || problemCode(t, body) != gateway.CodeInvalid ||
			!strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %d %s", evil, resp.StatusCode, body)
		}
	}
}

func TestCallersNameCannotEndTheScript(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const name = "</script><script>alert(1)</script>\u2028\u2029&\"'\\ '+alert(1)+'"
	raw, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		t.Fatal(err)
	}
	unescaped := json.RawMessage(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(string(raw)))
	for _, call := range []json.RawMessage{raw, unescaped} { // escaped already, or not
		r.gw.append(anna, call)
	}
	a := r.script(scriptQuery(r.ticket(r.token(anna), ""), "e1-0")) // looks at the bytes, too
	if len(a.Messages) != 2 {
		t.Fatalf("%+v", a)
	}
	for _, m := range a.Messages {
		var got struct{ Name string }
		if err := json.Unmarshal(m.Call, &got); err != nil || got.Name != name {
			t.Errorf("%s (%v)", m.Call, err)
		}
	}
	stream, _ := r.enterEvents(anna, "e1-0")
	for range 2 {
		stream.next() // one line, whatever the name
	}
}

func TestStrangersPageGetsNoScript(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, c := range map[string]struct {
		referer, dest, site, origin string
		want                        int
	}{
		"allowed page":                      {goodPage, "script", "cross-site", "", 200},
		"old browser":                       {goodPage, "", "", "", 200},
		"old browser without referer":       {"", "", "", "", 200},
		"same site without referer":         {"", "script", "same-site", "", 200},
		"with crossorigin":                  {goodPage, "script", "cross-site", goodOrigin, 200},
		"another site":                      {"https://evil.example/x", "script", "cross-site", "", 403},
		"another site that hides itself":    {"", "script", "cross-site", "", 403},
		"lookalike":                         {"https://acme.amocrm.ru.evil.example/", "", "", "", 403},
		"domain itself":                     {"https://amocrm.ru/", "", "", "", 403},
		"userinfo":                          {"https://acme.amocrm.ru@evil.example/", "", "", "", 403},
		"another site behind crossorigin":   {goodPage, "script", "cross-site", "https://evil.example", 403},
		"referer that is no URL":            {"::", "", "", "", 403},
		"referer of a file":                 {"file:///home/x.html", "", "", "", 403},
		"fetched":                           {goodPage, "empty", "cross-site", "", 403},
		"as an image":                       {goodPage, "image", "cross-site", "", 403},
		"navigated to":                      {goodPage, "document", "cross-site", "", 403},
		"framed":                            {goodPage, "iframe", "cross-site", "", 403},
		"http page of an https-only origin": {"http://acme.amocrm.ru/", "", "", "", 403},
	} {
		set := func(req *http.Request) {
			req.Header.Del("Origin")
			for header, value := range map[string]string{"Referer": c.referer, "Sec-Fetch-Dest": c.dest, "Sec-Fetch-Site": c.site, "Origin": c.origin} {
				if value != "" {
					req.Header.Set(header, value)
				}
			}
		}
		resp, body := r.do(r.get("/v1/poll.js", scriptQuery(r.mintTicket(anna, ""), "e1-0"), set))
		switch {
		case resp.StatusCode != c.want:
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		case c.want == http.StatusOK:
			parseScript(t, resp.StatusCode, resp.Header, body)
		case problemCode(t, body) != gateway.CodeOrigin || strings.Contains(string(body), callback):
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestNewerScriptEndsTheOlder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		poll := func(ticket string) chan scriptAnswer {
			answer := make(chan scriptAnswer, 1)
			go func() { answer <- r.callScript(scriptQuery(ticket, "e1-0", "wait", "20")) }()
			synctest.Wait()
			return answer
		}
		ticket := r.mintTicket(anna, "a")
		older, newer := poll(ticket), poll(ticket)
		late := <-older
		r.gw.publish(anna, 0)
		if a := <-newer; len(a.Messages) != 1 || len(late.Messages) != 0 || late.Ticket == "" || late.Ticket != a.Ticket {
			t.Errorf("%+v after %+v", a, late)
		}
	})
}

func TestReplayedCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	dialled := map[string]int{}
	r.gw.onCommand = func(cmd gateway.Command) gateway.Reply { // as the gateway does: once per id
		key := fmt.Sprint(cmd.Account, "/", cmd.User, "/", cmd.ID)
		dialled[key]++
		return gateway.Reply{ID: cmd.ID, OK: true, Call: key}
	}
	ticket := r.ticket(r.token(anna), "")
	command := `{"id":"k1","action":"call","to":"1","user":"2","account":"globex"}`
	next := ""
	for range 3 { // a proxy or a thief repeats the URL
		a := r.script(scriptQuery(ticket, "e1-0", "command", command))
		if len(a.Messages) != 1 || string(a.Messages[0].Call) != `"acme/1/k1"` {
			t.Errorf("%+v", a)
		}
		next = a.Ticket
	}
	r.script(scriptQuery(next, "e1-0"))
	if a := r.script(scriptQuery(ticket, "e1-0", "command", command)); a.Error == nil || a.Error.Code != "ticket_used" {
		t.Errorf("after the successor: %+v", a)
	}
	if len(dialled) != 1 || dialled["acme/1/k1"] != 3 {
		t.Errorf("the gateway was asked for %v", dialled)
	}
}
