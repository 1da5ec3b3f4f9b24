package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // a mapping names time zones, and not every machine has them

	"ringcast/gateway/webhook"
)

// WebhookConfig is a PBX that posts its events.
type WebhookConfig struct {
	Key     Secret           // its bearer key; "": none, with a mapping
	Mapping *webhook.Mapping // nil: it posts them as Ringcast has them
}

func readWebhook(s *section) *WebhookConfig {
	c := &WebhookConfig{Key: s.get("key").secret(0)}
	s.get("key").warnIfShort(c.Key)
	if mapping := s.get("mapping"); mapping.given() {
		c.Mapping = readMapping(mapping, c.Key)
	} else {
		s.need("key")
	}
	return c
}

// readMapping reads how a PBX with a format of its own posts. bearer is the PBX's key, if it has one.
func readMapping(v value, bearer Secret) *webhook.Mapping {
	s := v.section()
	m := &webhook.Mapping{Encoding: parsed(s.need("encoding"), "", namedOf(webhook.Encodings()))}
	scope := webhook.Scope{Form: m.Encoding == webhook.EncodingFormJSON, Query: m.Encoding == webhook.EncodingQuery, Items: s.get("events").given()}
	if field := s.get("json_field"); m.Encoding == webhook.EncodingFormJSON {
		m.JSONField = parsed(s.need("json_field"), "", notEmpty)
	} else if field.given() {
		field.fail("is for encoding form_json")
	}
	if events := s.get("events"); events.given() {
		p := parsed(events, webhook.Path{}, parsePathIn(webhook.Scope{Form: scope.Form}))
		m.Events = &p
	}
	m.Auth = readAuth(s, scope, m.JSONField)
	m.Auth.Key = webhook.Secret(bearer)
	if m.Auth.None() && !s.broken {
		v.fail("anybody could post: it needs a signature, keys or addresses, or the PBX a key")
	}
	m.Echo = parsed(s.get("echo"), "", notEmpty)
	m.Answer = readAnswer(s.get("answer"))
	m.Fields = readFields(s.get("fields").section(), scope, nil)
	rules := s.get("rules").list()
	for i, item := range rules {
		r := readRule(item, scope, m.Fields)
		if len(r.When) == 0 && !r.Continue && i < len(rules)-1 {
			item.fail("takes everything, so the rules behind it are never tried: it wants a when, or to be the last")
		}
		m.Rules = append(m.Rules, r)
	}
	if len(m.Rules) == 0 && !s.get("rules").given() && !s.broken {
		needFields(v, m.Fields, webhook.Fields{})
	}
	s.done()
	return m
}

func readRule(v value, scope webhook.Scope, defaults webhook.Fields) webhook.Rule {
	s := v.section()
	r := webhook.Rule{
		When:     readWhen(s.get("when"), scope),
		Ignore:   s.get("ignore").flag(false),
		Continue: s.get("continue").flag(false),
	}
	r.Set = readFields(s, scope, []string{"when", "ignore", "continue"})
	switch {
	case s.broken:
	case r.Ignore && (len(r.Set.Values) > 0 || r.Set.At != nil):
		s.get("ignore").fail("nothing comes of the request, so the rule sets no fields")
	case !r.Ignore:
		needFields(v, r.Set, defaults)
	}
	return r
}

// readFields reads the fields of an event, and then refuses other keys of the section.
func readFields(s *section, scope webhook.Scope, others []string) webhook.Fields {
	f := webhook.Fields{}
	for _, name := range webhook.FieldNames() {
		if v := s.get(name); v.given() {
			if f.Values == nil {
				f.Values = map[string]webhook.Value{}
			}
			f.Values[name] = readValue(v, name, scope)
		}
	}
	if one, many := s.get("extension"), s.get("extensions"); one.given() && many.given() {
		many.fail("and extension are both there: set one of them")
	}
	if v := s.get("at"); v.given() {
		f.At = readTime(v, scope)
	}
	for _, name := range others {
		s.get(name)
	}
	s.done()
	return f
}

// needed are the fields without which an event of a type, or a call.dial of a direction, is refused: one of each list.
var needed = map[string][][]string{
	"call.dial":          {{"direction"}, {"extension", "extensions"}},
	"inbound call.dial":  {{"from"}},
	"internal call.dial": {{"from"}},
	"outbound call.dial": {{"to"}},
	"call.bridge":        {{"extension", "extensions"}},
	"call.transfer":      {{"target"}},
	"call.merge":         {{"into"}},
	"call.recording":     {{"recording"}},
}

// needFields says which fields are missing for the events that a rule may make.
func needFields(v value, own, defaults webhook.Fields) {
	set := func(name string) (webhook.Value, bool) {
		if value, ok := own.Values[name]; ok {
			return value, true
		}
		value, ok := defaults.Values[name]
		return value, ok
	}
	if _, ok := set("call"); !ok {
		v.fail("sets no call: which of the vendor's fields is the call's id?")
	}
	event, ok := set("event")
	if !ok {
		v.fail("sets no event")
		return
	}
	kinds := possible(event)
	if direction, ok := set("direction"); ok && slices.Contains(kinds, "call.dial") {
		for _, way := range possible(direction) {
			kinds = append(kinds, way+" call.dial")
		}
	}
	for _, name := range kinds {
		for _, fields := range needed[name] {
			has := false
			for _, field := range fields {
				_, ok := set(field)
				has = has || ok
			}
			if !has {
				v.fail("sets no %s, which %s needs", listed(fields), name)
			}
		}
	}
}

