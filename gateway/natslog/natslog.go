// Package natslog keeps the gateway's log, work queues and store on NATS JetStream. The server is
// embedded: it has no listener, and its data lives in one directory that one process owns.
//
// # Lifecycle
//
// Open returns when JetStream answers, with the log and the store recovered. End all Tail, Work, List and
// Watch calls by their contexts before Close; what still runs then gets an error. Close writes the
// clean-stop mark last.
//
// # Durability
//
// Under Strict every acknowledged write is on disk. Under Fast a killed process loses nothing, a power cut
// at most the last 250 ms. A log that may have lost its tail in a power cut gets a new epoch.
//
// # Concurrency
//
// A DB and everything it hands out may be used from many goroutines.
package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

// Durability says what an acknowledged write has survived. The zero value is Strict.
type Durability string

// The durabilities of design §2.
const (
	Strict Durability = "strict" // on disk
	Fast   Durability = "fast"   // in the kernel; on disk within 250 ms
)

// defaultMaxBytes is the log's size when Config leaves it out: weeks of calls of a large office.
const defaultMaxBytes = 4 << 30

// answerTimeout bounds every request to JetStream whose context has no deadline of its own.
const answerTimeout = 5 * time.Second

// Config says where and how to keep the data.
type Config struct {
	Dir        string       // made when it does not exist
	Durability Durability   // default Strict
	Partitions int          // of a log that is made anew; default 1. An existing log keeps its own number
	MaxBytes   int64        // the log's size on disk, from which on it refuses; default 4 GiB
	Logger     *slog.Logger // default: discards

	bootID  func() (string, error) // names the run of the kernel
	ackWait time.Duration          // how long a worker may be silent before its item is handed out again
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("natslog: no directory given")
	}
	if c.Durability == "" {
		c.Durability = Strict
	}
	if c.Durability != Strict && c.Durability != Fast {
		return c, fmt.Errorf("natslog: durability %q is neither %q nor %q", c.Durability, Strict, Fast)
	}
	if c.Partitions < 0 || c.Partitions > maxPartitions {
		return c, fmt.Errorf("natslog: %d partitions, must be 1 to %d", c.Partitions, maxPartitions)
	}
	if c.MaxBytes < 0 {
		return c, fmt.Errorf("natslog: a log of %d bytes", c.MaxBytes)
	}
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.bootID == nil {
		c.bootID = kernelBootID
	}
	if c.ackWait == 0 {
		c.ackWait = 15 * time.Second
	}
	return c, nil
}

// DB is an open directory.
type DB struct {
	cfg     Config
	dir     *dir
	srv     *server.Server
	appends *nats.Conn // has the appends alone, so that no read stands in their way
	work    *nats.Conn // has everything else
	js      jetstream.JetStream
	log     *eventLog
	store   *store
	closing func() error
}

// Open opens cfg.Dir and returns when its log and store answer. It fails when another process has the
// directory open, or when the directory belongs to a cluster. ctx bounds the opening only.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg}
	db.closing = sync.OnceValue(db.close)
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("natslog: open %s: %w", cfg.Dir, err), db.release())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	boot, err := db.cfg.bootID()
	if err != nil {
		db.cfg.Logger.Warn("cannot tell whether the machine was restarted: will assume so after an unclean stop", "err", err)
	}
	if db.dir, err = openDir(db.cfg.Dir); err != nil {
		return err
	}
	last, err := db.dir.lastRun()
	if err != nil {
		db.cfg.Logger.Warn("cannot tell how the last run ended: will assume the worst", "err", err)
	}
	if db.srv, err = startServer(db.cfg); err != nil {
		return err
	}
	if db.appends, err = connect(db.srv, "appends", db.cfg.Logger); err != nil {
		return err
	}
	if db.work, err = connect(db.srv, "work", db.cfg.Logger); err != nil {
		return err
	}
	if db.js, err = jetstream.New(db.work, jetstream.WithDefaultTimeout(answerTimeout)); err != nil {
		return err
	}
	if err := awaitJetStream(ctx, db.js); err != nil {
		return err
	}
	if db.log, err = openLog(ctx, db, last.mayHaveLostTail(boot)); err != nil {
		return err
	}
	if db.store, err = openStore(ctx, db.js); err != nil {
		return err
	}
	if !last.Clean {
		// What the last run left to the kernel must not be older than what this run calls durable.
		if err := db.dir.sync(); err != nil {
			return err
		}
	}
	return db.dir.setRun(run{Durability: db.cfg.Durability, Boot: boot})
}

// Log returns the log.
func (db *DB) Log() gateway.Log { return db.log }

// Store returns the store.
func (db *DB) Store() gateway.Store { return db.store }

// Queue opens the work queue of that name, 1 to 64 of [-_a-zA-Z0-9], and makes it when it does not exist.
func (db *DB) Queue(ctx context.Context, name string) (gateway.WorkQueue, error) {
	q, err := openQueue(ctx, db, name)
	if err != nil {
		return nil, fmt.Errorf("natslog: queue %q: %w", name, err)
	}
	return q, nil
}

// Healthy returns nil if the log and the store answer and neither has met a write error.
func (db *DB) Healthy(ctx context.Context) error {
	info, err := db.log.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("natslog: log: %w", err)
	}
	if full := uint64(db.cfg.MaxBytes) / 100 * 98; info.State.Bytes > full {
		return fmt.Errorf("natslog: log: %w: %d of %d bytes", gateway.ErrLogFull, info.State.Bytes, db.cfg.MaxBytes)
	}
	if _, err := db.store.kv.Status(ctx); err != nil {
		return fmt.Errorf("natslog: store: %w", err)
	}
	if err := serverHealth(ctx, db.srv); err != nil {
		return fmt.Errorf("natslog: %w", err)
	}
	return nil
}

// Close stops the server and gives the directory free. Repeating it returns the first answer.
func (db *DB) Close() error { return db.closing() }

func (db *DB) close() error {
	err := errors.Join(db.appends.FlushTimeout(answerTimeout), db.work.FlushTimeout(answerTimeout))
	db.stopServer()
	if db.cfg.Durability == Fast {
		// The server does not sync when it stops, and the mark vouches for everything before it.
		err = errors.Join(err, db.dir.sync())
	}
	if err == nil {
		err = db.dir.setRun(run{Clean: true})
	}
	if err = errors.Join(err, db.dir.close()); err != nil {
		return fmt.Errorf("natslog: close %s: %w", db.cfg.Dir, err)
	}
	return nil
}

// release gives back what a failed open has taken. The mark of the last run stays as it is.
func (db *DB) release() error {
	db.stopServer()
	if db.dir == nil {
		return nil
	}
	return db.dir.close()
}

func (db *DB) stopServer() {
	for _, nc := range []*nats.Conn{db.appends, db.work} {
		if nc != nil {
			nc.Close()
		}
	}
	if db.srv != nil {
		db.srv.Shutdown()
		db.srv.WaitForShutdown()
	}
}

// kernelBootID returns an id that Linux makes anew at each boot.
func kernelBootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
