package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// visitor is a user's page: it connects its tab by some rung, and comes back after whatever happens, at a random
// moment as pages do. It is run by one goroutine; the others' methods are cut, move and sleep.
type visitor struct {
	crowd   *crowd
	account *account
	tab     *tab
	client  string // its own name
	forgets bool   // to renew its token
	home    net.IP // where it connects from
	ticket  string // of the script rung, for as long as it goes
	tally   *tally // of the present rung
	bye     []int  // the window that the server asked it to come back in, ms

	mu      sync.Mutex
	random  *rand.Rand
	rung    string
	conn    net.Conn
	through func()    // the door
	asleep  time.Time // until then
	live    bool
	last    error     // why the last visit ended
	gone    time.Time // when it was live the last time
}

// The messages of a server, as far as they are looked at.
type message struct {
	Type    string `json:"type"`
	Cursor  string `json:"cursor"`
	Prev    string `json:"prev"`
	Event   string `json:"event"`
	Resumed bool   `json:"resumed"`
	Reason  string `json:"reason"`
	RetryIn []int  `json:"retry_in"`
	Code    string `json:"code"`
	Call    struct {
		ID        string `json:"id"`
		Extension string `json:"extension"`
	} `json:"call"`
}

// refusal is an error that a server answered with.
type refusal struct {
	Status int    `json:"-"`
	Code   string `json:"code"`
	Text   string `json:"message"`
	Detail string `json:"detail"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused with %d %s: %s%s", r.Status, r.Code, r.Text, r.Detail)
}

// final says whether a page would not come back after an error.
func final(err error) bool {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return closed.Code >= 4500
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case "draining", "unavailable", "token_expired", "ticket_used", "slow", "superseded", "too_many", "internal":
		return false
	default:
		return true
	}
}

const (
	backOff    = 500 * time.Millisecond // of the first try at most; each that fails doubles it
	backOffEnd = 20 * time.Second
)

// run visits until ctx ends, once only if the crowd does not come back. It leaves why the last visit ended with the tab.
func (v *visitor) run(ctx context.Context) {
	for failures := 0; ; failures++ {
		err := v.visit(ctx)
		if v.left(err) {
			failures = 0
		}
		if ctx.Err() != nil {
			return
		}
		if !v.crowd.returns || final(err) {
			v.crowd.lost(v, err)
			return
		}
		if pause(ctx, v.delay(failures)) != nil {
			return
		}
	}
}

// visit is one connection, or for the polls a row of them, until that is over. It always returns an error.
func (v *visitor) visit(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	through, err := v.crowd.door(ctx)
	if err != nil {
		return err
	}
	defer through()
	v.mu.Lock()
	rung := v.rung
	v.through = through
	v.mu.Unlock()
	defer context.AfterFunc(ctx, func() { v.hangUp(false) })()
	defer v.hangUp(false)
	v.tally = v.crowd.tally[rung]
	v.tally.visits.Add(1)
	v.tab.visit(rung)
	return rungs[rung](ctx, v)
}

// delay is how long to stay away: a random time of the server's window, or of one that grows.
func (v *visitor) delay(failures int) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if b := v.bye; len(b) == 2 && b[1] > b[0] && b[0] >= 0 {
		v.bye = nil
		return time.Duration(b[0]+v.random.IntN(b[1]-b[0])) * time.Millisecond
	}
	return time.Duration(v.random.Int64N(int64(min(backOff<<min(failures, 10), backOffEnd))))
}

// arrived says that the session stands.
func (v *visitor) arrived() {
	v.mu.Lock()
	first := !v.live
	v.live, v.bye = true, nil
	gone, through := v.gone, v.through
	v.mu.Unlock()
	if first {
		through()
		v.crowd.came(gone)
	}
}

// left says that it does not stand any more, and whether it did.
func (v *visitor) left(why error) bool {
	v.mu.Lock()
	v.last = why
	was := v.live
	v.live = false
	if was {
		v.gone = time.Now()
	}
	v.mu.Unlock()
	if was {
		v.crowd.live.Add(-1)
	}
	return was
}

// take gives a message to the tab. Its error ends the visit.
func (v *visitor) take(data []byte) error {
	now := time.Now()
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("message %.100q: %w", data, err)
	}
	switch m.Type {
	case "hello":
		v.tab.greet(m)
		v.arrived()
	case "call":
		if v.tab.receive(m, now) {
			v.crowd.delivered.Add(1)
			v.tally.events.Add(1)
		}
	case "bye":
		v.bye = m.RetryIn
		v.crowd.sentAway(m.RetryIn)
		return &refusal{Code: m.Code}
	}
	return nil
}

// token is a new one of the user's.
func (v *visitor) token() (string, error) {
	return v.account.token(userOf(v.tab.extension), time.Now().Add(v.crowd.tokenLife))
}

// keepRenewing calls renew with a new token before the one before expires, until the returned function is called.
// Some pages do not know how, and come back when the server has ended their session.
func (v *visitor) keepRenewing(renew func(token string)) (stop func()) {
	if v.forgets {
		return func() {}
	}
	every := v.crowd.tokenLife * 6 / 10
	var mu sync.Mutex
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(every, func() {
		token, err := v.token()
		if err == nil {
			renew(token)
			v.crowd.renewals.Add(1)
		}
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Reset(every)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		timer = nil
	}
}

// dial connects to one of the servers. The visitor has one connection at a time that can be cut.
func (v *visitor) dial(ctx context.Context) (net.Conn, error) {
	v.mu.Lock()
	first := v.random.IntN(len(v.crowd.addrs))
	v.mu.Unlock()
	conn, err := dialAny(ctx, v.home, v.crowd.addrs, first)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.conn = conn
	return &pageConn{conn, v}, nil
}

// dialAny connects to the first of the servers that listens, as a load balancer does. From is nil for any address.
func dialAny(ctx context.Context, from net.IP, addrs []string, first int) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: answerTime}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	for i := range addrs {
		if conn, err = dialer.DialContext(ctx, "tcp", addrs[(first+i)%len(addrs)]); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// cut breaks the connection, as networks do.
func (v *visitor) cut(*rand.Rand) { v.hangUp(true) }

// hangUp ends the connection; hard: what has not been read is lost at once, on both sides.
func (v *visitor) hangUp(hard bool) {
	v.mu.Lock()
	conn := v.conn
	v.conn = nil
	v.mu.Unlock()
	if conn == nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && hard {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// move makes the visitor come back by another rung, perhaps.
func (v *visitor) move(random *rand.Rand) {
	v.mu.Lock()
	v.rung = v.crowd.rungs[random.IntN(len(v.crowd.rungs))]
	v.mu.Unlock()
	v.hangUp(false)
}

// sleep is that of a machine whose lid is closed: nothing that arrives is read, and then the connection is of no use.
func (v *visitor) sleep(d time.Duration) {
	v.mu.Lock()
	v.asleep = time.Now().Add(d)
	v.mu.Unlock()
}

// pageConn is a connection that sleeps when its page does.
type pageConn struct {
	net.Conn
	v *visitor
}

var errSlept = errors.New("slept")

func (c *pageConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.v.mu.Lock()
	rest := time.Until(c.v.asleep)
	c.v.mu.Unlock()
	if rest <= 0 {
		return n, err
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.v.crowd.over:
	}
	return 0, errSlept
}

// tlsConfig is how to speak TLS to a server with a certificate of its own making.
func tlsConfig() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}} //nolint:gosec // made a moment ago, for this run
}
