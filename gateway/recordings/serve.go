package recordings

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	lookEvery = 250 * time.Millisecond // for a file that is waited for
	comeTime  = 10 * time.Minute       // after a call, in which its recording may still come

	// When to come again.
	retryCall    = 30 * time.Second // while the call is not over
	retryFile    = 5 * time.Second  // while the file is to come
	retryTrouble = 30 * time.Second
	retryBusy    = 2 * time.Second
)

// notYet is why a recording is still to come.
type notYet struct {
	reason string
	retry  time.Duration
}

// ServeHTTP answers GET and HEAD of a link.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)() //nolint:contextcheck // it ends the request, which has its own
	p := &paced{ResponseWriter: w, control: http.NewResponseController(w), ctx: ctx, stall: s.cfg.Stall}
	l, err := s.serve(p, r.WithContext(ctx))
	if err == nil {
		err = p.failed
	}
	if err == nil {
		return
	}
	// The link is not to be in the log: it would open the recording to whoever reads that.
	logger := s.cfg.Logger.With("account", l.account, "call", l.call)
	if p.begun {
		logger.Debug("a recording was not sent to its end", "err", err)
		panic(http.ErrAbortHandler) // or it would look like the whole
	}
	level := slog.LevelDebug
	if code := gateway.CodeOf(err); (code == gateway.CodeUnavailable || code == gateway.CodeInternal) && ctx.Err() == nil {
		level = slog.LevelWarn
	}
	logger.Log(ctx, level, "a recording was not handed out", "err", err)
	for _, name := range []string{"Content-Disposition", "Content-Security-Policy", "Accept-Ranges"} {
		w.Header().Del(name)
	}
	gateway.WriteProblem(w, err)
}

func (s *Server) serve(w *paced, r *http.Request) (link, error) {
	text, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/")
	l, err := parseLink(text, s.keys)
	if err != nil || r.URL.Path != Path+text+"/"+l.shown() {
		return l, &gateway.Error{Code: gateway.CodeNotFound, Message: "there is no such recording", Err: err}
	}
	pbx, ok := s.pbx(l.account, l.call)
	if !ok {
		return l, gateway.Errorf(gateway.CodeNotFound, "the recordings of this telephone system are not handed out any more")
	}
	account := s.cfg.Accounts[l.account]
	if account.Lasts > 0 && s.cfg.Now().Sub(l.started) > account.Lasts {
		return l, gateway.Errorf(gateway.CodeNotPermitted, "this link has expired: links to recordings work %v here", account.Lasts)
	}
	if !s.begin(l.account) {
		return l, &gateway.Error{Code: gateway.CodeTooMany, Message: "too many recordings are being played: come again", RetryAfter: retryBusy}
	}
	defer s.end(l.account)
	onePart(r.Header)
	rec, err := s.await(r, &l, pbx.Source, account.Wait)
	if err != nil {
		return l, err
	}
	defer func() { _ = rec.Close() }() // it was only read
	h := w.Header()
	h.Set("Content-Type", typeOf(l.name, rec.Type()))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox") // whatever the file may be, nothing of it runs
	h.Set("Content-Disposition", disposition(l.name))
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // the CRM's page plays it
	h.Set("Cache-Control", "private, no-cache")           // kept, and asked for whether it is still there
	h.Set("Accept-Ranges", "bytes")
	return l, rec.Send(w, r)
}

// await opens a recording, for which it may have to wait.
func (s *Server) await(r *http.Request, l *link, source Source, wait time.Duration) (Recording, error) {
	ctx := r.Context()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	patience := time.NewTimer(wait)
	defer patience.Stop()
	for {
		rec, later, err := s.open(r, l, source)
		if err != nil || rec != nil {
			return rec, err
		}
		notYet := &gateway.Error{Code: gateway.CodeNotReady, Message: later.reason + ": come again", RetryAfter: later.retry}
		select {
		case <-look.C:
		case <-patience.C:
			return nil, notYet
		case <-ctx.Done():
			return nil, notYet
		}
	}
}

// open returns a recording, or why there is none yet.
func (s *Server) open(r *http.Request, l *link, source Source) (Recording, notYet, error) {
	call, known := s.cfg.Call(l.account, l.call)
	if known && !call.StartedAt.Truncate(time.Second).Equal(l.started) { // a PBX may use its ids again
		known = false
	}
	if known && !call.Over() {
		return nil, notYet{"the call is still going on, its recording comes with its end", retryCall}, nil
	}
	rec, err := source.Open(r.Context(), l.name, r)
	switch {
	case errors.Is(err, errGrowing):
		return nil, notYet{"the recording is still being written", retryFile}, nil
	case !errors.Is(err, errMissing):
		return rec, notYet{}, err
	}
	ended := l.started
	if known {
		ended = call.EndedAt
	}
	if s.cfg.Now().Sub(ended) < comeTime {
		return nil, notYet{"the recording is not there yet", retryFile}, nil
	}
	return nil, notYet{}, &gateway.Error{Code: gateway.CodeNotFound, Message: "the recording is gone: the telephone system does not have it any more", Err: err}
}

// begin takes one of the answers that may be under way.
func (s *Server) begin(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[""] >= s.cfg.Streams || s.streams[account] >= s.cfg.AccountStreams {
		return false
	}
	s.streams[""]++
	s.streams[account]++
	return true
}

func (s *Server) end(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[""]--
	if s.streams[account]--; s.streams[account] == 0 {
		delete(s.streams, account)
	}
}

// paced is an answer whose reader has to keep up. It is sent piece by piece, each of which has its time.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	ctx     context.Context // of the request
	stall   time.Duration
	begun   bool
	failed  error // the first
}

func (p *paced) WriteHeader(status int) {
	p.begun = true
	p.ResponseWriter.WriteHeader(status)
}

func (p *paced) Write(data []byte) (int, error) {
	p.begun = true
	if err := p.ctx.Err(); err != nil {
		p.failed = err
		return 0, err
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(p.stall)) // not every writer has one; real connections do
	n, err := p.ResponseWriter.Write(data)
	if err != nil && p.failed == nil {
		p.failed = err
	}
	return n, err
}
