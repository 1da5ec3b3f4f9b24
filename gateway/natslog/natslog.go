// Package natslog keeps the gateway's log, work queues and stores on NATS JetStream, and joins the nodes of
// a cluster through NATS. By default the server is embedded: it has no listener, and its data lives in one
// directory that one process owns. With Config.URL the same is kept on NATS servers that others run, and many
// processes may share it.
//
// # Lifecycle
//
// Open returns when JetStream answers, with the log and the store recovered. End all Tail, Work, List, Watch
// and Serve calls by their contexts before Close; what still runs then gets an error. Close writes the
// clean-stop mark of an embedded server last.
//
// # Durability
//
// Embedded, under Strict every acknowledged write is on disk. Under Fast a killed process loses nothing, a
// power cut at most the last 250 ms. A log that may have lost its tail in a power cut gets a new epoch.
//
// On a cluster an acknowledged write is with the majority of the stream's replicas: as many as the cluster has
// nodes, up to three. Whether it is on their disks too is the servers' own setting (jetstream.sync_interval,
// two minutes unless it says "always"): what only a power cut of most of them at once can take is lost unseen.
// Config.Durability means nothing there.
//
// # Clusters
//
// Names of streams begin with RINGCAST_, subjects with "ringcast."; a second installation on the same servers
// needs a NATS account of its own. The servers need max_payload 8388608, and the user permission for
// "ringcast.>", "$KV.>", "$JS.>" and "_INBOX.>".
//
// Appends and reads of single keys are answered by a stream's leader. One that was cut off from the others may
// answer reads from the past for some seconds, but acknowledges no write. When a leader's server dies, its
// streams take nothing until the others have elected another, some ten seconds at most.
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
	"sync"
	"time"

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

// openTime bounds an Open on a cluster.
const openTime = 30 * time.Second

// The numbers of partitions of a log that is made anew. Each has a group of its own in flight: many at once
// are of use where an append travels, and in each other's way on one disk.
const (
	embeddedPartitions = 1
	clusterPartitions  = 8
)

// Config says where and how to keep the data.
type Config struct {
	Dir        string       // made when it does not exist. With URL it is only marked, and may be left out
	Durability Durability   // of an embedded server, default Strict
	Partitions int          // of a log that is made anew; default 1, with URL 8. An existing log keeps its own number
	MaxBytes   int64        // the log's size on disk, from which on it refuses; default 4 GiB
	Logger     *slog.Logger // default: discards

	// Of NATS servers that others run, instead of an embedded one.
	URL       string // nats:// or tls://, separated by commas; may hold user and password, or a token
	CredsFile string // a NATS credentials file; "": none
	CAFile    string // the authority that signed the servers' certificates; "": those the system trusts

	bootID func() (string, error) // names the run of the kernel
}

func (c Config) external() bool { return c.URL != "" }

// streamName and subject spell a name as the servers know it. On servers of others it says whose it is.
func (c Config) streamName(name string) string {
	if c.external() {
		return "RINGCAST_" + name
	}
	return name
}

func (c Config) subject(name string) string {
	if c.external() {
		return "ringcast." + name
	}
	return name
}

// place names where the data is, without secrets.
func (c Config) place() string {
	if c.external() {
		return c.hosts()
	}
	return c.Dir
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" && !c.external() {
		return c, errors.New("natslog: no directory given")
	}
	if c.external() && c.hosts() == "" {
		return c, errors.New("natslog: the URL names no server: want nats://host:4222, or several with commas between")
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
	if c.Partitions == 0 && c.external() {
		c.Partitions = clusterPartitions
	}
	if c.Partitions == 0 {
		c.Partitions = embeddedPartitions
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
	return c, nil
}

// host is where the streams live.
type host interface {
	// start prepares what connections need. Renew: the log may have lost its tail and needs a new epoch.
	start(ctx context.Context) (renew bool, err error)
	connect(ctx context.Context, name string) (*line, error)
	opened() error // log and store have answered
	healthy(ctx context.Context, db *DB) error
	stop(clean bool) error // undoes start, also a failed one; clean: everything was flushed
}

// DB is an open directory, or the data on a cluster.
type DB struct {
	cfg     Config
	host    host
	appends *line // has the appends alone, so that no read stands in their way
	nodes   *line // has what the nodes tell each other
	work    *line // has everything else
	js      jetstream.JetStream
	log     *eventLog
	store   *store
	peers   *peers
	closing func() error

	mu         sync.Mutex
	replicated []string // names of streams
	background sync.WaitGroup
	quit       context.CancelFunc
}

// Open opens cfg.Dir, or connects to cfg.URL, and returns when log and store answer. It fails when another
// process has the directory open, or when what was kept there does not go with what cfg says. ctx bounds the
// opening only.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg, host: &embedded{cfg: cfg}}
	if cfg.external() {
		db.host = &cluster{cfg: cfg}
		limited, cancel := context.WithTimeoutCause(ctx, openTime, fmt.Errorf("not open after %v", openTime))
		defer cancel()
		ctx = limited
	}
	db.closing = sync.OnceValue(db.close)
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("natslog: open %s: %w", cfg.place(), err), db.release())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	renew, err := db.host.start(ctx)
	if err != nil {
		return err
	}
	if db.appends, err = db.host.connect(ctx, "appends"); err != nil {
		return err
	}
	if db.nodes, err = db.host.connect(ctx, "nodes"); err != nil {
		return err
	}
	if db.work, err = db.host.connect(ctx, "work"); err != nil {
		return err
	}
	if db.js, err = jetstream.New(db.work.Conn, jetstream.WithDefaultTimeout(answerTimeout)); err != nil {
		return err
	}
	if err := awaitJetStream(ctx, db.js); err != nil {
		return err
	}
	if db.log, err = openLog(ctx, db, renew); err != nil {
		return err
	}
	if db.store, err = openStore(ctx, db); err != nil {
		return err
	}
	db.peers = newPeers(db.nodes)
	if db.cfg.external() {
		growing, quit := context.WithCancel(context.WithoutCancel(ctx))
		db.quit = quit
		db.background.Go(func() { db.growing(growing) })
	}
	return db.host.opened()
}

