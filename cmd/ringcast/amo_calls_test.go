package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
	"ringcast/gateway/sandbox"
)

// amoSecond is how long a second of the CRM's is in these tests.
const amoSecond = "50ms"

// ofAnAccount is an account that is let in by OAuth, with a folder of recordings.
const ofAnAccount = `accounts:
  - id: acme
    region: RU
    backend_key: ` + acmeBackendKey + `
    pbx: [{id: main, kind: webhook, key: ` + acmePBXKey + `, recordings: {folder: %q, from: "https://pbx.example.com/rec/"}}]
    crm:
      kind: amocrm
      domain: acme.amocrm.ru
      client_id: $CLIENT
      client_secret: $SECRET
      redirect_uri: "$REDIRECT"
      base_url: "$BOX"
      log: {missed_task: {to: responsible, text: "Call {phone} back", within: 1h}}
    users:
      - {id: "88888", name: Anna, extensions: ["101"]}
      - {id: "99999", name: Boris, extensions: ["102"]}
`

// talked is a call that an extension answers.
func talked(call, direction, from, to, extension string) []string {
	fields := fmt.Sprintf(`"direction":%q,"from":%q,"to":%q,"line":"+74951234567"`, direction, from, to)
	who := fmt.Sprintf(`"extension":%q`, extension)
	return []string{event("dial", call, fields+","+who), event("bridge", call, who), event("hangup", call, `"cause":"normal"`)}
}

// unanswered is one that rings in vain.
func unanswered(call, from, extension string) []string {
	dial := talked(call, "inbound", from, "+74951234567", extension)[0]
	return []string{dial, event("hangup", call, `"cause":"no_answer"`)}
}

// TestCallsInTheCRM follows calls from the PBX's events into a CRM that has let the gateway in a moment ago.
func TestCallsInTheCRM(t *testing.T) {
	t.Parallel()
	box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
		cfg.Second = 50 * time.Millisecond
		cfg.Contacts = []sandbox.AmoContact{{ID: 1001, Name: "Ivan Petrov", Phones: []string{"8 (900) 555-01-11"}, Responsible: 99999}}
	})
	folder := t.TempDir()
	wav := make([]byte, 64<<10)
	copy(wav, "RIFF")
	if err := os.WriteFile(filepath.Join(folder, "known.wav"), wav, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startAt(t, paceOf(amoSecond), "serve", "-config", configFile(t, box.config(fmt.Sprintf(ofAnAccount, folder))))
	recorded := func(call, direction, from, to, extension string) {
		p.emit(append(talked(call, direction, from, to, extension), event("recording", call, `"recording":"https://pbx.example.com/rec/`+call+`.wav"`))...)
	}
	recorded("early", "inbound", "+79005550111", "+74951234567", "101") // before anybody has let it in
	if err := box.Install(t.Context(), boxClient); err != nil {
		t.Fatal(err)
	}
	p.awaitInstall("acme", amocrm.StateConnected)

	recorded("known", "inbound", "89005550111", "+74951234567", "101")
	recorded("out", "outbound", "101", "+79005550111", "101")
	recorded("out-unknown", "outbound", "101", "+79005550444", "101")
	recorded("unknown", "inbound", "+79005550222", "+74951234567", "102")
	p.emit(unanswered("missed", "+79005550111", "101")...)
	p.emit(unanswered("missed-unknown", "+79005550333", "101")...)
	recorded("internal", "internal", "101", "102", "102")
	eventually(t, "the journal to be done", func() bool {
		n := 0
		for _, call := range []string{"early", "known", "out", "unknown", "missed", "missed-unknown"} {
			n += len(box.logged("main:" + call))
		}
		return n == 6 && len(box.Tasks()) == 2 && p.node.journalIsEmpty(t)
	})

	for call, want := range map[string]sandbox.AmoCall{
		"early":          {Via: sandbox.AmoViaCalls, Kind: "contacts", Entity: 1001, Direction: "inbound", Phone: "+79005550111", Status: 4, Responsible: "Anna"},
		"known":          {Via: sandbox.AmoViaCalls, Kind: "contacts", Entity: 1001, Direction: "inbound", Phone: "+79005550111", Status: 4, Responsible: "Anna"},
		"out":            {Via: sandbox.AmoViaCalls, Kind: "contacts", Entity: 1001, Direction: "outbound", Phone: "+79005550111", Status: 4, Responsible: "Anna"},
		"missed":         {Via: sandbox.AmoViaCalls, Kind: "contacts", Entity: 1001, Direction: "inbound", Phone: "+79005550111", Status: 6, Responsible: "Anna"},
		"unknown":        {Via: sandbox.AmoViaUnsorted, Direction: "inbound", Phone: "+79005550222", Responsible: "Boris"},
		"missed-unknown": {Via: sandbox.AmoViaUnsorted, Direction: "inbound", Phone: "+79005550333", Responsible: "Anna"},
	} {
		all := box.logged("main:" + call)
		if len(all) != 1 {
			t.Errorf("%s is there %d times", call, len(all))
			continue
		}
		got := all[0]
		short := sandbox.AmoCall{Via: got.Via, Kind: got.Kind, Entity: got.Entity, Direction: got.Direction, Phone: got.Phone, Status: got.Status, Responsible: got.Responsible}
		if short != want {
			t.Errorf("%s is there as %+v, want %+v", call, short, want)
		}
		if got.Source != "Ringcast" || got.CreatedAt.IsZero() {
			t.Errorf("%s: %+v", call, got)
		}
	}
	if n := len(box.Calls()); n != 6 {
		t.Errorf("%d calls are there: of colleagues, and to nobody known, none is to be", n)
	}
	for _, task := range box.Tasks() {
		known := task.Text == "Call +79005550111 back" && task.Responsible == 99999 && task.Kind == "contacts" && task.Entity == 1001
		unknown := task.Text == "Call +79005550333 back" && task.Responsible == 88888 && task.Kind == ""
		if !known && !unknown {
			t.Errorf("a task is %+v", task)
		}
	}
	played(t, p, box.logged("main:known")[0].Link, wav)
	box.keepsTheLimits(50 * time.Millisecond)
}

// played winds a recording forward, as the CRM's player does.
func played(t *testing.T, p *program, link string, wav []byte) {
	t.Helper()
	if link == "" {
		t.Fatal("there is no recording in the entry")
	}
	part := p.request(http.MethodGet, link, "", "Range", "bytes=1000-1999")
	if part.status != http.StatusPartialContent || part.body != string(wav[1000:2000]) || part.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%s: %d %q, %d bytes", link, part.status, part.header.Get("Content-Type"), len(part.body))
	}
	if head := p.request(http.MethodHead, link, ""); head.status != http.StatusOK || head.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	p.request(http.MethodGet, link+"x", "").refused(t, http.StatusNotFound, gateway.CodeNotFound)
}

// journalIsEmpty says whether nothing waits to be saved, or was parked.
func (n *node) journalIsEmpty(t *testing.T) bool {
	t.Helper()
	accounts, err := n.gateway.Journal(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		if a.Waiting > 0 || a.Parked > 0 {
			return false
		}
	}
	return true
}
