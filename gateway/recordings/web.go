package recordings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	connectTime = 5 * time.Second
	answerTime  = 15 * time.Second
)

// WebConfig is a web server that has recordings. User and Password, or Token, are sent to it; all may be "".
type WebConfig struct {
	URL            string // below which they are; http or https
	User, Password string
	Token          string
	Stall          time.Duration // it may send nothing for so long; default 30 s
}

// Web returns the source of recordings on a web server. It is asked for nothing that is not below its URL, and followed
// nowhere.
func Web(cfg WebConfig) (Source, error) {
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("recordings: wants the URL of a web server, without a query")
	}
	return newWeb(base, cfg.Stall, func(r *http.Request) *http.Request {
		switch {
		case cfg.Token != "":
			r.Header.Set("Authorization", "Bearer "+cfg.Token)
		case cfg.User != "":
			r.SetBasicAuth(cfg.User, cfg.Password)
		}
		return r
	}), nil
}

// web is a server that is asked over HTTP.
type web struct {
	base   *url.URL
	client *http.Client
	stall  time.Duration
	sign   func(*http.Request) *http.Request // says who asks
}

func newWeb(base *url.URL, stall time.Duration, sign func(*http.Request) *http.Request) *web {
	return &web{base, &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSHandshakeTimeout:    connectTime,
			ResponseHeaderTimeout:  answerTime,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConnsPerHost:    4,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // ranges are of what lies there
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, cmp.Or(stall, 30*time.Second), sign}
}

// request is for what is called name below the base.
func (s *web) request(ctx context.Context, name string) (*http.Request, error) {
	u := *s.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + name
	u.RawPath = escape(u.Path)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil) //nolint:gosec // it is below the base, which the config names
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "identity")
	return r, nil
}

// escape writes a path as every server reads it alike: + is a blank to some.
func escape(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(part), "+", "%20")
	}
	return strings.Join(parts, "/")
}

// Open asks for a recording, or for the part of it that was asked for. It is a GET also for a HEAD, which some servers do
// not know; then nothing more is read of the answer.
func (s *web) Open(ctx context.Context, name string, asked *http.Request) (Recording, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := s.request(ctx, name)
	if err != nil {
		cancel()
		return nil, unavailable("the recording cannot be fetched", err)
	}
	for _, h := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"} {
		if v := asked.Header.Get(h); v != "" {
			req.Header.Set(h, v)
		}
	}
	res, err := s.client.Do(s.sign(req)) //nolint:bodyclose // relay.Close does
	if err != nil {
		cancel()
		return nil, unavailable("the recording cannot be fetched", err)
	}
	rec := &relay{Response: res, cancel: cancel, stall: s.stall}
	if err := rec.refused(); err != nil {
		return nil, errors.Join(err, rec.Close())
	}
	return rec, nil
}

// relay is a recording that is passed on as it comes.
type relay struct {
	*http.Response
	cancel context.CancelFunc
	stall  time.Duration
}

// refused says what is wrong with an answer that is no recording.
func (p *relay) refused() error {
	switch {
	case p.Header.Get("Content-Encoding") != "" && p.Header.Get("Content-Encoding") != "identity":
		return unavailable("the recording cannot be fetched", fmt.Errorf("it comes with Content-Encoding %.40q", p.Header.Get("Content-Encoding")))
	case p.StatusCode == http.StatusOK && p.ContentLength == 0:
		return errGrowing
	case p.StatusCode == http.StatusPartialContent && (p.Request.Header.Get("Range") == "" || p.Header.Get("Content-Range") == ""):
		return unavailable("the recording cannot be fetched", errors.New("a part of it came that was not asked for"))
	}
	switch p.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable:
		return nil
	case http.StatusNotFound, http.StatusGone:
		return errMissing
	default:
		return unavailable("the recording cannot be fetched", fmt.Errorf("its server answers %.80q", p.Status))
	}
}

func (p *relay) Type() string { return p.Header.Get("Content-Type") }

// Close ends the request.
func (p *relay) Close() error {
	p.cancel()
	return p.Body.Close()
}

// Send passes the answer on. Where the server knows no ranges, what is before the one that was asked for is read over.
func (p *relay) Send(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Content-Range"} {
		if v := p.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	status, start, length := p.StatusCode, int64(0), p.ContentLength
	if rang := r.Header.Get("Range"); status == http.StatusOK && rang != "" && r.Header.Get("If-Range") == "" && length >= 0 {
		var ok bool
		if start, length, ok = part(rang, p.ContentLength); ok {
			status = http.StatusPartialContent
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, p.ContentLength))
		} else {
			status = http.StatusRequestedRangeNotSatisfiable
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", p.ContentLength))
		}
	}
	if status == http.StatusNotModified || status == http.StatusRequestedRangeNotSatisfiable {
		h.Del("Content-Type")
		h.Del("Content-Disposition")
		w.WriteHeader(status)
		return nil
	}
	if length >= 0 {
		h.Set("Content-Length", fmt.Sprint(length))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	body := &hurried{p.Body, p.cancel, p.stall}
	if _, err := io.CopyN(io.Discard, body, start); err != nil {
		return err
	}
	if length < 0 {
		_, err := io.Copy(w, body)
		return err
	}
	_, err := io.CopyN(w, body, length)
	return err
}

// hurried is a body that has to go on coming.
type hurried struct {
	io.Reader
	cancel context.CancelFunc
	stall  time.Duration
}

func (b *hurried) Read(data []byte) (int, error) {
	defer time.AfterFunc(b.stall, b.cancel).Stop()
	return b.Reader.Read(data)
}

// Check asks for the base.
func (s *web) Check(ctx context.Context) ([]string, error) {
	req, err := s.request(ctx, "")
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(s.sign(req))
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("it does not take the user and password, or the token")
	case res.StatusCode >= 500:
		return nil, fmt.Errorf("it answers %.80q", res.Status)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return nil, fmt.Errorf("it sends to %.200q, where it is not followed: that may be the right url", res.Header.Get("Location"))
	case res.StatusCode >= 400:
		return []string{fmt.Sprintf("it answers %q for the folder itself, so whether it hands out recordings is not known", res.Status)}, nil
	}
	return nil, nil
}
