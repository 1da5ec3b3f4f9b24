package widget

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

const manifestFile = "manifest.json"

var (
	localeForm = regexp.MustCompile(`^[a-z]{2}$`)
	pathForm   = regexp.MustCompile(`^[A-Za-z]\w*(\.\w+)+$`) // into i18n: group.key
)

// manifest is manifest.json, as far as it can be read.
type manifest struct {
	root      *node
	version   string
	locales   []string
	locations []string
}

// kind is what a key of the manifest wants: a name for people, or an object with keys of its own.
type kind struct {
	name string
	of   map[string]kind
}

var (
	aText    = kind{name: "a text"}
	aFlag    = kind{name: "true or false"}
	aNumber  = kind{name: "a number"}
	someText = kind{name: "a list of texts"}
	anObject = kind{name: "an object"}
)

func keys(of map[string]kind) kind { return kind{name: "an object", of: of} }

// manifestShape is all that the CRM knows. What a section of another kind of widget has is not looked into.
func manifestShape() kind {
	return keys(map[string]kind{
		"widget": keys(map[string]kind{
			"name": aText, "description": aText, "short_description": aText, "version": aText, "interface_version": aNumber,
			"init_once": aFlag, "locale": someText, "installation": aFlag, "is_showcase": aFlag, "code": aText, "secret_key": aText,
			"support": keys(map[string]kind{"link": aText, "email": aText}),
		}),
		"locations":         someText,
		"tour":              keys(map[string]kind{"is_tour": aFlag, "tour_images": anObject, "tour_description": aText}),
		"settings":          anObject,
		"advanced":          keys(map[string]kind{"title": aText}),
		"dp":                keys(map[string]kind{"settings": anObject, "action_multiple": aFlag, "webhook_url": aText}),
		"left_menu":         anObject,
		"sms":               keys(map[string]kind{"endpoint": aText}),
		"mobile":            keys(map[string]kind{"frame_url": aText, "color": aText}),
		"salesbot_designer": anObject,
	})
}

func (c *check) readManifest() {
	root, err := parseObject(c.files[manifestFile].data)
	if err != nil {
		c.addJSON("manifest.json", manifestFile, err)
		return
	}
	w := root.member("widget")
	m := &manifest{root: root, version: w.member("version").text()}
	for _, l := range w.member("locale").texts() {
		m.locales = append(m.locales, l.text())
	}
	for _, l := range root.member("locations").texts() {
		m.locations = append(m.locations, l.text())
	}
	c.manifest = m
}

func (c *check) addJSON(rule, file string, err error) {
	line := 0
	if at := (*flawError)(nil); errors.As(err, &at) {
		line = at.line
	}
	c.add(rule, file, line, "%v", err)
}

func (c *check) checkManifest() {
	m := c.manifest
	if m == nil {
		return
	}
	c.checkShape("", m.root, manifestShape())
	c.checkRequired()
	w := m.root.member("widget")
	if v := w.member("version"); v != nil && v.text() != "" && !versionForm.MatchString(v.text()) {
		c.add("manifest.version", manifestFile, v.line, "%.32q: wants three numbers, such as 1.2.3, without zeros before them", v.text())
	}
	if v := w.member("interface_version"); v != nil && !v.is(json.Number("2")) {
		c.add("manifest.interface-version", manifestFile, v.line, "it wants to be 2")
	}
	for _, key := range []string{"code", "secret_key"} {
		if v := w.member(key); v != nil {
			c.add("manifest.code", manifestFile, v.line, "leave %s out: the CRM makes it at the upload", key)
		}
	}
	c.checkLocales(w.member("locale"))
	c.checkLocations()
	c.checkTour()
	c.checkSettings()
	c.checkSupport(w.member("support"))
}

// checkShape holds a value against what its key wants.
func (c *check) checkShape(at string, n *node, want kind) {
	var ok bool
	switch want.name {
	case aText.name:
		_, ok = n.value.(string)
	case aFlag.name:
		_, ok = n.value.(bool)
	case aNumber.name:
		_, ok = n.value.(json.Number)
	case someText.name:
		ok = n.is(list{}) && len(n.texts()) == len(n.items) && len(n.items) > 0
	case anObject.name:
		ok = n.is(object{})
	}
	if !ok {
		c.add("manifest.type", manifestFile, n.line, "%s wants %s", at, want.name)
		return
	}
	if want.of == nil {
		return
	}
	for _, key := range n.keys {
		if of, known := want.of[key]; known {
			c.checkShape(strings.TrimPrefix(at+"."+key, "."), n.of[key], of)
		} else {
			c.add("manifest.unknown", manifestFile, n.of[key].line, "%.64s: the CRM knows no such key: leave it out", shown(key))
		}
	}
}

