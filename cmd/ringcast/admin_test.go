package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const adminKey = "admin-0123456789abcdef0123456789abcdef"

const withAdmin = "admin_key: " + adminKey + twoAccounts

// admin asks the admin API, with the key.
func (p *program) admin(method, path, body string) answer {
	p.t.Helper()
	return p.request(method, p.web+"/v1/admin"+path, body, "Authorization", "Bearer "+adminKey)
}

// done checks that an answer is an empty 204.
func (a answer) done(t *testing.T) {
	t.Helper()
	if a.status != http.StatusNoContent || a.body != "" {
		t.Fatalf("got %d %s", a.status, a.body)
	}
}

// tokenIssued is a token of a user of acme that says when it was issued.
func tokenIssued(t *testing.T, user string, at time.Time) string {
	t.Helper()
	return backendToken(t, acmeBackendKey, jwt.MapClaims{"sub": user, "iat": at.Unix()})
}

// endsWithin checks that a tab is closed as revoked at once after an act, and what became of the token.
func (p *program) endsWithin(w *tab, since time.Time, token string) {
	p.t.Helper()
	if code := w.closed(); code != 4501 {
		p.t.Errorf("closed with %d", code)
	}
	if took := time.Since(since); took > atOnce {
		p.t.Errorf("it took %v", took)
	}
	p.request(http.MethodPost, p.web+"/v1/poll", pollBody(token, "", 0)).refused(p.t, http.StatusForbidden, gateway.CodeRevoked)
	p.request(http.MethodPost, p.web+"/v1/actions", fmt.Sprintf(`{"token":%q,"id":"1","action":"call","to":"102"}`, token)).
		refused(p.t, http.StatusForbidden, gateway.CodeRevoked)
	p.request(http.MethodPost, p.web+"/v1/sessions/backend", "", "Authorization", "Bearer "+token).
		refused(p.t, http.StatusForbidden, gateway.CodeRevoked)
}

func TestUserWhoIsDeletedIsThrownOut(t *testing.T) {
	t.Parallel()
	file := configFile(t, withAdmin)
	p := start(t, "serve", "-config", file)
	token := tokenIssued(t, "88888", time.Now())
	anna, boris := p.open(token, "", nil), p.open(tokenOf(t, "acme", "99999"), "", nil)
	clara := p.open(tokenOf(t, "globex", "88888"), "", nil) // the same id, elsewhere
	since := time.Now()
	p.admin(http.MethodDelete, "/accounts/acme/users/88888", "").done(t)
	p.endsWithin(anna, since, token)
	p.admin(http.MethodDelete, "/accounts/acme/users/88888", "").refused(t, http.StatusNotFound, gateway.CodeNotFound)

	var got took
	p.post("acme", acmePBXKey, inboundDial("c1", `"101","102"`)).decode(t, http.StatusAccepted, &got)
	if len(got.Unknown) != 1 || got.Unknown[0] != "101" {
		t.Errorf("her extension: %+v", got)
	}
	boris.call(gateway.EventDial, gateway.Ringing)
	p.post("globex", globexPBXKey, inboundDial("c1", `"101"`))
	clara.call(gateway.EventDial, gateway.Ringing)
	p.stop()

	p = start(t, "serve", "-config", file)
	p.request(http.MethodPost, p.web+"/v1/poll", pollBody(token, "", 0)).refused(t, http.StatusForbidden, gateway.CodeRevoked)
	var anew gateway.User
	p.admin(http.MethodPut, "/accounts/acme/users/88888", `{"name":"Anna B.","extensions":["201"]}`).decode(t, http.StatusOK, &anew)
	hello := p.open(token, "", nil).hello
	if hello.User.Name != "Anna B." || anew.Extensions[0] != "201" {
		t.Errorf("back as %+v, answered %+v", hello.User, anew)
	}
	p.admin(http.MethodPut, "/accounts/acme/users/88888", `{"name":"Anna","email":"anna@example.com","caller_id":"+74951234501"}`).
		decode(t, http.StatusOK, &anew)
	var listed struct{ Users []gateway.User }
	p.admin(http.MethodGet, "/accounts/acme/users", "").decode(t, http.StatusOK, &listed)
	for _, u := range []gateway.User{anew, listed.Users[0]} {
		if u.ID != "88888" || u.Email != "anna@example.com" || u.CallerID != "+74951234501" {
			t.Errorf("she is %+v", u)
		}
	}
	p.admin(http.MethodPut, "/accounts/acme/users/99999", `{"name":"Boris","email":"Anna@example.com"}`).refused(t, http.StatusConflict, gateway.CodeTaken)
}

