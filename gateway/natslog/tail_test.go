package natslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ringcast/gateway"
)

// TestTailOutlivesItsConsumer takes the consumer away in the middle, in every way there is.
func TestTailOutlivesItsConsumer(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(*testing.T, *DB){
		"deleted": func(t *testing.T, db *DB) {
			for name := range db.log.stream.ConsumerNames(t.Context()).Name() {
				if err := db.log.stream.DeleteConsumer(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		},
		"disconnected": func(t *testing.T, db *DB) {
			if err := db.work.ForceReconnect(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
			defer closeDB(t, db)
			const before, entries = 700, 1500 // more than one batch on either side
			var last uint64
			appendTo := func(n uint64) {
				for last < n {
					seq, err := db.log.Append(t.Context(), gateway.Entry{ID: fmt.Sprint(last)}, last)
					if err != nil {
						t.Error(err)
						return
					}
					last = seq
				}
			}
			appendTo(before)
			errEnd := errors.New("end")
			var want uint64 = 1
			err := db.log.Tail(t.Context(), 0, func(e gateway.Entry) error {
				if e.Seq != want {
					return fmt.Errorf("got entry %d, want %d", e.Seq, want)
				}
				want++
				switch e.Seq {
				case before / 2: // with entries under way
					disturb(t, db)
				case before: // with nothing under way
					disturb(t, db)
					appendTo(entries)
				case entries:
					return errEnd
				}
				return nil
			})
			if !errors.Is(err, errEnd) {
				t.Error(err)
			}
		})
	}
}

// TestTailKeepsItsConsumer reads more than one request may have, in entries and in bytes.
func TestTailKeepsItsConsumer(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	defer closeDB(t, db)
	said.Reset()
	var last uint64
	for i := range 3*readBatch + 10 {
		var data []byte
		if i < 10 {
			data = noise(maxEntry)
		}
		seq, err := db.log.Append(t.Context(), gateway.Entry{ID: fmt.Sprint(i), Data: data}, last)
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	if n := len(readAll(t, db.log, last)); n != 3*readBatch+10 {
		t.Errorf("%d entries", n)
	}
	if said.Len() > 0 {
		t.Errorf("the tail was interrupted: %s", said.String())
	}
}

func TestTailLeavesNoConsumerBehind(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	defer closeDB(t, db)
	if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "a"}, 0); err != nil {
		t.Fatal(err)
	}
	var tails sync.WaitGroup
	for range 10 {
		tails.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			_ = db.log.Tail(ctx, 0, func(gateway.Entry) error { cancel(); return nil })
		})
	}
	tails.Wait()
	info, err := db.log.stream.Info(t.Context())
	if err != nil || info.State.Consumers != 0 {
		t.Errorf("%d consumers are left, %v", info.State.Consumers, err)
	}
}

