package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// spoil has the next append that holds a text lose its answer, and not land yet: it does when land is called.
func (l *memLog) spoil(t *testing.T, text string) (land func()) {
	var late Entry
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onAppend = func(e Entry) error {
		if !strings.Contains(string(e.Data), text) {
			return nil
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		late, l.onAppend = e, nil
		late.Data = append([]byte(nil), e.Data...)
		return errCut
	}
	return func() {
		l.mu.Lock()
		e, last := late, l.last(late.Partition)
		l.mu.Unlock()
		if _, err := l.Append(t.Context(), e, last); err != nil {
			t.Error(err)
		}
	}
}

func TestAppendThatLandsJustBeforeTheFenceIsNotRepeated(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		land := f.log.spoil(t, "call.dial")
		restore := func() {}
		f.log.mu.Lock()
		f.log.onLast = func() {
			land()
			restore = f.usurp(owner, other, 0)
		}
		f.log.mu.Unlock()
		owner.emit("dial 101")
		restore()
		if n := f.log.records(); n != 3 { // with two fences
			t.Errorf("%d records", n)
		}
	})
}

func TestRequestThatLandedWithAGroupIsNotAppendedAgainWithoutIt(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		o := b.seats[0].owner.Load()
		b.emit("first: dial 101")
		land := b.log.spoil(t, "claim")
		b.log.mu.Lock()
		b.log.maxEntry = 1000
		fails := b.log.onAppend
		b.log.onAppend = func(e Entry) error {
			if strings.Contains(string(e.Data), "command") { // others wait meanwhile, and come together
				time.Sleep(time.Second)
				b.log.mu.Lock()
				defer b.log.mu.Unlock()
				b.log.onAppend = fails
			}
			return nil
		}
		b.log.mu.Unlock()
		var work sync.WaitGroup
		work.Go(func() {
			if err := recordCommand(t.Context(), o, Command{Account: "acme", User: "u1", ID: "k1"}, nil); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		var size atomic.Int32
		size.Store(10)
		for range 2 {
			work.Go(func() {
				err := o.submit(t.Context(), func(d *draft) error {
					d.record(&Record{Account: "acme", Claim: &ClaimRecord{User: "u1", Call: strings.Repeat("c", int(size.Load()))}})
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		time.Sleep(time.Second + appendPause/2) // the answer is lost, and the owner about to try again
		size.Store(600)                         // and has room for one of them now
		b.log.mu.Lock()
		b.log.onAppend = func(Entry) error {
			b.log.mu.Lock()
			b.log.onAppend = nil
			b.log.mu.Unlock()
			land()
			return nil
		}
		b.log.mu.Unlock()
		work.Wait()
		if n := b.log.records(); n != 4 {
			t.Errorf("%d records", n)
		}
	})
}

func TestAppendWaitsBeforeItIsTriedAgain(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		var late Entry
		tries := 0
		b.log.mu.Lock()
		b.log.onAppend = func(e Entry) error { // it is under way for half a second, and the log refuses all others meanwhile
			if tries++; tries > 1 {
				return ErrConflict
			}
			b.log.mu.Lock()
			defer b.log.mu.Unlock()
			late = e
			late.Data = append([]byte(nil), e.Data...)
			return errCut
		}
		b.log.mu.Unlock()
		time.AfterFunc(500*time.Millisecond, func() {
			b.log.mu.Lock()
			e := late
			b.log.onAppend = nil
			b.log.mu.Unlock()
			if _, err := b.log.Append(t.Context(), e, 0); err != nil {
				t.Error(err)
			}
		})
		b.emit("dial 101")
		if n := b.log.records(); n != 1 {
			t.Errorf("%d records", n)
		}
	})
}

func TestTakeOverDoesNotSpinWhileAnAppendIsUnderWay(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		fences := 0
		f.log.mu.Lock()
		f.log.onAppend = func(Entry) error {
			if fences++; fences < 6 {
				return ErrConflict
			}
			return nil
		}
		f.log.mu.Unlock()
		begun := time.Now()
		owner.stop()
		other.send("dial 101")
		if took := time.Since(begun); took < time.Second || took > takeOver {
			t.Errorf("%d fences in %v", fences, took)
		}
	})
}

func TestOwnerThatCannotBeginLeavesThePartitionToAnother(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		other.line.deaf.Store(true)
		owner.stop()
		if took := f.start().send("dial 101"); took > (takeTries+1)*(takeTime+takePause) {
			t.Errorf("after %v", took)
		}
	})
}

