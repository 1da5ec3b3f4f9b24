package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"ringcast/gateway"
	"ringcast/static"
)

func TestServeACallReachesEachUserOnEachRung(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-log-level", "debug", "-config", configFile(t, twoAccounts))
	annaToken, borisToken := tokenOf(t, "acme", "88888"), tokenOf(t, "acme", "99999")
	anna, boris := p.open(annaToken, "", nil), p.open(borisToken, "", nil)
	clara := p.open(tokenOf(t, "globex", "88888"), "", nil)
	first := p.poll(annaToken, "")
	for _, h := range []message{anna.hello, boris.hello, clara.hello, first.Messages[0]} {
		if h.Type != "hello" || h.Resumed || h.Reason != "new" || len(h.Calls) != 0 {
			t.Errorf("first hello: %+v", h)
		}
	}
	if u := anna.hello.User; u.ID != "88888" || u.Name != "Anna" || len(u.Extensions) != 1 || u.Extensions[0] != "101" {
		t.Errorf("hello to %+v", u)
	}

	p.emit(inboundDial("1", `"101","102"`))
	rings := anna.call(gateway.EventDial, gateway.Ringing)
	if rings.ID != "main:1" || rings.Version != 1 || rings.Direction != gateway.Inbound || rings.Extension != "101" ||
		rings.Phone == nil || *rings.Phone != "+79991112233" || rings.PhoneRaw != "8 999 111-22-33" || rings.Line != "+74951234567" {
		t.Errorf("the ringing call: %+v", rings)
	}
	if v := boris.call(gateway.EventDial, gateway.Ringing); v.Extension != "102" {
		t.Errorf("Boris sees extension %s", v.Extension)
	}

	p.emit(event("bridge", "1", `"extension":"101"`))
	talks := anna.call(gateway.EventBridge, gateway.Talking)
	if talks.AnsweredAt == nil || talks.AnsweredBy == nil || talks.AnsweredBy.User != "88888" {
		t.Errorf("the answered call: %+v", talks)
	}
	elsewhere := boris.call(gateway.EventBridge, gateway.Ended)
	if elsewhere.Outcome == nil || *elsewhere.Outcome != gateway.Elsewhere || elsewhere.AnsweredBy == nil || elsewhere.AnsweredBy.Name != "Anna" {
		t.Errorf("Boris' call after Anna's answer: %+v", elsewhere)
	}

	// In the middle of the call: who comes anew sees it, and nobody sees another's.
	if late := p.open(annaToken, "", nil); len(late.hello.Calls) != 1 || late.hello.Calls[0].State != gateway.Talking {
		t.Errorf("the snapshot in mid-call: %+v", late.hello.Calls)
	}
	if late := p.open(borisToken, "", nil); len(late.hello.Calls) != 0 {
		t.Errorf("Boris' snapshot holds what has ended for him: %+v", late.hello.Calls)
	}

	p.emit(event("hangup", "1", `"cause":"normal"`))
	over := anna.call(gateway.EventHangup, gateway.Ended)
	if over.Outcome == nil || *over.Outcome != gateway.Answered || over.EndedAt == nil || over.Version != 3 {
		t.Errorf("the ended call: %+v", over)
	}

	// The other rung has the same, without a gap from its own hello on.
	polled := p.pollUntil(annaToken, first.Cursor, 3)
	for i, want := range []gateway.EventType{gateway.EventDial, gateway.EventBridge, gateway.EventHangup} {
		if polled[i].Event != want {
			t.Errorf("message %d of the poll is %s, want %s", i, polled[i].Event, want)
		}
	}
	if last := polled[len(polled)-1]; last.Cursor != anna.cursor {
		t.Errorf("the rungs' cursors differ: %q and %q", last.Cursor, anna.cursor)
	}

	// Nothing of all this was for Boris after his end, or for the other account's user of the same id.
	p.emit(inboundDial("2", `"102"`))
	boris.call(gateway.EventDial, gateway.Ringing)
	p.post("globex", globexPBXKey, inboundDial("9", `"101"`)).decode(t, http.StatusAccepted, new(took))
	if v := clara.call(gateway.EventDial, gateway.Ringing); v.ID != "main:9" {
		t.Errorf("Clara sees %s", v.ID)
	}

	for _, line := range []string{"msg=call.dial account=acme call=main:1", "msg=call.bridge account=acme call=main:1", "msg=call.hangup account=acme call=main:1",
		"msg=\"call ended\" account=acme call=main:1 direction=inbound users=\"[88888 99999]\" outcome=answered talk_seconds=0"} {
		if !strings.Contains(p.stderr.String(), line) {
			t.Errorf("no line %q in the log:\n%s", line, p.stderr)
		}
	}
}

