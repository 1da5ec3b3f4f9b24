package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneNodeWritesSnapshots(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		writes := func() uint64 { f.store.mu.Lock(); defer f.store.mu.Unlock(); return f.store.rev }
		for i := range 5 {
			owner.emit(fmt.Sprintf("k%d: dial 101", i), fmt.Sprintf("k%d: hangup", i))
			time.Sleep(time.Minute)
		}
		for i := range other.feed.shards {
			if kept := len(other.feed.shards[i].state().ended); kept > 2 {
				t.Errorf("%d ended calls are kept for a snapshot that others write", kept)
			}
		}
		if head, _, err := readHead(t.Context(), f.store); err != nil || head.Seq < 5 {
			t.Errorf("%+v, %v", head, err)
		}
		before := writes()
		owner.emit("last: dial 101")
		owner.kill()
		other.send("last: bridge 101")
		time.Sleep(2 * time.Minute)
		head, _, err := readHead(t.Context(), f.store)
		if err != nil || head.Seq != other.feed.head.Load() || writes() == before {
			t.Errorf("%+v, %v; the feed is at %d", head, err, other.feed.head.Load())
		}
		third := f.start()
		if calls := third.open("u1", "").hello.Calls; len(calls) != 1 || calls[0].ID != "office:last" {
			t.Errorf("a new node knows of %+v", calls)
		}
		if _, ok := third.feed.call("acme", "office:k0"); !ok {
			t.Error("a new node does not know an ended call")
		}
	})
}

func TestNextOwnerMakesRoomInAFullLog(t *testing.T) {
	inFleet(t, 2, 2, func(t *testing.T, f *fleet) {
		first := f.nodes[0]
		for i := range 50 {
			first.emit(fmt.Sprintf("k%d: dial 101", i), fmt.Sprintf("k%d: hangup", i))
		}
		f.log.mu.Lock()
		f.log.onAppend = func(Entry) error {
			f.log.mu.Lock()
			defer f.log.mu.Unlock()
			if len(f.log.entries) > 20 {
				return ErrLogFull
			}
			return nil
		}
		f.log.mu.Unlock()
		for _, n := range slices.Clone(f.nodes[1:]) {
			n.kill()
		}
		if took := first.send("dial 101"); took > 2*takeOver {
			t.Errorf("after %v", took)
		}
		time.Sleep(takeOver)
		f.settle()
	})
}

func TestSnapshotOfAnEarlierWriterFails(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.emit("dial 101")
		synctest.Wait()
		if err := owner.succeed(t.Context()); err != nil { // it is about to write
			t.Fatal(err)
		}
		if err := other.succeed(t.Context()); err != nil { // and another has begun to
			t.Fatal(err)
		}
		head, _, _ := readHead(t.Context(), f.store)
		if err := owner.writeSnapshot(t.Context(), owner.feed.head.Load(), time.Now()); !errors.Is(err, ErrConflict) {
			t.Errorf("the earlier writer: %v", err)
		}
		_ = f.store.List(t.Context(), keyLive, func(v Value) error {
			if !strings.HasPrefix(v.Key, keyLive+"."+head.Generation) {
				t.Errorf("%s was left behind", v.Key)
			}
			return nil
		})
	})
}

func TestLogIsNotPurgedOfWhatAnotherNodeHasStillToRead(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		for i := range 50 {
			owner.emit(fmt.Sprintf("k%d: dial 102", i))
		}
		time.Sleep(2 * beatEvery)
		hang := make(chan struct{})
		other.line.hang.Store(&hang) // but for its heartbeats it is alive
		stop := background(t, func(ctx context.Context) {
			for rest(ctx, beatEvery) == nil {
				data, _ := json.Marshal(other.report())
				_, _ = f.shared.Put(ctx, keyNode+other.name, data, AnyRevision)
			}
		})
		behind := other.feed.head.Load()
		for i := range 50 {
			owner.emit(fmt.Sprintf("m%d: dial 102", i))
		}
		synctest.Wait()
		if err := owner.snapshot(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		f.log.mu.Lock()
		first := f.log.entries[0].Seq
		f.log.mu.Unlock()
		if first > behind+1 || first < behind/2 {
			t.Errorf("the log begins at %d, the other node is at %d", first, behind)
		}
		stop()
		other.line.hang.Store(nil)
		close(hang)
	})
}
