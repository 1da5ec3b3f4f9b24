package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
	"ringcast/gateway/asterisk"
	"ringcast/gateway/natslog"
	"ringcast/gateway/phonet"
	"ringcast/gateway/push"
	"ringcast/gateway/recordings"
	"ringcast/gateway/webhook"
)

// shutdownTime is how long a node that leaves gives the last requests, after its sessions have left. An
// orchestrator's grace should be longer than that and the config's drain time together.
const shutdownTime = 5 * time.Second

// ticketMemory is how long it is remembered that a ticket was used: longer than one works.
const ticketMemory = 2 * time.Minute

// filesBesides is how many files a node has open besides its sessions', at most.
const filesBesides = 500

// node is one gateway process: everything that a config file names, wired together.
type node struct {
	cfg        *Config
	logger     *slog.Logger
	db         *natslog.DB
	gateway    *gateway.Gateway
	directory  *gateway.Overlay
	installs   *amocrm.Installs // the access to CRMs
	roster     roster
	hooks      *webhook.Handler // of PBXes that post events
	crm        *amocrm.Client   // to all CRMs
	limiter    *amocrm.Limiter  // of all that they are asked
	callers    callers
	routing    routing
	revoked    *gateway.Revocations
	chains     push.Chains // how far tickets were used on all nodes; nil: there is one node
	push       *push.Server
	origins    *push.Origins
	amocrm     *amocrm.Verifier // of the CRM's disposable tokens
	phonet     *phonet.Server   // of Phonet's clients
	tokens     *push.Tokens
	metrics    *metrics
	recordings *recordings.Server
	mux        *http.ServeMux // of the main listener; what is added before run is served
	web, ops   *server
	draining   atomic.Bool
}

// openNode binds the listeners and opens the log; it serves nothing yet.
func openNode(ctx context.Context, cfg *Config, logger *slog.Logger) (_ *node, err error) {
	n := &node{cfg: cfg, logger: logger, metrics: newMetrics(), mux: http.NewServeMux()}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.abandon())
		}
	}()
	if n.web, err = listen(ctx, cfg.Listen, n.mux, logger); err != nil {
		return nil, err
	}
	cfg.ListensOn(n.web.addr())
	if cfg.TLS != nil {
		if n.web.http.TLSConfig, err = cfg.tlsConfig(logger); err != nil {
			return nil, err
		}
	}
	if n.ops, err = listen(ctx, cfg.OpsListen, n.opsHandler(), logger); err != nil {
		return nil, err
	}
	if n.db, err = natslog.Open(ctx, logConfig(cfg, logger)); err != nil {
		return nil, err
	}
	if err = n.openInstalls(ctx); err != nil {
		return nil, err
	}
	n.openCallers()
	if err = n.openDirectory(ctx); err != nil {
		return nil, err
	}
	if err = n.openRecordings(); err != nil {
		return nil, err
	}
	if err = n.openEngine(ctx); err != nil {
		return nil, err
	}
	n.attach()
	if err = n.openPush(); err != nil {
		return nil, err
	}
	if err = n.openPhonet(); err != nil {
		return nil, err
	}
	n.metrics.watch(n.gateway.Links)
	n.metrics.journal.watch(n.metrics.registry, n.gateway.JournalHere)
	n.metrics.watchCRMs(n.crmStates)
	n.routes()
	if err = n.openAGI(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// logConfig says where the log is.
func logConfig(cfg *Config, logger *slog.Logger) natslog.Config {
	log := natslog.Config{Dir: filepath.Join(cfg.DataDir, "log"), Durability: natslog.Durability(cfg.Durability), Logger: logger}
	if nats := cfg.NATS; nats != nil {
		log.URL, log.CredsFile, log.CAFile = nats.URL, nats.Credentials, nats.CA
	}
	return log
}

func (n *node) openEngine(ctx context.Context) error {
	engine := gateway.Config{
		Log: n.db.Log(), Store: n.db.Store(), Directory: n.directory, Logger: n.logger, Metrics: n.metrics.gateway(),
		Finders: n.callers.finder, Notifiers: n.callers.notifier, Recording: n.recordings.Link,
	}
	if n.cfg.NATS != nil {
		shared, err := n.db.Volatile(ctx, "nodes", 0)
		if err != nil {
			return err
		}
		engine.Peers, engine.Shared = n.db.Peers(), shared
		if n.chains, err = n.db.Volatile(ctx, "tickets", ticketMemory); err != nil {
			return err
		}
	}
	var err error
	if engine.Journal, err = n.openJournal(ctx); err != nil {
		return err
	}
	n.gateway = gateway.New(engine) //nolint:contextcheck // a caller is looked up after the request is over
	return nil
}

// openDirectory reads who is who, and whose tokens count no more.
func (n *node) openDirectory(ctx context.Context) error {
	n.directory = gateway.NewOverlay(n.db.Store(), n.logger, func(account string) {
		n.recheck(account, "")
		n.gateway.DirectoryChanged(account)
	}, n.gatewayAccounts()...)
	n.revoked = gateway.NewRevocations(n.db.Store(), n.logger, time.Now, n.recheck)
	return errors.Join(n.directory.Load(ctx), n.revoked.Load(ctx))
}

// attach adds the PBXes that the node itself connects to.
func (n *node) attach() {
	for _, account := range n.cfg.Accounts {
		for _, pbx := range account.PBX {
			switch {
			case pbx.Asterisk != nil:
				n.gateway.Attach(account.ID, pbx.ID, asterisk.New(asteriskConfig(account.ID, pbx, n.directory, n.logger)))
			case pbx.Phonet != nil:
				n.gateway.Attach(account.ID, pbx.ID, phonet.New(phonetConfig(account.ID, pbx, n.directory, n.logger)))
			}
		}
	}
}

func (n *node) openPush() error {
	key, err := n.cfg.LoadSessionKey()
	if err != nil {
		return err
	}
	n.tokens, err = push.NewTokens(push.TokensConfig{
		SessionKey: []byte(key), PublicURL: n.cfg.PublicURL,
		BackendKey: func(account string) ([]byte, bool) {
			a, ok := n.cfg.Account(account)
			return []byte(a.BackendKey), ok && a.BackendKey != ""
		},
	})
	if err != nil {
		return err
	}
	if n.origins, err = push.NewOrigins(n.cfg.Origins); err != nil {
		return err
	}
	n.origins.Extend(n.installedOrigins())
	if n.amocrm, err = n.amoVerifier(); err != nil {
		return err
	}
	n.push, err = push.New(push.Config{
		Gateway: n.gateway, Presence: n.gateway, Directory: n.directory, Tokens: n.tokens, Origins: n.origins,
		Exchangers: map[string]push.Exchanger{"amocrm": n.amocrm}, Limits: n.limits(), Logger: n.logger, Metrics: n.metrics.push(),
		Chains: n.chains, Revoked: n.revoked.Revoked, ClientAddr: push.ClientAddr(n.cfg.TrustedProxies),
	})
	return err
}

// limits are the config's, within what the system allows.
func (n *node) limits() push.Limits {
	limits := n.cfg.Limits
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		n.logger.Warn("cannot tell how many files may be open", "err", err)
		return limits
	}
	if most := int(min(files.Cur, 1<<31)) - filesBesides; limits.Sessions > most || limits.Sessions == 0 && most < push.DefaultSessions {
		limits.Sessions = max(most, 1)
		n.logger.Info("as many sessions as files may be open: raise the limit for more (LimitNOFILE in a systemd unit)",
			"sessions", limits.Sessions, "files", files.Cur)
	}
	return limits
}

