package phonet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// Path is where Phonet's clients connect.
const Path = "/live/connector/v3/easy"

// Gateway is what a Server needs of the engine: Subscribe and Command as package gateway describes them, the call
// behind a View, and all calls that have not ended. All methods may be called from many goroutines.
type Gateway interface {
	Subscribe(account, user, cursor string, deliver func(gateway.Message)) (gateway.Hello, func(), error)
	Call(account, id string) (*gateway.Call, bool)
	LiveCalls(account string) []*gateway.Call
	Command(ctx context.Context, cmd gateway.Command) gateway.Reply
}

var _ Gateway = (*gateway.Gateway)(nil)

// OnConnect says of which calls a client is told as soon as it has connected. Phonet itself tells of none: its clients
// ask over HTTP, or do without.
type OnConnect string

const (
	// TellRinging tells of calls that ring, as if the client had been there in time. It is the default. Clients open a
	// card at each call.dial, and pages connect anew at each click: a talk would open it again and again.
	TellRinging OnConnect = "ringing"

	// TellLive tells of calls that are talked on, too: for clients that keep a list of what is going on.
	TellLive OnConnect = "live"

	// TellNothing is as Phonet does.
	TellNothing OnConnect = "nothing"
)

// Endpoint lets clients of Phonet in to an account.
type Endpoint struct {
	Account   string
	Domain    string // what a client gives as domain; small and capital letters are the same
	APIKey    string // what it gives as apiKey
	OnConnect OnConnect
}

// ServerConfig is what a Server is made of. Gateway and Directory are needed.
type ServerConfig struct {
	Gateway   Gateway
	Directory gateway.Directory
	Endpoints []Endpoint
	Limits    ServerLimits
	Logger    *slog.Logger // nil: nothing is logged
	Metrics   ServerMetrics

	// Presence knows who is away. Nil: nobody is.
	Presence Presence

	// AllowOrigin says whether a page of that origin may connect. Nil: none may. Who sends no Origin is no page.
	AllowOrigin func(origin string) bool

	// ClientAddr names the address that a request's socket is counted under, "" for none. Nil: sockets are not counted
	// by address.
	ClientAddr func(*http.Request) string

	// Revoked says whether what was given to a user at that time has been revoked; a socket counts as given when it
	// connected. Nil: nothing is. See Recheck.
	Revoked func(account, user string, at time.Time) bool
}

// ServerMetrics are told what happens, from many goroutines; they do not block. What is nil is not counted.
type ServerMetrics struct {
	Opened  func()
	Closed  func(code int)             // what the server closed with, 0 when the client left
	Sent    func(taken time.Time)      // a message of a call; when the gateway took the event, zero for what was before
	Command func(refused gateway.Code) // "": carried out
	Refused func(because gateway.Code) // a request that was turned away
}

// Server is Phonet's end of the protocol, over any PBX of an account. It keeps nothing: what a client is told while it
// is away, it misses, as with Phonet.
type Server struct {
	cfg       ServerConfig
	log       *slog.Logger
	limits    ServerLimits
	endpoints map[string]endpoint // by domain, in small letters
	nobody    endpoint            // that an unknown domain is compared with
	upgrader  websocket.Upgrader
	handler   http.Handler
	gate      *serverGate
	away      serverAway
	patience  time.Duration // how old an event is before a client is told that he alone is rung

	ctx     context.Context // ends with Close; a command outlives the frame that brought it
	stop    context.CancelFunc
	running sync.WaitGroup
}

const goesDown = "this node goes down: connect again"

// endpoint is an Endpoint whose key nothing can print.
type endpoint struct {
	account   string
	key       [sha256.Size]byte
	onConnect OnConnect
}

