package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"ringcast/gateway"
)

// demoConfigJSON is what the demo's page is told.
type demoConfigJSON struct {
	PBX   string `json:"pbx"`
	Users []struct {
		ID, Name, Extension, CRM string
	} `json:"users"`
	Callers []struct {
		Number, Name string
		Known        bool
	} `json:"callers"`
}

func TestDemoWithoutABrowser(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "-listen", "127.0.0.1:0")
	if said := p.stdout.String(); !strings.Contains(said, p.web+"/ in a browser") || strings.Count(said, "\n") != 1 {
		t.Errorf("it says %q, want its address %s", said, p.web)
	}
	if res := p.request(http.MethodGet, p.web+"/", ""); res.status != http.StatusFound || res.header.Get("Location") != "/demo/" {
		t.Errorf("/ leads to %d %s", res.status, res.header.Get("Location"))
	}
	if res := p.request(http.MethodGet, p.web+"/demo/", ""); res.status != http.StatusOK || !strings.Contains(res.body, "main.js") {
		t.Errorf("/demo/: %d %s", res.status, res.body)
	}
	var page demoConfigJSON
	p.request(http.MethodGet, p.web+"/demo/config.json", "").decode(t, http.StatusOK, &page)
	if page.PBX != "/demo/pbx" || len(page.Users) != 2 || page.Users[0].Extension != "101" || len(page.Callers) < 2 || page.Callers[0].Name == "" {
		t.Fatalf("config.json: %+v", page)
	}

	crm, err := url.Parse(page.Users[0].CRM)
	if err != nil {
		t.Fatal(err)
	}
	if res := p.request(http.MethodGet, crm.String(), ""); res.status != http.StatusOK || !strings.Contains(res.body, "Anna") {
		t.Errorf("the CRM's page: %d %s", res.status, res.body)
	}
	origin := crm.Scheme + "://" + crm.Host
	anna, boris := p.demoTab(origin, page.Users[0].ID), p.demoTab(origin, page.Users[1].ID)
	stream, err := p.client.Get(p.web + page.PBX + "/events") // ends with the demo
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	told := bufio.NewScanner(stream.Body)
	if !told.Scan() {
		t.Fatal("the telephones' stream says nothing")
	}

	p.play(page.PBX, `{"action":"ring","extensions":["101","102"],"number":"`+page.Callers[0].Number+`"}`)
	rings := anna.call(gateway.EventDial, gateway.Ringing)
	if rings.Phone == nil || *rings.Phone != strings.NewReplacer(" ", "", "-", "").Replace(page.Callers[0].Number) || rings.Extension != "101" {
		t.Errorf("Anna sees %+v", rings)
	}
	boris.call(gateway.EventDial, gateway.Ringing)
	p.play(page.PBX, `{"action":"answer","extension":"102"}`)
	boris.call(gateway.EventBridge, gateway.Talking)
	anna.call(gateway.EventBridge, gateway.Ended)
	if m := boris.command(map[string]any{"id": "h1", "action": "hangup", "call": rings.ID}); !m.OK {
		t.Errorf("hang up: %+v", m)
	}
	boris.call(gateway.EventHangup, gateway.Ended)

	reply := anna.command(map[string]any{"id": "d1", "action": "call", "to": page.Callers[1].Number})
	var id string
	if err := json.Unmarshal(reply.Call, &id); err != nil || !reply.OK || id == "" {
		t.Errorf("click-to-call: %+v", reply)
	}
	if v := anna.call(gateway.EventDial, gateway.Ringing); v.ID != id || v.Direction != gateway.Outbound {
		t.Errorf("Anna sees %+v, dialled was %s", v, id)
	}
	again := anna.command(map[string]any{"id": "d1", "action": "call", "to": page.Callers[1].Number})
	if string(again.Call) != string(reply.Call) {
		t.Errorf("the same command again: %s, at first %s", again.Call, reply.Call)
	}

	p.play(page.PBX, `{"action":"cut"}`)
	if m := anna.command(map[string]any{"id": "d2", "action": "call", "to": page.Callers[1].Number}); m.OK || m.Error.Code != string(gateway.CodePBXOffline) {
		t.Errorf("a call over a link that is cut: %+v", m)
	}
	p.play(page.PBX, `{"action":"restore"}`)

	dir := p.node.cfg.DataDir
	p.stop()
	for told.Scan() { // to its end
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its data are left behind in %s: %v", dir, err)
	}
	if log := p.stderr.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has errors:\n%s", log)
	}
}

// demoTab is a page of the pretend CRM, signed in with a disposable token as the widget does it.
func (p *program) demoTab(crm, user string) *tab {
	p.t.Helper()
	asUser := []string{"X-Sandbox-User", user, "X-Requested-With", "XMLHttpRequest"}
	var list struct {
		Widgets []struct {
			Client string `json:"client_uuid"`
			Path   string `json:"path"`
		} `json:"widgets"`
	}
	p.request(http.MethodPost, crm+"/ajax/widgets/list", "", asUser...).decode(p.t, http.StatusOK, &list)
	if len(list.Widgets) != 1 {
		p.t.Fatalf("the CRM's widgets: %+v", list)
	}
	if script := p.request(http.MethodGet, crm+list.Widgets[0].Path+"/script.js", ""); script.status != http.StatusOK {
		p.t.Errorf("the widget's script: %d", script.status)
	}
	var disposable, session struct{ Token string }
	p.request(http.MethodGet, crm+"/ajax/v2/integrations/"+list.Widgets[0].Client+"/disposable_token", "", asUser...).
		decode(p.t, http.StatusOK, &disposable)
	exchange := func(token, origin string) answer {
		return p.request(http.MethodPost, p.web+"/v1/sessions/amocrm", "", "X-Auth-Token", token, "Origin", origin)
	}
	exchange(disposable.Token+"x", crm).refused(p.t, http.StatusUnauthorized, gateway.CodeBadToken)
	exchange(disposable.Token, "https://evil.example.com").refused(p.t, http.StatusForbidden, gateway.CodeOrigin)
	exchange(disposable.Token, crm).decode(p.t, http.StatusOK, &session)
	return p.open(session.Token, "", http.Header{"Origin": {crm}})
}

// play has the telephones do something.
func (p *program) play(pbx, action string) {
	p.t.Helper()
	p.request(http.MethodPost, p.web+pbx+"/actions", action, "Content-Type", "application/json").decode(p.t, http.StatusOK, new(struct{}))
}

func TestDemoOnAUsedPort(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "-listen", "127.0.0.1:0")
	used := strings.TrimPrefix(p.web, "http://")
	for _, flag := range []string{"-listen", "-listen-crm"} {
		args := []string{"demo", "-listen", "127.0.0.1:0", flag, used}
		if code, _, stderr := ringcast(t, args...); code != 1 || !regexp.MustCompile(regexp.QuoteMeta(used)+`.*in use.* with `+flag+`,`).MatchString(stderr) {
			t.Errorf("%s: exit code %d, %q", flag, code, stderr)
		}
	}
}
