package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sessionKeyFile is where a session key lives that the config leaves out.
const sessionKeyFile = "session.key"

// Secret is a key or a password. Printed or logged it shows nothing of itself; string(s) is the secret.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// secret reads a secret of at least the given number of bytes: itself, or from where it says it is.
// "" if left out.
func (v value) secret(atLeast int) Secret {
	return parsed(v, "", func(text string) (Secret, error) {
		text, err := v.doc.reveal(text)
		switch {
		case err != nil:
			return "", err
		case text == "":
			return "", errors.New("is empty")
		case len(text) < atLeast:
			return "", fmt.Errorf("is %d bytes long, %d are needed: openssl rand -hex 32 makes a good one", len(text), atLeast)
		}
		return Secret(text), nil
	})
}

// reveal follows env:NAME and file:PATH.
func (d *document) reveal(text string) (string, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		if !envForm.MatchString(name) {
			return "", fmt.Errorf("%q is no name of an environment variable", name)
		}
		text, set := d.env(name)
		if !set {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return text, nil
	}
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		data, err := d.readFile(d.resolve(path))
		if reason := (*fs.PathError)(nil); errors.As(err, &reason) {
			err = reason.Err
		}
		if err != nil {
			return "", fmt.Errorf("the file %q cannot be read: %w", d.resolve(path), err)
		}
		return trimNewline(string(data)), nil
	}
	return text, nil
}

// warnIfShort warns of a bearer key that could be guessed.
func (v value) warnIfShort(s Secret) {
	if s != "" && len(s) < shortSecret {
		v.warn("is short enough to be guessed: openssl rand -hex 32 makes a good one")
	}
}

// LoadSessionKey returns the key that signs session tokens: the config's, or else the one in the data
// directory, which it makes when there is none. Processes that make it at the same time get the same.
func (c *Config) LoadSessionKey() (Secret, error) {
	if c.SessionKey != "" {
		return c.SessionKey, nil
	}
	path := filepath.Join(c.DataDir, sessionKeyFile)
	key, err := readSessionKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := writeSessionKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make a session key: %w", err)
	}
	return readSessionKey(path)
}

func readSessionKey(path string) (Secret, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("session key: %w", err)
	}
	key := trimNewline(string(data))
	if len(key) < minSigningKey {
		return "", fmt.Errorf("session key: %s holds %d bytes, %d are needed: delete it to have a new one made", path, len(key), minSigningKey)
	}
	return Secret(key), nil
}

// writeSessionKey makes the file whole or not at all, and never over another.
func writeSessionKey(path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), sessionKeyFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	_, err = tmp.WriteString(hex.EncodeToString(random) + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}

// trimNewline drops the one line end that editors and echo leave.
func trimNewline(text string) string {
	if line, ok := strings.CutSuffix(text, "\r\n"); ok {
		return line
	}
	return strings.TrimSuffix(text, "\n")
}
