package sandbox

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// phonetDesk is a pretend Phonet and a client of its HTTP API.
type phonetDesk struct {
	t      *testing.T
	pbx    *Phonet
	server *httptest.Server
	client *http.Client
}

func newPhonetDesk(t *testing.T) *phonetDesk {
	t.Helper()
	pbx, err := NewPhonet(PhonetConfig{
		Domain: "acme.example", APIKey: "k+/&", Employees: []PhonetEmployee{{ID: 1, Name: "Anna", Ext: "101", Email: "a+b@acme.example"}, {ID: 2, Ext: "102"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &phonetDesk{t: t, pbx: pbx, server: httptest.NewServer(pbx.Handler()), client: &http.Client{Jar: jar}}
	t.Cleanup(func() {
		d.client.CloseIdleConnections()
		d.server.Close()
	})
	return d
}

// status makes a request, with a body as a POST, and returns the answer's status.
func (d *phonetDesk) status(path, body string) int {
	d.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestPhonetRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	d := newPhonetDesk(t)
	const login, call, history = "/rest/security/authorize", "/rest/user/makeCall", "/rest/calls/company.api?timeFrom=1800000000000&timeTo=1900000000000&"
	for _, step := range []struct {
		path, body string
		want       int
	}{
		{"/rest/users", "", 403},
		{login, `{"domain":"acme.example","apiKey":"x"}`, 403},
		{login, `{"domain":"acme.example","apiKey":null}`, 400},
		{login, `{"domain":"acme.example","apiKey":"k+/&","more":1}`, 400},
		{login, `{"domain":"acme.example","apiKey":"k+/&"}{}`, 400},
		{login, `{"domain":"acme.example","apiKey":"k+/&"}`, 200},
		{"/rest/users", "", 200},
		{"/rest/calls/active/v3?limit=1", "", 400},
		{"/rest/calls/active/none/hangup", "", 404},
		{history + "limit=50&offset=0", "", 200},
		{history + "limit=51&offset=0", "", 400},
		{history + "limit=0&offset=0", "", 400},
		{history + "limit=50", "", 400},
		{history + "limit=50&offset=0&what=1", "", 400},
		{strings.Replace(history, "1800000000000", "1800000000", 1) + "limit=50&offset=0", "", 400},
		{call, `{"legExt":"101","otherLegNum":"380671112233"}`, 400},
		{call, `{"legExt":"101","otherLegNum":null}`, 400},
		{call, `{"legExt":"199","otherLegNum":"+380671112233"}`, 400},
		{call, `{"legExt":"101","otherLegNum":"+380671112233"}`, 200},
		{call, `{"legExt":"101","otherLegNum":"+380671112233"}`, 400}, // he calls already
	} {
		if got := d.status(step.path, step.body); got != step.want {
			t.Errorf("%s %s: %d, want %d", step.path, step.body, got, step.want)
		}
	}
	d.pbx.Expire()
	if got := d.status("/rest/users", ""); got != http.StatusForbidden {
		t.Errorf("an old session: %d", got)
	}
}

func TestPhonetRefusesSocketsAndFrames(t *testing.T) {
	t.Parallel()
	d := newPhonetDesk(t)
	at := "ws" + strings.TrimPrefix(d.server.URL, "http") + "/live/connector/v3/easy?"
	good := url.Values{"domain": {"acme.example"}, "apiKey": {"k+/&"}, "subscriber": {"a+b@acme.example"}}.Encode()
	for _, query := range []string{"", good + "&x=1", "domain=acme.example&apiKey=k+/&subscriber=101", strings.Replace(good, "a%2Bb%40", "c%40", 1), good + "&domain=acme.example"} {
		conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), at+query, nil)
		if err == nil {
			_ = conn.Close()
		}
		if res == nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v", query, err)
		}
	}
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), at+good, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	defer func() { _ = conn.Close() }()
	for _, frame := range []string{
		`{"action":"call","to":"+380671112233"}`, `{"action":"call","to":null}`, `{"action":"call","to":"380671112233","id":1}`,
		`{"action":"hangup","to":"1"}`, `{"action":"call"}`, `[]`, `{`,
	} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		var answer phonetReply
		if err := conn.ReadJSON(&answer); err != nil || answer.Event != "error" || answer.Message == "" {
			t.Errorf("%s: %+v %v", frame, answer, err)
		}
	}
}
