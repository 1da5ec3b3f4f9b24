package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// HandlerFunc is an HTTP handler that returns its failure instead of answering with it.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Handle makes an http.Handler of fn: the error it returns becomes a problem document and a line in the
// log, loud only for what is our fault.
func Handle(logger *slog.Logger, fn HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := fn(w, r)
		if err == nil {
			return
		}
		level := slog.LevelDebug
		switch CodeOf(err) {
		case CodeInternal:
			level = slog.LevelError
		case CodeUnavailable:
			level = slog.LevelWarn
		}
		logger.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path, "err", err)
		WriteProblem(w, err)
	})
}

// bodyTime is how long a client may take to send a request's body.
const bodyTime = 10 * time.Second

// ReadBody reads a request's body of at most limit bytes. It fails with CodeTooLarge, or CodeInvalid when
// the body does not arrive whole and in time.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	// Who trickles would hold the connection. Not every writer has a deadline; real connections do.
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := readAll(w, r, limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Errorf(CodeTooLarge, "a request's body has at most %d bytes here", limit)
	case err != nil:
		return nil, Errorf(CodeInvalid, "the body did not arrive whole: %w", err)
	}
	_ = deadline.SetReadDeadline(time.Time{})
	return body, nil
}

// readAll reads a body in one piece when its length is known.
func readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > limit {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// problem is an RFC 9457 document; code and errors are our extensions.
type problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   Code         `json:"code"`
	Detail string       `json:"detail,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
}

// WriteProblem answers with err's problem document (RFC 9457) and its stable code. An error that is not an
// *Error is shown as an internal one, without its text.
func WriteProblem(w http.ResponseWriter, err error) {
	e := Shown(err)
	status := statusOf(e.Code)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(status)
	// Whoever asked may have gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(status), status, e.Code, e.Message, e.Fields})
}

// Shown is what of an error is for whoever asked: itself if it is an *Error, else that something is wrong.
func Shown(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.Code != CodeInternal {
		return e
	}
	return &Error{Code: CodeInternal, Message: "something went wrong here; the log has the details", Err: err}
}

// statusOf is the one table from codes to HTTP.
func statusOf(code Code) int {
	switch code {
	case CodeInvalid, CodeBadNumber:
		return http.StatusBadRequest
	case CodeUnauthorized, CodeBadToken, CodeTokenExpired, CodeTicketUsed:
		return http.StatusUnauthorized
	case CodeRevoked, CodeOrigin, CodeNotPermitted, CodeNotAdmin:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMethod:
		return http.StatusMethodNotAllowed
	case CodeNotRegistered, CodeBusy, CodeRejected, CodeTaken:
		return http.StatusConflict
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeTooMany:
		return http.StatusTooManyRequests
	case CodeDraining, CodeUnavailable, CodeNotReady, CodePBXOffline:
		return http.StatusServiceUnavailable
	case CodeTimeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}
