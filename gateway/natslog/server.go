package natslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	srv.SetLogger(serverLog{cfg.Logger.With("component", "nats")}, false, false)
	srv.Start()
	// A start that failed returns without JetStream, and would never be ready.
	if !srv.JetStreamEnabled() || !srv.ReadyForConnections(startTimeout) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, errors.New("the embedded NATS server did not start; its log says why")
	}
	return srv, nil
}

// connect opens a connection within the process. It never gives up, and it never keeps a message for
// later: what cannot be sent now fails now.
func connect(srv *server.Server, name string, logger *slog.Logger) (*nats.Conn, error) {
	logger = logger.With("connection", name)
	return nats.Connect("", nats.InProcessServer(srv), nats.Name(name),
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				logger.Error("connection to the embedded server lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { logger.Info("connected to the embedded server again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			logger.Warn("embedded server", "err", err)
		}))
}

// awaitJetStream returns when JetStream answers; a connection alone does not mean that.
func awaitJetStream(ctx context.Context, js jetstream.JetStream) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		_, err := js.AccountInfo(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("JetStream does not answer: %w", err)
		}
	}
}

// serverHealth returns the first fault that the server itself has noticed: a stream whose disk failed
// still answers reads, but takes nothing more.
func serverHealth(ctx context.Context, srv *server.Server) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz", nil)
	if err != nil {
		return err
	}
	answer := &healthAnswer{header: make(http.Header)}
	srv.HandleHealthz(answer, req)
	if answer.status != 0 && answer.status != http.StatusOK {
		return fmt.Errorf("unhealthy: %s", bytes.TrimSpace(answer.body.Bytes()))
	}
	return nil
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

// serverLog hands the server's warnings and errors to slog. Fatalf ends nothing: the start-up that failed
// is noticed by JetStream not answering.
type serverLog struct{ logger *slog.Logger }

var _ server.Logger = serverLog{}

func (l serverLog) Noticef(string, ...any)           {}
func (l serverLog) Debugf(string, ...any)            {}
func (l serverLog) Tracef(string, ...any)            {}
func (l serverLog) Warnf(format string, args ...any) { l.logger.Warn(fmt.Sprintf(format, args...)) }
func (l serverLog) Errorf(format string, args ...any) {
	l.logger.Error(fmt.Sprintf(format, args...))
}
func (l serverLog) Fatalf(format string, args ...any) {
	l.logger.Error(fmt.Sprintf(format, args...))
}
