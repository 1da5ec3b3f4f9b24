package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Problem is one thing that is wrong in a config file.
type Problem struct {
	Line   int
	Field  string // such as accounts[0].pbx[1].address; "" when the YAML itself is broken
	Reason string
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%d: %s", p.Line, p.Reason)
	}
	return fmt.Sprintf("%d: %s: %s", p.Line, p.Field, p.Reason)
}

// ConfigError is everything that is wrong with a config file, by line.
type ConfigError struct {
	File     string
	Problems []Problem
}

// Error gives each problem a line: file, line, field, reason.
func (e *ConfigError) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, e.File+":"+p.String())
	}
	return strings.Join(lines, "\n")
}

func byLine(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return problems
}

// withHint adds what is wrong most of the time to what the scanner says when it does not know.
func withHint(message string) string {
	for _, lost := range []string{"not allowed", "cannot start", "unexpected"} {
		if strings.Contains(message, lost) {
			return message + ": indent with spaces, as deep as the line above (and look at the line below), and put text with a colon in it in quotes"
		}
	}
	return message
}

// document is a config file while it is being read. Reading goes on after a problem, so that all of them
// are told at once; what a value with a problem gives does not matter, since the config is not used.
type document struct {
	dir      string // where relative paths start
	env      func(name string) (string, bool)
	readFile func(path string) ([]byte, error)
	standIns bool // env and readFile give what only has the length of a secret: nothing else can be asked of it
	problems []Problem
	warnings []Problem
}

// parse returns the top of the document, nil if it is no mapping.
func (d *document) parse(data []byte) *section {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p := Problem{Line: 1, Reason: err.Error()}
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			p = Problem{Line: syntax.GetToken().Position.Line, Reason: withHint(syntax.GetMessage())}
		}
		d.problems = append(d.problems, p)
		return nil
	}
	top := value{doc: d, line: 1}
	for i, part := range file.Docs {
		if i > 0 && part.Body != nil {
			d.problems = append(d.problems, Problem{Line: part.Body.GetToken().Position.Line, Reason: "a second document; the file has one"})
			return nil
		}
		top.node = notNull(part.Body)
	}
	return top.section()
}

// resolve makes a path of the file usable from where the program runs.
func (d *document) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// value is a place in the file and what stands there.
type value struct {
	doc  *document
	path string
	line int      // the key's, or that of the section it is missing from
	node ast.Node // nil: left out, or empty
}

func (v value) given() bool { return v.node != nil }

func (v value) fail(format string, args ...any) {
	v.doc.problems = append(v.doc.problems, Problem{v.line, v.path, fmt.Sprintf(format, args...)})
}

func (v value) warn(format string, args ...any) {
	v.doc.warnings = append(v.doc.warnings, Problem{v.line, v.path, fmt.Sprintf(format, args...)})
}

// text returns a scalar as it is written: 0101 is an extension, not the number 65.
func (v value) text() (text string, ok bool) {
	switch n := v.node.(type) {
	case nil:
		return "", false
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	case *ast.BoolNode:
		v.fail("%s means yes or no here; put it in quotes", n.GetToken().Value)
	case *ast.MappingNode: // the parser finds one in {secrets: [env:NAME]}, too
		v.fail("wants text, not keys with values; text with a colon in it is safe in quotes")
	default:
		v.fail("wants text, not %s", describe(n))
	}
	return "", false
}

// parsed reads a scalar with parse. A value left out gives fallback; an error of parse is a problem.
func parsed[T any](v value, fallback T, parse func(text string) (T, error)) T {
	text, ok := v.text()
	if !ok {
		return fallback
	}
	result, err := parse(text)
	if err != nil {
		v.fail("%s", err)
		return fallback
	}
	return result
}

// flag reads true or false.
func (v value) flag(fallback bool) bool {
	switch n := v.node.(type) {
	case nil:
		return fallback
	case *ast.BoolNode:
		return n.Value
	}
	v.fail("wants true or false")
	return fallback
}

