package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// AmoFailure is a way for requests to go wrong.
type AmoFailure int

const (
	// AmoRefuse answers with Status and Body and does nothing.
	AmoRefuse AmoFailure = iota
	// AmoHang gives no answer until the fault is lifted; then the request is carried out, if its client still waits.
	AmoHang
	// AmoLose carries the request out and cuts the connection instead of answering.
	AmoLose
	// AmoMute carries the request out, and cuts the connection when the fault is lifted.
	AmoMute
	// AmoLate gives no answer until the fault is lifted, and then one to a client that still waits. For one that has gone
	// the request is carried out all the same, some time after.
	AmoLate
	// AmoCut cuts the connection and does nothing.
	AmoCut
	// AmoHalf carries out the first half of the items of a batch, none of one, and answers with Status, by default 504.
	AmoHalf
	// AmoBan answers as the CRM's front door does to those whom it has shut out: 403, and no problem document.
	AmoBan
)

// AmoFault is how requests go wrong that a test wants to go wrong.
type AmoFault struct {
	Pattern string // as of net/http.ServeMux, such as "POST /api/v4/tasks" or "/api/"; empty: all of them
	Failure AmoFailure
	Status  int     // 0: 500
	Body    string  // empty: a problem document of that status
	Times   int     // how many requests it befalls; 0: all until it is lifted
	Late    int     // AmoLate: how many of the CRM's seconds after the client has gone; 0: 10
	Share   float64 // which share of the requests, from 0 to 1; 0: all of them
	Seed    uint64  // of which ones these are
}

type amoFault struct {
	AmoFault

	match *http.ServeMux
	dice  *rand.Rand
	free  chan struct{} // closed when it is lifted
	hits  int
}

// Fail lets requests go wrong. It ends with lift, which may be called more than once. The newest fault that is meant
// for a request counts.
func (a *Amo) Fail(f AmoFault) (lift func()) {
	kept := &amoFault{AmoFault: f, match: http.NewServeMux(), dice: rand.New(rand.NewPCG(f.Seed, 0)), free: make(chan struct{})}
	kept.match.HandleFunc(cmp.Or(f.Pattern, "/"), http.NotFound)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, kept)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if i := slices.Index(a.faults, kept); i >= 0 {
			a.faults = slices.Delete(a.faults, i, i+1)
			close(kept.free)
		}
	}
}

// Refuse answers requests of a pattern with a status and a body; an empty body stands for a problem document of
// that status.
func (a *Amo) Refuse(pattern string, status int, body string) (lift func()) {
	return a.Fail(AmoFault{Pattern: pattern, Status: status, Body: body})
}

// Hang leaves requests of a pattern without an answer. release ends it: requests that wait are answered then.
func (a *Amo) Hang(pattern string) (release func()) {
	return a.Fail(AmoFault{Pattern: pattern, Failure: AmoHang})
}

// faultFor returns the fault that befalls a request, nil if none does.
func (a *Amo) faultFor(r *http.Request) *amoFault {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range slices.Backward(a.faults) {
		if _, pattern := f.match.Handler(r); pattern == "" || f.Times > 0 && f.hits == f.Times || f.Share > 0 && f.dice.Float64() >= f.Share {
			continue
		}
		f.hits++
		return f
	}
	return nil
}

// failed answers a request that a fault is meant for, or waits with it. It reports whether it was dealt with.
func (a *Amo) failed(w http.ResponseWriter, r *http.Request) bool {
	f := a.faultFor(r)
	if f == nil {
		return false
	}
	switch f.Failure {
	case AmoHang:
		return f.hang(r)
	case AmoLose:
		a.mux.ServeHTTP(&amoNowhere{}, r)
		panic(http.ErrAbortHandler)
	case AmoMute:
		a.mux.ServeHTTP(&amoNowhere{}, r)
		f.hang(r)
		panic(http.ErrAbortHandler)
	case AmoLate:
		if !f.hang(r) {
			return false
		}
		late := r.Clone(context.WithoutCancel(r.Context()))
		time.AfterFunc(time.Duration(cmp.Or(f.Late, 10))*a.second(), func() { a.mux.ServeHTTP(&amoNowhere{}, late) })
		panic(http.ErrAbortHandler)
	case AmoCut:
		panic(http.ErrAbortHandler)
	case AmoHalf:
		halve(r)
		a.mux.ServeHTTP(&amoNowhere{}, r)
		f.refuse(w, http.StatusGatewayTimeout)
	case AmoBan:
		writeAmoProblem(w, amoProblem{Status: http.StatusForbidden, Banned: true})
	default:
		f.refuse(w, http.StatusInternalServerError)
	}
	return true
}

// hang reports whether the client has gone meanwhile. While there is something to be read of a request, its server does
// not notice that.
func (f *amoFault) hang(r *http.Request) (gone bool) {
	if body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)); err == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	select {
	case <-f.free:
	case <-r.Context().Done():
	}
	return r.Context().Err() != nil
}

func (f *amoFault) refuse(w http.ResponseWriter, usual int) {
	status := cmp.Or(f.Status, usual)
	if f.Body == "" {
		writeAmoProblem(w, amoProblem{Status: status, Detail: http.StatusText(status)})
		return
	}
	kind := "application/problem+json"
	if strings.HasPrefix(f.Body, "<") {
		kind = "text/html"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, f.Body) // the client went away: nobody is left to tell
}

// halve leaves a request the first half of its items.
func halve(r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var items []json.RawMessage
	if err == nil && json.Unmarshal(body, &items) == nil {
		body, err = json.Marshal(items[:len(items)/2])
	}
	if err != nil {
		body = nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
}

// amoNowhere is where an answer goes that is lost.
type amoNowhere struct{ header http.Header }

// Header implements http.ResponseWriter.
func (n *amoNowhere) Header() http.Header {
	if n.header == nil {
		n.header = http.Header{}
	}
	return n.header
}

// Write implements http.ResponseWriter.
func (*amoNowhere) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (*amoNowhere) WriteHeader(int) {}
