package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
	"ringcast/gateway/push"
	"ringcast/gateway/sandbox"
)

// routedInTheBox is an account with rules for some lines.
const routedInTheBox = `agi_listen: 127.0.0.1:0
accounts:
  - id: office
    region: RU
    pbx:
      - {id: main, kind: webhook, key: ` + acmePBXKey + `}
      - {id: desk, kind: asterisk, address: "127.0.0.1:1", username: a, secret: x, key: ` + routeKey + `}
    crm:
      kind: amocrm
      domain: acme.amocrm.ru
      client_id: $CLIENT
      client_secret: $SECRET
      redirect_uri: "$REDIRECT"
      base_url: "$BOX"
      token: $TOKEN
      route:
        - {try: [owner, fixed], fixed: "600"}
        - {lines: ["+74957654321"], off: true}
    users:
      - {id: "88888", name: Anna, extensions: ["101"]}
      - {id: "99999", name: Boris, extensions: ["102"]}
`

const routeKey = "the key of the dial plan"

// routedBox is a gateway at a pretend amoCRM that knows a caller of Boris's.
func routedBox(t *testing.T) (*program, *crmBox) {
	t.Helper()
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
		cfg.Private = true
		cfg.Contacts = []sandbox.AmoContact{
			{ID: 1001, Name: "Ivan Petrov", Phones: []string{"8 (900) 555-01-11"}, Company: "Petrov & Sons", Responsible: 99999},
			{ID: 1002, Name: "Vera Petrova", Phones: []string{"+7 900 555-01-11"}, Responsible: 88888},
		}
	})
	token, err := box.LongLivedToken(boxClient, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, "serve", "-config", configFile(t, box.config(strings.ReplaceAll(routedInTheBox, "$TOKEN", token)))), box
}

// routeOf asks where a call goes.
func (p *program) routeOf(query string, header ...string) answer {
	p.t.Helper()
	if header == nil {
		header = []string{"Authorization", "Bearer " + acmePBXKey}
	}
	return p.request(http.MethodGet, p.web+"/v1/accounts/office/route?"+query, "", header...)
}

// remembers waits until the gateway has had its first answer about a number from the CRM, which may well come too late
// for the question that it was for.
func (p *program) remembers(phone string) {
	p.t.Helper()
	eventually(p.t, "the contact", func() bool { return p.routeOf("phone="+phone+"&format=text").body == "102" })
}

func TestRoute(t *testing.T) {
	t.Parallel()
	p, box := routedBox(t)
	p.remembers("79005550111")
	want := `{"extension":"102","user":"99999","by":"owner","contact":{"id":"1001","type":"contact","name":"Ivan Petrov","url":"` + box.url + `/contacts/detail/1001"},"company":`
	if got := p.routeOf("phone=79005550111&line=%2B74951234567"); got.status != http.StatusOK || !strings.HasPrefix(got.body, want) {
		t.Errorf("%d %s, want %s…", got.status, got.body, want)
	}
	for query, want := range map[string]string{
		"phone=%2B79005550111&format=text":                    "102",
		"phone=+79005550111&format=text":                      "102", // the plus is not written as it should be
		"phone=79005550999&format=text":                       "600",
		"phone=&format=text":                                  "600",
		"phone=79005550111&line=84957654321&format=text":      "",
		"phone=79005550111&line=%2B74957654321":               `{"extension":null,"why":"off"}` + "\n",
		"phone=79005550111&line=7+495+765-43-21&format=other": `{"extension":null,"why":"off"}` + "\n",
	} {
		if got := p.routeOf(query); got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: %d %q, want %q", query, got.status, got.body, want)
		}
	}
	if got := p.routeOf("phone=79005550111&format=text", "Authorization", "Basic "+basic("pbx", routeKey)); got.body != "102" {
		t.Errorf("with the dial plan's key: %d %s", got.status, got.body)
	}
	p.routeOf("phone=1", "Authorization", "Bearer guessed").refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	p.routeOf("phone=1", "Authorization", "Basic "+basic(routeKey, "guessed")).refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	p.routeOf("phone=1", "X-None", "").refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	p.routeOf("line=1").refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	p.routeOf("phone="+strings.Repeat("1", 200)).refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	p.request(http.MethodGet, p.web+"/v1/accounts/nobody/route?phone=1", "", "Authorization", "Bearer "+acmePBXKey).refused(t, http.StatusNotFound, gateway.CodeNotFound)

	// The dial plan's key opens nothing else.
	p.post("office", routeKey, inboundDial("1", `"101"`)).refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
}