func TestServeResumesOnEitherRung(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	p.emit(inboundDial("1", `"101"`))
	anna.call(gateway.EventDial, gateway.Ringing)
	_ = anna.conn.Close() // as when a laptop sleeps

	p.emit(event("bridge", "1", `"extension":"101"`))
	p.emit(event("hangup", "1", ""))
	missed := []gateway.EventType{gateway.EventBridge, gateway.EventHangup}

	t.Run("a new WebSocket", func(t *testing.T) {
		p := p.as(t)
		back := p.open(token, anna.cursor, nil)
		if h := back.hello; !h.Resumed || h.Reason != "" || h.Cursor != anna.cursor || len(h.Calls) != 0 {
			t.Errorf("hello of a resume: %+v", h)
		}
		back.call(missed[0], gateway.Talking)
		back.call(missed[1], gateway.Ended)
	})
	t.Run("a poll with a WebSocket's cursor", func(t *testing.T) {
		p := p.as(t)
		got := p.pollUntil(token, anna.cursor, len(missed))
		for i, m := range got {
			if m.Event != missed[i] {
				t.Errorf("message %d is %s", i, m.Event)
			}
		}
	})
	t.Run("a WebSocket with a poll's cursor", func(t *testing.T) {
		p := p.as(t)
		cursor := p.pollUntil(token, anna.cursor, 1)[0].Cursor
		back := p.open(token, cursor, nil)
		if h := back.hello; !h.Resumed || h.Cursor != cursor {
			t.Errorf("hello of a resume: %+v", h)
		}
		back.call(missed[1], gateway.Ended)
	})
	t.Run("nothing missed", func(t *testing.T) {
		p := p.as(t)
		all := p.pollUntil(token, anna.cursor, len(missed))
		back := p.open(token, all[1].Cursor, nil)
		if !back.hello.Resumed {
			t.Errorf("hello of a resume: %+v", back.hello)
		}
		p.emit(inboundDial("2", `"101"`))
		back.call(gateway.EventDial, gateway.Ringing)
	})

	epoch, position, _ := strings.Cut(anna.cursor, ".")
	for cursor, reason := range map[string]string{
		"not-a-cursor":               "foreign",
		"another." + position:        "epoch",
		epoch + ".zzzzzz." + "0":     "future",
		strings.Repeat("x", 70):      "foreign",
		epoch + ".-1.0":              "foreign",
		"\u0000<script>" + ".1.1":    "epoch",
		epoch + "." + position + ".": "foreign",
	} {
		t.Run("a reset of "+reason, func(t *testing.T) {
			p := p.as(t)
			back := p.open(token, cursor, nil)
			if h := back.hello; h.Resumed || h.Reason != reason || len(h.Calls) != 1 || h.Calls[0].ID != "main:2" {
				t.Errorf("%q: %+v, want a reset as %s with the live call", cursor, h, reason)
			}
			polled := p.poll(token, cursor)
			if len(polled.Messages) != 1 || polled.Messages[0].Type != "hello" || polled.Messages[0].Reason != reason {
				t.Errorf("%q, polled: %+v", cursor, polled)
			}
		})
	}
}

