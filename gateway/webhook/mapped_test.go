package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// rig is a Mapped with one PBX, and what came of it.
type rig struct {
	fakeEmitter
	handler http.Handler
	counts  map[string]int
	log     bytes.Buffer
}

func newRig(m *Mapping) *rig {
	r := &rig{counts: map[string]int{}}
	logger := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	mapped := NewMapped(MappedConfig{
		Emitter: &r.fakeEmitter, Logger: logger, Now: func() time.Time { return noon },
		PBXes: []MappedPBX{{"acme", "cloud", m}, {"other", "cloud", &Mapping{Encoding: EncodingJSON, Auth: Auth{Key: "key-of-other"}}}},
		ClientAddr: func(r *http.Request) string {
			if addr := netip.MustParseAddrPort(r.RemoteAddr).Addr(); !addr.IsLoopback() {
				return addr.String()
			}
			return r.Header.Get("X-Forwarded-For")
		},
		Count: func(_, _, what string, n int) { r.counts[what] += n },
	})
	mux := http.NewServeMux()
	for _, path := range []string{"", "/{rest...}"} {
		path = "/v1/accounts/{account}/pbx/{pbx}/events" + path
		mux.Handle("POST "+path, gateway.Handle(logger, mapped.ServeEvents))
		mux.Handle("GET "+path, gateway.Handle(logger, mapped.ServeGet))
	}
	r.handler = mux
	return r
}

// send posts to acme's PBX; each header is a name and a value.
func (r *rig) send(t testing.TB, rest, body string, header ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/accounts/acme/pbx/cloud/events"+rest, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Result()
}

// events are all that were taken.
func (r *rig) events() (all []gateway.Event) {
	for _, e := range r.got {
		all = append(all, e.events...)
	}
	return all
}

func text(s string) Text {
	t, err := ParseText(s)
	if err != nil {
		panic(err)
	}
	return t
}

func from(texts ...string) Value {
	v := Value{}
	for _, s := range texts {
		v.From = append(v.From, text(s))
	}
	return v
}

func path(s string) Path {
	p, err := ParsePath(s)
	if err != nil {
		panic(err)
	}
	return p
}

// readsJSON is a mapping of JSON whose requests carry a bearer key.
func readsJSON(set map[string]Value, rules ...Rule) *Mapping {
	return &Mapping{Encoding: EncodingJSON, Auth: Auth{Key: "k"}, Fields: Fields{Values: set}, Rules: rules}
}

var bearer = []string{"Authorization", "Bearer k"}

