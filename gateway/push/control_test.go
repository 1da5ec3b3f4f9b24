package push

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ringcast/gateway"
)

// commandOnEachRung gives a command on each rung and in each way and returns the replies.
func (r *rig) commandOnEachRung(t *testing.T, command map[string]any) map[string]message {
	t.Helper()
	tab, _ := r.enter(anna, "")
	tab.send(command)
	replies := map[string]message{"ws": tab.next()}

	text, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	if a := r.script(scriptQuery(r.mintTicket(anna, ""), "", "command", string(text))); len(a.Messages) == 2 {
		replies["script"] = a.Messages[1]
	} else {
		t.Errorf("the script poll brought %+v", a)
	}

	body := map[string]any{"token": r.token(anna)}
	for key, value := range command {
		body[key] = value
	}
	status, _, data := r.post("/v1/actions", body)
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if status != http.StatusOK { // a problem document
		m.Error = &gateway.ReplyError{Code: problemCode(t, data)}
	}
	replies["actions"] = m
	return replies
}

func TestCommandHasAllItsFieldsOnEveryRung(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	got := make(chan gateway.Command, 3)
	r.gw.onCommand = func(cmd gateway.Command) gateway.Reply {
		got <- cmd
		return gateway.Reply{ID: cmd.ID, OK: true, Call: cmd.Call, Slot: "701"}
	}
	for rung, m := range r.commandOnEachRung(t, map[string]any{
		"id": "k1", "action": "transfer", "call": "office:1.7", "to": "102", "from": "151", "attended": true, "user": "2", "account": "globex",
	}) {
		if !m.OK || string(m.Call) != `"office:1.7"` || m.Slot != "701" {
			t.Errorf("%s: %+v", rung, m)
		}
	}
	for range 3 {
		cmd := recv(t, got)
		cmd.Client = ""
		want := gateway.Command{Account: "acme", User: "1", ID: "k1", Action: "transfer", Call: "office:1.7", To: "102", From: "151", Attended: true}
		if cmd != want {
			t.Errorf("the gateway got %+v, want %+v", cmd, want)
		}
	}
}

func TestCommandWithAnEndlessTextIsRefusedOnEveryRung(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gw.onCommand = func(cmd gateway.Command) gateway.Reply {
		t.Errorf("the gateway got %+v", cmd)
		return gateway.Reply{}
	}
	for _, field := range []string{"call", "to", "from", "what", "action"} {
		command := map[string]any{"id": "k1", "action": "transfer"}
		command[field] = strings.Repeat("1", 300)
		for rung, m := range r.commandOnEachRung(t, command) {
			if m.OK || m.Error == nil || m.Error.Code != gateway.CodeInvalid {
				t.Errorf("%s of 300 bytes, %s: %+v", field, rung, m)
			}
		}
	}
}

func FuzzAction(f *testing.F) {
	r := newParts(f, nil)
	r.unlimited()
	f.Cleanup(r.close)
	token := r.token(anna)
	for _, seed := range []string{
		`"id":"1","action":"call","to":"100","from":"101"`, `"id":"1","action":"transfer","call":"office:1","to":"102","attended":true`,
		`"id":"1","action":"park","call":{}`, `"id":"1","attended":"true"`, `"action":"shown","call":"x"`, `"id":"\u0000","to":"\ud800"`,
		`"id":"1","account":"globex","user":"2","client":"a"`, `"id":"1","action":"` + strings.Repeat("x", 300) + `"`, ``, `}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, fields string) {
		r.gw.onCommand = func(cmd gateway.Command) gateway.Reply {
			if cmd.Account != anna.account || cmd.User != anna.user || cmd.ID == "" || len(cmd.Action+cmd.To+cmd.From+cmd.Call+cmd.What) > 5*256 {
				t.Errorf("%q became %+v", fields, cmd)
			}
			return gateway.Reply{ID: cmd.ID, OK: true}
		}
		body := `{` + fields + `}`
		if fields != "" {
			body = `{` + fields + `,"token":"` + token + `"}`
		}
		rec := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/actions", strings.NewReader(body)))
		if !json.Valid(rec.Body.Bytes()) || rec.Code >= http.StatusInternalServerError {
			t.Errorf("%q: %d %s", fields, rec.Code, rec.Body)
		}
	})
}
