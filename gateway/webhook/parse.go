package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ringcast/gateway"
)

// maxFuture is how far a PBX's clock may be ahead. How old an event may be has no limit: a PBX may have kept
// it through an outage.
const maxFuture = 5 * time.Minute

const maxExtensions = 100 // of an event

// wireEvent is an event as it is posted.
type wireEvent struct {
	Event      gateway.EventType `json:"event"`
	Call       string            `json:"call"`
	ID         string            `json:"id"`
	Direction  gateway.Direction `json:"direction"`
	From       *string           `json:"from"`
	To         *string           `json:"to"`
	Name       string            `json:"name"`
	Extension  string            `json:"extension"`
	Extensions []string          `json:"extensions"`
	Line       string            `json:"line"`
	At         string            `json:"at"`
	Cause      gateway.Cause     `json:"cause"`
	Target     string            `json:"target"`
	Into       string            `json:"into"`
	Recording  string            `json:"recording"`
}

// Parse reads a request's body. On any fault it returns an error of gateway.CodeInvalid, or CodeTooLarge
// for too many events, that names each bad index and field.
func Parse(body []byte, now time.Time) ([]gateway.Event, error) {
	if !utf8.Valid(body) {
		return nil, gateway.Errorf(gateway.CodeInvalid, "the body is not UTF-8")
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, gateway.Errorf(gateway.CodeInvalid, "the body is empty: send one event or an array of them")
	}
	if wire, ok := scan(body); ok {
		return checked(wire, nil, now)
	}
	raw := []json.RawMessage{body}
	if body[0] == '[' {
		raw = nil
		if err := json.Unmarshal(body, &raw); err != nil {
			return nil, malformed(err)
		}
	} else if !json.Valid(body) {
		return nil, malformed(json.Unmarshal(body, new(any)))
	}
	switch {
	case len(raw) == 0:
		return nil, gateway.Errorf(gateway.CodeInvalid, "the array is empty")
	case len(raw) > MaxEvents:
		return nil, gateway.Errorf(gateway.CodeTooLarge, "%d events in one request, %d are allowed", len(raw), MaxEvents)
	}
	wire, wrong := make([]wireEvent, len(raw)), make([]error, len(raw))
	for i, one := range raw {
		wrong[i] = json.Unmarshal(one, &wire[i])
	}
	return checked(wire, wrong, now)
}

// checked converts events. wrong, if any, are those that could not be read.
func checked(wire []wireEvent, wrong []error, now time.Time) ([]gateway.Event, error) {
	events := make([]gateway.Event, len(wire))
	var faults []gateway.FieldError
	for i := range wire {
		if wrong != nil && wrong[i] != nil {
			faults = append(faults, typeFault(i, wrong[i]))
			continue
		}
		var bad []fault
		events[i], bad = wire[i].event(now)
		for _, f := range bad {
			faults = append(faults, gateway.FieldError{Index: i, Field: f.field, Reason: f.reason})
		}
	}
	if len(faults) > 0 {
		return nil, &gateway.Error{Code: gateway.CodeInvalid, Message: "nothing was taken: see errors", Fields: faults}
	}
	return events, nil
}

func malformed(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return gateway.Errorf(gateway.CodeInvalid, "malformed JSON at byte %d: %v", syntax.Offset, syntax)
	}
	return gateway.Errorf(gateway.CodeInvalid, "malformed JSON: %v", err)
}

func typeFault(index int, err error) gateway.FieldError {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return gateway.FieldError{Index: index, Field: wrong.Field, Reason: "is a JSON " + wrong.Value + ", should be a " + wrong.Type.String()}
	}
	return gateway.FieldError{Index: index, Field: "", Reason: "is not an event object"}
}

type fault struct{ field, reason string }

