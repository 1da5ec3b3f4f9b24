package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

const withJournal = withAdmin + `
    crm: {kind: amocrm, domain: acme.amocrm.ru, client_id: 00000000-0000-4000-8000-000000000000, client_secret: "0123456789abcdef0123456789abcdef", redirect_uri: "https://calls.example.com/v1/amocrm/oauth"}
`

func TestJournalOfTheAdminAPI(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, withJournal))
	var got struct {
		Accounts []gateway.JournalAccount `json:"accounts"`
		Parked   []gateway.ParkedCall     `json:"parked"`
	}
	a := p.admin(http.MethodGet, "/journal?account=globex", "")
	a.decode(t, http.StatusOK, &got)
	if got.Accounts == nil || got.Parked == nil || strings.Contains(a.body, "null") {
		t.Errorf("%s", a.body)
	}
	p.admin(http.MethodGet, "/journal?account=none", "").refused(t, http.StatusNotFound, gateway.CodeNotFound)
	for _, path := range []string{"/journal/x/release", "/journal/mfrw2zi.e4bf71c1786e4f1242c4c8ee6b9f6141/drop", "/journal/..%2f..%2fx/release"} {
		p.admin(http.MethodPost, path, "").refused(t, http.StatusNotFound, gateway.CodeNotFound)
	}
	for _, body := range []string{`{"phone":"1"}`, `{} {}`, `[]`, `{"number":"Ivan"}`, `{"entity":{"type":"leads","id":"../7"}}`} {
		p.admin(http.MethodPost, "/journal/x/release", body).refused(t, http.StatusBadRequest, gateway.CodeInvalid)
	}
	p.admin(http.MethodPost, "/journal/x/release", `{"number":"89001112233","entity":{"type":"leads","id":"7"},"text":"a cat"}`).refused(t, http.StatusNotFound, gateway.CodeNotFound)
	p.request(http.MethodGet, p.web+"/v1/admin/journal", "").refused(t, http.StatusUnauthorized, gateway.CodeUnauthorized)
}

func TestJournalIsNotThereWithoutACRM(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, withAdmin))
	p.admin(http.MethodGet, "/journal", "").refused(t, http.StatusNotFound, gateway.CodeNotFound)
}

// TestServeTakesALongResult sends one as long as any may be, in a script that needs two bytes a character.
func TestServeTakesALongResult(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	token := tokenOf(t, "acme", "88888")
	anna := p.open(token, "", nil)
	p.emit(inboundDial("1", `"101"`))
	anna.call(gateway.EventDial, gateway.Ringing)
	said := map[string]any{
		"id": "r1", "action": "result", "call": "main:1", "text": strings.Repeat("ж", 2000), "entity": map[string]string{"type": "leads", "id": "7"},
	}
	if m := anna.command(said); !m.OK {
		t.Errorf("on the socket: %+v", m.Error)
	}
	said["id"], said["text"] = "r2", strings.Repeat("ш", 2000)
	if m := p.action(token, said); !m.OK {
		t.Errorf("posted: %+v", m.Error)
	}
	said["id"], said["text"] = "r3", strings.Repeat("x", 2001)
	if m := anna.command(said); m.OK || m.Error.Code != string(gateway.CodeInvalid) {
		t.Errorf("one more character: %+v", m)
	}
}

// A saved call that is forgotten before the PBX tells of it again would be saved twice.
func TestCallsAreRememberedLongerThanAnyPBXIsAskedForThem(t *testing.T) {
	t.Parallel()
	asks := func(days int) AccountConfig {
		return AccountConfig{PBX: []PBXConfig{{}, {Asterisk: &AsteriskConfig{CDR: &CDRConfig{Days: days}}}}}
	}
	n := &node{cfg: &Config{}}
	if got := n.remembered(); got != 96*time.Hour {
		t.Errorf("without past calls: %v", got)
	}
	n.cfg.Accounts = []AccountConfig{asks(1), asks(30), asks(7)}
	if got := n.remembered(); got != 31*24*time.Hour {
		t.Errorf("with 30 days: %v", got)
	}
}
