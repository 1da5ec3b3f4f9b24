package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ringcast/gateway"
)

// Where a path begins.
const (
	rootBody   = "$"       // the body as it was read
	rootItem   = "@"       // one item of the list that Mapping.Events names
	rootForm   = "$form"   // a field of the form whose other field is the body
	rootQuery  = "$query"  // a parameter of the URL
	rootHeader = "$header" // a header
	rootPath   = "$path"   // what the vendor put behind the URL it was given
	rootRaw    = "$body"   // the body byte for byte, for signatures
	rootKey    = "$key"    // the key of a signature that is a plain hash
)

const (
	maxPath  = 256 // characters of a path
	maxSteps = 16
)

// Path names a place in a request:
//
//	$.from.number      members of the JSON object, or fields of the form, that the body holds
//	$.legs[0].ext      an item of a list, the first is 0
//	$.legs[*].ext      each of them, where a list is wanted
//	$['odd name']      a name with other characters than letters, digits, _ and -
//	@.number           the same, of one item of the list that is read event by event
//	$form.sign  $query.event  $header.Signature  $path  $body  $key
//
// What is not there is the empty text.
type Path struct {
	text  string
	root  string
	steps []step
}

// step is a member's name, a place in a list, or all of a list.
type step struct {
	name  string
	index int // when name is ""; each: all of them
}

const each = -1

// String returns the path as it was written.
func (p Path) String() string { return p.text }

// ParsePath reads a path.
func ParsePath(text string) (Path, error) {
	p, err := parsePath(text)
	if err != nil {
		return Path{}, fmt.Errorf("%q: %w", text, err)
	}
	return p, nil
}

func parsePath(text string) (Path, error) {
	if len(text) > maxPath {
		return Path{}, fmt.Errorf("is longer than %d characters", maxPath)
	}
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	p := Path{text: text, root: text[:end]}
	for rest := text[end:]; rest != ""; {
		s, after, err := parseStep(rest)
		if err != nil {
			return Path{}, err
		}
		p.steps, rest = append(p.steps, s), after
	}
	switch p.root {
	case rootBody, rootItem:
		if len(p.steps) > maxSteps {
			return Path{}, fmt.Errorf("has more than %d steps", maxSteps)
		}
	case rootForm, rootQuery, rootHeader:
		if len(p.steps) != 1 || p.steps[0].name == "" {
			return Path{}, fmt.Errorf("wants one name behind %s, such as %s.name", p.root, p.root)
		}
	case rootPath, rootRaw, rootKey:
		if len(p.steps) > 0 {
			return Path{}, fmt.Errorf("%s has nothing behind it", p.root)
		}
	default:
		return Path{}, errors.New("wants a path that begins with $, @, $form, $query, $header or $path, such as $.from.number")
	}
	return p, nil
}

// parseStep reads what begins with a dot or a bracket.
func parseStep(text string) (s step, rest string, err error) {
	if name, ok := strings.CutPrefix(text, "."); ok {
		end := strings.IndexFunc(name, func(r rune) bool { return !isNameRune(r) })
		if end < 0 {
			end = len(name)
		}
		if end == 0 {
			return step{}, "", errors.New("wants a name behind the dot; one with odd characters is written ['name']")
		}
		return step{name: name[:end]}, name[end:], nil
	}
	if quoted, ok := strings.CutPrefix(text, "['"); ok {
		name, rest, ok := strings.Cut(quoted, "']")
		if !ok || name == "" || strings.ContainsAny(name, "'{}") {
			return step{}, "", errors.New("wants a name between [' and '], without ' { }")
		}
		return step{name: name}, rest, nil
	}
	if inside, ok := strings.CutPrefix(text, "["); ok {
		number, rest, ok := strings.Cut(inside, "]")
		if ok && number == "*" {
			return step{index: each}, rest, nil
		}
		if n, err := strconv.ParseUint(number, 10, 16); ok && err == nil {
			return step{index: int(n)}, rest, nil
		}
	}
	return step{}, "", errors.New("wants .name, ['name'], [0] or [*] for each step")
}

