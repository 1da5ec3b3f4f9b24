// Package gatewaytest has a conformance suite for each contract of package gateway, which every
// implementation runs. A suite opens all that it needs through a function that it is given, closes it, and
// opens it again where it kept its data.
package gatewaytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// patience bounds every wait of the suites; only a failing test uses it up.
const patience = 30 * time.Second

// OpenLog opens the log that is kept at dir, made anew if there is none, and returns it with what closes
// it. It may be called for the same dir again once that has returned. It fails the test itself.
type OpenLog func(t *testing.T, dir string) (l gateway.Log, closeLog func())

// Log checks an implementation of gateway.Log. Run it once with one partition and once with several.
func Log(t *testing.T, open OpenLog) {
	for name, test := range map[string]func(*testing.T, *logBench){
		"AppendAfterLast":              testAppendAfterLast,
		"AppendConflict":               testAppendConflict,
		"AppendRaceHasOneWinner":       testAppendRaceHasOneWinner,
		"AppendSizes":                  testAppendSizes,
		"AppendLostAnswer":             testAppendLostAnswer,
		"Info":                         testLogInfo,
		"PartitionsAreApart":           testPartitionsAreApart,
		"PartitionUnknown":             testPartitionUnknown,
		"PurgeLeavesLast":              testPurgeLeavesLast,
		"PurgeOfOnePartition":          testPurgeOfOnePartition,
		"ReopenKeepsEverything":        testReopenKeepsEverything,
		"ReopenAfterPurge":             testReopenAfterPurge,
		"TailEndsWithItsContext":       testTailEndsWithItsContext,
		"TailEndsWithItsFunction":      testTailEndsWithItsFunction,
		"TailFromAfter":                testTailFromAfter,
		"TailHasHistoryThenLive":       testTailHasHistoryThenLive,
		"TailsAtOnceSeeTheSame":        testTailsAtOnceSeeTheSame,
		"TailWaitsForFutureSequence":   testTailWaitsForFutureSequence,
		"TailPassesOverPurged":         testTailPassesOverPurged,
		"TailOfSlowReaderLosesNothing": testTailOfSlowReader,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &logBench{t: t, open: open, dir: t.TempDir()}
			b.reopen()
			t.Cleanup(func() { b.closeLog() })
			test(t, b)
		})
	}
}

// logBench is one test's log and what it has appended.
type logBench struct {
	t        *testing.T
	open     OpenLog
	dir      string
	log      gateway.Log
	closeLog func()
	last     map[int]uint64
	entries  []gateway.Entry
}

func (b *logBench) reopen() {
	b.t.Helper()
	if b.closeLog != nil {
		b.closeLog()
	}
	b.closeLog = func() {}
	b.log, b.closeLog = b.open(b.t, b.dir)
	if b.last == nil {
		b.last = make(map[int]uint64)
	}
}

func (b *logBench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *logBench) append(partition int, id string, data []byte) gateway.Entry {
	b.t.Helper()
	e := gateway.Entry{Partition: partition, ID: id, Data: bytes.Clone(data)}
	seq, err := b.log.Append(b.ctx(), e, b.last[partition])
	clear(e.Data) // it is the writer's again: what the log has not copied is spoiled
	e.Data = data
	if err != nil {
		b.t.Fatalf("Append(%q after %d): %v", id, b.last[partition], err)
	}
	for _, old := range b.entries {
		if seq <= old.Seq {
			b.t.Fatalf("Append(%q) = %d, but there is an entry %d", id, seq, old.Seq)
		}
	}
	e.Seq, b.last[partition] = seq, seq
	b.entries = append(b.entries, e)
	return e
}

// fill appends n entries, to all partitions in turn.
func (b *logBench) fill(n int) []gateway.Entry {
	b.t.Helper()
	for range n {
		i := len(b.entries)
		b.append(i%b.log.Info().Partitions, fmt.Sprintf("id-%d", i), fmt.Appendf(nil, "data of %d", i))
	}
	return b.entries[len(b.entries)-n:]
}

