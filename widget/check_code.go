package widget

import (
	"bytes"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tdewolff/parse/v2/js"
)

// What code looks like that nobody wrote.
const (
	maxLine        = 500 // characters
	maxLineTokens  = 40  // names and signs, on average, of a file of more than minTokens
	minTokens      = 100
	maxEscapes     = 20 // \x41 in texts
	shortNames     = 80 // per cent of a file's names that have one letter
	minNames       = 200
	maxNamesakes   = 50     // functions of one name that are told apart
	systemLocation = "lib/" // the CRM's own modules
)

var (
	systemModules = []string{"jquery", "underscore", "backbone", "twigjs", "moment", "pubsub", "store", "clipboard",
		"google-libphonenumber", "intl_tel_input", "js-uuid", "chartjs", "quill"}
	publicHosts = []string{"code.jquery.com", "ajax.googleapis.com", "fonts.googleapis.com", "fonts.gstatic.com", "www.gstatic.com",
		"apis.google.com", "maps.googleapis.com", "ajax.aspnetcdn.com", "ajax.microsoft.com"}

	obfuscated   = regexp.MustCompile(`^_0x[0-9a-f]{3,}$`)
	hexEscape    = regexp.MustCompile(`\\x[0-9a-fA-F]{2}`)
	localAddress = regexp.MustCompile(`(?i)\b(https?|wss?)://(localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0)\b`)
	installer    = regexp.MustCompile(`(?i)(un)?install`)
	httpMethod   = regexp.MustCompile(`(?i)^(get|post|put|patch|delete|head|options)$`)
	// dataForm is what nobody reads: what a data: address has, and the path of a drawing.
	dataForm = regexp.MustCompile(`data:[\w/+.-]+[;,][\w/+=;,%.:-]*|\bd=\\?["'][MLHVCSQTAZmlhvcsqtaz0-9\s,.-]*`)
	oldKey   = regexp.MustCompile(`(?i)USER_HASH|#API_HASH#`)
)

func (c *check) readScripts() {
	c.scripts = map[string]*script{}
	for name, f := range c.files {
		if extension(name) != ".js" {
			continue
		}
		s, err := newScript(f)
		if err != nil {
			line, reason := syntaxError(err)
			c.add("code.syntax", name, line, "%s", reason)
			c.unreadable = true
			continue
		}
		c.scripts[name] = s
	}
}

// dials tells whether the widget takes clicks on telephone numbers.
func (c *check) dials() bool {
	for _, s := range c.scripts {
		for i := range s.tokens {
			if s.isAny(i, "add_action") && s.call(i) > 0 && s.literal(i+2) == "phone" {
				return true
			}
		}
	}
	return false
}

func (c *check) checkScripts() {
	for name, s := range c.scripts {
		r := &codeCheck{script: s, c: c, name: name, aliases: map[string]bool{}}
		r.minified()
		for i := range s.tokens {
			r.at(i)
		}
		r.requests()
		r.literals()
		r.modules()
		r.assets()
	}
	if s := c.scripts["script.js"]; s != nil {
		(&codeCheck{script: s, c: c, name: "script.js"}).entry()
	}
}

// codeCheck holds one script against the rules.
type codeCheck struct {
	*script
	c       *check
	name    string
	aliases map[string]bool // variables that are the CRM's object
}

func (r *codeCheck) found(rule string, i int, format string, args ...any) {
	line := 0
	if i < len(r.tokens) && i > 0 && !r.c.enough(rule, r.name) {
		line = r.file.lineOf(r.tokens[i].at)
	}
	r.c.add(rule, r.name, line, format, args...)
}

