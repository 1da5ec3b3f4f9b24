package phonet

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// scripted answers each path with what is next in its list, the last for ever.
func scripted(t *testing.T, answers map[string][]string) *rest {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		script := answers[r.URL.Path]
		if len(script) == 0 {
			http.NotFound(w, r)
			return
		}
		if len(script) > 1 {
			answers[r.URL.Path] = script[1:]
		}
		switch script[0] {
		case "403":
			http.Error(w, "no", http.StatusForbidden)
		case "302":
			http.Redirect(w, r, "/login", http.StatusFound)
		case "500":
			http.Error(w, "<html>", http.StatusInternalServerError)
		default:
			_, _ = w.Write([]byte(script[0]))
		}
	}))
	t.Cleanup(server.Close)
	cfg := Config{Domain: testDomain, APIKey: testKey, BaseURL: server.URL}
	r := newREST(cfg.withDefaults())
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

const (
	loginPath  = "/rest/security/authorize"
	activePath = "/rest/calls/active/v3"
)

func TestSessionsThatRunOut(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{"403": "403", "a redirect": "302", "a page": "<html>log in</html>"} {
		r := scripted(t, map[string][]string{loginPath: {""}, activePath: {first, "[]"}})
		if facts, err := r.active(t.Context()); err != nil || len(facts) > 0 || r.logins != 2 {
			t.Errorf("%s: %v %v, %d logins", name, facts, err, r.logins)
		}
	}
}

func TestAnswersOfNoUse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers map[string][]string
		is      error
	}{
		"no API":            {map[string][]string{}, errNoREST},
		"not this part":     {map[string][]string{loginPath: {""}}, errNoREST},
		"a wrong key":       {map[string][]string{loginPath: {"403"}}, errRefused},
		"a key without it":  {map[string][]string{loginPath: {""}, activePath: {"403"}}, errRefused},
		"trouble":           {map[string][]string{loginPath: {""}, activePath: {"500"}}, nil},
		"trouble at first":  {map[string][]string{loginPath: {"500"}}, nil},
		"null is not empty": {map[string][]string{loginPath: {""}, activePath: {"null"}}, nil},
		"an object":         {map[string][]string{loginPath: {""}, activePath: {"{}"}}, nil},
	} {
		_, err := scripted(t, tt.answers).active(t.Context())
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && (errors.Is(err, errNoREST) || errors.Is(err, errRefused)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHistoryIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	row := `{"uuid":"x","endAt":1800000000000,"lgDirection":4,"leg":{"ext":"101"}}`
	page := "[" + strings.Repeat(row+",", pageSize-1) + row + "]"
	r := scripted(t, map[string][]string{
		loginPath: {""}, "/rest/calls/company.api": {page, page, "[" + row + "]", "500"}, "/rest/calls/users.api": {"[]"},
	})
	facts, err := r.history(t.Context(), time.Now())
	if err != nil || len(facts) != 2*pageSize+1 {
		t.Errorf("%d rows, %v", len(facts), err)
	}
}

// TestRowsOfTheHistory: what each may leave out, and in which units it is.
func TestRowsOfTheHistory(t *testing.T) {
	t.Parallel()
	of := func(n number) *number { return &n }
	row := finishedRow{
		UUID: "x", EndAt: 1_800_000_060_000, LgDirection: dirOutgoing, OtherLegNum: "+380671112233", Leg: &leg{Ext: "003"}, BillSecs: 20, Duration: 30,
		Disposition: of(0), AudioRecURL: "https://pbx/rest/public/calls/x/audio", Transfers: "001 > 003",
	}
	f := row.fact("https://pbx")
	if !f.dialAt.Equal(moment(30).time()) || !f.bridgeAt.Equal(moment(40).time()) || !f.endAt.Equal(moment(60).time()) || !f.bridged || f.cause != gateway.CauseNormal ||
		f.recording != "https://pbx/rest/public/calls/x/audio" || len(f.handed) != 1 || f.handed[0] != "001" {
		t.Errorf("%+v", f)
	}
	for disposition, want := range map[*number]gateway.Cause{
		nil: "", of(1): gateway.CauseNoAnswer, of(2): gateway.CauseFailed, of(3): gateway.CauseFailed, of(4): gateway.CauseBusy,
	} {
		row := finishedRow{UUID: "x", EndAt: 1_800_000_060_000, LgDirection: dirOutgoing, Disposition: disposition, Transfers: "001 > 003"}
		if f := row.fact(""); f.cause != want || f.bridged || len(f.handed) > 0 {
			t.Errorf("%v: %+v", disposition, f)
		}
	}
	for text, want := range map[string]string{
		"": "", "https://a/b": "https://a/b", "/rest/x": "https://pbx/rest/x", "javascript:alert(1)": "", "ftp://a/b": "", "http://": "",
		"https://a/" + strings.Repeat("x", maxURL): "",
	} {
		if got := recordingURL("https://pbx", text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestRefusalsAreForPeople: of a body that is JSON they are shown what it says, and what kind of refusal it is is kept.
func TestRefusalsAreForPeople(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		text string
		code gateway.Code
	}{
		`{"type":"about:blank","title":"Bad Request","status":400,"code":"bad_number","detail":"+78095550100 may not\n be called from here"}`: {`"+78095550100 may not be called from here"`, gateway.CodeBadNumber},
		`{"message":"занято","code":7}`:     {`"занято"`, gateway.CodeBusy},
		`{"detail":{"why":1},"message":""}`: {`"{\"detail\":{\"why\":1},\"message\":\"\"}"`, gateway.CodeRejected},
		`["offline"]`:                       {`"[\"offline\"]"`, gateway.CodeNotRegistered},
		`no such number`:                    {`"no such number"`, gateway.CodeBadNumber},
		`{"detail":"busy`:                   {`"{\"detail\":\"busy"`, gateway.CodeBusy},
		`null`:                              {`"null"`, gateway.CodeRejected},
		`<html>`:                            {"and does not say why", gateway.CodeRejected},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != loginPath {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(body))
			}
		}))
		link := New(Config{Domain: testDomain, APIKey: testKey, BaseURL: server.URL})
		_, err := link.makeCall(t.Context(), gateway.DialRequest{Extension: "101", To: far})
		if got := strings.TrimPrefix(gateway.Shown(err).Message, "the PBX did not take the call"); strings.TrimLeft(got, ": ") != want.text || gateway.CodeOf(err) != want.code {
			t.Errorf("%s: %s, %v", body, gateway.CodeOf(err), err)
		}
		_, err = link.cfg.open(t.Context(), "101")
		if err == nil || want.text[0] == '"' && !strings.HasSuffix(err.Error(), want.text) {
			t.Errorf("%s: the socket is not opened: %v", body, err)
		}
		link.rest.client.CloseIdleConnections()
		server.Close()
	}
}
