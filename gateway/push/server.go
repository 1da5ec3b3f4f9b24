package push

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/olahol/melody"
	"github.com/rs/cors"
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
	Metrics    Metrics      // nil: nothing is counted

	// ClientAddr names the address that a request's socket is counted under, "" for none. Nil: the peer,
	// or what a proxy on this machine has put into X-Forwarded-For.
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
	handler   http.Handler

	hub    *hub
	gate   *gate
	melody *melody.Melody

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
		metrics:   cfg.Metrics,
		addrOf:    cfg.ClientAddr,
		hub:       newHub(limits),
		gate:      newGate(limits),
		pingData:  encodePing(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.metrics == nil {
		s.metrics = noMetrics{}
	}
	if s.addrOf == nil {
		s.addrOf = clientAddr
	}
	s.melody = newMelody(limits)
	s.handler = s.routes(cfg.Origins, cfg.Exchangers)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.beat)
	return s, nil
}

// Handler serves the routes of browser sessions: /v1/ws, /v1/poll, /v1/actions, /v1/sessions/….
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes(origins *Origins, exchangers map[string]Exchanger) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, gateway.Handle(s.log, func(w http.ResponseWriter, r *http.Request) error {
			err := fn(w, r)
			if err != nil {
				s.metrics.Refused(gateway.CodeOf(err))
			}
			return err
		}))
	}
	handle("GET /v1/ws", s.serveWS)
	handle("POST /v1/poll", s.servePoll)
	handle("POST /v1/actions", s.serveAction)
	handle("POST /v1/sessions/backend", s.exchangeBackend)
	for kind, exchanger := range exchangers {
		handle("POST /v1/sessions/"+kind, s.exchange(exchanger))
	}
	handle("/", func(_ http.ResponseWriter, r *http.Request) error {
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s %s", r.Method, r.URL.Path)
	})
	reflect := cors.New(cors.Options{
		AllowOriginFunc: origins.Allowed,
		AllowedMethods:  []string{http.MethodGet, http.MethodPost},
		AllowedHeaders:  []string{"Content-Type", "Authorization", "X-Auth-Token", "X-Requested-With"},
		ExposedHeaders:  []string{"Retry-After"},
		MaxAge:          7200,
	}).Handler(mux)
	return gateway.Handle(s.log, func(w http.ResponseWriter, r *http.Request) error {
		// A simple request needs no permission to be sent, so CORS headers alone would not stop it.
		if origin := r.Header.Get("Origin"); origin != "" && !origins.Allowed(origin) {
			w.Header().Add("Vary", "Origin")
			s.metrics.Refused(gateway.CodeOrigin)
			return gateway.Errorf(gateway.CodeOrigin, "pages of %q are not allowed here: add the origin to the configuration", origin)
		}
		reflect.ServeHTTP(w, r)
		return nil
	})
}

// authorize checks a token and that its user is still somebody.
func (s *Server) authorize(token string) (identity, gateway.User, error) {
	who, err := s.tokens.verify(token)
	if err != nil {
		return identity{}, gateway.User{}, err
	}
	user, err := s.lookUp(who.account, who.user)
	return who, user, err
}

func (s *Server) lookUp(account, id string) (gateway.User, error) {
	user, ok := s.directory.User(account, id)
	if !ok {
		return gateway.User{}, gateway.Errorf(gateway.CodeRevoked, "user %q is not in the directory of account %q", id, account)
	}
	return user, nil
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
			for _, session := range turn {
				if _, ok := s.directory.User(session.account, session.user); !ok {
					session.close(closeRevoked)
					continue
				}
				session.ping(s.pingData)
			}
			for _, c := range gone {
				s.gateway.ClientGone(c.account, c.user, c.client)
			}
			s.gate.tick()
		}
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
	bye := encodeBye(s.comeBack(len(sessions)))
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
	s.running.Wait()
}
