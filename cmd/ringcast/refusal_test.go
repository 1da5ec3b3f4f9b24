package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// TestServeRefuses tries everything that a gateway must not take, on one that serves: each gets a clear answer,
// and a tab that was there before sees a normal call afterwards and nothing else.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	token := tokenOf(t, "acme", "88888")
	witness := p.open(token, "", nil)
	neighbour := p.open(tokenOf(t, "globex", "88888"), "", nil)

	t.Run("tokens", func(t *testing.T) { p.as(t).refusesTokens() })
	t.Run("origins", func(t *testing.T) { p.as(t).refusesOrigins(token) })
	t.Run("keys", func(t *testing.T) { p.as(t).refusesKeys() })
	t.Run("bodies", func(t *testing.T) { p.as(t).refusesBodies() })
	t.Run("frames", func(t *testing.T) { p.as(t).refusesFrames(tokenOf(t, "acme", "99999"), token) })

	t.Run("an event for an unknown extension is taken and shown to nobody", func(t *testing.T) {
		p := p.as(t)
		var got took
		p.post("acme", acmePBXKey, inboundDial("unknown", `"199","101"`)).decode(t, http.StatusAccepted, &got)
		if got.Accepted != 1 || len(got.Unknown) != 1 || got.Unknown[0] != "199" {
			t.Errorf("%+v", got)
		}
		if v := witness.call(gateway.EventDial, gateway.Ringing); v.ID != "main:unknown" {
			t.Errorf("the known extension beside it sees %+v", v)
		}
		got = took{}
		p.post("acme", acmePBXKey, inboundDial("nobody", `"199"`)).decode(t, http.StatusAccepted, &got)
		if got.Accepted != 1 || len(got.Unknown) != 1 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a repeated id is taken once", func(t *testing.T) {
		p := p.as(t)
		twice := inboundDial("twice", `"101"`)
		twice = strings.Replace(twice, `{`, `{"id":"e-1",`, 1)
		p.emit(twice)
		var got took
		p.post("acme", acmePBXKey, twice).decode(t, http.StatusAccepted, &got)
		if got.Accepted != 0 || got.Duplicates != 1 {
			t.Errorf("%+v", got)
		}
		witness.call(gateway.EventDial, gateway.Ringing)
	})
	t.Run("nothing else was disturbed", func(t *testing.T) {
		p := p.as(t)
		p.emit(inboundDial("good", `"101"`), event("bridge", "good", `"extension":"101"`), event("hangup", "good", ""))
		if v := witness.call(gateway.EventDial, gateway.Ringing); v.ID != "main:good" { // next checks that nothing came between
			t.Errorf("the witness saw %s", v.ID)
		}
		witness.call(gateway.EventBridge, gateway.Talking)
		witness.call(gateway.EventHangup, gateway.Ended)
		if len(witness.hello.Calls) != 0 {
			t.Errorf("the witness began with %+v", witness.hello.Calls)
		}
	})
	t.Run("another account saw nothing of all this", func(t *testing.T) {
		p := p.as(t)
		p.post("globex", globexPBXKey, inboundDial("theirs", `"101"`)).decode(t, http.StatusAccepted, new(took))
		if v := neighbour.call(gateway.EventDial, gateway.Ringing); v.ID != "main:theirs" {
			t.Errorf("the neighbour saw %s", v.ID)
		}
		if late := p.open(tokenOf(t, "globex", "88888"), witness.hello.Cursor, nil); !late.hello.Resumed {
			t.Errorf("%+v", late.hello)
		} else if v := late.call(gateway.EventDial, gateway.Ringing); v.ID != "main:theirs" {
			t.Errorf("with acme's cursor the neighbour saw %s", v.ID)
		}
		m := p.action(tokenOf(t, "globex", "88888"), map[string]any{"id": "x", "action": "hangup", "call": "main:twice"})
		if m.OK || m.Error.Code != string(gateway.CodeNotFound) {
			t.Errorf("a command for another account's call: %+v", m)
		}
	})

	m := p.metrics()
	for _, code := range []gateway.Code{gateway.CodeBadToken, gateway.CodeTokenExpired, gateway.CodeOrigin, gateway.CodeRevoked, gateway.CodeInvalid} {
		if refusalsOf(m, code) == 0 {
			t.Errorf("refusals as %s are not counted", code)
		}
	}
	if got := m[`ringcast_unknown_extensions_total{account="acme"}`]; got != 2 {
		t.Errorf("%v unknown extensions are counted", got)
	}
	t.Run("what ingest refused is counted", func(t *testing.T) {
		for _, code := range []gateway.Code{gateway.CodeUnauthorized, gateway.CodeNotFound, gateway.CodeTooLarge} {
			if refusalsOf(m, code) == 0 {
				t.Errorf("refusals as %s are not counted", code)
			}
		}
	})
	if log := p.stderr.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("what others do wrong is loud in the log:\n%s", log)
	}
}

