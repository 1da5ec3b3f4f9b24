package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// load is what the senders are to do together.
type load struct {
	addrs    []string // of servers that are as good as each other
	secure   bool
	retries  bool // what was not taken is posted again, until it is
	batch    int
	every    time.Duration // between two POSTs of all senders; 0: each posts as soon as it can
	duration time.Duration
	once     bool // ends as soon as each tab has had an event
}

// How long senders that are behind go on after the load was to end. With retries they may wait for a node to start.
const (
	overtime        = 10 * time.Second
	overtimeRetries = time.Minute
)

// sent is what senders did.
type sent struct {
	events, acknowledged int
	repeated             int             // POSTs sent again
	lateness             []time.Duration // of each POST: begun after its time
	lastAnswer           time.Time
	refused              error // the first answer that was not what it should be
}

// run posts with the given number of senders, the accounts dealt out to them, and returns when all is answered.
func (l load) run(ctx context.Context, accounts []*account, senders int) (sent, time.Time, error) {
	over := overtime
	if l.retries {
		over = overtimeRetries
	}
	ctx, cancel := context.WithTimeout(ctx, l.duration+over)
	defer cancel()
	all := make([]*sender, senders)
	for i := range all {
		s := &sender{load: l}
		defer s.hangUp()
		if err := s.dial(ctx); err != nil {
			return sent{}, time.Time{}, err
		}
		for j := i; j < len(accounts); j += senders {
			s.accounts = append(s.accounts, accounts[j])
		}
		all[i] = s
	}
	begin := time.Now()
	var running sync.WaitGroup
	for i, s := range all {
		running.Go(func() {
			s.run(ctx, begin.Add(time.Duration(i)*l.every), begin.Add(l.duration), time.Duration(senders)*l.every)
		})
	}
	running.Wait()
	var total sent
	for _, s := range all {
		total.events += s.sent.events
		total.acknowledged += s.sent.acknowledged
		total.repeated += s.sent.repeated
		total.lateness = append(total.lateness, s.sent.lateness...)
		if s.sent.lastAnswer.After(total.lastAnswer) {
			total.lastAnswer = s.sent.lastAnswer
		}
		if total.refused == nil {
			total.refused = s.sent.refused
		}
	}
	return total, begin, nil
}

// sender posts on one keep-alive connection. It writes HTTP by hand, which costs a third of what net/http's client
// does: on a small machine the load should leave the processor to the server.
type sender struct {
	load     load
	conn     net.Conn
	in       *bufio.Reader
	accounts []*account
	sent     sent

	body, request []byte
	batch         []inFlight
}

type inFlight struct {
	tab   *tab
	index int
}

// dial connects to one of the servers.
func (s *sender) dial(ctx context.Context) error {
	conn, err := dialAny(ctx, nil, s.load.addrs, rand.IntN(len(s.load.addrs)))
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if s.load.secure {
		conn = tls.Client(conn, tlsConfig())
	}
	s.conn, s.in = conn, bufio.NewReader(conn)
	return nil
}

func (s *sender) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// run posts at due, and again after each interval, until end. It stops at the first POST that is refused for good:
// what follows of the same calls would not make sense.
func (s *sender) run(ctx context.Context, due, end time.Time, interval time.Duration) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for n := 0; due.Before(end) && !(s.load.once && n == s.round()); n++ {
		if interval > 0 {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else {
			due = time.Now()
		}
		if err := s.post(ctx, s.accounts[n%len(s.accounts)], due); err != nil {
			s.sent.refused = err
			return
		}
		due = due.Add(interval)
		timer.Reset(time.Until(due))
	}
}

// round is how many POSTs bring each tab of the sender's accounts an event.
func (s *sender) round() int {
	most := 0
	for _, a := range s.accounts {
		most = max(most, len(a.tabs))
	}
	return most * len(s.accounts)
}

// post sends the account's next events and waits for the answer.
func (s *sender) post(ctx context.Context, a *account, due time.Time) error {
	now := time.Now()
	s.sent.lateness = append(s.sent.lateness, now.Sub(due))
	s.body, s.batch = s.body[:0], s.batch[:0]
	if s.load.batch > 1 {
		s.body = append(s.body, '[')
	}
	for i := range s.load.batch {
		if i > 0 {
			s.body = append(s.body, ',')
		}
		var t *tab
		s.body, t = a.appendEvent(s.body, now)
		s.batch = append(s.batch, inFlight{t, t.posting(due)})
	}
	if s.load.batch > 1 {
		s.body = append(s.body, ']')
	}
	s.sent.events += len(s.batch)
	s.request = fmt.Appendf(s.request[:0],
		"POST /v1/accounts/%s/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		a.id, s.load.addrs[0], a.pbxKey, len(s.body))
	s.request = append(s.request, s.body...)
	if err := s.send(ctx); err != nil {
		return err
	}
	s.sent.lastAnswer = time.Now()
	s.sent.acknowledged += len(s.batch)
	for _, f := range s.batch {
		f.tab.acknowledged(f.index)
	}
	return nil
}

// send sends the request, and where it may, sends it again until it is taken: a PBX whose events have ids loses none.
func (s *sender) send(ctx context.Context) error {
	for try := 0; ; try++ {
		err := s.sendOnce(ctx, try > 0)
		var refused *refusal
		switch {
		case err == nil:
			return nil
		case !s.load.retries || ctx.Err() != nil:
			return err
		case errors.As(err, &refused) && refused.Status != http.StatusServiceUnavailable:
			return err
		}
		s.hangUp()
		s.sent.repeated++
		if err := pause(ctx, rand.N(50*time.Millisecond<<min(try, 4))); err != nil {
			return err
		}
	}
}

func (s *sender) sendOnce(ctx context.Context, again bool) error {
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return err
		}
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write(s.request); err != nil {
		return err
	}
	return s.answer(again)
}

// answer reads the answer, which must say that all events are taken, and new unless they were sent before.
func (s *sender) answer(again bool) error {
	response, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var taken struct {
		Accepted   int      `json:"accepted"`
		Duplicates int      `json:"duplicates"`
		Unknown    []string `json:"unknown_extensions"`
	}
	whole := response.StatusCode == http.StatusAccepted && json.Unmarshal(body, &taken) == nil && len(taken.Unknown) == 0 &&
		(taken.Accepted == len(s.batch) || again && taken.Accepted == 0 && taken.Duplicates == len(s.batch))
	if !whole {
		return &refusal{Status: response.StatusCode, Text: fmt.Sprintf("the answer to a POST of %d events is %.300s", len(s.batch), body)}
	}
	return nil
}
