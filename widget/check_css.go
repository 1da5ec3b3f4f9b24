package widget

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// selector is one selector of a style sheet: what stands between commas.
type selector struct {
	classes []string // all of them
	first   []string // those before the first space or sign
	text    string
	line    int
}

// sheet is a style sheet, read.
type sheet struct {
	file      *file
	selectors []selector
	names     []phraseAt // of animations
	imports   []phraseAt
	addresses []phraseAt
	nested    int // at-rules in @keyframes, it included
	depth     int // rules in rules
}

// phraseAt is a text and its line.
type phraseAt struct {
	text string
	line int
}

var stemForm = regexp.MustCompile(`^[a-zA-Z0-9]+`)

func (c *check) checkStyles() {
	var sheets []*sheet
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		if extension(name) != ".css" {
			continue
		}
		f := c.files[name]
		s, err := readSheet(f)
		if err != nil {
			line, reason := syntaxError(err)
			c.add("css.syntax", name, line, "%s", reason)
		}
		sheets = append(sheets, s)
		if m := markupLine(f.data); m != 0 {
			c.add("code.minified", name, m, "the line has more than %d characters: pack the source as it was written", maxLine)
		}
	}
	own := stemOf(sheets)
	for _, s := range sheets {
		c.checkSheet(s, own)
	}
}

func markupLine(data []byte) int {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if len(line) > maxLine {
			return i + 1
		}
	}
	return 0
}

// stemOf finds out what the widget's own classes begin with: what most selectors do, up to the first dash or
// underscore.
func stemOf(sheets []*sheet) string {
	count := map[string]int{}
	for _, s := range sheets {
		for _, sel := range s.selectors {
			for _, class := range sel.first {
				count[stemForm.FindString(class)]++
			}
		}
	}
	best := ""
	for _, stem := range slices.Sorted(maps.Keys(count)) {
		if count[stem] > count[best] {
			best = stem
		}
	}
	return best
}

func (c *check) checkSheet(s *sheet, own string) {
	name := s.file.name
	for _, sel := range s.selectors {
		if !slices.ContainsFunc(sel.first, func(class string) bool { return isOwn(class, own) }) {
			c.add("css.global-selector", name, sel.line, "%.64q reaches beyond the widget: begin it with a class of the widget's own", sel.text)
		}
		for _, class := range sel.classes {
			if class == "switcher" || strings.HasPrefix(class, "switcher_") || strings.HasPrefix(class, "switcher-") {
				c.add("css.switcher", name, sel.line, "%.64q restyles the system's switcher: leave it, or draw one of your own", sel.text)
			}
		}
	}
	for _, n := range s.names {
		if !isOwn(n.text, own) {
			c.add("css.keyframes", name, n.line, "%.64q may be the CRM's, too: let it begin with %s", n.text, own)
		}
	}
	for _, n := range s.imports {
		c.add("css.import", name, n.line, "link the style sheet beside this one")
	}
	for _, n := range s.addresses {
		if u := strings.ToLower(n.text); strings.HasPrefix(u, "http:") || strings.HasPrefix(u, "https:") || strings.HasPrefix(u, "//") {
			if host := hostOf(n.text); !slices.Contains(publicHosts, host) {
				c.add("code.cdn", name, n.line, "put what comes from %.64s into the archive", host)
			}
		}
	}
}

