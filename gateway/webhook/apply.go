package webhook

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// reader is a mapping made ready to read.
type reader struct {
	*Mapping
	rules []Rule // with Fields where they set nothing themselves
}

func newReader(m *Mapping) *reader {
	r := &reader{Mapping: m}
	rules := m.Rules
	if len(rules) == 0 {
		rules = []Rule{{}}
	}
	for _, rule := range rules {
		values := maps.Clone(m.Fields.Values)
		if values == nil {
			values = map[string]Value{}
		}
		maps.Copy(values, rule.Set.Values)
		// One replaces the other, or a rule could not name several where the mapping names one.
		if _, own := rule.Set.Values["extension"]; own {
			delete(values, "extensions")
		} else if _, own := rule.Set.Values["extensions"]; own {
			delete(values, "extension")
		}
		rule.Set.Values = values
		if rule.Set.At == nil {
			rule.Set.At = m.Fields.At
		}
		r.rules = append(r.rules, rule)
	}
	return r
}

// maxFaults is how many faults of a request are told before the rest of it is not looked at.
const maxFaults = 100

// events makes the events of a request. It returns how many items were there to ignore.
func (m *reader) events(r *request, now time.Time) (events []gateway.Event, ignored int, err error) {
	items := []any{nil}
	if m.Events != nil {
		items = nil
		found := false
		m.Events.find(r, func(v any) bool {
			found = true
			if list, ok := v.([]any); ok && !m.Events.Many() {
				items = append(items, list...)
			} else {
				items = append(items, v)
			}
			return len(items) <= MaxEvents
		})
		if !found && !m.Events.Many() {
			return nil, 0, gateway.Errorf(gateway.CodeInvalid, "there are no events at %s", m.Events)
		}
	}
	tooMany := gateway.Errorf(gateway.CodeTooLarge, "more than the %d events that one request may hold", MaxEvents)
	if len(items) > MaxEvents {
		return nil, 0, tooMany
	}
	var faults []gateway.FieldError
	for i, item := range items {
		r.item, r.index = item, i
		made, skipped, wrong := m.item(r, now)
		events, ignored = append(events, made...), ignored+skipped
		for _, f := range wrong {
			faults = append(faults, gateway.FieldError{Index: i, Field: f.field, Reason: f.reason})
		}
		if len(events) > MaxEvents { // some items made several
			return nil, 0, tooMany
		}
		if len(faults) >= maxFaults {
			break
		}
	}
	if len(faults) > 0 {
		return nil, 0, &gateway.Error{Code: gateway.CodeInvalid, Message: "nothing was taken: see errors", Fields: faults}
	}
	return events, ignored, nil
}

// item makes the events of one item, or of a body that is one.
func (m *reader) item(r *request, now time.Time) (events []gateway.Event, ignored int, faults []fault) {
	taken := false
	for i, rule := range m.rules {
		if !hold(rule.When, r) {
			continue
		}
		taken = true
		if rule.Ignore {
			ignored++
		} else {
			e, wrong := rule.Set.event(r, now)
			for _, f := range wrong {
				if len(m.Rules) > 0 {
					f.reason += fmt.Sprintf(" (rules[%d] of the mapping)", i)
				}
				faults = append(faults, f)
			}
			// What one item says in several events has one id from the vendor.
			if e.ID != "" && len(events) > 0 {
				e.ID += " " + strconv.Itoa(len(events)+1)
			}
			events = append(events, e)
		}
		if !rule.Continue {
			break
		}
	}
	if !taken {
		faults = append(faults, fault{"", "no rule of the mapping takes it"})
	}
	return events, ignored, faults
}

func (set Fields) event(r *request, now time.Time) (gateway.Event, []fault) {
	var w wireEvent
	var faults []fault
	texts := map[string]*string{
		"event": (*string)(&w.Event), "call": &w.Call, "id": &w.ID, "direction": (*string)(&w.Direction), "name": &w.Name,
		"line": &w.Line, "extension": &w.Extension, "cause": (*string)(&w.Cause), "target": &w.Target, "into": &w.Into,
	}
	for _, name := range FieldNames() { // in this order, so that faults have one
		value, ok := set.Values[name]
		if !ok {
			continue
		}
		var text string
		var err error
		switch name {
		case "extensions":
			w.Extensions, err = value.list(r)
		case "recording":
			text, err = value.translated(value.first(r, Text.url))
			w.Recording = text
		case "from":
			text, err = value.text(r)
			w.From = &text // a number that is not there is withheld
		case "to":
			text, err = value.text(r)
			w.To = &text
		default:
			text, err = value.text(r)
			*texts[name] = text
		}
		if err != nil {
			faults = append(faults, fault{name, err.Error()})
		} else if text == "" && (name != "extensions" || len(w.Extensions) == 0) {
			r.noteEmpty(name, value)
		}
	}
	if set.At != nil {
		at, err := set.At.read(r, now)
		switch {
		case err != nil:
			faults = append(faults, fault{"at", err.Error()})
		case at.IsZero():
			r.noteEmpty("at", set.At.Value)
		default:
			w.At = at.UTC().Format(time.RFC3339Nano)
		}
	}
	if len(faults) > 0 {
		return gateway.Event{}, faults
	}
	return w.event(now)
}

