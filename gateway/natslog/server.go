package natslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	maxPayload   = 8 << 20
	syncInterval = 250 * time.Millisecond // under Fast
	startTimeout = 30 * time.Second

	// What queues, store and consumers may take besides the log.
	otherStore  = 4 << 30
	otherMemory = 256 << 20
)

// startServer starts a server that nobody outside this process can reach. It recovers the streams before
// it returns.
func startServer(cfg Config) (*server.Server, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName:         "ringcast",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           cfg.Dir,
		JetStreamMaxMemory: otherMemory,
		JetStreamMaxStore:  cfg.MaxBytes + otherStore,
		MaxPayload:         maxPayload,
		SyncAlways:         cfg.Durability == Strict,
		SyncInterval:       syncInterval,
	})
	if err != nil {
		return nil, err
	}
	said := serverLog{cfg.Logger.With("component", "nats"), new(atomic.Bool)}
	srv.SetLogger(said, false, false)
	srv.Start()
	// A start that failed returns, and would never be ready.
	if said.fatal.Load() || !srv.JetStreamEnabled() || !srv.ReadyForConnections(startTimeout) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, errors.New("the embedded NATS server did not start; its log says why")
	}
	return srv, nil
}

// healthTries is how often an ill server is asked before it is believed: it gives itself one millisecond to find
// its listeners open, which a busy machine may not leave it.
const healthTries = 5

// serverHealth returns the first fault that the server itself has noticed: a stream whose disk failed
// still answers reads, but takes nothing more.
func serverHealth(ctx context.Context, srv *server.Server) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz", nil)
	if err != nil {
		return err
	}
	for range healthTries {
		answer := &healthAnswer{header: make(http.Header)}
		srv.HandleHealthz(answer, req)
		if answer.status == 0 || answer.status == http.StatusOK {
			return nil
		}
		err = fmt.Errorf("unhealthy: %s", bytes.TrimSpace(answer.body.Bytes()))
		if ctx.Err() != nil || !srv.ReadyForConnections(time.Second) {
			break
		}
	}
	return err
}

// healthAnswer receives what the server would have told a monitoring client.
type healthAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *healthAnswer) Header() http.Header         { return a.header }
func (a *healthAnswer) WriteHeader(status int)      { a.status = status }
func (a *healthAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }

// serverLog hands the server's warnings and errors to slog. Fatalf does not end the process: that a start-up
// failed is remembered.
type serverLog struct {
	logger *slog.Logger
	fatal  *atomic.Bool
}

var _ server.Logger = serverLog{}

func (l serverLog) Noticef(string, ...any)           {}
func (l serverLog) Debugf(string, ...any)            {}
func (l serverLog) Tracef(string, ...any)            {}
func (l serverLog) Warnf(format string, args ...any) { l.logger.Warn(fmt.Sprintf(format, args...)) }
func (l serverLog) Errorf(format string, args ...any) {
	l.logger.Error(fmt.Sprintf(format, args...))
}
func (l serverLog) Fatalf(format string, args ...any) {
	l.fatal.Store(true)
	l.logger.Error(fmt.Sprintf(format, args...))
}