func (c *check) checkRequired() {
	root := c.manifest.root
	for _, key := range []string{"widget", "locations"} {
		if root.member(key) == nil {
			c.add("manifest.required", manifestFile, 0, "%s is missing", key)
		}
	}
	w := root.member("widget")
	if w == nil {
		return
	}
	for _, key := range []string{"name", "description", "short_description", "version", "interface_version", "locale", "installation"} {
		if w.member(key) == nil || w.member(key).is("") {
			c.add("manifest.required", manifestFile, w.line, "widget.%s is missing", key)
		}
	}
	if w.member("installation").is(true) && root.member("settings") == nil {
		c.add("settings.missing", manifestFile, w.line, "with installation there is a settings window: give settings, if only {}")
	}
}

func (c *check) checkLocales(n *node) {
	seen := map[string]bool{}
	for _, l := range n.texts() {
		lang := l.text()
		switch {
		case seen[lang]:
			c.add("manifest.locale", manifestFile, l.line, "%s stands there twice", lang)
		case !c.opt.Platform.knows(lang):
			c.add("manifest.locale", manifestFile, l.line, "%.16q is no language of %s", lang, c.opt.Platform)
		case c.files["i18n/"+lang+".json"] == nil:
			c.add("archive.missing", "i18n/"+lang+".json", 0, "the manifest names the language: add its texts, or take it out of locale")
		}
		seen[lang] = true
	}
}

func (c *check) checkSettings() {
	settings := c.manifest.root.member("settings")
	if settings == nil || settings.of == nil {
		return
	}
	consent := false
	for _, key := range settings.keys {
		s := settings.of[key]
		kind := s.member("type").text()
		switch {
		case !s.is(object{}) || !slices.Contains([]string{"text", "pass", "users", "users_lp", "custom"}, kind):
			c.add("settings.type", manifestFile, s.line, "%s: type wants to be text, pass, users, users_lp or custom", shown(key))
		case kind == "pass":
			c.add("settings.pass", manifestFile, s.line, "%s: every user of the account can read it: keep secrets on the server", shown(key))
		}
		if r := s.member("required"); !r.is(true) && !r.is(false) {
			c.add("settings.required", manifestFile, s.line, "%s: required wants to be true or false", shown(key))
		}
		consent = consent || kind == "custom" && s.member("required").is(true)
	}
	if c.opt.Platform == AmoCRM && slices.Contains(c.manifest.locales, "ru") && !consent {
		c.add("settings.consent", manifestFile, settings.line, "add a required setting of type custom, which a checkbox for the consent fills")
	}
}

