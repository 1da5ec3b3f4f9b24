package amocrm

import (
	"context"
	"errors"
	"sync"
	"time"

	"ringcast/gateway"
)

// How long an answer counts. A contact is renamed, merged into another or given to a colleague at any time, and nobody
// tells; one whom nobody had is often made while he is on the telephone.
const (
	rememberFound   = time.Minute
	rememberNobody  = 15 * time.Second
	rememberFailure = time.Second // so that a CRM that is down is not asked for every leg of a call

	maxAnswers = 4096 // of an account
	maxAsking  = 64   // numbers of an account that are asked about at once
)

// answers are what was asked about numbers, and what is being asked. The zero value is ready.
type answers struct {
	mu     sync.Mutex
	known  map[string]*answer
	asking int // questions under way
	work   sync.WaitGroup
	closed bool
}

// answer is that of one question. What it says is guarded by the lock of answers.
type answer struct {
	who, all chan struct{} // closed once who has the number is known, and once the rest is

	found gateway.Found
	err   error
	until time.Time // zero: it is being asked
}

// errTooManyCallers is what is known of a number when the account's other numbers take all there is to ask with.
var errTooManyCallers = errors.New("too many numbers are looked up at once")

// get returns the answer to a question, and has it asked if nobody has asked it lately.
func (m *answers) get(key string, ask func(a *answer)) (*answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.known[key]
	if a != nil && (a.until.IsZero() || time.Now().Before(a.until)) {
		return a, nil
	}
	if m.closed {
		return nil, context.Canceled
	}
	if m.asking >= maxAsking {
		return nil, errTooManyCallers
	}
	if m.known == nil {
		m.known = map[string]*answer{}
	}
	if len(m.known) >= maxAnswers {
		m.makeRoom()
	}
	a = &answer{who: make(chan struct{}), all: make(chan struct{})}
	m.known[key] = a
	m.asking++
	m.work.Go(func() { ask(a) })
	return a, nil
}

// makeRoom forgets what counts no more, or if all of it counts something. The caller holds the lock.
func (m *answers) makeRoom() {
	now := time.Now()
	for key, a := range m.known {
		if !a.until.IsZero() && !now.Before(a.until) {
			delete(m.known, key)
		}
	}
	for key, a := range m.known {
		if len(m.known) < maxAnswers {
			return
		}
		if !a.until.IsZero() {
			delete(m.known, key)
		}
	}
}

// put gives the answer to who has the number, and last of all to everything. Called once or twice for an answer.
func (m *answers) put(a *answer, found gateway.Found, err error, last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.found, a.err = found, err
	select {
	case <-a.who:
	default:
		close(a.who)
	}
	if !last {
		return
	}
	life := rememberFound
	switch {
	case err != nil:
		life = rememberFailure
	case found.Contact == nil:
		life = rememberNobody
	}
	a.until = time.Now().Add(life)
	m.asking--
	close(a.all)
}

func (m *answers) read(a *answer) (gateway.Found, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.found, a.err
}

// recall returns what counts still, or is known already.
func (m *answers) recall(key string) (gateway.Found, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.known[key]
	if a == nil || !a.until.IsZero() && !time.Now().Before(a.until) || a.err != nil {
		return gateway.Found{}, false
	}
	select {
	case <-a.who:
		return a.found, true
	default:
		return gateway.Found{}, false
	}
}

// close waits for the questions under way and lets no more begin.
func (m *answers) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.work.Wait()
}
