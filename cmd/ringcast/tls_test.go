package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestServeWithItsOwnCertificate(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts+"tls: {cert: cert.pem, key: key.pem}\n")
	roots := x509.NewCertPool()
	roots.AddCert(newCertificate(t, filepath.Dir(file), 1))
	p := start(t, "serve", "-config", file)
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	p.client.Transport = &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}
	base := "https://" + p.node.web.addr().String()

	response := p.request(http.MethodGet, base+"/client.js", "")
	if response.status != http.StatusOK || response.header.Get("Content-Type") == "" {
		t.Errorf("client.js over https: %d", response.status)
	}
	if p.node.cfg.PublicURL != base {
		t.Errorf("the public URL is %s, want %s", p.node.cfg.PublicURL, base)
	}
	dialer := websocket.Dialer{Subprotocols: []string{"ringcast.v1"}, HandshakeTimeout: patience, TLSClientConfig: trust}
	conn, _, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(base, "https")+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.WriteJSON(map[string]string{"type": "hello", "token": tokenOf(t, "acme", "88888")}); err != nil {
		t.Fatal(err)
	}
	var hello message
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if err := conn.ReadJSON(&hello); err != nil || hello.Type != "hello" {
		t.Errorf("over wss: %+v %v", hello, err)
	}
}

func TestServeRefusesACertificateThatIsNone(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts+"tls: {cert: cert.pem, key: key.pem}\n")
	code, _, stderr := ringcast(t, "serve", "-config", file)
	if code != 1 || !strings.Contains(stderr, "certificate: ") || !strings.Contains(stderr, "cert.pem") {
		t.Errorf("%d:\n%s", code, stderr)
	}
}

func TestCertificateIsReadAgainWhenRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newCertificate(t, dir, 1)
	var log transcript
	c := certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), logger: slog.New(slog.NewTextHandler(&log, nil))}
	shown := func() []byte {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Certificate[0]
	}
	if !bytes.Equal(shown(), first.Raw) {
		t.Error("not the certificate of the file")
	}
	second := newCertificate(t, dir, 2)
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.cert, past, past); err != nil { // another time than before, however coarse the clock
		t.Fatal(err)
	}
	if !bytes.Equal(shown(), first.Raw) {
		t.Error("the file is looked at for each connection")
	}
	c.checked = time.Time{}
	if !bytes.Equal(shown(), second.Raw) {
		t.Error("the renewed certificate is not used")
	}
	write(t, c.cert, "in the middle of being written")
	c.checked = time.Time{}
	if !bytes.Equal(shown(), second.Raw) {
		t.Error("a broken file took the certificate away")
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("the operator was told %d times:\n%s", n, &log)
	}
}

func TestACMEAsksForTheConfiguredDomainsOnly(t *testing.T) {
	t.Parallel()
	cfg := &Config{DataDir: t.TempDir(), TLS: &TLSConfig{Domains: []string{"calls.example.com"}}}
	server, err := cfg.tlsConfig(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.GetCertificate(&tls.ClientHelloInfo{ServerName: "evil.example.com", CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
	if err == nil || !strings.Contains(err.Error(), "not configured in HostWhitelist") {
		t.Errorf("another host's certificate: %v", err)
	}
}

// newCertificate writes a certificate for this machine, signed by itself, to cert.pem and key.pem.
func newCertificate(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "Ringcast test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
