package push

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"ringcast/gateway"
)

// gate decides who may open a socket, before anybody knows whose it is.
type gate struct {
	limits Limits

	mu      sync.Mutex
	strange int // sockets that have not said hello, those in the handshake included
	peers   map[string]*peer
	waiting map[*conn]struct{}
	running sync.WaitGroup // sockets
	shut    bool
}

// peer is one address.
type peer struct {
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
	tooMany := &gateway.Error{Code: gateway.CodeTooMany, Message: "too many connections", RetryAfter: retryAfter}
	if g.strange >= g.limits.Unauthenticated {
		return tooMany
	}
	if addr != "" {
		p := g.peers[addr]
		if p == nil {
			p = &peer{handshakes: rate.NewLimiter(rate.Limit(g.limits.HandshakesPerIP), g.limits.HandshakeBurst)}
			g.peers[addr] = p
		}
		if p.strange >= g.limits.UnauthenticatedPerIP || !p.handshakes.Allow() {
			return tooMany
		}
		p.strange++
	}
	g.strange++
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

func (g *gate) leave() { g.running.Done() }

// tick forgets the addresses that have nothing on their account.
func (g *gate) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for addr, p := range g.peers {
		if p.strange == 0 && p.handshakes.Tokens() >= float64(g.limits.HandshakeBurst) {
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

// clientAddr is the address to count a request under, an IPv6 one by its /64: the peer's, or, when the
// peer is a proxy on this machine, the last one that the proxy has added to X-Forwarded-For. It is "" for
// the machine's own programs.
func clientAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr.IsLoopback() {
		forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
		last := forwarded[strings.LastIndexByte(forwarded, ',')+1:]
		if addr, err = netip.ParseAddr(strings.TrimSpace(last)); err != nil || addr.IsLoopback() {
			return ""
		}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
