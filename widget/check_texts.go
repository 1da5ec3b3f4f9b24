package widget

import (
	"fmt"
	"html"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// dictionary is a language's texts by their paths, "group.key".
type dictionary map[string]*node

// What the CRM shows of a widget has these lengths, in characters.
const (
	maxNameLength        = 30
	maxWordLength        = 19
	maxShortLength       = 50
	maxDescriptionLength = 400
)

var (
	placeholder  = regexp.MustCompile(`\{\w+\}`)
	crmTag       = regexp.MustCompile(`#[A-Z][A-Z_]+#`)
	htmlTag      = regexp.MustCompile(`<[^>]*>`)
	element      = regexp.MustCompile(`(?i)<\s*(iframe|frame|object|embed|form|base|meta|link|svg|math)\b`)
	linkElement  = regexp.MustCompile(`(?is)<a\s[^>]*href=["']?https?://[^>]*>.*?</a>`)
	webAddress   = regexp.MustCompile(`(?i)\bhttps?://[\w-][^\s"'<>]*`)
	example      = regexp.MustCompile(`(?i)\bhttps?://([\w-]+\.)*example\.[^\s"'<>]*`)
	nameParts    = regexp.MustCompile(`(?i)\S\s+(by|via|от|через|від|de|por|vía|da)\s+\S`)
	word         = regexp.MustCompile(`\p{L}[\p{L}'’]*`)
	crmTags      = []string{"#HOST#", "#SUBDOMAIN#", "#LOGIN#", "#ACCOUNT_ID#", "#USER_ID#", "#TOP_LEVEL_DOMAIN#"}
	cyrillicWord = regexp.MustCompile(`\p{Cyrillic}{2}`)
)

// knownTexts are paths that the CRM reads by itself.
func (c *check) knownTexts() map[string]bool {
	known := map[string]bool{}
	if c.manifest == nil {
		return known
	}
	var walk func(n *node)
	walk = func(n *node) {
		if pathForm.MatchString(n.text()) {
			known[n.text()] = true
		}
		for _, m := range n.of {
			walk(m)
		}
		for _, m := range n.items {
			walk(m)
		}
	}
	walk(c.manifest.root)
	for _, key := range c.manifest.root.member("settings").keysOf() {
		known["settings."+key] = true
	}
	return known
}

func (c *check) readTexts() {
	c.texts = map[string]dictionary{}
	for name, f := range c.files {
		lang, ok := strings.CutSuffix(strings.TrimPrefix(name, "i18n/"), ".json")
		if !ok || path.Dir(name) != "i18n" || c.manifest == nil || !slices.Contains(c.manifest.locales, lang) {
			continue
		}
		f.used = true
		root, err := parseObject(f.data)
		if err != nil {
			c.addJSON("i18n.json", name, err)
			continue
		}
		c.texts[lang] = c.flatten(name, root)
	}
}

// flatten returns the texts of a file: groups, in them keys. Deeper groups are let be, lists are not.
func (c *check) flatten(file string, root *node) dictionary {
	out := dictionary{}
	var walk func(prefix string, n *node)
	walk = func(prefix string, n *node) {
		for _, key := range n.keys {
			at, m := prefix+key, n.of[key]
			_, text := m.value.(string)
			switch {
			case m.is(object{}):
				walk(at+".", m)
			case !text || prefix == "":
				c.add("i18n.json", file, m.line, "%s: wants to be a text in a group", shown(at))
			default:
				out[at] = m
			}
		}
	}
	walk("", root)
	return out
}

func (c *check) checkTexts() {
	langs := slices.Sorted(maps.Keys(c.texts))
	if len(langs) == 0 {
		return
	}
	c.checkKeys(langs)
	c.checkPaths(langs)
	for _, lang := range langs {
		c.checkNames(lang)
		for key, n := range c.texts[lang] {
			c.checkText("i18n/"+lang+".json", key, n)
		}
	}
	if english := c.texts["en"]; english != nil {
		for _, lang := range langs {
			if lang != "en" {
				c.checkTranslated(lang, english)
			}
		}
	}
	c.checkPrivacy(langs)
}

// checkKeys holds the languages against the one that has the most, which is the one that is written first.
func (c *check) checkKeys(langs []string) {
	whole := slices.MaxFunc(langs, func(a, b string) int { return len(c.texts[a]) - len(c.texts[b]) })
	for _, lang := range langs {
		file := "i18n/" + lang + ".json"
		for key, n := range c.texts[whole] {
			own := c.texts[lang][key]
			switch {
			case own == nil:
				c.add("i18n.keys", file, 0, "%s is missing: %s has it", shown(key), whole)
			case strings.TrimSpace(own.text()) == "":
				c.add("i18n.keys", file, own.line, "%s is empty", shown(key))
			case !slices.Equal(placeholders(own.text()), placeholders(n.text())):
				c.add("i18n.values", file, own.line, "%s has the values %v, in %s %v", shown(key), placeholders(own.text()), whole, placeholders(n.text()))
			}
		}
		for key, n := range c.texts[lang] {
			if c.texts[whole][key] == nil {
				c.add("i18n.keys", file, n.line, "%s: %s has no such key", shown(key), whole)
			}
		}
	}
}

func placeholders(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// checkPaths finds the texts that the manifest names.
func (c *check) checkPaths(langs []string) {
	root := c.manifest.root
	paths := []*node{}
	w := root.member("widget")
	for _, n := range []*node{w.member("name"), w.member("description"), w.member("short_description"),
		root.member("tour").member("tour_description"), root.member("advanced").member("title")} {
		if n != nil {
			paths = append(paths, n)
		}
	}
	settings := root.member("settings")
	for _, key := range settings.keysOf() {
		if n := settings.of[key].member("name"); n != nil {
			paths = append(paths, n)
		} else {
			c.add("manifest.text", manifestFile, settings.of[key].line, "%s has no name", shown(key))
		}
	}
	for _, n := range paths {
		if !pathForm.MatchString(n.text()) {
			c.add("manifest.text", manifestFile, n.line, "%.64q is no path into i18n, such as widget.name", n.text())
			continue
		}
		for _, lang := range langs {
			if c.texts[lang][n.text()] == nil {
				c.add("manifest.text", manifestFile, n.line, "i18n/%s.json has no %s", lang, n.text())
			}
		}
	}
	if c.dials() {
		for _, lang := range langs {
			if c.texts[lang]["widget.call_action"] == nil {
				c.add("i18n.call-action", "i18n/"+lang+".json", 0, "widget.call_action is missing")
			}
		}
	}
}

// checkNames is about what the CRM's own pages show of the widget.
func (c *check) checkNames(lang string) {
	file, w := "i18n/"+lang+".json", c.manifest.root.member("widget")
	if n := c.texts[lang][w.member("name").text()]; n != nil {
		name := n.text()
		if length := utf8.RuneCountInString(name); length > maxNameLength {
			c.add("text.name-length", file, n.line, "the name has %d characters: make it %d at most", length, maxNameLength)
		}
		for w := range strings.FieldsSeq(name) {
			if utf8.RuneCountInString(w) > maxWordLength {
				c.add("text.name-length", file, n.line, "a word of the name is longer than %d characters", maxWordLength)
			}
		}
		if !nameParts.MatchString(name) || strings.Contains(strings.ToLower(name), "kommo") {
			c.add("text.name-form", file, n.line, "call it by what it does and by whom, as in “Calls by Company”, and not by Kommo's name")
		}
	}
	if n := c.texts[lang][w.member("short_description").text()]; n != nil {
		if length := utf8.RuneCountInString(n.text()); length > maxShortLength {
			c.add("text.short-length", file, n.line, "the short description has %d characters: make it %d at most", length, maxShortLength)
		}
	}
	if n := c.texts[lang][w.member("description").text()]; n != nil {
		if length := utf8.RuneCountInString(htmlTag.ReplaceAllString(n.text(), "")); length > maxDescriptionLength {
			c.add("text.description-length", file, n.line, "the description has %d characters, without tags: make it %d at most", length, maxDescriptionLength)
		}
		for _, tag := range crmTag.FindAllString(n.text(), -1) {
			if !slices.Contains(crmTags, tag) {
				c.add("text.tag", file, n.line, "%s is no tag that the CRM knows", tag)
			}
		}
	}
}

// checkText is about any text.
func (c *check) checkText(file, key string, n *node) {
	text := n.text()
	if bare := example.ReplaceAllString(linkElement.ReplaceAllString(text, ""), ""); webAddress.MatchString(htmlTag.ReplaceAllString(bare, "")) {
		c.add("text.link", file, n.line, "%s: make the address a link, <a href=…>", shown(key))
	}
	for _, m := range markupIn(text) {
		c.add("text.markup", file, n.line, "%s: %s", shown(key), m.text)
	}
	if m := element.FindString(text); m != "" {
		c.add("text.markup", file, n.line, "%s: an element that is no text (%.40q)", shown(key), m)
	}
	if other := c.opt.Platform.other(); strings.Contains(strings.ToLower(htmlTag.ReplaceAllString(text, "")), strings.ToLower(other)) {
		c.add("text.platform", file, n.line, "%s speaks of %s", shown(key), other)
	}
}

// checkTranslated finds texts that are still the English ones. Single words and names may be the same.
func (c *check) checkTranslated(lang string, english dictionary) {
	cyrillic := lang == "ru" || lang == "uk"
	for key, n := range c.texts[lang] {
		text := htmlTag.ReplaceAllString(placeholder.ReplaceAllString(n.text(), ""), "")
		words := word.FindAllString(text, -1)
		same := english[key] != nil && english[key].text() == n.text()
		if same && (len(words) > 1 || cyrillic && hasSmall(words)) || cyrillic && len(words) > 2 && !cyrillicWord.MatchString(text) {
			c.add("text.translated", "i18n/"+lang+".json", n.line, "%s is not translated: %.64q", shown(key), n.text())
		}
	}
}

// hasSmall tells whether one of the words is neither a name nor an abbreviation.
func hasSmall(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		first, _ := utf8.DecodeRuneInString(w)
		return unicode.IsLower(first)
	})
}