func TestServeCommandsWhereThePBXOnlyReports(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	p.emit(inboundDial("mine", `"101"`), inboundDial("his", `"102"`))
	anna.call(gateway.EventDial, gateway.Ringing)

	for i, c := range []struct {
		code   gateway.Code
		fields map[string]any
	}{
		{gateway.CodePBXOffline, map[string]any{"action": "call", "to": "+380991234567"}},
		{gateway.CodeBadNumber, map[string]any{"action": "call", "to": "call me"}},
		{gateway.CodeNotPermitted, map[string]any{"action": "hangup", "call": "main:mine"}},
		{gateway.CodeNotPermitted, map[string]any{"action": "answer", "call": "main:mine"}},
		{gateway.CodeNotFound, map[string]any{"action": "hangup", "call": "main:his"}},
		{gateway.CodeNotFound, map[string]any{"action": "hangup", "call": "main:none"}},
		{gateway.CodeNotFound, map[string]any{"action": "claim", "call": "main:his", "what": "notify"}},
		{gateway.CodeInvalid, map[string]any{"action": "claim", "call": "main:mine", "what": "nonsense"}},
		{gateway.CodeInvalid, map[string]any{"action": "nonsense"}},
	} {
		c.fields["id"] = "refused-" + strconv.Itoa(i)
		onSocket := anna.command(c.fields)
		if onSocket.OK || onSocket.Error.Code != string(c.code) || onSocket.Error.Message == "" {
			t.Errorf("%v: %+v, want %s", c.fields, onSocket, c.code)
		}
		c.fields["id"] = "posted-" + strconv.Itoa(i)
		c.fields["client"] = "another tab"
		if posted := p.action(token, c.fields); posted.OK || posted.Error.Code != string(c.code) {
			t.Errorf("posted %v: %+v, want %s", c.fields, posted, c.code)
		}
	}
	p.request(http.MethodPost, p.web+"/v1/actions", `{"id":"x","action":"call","to":"1"}`).refused(t, http.StatusUnauthorized, gateway.CodeBadToken)
	p.request(http.MethodPost, p.web+"/v1/actions", `{"token":"`+token+`","action":"call","to":"1"}`).refused(t, http.StatusBadRequest, gateway.CodeInvalid)
}

func TestServeAClaimIsOneClients(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	p.emit(inboundDial("1", `"101"`))
	anna.call(gateway.EventDial, gateway.Ringing)

	claim := func(id, client, what string, done bool) map[string]any {
		return map[string]any{"id": id, "client": client, "action": "claim", "call": "main:1", "what": what, "done": done}
	}
	if m := anna.command(claim("a", "", "notify", false)); !m.OK {
		t.Errorf("the first claim: %+v", m)
	}
	if m := p.action(token, claim("b", "other", "notify", false)); m.OK || m.Error.Code != string(gateway.CodeTaken) {
		t.Errorf("the second client's claim: %+v", m)
	}
	if m := p.action(token, claim("c", "other", "result", true)); !m.OK {
		t.Errorf("a claim of something else: %+v", m)
	}
	if m := anna.command(claim("d", "", "result", false)); m.OK || m.Error.Code != string(gateway.CodeTaken) {
		t.Errorf("a claim that another has carried out: %+v", m)
	}
	if m := p.action(token, claim("b", "other", "notify", false)); m.OK || m.Error.Code != string(gateway.CodeTaken) {
		t.Errorf("a repeat was answered anew: %+v", m)
	}
}

func TestServeExchangesABackendToken(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	res := p.request(http.MethodPost, p.web+"/v1/sessions/backend", "", "Authorization", "Bearer "+tokenOf(t, "acme", "88888"), "Origin", goodOrigin)
	var session struct {
		Token   string         `json:"token"`
		Expires gateway.Millis `json:"expires_at"`
		Account string         `json:"account"`
		User    gateway.User   `json:"user"`
	}
	res.decode(t, http.StatusOK, &session)
	if session.Account != "acme" || session.User.ID != "88888" || session.User.Name != "Anna" || session.Token == "" {
		t.Errorf("%+v", session)
	}
	if got := res.header.Get("Access-Control-Allow-Origin"); got != goodOrigin {
		t.Errorf("Access-Control-Allow-Origin is %q", got)
	}
	anna := p.open(session.Token, "", http.Header{"Origin": {goodOrigin}})
	if anna.hello.User.ID != "88888" {
		t.Errorf("hello to %+v", anna.hello.User)
	}
	p.request(http.MethodPost, p.web+"/v1/sessions/backend", "", "Authorization", "Bearer "+session.Token).
		refused(t, http.StatusUnauthorized, gateway.CodeBadToken) // it does not renew itself
}

