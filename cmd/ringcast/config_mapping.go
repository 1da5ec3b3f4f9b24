package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"ringcast/gateway/webhook"
)

// This file reads the small parts of a webhook's mapping: paths, values, times and conditions.

func parsePathIn(scope webhook.Scope) func(string) (webhook.Path, error) {
	return func(text string) (webhook.Path, error) {
		p, err := webhook.ParsePath(text)
		if err == nil {
			err = scope.Check(p)
		}
		return p, err
	}
}

func parseTextIn(scope webhook.Scope) func(string) (webhook.Text, error) {
	return func(text string) (webhook.Text, error) {
		t, err := webhook.ParseText(text)
		for _, p := range t.Paths() {
			if err == nil {
				err = scope.Check(p)
			}
		}
		return t, err
	}
}

// isSection says whether keys with values stand here.
func (v value) isSection() bool { return describe(v.node) == "keys with values" }

// readValue reads where the value of a field comes from: a text, several of which the first that is not empty
// counts, or a section that says what is done to it as well.
func readValue(v value, name string, scope webhook.Scope) webhook.Value {
	if !v.isSection() {
		return known(v, name, webhook.Value{From: readTexts(v, name, scope)})
	}
	s := v.section()
	w := readCleaned(s, name, scope)
	if name == "extensions" {
		w.Split = parsed(s.get("split"), "", notEmpty)
	}
	if values := s.get("values"); values.given() {
		w.Values = map[string]string{}
		pairs := values.section()
		for _, key := range pairs.keys {
			w.Values[key] = parsed(pairs.get(key), "", knownTo(name))
		}
	}
	w.Else = parsed(s.get("else"), "", knownTo(name))
	w.Keep = s.get("keep").flag(false)
	switch {
	case w.Values == nil && (s.get("else").given() || w.Keep):
		v.fail("else and keep say what to do with what is not among values: there are none")
	case w.Keep && s.get("else").given():
		v.fail("keep and else are both there: set one of them")
	}
	s.done()
	return known(v, name, w)
}

// readCleaned reads what values and times have in common.
func readCleaned(s *section, name string, scope webhook.Scope) webhook.Value {
	w := webhook.Value{From: readTexts(s.need("path"), name, scope), Match: parsed(s.get("match"), nil, parseGroup)}
	if strip := s.get("strip"); strip.given() {
		for _, v := range strip.oneOrList() {
			w.Strip = append(w.Strip, parsed(v, "", notEmpty))
		}
	}
	return w
}

func readTexts(v value, name string, scope webhook.Scope) []webhook.Text {
	var all []webhook.Text
	for _, v := range v.oneOrList() {
		t := parsed(v, webhook.Text{}, parseTextIn(scope))
		if slices.ContainsFunc(t.Paths(), webhook.Path.Many) && name != "extensions" {
			v.fail("[*] names many: that is for extensions")
		}
		if constant, ok := t.Constant(); ok {
			v.doubtConstant(name, constant, scope)
		}
		all = append(all, t)
	}
	return all
}

// fieldForm is what the names of a vendor's fields look like.
var fieldForm = regexp.MustCompile(`^\pL[\pL\d_.\[\]-]*$`)

// doubtConstant refuses a constant that makes no sense in a field, and warns of one that may be a path without its $.
// Of constants that a field may have, and of those in quotes, there is no doubt.
func (v value) doubtConstant(field, text string, scope webhook.Scope) {
	path := "$"
	if scope.Items {
		path = "@"
	}
	if _, err := webhook.ParsePath(path + "." + text); err == nil {
		path += "." + text
	} else {
		path += "['" + text + "']"
	}
	switch {
	case text == "" || webhook.Known(field) != nil:
	case slices.Contains([]string{"call", "id", "into", "at"}, field):
		v.fail("%q would be the same in all requests: to take it from them, write %q", text, path)
	case fieldForm.MatchString(text) && !v.quoted():
		v.warn("will be the text %q itself: to take it from the request, write %q; otherwise put it in quotes", text, path)
	}
}

// quoted says whether a text stands in quotes.
func (v value) quoted() bool {
	t := v.node.GetToken().Type
	return t == token.SingleQuoteType || t == token.DoubleQuoteType
}

// known refuses constants that a field cannot have.
func known(v value, name string, w webhook.Value) webhook.Value {
	if w.Values != nil && !w.Keep {
		return w
	}
	for _, t := range w.From {
		if text, ok := t.Constant(); ok && text != "" {
			if _, err := knownTo(name)(text); err != nil {
				v.fail("%s", err)
			}
		}
	}
	return w
}

// knownTo takes what a field of an event may be; nothing is right, too.
func knownTo(name string) func(string) (string, error) {
	all := webhook.Known(name)
	return func(text string) (string, error) {
		if all == nil || text == "" {
			return text, nil
		}
		return oneOf(all...)(text)
	}
}

