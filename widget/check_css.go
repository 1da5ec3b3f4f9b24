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
	parts   []part
	text    string
	line    int
	nested  bool // it stands in another rule, and under what that one selects
}

// part is what a selector has between spaces and signs.
type part struct {
	sign   string   // what is before it: "" (a space), >, + or ~
	names  []string // classes and ids, not those in functions
	parent bool     // it has an &
	isPage bool     // it is what all of the page stands in, in a theme perhaps: body, [data-theme=dark]
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
	within    int // blocks that the parser leaves unread
}

// phraseAt is a text and its line.
type phraseAt struct {
	text string
	line int
}

var (
	stemForm  = regexp.MustCompile(`^[a-zA-Z0-9]+`)
	themeForm = regexp.MustCompile(`(?i)theme|dark|light`)
	unread    = regexp.MustCompile(`(?i)^@(container|scope|starting-style)$`) // by the parser

	// crmStems are what the CRM's own classes begin with.
	crmStems = []string{"amo", "amocrm", "avatar", "block", "body", "box", "btn", "button", "card", "chat", "checkbox", "company", "contact", "content", "control",
		"controls", "custom", "customer", "dark", "date", "dropdown", "feed", "field", "filter", "footer", "form", "header", "icon", "inbox", "input", "item", "js",
		"kommo", "lead", "left", "light", "link", "linked", "list", "loader", "main", "menu", "modal", "nav", "note", "notes", "notification", "notifications", "page",
		"pipeline", "popup", "right", "row", "search", "select", "settings", "sidebar", "spinner", "svg", "switcher", "tab", "table", "tabs", "tag", "task", "tasks",
		"text", "textarea", "theme", "tip", "toolbar", "tooltip", "user", "users", "widget", "widgets", "wrapper"}
)

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
		c.checkLines(f)
	}
	own := stemOf(sheets)
	for _, s := range sheets {
		c.checkSheet(s, own)
	}
}

