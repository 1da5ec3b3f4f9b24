package sandbox_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

func pbxPost(h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/actions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPBXActions(t *testing.T) {
	t.Parallel()
	p, err := sandbox.NewPBX(sandbox.PBXConfig{OutsideAnswers: -1})
	must(t, err)
	h := p.Handler()
	var call struct{ Call string }
	for _, c := range []struct{ body, phones string }{
		{`{"action":"ring","extensions":["101","102"],"number":"+7 900 555-01-11","name":"Ivan"}`, "ringing ringing"},
		{`{"action":"answer","extension":"101"}`, "talking idle"},
		{`{"action":"hold","extension":"101"}`, "held idle"},
		{`{"action":"unhold","extension":"101"}`, "talking idle"},
		{`{"action":"transfer","extension":"101","to":"102"}`, "idle ringing"},
		{`{"action":"hangup","extension":"102"}`, "idle idle"},
		{`{"action":"dial","extension":"101","to":"+79005550111"}`, "calling idle"},
		{`{"action":"outside_answer","call":"CALL"}`, "talking idle"},
		{`{"action":"cut"}`, "talking idle"},
		{`{"action":"outside_hangup","call":"CALL"}`, "idle idle"},
		{`{"action":"restore"}`, "idle idle"},
		{`{"action":"unregister","extension":"102"}`, "idle idle"},
		{`{"action":"register","extension":"102"}`, "idle idle"},
	} {
		w := pbxPost(h, strings.Replace(c.body, "CALL", call.Call, 1))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.body, w.Code, w.Body)
		}
		must(t, json.Unmarshal(w.Body.Bytes(), &call))
		var states []string
		for _, ph := range p.Snapshot().Phones {
			states = append(states, string(ph.State))
		}
		if got := strings.Join(states, " "); got != c.phones {
			t.Errorf("after %s the telephones are %s, want %s", c.body, got, c.phones)
		}
	}
}

func TestPBXActionsRefuse(t *testing.T) {
	t.Parallel()
	p, err := sandbox.NewPBX(sandbox.PBXConfig{})
	must(t, err)
	must(t, p.Register("102", false))
	h := p.Handler()
	for _, c := range []struct {
		body   string
		header []string
		status int
		code   gateway.Code
	}{
		{`{`, nil, 400, gateway.CodeInvalid},
		{`{"action":"explode"}`, nil, 400, gateway.CodeInvalid},
		{`{"action":"cut","when":"now"}`, nil, 400, gateway.CodeInvalid},
		{`{"action":"cut"}{"action":"restore"}`, nil, 400, gateway.CodeInvalid},
		{`{"action":"cut"}`, []string{"Content-Type", "text/plain"}, 400, gateway.CodeInvalid},
		{`{"action":"` + strings.Repeat("x", 5000) + `"}`, nil, 413, gateway.CodeTooLarge},
		{`{"action":"ring","extensions":["199"]}`, nil, 404, gateway.CodeNotFound},
		{`{"action":"ring","extensions":["101"],"number":"12"}`, nil, 400, gateway.CodeBadNumber},
		{`{"action":"answer","extension":"101"}`, nil, 409, gateway.CodeRejected},
		{`{"action":"dial","extension":"102","to":"101"}`, nil, 409, gateway.CodeNotRegistered},
	} {
		w := pbxPost(h, c.body, c.header...)
		var problem struct {
			Code   gateway.Code
			Status int
			Detail string
		}
		must(t, json.Unmarshal(w.Body.Bytes(), &problem))
		if w.Code != c.status || problem.Status != c.status || problem.Code != c.code || problem.Detail == "" {
			t.Errorf("%.60s: %d %s, want %d %s and a reason", c.body, w.Code, w.Body, c.status, c.code)
		}
	}
	if s := p.Snapshot(); s.Link.Cut || len(s.Story) > 0 {
		t.Errorf("a refused action did something: %+v", s)
	}
}

func TestPBXRefusesOtherSitesPages(t *testing.T) {
	t.Parallel()
	p, err := sandbox.NewPBX(sandbox.PBXConfig{})
	must(t, err)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if w := pbxPost(p.Handler(), `{"action":"cut"}`, header...); w.Code != http.StatusForbidden {
			t.Errorf("%v: %d", header, w.Code)
		}
	}
	if p.Snapshot().Link.Cut {
		t.Error("another site's page has cut the link")
	}
}