func TestTokensThatAreRevoked(t *testing.T) {
	t.Parallel()
	file := configFile(t, withAdmin)
	p := start(t, "serve", "-config", file)
	token, silent := tokenIssued(t, "88888", time.Now()), tokenOf(t, "acme", "88888")
	anna, boris := p.open(token, "", nil), p.open(tokenOf(t, "acme", "99999"), "", nil)
	var session struct{ Token string }
	p.request(http.MethodPost, p.web+"/v1/sessions/backend", "", "Authorization", "Bearer "+token).decode(t, http.StatusOK, &session)
	since := time.Now()
	p.admin(http.MethodPost, "/accounts/acme/users/88888/revoke", "").done(t)
	p.endsWithin(anna, since, token)
	for name, token := range map[string]string{"one that does not say when it was issued": silent, "one of ours": session.Token} {
		t.Run(name, func(t *testing.T) {
			p.as(t).request(http.MethodPost, p.web+"/v1/poll", pollBody(token, "", 0)).refused(t, http.StatusForbidden, gateway.CodeRevoked)
		})
	}
	p.open(tokenIssued(t, "88888", time.Now().Add(2*time.Second)), "", nil) // a new login
	p.emit(inboundDial("c1", `"102"`))
	boris.call(gateway.EventDial, gateway.Ringing)
	p.stop()
	p = start(t, "serve", "-config", file)
	p.request(http.MethodPost, p.web+"/v1/poll", pollBody(token, "", 0)).refused(t, http.StatusForbidden, gateway.CodeRevoked)
}

func TestAdminRefuses(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, withAdmin))
	users := "/accounts/acme/users"
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               gateway.Code
		fields             string // of the errors
	}{
		"no account":            {http.MethodGet, "/accounts/nobody/users", "", 404, gateway.CodeNotFound, ""},
		"no account to put":     {http.MethodPut, "/accounts/nobody/users/1", `{}`, 404, gateway.CodeNotFound, ""},
		"no account to revoke":  {http.MethodPost, "/accounts/nobody/users/1/revoke", "", 404, gateway.CodeNotFound, ""},
		"an odd user to revoke": {http.MethodPost, users + "/a%20b/revoke", "", 400, gateway.CodeInvalid, ""},
		"another's extension":   {http.MethodPut, users + "/7", `{"extensions":["301","102"]}`, 409, gateway.CodeTaken, "1 extensions"},
		"an odd user":           {http.MethodPut, users + "/a%2Fb", `{}`, 400, gateway.CodeInvalid, "0 user"},
		"odd extensions":        {http.MethodPut, users + "/7", `{"extensions":["a b","1","1"]}`, 400, gateway.CodeInvalid, "0 extensions,2 extensions"},
		"no e-mail address":     {http.MethodPut, users + "/7", `{"email":"Anna <anna@example.com>"}`, 400, gateway.CodeInvalid, "0 email"},
		"a long address":        {http.MethodPut, users + "/7", `{"email":"a@` + strings.Repeat("x", 300) + `"}`, 400, gateway.CodeInvalid, "0 email"},
		"an odd caller id":      {http.MethodPut, users + "/7", `{"caller_id":"101\r\nAction: x"}`, 400, gateway.CodeInvalid, "0 caller_id"},
		"a long name":           {http.MethodPut, users + "/7", `{"name":"` + strings.Repeat("x", 300) + `"}`, 400, gateway.CodeInvalid, "0 name"},
		"a field too many":      {http.MethodPut, users + "/7", `{"role":"boss"}`, 400, gateway.CodeInvalid, ""},
		"two bodies":            {http.MethodPut, users + "/7", `{}{}`, 400, gateway.CodeInvalid, ""},
		"no JSON":               {http.MethodPut, users + "/7", `hello`, 400, gateway.CodeInvalid, ""},
		"too long":              {http.MethodPut, users + "/7", `{"name":"` + strings.Repeat("x", maxAdminBody) + `"}`, 413, gateway.CodeTooLarge, ""},
		"nothing there":         {http.MethodGet, "/everything", "", 404, gateway.CodeNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			doc := p.as(t).admin(c.method, c.path, c.body).refused(t, c.status, c.code)
			var fields []string
			for _, e := range doc.Errors {
				fields = append(fields, fmt.Sprint(e.Index, " ", e.Field))
			}
			if got := strings.Join(fields, ","); got != c.fields {
				t.Errorf("names %q, want %q", got, c.fields)
			}
		})
	}
	for name, header := range map[string]string{"no key": "", "a wrong key": "Bearer " + adminKey + "x", "a PBX's key": "Bearer " + acmePBXKey, "no scheme": adminKey} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{users, "/unshown", "/everything"} {
				p.as(t).request(http.MethodGet, p.web+"/v1/admin"+path, "", "Authorization", header).refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
			}
		})
	}
	var got struct{ Users []gateway.User }
	p.admin(http.MethodGet, users, "").decode(t, http.StatusOK, &got)
	if len(got.Users) != 2 {
		t.Errorf("something was changed: %+v", got.Users)
	}
}