func TestServeFilesAndUnknownPaths(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	script := p.request(http.MethodGet, p.web+"/client.js", "")
	if script.status != http.StatusOK || script.body != string(static.ClientJS) || !strings.HasPrefix(script.header.Get("Content-Type"), "text/javascript") {
		t.Errorf("client.js: %d %s, %d bytes", script.status, script.header.Get("Content-Type"), len(script.body))
	}
	for _, path := range []string{"/", "/nothing", "/admin/", "/demo/", "/v1/nothing", "/v1/accounts/acme/nothing"} {
		t.Run(path, func(t *testing.T) {
			p := p.as(t)
			p.request(http.MethodGet, p.web+path, "").refused(t, http.StatusNotFound, gateway.CodeNotFound)
		})
	}
}

func TestServeOperatorSide(t *testing.T) {
	t.Parallel()
	offline := steadyAddress(t)
	p := start(t, "serve", "-config", configFile(t, strings.Replace(twoAccounts, "pbx: [{id: main, kind: webhook, key: "+acmePBXKey+"}]",
		"pbx: [{id: main, kind: webhook, key: "+acmePBXKey+"}, {id: office, kind: asterisk, address: \""+offline+"\", username: u, secret: s}]", 1)))
	var alive struct{ Status string }
	p.request(http.MethodGet, p.ops+"/healthz", "").decode(t, http.StatusOK, &alive)
	if alive.Status != "alive" {
		t.Errorf("healthz: %+v", alive)
	}
	var ready readiness
	p.request(http.MethodGet, p.ops+"/readyz", "").decode(t, http.StatusOK, &ready) // though the Asterisk is down
	if !ready.Ready || ready.Log != "ok" || ready.Store != "ok" || len(ready.PBX) != 1 ||
		ready.PBX[0].Account != "acme" || ready.PBX[0].ID != "office" || ready.PBX[0].State == "connected" {
		t.Errorf("readyz: %+v", ready)
	}

	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	p.emit(inboundDial("1", `"101"`), event("bridge", "1", `"extension":"101"`))
	anna.call(gateway.EventDial, gateway.Ringing)
	anna.call(gateway.EventBridge, gateway.Talking)
	anna.command(map[string]any{"id": "c1", "action": "call", "to": "+380991234567"})
	anna.command(map[string]any{"id": "c2", "action": "claim", "call": "main:1", "what": "notify"})
	p.post("acme", acmePBXKey, inboundDial("2", `"199"`)).decode(t, http.StatusAccepted, new(took))
	p.poll(token, "")

	p.untilMetric(`ringcast_sessions_closed_total{code="0",rung="poll"}`, 1) // counted after the answer
	p.untilMetric(`ringcast_apply_seconds_count`, 2)
	m := p.metrics()
	for name, want := range map[string]float64{
		`ringcast_records_appended_total`:                       3,
		`ringcast_unknown_extensions_total{account="acme"}`:     1,
		`ringcast_sessions{rung="ws"}`:                          1,
		`ringcast_sessions{rung="poll"}`:                        0,
		`ringcast_messages_sent_total{rung="poll"}`:             1,
		`ringcast_commands_total{code="pbx_offline"}`:           1,
		`ringcast_commands_total{code=""}`:                      1,
		`ringcast_append_seconds_count{result="ok"}`:            2,
		`ringcast_pbx_connected{account="acme",pbx="office"}`:   0,
		`ringcast_apply_seconds_bucket{le="+Inf"}`:              2,
		`ringcast_delivery_seconds_count{rung="ws"}`:            2,
		`ringcast_sessions_opened_total{how="new",rung="ws"}`:   1,
		`ringcast_append_seconds_bucket{result="ok",le="+Inf"}`: 2,
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	if m[`ringcast_messages_sent_total{rung="ws"}`] < 4 || m["process_open_fds"] == 0 || m["go_goroutines"] == 0 {
		t.Error("counts of messages, files or goroutines are missing")
	}
	if res := p.request(http.MethodGet, p.web+"/metrics", ""); res.status != http.StatusNotFound {
		t.Errorf("/metrics is on the main listener: %d", res.status)
	}
}

// metrics reads /metrics.
func (p *program) metrics() map[string]float64 {
	p.t.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(p.request(http.MethodGet, p.ops+"/metrics", "").body) {
		cut := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || cut < 0 {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[cut:]), 64)
		if err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		values[line[:cut]] = value
	}
	return values
}

