package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ringcast/widget"
)

// rewrite changes files of an archive: a nil content takes one away.
func rewrite(t *testing.T, file string, change map[string][]byte) string {
	t.Helper()
	zr, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	files := map[string][]byte{}
	for _, f := range zr.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
	}
	maps.Copy(files, change)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == nil {
			continue
		}
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "widget.zip")
	write(t, changed, out.String())
	return changed
}

// packed makes the archive of an account and returns it and what was said.
func packed(t *testing.T, yaml string, args ...string) (file, said string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "widget.zip")
	code, stdout, stderr := ringcast(t, append([]string{"widget", "-config", configFile(t, yaml), "-account", "acme", "-out", file}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return file, stdout
}

func TestWidgetIsForThePlatformOfTheDomain(t *testing.T) {
	t.Parallel()
	amo := withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", "")
	kommo := strings.ReplaceAll(withCRM("https://acme.kommo.com", "https://*.kommo.com", ""), "acme.amocrm.ru", "acme.kommo.com")
	for _, test := range []struct {
		yaml string
		args []string
		want string
	}{
		{amo, nil, "for amocrm"}, {kommo, nil, "for kommo"}, {amo, []string{"-platform", "kommo"}, "for kommo"}, {kommo, []string{"-platform", "amocrm"}, "for amocrm"},
	} {
		file, said := packed(t, test.yaml, test.args...)
		if !strings.Contains(said, test.want) {
			t.Errorf("%q: it said %q", test.args, said)
		}
		platform := strings.TrimPrefix(test.want, "for ")
		if code, _, stderr := ringcast(t, "widget", "-check", file, "-platform", platform); code != 0 {
			t.Errorf("its own archive is refused: %s", stderr)
		}
	}
	if code, _, stderr := ringcast(t, "widget", "-config", configFile(t, amo), "-account", "acme", "-platform", "bitrix"); code != 1 || !strings.Contains(stderr, "amocrm or kommo") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestWidgetCarriesWhatTheConfigSays(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""), "client_id: c,",
		`client_id: c, support: {email: help@example.com, link: "https://example.com/help", phone: "+7 495 123-45-67"}, privacy_url: "https://example.com/privacy",`, 1)
	file, said := packed(t, yaml, "-locales", "en", "-version", "2.0.0")
	zr, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	for name, wants := range map[string][]string{
		"config.js":     {`"email":"help@example.com"`, `"phone":"+7 495 123-45-67"`, `privacy: "https://example.com/privacy"`},
		"manifest.json": {`"version": "2.0.0"`, `"link": "https://example.com/help"`},
		"i18n/en.json":  {`href=\"https://example.com/privacy\"`},
	} {
		f, err := zr.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s has no %s:\n%s", name, want, data)
			}
		}
	}
	if _, err := zr.Open("i18n/ru.json"); err == nil {
		t.Error("a language is packed that was not asked for")
	}
	if strings.Contains(said, "manifest.support") || strings.Contains(said, "privacy-link") || !strings.HasPrefix(said, "Ready to upload.\n") {
		t.Errorf("it said %q", said)
	}
}

// TestWidgetNeedsNoSecretsAndNoOtherFiles packs it where there is nothing but the config file: every key of the sample is set
// in it, and the call detail records are in a database.
func TestWidgetNeedsNoSecretsAndNoOtherFiles(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	yaml := regexp.MustCompile(`(?m)^( *)#(\S)`).ReplaceAllString(string(data), "$1$2")
	yaml = regexp.MustCompile(`(?m)^ +fields: \[accountcode.*\n`).ReplaceAllString(yaml, "")
	for _, driver := range []string{"mysql", "postgres"} {
		table := "database: {driver: " + driver + ", dsn: env:CDR_DSN, table: cdr}"
		with := strings.Replace(yaml, "csv: /var/log/asterisk/cdr-csv/Master.csv", table, 1)
		if !strings.Contains(with, " "+table+"\n") || !strings.Contains(with, " ca_file: ") {
			t.Fatal("the sample has changed")
		}
		packed(t, with)
	}
}

// TestWidgetCheckNamesRuleFileAndLine checks archives that somebody changed.
func TestWidgetCheckNamesRuleFileAndLine(t *testing.T) {
	t.Parallel()
	file, _ := packed(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""))
	for rule, change := range map[string]map[string][]byte{
		"js/phone.js:2: code.eval:":           {"js/phone.js": []byte("define([], function () {\n  return eval('1');\n});\n")},
		"images/logo.png: images.missing:":    {"images/logo.png": nil},
		"js/left.test.js: archive.leftover:":  {"js/left.test.js": []byte("x")},
		"script.js: archive.missing:":         {"script.js": nil},
		"style.css:1: css.global-selector:":   {"style.css": []byte("b { color: red; }\n")},
		"manifest.json: archive.missing:":     {"manifest.json": nil},
		"i18n/en.json:1: i18n.json:":          {"i18n/en.json": []byte("[]")},
		"images/logo_min.png: images.format:": {"images/logo_min.png": []byte("x")},
		"js/unused.js: archive.unused-file:":  {"js/unused.js": []byte("define([], () => 1);\n")},
		"../outside.js: archive.path:":        {"../outside.js": []byte("x")},
	} {
		code, stdout, stderr := ringcast(t, "widget", "-check", rewrite(t, file, change))
		if code != 1 || stdout != "" || !strings.Contains(stderr, rule) {
			t.Errorf("%s: exit code %d, %q, %q", rule, code, stdout, stderr)
		}
	}
	if code, _, stderr := ringcast(t, "widget", "-check", filepath.Join(t.TempDir(), "gone.zip")); code != 1 || !strings.Contains(stderr, "gone.zip") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// TestWidgetForPublishing asks for what is a notice otherwise.
