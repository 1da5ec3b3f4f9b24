package natslog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
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
	logStream = "LOG"

	headerEntryID = "Ringcast-Entry"

	metaEpoch      = "ringcast-epoch"
	metaPartitions = "ringcast-partitions"

	maxPartitions = 256
	maxEntry      = 4<<20 + 64<<10 // a group of design §2, and what its encoding adds
)

type eventLog struct {
	db     *DB
	append jetstream.JetStream
	stream jetstream.Stream
	info   gateway.LogInfo
	packer packer
}

var (
	_ gateway.Log          = (*eventLog)(nil)
	_ gateway.PartitionLog = (*eventLog)(nil)
)

// openLog opens the log, made anew if there is none. With renew it gets a new epoch.
func openLog(ctx context.Context, db *DB, renew bool) (*eventLog, error) {
	appends, err := jetstream.New(db.appends.Conn, jetstream.WithDefaultTimeout(answerTimeout))
	if err != nil {
		return nil, err
	}
	l := &eventLog{db: db, append: appends}
	l.stream, err = db.stream(ctx, l.newConfig(), func(have *jetstream.StreamConfig) bool { return l.fit(have, renew) })
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return l, l.readInfo()
}

func (l *eventLog) name() string { return l.db.cfg.streamName(logStream) }

func (l *eventLog) subject(partition string) string { return l.db.cfg.subject("log." + partition) }

func (l *eventLog) newConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:      l.name(),
		Subjects:  []string{l.subject("*")},
		Storage:   jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy,
		Discard:   jetstream.DiscardNew,
		MaxBytes:  l.db.cfg.MaxBytes,
		// No AllowDirect: any replica answers a direct get, and Last must see every acknowledged append.
		Metadata: map[string]string{metaEpoch: newEpoch(), metaPartitions: strconv.Itoa(l.db.cfg.Partitions)},
	}
}

func newEpoch() string { return strings.ToLower(rand.Text()) }

// fit brings the existing stream in line with the configuration, as far as it may change.
func (l *eventLog) fit(stream *jetstream.StreamConfig, renew bool) bool {
	cfg := l.db.cfg
	if p := stream.Metadata[metaPartitions]; p != strconv.Itoa(cfg.Partitions) {
		cfg.Logger.Warn("the log keeps the number of partitions it was made with", "partitions", p, "configured", cfg.Partitions)
	}
	if !renew && stream.MaxBytes == cfg.MaxBytes {
		return false
	}
	stream.MaxBytes = cfg.MaxBytes
	if renew {
		stream.Metadata = maps.Clone(stream.Metadata)
		stream.Metadata[metaEpoch] = newEpoch()
		cfg.Logger.Warn("the log may have lost its tail in a restart of the machine: it has a new epoch", "epoch", stream.Metadata[metaEpoch])
	}
	return true
}

func (l *eventLog) readInfo() error {
	meta := l.stream.CachedInfo().Config.Metadata
	partitions, err := strconv.Atoi(meta[metaPartitions])
	if err != nil || partitions < 1 || meta[metaEpoch] == "" {
		return fmt.Errorf("stream %s was not made by this program: its metadata are %v", l.name(), meta)
	}
	l.info = gateway.LogInfo{Epoch: meta[metaEpoch], Partitions: partitions, MaxEntry: maxEntry}
	return nil
}

// remade is what everything ends with that finds another log where it was opened.
func (l *eventLog) remade(epoch string) error {
	return fmt.Errorf("the log was made anew under way: its epoch was %s and is %s; start again", l.info.Epoch, epoch)
}

// renew gives the log another epoch, since it has lost its end, and returns the error that everything ends with. All
// nodes come to the same epoch: several may find the loss at once.
func (l *eventLog) renew(ctx context.Context) error {
	next := nextEpoch(l.info.Epoch)
	ctx, done := l.db.work.ask(ctx)
	info, err := l.stream.Info(ctx)
	if err == nil && info.Config.Metadata[metaEpoch] == l.info.Epoch { // else another node was faster
		cfg := info.Config
		cfg.Metadata = maps.Clone(cfg.Metadata)
		cfg.Metadata[metaEpoch] = next
		_, err = l.db.js.UpdateStream(ctx, cfg)
	}
	if err = done(err); err != nil {
		return passingError{fmt.Errorf("the log has lost its end and needs another epoch: %w", err)}
	}
	return fmt.Errorf("the log has lost its end in a crash of its servers: its epoch was %s and is %s; start again", l.info.Epoch, next)
}

// nextEpoch is the epoch after one of a log that has lost its end.
func nextEpoch(epoch string) string {
	sum := sha256.Sum256([]byte(epoch))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:len(epoch)])
}

func (l *eventLog) Info() gateway.LogInfo { return l.info }

func (l *eventLog) Append(ctx context.Context, e gateway.Entry, after uint64) (uint64, error) {
	if err := l.check(e.Partition); err != nil {
		return 0, err
	}
	if len(e.Data) > maxEntry {
		return 0, gateway.Errorf(gateway.CodeTooLarge, "an entry of %d bytes; the log takes %d", len(e.Data), maxEntry)
	}
	msg := &nats.Msg{
		Subject: l.subject(strconv.Itoa(e.Partition)),
		Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(after, 10)},
			headerEntryID:                       {url.QueryEscape(e.ID)},
		},
	}
	defer l.packer.pack(msg, e.Data)()
	ctx, done := l.db.appends.ask(ctx)
	ack, err := l.append.PublishMsg(ctx, msg)
	if err = done(err); err != nil {
		return 0, fmt.Errorf("append to partition %d: %w", e.Partition, refusal(err))
	}
	return ack.Sequence, nil
}

func (l *eventLog) Last(ctx context.Context, partition int) (uint64, error) {
	if err := l.check(partition); err != nil {
		return 0, err
	}
	ctx, done := l.db.work.ask(ctx)
	msg, err := l.stream.GetLastMsgForSubject(ctx, l.subject(strconv.Itoa(partition)))
	err = done(err)
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
		opts = append(opts, jetstream.WithPurgeSubject(l.subject(strconv.Itoa(partition))))
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
	case codeServerLimit, codeAccountLimit:
		return fmt.Errorf("%w: %w", gateway.ErrLogFull, err)
	case codeStoreFailed:
		// Another reason is a server that stops: then its replicas may have stored what it has not.
		if strings.Contains(api.Description, "maximum") {
			return fmt.Errorf("%w: %w", gateway.ErrLogFull, err)
		}
	}
	return err
}
