package amocrm

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits are how many requests a second a platform takes. What is zero has the documented figure.
type Limits struct {
	Integration int // of one integration in one account: 7
	Account     int // of everybody in one account: 50
	Process     int // Kommo counts by address, so of this process to Kommo, all accounts together; and to either platform for tokens: 7

	Second time.Duration // how long a second is, for tests that have no time; 0: one
}

const (
	window     = time.Second      // what the limits count in
	patience   = 5 * time.Second  // how long a request waits at most, about; then its sender comes again
	fewGates   = 64               // are not looked through for those that nobody needs
	kept       = 1                // places of a limit that only urgent requests get
	shortPause = time.Second      // after the first 429, doubled with each that follows
	longPause  = time.Minute      //
	shortBan   = time.Minute      // after the first 403 of a ban, doubled with each that follows
	longBan    = 10 * time.Minute //
)

// Limiter holds requests back until the platform takes them. Urgent ones go first and have a place of their own in
// each limit; the rest go in the order in which they came. It starts no goroutine. There is one in a process, for all
// that it asks the CRMs: they count by address, too, and shut an address out.
type Limiter struct {
	limits Limits

	mu      sync.Mutex
	gates   map[string]*gate
	many    int       // gates, before it is looked which of them nobody needs
	waiting []*waiter // urgent ones first
	timer   *time.Timer
}

// NewLimiter returns a limiter that has let nothing go yet.
func NewLimiter(limits Limits) *Limiter {
	limits.Integration = cmp.Or(limits.Integration, 7)
	limits.Account = cmp.Or(limits.Account, 50)
	limits.Process = cmp.Or(limits.Process, 7)
	limits.Second = cmp.Or(limits.Second, time.Second)
	return &Limiter{limits: limits, gates: map[string]*gate{}}
}

// in is how long so many seconds are.
func (l *Limiter) in(seconds time.Duration) time.Duration {
	return time.Duration(seconds.Seconds() * float64(l.limits.Second))
}

// gate is one limit: so many requests within any window, none while it is closed. When it opens again one goes
// through alone until it is answered well.
type gate struct {
	most   int // 0: any number
	places []*place
	users  int           // requests that wait or are under way
	closed time.Time     // until when
	shut   time.Time     // when it was closed
	pause  time.Duration // for how long, the last time; 0: it works
	why    *Error        // what closed it
}

// place is taken by a request from when it goes until a window after it arrived there. When that was nobody knows: at
// its answer at the latest, and hardly later than a window after it went.
type place struct{ free time.Time }

type waiter struct {
	urgent bool
	gates  []*gate // the first is the narrowest
	places []*place
	went   time.Time
	err    *Error        // refused
	ready  chan struct{} // closed when it may go, or is refused
}

// platformOf says who counts the requests to an address. One that is nobody's, such as a test's, counts for itself.
func platformOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	host := strings.ToLower(u.Hostname())
	platform := PlatformOf(host)
	if !slices.ContainsFunc(platform.domains(), func(domain string) bool { return strings.HasSuffix(host, "."+domain) }) {
		return u.Host
	}
	return string(platform)
}

// enter waits until a request may go. The pass is to be given back with leave. It fails with an *Error that has a
// RetryAfter when that would take too long, and with ctx's.
func (l *Limiter) enter(ctx context.Context, to Access, urgent bool) (*waiter, error) {
	w := &waiter{urgent: urgent, ready: make(chan struct{})}
	l.mu.Lock()
	w.gates = l.gatesOf(to)
	if n := l.waitingAt(w.gates[0]); !urgent && n >= w.gates[0].most*int(patience/window) {
		l.mu.Unlock()
		return nil, &Error{Title: "too many requests wait already", RetryAfter: l.in(patience)}
	}
	w.use(1)
	at := len(l.waiting)
	if urgent {
		if at = slices.IndexFunc(l.waiting, func(o *waiter) bool { return !o.urgent }); at < 0 {
			at = len(l.waiting)
		}
	}
	l.waiting = slices.Insert(l.waiting, at, w)
	l.dispatch()
	l.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if w.err == nil {
			w.use(-1)
		}
		if i := slices.Index(l.waiting, w); i >= 0 {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			l.dispatch()
		} else {
			w.free(time.Now(), l.in(window))
		}
		return nil, context.Cause(ctx)
	}
	if w.err != nil {
		return nil, w.err
	}
	return w, nil
}

// use counts a request at its gates. The caller holds the lock.
func (w *waiter) use(n int) {
	for _, g := range w.gates {
		g.users += n
	}
}

// gatesOf returns what a request has to pass, made where it is the first. The caller holds the lock.
func (l *Limiter) gatesOf(to Access) []*gate {
	if len(l.gates) >= l.many {
		l.forget(time.Now())
	}
	platform := platformOf(to.BaseURL)
	gates := []*gate{
		l.gate("integration "+to.Integration+" at "+to.BaseURL, l.limits.Integration),
		l.gate("account "+to.BaseURL, l.limits.Account),
		l.gate("platform "+platform, 0),
	}
	switch {
	case platform == string(PlatformKommo):
		gates = append(gates, l.gate("process", l.limits.Process))
	case to.Token == "": // it asks for one: many accounts need one at once, and strangers say of which
		gates = append(gates, l.gate("tokens of "+platform, l.limits.Process))
	}
	return gates
}