func TestWidgetForPublishing(t *testing.T) {
	t.Parallel()
	file, packing := packed(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""))
	_, checking, _ := ringcast(t, "widget", "-check", file)
	for _, rule := range []string{"technical-account", "manifest.support", "privacy-link"} {
		if strings.Contains(packing, rule) || !strings.Contains(checking, rule) {
			t.Errorf("%s is told who packs for himself, or not told who checks: %q, %q", rule, packing, checking)
		}
	}
	code, stdout, stderr := ringcast(t, "widget", "-check", file, "-publish", "-published", file)
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	for _, rule := range []string{"technical-account", "manifest.support", "privacy-link", "manifest.changed"} {
		if !strings.Contains(stderr, rule) {
			t.Errorf("%s is not demanded: %q", rule, stderr)
		}
	}
	out := filepath.Join(t.TempDir(), "widget.zip")
	code, _, stderr = ringcast(t, "widget", "-config", configFile(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", "")), "-account", "acme",
		"-out", out, "-publish", "-technical-account", "acme.amocrm.ru", "-published", file, "-version", "0.9.0")
	if code != 1 || !strings.Contains(stderr, "manifest.published") || strings.Contains(stderr, "technical-account") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an archive was written that would be refused")
	}
}

// TestWidgetWithoutAPublicURL: the archive would look for the gateway on each user's own machine.
func TestWidgetWithoutAPublicURL(t *testing.T) {
	t.Parallel()
	config := configFile(t, strings.Replace(withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""), "public_url: https://calls.example.com\n", "", 1))
	out := filepath.Join(t.TempDir(), "widget.zip")
	code, stdout, stderr := ringcast(t, "widget", "-config", config, "-account", "acme", "-out", out)
	if _, err := os.Stat(out); code != 1 || stdout != "" || !strings.Contains(stderr, "set public_url") || err == nil {
		t.Errorf("exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	develop(t, "-config", config, "-src", filepath.Join("..", "..", "widget", "src"))
}

// TestWidgetNeedsNoSecrets: it is packed where the gateway's environment and files are not.
func TestWidgetNeedsNoSecrets(t *testing.T) {
	t.Parallel()
	yaml := strings.NewReplacer("client_secret: s,", "client_secret: 'file:amo.secret',", acmePBXKey, "env:PBX_KEY").Replace(withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""))
	if file, _ := packed(t, "session_key: env:SESSION_KEY\n"+yaml); file == "" {
		t.Error("nothing was packed")
	}
	if code, _, stderr := ringcast(t, "check", "-config", configFile(t, yaml)); code != 1 || !strings.Contains(stderr, "PBX_KEY is not set") || !strings.Contains(stderr, "amo.secret") {
		t.Errorf("check without secrets: exit code %d, %s", code, stderr)
	}
}

func TestWidgetRulesArePrinted(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := ringcast(t, "widget", "-rules")
	if lines := strings.Count(stdout, "\n"); code != 0 || stderr != "" || lines != len(widget.Rules())+1 {
		t.Errorf("exit code %d, %d lines, %q", code, lines, stderr)
	}
}

// TestWidgetFromAFolder packs a copy of the source with other pictures of the tour, and one without any, which may not be
// published.
func TestWidgetFromAFolder(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	if err := os.CopyFS(src, os.DirFS(filepath.Join("..", "..", "widget", "src"))); err != nil {
		t.Fatal(err)
	}
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 1188, 616))); err != nil {
		t.Fatal(err)
	}
	for _, lang := range widget.AmoCRM.Locales() {
		write(t, filepath.Join(src, "images", "tour_1_"+lang+".png"), picture.String())
	}
	bare := t.TempDir()
	if err := errors.Join(os.CopyFS(bare, os.DirFS(src)), os.Remove(filepath.Join(bare, "images", "tour_1_ru.png")), os.Remove(filepath.Join(bare, "images", "tour_2_ru.png"))); err != nil {
		t.Fatal(err)
	}
	yaml := strings.Replace(withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""), "client_id: c,",
		`client_id: c, support: {email: help@example.com, link: "https://example.com/help"}, privacy_url: "https://example.com/privacy",`, 1)
	publish := []string{"-publish", "-technical-account", "acme.amocrm.ru"}
	for _, from := range [][]string{nil, {"-src", src}} {
		if _, said := packed(t, yaml, slices.Concat(publish, from)...); strings.Contains(said, "\n  ") {
			t.Errorf("%q: it said %q", from, said)
		}
	}
	code, _, stderr := ringcast(t, "widget", "-config", configFile(t, yaml), "-account", "acme", "-out", filepath.Join(t.TempDir(), "widget.zip"), "-publish", "-technical-account", "x", "-src", bare)
	if code != 1 || !strings.Contains(stderr, "tour.missing") || !strings.Contains(stderr, "-src") {
		t.Errorf("without pictures: exit code %d, %q", code, stderr)
	}
	code, _, stderr = ringcast(t, "widget", "-dev", "-config", configFile(t, yaml), "-account", "acme", "-src", filepath.Join(src, "nope"))
	if code != 1 || !strings.Contains(stderr, "nope") || !strings.Contains(stderr, "widget/src") {
		t.Errorf("no such folder: exit code %d, %q", code, stderr)
	}
}
