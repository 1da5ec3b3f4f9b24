package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/push"
	"ringcast/gateway/webhook"
)

// mappedRig is an example's config and its real handler in front of the tracker.
type mappedRig struct {
	handler http.Handler
	account gateway.Account
	now     time.Time
	calls   map[string]gateway.Call
	order   []string
	counts  map[string]int
}

// Emit folds events as the gateway does.
func (m *mappedRig) Emit(_ context.Context, account, pbx string, events []gateway.Event) (gateway.Result, error) {
	for _, e := range events {
		if e.At.IsZero() {
			e.At = m.now
		}
		for _, ext := range append(e.Extensions, e.From.Raw) {
			for _, u := range m.account.Users {
				if len(u.Extensions) > 0 && u.Extensions[0] == ext {
					e.People = append(e.People, gateway.Person{User: u.ID, Name: u.Name, Extension: ext})
				}
			}
		}
		call, known := m.calls[e.Call]
		if !known {
			call = gateway.Call{Account: account, ID: pbx + ":" + e.Call}
			m.order = append(m.order, e.Call)
		}
		m.calls[e.Call], _ = gateway.Tracker{}.Apply(call, e)
	}
	return gateway.Result{Accepted: len(events)}, nil
}

const exampleKey = "example-example-example-example!"

func newMappedRig(t testing.TB, example string) *mappedRig {
	t.Helper()
	cfg, err := LoadConfig("../../examples/webhook/"+example+".yaml", func(string) (string, bool) { return exampleKey, true })
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	rig := &mappedRig{account: cfg.GatewayAccounts()[0], now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		calls: map[string]gateway.Call{}, counts: map[string]int{}}
	mapped := webhook.NewMapped(webhook.MappedConfig{
		Emitter: rig, PBXes: []webhook.MappedPBX{{Account: "acme", ID: example, Mapping: cfg.Accounts[0].PBX[0].Webhook.Mapping}},
		ClientAddr: push.ClientAddr(nil), Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return rig.now },
		Count: func(_, _, what string, n int) { rig.counts[what] += n },
	})
	mux := http.NewServeMux()
	for _, path := range mappedPaths {
		mux.Handle("POST "+path, gateway.Handle(slog.New(slog.DiscardHandler), mapped.ServeEvents))
		mux.Handle("GET "+path, gateway.Handle(slog.New(slog.DiscardHandler), mapped.ServeGet))
	}
	rig.handler = mux
	return rig
}

// request is what the vendor sends for a line of its test data, signed with key.
func (m *mappedRig) request(example, line, key string) *http.Request {
	path, form, signature := "", line, ""
	if example == "mango" {
		rest, body, _ := strings.Cut(line, " ")
		sum := sha256.Sum256([]byte(exampleKey + body + key))
		path, form = "/"+rest, url.Values{"vpbx_api_key": {exampleKey}, "sign": {hex.EncodeToString(sum[:])}, "json": {body}}.Encode()
	} else {
		f, _ := url.ParseQuery(line)
		signed := f.Get("caller_id") + f.Get("called_did") + f.Get("call_start")
		switch event := f.Get("event"); {
		case event == "NOTIFY_ANSWER":
			signed = f.Get("caller_id") + f.Get("destination") + f.Get("call_start")
		case event == "NOTIFY_RECORD":
			signed = f.Get("pbx_call_id") + f.Get("call_id_with_rec")
		case strings.HasPrefix(event, "NOTIFY_OUT_"):
			signed = f.Get("internal") + f.Get("destination") + f.Get("call_start")
		}
		mac := hmac.New(sha1.New, []byte(key))
		_, _ = io.WriteString(mac, signed)
		signature = base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(mac.Sum(nil))))
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/accounts/acme/pbx/"+example+"/events"+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Signature", signature)
	r.RemoteAddr = "127.0.0.1:40000"
	return r
}

func (m *mappedRig) send(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w.Result()
}

