package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const halJSON = "application/hal+json"

// amoProblem is an error of amoCRM's API: a problem document.
type amoProblem struct {
	Status int
	Detail string
	Errors []amoFieldError
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
	body := map[string]any{
		"title":  http.StatusText(p.Status),
		"type":   "https://tools.ietf.org/html/rfc9110#section-15",
		"status": p.Status,
		"detail": p.Detail,
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

func writeAmo(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the browser went away: nobody is left to tell
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

// AmoRequest is a request that a page sent to the API or to the CRM's own services under /ajax/.
type AmoRequest struct {
	Method string
	Path   string
	Query  string // as it stood in the address
	User   int64  // 0: nobody signed in
	Time   time.Time
}

// Requests returns the requests of the API since the start, oldest first, also those that were refused. What the
// page itself asks for what it shows is not among them.
func (a *Amo) Requests() []AmoRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// signedIn lets only signed-in users in, and writes the error of h as amoCRM does.
func (a *Amo) signedIn(h func(w http.ResponseWriter, r *http.Request, user AmoUser) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := a.user(r.Header.Get("X-Sandbox-User"))
		if !ok {
			writeAmoProblem(w, amoProblem{Status: http.StatusUnauthorized, Detail: "Unauthorized"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		err := a.limited(r, user)
		if err == nil {
			err = h(w, r, user)
		}
		var problem amoProblem
		switch {
		case err == nil:
		case errors.As(err, &problem):
			writeAmoProblem(w, problem)
		default:
			a.log.WarnContext(r.Context(), "sandbox amoCRM: request failed", "path", r.URL.Path, "err", err)
			writeAmoProblem(w, amoProblem{Status: http.StatusInternalServerError, Detail: "Internal error"})
		}
	})
}

func (a *Amo) record(r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/ajax/") {
		return
	}
	user, _ := a.user(r.Header.Get("X-Sandbox-User"))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, AmoRequest{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, User: user.ID, Time: time.Now()})
}

const (
	amoRate       = 7                // requests a second
	amoPatience   = 10               // refusals within amoPenalty after which everything is refused
	amoPenalty    = 10 * time.Second // how long that lasts
	amoRateWindow = time.Second
)

// amoBudget is what the requests of a user's pages are measured by.
type amoBudget struct {
	taken   []time.Time // within amoRateWindow
	refused []time.Time // within amoPenalty
	blocked time.Time   // until when
}

// limited refuses what comes too fast: 429, and 403 for everything once that was not heeded.
func (a *Amo) limited(r *http.Request, user AmoUser) error {
	rate := cmp.Or(a.cfg.RateLimit, amoRate)
	if rate < 0 || !strings.HasPrefix(r.URL.Path, "/api/") {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.budgets[user.ID]
	if b == nil {
		b = &amoBudget{}
		a.budgets[user.ID] = b
	}
	now := time.Now()
	b.taken = slices.DeleteFunc(b.taken, func(t time.Time) bool { return now.Sub(t) >= amoRateWindow })
	b.refused = slices.DeleteFunc(b.refused, func(t time.Time) bool { return now.Sub(t) >= amoPenalty })
	switch {
	case now.Before(b.blocked):
		return amoProblem{Status: http.StatusForbidden, Detail: "Too many requests: blocked"}
	case len(b.taken) < rate:
		b.taken = append(b.taken, now)
		return nil
	}
	if b.refused = append(b.refused, now); len(b.refused) >= amoPatience {
		b.blocked, b.refused = now.Add(amoPenalty), nil
	}
	return amoProblem{Status: http.StatusTooManyRequests, Detail: "Too Many Requests"}
}

// amoFault is how requests go wrong that a test wants to go wrong.
type amoFault struct {
	match  *http.ServeMux
	status int // 0: it hangs
	body   string
	free   chan struct{} // closed when it is cleared
}

// Refuse answers requests of a pattern, such as "POST /api/v4/tasks" or "/api/" (as net/http.ServeMux has them),
// with a status and a body; an empty body stands for a problem document of that status. It ends with lift, which
// may be called more than once. The newest fault that matches counts.
func (a *Amo) Refuse(pattern string, status int, body string) (lift func()) {
	return a.addFault(pattern, status, body)
}

// Hang leaves requests of a pattern, as of Refuse, without an answer. release ends it: requests that wait are
// answered then.
func (a *Amo) Hang(pattern string) (release func()) { return a.addFault(pattern, 0, "") }

func (a *Amo) addFault(pattern string, status int, body string) func() {
	f := &amoFault{match: http.NewServeMux(), status: status, body: body, free: make(chan struct{})}
	f.match.HandleFunc(pattern, http.NotFound)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, f)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if i := slices.Index(a.faults, f); i >= 0 {
			a.faults = slices.Delete(a.faults, i, i+1)
			close(f.free)
		}
	}
}

// failed answers a request that a fault is meant for, or waits with it. It reports whether it was answered.
func (a *Amo) failed(w http.ResponseWriter, r *http.Request) bool {
	a.mu.Lock()
	var fault *amoFault
	for _, f := range slices.Backward(a.faults) {
		if _, pattern := f.match.Handler(r); pattern != "" {
			fault = f
			break
		}
	}
	a.mu.Unlock()
	switch {
	case fault == nil:
		return false
	case fault.status == 0:
		select {
		case <-fault.free:
			return false
		case <-r.Context().Done():
			return true
		}
	case fault.body == "":
		writeAmoProblem(w, amoProblem{Status: fault.status, Detail: http.StatusText(fault.status)})
	default:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(fault.status)
		_, _ = w.Write([]byte(fault.body)) // the browser went away: nobody is left to tell
	}
	return true
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
