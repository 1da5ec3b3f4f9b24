package phonet

import (
	"sync"
	"time"

	"ringcast/gateway"
)

// ServerLimits bound what clients may take. The zero value of a field means the value named beside it.
type ServerLimits struct {
	WriteWait time.Duration // 5 s: for one message to leave
	PingEvery time.Duration // 25 s: below the 30 s after which some proxies cut an idle line

	Sessions int // 5,000 sockets on this node
	PerUser  int // 16 of one user
	Queue    int // 256 messages that wait for a slow reader

	SocketsPerIP    int     // 2,000 sockets from one address: a large office behind a NAT is one
	HandshakesPerIP float64 // 20 handshakes a second from one address, in the long run
	HandshakeBurst  int     // 100 at once: an office behind one address comes back together

	DrainRate int // 333 sessions a second are sent away
}

// What no operator needs to change.
const (
	maxServerFrame = 4 << 10 // bytes of a client's frame; a longer one ends with 1009

	commandBurst    = 20 // commands of a user in a window
	commandsAtATime = 8
	commandWindow   = 10 * time.Second
	floodBurst      = 100 // frames of a socket in a window; more close it

	commandTime = 7 * time.Second // the gateway answers within 5 s; this is for when it does not
	closeGrace  = time.Second     // for the client's answer to a close frame
	retryAfter  = 2 * time.Second
)

func (l ServerLimits) orDefault() ServerLimits {
	def(&l.WriteWait, 5*time.Second)
	def(&l.PingEvery, 25*time.Second)
	def(&l.Sessions, 5000)
	def(&l.PerUser, 16)
	def(&l.Queue, 256)
	def(&l.SocketsPerIP, 2000)
	def(&l.HandshakesPerIP, 20)
	def(&l.HandshakeBurst, 100)
	def(&l.DrainRate, 333)
	return l
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// serverGate counts the sockets, by address before anybody knows whose they are and then by user, and has the index of
// them. It calls nobody while it is locked.
type serverGate struct {
	limits ServerLimits

	mu      sync.Mutex
	sockets int
	addrs   map[string]*serverPeer
	users   map[serverUser]*serverMember
	shut    bool
	empty   chan struct{} // closed once shut and without a socket
}

type serverUser struct{ account, user string }

// serverPeer is one address.
type serverPeer struct {
	sockets    int
	handshakes bucket
}

// serverMember is one user.
type serverMember struct {
	sessions map[*serverSession]struct{}
	commands bucket
	running  int // commands
}

func newServerGate(limits ServerLimits) *serverGate {
	return &serverGate{
		limits: limits, addrs: map[string]*serverPeer{}, users: map[serverUser]*serverMember{}, empty: make(chan struct{}),
	}
}

// enter counts a new socket from an address ("": not counted by it). After success, leave is to follow.
func (g *serverGate) enter(addr string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.shut:
		return errServerDraining()
	case g.sockets >= g.limits.Sessions:
		return errServerTooMany("too many connections")
	}
	if addr != "" {
		p := g.peer(addr)
		if p.sockets >= g.limits.SocketsPerIP || !p.handshakes.take(time.Now()) {
			return errServerTooMany("too many connections")
		}
		p.sockets++
	}
	g.sockets++
	return nil
}

// request counts a request of the HTTP API like a handshake.
func (g *serverGate) request(addr string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.shut:
		return errServerDraining()
	case addr != "" && !g.peer(addr).handshakes.take(time.Now()):
		return errServerTooMany("too many requests")
	}
	return nil
}

func (g *serverGate) peer(addr string) *serverPeer {
	p := g.addrs[addr]
	if p == nil {
		p = &serverPeer{handshakes: newBucket(g.limits.HandshakesPerIP, g.limits.HandshakeBurst)}
		g.addrs[addr] = p
	}
	return p
}

func (g *serverGate) leave(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.addrs[addr]; p != nil {
		p.sockets--
	}
	if g.sockets--; g.shut && g.sockets == 0 {
		close(g.empty)
	}
}

// add makes a session known as its user's. After success, remove is to follow.
func (g *serverGate) add(s *serverSession) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return errServerDraining()
	}
	u := g.member(s.account, s.user)
	if len(u.sessions) >= g.limits.PerUser {
		return errServerTooMany("this subscriber has too many connections")
	}
	u.sessions[s] = struct{}{}
	return nil
}

func (g *serverGate) remove(s *serverSession) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.users[serverUser{s.account, s.user}].sessions, s)
}

func (g *serverGate) member(account, user string) *serverMember {
	key := serverUser{account, user}
	u := g.users[key]
	if u == nil {
		u = &serverMember{sessions: map[*serverSession]struct{}{}, commands: newBucket(commandBurst/commandWindow.Seconds(), commandBurst)}
		g.users[key] = u
	}
	return u
}

// command counts a command of a user; done is to be called when it has been carried out. It fails when it is too soon,
// or too many are under way.
func (g *serverGate) command(account, user string) (done func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.member(account, user)
	if u.running >= commandsAtATime || !u.commands.take(time.Now()) {
		return nil, errServerTooMany("too many commands: slower, please")
	}
	u.running++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		u.running--
	}, nil
}

// of returns the sessions of a user, of an account (user ""), or all (account "").
func (g *serverGate) of(account, user string) (sessions []*serverSession) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, u := range g.users {
		if (account == "" || key.account == account) && (user == "" || key.user == user) {
			for s := range u.sessions {
				sessions = append(sessions, s)
			}
		}
	}
	return sessions
}

// close lets nobody in any more and returns the sessions that are there.
func (g *serverGate) close() []*serverSession {
	g.mu.Lock()
	if !g.shut {
		g.shut = true
		if g.sockets == 0 {
			close(g.empty)
		}
	}
	g.mu.Unlock()
	return g.of("", "")
}

// tick forgets addresses and users that have nothing on their account.
func (g *serverGate) tick(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for addr, p := range g.addrs {
		if p.sockets == 0 && p.handshakes.full(now) {
			delete(g.addrs, addr)
		}
	}
	for key, u := range g.users {
		if len(u.sessions)+u.running == 0 && u.commands.full(now) {
			delete(g.users, key)
		}
	}
}

func errServerDraining() error {
	return &gateway.Error{Code: gateway.CodeDraining, Message: "this node is going down: come again", RetryAfter: retryAfter}
}

func errServerTooMany(message string) error {
	return &gateway.Error{Code: gateway.CodeTooMany, Message: message, RetryAfter: retryAfter}
}

// bucket lets something happen some times at once, and so often a second in the long run.
type bucket struct {
	rate, burst float64
	left        float64
	at          time.Time // when left was so
}

func newBucket(rate float64, burst int) bucket {
	return bucket{rate: rate, burst: float64(burst), left: float64(burst)}
}

func (b *bucket) take(now time.Time) bool {
	if !b.at.IsZero() {
		b.left = min(b.burst, b.left+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// full says whether it is as good as a new one.
func (b *bucket) full(now time.Time) bool {
	return b.left+b.rate*now.Sub(b.at).Seconds() >= b.burst
}
