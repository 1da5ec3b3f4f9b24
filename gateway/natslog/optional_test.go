package natslog

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"ringcast/gateway"
)

// What is beyond the contracts: parts that the engine makes use of where they are there.

func TestTailOfOnePartitionSeesNoOther(t *testing.T) {
	t.Parallel()
	for name, host := range hosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := kept(t, func(t *testing.T, dir string) *DB { return open(t, host(t)(dir)) })
			last := make([]uint64, db.log.info.Partitions)
			var want []uint64
			for i := range 4 * len(last) {
				p := i % len(last)
				seq, err := db.log.Append(t.Context(), gateway.Entry{Partition: p, ID: "x", Data: []byte{byte(p)}}, last[p])
				if err != nil {
					t.Fatal(err)
				}
				if last[p] = seq; p == len(last)-1 {
					want = append(want, seq)
				}
			}
			var got []uint64
			errEnd := errors.New("end")
			err := db.log.TailPartition(t.Context(), len(last)-1, want[0], func(e gateway.Entry) error {
				if got = append(got, e.Seq); e.Partition != len(last)-1 {
					t.Errorf("an entry of partition %d", e.Partition)
				}
				if e.Seq == want[3] {
					return errEnd
				}
				return nil
			})
			if !errors.Is(err, errEnd) || !slices.Equal(got, want[1:]) {
				t.Errorf("read %v, %v; want %v", got, err, want[1:])
			}
			if err := db.log.TailPartition(t.Context(), len(last), 0, nil); err == nil {
				t.Error("there is no such partition")
			}
		})
	}
}

func TestValueWithALifeEnds(t *testing.T) {
	t.Parallel()
	for name, host := range hosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := kept(t, func(t *testing.T, dir string) *DB { return open(t, host(t)(dir)) })
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s := db.store
			rev, err := s.Put(ctx, "a.b", []byte("1"), 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.PutFor(ctx, "a.b", []byte("2"), rev+1, time.Hour); !errors.Is(err, gateway.ErrConflict) {
				t.Errorf("with another revision: %v", err)
			}
			if rev, err = s.PutFor(ctx, "a.b", []byte("2"), rev, time.Hour); err != nil {
				t.Fatal(err)
			}
			if v, err := s.Get(ctx, "a.b"); err != nil || string(v.Data) != "2" || v.Rev != rev {
				t.Fatalf("%+v, %v", v, err)
			}
			if _, err = s.PutFor(ctx, "a.b", []byte("2"), rev, time.Second); err != nil {
				t.Fatal(err)
			}
			errGone := errors.New("gone")
			err = s.Watch(ctx, "a", func(v gateway.Value) error {
				if v.Data == nil {
					return errGone
				}
				return nil
			}, func() {})
			if !errors.Is(err, errGone) {
				t.Fatal(err)
			}
			if _, err := s.Get(ctx, "a.b"); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("Get: %v", err)
			}
			if _, err := s.Put(ctx, "a.b", []byte("3"), 0); err != nil {
				t.Errorf("made anew: %v", err)
			}
			if rev, err = s.PutFor(ctx, "a.b", []byte("4"), s.mustRev(ctx, t, "a.b"), time.Hour); err == nil {
				_, err = s.Put(ctx, "a.b", []byte("5"), rev) // which has no end
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func (s *store) mustRev(ctx context.Context, t *testing.T, key string) uint64 {
	t.Helper()
	v, err := s.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return v.Rev
}