// stemOf finds out what the widget's own classes begin with: what most selectors do, up to the first dash or
// underscore, unless the CRM's do.
func stemOf(sheets []*sheet) string {
	count := map[string]int{}
	for _, s := range sheets {
		for _, sel := range s.selectors {
			for _, name := range sel.parts[0].names {
				if stem := stemForm.FindString(name); !sel.nested && !slices.Contains(crmStems, strings.ToLower(stem)) {
					count[stem]++
				}
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
		if !sel.staysIn(own) {
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

// isOwn tells whether a name begins with the widget's own stem: acme, acme-card, acmeCard.
func isOwn(name, own string) bool {
	rest, ok := strings.CutPrefix(name, own)
	return ok && own != "" && (rest == "" || rest[0] == '-' || rest[0] == '_' || 'A' <= rest[0] && rest[0] <= 'Z')
}

// staysIn tells whether all that a selector fits is the widget's own, or stands in it.
func (s selector) staysIn(own string) bool {
	found := s.nested && !strings.Contains(s.text, "&")
	inside := false
	for _, p := range s.parts {
		is := p.parent || slices.ContainsFunc(p.names, func(name string) bool { return isOwn(name, own) })
		switch {
		case !found && !is && !p.isPage:
			return false
		case !found:
			found = is
		case p.sign == "+" || p.sign == "~":
			if !inside && !is { // what is beside the widget
				return false
			}
		default:
			inside = true
		}
	}
	return found
}

// readSheet reads a style sheet as far as it can be read.
func readSheet(f *file) (*sheet, error) {
	s := &sheet{file: f}
	return s, s.read(f.data, 1)
}

const maxUnread = 8 // blocks in each other that the parser leaves unread

// read reads a text that begins on a line.
func (s *sheet) read(data []byte, from int) error {
	p := css.NewParser(parse.NewInputBytes(slices.Clone(data)), false)
	var flawed error
	var block []byte // what the parser leaves unread
	blockAt := -1    // its line; -1: it reads all
	for {
		kind, _, text := p.Next()
		line := -1
		at := func() int {
			if line < 0 {
				line = from - 1 + lineOf(data, p.Offset())
			}
			return line
		}
		switch kind {
		case css.ErrorGrammar:
			err := p.Err()
			if errors.Is(err, io.EOF) && !p.HasParseError() {
				return flawed
			}
			if flawed == nil {
				flawed = err
			}
			if !p.HasParseError() {
				return flawed
			}
		case css.BeginAtRuleGrammar, css.AtRuleGrammar:
			s.atRule(kind, string(text), p.Values(), at())
			if kind == css.BeginAtRuleGrammar && unread.Match(text) {
				block, blockAt = nil, at()
			}
		case css.TokenGrammar:
			block = append(block, text...)
		case css.EndAtRuleGrammar:
			s.nested = max(0, s.nested-1)
			if blockAt > 0 && s.within < maxUnread {
				s.within++
				if err := s.read(block, blockAt); err != nil && flawed == nil {
					flawed = err
				}
				s.within--
			} else if blockAt > 0 && flawed == nil {
				flawed = &flawError{line: blockAt, err: errors.New("it is too deep")}
			}
			blockAt = -1
		case css.BeginRulesetGrammar, css.QualifiedRuleGrammar:
			if s.nested == 0 {
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
				s.selectors = append(s.selectors, newSelector(values[from:i], line, s.depth > 0))
				from = i + 1
			}
		}
	}
	s.selectors = append(s.selectors, newSelector(values[from:], line, s.depth > 0))
}

func newSelector(values []css.Token, line int, nested bool) selector {
	s := selector{line: line, nested: nested}
	var text strings.Builder
	now, begun, depth := part{isPage: true}, false, 0
	end := func() {
		if begun {
			s.parts = append(s.parts, now)
			now, begun = part{isPage: true}, false
		}
	}
	for i, v := range values {
		text.Write(v.Data)
		word := string(v.Data)
		switch {
		case v.TokenType == css.FunctionToken || v.TokenType == css.LeftParenthesisToken || v.TokenType == css.LeftBracketToken:
			depth++
			begun = true
		case v.TokenType == css.RightParenthesisToken || v.TokenType == css.RightBracketToken:
			depth--
		case v.TokenType == css.IdentToken && i > 0 && string(values[i-1].Data) == ".":
			s.classes = append(s.classes, word)
			if depth == 0 {
				now.names = append(now.names, word)
				now.isPage = now.isPage && themeForm.MatchString(word)
			}
		case depth > 0:
		case v.TokenType == css.WhitespaceToken:
			end()
		case v.TokenType == css.DelimToken && (word == ">" || word == "+" || word == "~"):
			end()
			now.sign = word
		case v.TokenType == css.HashToken:
			now.names = append(now.names, word[1:])
			now.isPage, begun = now.isPage && themeForm.MatchString(word), true
		default:
			now.parent = now.parent || word == "&"
			isElement := v.TokenType == css.IdentToken && (i == 0 || string(values[i-1].Data) != ":") || word == "*"
			now.isPage, begun = now.isPage && (!isElement || word == "html" || word == "body"), true
		}
	}
	end()
	if len(s.parts) == 0 {
		s.parts = []part{{}}
	}
	s.text = strings.TrimSpace(text.String())
	return s
}

var (
	rawFilter       = regexp.MustCompile(`\|\s*raw\b|\{%-?\s*autoescape\s+false`) // what keeps twig from escaping
	templateComment = regexp.MustCompile(`(?s)\{#.*?#\}|<!--.*?-->`)
)

// checkTemplates is about twig and HTML.
func (c *check) checkTemplates() {
	for name, f := range c.files {
		switch extension(name) {
		case ".twig", ".html", ".htm", ".svg":
		default:
			continue
		}
		html := templateComment.ReplaceAllFunc(f.data, func(m []byte) []byte { return bytes.Repeat([]byte("\n"), bytes.Count(m, []byte("\n"))) })
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
		if at := rawFilter.FindIndex(html); at != nil && extension(name) == ".twig" {
			c.add("markup.raw", name, lineOf(html, at[0]), "%s shows text as HTML, whoever wrote it: be sure who did", html[at[0]:at[1]])
		}
		c.checkLines(f)
	}
}