// NewServer returns a server that serves until Close. It fails for what is missing or contradictory in cfg.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Gateway == nil || cfg.Directory == nil {
		return nil, errors.New("phonet: Gateway and Directory are needed")
	}
	cfg.orDefault()
	s := &Server{cfg: cfg, log: cfg.Logger, limits: cfg.Limits, endpoints: map[string]endpoint{}, patience: together + 20*time.Millisecond}
	s.cfg.Endpoints = nil // the keys are not needed any more
	for _, e := range cfg.Endpoints {
		domain := strings.ToLower(e.Domain)
		if _, twice := s.endpoints[domain]; twice || domain == "" || e.APIKey == "" {
			return nil, fmt.Errorf("phonet: account %q: an endpoint needs a domain of its own and a key", e.Account)
		}
		s.endpoints[domain] = endpoint{e.Account, sha256.Sum256([]byte(e.APIKey)), e.OnConnect}
	}
	_, _ = rand.Read(s.nobody.key[:]) // never fails
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: s.limits.WriteWait,
		ReadBufferSize:   512,
		WriteBufferSize:  1024,
		WriteBufferPool:  &sync.Pool{},
		CheckOrigin:      func(*http.Request) bool { return true }, // serve has
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, reason error) {
			s.refuse(w, gateway.Errorf(gateway.CodeInvalid, "not a WebSocket handshake: %w", reason))
		},
	}
	s.gate = newServerGate(s.limits)
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, s.counted(s.serve))
	s.restRoutes(mux)
	mux.Handle("/", s.counted(func(_ http.ResponseWriter, r *http.Request) error {
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s", r.URL.Path)
	}))
	s.handler = mux
	s.away.users = map[serverUser]bool{}
	for _, e := range s.endpoints {
		if cfg.Presence != nil {
			s.away.watch(cfg.Presence, e.account, s.tellAway)
		}
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.beat)
	return s, nil
}

func (cfg *ServerConfig) orDefault() {
	cfg.Limits = cfg.Limits.orDefault()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.AllowOrigin == nil {
		cfg.AllowOrigin = func(string) bool { return false }
	}
	if cfg.ClientAddr == nil {
		cfg.ClientAddr = func(*http.Request) string { return "" }
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(string, string, time.Time) bool { return false }
	}
	m := &cfg.Metrics
	if m.Opened == nil {
		m.Opened = func() {}
	}
	if m.Closed == nil {
		m.Closed = func(int) {}
	}
	if m.Sent == nil {
		m.Sent = func(time.Time) {}
	}
	for _, count := range []*func(gateway.Code){&m.Command, &m.Refused} {
		if *count == nil {
			*count = func(gateway.Code) {}
		}
	}
}

// Handler serves Path and what is below RESTPath. What it refuses it answers with a problem document: 401 for a domain
// or key that is wrong (which of them, it does not say), 403 for a page that may not, for a subscriber whom nobody knows,
// and for a session of the HTTP API that has run out.
func (s *Server) Handler() http.Handler { return s.handler }

// counted makes a handler that counts what it refuses.
func (s *Server) counted(fn gateway.HandlerFunc) http.Handler {
	return gateway.Handle(s.log, func(w http.ResponseWriter, r *http.Request) error {
		err := fn(w, r)
		if err != nil {
			s.cfg.Metrics.Refused(gateway.CodeOf(err))
		}
		return err
	})
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	s.cfg.Metrics.Refused(gateway.CodeOf(err))
	gateway.WriteProblem(w, err)
}

// serve lets a client in and stays with it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkOrigin(w, r); err != nil {
		return err
	}
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
		return gateway.Errorf(gateway.CodeInvalid, "here a WebSocket is spoken; if the client asked for one, a proxy has removed the Upgrade header")
	}
	session := newServerSession(s, s.cfg.ClientAddr(r))
	if err := s.gate.enter(session.addr); err != nil {
		return err
	}
	defer s.gate.leave(session.addr)
	if err := s.authorize(session, r.URL.RawQuery); err != nil {
		return err
	}
	if err := s.gate.add(session); err != nil {
		return err
	}
	defer s.gate.remove(session)
	// Who was thrown out after he was looked up, and before Recheck could see the session.
	if err := session.lookUp(); err != nil {
		return err
	}
	hello, unsubscribe, err := s.cfg.Gateway.Subscribe(session.account, session.user, "", session.deliver)
	if err != nil {
		return err
	}
	defer unsubscribe()
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // the upgrader has answered
	}
	session.run(conn, hello.Calls)
	return nil
}

func (s *Server) checkOrigin(w http.ResponseWriter, r *http.Request) error {
	if origin := r.Header.Get("Origin"); origin != "" && !s.cfg.AllowOrigin(origin) {
		w.Header().Add("Vary", "Origin")
		return gateway.Errorf(gateway.CodeOrigin, "pages of %q are not allowed here: add the origin to the configuration", origin)
	}
	return nil
}

