package sandbox

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
)

const halJSON = "application/hal+json"

// amoProblem is an error of amoCRM's API: a problem document.
type amoProblem struct {
	Status int
	Title  string // empty: the status's own
	Type   string // empty: the status's own
	Detail string
	Hint   string // of the token endpoint
	Errors []amoFieldError
	Banned bool // the CRM's front door answers, which knows nothing of problem documents
}

type amoFieldError struct {
	Request string `json:"-"` // the request_id of the item, by default its index
	Code    string `json:"code"`
	Path    string `json:"path"` // within the item
	Detail  string `json:"detail"`
}

func (p amoProblem) Error() string { return p.Detail }

func badRequest(detail string, errs ...amoFieldError) amoProblem {
	return amoProblem{Status: http.StatusBadRequest, Detail: detail, Errors: errs}
}

func invalid(errs []amoFieldError) error {
	if len(errs) == 0 {
		return nil
	}
	return badRequest("Request validation failed", errs...)
}

func forbidden() amoProblem { return amoProblem{Status: http.StatusForbidden, Detail: "Forbidden"} }

func writeAmoProblem(w http.ResponseWriter, p amoProblem) {
	type failed struct {
		RequestID string          `json:"request_id"`
		Errors    []amoFieldError `json:"errors"`
	}
	if p.Banned {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(p.Status)
		_, _ = io.WriteString(w, amoBanned) // the client went away: nobody is left to tell
		return
	}
	body := map[string]any{
		"title":  cmp.Or(p.Title, http.StatusText(p.Status)),
		"type":   cmp.Or(p.Type, "https://tools.ietf.org/html/rfc9110#section-15"),
		"status": p.Status,
		"detail": p.Detail,
	}
	if p.Hint != "" {
		body["hint"] = p.Hint
	}
	items := []failed{}
	for _, e := range p.Errors {
		if n := len(items); n > 0 && items[n-1].RequestID == e.Request {
			items[n-1].Errors = append(items[n-1].Errors, e)
			continue
		}
		items = append(items, failed{RequestID: e.Request, Errors: []amoFieldError{e}})
	}
	if len(items) > 0 {
		body["validation-errors"] = items
	}
	writeAmo(w, p.Status, "application/problem+json", body)
}

const amoBanned = "<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>\n"

func writeAmo(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the browser went away: nobody is left to tell
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// readAmo reads a JSON body into v.
func readAmo(r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return amoProblem{Status: http.StatusUnsupportedMediaType, Detail: "Content-Type must be application/json"}
	}
	decoder := json.NewDecoder(r.Body)
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		return badRequest("Invalid JSON: " + err.Error())
	}
	return nil
}

// amoIn is a JSON object of a request. Reading a field notes what is wrong with it.
type amoIn struct {
	values  map[string]any
	request string // the item's request_id
	path    string // of the object within its item, with a dot at its end, or empty
	errs    *[]amoFieldError
}

func (in amoIn) fail(name, code, detail string) {
	e := amoFieldError{Request: in.request, Code: code, Path: in.path + name, Detail: detail}
	if !slices.Contains(*in.errs, e) { // a field may be read more than once
		*in.errs = append(*in.errs, e)
	}
}

func (in amoIn) missing(name string) { in.fail(name, "FieldMissing", "This field is missing.") }

func (in amoIn) notOffered(name string) {
	in.fail(name, "NotSupportedChoice", "The value you selected is not a valid choice.")
}

func (in amoIn) has(name string) bool {
	_, ok := in.values[name]
	return ok
}

// amoRead returns a field of type T, and the zero value if it is not there or, null included, of another type.
func amoRead[T any](in amoIn, name, kind string) T {
	value, ok := in.values[name].(T)
	if !ok && in.has(name) {
		in.fail(name, "InvalidType", "This value should be of type "+kind+".")
	}
	return value
}

func (in amoIn) text(name string) string { return amoRead[string](in, name, "string") }

func (in amoIn) flag(name string) bool { return amoRead[bool](in, name, "bool") }

func (in amoIn) number(name string) int64 {
	written := amoRead[json.Number](in, name, "int")
	n, err := strconv.ParseInt(written.String(), 10, 64)
	if err != nil && written != "" {
		in.fail(name, "InvalidType", "This value should be of type int.")
	}
	return n
}

// drop forgets fields that are null: of a custom field's two names, and of its value's, the official library sends
// null for the one that it does not use.
func (in amoIn) drop(names ...string) {
	for _, name := range names {
		if value, ok := in.values[name]; ok && value == nil {
			delete(in.values, name)
		}
	}
}

// only notes fields that the API does not know: a misspelt one would be lost without a word.
func (in amoIn) only(names ...string) {
	for _, name := range slices.Sorted(maps.Keys(in.values)) {
		if !slices.Contains(names, name) {
			in.fail(name, "NotExpected", "This field was not expected.")
		}
	}
}

// required reports whether a field is there, and notes it if it is not.
func (in amoIn) required(name string) bool {
	if value, ok := in.values[name]; !ok || value == "" {
		in.missing(name)
		return false
	}
	return true
}

func (in amoIn) object(name string) amoIn {
	values := amoRead[map[string]any](in, name, "object")
	return amoIn{values: values, request: in.request, path: in.path + name + ".", errs: in.errs}
}

func (in amoIn) list(name string) []amoIn {
	list := []amoIn{}
	for i, value := range amoRead[[]any](in, name, "array") {
		at := name + "." + strconv.Itoa(i)
		values, ok := value.(map[string]any)
		if !ok {
			in.fail(at, "InvalidType", "This value should be of type object.")
		}
		list = append(list, amoIn{values: values, request: in.request, path: in.path + at + ".", errs: in.errs})
	}
	return list
}

// readItems reads the array of a write. What is wrong with its items is collected in errs as they are read.
func readItems(r *http.Request, most int) (items []amoIn, errs *[]amoFieldError, err error) {
	var body []map[string]any
	if err := readAmo(r, &body); err != nil {
		return nil, nil, err
	}
	return itemsOf(body, most)
}

// readItem reads a write that is for one item alone, which is no array then.
func readItem(r *http.Request) (items []amoIn, errs *[]amoFieldError, err error) {
	var body map[string]any
	if err := readAmo(r, &body); err != nil {
		return nil, nil, err
	}
	return itemsOf([]map[string]any{body}, 1)
}

func itemsOf(body []map[string]any, most int) (items []amoIn, errs *[]amoFieldError, err error) {
	if len(body) == 0 || len(body) > most {
		return nil, nil, badRequest("From 1 to " + strconv.Itoa(most) + " items are taken at once")
	}
	errs = &[]amoFieldError{}
	for i, values := range body {
		in := amoIn{values: values, request: strconv.Itoa(i), errs: errs}
		if id := in.text("request_id"); id != "" {
			in.request = id
		}
		items = append(items, in)
	}
	return items, errs, nil
}
