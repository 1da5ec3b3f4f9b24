package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/webhook"
)

// passage takes the requests of a PBX in the gateway's place, records them and passes them on. It does so with the
// URLs of that PBX only, and to the gateway only.
type passage struct {
	account string
	pbx     PBXConfig
	target  string // the gateway's main listener
	public  string // what the outside calls it
	said    io.Writer
	logger  *slog.Logger

	listener net.Listener
	pass     *httputil.ReverseProxy
}

const (
	passTimeout = 10 * time.Second // for the gateway's answer, and at the end for what is under way
	slowest     = time.Minute      // for a request to come
)

// open listens.
func (p *passage) open(ctx context.Context, address string) error {
	target, err := url.Parse(p.target)
	if err != nil {
		return err
	}
	public, err := url.Parse(p.public)
	if err != nil {
		return err
	}
	p.pass = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // of what stands before this: SetXForwarded adds to it
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			// The certificate is not for an address; and nobody stands between this machine and itself.
			TLSClientConfig:       &tls.Config{ServerName: public.Hostname(), InsecureSkipVerify: isLoopback(p.target), MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
			ResponseHeaderTimeout: passTimeout,
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.logger.WarnContext(r.Context(), "a request could not be passed on to the gateway", "err", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	p.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	return err
}

func (p *passage) close() {
	_ = p.listener.Close() // a server that has served has done so
	if t, ok := p.pass.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// record serves until ctx ends, and what is under way then.
func (p *passage) record(ctx context.Context, r *recorder) error {
	p.try(ctx)
	fmt.Fprintf(p.said, "let the PBX post to http://%s instead of %s; interrupt to end\n", p.listener.Addr(), p.target)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, ReadTimeout: slowest, IdleTimeout: slowest, Handler: p.routes(r)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(p.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), passTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		_ = server.Close()
	}
	<-done //nolint:errcheck // that it was closed
	return err
}

// try says when the gateway is not there.
func (p *passage) try(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, p.target, http.NoBody)
	if err == nil {
		var res *http.Response
		if res, err = p.pass.Transport.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
	}
	if err != nil && ctx.Err() == nil {
		p.logger.WarnContext(ctx, "the gateway does not answer: what comes is recorded, and reaches nobody", "gateway", p.target, "err", err)
	}
}

// routes are the URLs of the PBX.
func (p *passage) routes(r *recorder) http.Handler {
	mux := http.NewServeMux()
	recorded := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { p.recorded(w, req, r) })
	if !p.pbx.mapped() {
		path := "/v1/accounts/" + p.account
		mux.Handle("POST "+path+"/events", recorded)
		mux.Handle("GET "+path+"/route", p.pass)
		return mux
	}
	ids := strings.NewReplacer("{account}", p.account, "{pbx}", p.pbx.ID)
	for _, path := range mappedPaths {
		mux.Handle("POST "+ids.Replace(path), recorded)
		mux.Handle("GET "+ids.Replace(path), recorded)
	}
	return mux
}

// recorded passes a request on and records it, unless the gateway did not let its sender in.
func (p *passage) recorded(w http.ResponseWriter, req *http.Request, r *recorder) {
	came := r.now()
	body, err := gateway.ReadBody(w, req, webhook.MaxBody)
	if err != nil {
		gateway.WriteProblem(w, err)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	answer := &statusWriter{ResponseWriter: w}
	p.pass.ServeHTTP(answer, req)
	if answer.status/100 == 4 && answer.status != http.StatusBadRequest || !p.isOwn(req) {
		return
	}
	m := recorded{At: came, To: req.URL.RequestURI(), Header: headersOf(req.Header)}
	if req.Method != http.MethodPost {
		m.Method = req.Method
	}
	r.message(m, body)
}

// isOwn says whether a request is not of another PBX of the account: as Ringcast has them, all post to one URL.
func (p *passage) isOwn(req *http.Request) bool {
	_, key, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	return p.pbx.mapped() || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(key)), []byte(p.pbx.Webhook.Key)) == 1
}

// notTold are headers that tell nothing of a call, or give a key away.
var notTold = []string{
	"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Length", "Cookie", "Forwarded", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip",
}

// headersOf are those that a mapping may look at.
func headersOf(all http.Header) http.Header {
	some := all.Clone()
	for name := range some {
		if slices.Contains(notTold, name) {
			delete(some, name)
		}
	}
	return some
}

// statusWriter notes how a request was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
