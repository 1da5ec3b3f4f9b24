package natslog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringcast/gateway"
)

// The log is one stream with a subject for each partition.
const (
	logStream  = "LOG"
	logPrefix  = "log."
	logSubject = logPrefix + "*"

	headerEntryID = "Ringcast-Entry"

	metaEpoch      = "ringcast-epoch"
	metaPartitions = "ringcast-partitions"

	maxPartitions = 256
	maxEntry      = 4<<20 + 64<<10 // a group of design §2, and what its encoding adds
)

// JetStream's error codes that mean a log which refuses. The client library has no names for them.
const (
	codeAccountLimit jetstream.ErrorCode = 10002
	codeServerLimit  jetstream.ErrorCode = 10023
	codeStoreFailed  jetstream.ErrorCode = 10077
)

type eventLog struct {
	js     jetstream.JetStream // for everything but appends
	append jetstream.JetStream
	stream jetstream.Stream
	info   gateway.LogInfo
	logger *slog.Logger
	closed chan struct{} // closed with the connection that js uses
}

var _ gateway.Log = (*eventLog)(nil)

// openLog opens the log, made anew if there is none. With renew it gets a new epoch.
func openLog(ctx context.Context, db *DB, renew bool) (*eventLog, error) {
	appends, err := jetstream.New(db.appends, jetstream.WithDefaultTimeout(answerTimeout))
	if err != nil {
		return nil, err
	}
	l := &eventLog{js: db.js, append: appends, logger: db.cfg.Logger, closed: make(chan struct{})}
	db.work.SetClosedHandler(func(*nats.Conn) { close(l.closed) })

	l.stream, err = db.js.Stream(ctx, logStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		l.stream, err = db.js.CreateStream(ctx, newLogConfig(db.cfg))
	} else if err == nil {
		err = l.refit(ctx, db.cfg, renew)
	}
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return l, l.readInfo()
}

func newLogConfig(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:      logStream,
		Subjects:  []string{logSubject},
		Storage:   jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy,
		Discard:   jetstream.DiscardNew,
		MaxBytes:  cfg.MaxBytes,
		// No AllowDirect: any replica answers a direct get, and Last must see every acknowledged append.
		Metadata: map[string]string{metaEpoch: newEpoch(), metaPartitions: strconv.Itoa(cfg.Partitions)},
	}
}

func newEpoch() string { return strings.ToLower(rand.Text()) }

// refit brings the existing stream in line with cfg, as far as it may change.
func (l *eventLog) refit(ctx context.Context, cfg Config, renew bool) error {
	stream := l.stream.CachedInfo().Config
	if p := stream.Metadata[metaPartitions]; p != strconv.Itoa(cfg.Partitions) {
		l.logger.Warn("the log keeps the number of partitions it was made with", "partitions", p, "configured", cfg.Partitions)
	}
	if !renew && stream.MaxBytes == cfg.MaxBytes {
		return nil
	}
	stream.MaxBytes = cfg.MaxBytes
	if renew {
		stream.Metadata = maps.Clone(stream.Metadata)
		stream.Metadata[metaEpoch] = newEpoch()
		l.logger.Warn("the log may have lost its tail in a restart of the machine: it has a new epoch", "epoch", stream.Metadata[metaEpoch])
	}
	var err error
	l.stream, err = l.js.UpdateStream(ctx, stream)
	return err
}

func (l *eventLog) readInfo() error {
	meta := l.stream.CachedInfo().Config.Metadata
	partitions, err := strconv.Atoi(meta[metaPartitions])
	if err != nil || partitions < 1 || meta[metaEpoch] == "" {
		return fmt.Errorf("stream %s was not made by this program: its metadata are %v", logStream, meta)
	}
	l.info = gateway.LogInfo{Epoch: meta[metaEpoch], Partitions: partitions, MaxEntry: maxEntry}
	return nil
}

func (l *eventLog) Info() gateway.LogInfo { return l.info }

func (l *eventLog) Append(ctx context.Context, e gateway.Entry, after uint64) (uint64, error) {
	if err := l.check(e.Partition); err != nil {
		return 0, err
	}
	if len(e.Data) > maxEntry {
		return 0, gateway.Errorf(gateway.CodeTooLarge, "an entry of %d bytes; the log takes %d", len(e.Data), maxEntry)
	}
	ack, err := l.append.PublishMsg(ctx, &nats.Msg{
		Subject: subjectOf(e.Partition),
		Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(after, 10)},
			headerEntryID:                       {url.QueryEscape(e.ID)},
		},
		Data: e.Data,
	})
	if err != nil {
		return 0, fmt.Errorf("append to partition %d: %w", e.Partition, refusal(err))
	}
	return ack.Sequence, nil
}

func (l *eventLog) Last(ctx context.Context, partition int) (uint64, error) {
	if err := l.check(partition); err != nil {
		return 0, err
	}
	msg, err := l.stream.GetLastMsgForSubject(ctx, subjectOf(partition))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("last entry of partition %d: %w", partition, err)
	}
	return msg.Sequence, nil
}

func (l *eventLog) Purge(ctx context.Context, partition int, before uint64) error {
	last, err := l.Last(ctx, partition)
	if err != nil {
		return err
	}
	before = min(before, last)
	if before <= 1 {
		return nil
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(before)}
	if l.info.Partitions > 1 {
		// Without a subject whole blocks are dropped, which costs next to nothing; with one each entry is looked at.
		opts = append(opts, jetstream.WithPurgeSubject(subjectOf(partition)))
	}
	if err := l.stream.Purge(ctx, opts...); err != nil {
		return fmt.Errorf("purge partition %d before %d: %w", partition, before, err)
	}
	return nil
}

func (l *eventLog) check(partition int) error {
	if partition < 0 || partition >= l.info.Partitions {
		return fmt.Errorf("partition %d of a log that has %d", partition, l.info.Partitions)
	}
	return nil
}

func subjectOf(partition int) string { return logPrefix + strconv.Itoa(partition) }

// refusal turns JetStream's answers to a write that it did not do into the contract's errors. What it
// leaves as it is leaves the outcome open.
func refusal(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return fmt.Errorf("%w: %w", gateway.ErrConflict, err)
	case codeStoreFailed, codeServerLimit, codeAccountLimit:
		return fmt.Errorf("%w: %w", gateway.ErrLogFull, err)
	}
	return err
}
