package natslog

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"ringcast/gateway"
)

// recordSize is what one record of a call takes before it is packed, about.
const recordSize = 600

// records are as alike as those of a group are.
func records(n int) []byte {
	var data []byte
	for range n {
		data = fmt.Appendf(data, `{"account":"acme","event":"call.dial","event_id":%q,"call":{"id":"office:%s","version":1,"events":[`, rand.Text(), rand.Text())
		for len(data)%recordSize < recordSize-200 {
			data = fmt.Appendf(data, `{"event":"call.dial","from":{"raw":%q},"people":[{"user":"88888","name":"Anna","extension":"101"}]},`, rand.Text())
		}
		data = append(data, bytes.Repeat([]byte{' '}, recordSize-len(data)%recordSize)...)
	}
	return data
}

// BenchmarkAppend appends groups of 1, 10 and 50 records, one append after the other. Compare records/s:
// strict pays one sync for each group.
func BenchmarkAppend(b *testing.B) {
	for _, durability := range []Durability{Strict, Fast} {
		for _, group := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%s/group=%d", durability, group), func(b *testing.B) {
				db := open(b, Config{Dir: b.TempDir(), Durability: durability})
				defer closeDB(b, db)
				ctx := b.Context()
				data := records(group)
				var last uint64
				var err error
				for b.Loop() {
					if last, err = db.log.Append(ctx, gateway.Entry{ID: "benchmark", Data: data}, last); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*group)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkTail measures the way of a live entry from the call of Append to a waiting tail, and how fast
// history is read.
func BenchmarkTail(b *testing.B) {
	b.Run("live", func(b *testing.B) {
		db := open(b, Config{Dir: b.TempDir(), Durability: Fast})
		defer closeDB(b, db)
		ctx, cancel := context.WithCancel(b.Context())
		seen, ended := make(chan uint64), make(chan error)
		go func() {
			ended <- db.log.Tail(ctx, 0, func(e gateway.Entry) error { seen <- e.Seq; return nil })
		}()
		data := records(1)
		var last uint64
		var err error
		for b.Loop() {
			if last, err = db.log.Append(ctx, gateway.Entry{ID: "benchmark", Data: data}, last); err != nil {
				b.Fatal(err)
			}
			if got := <-seen; got != last {
				b.Fatalf("entry %d, want %d", got, last)
			}
		}
		cancel()
		<-ended
	})
	b.Run("history", func(b *testing.B) {
		db := open(b, Config{Dir: b.TempDir(), Durability: Fast})
		defer closeDB(b, db)
		const entries = 20_000
		data := records(1)
		var last uint64
		var err error
		for range entries {
			if last, err = db.log.Append(b.Context(), gateway.Entry{ID: "benchmark", Data: data}, last); err != nil {
				b.Fatal(err)
			}
		}
		errEnd := errors.New("end")
		var spent time.Duration
		for b.Loop() {
			start := time.Now()
			err := db.log.Tail(b.Context(), 0, func(e gateway.Entry) error {
				if e.Seq == last {
					return errEnd
				}
				return nil
			})
			if !errors.Is(err, errEnd) {
				b.Fatal(err)
			}
			spent += time.Since(start)
		}
		b.ReportMetric(float64(b.N*entries)/spent.Seconds(), "entries/s")
	})
}

func BenchmarkStorePut(b *testing.B) {
	for _, durability := range []Durability{Strict, Fast} {
		b.Run(string(durability), func(b *testing.B) {
			db := open(b, Config{Dir: b.TempDir(), Durability: durability})
			defer closeDB(b, db)
			data := records(1)
			for b.Loop() {
				if _, err := db.store.Put(b.Context(), "calls.one", data, gateway.AnyRevision); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenClose(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		closeDB(b, open(b, Config{Dir: dir, Durability: Fast}))
	}
}