// event checks the table of design §4.1 and converts.
func (w *wireEvent) event(now time.Time) (gateway.Event, []fault) {
	var faults []fault
	bad := func(field, format string, args ...any) {
		faults = append(faults, fault{field, fmt.Sprintf(format, args...)})
	}
	e := gateway.Event{
		Call: w.Call, Type: w.Event, ID: w.ID, Direction: w.Direction, Line: w.Line, Name: w.Name,
		Cause: w.Cause, Target: w.Target, Into: w.Into, Recording: w.Recording,
	}
	if n := utf8.RuneCountInString(w.Call); n < 1 || n > 128 {
		bad("call", "has %d characters, 1 to 128 are allowed", n)
	}
	if n := utf8.RuneCountInString(w.ID); n > 128 {
		bad("id", "has %d characters, at most 128 are allowed", n)
	}
	for _, text := range []struct{ field, value string }{
		{"from", value(w.From)}, {"to", value(w.To)}, {"line", w.Line}, {"name", w.Name}, {"target", w.Target}, {"into", w.Into},
	} {
		if n := utf8.RuneCountInString(text.value); n > 256 {
			bad(text.field, "has %d characters, at most 256 are allowed", n)
		}
	}
	e.Extensions = w.extensions(bad)
	e.At = w.at(now, bad)
	switch w.Event {
	case gateway.EventDial:
		w.dial(&e, bad)
	case gateway.EventBridge:
		if len(e.Extensions) == 0 {
			bad("extension", "is missing: who answered?")
		}
	case gateway.EventHold, gateway.EventUnhold:
	case gateway.EventTransfer:
		if w.Target == "" {
			bad("target", "is missing: where does the call go?")
		}
	case gateway.EventMerge:
		if w.Into == "" || w.Into == w.Call {
			bad("into", "must name the other call, the one that lives on")
		}
	case gateway.EventHangup:
		if w.Cause != "" && !slices.Contains(causes, w.Cause) {
			bad("cause", "is %q, should be one of %v", w.Cause, causes)
		}
	case gateway.EventRecording:
		if w.Recording == "" {
			bad("recording", "is missing")
		}
	default:
		bad("event", "is %q, should be one of %v", w.Event, eventTypes)
	}
	if w.Recording != "" {
		if reason := checkURL(w.Recording); reason != "" {
			bad("recording", "%s", reason)
		}
	}
	return e, faults
}

var ( // fixed sets
	causes = []gateway.Cause{gateway.CauseNormal, gateway.CauseNoAnswer, gateway.CauseBusy, gateway.CauseCancelled,
		gateway.CauseRejected, gateway.CauseFailed}
	directions = []gateway.Direction{gateway.Inbound, gateway.Outbound, gateway.Internal}
	eventTypes = []gateway.EventType{gateway.EventDial, gateway.EventBridge, gateway.EventHold, gateway.EventUnhold,
		gateway.EventTransfer, gateway.EventMerge, gateway.EventHangup, gateway.EventRecording}
)

// Known returns the values that a field of an event may have, nil when it may have any.
func Known(field string) []string {
	var known []string
	switch field {
	case "event":
		for _, t := range eventTypes {
			known = append(known, string(t))
		}
	case "direction":
		for _, d := range directions {
			known = append(known, string(d))
		}
	case "cause":
		for _, c := range causes {
			known = append(known, string(c))
		}
	}
	return known
}

func (w *wireEvent) dial(e *gateway.Event, bad func(field, format string, args ...any)) {
	if !slices.Contains(directions, w.Direction) {
		bad("direction", "is %q, should be one of %v", w.Direction, directions)
	}
	if len(e.Extensions) == 0 {
		bad("extension", "is missing: who rings, or, outbound, who calls?")
	}
	if w.From == nil && w.Direction != gateway.Outbound {
		bad("from", `is missing: "" stands for a withheld number`)
	}
	if w.To == nil && w.Direction == gateway.Outbound {
		bad("to", "is missing: which number is called?")
	}
	e.From.Raw, e.To.Raw = value(w.From), value(w.To)
}

func (w *wireEvent) extensions(bad func(field, format string, args ...any)) []string {
	list, field := w.Extensions, "extensions"
	if w.Extension != "" {
		if len(list) > 0 {
			bad("extension", "and extensions are both there: send one of them")
		}
		list, field = []string{w.Extension}, "extension"
	}
	if len(list) > maxExtensions {
		bad(field, "names %d extensions, at most %d are allowed", len(list), maxExtensions)
		return nil
	}
	var unique []string
	for _, ext := range list {
		if ext != strings.TrimSpace(ext) || ext == "" || len(ext) > 64 {
			bad(field, "holds %.64q: an extension has 1 to 64 characters, no space around", ext)
		} else if !slices.Contains(unique, ext) {
			unique = append(unique, ext)
		}
	}
	return unique
}

func (w *wireEvent) at(now time.Time, bad func(field, format string, args ...any)) time.Time {
	if w.At == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, w.At)
	switch {
	case err != nil:
		bad("at", "is %.40q, should be RFC 3339, as 2026-01-31T09:15:00.000Z", w.At)
	case at.Sub(now) > maxFuture:
		bad("at", "is %v in the future: is the PBX's clock right?", at.Sub(now).Round(time.Second))
	}
	return at.UTC()
}

// checkURL returns what is wrong with a URL that comes from outside (design §4.3, settled points).
func checkURL(text string) string {
	if len(text) > 2048 {
		return fmt.Sprintf("has %d characters, at most 2048 are allowed", len(text))
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "is not an http or https URL"
	}
	return ""
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