// String is every call in a few words: who was rung, and what became of it.
func (m *mappedRig) String() string {
	var b strings.Builder
	for _, id := range m.order {
		c := m.calls[id]
		fmt.Fprintf(&b, "%s %q to %q line %q over %v", c.Direction, c.From.Raw, c.To.Raw, c.Line, c.Over())
		for _, leg := range c.Legs {
			fmt.Fprintf(&b, "; %s %s %v", leg.Extension, leg.Outcome, leg.Talked.Round(time.Second))
		}
		if c.Recording != "" {
			fmt.Fprintf(&b, "; %s", c.Recording)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func exampleLines(t testing.TB, name string) []string {
	t.Helper()
	data, err := os.ReadFile("../../examples/webhook/testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestExamplesOfMappings sends what the vendors send through the examples' configs, and looks at the calls.
func TestExamplesOfMappings(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"mango-answered": `inbound "74991102914" to "sip:anna@acme.mangosip.ru" line "74952129298" over true; 101 answered 20s; ` +
			`https://records.example.com/mango/MToxMjI3NTM6MzUw`,
		"mango-missed":           `inbound "74955404444" to "44332211" line "" over true; 101 missed 0s; 102 cancelled 0s`,
		"mango-group":            `inbound "74991102914" to "sip:anna@acme.mangosip.ru" line "74952129298" over true; 101 elsewhere 0s; 102 answered 1m0s`,
		"mango-internal":         `internal "101" to "102" line "" over true; 101 answered 30s; 102 answered 30s`,
		"mango-outbound":         `outbound "101" to "74955404444" line "" over true; 101 answered 20s`,
		"mango-click":            `outbound "101" to "74955404444" line "" over true; 101 answered 30s`,
		"mango-click-unanswered": `outbound "" to "74955404444" line "" over true; 101 cancelled 0s`,
		"mango-consulted":        `inbound "74955404444" to "12345678" line "" over true; 101 answered 25s; 102 answered 8s`,
		"zadarma-answered": `inbound "+442037691880" to "442037691881" line "442037691881" over true; 101 answered 10s; ` +
			`https://records.example.com/zadarma/1458832388.34373`,
		"zadarma-missed":    `inbound "" to "442037691881" line "442037691881" over true; 101 missed 0s`,
		"zadarma-group":     `inbound "+442037691880" to "442037691881" line "442037691881" over true; 101 elsewhere 0s; 102 answered 10s`,
		"zadarma-forwarded": `inbound "+442037691880" to "442037691881" line "442037691881" over true; 101 elsewhere 0s; 447700900123 answered 10s`,
		"zadarma-outbound":  `outbound "101" to "442037691882" line "" over true; 101 answered 15s`,
		"zadarma-busy":      `outbound "101" to "442037691882" line "" over true; 101 busy 0s`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			example, _, _ := strings.Cut(name, "-")
			lines := exampleLines(t, name)
			play(t, example, lines, want)
			if example == "mango" { // its events say when they happened: they may come in any order
				slices.Reverse(lines)
				play(t, example, lines, want)
			}
		})
	}
}

// play sends each line twice, as vendors do, and ten seconds after the one before.
func play(t *testing.T, example string, lines []string, want string) {
	t.Helper()
	rig := newMappedRig(t, example)
	for i, line := range lines {
		if i > 0 {
			rig.now = rig.now.Add(10 * time.Second)
		}
		if strings.Contains(line, "NOTIFY_OUT_END") {
			rig.now = rig.now.Add(time.Minute)
		}
		for range 2 {
			res := rig.send(rig.request(example, line, exampleKey))
			if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || len(body) > 0 {
				t.Fatalf("%s: %d %s", line, res.StatusCode, body)
			}
		}
	}
	if got := strings.TrimSpace(rig.String()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if rig.counts[webhook.Unmappable]+rig.counts[webhook.Refused] > 0 {
		t.Errorf("%v", rig.counts)
	}
}

// TestExamplesRefuseWhatTheVendorDidNotSign sends each line of the test data with another key.
func TestExamplesRefuseWhatTheVendorDidNotSign(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mango-answered", "zadarma-answered", "zadarma-outbound"} {
		example, _, _ := strings.Cut(name, "-")
		rig := newMappedRig(t, example)
		for _, line := range exampleLines(t, name) {
			wrong := rig.request(example, line, "another-key")
			elsewhere := rig.request(example, line, exampleKey)
			elsewhere.RemoteAddr = "203.0.113.9:40000"
			requests := []*http.Request{wrong}
			if example == "zadarma" {
				requests = append(requests, elsewhere)
			}
			for _, r := range requests {
				if res := rig.send(r); res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: %d", line, res.StatusCode)
				}
			}
		}
		if len(rig.calls) > 0 || rig.counts[webhook.Taken] > 0 {
			t.Errorf("%s: taken: %v", name, rig.counts)
		}
	}
}

func TestZadarmaTriesTheURL(t *testing.T) {
	t.Parallel()
	rig := newMappedRig(t, "zadarma")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/accounts/acme/pbx/zadarma/events?zd_echo=3c%3Cb%3E", http.NoBody)
	res := rig.send(r)
	if body, _ := io.ReadAll(res.Body); string(body) != "3c<b>" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
	r = httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/accounts/acme/pbx/zadarma/events", http.NoBody)
	if res := rig.send(r); res.StatusCode != http.StatusNotFound {
		t.Errorf("without anything to echo: %d", res.StatusCode)
	}
}

// TestReadmesLinesWork runs the shell blocks of the examples' README against a gateway.
func TestReadmesLinesWork(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	readme, err := os.ReadFile("../../examples/webhook/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range []string{"mango", "zadarma"} {
		_, block, found := strings.Cut(string(readme), "<!-- "+example+" -->\n```sh\n")
		block, _, closed := strings.Cut(block, "```\n")
		if !found || !closed {
			t.Fatalf("no block of %s", example)
		}
		rig := newMappedRig(t, example)
		rig.now = time.Now()
		server := httptest.NewServer(rig.handler)
		cmd := exec.CommandContext(t.Context(), "bash", "-c", block)
		cmd.Env = append(os.Environ(), "RINGCAST="+server.URL, "MANGO_API_KEY="+exampleKey, "MANGO_API_SALT="+exampleKey, "ZADARMA_SECRET="+exampleKey, "no_proxy=*")
		out, err := cmd.CombinedOutput()
		server.Close()
		if got := strings.ReplaceAll(string(out), "200\n", ""); err != nil || got != "" {
			t.Errorf("%s: %v\n%s", example, err, out)
		}
		if got := rig.String(); !strings.HasPrefix(got, "inbound") || !strings.Contains(got, "over true; 101 answered") {
			t.Errorf("%s: %s", example, got)
		}
	}
}

// TestCheckTriesAMapping: ringcast check -event says what a mapping makes of a body.
func TestCheckTriesAMapping(t *testing.T) {
	t.Parallel()
	body := filepath.Join(t.TempDir(), "body")
	write(t, body, `json={"entry_id":"e1","call_id":"c1","timestamp":1522347638,"seq":1,"call_state":"Appeared","location":"abonent",`+
		`"from":{"number":"74991102914"},"to":{"extension":"101"}}`+"\n")
	check := func(args ...string) (int, string) {
		var out strings.Builder
		a := &app{stdout: &out, stderr: &out, env: func(string) (string, bool) { return exampleKey, true }}
		code := a.run(t.Context(), append([]string{"check", "-config", "../../examples/webhook/mango.yaml", "-event", body, "-account", "acme"}, args...))
		return code, out.String()
	}
	if code, out := check("-pbx", "mango", "-path", "call"); code != 0 || !strings.Contains(out, `"event": "call.dial"`) ||
		!strings.Contains(out, `"call": "e1"`) || !strings.Contains(out, "1 events, 0 ignored") {
		t.Errorf("%d %s", code, out)
	}
	if code, out := check("-pbx", "mango", "-path", "summary"); code != 0 || !strings.Contains(out, `"event": "call.hangup"`) {
		t.Errorf("%d %s", code, out)
	}
	if code, out := check("-pbx", "mango"); code != 0 || !strings.Contains(out, "0 events, 1 ignored") || !strings.Contains(out, "-path, -query and -header") {
		t.Errorf("without what stands in the URL: %d %s", code, out)
	}
	if code, out := check("-pbx", "other"); code != 1 || !strings.Contains(out, `no pbx "other" with a mapping`) {
		t.Errorf("%d %s", code, out)
	}
	write(t, body, `json={"entry_id":"e1","call_id":"c1","call_state":"Appeared","from":{"extension":"102"},"to":{"number":"7"}}`)
	if code, out := check("-pbx", "mango", "-path", "call"); code != 0 || !strings.Contains(out, "note  event 0: id is empty") ||
		!strings.Contains(out, "note  event 0: at is empty") || strings.Contains(out, "extension is empty") {
		t.Errorf("%d %s", code, out)
	}
	write(t, body, `json={"call_state":"Appeared","to":{"extension":"101"}}`)
	if code, out := check("-pbx", "mango", "-path", "call"); code != 1 || !strings.Contains(out, "FAIL  event 0: call is missing") {
		t.Errorf("%d %s", code, out)
	}
}

// TestServeReadsAMapping: what a PBX posts in its own format is on a tab, and in the metrics.
func TestServeReadsAMapping(t *testing.T) {
	t.Parallel()
	const mapped = `
      - id: cloud
        kind: webhook
        mapping:
          encoding: form
          keys: [{in: $.token, key: cloud-cloud-cloud-cloud}]
          fields: {event: call.dial, call: $.id, direction: inbound, from: $.phone, extension: $.ext}
          rules: [{when: {$path: ping}, ignore: true}, {when: {$path: call}}]
    users:`
	config := strings.Replace(twoAccounts, "pbx: [{id: main, kind: webhook, key: "+acmePBXKey+"}]\n    users:",
		"pbx:\n      - {id: main, kind: webhook, key: "+acmePBXKey+"}"+mapped, 1)
	p := start(t, "serve", "-config", configFile(t, config))
	anna := p.open(tokenOf(t, "acme", "88888"), "", nil)
	url := p.web + "/v1/accounts/acme/pbx/cloud/events"
	const call = "token=cloud-cloud-cloud-cloud&id=7&phone=89991112233&ext=101"
	for _, tt := range []struct {
		path, body string
		status     int
	}{{"/call", "token=cloud&id=7&phone=89991112233&ext=101", 401}, {"", call, 400}, {"/ping", call, 202}, {"/call", call, 202}} {
		if got := p.request(http.MethodPost, url+tt.path, tt.body); got.status != tt.status {
			t.Errorf("%s %s: %d", tt.path, tt.body, got.status)
		}
	}
	if v := anna.call(gateway.EventDial, gateway.Ringing); v.ID != "cloud:7" || v.Phone == nil || *v.Phone != "+79991112233" {
		t.Errorf("the card: %+v", v)
	}
	if got := p.request(http.MethodPost, p.web+"/v1/accounts/acme/pbx/main/events", call); got.status != 404 {
		t.Errorf("a PBX without a mapping: %d", got.status)
	}
	metrics := p.request(http.MethodGet, p.ops+"/metrics", "").body
	for _, what := range []string{webhook.Taken, webhook.Ignored, webhook.Refused, webhook.Unmappable} {
		if line := fmt.Sprintf(`ringcast_webhook_total{account="acme",pbx="cloud",what=%q} 1`, what); !strings.Contains(metrics, line) {
			t.Errorf("the metrics have no %s", line)
		}
	}
}

// TestCheckTriesTheWholeRequest: what is not in the body is given beside it.
func TestCheckTriesTheWholeRequest(t *testing.T) {
	t.Parallel()
	config := configFile(t, `
accounts:
  - id: acme
    pbx:
      - id: cloud
        kind: webhook
        mapping:
          encoding: json
          addresses: [203.0.113.0/24]
          fields: {event: call.hangup, call: "{$path}-{$query.leg}-{$header.X-Call}"}
      - {id: url, kind: webhook, mapping: {encoding: query, addresses: [203.0.113.0/24], fields: {event: call.hangup, call: $.leg}}}
`)
	body := filepath.Join(t.TempDir(), "body")
	for _, tt := range []struct {
		pbx, body, call string
		args            []string
	}{
		{"cloud", "{}", "in-1-c", []string{"-path", "in", "-query", "leg=1", "-header", "X-Other: d", "-header", "x-call: c"}},
		{"url", "leg=2&x=%41", "2", nil},
		{"url", "", "3", []string{"-query", "leg=3"}},
	} {
		write(t, body, tt.body+"\n")
		var out strings.Builder
		a := &app{stdout: &out, stderr: &out, env: noEnv}
		code := a.run(t.Context(), append([]string{"check", "-config", config, "-event", body, "-account", "acme", "-pbx", tt.pbx}, tt.args...))
		if code != 0 || !strings.Contains(out.String(), `"call": "`+tt.call+`"`) {
			t.Errorf("%+v: %d %s", tt, code, out.String())
		}
	}
}

// TestKeyOfAMappedPBXOpensNothingElse: it would be a way past the addresses and the signature that its mapping asks for.
func TestKeyOfAMappedPBXOpensNothingElse(t *testing.T) {
	t.Parallel()
	const key = "cloud-cloud-cloud-cloud"
	const mapped = `
      - id: cloud
        kind: webhook
        key: ` + key + `
        mapping:
          encoding: json
          addresses: [203.0.113.0/24]
          fields: {event: call.hangup, call: $.c}
    users:`
	p := start(t, "serve", "-config", configFile(t, strings.Replace(twoAccounts, "pbx: [{id: main, kind: webhook, key: "+acmePBXKey+"}]\n    users:",
		"pbx:\n      - {id: main, kind: webhook, key: "+acmePBXKey+"}"+mapped, 1)))
	const dial = `{"event":"call.dial","call":"1","direction":"inbound","from":"","extension":"101"}`
	for key, status := range map[string]int{key: 401, acmePBXKey: 202} {
		if got := p.request(http.MethodPost, p.web+"/v1/accounts/acme/events", dial, "Authorization", "Bearer "+key); got.status != status {
			t.Errorf("an event with %s: %d, want %d", key, got.status, status)
		}
	}
	if got := p.request(http.MethodGet, p.web+"/v1/accounts/acme/presence", "", "Authorization", "Bearer "+key); got.status != 401 {
		t.Errorf("who is here: %d", got.status)
	}
}