func (b *logBench) wantLast(partition int, want uint64) {
	b.t.Helper()
	if got, err := b.log.Last(b.ctx(), partition); err != nil || got != want {
		b.t.Fatalf("Last(%d) = %d, %v, want %d", partition, got, err, want)
	}
}

// read returns the entries after a sequence up to and including until.
func (b *logBench) read(after, until uint64) []gateway.Entry {
	b.t.Helper()
	var got []gateway.Entry
	err := b.log.Tail(b.ctx(), after, func(e gateway.Entry) error {
		e.Data = bytes.Clone(e.Data)
		got = append(got, e)
		if e.Seq >= until {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		b.t.Fatalf("Tail(%d) up to %d: %v after %d entries", after, until, err, len(got))
	}
	return got
}

var errEnough = errors.New("seen enough")

func wantEntries(t *testing.T, got, want []gateway.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d entries %v, want %d %v", len(got), seqs(got), len(want), seqs(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Seq != w.Seq || g.Partition != w.Partition || g.ID != w.ID || !bytes.Equal(g.Data, w.Data) {
			t.Fatalf("entry %d is seq %d, partition %d, id %q, %d bytes; want seq %d, partition %d, id %q, %d bytes",
				i, g.Seq, g.Partition, g.ID, len(g.Data), w.Seq, w.Partition, w.ID, len(w.Data))
		}
		if age := time.Since(g.Time); age < -time.Minute || age > time.Hour {
			t.Fatalf("entry %d has the time %v", i, g.Time)
		}
	}
}

func seqs(entries []gateway.Entry) []uint64 {
	s := make([]uint64, len(entries))
	for i, e := range entries {
		s[i] = e.Seq
	}
	return s
}

// after returns the entries with a sequence above seq.
func after(entries []gateway.Entry, seq uint64) []gateway.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e gateway.Entry) bool { return e.Seq <= seq })
}

func testAppendAfterLast(t *testing.T, b *logBench) {
	b.wantLast(0, 0)
	first := b.append(0, "a", []byte("one"))
	if first.Seq == 0 {
		t.Fatal("the first sequence is 0")
	}
	b.wantLast(0, first.Seq)
	second := b.append(0, "b", []byte("two"))
	b.wantLast(0, second.Seq)
}

func testAppendConflict(t *testing.T, b *logBench) {
	first := b.append(0, "a", nil)
	second := b.append(0, "b", nil)
	for _, wrong := range []uint64{0, first.Seq, second.Seq + 1, second.Seq + 1000} {
		_, err := b.log.Append(b.ctx(), gateway.Entry{ID: "wrong"}, wrong)
		if !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("Append after %d, the last being %d: %v, want ErrConflict", wrong, second.Seq, err)
		}
	}
	b.wantLast(0, second.Seq)
	third := b.append(0, "c", nil)
	wantEntries(t, b.read(0, third.Seq), b.entries)
}

