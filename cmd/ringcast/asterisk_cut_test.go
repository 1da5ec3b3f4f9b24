package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
)

// cable is the network between Ringcast and an Asterisk: it can be cut and mended.
type cable struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	severed bool
	ends    map[*net.TCPConn]bool
	pumps   sync.WaitGroup
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to, ends: map[*net.TCPConn]bool{}}
	c.pumps.Go(func() { c.accept(t) })
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		c.pumps.Wait()
	})
	return c
}

func (c *cable) address() string { return c.listener.Addr().String() }

// cut kills every connection, with a reset as a network does, and lets no new one through.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.severed = true
	for end := range c.ends {
		kill(end)
	}
	clear(c.ends)
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.severed = false
}

func kill(end *net.TCPConn) {
	_ = end.SetLinger(0)
	_ = end.Close()
}

func (c *cable) accept(t *testing.T) {
	for {
		near, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.Errorf("cable: %v", err)
			return
		}
		c.join(t, near.(*net.TCPConn))
	}
}

func (c *cable) join(t *testing.T, near *net.TCPConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.severed {
		kill(near)
		return
	}
	conn, err := net.Dial("tcp", c.to)
	if err != nil {
		t.Errorf("cable: %v", err)
		kill(near)
		return
	}
	far := conn.(*net.TCPConn)
	c.ends[near], c.ends[far] = true, true
	for _, way := range [][2]*net.TCPConn{{near, far}, {far, near}} {
		c.pumps.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
}

// TestAsteriskLinkCutInACall kills the connection to AMI while two calls live, one of which ends and a third
// of which begins before it is back.
func TestAsteriskLinkCutInACall(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	line := newCable(t, lab.AMI)
	d := newDesks(t, "cut", lab, line.address())

	// Anna talks to Ivan; Boris's call to Maria rings at her end.
	d.Do(t, "trunk", "dial", "5550101", ivan)
	d.Wait(t, "101", "ringing")
	d.Do(t, "101", "answer")
	d.Wait(t, "trunk", "up")
	d.anna.wait(inACall)
	_, talk := d.toAnna.until(gateway.Talking)
	d.Do(t, "102", "dial", maria)
	d.Wait(t, "trunk", "ringing")
	d.boris.wait(cardIs("Maria Sokolova", "ringing"))
	_, rings := d.toBoris.until(gateway.Ringing)
	d.anna.picture("01-talk")

	line.cut()
	d.linked("retrying")
	refused := d.toAnna.command(map[string]any{"id": "cut-1", "action": "call", "to": "+" + maria})
	if refused.OK || refused.Error.Code != string(gateway.CodePBXOffline) {
		t.Errorf("a call without a PBX: %+v", refused)
	}
	d.Do(t, "101", "hangup")
	d.Wait(t, "101", "ended")
	d.anna.want(cardIs("Ivan Petrov", "talking"), "true") // nobody could tell
	d.anna.picture("02-cut-and-hung-up")
	d.Do(t, "trunk", "dial", "5550103", unknown)
	d.Wait(t, "103", "ringing")

	line.mend()
	d.anna.wait(`!` + inACall)
	d.anna.wait(`document.querySelector('.ringcast-result__who a')?.textContent === 'Ivan Petrov'`)
	d.anna.picture("03-link-back")
	d.anna.click(".ringcast-result__cancel")
	d.anna.wait(`document.querySelectorAll('.ringcast-card').length === 1 && ` + card + `.dataset.kind === 'unknown'`)
	d.boris.want(cardIs("Maria Sokolova", "ringing"), "true")
	d.anna.picture("04-call-begun-unseen")
	d.boris.picture("04-call-that-lived-on")

	// What lived through the cut, and what began in it, goes on as any call.
	d.Do(t, "103", "answer")
	d.anna.wait(inACall)
	d.Do(t, "103", "hangup")
	d.anna.wait(`!` + inACall)
	d.Do(t, "trunk", "answer")
	d.boris.wait(inACall)
	d.Do(t, "102", "hangup")
	d.boris.wait(`!` + inACall)

	d.endedOnce(d.toAnna, talk.ID, gateway.Answered, 2)
	d.endedOnce(d.toBoris, rings.ID, gateway.Answered, 1)
	d.anna.want(pageErrors, "")
	d.boris.want(pageErrors, "")
}

// endedOnce reads a tab until so many of its calls have ended. Each must have ended once, with nothing
// behind it, and the one named with that outcome.
func (d *desks) endedOnce(w *tab, id string, outcome gateway.Outcome, calls int) {
	d.t.Helper()
	ended := map[string]int{}
	for len(ended) < calls {
		_, v := w.until(gateway.Ended)
		ended[v.ID]++
		if ended[v.ID] > 1 {
			d.t.Errorf("%s ended again: %+v", v.ID, v)
		}
		if v.ID == id && *v.Outcome != outcome {
			d.t.Errorf("%s ended as %s, want %s", id, *v.Outcome, outcome)
		}
	}
	if ended[id] != 1 {
		d.t.Errorf("%s is not among those that ended: %v", id, ended)
	}
	if over := w.command(map[string]any{"id": "over-" + id, "action": "hangup", "call": id}); over.OK || over.Error.Code != string(gateway.CodeNotFound) {
		d.t.Errorf("hanging up a call that is over: %+v", over)
	}
}