func TestEventsThatNobodyWaitsForAreNotSent(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		frozen := make(chan struct{})
		f.net.mu.Lock()
		owner.peers.frozen = frozen
		f.net.mu.Unlock()
		before := f.log.records()
		var work sync.WaitGroup
		for i := range 20 {
			work.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := other.Emit(ctx, "acme", "office", lineEvents(fmt.Sprintf("k%d: dial 101", i)))
				if CodeOf(err) != CodeUnavailable {
					t.Error(err)
				}
			})
			synctest.Wait() // the first are on their way, the others wait
		}
		work.Wait()
		time.Sleep(routeTime) // until the senders give up what is on its way
		f.net.mu.Lock()
		owner.peers.frozen = nil
		f.net.mu.Unlock()
		close(frozen)
		time.Sleep(routeTime)
		if n := f.log.records() - before; n > postRequests {
			t.Errorf("%d events that nobody waited for are in the log", n)
		}
	})
}

func TestWhatWaitsForASlowNodeIsBounded(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		frozen := make(chan struct{})
		f.net.mu.Lock()
		owner.peers.frozen = frozen
		f.net.mu.Unlock()
		big := lineEvents("big: dial 101")
		big[0].Line = strings.Repeat("1", postBytes)
		begun := time.Now()
		var mu sync.Mutex
		atOnce := 0
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() {
				_, err := other.Emit(t.Context(), "acme", "office", big)
				if CodeOf(err) != CodeUnavailable {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(begun) < time.Second {
					atOnce++
				}
			})
		}
		work.Wait()
		if want := 20 - postRequests - postRoom/postBytes; atOnce != want {
			t.Errorf("%d of 20 were refused at once, want %d", atOnce, want)
		}
		f.net.mu.Lock()
		owner.peers.frozen = nil
		f.net.mu.Unlock()
		close(frozen)
	})
}

func TestCallThatGoesOnAfterItsEndIsNotForgotten(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("bridge 101") // its dial does not come, and it is ended
		time.Sleep(undialledLife + 2*housekeeping)
		b.emit("dial 101")
		for range 5 {
			time.Sleep(6 * time.Hour)
			b.emit("hold 101", "unhold 101")
		}
		if v, ok := b.view("c1", "u1"); !ok || v.State == Ended {
			t.Errorf("%v, %+v", ok, v)
		}
		b.emit("hangup")
		time.Sleep(rememberCalls - time.Hour)
		if _, ok := b.view("c1", "u1"); !ok {
			t.Error("it is forgotten before its time")
		}
		time.Sleep(2 * time.Hour)
		if _, ok := b.view("c1", "u1"); ok {
			t.Error("it is not forgotten")
		}
	})
}

func TestClaimCarriedOutWhoseAnswerCameLateIsKept(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 101")
		synctest.Wait()
		wantCode(t, b.do("u1", claimOf("1", "tab1")), "")
		b.log.mu.Lock()
		b.log.onAppend = func(Entry) error {
			time.Sleep(commandTimeout + time.Second)
			return nil
		}
		b.log.mu.Unlock()
		done := claimOf("2", "tab1")
		done.Done = true
		wantCode(t, b.do("u1", done), CodeUnavailable)
		b.ClientGone("acme", "u1", "tab1")
		time.Sleep(time.Minute)
		wantCode(t, b.do("u1", claimOf("3", "tab2")), CodeTaken)
	})
}

func TestWatchThatBeginsAnewForgetsNoNewerLease(t *testing.T) {
	t.Parallel()
	c := newCluster("n1", newSharedStore(), 2, slog.New(slog.DiscardHandler), nil)
	c.grant(0, lease{"n1", 7})
	c.grant(1, lease{"n2", 4})
	listed := map[string]Value{
		keyLease + "0": {Key: keyLease + "0", Data: []byte(`{"node":"n2"}`), Rev: 3},
		keyLease + "1": {Key: keyLease + "1", Data: []byte(`{"node":"n3"}`), Rev: 5},
	}
	c.begin(listed, 5) // before the lease 7 was written
	if c.leases[0] != (lease{"n1", 7}) || c.leases[1] != (lease{"n3", 5}) {
		t.Errorf("%v", c.leases)
	}
	c.begin(listed, 7) // and now the store has lost everything
	if c.leases[0] != (lease{"n2", 3}) || c.leases[1] != (lease{"n3", 5}) {
		t.Errorf("%v", c.leases)
	}
	if c.begin(nil, 7); c.leases[0] != (lease{}) {
		t.Errorf("%v", c.leases)
	}
}

func TestEveryNodeForgetsWhenItReadWhat(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, _ := f.owner()
		for i := range 300 {
			owner.emit(fmt.Sprintf("k%d: dial 101", i), fmt.Sprintf("k%d: hangup", i))
			time.Sleep(timelineStep)
		}
		for _, n := range f.nodes {
			n.feed.times.mu.Lock()
			if got, most := len(n.feed.times.marks), int((resumeWindow+2*time.Minute)/timelineStep); got > most {
				t.Errorf("%s has %d marks, more than %d", n.name, got, most)
			}
			n.feed.times.mu.Unlock()
		}
	})
}
