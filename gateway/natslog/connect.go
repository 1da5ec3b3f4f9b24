package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errBroken is how a request ends whose connection broke while it waited. It may have been carried out.
var errBroken = errors.New("the connection to NATS broke before the answer came")

// errAway is how a request ends that could not be sent, because there is no connection.
var errAway = errors.New("not connected to NATS")

// errSilent is how a request ends that JetStream did not answer. It may have been carried out.
var errSilent = errors.New("JetStream did not answer in time")

// line is a connection that knows when it breaks: answers that were on their way then are lost, and whoever
// waits for one should not wait for its deadline too.
type line struct {
	*nats.Conn
	mu    sync.Mutex
	whole context.Context //nolint:containedctx // lasts until the connection breaks the next time
	snap  context.CancelFunc
}

// connect opens a line. It never gives up once it stood, and it never keeps a message for later: what cannot
// be sent now fails now.
func connect(url, name string, logger *slog.Logger, opts ...nats.Option) (*line, error) {
	logger = logger.With("connection", name)
	l := &line{}
	l.mend()
	opts = append(opts, nats.Name("ringcast "+name),
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.mend()
			if err != nil {
				logger.Error("connection to NATS lost", "err", err)
			}
		}),
		nats.ClosedHandler(func(*nats.Conn) { l.mend() }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			logger.Info("connected to NATS again", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { logger.Warn("NATS", "err", err) }))
	var err error
	l.Conn, err = nats.Connect(url, opts...)
	return l, err
}

// mend tells those who wait that the connection broke, and begins anew.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.snap != nil {
		l.snap()
	}
	l.whole, l.snap = context.WithCancel(context.Background())
}

// unbroken returns a context that ends when the connection breaks the next time.
func (l *line) unbroken() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole
}

// guard returns a context for one request, which ends also when the connection breaks. Call done with the
// request's error: it returns errBroken if that was why, and errAway if it was not even sent.
func (l *line) guard(ctx context.Context) (_ context.Context, done func(error) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.unbroken(), func() { cancel(errBroken) })
	return ctx, func(err error) error {
		stop()
		switch {
		case err == nil:
		case errors.Is(context.Cause(ctx), errBroken):
			err = fmt.Errorf("%w (%w)", errBroken, err)
		case errors.Is(err, nats.ErrReconnectBufExceeded): // nothing is kept for later, which is what that means
			err = errAway
		}
		cancel(nil)
		return err
	}
}

// ask is guard for a request to JetStream, which is answered soon or not at all: where a leader is missing,
// nobody says so.
func (l *line) ask(ctx context.Context) (_ context.Context, done func(error) error) {
	return l.askFor(ctx, answerTimeout)
}

// askFor is ask with another patience.
func (l *line) askFor(ctx context.Context, patience time.Duration) (_ context.Context, done func(error) error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSilent)
	ctx, broken := l.guard(ctx)
	return ctx, func(err error) error {
		if err != nil && errors.Is(context.Cause(ctx), errSilent) {
			err = fmt.Errorf("%w (%w)", errSilent, err)
		}
		err = broken(err)
		cancel()
		return err
	}
}

// close ends the connection and everything that waits on it.
func (l *line) close() {
	if l != nil {
		l.Close()
		l.mend()
	}
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
			return fmt.Errorf("JetStream does not answer: %w (%w)", context.Cause(ctx), err)
		}
	}
}
