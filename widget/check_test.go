package widget_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"ringcast/widget"
)

// archive is the files of a widget that nobody would refuse; tests spoil one thing in it.
type archive map[string][]byte

const goodScript = `/* A widget. */
define(['jquery', './js/calls.js?v=1.2.3'], function ($, calls) {
  'use strict';

  return function CustomWidget() {
    const self = this;
    this.callbacks = {
      render() {
        const { path, version } = self.get_settings();
        $('<link rel="stylesheet">').attr('href', path + '/style.css?v=' + version).appendTo('head');
        return true;
      },
      init() {
        self.add_action('phone', ({ value }) => calls.dial(self, value));
        return true;
      },
      bind_actions: () => true,
      settings: () => true,
      onSave: () => true,
      destroy() {},
    };
    return this;
  };
});
`

const goodModule = `define([], function () {
  return {
    dial(self, number) {
      self.render({ href: '/templates/call.twig', base_path: self.params.path, load: () => {} }, { text: self.i18n('card.calling') });
      return Promise.resolve(self.$authorizedAjax({ url: 'https://calls.example.com/call', data: { number } })).catch((err) => {
        console.trace(err);
      });
    },
  };
});
`

const goodManifest = `{
  "widget": {
    "name": "widget.name",
    "description": "widget.description",
    "short_description": "widget.short_description",
    "version": "1.2.3",
    "interface_version": 2,
    "init_once": true,
    "locale": ["ru", "en"],
    "installation": true,
    "support": { "link": "https://example.com/help", "email": "help@example.com" }
  },
  "locations": ["everywhere"],
  "tour": {
    "is_tour": true,
    "tour_images": { "ru": ["/images/tour_1_ru.png"], "en": ["/images/tour_1_en.png"] },
    "tour_description": "widget.tour_description"
  },
  "settings": {
    "extensions": { "name": "settings.extensions", "type": "users", "required": false },
    "consent": { "name": "settings.consent", "type": "custom", "required": true }
  }
}
`

func goodTexts(lang string) map[string]map[string]string {
	link := ` <a href="https://example.com/privacy">%s</a>`
	if lang == "ru" {
		return map[string]map[string]string{
			"widget": {
				"name": "Звонки от Acme", "short_description": "Звонки в браузере", "description": "Показывает звонки." + fmt.Sprintf(link, "Политика"),
				"tour_description": "Звонки в карточке", "call_action": "Позвонить",
			},
			"settings": {"extensions": "Внутренние номера", "consent": "Согласие"},
			"card":     {"calling": "Звоним на {number}"},
		}
	}
	return map[string]map[string]string{
		"widget": {
			"name": "Calls by Acme", "short_description": "Calls in the browser", "description": "Shows calls." + fmt.Sprintf(link, "Policy"),
			"tour_description": "Calls in the card", "call_action": "Call",
		},
		"settings": {"extensions": "Extensions", "consent": "Consent"},
		"card":     {"calling": "Calling {number}"},
	}
}

func good(t testing.TB) archive {
	a := archive{
		"manifest.json":        []byte(goodManifest),
		"script.js":            []byte(goodScript),
		"js/calls.js":          []byte(goodModule),
		"style.css":            []byte("/* One class. */\n.acme .acme-card,\n.acme.acme_dark > b { color: red; }\n@media print { .acme { display: none; } }\n@keyframes acme-blink { from { opacity: 0; } }\n"),
		"templates/call.twig":  []byte("{# <script> #}\n<p>{{ text }}</p>\n"),
		"i18n/ru.json":         mustJSON(t, goodTexts("ru")),
		"i18n/en.json":         mustJSON(t, goodTexts("en")),
		"images/tour_1_ru.png": picture(t, 1188, 616, 0),
		"images/tour_1_en.png": picture(t, 1188, 616, 0),
	}
	for name, size := range logoSizes {
		a["images/"+name+".png"] = picture(t, size[0], size[1], 20)
	}
	return a
}

