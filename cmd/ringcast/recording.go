package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// A recording is what a PBX said, byte for byte but for what is masked, and when: a line of JSON for the whole, and
// then one for each message, in the order in which they were read or, of requests, answered.
//
//	{"ringcast":"recording 1","kind":"asterisk","account":"acme","pbx":"office","region":"RU","at":"2026-11-21T09:00:00Z"}
//	{"at":"2026-11-21T09:00:01.250117Z","raw":"Event: Newchannel\r\nChannel: …\r\n\r\n"}

const recordingForm = "recording 1"

// maxRecorded is how long a line of a recording may be: the longest answer that a link reads, however JSON writes it.
const maxRecorded = 64 << 20

// recordingHead is the first line of a recording.
type recordingHead struct {
	Form    string    `json:"ringcast"`
	Kind    string    `json:"kind"` // of the PBX, as in the config
	Account string    `json:"account"`
	PBX     string    `json:"pbx"`
	Mapped  bool      `json:"mapped,omitempty"` // its requests are in a format of its own
	Region  string    `json:"region,omitempty"`
	At      time.Time `json:"at"`
}

// recorded is a message of a recording.
type recorded struct {
	At     time.Time   `json:"at"`
	From   string      `json:"from,omitempty"`   // of a Phonet: which socket or answer it is
	Method string      `json:"method,omitempty"` // of a request; "": POST
	To     string      `json:"to,omitempty"`     // of a request: path and query
	Header http.Header `json:"header,omitempty"` // of a request, without what is between it and the gateway
	Raw    string      `json:"raw"`
	Bytes  []byte      `json:"bytes,omitempty"` // instead of Raw when that is not UTF-8
}

// content is the message itself.
func (m recorded) content() []byte {
	if m.Bytes != nil {
		return m.Bytes
	}
	return []byte(m.Raw)
}

// recorder writes a recording. It may be used from many goroutines.
type recorder struct {
	mask *mask
	now  func() time.Time

	mu       sync.Mutex
	out      *bufio.Writer
	lines    *json.Encoder // to out
	messages int
	err      error // the first; nothing is written after it
}

// newRecorder begins a recording. Close it.
func newRecorder(out io.Writer, head recordingHead, mask *mask, now func() time.Time) *recorder {
	r := &recorder{mask: mask, now: now, out: bufio.NewWriterSize(out, 64<<10)}
	r.lines = json.NewEncoder(r.out)
	r.lines.SetEscapeHTML(false) // people read it, too
	head.Form, head.At = recordingForm, now().UTC()
	r.line(head)
	return r
}

// message adds a message that came just now, unless it says when that was.
func (r *recorder) message(m recorded, raw []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages++
	m.At = cmp.Or(m.At, r.now()).UTC()
	m.From, m.To, m.Raw = r.mask.apply(m.From, m.At), r.mask.apply(m.To, m.At), r.mask.apply(string(raw), m.At)
	if !utf8.ValidString(m.Raw) {
		m.Raw, m.Bytes = "", []byte(m.Raw)
	}
	for name, values := range m.Header {
		for i, value := range values {
			values[i] = strings.TrimPrefix(r.mask.apply(name+": "+value, m.At), name+": ")
		}
	}
	r.line(m)
}

func (r *recorder) line(v any) {
	if r.err == nil {
		r.err = r.lines.Encode(v)
	}
}

// flush writes what is recorded so far, and says how many messages that is.
func (r *recorder) flush() (messages int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = r.out.Flush()
	}
	return r.messages, r.err
}

// recording reads one.
type recording struct {
	recordingHead
	lines *bufio.Scanner
	line  int
}

// readRecording reads the first line of a recording.
func readRecording(in io.Reader) (*recording, error) {
	r := &recording{lines: bufio.NewScanner(in), line: 1}
	r.lines.Buffer(nil, maxRecorded)
	if !r.lines.Scan() {
		return nil, errors.Join(errors.New("the recording is empty"), r.lines.Err())
	}
	if err := json.Unmarshal(r.lines.Bytes(), &r.recordingHead); err != nil || r.Form != recordingForm {
		return nil, fmt.Errorf("not a recording that this version can read: it begins with %.80q, and should with {\"ringcast\":%q", r.lines.Text(), recordingForm)
	}
	return r, nil
}

// next returns the next message, io.EOF after the last. A line that was cut off by the end of a disk, or of the
// recording process, is the end.
func (r *recording) next() (recorded, error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return recorded{}, fmt.Errorf("line %d: %w", r.line+1, err)
		}
		return recorded{}, io.EOF
	}
	r.line++
	var m recorded
	if err := json.Unmarshal(r.lines.Bytes(), &m); err != nil {
		if !r.lines.Scan() {
			return recorded{}, io.EOF
		}
		return recorded{}, fmt.Errorf("line %d is not a message: %w", r.line, err)
	}
	return m, nil
}
