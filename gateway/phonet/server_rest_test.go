package phonet

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// restCaller is a client of the HTTP API.
type restCaller struct {
	r      *serverRig
	client *http.Client
}

func (r *serverRig) caller() *restCaller {
	jar, _ := cookiejar.New(nil) // never fails
	return &restCaller{r, &http.Client{Transport: r.web.Client().Transport, Jar: jar}}
}

func (c *restCaller) ask(method, path, body string, header ...string) (status int, answer string) {
	c.r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.r.web.URL+path, strings.NewReader(body))
	if err != nil {
		c.r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.r.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

const authorize = "/rest/security/authorize"

// login returns a client that is logged in to acme.
func (r *serverRig) login() *restCaller {
	r.t.Helper()
	c := r.caller()
	if status, body := c.ask(http.MethodPost, authorize, `{"domain":"`+acmeDomain+`","apiKey":"`+acmeKey+`"}`); status != http.StatusOK {
		r.t.Fatalf("login: %d %s", status, body)
	}
	return c
}

func (c *restCaller) want(method, path, body, want string) {
	c.r.t.Helper()
	if status, answer := c.ask(method, path, body); status != http.StatusOK || answer != want {
		c.r.t.Errorf("%s: %d\n%s, want\n%s", path, status, answer, want)
	}
}

func TestListOfEmployees(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.login().want(http.MethodGet, "/rest/users", "", `[{"id":120,"displayName":"Support Phonet","ext":"911","email":null},`+
		`{"id":7,"displayName":"Анна","ext":"101","email":"Anna+calls@Example.com"},{"id":7,"displayName":"Анна","ext":"103","email":"Anna+calls@Example.com"},`+
		`{"id":`+strconv.FormatInt(int64(legID(boris)), 10)+`,"displayName":"Boris","ext":"102","email":null}]`)
}

// TestResynchronising: what a client misses while it is away it can ask for, and each call is called as on the socket.
func TestResynchronising(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	p, c := r.connect("102"), r.login()
	c.want(http.MethodGet, "/rest/calls/active/v3", "", "[]")
	r.gw.happens(0, "office:1", rung(inbound, "102"), boris)
	r.gw.happens(1, "office:2", rung(inbound, "101"), anna)
	r.gw.happens(3, "office:2", event(gateway.EventBridge, "", "101"), anna)
	told := p.want("call.dial 4")
	other := `"leg2":null,"otherLegs":[{"id":null,"name":null,"num":"+380567777777","companyName":null,"url":"","priority":1}],"trunkNum":"567850550","trunkName":"567850550"}`
	c.want(http.MethodGet, "/rest/calls/active/v3", "", `[`+
		`{"uuid":"`+string(told.UUID)+`","parentUuid":null,"lastEvent":"call.dial","dialAt":1473973200,"bridgeAt":null,"lgDirection":4,`+
		`"leg":{"id":`+strconv.FormatInt(int64(legID(boris)), 10)+`,"type":1,"displayName":"Boris","ext":"102"},`+other+`,`+
		`{"uuid":"office:2-7","parentUuid":null,"lastEvent":"call.bridge","dialAt":1473973201,"bridgeAt":1473973203,"lgDirection":4,`+
		`"leg":{"id":7,"type":1,"displayName":"Анна","ext":"101"},`+other+`]`)
	r.gw.happens(9, "office:1", event(gateway.EventHangup, gateway.CauseNormal))
	r.gw.happens(9, "office:2", event(gateway.EventHangup, gateway.CauseNormal))
	c.want(http.MethodGet, "/rest/calls/active/v3", "", "[]")
}

func TestCallByHTTP(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	r.gw.answer = func(_ context.Context, cmd gateway.Command) gateway.Reply {
		if cmd.To == "1" {
			return gateway.Reply{Error: &gateway.ReplyError{Code: gateway.CodeBadNumber, Message: "no number"}}
		}
		return gateway.Reply{OK: true, Call: "office:9"}
	}
	c := r.login()
	c.want(http.MethodPost, "/rest/user/makeCall", `{"legExt":"103","otherLegNum":"+380991234567"}`, `{"uuid":"office:9-7"}`)
	if cmd := r.gw.asked()[0]; cmd.Account != "acme" || cmd.User != "7" || cmd.Action != "call" || cmd.To != "+380991234567" || cmd.From != "103" || cmd.Check() != nil {
		t.Errorf("the gateway was asked %+v", cmd)
	}
	// What rings then is called so.
	p := r.connect("103")
	r.gw.happens(0, "office:9", gateway.Event{
		Type: gateway.EventDial, Direction: gateway.Outbound, From: gateway.Number{Raw: "103"}, To: gateway.Number{Raw: "+380991234567"}, Extensions: []string{"103"},
	}, gateway.Person{User: "7", Name: "Анна", Extension: "103"})
	if m := p.want("call.dial 2"); m.UUID != "office:9-7" {
		t.Errorf("it is called %s", m.UUID)
	}
	for body, want := range map[string]int{
		`{"legExt":"103","otherLegNum":"1"}`: http.StatusBadRequest, `{"legExt":"999","otherLegNum":"100"}`: http.StatusNotFound,
		`{`: http.StatusBadRequest, `{"legExt":"103","otherLegNum":"` + strings.Repeat("1", maxRequestBody) + `"}`: http.StatusRequestEntityTooLarge,
	} {
		if status, answer := c.ask(http.MethodPost, "/rest/user/makeCall", body); status != want {
			t.Errorf("%.50s: %d %s", body, status, answer)
		}
	}
}

func TestHangUpByHTTP(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	c := r.login()
	r.gw.happens(0, "office:1/a b", rung(inbound, "101", "102"), anna, boris)
	c.want(http.MethodGet, "/rest/calls/active/"+url.PathEscape(string(partOf("office:1/a b", "boris")))+"/hangup", "", "")
	if cmd := r.gw.asked()[0]; cmd.User != "boris" || cmd.Action != "hangup" || cmd.Call != "office:1/a b" || cmd.Check() != nil {
		t.Errorf("the gateway was asked %+v", cmd)
	}
	if status, _ := c.ask(http.MethodGet, "/rest/calls/active/office:2-7/hangup", ""); status != http.StatusNotFound {
		t.Errorf("a call that there is not: %d", status)
	}
}

func TestNoListOfWhatIsOver(t *testing.T) {
	t.Parallel()
	c := newServerRig(t, nil).login()
	for _, path := range []string{"/rest/calls/company.api", "/rest/", "/rest/calls/active"} {
		if status, body := c.ask(http.MethodGet, path, ""); status != http.StatusNotFound || !strings.Contains(body, `"not_found"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestForgedSessions: only who has the key has a session, for a while, and only of his account.
func TestForgedSessions(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	later := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	past := strconv.FormatInt(time.Now().Add(-time.Second).Unix(), 10)
	right := r.server.sign(acmeDomain, later)
	c := r.caller()
	for name, cookie := range map[string]string{
		"none": "", "empty": "JSESSIONID=", "nonsense": "JSESSIONID=x~y~z", "no signature": "JSESSIONID=" + acmeDomain + "~" + later + "~",
		"another time":         "JSESSIONID=" + acmeDomain + "~" + later + "0~" + right,
		"another account":      "JSESSIONID=globex.phonet.example~" + later + "~" + right,
		"an unknown account":   "JSESSIONID=unknown.example~" + later + "~" + r.server.sign("unknown.example", later),
		"one that has run out": "JSESSIONID=" + acmeDomain + "~" + past + "~" + r.server.sign(acmeDomain, past),
	} {
		if status, body := c.ask(http.MethodGet, "/rest/users", "", "Cookie", cookie); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, body := c.ask(http.MethodGet, "/rest/users", "", "Cookie", "JSESSIONID="+acmeDomain+"~"+later+"~"+right); status != http.StatusOK {
		t.Errorf("a good one: %d %s", status, body)
	}
}

func TestWrongLogins(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	c := r.caller()
	for body, want := range map[string]int{
		`{"domain":"` + acmeDomain + `","apiKey":"wrong"}`:              http.StatusUnauthorized,
		`{"domain":"unknown.example","apiKey":"` + acmeKey + `"}`:       http.StatusUnauthorized,
		`{"domain":"globex.phonet.example","apiKey":"` + acmeKey + `"}`: http.StatusUnauthorized,
		`{"domain":"` + acmeDomain + `"}`:                               http.StatusUnauthorized,
		`{"domain":"` + acmeDomain + `","apiKey":["` + acmeKey + `"]}`:  http.StatusBadRequest,
		``:                                    http.StatusBadRequest,
		strings.Repeat("{", maxRequestBody+1): http.StatusRequestEntityTooLarge,
	} {
		if status, answer := c.ask(http.MethodPost, authorize, body); status != want || strings.Contains(answer, acmeKey) {
			t.Errorf("%.60s: %d %s", body, status, answer)
		}
	}
	if strings.Contains(r.log.String(), acmeKey) {
		t.Errorf("the key is in the log: %s", r.log)
	}
}

// TestPageOfAnotherOrigin has nothing from a session that its visitor has.
func TestPageOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	c := r.login()
	r.gw.happens(0, "office:1", rung(inbound, "101"), anna)
	if status, body := c.ask(http.MethodGet, "/rest/calls/active/office:1-7/hangup", "", "Origin", "https://evil.example"); status != http.StatusForbidden || len(r.gw.asked()) != 0 {
		t.Errorf("%d %s", status, body)
	}
	resp, err := c.client.Post(r.web.URL+authorize, "application/json", strings.NewReader(`{"domain":"`+acmeDomain+`","apiKey":"`+acmeKey+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if cookie := resp.Header.Get("Set-Cookie"); !strings.Contains(cookie, "; Path=/rest/; HttpOnly; SameSite=Strict") {
		t.Errorf("the cookie goes along with others' requests: %s", cookie)
	}
}

func TestFloodByHTTP(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, func(cfg *ServerConfig) {
		cfg.Limits = ServerLimits{HandshakeBurst: 5, HandshakesPerIP: 1e-9}
		cfg.ClientAddr = func(*http.Request) string { return "192.0.2.1" }
	})
	c := r.caller()
	for i := range 8 {
		want := http.StatusUnauthorized
		if i >= 5 {
			want = http.StatusTooManyRequests
		}
		if status, _ := c.ask(http.MethodPost, authorize, `{}`); status != want {
			t.Errorf("login %d: %d", i, status)
		}
	}
}

// TestCallsByHTTPCountAsCommands, with those of sockets.
func TestCallsByHTTPCountAsCommands(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	c := r.login()
	placed := 0
	for range commandBurst + 10 {
		if status, _ := c.ask(http.MethodPost, "/rest/user/makeCall", `{"legExt":"101","otherLegNum":"100"}`); status == http.StatusOK {
			placed++
		}
	}
	if placed < commandBurst || placed > commandBurst+9 {
		t.Errorf("%d calls were placed", placed)
	}
}

func TestDrainByHTTP(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, nil)
	c := r.login()
	r.server.Close()
	if status, _ := c.ask(http.MethodGet, "/rest/users", ""); status != http.StatusServiceUnavailable {
		t.Errorf("%d", status)
	}
}

// FuzzServerREST: whatever a body is, the answer is a JSON document, and a call is placed only for one that says so.
func FuzzServerREST(f *testing.F) {
	for _, seed := range []string{`{"legExt":"101","otherLegNum":"+380991234567"}`, `{"legExt":101,"otherLegNum":100}`, `{`, `null`, `[]`, "\xff", `{"legExt":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newServerParts(t, nil)
		defer r.server.Close()
		w := httptest.NewRecorder()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/rest/user/makeCall", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		later := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
		req.AddCookie(&http.Cookie{Name: sessionCookie, Value: acmeDomain + "~" + later + "~" + r.server.sign(acmeDomain, later)})
		r.server.Handler().ServeHTTP(w, req)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body.String())
		}
		if asked := len(r.gw.asked()); (asked == 1) != (w.Code == http.StatusOK) {
			t.Errorf("%d, and the gateway was asked %d times", w.Code, asked)
		}
	})
}