func basic(user, password string) string {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(user, password)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}

func TestRouteAnswersInTimeThoughTheCRMHangs(t *testing.T) {
	t.Parallel()
	p, box := routedBox(t)
	defer box.Hang("/api/")()
	if got := p.routeOf("phone=79005550111&format=text"); got.body != "600" { // how soon, TestRouteAnswersInTimeWhateverTheCRMDoes says
		t.Errorf("%d %q", got.status, got.body)
	}
	if set := p.agi("office", routeKey, "79005550111", ""); set["RINGCAST_EXTENSION"] != "600" {
		t.Errorf("over FastAGI %q", set)
	}
}

// agi asks as Asterisk does, and returns the variables that are set.
func (p *program) agi(account, key, phone, line string) map[string]string {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.node.routing.listener.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "agi_network: yes\nagi_network_script: %s\nagi_callerid: %s\nagi_dnid: %s\nagi_arg_1: %s\n\n", account, phone, line, key)
	set := map[string]string{}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "SET VARIABLE "), " ")
		if !ok {
			p.t.Fatalf("told %q", lines.Text())
		}
		set[name] = strings.Trim(value, `"`)
		_, _ = io.WriteString(conn, "200 result=1\n")
	}
	return set
}

func TestRouteByAGI(t *testing.T) {
	t.Parallel()
	p, _ := routedBox(t)
	p.remembers("79005550111")
	set := p.agi("office", routeKey, "79005550111", "5550101")
	if set["RINGCAST_EXTENSION"] != "102" || set["RINGCAST_USER"] != "99999" || set["RINGCAST_CONTACT"] != "Ivan Petrov" {
		t.Errorf("set %q", set)
	}
	if set := p.agi("office", routeKey, "79005550111", "84957654321"); set["RINGCAST_EXTENSION"] != "" || set["RINGCAST_WHY"] != "off" {
		t.Errorf("on a line that is off: %q", set)
	}
	for name, set := range map[string]map[string]string{
		"a wrong key": p.agi("office", "guessed", "79005550111", ""), "another account": p.agi("nobody", routeKey, "79005550111", ""),
		"no key": p.agi("office", "", "79005550111", ""), "no account": p.agi("", routeKey, "79005550111", ""),
	} {
		if len(set) > 0 {
			t.Errorf("%s: set %q", name, set)
		}
	}
}

// unreadLog is a log that cannot be read to its end yet.
type unreadLog struct{ gateway.Log }