func TestServeLeavesInOrderAndComesBack(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts)
	p := start(t, "serve", "-config", file)
	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	p.emit(inboundDial("1", `"101"`), event("bridge", "1", `"extension":"101"`))
	anna.call(gateway.EventDial, gateway.Ringing)
	anna.call(gateway.EventBridge, gateway.Talking)

	// A poll that waits, and a request that is under way: its head is there, its body comes later.
	waiting := p.begin(p.web+"/v1/poll", strings.NewReader(pollBody(token, anna.cursor, 25)))
	p.untilMetric(`ringcast_sessions{rung="poll"}`, 1)
	body, late := io.Pipe()
	underway := p.begin(p.web+"/v1/accounts/acme/events", body,
		"Authorization", "Bearer "+acmePBXKey, "Expect", "100-continue") // so nothing is written before it is read
	if _, err := io.WriteString(late, `[`+event("hold", "1", `"extension":"101"`)); err != nil {
		t.Fatal(err)
	}

	p.end()
	bye := anna.next()
	if bye.Type != "bye" || bye.Code != "draining" || len(bye.RetryIn) != 2 || bye.RetryIn[0] <= 0 || bye.RetryIn[1] <= bye.RetryIn[0] {
		t.Errorf("got %+v, want a bye", bye)
	}
	var ready readiness
	p.request(http.MethodGet, p.ops+"/readyz", "").decode(t, http.StatusServiceUnavailable, &ready)
	if ready.Ready {
		t.Errorf("readyz while draining: %+v", ready)
	}
	if code := anna.closed(); code != 4002 {
		t.Errorf("closed with %d, want 4002", code)
	}
	var got polled
	(<-waiting).decode(t, http.StatusOK, &got)
	if n := len(got.Messages); n != 1 || got.Messages[0].Type != "bye" || got.Cursor != anna.cursor {
		t.Errorf("the waiting poll got %+v, want a bye", got)
	}
	if _, err := io.WriteString(late, `]`); err != nil {
		t.Fatal(err)
	}
	_ = late.Close()
	var result took
	(<-underway).decode(t, http.StatusAccepted, &result)
	if result.Accepted != 1 {
		t.Errorf("the request under way: %+v", result)
	}
	p.stop()
	if log := p.stderr.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("leaving was not smooth:\n%s", log)
	}

	again := start(t, "serve", "-config", file)
	if fresh := again.open(token, "", nil); len(fresh.hello.Calls) != 1 || fresh.hello.Calls[0].State != gateway.Held || fresh.hello.Calls[0].Version != 3 {
		t.Errorf("the call after the restart: %+v", fresh.hello.Calls)
	}
	back := again.open(token, anna.cursor, nil)
	if !back.hello.Resumed {
		t.Fatalf("the restart reset the session: %+v", back.hello)
	}
	back.call(gateway.EventHold, gateway.Held)
	again.emit(event("hangup", "1", ""))
	if v := back.call(gateway.EventHangup, gateway.Ended); *v.Outcome != gateway.Answered || v.Version != 4 {
		t.Errorf("the call's end after the restart: %+v", v)
	}
}

// TestServeLeavesThoughAConnectionIsUnused has a client that connected and asked for nothing, as browsers do in advance.
func TestServeLeavesThoughAConnectionIsUnused(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	conn, err := net.Dial("tcp", p.node.web.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	p.request(http.MethodGet, p.web+"/client.js", "") // was accepted after that one
	p.stop()
}

// begin posts something that will be answered later.
func (p *program) begin(url string, body io.Reader, header ...string) <-chan answer {
	later := make(chan answer, 1)
	go func() {
		a, err := p.try(http.MethodPost, url, body, header...)
		if err != nil {
			a.body = err.Error()
		}
		later <- a
	}()
	return later
}

// untilMetric returns when a metric has a value.
func (p *program) untilMetric(name string, want float64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for p.metrics()[name] != want {
		if ctx.Err() != nil {
			p.t.Fatal(fmt.Errorf("%s does not become %v", name, want))
		}
	}
}