func TestWatchLeavesNoConsumerBehind(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	defer closeDB(t, db)
	for range 10 {
		if err := db.store.List(t.Context(), "a", func(gateway.Value) error { return nil }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = db.store.Watch(ctx, "a", func(gateway.Value) error { return nil }, cancel)
	}
	stream, err := db.js.Stream(t.Context(), "KV_"+storeBucket)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

func TestWatchOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	defer closeDB(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	put := func(data string) {
		if _, err := db.store.Put(ctx, "a", []byte(data), gateway.AnyRevision); err != nil {
			t.Error(err)
		}
	}
	reconnected := make(chan struct{})
	db.work.SetReconnectHandler(func(*nats.Conn) { close(reconnected) })
	var last string
	errEnd := errors.New("end")
	err := db.store.Watch(ctx, "a", func(v gateway.Value) error {
		if last = string(v.Data); last == "after" {
			return errEnd
		}
		return nil
	}, func() {
		if err := db.work.ForceReconnect(); err != nil {
			t.Error(err)
		}
		<-reconnected
		put("after")
	})
	if !errors.Is(err, errEnd) {
		t.Errorf("Watch = %v, the last change seen was %q", err, last)
	}
}

// writer appends as the owner of a partition does: it does not trust an append whose answer is lost, but
// reads on and looks for its own entry.
type writer struct {
	log  gateway.Log
	last uint64
}

func (w *writer) append(ctx context.Context, id string, patience time.Duration) error {
	for {
		limited, cancel := context.WithTimeout(ctx, patience)
		seq, err := w.log.Append(limited, gateway.Entry{ID: id}, w.last)
		cancel()
		if err == nil {
			w.last = seq
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		found, err := w.catchUp(ctx, id)
		if found || err != nil {
			return err
		}
		patience *= 2
	}
}

// catchUp reads to the end and reports whether id was there.
func (w *writer) catchUp(ctx context.Context, id string) (bool, error) {
	end, err := w.log.Last(ctx, 0)
	if err != nil || end <= w.last {
		return false, err
	}
	found := false
	errEnd := errors.New("end")
	err = w.log.Tail(ctx, w.last, func(e gateway.Entry) error {
		found = found || e.ID == id
		w.last = e.Seq
		if e.Seq >= end {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		err = nil
	}
	return found, err
}

// TestLostAnswers has two writers fight for one partition with time-outs too short for most answers. Each
// entry must be there exactly once, and each writer's in its order.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Strict})
	defer closeDB(t, db)
	const writers, entries = 2, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			own := writer{log: db.log}
			for i := range entries {
				if err := own.append(t.Context(), fmt.Sprintf("%d-%02d", w, i), time.Duration(i+1)*20*time.Microsecond); err != nil {
					t.Errorf("writer %d, entry %d: %v", w, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	last, err := db.log.Last(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[byte][]string)
	for _, e := range readAll(t, db.log, last) {
		got[e.ID[0]] = append(got[e.ID[0]], e.ID)
	}
	for w, ids := range got {
		if len(ids) != entries || !slices.IsSorted(ids) || len(slices.Compact(ids)) != entries {
			t.Errorf("writer %c: %d entries %v", w, len(ids), ids)
		}
	}
}

// TestFencing lets a deposed writer come back with what it knew.
func TestFencing(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir()})
	defer closeDB(t, db)
	first, err := db.log.Append(t.Context(), gateway.Entry{ID: "old"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := db.log.Append(t.Context(), gateway.Entry{ID: "new owner"}, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "deposed"}, first); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("the deposed writer: %v, want ErrConflict", err)
	}
	if last, err := db.log.Last(t.Context(), 0); err != nil || last != second {
		t.Errorf("last is %d, %v; want %d", last, err, second)
	}
}

// TestLogThatLostItsEnd has servers come back from a crash without the last entries that they had acknowledged.
// What is appended in their place must not be taken for what was read.
func TestLogThatLostItsEnd(t *testing.T) {
	t.Parallel()
	const read, kept = 10, 7
	s := inProcess(t, "")
	for name, entries := range map[string]int{"and nothing since": kept, "and got others since": read + 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{URL: s.url(name)}
			db := open(t, cfg)
			defer closeDB(t, db)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var last uint64
			fill := func(n int, label string) error {
				for i := last + 1; i <= uint64(n); i++ {
					var err error
					if last, err = db.log.Append(ctx, gateway.Entry{ID: fmt.Sprint(label, i)}, last); err != nil {
						return err
					}
				}
				return nil
			}
			if err := fill(read, "before "); err != nil {
				t.Fatal(err)
			}
			err := db.log.Tail(ctx, 0, func(e gateway.Entry) error {
				if e.Seq < read {
					return nil
				}
				if e.Seq > read {
					return fmt.Errorf("entry %d %q was taken for the next", e.Seq, e.ID)
				}
				stream := db.log.stream.CachedInfo().Config
				if err := db.js.DeleteStream(ctx, stream.Name); err != nil {
					return err
				}
				if _, err := db.js.CreateStream(ctx, stream); err != nil {
					return err
				}
				last = 0
				return errors.Join(fill(min(kept, entries), "before "), fill(entries, "after "))
			})
			if err == nil || !strings.Contains(err.Error(), "lost its end") {
				t.Errorf("Tail = %v", err)
			}
			again := open(t, cfg)
			defer closeDB(t, again)
			if was, is := db.log.Info().Epoch, again.log.Info().Epoch; is != nextEpoch(was) || is == was || len(is) != len(was) {
				t.Errorf("the epoch was %q and is %q", was, is)
			}
			if err := db.log.renew(ctx); err == nil || again.log.stream.CachedInfo().Config.Metadata[metaEpoch] != again.log.Info().Epoch {
				t.Errorf("a second node: %v", err)
			}
		})
	}
}
