package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	c := Config{AdminKey: "hunter2", Accounts: []AccountConfig{{PBX: []PBXConfig{{Webhook: &WebhookConfig{Key: "hunter2"}}}}}}
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v"} {
		fmt.Fprintf(&out, format, c)
		fmt.Fprintf(&out, format, *c.Accounts[0].PBX[0].Webhook)
	}
	for _, format := range []string{"%s", "%q", "%x"} {
		fmt.Fprintf(&out, format, c.AdminKey)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "key", c.AdminKey)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "key", c.AdminKey)
	if err := json.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "68756e") || !strings.Contains(out.String(), "[secret]") {
		t.Error(out.String())
	}
}

func TestSessionKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	keys := make([]Secret, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = (&Config{DataDir: dir}).LoadSessionKey(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, key := range keys {
		if key != keys[0] || len(key) != 64 {
			t.Errorf("%d bytes, the same as the first: %v", len(key), key == keys[0])
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("left behind: %v %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestSessionKeyOfTheConfigComesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := (&Config{DataDir: dir, SessionKey: "given"}).LoadSessionKey()
	if err != nil || key != "given" {
		t.Errorf("%q %v", string(key), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("made anyway: %v", entries)
	}
}

func TestSessionKeyCutShortIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, sessionKeyFile), "short\n")
	if _, err := (&Config{DataDir: dir}).LoadSessionKey(); err == nil || !strings.Contains(err.Error(), sessionKeyFile) {
		t.Error(err)
	}
}
