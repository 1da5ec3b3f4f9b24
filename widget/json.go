package widget

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// node is a JSON value and the line that it stands on.
type node struct {
	line  int
	value any              // string, json.Number, bool, nil, object or list
	keys  []string         // of an object, in its order
	of    map[string]*node // an object's members
	items []*node          // a list's
}

// What node.value is for a composite value.
type (
	object struct{}
	list   struct{}
)

const maxDepth = 16 // of JSON in an archive

// parseJSON reads a document. Unlike encoding/json it knows lines and refuses a key that stands there twice.
func parseJSON(data []byte) (*node, error) {
	p := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	n, err := p.value(0)
	if err == nil {
		if _, err = p.dec.Token(); errors.Is(err, io.EOF) {
			return n, nil
		}
		err = errors.New("something follows the value")
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, &flawError{line: p.line(), err: err}
}

// parseObject reads a document that has to be an object.
func parseObject(data []byte) (*node, error) {
	root, err := parseJSON(data)
	if err == nil && !root.is(object{}) {
		return nil, &flawError{line: 1, err: errors.New("it is no object")}
	}
	return root, err
}

// flawError is a mistake in a file.
type flawError struct {
	line int
	err  error
}

func (e *flawError) Error() string { return e.err.Error() }
func (e *flawError) Unwrap() error { return e.err }

type jsonReader struct {
	data []byte
	dec  *json.Decoder
	at   int // an offset before the current one, on the line `lines`
	seen int // line ends before at
}

// line returns the current line. Offsets only grow, so that each byte is looked at once.
func (p *jsonReader) line() int {
	offset := min(int(p.dec.InputOffset()), len(p.data))
	p.seen += bytes.Count(p.data[p.at:offset], []byte("\n"))
	p.at = offset
	return 1 + p.seen
}

func (p *jsonReader) value(depth int) (*node, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	n := &node{line: p.line(), value: token}
	switch token {
	case json.Delim('{'):
		n.value, n.of = object{}, map[string]*node{}
		return n, p.object(n, depth)
	case json.Delim('['):
		n.value = list{}
		return n, p.list(n, depth)
	}
	return n, nil
}

func (p *jsonReader) object(n *node, depth int) error {
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return errors.New("a key is not a text")
		}
		if n.of[key] != nil {
			return fmt.Errorf("the key %.64q stands there twice", key)
		}
		member, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.keys, n.of[key] = append(n.keys, key), member
	}
	_, err := p.dec.Token()
	return err
}

func (p *jsonReader) list(n *node, depth int) error {
	for p.dec.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := p.dec.Token()
	return err
}

// member returns an object's member, nil if there is none or n is no object.
func (n *node) member(key string) *node {
	if n == nil {
		return nil
	}
	return n.of[key]
}

// text returns a text, "" if n is none.
func (n *node) text() string {
	if n == nil {
		return ""
	}
	s, _ := n.value.(string)
	return s
}

// texts returns the texts of a list.
func (n *node) texts() []*node {
	if n == nil {
		return nil
	}
	var out []*node
	for _, item := range n.items {
		if _, ok := item.value.(string); ok {
			out = append(out, item)
		}
	}
	return out
}

// is tells whether n is that value: true, false, a text.
func (n *node) is(value any) bool { return n != nil && n.value == value }
