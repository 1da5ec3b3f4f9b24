package widget_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"ringcast/static"
	"ringcast/widget"
)

// config is an installation's; the client is a stand-in with what a careless editor leaves in a file.
func config() widget.Config {
	return widget.Config{
		URL:      "https://calls.example.com/",
		ClientJS: []byte("\uFEFFdefine([], function () { return {}; });\r\n"),
		Version:  "1.2.3",
		Support:  widget.Support{Email: "help@example.com", Link: "https://example.com/help"},
	}
}

func build(t *testing.T, cfg widget.Config) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := widget.Build(&out, cfg); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack returns the archive's files by name, and the names in the archive's order.
func unpack(t *testing.T, archive []byte) (map[string][]byte, []string) {
	t.Helper()
	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files, names := map[string][]byte{}, []string{}
	for _, f := range zr.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		if err := rc.Close(); err != nil {
			t.Fatal(err)
		}
		files[f.Name] = data
		names = append(names, f.Name)
	}
	return files, names
}

func TestBuildIsTheSameForTheSameInput(t *testing.T) {
	t.Parallel()
	first := build(t, config())
	if !bytes.Equal(first, build(t, config())) {
		t.Error("two builds of the same input differ")
	}
	_, names := unpack(t, first)
	if !slices.IsSorted(names) {
		t.Errorf("names are not sorted: %q", names)
	}
	other := config()
	other.URL = "https://other.example.com"
	if bytes.Equal(first, build(t, other)) {
		t.Error("another gateway gives the same archive")
	}
}

func TestBuildAddsClientAndAddress(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	if got := string(files["client.js"]); got != "define([], function () { return {}; });\n" {
		t.Errorf("client.js is %q", got)
	}
	want := "/* This installation. */\ndefine({\n  url: \"https://calls.example.com\",\n  base: null,\n" +
		"  support: {\"email\":\"help@example.com\",\"link\":\"https://example.com/help\",\"phone\":\"\"},\n  privacy: \"\",\n});\n"
	if got := string(files["config.js"]); got != want {
		t.Errorf("config.js is %q", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*widget.Config){
		"no address":                func(c *widget.Config) { c.URL = "" },
		"an address without a host": func(c *widget.Config) { c.URL = "https://" },
		"plain http":                func(c *widget.Config) { c.URL = "http://calls.example.com" },
		"another scheme":            func(c *widget.Config) { c.URL = "javascript:alert(1)" },
		"a query":                   func(c *widget.Config) { c.URL = "https://calls.example.com?x=1" },
		"a password":                func(c *widget.Config) { c.URL = "https://a:b@calls.example.com" },
		"no client":                 func(c *widget.Config) { c.ClientJS = []byte(" \n") },
		"a version of words":        func(c *widget.Config) { c.Version = `1.0.0","x":"` },
	} {
		cfg := config()
		spoil(&cfg)
		var out bytes.Buffer
		if err := widget.Build(&out, cfg); err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, %d bytes written", name, err, out.Len())
		}
		if err := widget.WriteLoader(&out, cfg, "http://127.0.0.1:8788"); err == nil || out.Len() > 0 {
			t.Errorf("%s: the loader: error %v, %d bytes written", name, err, out.Len())
		}
	}
	for _, local := range []string{"http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"} {
		cfg := config()
		cfg.URL = local
		build(t, cfg)
	}
}

func FuzzAddressStaysAString(f *testing.F) {
	for _, s := range []string{"https://a.example", `https://a.example/"});alert(1)//`, "https://a.example/</script>", "http://127.0.0.1:1/\u2028"} {
		f.Add(s)
	}
	line := regexp.MustCompile(`^/\* [^*]*\*/\ndefine\(\{\n  url: (.*),\n  base: ".*",\n.*\n.*\n\}\);\n$`)
	src := fstest.MapFS{"manifest.json": {Data: []byte("{}")}, "i18n/en.json": {Data: []byte("{}")}}
	f.Fuzz(func(t *testing.T, address string) {
		cfg := config()
		cfg.URL, cfg.Source = address, src
		out := httptest.NewRecorder()
		widget.NewDevelopment(cfg, "http://127.0.0.1:8788").ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/config.js", http.NoBody))
		if out.Code != http.StatusOK {
			return
		}
		m := line.FindSubmatch(out.Body.Bytes())
		var url string
		if m == nil || json.Unmarshal(m[1], &url) != nil {
			t.Fatalf("config.js is %q", out.Body)
		}
	})
}

func TestOwnArchivesAreRefusedByNobody(t *testing.T) {
	t.Parallel()
	for _, platform := range []widget.Platform{widget.AmoCRM, widget.Kommo} {
		cfg := config()
		cfg.Platform, cfg.ClientJS, cfg.PrivacyURL = platform, static.ClientJS, "https://example.com/privacy"
		for _, f := range widget.Check(build(t, cfg), widget.CheckOptions{Platform: platform, Name: "widget.zip", Publish: true, TechnicalAccount: "acme.amocrm.ru"}) {
			if !f.Notice {
				t.Errorf("%s: %s", platform, f)
			}
		}
	}
}

