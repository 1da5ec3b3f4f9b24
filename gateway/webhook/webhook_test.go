package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ringcast/gateway"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

type emitted struct {
	account, pbx string
	events       []gateway.Event
}

// fakeEmitter keeps what it is given.
type fakeEmitter struct {
	got    []emitted
	result gateway.Result
	err    error
}

func (f *fakeEmitter) Emit(_ context.Context, account, pbx string, events []gateway.Event) (gateway.Result, error) {
	f.got = append(f.got, emitted{account, pbx, events})
	return f.result, f.err
}

func post(t *testing.T, emitter *fakeEmitter, account, auth, body string) *http.Response {
	t.Helper()
	h := New(emitter, []string{"acme", "other"}, []PBX{
		{Account: "acme", ID: "main", Key: "key-of-main"}, {Account: "acme", ID: "second", Key: "key-of-second"},
		{Account: "other", ID: "main", Key: "key-of-other"},
	}, func() time.Time { return noon })
	mux := http.NewServeMux()
	mux.Handle("POST /v1/accounts/{account}/events", gateway.Handle(slog.New(slog.DiscardHandler), h.ServeEvents))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/accounts/"+account+"/events", strings.NewReader(body))
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

type problem struct {
	Code   gateway.Code
	Detail string
	Errors []gateway.FieldError
}

func read(t *testing.T, res *http.Response) problem {
	t.Helper()
	var p problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

const dial = `{"event":"call.dial","call":"c1","direction":"inbound","from":"+79991112233","to":"5550101","extension":"101","line":"5550101"}`

func TestEventsAreTaken(t *testing.T) {
	t.Parallel()
	f := &fakeEmitter{result: gateway.Result{Accepted: 2, Duplicates: 1, Unknown: []string{"199"}}}
	body := `[` + dial + `,
		{"event":"call.bridge","call":"c1","extensions":["101","102","101"],"id":"e2","at":"2026-01-31T12:00:01.250+03:00"},
		{"event":"call.hangup","call":"c1","cause":"normal","recording":"https://rec.example/1.mp3"}]`
	res := post(t, f, "acme", "bearer key-of-second", body)
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	if fmt.Sprint(answer) != "map[accepted:2 duplicates:1 unknown_extensions:[199]]" {
		t.Errorf("answer %v", answer)
	}
	if len(f.got) != 1 || f.got[0].account != "acme" || f.got[0].pbx != "second" || len(f.got[0].events) != 3 {
		t.Fatalf("emitted %+v", f.got)
	}
	e := f.got[0].events
	if e[0].From.Raw != "+79991112233" || e[0].Line != "5550101" || !e[0].At.IsZero() || !slices.Equal(e[0].Extensions, []string{"101"}) {
		t.Errorf("dial %+v", e[0])
	}
	if !slices.Equal(e[1].Extensions, []string{"101", "102"}) || !e[1].At.Equal(time.Date(2026, 1, 31, 9, 0, 1, 250e6, time.UTC)) {
		t.Errorf("bridge %+v", e[1])
	}
	if e[2].Recording == "" || e[2].Cause != gateway.CauseNormal {
		t.Errorf("hangup %+v", e[2])
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	many := "[" + strings.TrimSuffix(strings.Repeat(dial+",", MaxEvents+1), ",") + "]"
	tests := []struct {
		name, account, auth, body string
		status                    int
		code                      gateway.Code
	}{
		{"no key", "acme", "", dial, 401, gateway.CodeUnauthorized},
		{"wrong key", "acme", "Bearer nonsense", dial, 401, gateway.CodeUnauthorized},
		{"another account's key", "acme", "Bearer key-of-other", dial, 401, gateway.CodeUnauthorized},
		{"not Bearer", "acme", "Basic key-of-main", dial, 401, gateway.CodeUnauthorized},
		{"empty key", "acme", "Bearer ", dial, 401, gateway.CodeUnauthorized},
		{"unknown account", "nobody", "Bearer key-of-main", dial, 404, gateway.CodeNotFound},
		{"oversized body", "acme", "Bearer key-of-main", strings.Repeat(" ", MaxBody+1), 413, gateway.CodeTooLarge},
		{"too many events", "acme", "Bearer key-of-main", many, 413, gateway.CodeTooLarge},
		{"empty body", "acme", "Bearer key-of-main", "", 400, gateway.CodeInvalid},
		{"empty array", "acme", "Bearer key-of-main", "[]", 400, gateway.CodeInvalid},
		{"malformed JSON", "acme", "Bearer key-of-main", `[` + dial + `,{]`, 400, gateway.CodeInvalid},
		{"not UTF-8", "acme", "Bearer key-of-main", "{\"call\":\"\xff\"}", 400, gateway.CodeInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeEmitter{}
			res := post(t, f, tt.account, tt.auth, tt.body)
			p := read(t, res)
			if res.StatusCode != tt.status || p.Code != tt.code || p.Detail == "" {
				t.Errorf("%d %+v", res.StatusCode, p)
			}
			if ct := res.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
			if len(f.got) != 0 {
				t.Errorf("something was taken: %+v", f.got)
			}
		})
	}
}

func TestFullLogSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	f := &fakeEmitter{err: &gateway.Error{Code: gateway.CodeUnavailable, Message: "full", RetryAfter: 1500 * time.Millisecond}}
	if res := post(t, f, "acme", "Bearer key-of-main", dial); res.StatusCode != 503 || res.Header.Get("Retry-After") != "2" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestBadFieldsAreNamed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, event, fields string }{
		{"nothing at all", `{}`, "call event"},
		{"unknown event", `{"event":"call.explode","call":"c"}`, "event"},
		{"call too long", `{"event":"call.hangup","call":"` + strings.Repeat("ж", 129) + `"}`, "call"},
		{"call not a string", `{"event":"call.hangup","call":5}`, "call"},
		{"not an object", `5`, ""},
		{"dial without its fields", `{"event":"call.dial","call":"c"}`, "direction extension from"},
		{"outbound without a number", `{"event":"call.dial","call":"c","direction":"outbound","extension":"101"}`, "to"},
		{"direction", `{"event":"call.dial","call":"c","direction":"up","from":"","extension":"101"}`, "direction"},
		{"both ways to name extensions", `{"event":"call.bridge","call":"c","extension":"101","extensions":["102"]}`, "extension"},
		{"extension with a space", `{"event":"call.bridge","call":"c","extension":" 101"}`, "extension extension"},
		{"bridge to nobody", `{"event":"call.bridge","call":"c"}`, "extension"},
		{"transfer to nowhere", `{"event":"call.transfer","call":"c"}`, "target"},
		{"merged into itself", `{"event":"call.merge","call":"c","into":"c"}`, "into"},
		{"cause", `{"event":"call.hangup","call":"c","cause":"bored"}`, "cause"},
		{"time", `{"event":"call.hangup","call":"c","at":"yesterday"}`, "at"},
		{"in the future", `{"event":"call.hangup","call":"c","at":"2026-01-31T13:00:00Z"}`, "at"},
		{"recording without a URL", `{"event":"call.recording","call":"c"}`, "recording"},
		{"recording is a script", `{"event":"call.recording","call":"c","recording":"javascript:alert(1)"}`, "recording"},
		{"recording is a file of ours", `{"event":"call.recording","call":"c","recording":"file:/etc/passwd"}`, "recording"},
		{"recording too long", `{"event":"call.recording","call":"c","recording":"https://r.example/` + strings.Repeat("x", 2048) + `"}`, "recording"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeEmitter{}
			p := read(t, post(t, f, "acme", "Bearer key-of-main", `[`+dial+`,`+tt.event+`]`))
			var fields []string
			for _, e := range p.Errors {
				if e.Index != 1 || e.Reason == "" {
					t.Errorf("%+v", e)
				}
				fields = append(fields, e.Field)
			}
			if got := strings.Join(fields, " "); got != tt.fields || p.Code != gateway.CodeInvalid {
				t.Errorf("bad fields %q, want %q: %+v", got, tt.fields, p)
			}
			if len(f.got) != 0 {
				t.Error("the good event of the request was taken")
			}
		})
	}
}

