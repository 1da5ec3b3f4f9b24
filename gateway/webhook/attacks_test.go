package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// signs is a mapping of JSON that is signed as a whole, in X-Sign.
func signs() *Mapping {
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("$.c")})
	m.Auth = Auth{Signature: &Signature{Scheme: HMACSHA256, Key: "secret", In: path("$header.X-Sign"), Prefix: "sha256=", Encoding: Hex,
		Texts: []SignedText{{Text: text("{$body}")}}}}
	return m
}

func sha256Of(key, signed string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return hex.EncodeToString(mac.Sum(nil))
}

// refused fails unless a request was refused with the status, and nothing came of it.
func refused(t *testing.T, r *rig, res *http.Response, status int) {
	t.Helper()
	if res.StatusCode != status || len(r.got) > 0 || r.counts[Taken] > 0 {
		t.Errorf("%d, want %d; %d requests taken", res.StatusCode, status, len(r.got))
	}
}

func TestSignatureStripped(t *testing.T) {
	t.Parallel()
	const body = `{"c":"1"}`
	sum := sha256Of("secret", body)
	for name, header := range map[string][]string{
		"none": nil, "empty": {"X-Sign", ""}, "prefix only": {"X-Sign", "sha256="}, "without prefix": {"X-Sign", sum}, "cut": {"X-Sign", "sha256=" + sum[:62]},
		"longer": {"X-Sign", "sha256=" + sum + "00"}, "not hex": {"X-Sign", "sha256=" + strings.Repeat("z", 64)},
		"another key's": {"X-Sign", "sha256=" + sha256Of("Secret", body)}, "no key's": {"X-Sign", "sha256=" + sha256Of("", body)},
		"twice": {"X-Sign", "sha256=" + sum, "X-Sign", "sha256=" + sum},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(signs())
			refused(t, r, r.send(t, "", body, header...), http.StatusUnauthorized)
			if r.counts[Refused] != 1 || r.log.Len() > 0 {
				t.Errorf("%v %s", r.counts, r.log.String())
			}
		})
	}
	r := newRig(signs())
	if res := r.send(t, "", body, "X-Sign", "sha256="+sum); res.StatusCode != http.StatusAccepted {
		t.Errorf("the right one: %d", res.StatusCode)
	}
}

func TestBodySwappedUnderTheSameSignature(t *testing.T) {
	t.Parallel()
	sum := "sha256=" + sha256Of("secret", `{"c":"1"}`)
	for _, body := range []string{`{"c":"2"}`, `{"c":"1"} `, ``} {
		r := newRig(signs())
		refused(t, r, r.send(t, "", body, "X-Sign", sum), http.StatusUnauthorized)
	}
}