// Log returns the log.
func (db *DB) Log() gateway.Log { return db.log }

// Store returns the store.
func (db *DB) Store() gateway.Store { return db.store }

// Peers returns what joins this node with the others on the same cluster. Embedded, there are no others.
func (db *DB) Peers() gateway.Peers { return db.peers }

// Volatile opens the store of that name, 1 to 64 of [-_a-zA-Z0-9], in the servers' memory, and makes it when
// it does not exist. Its values vanish ttl after they were written last, 0: never; a ttl is at least a second,
// and all nodes give the same. A restart of an embedded server, or of all servers of a cluster, empties it.
func (db *DB) Volatile(ctx context.Context, name string, ttl time.Duration) (gateway.Store, error) {
	s, err := openVolatile(ctx, db, name, ttl)
	if err != nil {
		return nil, fmt.Errorf("natslog: volatile store %q: %w", name, err)
	}
	return s, nil
}

// Queue opens the work queue of that name, 1 to 64 of [-_a-zA-Z0-9], and makes it when it does not exist.
func (db *DB) Queue(ctx context.Context, name string) (gateway.WorkQueue, error) {
	q, err := openQueue(ctx, db, name)
	if err != nil {
		return nil, fmt.Errorf("natslog: queue %q: %w", name, err)
	}
	return q, nil
}

// Healthy returns nil if log and store answer, have their quorum and have met no write error.
func (db *DB) Healthy(ctx context.Context) error {
	ctx, done := db.work.ask(ctx)
	err := done(db.healthy(ctx))
	if db.cfg.external() && (errors.Is(err, errAway) || errors.Is(err, errSilent) || errors.Is(err, errBroken)) {
		err = fmt.Errorf("the NATS cluster does not answer: %w", err)
	}
	if err != nil {
		return fmt.Errorf("natslog: %w", err)
	}
	return nil
}

func (db *DB) healthy(ctx context.Context) error {
	info, err := db.log.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if full := uint64(db.cfg.MaxBytes) / 100 * 98; info.State.Bytes > full {
		return fmt.Errorf("log: %w: %d of %d bytes", gateway.ErrLogFull, info.State.Bytes, db.cfg.MaxBytes)
	}
	if _, err := db.store.stream.Info(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return db.host.healthy(ctx, db)
}

// Close ends the connections, stops an embedded server and gives its directory free. Repeating it returns the
// first answer.
func (db *DB) Close() error { return db.closing() }

func (db *DB) close() error {
	var err error
	for _, l := range []*line{db.appends, db.nodes, db.work} {
		if l.IsReconnecting() { // then there is nothing to flush, and nobody to wait for
			continue
		}
		// On a cluster the connection may break just then, and only costs an item that is handed out again.
		if failed := l.FlushTimeout(answerTimeout); !db.cfg.external() {
			err = errors.Join(err, failed)
		}
	}
	db.hangUp()
	if err = errors.Join(err, db.host.stop(err == nil)); err != nil {
		return fmt.Errorf("natslog: close %s: %w", db.cfg.place(), err)
	}
	return nil
}

// release gives back what a failed open has taken. The mark of the last run stays as it is.
func (db *DB) release() error {
	db.hangUp()
	return db.host.stop(false)
}

func (db *DB) hangUp() {
	if db.quit != nil {
		db.quit()
		db.background.Wait()
	}
	for _, l := range []*line{db.appends, db.nodes, db.work} {
		l.close()
	}
}
