package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// load is what the senders are to do together.
type load struct {
	addr     string
	batch    int
	every    time.Duration // between two POSTs of all senders; 0: each posts as soon as it can
	duration time.Duration
}

// overtime is how long senders that are behind go on after the load was to end.
const overtime = 10 * time.Second

// sent is what senders did.
type sent struct {
	events, acknowledged int
	lateness             []time.Duration // of each POST: begun after its time
	lastAnswer           time.Time
	refused              error // the first answer that was not what it should be
}

// run posts with the given number of senders, the accounts dealt out to them, and returns when all is answered.
func (l load) run(ctx context.Context, accounts []*account, senders int) (sent, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, l.duration+overtime)
	defer cancel()
	all := make([]*sender, senders)
	for i := range all {
		s, err := newSender(ctx, l)
		if err != nil {
			return sent{}, time.Time{}, err
		}
		defer func() { _ = s.conn.Close() }()
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

func newSender(ctx context.Context, l load) (*sender, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	return &sender{load: l, conn: conn, in: bufio.NewReader(conn)}, nil
}

// run posts at due, and again after each interval, until end. It stops at the first POST that is refused: what
// follows of the same calls would not make sense.
func (s *sender) run(ctx context.Context, due, end time.Time, interval time.Duration) {
	deadline, _ := ctx.Deadline()
	_ = s.conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Now()) })
	defer stop()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for n := 0; due.Before(end); n++ {
		if interval > 0 {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else {
			due = time.Now()
		}
		if err := s.post(s.accounts[n%len(s.accounts)], due); err != nil {
			s.sent.refused = err
			return
		}
		due = due.Add(interval)
		timer.Reset(time.Until(due))
	}
}

// post sends the account's next events and waits for the answer.
func (s *sender) post(a *account, due time.Time) error {
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
		a.id, s.load.addr, a.pbxKey, len(s.body))
	s.request = append(s.request, s.body...)
	if _, err := s.conn.Write(s.request); err != nil {
		return err
	}
	if err := s.answer(); err != nil {
		return err
	}
	s.sent.lastAnswer = time.Now()
	s.sent.acknowledged += len(s.batch)
	for _, f := range s.batch {
		f.tab.acknowledged(f.index)
	}
	return nil
}

// answer reads the answer, which must say that all events are new and taken.
func (s *sender) answer() error {
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
		Accepted int      `json:"accepted"`
		Unknown  []string `json:"unknown_extensions"`
	}
	if response.StatusCode != http.StatusAccepted || json.Unmarshal(body, &taken) != nil ||
		taken.Accepted != len(s.batch) || len(taken.Unknown) > 0 {
		return fmt.Errorf("a POST of %d events was answered with %s: %.300s", len(s.batch), response.Status, body)
	}
	return nil
}
