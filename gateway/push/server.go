package push

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/olahol/melody"
	"golang.org/x/time/rate"

	"ringcast/gateway"
)

// Config is what a server is made of. Gateway, Directory, Tokens and Origins are needed.
type Config struct {
	Gateway    Gateway
	Directory  gateway.Directory
	Tokens     *Tokens
	Origins    *Origins
	Exchangers map[string]Exchanger // by the last part of /v1/sessions/…: "amocrm"
	Limits     Limits
	Logger     *slog.Logger // nil: nothing is logged
	Metrics    Metrics      // what is nil is not counted

	// Chains keeps how far tickets were used, for all nodes. Nil: in memory, for this node alone.
	Chains Chains

	// Revoked says whether a user's tokens of that time are revoked; the time is zero for a token that does not
	// say when it was issued. Nil: none is. See Recheck.
	Revoked func(account, user string, issued time.Time) bool

	// Presence is told who is here, and asked who else is. Nil: nobody is.
	Presence Presence

	// ClientAddr names the address that a request's socket is counted under, "" for none. Nil: ClientAddr(nil).
	ClientAddr func(*http.Request) string
}

// Server holds the browser sessions of one node.
type Server struct {
	gateway   Gateway
	directory gateway.Directory
	tokens    *Tokens
	limits    Limits
	log       *slog.Logger
	metrics   Metrics
	addrOf    func(*http.Request) string
	revoked   func(account, user string, issued time.Time) bool
	origins   *Origins
	tickets   *tickets
	commands  *throttle // over HTTP, as are the next
	frames    *throttle // commands, notices and renewals
	polls     *throttle
	handler   http.Handler

	hub     *hub
	gate    *gate
	boards  *boards
	melody  *melody.Melody
	writers *writers // of sockets

	ctx      context.Context // ends with Close; commands outlive the request that brought them
	stop     context.CancelFunc
	running  sync.WaitGroup
	pingData []byte
}

