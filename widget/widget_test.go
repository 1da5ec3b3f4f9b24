package widget_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"maps"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ringcast/widget"
)

// config is an installation's; the client is a stand-in with what a careless editor leaves in a file.
func config() widget.Config {
	return widget.Config{
		URL:      "https://calls.example.com/",
		ClientJS: []byte("\uFEFFdefine([], function () { return {}; });\r\n"),
		Version:  "1.2.3",
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
	if got := string(files["config.js"]); !strings.Contains(got, `define({ url: "https://calls.example.com" });`) {
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
	line := regexp.MustCompile(`^/\* [^*]*\*/\ndefine\(\{ url: (.*) \}\);\n$`)
	f.Fuzz(func(t *testing.T, address string) {
		cfg := config()
		cfg.URL = address
		var out bytes.Buffer
		if widget.Build(&out, cfg) != nil {
			return
		}
		files, _ := unpack(t, out.Bytes())
		m := line.FindSubmatch(files["config.js"])
		var url string
		if m == nil || json.Unmarshal(m[1], &url) != nil {
			t.Fatalf("config.js is %q", files["config.js"])
		}
	})
}

// What moderation looks at, and what the CRM needs to load the widget at all.

type manifest struct {
	Widget struct {
		Name             string   `json:"name"`
		Description      string   `json:"description"`
		ShortDescription string   `json:"short_description"`
		Version          string   `json:"version"`
		InterfaceVersion int      `json:"interface_version"`
		InitOnce         bool     `json:"init_once"`
		Locale           []string `json:"locale"`
		Installation     bool     `json:"installation"`
	} `json:"widget"`
	Locations []string `json:"locations"`
	Settings  map[string]struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Required bool   `json:"required"`
	} `json:"settings"`
}

func readManifest(t *testing.T, files map[string][]byte) manifest {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(files["manifest.json"]))
	dec.DisallowUnknownFields()
	var m manifest
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("manifest.json: %v", err)
	}
	return m
}

// texts returns a language's texts by their paths, "group.key".
func texts(t *testing.T, files map[string][]byte, lang string) map[string]string {
	t.Helper()
	var groups map[string]map[string]string
	if err := json.Unmarshal(files["i18n/"+lang+".json"], &groups); err != nil {
		t.Fatalf("i18n/%s.json: %v", lang, err)
	}
	flat := map[string]string{}
	for group, keys := range groups {
		for key, text := range keys {
			flat[group+"."+key] = text
		}
	}
	return flat
}

func TestManifest(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	m := readManifest(t, files)
	w := m.Widget
	if w.Version != "1.2.3" || w.InterfaceVersion != 2 || !w.InitOnce || !w.Installation {
		t.Errorf("version, interface_version, init_once, installation: %+v", w)
	}
	if !slices.Equal(m.Locations, []string{"everywhere"}) || !slices.Equal(w.Locale, []string{"ru", "en"}) {
		t.Errorf("locations %q, locale %q", m.Locations, w.Locale)
	}
	if s := m.Settings["consent"]; s.Type != "custom" || !s.Required {
		t.Errorf("the consent must be given: %+v", s)
	}
	paths := []string{w.Name, w.Description, w.ShortDescription}
	for _, s := range m.Settings {
		paths = append(paths, s.Name)
	}
	for _, lang := range w.Locale {
		words := texts(t, files, lang)
		for _, p := range paths {
			if words[p] == "" {
				t.Errorf("%s: no text for %s", lang, p)
			}
		}
		for p, limit := range map[string]int{w.Name: 30, w.ShortDescription: 50, w.Description: 400} {
			if n := utf8.RuneCountInString(words[p]); n > limit {
				t.Errorf("%s: %s has %d characters, %d are allowed", lang, p, n, limit)
			}
		}
	}
}