func TestPBXEventStream(t *testing.T) {
	t.Parallel()
	p, err := sandbox.NewPBX(sandbox.PBXConfig{})
	must(t, err)
	srv := httptest.NewServer(p.Handler())
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/events")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %s", kind)
	}
	lines := bufio.NewScanner(res.Body)
	next := func() (s struct {
		Phones []struct{ State string }
		Story  []struct{ What string }
	}) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				must(t, json.Unmarshal([]byte(data), &s))
				return s
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return s
	}
	if s := next(); len(s.Phones) != 2 || s.Phones[0].State != "idle" || s.Story == nil {
		t.Errorf("first %+v", s)
	}
	_, err = p.Ring("", "", "101")
	must(t, err)
	if s := next(); s.Phones[0].State != "ringing" || len(s.Story) != 1 || s.Story[0].What != "call.dial" {
		t.Errorf("after the ring %+v", s)
	}
	must(t, p.PickUp("101"))
	if s := next(); s.Phones[0].State != "talking" {
		t.Errorf("after the answer %+v", s)
	}
}

// checkPBX holds what is true of a PBX whatever was done with it.
func checkPBX(t interface{ Errorf(string, ...any) }, s sandbox.PBXSnapshot) {
	for _, ph := range s.Phones {
		in := slices.ContainsFunc(s.Calls, func(c sandbox.PBXCall) bool {
			return c.ID == ph.Call && slices.Contains(c.Extensions, ph.Extension)
		})
		if idle := ph.State == sandbox.PartyIdle; idle != (ph.Call == "") || idle == in || !idle && !ph.Registered {
			t.Errorf("telephone %+v, calls %+v", ph, s.Calls)
		}
	}
	telephones := 0
	for _, c := range s.Calls {
		outside := slices.ContainsFunc(s.Outside, func(o sandbox.PBXOutside) bool { return o.Call == c.ID })
		if len(c.Extensions) == 0 && !outside { // one may be parked, or handed to another outside
			t.Errorf("a call without anybody lives: %+v", c)
		}
		telephones += len(c.Extensions)
	}
	if telephones > len(s.Phones) || len(s.Story) > 50 { // nobody consults
		t.Errorf("%d calls, %d lines", len(s.Calls), len(s.Story))
	}
	open := map[string]bool{}
	for _, h := range s.Story {
		if h.What == string(gateway.EventDial) {
			open[h.Call] = true
		}
		if h.What == string(gateway.EventMerge) || h.What == string(gateway.EventHangup) && h.Extensions == nil {
			delete(open, h.Call)
		}
	}
	for _, c := range s.Calls {
		delete(open, c.ID)
	}
	if len(open) > 0 {
		t.Errorf("neither live nor hung up: %v", open)
	}
}

func TestPBXStaysWholeWhateverIsPlayed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, err := sandbox.NewPBX(sandbox.PBXConfig{Extensions: []string{"101", "102", "103"}, OutsideAnswers: -1})
		if err != nil {
			t.Fatal(err)
		}
		h := p.Handler()
		ext := rapid.SampledFrom([]string{"101", "102", "103"})
		action := rapid.SampledFrom([]string{
			"ring", "answer", "hangup", "hold", "unhold", "transfer", "dial", "register", "unregister", "outside_answer", "outside_hangup",
		})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			call := ""
			if calls := p.Snapshot().Calls; len(calls) > 0 {
				call = rapid.SampledFrom(calls).Draw(t, "call").ID
			}
			body, err := json.Marshal(map[string]any{
				"action": action.Draw(t, "action"), "extension": ext.Draw(t, "extension"), "call": call,
				"to": rapid.SampledFrom([]string{"101", "102", "103", ivan}).Draw(t, "to"), "number": ivan,
				"extensions": rapid.SliceOfNDistinct(ext, 1, 3, rapid.ID[string]).Draw(t, "extensions"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if w := pbxPost(h, string(body)); w.Code >= 500 {
				t.Fatalf("%s: %d %s", body, w.Code, w.Body)
			}
			checkPBX(t, p.Snapshot())
		}
	})
}

func FuzzPBXActions(f *testing.F) {
	for _, seed := range []string{
		`{"action":"ring","extensions":["101","102"],"number":"+7 900 555-01-11"}`, `{"action":"dial","extension":"101","to":"102"}`,
		`{"action":"cut"}`, `{"action":"ring","extensions":["101"],"number":"","name":"\u0000"}`, `[]`, `null`, `{"action":7}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p, err := sandbox.NewPBX(sandbox.PBXConfig{OutsideAnswers: -1})
		must(t, err)
		if w := pbxPost(p.Handler(), body); w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		checkPBX(t, p.Snapshot())
	})
}
