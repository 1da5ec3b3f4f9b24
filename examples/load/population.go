package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
func writeConfig(w io.Writer, c serverConfig, listen, opsListen string, accounts []*account) {
	fmt.Fprintf(w, "listen: %s\nops_listen: %s\ndata_dir: %s\ndurability: %s\norigins: [%q]\n",
		listen, opsListen, c.dataDir, c.durability, origin)
	if c.cert != "" {
		fmt.Fprintf(w, "tls: {cert: %s, key: %s}\n", c.cert, c.key)
	}
	fmt.Fprintln(w, "accounts:")
	writeAccounts(w, accounts)
}

// writeAccounts writes the list of accounts that stands in it.
func writeAccounts(w io.Writer, accounts []*account) {
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

// certificate makes one for this machine's own addresses, as files in a directory.
func certificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ringcast load"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	public, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(file, kind string, data []byte) error {
		return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600) //nolint:gosec // in the directory of this run
	}
	return cert, key, errors.Join(write(cert, "CERTIFICATE", public), write(key, "PRIVATE KEY", secret))
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