// noteEmpty notes a field that came out empty, if somebody wants to know and it is not what the mapping says.
func (r *request) noteEmpty(field string, v Value) {
	if r.trial && slices.ContainsFunc(v.From, func(t Text) bool { return len(t.Paths()) > 0 }) {
		r.empty = append(r.empty, gateway.FieldError{Index: r.index, Field: field,
			Reason: "is empty: what the mapping makes it of is not in the request, or not all of it"})
	}
}

func (v Value) first(r *request, read func(Text, *request) string) string {
	for _, t := range v.From {
		if text := read(t, r); text != "" {
			return text
		}
	}
	return ""
}

func (v Value) text(r *request) (string, error) { return v.translated(v.first(r, Text.string)) }

func (v Value) translated(text string) (string, error) {
	if v.Match != nil {
		group := ""
		if len(text) <= maxText {
			if found := v.Match.FindStringSubmatch(text); len(found) > 1 {
				group = found[1]
			}
		}
		text = group
	}
	for _, prefix := range v.Strip {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			text = rest
			break
		}
	}
	if v.Values == nil {
		return text, nil
	}
	if value, ok := v.Values[text]; ok {
		return value, nil
	}
	if v.Keep || text == "" && v.Else == "" {
		return text, nil
	}
	if v.Else == "" {
		return "", fmt.Errorf("is %.40q, which is not among its values", text)
	}
	return v.Else, nil
}

// list returns what the first path that names anything names, each text split and cleaned up.
func (v Value) list(r *request) ([]string, error) {
	for _, t := range v.From {
		var all []string
		if !t.path {
			all = append(all, t.string(r))
		} else {
			t.parts[0].path.find(r, func(found any) bool {
				list, ok := found.([]any)
				if !ok {
					list = []any{found}
				}
				for _, item := range list[:min(len(list), maxExtensions+1)] {
					all = append(all, scalar(item))
				}
				return len(all) <= maxExtensions
			})
		}
		list, err := v.cleaned(all)
		if err != nil || len(list) > 0 {
			return list, err
		}
	}
	return nil, nil
}

func (v Value) cleaned(all []string) ([]string, error) {
	var list []string
	for _, text := range all {
		separated := []string{text}
		if v.Split != "" {
			separated = strings.SplitN(text, v.Split, maxExtensions+2)
		}
		for _, one := range separated {
			one, err := v.translated(strings.TrimSpace(cut(one)))
			if err != nil || len(list) > maxExtensions {
				return list, err
			}
			if one != "" {
				list = append(list, one)
			}
		}
	}
	return list, nil
}

const lastSecond = 4102444800 // 2100: a count of milliseconds that is taken for seconds lies beyond

// read returns the zero time when there is none; vendors write 0 for that, too.
func (t *Time) read(r *request, now time.Time) (time.Time, error) {
	text, err := t.Value.text(r)
	if err != nil || text == "" || text == "0" && t.Format != TimeAgo {
		return time.Time{}, err
	}
	at, err := t.parse(text, now)
	if err != nil {
		return time.Time{}, err
	}
	if t.Seq != nil {
		if n, err := strconv.ParseUint(t.Seq.string(r), 10, 32); err == nil {
			at = at.Add(time.Duration(min(n, 999)) * time.Millisecond)
		}
	}
	return at, nil
}

func (t *Time) parse(text string, now time.Time) (time.Time, error) {
	layout := t.Format
	switch t.Format {
	case TimeRFC3339:
		layout = time.RFC3339Nano
	case TimeUnix, TimeUnixMS, TimeAgo:
		n, err := strconv.ParseFloat(text, 64)
		if t.Format == TimeUnixMS {
			n /= 1000
		}
		if err != nil || math.IsNaN(n) || n < 0 || n > lastSecond {
			return time.Time{}, fmt.Errorf("is %.40q, which is no number of %s", text, t.Format)
		}
		whole, fraction := math.Modf(n)
		if t.Format == TimeAgo {
			return now.Add(-time.Duration(whole)*time.Second - time.Duration(fraction*1e9)), nil
		}
		return time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1e3), nil // a float has no nanoseconds left here
	}
	at, err := time.ParseInLocation(layout, text, cmp.Or(t.Zone, time.UTC))
	if err != nil || at.Year() < 1970 || at.Year() > 2100 {
		return time.Time{}, fmt.Errorf("is %.40q, should be a time such as %s", text, layout)
	}
	return at, nil
}
