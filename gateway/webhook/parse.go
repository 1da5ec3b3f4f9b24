package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// Parse reads a request's body. Unknown are the names in it that no field of an event has, each once and no more than
// 20: they are not an error, since a PBX may say more than is asked. On any fault it returns an error of
// gateway.CodeInvalid, or CodeTooLarge for too many events, that names each bad index and field.
func Parse(body []byte, now time.Time) (events []gateway.Event, unknown []string, err error) {
	if !utf8.Valid(body) {
		return nil, nil, gateway.Errorf(gateway.CodeInvalid, "the body is not UTF-8")
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, nil, gateway.Errorf(gateway.CodeInvalid, "the body is empty: send one event or an array of them")
	}
	if wire, ok := scan(body); ok {
		events, err = checked(wire, nil, nil, now)
		return events, nil, err
	}
	raw := []json.RawMessage{body}
	if body[0] == '[' {
		raw = nil
		if err := json.Unmarshal(body, &raw); err != nil {
			return nil, nil, malformed(err)
		}
	} else if !json.Valid(body) {
		return nil, nil, malformed(json.Unmarshal(body, new(any)))
	}
	switch {
	case len(raw) == 0:
		return nil, nil, gateway.Errorf(gateway.CodeInvalid, "the array is empty")
	case len(raw) > MaxEvents:
		return nil, nil, gateway.Errorf(gateway.CodeTooLarge, "%d events in one request, %d are allowed", len(raw), MaxEvents)
	}
	wire, typeFaults := make([]wireEvent, len(raw)), make([][]fault, len(raw))
	for i, one := range raw {
		typeFaults[i] = wire[i].decode(one, &unknown)
	}
	slices.Sort(unknown)
	events, err = checked(wire, typeFaults, unknown, now)
	return events, unknown, err
}

// checked converts events. typeFaults, if any, are each event's fields that are not of the right type; unknown is as in
// Parse.
func checked(wire []wireEvent, typeFaults [][]fault, unknown []string, now time.Time) ([]gateway.Event, error) {
	events := make([]gateway.Event, len(wire))
	var faults []gateway.FieldError
	for i := range wire {
		var bad []fault
		events[i], bad = wire[i].event(now)
		if typeFaults != nil && len(typeFaults[i]) > 0 {
			bad = joined(typeFaults[i], bad)
		}
		for _, f := range bad {
			faults = append(faults, gateway.FieldError{Index: i, Field: f.field, Reason: f.reason})
		}
	}
	if len(faults) == 0 {
		return events, nil
	}
	message := "nothing was taken: see errors"
	if len(unknown) > 0 {
		message += "; no field is called " + strings.Join(unknown, " or ")
	}
	return nil, &gateway.Error{Code: gateway.CodeInvalid, Message: message, Fields: faults}
}

// joined adds to the fields of a wrong type what else is wrong: nothing more of the same fields.
func joined(mistyped, others []fault) []fault {
	if mistyped[0].field == "" {
		return mistyped // it is no object: nothing is missing from it
	}
	wrong := map[string]bool{}
	for _, f := range mistyped {
		wrong[f.field] = true
		if f.field == "extensions" {
			wrong["extension"] = true // one is said to be missing when both are
		}
	}
	for _, f := range others {
		if !wrong[f.field] {
			mistyped = append(mistyped, f)
		}
	}
	return mistyped
}

const (
	maxUnknown     = 20 // names that no field has, in an answer
	maxUnknownName = 64 // characters of one
)

// decode reads an event as encoding/json does, small and capital letters alike. It returns the fields that are not of
// the right type, and adds the names that no field has to unknown.
func (w *wireEvent) decode(raw json.RawMessage, unknown *[]string) []fault {
	err := json.Unmarshal(raw, w)
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return []fault{{"", "is not an event object"}}
	}
	known := append(FieldNames(), "at")
	var bad []fault
	for _, name := range slices.Sorted(maps.Keys(members)) {
		i := slices.IndexFunc(known, func(field string) bool { return strings.EqualFold(field, name) })
		switch {
		case i >= 0 && err != nil:
			if reason := mistyped(known[i], members[name]); reason != "" {
				bad = append(bad, fault{known[i], reason})
			}
		case i < 0 && len(*unknown) < maxUnknown:
			if name = cutTo(name, maxUnknownName); !slices.Contains(*unknown, name) {
				*unknown = append(*unknown, name)
			}
		}
	}
	return bad
}

// mistyped says what is wrong with the type of a field's value, "" if nothing is.
func mistyped(field string, value json.RawMessage) string {
	verb, wants, into := "is", "a text", any(new(string))
	if field == "extensions" {
		wants, into = "a list of texts", new([]string)
		if value[0] == '[' {
			verb = "holds"
		}
	}
	var wrong *json.UnmarshalTypeError
	if !errors.As(json.Unmarshal(value, into), &wrong) {
		return ""
	}
	return fmt.Sprintf("%s %s, should be %s", verb, jsonKind(wrong.Value), wants)
}

// jsonKind says in words what encoding/json calls a value.
func jsonKind(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	if name, ok := map[string]string{"string": "a text", "bool": "true or false", "array": "a list", "object": "an object"}[kind]; ok {
		return name
	}
	return "a number"
}

// cutTo cuts a text to so many characters.
func cutTo(text string, most int) string {
	for i := range text {
		if most--; most < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

func malformed(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return gateway.Errorf(gateway.CodeInvalid, "malformed JSON at byte %d: %v", syntax.Offset, syntax)
	}
	return gateway.Errorf(gateway.CodeInvalid, "malformed JSON: %v", err)
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
	if n := utf8.RuneCountInString(w.Call); n == 0 {
		bad("call", "is missing: which call is it?")
	} else if n > 128 {
		bad("call", "has %d characters, at most 128 are allowed", n)
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
			bad(w.extensionField(), "is missing: who answered?")
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
			bad("cause", "is %.40q, should be %s", w.Cause, either("cause"))
		}
	case gateway.EventRecording:
		if w.Recording == "" {
			bad("recording", "is missing")
		}
	default:
		bad("event", "%s, should be %s", given(string(w.Event)), either("event"))
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

// either lists what Known does: "a, b or c".
func either(field string) string {
	known := Known(field)
	last := len(known) - 1
	return strings.Join(known[:last], ", ") + " or " + known[last]
}

// given says what stands in a field that has to be there.
func given(value string) string {
	if value == "" {
		return "is missing"
	}
	return fmt.Sprintf("is %.40q", value)
}

// extensionField is the name by which the event gives its extensions.
func (w *wireEvent) extensionField() string {
	if w.Extensions != nil {
		return "extensions"
	}
	return "extension"
}

func (w *wireEvent) dial(e *gateway.Event, bad func(field, format string, args ...any)) {
	if !slices.Contains(directions, w.Direction) {
		bad("direction", "%s, should be %s", given(string(w.Direction)), either("direction"))
	}
	if len(e.Extensions) == 0 {
		bad(w.extensionField(), "is missing: who rings, or, outbound, who calls?")
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
