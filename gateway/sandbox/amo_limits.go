package sandbox

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AmoRequest is a request that a page or an integration sent to the API, to the CRM's own services under /ajax/ or
// for tokens.
type AmoRequest struct {
	Method string
	Path   string
	Query  string // as it stood in the address
	User   int64  // of a browser's session; 0: nobody signed in
	Client string // the integration whose token it bore, good or not; empty: none
	As     string // the header X-Context-User-ID
	Time   time.Time
	Status int // of the answer; 0: there is none yet, or it was lost
}

// Requests returns the requests of the API since the start, oldest first, also those that were refused. What the
// page itself asks for what it shows is not among them.
func (a *Amo) Requests() []AmoRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

func recorded(r *http.Request) bool {
	return slices.ContainsFunc([]string{"/api/", "/ajax/", "/oauth2/"}, func(root string) bool { return strings.HasPrefix(r.URL.Path, root) })
}

// record returns the request's number.
func (a *Amo) record(r *http.Request) int {
	user, _ := a.user(r.Header.Get("X-Sandbox-User"))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, AmoRequest{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, User: user.ID, Client: a.clientOfToken(r),
		As: r.Header.Get("X-Context-User-ID"), Time: time.Now(),
	})
	return len(a.requests) - 1
}

// clientOfToken returns "" where a request bears no token that was ever good. The caller holds the lock.
func (a *Amo) clientOfToken(r *http.Request) string {
	token, _ := bearerOf(r)
	if p := a.tokens.access[token]; p != nil {
		return p.grant.client.ID
	}
	return ""
}

func (a *Amo) recordStatus(number, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests[number].Status = status
}

// amoAnswer remembers the status of an answer.
type amoAnswer struct {
	http.ResponseWriter

	status int
}

// WriteHeader sends the status.
func (w *amoAnswer) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// signedIn lets only those in whom the CRM knows, and writes the error of h as amoCRM does.
func (a *Amo) signedIn(h amoHandler) http.Handler {
	return a.answering(func(w http.ResponseWriter, r *http.Request) error {
		r, user, err := a.admit(r)
		if err != nil {
			return err
		}
		if clientOf(r.Context()) == nil {
			err = a.limited(r, user)
		}
		if err != nil {
			return err
		}
		return h(w, r, user)
	})
}

// answering writes the error of h as amoCRM does.
func (a *Amo) answering(h func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		if err := h(w, r); err != nil {
			a.writeError(w, r, err)
		}
	})
}

func (a *Amo) writeError(w http.ResponseWriter, r *http.Request, err error) {
	problem := amoProblem{Status: http.StatusInternalServerError, Detail: "Internal error"}
	if !errors.As(err, &problem) {
		a.log.WarnContext(r.Context(), "sandbox amoCRM: request failed", "path", r.URL.Path, "err", err)
	}
	writeAmoProblem(w, problem)
}

const (
	amoRate        = 7  // requests a second
	amoAccountRate = 50 // of all integrations
	amoPatience    = 10 // refusals within amoPenalty after which everything is refused
	amoPenalty     = 10 // seconds that lasts
)

// amoBudget is what the requests of one source are measured by.
type amoBudget struct {
	taken   []time.Time // within a second
	refused []time.Time // within amoPenalty
	blocked time.Time   // until when
}

// limited refuses what comes too fast from the pages of a user: 429, and 403 for everything once that was not heeded.
func (a *Amo) limited(r *http.Request, user AmoUser) error {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.budget("user "+strconv.FormatInt(user.ID, 10)).take(cmp.Or(a.cfg.RateLimit, amoRate), a.second(), false)
}

// metered refuses what comes too fast from an integration, whatever becomes of the request. Kommo looks at the
// address it comes from, and not at the integration.
func (a *Amo) metered(r *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	source := a.clientOfToken(r)
	if source == "" || !strings.HasPrefix(r.URL.Path, "/api/") {
		return nil
	}
	if a.cfg.Platform == KommoPlatform {
		source, _, _ = net.SplitHostPort(r.RemoteAddr) // the server has set it
	}
	if err := a.budget(source).take(cmp.Or(a.cfg.RateLimit, amoRate), a.second(), true); err != nil {
		return err
	}
	return a.budget("account").take(cmp.Or(a.cfg.AccountLimit, amoAccountRate), a.second(), true)
}

func (a *Amo) second() time.Duration { return cmp.Or(a.cfg.Second, time.Second) }

// budget returns a source's. The caller holds the lock.
func (a *Amo) budget(source string) *amoBudget {
	b := a.budgets[source]
	if b == nil {
		b = &amoBudget{}
		a.budgets[source] = b
	}
	return b
}

// take counts a request, or says why it is refused. Browsers are told of a ban by the API, integrations by the
// front door.
func (b *amoBudget) take(rate int, second time.Duration, frontDoor bool) error {
	if rate < 0 {
		return nil
	}
	now := time.Now()
	penalty := amoPenalty * second
	b.taken = slices.DeleteFunc(b.taken, func(t time.Time) bool { return now.Sub(t) >= second })
	b.refused = slices.DeleteFunc(b.refused, func(t time.Time) bool { return now.Sub(t) >= penalty })
	switch {
	case now.Before(b.blocked):
		return amoProblem{Status: http.StatusForbidden, Detail: "Too many requests: blocked", Banned: frontDoor}
	case len(b.taken) < rate:
		b.taken = append(b.taken, now)
		return nil
	}
	if b.refused = append(b.refused, now); len(b.refused) >= amoPatience {
		b.blocked, b.refused = now.Add(penalty), nil
	}
	return amoProblem{Status: http.StatusTooManyRequests, Detail: "Too Many Requests"}
}