func testAppendRaceHasOneWinner(t *testing.T, b *logBench) {
	const writers, rounds = 4, 25
	var last uint64
	for round := range rounds {
		won := make(chan uint64, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				seq, err := b.log.Append(b.ctx(), gateway.Entry{ID: fmt.Sprintf("%d-%d", round, w)}, last)
				if err == nil {
					won <- seq
				} else if !errors.Is(err, gateway.ErrConflict) {
					t.Errorf("a losing Append: %v, want ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of %d appends after %d won", len(won), writers, last)
		}
		last = <-won
	}
	if got := b.read(0, last); len(got) != rounds {
		t.Fatalf("%d entries after %d rounds", len(got), rounds)
	}
}

func testAppendSizes(t *testing.T, b *logBench) {
	most := b.log.Info().MaxEntry
	big := make([]byte, most+1)
	for i := range big {
		big[i] = byte(i * 7)
	}
	b.append(0, "empty", nil)
	b.append(0, "an id with: spaces, \r\n, ünïcode and %41", []byte{0, '\r', '\n', 255})
	largest := b.append(0, "largest", big[:most])
	_, err := b.log.Append(b.ctx(), gateway.Entry{ID: "too large", Data: big}, largest.Seq)
	if err == nil || errors.Is(err, gateway.ErrConflict) || errors.Is(err, gateway.ErrLogFull) {
		t.Errorf("Append of %d bytes: %v, want another error", len(big), err)
	}
	b.wantLast(0, largest.Seq)
	wantEntries(t, b.read(0, largest.Seq), b.entries)
}

// testAppendLostAnswer plays the writer that does not know whether it has written.
func testAppendLostAnswer(t *testing.T, b *logBench) {
	b.fill(b.log.Info().Partitions)
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	_, err := b.log.Append(ctx, gateway.Entry{ID: "lost", Data: []byte("x")}, b.last[0])
	if err == nil || errors.Is(err, gateway.ErrConflict) || errors.Is(err, gateway.ErrLogFull) {
		t.Fatalf("Append with an ended context: %v, want another error", err)
	}

	// The next append either comes after it or shows by its conflict that it was written.
	seq, err := b.log.Append(b.ctx(), gateway.Entry{ID: "next"}, b.last[0])
	written := errors.Is(err, gateway.ErrConflict)
	if written {
		seq, err = b.log.Last(b.ctx(), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	found := slices.ContainsFunc(b.read(0, seq), func(e gateway.Entry) bool { return e.ID == "lost" && e.Partition == 0 })
	if found != written {
		t.Errorf("lost entry found by Tail: %v, shown by a conflict: %v", found, written)
	}
}

func testLogInfo(t *testing.T, b *logBench) {
	info := b.log.Info()
	if !regexp.MustCompile(`^[0-9a-z]{1,32}$`).MatchString(info.Epoch) {
		t.Errorf("epoch %q", info.Epoch)
	}
	if info.Partitions < 1 || info.MaxEntry < 1<<20 {
		t.Errorf("%d partitions, entries of %d bytes", info.Partitions, info.MaxEntry)
	}
	b.fill(3)
	if again := b.log.Info(); again != info {
		t.Errorf("Info was %+v and is %+v", info, again)
	}
	b.reopen()
	if again := b.log.Info(); again != info {
		t.Errorf("Info was %+v and is %+v after a clean stop", info, again)
	}
	other, closeOther := b.open(t, t.TempDir())
	defer closeOther()
	if other.Info().Epoch == info.Epoch {
		t.Error("two logs have the same epoch")
	}
}

func testPartitionsAreApart(t *testing.T, b *logBench) {
	if b.log.Info().Partitions == 1 {
		return // nothing to part
	}
	first := b.append(0, "a", nil)
	b.wantLast(1, 0)
	second := b.append(1, "b", nil)
	b.wantLast(0, first.Seq)
	b.wantLast(1, second.Seq)
	third := b.append(0, "c", nil)
	wantEntries(t, b.read(0, third.Seq), b.entries)
}

func testPartitionUnknown(t *testing.T, b *logBench) {
	for _, p := range []int{-1, b.log.Info().Partitions} {
		if _, err := b.log.Append(b.ctx(), gateway.Entry{Partition: p}, 0); err == nil {
			t.Errorf("Append to partition %d was accepted", p)
		}
		if _, err := b.log.Last(b.ctx(), p); err == nil {
			t.Errorf("Last of partition %d was answered", p)
		}
		if err := b.log.Purge(b.ctx(), p, 1); err == nil {
			t.Errorf("Purge of partition %d was accepted", p)
		}
	}
}

func testPurgeLeavesLast(t *testing.T, b *logBench) {
	if err := b.log.Purge(b.ctx(), 0, 5); err != nil {
		t.Fatalf("Purge of an empty partition: %v", err)
	}
	for i := range 10 {
		b.append(0, fmt.Sprint(i), nil)
	}
	middle, last := b.entries[4], b.entries[9]
	for range 2 {
		if err := b.log.Purge(b.ctx(), 0, middle.Seq); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, b.read(0, last.Seq), b.entries[4:])
	}
	if err := b.log.Purge(b.ctx(), 0, 0); err != nil {
		t.Fatalf("Purge before 0: %v", err)
	}
	wantEntries(t, b.read(0, last.Seq), b.entries[4:])
	for range 2 {
		if err := b.log.Purge(b.ctx(), 0, last.Seq+1000); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, b.read(0, last.Seq), b.entries[9:])
		b.wantLast(0, last.Seq)
	}
	if _, err := b.log.Append(b.ctx(), gateway.Entry{ID: "wrong"}, 0); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("Append after 0 to a purged partition: %v, want ErrConflict", err)
	}
	next := b.append(0, "next", nil)
	wantEntries(t, b.read(0, next.Seq), b.entries[9:])
}

