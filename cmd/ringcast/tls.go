package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// certificateCheck is how often a certificate's file is looked at for a newer one.
const certificateCheck = time.Minute

// tlsConfig returns how the main listener speaks TLS.
func (c *Config) tlsConfig(logger *slog.Logger) (*tls.Config, error) {
	if len(c.TLS.Domains) > 0 {
		authority := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Email: c.TLS.Email,
			HostPolicy: autocert.HostWhitelist(c.TLS.Domains...),
			Cache:      autocert.DirCache(filepath.Join(c.DataDir, "certificates")),
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: authority.GetCertificate,
			NextProtos: []string{"h2", "http/1.1", acme.ALPNProto},
		}, nil
	}
	files := &certificate{cert: c.TLS.Cert, key: c.TLS.Key, logger: logger}
	if _, err := files.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.get}, nil
}

// certificate is one in files, which somebody renews now and then.
type certificate struct {
	cert, key string
	logger    *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	written time.Time // the file that was loaded
	checked time.Time
}

// get returns the certificate as the files have it. While they are being replaced it is the one before.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.loaded == nil || now.Sub(c.checked) > certificateCheck {
		c.checked = now
		if err := c.load(); err != nil && c.loaded == nil {
			return nil, fmt.Errorf("certificate: %w", err)
		} else if err != nil {
			c.logger.Error("the certificate's files cannot be used; the one from before stays in use", "err", err)
		}
	}
	return c.loaded, nil
}

// load reads the files unless it has.
func (c *certificate) load() error {
	info, err := os.Stat(c.cert)
	if err != nil || c.loaded != nil && info.ModTime().Equal(c.written) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.loaded, c.written = &pair, info.ModTime()
	return nil
}
