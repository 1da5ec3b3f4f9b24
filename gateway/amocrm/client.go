package amocrm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	connectTimeout = 5 * time.Second
	requestTimeout = 20 * time.Second
	maxAnswer      = 8 << 20 // bytes
	maxRetryAfter  = 10 * time.Minute
)

// ClientConfig is what a Client needs.
type ClientConfig struct {
	Tokens    Tokens
	Limiter   *Limiter          // nil: one of its own, of the documented figures
	Timeout   time.Duration     // of one request, from when the limits let it go; 0: 20 s
	Transport http.RoundTripper // nil: one of its own
	Logger    *slog.Logger
}

// Client is the API of accounts over HTTP.
type Client struct {
	cfg  ClientConfig
	http *http.Client
}

var _ API = (*Client)(nil)

// NewClient returns a Client. Close lets go of its connections.
func NewClient(cfg ClientConfig) *Client {
	if cfg.Limiter == nil {
		cfg.Limiter = NewLimiter(Limits{})
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, requestTimeout)
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout: connectTimeout,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     time.Minute,
		}
	}
	return &Client{cfg: cfg, http: &http.Client{
		Transport: cfg.Transport,
		// A redirect would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections. Requests that run go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request as API has it. A token that the CRM refuses is reported, and the request sent once more with the
// next one.
func (c *Client) Do(ctx context.Context, account string, req Request, out any) error {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = json.Marshal(req.Body); err != nil {
			return fmt.Errorf("body of %s: %w", req.Path, err)
		}
	}
	for again := false; ; again = true {
		access, err := c.cfg.Tokens.Access(ctx, account)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrDisconnected):
			return err
		default:
			return &Error{Err: fmt.Errorf("no access token: %w", err)}
		}
		err = c.within(ctx, access, &req, body, out)
		var answer *Error
		if !errors.As(err, &answer) || answer.Status != http.StatusUnauthorized {
			return err
		}
		c.cfg.Tokens.Rejected(ctx, account, access.Token)
		if again {
			return err
		}
	}
}

// within sends a request when the limits let it.
func (c *Client) within(ctx context.Context, access Access, req *Request, body []byte, out any) error {
	pass, err := c.cfg.Limiter.enter(ctx, access, req.Urgent)
	if err != nil {
		return err
	}
	began := time.Now()
	answer := c.exchange(ctx, access, req, body, out)
	c.cfg.Limiter.leave(pass, answer)
	log := c.cfg.Logger.With("method", req.Method, "path", req.Path, "integration", access.Integration, "took", time.Since(began))
	if answer == nil {
		log.DebugContext(ctx, "asked the CRM")
		return nil
	}
	log.DebugContext(ctx, "the CRM refused", "err", answer)
	if answer.ban {
		c.cfg.Logger.ErrorContext(ctx, "the CRM has blocked this address: nothing is sent there for a while",
			"platform", platformOf(access.BaseURL), "for", answer.RetryAfter.Round(time.Second), "err", answer)
	}
	return answer
}

// exchange sends a request and reads the answer. It returns nil for a good one.
func (c *Client) exchange(ctx context.Context, access Access, req *Request, body []byte, out any) *Error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, fmt.Errorf("%s %s took longer than %v", req.Method, req.Path, c.cfg.Timeout))
	defer cancel()
	var begun atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { begun.Store(true) }})
	unanswered := func(err error) *Error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return &Error{Sent: begun.Load(), Err: withoutQuery(err)}
	}

	address := access.BaseURL + req.Path
	if len(req.Query) > 0 {
		address += "?" + req.Query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, req.Method, address, bytes.NewReader(body))
	if err != nil {
		return unanswered(err)
	}
	r.Header.Set("Authorization", "Bearer "+access.Token)
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept", "application/hal+json, application/json, application/problem+json")
	if access.ClientID != "" {
		r.Header.Set("X-Client-UUID", access.ClientID)
	}
	if req.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(r)
	if err != nil {
		return unanswered(err)
	}
	defer func() { _ = response.Body.Close() }() // read as far as it was wanted
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	answer := &Error{Status: response.StatusCode, RequestID: response.Header.Get("X-Request-Id")}
	switch {
	case response.StatusCode == http.StatusNoContent:
		return nil
	case response.StatusCode > 299:
		answer.Sent = response.StatusCode >= http.StatusInternalServerError
		answer.explain(response, data)
		return answer
	case err != nil:
		answer.Sent, answer.Err = true, fmt.Errorf("the answer broke off: %w", withoutQuery(err))
		return answer
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		answer.Sent, answer.Err = true, fmt.Errorf("the answer is not what was asked for: %w", err)
		return answer
	}
	return nil
}

// withoutQuery takes the address out of an error of package http: its query has people's numbers in it.
func withoutQuery(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// problem is an error of the API, in any of its forms.
type problem struct {
	Title      string `json:"title"`
	Detail     string `json:"detail"`
	Hint       string `json:"hint"`
	Status     any    `json:"status"`
	Validation []struct {
		Request any `json:"request_id"`
		Errors  []struct {
			Code   any    `json:"code"`
			Path   string `json:"path"`
			Detail string `json:"detail"`
		} `json:"errors"`
	} `json:"validation-errors"`
	Errors []itemProblem `json:"errors"` // of items, in answers to a write
}

// itemProblem is what the CRM has against an item as a whole.
type itemProblem struct {
	Request any    `json:"request_id"`
	Code    any    `json:"code"`
	Status  any    `json:"status"`
	Title   string `json:"title"`
	Detail  string `json:"detail"`
}

func (p itemProblem) field() FieldError {
	return FieldError{Request: text(p.Request), Code: cmp.Or(text(p.Code), text(p.Status)), Detail: strings.Trim(p.Title+": "+p.Detail, ": ")}
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64: // a number of JSON
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// explain fills in what an answer that is not good says.
func (e *Error) explain(response *http.Response, data []byte) {
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	var p problem
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")) // "": not known
	err, other := json.Unmarshal(data, &p), new(json.UnmarshalTypeError)
	if err != nil && !errors.As(err, &other) && kind != "application/problem+json" {
		e.Title = http.StatusText(e.Status)
		e.ban = e.Status == http.StatusForbidden
		return
	}
	e.Title, e.Detail = cmp.Or(p.Title, http.StatusText(e.Status)), cmp.Or(p.Hint, p.Detail)
	e.ban = e.Status == http.StatusForbidden && p.Title == "" && p.Detail == "" && p.Hint == "" && p.Status == nil
	for _, item := range p.Validation {
		for _, f := range item.Errors {
			e.Fields = append(e.Fields, FieldError{Request: text(item.Request), Code: text(f.Code), Path: f.Path, Detail: f.Detail})
		}
	}
	for _, item := range p.Errors {
		e.Fields = append(e.Fields, item.field())
	}
}