// TestAllBadFieldsAreNamedAtOnce: one that is of a wrong type hides none of the others, and says it in words.
func TestAllBadFieldsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"event":"call.dial","direction":"in","extensions":"101","calll":"1"}`: `extensions: is a text, should be a list of texts
call: is missing: which call is it?
direction: is "in", should be inbound, outbound or internal
from: is missing: "" stands for a withheld number
no field is called calll`,
		`{"Event":"call.hangup","CALL":7,"cause":["busy"],"at":true}`: `call: is a number, should be a text
at: is true or false, should be a text
cause: is a list, should be a text`,
		`{"event":"call.bridge","call":"1","extension":101,"line":{}}`: "extension: is a number, should be a text\nline: is an object, should be a text",
		`{"event":"call.bridge","call":"1","extensions":["101",102]}`:  "extensions: holds a number, should be a list of texts",
		`{"event":"call.bridge","call":"1","extensions":[]}`:           "extensions: is missing: who answered?",
		`{"event":"call.hangup","call":"1","cause":"bored"}`:           `cause: is "bored", should be normal, no_answer, busy, cancelled, rejected or failed`,
		`{"call":"1"}`:    "event: is missing, should be call.dial, call.bridge, call.hold, call.unhold, call.transfer, call.merge, call.hangup or call.recording",
		`["call.hangup"]`: ": is not an event object",
		`[{"event":"call.hangup","call":"1"},{"event":"call.hangup","call":true}]`: "call: is true or false, should be a text",
	} {
		f := &fakeEmitter{}
		p := read(t, post(t, f, "acme", "Bearer key-of-main", body))
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Field+": "+e.Reason)
		}
		if _, more, ok := strings.Cut(p.Detail, "; "); ok {
			got = append(got, more)
		}
		said, wanted := slices.Sorted(slices.Values(got)), slices.Sorted(strings.SplitSeq(want, "\n"))
		if !slices.Equal(said, wanted) || p.Code != gateway.CodeInvalid || len(f.got) > 0 {
			t.Errorf("%s: %s\n%s", body, p.Code, strings.Join(got, "\n"))
		}
	}
}

// TestMisspeltFieldsAreListed: what no field is called is taken, lest a PBX that says more were refused, and told.
func TestMisspeltFieldsAreListed(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"event":"call.hangup","call":"8","cuase":"x"}`:                                                               `{"accepted":1,"duplicates":0,"unknown_fields":["cuase"]}`,
		`[{"event":"call.hangup","call":"8","zone":{"a":1}},{"event":"call.hangup","call":"9","cuase":null,"zone":1}]`: `{"accepted":1,"duplicates":0,"unknown_fields":["cuase","zone"]}`,
		`{"Event":"call.hangup","CALL":"8","name":"\u0041"}`:                                                           `{"accepted":1,"duplicates":0}`,
	} {
		res := post(t, &fakeEmitter{result: gateway.Result{Accepted: 1}}, "acme", "Bearer key-of-main", body)
		said, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusAccepted || string(said) != want+"\n" {
			t.Errorf("%s: %d %s %v", body, res.StatusCode, said, err)
		}
	}

	var crowd strings.Builder // a body full of names is not handed back
	for i := range 1000 {
		fmt.Fprintf(&crowd, `,"%s%d":1`, strings.Repeat("ж", 200), i)
		fmt.Fprintf(&crowd, `,"n%d":1`, i)
	}
	_, unknown, err := Parse([]byte(`{"event":"call.hangup","call":"8"`+crowd.String()+`}`), noon)
	if err != nil || len(unknown) != maxUnknown || slices.ContainsFunc(unknown, func(name string) bool { return utf8.RuneCountInString(name) > maxUnknownName+1 }) {
		t.Errorf("%q, %v", unknown, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(dial))
	f.Add([]byte(`[` + dial + `]`))
	f.Add([]byte(`[{"event":"call.hangup","call":"c","at":"2026-01-31T12:00:00Z"},5,null]`))
	f.Add([]byte(`{"event":"call.bridge","call":"c","extensions":["1" , "2"],"from":"","to":"5","name":"А}","cause":"x","into":"y","line":"z"} `))
	f.Add([]byte(`[{"event":"call.transfer","call":"c","target":"7","id":"\u0031","recording":"http://a/"} , {"call":"c","call":"d"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && utf8.Valid(body) {
			scanned, ok := scan(trimmed)
			if one := trimmed[0] != '['; ok && one {
				agree(t, trimmed, scanned[0])
			} else if ok {
				var all []json.RawMessage
				if err := json.Unmarshal(trimmed, &all); err != nil || len(all) != len(scanned) {
					t.Fatalf("scanned %d events where encoding/json finds %d: %v", len(scanned), len(all), err)
				}
				for i, one := range all {
					agree(t, one, scanned[i])
				}
			}
		}
		events, unknown, err := Parse(body, noon)
		if len(unknown) > maxUnknown {
			t.Errorf("%d unknown fields", len(unknown))
		}
		var e *gateway.Error
		switch {
		case err == nil && len(events) == 0, err == nil && len(events) > MaxEvents:
			t.Errorf("%d events", len(events))
		case err != nil && !errors.As(err, &e):
			t.Errorf("not an error for whoever posted: %v", err)
		}
		for _, e := range events {
			if err == nil && (e.Call == "" || e.Type == "") {
				t.Errorf("taken: %+v", e)
			}
		}
	})
}

// agree checks that encoding/json reads the same event.
func agree(t *testing.T, object []byte, scanned wireEvent) {
	t.Helper()
	var want wireEvent
	if err := json.Unmarshal(object, &want); err != nil || !reflect.DeepEqual(scanned, want) {
		t.Fatalf("%q was read as %+v, encoding/json reads %+v, %v", object, scanned, want, err)
	}
}

// What PBXes send is read without encoding/json.
func TestPlainEventsAreScanned(t *testing.T) {
	t.Parallel()
	for _, body := range []string{dial, `[` + dial + `]`, "[ " + dial + " ,\n" + dial + "\n]"} {
		if events, ok := scan([]byte(body)); !ok || len(events) != strings.Count(body, "{") {
			t.Errorf("%s: %d events, %v", body, len(events), ok)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse([]byte(dial), noon); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAnswersAreEncodingJSONs(t *testing.T) {
	t.Parallel()
	for _, a := range []answer{{}, {Accepted: 500, Duplicates: 12}, {Unknown: []string{"1<", "2"}, Accepted: 2}, {Fields: []string{"cuase"}, Accepted: 1}} {
		want, err := json.Marshal(a)
		if got := string(encode(a)); err != nil || got != string(want)+"\n" {
			t.Errorf("%q, want %q, %v", got, want, err)
		}
	}
}

func TestAccountsComeAndGo(t *testing.T) {
	t.Parallel()
	h := New(&fakeEmitter{}, nil, nil, time.Now)
	want := func(account, key, pbx string, code gateway.Code) {
		t.Helper()
		if got, err := h.Authorize(account, "Bearer "+key); got != pbx || gateway.CodeOf(err) != code {
			t.Errorf("%s with %q: %q %v, want %q %q", account, key, got, err, pbx, code)
		}
	}
	want("acme", "key", "", gateway.CodeNotFound)
	h.Set([]string{"acme"}, []PBX{{Account: "acme", ID: "main", Key: "key"}, {Account: "acme", ID: "keyless"}})
	want("acme", "key", "main", "")
	want("acme", "", "", gateway.CodeUnauthorized) // no key is not the key of who has none
	h.Set([]string{"globex"}, nil)
	want("acme", "key", "", gateway.CodeNotFound)
	want("globex", "key", "", gateway.CodeUnauthorized)
}
