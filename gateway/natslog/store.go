package natslog

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

const (
	storeBucket = "STORE"
	maxKey      = 512

	// A deleted key leaves a marker, by which watchers learn of it. Markers of calls long ended must not pile up.
	markerTTL = time.Hour
)

var keyForm = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)

// store is a key-value bucket. A watcher that falls behind is told of the last of several changes of a key.
type store struct {
	kv jetstream.KeyValue
}

var _ gateway.Store = (*store)(nil)

func openStore(ctx context.Context, js jetstream.JetStream) (*store, error) {
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         storeBucket,
		History:        1,
		Storage:        jetstream.FileStorage,
		LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &store{kv: kv}, nil
}

func (s *store) Get(ctx context.Context, key string) (gateway.Value, error) {
	if err := checkKey(key); err != nil {
		return gateway.Value{}, err
	}
	e, err := s.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return gateway.Value{}, fmt.Errorf("store: %s: %w", key, gateway.ErrNotFound)
	}
	if err != nil {
		return gateway.Value{}, fmt.Errorf("store: get %s: %w", key, err)
	}
	return valueOf(e), nil
}

func (s *store) Put(ctx context.Context, key string, data []byte, rev uint64) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	var err error
	switch rev {
	case gateway.AnyRevision:
		rev, err = s.kv.Put(ctx, key, data)
	case 0:
		rev, err = s.kv.Create(ctx, key, data)
	default:
		rev, err = s.kv.Update(ctx, key, data, rev)
	}
	if err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, refusal(err))
	}
	return rev, nil
}

func (s *store) Delete(ctx context.Context, key string, rev uint64) error {
	opts := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(markerTTL)}
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
	if err := s.kv.Purge(ctx, key, opts...); err != nil {
		return fmt.Errorf("store: delete %s: %w", key, refusal(err))
	}
	return nil
}

func (s *store) List(ctx context.Context, prefix string, fn func(gateway.Value) error) error {
	errSynced := errors.New("all listed")
	err := s.watch(ctx, prefix, fn, func() error { return errSynced }, jetstream.IgnoreDeletes())
	if errors.Is(err, errSynced) {
		return nil
	}
	return err
}

func (s *store) Watch(ctx context.Context, prefix string, fn func(gateway.Value) error, synced func()) error {
	isSynced := false
	return s.watch(ctx, prefix, func(v gateway.Value) error {
		if v.Data == nil && !isSynced {
			return nil // deleted before
		}
		return fn(v)
	}, func() error {
		isSynced = true
		synced()
		return nil
	})
}

// watch calls fn for what is there, then synced, then fn for every change. The empty prefix means all keys.
func (s *store) watch(ctx context.Context, prefix string, fn func(gateway.Value) error, synced func() error, opts ...jetstream.WatchOpt) error {
	filters := []string{prefix, prefix + ".>"}
	if prefix == "" {
		filters = []string{">"}
	} else if err := checkKey(prefix); err != nil {
		return err
	}
	// The library ends a watcher with its context, in its own time. This one ends before watch returns.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	opening := context.AfterFunc(ctx, cancel)
	w, err := s.kv.WatchFiltered(own, filters, opts...)
	opening()
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("store: watch %q: %w", prefix, err))
	}
	defer end(w)
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		select {
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return fmt.Errorf("store: watch %q: %w", prefix, jetstream.ErrConnectionClosed)
			case e == nil:
				err = synced()
			default:
				err = fn(valueOf(e))
			}
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end stops a watcher and waits until it has: it would hang for ever on a change that nobody takes.
func end(w jetstream.KeyWatcher) {
	_ = w.Stop() // fails only when the connection has ended it before
	for range w.Updates() {
	}
}

// valueOf gives a deletion nil data, and nothing else.
func valueOf(e jetstream.KeyValueEntry) gateway.Value {
	v := gateway.Value{Key: e.Key(), Rev: e.Revision()}
	if e.Operation() == jetstream.KeyValuePut {
		v.Data = append([]byte{}, e.Value()...)
	}
	return v
}

func checkKey(key string) error {
	if len(key) > maxKey || !keyForm.MatchString(key) {
		return fmt.Errorf("store: %q is not a key", key)
	}
	return nil
}
