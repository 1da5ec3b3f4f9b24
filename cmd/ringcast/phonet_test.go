package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/phonet"
	"ringcast/static/browsertest"
)

// The vendor's page on the protocol has these lines. They run as they stand there: the name is resolved to this
// machine, and its certificate is not looked at.
const (
	vendorDomain = "qwerty.phonet.com.ua"
	vendorKey    = "S3Bvc2eNimuQmQWyJt5aEvNjbND1fz0X"

	vendorConnects = `var _socket = new
WebSocket('wss://qwerty.phonet.com.ua/live/connector/v3/easy?domain=qwerty.phonet.com.ua&apiKey=S3Bvc2eNimuQmQWyJt5aEvNjbND1fz0X&subscriber=001');`

	vendorListens = `_socket.onmessage = function(e) {
    var data = JSON.parse(e.data);
    if(data["event"] == "call.dial") {
        alert("Call from: " + data.otherLegs[0].num);
    }
};`

	vendorCalls = `var data = {
  "action": "call",
  "to" : "380991234567"
};
_socket.send(JSON.stringify(data));`
)

// vendorPage runs them. What the page would show in a dialog, which stops everything else, it notes; and beside the
// vendor's own listener it notes every frame.
const vendorPage = `<!doctype html><meta charset="utf-8"><title>A CRM of one's own</title><link rel="icon" href="data:,">
<script>
var alerts = [], frames = [], opened = false;
window.alert = function (text) { alerts.push(text); };
</script>
<script>
` + vendorConnects + `
` + vendorListens + `
</script>
<script>
_socket.addEventListener('open', function () { opened = true; });
_socket.addEventListener('message', function (e) { frames.push(JSON.parse(e.data)); });
</script>
`

// TestPhonetsOwnLinesInTheBrowser: a page that was written for Phonet, with a real Asterisk in Phonet's place.
func TestPhonetsOwnLinesInTheBrowser(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(vendorPage))
	}))
	t.Cleanup(func() {
		crm.CloseClientConnections()
		crm.Close()
	})
	file := configFile(t, fmt.Sprintf(`
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
tls: {cert: cert.pem, key: key.pem}
origins: [%q]
accounts:
  - id: acme
    region: UA
    pbx: [{id: office, kind: asterisk, address: %q, username: %s, secret: %s}]
    phonet: {domain: %s, api_key: %s}
    users: [{id: "001", name: Support Phonet, extensions: ["101"]}]
`, crm.URL, lab.AMI, asterisktest.User, asterisktest.Secret(asterisktest.User), vendorDomain, vendorKey))
	newCertificate(t, filepath.Dir(file), 1)
	run := start(t, "serve", "-log-level", "debug", "-config", file)
	phones := lab.Phones(t)
	eventually(t, "a link to Asterisk", func() bool { return run.node.gateway.Links()[0].PBX.State().State == "connected" })

	_, port, err := net.SplitHostPort(run.node.web.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	browser := browsertest.New(t, chromedp.Flag("host-resolver-rules", "MAP "+vendorDomain+":443 127.0.0.1:"+port),
		chromedp.Flag("ignore-certificate-errors", true))
	page := openPage(browser, t, "phonet", crm.URL, 800, 600)
	page.wait("opened")

	phones.Do(t, "trunk", "dial", "5550101", "380567777777")
	phones.Wait(t, "101", "ringing")
	page.wait("frames.length === 1")
	page.want("alerts.join()", "Call from: +380567777777")
	page.want("JSON.stringify(frames[0].leg)", fmt.Sprintf(`{"id":%s,"type":1,"displayName":"Support Phonet","ext":"101"}`, page.text("frames[0].leg.id")))
	page.want("[frames[0].event, frames[0].lgDirection, frames[0].parentUuid, frames[0].leg2, frames[0].bridgeAt, typeof frames[0].serverTime].join()",
		"call.dial,4,,,,string")
	phones.Do(t, "101", "answer")
	phones.Wait(t, "trunk", "up")
	page.wait("frames.length === 2")
	page.want("[frames[1].event, frames[1].uuid === frames[0].uuid, frames[1].bridgeAt >= frames[1].dialAt].join()", "call.bridge,true,true")
	phones.Do(t, "trunk", "hangup")
	phones.Wait(t, "101", "ended")
	page.wait("frames.length === 3")
	page.want("[frames[2].event, frames[2].uuid === frames[0].uuid, frames[2].bridgeAt === frames[1].bridgeAt].join()", "call.hangup,true,true")

	phones.Forget()
	page.want("eval("+quoted(vendorCalls)+")", "undefined")
	phones.Wait(t, "101", "ringing")
	phones.Do(t, "101", "answer")
	if far := phones.Wait(t, "trunk", "ringing"); far.To != "380991234567" {
		t.Errorf("Asterisk dialled %q", far.To)
	}
	phones.Do(t, "trunk", "answer")
	phones.Do(t, "101", "hangup")
	phones.Wait(t, "trunk", "ended")
	page.wait("frames.length === 7")
	events := strings.Split(page.text(`frames.slice(3).map(function (f) { return f.event + (f.lgDirection ? ' ' + f.lgDirection : ''); }).join()`), ",")
	if i := slices.Index(events, "success"); i < 0 || !slices.Equal(slices.Delete(slices.Clone(events), i, i+1), []string{"call.dial 2", "call.bridge 2", "call.hangup 2"}) {
		t.Errorf("the clicked call is %q", events)
	}
	page.want("alerts[1]", "Call from: +380991234567") // the vendor's lines make no difference
	for _, text := range []string{run.stderr.String(), run.stdout.String()} {
		if strings.Contains(text, vendorKey) {
			t.Errorf("the key is in the log:\n%s", text)
		}
	}
}