func testPurgeOfOnePartition(t *testing.T, b *logBench) {
	partitions := b.log.Info().Partitions
	all := b.fill(10 * partitions)
	if err := b.log.Purge(b.ctx(), 0, all[len(all)-1].Seq+1); err != nil {
		t.Fatal(err)
	}
	var want []gateway.Entry
	for _, e := range all {
		if e.Partition != 0 || e.Seq == b.last[0] {
			want = append(want, e)
		}
	}
	wantEntries(t, b.read(0, all[len(all)-1].Seq), want)
}

func testReopenKeepsEverything(t *testing.T, b *logBench) {
	b.fill(50)
	b.reopen()
	for p, last := range b.last {
		b.wantLast(p, last)
	}
	next := b.append(0, "next", nil)
	wantEntries(t, b.read(0, next.Seq), b.entries)
}

func testReopenAfterPurge(t *testing.T, b *logBench) {
	b.fill(20)
	for p, last := range b.last {
		if err := b.log.Purge(b.ctx(), p, last); err != nil {
			t.Fatal(err)
		}
	}
	b.reopen()
	for p, last := range b.last {
		b.wantLast(p, last)
	}
	next := b.append(0, "next", nil) // checks that its sequence is above all others
	if _, err := b.log.Last(b.ctx(), next.Partition); err != nil {
		t.Fatal(err)
	}
}

