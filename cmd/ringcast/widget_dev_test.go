package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// devScript is a widget that shows a text, in a template, with a style sheet.
const devScript = `define(['jquery', './config.js?v=%VERSION%', './js/word.js?v=%VERSION%'], function ($, config, word) {
  'use strict';

  return function DevWidget() {
    const self = this;
    this.callbacks = {
      render() {
        const { path, version } = self.get_settings();
        $('<link rel="stylesheet">').attr('href', (config.base || path) + '/style.css?v=' + version).appendTo('head');
        self.render({ href: '/templates/sign.twig', base_path: config.base || path, v: version, load: (template) => {
          $('body').append(template.render({ text: word + ', ' + self.i18n('card.text') }));
        } }, {});
        return true;
      },
      init: () => true,
      bind_actions: () => true,
      settings: () => true,
      onSave: () => true,
      destroy() {},
    };
    return this;
  };
});
`

// devSource writes the source of that widget, with the names and pictures of the real one.
func devSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "images"), os.DirFS("../../widget/src/images")); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"js", "i18n", "templates"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	manifest, err := os.ReadFile("../../widget/src/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"manifest.json":       string(manifest),
		"script.js":           devScript,
		"js/word.js":          "define([], () => 'one');\n",
		"i18n/en.json":        `{"widget": {"name": "Calls by Ringcast"}, "card": {"text": "first"}}`,
		"style.css":           ".ringcast-sign { color: rgb(1, 2, 3); }\n",
		"templates/sign.twig": "<p class=\"ringcast-sign\">{{ text }}</p>\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

// develop runs ringcast widget -dev and returns its address and the archive it wrote.
func develop(t *testing.T, args ...string) (base string, loader []byte) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "widget-dev.zip")
	ctx, cancel := context.WithCancel(context.Background())
	stdout, w := io.Pipe()
	var stderr transcript
	ended := make(chan int, 1)
	go func() {
		a := &app{stdout: w, stderr: &stderr, env: noEnv}
		ended <- a.run(ctx, append([]string{"widget", "-dev", "-listen", "127.0.0.1:0", "-out", out, "-account", "acme"}, args...))
		_ = w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d: %s", code, &stderr)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	m := regexp.MustCompile(`call it widget.zip and upload it once; .* comes from (http://[\d.:]+),`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("it said %q: %v\n%s", line, err, &stderr)
	}
	if loader, err = os.ReadFile(out); err != nil {
		t.Fatal(err)
	}
	return m[1], loader
}