// endpoint returns the endpoint of a domain to who has its key. It takes as long to say no to an unknown domain.
func (s *Server) endpoint(domain, apiKey string) (endpoint, error) {
	e, known := s.endpoints[strings.ToLower(domain)]
	if !known {
		e = s.nobody
	}
	if key := sha256.Sum256([]byte(apiKey)); subtle.ConstantTimeCompare(key[:], e.key[:]) != 1 || !known {
		return endpoint{}, gateway.Errorf(gateway.CodeUnauthorized, "the domain or the apiKey is wrong")
	}
	return e, nil
}

// authorize finds out whom a client wants to hear of, and whether it may.
func (s *Server) authorize(session *serverSession, rawQuery string) error {
	q, err := parseServerQuery(rawQuery)
	if err != nil {
		return err
	}
	e, err := s.endpoint(q.domain, q.apiKey)
	if err != nil {
		return err
	}
	session.account, session.onConnect, session.subscriber = e.account, e.onConnect, q.subscriber
	return session.find()
}

// serverQuery is what a client says in its URL.
type serverQuery struct{ domain, apiKey, subscriber string }

// parseServerQuery reads a query. A plus is a plus: the clients that there are put keys and e-mail addresses in as they
// are, and neither has spaces. Its errors quote nothing.
func parseServerQuery(raw string) (q serverQuery, err error) {
	fields := map[string]*string{"domain": &q.domain, "apiKey": &q.apiKey, "subscriber": &q.subscriber}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		field, wanted := fields[name]
		if !wanted {
			continue
		}
		if field == nil {
			return serverQuery{}, gateway.Errorf(gateway.CodeInvalid, "%s stands twice in the URL", name)
		}
		if *field, err = url.PathUnescape(value); err != nil {
			return serverQuery{}, gateway.Errorf(gateway.CodeInvalid, "%s is not encoded as a URL wants it", name)
		}
		fields[name] = nil
	}
	return q, nil
}

// findSubscriber returns the user whom a client calls so: by inner number, by e-mail address, or by his id in the CRM.
// ext is the inner number, if it was that.
func findSubscriber(directory gateway.Directory, account, subscriber string) (user gateway.User, ext string, ok bool) {
	if subscriber == "" {
		return gateway.User{}, "", false
	}
	if user, ok = directory.ByExtension(account, subscriber); ok {
		return user, subscriber, true
	}
	if strings.Contains(subscriber, "@") {
		all, _ := directory.Account(account)
		for _, user := range all.Users {
			if strings.EqualFold(user.Email, subscriber) {
				return user, "", true
			}
		}
	}
	user, ok = directory.User(account, subscriber)
	return user, "", ok
}

// Recheck ends the sessions of those who may not have one any more, or whose inner number is another's by now: of one
// user, of an account (user ""), of all (account ""). To be called whenever the directory or the revocations have
// changed.
func (s *Server) Recheck(account, user string) {
	for _, session := range s.gate.of(account, user) {
		session.recheck()
	}
}

// tellAway tells a user's clients that he went away, or came back.
func (s *Server) tellAway(u serverUser, away bool) {
	for _, session := range s.gate.of(u.account, u.user) {
		session.push(serverItem{away: &away})
	}
}

// beat looks after what was not told, and forgets who is gone.
func (s *Server) beat() {
	ticker := time.NewTicker(s.limits.PingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-ticker.C:
			s.Recheck("", "")
			s.gate.tick(now)
		}
	}
}

// Drain sends every client away, ServerLimits.DrainRate a second, faster if ctx has a deadline that asks for it, and
// lets none in any more. It returns when the last has left, or with ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	sessions := s.gate.close()
	pause := time.Second / time.Duration(s.limits.DrainRate)
	if deadline, ok := ctx.Deadline(); ok && len(sessions) > 0 {
		pause = min(pause, time.Until(deadline)*8/10/time.Duration(len(sessions)))
	}
	ticker := time.NewTicker(max(pause, time.Microsecond))
	defer ticker.Stop()
	for _, session := range sessions {
		session.close(websocket.CloseServiceRestart, goesDown)
		select {
		case <-ticker.C:
		case <-ctx.Done(): // no time left for manners
		}
	}
	select {
	case <-s.gate.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends every session and everything that the server runs. It waits for clients that do not answer some seconds at
// most.
func (s *Server) Close() {
	for _, session := range s.gate.close() {
		session.close(websocket.CloseServiceRestart, goesDown)
	}
	s.away.close()
	s.stop()
	<-s.gate.empty
	s.running.Wait()
}
