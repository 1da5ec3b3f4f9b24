package widget

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// phrase is a text that a script puts together, with a * for what is known only when it runs: '/css/' + name +
// '.css' is /css/*.css.
type phrase struct {
	text  string
	token int // where it begins
}

const (
	anything   = "*"
	maxGroups  = 300  // of texts that are asked for by parts of their names
	maxPhrases = 5000 // of a script; a widget's have some hundred
)

// findPhrases finds the texts of a script.
func (s *script) findPhrases() {
	for i := 0; i < len(s.tokens) && len(s.phrases) < maxPhrases; i++ {
		if !s.isLiteral(i) && s.kind(i) != js.TemplateStartToken {
			continue
		}
		p := phrase{token: i}
		if s.kind(i-1) == js.AddToken {
			p.text = anything
		}
		part, end := s.part(i)
		p.text += part
		for end < len(s.tokens) && s.kind(end) == js.AddToken && end+1 < len(s.tokens) {
			part, end = s.part(end + 1)
			p.text += part
		}
		s.phrases = append(s.phrases, p)
		if s.isLiteral(i) {
			i = max(i, min(end, len(s.tokens))-1)
		}
	}
}

// sum returns the text that a span's tokens make.
func (s *script) sum(of span) string {
	text, end := s.part(of.from)
	for end < of.to && s.kind(end) == js.AddToken {
		var more string
		more, end = s.part(end + 1)
		text += more
	}
	if end < of.to {
		return anything
	}
	return text
}

// part returns one operand of a sum of texts, and where it ends.
func (s *script) part(i int) (text string, end int) {
	if s.isLiteral(i) {
		return s.literal(i), i + 1
	}
	if s.kind(i) == js.TemplateStartToken {
		var b strings.Builder
		b.WriteString(strings.TrimSuffix(strings.TrimPrefix(s.text(i), "`"), "${") + anything)
		for s.tokens[i].pair > i {
			i = s.tokens[i].pair
			b.WriteString(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(s.text(i), "}"), "`"), "${"))
			if s.kind(i) == js.TemplateEndToken {
				return b.String(), i + 1
			}
			b.WriteString(anything)
		}
		return b.String(), i + 1
	}
	for end = i; end < len(s.tokens); end++ { // a name, its members, their calls
		switch s.kind(end) {
		case js.OpenParenToken, js.OpenBracketToken:
			end = s.skip(end)
		case js.DotToken, js.OptChainToken:
		default:
			if !s.isName(end) && !js.IsNumeric(s.kind(end)) {
				return anything, max(end, i+1)
			}
		}
	}
	return anything, end
}

// modules checks what a script asks define and require for.
func (r *codeCheck) modules() {
	for _, d := range r.dependencies() {
		name, query, _ := strings.Cut(d.text, "?")
		at, local := moduleFile(r.name, d.text)
		switch {
		case local && !strings.HasSuffix(at, ".js"):
			r.found("code.module", d.token, "%s: let the name end in .js, that it is seen as code", shown(at))
		case local:
			if r.c.files[at] == nil {
				r.found("code.module", d.token, "%s is not in the archive", shown(at))
			}
			if m := r.c.manifest; m != nil && query != "v="+m.version && query != "v="+anything {
				r.found("code.module-version", d.token, "ask for %s?v=%s, or browsers keep the one they have", name, m.version)
			}
		case strings.Contains(d.text, "//"):
			if host := hostOf(d.text); !slices.Contains(publicHosts, host) {
				r.found("code.cdn", d.token, "put what comes from %.64s into the archive", host)
			}
		case strings.Contains(name, anything):
			r.found("code.module", d.token, "name the module: nobody can tell what this asks for")
		case !strings.HasPrefix(d.text, systemLocation) && !slices.Contains(systemModules, d.text) && !slices.Contains([]string{"require", "exports", "module"}, d.text):
			r.found("code.module", d.token, "the CRM has no module %.64q, and the archive's begin with ./", d.text)
		}
	}
}

