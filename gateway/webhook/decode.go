package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ringcast/gateway"
)

// Encoding says how a vendor writes its requests.
type Encoding string

// The encodings.
const (
	EncodingJSON      Encoding = "json"
	EncodingForm      Encoding = "form"      // application/x-www-form-urlencoded
	EncodingFormJSON  Encoding = "form_json" // a form with JSON in one of its fields
	EncodingMultipart Encoding = "multipart" // multipart/form-data; files in it are passed over
	EncodingQuery     Encoding = "query"     // parameters of the URL, by GET or POST
)

// Encodings are all of them.
func Encodings() []Encoding {
	return []Encoding{EncodingJSON, EncodingForm, EncodingFormJSON, EncodingMultipart, EncodingQuery}
}

const (
	maxDepth  = 32     // of objects and lists in each other
	maxValues = 50_000 // of JSON: anybody may send it where the keys and the signature stand in it
	maxFields = 1000   // of a form
)

// decode goes on to a stage behind received, from the one before it. Nothing may stand in a body twice: of two values,
// the signature could be over the one and the event made of the other.
func (r *request) decode(to stage, m *Mapping, contentType string) (err error) {
	switch {
	case to == opened && m.Encoding == EncodingFormJSON:
		r.form, err = decodeForm(string(r.raw))
	case to == decoded:
		r.body, err = r.decoded(m, contentType)
	}
	if err != nil {
		return gateway.Errorf(gateway.CodeInvalid, "the body is not what the mapping expects, %s: %w", m.Encoding, err)
	}
	return nil
}

func (r *request) decoded(m *Mapping, contentType string) (any, error) {
	if !utf8.Valid(r.raw) {
		return nil, errors.New("it is not UTF-8")
	}
	switch m.Encoding {
	case EncodingForm:
		return decodeForm(string(r.raw))
	case EncodingFormJSON:
		text, _ := r.form[m.JSONField].(string)
		if text == "" {
			return nil, fmt.Errorf("the form has no field %q", m.JSONField)
		}
		return decodeJSON([]byte(text))
	case EncodingMultipart:
		return decodeMultipart(r.raw, contentType)
	case EncodingQuery:
		return fieldsOf(r.query)
	default:
		return decodeJSON(r.raw)
	}
}

func decodeJSON(data []byte) (any, error) {
	d := jsonDecoder{Decoder: json.NewDecoder(bytes.NewReader(data))}
	d.UseNumber() // a telephone number is no float
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the JSON")
	}
	return v, nil
}

// jsonDecoder counts what it has decoded.
type jsonDecoder struct {
	*json.Decoder
	values int
}

func (d *jsonDecoder) value(depth int) (any, error) {
	if d.values++; d.values > maxValues {
		return nil, fmt.Errorf("it has more than %d values", maxValues)
	}
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the JSON ends too early")
	}
	if err != nil {
		return nil, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth++; depth > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	if open == '[' {
		list := []any{}
		for d.More() {
			v, err := d.value(depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	object := map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string) // nothing else comes before a value
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%.40q stands in it twice", name)
		}
		if object[name], err = d.value(depth); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return object, err
}

func decodeForm(text string) (map[string]any, error) {
	if strings.Count(text, "&") >= maxFields {
		return nil, fmt.Errorf("it has more than %d fields", maxFields)
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, err
	}
	return fieldsOf(values)
}

// fieldsOf makes a body of form fields. Only one whose name ends with [] may come more than once, and is a list.
func fieldsOf(values url.Values) (map[string]any, error) {
	fields := make(map[string]any, len(values))
	for name, all := range values {
		if !utf8.ValidString(name) || slices.ContainsFunc(all, func(s string) bool { return !utf8.ValidString(s) }) {
			return nil, fmt.Errorf("%.40q is not UTF-8", name)
		}
		switch {
		case strings.HasSuffix(name, "[]"):
			list := make([]any, len(all))
			for i, s := range all {
				list[i] = s
			}
			fields[name] = list
		case len(all) > 1:
			return nil, fmt.Errorf("%.40q stands in it twice", name)
		default:
			fields[name] = all[0]
		}
	}
	return fields, nil
}

func decodeMultipart(data []byte, contentType string) (map[string]any, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, errors.New("its Content-Type is not multipart/form-data with a boundary")
	}
	values := url.Values{}
	reader := multipart.NewReader(bytes.NewReader(data), params["boundary"])
	for n := 0; ; n++ {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return fieldsOf(values)
		}
		if err != nil {
			return nil, err
		}
		if n == maxFields {
			return nil, fmt.Errorf("it has more than %d fields", maxFields)
		}
		if p.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(p) // of a body that is in memory already
		if err != nil {
			return nil, err
		}
		values.Add(p.FormName(), string(value))
	}
}

// scalar is the text of a text, a number or a truth value, "" for anything else.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	default:
		return ""
	}
}

const maxShape = 1024 // bytes of a line in the log

// shape describes a body for the log: names, kinds and lengths, nothing of what callers said or who they are.
func shape(v any) string {
	var b strings.Builder
	writeShape(&b, v)
	if b.Len() > maxShape {
		return strings.ToValidUTF8(b.String()[:maxShape], "") + "…"
	}
	return b.String()
}

func writeShape(b *strings.Builder, v any) {
	if b.Len() > maxShape {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(masked(name))
			b.WriteByte(':')
			writeShape(b, v[name])
		}
		b.WriteByte('}')
	case []any:
		fmt.Fprintf(b, "[%d", len(v))
		if len(v) > 0 {
			b.WriteByte(' ')
			writeShape(b, v[0])
		}
		b.WriteByte(']')
	case string:
		fmt.Fprintf(b, "text(%d)", utf8.RuneCountInString(v))
	case json.Number:
		b.WriteString("number")
	case bool:
		b.WriteString("bool")
	default:
		b.WriteString("null")
	}
}

// masked is a name that could hold a telephone number as well.
func masked(name string) string {
	mask := func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			return '#'
		case unicode.IsControl(r):
			return '?'
		default:
			return r
		}
	}
	if len(name) > 40 {
		name = name[:40]
	}
	return strings.ToValidUTF8(strings.Map(mask, name), "?")
}

// requestOf takes what paths can see of a request apart from its body.
func requestOf(r *http.Request) *request {
	return &request{path: strings.Trim(r.PathValue("rest"), "/"), query: r.URL.Query(), header: r.Header}
}