func TestValues(t *testing.T) {
	t.Parallel()
	const body = `{"a":"x","n":79991112233,"big":1e3,"yes":true,"none":null,"empty":"","o":{"p":["q",{"r":"s"}]},"ж ь":"odd","sip":"sip:101@pbx"}`
	for _, tt := range []struct {
		name  string
		value Value
		want  string
	}{
		{"path", from("$.a"), "x"},
		{"number as written", from("$.n"), "79991112233"},
		{"number with an exponent", from("$.big"), "1e3"},
		{"truth", from("$.yes"), "true"},
		{"null", from("$.none"), ""},
		{"missing below missing", from("$.x.y[3].z"), ""},
		{"an object is no text", from("$.o"), ""},
		{"place in a list", from("$.o.p[0]"), "q"},
		{"member in a list", from("$.o.p[1].r"), "s"},
		{"beyond a list", from("$.o.p[2]"), ""},
		{"odd name", from("$['ж ь']"), "odd"},
		{"constant", from("fixed"), "fixed"},
		{"template", from("{$.a}-{$.o.p[0]} {{}}"), "x-q {}"},
		{"template of which something is missing", from("{$.a}-{$.none}"), ""},
		{"first that is not empty", from("$.none", "{$.a}{$.empty}", "$.a", "$.n"), "x"},
		{"group", Value{From: from("$.sip").From, Match: regexp.MustCompile(`^sip:(\d+)@`)}, "101"},
		{"no match", Value{From: from("$.a").From, Match: regexp.MustCompile(`^sip:(\d+)@`)}, ""},
		{"strip", Value{From: from("$.n").From, Strip: []string{"8", "7"}}, "9991112233"},
		{"values", Value{From: from("$.a").From, Values: map[string]string{"x": "y"}}, "y"},
		{"else", Value{From: from("$.n").From, Values: map[string]string{"x": "y"}, Else: "z"}, "z"},
		{"keep", Value{From: from("$.n").From, Values: map[string]string{"x": "y"}, Keep: true}, "79991112233"},
		{"empty is translated", Value{From: from("$.none").From, Values: map[string]string{"": "y"}}, "y"},
		{"empty is not refused", Value{From: from("$.none").From, Values: map[string]string{"x": "y"}}, ""},
		{"path of the URL", from("$path"), "call/in"},
		{"query", from("$query.q"), "1"},
		{"header", from("$header.X-Who"), "me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c"), "name": tt.value}))
			res := r.send(t, "/call/in?q=1", body, append(bearer, "X-Who", "me")...)
			if events := r.events(); len(events) != 1 || events[0].Name != tt.want {
				t.Errorf("%d %+v, want %q", res.StatusCode, events, tt.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	moscow, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	seq := text("$.seq")
	for _, tt := range []struct {
		name, text string
		time       Time
		want       string // "": none; "refused"
	}{
		{"RFC 3339", `"2026-01-31T12:00:00.5+03:00"`, Time{Format: TimeRFC3339}, "2026-01-31T09:00:00.5Z"},
		{"seconds", `1769850000`, Time{Format: TimeUnix}, "2026-01-31T09:00:00Z"},
		{"seconds in a text", `"1769850000"`, Time{Format: TimeUnix}, "2026-01-31T09:00:00Z"},
		{"fraction", `1769850000.25`, Time{Format: TimeUnix}, "2026-01-31T09:00:00.25Z"},
		{"milliseconds", `1769850000250`, Time{Format: TimeUnixMS}, "2026-01-31T09:00:00.25Z"},
		{"milliseconds taken for seconds", `1769850000250`, Time{Format: TimeUnix}, "refused"},
		{"seconds ago", `"15"`, Time{Format: TimeAgo}, "2026-01-31T11:59:45Z"},
		{"not a number", `"NaN"`, Time{Format: TimeUnix}, "refused"},
		{"infinite", `"Inf"`, Time{Format: TimeAgo}, "refused"},
		{"before 1970", `-5`, Time{Format: TimeUnix}, "refused"},
		{"layout", `"31.01.2026 12:00:00"`, Time{Format: "02.01.2006 15:04:05", Zone: moscow}, "2026-01-31T09:00:00Z"},
		{"layout without a zone", `"31.01.2026 12:00:00"`, Time{Format: "02.01.2006 15:04:05"}, "2026-01-31T12:00:00Z"},
		{"another layout", `"2026-01-31"`, Time{Format: "02.01.2006 15:04:05"}, "refused"},
		{"0 is none", `0`, Time{Format: TimeUnix}, ""},
		{"missing", `null`, Time{Format: TimeUnix}, ""},
		{"order within a second", `1769850000`, Time{Format: TimeUnix, Seq: &seq}, "2026-01-31T09:00:00.007Z"},
		{"in the future", `"2026-01-31T13:00:00Z"`, Time{Format: TimeRFC3339}, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")})
			tt.time.Value = from("$.at")
			m.Fields.At = &tt.time
			r := newRig(m)
			res := r.send(t, "", `{"seq":7,"at":`+tt.text+`}`, bearer...)
			got := "refused"
			if events := r.events(); len(events) == 1 {
				if got = ""; !events[0].At.IsZero() {
					got = events[0].At.Format(time.RFC3339Nano)
				}
			}
			if got != tt.want {
				t.Errorf("%d %s, want %s", res.StatusCode, got, tt.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, tt := range []struct {
		name, body string
		condition  Condition
		holds      bool
	}{
		{"one of", `{"a":"y"}`, Condition{Is: []string{"x", "y"}}, true},
		{"none of", `{"a":"z"}`, Condition{Is: []string{"x", "y"}}, false},
		{"not", `{"a":"z"}`, Condition{Is: []string{"x", "y"}, Not: true}, true},
		{"missing is not", `{}`, Condition{Is: []string{"x"}, Not: true}, true},
		{"missing is the empty text", `{}`, Condition{Is: []string{""}}, true},
		{"given", `{"a":"x"}`, Condition{Given: &yes}, true},
		{"an object is given", `{"a":{}}`, Condition{Given: &yes}, true},
		{"null is not given", `{"a":null}`, Condition{Given: &yes}, false},
		{"empty is not given", `{"a":""}`, Condition{Given: &no}, true},
		{"false is given", `{"a":false}`, Condition{Given: &yes}, true},
		{"match", `{"a":"ivr.2"}`, Condition{Match: regexp.MustCompile(`^ivr`)}, true},
		{"no match", `{"a":"abonent"}`, Condition{Match: regexp.MustCompile(`^ivr`)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.condition.Path = path("$.a")
			r := newRig(readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")}, Rule{When: []Condition{tt.condition}}))
			if res := r.send(t, "", tt.body, bearer...); (res.StatusCode == http.StatusAccepted) != tt.holds {
				t.Errorf("%d", res.StatusCode)
			}
		})
	}
}

// A list of events in a body; one of them makes two; one is passed over.
func TestSeveralEventsInABody(t *testing.T) {
	t.Parallel()
	is := func(state string) []Condition { return []Condition{{Path: path("@.s"), Is: []string{state}}} }
	m := readsJSON(map[string]Value{"call": from("{$.pbx}-{@.c}"), "id": from("@.id"), "extension": from("@.e")},
		Rule{When: is("up"), Continue: true, Set: Fields{Values: map[string]Value{"event": from("call.bridge")}}},
		Rule{When: is("up"), Set: Fields{Values: map[string]Value{"event": from("call.unhold")}}},
		Rule{When: is("ring"), Set: Fields{Values: map[string]Value{"event": from("call.dial"), "direction": from("inbound"), "from": from("@.from"),
			"extensions": {From: from("@.who[*].n").From, Split: ","}}}},
		Rule{When: is("dtmf"), Ignore: true})
	events := path("$.events")
	m.Events = &events
	r := newRig(m)
	r.result = gateway.Result{Accepted: 3}
	res := r.send(t, "", `{"pbx":"p","events":[{"s":"ring","c":1,"id":"a","who":[{"n":"101, 102"},{"n":103},{}]},{"s":"dtmf"},{"s":"up","c":1,"id":"b","e":"101"}]}`, bearer...)
	got := r.events()
	if res.StatusCode != http.StatusAccepted || len(r.got) != 1 || len(got) != 3 {
		t.Fatalf("%d %+v", res.StatusCode, got)
	}
	if e := got[0]; e.Call != "p-1" || !slices.Equal(e.Extensions, []string{"101", "102", "103"}) || e.From.Raw != "" {
		t.Errorf("%+v", e)
	}
	if got[1].Type != gateway.EventBridge || got[1].ID != "b" || got[2].Type != gateway.EventUnhold || got[2].ID != "b 2" {
		t.Errorf("%+v", got[1:])
	}
	if r.counts[Taken] != 3 || r.counts[Ignored] != 1 {
		t.Errorf("%v", r.counts)
	}
}

// An empty list holds no events; one that is not there was not understood.
func TestListOfNoEvents(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("@.c")})
	events := path("$.events")
	m.Events = &events
	for body, status := range map[string]int{`{"events":[]}`: 202, `{"events":null}`: 400, `{}`: 400, `[]`: 400, `{"events":{"c":1}}`: 202} {
		if res := newRig(m).send(t, "", body, bearer...); res.StatusCode != status {
			t.Errorf("%s: %d, want %d", body, res.StatusCode, status)
		}
	}
}

// What the vendor sends of other things is taken with a good answer, and counted.
func TestIgnoredIsAnsweredWell(t *testing.T) {
	t.Parallel()
	m := readsJSON(nil, Rule{Ignore: true})
	m.Answer = &Answer{Status: 200, Type: "application/json", Body: `{"status":"success"}`}
	r := newRig(m)
	res := r.send(t, "", `{}`, bearer...)
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != `{"status":"success"}` || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if len(r.got) != 0 || r.counts[Ignored] != 1 {
		t.Errorf("%v %v", r.got, r.counts)
	}
}

// What no rule takes is refused with words, and the log says what it looked like, without anybody's number.
func TestUnmappableIsNotLostUnseen(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"call": from("$.id"), "event": {From: from("$.state").From, Values: map[string]string{"up": "call.hold"}}},
		Rule{When: []Condition{{Path: path("$.kind"), Is: []string{"call"}}}})
	for _, tt := range []struct{ body, field, shape string }{
		{`{"kind":"sms","caller":"+79991112233","79991112233":[1]}`, "", `{###########:[1 number] caller:text(12) kind:text(3)}`},
		{`{"kind":"call","id":5,"state":"79991112233"}`, "event", `{id:number kind:text(4) state:text(11)}`},
		{`{"kind":"call","state":"up"}`, "call", `{kind:text(4) state:text(2)}`},
	} {
		r := newRig(m)
		res := r.send(t, "", tt.body, bearer...)
		var p problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != 400 || len(p.Errors) != 1 || p.Errors[0].Field != tt.field || p.Errors[0].Reason == "" {
			t.Errorf("%s: %d %+v %v", tt.body, res.StatusCode, p, err)
		}
		if line := r.log.String(); !strings.Contains(line, tt.shape) || strings.Contains(line, "9991112233") || r.counts[Unmappable] != 1 {
			t.Errorf("%s: %s %v", tt.body, line, r.counts)
		}
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	multipart := "--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nAnna\r\n--b\r\n" +
		"Content-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n\xff\r\n--b--\r\n"
	for _, tt := range []struct {
		encoding           Encoding
		rest, body, header string
	}{
		{EncodingJSON, "", ` {"n":"Anna"} `, ""},
		{EncodingForm, "", `n=An%6Ea&m=`, ""},
		{EncodingFormJSON, "", `json=%7B%22n%22%3A%22Anna%22%7D&sign=x`, ""},
		{EncodingMultipart, "", strings.ReplaceAll(multipart, "\xff", "ÿ"), "multipart/form-data; boundary=b"},
		{EncodingQuery, "?n=Anna", ``, ""},
	} {
		m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c"), "name": from("$.n")})
		m.Encoding, m.JSONField = tt.encoding, "json"
		r := newRig(m)
		res := r.send(t, tt.rest, tt.body, append(bearer, "Content-Type", tt.header)...)
		if got := r.events(); len(got) != 1 || got[0].Name != "Anna" {
			t.Errorf("%s: %d %+v", tt.encoding, res.StatusCode, got)
		}
	}
}

func TestEventsInAURL(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("$.c")})
	m.Encoding = EncodingQuery
	r := newRig(m)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/accounts/acme/pbx/cloud/events?c=7", http.NoBody)
	req.Header.Set("Authorization", "Bearer k")
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	if got := r.events(); w.Code != http.StatusAccepted || len(got) != 1 || got[0].Call != "7" {
		t.Errorf("%d %+v", w.Code, got)
	}
}

// A file's name in a URL stays in its place.
func TestRecordingTemplateIsEscaped(t *testing.T) {
	t.Parallel()
	r := newRig(readsJSON(map[string]Value{"event": from("call.recording"), "call": from("c"), "recording": from("https://r.example/{$.f}?s={$.s}")}))
	r.send(t, "", `{"f":"../a/b=","s":"1&x=2#y z"}`, bearer...)
	if got := r.events(); len(got) != 1 || got[0].Recording != "https://r.example/..%2Fa%2Fb%3D?s=1%26x%3D2%23y%20z" {
		t.Errorf("%+v", got)
	}
	r = newRig(readsJSON(map[string]Value{"event": from("call.recording"), "call": from("c"), "recording": from("$.u")}))
	if res := r.send(t, "", `{"u":"javascript:alert(1)"}`, bearer...); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a script: %d", res.StatusCode)
	}
}

func BenchmarkMapping(b *testing.B) {
	is := func(state string) []Condition { return []Condition{{Path: path("$.state"), Is: []string{state}}} }
	event := func(name string) Fields { return Fields{Values: map[string]Value{"event": from(name)}} }
	r := newReader(readsJSON(map[string]Value{"call": from("$.id"), "id": from("{$.id} {$.seq}"), "extension": from("$.to.extension"),
		"direction": from("inbound"), "from": from("$.from.number"), "line": from("$.to.line")},
		Rule{When: is("Connected"), Set: event("call.bridge")}, Rule{When: is("Disconnected"), Set: event("call.hangup")},
		Rule{When: is("Appeared"), Set: event("call.dial")}))
	body := []byte(`{"id":"c1","seq":1,"state":"Appeared","from":{"number":"79991112233"},"to":{"extension":"101","line":"74951234567"}}`)
	b.ReportAllocs()
	for b.Loop() {
		req := &request{raw: body}
		if err := req.decode(decoded, r.Mapping, ""); err != nil {
			b.Fatal(err)
		}
		if events, _, err := r.events(req, noon); err != nil || len(events) != 1 {
			b.Fatal(err)
		}
	}
}