func (c *check) checkPrivacy(langs []string) {
	at := c.manifest.root.member("widget").member("description").text()
	for _, lang := range langs {
		if n := c.texts[lang][at]; n == nil || !linkElement.MatchString(n.text()) {
			c.add("privacy-link", "i18n/"+lang+".json", 0, "link to the privacy policy in %s: <a href=…>", at)
		}
	}
}

// flaw is something in HTML that has no place there.
type flaw struct {
	rule   string
	text   string
	offset int
}

var markup = []struct {
	rule string
	form *regexp.Regexp
	text string
}{
	{"markup.script", regexp.MustCompile(`(?i)<\s*/?script\b`), "a script element: name what is needed in define"},
	{"markup.handler", regexp.MustCompile(`(?i)<[a-z](?:"[^"]*"|'[^']*'|[^<>"'])*?(?:[\s/]|"[^"]*"|'[^']*')on[a-z]+\s*=`), "a handler in HTML: bind it in a script"},
	{"markup.url", regexp.MustCompile("(?i)(?:^|=)[\\s\"'`\\\\]*javascript:\\S"), "an address that is a script"},
	{"css.injected", regexp.MustCompile(`(?i)<style\b`), "a style element: put it into a style sheet"},
}

// markupIn finds what has no place in a text, also where it is written in entities or with signs between its letters
// that browsers do not see.
func markupIn(text string) []flaw {
	var out []flaw
	bare := unseen.Replace(html.UnescapeString(text))
	for _, m := range markup {
		if at := m.form.FindStringIndex(text); at != nil {
			out = append(out, flaw{m.rule, fmt.Sprintf("%s (%.40q)", m.text, text[at[0]:at[1]]), at[0]})
		} else if at := m.form.FindString(bare); at != "" && m.rule == "markup.url" {
			out = append(out, flaw{m.rule, fmt.Sprintf("%s (%.40q)", m.text, at), 0})
		}
	}
	return out
}

var unseen = strings.NewReplacer("\t", "", "\n", "", "\r", "")
