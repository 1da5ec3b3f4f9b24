package natslog

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

const (
	storeBucket = "STORE"
	maxKey      = 512

	// A deleted key leaves a marker, by which watchers learn of it. Markers of calls long ended must not pile up.
	markerTTL = time.Hour

	// Keys of our own, which keyForm lets nobody else use.
	keySync = ":sync" // see mark
	keyLife = ":life" // see life

	headerOperation = "KV-Operation" // in a message that is not a put
)

var keyForm = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)

// store is a key-value bucket: a stream that keeps the last message of each subject. A watcher that falls
// behind is told of the last of several changes of a key.
type store struct {
	db        *DB
	bucket    string
	kv        jetstream.KeyValue
	stream    jetstream.Stream
	markerTTL time.Duration

	volatile bool          // in memory
	ttl      time.Duration // of its values; 0: they stay
}

var (
	_ gateway.Store         = (*store)(nil)
	_ gateway.ExpiringStore = (*store)(nil)
)

func openStore(ctx context.Context, db *DB) (*store, error) {
	s := &store{db: db, bucket: db.cfg.streamName(storeBucket), markerTTL: markerTTL}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// open opens the bucket, or makes it.
func (s *store) open(ctx context.Context) (err error) {
	if s.stream, err = s.db.stream(ctx, s.config(), s.fit); err != nil {
		return err
	}
	retry := time.NewTicker(streamRetry)
	defer retry.Stop()
	for {
		asking, done := s.db.work.ask(ctx)
		s.kv, err = s.db.js.KeyValue(asking, s.bucket)
		// A server that has not heard of the bucket yet may have been asked.
		if err = done(err); !errors.Is(err, jetstream.ErrBucketNotFound) && !isPassing(err) {
			return err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func (s *store) config() jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name:              "KV_" + s.bucket,
		Subjects:          []string{s.subject(">")},
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1,
		AllowRollup:       true,
		DenyDelete:        true,
		// Any replica answers a direct get, perhaps without what was written just now. Embedded there is only one.
		AllowDirect:            !s.db.cfg.external(),
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: s.markerTTL,
	}
	if s.volatile {
		cfg.Storage, cfg.MaxAge = jetstream.MemoryStorage, s.ttl
		if s.ttl != 0 && s.ttl < dedupWindow {
			cfg.Duplicates = s.ttl // the default would be longer than anything is kept
		}
	}
	return cfg
}

// fit brings an existing bucket in line with what the nodes are told now.
func (s *store) fit(have *jetstream.StreamConfig) bool {
	want := s.config()
	if have.MaxAge == want.MaxAge && have.SubjectDeleteMarkerTTL == want.SubjectDeleteMarkerTTL && have.AllowDirect == want.AllowDirect {
		return false
	}
	have.MaxAge, have.Duplicates = want.MaxAge, want.Duplicates
	have.SubjectDeleteMarkerTTL, have.AllowDirect = want.SubjectDeleteMarkerTTL, want.AllowDirect
	return true
}

func (s *store) subject(key string) string { return "$KV." + s.bucket + "." + key }

func (s *store) Get(ctx context.Context, key string) (gateway.Value, error) {
	if err := checkKey(key); err != nil {
		return gateway.Value{}, err
	}
	guarded, done := s.db.work.ask(ctx)
	e, err := s.kv.Get(guarded, key)
	err = done(err)
	if s.isLost(ctx, err) {
		err = jetstream.ErrKeyNotFound
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return gateway.Value{}, fmt.Errorf("store: %s: %w", key, gateway.ErrNotFound)
	}
	if err != nil {
		return gateway.Value{}, fmt.Errorf("store: get %s: %w", key, err)
	}
	return gateway.Value{Key: key, Data: notNil(e.Value()), Rev: e.Revision()}, nil
}

func (s *store) Put(ctx context.Context, key string, data []byte, rev uint64) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	next, err := s.put(ctx, key, data, rev)
	if s.isLost(ctx, err) {
		if err = s.remake(ctx); err == nil {
			next, err = s.put(ctx, key, data, rev)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, refusal(err))
	}
	return next, nil
}

func (s *store) put(ctx context.Context, key string, data []byte, rev uint64) (next uint64, err error) {
	ctx, done := s.db.work.ask(ctx)
	switch rev {
	case gateway.AnyRevision:
		next, err = s.kv.Put(ctx, key, data)
	case 0:
		next, err = s.kv.Create(ctx, key, data)
	default:
		next, err = s.kv.Update(ctx, key, data, rev)
	}
	return next, done(err)
}

// PutFor writes the message itself: the client library knows an end only of keys that are made anew.
func (s *store) PutFor(ctx context.Context, key string, data []byte, rev uint64, life time.Duration) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	ctx, done := s.db.work.ask(ctx)
	ack, err := s.db.js.PublishMsg(ctx, &nats.Msg{
		Subject: s.subject(key),
		Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(rev, 10)},
			jetstream.MsgTTLHeader:              {life.Truncate(time.Second).String()},
		},
		Data: data,
	})
	if err = done(err); err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, refusal(err))
	}
	return ack.Sequence, nil
}

