// Package widget builds the amoCRM widget: the ZIP archive that an administrator uploads to amoCRM or Kommo.
//
// The widget's own source is the folder src, as it ships. Build adds what differs from one installation to the
// next: the browser client, and a module with the gateway's address.
package widget

import (
	"archive/zip"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Version is the widget's version unless Config says another. It rises with every change of src: browsers keep
// the files of a version that they have seen.
const Version = "1.0.0"

//go:embed src
var source embed.FS

// Config is what one installation's widget is built from.
type Config struct {
	URL      string // the gateway's public address, such as "https://calls.example.com"; http only on this machine
	ClientJS []byte // the browser client, as static/client.js has it
	Version  string // "1.2.3"; empty: Version. amoCRM wants a higher one at each upload
}

var versionForm = regexp.MustCompile(`^\d{1,5}\.\d{1,5}\.\d{1,5}$`)

// Build writes the archive to w: the files at its root, byte for byte the same for the same config.
func Build(w io.Writer, cfg Config) error {
	if cfg.Version == "" {
		cfg.Version = Version
	}
	files, err := collect(cfg)
	if err != nil {
		return fmt.Errorf("build the widget: %w", err)
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)

	archive := zip.NewWriter(w)
	for _, name := range names {
		if err := add(archive, name, files[name]); err != nil {
			return fmt.Errorf("build the widget: %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("build the widget: %w", err)
	}
	return nil
}

// collect returns the archive's files by name.
func collect(cfg Config) (map[string][]byte, error) {
	gateway, err := checkURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if !versionForm.MatchString(cfg.Version) {
		return nil, fmt.Errorf("version %q is not of the form 1.2.3", cfg.Version)
	}
	if len(bytes.TrimSpace(cfg.ClientJS)) == 0 {
		return nil, errors.New("the browser client is missing")
	}
	address, err := json.Marshal(gateway)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{
		"client.js": text(cfg.ClientJS),
		"config.js": fmt.Appendf(nil, "/* The gateway of this installation. */\ndefine({ url: %s });\n", address),
	}
	src, err := fs.Sub(source, "src")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(src, name)
		if err != nil {
			return err
		}
		if path.Ext(name) != ".png" {
			// Modules name each other with the version, so that a browser never mixes two.
			data = bytes.ReplaceAll(text(data), []byte("%VERSION%"), []byte(cfg.Version))
		}
		out[name] = data
		return nil
	})
	return out, err
}

// checkURL returns the gateway's address without a slash at the end. A page of the CRM is https and can reach
// only https; http is for trying things out on one machine.
func checkURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("gateway address: %w", err)
	}
	local := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("gateway address %q is not of the form https://host", s)
	case u.Scheme != "https" && (u.Scheme != "http" || !local):
		return "", fmt.Errorf("gateway address %q must begin with https://, or the CRM's page cannot reach it", s)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// text makes line ends LF and takes a byte order mark away: amoCRM accepts nothing else.
func text(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
}

func add(archive *zip.Writer, name string, data []byte) error {
	f, err := archive.CreateHeader(&zip.FileHeader{
		Name:     name,
		Method:   zip.Deflate,
		Modified: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), // fixed: the same input gives the same bytes
	})
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return err
}
