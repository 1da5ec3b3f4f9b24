package asterisk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(x509.Certificate{
		Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) sign(template x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// fake is an Asterisk whose manager speaks TLS.
func (a *authority) fake(template x509.Certificate) *fake {
	a.t.Helper()
	cert, key := a.sign(template)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	return newFakeOn(a.t, tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
	}))
}

func TestLinkOverTLS(t *testing.T) {
	t.Parallel()
	own := newAuthority(t)
	named := x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"pbx.example.com"}}
	common := x509.Certificate{Subject: pkix.Name{CommonName: "pbx.example.com"}} // as Asterisk's ast_tls_cert makes them
	address := x509.Certificate{IPAddresses: []net.IP{{127, 0, 0, 1}}}
	old := named
	old.NotAfter = time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		cert x509.Certificate
		name string
		ca   []byte
		want string // "": all is well
	}{
		"its own authority":      {named, "pbx.example.com", own.pem(), ""},
		"Common Name only":       {common, "pbx.example.com", own.pem(), ""},
		"an address":             {address, "127.0.0.1", own.pem(), ""},
		"another address":        {address, "127.0.0.2", own.pem(), `is for ["127.0.0.1"]`},
		"unknown authority":      {named, "pbx.example.com", nil, "authority's certificate as ca_file"},
		"another authority":      {named, "pbx.example.com", newAuthority(t).pem(), "authority's certificate as ca_file"},
		"another name":           {named, "127.0.0.1", own.pem(), `is for ["pbx.example.com"] and not for "127.0.0.1": set server_name`},
		"no name":                {named, "", own.pem(), "set server_name"},
		"another Common Name":    {common, "pbx", own.pem(), `is for "pbx.example.com" (as Common Name`},
		"a certificate that was": {old, "pbx.example.com", own.pem(), "renew it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := own.fake(c.cert)
			cfg := f.config()
			conf, err := ClientTLS(c.name, c.ca)
			if err != nil {
				t.Fatal(err)
			}
			cfg.TLS = conf
			_, err = Check(t.Context(), cfg)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.want == "" {
				f.t = t
				r := newRecorder()
				f.run(cfg, r)
				r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
			}
		})
	}
}

func TestTLSWhereThereIsNone(t *testing.T) {
	t.Parallel()
	cfg := newFake(t).config()
	cfg.TLS = &tls.Config{ServerName: "pbx", MinVersion: tls.VersionTLS12}
	if _, err := Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("got %v", err)
	}
}

func TestNoTLSWhereThereIs(t *testing.T) {
	t.Parallel()
	cfg := newAuthority(t).fake(x509.Certificate{}).config()
	cfg.DialTimeout = 100 * time.Millisecond
	if _, err := Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "set tls: true") {
		t.Errorf("got %v", err)
	}
}

func TestFileWithoutACertificate(t *testing.T) {
	t.Parallel()
	if _, err := ClientTLS("pbx", []byte("-----BEGIN")); err == nil {
		t.Error("taken")
	}
}
