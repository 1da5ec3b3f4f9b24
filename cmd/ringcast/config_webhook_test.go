package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// TestSampleIsTheManualOfMappings holds that the sample shows every key of a mapping, somewhere in it.
func TestSampleIsTheManualOfMappings(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return strings.Repeat(name, 32), true }
	everything := regexp.MustCompile(`(?m)^( *)#(\S)`).ReplaceAll(data, []byte("$1$2"))
	dir := t.TempDir()
	newCertificate(t, dir, 1) // which will do for a secret, too
	cfg, err := parseConfig("ringcast.yaml", everything, env, func(string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, "cert.pem")) })
	if err != nil {
		t.Fatal(err)
	}
	for _, pbx := range cfg.Accounts[0].PBX {
		if pbx.Webhook == nil || pbx.Webhook.Mapping == nil {
			continue
		}
		shown := map[string]bool{}
		note(shown, reflect.ValueOf(*pbx.Webhook.Mapping))
		for name, is := range shown {
			if !is {
				t.Errorf("the sample does not show %s", name)
			}
		}
		return
	}
	t.Error("the sample shows no mapping")
}

// note notes for each exported field below v whether a value anywhere has it set.
func note(shown map[string]bool, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			note(shown, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			note(shown, v.Index(i))
		}
	case reflect.Map:
		for pairs := v.MapRange(); pairs.Next(); {
			note(shown, pairs.Value())
		}
	case reflect.Struct:
		if !strings.HasSuffix(v.Type().PkgPath(), "/webhook") {
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				name := v.Type().Name() + "." + f.Name
				shown[name] = shown[name] || !v.Field(i).IsZero()
				note(shown, v.Field(i))
			}
		}
	}
}

// FuzzMapping reads any mapping, and any body with it. Mappings are short here: the YAML decoder takes its time.
func FuzzMapping(f *testing.F) {
	f.Add(`{encoding: json, keys: [{in: $.k, key: k}], events: "$.e[*]", fields: {event: "@.t", call: "{@.a}-{@['b']}", at: {path: "@.w", format: ago}, `+
		`extensions: {path: "@.x[*].y", split: ",", match: "(.)"}}}`, []byte(`{"k":"k","e":[{"t":"call.bridge","a":1,"b":true,"x":[{"y":"1,2"}],"w":3}]}`), "call")
	f.Add(`{encoding: form_json, json_field: j, signature: {scheme: sha256, key: k, in: $form.s, text: "{$form.j}{$key}"}, fields: {call: $.c}, `+
		`rules: [{when: {$path: call, $.x: {not: [a, b]}, $.y: {given: true}}, event: call.hold, continue: true}, {when: {$.z: {match: "^a"}}, ignore: true}]}`,
		[]byte(`j={"c":1,"x":"c","y":2,"z":"ab"}&s=00`), "call")
	f.Add(`{encoding: form, addresses: [10.0.0.0/8], echo: e, answer: {body: ok}, fields: {event: call.hangup, call: $.c, cause: {path: $.d, values: {1: busy}, else: normal}, `+
		`at: {path: $.t, format: "2006-01-02 15:04:05", zone: Europe/Kyiv, seq: $.n}, from: [$.f, "8{$.g}"], recording: "http://r/{$.c}"}}`,
		[]byte("c=1&d=1&t=2026-01-31 12:00:00&n=5&g=2"), "")
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, mapping string, body []byte, path string) {
		if len(mapping) > 1000 {
			return
		}
		cfg, err := parseConfig("ringcast.yaml", []byte("accounts: [{id: a, pbx: [{id: p, kind: webhook, mapping: "+mapping+"}]}]"),
			func(string) (string, bool) { return exampleKey, true }, os.ReadFile)
		if err != nil {
			return
		}
		for _, account := range cfg.Accounts {
			for _, pbx := range account.PBX {
				if pbx.Webhook == nil || pbx.Webhook.Mapping == nil {
					continue
				}
				if pbx.Webhook.Mapping.Auth.None() {
					t.Fatal("anybody could post")
				}
				r := &http.Request{URL: &url.URL{RawQuery: string(body)}, Header: http.Header{"Content-Type": {"multipart/form-data; boundary=x"}},
					Body: io.NopCloser(bytes.NewReader(body))}
				r.SetPathValue("rest", path)
				reading, err := pbx.Webhook.Mapping.Read(r, now)
				if err != nil && gateway.CodeOf(err) == gateway.CodeInternal {
					t.Fatalf("not an error for whoever posted: %v", err)
				}
				for _, e := range reading.Events {
					if e.Call == "" || e.Type == "" {
						t.Fatalf("taken: %+v", e)
					}
				}
			}
		}
	})
}

// TestReloadSeesNoChangeInAMapping: the same file read twice is the same config.
func TestReloadSeesNoChangeInAMapping(t *testing.T) {
	t.Parallel()
	file := configFile(t, `
accounts:
  - id: acme
    pbx:
      - id: cloud
        kind: webhook
        mapping:
          encoding: json
          signature: {scheme: hmac-sha1, key: 0123456789abcdef, in: $header.S, text: "{$body}"}
          fields: {event: call.hold, call: {path: $.c, match: "(.)"}, at: {path: $.t, format: "2006-01-02 15:04:05", zone: Europe/Moscow}}
`)
	first, err := LoadConfig(file, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadConfig(file, noEnv)
	if err != nil || !reflect.DeepEqual(butUsers(first), butUsers(second)) {
		t.Errorf("%+v\n%+v\n%v", first, second, err)
	}
	if shown := fmt.Sprintf("%+v %#v", *first.Accounts[0].PBX[0].Webhook.Mapping.Auth.Signature, *first.Accounts[0].PBX[0].Webhook.Mapping.Auth.Signature); strings.Contains(shown, "0123456789abcdef") {
		t.Errorf("the key is shown: %s", shown)
	}
}
