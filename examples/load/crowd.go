package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	handshakes     = 128   // at a time: each page is to be as quick as on a machine of its own
	addressesEvery = 2_000 // sessions, then the next 127.0.0.x: an address has 28,000 ports
	answerTime     = 10 * time.Second
)

// crowdConfig says how tabs connect.
type crowdConfig struct {
	addrs     []string // of servers that are as good as each other
	secure    bool
	rungs     []string
	returns   bool          // after a connection ends
	tokenLife time.Duration // 0: an hour
	seed      uint64
}

// crowd is all tabs.
type crowd struct {
	crowdConfig
	accounts []*account
	visitors []*visitor
	dialer   websocket.Dialer
	header   http.Header
	buffers  sync.Pool // of *bytes.Buffer
	doors    chan struct{}

	tally   map[string]*tally // by rung
	cancel  context.CancelFunc
	over    <-chan struct{}
	running sync.WaitGroup

	live      atomic.Int64
	returned  atomic.Int64 // visits after the first that got a session
	renewals  atomic.Int64 // of tokens, in place
	delivered atomic.Int64 // events
	changed   chan struct{}

	mu      sync.Mutex
	away    []time.Duration // of each return: since the session before ended
	window  time.Duration   // the longest that a server asked somebody to stay away
	refused error
}

// tally is what went by a rung.
type tally struct{ visits, events atomic.Int64 }

// connect opens a session for each user. After success, leave is to follow.
func connect(ctx context.Context, accounts []*account, cfg crowdConfig) (*crowd, error) {
	if cfg.tokenLife == 0 {
		cfg.tokenLife = time.Hour
	}
	c := &crowd{
		crowdConfig: cfg, accounts: accounts, header: browserHeader(),
		changed: make(chan struct{}, 1), doors: make(chan struct{}, handshakes), tally: map[string]*tally{},
		dialer: websocket.Dialer{
			Subprotocols: []string{"ringcast.v1"}, HandshakeTimeout: answerTime,
			ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}, TLSClientConfig: tlsConfig(),
		},
	}
	for _, rung := range c.rungs {
		c.tally[rung] = &tally{}
	}
	visits, cancel := context.WithCancel(ctx)
	c.cancel, c.over = cancel, visits.Done()
	c.invite()
	for _, v := range c.visitors {
		c.running.Go(func() { v.run(visits) })
	}
	if err := c.awaitLive(ctx, len(c.visitors)); err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// invite makes a visitor of each tab.
func (c *crowd) invite() {
	for _, a := range c.accounts {
		for _, t := range a.tabs {
			n := len(c.visitors)
			c.visitors = append(c.visitors, &visitor{
				crowd: c, account: a, tab: t, client: fmt.Sprintf("page-%d", n), forgets: n%10 == 9,
				home:   net.IPv4(127, 0, 0, byte(1+n/addressesEvery)),
				random: rand.New(rand.NewPCG(c.seed, uint64(n+1))), rung: c.rungs[n%len(c.rungs)],
			})
		}
	}
}

// secured speaks TLS on a connection, if the servers do.
func (c *crowd) secured(conn net.Conn) net.Conn {
	if c.secure {
		return tls.Client(conn, tlsConfig())
	}
	return conn
}

