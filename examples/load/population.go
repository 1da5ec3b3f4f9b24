package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	pbxID  = "main"
	origin = "https://crm.example.com"
)

// account is one tenant: its users, each with a tab, and its PBX.
type account struct {
	id, pbxKey, backendKey string
	tabs                   []*tab
	next                   int // of its events; only its sender's
}

// newAccounts spreads sessions over accounts. Extensions and users are called the same in each, so that a message
// that crosses accounts finds somebody.
func newAccounts(sessions, accounts int) []*account {
	all := make([]*account, accounts)
	for i := range all {
		all[i] = &account{id: fmt.Sprintf("load%04d", i), pbxKey: rand.Text(), backendKey: rand.Text() + rand.Text()}
	}
	for i := range sessions {
		a := all[i%accounts]
		a.tabs = append(a.tabs, newTab(a.id, fmt.Sprint(101+i/accounts)))
	}
	return all
}

func userOf(extension string) string { return "u" + extension }
func extensionOf(user string) string { return strings.TrimPrefix(user, "u") }

// token is what the account's own server would give to a user's page.
func (a *account) token(user string, expires time.Time) (string, error) {
	claims := jwt.RegisteredClaims{Issuer: a.id, Subject: user, ExpiresAt: jwt.NewNumericDate(expires)}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(a.backendKey))
}

// writeConfig writes Ringcast's config file.
func writeConfig(w io.Writer, accounts []*account, durability, dataDir, listen, opsListen string) {
	fmt.Fprintf(w, "listen: %s\nops_listen: %s\ndata_dir: %s\ndurability: %s\norigins: [%q]\naccounts:\n", listen, opsListen, dataDir, durability, origin)
	for _, a := range accounts {
		fmt.Fprintf(w, "  - id: %s\n    region: RU\n    backend_key: %s\n    pbx: [{id: %s, kind: webhook, key: %s}]\n    users:\n",
			a.id, a.backendKey, pbxID, a.pbxKey)
		for _, t := range a.tabs {
			fmt.Fprintf(w, "      - {id: %s, extensions: [%q]}\n", userOf(t.extension), t.extension)
		}
	}
}

// The events of a call, in turn. Each is one message to the tab.
var phases = [...]string{"call.dial", "call.bridge", "call.hangup"} // fixed

// appendEvent appends the account's next event to a body, and returns whose it is. All users of the account get
// their first event, then all their second, and so on.
func (a *account) appendEvent(body []byte, now time.Time) ([]byte, *tab) {
	t := a.tabs[a.next%len(a.tabs)]
	n := a.next / len(a.tabs)
	a.next++
	phase, call := n%len(phases), n/len(phases)
	body = fmt.Appendf(body, `{"event":%q,"call":"%s%d","id":"%s%d.%d","at":"%s"`,
		phases[phase], t.calls, call, t.calls, call, phase, now.UTC().Format("2006-01-02T15:04:05.000Z"))
	switch phases[phase] {
	case "call.dial":
		body = fmt.Appendf(body, `,"direction":"inbound","from":"+7999%07d","to":"+74951234567","line":"+74951234567","extension":%q`,
			call%10_000_000, t.extension)
	case "call.bridge":
		body = fmt.Appendf(body, `,"extension":%q`, t.extension)
	case "call.hangup":
		body = append(body, `,"cause":"normal"`...)
	}
	return append(body, '}'), t
}

// browserHeader is what a browser would send along.
func browserHeader() http.Header {
	return http.Header{
		"Origin":          {origin},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		"Accept-Language": {"ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7"},
		"Cookie":          {"session_id=" + strings.Repeat("c", 300)},
	}
}
