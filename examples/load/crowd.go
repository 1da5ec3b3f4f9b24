package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	handshakes     = 32     // at a time
	addressesEvery = 20_000 // sessions, then the next 127.0.0.x: an address has 28,000 ports
	tokenLife      = time.Hour
	answerTime     = 10 * time.Second
)

// crowd is all tabs, connected to one server.
type crowd struct {
	accounts []*account
	url      string
	dialer   websocket.Dialer
	header   http.Header

	mu        sync.Mutex
	conns     []*websocket.Conn
	readers   sync.WaitGroup
	delivered atomic.Int64 // events
	buffers   sync.Pool    // of *bytes.Buffer
}

// connect opens a session for each user. After success, leave is to follow.
func connect(ctx context.Context, accounts []*account, addr string) (*crowd, error) {
	c := &crowd{
		accounts: accounts, url: "ws://" + addr + "/v1/ws", header: browserHeader(),
		dialer: websocket.Dialer{
			Subprotocols: []string{"ringcast.v1"}, HandshakeTimeout: answerTime,
			ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{},
		},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan seatOf)
	var doors sync.WaitGroup
	for range handshakes {
		doors.Go(func() {
			for s := range queue {
				if err := c.admit(ctx, s); err != nil {
					cancel(fmt.Errorf("session of %s %s: %w", s.account.id, userOf(s.tab.extension), err))
				}
			}
		})
	}
	n := 0
	for _, a := range accounts {
		for _, t := range a.tabs {
			queue <- seatOf{a, t, net.IPv4(127, 0, 0, byte(1+n/addressesEvery))}
			n++
		}
	}
	close(queue)
	doors.Wait()
	if ctx.Err() != nil {
		c.leave()
		return nil, context.Cause(ctx)
	}
	return c, nil
}

// seatOf is a tab to connect, and the address to do so from.
type seatOf struct {
	account *account
	tab     *tab
	from    net.IP
}

// admit opens a session, waits for its hello and begins to read.
func (c *crowd) admit(ctx context.Context, s seatOf) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	token, err := s.account.token(userOf(s.tab.extension), time.Now().Add(tokenLife))
	if err != nil {
		return err
	}
	dialer := c.dialer
	dialer.NetDialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: s.from}}).DialContext
	conn, response, err := dialer.DialContext(ctx, c.url, c.header) //nolint:bodyclose // there is nothing to close, says the library
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%w: %s", err, response.Status)
		}
		return err
	}
	if err := s.tab.hello(conn, token); err != nil {
		return errors.Join(err, conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	c.readers.Go(func() { s.tab.read(conn, &c.buffers, func() { c.delivered.Add(1) }) })
	return nil
}

// leave closes all sessions.
func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.readers.Wait()
}

// await returns when the given number of events has been delivered in all, or nothing more comes.
func (c *crowd) await(ctx context.Context, events int64) error {
	const patience = 3 * time.Second
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		switch n := c.delivered.Load(); {
		case n >= events || n == last && time.Since(since) > patience:
			return nil
		case n != last:
			last, since = n, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