func (c *check) checkSupport(n *node) {
	email, link := n.member("email").text(), n.member("link").text()
	if email != "" && !strings.Contains(email, "@") {
		c.add("manifest.support", manifestFile, n.line, "%.64q is no e-mail address", email)
	}
	if link != "" && !isWebURL(link) {
		c.add("manifest.support", manifestFile, n.line, "%.64q is no address of a page", link)
	}
	if email == "" || link == "" {
		c.add("manifest.support", manifestFile, 0, "say in widget.support whom people ask: email and link")
	}
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

func (c *check) checkTour() {
	tour := c.manifest.root.member("tour")
	if tour == nil {
		c.add("tour.missing", manifestFile, 0, "show the widget in a tour: put images/tour_1_<language>.png of 1188 × 616 for each language into a copy of the source, and pack that with -src")
		return
	}
	if !tour.member("is_tour").is(true) {
		c.add("tour", manifestFile, tour.line, "is_tour wants to be true")
	}
	images := tour.member("tour_images")
	for _, lang := range c.manifest.locales {
		pictures := images.member(lang).texts()
		if n := len(pictures); n < 1 || n > 5 {
			c.add("tour", manifestFile, tour.line, "%s has %d pictures, 1 to 5 are wanted", lang, n)
		}
		for _, p := range pictures {
			c.checkTourImage(p)
		}
	}
	for _, lang := range images.keysOf() {
		if !slices.Contains(c.manifest.locales, lang) {
			c.add("tour", manifestFile, images.line, "%s is no language of the widget", shown(lang))
		}
	}
	if images == nil || tour.member("tour_description") == nil {
		c.add("tour", manifestFile, tour.line, "tour_images and tour_description are needed")
	}
}

func (c *check) checkTourImage(n *node) {
	name := strings.TrimPrefix(n.text(), "/")
	f := c.files[name]
	if f == nil {
		c.add("tour", manifestFile, n.line, "%s is not in the archive", shown(name))
		return
	}
	f.used = true
	if width, height, ok := c.checkImage(f); ok && (width != tourWidth || height != tourHeight) {
		c.add("tour.size", name, 0, "it has %d × %d pixels: make it %d × %d", width, height, tourWidth, tourHeight)
	}
}

// keysOf returns an object's keys, also of one that is not there.
func (n *node) keysOf() []string {
	if n == nil {
		return nil
	}
	return n.keys
}

// checkPublishing is about what goes with the archive when it is handed in.
func (c *check) checkPublishing(archive []byte) {
	if c.opt.TechnicalAccount == "" {
		c.add("technical-account", "", 0, "open an account in the CRM for the reviewers, paid for at least a month, and name it with -technical-account")
	}
	if c.opt.Published == nil || c.manifest == nil {
		return
	}
	if bytes.Equal(archive, c.opt.Published) {
		c.add("manifest.changed", "", 0, "it is the archive that is published already")
		return
	}
	published := &check{opt: c.opt, keepers: c.keepers, count: map[string]int{}}
	if published.unpack(c.opt.Published) {
		published.readManifest()
	}
	if published.manifest == nil {
		c.add("manifest.published", "", 0, "the published archive cannot be read")
		return
	}
	if !isNewer(c.manifest.version, published.manifest.version) {
		c.add("manifest.published", manifestFile, 0, "%.32q is not higher than the published %.32q: raise it", c.manifest.version, published.manifest.version)
	}
}

// publishedForm is a version as it may have been published before.
var publishedForm = regexp.MustCompile(`^\d{1,5}\.\d{1,5}\.\d{1,5}$`)

// isNewer compares versions of the form 1.2.3.
func isNewer(version, than string) bool {
	if !publishedForm.MatchString(version) || !publishedForm.MatchString(than) {
		return false
	}
	key := func(v string) string {
		var b strings.Builder
		for part := range strings.SplitSeq(v, ".") {
			b.WriteString(strings.Repeat("0", 5-len(part)) + part)
		}
		return b.String()
	}
	return key(version) > key(than)
}

// location is one of the places that a widget can be in.
type location struct {
	sided    bool     // -0 or -1 stands behind it
	section  string   // of the manifest that it wants
	callback string   // that serves it; "": none of its own
	only     Platform // "": both
}

// places are all locations.
func places() map[string]location {
	card, rows := location{sided: true}, location{sided: true, callback: "selected"}
	return map[string]location{
		"lcard": card, "ccard": card, "comcard": card, "cucard": card,
		"llist": rows, "clist": rows, "culist": rows, "tlist": rows,
		"everywhere": {}, "settings": {callback: "settings"}, "advanced_settings": {section: "advanced", callback: "advancedSettings"},
		"card_sdk": {}, "catalogs": {callback: "loadCatalogElement"}, "digital_pipeline": {section: "dp", callback: "dpSettings"},
		"lead_sources": {callback: "onSource"}, "widget_page": {section: "left_menu", callback: "initMenuPage"}, "sms": {section: "sms"},
		"mobile_card": {section: "mobile"}, "salesbot_designer": {section: "salesbot_designer", callback: "onSalesbotDesignerSave"},
		"website_chat_button": {}, "whatsapp_modal": {}, "amoforms": {}, "personal_page": {}, "ai_agent": {only: Kommo},
	}
}

func (c *check) checkLocations() {
	known, served, seen := places(), map[string]bool{}, map[string]bool{}
	for _, n := range c.manifest.root.member("locations").texts() {
		name := n.text()
		base, side := name, ""
		if b, found := strings.CutSuffix(name, "-0"); found {
			base, side = b, "-0"
		} else if b, found := strings.CutSuffix(name, "-1"); found {
			base, side = b, "-1"
		}
		at, ok := known[base]
		switch {
		case !ok || at.only != "" && at.only != c.opt.Platform:
			c.add("locations.unknown", manifestFile, n.line, "%s: %s has no such place", shown(name), c.opt.Platform)
			continue
		case at.sided != (side != ""):
			c.add("locations.unknown", manifestFile, n.line, "%s: lists and cards want -0 or -1 behind them, others nothing", name)
		case seen[base]:
			c.add("locations.unknown", manifestFile, n.line, "%s stands there twice", base)
		}
		seen[base] = true
		if at.section != "" {
			served[at.section] = true
			if c.manifest.root.member(at.section) == nil {
				c.add("locations.section", manifestFile, n.line, "%s wants the section %s", base, at.section)
			}
		}
		if at.sided && at.callback == "" && side == "-1" && !c.draws() {
			c.add("locations.unused", manifestFile, n.line, "%s: no script calls render_template, which draws there: do so, or leave the location out", name)
		}
		if s := c.scripts["script.js"]; s != nil && at.callback != "" && !s.names[at.callback] {
			c.add("locations.unused", manifestFile, n.line, "%s: script.js has no callback %s: write it, or leave the location out", name, at.callback)
		}
	}
	for _, at := range known {
		if section := c.manifest.root.member(at.section); at.section != "" && section != nil && !served[at.section] {
			c.add("locations.section", manifestFile, section.line, "the section %s has no location", at.section)
		}
	}
}

// draws tells whether the widget draws something in a card's column.
func (c *check) draws() bool {
	for _, s := range c.scripts {
		if s.names["render_template"] {
			return true
		}
	}
	return len(c.scripts) == 0 || c.unreadable
}

// inPlace tells whether the widget has a location.
func (m *manifest) inPlace(name string) bool {
	return m != nil && slices.ContainsFunc(m.locations, func(l string) bool { return strings.TrimSuffix(strings.TrimSuffix(l, "-0"), "-1") == name })
}

// extension is a file name's, in small letters.
func extension(name string) string { return strings.ToLower(path.Ext(name)) }