func (p *program) refusesTokens() {
	t := p.t
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{
		"iss": "acme", "sub": "88888", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	otherAlgorithm, err := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims{
		"iss": "acme", "sub": "88888", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(acmeBackendKey))
	if err != nil {
		t.Fatal(err)
	}
	session := jwt.MapClaims{"iss": "ringcast", "aud": "ringcast-session", "account": "globex"}
	for name, c := range map[string]struct {
		token  string
		status int
		code   gateway.Code
		closed int
	}{
		"no token":        {"", 401, gateway.CodeBadToken, 4500},
		"a wrong token":   {"nonsense", 401, gateway.CodeBadToken, 4500},
		"a wrong key":     {backendToken(t, strings.Repeat("k", 32), nil), 401, gateway.CodeBadToken, 4500},
		"an expired one":  {backendToken(t, acmeBackendKey, jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), 401, gateway.CodeTokenExpired, 4003},
		"no expiry":       {backendToken(t, acmeBackendKey, jwt.MapClaims{"exp": nil}), 401, gateway.CodeBadToken, 4500},
		"alg none":        {unsigned, 401, gateway.CodeBadToken, 4500},
		"another alg":     {otherAlgorithm, 401, gateway.CodeBadToken, 4500},
		"for another":     {backendToken(t, acmeBackendKey, jwt.MapClaims{"aud": "https://elsewhere.example.com"}), 401, gateway.CodeBadToken, 4500},
		"unknown account": {backendToken(t, acmeBackendKey, jwt.MapClaims{"iss": "nobody"}), 401, gateway.CodeBadToken, 4500},

		"acme's key on a token of globex":         {backendToken(t, acmeBackendKey, jwt.MapClaims{"iss": "globex"}), 401, gateway.CodeBadToken, 4500},
		"acme's key on a session token":           {backendToken(t, acmeBackendKey, session), 401, gateway.CodeBadToken, 4500},
		"a user who is not there":                 {tokenOf(t, "acme", "77777"), 403, gateway.CodeRevoked, 4501},
		"a user of acme with the key of globex":   {tokenOf(t, "globex", "99999"), 403, gateway.CodeRevoked, 4501},
		"the PBX's key":                           {acmePBXKey, 401, gateway.CodeBadToken, 4500},
		"a token that is longer than any is made": {tokenOf(t, "acme", strings.Repeat("8", 4000)), 401, gateway.CodeBadToken, 4500},
	} {
		t.Run(name, func(t *testing.T) {
			p := p.as(t)
			p.request(http.MethodPost, p.web+"/v1/poll", pollBody(c.token, "", 0)).refused(t, c.status, c.code)
			p.request(http.MethodPost, p.web+"/v1/actions", `{"id":"1","action":"call","to":"1","token":"`+c.token+`"}`).refused(t, c.status, c.code)
			p.request(http.MethodPost, p.web+"/v1/sessions/backend", "", "Authorization", "Bearer "+c.token).refused(t, c.status, c.code)

			conn, refused := p.dialWS(nil)
			if refused != nil {
				t.Fatalf("the upgrade was answered with %d", refused.StatusCode)
			}
			if err := conn.WriteJSON(map[string]string{"type": "hello", "token": c.token}); err != nil {
				t.Fatal(err)
			}
			if code := closeCodeOf(t, conn); code != c.closed {
				t.Errorf("closed with %d, want %d", code, c.closed)
			}
		})
	}
	t.Run("what acme claims of globex in its own token is not heard", func(t *testing.T) {
		got := p.as(t).open(backendToken(t, acmeBackendKey, jwt.MapClaims{"account": "globex"}), "", nil)
		if got.hello.User.Name != "Anna" {
			t.Errorf("hello to %+v", got.hello.User)
		}
	})
	t.Run("no bearer", func(t *testing.T) {
		p := p.as(t)
		p.request(http.MethodPost, p.web+"/v1/sessions/backend", "").refused(t, http.StatusUnauthorized, gateway.CodeBadToken)
	})
}

func (p *program) refusesOrigins(token string) {
	t := p.t
	for _, origin := range []string{
		"https://evil.example.com", "null", "http://crm.example.com", goodOrigin + ".evil.example.com", goodOrigin + ":444", "https://x.crm.example.com",
	} {
		t.Run(origin, func(t *testing.T) {
			p := p.as(t)
			conn, refused := p.dialWS(http.Header{"Origin": {origin}})
			if conn != nil || refused.StatusCode != http.StatusForbidden {
				t.Errorf("the upgrade was let through: %v", refused)
			}
			for _, path := range []string{"/v1/poll", "/v1/actions", "/v1/sessions/backend"} {
				res := p.request(http.MethodPost, p.web+path, pollBody(token, "", 0), "Origin", origin, "Authorization", "Bearer "+token)
				res.refused(t, http.StatusForbidden, gateway.CodeOrigin)
				if allowed := res.header.Get("Access-Control-Allow-Origin"); allowed != "" {
					t.Errorf("%s: Access-Control-Allow-Origin is %q", path, allowed)
				}
			}
			preflight := p.request(http.MethodOptions, p.web+"/v1/poll", "", "Origin", origin, "Access-Control-Request-Method", "POST")
			if preflight.status != http.StatusForbidden || preflight.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("preflight: %d %v", preflight.status, preflight.header)
			}
		})
	}
	t.Run("the right one is let in", func(t *testing.T) {
		p := p.as(t)
		p.open(token, "", http.Header{"Origin": {goodOrigin}})
		res := p.request(http.MethodPost, p.web+"/v1/poll", pollBody(token, "", 0), "Origin", goodOrigin)
		res.decode(t, http.StatusOK, new(polled))
		if got := res.header.Get("Access-Control-Allow-Origin"); got != goodOrigin {
			t.Errorf("Access-Control-Allow-Origin is %q", got)
		}
	})
	t.Run("none is let in", func(t *testing.T) {
		p := p.as(t)
		p.open(token, "", nil)
		p.request(http.MethodPost, p.web+"/v1/poll", pollBody(token, "", 0)).decode(t, http.StatusOK, new(polled))
	})
}

