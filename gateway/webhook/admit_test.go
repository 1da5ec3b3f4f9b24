package webhook

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The body is signed as it came, and says itself when that was.
func TestTimeOfSigningInTheBody(t *testing.T) {
	t.Parallel()
	m := signs()
	m.Auth.Signature.Time, m.Auth.Signature.Window = &Time{Value: from("$.t"), Format: TimeUnix}, 5*time.Minute
	at := func(d time.Duration) string { return `{"c":"1","t":` + strconv.FormatInt(noon.Add(d).Unix(), 10) + `}` }
	for body, status := range map[string]int{
		at(0): 202, at(-4 * time.Minute): 202, at(-6 * time.Minute): 401, at(6 * time.Minute): 401, `{"c":"1"}`: 401, `{"c":"1","t":"soon"}`: 401,
	} {
		r := newRig(m)
		res := r.send(t, "", body, "X-Sign", "sha256="+sha256Of("secret", body))
		if res.StatusCode != status || len(r.got) > 0 != (status == 202) || r.counts[Unmappable] > 0 {
			t.Errorf("%s: %d, want %d; %v", body, res.StatusCode, status, r.counts)
		}
	}
}

// What comes later in a request is not read before what comes earlier has been checked: here it could not be.
func TestStrangersAreRefusedAsEarlyAsCanBe(t *testing.T) {
	t.Parallel()
	const form, broken = EncodingFormJSON, `json=[&token=`
	signed := func(in, over string) *Signature {
		return &Signature{Scheme: HMACSHA256, Key: "secret", In: path(in), Encoding: Hex, Texts: []SignedText{{Text: text(over)}}}
	}
	for _, tt := range []struct {
		name, rest, body string
		encoding         Encoding
		auth             Auth
	}{
		{"a key in the URL", "?key=x", strings.Repeat(" ", MaxBody+1), EncodingJSON, Auth{Keys: []SharedKey{{path("$query.key"), "k"}}}},
		{"a signature of the URL", "?t=1&sign=00", strings.Repeat(" ", MaxBody+1), EncodingJSON, Auth{Signature: signed("$query.sign", "{$query.t}")}},
		{"a signature of the bytes", "?sign=00", "[", EncodingJSON, Auth{Signature: signed("$query.sign", "{$body}")}},
		{"a key in the form around JSON", "", broken + "x", form, Auth{Keys: []SharedKey{{path("$form.token"), "k"}}}},
		{"a signature of that form's fields", "", broken + "00", form, Auth{Signature: signed("$form.token", "{$form.json}")}},
		{"the second of two keys", "?key=k", broken + "x", form, Auth{Keys: []SharedKey{{path("$query.key"), "k"}, {path("$form.token"), "k"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := readsJSON(nil)
			m.Encoding, m.JSONField, m.Auth = tt.encoding, "json", tt.auth
			r := newRig(m)
			refused(t, r, r.send(t, tt.rest, tt.body), http.StatusUnauthorized)
			if r.counts[Refused] != 1 || r.log.Len() > 0 {
				t.Errorf("%v %s", r.counts, r.log.String())
			}
		})
	}
}

func TestManyValuesInJSON(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"[" + strings.Repeat("0,", maxValues) + "0]", "[" + strings.Repeat("[],", MaxBody/4) + "0]", `{"a":[` + strings.Repeat("{},", MaxBody/4) + "0]}",
	} {
		m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")})
		r := newRig(m)
		refused(t, r, r.send(t, "", body, bearer...), http.StatusBadRequest)
		m.Encoding, m.JSONField = EncodingFormJSON, "json"
		refused(t, r, r.send(t, "", "json="+body, bearer...), http.StatusBadRequest)
	}
}

// A long text of the body in the templates of all its events: a gigabyte, if each were a copy. It runs alone, since
// memory is counted of the whole process.
func TestLongTextInManyEvents(t *testing.T) { //nolint:paralleltest // see above
	all := Value{From: from("{$.long}-{@.c}").From}
	m := readsJSON(map[string]Value{"event": from("call.hangup"), "call": all, "name": all, "line": all, "target": all, "from": all,
		"recording": from("https://r.example/{$.long}"), "extensions": {From: from("$.long").From, Split: ","}})
	events := path("$.events")
	m.Events = &events
	body := `{"long":"` + strings.Repeat("ж", MaxBody/2-3000) + `","events":[` + strings.Repeat(`{"c":1},`, MaxEvents-1) + `{}]}`
	r := newRig(m)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refused(t, r, r.send(t, "", body, bearer...), http.StatusBadRequest)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 50<<20 {
		t.Errorf("took %d MiB", took>>20)
	}
}

func TestFaultsAreToldUpToALimit(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.dial")})
	events := path("$")
	m.Events = &events
	r := newRig(m)
	res := r.send(t, "", "["+strings.Repeat("{},", MaxEvents-1)+"{}]", bearer...)
	var p problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != 400 || len(p.Errors) < maxFaults || len(p.Errors) > maxFaults+10 {
		t.Errorf("%d %v: %d faults", res.StatusCode, err, len(p.Errors))
	}
}

// Items that make more than one event each are counted as they are made.
func TestManyEventsOfFewItems(t *testing.T) {
	t.Parallel()
	rules := make([]Rule, 3)
	for i := range rules {
		rules[i].Continue = true
	}
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")}, rules...)
	events := path("$")
	m.Events = &events
	r := newRig(m)
	refused(t, r, r.send(t, "", "["+strings.Repeat("0,", MaxEvents/3)+"0]", bearer...), http.StatusRequestEntityTooLarge)
}

// A GET has no body, and every other's would do: who has one signature of it has one for all events.
func TestBodyOfAQueryIsNotSigned(t *testing.T) {
	t.Parallel()
	if err := (Scope{Signed: true, Query: true}).Check(path("$body")); err == nil {
		t.Error("$body may be what is signed")
	}
	if err := (Scope{Signed: true}).Check(path("$body")); err != nil {
		t.Error(err)
	}
}

// What a mapping looks for and does not find is told to whoever tries it out.
func TestReadTellsWhatCameOutEmpty(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.dial"), "direction": from("inbound"), "call": from("@.c"), "id": from("{@.c} {@.kind}"),
		"from": {From: from("@.form").From, Values: map[string]string{"x": ""}, Keep: true}, "extensions": from("@.ext[*]"), "line": from(""), "name": from("@.n")})
	m.Fields.At = &Time{Value: from("@.t"), Format: TimeUnix}
	events := path("$")
	m.Events = &events
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(
		`[{"c":1,"kind":"a","form":"1","ext":[1],"n":"N","t":1},{"c":2,"ext":[1],"from":"7","n":"N","t":1},{"c":3,"kind":"a","form":"1","ext":["101"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	reading, err := m.Read(r, noon)
	if err != nil || len(reading.Events) != 3 {
		t.Fatalf("%+v %v", reading, err)
	}
	var got []string
	for _, f := range reading.Empty {
		got = append(got, strconv.Itoa(f.Index)+f.Field)
	}
	if strings.Join(got, " ") != "1id 1from 2name 2at" {
		t.Errorf("%v", got)
	}
}
