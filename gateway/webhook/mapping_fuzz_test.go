package webhook

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ringcast/gateway"
)

// FuzzBody decodes any body in each encoding, and reads it.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"a":"x","b":{"c":[1,true,null,"y"]},"d":1e999}`), "application/json")
	f.Add([]byte(`{"a":"x","a":"y"}`), "")
	f.Add([]byte(`a=x&b[]=1&b[]=2&json=%7B%22a%22%3A1%7D`), "application/x-www-form-urlencoded")
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--"), "multipart/form-data; boundary=x")
	m := readsJSON(map[string]Value{
		"event": from("call.dial"), "direction": from("inbound"), "call": from("$.a", "$.b.c[0]", "c"), "id": from("{$.a} {$.d}"), "from": from("$.a"),
		"extensions": {From: from("$.b.c[*]", "$['b[]']", "101").From, Split: ","}, "recording": from("https://r.example/{$.a}"),
	})
	m.JSONField = "json"
	m.Fields.At = &Time{Value: from("$.d"), Format: TimeUnix}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		for _, e := range Encodings() {
			m := *m
			m.Encoding = e
			query := ""
			if e == EncodingQuery {
				query = string(body)
			}
			req := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(body))}
			reading, err := m.Read(req, noon)
			var shown *gateway.Error
			if err != nil && !errors.As(err, &shown) {
				t.Fatalf("%s: not an error for whoever posted: %v", e, err)
			}
			if err == nil && len(reading.Events) != 1 {
				t.Fatalf("%s: %d events", e, len(reading.Events))
			}
			r := &request{raw: body, query: req.URL.Query()}
			if r.decode(opened, &m, contentType) == nil && r.decode(decoded, &m, contentType) == nil {
				if s := shape(r.body); len(s) > maxShape+8 || strings.ContainsAny(s, "\r\n") {
					t.Fatalf("a line in the log: %q", s)
				}
			}
		}
	})
}

// FuzzText reads any path, text and expression of a mapping, and fills them in.
func FuzzText(f *testing.F) {
	for _, s := range []string{"$.a.b[0]['c d'].e[*]", "@.x", "$form.sign", "$query.q", "$header.X-Y", "$path", "$body", "$key", "{$.a} {{x}} {@}", "}", "$.ж"} {
		f.Add(s, `{"a":{"b":[{"c d":1}]}}`)
	}
	f.Fuzz(func(t *testing.T, written, body string) {
		v, err := decodeJSON([]byte(body))
		if err != nil {
			v = map[string]any{"a": []any{"x"}}
		}
		r := &request{body: v, item: v, raw: []byte(body), path: "call", query: url.Values{"q": {"1"}}, header: http.Header{"X-Y": {"z"}}}
		if p, err := ParsePath(written); err == nil {
			n := 0
			p.find(r, func(any) bool { n++; return true })
			if n > 1 && !p.Many() || p.String() != written {
				t.Fatalf("%q names %d", written, n)
			}
			again, err := ParsePath(p.String())
			if err != nil || again.string(r) != p.string(r) {
				t.Fatalf("%q is not read again: %v", p, err)
			}
		}
		if text, err := ParseText(written); err == nil {
			if constant, ok := text.Constant(); ok && text.string(r) != constant {
				t.Fatalf("%q is %q, not %q", written, text.string(r), constant)
			}
			_ = text.url(r)
			for _, p := range text.Paths() {
				_ = Scope{}.Check(p)
			}
		}
	})
}

// FuzzSignature has any signature over any body refused but the right one.
func FuzzSignature(f *testing.F) {
	f.Add("sha256="+sha256Of("secret", `{"c":"1"}`), `{"c":"1"}`, byte(0))
	f.Add("sha256=MTIz", `{"c":"1"}`, byte(1))
	f.Add("", ``, byte(2))
	f.Fuzz(func(t *testing.T, given, body string, kind byte) {
		s := signs().Auth.Signature
		s.Encoding = []string{Hex, Base64, Base64Hex}[kind%3]
		s.Scheme = Schemes()[kind/3%6]
		if s.Scheme.Plain() {
			s.Texts[0].Text = text("{$body}{$key}")
		}
		r := &request{raw: []byte(body), header: http.Header{"X-Sign": {given}}}
		sum, ok := s.decode(given)
		right := ok && bytes.Equal(sum, s.sum(s.Texts[0].Text, r))
		if err := s.verify(r); (err == nil) != right {
			t.Fatalf("%q: %v", given, err)
		}
		s.Key += "x"
		if right && s.verify(r) == nil {
			t.Fatalf("%q is right with another key", given)
		}
	})
}
