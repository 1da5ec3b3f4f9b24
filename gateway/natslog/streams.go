package natslog

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxReplicas = 3
	growEvery   = time.Minute // look whether a cluster has grown
	streamRetry = 100 * time.Millisecond
	streamTime  = 2 * time.Second // for one try to open or make a stream: one of two that collide may go unanswered
)

// JetStream's error codes that the client library has no names for.
const (
	codeAccountLimit jetstream.ErrorCode = 10002 // a write was refused
	codeServerLimit  jetstream.ErrorCode = 10023 // likewise
	codeStoreFailed  jetstream.ErrorCode = 10077 // likewise, if a limit of the stream is the reason
	codeNoPeers      jetstream.ErrorCode = 10005 // fewer nodes than replicas are wanted
	codeNotClustered jetstream.ErrorCode = 10074 // likewise
	codeNotAvailable jetstream.ErrorCode = 10008 // the cluster has no leader at the moment
	codeNotLeader    jetstream.ErrorCode = 10009
	codeOffline      jetstream.ErrorCode = 10118 // the stream has none
)

// stream opens the stream that want describes, made if there is none, with as many replicas as the cluster
// has nodes for. One that is there becomes what fit makes of its configuration, if that returns true; fit may be
// nil. Several nodes may do this at once.
func (db *DB) stream(ctx context.Context, want jetstream.StreamConfig, fit func(*jetstream.StreamConfig) bool) (jetstream.Stream, error) {
	retry := time.NewTicker(streamRetry)
	defer retry.Stop()
	for {
		s, err := db.openStream(ctx, want, fit)
		if err == nil {
			db.keepReplicated(ctx, s)
			return s, nil
		}
		if !isPassing(err) || ctx.Err() != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
}

func (db *DB) openStream(ctx context.Context, want jetstream.StreamConfig, fit func(*jetstream.StreamConfig) bool) (jetstream.Stream, error) {
	ctx, done := db.work.askFor(ctx, streamTime)
	s, err := db.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		s, err = db.create(ctx, want)
	case err == nil && fit != nil:
		if have := s.CachedInfo().Config; fit(&have) {
			s, err = db.js.UpdateStream(ctx, have)
		}
	}
	return s, done(err)
}

func (db *DB) create(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if !db.cfg.external() {
		return db.js.CreateStream(ctx, want)
	}
	for want.Replicas = maxReplicas; ; want.Replicas-- {
		s, err := db.js.CreateStream(ctx, want)
		if want.Replicas == 1 || !lacksNodes(err) {
			return s, err
		}
	}
}

// keepReplicated gives a stream the replicas that it lacks, now and when the cluster has grown.
func (db *DB) keepReplicated(ctx context.Context, s jetstream.Stream) {
	if !db.cfg.external() {
		return
	}
	name := s.CachedInfo().Config.Name
	db.mu.Lock()
	if !slices.Contains(db.replicated, name) {
		db.replicated = append(db.replicated, name)
	}
	db.mu.Unlock()
	db.grow(ctx, s.CachedInfo().Config)
}

// growing looks after the replicas until ctx ends.
func (db *DB) growing(ctx context.Context) {
	tick := time.NewTicker(growEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		db.mu.Lock()
		names := slices.Clone(db.replicated)
		db.mu.Unlock()
		for _, name := range names {
			asking, done := db.work.ask(ctx)
			s, err := db.js.Stream(asking, name)
			if done(err) == nil { // else next time
				db.grow(ctx, s.CachedInfo().Config)
			}
		}
	}
}

// grow raises a stream's replicas as far as there are nodes. With fewer it works too.
func (db *DB) grow(ctx context.Context, cfg jetstream.StreamConfig) {
	have := cfg.Replicas
	for cfg.Replicas = maxReplicas; cfg.Replicas > have; cfg.Replicas-- {
		asking, done := db.work.ask(ctx)
		_, err := db.js.UpdateStream(asking, cfg)
		switch err = done(err); {
		case err == nil:
			db.cfg.Logger.Info("a stream has more replicas", "stream", cfg.Name, "replicas", cfg.Replicas, "before", have)
			return
		case !lacksNodes(err):
			db.cfg.Logger.Warn("cannot add replicas to a stream", "stream", cfg.Name, "replicas", have, "err", err)
			return
		}
	}
}

// lacksNodes reports whether a stream was refused for want of nodes to keep its replicas.
func lacksNodes(err error) bool {
	return hasCode(err, codeNoPeers, codeNotClustered)
}

// isPassing reports whether the same request may succeed before long: another node was faster, or a leader is
// being elected.
func isPassing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, nats.ErrTimeout) || errors.Is(err, errSilent) || errors.Is(err, errBroken) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, errAway) ||
		hasCode(err, codeNotAvailable, codeNotLeader, codeOffline)
}

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode)
}