// FuzzAdminUser holds what an administrator may write to what the configuration would take.
func FuzzAdminUser(f *testing.F) {
	f.Add("88888", `{"name":"Anna","extensions":["101","102"]}`)
	f.Add("a b", `{"extensions":["1","1",""]}`)
	f.Add("7", `{"name":null,"extensions":null}`)
	f.Add("7", `{"Name":"x"}{"name":"y"}`)
	f.Fuzz(func(t *testing.T, id, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/", strings.NewReader(body))
		r.SetPathValue("user", id)
		user, err := readAdminUser(httptest.NewRecorder(), r)
		if err != nil {
			if code := gateway.CodeOf(err); code != gateway.CodeInvalid && code != gateway.CodeTooLarge {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if _, err := parseUserID(user.ID); err != nil || user.ID != id || user.Name == "" || len(user.Name) > maxUserName {
			t.Errorf("%q became %+v", body, user)
		}
		for i, ext := range user.Extensions {
			if _, err := parseExtension(ext); err != nil || slices.Contains(user.Extensions[:i], ext) {
				t.Errorf("%q became %+v", body, user)
			}
		}
	})
}

func TestNoAdminWithoutAKey(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	for _, key := range []string{"", "Bearer ", "Bearer " + adminKey} {
		p.request(http.MethodGet, p.web+"/v1/admin/accounts/acme/users", "", "Authorization", key).refused(t, http.StatusNotFound, gateway.CodeNotFound)
	}
	if got := p.request(http.MethodGet, p.web+"/v1/admin/unshown", ""); !strings.Contains(got.body, "sets no admin_key") {
		t.Errorf("why there is none is not told: %s", got.body)
	}
}

// TestEventsAreNotFetched: who opens the address in a browser is told what it is for.
func TestEventsAreNotFetched(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	got := p.request(http.MethodGet, p.web+"/v1/accounts/acme/events", "")
	got.refused(t, http.StatusMethodNotAllowed, gateway.CodeMethod)
	if got.header.Get("Allow") != http.MethodPost || !strings.Contains(got.body, "POST here") {
		t.Errorf("%v %s", got.header, got.body)
	}
}

// presence asks as a PBX does, and returns who is how: "Anna:online Boris:".
func (p *program) presence(account, key string) string {
	p.t.Helper()
	var got struct{ Users []gateway.UserPresence }
	p.request(http.MethodGet, p.web+"/v1/accounts/"+account+"/presence", "", "Authorization", "Bearer "+key).decode(p.t, http.StatusOK, &got)
	return presenceLine(got.Users)
}

func presenceLine(users []gateway.UserPresence) string {
	var parts []string
	for _, u := range users {
		is := ""
		for _, word := range []struct {
			is   bool
			text string
		}{{u.Online, "online"}, {u.Visible, "+visible"}, {u.Busy, "+busy"}} {
			if word.is {
				is += word.text
			}
		}
		parts = append(parts, u.Name+":"+is)
	}
	return strings.Join(parts, " ")
}

// readPresence is the tab's next message of presence; others before it do not matter.
func (w *tab) readPresence() (line string, full bool) {
	w.t.Helper()
	for {
		_ = w.conn.SetReadDeadline(time.Now().Add(patience))
		_, data, err := w.conn.ReadMessage()
		if err != nil {
			w.t.Fatal(err)
		}
		var m struct {
			Type  string
			Full  bool
			Users []gateway.UserPresence
		}
		if err := json.Unmarshal(data, &m); err != nil {
			w.t.Fatal(err)
		}
		if m.Type == "presence" {
			return presenceLine(m.Users), m.Full
		}
	}
}

func TestPresenceIsSeenByPBXAndColleagues(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, withAdmin))
	if got := p.presence("acme", acmePBXKey); got != "Anna: Boris:" {
		t.Errorf("before anybody came: %s", got)
	}
	url := p.web + "/v1/accounts/acme/presence"
	p.request(http.MethodGet, url, "", "Authorization", "Bearer "+globexPBXKey).refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
	p.request(http.MethodGet, p.web+"/v1/accounts/nobody/presence", "", "Authorization", "Bearer "+acmePBXKey).refused(t, http.StatusNotFound, gateway.CodeNotFound)

	conn, _ := p.dialWS(nil)
	boris := &tab{t: t, conn: conn}
	boris.send(map[string]any{"type": "hello", "token": tokenOf(t, "acme", "99999"), "presence": true, "visible": true})
	if line, full := boris.readPresence(); !full || !strings.HasPrefix(line, "Anna: Boris:") {
		t.Errorf("at first %s, full %v", line, full)
	}
	until := func(want string) {
		t.Helper()
		for {
			line, _ := boris.readPresence()
			heard := strings.Fields(line)
			if slices.Contains(heard, want) {
				return
			}
			if line != "Boris:online+visible" { // he hears of himself, too, if that came after the whole
				t.Fatalf("%s before %s", line, want)
			}
		}
	}
	p.open(tokenOf(t, "acme", "88888"), "", nil)
	until("Anna:online")
	p.emit(inboundDial("c1", `"101"`), event("bridge", "c1", `"extension":"101"`))
	until("Anna:online+busy")
	if got := p.presence("acme", acmePBXKey); got != "Anna:online+busy Boris:online+visible" {
		t.Error(got)
	}
	p.admin(http.MethodPut, "/accounts/acme/users/7", `{"name":"Zoe"}`)
	until("Zoe:")
	if got := p.presence("globex", globexPBXKey); got != "Clara:" {
		t.Error(got)
	}
}

