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

// message is one AMI message: a response or an event. Keys may repeat. Its values share the memory of the
// whole message: what is kept for long is better cloned.
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

// text writes a message as it comes over the wire.
func (m message) text() string {
	var b strings.Builder
	for _, f := range m {
		b.WriteString(f.key + ": " + f.value + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// reader takes a stream of AMI apart.
type reader struct {
	buf *bufio.Reader

	// heeds says which events are wanted, by name; nil: all. What is not wanted costs no more than finding
	// where it ends: on a busy PBX it is the most of the stream.
	heeds func(event []byte) bool

	raw []byte // the latest message, or the greeting, as it came; valid until the next is read
}

func newReader(r io.Reader) *reader { return &reader{buf: bufio.NewReaderSize(r, maxLine)} }

var errNoGreeting = errors.New("no greeting")

// banner reads the line with which Asterisk greets and returns the version of AMI that is in it, "" if none is.
func (r *reader) banner() (version string, err error) {
	line, err := r.line()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoGreeting, err)
	}
	r.raw = append(r.raw[:0], line...)
	if !bytes.Contains(line, []byte("Call Manager")) {
		return "", fmt.Errorf("not an Asterisk manager port: it greets with %.60q", bytes.TrimRight(line, "\r\n"))
	}
	_, after, _ := bytes.Cut(line, []byte("/"))
	return strings.ToValidUTF8(string(bytes.TrimSpace(after)), "�"), nil
}

// next reads one message. Lines end with \r\n or \n, a message with an empty line.
func (r *reader) next() (message, error) {
	r.raw = r.raw[:0]
	lines, wanted := 0, true
	for {
		line, err := r.line()
		if err != nil {
			if errors.Is(err, io.EOF) && lines > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if line[0] == '\n' || line[0] == '\r' && len(bytes.TrimRight(line, "\r\n")) == 0 {
			if m := r.message(line, wanted && lines > 0); len(m) > 0 {
				return m, nil
			}
			lines, wanted = 0, true
			continue
		}
		if lines == 0 && r.heeds != nil {
			if event, ok := bytes.CutPrefix(line, []byte("Event:")); ok {
				wanted = r.heeds(bytes.TrimSpace(event))
			}
		}
		if lines++; wanted && lines <= maxFields && len(r.raw)+len(line) <= maxMessage {
			r.raw = append(r.raw, line...)
		}
	}
}

// message takes the message that ends with the line apart, or drops it. Lines that are not "key: value" are
// the output of a command, which nobody here asks for, and are passed over. All values share one string.
func (r *reader) message(end []byte, wanted bool) message {
	if !wanted || r.heeds != nil && bytes.HasPrefix(r.raw, []byte("Event: VarSet")) && !bytes.Contains(r.raw, []byte(fileVariable)) {
		r.raw = r.raw[:0]
		return nil
	}
	text := strings.ToValidUTF8(string(r.raw), "�")
	r.raw = append(r.raw, end...)
	m := make(message, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			m = append(m, field{key, strings.TrimSpace(value)})
		}
	}
	if len(m) == 0 {
		r.raw = r.raw[:0]
	}
	return m
}

// line returns the next line with its end, cut at maxLine. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	line, err := r.buf.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line = append(bytes.Clone(line), '\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.buf.ReadSlice('\n')
		}
	}
	if err != nil {
		return nil, err
	}
	return line, nil
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