// TestDevelopmentShowsEachChange edits the files of a widget and sees each change in the page, which nobody reloads.
func TestDevelopmentShowsEachChange(t *testing.T) {
	t.Parallel()
	var crm swappable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { crm.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	src := devSource(t)
	_, loader := develop(t, "-src", src, "-config", configFile(t, withCRM(server.URL, server.URL, "")), "-locales", "en")
	amo, err := sandbox.NewAmo(sandbox.AmoConfig{
		Account: 12345678, Subdomain: "acme", BaseURL: server.URL, Lang: "en", Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna"}},
		ClientID: "c", ClientSecret: "a secret of the integration", RedirectURI: "https://calls.example.com/oauth",
		WidgetZip: loader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	crm.Handler = amo
	b := browsertest.New(t)
	p := openPage(b, t, "dev", server.URL+"/leads/?user=88888", 1000, 700)
	sign := func(text, color string) string {
		return `(s => s && s.textContent === '` + text + `' && getComputedStyle(s).color === '` + color + `')(document.querySelector('.ringcast-sign'))`
	}
	p.wait(sign("one, first", "rgb(1, 2, 3)"))
	for _, change := range []struct{ file, text, shows, color string }{
		{"js/word.js", "define([], () => 'two');\n", "two, first", "rgb(1, 2, 3)"},
		{"i18n/en.json", `{"widget": {"name": "Calls by Ringcast"}, "card": {"text": "second"}}`, "two, second", "rgb(1, 2, 3)"},
		{"style.css", ".ringcast-sign { color: rgb(4, 5, 6); }\n", "two, second", "rgb(4, 5, 6)"},
		{"templates/sign.twig", "<p class=\"ringcast-sign\">{{ text }}!</p>\n", "two, second!", "rgb(4, 5, 6)"},
	} {
		write(t, filepath.Join(src, change.file), change.text)
		p.wait(sign(change.shows, change.color))
	}
	more := make([]*page, 7) // a browser has six connections for all of them
	for i := range more {
		more[i] = openPage(b, t, "more", server.URL+"/leads/?user=88888", 1000, 700)
		more[i].wait(sign("two, second!", "rgb(4, 5, 6)"))
	}
	write(t, filepath.Join(src, "js/word.js"), "define([], () => 'three');\n")
	for _, p := range append(more, p) {
		p.wait(sign("three, second!", "rgb(4, 5, 6)"))
	}
	write(t, filepath.Join(src, "i18n/en.json"), "{,}")
	p.wait(`(document.querySelector('.ringcast-dev-error') || {textContent: ''}).textContent.includes('i18n/en.json:1:')`)
}

// TestDevelopmentOutlivesABrokenFile: the page that a mistake broke comes back when it is mended.
func TestDevelopmentOutlivesABrokenFile(t *testing.T) {
	t.Parallel()
	src := devSource(t)
	base, _ := develop(t, "-src", src, "-config", configFile(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", "")), "-locales", "en")
	stamp := func() string { return get(t, base+"/stamp", "", http.StatusOK) }
	first := stamp()
	write(t, filepath.Join(src, "manifest.json"), "{")
	broken := stamp()
	if said := get(t, base+"/dev.js", "", http.StatusOK); !strings.Contains(said, "manifest.json") || !strings.Contains(said, `"stamp":"`+broken+`"`) || broken == first {
		t.Errorf("the page is told %q, the stamps are %q and %q", said, first, broken)
	}
	manifest, err := os.ReadFile("../../widget/src/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(src, "manifest.json"), string(manifest))
	if got := stamp(); got != first {
		t.Errorf("mended, the stamp is %q, and was %q", got, first)
	}
	write(t, filepath.Join(src, "i18n", "en.json"), "{\n  \"card\": {,}\n}")
	if said := get(t, base+"/dev.js", "", http.StatusOK); !strings.Contains(said, `"error":"i18n/en.json:2: invalid character ','`) {
		t.Errorf("the page is told %q", said)
	}
}

// TestDevelopmentServesTheFolderToTheCRM: nothing else of the machine, and nobody else.
func TestDevelopmentServesTheFolderToTheCRM(t *testing.T) {
	t.Parallel()
	config := configFile(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""))
	base, _ := develop(t, "-src", filepath.Join("..", "..", "widget", "src"), "-config", config)
	script := get(t, base+"/script.js", "", http.StatusOK)
	if m := regexp.MustCompile(`config\.js\?v=[0-9a-f]{12}'`); !m.MatchString(script) || strings.Contains(script, "%VERSION%") {
		t.Errorf("script.js names no stamp:\n%.600s", script)
	}
	if config := get(t, base+"/config.js", "", http.StatusOK); !strings.Contains(config, `base: "`+base+`"`) || !strings.Contains(config, `url: "https://calls.example.com"`) {
		t.Errorf("config.js is %s", config)
	}
	get(t, base+"/style.css", "https://acme.amocrm.ru", http.StatusOK)
	get(t, base+"/style.css", "https://evil.example", http.StatusForbidden)
	get(t, base+"/stamp", "https://evil.example", http.StatusForbidden)
	for _, path := range []string{"/../widget.go", "/%2e%2e/widget.go", "/..%2fwidget.go", "/js/", "/", "/widget.go"} {
		get(t, base+path, "", http.StatusNotFound)
	}
}

func get(t *testing.T, url, origin string, want int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	allowed := res.Header.Get("Access-Control-Allow-Origin")
	if redirected := want == http.StatusNotFound && res.StatusCode/100 == 3; res.StatusCode != want && !redirected || allowed != "" && want != http.StatusOK ||
		origin != "" && want == http.StatusOK && allowed != origin || want == http.StatusOK && res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s for %q: %s, allowed %q, %q", url, origin, res.Status, allowed, res.Header.Get("Cache-Control"))
	}
	return string(body)
}

// TestDevelopmentIsNotForOtherNames: a page of the internet whose name is made to point here would be of the same origin.
func TestDevelopmentIsNotForOtherNames(t *testing.T) {
	t.Parallel()
	base, _ := develop(t, "-src", filepath.Join("..", "..", "widget", "src"), "-config", configFile(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", "")))
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "127.0.0.1.evil.example:80": http.StatusMisdirectedRequest, "localhost:80": http.StatusOK, "[::1]": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/config.js", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s: %s", host, res.Status)
		}
	}
}
