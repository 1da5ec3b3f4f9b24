package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Text is what a mapping writes where a value is wanted: a path, a constant, or a template in which paths stand in
// braces, as "{$.entry} {$.leg}". A brace itself is written twice.
type Text struct {
	parts []part
	path  bool // it is a path and nothing else
}

// part is a constant, or a path when it has a root.
type part struct {
	constant string
	path     Path
}

// ParseText reads a text. What begins with $ or @ is a path.
func ParseText(text string) (Text, error) {
	if strings.HasPrefix(text, "$") || strings.HasPrefix(text, "@") {
		p, err := ParsePath(text)
		return Text{parts: []part{{path: p}}, path: true}, err
	}
	var t Text
	var constant strings.Builder
	for rest := text; rest != ""; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			constant.WriteString(rest)
			break
		}
		constant.WriteString(rest[:at])
		brace := rest[at]
		rest = rest[at+1:]
		if rest != "" && rest[0] == brace {
			constant.WriteByte(brace)
			rest = rest[1:]
			continue
		}
		inside, after, closed := strings.Cut(rest, "}")
		if brace == '}' || !closed {
			return Text{}, fmt.Errorf("%q: a brace without its other half; a brace itself is written twice", text)
		}
		p, err := parsePath(inside)
		if err == nil && p.Many() {
			err = errors.New("[*] names many, a template wants one")
		}
		if err != nil {
			return Text{}, fmt.Errorf("%q: in braces: %q: %w", text, inside, err)
		}
		if constant.Len() > 0 {
			t.parts = append(t.parts, part{constant: constant.String()})
			constant.Reset()
		}
		t.parts, rest = append(t.parts, part{path: p}), after
	}
	if constant.Len() > 0 {
		t.parts = append(t.parts, part{constant: constant.String()})
	}
	return t, nil
}

// Constant returns the text if nothing of a request is in it.
func (t Text) Constant() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].path.root == "":
		return t.parts[0].constant, true
	default:
		return "", false
	}
}

// Paths returns the paths in the text, in order.
func (t Text) Paths() []Path {
	var paths []Path
	for _, p := range t.parts {
		if p.path.root != "" {
			paths = append(paths, p.path)
		}
	}
	return paths
}

// maxText is how much of a text is looked at, in bytes: more than any field of an event may have. Without it a long
// value would be copied for each event and field whose template it is in.
const maxText = 4096

// cut leaves a text that is too long for every field too long.
func cut(text string) string { return text[:min(len(text), maxText+1)] }

// string returns the text for a request. A template of which something is missing is "": half an id would be the id
// of too much.
func (t Text) string(r *request) string { return t.filled(r, func(s string) string { return s }) }

// url is string for a URL: what comes into a template cannot leave its place in the path or the query.
func (t Text) url(r *request) string {
	return t.filled(r, func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") })
}

func (t Text) filled(r *request, escape func(string) string) string {
	if t.path {
		return cut(t.parts[0].path.string(r))
	}
	var text strings.Builder
	for _, p := range t.parts {
		if p.path.root == "" {
			text.WriteString(p.constant)
			continue
		}
		value := cut(p.path.string(r))
		if value == "" {
			return ""
		}
		text.WriteString(cut(escape(value)))
	}
	return text.String()
}

// Signs says whether what another text is made of is a part of this one, so that it is signed with it. jsonField is
// the field of the form that the body is read from, if it is.
func (t Text) Signs(other Text, jsonField string) bool {
	signed := t.Paths()
	has := func(want string) bool {
		return slices.ContainsFunc(signed, func(p Path) bool { return p.text == want })
	}
	for _, p := range other.Paths() {
		inBody := p.root == rootBody || p.root == rootForm
		inJSON := p.root == rootBody && jsonField != "" && has(rootForm+"."+jsonField)
		if !has(p.text) && !(inBody && has(rootRaw)) && !inJSON {
			return false
		}
	}
	return true
}