func (p *program) refusesKeys() {
	t := p.t
	body := inboundDial("refused", `"101"`)
	events := func(t *testing.T, account string, header ...string) answer {
		return p.as(t).request(http.MethodPost, p.web+"/v1/accounts/"+account+"/events", body, header...)
	}
	for name, key := range map[string]string{
		"a wrong key":       "Bearer nonsense",
		"another account's": "Bearer " + globexPBXKey,
		"an empty key":      "Bearer ",
		"no scheme":         acmePBXKey,
		"another scheme":    "Basic " + acmePBXKey,
		"the backend's":     "Bearer " + acmeBackendKey,
		"a user's token":    "Bearer " + tokenOf(t, "acme", "88888"),
	} {
		t.Run(name, func(t *testing.T) {
			events(t, "acme", "Authorization", key).refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
		})
	}
	t.Run("no key", func(t *testing.T) {
		events(t, "acme").refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	})
	t.Run("an unknown account", func(t *testing.T) {
		events(t, "nobody", "Authorization", "Bearer "+acmePBXKey).refused(t, http.StatusNotFound, gateway.CodeNotFound)
	})
}

func (p *program) refusesBodies() {
	t := p.t
	good := inboundDial("refused", `"101"`)
	for name, c := range map[string]struct {
		body   string
		status int
		code   gateway.Code
		says   string
	}{
		"an oversized body":    {`[` + good + strings.Repeat(" ", 1<<20) + `]`, 413, gateway.CodeTooLarge, "1048576"},
		"501 events":           {`[` + strings.Repeat(good+",", 500) + good + `]`, 413, gateway.CodeTooLarge, "500"},
		"malformed JSON":       {`{"event": "call.dial",}`, 400, gateway.CodeInvalid, "byte 23"},
		"malformed at the end": {`[` + good + `,` + good, 400, gateway.CodeInvalid, fmt.Sprintf("byte %d", 2*len(good)+2)},
		"two documents":        {good + good, 400, gateway.CodeInvalid, "malformed JSON"},
		"no body":              {"", 400, gateway.CodeInvalid, "empty"},
		"an empty array":       {"[]", 400, gateway.CodeInvalid, "empty"},
		"not UTF-8":            {strings.Replace(good, "+7495", "\xff", 1), 400, gateway.CodeInvalid, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			p := p.as(t)
			doc := p.post("acme", acmePBXKey, c.body).refused(t, c.status, c.code)
			if !strings.Contains(doc.Detail, c.says) {
				t.Errorf("%q does not say %q", doc.Detail, c.says)
			}
		})
	}
	t.Run("bad fields", func(t *testing.T) {
		faults := []struct{ event, field string }{
			{good, ""}, // it is not taken without the others
			{event("dial", "x", `"direction":"sideways","from":"1","extension":"101"`), "direction"},
			{event("dial", "x", `"direction":"inbound","extension":"101"`), "from"},
			{event("dial", "x", `"direction":"inbound","from":"1"`), "extension"},
			{event("dial", "x", `"direction":"outbound","from":"1","extension":"101"`), "to"},
			{event("bridge", "x", ""), "extension"},
			{event("hangup", "x", `"cause":"boredom"`), "cause"},
			{event("hangup", "x", `"at":"yesterday"`), "at"},
			{event("transfer", "x", ""), "target"},
			{event("merge", "x", `"into":"x"`), "into"},
			{event("recording", "x", `"recording":"javascript:alert(1)"`), "recording"},
			{event("nonsense", "x", ""), "event"},
			{event("hangup", "", ""), "call"},
			{event("hangup", strings.Repeat("x", 129), ""), "call"},
			{event("hangup", "x", `"extension":101`), "extension"},
		}
		var events []string
		for _, f := range faults {
			events = append(events, f.event)
		}
		doc := p.as(t).post("acme", acmePBXKey, "["+strings.Join(events, ",")+"]").refused(t, http.StatusBadRequest, gateway.CodeInvalid)
		told := map[int]gateway.FieldError{}
		for _, e := range doc.Errors {
			told[e.Index] = e
		}
		if len(doc.Errors) != len(faults)-1 {
			t.Errorf("%d faults are told, there are %d: %+v", len(doc.Errors), len(faults)-1, doc.Errors)
		}
		for i, f := range faults {
			if got := told[i]; got.Field != f.field || (f.field != "") != (got.Reason != "") {
				t.Errorf("%s: told %+v, want field %q", f.event, got, f.field)
			}
		}
	})
}