var logoSizes = map[string][2]int{
	"logo_main": {400, 272}, "logo_medium": {240, 84}, "logo": {130, 100}, "logo_small": {108, 108}, "logo_min": {84, 84},
}

var pictures sync.Map // by size: encoding takes longer than all the checks

// picture is a PNG with a square of another colour that leaves a margin free.
func picture(t testing.TB, width, height, margin int) []byte {
	key := [3]int{width, height, margin}
	if known, ok := pictures.Load(key); ok {
		return slices.Clone(known.([]byte))
	}
	colors := make(color.Palette, 256) // with all its colours, it is decoded in no time
	for i := range colors {
		colors[i] = color.NRGBA{R: uint8(i), G: 40, B: 80, A: 255}
	}
	img := image.NewPaletted(image.Rect(0, 0, width, height), colors)
	for y := margin; y < height-margin; y++ {
		for x := margin; x < width-margin; x++ {
			img.Pix[img.PixOffset(x, y)] = 1
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	pictures.Store(key, slices.Clone(out.Bytes()))
	return out.Bytes()
}

func mustJSON(t testing.TB, value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (a archive) zip(t testing.TB) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(a)) {
		method := zip.Deflate
		if strings.HasSuffix(name, ".png") {
			method = zip.Store
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = f.Write(a[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// replace changes a file; it must have had what is replaced.
func (a archive) replace(file, old, now string) {
	if !bytes.Contains(a[file], []byte(old)) {
		panic(file + " has no " + old)
	}
	a[file] = bytes.Replace(a[file], []byte(old), []byte(now), 1)
}

// code puts a line into a function of a module.
func (a archive) code(line string) {
	a.replace("js/calls.js", "    dial(self, number) {\n", "    dial(self, number) {\n      "+line+"\n")
}

// words changes the texts of a language.
func (a archive) words(lang, group, key, text string) {
	texts := map[string]map[string]string{}
	if err := json.Unmarshal(a["i18n/"+lang+".json"], &texts); err != nil {
		panic(err)
	}
	if text == "" {
		delete(texts[group], key)
	} else {
		if texts[group] == nil {
			texts[group] = map[string]string{}
		}
		texts[group][key] = text
	}
	data, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	a["i18n/"+lang+".json"] = data
}

// publishing asks for all there is.
var publishing = widget.CheckOptions{Publish: true, TechnicalAccount: "acme.amocrm.ru", Name: "widget.zip"}

func TestGoodArchiveHasNoFindings(t *testing.T) {
	t.Parallel()
	for _, f := range widget.Check(good(t).zip(t), publishing) {
		t.Error(f)
	}
}

func TestEachRule(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, test := range slices.Concat(archiveRules(t), manifestRules(t), textRules(), codeRules(), styleRules()) {
		covered[test.rule] = true
		t.Run(test.rule+" "+test.name, func(t *testing.T) {
			t.Parallel()
			a, opt := good(t), publishing
			if test.spoil != nil {
				test.spoil(a)
			}
			if test.options != nil {
				test.options(&opt)
			}
			data := a.zip(t)
			if test.bytes != nil {
				data = test.bytes(data)
			}
			findings := widget.Check(data, opt)
			if len(findings) == 0 {
				t.Fatal("nothing was found")
			}
			for _, f := range findings {
				if f.Rule != test.rule {
					t.Errorf("found as well: %s", f)
				}
				if test.at != "" && !strings.HasPrefix(f.String(), test.at+": ") {
					t.Errorf("%s: wants to be at %s", f, test.at)
				}
			}
		})
	}
	for _, r := range widget.Rules() {
		if r.By != widget.Person && !covered[r.Name] {
			t.Errorf("%s has no archive that breaks it", r.Name)
		}
	}
}

// broken is an archive that breaks a rule.
type broken struct {
	rule, name string
	spoil      func(archive)
	options    func(*widget.CheckOptions)
	bytes      func([]byte) []byte
	at         string // file:line; "": anywhere
}

func archiveRules(t *testing.T) []broken {
	return []broken{
		{rule: "archive.zip", name: "text", bytes: func([]byte) []byte { return []byte("no archive") }},
		{rule: "archive.zip", name: "cut", bytes: func(data []byte) []byte { return data[:len(data)/2] }},
		{rule: "archive.name", options: func(o *widget.CheckOptions) { o.Name = "ringcast.zip" }},
		{rule: "archive.root", spoil: func(a archive) {
			for name, data := range maps.Clone(a) {
				a["ringcast/"+name] = data
				delete(a, name)
			}
		}, at: "ringcast/manifest.json"},
		{rule: "archive.path", name: "traversal", spoil: func(a archive) { a["../../etc/passwd"] = []byte("x") }},
		{rule: "archive.path", name: "absolute", spoil: func(a archive) { a["/etc/passwd"] = []byte("x") }},
		{rule: "archive.path", name: "backslash", spoil: func(a archive) { a[`js\a.js`] = []byte("x") }},
		{rule: "archive.path", name: "letters", spoil: func(a archive) { a["js/звонки.js"] = []byte("x") }},
		{rule: "archive.path", name: "long", spoil: func(a archive) { a[strings.Repeat("a", 5000)] = []byte("x") }},
		{rule: "archive.twice", spoil: func(a archive) { a["Style.css"] = a["style.css"] }},
		{rule: "archive.size", name: "file", spoil: func(a archive) { a["big.json"] = bytes.Repeat([]byte(" "), 600<<10) }, at: "big.json"},
		{rule: "archive.size", name: "all together", spoil: func(a archive) {
			for i := range 21 {
				a[fmt.Sprintf("many/%d.json", i)] = bytes.Repeat([]byte(" "), 500<<10)
			}
		}},
		{rule: "archive.size", name: "files", spoil: func(a archive) {
			for i := range 1001 {
				a[fmt.Sprintf("many/%d.json", i)] = nil
			}
		}},
		{rule: "archive.missing", name: "script", spoil: func(a archive) {
			maps.DeleteFunc(a, func(name string, _ []byte) bool { return name == "script.js" || strings.HasPrefix(name, "js/") })
		}, at: "script.js"},
		{rule: "archive.missing", name: "manifest", spoil: func(a archive) { delete(a, "manifest.json") }},
		{rule: "archive.missing", name: "language", spoil: func(a archive) { delete(a, "i18n/ru.json") }, at: "i18n/ru.json"},
		{rule: "archive.unused-file", name: "module", spoil: func(a archive) { a["js/old.js"] = []byte("define([], function () {});\n") }, at: "js/old.js"},
		{rule: "archive.unused-file", name: "language", spoil: func(a archive) { a["i18n/tr.json"] = []byte("{}") }, at: "i18n/tr.json"},
		{rule: "archive.unused-file", name: "template", spoil: func(a archive) { a["templates/old.twig"] = []byte("<p></p>\n") }, at: "templates/old.twig"},
		{rule: "archive.unused-file", name: "used by an unused one", spoil: func(a archive) {
			a["css/old.css"] = []byte(".acme { background: url(\"../images/old.png\"); }\n")
			a["images/old.png"] = picture(t, 10, 10, 0)
		}},
		{rule: "archive.leftover", name: "test", spoil: func(a archive) { a["js/calls.test.js"] = []byte("x") }},
		{rule: "archive.leftover", name: "map", spoil: func(a archive) { a["js/calls.js.map"] = []byte("{}") }},
		{rule: "archive.leftover", name: "system", spoil: func(a archive) { a["images/.DS_Store"] = []byte("x") }},
		{rule: "archive.utf8", spoil: func(a archive) { a["style.css"] = append(a["style.css"], "/* \xff */\n"...) }, at: "style.css:6"},
		{rule: "archive.bom", spoil: func(a archive) { a["script.js"] = append([]byte("\uFEFF"), a["script.js"]...) }, at: "script.js:1"},
		{rule: "archive.crlf", spoil: func(a archive) { a.replace("script.js", "\n  'use", "\r\n  'use") }, at: "script.js:2"},

		{rule: "images.missing", spoil: func(a archive) { delete(a, "images/logo_min.png") }},
		{rule: "images.size", spoil: func(a archive) { a["images/logo_min.png"] = picture(t, 42, 42, 0) }, at: "images/logo_min.png"},
		{rule: "images.weight", spoil: func(a archive) {
			a["images/logo.png"] = append(a["images/logo.png"], make([]byte, 301<<10)...)
		}, at: "images/logo.png"},
		{rule: "images.format", name: "broken", spoil: func(a archive) { a["images/logo.png"] = a["images/logo.png"][:100] }, at: "images/logo.png"},
		{rule: "images.format", name: "no image", spoil: func(a archive) { a["images/logo.png"] = []byte("<svg/>") }, at: "images/logo.png"},
		{rule: "images.format", name: "gif called png", spoil: func(a archive) {
			var out bytes.Buffer
			if err := gif.Encode(&out, image.NewPaletted(image.Rect(0, 0, 130, 100), color.Palette{color.Black}), nil); err != nil {
				t.Fatal(err)
			}
			a["images/logo.png"] = out.Bytes()
		}},
		{rule: "images.weight", name: "of a style sheet", spoil: func(a archive) {
			a["images/x.png"] = append(picture(t, 10, 10, 0), make([]byte, 301<<10)...)
			a["style.css"] = append(a["style.css"], ".acme { background: url(images/x.png); }\n"...)
		}, at: "images/x.png"},
		{rule: "images.format", name: "of the other platform", spoil: func(a archive) { a["images/icon.svg"] = []byte("<svg/>\n") }, at: "images/icon.svg"},
		{rule: "images.format", name: "of a style sheet", spoil: func(a archive) {
			a["images/x.png"] = []byte("<html>")
			a["style.css"] = append(a["style.css"], ".acme { background: url(images/x.png); }\n"...)
		}, at: "images/x.png"},
		{rule: "archive.twice", name: "logo", spoil: func(a archive) {
			var out bytes.Buffer
			if err := gif.Encode(&out, image.NewPaletted(image.Rect(0, 0, 130, 100), color.Palette{color.Black}), nil); err != nil {
				t.Fatal(err)
			}
			a["images/logo.gif"] = out.Bytes()
		}},
		{rule: "images.margin", spoil: func(a archive) { a["images/logo_main.png"] = picture(t, 400, 272, 9) }},
		{rule: "images.svg", spoil: kommoFlavour, options: func(o *widget.CheckOptions) { o.Platform = widget.Kommo }},
		{rule: "technical-account", options: func(o *widget.CheckOptions) { o.TechnicalAccount = "" }},
	}
}

// kommoFlavour makes the archive one for Kommo.
func kommoFlavour(a archive) {
	for name, data := range a {
		a[name] = bytes.ReplaceAll(data, []byte(`"ru", "en"`), []byte(`"en"`))
	}
	a.replace("manifest.json", `"ru": ["/images/tour_1_ru.png"], `, "")
	delete(a, "i18n/ru.json")
	delete(a, "images/tour_1_ru.png")
}

func manifestRules(t *testing.T) []broken {
	manifest := func(old, now string) func(archive) {
		return func(a archive) { a.replace("manifest.json", old, now) }
	}
	published := func(version string) func(*widget.CheckOptions) {
		return func(o *widget.CheckOptions) {
			a := good(t)
			a["manifest.json"] = bytes.ReplaceAll(a["manifest.json"], []byte("1.2.3"), []byte(version))
			o.Published = a.zip(t)
		}
	}
	return []broken{
		{rule: "manifest.json", name: "comma", spoil: manifest(`"init_once": true,`, `"init_once": true`), at: "manifest.json:9"},
		{rule: "manifest.json", name: "twice", spoil: manifest(`"init_once": true,`, `"init_once": true, "init_once": false,`)},
		{rule: "manifest.json", name: "list", spoil: func(a archive) { a["manifest.json"] = []byte("[]") }},
		{rule: "manifest.json", name: "deep", spoil: func(a archive) { a["manifest.json"] = bytes.Repeat([]byte("["), 100000) }},
		{rule: "manifest.unknown", name: "top", spoil: manifest(`"locations"`, `"scripts": [], "locations"`)},
		{rule: "manifest.unknown", name: "widget", spoil: manifest(`"init_once"`, `"initonce": true, "init_once"`), at: "manifest.json:8"},
		{rule: "manifest.required", name: "short_description", spoil: manifest(`"short_description": "widget.short_description",`, "")},
		{rule: "manifest.required", name: "interface_version", spoil: manifest(`"interface_version": 2,`, "")},
		{rule: "manifest.required", name: "locations", spoil: manifest(`"locations": ["everywhere"],`, "")},
		{rule: "manifest.type", name: "flag", spoil: manifest(`"init_once": true`, `"init_once": "Y"`), at: "manifest.json:8"},
		{rule: "manifest.type", name: "list", spoil: manifest(`["everywhere"]`, `"everywhere"`)},
		{rule: "manifest.version", spoil: func(a archive) {
			a.replace("manifest.json", `"1.2.3"`, `"v2"`)
			a.replace("script.js", "?v=1.2.3", "?v=v2")
		}, at: "manifest.json:6"},
		{rule: "manifest.version", name: "zero", spoil: func(a archive) {
			a.replace("manifest.json", `"1.2.3"`, `"01.2.3"`)
			a.replace("script.js", "?v=1.2.3", "?v=01.2.3")
		}, at: "manifest.json:6"},
		{rule: "manifest.published", name: "without publishing", options: func(o *widget.CheckOptions) { published("1.3.0")(o); o.Publish = false }},
		{rule: "manifest.published", name: "same", options: published("1.2.03")},
		{rule: "manifest.published", name: "lower", options: published("1.10.0")},
		{rule: "manifest.published", name: "unreadable", options: func(o *widget.CheckOptions) { o.Published = []byte("no archive") }},
		{rule: "manifest.changed", options: func(o *widget.CheckOptions) { o.Published = good(t).zip(t) }},
		{rule: "manifest.interface-version", spoil: manifest(`"interface_version": 2`, `"interface_version": 1`), at: "manifest.json:7"},
		{rule: "manifest.code", spoil: manifest(`"init_once"`, `"secret_key": "x", "init_once"`), at: "manifest.json:8"},
		{rule: "manifest.locale", name: "unknown", spoil: func(a archive) {
			kommoFlavour(a)
			a.replace("manifest.json", `["en"]`, `["en", "de"]`)
			a.replace("manifest.json", `"tour_images": {`, `"tour_images": { "de": ["/images/tour_1_en.png"],`)
			a["images/icon.svg"] = []byte("<svg/>\n")
		}, options: func(o *widget.CheckOptions) { o.Platform = widget.Kommo }},
		{rule: "manifest.locale", name: "twice", spoil: manifest(`["ru", "en"]`, `["ru", "en", "en"]`)},
		{rule: "manifest.text", name: "plain", spoil: manifest(`"settings.extensions"`, `"Extensions"`), at: "manifest.json:20"},
		{rule: "manifest.text", name: "missing", spoil: func(a archive) {
			a.words("ru", "settings", "consent", "")
			a.words("en", "settings", "consent", "")
		}, at: "manifest.json:21"},
		{rule: "manifest.text", name: "setting without a name", spoil: func(a archive) {
			a.replace("manifest.json", `"name": "settings.extensions", `, "")
			a.words("ru", "settings", "extensions", "")
			a.words("en", "settings", "extensions", "")
		}, at: "manifest.json:20"},
		{rule: "manifest.support", name: "missing", spoil: manifest(",\n    \"support\": { \"link\": \"https://example.com/help\", \"email\": \"help@example.com\" }", "")},
		{rule: "manifest.support", name: "address", spoil: manifest(`help@example.com`, `help`)},
		{rule: "manifest.support", name: "page", spoil: manifest(`"https://example.com/help"`, `"example.com/help"`)},

		{rule: "locations.unknown", name: "unknown", spoil: manifest(`"everywhere"`, `"everywhere", "somewhere"`), at: "manifest.json:13"},
		{rule: "locations.unknown", name: "side", spoil: manifest(`"everywhere"`, `"everywhere", "ccard"`)},
		{rule: "locations.unknown", name: "no side", spoil: manifest(`"everywhere"`, `"everywhere-1"`)},
		{rule: "locations.unknown", name: "twice", spoil: manifest(`"everywhere"`, `"everywhere", "ccard-0", "ccard-0"`)},
		{rule: "locations.unknown", name: "other platform", spoil: manifest(`"everywhere"`, `"everywhere", "ai_agent"`)},
		{rule: "locations.section", name: "no location", spoil: manifest(`"tour": {`, `"sms": {"endpoint": "https://example.com"}, "tour": {`)},
		{rule: "locations.section", name: "no section", spoil: manifest(`"everywhere"`, `"everywhere", "mobile_card"`)},
		{rule: "locations.unused", name: "card", spoil: manifest(`"everywhere"`, `"everywhere", "ccard-1"`), at: "manifest.json:13"},
		{rule: "locations.unused", name: "list", spoil: manifest(`"everywhere"`, `"everywhere", "clist-1"`), at: "manifest.json:13"},

		{rule: "tour.size", spoil: func(a archive) { a["images/tour_1_ru.png"] = picture(t, 1529, 927, 0) }, at: "images/tour_1_ru.png"},
		{rule: "tour", name: "language", spoil: func(a archive) {
			a.replace("manifest.json", `"ru": ["/images/tour_1_ru.png"], `, "")
			delete(a, "images/tour_1_ru.png")
		}},
		{rule: "tour", name: "off", spoil: manifest(`"is_tour": true`, `"is_tour": false`)},
		{rule: "tour", name: "language of nobody", spoil: manifest(`"tour_images": {`, `"tour_images": { "de": ["/images/tour_1_en.png"],`)},
		{rule: "tour", name: "description", spoil: func(a archive) {
			a["manifest.json"] = regexp.MustCompile(`,\s*"tour_description": "[^"]*"`).ReplaceAll(a["manifest.json"], nil)
			a.words("ru", "widget", "tour_description", "")
			a.words("en", "widget", "tour_description", "")
		}},
		{rule: "tour", name: "file", spoil: func(a archive) { delete(a, "images/tour_1_ru.png") }},
		{rule: "tour", name: "six", spoil: manifest(`["/images/tour_1_ru.png"]`, `["/images/tour_1_ru.png"`+strings.Repeat(`,"/images/tour_1_ru.png"`, 5)+`]`)},
		{rule: "tour.missing", spoil: func(a archive) {
			before, rest, _ := bytes.Cut(a["manifest.json"], []byte(`  "tour"`))
			_, after, _ := bytes.Cut(rest, []byte("},\n  \"settings\""))
			a["manifest.json"] = slices.Concat(before, []byte("  \"settings\""), after)
			delete(a, "images/tour_1_ru.png")
			delete(a, "images/tour_1_en.png")
		}},

		{rule: "settings.missing", spoil: func(a archive) {
			before, _, _ := bytes.Cut(a["manifest.json"], []byte(",\n  \"settings\""))
			a["manifest.json"] = append(before, "\n}\n"...)
			for _, lang := range []string{"ru", "en"} {
				a.words(lang, "settings", "extensions", "")
				a.words(lang, "settings", "consent", "")
			}
		}},
		{rule: "settings.type", spoil: manifest(`"type": "users"`, `"type": "select"`), at: "manifest.json:20"},
		{rule: "settings.required", spoil: manifest(`"required": false`, `"required": "no"`), at: "manifest.json:20"},
		{rule: "settings.pass", spoil: manifest(`"type": "users"`, `"type": "pass"`), at: "manifest.json:20"},
		{rule: "settings.consent", spoil: manifest(`"type": "custom", "required": true`, `"type": "custom", "required": false`)},
	}
}
