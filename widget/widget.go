// Package widget builds the widget that an administrator uploads to amoCRM or Kommo: a ZIP archive.
//
// The widget's own source is the folder src, as it ships. Build adds what differs from one installation to the
// next: the browser client, and a module with the gateway's address. What is uploaded is held against the rules of
// the CRM first: Check does so with any archive, and Rules lists them. While the widget is worked on, WriteLoader makes
// an archive that takes everything from a folder that Development serves, so that nothing has to be uploaded again.
package widget

import (
	"archive/zip"
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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

	Platform   Platform // empty: AmoCRM
	Locales    []string // languages, of which there are texts; empty: those of the platform that there are
	Support    Support
	PrivacyURL string // the privacy policy, which the description and the consent link to; empty: none
	Source     fs.FS  // the widget's source; nil: what is embedded
}

// Support is whom users ask when the widget does not work; each may be "".
type Support struct {
	Email string `json:"email"`
	Link  string `json:"link"`
	Phone string `json:"phone"`
}

var versionForm = regexp.MustCompile(`^(0|[1-9]\d{0,4})(\.(0|[1-9]\d{0,4})){2}$`)

// Build writes the archive to w: the files at its root, byte for byte the same for the same config. A *RefusedError
// says that the CRM, or those who review widgets, would send it back.
func Build(w io.Writer, cfg Config) error {
	archive, err := build(cfg)
	if err != nil {
		return fmt.Errorf("build the widget: %w", err)
	}
	if err := Refusals(Check(archive, CheckOptions{Platform: cfg.Platform})); err != nil {
		return err
	}
	_, err = w.Write(archive)
	return err
}

func build(cfg Config) ([]byte, error) {
	cfg, err := cfg.withVersion()
	if err != nil {
		return nil, err
	}
	files, err := collect(cfg, "")
	if err != nil {
		return nil, err
	}
	if files, err = bundle(files); err != nil {
		return nil, err
	}
	return pack(files)
}

func (cfg Config) withVersion() (Config, error) {
	cfg.Version = cmp.Or(cfg.Version, Version)
	if !versionForm.MatchString(cfg.Version) {
		return cfg, fmt.Errorf("version %q is not of the form 1.2.3", cfg.Version)
	}
	return cfg, nil
}

// pack makes an archive of files.
func pack(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := add(archive, name, files[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// collect returns the archive's files by name. Style sheets and templates come from base, "" for the archive itself.
func collect(cfg Config, base string) (map[string][]byte, error) {
	config, err := configJS(cfg, base)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(cfg.ClientJS)) == 0 {
		return nil, errors.New("the browser client is missing")
	}
	out, err := readSource(cfg.Source)
	if err != nil {
		return nil, err
	}
	out["client.js"], out["config.js"] = text(cfg.ClientJS), config
	if err := localize(out, cfg); err != nil {
		return nil, err
	}
	for name, data := range out {
		if !binaries[path.Ext(name)] {
			// Modules name each other with the version, so that a browser never mixes two.
			out[name] = bytes.ReplaceAll(data, []byte("%VERSION%"), []byte(cfg.Version))
		}
	}
	return out, nil
}

// configJS is the module with what differs from one installation to the next.
func configJS(cfg Config, base string) ([]byte, error) {
	address, err := checkURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	var from any // null: where the widget is
	if base != "" {
		from = base
	}
	out := []byte("/* This installation. */\ndefine({\n")
	for _, field := range []struct {
		name  string
		value any
	}{{"url", address}, {"base", from}, {"support", cfg.Support}, {"privacy", cfg.PrivacyURL}} {
		value, err := json.Marshal(field.value)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, "  %s: %s,\n", field.name, value)
	}
	return append(out, "});\n"...), nil
}

// readSource reads a source folder: the texts as amoCRM wants them, but for their version.
func readSource(src fs.FS) (map[string][]byte, error) {
	if src == nil {
		sub, err := fs.Sub(source, "src")
		if err != nil {
			return nil, err
		}
		src = sub
	}
	out := map[string][]byte{}
	return out, fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(name, "~") {
			return err
		}
		data, err := fs.ReadFile(src, name)
		if err == nil && !binaries[path.Ext(name)] {
			data = text(data)
		}
		out[name] = data
		return err
	})
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
