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
		named := lineEvents("dial 101")
		named[0].ID = "e1"
		if _, err := owner.Emit(t.Context(), "acme", "office", named); err != nil {
			t.Fatal(err)
		}
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
		for _, kind := range []string{keyLive, keyHeard} {
			_ = f.store.List(t.Context(), kind, func(v Value) error {
				if !strings.HasPrefix(v.Key, kind+"."+head.Generation) {
					t.Errorf("%s was left behind", v.Key)
				}
				return nil
			})
		}
		if n := len(owner.feed.shard("acme").unsaved.events); n != 1 {
			t.Errorf("%d ids of events are left for the next snapshot", n)
		}
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

// A node that was cut off for longer than the others waited would go on behind the hole: its users would keep calls
// that are over, and as an owner it would fold onto what was before.
func TestNodeThatMissedWhatWasPurgedGivesUp(t *testing.T) {
	for name, purge := range map[string]func(t *testing.T, g *node){
		"after the window": func(t *testing.T, g *node) {
			for i := range 25 {
				g.emit(fmt.Sprintf("later%d: dial 102", i))
				time.Sleep(time.Minute)
			}
		},
		"because the log is full": func(t *testing.T, g *node) {
			time.Sleep(4 * deadAfter)
			g.makeRoom()
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
				owner, other := f.owner()
				owner.emit("dial 101")
				synctest.Wait()
				hang := make(chan struct{})
				other.line.hang.Store(&hang)
				for i := range 10 {
					owner.emit(fmt.Sprintf("k%d: dial 102", i))
				}
				owner.emit("bridge 101", "hangup 101", "hangup")
				purge(t, owner)
				owner.emit("last: dial 101")
				other.line.hang.Store(nil)
				close(hang)
				if err := other.ends(); err == nil || !strings.Contains(err.Error(), "purged") {
					t.Errorf("Run: %v", err)
				}
				if calls := other.open("u1", "").hello.Calls; len(calls) != 1 || calls[0].ID != "office:c1" {
					t.Errorf("it went on behind the hole and has %+v", calls)
				}
				other.kill()
				if calls := f.start().open("u1", "").hello.Calls; len(calls) != 1 || calls[0].ID != "office:last" {
					t.Errorf("started again it has %+v", calls)
				}
			})
		})
	}
}

// A writer that hangs between what the others have read and the purge does not take from a node what that has begun
// to read meanwhile.
func TestLateWriterDoesNotPurge(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		for i := range 50 {
			owner.emit(fmt.Sprintf("k%d: dial 102", i))
		}
		synctest.Wait()
		if err := owner.snapshot(t.Context(), resumeWindow); err != nil {
			t.Fatal(err)
		}
		if err := other.succeed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := owner.notePurge(t.Context(), owner.feed.head.Load()); !errors.Is(err, ErrConflict) {
			t.Errorf("the earlier writer: %v", err)
		}
	})
}

// What must not be done twice is known also when the log has been purged of it and everybody has started anew.
func TestSnapshotKeepsWhatMustNotBeDoneTwice(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.emit("dial 101", "bridge 101")
		synctest.Wait()
		done := Command{Action: "claim", Call: "office:c1", What: ClaimNotify, Client: "tab1", Done: true}
		for id, cmd := range map[string]Command{"done": done, "held": {Action: "claim", Call: "office:c1", What: ClaimResult, Client: "tab1"}} {
			cmd.ID = id
			wantCode(t, owner.do("u1", cmd), "")
		}
		for i := range 25 {
			owner.emit(fmt.Sprintf("k%d: dial 102", i))
			time.Sleep(time.Minute)
		}
		wantCode(t, owner.do("u1", Command{ID: "dialled", Action: "call", To: "102"}), "")
		named := lineEvents("named: dial 101")
		named[0].ID = "e1"
		if _, err := owner.Emit(t.Context(), "acme", "office", named); err != nil {
			t.Fatal(err)
		}
		owner.emit("last: dial 102")
		time.Sleep(2 * beatEvery) // the other says what it has read
		owner.makeRoom()
		synctest.Wait()
		if f.log.contains("dialled") || f.log.contains("named") {
			t.Error("the log is not purged")
		}
		third := f.start()
		owner.kill()
		other.kill()
		f.settle()

		done.ID, done.Client = "again", "tab2"
		wantCode(t, third.do("u1", done), CodeTaken)
		if claim, ok := third.feed.claim(claimKey{"acme", "u1", "office:c1", ClaimResult}); !ok || !claim.held || claim.client != "tab1" {
			t.Errorf("the claim that was not carried out: %+v, %t", claim, ok)
		}
		wantCode(t, third.do("u1", Command{ID: "dialled", Action: "call", To: "102"}), "")
		if n := len(third.pbx.dialed); n != 0 {
			t.Errorf("dialled %d times more", n)
		}
		if !third.feed.knowsEvent(eventKey{"acme", "office", "e1"}) {
			t.Error("an event would be taken twice")
		}

		time.Sleep(rememberIDs + 3*time.Minute)
		_ = f.store.List(t.Context(), keyHeard, func(v Value) error {
			t.Errorf("%s is left", v.Key)
			return nil
		})
		kept := 0
		_ = f.store.List(t.Context(), keyKnown, func(Value) error { kept++; return nil })
		if kept == 0 {
			t.Error("claims are not kept for long")
		}
	})
}

func TestLastWordIsKnownInWhateverOrderItComes(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	var s shard
	s.init()
	claim := func(second int, client string, held bool) *Record {
		return &Record{Account: "acme", At: at(second), Claim: &ClaimRecord{User: "u1", Call: "c", What: "notify", Client: client, Held: held}}
	}
	command := func(second int, reply *Reply) *Record {
		return &Record{Account: "acme", At: at(second), Command: &CommandRecord{User: "u1", ID: "1", Reply: reply}}
	}
	for _, r := range []*Record{
		claim(2, "tab2", true), claim(1, "tab1", true), command(1, &Reply{OK: true}), command(1, nil),
	} {
		s.restoreRecord(r)
	}
	key := claimKey{"acme", "u1", "c", "notify"}
	if got := s.claims[key]; got.client != "tab2" {
		t.Errorf("%+v", got)
	}
	if got := s.commands[commandKey{"acme", "u1", "1"}]; got.reply == nil {
		t.Error("a command is not known to be done")
	}
	s.restoreRecord(claim(3, "tab3", false))
	s.restoreRecord(claim(4, "tab2", true)) // of another owner, by another clock
	if got := s.claims[key]; got.client != "tab3" || got.held {
		t.Errorf("%+v", got)
	}
}

// The version before kept neither what is known nor how far the log is purged.
func TestSnapshotOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{data: map[string]Value{
			"snapshot":       {Data: []byte(`{"epoch":"e1","seq":12,"generation":"d1","forgotten":{"seq":0,"index":0}}`), Rev: 1},
			"users.d1.0":     {Key: "users.d1.0", Data: []byte(`{"account":"acme","user":"u1","last":{"seq":11,"index":0}}` + "\n")},
			"users.before.0": {Key: "users.before.0", Data: []byte("not of this snapshot\n")},
		}}
		log := newMemLog()
		log.seq = 11
		log.entries = []Entry{{Seq: 9, Data: []byte(entryHead)}, {Seq: 12, Data: []byte(entryHead)}}
		b := begin(t, log, store)
		defer b.stop()
		cursor := Cursor{"e1", Position{Seq: 11}}.String()
		if hello := b.open("u1", cursor).hello; !hello.Resumed {
			t.Errorf("%+v", hello)
		}
	})
}