// What a signature is over must be what the event is made of.
func TestFieldDuplicated(t *testing.T) {
	t.Parallel()
	const sign = "sha256="
	for _, tt := range []struct {
		name string
		m    func(*Mapping)
		body string
	}{
		{"in JSON", func(*Mapping) {}, `{"c":"1","c":"2"}`},
		{"in JSON, by an escape", func(*Mapping) {}, `{"c":"1","\u0063":"2"}`},
		{"deeper in JSON", func(*Mapping) {}, `{"c":"1","d":[{"e":1,"e":1}]}`},
		{"in a form", func(m *Mapping) { m.Encoding = EncodingForm }, `c=1&c=2`},
		{"in a form, by an escape", func(m *Mapping) { m.Encoding = EncodingForm }, `c=1&%63=2`},
		{"in the form around JSON", func(m *Mapping) { m.Encoding, m.JSONField = EncodingFormJSON, "json" }, `json={"c":"1"}&json={"c":"2"}`},
		{"two documents", func(*Mapping) {}, `{"c":"1"}{"c":"2"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := signs()
			tt.m(m)
			r := newRig(m)
			refused(t, r, r.send(t, "", tt.body, "X-Sign", sign+sha256Of("secret", tt.body)), http.StatusBadRequest)

			// And when the fields are what is signed.
			m = signs()
			tt.m(m)
			m.Auth.Signature.Texts[0].Text = text("{$.c}")
			for _, signed := range []string{"1", "2", "12", ""} {
				r := newRig(m)
				refused(t, r, r.send(t, "", tt.body, "X-Sign", sign+sha256Of("secret", signed)), http.StatusBadRequest)
			}
		})
	}
}

// A plain hash does not say where the key ends and the body begins.
func TestBoundaryOfKeyAndBodyMoved(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("$.c")})
	m.Encoding, m.JSONField = EncodingFormJSON, "json"
	m.Auth = Auth{
		Keys: []SharedKey{{path("$form.key"), "api"}},
		Signature: &Signature{Scheme: PlainSHA256, Key: "salt", In: path("$form.sign"), Encoding: Hex,
			Texts: []SignedText{{Text: text("{$form.key}{$form.json}{$key}")}}},
	}
	sum := sha256.Sum256([]byte(`api[1,{"c":"2"}]salt`))
	post := func(key, body string) (*rig, *http.Response) {
		r := newRig(m)
		return r, r.send(t, "", url.Values{"key": {key}, "json": {body}, "sign": {hex.EncodeToString(sum[:])}}.Encode())
	}
	r, res := post(`api[1,`, `{"c":"2"}]`)
	refused(t, r, res, http.StatusUnauthorized)
	r, res = post(`api[1,{"c":"2"}]salt`, `{}`)
	refused(t, r, res, http.StatusUnauthorized)
	sum = sha256.Sum256([]byte(`api{"c":"2"}salt`))
	if _, res = post(`api`, `{"c":"2"}`); res.StatusCode != http.StatusAccepted {
		t.Errorf("the right one: %d", res.StatusCode)
	}
}

func TestAnotherAccountsKey(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")})
	r := newRig(m)
	refused(t, r, r.send(t, "", `{}`, "Authorization", "Bearer key-of-other"), http.StatusUnauthorized)
	for _, place := range []string{"nobody/pbx/cloud", "acme/pbx/none"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/accounts/"+place+"/events", strings.NewReader(`{}`))
		req.Header.Set("Authorization", "Bearer k")
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		refused(t, r, w.Result(), http.StatusNotFound)
	}
}

func TestKeyInAHeaderOrAField(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")})
	m.Auth = Auth{Keys: []SharedKey{{path("$header.X-Key"), "k1"}, {path("$.key"), "k2"}}}
	for _, tt := range []struct {
		header, body string
		status       int
	}{
		{"k1", `{"key":"k2"}`, 202}, {"k2", `{"key":"k2"}`, 401}, {"k1", `{"key":"k1"}`, 401}, {"", `{"key":"k2"}`, 401}, {"k1", `{}`, 401}, {"k1", `{"key":["k2"]}`, 401},
	} {
		r := newRig(m)
		if res := r.send(t, "", tt.body, "X-Key", tt.header); res.StatusCode != tt.status {
			t.Errorf("%+v: %d", tt, res.StatusCode)
		}
	}
}

func TestReplayOutsideTheWindow(t *testing.T) {
	t.Parallel()
	m := signs()
	m.Auth.Signature.Texts[0].Text = text("{$header.X-Time}.{$body}")
	m.Auth.Signature.Time = &Time{Value: from("$header.X-Time"), Format: TimeUnix}
	m.Auth.Signature.Window = 5 * time.Minute
	const body = `{"c":"1"}`
	for at, status := range map[string]int{
		strconv.FormatInt(noon.Add(-time.Minute).Unix(), 10):   202,
		strconv.FormatInt(noon.Add(4*time.Minute).Unix(), 10):  202,
		strconv.FormatInt(noon.Add(-6*time.Minute).Unix(), 10): 401,
		strconv.FormatInt(noon.Add(6*time.Minute).Unix(), 10):  401,
		"": 401, "0": 401, "soon": 401,
	} {
		r := newRig(m)
		if res := r.send(t, "", body, "X-Time", at, "X-Sign", "sha256="+sha256Of("secret", at+"."+body)); res.StatusCode != status {
			t.Errorf("%q: %d, want %d", at, res.StatusCode, status)
		}
	}
}

func TestForgedAddress(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")})
	m.Auth = Auth{Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/64")}}
	local := readsJSON(m.Fields.Values)
	local.Auth = Auth{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	for _, tt := range []struct {
		name, peer, forwarded string
		m                     *Mapping
		status                int
	}{
		{"the vendor", "203.0.113.9:1", "", m, 202},
		{"the vendor behind a proxy", "127.0.0.1:1", "203.0.113.9", m, 202},
		{"the vendor's network", "127.0.0.1:1", "2001:db8::/64", m, 202},
		{"a network around the vendor's", "127.0.0.1:1", "2001:db8::/32", m, 401},
		{"a stranger", "198.51.100.1:1", "", m, 401},
		{"a stranger who says he is the vendor", "198.51.100.1:1", "203.0.113.9", m, 401},
		{"this machine", "127.0.0.1:1", "", m, 401},
		{"this machine, allowed", "127.0.0.1:1", "", local, 202},
		{"not this machine, but its proxy", "127.0.0.1:1", "198.51.100.1", local, 401},
		{"nonsense from a proxy", "127.0.0.1:1", "here", local, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(tt.m)
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/accounts/acme/pbx/cloud/events", strings.NewReader(`{}`))
			req.RemoteAddr = tt.peer
			if tt.forwarded != "" {
				req.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			w := httptest.NewRecorder()
			if r.handler.ServeHTTP(w, req); w.Code != tt.status {
				t.Errorf("%d, want %d", w.Code, tt.status)
			}
		})
	}
}

func TestOversizedBody(t *testing.T) {
	t.Parallel()
	r := newRig(signs())
	refused(t, r, r.send(t, "", strings.Repeat(" ", MaxBody+1), "X-Sign", "sha256=00"), http.StatusRequestEntityTooLarge)
}

func TestDeepNesting(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), strings.Repeat("[", MaxBody),
		strings.Repeat(`{"a":`, MaxBody/5), `{"a":`, `[1`, `{"a"`, `{]`, ``, `nul`,
	} {
		r := newRig(readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")}))
		refused(t, r, r.send(t, "", body, bearer...), http.StatusBadRequest)
	}
}

func TestManyFieldsInAForm(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c")})
	m.Encoding = EncodingForm
	r := newRig(m)
	refused(t, r, r.send(t, "", strings.Repeat("a&", MaxBody/2), bearer...), http.StatusBadRequest)
}

func TestManyEventsInABody(t *testing.T) {
	t.Parallel()
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c"), "extensions": from("$[*]")})
	events := path("$[*]")
	m.Events = &events
	r := newRig(m)
	refused(t, r, r.send(t, "", "["+strings.Repeat("1,", MaxEvents)+"1]", bearer...), http.StatusRequestEntityTooLarge)

	// As many as may be, each of which names all of a long list.
	m.Fields.Values["extensions"] = Value{From: from("$.who[*]").From, Split: ","}
	events = path("$.e[*]")
	r = newRig(m)
	began := time.Now()
	refused(t, r, r.send(t, "", `{"e":[`+strings.TrimSuffix(strings.Repeat("1,", MaxEvents), ",")+`],"who":["`+
		strings.Repeat("1,", MaxBody/4)+`"`+strings.Repeat(`,1`, MaxBody/5)+`]}`, bearer...), http.StatusBadRequest)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// Go's expressions take time in proportion to the text, and long texts are not tried.
func TestRegexpBomb(t *testing.T) {
	t.Parallel()
	bomb := regexp.MustCompile(`^((?:a+)+)+$`)
	m := readsJSON(map[string]Value{"event": from("call.hold"), "call": from("c"), "name": {From: from("$.n").From, Match: bomb}})
	events := path("$.e")
	m.Events = &events
	body := `{"n":"` + strings.Repeat("a", MaxBody/2) + `!","e":[` + strings.TrimSuffix(strings.Repeat("1,", MaxEvents), ",") + `]}`
	r := newRig(m)
	began := time.Now()
	r.send(t, "", body, bearer...)
	if got := r.events(); len(got) != MaxEvents || got[0].Name != "" || time.Since(began) > 10*time.Second {
		t.Errorf("%d events in %v", len(got), time.Since(began))
	}
}

// A stranger's nonsense is not worth a line in the log, nor a list of what could be wrong with it.
func TestStrangersAreNotHeard(t *testing.T) {
	t.Parallel()
	m := signs()
	m.Auth.Signature.Texts[0].Text = text("{$.c}")
	r := newRig(m)
	for _, body := range []string{`{`, `{"c":"1"}`, `[]`} {
		r.send(t, "", body)
	}
	if r.counts[Refused] != 3 || r.counts[Unmappable] > 0 || r.log.Len() > 0 {
		t.Errorf("%v %s", r.counts, r.log.String())
	}
}

func TestEchoIsPlainAndShort(t *testing.T) {
	t.Parallel()
	m := signs()
	m.Echo = "echo"
	r := newRig(m)
	for query, status := range map[string]int{"?echo=%3Cscript%3E": 200, "?echo=": 404, "": 404, "?echo=" + strings.Repeat("x", 300): 404} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/accounts/acme/pbx/cloud/events"+query, http.NoBody)
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		if w.Code != status || status == 200 && (w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%q: %d %v", query, w.Code, w.Header())
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	for _, s := range []string{Secret("x").String(), Secret("x").GoString()} {
		if s != "[secret]" {
			t.Error(s)
		}
	}
	if gateway.CodeOf(newReader(signs()).Auth.Signature.verify(&request{})) != gateway.CodeUnauthorized {
		t.Error("an empty request has a right signature")
	}
}