// readTime reads where a time comes from.
func readTime(v value, scope webhook.Scope) *webhook.Time {
	t := &webhook.Time{Format: webhook.TimeRFC3339}
	if !v.isSection() {
		t.Value.From = readTexts(v, "at", scope)
		return t
	}
	s := v.section()
	t.Value = readCleaned(s, "at", scope)
	if format := s.get("format"); format.given() {
		t.Format = parsed(format, "", parseTimeFormat)
	}
	t.Zone = parsed(s.get("zone"), nil, parseZone)
	if t.Zone != nil && saysZone(t.Format) {
		s.get("zone").fail("a time of this format says its zone itself")
	}
	if seq := s.get("seq"); seq.given() {
		text := parsed(seq, webhook.Text{}, parseTextIn(scope))
		t.Seq = &text
	}
	s.done()
	return t
}

func isCount(format string) bool {
	return format == webhook.TimeUnix || format == webhook.TimeUnixMS || format == webhook.TimeAgo
}

// saysZone says whether a time in a format is one without a zone beside it.
func saysZone(format string) bool {
	there := time.Date(2011, 10, 9, 18, 7, 6, 0, time.FixedZone("", 5*3600))
	back, err := time.Parse(format, there.Format(format))
	return isCount(format) || format == webhook.TimeRFC3339 || err == nil && back.Equal(there)
}

// parseTimeFormat takes a named format, or a layout that has a date and a time in it.
func parseTimeFormat(text string) (string, error) {
	if isCount(text) || text == webhook.TimeRFC3339 {
		return text, nil
	}
	sample := time.Date(2011, 10, 9, 18, 7, 6, 0, time.UTC)
	if back, err := time.Parse(text, sample.Format(text)); err != nil || !back.Equal(sample) {
		return "", fmt.Errorf("%q: wants %s, or how 2 January 2006, 15:04:05 would be written, such as 2006-01-02 15:04:05", text,
			listed([]string{webhook.TimeRFC3339, webhook.TimeUnix, webhook.TimeUnixMS, webhook.TimeAgo}))
	}
	return text, nil
}

func parseZone(text string) (*time.Location, error) {
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		return nil, fmt.Errorf("%q: wants a time zone, such as Europe/Moscow", text)
	}
	return zone, nil
}

// parseGroup takes a regular expression that says what part of a text is meant.
func parseGroup(text string) (*regexp.Regexp, error) {
	re, err := parseExpression(text)
	if err == nil && re.NumSubexp() != 1 {
		return nil, fmt.Errorf("%q: wants one group in parentheses, around what is meant; others are (?:…)", text)
	}
	return re, err
}

const maxExpression = 500 // characters

func parseExpression(text string) (*regexp.Regexp, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("has more than %d characters", maxExpression)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return re, nil
}

// readWhen reads conditions: paths with what has to be there.
func readWhen(v value, scope webhook.Scope) []webhook.Condition {
	if !v.given() {
		return nil
	}
	s := v.section()
	var all []webhook.Condition
	for _, key := range s.keys {
		at := s.get(key)
		c := webhook.Condition{}
		var err error
		if c.Path, err = parsePathIn(scope)(key); err == nil && c.Path.Many() {
			err = fmt.Errorf("%q: [*] names many, a condition is about one", key)
		}
		if err != nil {
			at.fail("%s", err)
		}
		readCondition(at, &c)
		all = append(all, c)
	}
	if len(all) == 0 && !s.broken {
		v.fail("is empty: leave it out if nothing has to hold")
	}
	return all
}

func readCondition(v value, c *webhook.Condition) {
	if !v.given() {
		v.fail("wants a text, a list of them, or one of given, not and match")
		return
	}
	if !v.isSection() {
		c.Is = readAnyOf(v)
		return
	}
	s := v.section()
	set := 0
	if v := s.get("given"); v.given() {
		given := v.flag(false)
		c.Given, set = &given, set+1
	}
	if v := s.get("not"); v.given() {
		c.Is, c.Not, set = readAnyOf(v), true, set+1
	}
	if v := s.get("match"); v.given() {
		c.Match, set = parsed(v, nil, parseExpression), set+1
	}
	s.done()
	if set != 1 {
		v.fail("wants one of given, not and match")
	}
}

func readAnyOf(v value) []string {
	var all []string
	for _, v := range v.oneOrList() {
		all = append(all, parsed(v, "", func(text string) (string, error) {
			if strings.HasPrefix(text, "$") || strings.HasPrefix(text, "@") {
				return "", errors.New("wants a constant to compare with, not a path")
			}
			return text, nil
		}))
	}
	return all
}