// at looks at one token.
func (r *codeCheck) at(i int) {
	if !r.isName(i) {
		r.quoted(i)
		return
	}
	switch r.text(i) {
	case "console":
		if (r.isGlobal(i) || r.isTakenOut(i)) && !(r.isMember(i+2) && r.isAny(i+2, "trace") && r.caught(i)) {
			r.found("code.console", i, "take it out; only console.trace may stand where something was caught")
		}
	case "debugger":
		if r.kind(i) == js.DebuggerToken {
			r.found("code.leftover", i, "take the debugger statement out")
		}
	case "alert":
		if r.isGlobal(i) && r.call(i) >= 0 {
			r.found("code.leftover", i, "alert stops the CRM's page: show a message in it")
		}
	case "eval", "execScript":
		if r.isGlobal(i) || r.isTakenOut(i) {
			r.found("code.eval", i, "do without %s", r.text(i))
		}
	case "globalEval":
		r.found("code.eval", i, "do without globalEval")
	case "Function":
		if r.isGlobal(i) && (r.call(i) >= 0 || r.isAny(i-1, "new")) {
			r.found("code.eval", i, "do not make functions of text")
		}
	case "setTimeout", "setInterval", "setImmediate":
		if open := r.call(i); open >= 0 && (r.isLiteral(open+1) || r.kind(open+1) == js.TemplateStartToken) {
			r.found("code.eval", i, "hand %s a function, not text", r.text(i))
		}
	case "APP", "AMOCRM":
		r.appWrite(i)
		if start := i; r.isGlobal(i) {
			if r.isMember(i) {
				start = i - 2
			}
			if r.kind(start-1) == js.EqToken && r.isAny(start-3, "const", "let", "var") && !r.isMember(i+2) {
				r.aliases[r.text(start-2)] = true
			}
		}
	case "dataType":
		if r.kind(i+1) == js.ColonToken && r.literal(i+2) == "script" {
			r.found("code.createElement-script", i, "name what is needed in define")
		}
	case "Worker", "SharedWorker":
		if r.isGlobal(i) && r.isAny(i-1, "new") {
			r.found("code.createElement-script", i, "do without a %s: nobody sees what it runs", r.text(i))
		}
	case "amohash", "api_key", "API_HASH":
		r.found("code.oauth", i, "%s was for the API before OAuth: send the token of $authorizedAjax", r.text(i))
	default:
		if r.aliases[r.text(i)] {
			r.appWrite(i)
		}
		r.elements(i)
		r.synchronous(i)
	}
}

// quoted looks at a name that is written as a text: window['eval'], 'async': false.
func (r *codeCheck) quoted(i int) {
	switch name := r.literal(i); {
	case name == "async":
		r.synchronous(i)
	case r.kind(i-1) != js.OpenBracketToken || !r.isAny(i-2, "window", "globalThis", "self", "top"):
	case name == "eval" || name == "Function" || name == "execScript":
		r.found("code.eval", i, "do without %s", name)
	case name == "console":
		r.found("code.console", i, "take it out")
	}
}

// caught tells whether a token stands where something was caught: in catch {…}, .catch(…), .fail(…), or in the second
// function of .then(…).
func (r *codeCheck) caught(i int) bool {
	if r.catches == nil {
		r.catches = r.findCatches()
	}
	return r.catches[i] >= 0
}

func (s *script) findCatches() []int {
	var out []span
	named := map[string][]span{}
	for _, b := range s.bodies {
		named[b.name] = append(named[b.name], b.span)
	}
	take := func(arg span) { // a function, or the name of one
		name := s.text(arg.to - 1)
		out = append(append(out, arg), named[name]...)
		delete(named, name)
	}
	for i := range s.tokens {
		open := s.call(i)
		switch {
		case s.isAny(i, "catch") && !s.isMember(i) && s.kind(i+1) == js.OpenBraceToken:
			out = append(out, span{i + 1, s.end(i + 1)})
		case s.isAny(i, "catch") && !s.isMember(i) && s.kind(i+1) == js.OpenParenToken:
			out = append(out, s.block(s.end(i+1)+1))
		case s.isAny(i, "catch", "fail") && s.isMember(i) && open >= 0:
			for _, arg := range s.arguments(open) {
				take(arg)
			}
		case s.isAny(i, "then") && s.isMember(i) && open >= 0:
			if args := s.arguments(open); len(args) > 1 {
				take(args[1])
			}
		case s.isAny(i, "addEventListener", "on") && open >= 0 && (s.literal(open+1) == "error" || s.literal(open+1) == "unhandledrejection"):
			out = append(out, span{open, s.end(open)})
		case s.isAny(i, "onRejected", "error", "onerror"):
			if of, ok := s.bodyOf(i); ok {
				out = append(out, of)
			}
		}
	}
	return s.innermost(out)
}

