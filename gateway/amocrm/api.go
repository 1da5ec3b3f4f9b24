package amocrm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Access is the way into one account's API.
type Access struct {
	BaseURL     string // scheme and host, no slash at the end
	Token       string // for the Authorization header, good for a minute at least; "": the limiter lets somebody ask for one
	ClientID    string // the integration
	Integration string // what the platform's limit of requests a second counts for: the integration's id
}

// Tokens gives access to accounts. All methods may be called from many goroutines.
type Tokens interface {
	// Access returns an account's access, refreshing it first where that is due. ErrDisconnected: there is none, and
	// the operator has been told how to mend it; anything else passes.
	Access(ctx context.Context, account string) (Access, error)

	// Rejected says that the CRM answered 401 to a token. The next Access has another token, or ErrDisconnected.
	Rejected(ctx context.Context, account, token string)
}

// ErrDisconnected says that an account's access is lost until it is installed anew. What waits for it waits.
var ErrDisconnected = errors.New("the CRM does not let this integration in: it has to be installed again")

// Request is one request to an account's API.
type Request struct {
	Method string
	Path   string // such as /api/v4/calls
	Query  url.Values
	Body   any  // sent as JSON; nil: none
	Urgent bool // somebody waits for the answer: it goes before the journal's
}

// API sends requests to accounts' APIs, within the platform's limits. It may be used from many goroutines.
type API interface {
	// Do sends a request and reads a JSON answer into out, which stays as it is when the answer is 204. The error is
	// an *Error where the CRM answered with one or where it is not known whether it took the request, ErrDisconnected,
	// or ctx's.
	Do(ctx context.Context, account string, req Request, out any) error
}

// Error is what the CRM answered, or that it did not answer.
type Error struct {
	Status    int    // 0: no answer
	Title     string // of the problem document
	Detail    string
	Fields    []FieldError
	RequestID string // X-Request-Id, which the CRM's support asks for
	Sent      bool   // the request may have been carried out
	Err       error  // of the transport, or of reading the answer

	// RetryAfter is when to come again, as the limiter has it; 0: it has no opinion. With Status 0 or an earlier answer's,
	// the request was not sent.
	RetryAfter time.Duration

	ban bool // the platform lets nothing of this address through
}

// FieldError is what the CRM has against a field.
type FieldError struct {
	Request string // request_id of the item
	Code    string
	Path    string
	Detail  string
}

func (e *Error) Error() string {
	switch {
	case e.Status == 0 && e.Err == nil:
		return "not sent to the CRM: " + e.Title
	case e.Status == 0:
		return fmt.Sprintf("the CRM does not answer: %v", e.Err)
	}
	text := fmt.Sprintf("the CRM answers %d", e.Status)
	for _, part := range []string{e.Title, e.Detail} {
		if part != "" {
			text += ", " + part
		}
	}
	for _, f := range e.Fields {
		text += fmt.Sprintf("; %s: %s", f.Path, f.Detail)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// open says that the request may still be carried out: nobody has answered, or somebody before the CRM has.
func (e *Error) open() bool {
	return e.Sent && (e.Status == 0 || e.Status > http.StatusNotImplemented)
}
