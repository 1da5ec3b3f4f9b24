package phonet

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"ringcast/gateway"
)

// FuzzServerFrame: whatever a client sends is a call that is asked for, or an error that is a JSON document.
func FuzzServerFrame(f *testing.F) {
	for _, seed := range []string{
		`{"action":"call","to":"380991234567"}`, `{"action":"call","to":380991234567}`, `{"action":"call"}`, `{"action":"x"}`, `{`, `null`,
		`[]`, `"call"`, "\xff", "\ufeff{}", `{"action":"call","to":"\u0000"}`, `{"to":"1","action":"call"}{"action":"call"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := newServerParts(t, nil)
		defer r.server.Close()
		s := newServerSession(r.server, "")
		s.account, s.user = "acme", "7"
		if err := r.server.gate.add(s); err != nil {
			t.Fatal(err)
		}
		defer r.server.gate.remove(s)
		answer := s.command(frame)
		asked := r.gw.asked()
		switch {
		case answer == reply{Event: eventSuccess}:
			if len(asked) != 1 || asked[0].User != "7" || asked[0].To == "" {
				t.Errorf("success, and the gateway was asked %+v", asked)
			}
		case answer.Event != eventError || answer.Message == "" || len(asked) != 0:
			t.Errorf("answer %+v, and the gateway was asked %+v", answer, asked)
		}
		if data, err := json.Marshal(answer); err != nil || !utf8.Valid(data) {
			t.Errorf("%s %v", data, err)
		}
	})
}

// FuzzServerQuery: a client gets in with the domain, the key and a subscriber, and with nothing else.
func FuzzServerQuery(f *testing.F) {
	for _, seed := range []string{
		query("101"), query("999"), "", "domain=", "apiKey=%", "domain=" + acmeDomain + "&apiKey=x&subscriber=101", query("101") + "&domain=x", "&&==&", "a;b",
	} {
		f.Add(seed)
	}
	r := newServerParts(f, nil)
	f.Cleanup(r.server.Close)
	f.Fuzz(func(t *testing.T, rawQuery string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path, http.NoBody)
		req.URL.RawQuery = rawQuery
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}} // the rest is missing: it goes no further
		answer := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(answer, req)
		q, err := parseServerQuery(rawQuery)
		_, _, known := findSubscriber(r.dir, "acme", q.subscriber)
		want := http.StatusUnauthorized
		switch right := strings.EqualFold(q.domain, acmeDomain) && q.apiKey == acmeKey; {
		case err != nil, right && (known || q.subscriber == ""):
			want = http.StatusBadRequest
		case right:
			want = http.StatusForbidden
		}
		if answer.Code != want && !(answer.Code != http.StatusUnauthorized && q.domain == "globex.phonet.example") {
			t.Errorf("%d, want %d", answer.Code, want)
		}
		var problem struct{ Code gateway.Code }
		if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil || problem.Code == "" || strings.Contains(answer.Body.String(), acmeKey) {
			t.Errorf("%s %v", answer.Body, err)
		}
	})
}
