package asterisk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// ClientTLS returns the configuration for an Asterisk whose certificate is for serverName and, unless ca is
// empty, signed by one of the authorities in it (PEM). Such an authority of one's own may also have signed a
// certificate that names its host as Common Name only, as Asterisk's own tool makes them.
func ClientTLS(serverName string, ca []byte) (*tls.Config, error) {
	conf := &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12}
	if len(ca) == 0 {
		return conf, nil
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("holds no certificate (PEM)")
	}
	conf.InsecureSkipVerify = true // the next line verifies, in all but one case as usual
	conf.VerifyConnection = func(state tls.ConnectionState) error { return verify(state, serverName, conf.RootCAs) }
	return conf, nil
}

// verify does what package tls does by default, and accepts a Common Name where a certificate has no other. The
// state has no server name when that is an IP address.
func verify(state tls.ConnectionState, serverName string, roots *x509.CertPool) error {
	leaf := state.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(opts)
	byCommonName := len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 && leaf.Subject.CommonName == serverName && serverName != ""
	if err == nil && !byCommonName {
		err = leaf.VerifyHostname(serverName)
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

func connect(ctx context.Context, address string, conf *tls.Config) (net.Conn, error) {
	if conf != nil {
		return (&tls.Dialer{NetDialer: &dialer, Config: conf}).DialContext(ctx, "tcp", address)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// explainTLS says in words what is wrong with a certificate, "" when nothing is.
func explainTLS(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return "its certificate is not signed by an authority known here: give the authority's certificate as ca_file; one that signed itself is its own"
	case errors.As(err, &name):
		return fmt.Sprintf("its certificate is for %s and not for %q: set server_name to a name that it has", names(name.Certificate), name.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("its certificate is valid from %s to %s only: renew it, unless this machine's clock is wrong",
			invalid.Cert.NotBefore.Format("2006-01-02"), invalid.Cert.NotAfter.Format("2006-01-02"))
	case errors.As(err, &invalid):
		return "its certificate is none for a server"
	case errors.As(err, &record):
		return "it does not speak TLS there: tlsbindaddr in manager.conf has the port that does, 5039 as a rule; or set tls: false"
	default:
		return ""
	}
}

// names lists what a certificate is for.
func names(cert *x509.Certificate) string {
	var all []string
	all = append(all, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return fmt.Sprintf("%q (as Common Name only, which counts only with a ca_file)", cert.Subject.CommonName)
	}
	return fmt.Sprintf("%q", all)
}