// moduleFile returns which file of the archive a script means by the name of a module: './a.js?v=1' or, with its
// address before it, path + '/js/a.js'.
func moduleFile(script, module string) (name string, ok bool) {
	name, _, _ = strings.Cut(module, "?")
	rooted, isRooted := strings.CutPrefix(name, anything+"/")
	switch {
	case strings.Contains(strings.TrimPrefix(name, anything), anything), strings.Contains(name, "//"):
		return "", false
	case isRooted:
		return path.Clean(rooted), true
	}
	return path.Join(path.Dir(script), name), strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../")
}

// systemTemplates are those of the CRM.
const systemTemplates = "tmpl/"

// assets finds style sheets and templates that a script asks for and that are not there.
func (r *codeCheck) assets() {
	for _, p := range r.phrases {
		name, _, _ := strings.Cut(strings.TrimPrefix(p.text, anything), "?")
		ext := path.Ext(name)
		name, rooted := strings.CutPrefix(strings.TrimPrefix(name, "."), "/")
		if (ext == ".css" || ext == ".twig") && rooted && !strings.Contains(name, anything) && !strings.HasPrefix(name, "/") &&
			!strings.HasPrefix(name, systemTemplates) && r.c.files[name] == nil {
			r.found("code.file", p.token, "%s is not in the archive", shown(name))
		}
	}
}

// dependencies are the names in define([…]) and require([…]), and in require('…').
func (s *script) dependencies() []phrase {
	var out []phrase
	for i := range s.tokens {
		if !s.isAny(i, "define", "require", "requirejs") || !s.isGlobal(i) {
			continue
		}
		open := s.call(i)
		if open < 0 {
			continue
		}
		for n, arg := range s.arguments(open) {
			if s.kind(arg.from) == js.OpenBracketToken {
				for _, d := range s.arguments(arg.from) {
					out = append(out, phrase{s.sum(d), d.from})
				}
			} else if n == 0 && s.text(i) == "require" && s.isLiteral(arg.from) {
				out = append(out, phrase{s.sum(arg), arg.from})
			}
		}
	}
	return out
}

// checkUse finds what is needed, from script.js on, and what nobody asks for: if all can be read that may ask.
func (c *check) checkUse() {
	if c.manifest == nil || c.scripts["script.js"] == nil || c.unreadable {
		return
	}
	c.files[manifestFile].used, c.files["script.js"].used = true, true
	var texts []string // all that needed files say
	done := map[string]bool{}
	for more := true; more; {
		more = false
		for _, name := range slices.Sorted(maps.Keys(c.files)) {
			if f := c.files[name]; f.used && !done[name] {
				done[name], more = true, true
				said := c.says(f)
				texts = append(texts, said...)
				c.markUsed(f, said)
			}
		}
	}
	for name, f := range c.files {
		if !f.used {
			c.add("archive.unused-file", name, 0, "nothing asks for it: leave it out")
		}
	}
	c.checkTextUse(texts)
}

var quoted = regexp.MustCompile(`"([^"\n]*)"|'([^'\n]*)'|url\(\s*([^)'"\s]+)\s*\)`)

// says returns the texts in a file that may be names of files or of texts.
func (c *check) says(f *file) []string {
	var out []string
	if s := c.scripts[f.name]; s != nil {
		for _, p := range s.phrases {
			out = append(out, p.text)
			if strings.Contains(p.text, "<") { // HTML: what its attributes say
				for _, m := range quoted.FindAllStringSubmatch(p.text, -1) {
					out = append(out, strings.Join(m[1:], ""))
				}
			}
		}
		return out
	}
	switch extension(f.name) {
	case ".css", ".twig", ".html", ".svg":
		for _, m := range quoted.FindAllSubmatch(f.data, -1) {
			out = append(out, string(slices.Concat(m[1:]...)))
		}
	}
	return out
}

// markUsed marks the files that a needed file names: modules by their place, others anywhere in a text.
func (c *check) markUsed(f *file, said []string) {
	if s := c.scripts[f.name]; s != nil {
		for _, d := range s.dependencies() {
			name, _ := moduleFile(f.name, d.text)
			if to := c.files[name]; to != nil {
				to.used = true
			}
		}
	}
	folder := path.Dir(f.name)
	for _, text := range said {
		name, query, versioned := strings.Cut(text, "?")
		ext := path.Ext(name)
		if ext == "" || strings.Contains(ext, anything) || extension(name) == ".js" {
			continue
		}
		for _, way := range []string{strings.TrimLeft(name, "*/."), path.Join(folder, name)} {
			c.markNamed(f, way, text, versioned && strings.HasPrefix(query, "v="))
		}
		if stem, _, found := strings.Cut(name, anything); found && stem == "" {
			c.markNamed(f, "*"+strings.TrimLeft(name, "*/"), text, versioned && strings.HasPrefix(query, "v="))
		}
	}
}

