package asterisk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	queueSize     = 8192 // messages between the reader and a slow sink: some seconds of a very busy PBX
	actionTimeout = 10 * time.Second
	writeTimeout  = 5 * time.Second
)

var (
	errSlow   = errors.New("the events of the PBX were not taken fast enough")
	errClosed = errors.New("connection closed")
)

// received is an event and when it came.
type received struct {
	message
	at time.Time
}

// client is one connection to a manager port, from the greeting to the end. Its methods may be called
// from many goroutines.
type client struct {
	conn   net.Conn
	now    func() time.Time
	events chan received // closed never; done says when no more come
	done   chan struct{}

	write sync.Mutex
	mu    sync.Mutex
	err   error // why the connection ended
	last  int   // number of the last action
	wait  map[string]chan message
	watch map[string]chan message
}

// newClient takes over a fresh connection and reads the greeting. The client must be closed.
func newClient(ctx context.Context, conn net.Conn, now func() time.Time) (*client, error) {
	c := &client{
		conn:   conn,
		now:    now,
		events: make(chan received, queueSize),
		done:   make(chan struct{}),
		wait:   map[string]chan message{},
		watch:  map[string]chan message{},
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the read below reports it
	r := newReader(conn)
	_, err := r.banner()
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go c.read(r)
	return c, nil
}

// close ends the connection and returns when nothing of it runs any more.
func (c *client) close() {
	c.fail(errClosed)
	<-c.done
}

// fail ends the connection for a reason, the first of which counts.
func (c *client) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	c.conn.Close() // nothing to be done about it
}

// cause returns why the connection ended, once done is closed.
func (c *client) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *client) read(r *reader) {
	defer close(c.done)
	for {
		m, err := r.next()
		if err != nil {
			c.fail(fmt.Errorf("connection lost: %w", err))
			return
		}
		c.sort(m)
	}
}

// sort hands a message to whoever waits for it. It never blocks.
func (c *client) sort(m message) {
	switch event := m.get("Event"); {
	case event == "":
		c.hand(c.wait, m.get("ActionID"), m)
		return
	case event == "OriginateResponse":
		c.hand(c.watch, m.get("ActionID"), m)
		return
	case !heeded[event]:
		return
	case event == "Newstate", event == "HangupRequest", event == "Hangup":
		c.hand(c.watch, m.get("Uniqueid"), m)
	}
	select {
	case c.events <- received{m, c.now()}:
	default:
		c.fail(errSlow)
	}
}

func (c *client) hand(to map[string]chan message, id string, m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := to[id]; ch != nil {
		select {
		case ch <- m:
		default: // one was enough
		}
	}
}

// expect returns a channel for what comes under an id: in c.wait, the response to an action; in c.watch,
// the OriginateResponse of an action, or the first that happens to a channel. forget ends it.
func (c *client) expect(in map[string]chan message, id string) (ch <-chan message, forget func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := make(chan message, 1)
	in[id] = to
	return to, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(in, id)
	}
}

// id returns a new action id.
func (c *client) id() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return "ringcast-" + strconv.Itoa(c.last)
}

// do sends an action and returns the response, which is an *actionError when Asterisk says no.
func (c *client) do(ctx context.Context, a action) (message, error) { return c.doAs(ctx, c.id(), a) }

func (c *client) doAs(ctx context.Context, id string, a action) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	response, forget := c.expect(c.wait, id)
	defer forget()
	if err := c.send(id, a); err != nil {
		return nil, err
	}
	select {
	case m := <-response:
		if m.get("Response") == "Error" {
			return m, &actionError{a.name(), m.get("Message")}
		}
		return m, nil
	case <-c.done:
		return nil, c.cause()
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer to %s: %w", a.name(), ctx.Err())
	}
}

func (c *client) send(id string, a action) error {
	data, err := a.encode(id)
	if err != nil {
		return err
	}
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("send %s: %w", a.name(), err)
	}
	if _, err := c.conn.Write(data); err != nil {
		return fmt.Errorf("send %s: %w", a.name(), err)
	}
	return nil
}

// actionError is an action that Asterisk refused.
type actionError struct{ action, message string }

func (e *actionError) Error() string { return e.action + " refused: " + e.message }