// possible returns what a value may become, as far as the config says: each once, in alphabetical order.
func possible(v webhook.Value) []string {
	all := slices.Collect(maps.Values(v.Values))
	if v.Values != nil {
		all = append(all, v.Else)
	}
	if v.Values == nil || v.Keep {
		for _, t := range v.From {
			if text, ok := t.Constant(); ok {
				all = append(all, text)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func readAuth(s *section, scope webhook.Scope, jsonField string) webhook.Auth {
	scope.Signed, scope.Items = true, false
	a := webhook.Auth{}
	for _, v := range s.get("addresses").list() {
		a.Addresses = append(a.Addresses, parsed(v, netip.Prefix{}, parseVendor))
	}
	for _, v := range s.get("keys").list() {
		s := v.section()
		key := webhook.SharedKey{In: parsed(s.need("in"), webhook.Path{}, parsePathIn(scope)), Key: webhook.Secret(s.need("key").secret(0))}
		s.get("key").warnIfShort(Secret(key.Key))
		s.done()
		a.Keys = append(a.Keys, key)
	}
	if v := s.get("signature"); v.given() {
		a.Signature = readSignature(v.section(), scope, jsonField)
	}
	return a
}

// parseVendor takes an address or a network that a vendor posts from.
func parseVendor(text string) (netip.Prefix, error) {
	p, err := parseProxy(text)
	if err != nil {
		return p, err
	}
	switch {
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q: write it as IPv4", text)
	case p.Addr().Is6() && p.Bits() > 64:
		return p, fmt.Errorf("%q: whoever has an IPv6 address has its whole /64: write that", text)
	case p.Bits() == 0:
		return p, fmt.Errorf("%q is everybody", text)
	}
	return p, nil
}

// defaultWindow is how old a signature may be, where the vendor signs the time.
const defaultWindow = 5 * time.Minute

func readSignature(s *section, scope webhook.Scope, jsonField string) *webhook.Signature {
	g := &webhook.Signature{
		Scheme:   parsed(s.need("scheme"), "", namedOf(webhook.Schemes())),
		Key:      webhook.Secret(s.need("key").secret(0)),
		In:       parsed(s.need("in"), webhook.Path{}, parsePathIn(scope)),
		Prefix:   parsed(s.get("prefix"), "", notEmpty),
		Encoding: parsed(s.get("encoding"), webhook.Hex, oneOf(webhook.Hex, webhook.Base64, webhook.Base64Hex)),
		Window:   parsed(s.get("window"), defaultWindow, parseWindow),
	}
	s.get("key").warnIfShort(Secret(g.Key))
	body := scope
	scope.Key = g.Scheme.Plain()
	for _, v := range s.need("text").oneOrList() {
		t := webhook.SignedText{}
		at := v
		if v.isSection() {
			s := v.section()
			t.When = readWhen(s.get("when"), body)
			at = s.need("text")
			s.done()
		}
		t.Text = parsed(at, webhook.Text{}, func(text string) (webhook.Text, error) {
			t, err := parseTextIn(scope)(text)
			if err == nil {
				err = checkSigned(g.Scheme, t)
			}
			return t, err
		})
		g.Texts = append(g.Texts, t)
	}
	if v := s.get("time"); v.given() {
		g.Time = readTime(v, body)
		unsigned := func(time webhook.Text) bool {
			return slices.ContainsFunc(g.Texts, func(t webhook.SignedText) bool { return !t.Text.Signs(time, jsonField) })
		}
		if slices.ContainsFunc(g.Time.Value.From, unsigned) {
			v.fail("is not part of the text that is signed: anybody could change it")
		}
	} else if s.get("window").given() {
		s.get("window").fail("needs time: when was it signed?")
	}
	s.done()
	return g
}

// checkSigned refuses a text that anybody could sign.
func checkSigned(scheme webhook.Scheme, text webhook.Text) error {
	keys := 0
	for _, p := range text.Paths() {
		if p.String() == "$key" {
			keys++
		}
	}
	switch {
	case len(text.Paths()) == keys:
		return errors.New("signs nothing of the request")
	case scheme.Plain() && keys == 0:
		return errors.New("has no {$key} in it: anybody could make a plain hash of the rest")
	}
	return nil
}

func parseWindow(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 10*time.Second || d > 24*time.Hour {
		return 0, fmt.Errorf("%q: wants a time from 10s to 24h, such as 5m", text)
	}
	return d, nil
}

func readAnswer(v value) *webhook.Answer {
	if !v.given() {
		return nil
	}
	s := v.section()
	a := &webhook.Answer{
		Status: parsed(s.get("status"), 200, func(text string) (int, error) {
			status, err := strconv.Atoi(text)
			if err != nil || status < 200 || status > 299 || status == 204 && s.get("body").given() {
				return 0, fmt.Errorf("%q: wants 200 to 299, and 204 without a body", text)
			}
			return status, nil
		}),
		Body: parsed(s.get("body"), "", anyText),
	}
	kind := "text/plain; charset=utf-8"
	if json.Valid([]byte(a.Body)) {
		kind = "application/json"
	}
	a.Type = parsed(s.get("type"), kind, func(text string) (string, error) {
		for _, r := range text {
			if r < ' ' || r > '~' {
				return "", errors.New("wants a media type, such as application/json")
			}
		}
		return notEmpty(text)
	})
	s.done()
	return a
}

// namedOf is oneOf for texts of a type of their own.
func namedOf[T ~string](known []T) func(string) (T, error) {
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	return func(text string) (T, error) {
		name, err := oneOf(names...)(text)
		return T(name), err
	}
}