func (p *program) refusesFrames(token, others string) {
	t := p.t
	hello := func(token string) string { return `{"type":"hello","token":"` + token + `"}` }
	for name, frames := range map[string][]string{
		"no JSON":                 {"hello?"},
		"a command before hello":  {`{"id":"1","action":"call","to":"1"}`},
		"an unknown type":         {hello(token), `{"type":"nonsense"}`},
		"a frame over the limit":  {hello(token), `{"id":"` + strings.Repeat("x", 12<<10) + `"}`},
		"a flood":                 {hello(token), strings.Repeat("{\"type\":\"hello\",\"token\":\""+token+"\"}\n", 110)},
		"a hello over the limit":  {hello(strings.Repeat("x", 9<<10))},
		"another user's renewal":  {hello(token), hello(others)},
		"another account's renew": {hello(token), hello(tokenOf(t, "globex", "88888"))},
	} {
		t.Run(name, func(t *testing.T) {
			p := p.as(t)
			conn, refused := p.dialWS(nil)
			if refused != nil {
				t.Fatalf("the upgrade was answered with %d", refused.StatusCode)
			}
			for _, frame := range frames {
				for line := range strings.SplitSeq(strings.TrimSpace(frame), "\n") {
					if conn.WriteMessage(websocket.TextMessage, []byte(line)) != nil {
						break // closed already
					}
				}
			}
			want := 4502
			if strings.HasPrefix(name, "another") {
				want = 4500
			}
			if code := closeCodeOf(t, conn); code != want {
				t.Errorf("closed with %d, want %d", code, want)
			}
		})
	}
	t.Run("an unknown subprotocol", func(t *testing.T) {
		p := p.as(t)
		p.request(http.MethodGet, p.web+"/v1/ws", "", "Connection", "Upgrade", "Upgrade", "websocket",
			"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Protocol", "ringcast.v2").
			refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	})
	t.Run("no upgrade", func(t *testing.T) {
		p := p.as(t)
		p.request(http.MethodGet, p.web+"/v1/ws", "").refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	})
}

// refusalsOf adds up the refusals of all routes with a code.
func refusalsOf(metrics map[string]float64, code gateway.Code) (sum float64) {
	for name, n := range metrics {
		if strings.HasPrefix(name, fmt.Sprintf("ringcast_refusals_total{code=%q,", code)) {
			sum += n
		}
	}
	return sum
}
