package natslog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// minTTL is the least that the servers let a marker of a deleted key live.
const minTTL = time.Second

// openVolatile opens a bucket in memory. Servers that were restarted have lost it, or only what was in it:
// then it is empty, and made again by whoever writes or watches first.
func openVolatile(ctx context.Context, db *DB, name string, ttl time.Duration) (*store, error) {
	if !queueName.MatchString(name) {
		return nil, errors.New("not a name")
	}
	if ttl != 0 && ttl < minTTL {
		return nil, fmt.Errorf("values that live %v: want %v at least, or 0", ttl, minTTL)
	}
	s := &store{db: db, bucket: db.cfg.streamName("VOLATILE_" + name), volatile: true, ttl: ttl, markerTTL: markerTTL}
	if ttl != 0 {
		s.markerTTL = min(ttl, markerTTL)
	}
	return s, s.open(ctx)
}

// isLost reports whether err says that a volatile bucket is gone. A write meets only silence then, as it does
// while a leader is elected.
func (s *store) isLost(ctx context.Context, err error) bool {
	if !s.volatile || err == nil {
		return false
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		_, err = s.db.js.Stream(ctx, s.config().Name)
	}
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

func (s *store) remake(ctx context.Context) error {
	_, err := s.db.stream(ctx, s.config(), s.fit)
	return err
}

// lifetime is one life of a volatile bucket, from empty to lost. Revisions rise from one to the next.
type lifetime struct {
	name  string
	since uint64 // a sequence below all of its values
}

// life returns the present life, which it begins if nobody has.
func (s *store) life(ctx context.Context) (lifetime, error) {
	for {
		guarded, done := s.db.work.ask(ctx)
		msg, err := s.stream.GetLastMsgForSubject(guarded, s.subject(keyLife))
		switch err = done(err); {
		case err == nil:
			return lifetime{name: string(msg.Data), since: msg.Sequence}, nil
		case errors.Is(err, jetstream.ErrStreamNotFound):
			err = s.remake(ctx)
		case errors.Is(err, jetstream.ErrMsgNotFound):
			err = s.begin(ctx)
		}
		if err != nil {
			return lifetime{}, err
		}
	}
}

// begin names a new life, unless another node is faster. Sequences of an empty bucket continue at the time in
// microseconds: further than the last life has come.
func (s *store) begin(ctx context.Context) error {
	ctx, done := s.db.work.ask(ctx)
	err := func() error {
		info, err := s.stream.Info(ctx)
		if err != nil {
			return err
		}
		if info.State.Msgs == 0 {
			if err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(uint64(time.Now().UnixMicro()))); err != nil {
				return err
			}
		}
		_, err = s.db.js.PublishMsg(ctx, &nats.Msg{
			Subject: s.subject(keyLife),
			Header:  nats.Header{jetstream.MsgTTLHeader: {"never"}, jetstream.ExpectedLastSubjSeqHeader: {"0"}},
			Data:    []byte(rand.Text()),
		})
		if hasCode(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
			return nil
		}
		return err
	}()
	return done(err)
}