// door is one of those that visitors come in by; the returned function, which may be called again, leaves it to the next.
func (c *crowd) door(ctx context.Context) (through func(), err error) {
	select {
	case c.doors <- struct{}{}:
		return sync.OnceFunc(func() { <-c.doors }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// came counts a session that stands, and how long its visitor had none; gone is zero at the first.
func (c *crowd) came(gone time.Time) {
	c.live.Add(1)
	if !gone.IsZero() {
		c.returned.Add(1)
		c.mu.Lock()
		c.away = append(c.away, time.Since(gone))
		c.mu.Unlock()
	}
	c.stir()
}

func (c *crowd) stir() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// awaitLive returns when so many sessions stand.
func (c *crowd) awaitLive(ctx context.Context, n int) error {
	return c.until(ctx, func() bool { return int(c.live.Load()) >= n })
}

// awaitReturns returns when so many visitors have come back since the last takeReturns, and all are there.
func (c *crowd) awaitReturns(ctx context.Context, n int) error {
	return c.until(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.away) >= n && int(c.live.Load()) == len(c.visitors)
	})
}

// until returns when something is so. It fails when a visitor is refused, and when nobody comes any more.
func (c *crowd) until(ctx context.Context, so func() bool) error {
	late := time.NewTimer(startTime)
	defer late.Stop()
	for !so() {
		select {
		case <-c.changed:
			late.Reset(startTime)
		case <-late.C:
			return fmt.Errorf("%d of %d sessions stand, and nobody came in %v: %w", c.live.Load(), len(c.visitors), startTime, c.missing())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := c.firstRefusal(); err != nil {
			return err
		}
	}
	return nil
}

// lost notes that a visitor does not come back.
func (c *crowd) lost(v *visitor, err error) {
	v.tab.end(err)
	c.mu.Lock()
	if c.refused == nil {
		c.refused = fmt.Errorf("session of %s %s: %w", v.account.id, userOf(v.tab.extension), err)
	}
	c.mu.Unlock()
	c.stir()
}

// missing is why one of those has no session that have none.
func (c *crowd) missing() error {
	for _, v := range c.visitors {
		v.mu.Lock()
		live, last, rung := v.live, v.last, v.rung
		v.mu.Unlock()
		if !live {
			return fmt.Errorf("%s %s, by %s: %w", v.account.id, userOf(v.tab.extension), rung, last)
		}
	}
	return errors.New("all stand now")
}

// takeReturns is how long visitors were away that came back, and the longest window that they were given.
func (c *crowd) takeReturns() (away []time.Duration, window time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	away, window = c.away, c.window
	c.away, c.window = nil, 0
	slices.Sort(away)
	return away, window
}

// sentAway notes the window that a server wants a visitor back in.
func (c *crowd) sentAway(window []int) {
	if len(window) != 2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = max(c.window, time.Duration(window[1])*time.Millisecond)
}

// firstRefusal is why the first that does not come back does not.
func (c *crowd) firstRefusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// disturb does something to so many visitors a second, picked at random, until the returned function is called.
func (c *crowd) disturb(ctx context.Context, perSecond int, do func(*visitor, *rand.Rand)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	if perSecond == 0 {
		return cancel
	}
	done := make(chan struct{})
	random := rand.New(rand.NewPCG(c.seed, uint64(perSecond)))
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				do(c.visitors[random.IntN(len(c.visitors))], random)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// at is how many visitors have their connection to an address.
func (c *crowd) at(addr string) (n int) {
	for _, v := range c.visitors {
		v.mu.Lock()
		if v.conn != nil && v.conn.RemoteAddr().String() == addr {
			n++
		}
		v.mu.Unlock()
	}
	return n
}

// cutAll breaks all connections at once.
func (c *crowd) cutAll() {
	for _, v := range c.visitors {
		v.hangUp(true)
	}
}

// leave closes all sessions.
func (c *crowd) leave() {
	c.cancel()
	c.running.Wait()
}

// await returns when the given number of events has been delivered in all, or nothing more comes for a while.
func (c *crowd) await(ctx context.Context, events int64, patience time.Duration) error {
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
			return context.Cause(ctx)
		}
	}
}

// settleDown returns when what was posted has been delivered, or nothing more comes, and everybody is back; and a little
// later, for what comes twice.
func (c *crowd) settleDown(ctx context.Context, posted sent) error {
	err := c.await(ctx, int64(posted.acknowledged), backOffEnd+answerTime)
	if err == nil && c.firstRefusal() == nil {
		err = c.awaitLive(ctx, len(c.visitors))
	}
	return errors.Join(err, pause(ctx, time.Second))
}