func isNameRune(r rune) bool {
	return r == '_' || r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// Many says whether the path may name more than one place.
func (p Path) Many() bool {
	return slices.ContainsFunc(p.steps, func(s step) bool { return s.name == "" && s.index == each })
}

// request is what a vendor sent, as paths see it.
type request struct {
	path   string
	query  url.Values
	header http.Header
	raw    []byte
	form   map[string]any // of EncodingFormJSON
	body   any
	item   any // of Mapping.Events
	index  int // of item

	trial bool // to note in empty which fields came out empty
	empty []gateway.FieldError
}

// stage is how far a request has been read.
type stage int

// The stages, in order.
const (
	arrived  stage = iota // its headers and URL
	received              // the bytes of the body: $body
	opened                // the form that JSON is in: $form
	decoded               // all of it: $
)

// stage returns the first one at which the path can be followed.
func (p Path) stage() stage {
	switch p.root {
	case rootRaw:
		return received
	case rootForm:
		return opened
	case rootBody, rootItem:
		return decoded
	default:
		return arrived
	}
}

// stageOf returns the first stage at which all of the paths can be followed.
func stageOf(paths []Path) stage {
	last := arrived
	for _, p := range paths {
		last = max(last, p.stage())
	}
	return last
}

// find calls found with what is at the path, of each place that it names, until it returns false.
func (p Path) find(r *request, found func(any) bool) {
	switch p.root {
	case rootBody:
		walk(r.body, p.steps, found)
	case rootItem:
		walk(r.item, p.steps, found)
	case rootForm:
		walk(r.form, p.steps, found)
	case rootQuery:
		once(r.query[p.steps[0].name], found)
	case rootHeader:
		once(r.header.Values(p.steps[0].name), found)
	case rootPath:
		found(r.path)
	case rootRaw:
		found(string(r.raw))
	}
}

// once finds a value that is there once: of two, a signature could mean the one and an event the other.
func once(values []string, found func(any) bool) {
	if len(values) == 1 {
		found(values[0])
	}
}

func walk(v any, steps []step, found func(any) bool) bool {
	for i, s := range steps {
		if s.name != "" {
			object, _ := v.(map[string]any)
			if v = object[s.name]; v == nil {
				return true
			}
			continue
		}
		list, _ := v.([]any)
		if s.index == each {
			for _, item := range list {
				if !walk(item, steps[i+1:], found) {
					return false
				}
			}
			return true
		}
		if s.index >= len(list) {
			return true
		}
		v = list[s.index]
	}
	return found(v)
}

// string returns the text, number or truth value at the path, "" when there is none.
func (p Path) string(r *request) (text string) {
	p.find(r, func(v any) bool {
		text = scalar(v)
		return text == ""
	})
	return text
}

// Scope says which paths make sense at a place of a mapping.
type Scope struct {
	Items  bool // the mapping reads a list, so there is @
	Form   bool // it reads a form with JSON in it, so there is $form
	Query  bool // it reads the URL, so nothing depends on $body
	Signed bool // what a signature is made of, or where it and keys stand: $body, and no single item
	Key    bool // of a plain hash: $key
}

// Check says why a path does not make sense.
func (s Scope) Check(p Path) error {
	switch {
	case p.root == rootItem && s.Signed:
		return fmt.Errorf("%q: keys and signatures are of the whole request, and @ is one of its events", p.text)
	case p.root == rootItem && !s.Items:
		return fmt.Errorf("%q: @ is one of the events of a list: say in events where they are", p.text)
	case p.root == rootForm && !s.Form:
		return fmt.Errorf("%q: there is $form with encoding form_json only; of other forms the fields are $.name", p.text)
	case p.root == rootRaw && !s.Signed:
		return fmt.Errorf("%q: the body as a whole is for signatures", p.text)
	case p.root == rootRaw && s.Query:
		return fmt.Errorf("%q: with encoding query nothing is read from the body, so a signature of it would do for any event", p.text)
	case p.root == rootKey && !s.Key:
		return fmt.Errorf("%q: the key has a place in the text of a plain hash only", p.text)
	}
	return nil
}
