package push

import (
	"sync"

	"golang.org/x/time/rate"
)

// gate decides who may open a socket, before anybody knows whose it is. Places for those who have not said who they
// are are few, and an address gets few of them, so that a flood keeps nobody out who comes from elsewhere. It counts
// the streams and polls of an address, too.
type gate struct {
	limits Limits

	mu      sync.Mutex
	sockets int
	strange int // those that have not said hello, in the handshake included
	peers   map[string]*peer
	waiting map[*conn]struct{}
	running sync.WaitGroup // sockets
	shut    bool
}

// peer is one address.
type peer struct {
	sockets    int // streams and polls included
	strange    int
	handshakes *rate.Limiter
}

func newGate(limits Limits) *gate {
	return &gate{limits: limits, peers: map[string]*peer{}, waiting: map[*conn]struct{}{}}
}

// enter counts a new socket from an address ("": not to be counted). After success, known and then leave
// are to follow.
func (g *gate) enter(addr string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return errDraining()
	}
	switch {
	case g.sockets >= g.limits.Sessions:
		return errFull()
	case g.strange >= g.limits.Unauthenticated:
		return errTooManyConnections()
	}
	if addr != "" {
		p := g.peer(addr)
		if p.strange >= g.limits.UnauthenticatedPerIP || p.sockets >= g.limits.SocketsPerIP || !p.handshakes.Allow() {
			return errTooManyConnections()
		}
		p.strange++
		p.sockets++
	}
	g.strange++
	g.sockets++
	g.running.Add(1)
	return nil
}

// await notes an upgraded socket of which a hello is expected. It fails when the server went down
// meanwhile.
func (g *gate) await(c *conn) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return errDraining()
	}
	g.waiting[c] = struct{}{}
	return nil
}

// known ends the counting of a socket as a stranger: it said who it is, or went. Once for each socket.
func (g *gate) known(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, c)
	g.strange--
	if p := g.peers[c.addr]; p != nil {
		p.strange--
	}
}

// leave ends the counting of a socket from an address. Once for each socket.
func (g *gate) leave(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sockets--
	if p := g.peers[addr]; p != nil {
		p.sockets--
	}
	g.running.Done()
}

// connect counts a stream or a poll from an address. After success, disconnect is to follow.
func (g *gate) connect(addr string) error {
	if addr == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peer(addr)
	if p.sockets >= g.limits.SocketsPerIP {
		return errTooManyConnections()
	}
	p.sockets++
	return nil
}

func (g *gate) disconnect(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.peers[addr]; p != nil {
		p.sockets--
	}
}

func (g *gate) peer(addr string) *peer {
	p := g.peers[addr]
	if p == nil {
		p = &peer{handshakes: rate.NewLimiter(rate.Limit(g.limits.HandshakesPerIP), g.limits.HandshakeBurst)}
		g.peers[addr] = p
	}
	return p
}

func errTooManyConnections() error { return errTooMany("too many connections") }

// tick forgets the addresses that have nothing on their account.
func (g *gate) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for addr, p := range g.peers {
		if p.sockets == 0 && p.handshakes.Tokens() >= float64(g.limits.HandshakeBurst) {
			delete(g.peers, addr)
		}
	}
}

// close lets nobody in any more and returns the sockets that have not said hello.
func (g *gate) close() []*conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	strangers := make([]*conn, 0, len(g.waiting))
	for c := range g.waiting {
		strangers = append(strangers, c)
	}
	return strangers
}