// run serves until ctx ends, then leaves in order: no longer ready, the sessions sent away, the requests
// under way finished, the engine, and the log last. ready is called when the log has answered and the
// node serves.
func (n *node) run(ctx context.Context, ready func()) error {
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	engine := make(chan error, 1)
	go func() { engine <- n.gateway.Run(engineCtx) }()
	var followers sync.WaitGroup
	for _, follow := range []func(context.Context) error{n.directory.Run, n.revoked.Run, n.installs.Run} {
		followers.Go(func() { _ = follow(engineCtx) }) // ends with its context only
	}
	failed := make(chan error, 3)
	n.ops.serve(failed)
	// Callers wait for what dial plans ask, and Asterisk waits for ever. Until the gateway is ready, a rule finds nobody
	// online, and on the telephone whom the log has shown so far.
	n.serveAGI(failed) //nolint:contextcheck // a connection lives as long as the server

	var err error
	select {
	case <-n.gateway.Ready():
		n.web.serve(failed)
		ready()
		select {
		case err = <-failed:
		case err = <-engine:
			engine <- nil
		case <-ctx.Done():
			n.logger.Info("leaving")
		}
	case err = <-engine:
		engine <- nil
	case <-ctx.Done():
	}
	n.draining.Store(true)
	n.leave(context.WithoutCancel(ctx))
	stopEngine()
	err = errors.Join(err, <-engine)
	followers.Wait()
	err = errors.Join(err, n.abandon())
	n.logger.Info("stopped")
	return err
}

func (n *node) leave(ctx context.Context) {
	drain, cancel := context.WithTimeout(ctx, n.cfg.DrainTime)
	defer cancel()
	if err := n.drain(drain); err != nil {
		n.logger.Warn("some sessions did not leave in time", "err", err)
	}
	shutdown, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	if err := n.web.shutdown(shutdown); err != nil {
		n.logger.Warn("some requests did not end in time", "err", err)
	}
}

// abandon closes whatever is open.
func (n *node) abandon() error {
	var errs []error
	if n.phonet != nil {
		n.phonet.Close()
	}
	if n.push != nil {
		n.push.Close()
	}
	for _, s := range []*server{n.web, n.ops} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	errs = append(errs, n.closeAGI())
	n.closeCallers()
	if n.installs != nil {
		n.installs.Close()
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(errs...)
}

// server is an HTTP server on a listener that was bound before there was anything to serve.
type server struct {
	http     *http.Server
	listener net.Listener
	unused   sync.Map // connections on which nothing was asked yet
}

func listen(ctx context.Context, addr string, handler http.Handler, logger *slog.Logger) (*server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: is it in use by another program? Choose another address", err)
	}
	s := &server{listener: l, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // clients' broken connections
	}}
	s.http.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.unused.Store(c, nil)
		} else {
			s.unused.Delete(c)
		}
	}
	s.http.RegisterOnShutdown(func() { // Shutdown would wait 5 s for what browsers open in advance
		s.unused.Range(func(c, _ any) bool {
			if conn, ok := c.(net.Conn); ok {
				_ = conn.Close()
			}
			return true
		})
	})
	return s, nil
}

func (s *server) addr() net.Addr { return s.listener.Addr() }

func (s *server) serve(failed chan<- error) {
	go func() {
		serve := s.http.Serve
		if s.http.TLSConfig != nil {
			serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
		}
		if err := serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
}

func (s *server) shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

func (s *server) close() error {
	err := s.http.Close()
	if lerr := s.listener.Close(); lerr != nil && !errors.Is(lerr, net.ErrClosed) {
		err = errors.Join(err, lerr)
	}
	return err
}
