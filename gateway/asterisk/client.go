package asterisk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxInbox      = 32 << 20 // bytes between the reader and a slow sink: seconds of 10,000 events each
	sizeofField   = 32       // two strings
	actionTimeout = 10 * time.Second
	writeTimeout  = 5 * time.Second
)

var (
	errSlow   = errors.New("the events of the PBX were not taken fast enough")
	errClosed = errors.New("connection closed")
)

// client is one connection to a manager port, from the greeting to the end. Its methods may be called
// from many goroutines.
type client struct {
	conn    net.Conn
	now     func() time.Time
	tap     func(at time.Time, raw []byte)
	version string      // of AMI, as it greeted
	records bool        // the tap is given all events, whoever heeds them
	plain   bool        // the login sent the secret as it is
	booted  atomic.Bool // Asterisk has said that it is up
	events  inbox
	done    chan struct{} // closed when no more events come

	recordings chan recorded // whose file is not known

	write sync.Mutex
	mu    sync.Mutex
	err   error                   // why the connection ended
	name  string                  // how the ids of actions begin
	last  int                     // number of the last action
	wait  map[string]chan message // for the response to each action under way

	observers map[*observer]bool
}

// newClient takes over a fresh connection and reads the greeting. tap, if not nil, is given all that is read. The
// client must be closed.
func newClient(ctx context.Context, conn net.Conn, now func() time.Time, tap func(time.Time, []byte)) (*client, error) {
	c := &client{
		conn:   conn,
		now:    now,
		tap:    tap,
		events: inbox{ready: make(chan struct{}, 1)},
		done:   make(chan struct{}),

		records: tap != nil,

		recordings: make(chan recorded, maxTraced),

		name: "ringcast-" + rand.Text() + "-",
		wait: map[string]chan message{},
	}
	if !c.records {
		c.tap = func(time.Time, []byte) {}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the read below reports it
	r := newReader(conn)
	if !c.records {
		r.heeds = heeds
	}
	version, err := r.banner()
	if !stop() {
		err = fmt.Errorf("%w: %w", errNoGreeting, ctx.Err())
	}
	if err != nil {
		conn.Close() // what went wrong before says more
		return nil, err
	}
	c.version = version
	c.tap(now(), r.raw)
	go c.read(r)
	return c, nil
}

// heeds says whether the link has any use for an event.
func heeds(event []byte) bool {
	return heeded[string(event)] || awaited[string(event)] || own[string(event)]
}

// own are the events that the link itself reads.
var own = map[string]bool{"FullyBooted": true, "Shutdown": true, "MixMonitorStart": true}

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
		at := c.now()
		c.tap(at, r.raw)
		c.sort(m, at, len(r.raw))
	}
}

// sort hands a message to whoever waits for it. It never blocks.
func (c *client) sort(m message, at time.Time, size int) {
	event := m.get("Event")
	switch event {
	case "":
		c.respond(m)
		return
	case "FullyBooted":
		c.booted.Store(true)
	case "MixMonitorStart":
		select {
		case c.recordings <- recorded{strings.Clone(m.get("Uniqueid")), strings.Clone(m.get("Channel"))}:
		default: // no PBX begins so many at a time
		}
	}
	c.show(m)
	if heeded[event] || own[event] {
		c.put(m, at, size)
	}
}

// put leaves an event for whom folds them.
func (c *client) put(m message, at time.Time, size int) {
	if !c.events.put(received{m, at, size + len(m)*sizeofField}) {
		c.fail(errSlow)
	}
}

// respond hands the response to an action to the one who waits for it.
func (c *client) respond(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.wait[m.get("ActionID")]; ch != nil {
		select {
		case ch <- m:
		default: // one was enough
		}
	}
}

// expect returns a channel for the response to an action. forget ends it.
func (c *client) expect(id string) (ch <-chan message, forget func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := make(chan message, 1)
	c.wait[id] = to
	return to, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.wait, id)
	}
}

// id returns a new action id. No other connection has it: how a call was ordered is told to all.
func (c *client) id() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return c.name + strconv.Itoa(c.last)
}

// do sends an action and returns the response, which is an *actionError when Asterisk says no.
func (c *client) do(ctx context.Context, a action) (message, error) { return c.doAs(ctx, c.id(), a) }

func (c *client) doAs(ctx context.Context, id string, a action) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	response, forget := c.expect(id)
	defer forget()
	if err := c.send(ctx, id, a); err != nil {
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

// send writes an action, unless whoever asked for it waits no longer when its turn comes.
func (c *client) send(ctx context.Context, id string, a action) error {
	data, err := a.encode(id)
	if err != nil {
		return err
	}
	c.write.Lock()
	defer c.write.Unlock()
	if ctx.Err() != nil {
		return fmt.Errorf("%s was not sent: %w", a.name(), ctx.Err())
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // else the write says what is wrong
	if _, err := c.conn.Write(data); err != nil {
		err = fmt.Errorf("send %s: %w", a.name(), err)
		c.fail(err) // half an action may be on its way, and the next would be taken for its rest
		return err
	}
	return nil
}

// actionError is an action that Asterisk refused.
type actionError struct{ action, message string }

func (e *actionError) Error() string { return e.action + " refused: " + e.message }
