package push

import (
	"crypto/rand"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is a transport that takes everything at once, or nothing while it is stalled.
type reader struct {
	session session
	stalled bool

	mu     sync.Mutex
	frames []string
	code   closeCode
	at     time.Time
}

func newReader(server *Server) *reader {
	c := &reader{}
	c.session = newSession(server, c, "ws", true)
	return c
}

func (c *reader) wake() {
	if c.stalled {
		return
	}
	for {
		f, ok := c.session.take()
		if !ok {
			return
		}
		c.mu.Lock()
		c.frames = append(c.frames, string(f.data))
		c.mu.Unlock()
	}
}

func (c *reader) close(code closeCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code, c.at = code, time.Now()
}

func (c *reader) state() (frames int, code closeCode, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frames), c.code, c.at
}

func (r *rig) openReader(t *testing.T, who userKey, life time.Duration) *reader {
	t.Helper()
	token, _, err := r.tokens.Mint(who.account, who.user, life)
	if err != nil {
		t.Fatal(err)
	}
	id, user, err := r.server.authorize(token)
	if err != nil {
		t.Fatal(err)
	}
	c := newReader(r.server)
	if err := c.session.open(id, user, opening{client: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSessionEndsAfterItsTokenUnlessRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		left, renewed := r.openReader(t, anna, time.Minute), r.openReader(t, anna, time.Minute)
		defer left.session.end()
		defer renewed.session.end()
		start := time.Now()
		time.Sleep(50 * time.Second)
		if err := renewed.session.renew(r.token(anna)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, code, at := left.state(); code != closeExpired || at.Sub(start) != 85*time.Second {
			t.Errorf("closed with %v after %v", code, at.Sub(start))
		}
		if _, code, _ := renewed.state(); code != 0 {
			t.Errorf("the renewed one closed with %v", code)
		}
	})
}

func TestIdleSessionsArePinged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, func(c *Config) { c.Limits.PerUser = 100 })
		defer r.close()
		var all []*reader
		for range 60 {
			c := r.openReader(t, anna, time.Hour)
			defer c.session.end()
			all = append(all, c)
		}
		time.Sleep(100*time.Second + time.Millisecond)
		synctest.Wait()
		for i, c := range all {
			if n, _, _ := c.state(); n != 1+4 || c.frames[4] != `{"type":"ping"}` {
				t.Errorf("session %d had %d frames: %v", i, n, c.frames)
			}
		}
	})
}

func TestUserTakenOutLosesTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		a, b := r.openReader(t, anna, time.Hour), r.openReader(t, boris, time.Hour)
		defer a.session.end()
		defer b.session.end()
		r.dir.revoke("acme", "1")
		time.Sleep(26 * time.Second)
		synctest.Wait()
		if _, code, _ := a.state(); code != closeRevoked {
			t.Errorf("closed with %v", code)
		}
		if _, code, _ := b.state(); code != 0 {
			t.Errorf("the other user closed with %v", code)
		}
	})
}

func TestOutboxBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fits, pad int
		after     time.Duration
	}{
		"messages":            {32, 0, burstTime},
		"messages of a burst": {16 * 32, 0, 0},
		"bytes":               {3, 80 << 10, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newParts(t, func(c *Config) { c.Limits.QueueBytes = 255 << 10 })
			defer r.close()
			reader := newReader(r.server)
			reader.stalled = true
			id, user, err := r.server.authorize(r.token(anna))
			if err != nil {
				t.Fatal(err)
			}
			for range 500 { // a replay of any length is exempt
				r.gw.publish(anna, c.pad/40)
			}
			if err := reader.session.open(id, user, opening{client: "a", cursor: "e1-0"}); err != nil {
				t.Fatal(err)
			}
			defer reader.session.end()
			for range c.fits {
				r.gw.publish(anna, c.pad)
			}
			if _, code, _ := reader.state(); code != 0 {
				t.Errorf("%s: closed with %v too early", name, code)
			}
			time.Sleep(c.after)
			r.gw.publish(anna, c.pad)
			if _, code, _ := reader.state(); code != closeSlow {
				t.Errorf("%s: closed with %v", name, code)
			}
		})
	}
}

// TestABurstCutsOffNobodyWhoReads posts more events at once than may wait for a slow reader.
func TestABurstCutsOffNobodyWhoReads(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab, _ := r.enter(anna, "")
	last := r.gw.publish(anna, 0)
	for range 400 {
		last = r.gw.publish(anna, 0)
	}
	for tab.last != last.Cursor {
		tab.next() // fails if the session is closed
	}
}

func TestSlotsKeepCountOfSessions(t *testing.T) {
	t.Parallel()
	r := newParts(t, func(c *Config) { c.Limits.PerUser = 1000 })
	t.Cleanup(r.close)
	var all []*reader
	for range 100 {
		all = append(all, r.openReader(t, anna, time.Hour))
	}
	for i := 0; i < 100; i += 3 {
		all[i].session.end()
	}
	seen := map[*session]bool{}
	for range pingSlots {
		turn, _ := r.server.hub.tick(time.Now())
		for _, s := range turn {
			seen[s] = true
		}
	}
	for i, c := range all {
		if gone := i%3 == 0; seen[&c.session] == gone {
			t.Errorf("session %d: gone %v, has its turn %v", i, gone, seen[&c.session])
		}
		if i%3 != 0 {
			c.session.end()
		}
	}
}