// appWrite finds what changes the CRM's object.
func (r *codeCheck) appWrite(i int) {
	if !r.isGlobal(i) {
		return
	}
	start := i
	if r.isMember(i) {
		start = i - 2
	}
	end := i + 1
	for {
		switch {
		case (r.kind(end) == js.DotToken || r.kind(end) == js.OptChainToken) && r.isName(end+1):
			end += 2
		case r.kind(end) == js.OpenBracketToken, r.kind(end) == js.OpenParenToken && r.isName(end-1) && end > i+1:
			end = r.end(end) + 1
		default:
			wrote := isAssignment(r.kind(end)) && (end > i+1 || r.isMember(i)) ||
				r.kind(end) == js.IncrToken || r.kind(end) == js.DecrToken || r.isAny(start-1, "delete", "++", "--") ||
				r.isAny(start-2, "assign", "defineProperty", "defineProperties", "setPrototypeOf", "extend") && r.kind(start-1) == js.OpenParenToken ||
				r.isAny(start-4, "extend") && r.isAny(start-2, "true")
			if wrote {
				r.found("code.app-write", i, "leave the CRM's object as it is: it is only to be read")
			}
			return
		}
	}
}

func isAssignment(kind js.TokenType) bool {
	switch kind {
	case js.EqToken, js.AddEqToken, js.SubEqToken, js.MulEqToken, js.DivEqToken, js.ModEqToken, js.ExpEqToken, js.AndEqToken, js.OrEqToken, js.NullishEqToken,
		js.BitAndEqToken, js.BitOrEqToken, js.BitXorEqToken, js.LtLtEqToken, js.GtGtEqToken, js.GtGtGtEqToken:
		return true
	}
	return false
}

// elements finds what puts scripts and styles into the page.
func (r *codeCheck) elements(i int) {
	open := r.call(i)
	if open < 0 {
		return
	}
	arg := strings.ToLower(r.literal(open + 1))
	switch r.text(i) {
	case "createElement", "createElementNS":
		for _, a := range r.arguments(open) {
			switch strings.ToLower(r.literal(a.to - 1)) {
			case "script":
				r.found("code.createElement-script", i, "name what is needed in define")
			case "style":
				r.found("css.injected", i, "put the styles into a style sheet of the archive")
			}
		}
	case "getScript", "importScripts", "import":
		if r.isAny(i, "import") && r.isMember(i) {
			return
		}
		r.found("code.createElement-script", i, "name what is needed in define, not in %s", r.text(i))
	case "write", "writeln":
		if r.isMember(i) && r.isAny(i-2, "document") {
			r.found("code.createElement-script", i, "put elements into the page, not text")
		}
	case "insertRule", "addRule":
		r.found("css.injected", i, "put the styles into a style sheet of the archive")
	case "click", "trigger", "triggerHandler":
		if r.text(i) == "click" && open+1 != r.end(open) || r.text(i) != "click" && arg != "click" {
			return
		}
		if i > 2 && r.kind(i-2) == js.CloseParenToken && installer.MatchString(r.literal(i-3)) {
			r.found("code.simulated-click", i, "let the user install and uninstall the widget")
		}
	}
}

// synchronous finds requests that stop the page.
func (r *codeCheck) synchronous(i int) {
	switch strings.Trim(r.text(i), "\"'`") {
	case "async":
		value := i + 1
		if r.kind(value) == js.CloseBracketToken {
			value++
		}
		if (r.kind(value) == js.ColonToken || r.kind(value) == js.EqToken) && r.isFalse(value+1) {
			r.found("code.sync-ajax", i, "do not wait: take the answer when it comes")
		}
	case "open":
		if open := r.call(i); open >= 0 && r.isMember(i) {
			args := r.arguments(open)
			if len(args) > 2 && r.isFalse(args[2].from) && (httpMethod.MatchString(r.literal(args[0].from)) || r.isAny(args[0].from, "method", "type", "verb")) {
				r.found("code.sync-ajax", i, "do not wait: take the answer when it comes")
			}
		}
	}
}

func (r *codeCheck) isFalse(i int) bool {
	return r.isAny(i, "false", "0") || r.isAny(i, "!") && r.isAny(i+1, "1")
}