func (c *check) markNamed(by *file, pattern, text string, versioned bool) {
	match := globOf(pattern)
	for name, f := range c.files {
		if extension(name) != path.Ext(strings.ToLower(pattern)) || extension(name) == ".js" || !match(name) {
			continue
		}
		f.used = true
		if s := c.scripts[by.name]; s != nil && extension(name) == ".css" && !versioned && !s.addsVersion() {
			c.add("code.module-version", by.name, lineOf(by.data, strings.Index(string(by.data), path.Base(name))), "ask for %s with ?v= and the version, or browsers keep the one they have (%.64s)", name, text)
		}
	}
}

// addsVersion tells whether a script makes addresses with a version from parts.
func (s *script) addsVersion() bool {
	return slices.ContainsFunc(s.phrases, func(p phrase) bool { return strings.HasPrefix(p.text, anything) && strings.Contains(p.text, "?v=") })
}

// globOf returns what tells whether a name fits a pattern whose * is any text.
func globOf(pattern string) func(string) bool {
	parts := strings.Split(pattern, anything)
	return func(s string) bool {
		if len(parts) == 1 {
			return s == pattern
		}
		rest, ok := strings.CutPrefix(s, parts[0])
		for _, part := range parts[1 : len(parts)-1] {
			if !ok {
				return false
			}
			_, rest, ok = strings.Cut(rest, part)
		}
		return ok && strings.HasSuffix(rest, parts[len(parts)-1])
	}
}

// checkTextUse finds texts that are asked for and missing, and texts that nobody asks for.
func (c *check) checkTextUse(said []string) {
	langs := slices.Sorted(maps.Keys(c.texts))
	if len(langs) == 0 {
		return
	}
	for name, s := range c.scripts {
		if c.files[name].used {
			c.checkAsked(s, langs)
		}
	}
	used := c.knownTexts()
	var patterns []func(string) bool
	for _, text := range said {
		text = strings.TrimPrefix(text, anything)
		switch {
		case pathForm.MatchString(text):
			used[text] = true
		case groupForm.MatchString(text) && len(patterns) < maxGroups:
			patterns = append(patterns, globOf(strings.TrimSuffix(text, anything)+anything))
		}
	}
	for _, lang := range langs {
		for key, n := range c.texts[lang] {
			if used[key] || strings.HasPrefix(key, "widget.") || slices.ContainsFunc(patterns, func(fits func(string) bool) bool { return fits(key) }) {
				continue
			}
			c.add("i18n.unused", "i18n/"+lang+".json", n.line, "nothing asks for %s: leave it out", shown(key))
		}
	}
}

// groupForm is the beginning of a path, or a path with parts that are known only when the script runs.
var groupForm = regexp.MustCompile(`^[A-Za-z]\w*\.([\w.]*\.)?$|^[A-Za-z]\w*\.[\w.]*\*[\w.*]*$`)

// checkAsked finds the texts that a script asks for by name and that a language does not have.
func (c *check) checkAsked(s *script, langs []string) {
	for i := range s.tokens {
		open := -1
		if s.isName(i) && s.isAny(i, "t", "i18n") && !c.enough("i18n.missing", s.file.name) {
			open = s.call(i)
		}
		if open < 0 || !s.isLiteral(open+1) || s.kind(open+2) != js.CommaToken && s.kind(open+2) != js.CloseParenToken || !pathForm.MatchString(s.literal(open+1)) {
			continue
		}
		key := s.literal(open + 1)
		for _, lang := range langs {
			if c.texts[lang][key] == nil && !hasGroup(c.texts[lang], key) {
				c.add("i18n.missing", s.file.name, s.file.lineOf(s.tokens[i].at), "i18n/%s.json has no %s", lang, key)
			}
		}
	}
}

func hasGroup(texts dictionary, path string) bool {
	for key := range texts {
		if strings.HasPrefix(key, path+".") {
			return true
		}
	}
	return false
}