func (s *store) Delete(ctx context.Context, key string, rev uint64) error {
	opts := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(s.markerTTL)}
	if rev == gateway.AnyRevision || rev == 0 {
		_, err := s.Get(ctx, key)
		if errors.Is(err, gateway.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if rev == 0 {
			return fmt.Errorf("store: delete %s: %w", key, gateway.ErrConflict)
		}
	} else {
		if err := checkKey(key); err != nil {
			return err
		}
		opts = append(opts, jetstream.LastRevision(rev))
	}
	guarded, done := s.db.work.ask(ctx)
	err := done(s.kv.Purge(guarded, key, opts...))
	if s.isLost(ctx, err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: delete %s: %w", key, refusal(err))
	}
	return nil
}

func (s *store) List(ctx context.Context, prefix string, fn func(gateway.Value) error) error {
	errListed := errors.New("all listed")
	err := s.watch(ctx, prefix, fn, func() error { return errListed })
	if errors.Is(err, errListed) {
		return nil
	}
	return err
}

func (s *store) Watch(ctx context.Context, prefix string, fn func(gateway.Value) error, synced func()) error {
	return s.watch(ctx, prefix, fn, func() error {
		synced()
		return nil
	})
}

// watch calls fn for what is there, then synced, then fn for every change. The empty prefix means all keys.
func (s *store) watch(ctx context.Context, prefix string, fn func(gateway.Value) error, synced func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &watcher{store: s, fn: fn, synced: synced, held: map[string]gateway.Value{}}
	r := &reader{db: s.db, stream: s.config().Name, handler: w}
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return err
		}
		r.filters = []string{s.subject(prefix), s.subject(prefix + ".>"), s.subject(keySync)}
	}
	return r.run(ctx)
}

// mark writes a message that a reader must have seen before it has seen everything that was acknowledged until
// now: it may read from a replica that is behind. 0: there is only one replica.
func (s *store) mark(ctx context.Context) (uint64, error) {
	if !s.db.cfg.external() {
		return 0, nil
	}
	ctx, done := s.db.work.ask(ctx)
	ack, err := s.db.js.Publish(ctx, s.subject(keySync), nil)
	if err = done(err); err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// watcher handles what a reader reads of a store. Until it knows everything that was there it holds back what
// it reads: the latest of a key is what counts.
type watcher struct {
	store  *store
	fn     func(gateway.Value) error
	synced func() error

	held   map[string]gateway.Value // nil once synced
	mark   uint64                   // what must be read before; 0: nothing
	atLast bool                     // what was there has been read

	// Of a volatile store.
	life  string              // its incarnation
	known map[string]struct{} // keys that fn knows
}

func (w *watcher) take(msg *nats.Msg, meta *nats.MsgMetadata) error {
	key := strings.TrimPrefix(msg.Subject, w.store.subject(""))
	seq := meta.Sequence.Stream
	switch {
	case key == keyLife:
		return nil
	case key == keySync:
		if seq >= w.mark {
			w.mark = 0
		}
		return w.settle()
	case w.held != nil:
		w.held[key] = valueOf(key, msg, seq)
		return nil
	}
	return w.tell(valueOf(key, msg, seq))
}

func (w *watcher) atEnd() error {
	w.atLast = true
	return w.settle()
}

// settle tells what was held back, once it is complete.
func (w *watcher) settle() error {
	if w.held == nil || w.mark != 0 || !w.atLast {
		return nil
	}
	held := w.held
	w.held = nil
	for _, v := range held {
		if v.Data == nil {
			continue
		}
		if err := w.tell(v); err != nil {
			return err
		}
	}
	return w.synced()
}

func (w *watcher) tell(v gateway.Value) error {
	if w.store.volatile {
		if v.Data == nil {
			delete(w.known, v.Key)
		} else {
			w.known[v.Key] = struct{}{}
		}
	}
	return w.fn(v)
}

// resume begins anew when a volatile store has lost everything meanwhile.
func (w *watcher) resume(ctx context.Context, r *reader) error {
	if w.store.volatile {
		life, err := w.store.life(ctx)
		if err != nil {
			return passingError{err}
		}
		if err := w.live(life, r); err != nil {
			return err
		}
	}
	if w.held == nil {
		return nil
	}
	mark, err := w.store.mark(ctx)
	if err != nil {
		return passingError{err}
	}
	w.mark = mark
	return nil
}

func (w *watcher) live(life lifetime, r *reader) error {
	if life.name == w.life {
		return nil
	}
	gone := w.known
	w.life, w.known, r.last = life.name, map[string]struct{}{}, 0
	w.atLast = false
	clear(w.held)
	for key := range gone {
		if err := w.fn(gateway.Value{Key: key, Rev: life.since}); err != nil {
			return err
		}
	}
	return nil
}

// valueOf gives a deletion nil data, and nothing else.
func valueOf(key string, msg *nats.Msg, seq uint64) gateway.Value {
	v := gateway.Value{Key: key, Rev: seq}
	if msg.Header.Get(headerOperation) == "" && msg.Header.Get(jetstream.MarkerReasonHeader) == "" {
		v.Data = notNil(msg.Data)
	}
	return v
}

func notNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

func checkKey(key string) error {
	if len(key) > maxKey || !keyForm.MatchString(key) {
		return fmt.Errorf("store: %q is not a key", key)
	}
	return nil
}
