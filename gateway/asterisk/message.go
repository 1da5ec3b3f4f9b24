package asterisk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of what is kept of one message. Asterisk's own are far below; what is beyond is read and dropped,
// so that a strange variable does not cost the connection.
const (
	maxLine    = 16 << 10
	maxFields  = 512
	maxMessage = 128 << 10
)

// message is one AMI message: a response or an event. Keys may repeat.
type message []field

type field struct{ key, value string }

// get returns the first value of a key, "" for the several ways in which Asterisk says that there is none.
func (m message) get(key string) string {
	for _, f := range m {
		if f.key == key {
			if f.value == "<unknown>" || f.value == "unknown" {
				return ""
			}
			return f.value
		}
	}
	return ""
}

// reader takes a stream of AMI apart.
type reader struct{ buf *bufio.Reader }

func newReader(r io.Reader) *reader { return &reader{bufio.NewReaderSize(r, maxLine)} }

// banner reads the line with which Asterisk greets.
func (r *reader) banner() (string, error) {
	line, err := r.line()
	if err != nil {
		return "", fmt.Errorf("no greeting: %w", err)
	}
	if !bytes.Contains(line, []byte("Call Manager")) {
		return "", fmt.Errorf("not an Asterisk manager port: it greets with %.60q", line)
	}
	return string(line), nil
}

// next reads one message. Lines end with \r\n or \n, a message with an empty line; lines that are not
// "key: value" are the output of a command, which nobody here asks for, and are passed over.
func (r *reader) next() (message, error) {
	var m message
	size := 0
	for {
		line, err := r.line()
		if err != nil {
			if errors.Is(err, io.EOF) && len(m) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if len(line) == 0 {
			if len(m) > 0 {
				return m, nil
			}
			continue
		}
		key, value, ok := bytes.Cut(line, []byte(":"))
		size += len(line)
		if !ok || len(m) == maxFields || size > maxMessage {
			continue
		}
		m = append(m, field{string(key), strings.ToValidUTF8(string(bytes.TrimSpace(value)), "�")})
	}
}

// line returns the next line without its end, cut at maxLine. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	line, err := r.buf.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.buf.ReadSlice('\n')
		}
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// action is what is sent to Asterisk. The first field is its name.
type action []field

func newAction(name string, fields ...field) action {
	return append(action{{"Action", name}}, fields...)
}

func (a action) name() string { return a[0].value }

// encode writes the action as it goes over the wire. A line break in a value would begin a field, or an
// action, of somebody else's choice.
func (a action) encode(id string) ([]byte, error) {
	var b bytes.Buffer
	for _, f := range append(a[:len(a):len(a)], field{"ActionID", id}) {
		if strings.ContainsAny(f.value, "\r\n\x00") {
			return nil, fmt.Errorf("action %s: line break in %s", a.name(), f.key)
		}
		b.WriteString(f.key + ": " + f.value + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}