// New returns a server that serves until Close. It fails only for what is missing in cfg.
func New(cfg Config) (*Server, error) {
	if cfg.Gateway == nil || cfg.Directory == nil || cfg.Tokens == nil || cfg.Origins == nil {
		return nil, errors.New("push: Gateway, Directory, Tokens and Origins are needed")
	}
	limits := cfg.Limits.orDefault()
	s := &Server{
		gateway:   cfg.Gateway,
		directory: cfg.Directory,
		tokens:    cfg.Tokens,
		limits:    limits,
		log:       cfg.Logger,
		metrics:   cfg.Metrics.orDefault(),
		addrOf:    cfg.ClientAddr,
		revoked:   cfg.Revoked,
		origins:   cfg.Origins,
		tickets:   newTickets(cfg.Tokens, cfg.Chains),
		commands:  newThrottle("commands", commandsPerWindow, frameWindow),
		frames:    newThrottle("frames", floodPerWindow, frameWindow),
		polls:     newThrottle("polls", pollsPerWindow, frameWindow),
		hub:       newHub(limits),
		gate:      newGate(limits),
		boards:    newBoards(cfg.Presence, cfg.Directory, limits),
		writers:   newWriters(max(2, runtime.GOMAXPROCS(0))),
		pingData:  encodePing(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.addrOf == nil {
		s.addrOf = ClientAddr(nil)
	}
	s.melody = newMelody(limits)
	s.handler = s.routes(cfg.Exchangers)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.beat)
	s.running.Go(s.tellPresence)
	return s, nil
}

// Handler serves the routes of browser sessions: /v1/ws, /v1/sse, /v1/poll, /v1/poll.js, /v1/actions,
// /v1/tickets, /v1/sessions/….
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes(exchangers map[string]Exchanger) http.Handler {
	mux := http.NewServeMux()
	names := map[string]string{} // of the routes, for the metrics
	handle := func(name, pattern string, fn gateway.HandlerFunc) {
		names[pattern] = name
		mux.Handle(pattern, gateway.Handle(s.log, func(w http.ResponseWriter, r *http.Request) error {
			err := fn(w, r)
			if err != nil {
				s.metrics.Refused(name, gateway.CodeOf(err))
			}
			return err
		}))
	}
	handle(rungWS, "GET /v1/ws", s.serveWS)
	handle(rungSSE, "GET /v1/sse", s.serveSSE)
	handle(rungPoll, "POST /v1/poll", s.servePoll)
	handle(rungScript, "GET /v1/poll.js", s.serveScript)
	handle("actions", "POST /v1/actions", s.serveAction)
	handle("tickets", "POST /v1/tickets", s.serveTicket)
	handle("sessions", "POST /v1/sessions/backend", s.exchangeBackend)
	for kind, exchanger := range exchangers {
		handle("sessions", "POST /v1/sessions/"+kind, s.exchange(exchanger))
	}
	handle("other", "/", func(_ http.ResponseWriter, r *http.Request) error {
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s %s", r.Method, r.URL.Path)
	})
	return s.origins.Pages(mux, s.log, func(r *http.Request) {
		_, pattern := mux.Handler(r)
		s.metrics.Refused(cmp.Or(names[pattern], "other"), gateway.CodeOrigin)
	})
}

// authorize checks a token and that its user is still somebody.
func (s *Server) authorize(token string) (identity, gateway.User, error) {
	who, err := s.tokens.verify(token)
	if err != nil {
		return identity{}, gateway.User{}, err
	}
	user, err := s.lookUp(who)
	return who, user, err
}

// lookUp returns a user who may have a session with a token of that time.
func (s *Server) lookUp(who identity) (gateway.User, error) {
	user, ok := s.directory.User(who.account, who.user)
	switch {
	case !ok:
		return gateway.User{}, gateway.Errorf(gateway.CodeRevoked, "user %q is not in the directory of account %q", who.user, who.account)
	case s.revoked == nil || !s.revoked(who.account, who.user, who.issued):
	case who.issued.IsZero():
		return gateway.User{}, gateway.Errorf(gateway.CodeRevoked, "the user's older tokens were revoked, and this one does not say when it was issued: sign it with iat")
	default:
		return gateway.User{}, gateway.Errorf(gateway.CodeRevoked, "the token was revoked: log in again")
	}
	return user, nil
}

// Recheck ends the sessions, waiting polls included, of those users who are no longer in the directory or whose
// token is revoked: of one user, of an account (user ""), of all (account ""). To be called whenever the
// directory or the revocations have changed.
func (s *Server) Recheck(account, user string) {
	for _, session := range s.hub.of(account, user) {
		session.recheck()
	}
}

// beat pings every session once a period, some at a time, and looks after what expires.
func (s *Server) beat() {
	ticker := time.NewTicker(max(s.limits.PingEvery/pingSlots, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-ticker.C:
			turn, gone := s.hub.tick(now)
			for _, c := range gone { // first: somebody waits for what they claimed
				s.clientGone(c)
			}
			for _, session := range turn {
				session.recheck() // in case a change was not told
				session.ping(s.pingData)
			}
			s.gate.tick()
			s.tickets.tick(now)
			for _, t := range []*throttle{s.commands, s.frames, s.polls} {
				t.tick(now)
			}
		}
	}
}

// lease keeps a client that comes and goes present for d.
func (s *Server) lease(c clientKey, d time.Duration) error {
	defer s.hub.inOrder(c)()
	return s.hub.lease(c, d)
}

// clientGone tells the gateway that a client went, unless it is back already.
func (s *Server) clientGone(c clientKey) {
	defer s.hub.inOrder(c)()
	if !s.hub.has(c) {
		s.gateway.ClientGone(c.account, c.user, c.client)
	}
}

// Drain sends every client away, to come back to another node: no more than Limits.DrainRate a second,
// faster only if ctx has a deadline that asks for it. It returns when the last has left, or with ctx's
// error. Waiting polls are answered with the bye; new requests are refused with CodeDraining.
func (s *Server) Drain(ctx context.Context) error {
	for _, c := range s.gate.close() {
		c.session.close(closeDraining)
	}
	sessions := s.hub.close()
	bye := s.bye(closeDraining, len(sessions))
	pace := rate.NewLimiter(s.drainRate(ctx, len(sessions)), 1)
	for batch := range slices.Chunk(sessions, 10) {
		for _, session := range batch {
			session.farewell(bye)
		}
		if err := pace.Wait(ctx); err != nil {
			pace.SetLimit(rate.Inf) // no time left for manners
		}
	}
	select {
	case <-s.hub.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drainRate is in tens of sessions a second.
func (s *Server) drainRate(ctx context.Context, sessions int) rate.Limit {
	limit := float64(s.limits.DrainRate)
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline).Seconds() * 0.8; left > 0 {
			limit = max(limit, float64(sessions)/left)
		}
	}
	return rate.Limit(limit / 10)
}

// bye is the last message to one of n clients that are sent away.
func (s *Server) bye(code closeCode, n int) []byte {
	from, to := s.comeBack(n)
	return encodeBye(code, from, to)
}

// comeBack is the window in which n clients are to return, so that they do not return all at once.
func (s *Server) comeBack(n int) (from, to time.Duration) {
	from = time.Second
	spread := time.Duration(n) * time.Second / time.Duration(s.limits.DrainRate)
	return from, from + min(max(spread, 2*time.Second), 29*time.Second)
}

// Close ends every session with 4002 and everything that the server runs. It waits for clients that do not
// answer some seconds at most.
func (s *Server) Close() {
	for _, c := range s.gate.close() {
		c.session.close(closeDraining)
	}
	for _, session := range s.hub.close() {
		session.close(closeDraining)
	}
	s.stop()
	s.gate.running.Wait()
	<-s.hub.empty
	s.running.Wait() // who pings and tells of presence may have woken a session
	s.writers.wait()
}