func testTailEndsWithItsContext(t *testing.T, b *logBench) {
	b.fill(3)
	cause, cancel := context.WithCancel(b.ctx())
	seen := 0
	err := b.log.Tail(cause, 0, func(gateway.Entry) error {
		if seen++; seen == 3 {
			cancel() // while it waits for more, or just before
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || seen != 3 {
		t.Errorf("Tail = %v after %d entries, want Canceled after 3", err, seen)
	}
	if err := b.log.Tail(cause, 0, func(gateway.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Tail with an ended context: %v", err)
	}
}

func testTailEndsWithItsFunction(t *testing.T, b *logBench) {
	b.fill(10)
	seen := 0
	err := b.log.Tail(b.ctx(), 0, func(gateway.Entry) error {
		if seen++; seen == 4 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || seen != 4 {
		t.Errorf("Tail = %v after %d entries, want fn's error after 4", err, seen)
	}
}

func testTailFromAfter(t *testing.T, b *logBench) {
	all := b.fill(20)
	last := all[19].Seq
	for _, e := range all[:19] {
		wantEntries(t, b.read(e.Seq, last), after(all, e.Seq))
	}
}

func testTailHasHistoryThenLive(t *testing.T, b *logBench) {
	b.fill(100)
	got := make(chan gateway.Entry)
	ctx, cancel := context.WithCancel(b.ctx())
	ended := make(chan error, 1)
	go func() {
		ended <- b.log.Tail(ctx, 0, func(e gateway.Entry) error {
			e.Data = bytes.Clone(e.Data)
			select {
			case got <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() {
		cancel()
		<-ended
	}()
	next := func() gateway.Entry {
		select {
		case e := <-got:
			return e
		case err := <-ended:
			ended <- err
			t.Fatalf("Tail ended: %v", err)
		case <-ctx.Done():
			t.Fatal("no entry came")
		}
		return gateway.Entry{}
	}
	for i := range 100 {
		wantEntries(t, []gateway.Entry{next()}, b.entries[i:i+1])
	}
	for range 100 {
		want := b.fill(1)
		wantEntries(t, []gateway.Entry{next()}, want)
	}
}

// testTailsAtOnceSeeTheSame starts tails at all places while a writer appends.
func testTailsAtOnceSeeTheSame(t *testing.T, b *logBench) {
	const tails, entries = 4, 400
	history := b.fill(entries / 2)
	var wg sync.WaitGroup
	read := make([][]gateway.Entry, tails)
	for i := range tails {
		wg.Go(func() {
			err := b.log.Tail(b.ctx(), history[i*10].Seq, func(e gateway.Entry) error {
				e.Data = bytes.Clone(e.Data)
				read[i] = append(read[i], e)
				if e.ID == "the end" {
					return errEnough
				}
				return nil
			})
			if !errors.Is(err, errEnough) {
				t.Errorf("tail %d: %v", i, err)
			}
		})
	}
	b.fill(entries / 2)
	b.append(0, "the end", nil)
	wg.Wait()
	for i := range tails {
		wantEntries(t, read[i], after(b.entries, history[i*10].Seq))
	}
}

func testTailWaitsForFutureSequence(t *testing.T, b *logBench) {
	all := b.fill(5)
	from := all[4].Seq + 3
	read := make(chan []gateway.Entry, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		var got []gateway.Entry
		_ = b.log.Tail(b.ctx(), from, func(e gateway.Entry) error {
			got = append(got, gateway.Entry{Seq: e.Seq})
			return errEnough
		})
		read <- got
	}()
	<-started
	for b.entries[len(b.entries)-1].Seq <= from {
		b.fill(1)
	}
	want := after(b.entries, from)
	select {
	case got := <-read:
		if len(got) != 1 || got[0].Seq != want[0].Seq {
			t.Errorf("Tail after %d begins with %v, want %d", from, seqs(got), want[0].Seq)
		}
	case <-b.ctx().Done():
		t.Fatal("the entry did not come")
	}
}

func testTailPassesOverPurged(t *testing.T, b *logBench) {
	for i := range 30 {
		b.append(0, fmt.Sprint(i), nil)
	}
	last := b.entries[29].Seq
	if err := b.log.Purge(b.ctx(), 0, b.entries[20].Seq); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, b.read(b.entries[10].Seq, last), b.entries[20:])

	// A tail that has begun passes over what is purged in front of it, and never goes back.
	var got []gateway.Entry
	err := b.log.Tail(b.ctx(), 0, func(e gateway.Entry) error {
		if len(got) == 0 {
			if err := b.log.Purge(b.ctx(), 0, last); err != nil {
				return err
			}
		} else if e.Seq <= got[len(got)-1].Seq {
			t.Errorf("entry %d came after %d", e.Seq, got[len(got)-1].Seq)
		}
		got = append(got, e)
		if e.Seq == last {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("Tail = %v after %v", err, seqs(got))
	}
}

// testTailOfSlowReader gives one tail more to read than any buffer holds, while fn is stuck.
func testTailOfSlowReader(t *testing.T, b *logBench) {
	const entries = 120
	data := make([]byte, b.log.Info().MaxEntry/8)
	_, _ = rand.Read(data) // so that it stays as long, however a log may keep it
	stuck, free := make(chan struct{}), make(chan struct{})
	b.append(0, "first", nil)
	read := make(chan []gateway.Entry, 1)
	go func() {
		var got []gateway.Entry
		err := b.log.Tail(b.ctx(), 0, func(e gateway.Entry) error {
			if len(got) == 0 {
				close(stuck)
				<-free
			}
			got = append(got, gateway.Entry{Seq: e.Seq, Partition: e.Partition, ID: e.ID, Time: e.Time, Data: data[:len(e.Data)]})
			if len(got) == entries+1 {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Errorf("Tail = %v after %d entries", err, len(got))
		}
		read <- got
	}()
	<-stuck
	for i := range entries {
		b.append(0, fmt.Sprint(i), data)
	}
	close(free)
	wantEntries(t, <-read, b.entries)
}
