package widget

import (
	"bytes"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// What code looks like that nobody wrote.
const (
	maxLine        = 500 // characters
	maxLineTokens  = 40  // on average, of a file of more than minTokens
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
	callbacks = []string{"render", "init", "bind_actions", "settings", "onSave", "destroy"}

	obfuscated   = regexp.MustCompile(`^_0x[0-9a-f]{3,}$`)
	hexEscape    = regexp.MustCompile(`\\x[0-9a-fA-F]{2}`)
	localAddress = regexp.MustCompile(`(?i)\b(https?|wss?)://(localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0)\b`)
	installer    = regexp.MustCompile(`(?i)(un)?install`)
	oldKey       = regexp.MustCompile(`(?i)USER_HASH|#API_HASH#`)
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
		r := &codeCheck{script: s, c: c, name: name}
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
	c    *check
	name string
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
		if r.isGlobal(i) && !(r.isMember(i+2) && r.isAny(i+2, "trace") && r.caught(i)) {
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
		if r.isGlobal(i) {
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
	case "amohash", "api_key", "API_HASH":
		r.found("code.oauth", i, "%s was for the API before OAuth: send the token of $authorizedAjax", r.text(i))
	default:
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
	for i := range s.tokens {
		switch {
		case s.isAny(i, "catch") && !s.isMember(i) && s.kind(i+1) == js.OpenBraceToken:
			out = append(out, span{i + 1, s.end(i + 1)})
		case s.isAny(i, "catch") && !s.isMember(i) && s.kind(i+1) == js.OpenParenToken:
			out = append(out, s.block(s.end(i+1)+1))
		case s.isAny(i, "catch", "fail") && s.isMember(i) && s.call(i) >= 0:
			out = append(out, span{s.call(i), s.end(s.call(i))})
		case s.isAny(i, "then") && s.isMember(i) && s.call(i) >= 0:
			if args := s.arguments(s.call(i)); len(args) > 1 {
				out = append(out, args[1])
			}
		case s.isAny(i, "onRejected"):
			for _, b := range s.bodies {
				if b.name == "onRejected" {
					out = append(out, b.span)
				}
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
		case r.kind(end) == js.OpenBracketToken:
			end = r.end(end) + 1
		default:
			wrote := isAssignment(r.kind(end)) && (end > i+1 || r.isMember(i)) ||
				r.kind(end) == js.IncrToken || r.kind(end) == js.DecrToken || r.isAny(start-1, "delete", "++", "--") ||
				r.isAny(start-2, "assign", "defineProperty", "defineProperties", "extend") && r.kind(start-1) == js.OpenParenToken
			if wrote {
				r.found("code.app-write", i, "leave the CRM's object as it is: it is only to be read")
			}
			return
		}
	}
}

func isAssignment(kind js.TokenType) bool {
	switch kind {
	case js.EqToken, js.AddEqToken, js.SubEqToken, js.MulEqToken, js.DivEqToken, js.ModEqToken, js.ExpEqToken, js.AndEqToken, js.OrEqToken, js.NullishEqToken:
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
		value := r.kind(i+1) == js.ColonToken || r.kind(i+1) == js.EqToken
		if value && (r.isAny(i+2, "false") || r.isAny(i+2, "!") && r.isAny(i+3, "1")) {
			r.found("code.sync-ajax", i, "do not wait: take the answer when it comes")
		}
	case "open":
		if open := r.call(i); open >= 0 && r.isMember(i) {
			if args := r.arguments(open); len(args) > 2 && r.isAny(args[2].from, "false") {
				r.found("code.sync-ajax", i, "do not wait: take the answer when it comes")
			}
		}
	}
}

// request tells whether a request is made at a token.
func (r *codeCheck) request(i int) bool {
	switch r.text(i) {
	case "fetch", "ajax", "crm_post", "$authorizedAjax", "getJSON", "sendBeacon":
		return r.call(i) >= 0
	case "get", "post":
		return r.isMember(i) && r.isAny(i-2, "$", "jQuery") && r.call(i) >= 0
	case "XMLHttpRequest":
		return r.isAny(i-1, "new")
	}
	return false
}

// requests finds requests that are made many times: in a loop, or by a function that is called in one.
func (r *codeCheck) requests() {
	g := r.callGraph()
	asks := make([]bool, len(r.bodies))
	for asking := g.asking; len(asking) > 0; asking = asking[1:] {
		if b := asking[0]; !asks[b] {
			asks[b] = true
			asking = append(asking, g.callers[b]...)
		}
	}
	for i := range r.tokens {
		if !r.looped[i] {
			continue
		}
		if r.request(i) {
			r.found("code.request-in-loop", i, "ask once for all, or one after the other as events come")
		} else if b, ok := g.called[i]; ok && asks[b] {
			r.found("code.request-in-loop", i, "%s makes a request: ask once for all, or one after the other as events come", r.text(i))
		}
	}
}

// callGraph is who calls whom among the named functions of a script, which are numbers into its bodies.
type callGraph struct {
	asking  []int         // those that make a request themselves
	callers map[int][]int // who calls a function
	called  map[int]int   // by token: which function is meant
}

func (r *codeCheck) callGraph() callGraph {
	g := callGraph{callers: map[int][]int{}, called: map[int]int{}}
	spans, named := make([]span, len(r.bodies)), map[string][]int{}
	for b, of := range r.bodies {
		spans[b] = of.span
		if len(named[of.name]) < maxNamesakes {
			named[of.name] = append(named[of.name], b)
		}
	}
	inner := r.innermost(spans)
	for i := range r.tokens {
		in := inner[i]
		if r.request(i) {
			if in >= 0 {
				g.asking = append(g.asking, in)
			}
			continue
		}
		if len(named[r.text(i)]) == 0 || !r.isName(i) || r.call(i) < 0 && !r.isHanded(i) {
			continue
		}
		b := r.meant(i, named[r.text(i)], inner)
		if b < 0 {
			continue
		}
		g.called[i] = b
		if in >= 0 {
			g.callers[b] = append(g.callers[b], in)
		}
	}
	return g
}

// meant returns which of the functions of that name a call means, -1 if none: for this.name() a method of the class
// or object that the call stands in, for name() the nearest that can be seen from there.
func (r *codeCheck) meant(i int, named, inner []int) int {
	owners, best := r.owners(i, inner), -1
	for _, b := range named {
		of := r.bodies[b]
		seen := of.scope < 0 || of.scope < i && i < r.end(of.scope)
		if slices.Contains(owners, of.owner) && (seen || of.owner >= 0) && (best < 0 || of.scope > r.bodies[best].scope) {
			best = b
		}
	}
	return best
}

// isHanded tells whether a name is all that a method is called with that calls it many times: list.forEach(name).
func (r *codeCheck) isHanded(i int) bool {
	return r.kind(i-1) == js.OpenParenToken && r.isAny(i-2, repeating...) && (r.kind(i+1) == js.CommaToken || r.kind(i+1) == js.CloseParenToken)
}

// owners returns whose methods the call of a name can mean: this.name() is one of the class or object that the call
// stands in, name() is nobody's.
func (r *codeCheck) owners(i int, inner []int) []int {
	if !r.isMember(i) {
		return []int{-1}
	}
	if !r.isAny(i-2, "this", "self") || r.isMember(i-2) {
		return nil
	}
	var out []int
	for b := inner[i]; b >= 0; {
		if owner := r.bodies[b].owner; owner >= 0 {
			out = append(out, owner)
		}
		from := r.bodies[b].from
		if from == 0 || inner[from-1] == b {
			break
		}
		b = inner[from-1]
	}
	return out
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
	names, short := 0, 0
	for i, t := range r.tokens {
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
	case len(r.tokens) > minTokens && len(r.tokens)/lines > maxLineTokens:
		r.found("code.minified", 0, "it has %d words and signs on a line: pack the source as it was written", len(r.tokens)/lines)
	case names > minNames && short*100/names > shortNames:
		r.found("code.minified", 0, "%d of %d names have one letter: pack the source as it was written", short, names)
	default:
		for i, line := range bytes.Split(data, []byte("\n")) {
			if len(line) > maxLine {
				r.c.add("code.minified", r.name, i+1, "the line has %d characters: break it, %d are enough", len(line), maxLine)
				return
			}
		}
	}
}

// entry is about script.js alone.
func (r *codeCheck) entry() {
	defines := 0
	for i := range r.tokens {
		if r.isAny(i, "define") && r.isGlobal(i) && r.call(i) >= 0 {
			defines++
		}
		if r.isAny(i, "return") && r.isAny(i+1, "class") {
			r.found("code.constructor", i, "return a function: the CRM replaces its prototype, which a class does not let it")
		}
	}
	if defines != 1 {
		r.found("code.constructor", 0, "it has %d calls of define, one is wanted", defines)
	}
	for _, name := range callbacks {
		if !r.names[name] {
			r.found("code.callbacks", 0, "there is no %s: without it the CRM does not run the widget, or cannot stop it", name)
		}
	}
}