// TestEveryLanguageOfThePlatformIsPacked: and no other. Check sees to its texts.
func TestEveryLanguageOfThePlatformIsPacked(t *testing.T) {
	t.Parallel()
	for platform, locales := range map[widget.Platform][]string{widget.AmoCRM: {"ru", "en", "uk", "es", "pt"}, widget.Kommo: {"en", "es", "pt"}} {
		cfg := config()
		cfg.Platform = platform
		files, _ := unpack(t, build(t, cfg))
		var has []string
		for name := range files {
			if lang, ok := strings.CutPrefix(name, "i18n/"); ok {
				has = append(has, strings.TrimSuffix(lang, ".json"))
			}
		}
		slices.Sort(has)
		if m := readManifest(t, files); !slices.Equal(m.Widget.Locale, locales) || !slices.Equal(has, slices.Sorted(slices.Values(locales))) {
			t.Errorf("%s: locale %q, files %q, want %q", platform, m.Widget.Locale, has, locales)
		}
	}
}

type manifest struct {
	Widget struct {
		Version string
		Locale  []string
		Support map[string]string
	}
	Tour *struct {
		Images map[string][]string `json:"tour_images"`
	}
}

func readManifest(t *testing.T, files map[string][]byte) manifest {
	t.Helper()
	var m manifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil {
		t.Fatalf("manifest.json: %v", err)
	}
	return m
}

func TestLanguagesCanBeChosen(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Locales = []string{"en"}
	files, _ := unpack(t, build(t, cfg))
	if m := readManifest(t, files); !slices.Equal(m.Widget.Locale, []string{"en"}) || files["i18n/ru.json"] != nil {
		t.Errorf("locale %q", m.Widget.Locale)
	}
	for _, bad := range []struct {
		platform widget.Platform
		lang     string
	}{{widget.AmoCRM, "tr"}, {widget.AmoCRM, "../en"}, {widget.Kommo, "ru"}} {
		cfg.Platform, cfg.Locales = bad.platform, []string{"en", bad.lang}
		if err := widget.Build(io.Discard, cfg); err == nil || !strings.Contains(err.Error(), strconv.Quote(bad.lang)) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestSupportAndPrivacyAreTold(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.PrivacyURL = `https://example.com/privacy?a="&b=1`
	files, _ := unpack(t, build(t, cfg))
	m := readManifest(t, files)
	if want := map[string]string{"email": "help@example.com", "link": "https://example.com/help"}; !maps.Equal(m.Widget.Support, want) {
		t.Errorf("support is %v", m.Widget.Support)
	}
	for _, lang := range m.Widget.Locale {
		var texts map[string]map[string]string
		if err := json.Unmarshal(files["i18n/"+lang+".json"], &texts); err != nil {
			t.Fatal(err)
		}
		link := ` <a href="https://example.com/privacy?a=&#34;&amp;b=1" target="_blank">` + texts["consent"]["privacy"] + "</a>"
		if !strings.HasSuffix(texts["widget"]["description"], link) {
			t.Errorf("%s: the description is %q", lang, texts["widget"]["description"])
		}
	}
	if !strings.Contains(string(files["config.js"]), `privacy: "https://example.com/privacy?a=\"\u0026b=1"`) {
		t.Errorf("config.js is %s", files["config.js"])
	}
}

// TestTourIsThereWhenItsPicturesAre packs a source of its own, with pictures for some languages.
func TestTourIsThereWhenItsPicturesAre(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ has, want []string }{
		{nil, nil},
		{[]string{"ru"}, nil},
		{[]string{"ru", "en", "de"}, []string{"images/tour_1_en.png", "images/tour_1_ru.png"}},
	} {
		src := fstest.MapFS{}
		for name, data := range good(t) {
			if strings.Contains(name, "tour_") {
				continue
			}
			src[name] = &fstest.MapFile{Data: bytes.ReplaceAll(data, []byte("1.2.3"), []byte("%VERSION%"))}
		}
		manifest, rest, _ := bytes.Cut(src["manifest.json"].Data, []byte(`  "tour"`))
		_, rest, _ = bytes.Cut(rest, []byte("},\n  \"settings\""))
		src["manifest.json"].Data = slices.Concat(manifest, []byte("  \"settings\""), rest)
		for _, lang := range test.has {
			src["images/tour_1_"+lang+".png"] = &fstest.MapFile{Data: picture(t, 1188, 616, 0)}
		}
		src["script.js"].Data = bytes.Replace(src["script.js"].Data, []byte("'./js/calls"), []byte("'./client.js?v=%VERSION%', './config.js?v=%VERSION%', './js/calls"), 1)
		cfg := config()
		cfg.Source = src
		files, names := unpack(t, build(t, cfg))
		tours := slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, "tour_") })
		if m := readManifest(t, files); !slices.Equal(tours, test.want) || (m.Tour != nil) != (test.want != nil) || m.Tour != nil && len(m.Tour.Images) != len(tours) {
			t.Errorf("pictures for %q: packed %q, tour %v", test.has, tours, m.Tour)
		}
	}
}

// TestScripts runs the widget's own tests, which are written in its language.
func TestScripts(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing: install Node.js 20 or newer (Debian: apt install nodejs) and have it in the PATH")
	}
	out, err := exec.CommandContext(t.Context(), node, "--test", "test/").CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("node --test: %w\n%s", err, out))
	}
}
