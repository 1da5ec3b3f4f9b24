// Package widgettest packs the widget for tests that install it.
package widgettest

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"ringcast/widget"
)

// standIn is the address that archives are packed for.
const standIn = "https://gateway.invalid"

// archives are those that were packed, by what they were packed from but the address and the client, which is the same in
// all of a run: the packer's check takes a second under the race detector.
var archives struct {
	sync.Mutex
	of map[string]func() ([]byte, error)
}

// Pack is widget.Build of the embedded source. Only what a config is first packed for is checked; for another address
// the archive's config.js is changed.
func Pack(t testing.TB, cfg widget.Config) []byte {
	t.Helper()
	address := cfg.URL
	cfg.URL = standIn
	archive, err := packed(cfg)()
	if err != nil {
		t.Fatal(err)
	}
	archive, err = readdress(archive, address)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func packed(cfg widget.Config) func() ([]byte, error) {
	archives.Lock()
	defer archives.Unlock()
	key := fmt.Sprint(cfg.Platform, cfg.Locales, cfg.Support, cfg.PrivacyURL, cfg.Version)
	if archives.of == nil {
		archives.of = map[string]func() ([]byte, error){}
	}
	if archives.of[key] == nil {
		archives.of[key] = sync.OnceValues(func() ([]byte, error) {
			var archive bytes.Buffer
			err := widget.Build(&archive, cfg)
			return archive.Bytes(), err
		})
	}
	return archives.of[key]
}

// readdress puts an address into config.js in place of standIn.
func readdress(archive []byte, address string) ([]byte, error) {
	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	zw := zip.NewWriter(&out)
	for _, f := range zr.File {
		if f.Name != "config.js" {
			err = errors.Join(err, zw.Copy(f))
			continue
		}
		r, openErr := f.Open()
		if openErr != nil {
			return nil, openErr
		}
		data, readErr := io.ReadAll(r)
		w, createErr := zw.Create(f.Name)
		if createErr != nil {
			return nil, createErr
		}
		_, writeErr := w.Write(bytes.ReplaceAll(data, []byte(standIn), []byte(address)))
		err = errors.Join(err, readErr, writeErr)
	}
	err = errors.Join(err, zw.Close())
	return out.Bytes(), err
}