func hostOf(address string) string {
	_, rest, _ := strings.Cut(address, "//")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func isOwn(name, own string) bool { return own != "" && stemForm.FindString(name) == own }

// readSheet reads a style sheet as far as it can be read.
func readSheet(f *file) (*sheet, error) {
	s := &sheet{file: f}
	p := css.NewParser(parse.NewInputBytes(slices.Clone(f.data)), false)
	var flawed error
	for {
		kind, _, data := p.Next()
		line := -1
		at := func() int {
			if line < 0 {
				line = f.lineOf(p.Offset())
			}
			return line
		}
		switch kind {
		case css.ErrorGrammar:
			err := p.Err()
			if errors.Is(err, io.EOF) && !p.HasParseError() {
				return s, flawed
			}
			if flawed == nil {
				flawed = err
			}
			if !p.HasParseError() {
				return s, flawed
			}
		case css.BeginAtRuleGrammar, css.AtRuleGrammar:
			s.atRule(kind, string(data), p.Values(), at())
		case css.EndAtRuleGrammar:
			s.nested = max(0, s.nested-1)
		case css.BeginRulesetGrammar, css.QualifiedRuleGrammar:
			if s.nested == 0 && s.depth == 0 { // what stands in another rule reaches no farther than that
				s.addSelectors(p.Values(), at())
			}
			if kind == css.BeginRulesetGrammar {
				s.depth++
			}
		case css.EndRulesetGrammar:
			s.depth = max(0, s.depth-1)
		case css.DeclarationGrammar, css.CustomPropertyGrammar:
			s.urls(p.Values(), at)
		}
	}
}

func (s *sheet) atRule(kind css.GrammarType, name string, values []css.Token, line int) {
	name = strings.ToLower(name)
	if s.nested > 0 && kind == css.BeginAtRuleGrammar {
		s.nested++
		return
	}
	text := ""
	for _, v := range values {
		if v.TokenType == css.IdentToken || v.TokenType == css.StringToken {
			text = strings.Trim(string(v.Data), `"'`)
			break
		}
	}
	switch {
	case strings.HasSuffix(name, "keyframes"):
		s.names = append(s.names, phraseAt{text, line})
		s.nested = 1
	case name == "@import":
		s.imports = append(s.imports, phraseAt{text, line})
	}
}

// urls collects the addresses of a declaration.
func (s *sheet) urls(values []css.Token, line func() int) {
	for i, v := range values {
		text := string(v.Data)
		switch {
		case v.TokenType == css.URLToken:
			text = strings.Trim(strings.TrimSuffix(text[len("url("):], ")"), " \t\n\"'")
		case v.TokenType == css.StringToken && i > 0 && values[i-1].TokenType == css.FunctionToken && strings.EqualFold(string(values[i-1].Data), "url("):
			text = strings.Trim(text, `"'`)
		default:
			continue
		}
		s.addresses = append(s.addresses, phraseAt{text, line()})
	}
}

// addSelectors takes apart what commas separate.
func (s *sheet) addSelectors(values []css.Token, line int) {
	depth, from := 0, 0
	for i, v := range values {
		switch v.TokenType {
		case css.FunctionToken, css.LeftParenthesisToken, css.LeftBracketToken:
			depth++
		case css.RightParenthesisToken, css.RightBracketToken:
			depth--
		case css.CommaToken:
			if depth == 0 {
				s.selectors = append(s.selectors, newSelector(values[from:i], line))
				from = i + 1
			}
		}
	}
	s.selectors = append(s.selectors, newSelector(values[from:], line))
}

func newSelector(values []css.Token, line int) selector {
	s := selector{line: line}
	var text strings.Builder
	first, depth := true, 0
	for i, v := range values {
		text.Write(v.Data)
		switch {
		case v.TokenType == css.FunctionToken || v.TokenType == css.LeftParenthesisToken:
			depth++
		case v.TokenType == css.RightParenthesisToken:
			depth--
		case depth == 0 && text.Len() > len(v.Data) && (v.TokenType == css.WhitespaceToken || isCombinator(v)):
			first = false
		case v.TokenType == css.IdentToken && i > 0 && string(values[i-1].Data) == ".":
			s.classes = append(s.classes, string(v.Data))
			if first && depth == 0 {
				s.first = append(s.first, string(v.Data))
			}
		}
	}
	s.text = strings.TrimSpace(text.String())
	return s
}

func isCombinator(v css.Token) bool {
	return v.TokenType == css.DelimToken && (string(v.Data) == ">" || string(v.Data) == "+" || string(v.Data) == "~")
}

// checkTemplates is about twig and HTML.
func (c *check) checkTemplates() {
	comment := regexp.MustCompile(`(?s)\{#.*?#\}|<!--.*?-->`)
	for name, f := range c.files {
		switch extension(name) {
		case ".twig", ".html", ".htm", ".svg":
		default:
			continue
		}
		html := comment.ReplaceAllFunc(f.data, func(m []byte) []byte { return bytes.Repeat([]byte("\n"), bytes.Count(m, []byte("\n"))) })
		for _, m := range markupIn(string(html)) {
			if m.rule == "css.injected" && extension(name) == ".svg" {
				continue
			}
			c.add(m.rule, name, lineOf(html, m.offset), "%s", m.text)
		}
		for _, m := range quoted.FindAllSubmatchIndex(html, -1) {
			if host := foreign(string(html[m[0]:m[1]])); host != "" {
				c.add("code.cdn", name, lineOf(html, m[0]), "put what comes from %.64s into the archive", host)
			}
		}
		if line := markupLine(f.data); line != 0 {
			c.add("code.minified", name, line, "the line has more than %d characters: break it", maxLine)
		}
	}
}
