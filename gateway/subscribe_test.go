package gateway

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lateLog is a log whose tail comes late: while its gate is shut, nothing new passes.
type lateLog struct {
	*memLog
	gate chan struct{}
}

func (l lateLog) Tail(ctx context.Context, after uint64, fn func(Entry) error) error {
	return l.memLog.Tail(ctx, after, func(e Entry) error {
		select {
		case <-l.gate:
			return fn(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// inLateGateway runs a test on a gateway that has not yet read what cursor stands for: another node has written it.
func inLateGateway(t *testing.T, test func(t *testing.T, late *bundle, open func(), cursor string)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, gate := newMemLog(), make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		late := begin(t, lateLog{log, gate}, &memStore{})
		defer late.stop()
		defer open()
		writer := begin(t, log, &memStore{})
		defer writer.stop()
		tab := writer.open("u1", "")
		writer.emit("dial 101")
		tab.expect("dial ringing")
		test(t, late, open, tab.last)
	})
}

func TestResumeWaitsForANodeThatIsBehind(t *testing.T) {
	inLateGateway(t, func(t *testing.T, late *bundle, open func(), cursor string) {
		time.AfterFunc(catchUpTime/2, open)
		begun := time.Now()
		hello, stop, err := late.Subscribe("acme", "u1", cursor, func(Message) { t.Error("a message that the tab has had") })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		if !hello.Resumed || len(hello.Missed) != 0 || hello.Cursor != cursor || time.Since(begun) != catchUpTime/2 {
			t.Errorf("after %v: %+v", time.Since(begun), hello)
		}
	})
}

func TestNoResumeOnANodeThatStaysBehind(t *testing.T) {
	inLateGateway(t, func(t *testing.T, late *bundle, _ func(), cursor string) {
		_, _, err := late.Subscribe("acme", "u1", cursor, func(Message) {})
		if CodeOf(err) != CodeUnavailable {
			t.Errorf("%v: the tab would be reset, and told again what it knows", err)
		}
	})
}

// TestResumeFromBeforeThePartitionsFirstEntry: a tab that connected before anybody of its partition had a call has
// missed nothing of that which another node cannot bring.
func TestResumeFromBeforeThePartitionsFirstEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		for log.partitions = 2; partitionOf("acme", log.partitions) == 0; log.partitions++ {
		}
		data, err := encodeEntry(&Record{Fence: &FenceRecord{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), Entry{Data: data}, 0); err != nil {
			t.Fatal(err)
		}
		writer := begin(t, log, &memStore{})
		defer writer.stop()
		writer.emit("dial 101")
		other := begin(t, log, &memStore{})
		defer other.stop()
		synctest.Wait()
		hello, stop, err := other.Subscribe("acme", "u1", Cursor{log.epoch, Position{Index: lastIndex}}.String(), func(Message) {})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		if !hello.Resumed || len(hello.Missed) != 1 {
			t.Errorf("%+v", hello)
		}
	})
}

func TestCursorFromTheFutureIsNotWaitedFor(t *testing.T) {
	inLateGateway(t, func(t *testing.T, late *bundle, _ func(), cursor string) {
		c, err := ParseCursor(cursor)
		if err != nil {
			t.Fatal(err)
		}
		c.Seq += 1000
		begun := time.Now()
		hello, stop, err := late.Subscribe("acme", "u1", c.String(), func(Message) {})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		if hello.Reason != "future" || time.Since(begun) != 0 {
			t.Errorf("after %v: %+v", time.Since(begun), hello)
		}
	})
}

func TestCallsOfAnAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, newMemLog(), &memStore{})
		defer b.stop()
		b.emit("dial 101", "c2: dial 102")
		synctest.Wait()
		if live := b.LiveCalls("acme"); len(live) != 2 {
			t.Errorf("live are %+v", live)
		}
		b.emit("c2: hangup")
		synctest.Wait()
		live := b.LiveCalls("acme")
		if len(live) != 1 || live[0].ID != "office:c1" {
			t.Errorf("live are %+v", live)
		}
		if c, ok := b.Call("acme", "office:c2"); !ok || !c.Over() {
			t.Errorf("the call that is over: %+v", c)
		}
		if c, ok := b.Call("globex", "office:c1"); ok || len(b.LiveCalls("globex")) != 0 {
			t.Errorf("another account has %+v", c)
		}
	})
}