// nothing says whether it is left out or holds nothing.
func (v value) nothing() bool {
	switch n := v.node.(type) {
	case nil:
		return true
	case *ast.StringNode:
		return n.Value == ""
	case *ast.SequenceNode:
		return len(n.Values) == 0
	default:
		return false
	}
}

// list returns the items of a sequence.
func (v value) list() []value {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		if v.given() {
			v.fail("wants a list, not %s", describe(v.node))
		}
		return nil
	}
	items := make([]value, 0, len(seq.Values))
	for i, node := range seq.Values {
		item := value{v.doc, fmt.Sprintf("%s[%d]", v.path, i), lineOf(node, v.line), notNull(node)}
		if !item.given() {
			item.fail("is empty")
			continue
		}
		items = append(items, item)
	}
	return items
}

// oneOrList returns the items of a sequence that has some, or the scalar as the only one.
func (v value) oneOrList() []value {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return []value{v}
	}
	if len(seq.Values) == 0 {
		v.fail("is empty")
	}
	return v.list()
}

// section is a mapping. It learns which keys it may have from being asked for them.
type section struct {
	doc    *document
	path   string
	line   int
	keys   []string // as they stand in the file
	values map[string]value
	asked  []string
	broken bool // no mapping at all: nothing is missing from it
}

// section returns the mapping that stands here; an empty one if there is none.
func (v value) section() *section {
	s := &section{doc: v.doc, path: v.path, line: v.line, values: map[string]value{}}
	mapping, ok := v.node.(*ast.MappingNode)
	if !ok {
		if v.given() {
			v.fail("wants keys with values, not %s", describe(v.node))
			s.broken = true
		}
		return s
	}
	for _, pair := range mapping.Values {
		key := keyText(pair.Key)
		val := value{v.doc, s.pathOf(key), pair.Key.GetToken().Position.Line, notNull(pair.Value)}
		if first, twice := s.values[key]; twice {
			val.fail("stands here twice; first on line %d", first.line)
			continue
		}
		s.keys = append(s.keys, key)
		s.values[key] = val
	}
	return s
}

func (s *section) pathOf(key string) string {
	if strings.ContainsFunc(key, unicode.IsControl) {
		key = strconv.Quote(key)
	}
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

// get returns the value of a key that may be left out.
func (s *section) get(key string) value {
	if !slices.Contains(s.asked, key) {
		s.asked = append(s.asked, key)
	}
	if v, ok := s.values[key]; ok {
		return v
	}
	return value{doc: s.doc, path: s.pathOf(key), line: s.line}
}

// need returns the value of a key that may not be left out.
func (s *section) need(key string) value {
	v := s.get(key)
	if !v.given() && !s.broken {
		v.fail("is missing")
	}
	return v
}

// done refuses the keys that nobody asked for.
func (s *section) done() {
	for _, key := range s.keys {
		if slices.Contains(s.asked, key) {
			continue
		}
		if known := nearest(key, s.asked); known != "" {
			s.values[key].fail("unknown key (did you mean %q?)", known)
		} else {
			s.values[key].fail("unknown key (known here: %s)", listed(s.asked))
		}
	}
}

// firsts finds names that are given twice: name to line.
type firsts map[string]int

// claim takes the name that stands at v, and refuses it if another has it.
func (f firsts) claim(v value, what, name string) {
	if name == "" {
		return
	}
	if line, taken := f[name]; taken {
		v.fail("%s %q is already on line %d", what, name, line)
		return
	}
	f[name] = v.line
}

func keyText(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}

// notNull makes "key:" with nothing behind it the same as leaving the key out.
func notNull(node ast.Node) ast.Node {
	if _, null := node.(*ast.NullNode); null {
		return nil
	}
	return node
}

// lineOf returns the line a node begins on.
func lineOf(node ast.Node, fallback int) int {
	if m, ok := node.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position.Line
	}
	if token := node.GetToken(); token != nil {
		return token.Position.Line
	}
	return fallback
}

func describe(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "an anchor, alias or tag, which this file does without"
	case ast.ScalarNode:
		return fmt.Sprintf("%q", node.GetToken().Value)
	}
	return "this"
}