// isTakenOut tells whether a key is taken out of the page's own object: const { console: c } = window.
func (r *codeCheck) isTakenOut(i int) bool {
	const farthest = 40 // tokens
	if r.kind(i+1) != js.ColonToken {
		return false
	}
	for n := i; n < i+farthest && n < len(r.tokens); n++ {
		if r.kind(n) == js.CloseBraceToken {
			return r.kind(n+1) == js.EqToken && r.isAny(n+2, "window", "globalThis")
		}
		n = r.skip(n)
	}
	return false
}

// literals looks at the texts of a script.
func (r *codeCheck) literals() {
	escapes := 0
	for i := range r.tokens {
		switch r.kind(i) {
		case js.StringToken, js.TemplateToken, js.TemplateStartToken, js.TemplateMiddleToken, js.TemplateEndToken:
		default:
			continue
		}
		text := r.text(i)
		escapes += len(hexEscape.FindAllString(text, -1))
		for _, m := range markupIn(text) {
			rule := m.rule
			if rule == "markup.script" {
				rule = "code.createElement-script"
			}
			r.found(rule, i, "%s", m.text)
		}
		if at := localAddress.FindString(text); at != "" {
			r.found("code.local-address", i, "%s is on a developer's machine", at)
		}
		if oldKey.MatchString(text) {
			r.found("code.oauth", i, "the API key of old is gone: send the token of $authorizedAjax")
		}
		if host := foreign(text); host != "" {
			r.found("code.cdn", i, "put what comes from %.64s into the archive", host)
		}
	}
	if escapes > maxEscapes {
		r.found("code.minified", 0, "its texts are written in %d escapes: write them as they are read", escapes)
	}
}

// foreign returns the host of a script or a style sheet elsewhere, "" if that is none, or one that may be used.
func foreign(text string) string {
	text = strings.Trim(text, "\"'`")
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "//") {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	if ext := path.Ext(u.Path); ext != ".js" && ext != ".mjs" && ext != ".css" || slices.Contains(publicHosts, u.Hostname()) {
		return ""
	}
	return u.Host
}

// minified finds code that is not written to be read.
func (r *codeCheck) minified() {
	data := r.file.data
	names, short, words := 0, 0, 0
	for i, t := range r.tokens {
		if !r.isOfTable(i) {
			words++
		}
		if !js.IsIdentifier(t.kind) || r.isMember(i) {
			continue
		}
		names++
		if len(t.text) == 1 && t.text != "$" && t.text != "_" {
			short++
		}
		if obfuscated.MatchString(t.text) || strings.Contains(t.text, `\`) {
			r.found("code.minified", i, "%.32s is no name that somebody gave: pack the source", t.text)
			return
		}
	}
	lines := 1 + bytes.Count(data, []byte("\n"))
	switch {
	case strings.Contains(r.name, ".min."):
		r.found("code.minified", 0, "pack the source as it was written")
	case words > minTokens && words/lines > maxLineTokens:
		r.found("code.minified", 0, "it has %d names and signs on a line: pack the source as it was written", words/lines)
	case names > minNames && short*100/names > shortNames:
		r.found("code.minified", 0, "%d of %d names have one letter: pack the source as it was written", short, names)
	default:
		r.c.checkLines(r.file)
	}
}

// checkLines finds the first line that is too long for somebody to have written it.
func (c *check) checkLines(f *file) {
	for i, line := range bytes.Split(f.data, []byte("\n")) {
		if n := lengthOf(line); n > maxLine {
			c.add("code.minified", f.name, i+1, "the line has %d characters: break it, %d are enough", n, maxLine)
			return
		}
	}
}

// lengthOf returns how many characters of a line there are to read.
func lengthOf(line []byte) int {
	if len(line) > maxLine {
		line = dataForm.ReplaceAll(line, nil)
	}
	return utf8.RuneCount(line)
}

// isOfTable tells whether a token is what tables of data consist of: a text, a number, or what stands behind one.
func (r *codeCheck) isOfTable(i int) bool {
	isValue := func(i int) bool { return r.isLiteral(i) || js.IsNumeric(r.kind(i)) }
	isSign := func(i int) bool {
		return r.kind(i) == js.CommaToken || r.kind(i) == js.OpenBracketToken || r.kind(i) == js.CloseBracketToken
	}
	return isValue(i) || isSign(i) && (isValue(i-1) || isSign(i-1))
}
