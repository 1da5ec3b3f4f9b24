package push

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// stranger is a conn whose socket is a reader.
func (r *rig) stranger(t testing.TB) (*conn, *reader) {
	t.Helper()
	out := &reader{stalled: true} // frames stay in the session
	c := &conn{stranger: true}
	c.session = newSession(r.server, out, "ws", true)
	if err := r.server.gate.enter(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.stranger {
			r.server.gate.known(c)
		}
		c.session.end()
		r.server.gate.leave(c.addr)
	})
	return c, out
}

func FuzzFrame(f *testing.F) {
	r := newParts(f, nil)
	f.Cleanup(r.close)
	token := r.token(anna)
	for _, seed := range []string{
		`{"type":"hello","token":"` + token + `","cursor":"e1-0","client":"a"}`,
		`{"type":"hello"}`, `{"id":"1","action":"call","to":"100"}`, `{"id":"1","action":"renew","token":"x"}`,
		`{"id":"1","action":"transfer","call":"office:1","to":"102","attended":true}`, `{"id":"1","action":"call","to":"1","from":"101"}`,
		`{"id":"1","action":"park","attended":"yes","from":{}}`, `{"id":"1","action":"hold","call":"` + strings.Repeat("x", 300) + `"}`,
		`{"type":"hello","client":"` + strings.Repeat("x", 65) + `"}`, `null`, `[]`, `"`, `{"type":1}`, "\xff",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, frame []byte, greeted bool) {
		c, out := r.stranger(t)
		if greeted {
			c.handle([]byte(`{"type":"hello","token":"` + token + `"}`))
		}
		command := c.handle(frame)
		_, code, _ := out.state()
		if command != nil && (!greeted || command.Type != "" || code != 0) {
			t.Errorf("%q became the command %+v", frame, command)
		}
		if code != 0 && code.String() == "" {
			t.Errorf("%q closed with %d", frame, code)
		}
		if !json.Valid(frame) && code != closeProtocol {
			t.Errorf("%q, which is no JSON, closed with %v", frame, code)
		}
	})
}

func FuzzPoll(f *testing.F) {
	r := newParts(f, func(c *Config) { c.Limits.PollWait = time.Millisecond })
	r.unlimited()
	f.Cleanup(r.close)
	token := r.token(anna)
	f.Add(`{"token":"` + token + `","cursor":"e1-0","wait":0,"client":"a"}`)
	f.Add(`{"token":"` + token + `","wait":-1}`)
	f.Add(`{"token":1}`)
	f.Add(``)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		rec := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, "/v1/poll", strings.NewReader(body))
		r.server.Handler().ServeHTTP(rec, req)
		if rec.Code == http.StatusOK {
			parsePoll(t, rec.Code, rec.Body.Bytes())
			return
		}
		if code := problemCode(t, rec.Body.Bytes()); rec.Code >= http.StatusInternalServerError {
			t.Errorf("%q: %d %s", body, rec.Code, code)
		}
	})
}

func FuzzCursorPassesUnread(f *testing.F) {
	r := newParts(f, nil)
	f.Cleanup(r.close)
	for _, seed := range []string{strings.Repeat("\x1f", 2000), "", "e1-0", "e1-99999999999999999999", "\"\\</script>", "\x00\u2028", "\xff"} {
		f.Add(seed)
	}
	token := r.token(anna)
	f.Fuzz(func(t *testing.T, cursor string) {
		frame, err := json.Marshal(map[string]string{"type": "hello", "token": token, "cursor": cursor})
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(cursor) || len(frame) > maxHello {
			return // JSON cannot carry it, or it does not fit a frame
		}
		c, _ := r.stranger(t)
		c.handle(frame)
		if got := r.gw.lastCursor(); got != cursor {
			t.Errorf("the gateway saw %q, not %q", got, cursor)
		}
		if quoted := appendString(nil, cursor); !json.Valid(quoted) {
			t.Errorf("%q was written as %s", cursor, quoted)
		}
	})
}