func (l *Limiter) gate(key string, most int) *gate {
	if l.gates[key] == nil {
		l.gates[key] = &gate{most: most}
	}
	return l.gates[key]
}

// forget drops the gates that a new one would be no different from, as there is one for each account that a stranger says
// he has. The caller holds the lock.
func (l *Limiter) forget(now time.Time) {
	maps.DeleteFunc(l.gates, func(_ string, g *gate) bool { return g.idle(now, l.in(longBan)) })
	l.many = max(fewGates, 2*len(l.gates))
}

// idle says that nobody is at a gate, and that what was there last, or closed it, was so long ago that it does not count.
func (g *gate) idle(now time.Time, long time.Duration) bool {
	taken := slices.ContainsFunc(g.places, func(p *place) bool { return p.free.After(now) })
	return g.users == 0 && !taken && (g.pause == 0 || now.Sub(g.closed) > long)
}

func (l *Limiter) waitingAt(g *gate) (n int) {
	for _, w := range l.waiting {
		if w.gates[0] == g {
			n++
		}
	}
	return n
}

// dispatch lets go whoever may, refuses those who would wait too long, and sees to it that it runs again when the next
// one may. The caller holds the lock.
func (l *Limiter) dispatch() {
	now := time.Now()
	var next time.Time
	l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
		at := now
		for _, g := range w.gates {
			if g.closed.Sub(now) > l.in(patience) {
				w.err = &Error{Status: g.why.Status, Title: g.why.Title, Detail: "no more requests are sent for a while", RetryAfter: g.closed.Sub(now)}
				w.use(-1)
				close(w.ready)
				return true
			}
			if t := g.opens(now, w.urgent); t.After(at) {
				at = t
			}
		}
		if !at.After(now) {
			w.take(now, l.in(window))
			close(w.ready)
			return true
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
		return false
	})
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if !next.IsZero() {
		l.timer = time.AfterFunc(next.Sub(now), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.dispatch()
		})
	}
}

// opens returns when a request may pass, now or earlier if it may at once.
func (g *gate) opens(now time.Time, urgent bool) time.Time {
	g.places = slices.DeleteFunc(g.places, func(p *place) bool { return !p.free.After(now) })
	most := g.most
	switch {
	case g.pause > 0:
		most = 1
	case most == 0:
		return now
	case !urgent && most > kept:
		most -= kept
	}
	at := g.closed
	if over := len(g.places) - most; over >= 0 {
		free := make([]time.Time, 0, len(g.places))
		for _, p := range g.places {
			free = append(free, p.free)
		}
		slices.SortFunc(free, time.Time.Compare)
		if t := free[over]; t.After(at) {
			at = t
		}
	}
	return at
}

func (w *waiter) take(now time.Time, second time.Duration) {
	w.went = now
	for _, g := range w.gates {
		if g.most == 0 && g.pause == 0 {
			continue
		}
		p := &place{free: now.Add(2 * second)}
		g.places = append(g.places, p)
		w.places = append(w.places, p)
	}
}

func (w *waiter) free(now time.Time, second time.Duration) {
	for _, p := range w.places {
		if at := now.Add(second); at.Before(p.free) {
			p.free = at
		}
	}
}

// leave tells how a request ended: with what the CRM answered, or nil.
func (l *Limiter) leave(w *waiter, answer *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.dispatch()
	w.use(-1)
	now := time.Now()
	w.free(now, l.in(window))
	switch {
	case answer == nil || answer.Status > 0 && answer.Status < http.StatusInternalServerError && answer.Status != http.StatusTooManyRequests && !answer.ban:
		for _, g := range w.gates {
			if w.went.After(g.shut) {
				g.pause, g.why = 0, nil
			}
		}
	case answer.ban:
		answer.RetryAfter = w.gates[2].close(w, answer, l.in(shortBan), l.in(longBan))
	case answer.Status == http.StatusTooManyRequests:
		answer.RetryAfter = max(answer.RetryAfter, w.gates[0].close(w, answer, l.in(shortPause), l.in(longPause)))
		if len(w.gates) > 3 {
			w.gates[3].close(w, answer, l.in(shortPause), l.in(longPause))
		}
	}
}

// close lets nothing pass for a while, longer than the last time, and returns for how long. What was on its way when
// it was closed says nothing new.
func (g *gate) close(w *waiter, why *Error, shortest, longest time.Duration) time.Duration {
	now := time.Now()
	if w.went.After(g.shut) {
		g.pause = min(longest, max(shortest, 2*g.pause))
		g.shut, g.why = now, why
		g.closed = now.Add(max(g.pause, min(why.RetryAfter, longest)) + rand.N(g.pause/4+1))
	}
	return max(0, g.closed.Sub(now))
}

// Stopped says until when nothing is sent to an account, and why: the platform has refused requests. nil: it is not so.
func (l *Limiter) Stopped(baseURL, integration string) (until time.Time, why *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gatesOf(Access{BaseURL: baseURL, Integration: integration}) {
		if g.closed.After(time.Now()) && g.closed.After(until) {
			until, why = g.closed, g.why
		}
	}
	return until, why
}