func TestReceiptsAreMeasuredAndMissingOnesListed(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, withAdmin))
	anna := p.open(tokenOf(t, "acme", "88888"), "", nil)
	p.emit(inboundDial("seen", `"101"`))
	seen := anna.call(gateway.EventDial, gateway.Ringing)
	anna.send(map[string]any{"action": "shown", "call": seen.ID})
	p.untilMetric(`ringcast_ring_to_card_seconds_count{rung="ws"}`, 1)
	p.emit(inboundDial("unseen", `"101"`), inboundDial("offline", `"102"`))
	for _, call := range []string{"seen", "unseen", "offline"} {
		p.emit(event("hangup", call, ""))
	}
	p.untilMetric(`ringcast_calls_unshown_total{account="acme",why="unseen"}`, 1)
	p.untilMetric(`ringcast_calls_unshown_total{account="acme",why="offline"}`, 1)
	var got struct{ Calls []gateway.UnshownCall }
	p.admin(http.MethodGet, "/unshown", "").decode(t, http.StatusOK, &got)
	why := map[string]string{}
	for _, c := range got.Calls {
		why[c.Call] = c.Why + " " + c.Rung[0].Name + " " + c.From
	}
	if len(why) != 2 || why["main:unseen"] != "unseen Anna 8 999 111-22-33" || why["main:offline"] != "offline Boris 8 999 111-22-33" {
		t.Errorf("listed %v", why)
	}
}