func (unreadLog) Last(ctx context.Context, _ int) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// TestDialPlanIsAnsweredWhileTheNodeStarts: Asterisk has no time-out for it, and its caller hears nothing meanwhile.
func TestDialPlanIsAnsweredWhileTheNodeStarts(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) { cfg.Private = true })
	cfg, err := LoadConfig(configFile(t, box.config(strings.ReplaceAll(routedInTheBox, "$TOKEN", "x"))), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n.gateway = gateway.New(gateway.Config{Log: unreadLog{n.db.Log()}, Store: n.db.Store(), Directory: n.directory})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx, func() { t.Error("it is ready") }) }()
	if set := (&program{t: t, node: n}).agi("office", routeKey, "79005550111", "5550101"); set["RINGCAST_EXTENSION"] != "600" {
		t.Errorf("set %q", set)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// lateListener lets one in when it is already closed.
type lateListener struct {
	net.Listener
	closed, over chan struct{}
	late         chan net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closed
	<-time.After(time.Second)
	select {
	case conn := <-l.late:
		return conn, nil
	default:
		close(l.over)
		return nil, net.ErrClosed
	}
}

func (l *lateListener) Close() error {
	close(l.closed)
	return nil
}

// TestDialPlanThatAsksWhileTheNodeCloses: what answers it must be over before the stores are closed.
func TestDialPlanThatAsksWhileTheNodeCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		l := &lateListener{closed: make(chan struct{}), over: make(chan struct{}), late: make(chan net.Conn, 1)}
		l.late <- far
		agi := asterisk.NewAGI(asterisk.AGIConfig{Logger: slog.New(slog.DiscardHandler), Route: func(context.Context, asterisk.AGIRequest) (gateway.Routed, error) {
			return gateway.Routed{}, nil
		}})
		n := &node{routing: routing{agi: agi, listener: l}}
		n.serveAGI(make(chan error, 1))
		if err := n.closeAGI(); err != nil {
			t.Error(err)
		}
		select {
		case <-l.over:
		default:
			t.Error("others may still be let in")
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("who was let in late is still there: %v", err)
		}
	})
}

// TestWhoCallsFromTheBackEnd follows a caller's name from the CRM to a page that asks nothing itself, and the CRM's own
// notification to those without one.
func TestWhoCallsFromTheBackEnd(t *testing.T) {
	t.Parallel()
	p, box := routedBox(t)
	token, _, err := p.node.tokens.Mint("office", "88888", push.SessionLife)
	if err != nil {
		t.Fatal(err)
	}
	anna := p.open(token, "", nil)
	dial := func(call string) string {
		return fmt.Sprintf(`{"event":"call.dial","call":%q,"direction":"inbound","from":"79005550111","to":"5550101","extensions":["101","102"]}`, call)
	}
	eventually(t, "Anna to be here", func() bool {
		for _, u := range p.node.gateway.Presence("office") {
			if u.User == "88888" {
				return u.Online
			}
		}
		return false
	})
	p.post("office", acmePBXKey, dial("1")).decode(t, http.StatusAccepted, new(took))
	if v := anna.call(gateway.EventDial, gateway.Ringing); v.Contact != nil {
		t.Errorf("the card waited for the CRM: %+v", v.Contact)
	}
	if v := anna.call(gateway.EventUpdate, gateway.Ringing); v.Contact == nil || v.Contact.Name != "Ivan Petrov" {
		t.Errorf("the contact is %+v", v.Contact)
	}
	eventually(t, "Boris to be notified", func() bool { return len(box.Events()) > 0 })
	if e := box.Events()[0]; e.Everybody || len(e.Users) != 1 || e.Users[0] != 99999 || e.Client != boxClient {
		t.Errorf("notified %+v", e)
	}
	p.post("office", acmePBXKey, dial("2")).decode(t, http.StatusAccepted, new(took))
	if v := anna.call(gateway.EventDial, gateway.Ringing); v.Contact == nil || v.Contact.Name != "Ivan Petrov" {
		t.Errorf("a moment later the card has %+v", v.Contact)
	}
}

func TestRouteAnswerIsOneObject(t *testing.T) {
	t.Parallel()
	p, _ := routedBox(t)
	p.remembers("79005550111")
	var got gateway.Routed
	if err := json.Unmarshal([]byte(p.routeOf(url.Values{"phone": {"8 900 555 01 11"}}.Encode()).body), &got); err != nil || got.Company == nil || got.Company.Name != "Petrov & Sons" ||
		len(got.Others) != 1 || got.Others[0].Name != "Vera Petrova" {
		t.Errorf("%+v, %v", got, err)
	}
}
