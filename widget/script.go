package widget

import (
	"cmp"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

// token is a word, sign or literal of a script; comments and spaces are none.
type token struct {
	kind js.TokenType
	text string
	at   int // offset in the file
	pair int // index of the bracket that belongs to this one; -1: none
}

// script is a file of JavaScript, read.
type script struct {
	file    *file
	tokens  []token
	names   map[string]bool // all identifiers and keys
	bodies  []body
	looped  []bool   // by token: it is done many times
	catches []int    // by token: where something was caught, -1: nowhere; nil: not looked for yet
	phrases []phrase // its texts
}

// span is a range of tokens, the end not included.
type span struct{ from, to int }

// body is what a named function consists of.
type body struct {
	name  string
	owner int // the opening brace of the class or object that it is a method of; nobody, or self: self.name = () => …
	scope int // the opening brace that it is declared in; -1: outside of all
	span
}

// Owners of a body that are no brace.
const (
	nobody = -1
	self   = -2
)

// newScript reads a script that can be parsed. (The parser also sees to it that nothing is nested too deep for what
// is done here.)
func newScript(f *file) (*script, error) {
	tree, err := js.Parse(parse.NewInputBytes(slices.Clone(f.data)), js.Options{})
	if err != nil {
		return nil, err
	}
	expressions := regExps{}
	js.Walk(expressions, tree)
	s := &script{file: f, names: map[string]bool{}}
	if err := s.read(expressions); err != nil {
		return nil, err
	}
	s.findBodies()
	s.findLooped()
	s.findPhrases()
	return s, nil
}

// regExps are the regular expressions of a script, as the parser found them.
type regExps map[string]bool

// Enter is called for each node of a script.
func (r regExps) Enter(n js.INode) js.IVisitor {
	if l, ok := n.(*js.LiteralExpr); ok && l.TokenType == js.RegExpToken {
		r[string(l.Data)] = true
	}
	return r
}

// Exit is called when a node has been seen.
func (r regExps) Exit(js.INode) {}

// read makes the tokens. It fails where it loses its way, since what is not read is not checked.
func (s *script) read(expressions regExps) error {
	lexer := js.NewLexer(parse.NewInputBytes(slices.Clone(s.file.data)))
	var open []int
	for at := 0; at < len(s.file.data); {
		kind, data := lexer.Next()
		if (kind == js.DivToken || kind == js.DivEqToken) && s.isRegExp(at, expressions) {
			kind, data = lexer.RegExp()
		}
		if kind == js.ErrorToken {
			return &flawError{line: s.file.lineOf(at), err: errors.New("it cannot be read from here on")}
		}
		t := token{kind: kind, text: string(data), at: at, pair: -1}
		at += len(data)
		switch kind {
		case js.WhitespaceToken, js.LineTerminatorToken, js.CommentToken, js.CommentLineTerminatorToken:
			continue
		case js.OpenBraceToken, js.OpenParenToken, js.OpenBracketToken, js.TemplateStartToken:
			open = append(open, len(s.tokens))
		case js.CloseBraceToken, js.CloseParenToken, js.CloseBracketToken, js.TemplateMiddleToken, js.TemplateEndToken:
			if n := len(open); n > 0 {
				t.pair = open[n-1]
				s.tokens[t.pair].pair = len(s.tokens)
				open = open[:n-1]
			}
			if kind == js.TemplateMiddleToken {
				open = append(open, len(s.tokens))
			}
		}
		if js.IsIdentifierName(kind) {
			s.names[t.text] = true
		}
		s.tokens = append(s.tokens, t)
	}
	return nil
}

var regExpForm = regexp.MustCompile(`^/(\\.|\[(\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[\p{L}\p{N}_$]*`)

// isRegExp tells whether the slash at an offset begins a regular expression, and does not divide what is before it.
func (s *script) isRegExp(at int, expressions regExps) bool {
	i := len(s.tokens) - 1
	switch kind := s.kind(i); {
	case kind == js.CloseParenToken, kind == js.CloseBraceToken, kind == js.IncrToken, kind == js.DecrToken:
		return expressions[string(regExpForm.Find(s.file.data[at:]))] // behind if (a) it does, behind f(a) it does not
	case kind == js.CloseBracketToken, kind == js.StringToken, kind == js.TemplateToken, kind == js.TemplateEndToken, kind == js.RegExpToken,
		kind == js.PrivateIdentifierToken, js.IsNumeric(kind):
		return false
	case !js.IsIdentifierName(kind):
		return true
	}
	return !s.isMember(i) && s.isAny(i, "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "instanceof", "else", "do", "await", "yield")
}

func (s *script) kind(i int) js.TokenType {
	if i < 0 || i >= len(s.tokens) {
		return js.ErrorToken
	}
	return s.tokens[i].kind
}

func (s *script) text(i int) string {
	if i < 0 || i >= len(s.tokens) {
		return ""
	}
	return s.tokens[i].text
}

func (s *script) isAny(i int, words ...string) bool { return slices.Contains(words, s.text(i)) }

// isName tells whether a token is an identifier or a key, not a literal.
func (s *script) isName(i int) bool { return js.IsIdentifierName(s.kind(i)) }

// isLiteral tells whether a token is a text.
func (s *script) isLiteral(i int) bool {
	return s.kind(i) == js.StringToken || s.kind(i) == js.TemplateToken
}

// literal returns a text without its quotes, as it is written.
func (s *script) literal(i int) string {
	if t := s.text(i); s.isLiteral(i) && len(t) > 1 {
		return strings.ReplaceAll(t[1:len(t)-1], `\/`, "/")
	}
	return ""
}

// isMember tells whether a name stands behind a dot.
func (s *script) isMember(i int) bool {
	return s.kind(i-1) == js.DotToken || s.kind(i-1) == js.OptChainToken
}

// isGlobal tells whether a name is one of the page's own: not the member of another object, not a key.
func (s *script) isGlobal(i int) bool {
	if s.isMember(i) {
		return s.isAny(i-2, "window", "globalThis", "top", "parent", "frames", "defaultView") && (!s.isMember(i-2) || s.isAny(i-2, "defaultView"))
	}
	return s.kind(i+1) != js.ColonToken || s.kind(i-1) == js.QuestionToken
}

// call returns where the arguments of the call of a name begin, its opening bracket; -1 if it is not called there.
func (s *script) call(i int) int {
	open := i + 1
	if s.kind(open) == js.OptChainToken {
		open++
	}
	if s.kind(open) != js.OpenParenToken || s.isMethod(i) {
		return -1
	}
	return open
}

// end returns the index of the bracket that closes an open one; behind the last token if none does.
func (s *script) end(open int) int {
	if pair := s.tokens[open].pair; pair > open {
		return pair
	}
	return len(s.tokens)
}

// isMethod tells whether a name with brackets behind it is the head of a method or a function: name(…) {.
func (s *script) isMethod(i int) bool {
	if s.kind(i+1) != js.OpenParenToken {
		return false
	}
	after := s.end(i+1) + 1
	return s.kind(after) == js.OpenBraceToken && !s.isMember(i) || s.isAny(i-1, "function") || s.isAny(i-2, "function") && s.isAny(i-1, "*")
}

// arguments returns the spans of a call's arguments.
func (s *script) arguments(open int) []span {
	var out []span
	end := s.end(open)
	from := open + 1
	for i := from; i < end; i++ {
		if s.kind(i) == js.CommaToken {
			out = append(out, span{from, i})
			from = i + 1
		}
		i = s.skip(i)
	}
	if from < end {
		out = append(out, span{from, end})
	}
	return out
}

// skip returns the last token of the group in brackets, or of the template, that begins at a token; the token itself
// if none does.
func (s *script) skip(i int) int {
	for s.tokens[i].pair > i {
		i = s.tokens[i].pair
		if s.kind(i) != js.TemplateMiddleToken {
			break
		}
	}
	return i
}

// expression returns where the expression that begins at a token ends.
func (s *script) expression(from int) int {
	for i := from; i < len(s.tokens); i++ {
		switch s.kind(i) {
		case js.CommaToken, js.SemicolonToken, js.CloseBraceToken, js.CloseParenToken, js.CloseBracketToken, js.TemplateMiddleToken, js.TemplateEndToken:
			return i
		}
		i = s.skip(i)
	}
	return len(s.tokens)
}

// block returns the span of what follows a head such as if (…): a block, or one statement.
func (s *script) block(from int) span {
	if s.kind(from) == js.OpenBraceToken {
		return span{from, s.end(from)}
	}
	return span{from, s.expressions(from)}
}

// expressions returns where several expressions, with commas between them, end.
func (s *script) expressions(from int) int {
	end := s.expression(from)
	for s.kind(end) == js.CommaToken {
		end = s.expression(end + 1)
	}
	return end
}

// findBodies finds functions that have a name: function name() {}, name() {}, name: () => … and name = () => ….
func (s *script) findBodies() {
	var braces []int
	for i := range s.tokens {
		switch s.kind(i) {
		case js.OpenBraceToken:
			braces = append(braces, i)
		case js.CloseBraceToken:
			braces = braces[:max(0, len(braces)-1)]
		}
		if !s.isName(i) || s.isAny(i, "if", "for", "while", "switch", "catch", "with", "function", "return") {
			continue
		}
		if of, ok := s.bodyOf(i); ok {
			b := body{s.text(i), nobody, -1, of}
			if len(braces) > 0 {
				b.scope = braces[len(braces)-1]
			}
			if s.isMember(i) && s.isAny(i-2, "this", "self") {
				b.owner = self
			} else if isVariable := s.isAny(i-1, "function", "*") || s.kind(i+1) == js.EqToken && !s.isClass(b.scope); !isVariable {
				b.owner = b.scope
			}
			s.bodies = append(s.bodies, b)
		}
	}
}

// isClass tells whether a brace opens the body of a class.
func (s *script) isClass(open int) bool {
	const farthest = 16 // tokens of a head such as: class A extends mixin(B) {
	for i := open - 1; i >= 0 && i > open-farthest; i-- {
		switch {
		case s.isAny(i, "class"):
			return true
		case s.kind(i) == js.OpenBraceToken, s.kind(i) == js.CloseBraceToken, s.kind(i) == js.SemicolonToken:
			return false
		}
	}
	return false
}

// bodyOf returns the body of the function that a name stands for, if it does.
func (s *script) bodyOf(i int) (span, bool) {
	if s.isMethod(i) {
		after := s.end(i+1) + 1
		return span{after, s.end(min(after, len(s.tokens)-1))}, s.kind(after) == js.OpenBraceToken
	}
	if s.kind(i+1) != js.EqToken && s.kind(i+1) != js.ColonToken {
		return span{}, false
	}
	head := i + 2
	if s.isAny(head, "async") {
		head++
	}
	switch {
	case s.isAny(head, "function"):
		return span{head, s.expression(head)}, true
	case s.kind(head) == js.OpenParenToken && s.kind(s.end(head)+1) == js.ArrowToken:
		return s.block(s.end(head) + 2), true
	case s.isName(head) && s.kind(head+1) == js.ArrowToken:
		return s.block(head + 2), true
	}
	return span{}, false
}

// repeating are methods that call a function many times: of lists, of jQuery, and of clocks.
var repeating = []string{"forEach", "map", "flatMap", "filter", "find", "findIndex", "some", "every", "reduce", "reduceRight", "each", "times", "from", "setInterval"}

// findLooped finds what is done many times: all in the bodies of loops and in functions that are handed to those who
// repeat, but not in functions that wait there for something to happen.
func (s *script) findLooped() {
	loops := s.findLoops()
	s.looped = make([]bool, len(s.tokens))
	for i, inner := range s.innermost(slices.Concat(loops, s.findHandlers())) {
		s.looped[i] = inner >= 0 && inner < len(loops)
	}
}

func (s *script) findLoops() []span {
	var out []span
	for i := range s.tokens {
		if s.isMember(i) && !s.isAny(i, repeating...) || !s.isName(i) {
			continue
		}
		switch {
		case s.isAny(i, "do") && s.kind(i+1) != js.ColonToken:
			out = append(out, s.block(i+1))
		case s.isAny(i, "while") && s.kind(i+1) == js.OpenParenToken:
			out = append(out, span{i + 1, s.block(s.end(i+1) + 1).to})
		case s.isAny(i, "for"):
			head := i + 1
			if s.isAny(head, "await") {
				head++
			}
			if s.kind(head) == js.OpenParenToken {
				of := s.block(s.end(head) + 1)
				if first := s.expressions(head + 1); s.kind(first) == js.SemicolonToken {
					of.from = first // what stands behind the beginning is done each time
				}
				out = append(out, of)
			}
		case s.isAny(i, repeating...) && (s.isMember(i) || s.text(i) == "setInterval"):
			if open := s.call(i); open >= 0 && s.handsFunction(open) {
				out = append(out, span{open, s.end(open)})
			}
		}
	}
	return out
}

// handsFunction tells whether one of a call's arguments is a function, or the name of one.
func (s *script) handsFunction(open int) bool {
	for _, arg := range s.arguments(open) {
		if arg.to-arg.from == 1 && s.isName(arg.from) {
			return true
		}
		for i := arg.from; i < arg.to; i++ {
			if s.kind(i) == js.ArrowToken || s.isAny(i, "function", "bind") {
				return true
			}
			i = s.skip(i)
		}
		if s.isAny(arg.from, "this", "self") && s.isName(arg.to-1) {
			return true
		}
	}
	return false
}

// handlers are methods whose function runs when something happens, however often it was handed over.
var handlers = []string{"on", "one", "once", "bind", "delegate", "addEventListener", "subscribe", "add_action", "click", "dblclick", "hover", "focus", "blur",
	"submit", "change", "keydown", "keyup", "input", "push", "unshift"}

var handlerForm = regexp.MustCompile(`^on[a-z]+$`)

// findHandlers finds the functions that run when something happens.
func (s *script) findHandlers() []span {
	var out []span
	for i := range s.tokens {
		if s.isMember(i) && s.isAny(i, handlers...) {
			if open := s.call(i); open >= 0 && s.handsFunction(open) {
				out = append(out, span{open, s.end(open)})
			}
		}
		if s.isMember(i) && s.kind(i+1) == js.EqToken && handlerForm.MatchString(s.text(i)) { // b.onclick = () => …
			out = append(out, span{i + 2, s.expression(i + 2)})
		}
	}
	return out
}

// innermost returns, for each token, the index of the shortest span around it, -1 if there is none. Spans lie in each
// other or apart.
func (s *script) innermost(spans []span) []int {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(spans[a].from, spans[b].from), cmp.Compare(spans[b].to, spans[a].to))
	})
	out := make([]int, len(s.tokens))
	var around []int
	for i := range s.tokens {
		for len(order) > 0 && spans[order[0]].from <= i {
			around = append(around, order[0])
			order = order[1:]
		}
		for len(around) > 0 && spans[around[len(around)-1]].to <= i {
			around = around[:len(around)-1]
		}
		out[i] = -1
		if len(around) > 0 {
			out[i] = around[len(around)-1]
		}
	}
	return out
}

// syntaxError returns the line and the reason of an error of the parser.
func syntaxError(err error) (line int, reason string) {
	if at := (*parse.Error)(nil); errors.As(err, &at) {
		return at.Line, at.Message
	}
	if at := (*flawError)(nil); errors.As(err, &at) {
		return at.line, at.Error()
	}
	if errors.Is(err, io.EOF) {
		return 0, "it ends too early"
	}
	return 0, err.Error()
}