// quoted is a text as JavaScript.
func quoted(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}

const phonetAccount = `
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
admin_key: admin-0123456789abcdef
origins: ["` + goodOrigin + `"]
accounts:
  - id: acme
    region: UA
    pbx: [{id: main, kind: webhook, key: ` + acmePBXKey + `}]
    phonet: {domain: ` + vendorDomain + `, api_key: ` + vendorKey + `}
    users:
      - {id: "88888", name: Anna, extensions: ["101"], email: anna@example.com}
      - {id: "99999", name: Boris, extensions: ["102"]}
`

// phonetSocket connects as a client of Phonet does.
func (p *program) phonetSocket(subscriber string) *websocket.Conn {
	p.t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	conn, _, err := dialer.DialContext(p.t.Context(), "ws"+strings.TrimPrefix(p.web, "http")+phonet.Path+
		"?domain="+vendorDomain+"&apiKey="+vendorKey+"&subscriber="+subscriber, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

func TestServePhonetsClients(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-log-level", "debug", "-config", configFile(t, phonetAccount))
	conn := p.phonetSocket("anna@example.com")
	p.emit(inboundDial("1", `"101"`))
	var m struct{ Event, UUID string }
	if err := conn.ReadJSON(&m); err != nil || m.Event != "call.dial" || m.UUID != "main:1-88888" {
		t.Errorf("%+v %v", m, err)
	}
	if err := conn.WriteJSON(map[string]string{"action": "call", "to": "380991234567"}); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Event, Message string }
	if err := conn.ReadJSON(&answer); err != nil || answer.Event != "error" || answer.Message == "" {
		t.Errorf("a call by a PBX that places none: %+v %v", answer, err)
	}
	eventually(t, "metrics of all that", func() bool { // a message is counted when it is out
		text := p.request(http.MethodGet, p.ops+"/metrics", "").body
		if strings.Contains(text, vendorKey) {
			t.Fatalf("the key is in the metrics:\n%s", text)
		}
		return strings.Contains(text, `ringcast_sessions{rung="phonet"} 1`) && strings.Contains(text, `ringcast_commands_total{code="`) &&
			strings.Contains(text, `ringcast_events_delivered_total{rung="phonet"} 1`)
	})
	if a := p.request(http.MethodGet, p.web+"/rest/calls/active/v3", ""); a.status != http.StatusForbidden {
		t.Errorf("without a session: %d %s", a.status, a.body)
	}
	login := p.request(http.MethodPost, p.web+"/rest/security/authorize", `{"domain":"`+vendorDomain+`","apiKey":"`+vendorKey+`"}`)
	cookie, _, _ := strings.Cut(login.header.Get("Set-Cookie"), ";")
	active := p.request(http.MethodGet, p.web+"/rest/calls/active/v3", "", "Cookie", cookie)
	if active.status != http.StatusOK || !strings.HasPrefix(active.body, `[{"uuid":"main:1-88888","parentUuid":null,"lastEvent":"call.dial",`) {
		t.Errorf("the calls that live: %d %s", active.status, active.body)
	}
	if a := p.request(http.MethodGet, p.web+phonet.Path+"?domain=x&apiKey="+vendorKey, ""); a.status != http.StatusBadRequest {
		t.Errorf("without an upgrade: %d", a.status)
	}

	// Revoked, or out of the directory, and gone at once.
	other := p.phonetSocket("102")
	for _, gone := range []struct {
		conn         *websocket.Conn
		method, path string
	}{{conn, http.MethodPost, "88888/revoke"}, {other, http.MethodDelete, "99999"}} {
		begun := time.Now()
		if a := p.request(gone.method, p.web+"/v1/admin/accounts/acme/users/"+gone.path, "", "Authorization", "Bearer admin-0123456789abcdef"); a.status >= 300 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if _, _, err := gone.conn.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) || time.Since(begun) > atOnce {
			t.Errorf("after %s: %v, in %v", gone.path, err, time.Since(begun))
		}
	}
	if strings.Contains(p.stderr.String(), vendorKey) {
		t.Errorf("the key is in the log:\n%s", p.stderr)
	}
}

func TestServeSendsPhonetsClientsAway(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, phonetAccount))
	conn := p.phonetSocket("101")
	end := make(chan error, 1)
	go func() {
		_, _, err := conn.ReadMessage()
		end <- err
	}()
	p.stop()
	if err := <-end; !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("closed with %v", err)
	}
}

func TestServeWithoutPhonet(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	if a := p.request(http.MethodGet, p.web+phonet.Path, ""); a.status != http.StatusNotFound {
		t.Errorf("%d", a.status)
	}
}