func TestEveryLanguageSaysTheSame(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	value := regexp.MustCompile(`\{\w+\}`)
	values := func(text string) []string {
		found := value.FindAllString(text, -1)
		slices.Sort(found)
		return found
	}
	ru, en := texts(t, files, "ru"), texts(t, files, "en")
	for key := range maps.Keys(ru) {
		if en[key] == "" {
			t.Errorf("en has no %s", key)
		}
	}
	for key, text := range en {
		if ru[key] == "" {
			t.Errorf("ru has no %s", key)
		}
		if !slices.Equal(values(text), values(ru[key])) {
			t.Errorf("%s: %q and %q have different values", key, text, ru[key])
		}
	}
}

func TestEveryTextThatIsUsedIsThere(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	words := texts(t, files, "en")
	used := regexp.MustCompile(`\bt\('(\w+\.\w+)'`)
	for name, data := range files {
		for _, m := range used.FindAllSubmatch(data, -1) {
			if words[string(m[1])] == "" {
				t.Errorf("%s uses %s, which no language has", name, m[1])
			}
		}
	}
}

func TestLogosHaveTheirSizes(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	for name, size := range map[string][2]int{
		"logo_main": {400, 272}, "logo_medium": {240, 84}, "logo": {130, 100}, "logo_small": {108, 108}, "logo_min": {84, 84},
	} {
		data := files["images/"+name+".png"]
		cfg, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil || cfg.Width != size[0] || cfg.Height != size[1] || len(data) > 300<<10 {
			t.Errorf("%s: %d × %d, %d bytes, %v; want %v and 300 KB at most", name, cfg.Width, cfg.Height, len(data), err, size)
		}
	}
}

// refused is what amoCRM's reviewers send a widget back for.
var refused = regexp.MustCompile(`console\.|\beval\b|createElement\(\s*['"]script|getScript|<script|async\s*:\s*false|debugger|\.innerHTML|new Function`)

func TestNothingThatModerationRefuses(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	for name, data := range files {
		if path.Ext(name) == ".png" {
			continue
		}
		if bytes.HasPrefix(data, []byte("\uFEFF")) || bytes.ContainsRune(data, '\r') || !utf8.Valid(data) {
			t.Errorf("%s is not UTF-8 without BOM and with LF", name)
		}
		if m := refused.Find(data); m != nil {
			t.Errorf("%s contains %q", name, m)
		}
		if bytes.Contains(data, []byte("%VERSION%")) {
			t.Errorf("%s still has the mark for the version", name)
		}
	}
	for _, bad := range []string{"console.log(1)", `document.createElement("script")`, "$.getScript(x)", "eval(x)"} {
		if !refused.MatchString(bad) {
			t.Errorf("the check does not see %q", bad)
		}
	}
}

func TestEveryModuleIsThereAndUsed(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	used := map[string]bool{"script.js": true}
	module := regexp.MustCompile(`'(\./[\w./-]+\.js)\?v=1\.2\.3'`)
	bare := regexp.MustCompile(`'\./[\w./-]+\.js'`)
	for name, data := range files {
		if path.Ext(name) != ".js" || name == "client.js" {
			continue
		}
		for _, m := range module.FindAllSubmatch(data, -1) {
			dep := path.Join(path.Dir(name), string(m[1]))
			used[dep] = true
			if files[dep] == nil {
				t.Errorf("%s needs %s", name, dep)
			}
		}
		if m := bare.Find(data); m != nil {
			t.Errorf("%s names %s without its version", name, m)
		}
	}
	for name := range files {
		if path.Ext(name) == ".js" && !used[name] {
			t.Errorf("%s is used by nobody", name)
		}
	}
}

func TestStylesStayUnderTheWidgetsRoot(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	css := regexp.MustCompile(`(?s)/\*.*?\*/|@keyframes ringcast-\w+ \{.*?\n\}|@media[^{]*\{`).ReplaceAllString(string(files["style.css"]), "")
	for _, rule := range regexp.MustCompile(`([^{}]+)\{`).FindAllStringSubmatch(css, -1) {
		for selector := range strings.SplitSeq(rule[1], ",") {
			if s := strings.TrimSpace(selector); !strings.HasPrefix(s, ".ringcast") {
				t.Errorf("the selector %q reaches beyond the widget", s)
			}
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
