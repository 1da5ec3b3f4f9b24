package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// silentLog fails the next calls of Last.
type silentLog struct {
	*memLog
	silent int
}

func (l *silentLog) Last(ctx context.Context, p int) (uint64, error) {
	if l.silent > 0 {
		l.silent--
		return 0, errors.New("no answer")
	}
	return l.memLog.Last(ctx, p)
}

func TestUnconfirmedAppendIsNotDoubledThoughTheLogIsSilentForAWhile(t *testing.T) {
	t.Parallel()
	for silent := range 3 {
		synctest.Test(t, func(t *testing.T) {
			log := &silentLog{memLog: newMemLog()}
			b := begin(t, log, &memStore{})
			defer b.stop()
			b.log = log.memLog
			b.emit("dial 101")
			log.mu.Lock()
			log.afterAll = func(Entry) error {
				log.afterAll, log.silent = nil, silent
				return errors.New("the answer was lost")
			}
			log.mu.Unlock()
			_, err := b.Emit(t.Context(), "acme", "office", lineEvents("bridge 101"))
			if n := log.records(); n != 2 {
				t.Errorf("silent %d times: %d records, %v", silent, n, err)
			}
			if err != nil && CodeOf(err) != CodeUnavailable {
				t.Errorf("silent %d times: %v", silent, err)
			}
		})
	}
}

func TestGroupThatGrewWhenFoldedAgainForgetsNobody(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		release := make(chan struct{})
		appends := 0
		b.log.mu.Lock()
		b.log.onAppend = func(e Entry) error {
			switch appends++; appends {
			case 1:
				<-release // others gather
			case 2: // half of what it is will fit when it is folded again
				b.log.maxEntry = len(e.Data) / 2
				return errors.New("no answer")
			}
			return nil
		}
		b.log.mu.Unlock()
		var wg sync.WaitGroup
		wg.Go(func() { b.emit("dial 101") })
		synctest.Wait()
		for i := range 50 {
			wg.Go(func() { b.emit(fmt.Sprintf("k%d: dial 101", i)) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if n := b.log.records(); n != 51 {
			t.Errorf("%d records", n)
		}
	})
}

func TestSilentLogRefusesAllWhoWaitAtOnce(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.log.mu.Lock()
		b.log.onAppend = func(Entry) error {
			time.Sleep(appendTimeout)
			return context.DeadlineExceeded
		}
		b.log.mu.Unlock()
		begun := time.Now()
		var wg sync.WaitGroup
		for i := range 20 { // one after another, so that they do not make one group
			wg.Go(func() {
				if _, err := b.Emit(t.Context(), "acme", "office", lineEvents(fmt.Sprintf("k%d: dial 101", i))); CodeOf(err) != CodeUnavailable {
					t.Errorf("post %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if took := time.Since(begun); took > (appendTries+1)*appendTimeout {
			t.Errorf("the last was answered after %v", took)
		}
	})
}

func TestEmitAfterTheEndIsRefusedAtOnce(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.stop()
		begun := time.Now()
		_, err := b.Emit(t.Context(), "acme", "office", lineEvents("dial 101"))
		if CodeOf(err) != CodeDraining || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestFullLogMakesRoomForItself(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.log.mu.Lock()
		b.log.onAppend = func(e Entry) error {
			b.log.mu.Lock()
			defer b.log.mu.Unlock()
			size := len(e.Data)
			for _, old := range b.log.entries {
				size += len(old.Data)
			}
			if size > 50_000 {
				return ErrLogFull
			}
			return nil
		}
		b.log.mu.Unlock()
		refused := 0
		for i := range 300 { // in five minutes, long before anything is too old to be kept
			if _, err := b.Emit(t.Context(), "acme", "office", lineEvents(fmt.Sprintf("k%d: dial 101", i), fmt.Sprintf("k%d: hangup", i))); err != nil {
				refused++
			}
			time.Sleep(time.Second)
		}
		if refused == 0 || refused > 10 {
			t.Errorf("%d of 300 refused", refused)
		}
	})
}

func TestCardThatALateEventTakesAwayIsNoGhost(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		boris := b.open("u2", "")
		events := lineEvents("dial 101", "dial 102", "hangup:no_answer")
		for i, second := range []int{0, 3, 2} { // the hangup was before Boris's telephone rang
			events[i].At = time.Now().Add(time.Duration(second) * time.Second)
		}
		for _, e := range events {
			if _, err := b.Emit(t.Context(), "acme", "office", []Event{e}); err != nil {
				t.Fatal(err)
			}
		}
		boris.expect("dial ringing", "hangup ended missed")
		if calls := b.open("u2", "").hello.Calls; len(calls) != 0 {
			t.Errorf("live for Boris: %+v", calls)
		}
	})
}

func TestBacklogIsNotTooOld(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		events := lineEvents("bridge 101", "dial 101")
		for i := range events { // from yesterday, and the bridge comes first
			events[i].At = time.Now().Add(-25*time.Hour - time.Duration(i)*time.Second)
			if _, err := b.Emit(t.Context(), "acme", "office", events[i:i+1]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * housekeeping)
		}
		s.expect("dial talking")
	})
}

func TestQuietNodeWritesNoSnapshots(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 101")
		time.Sleep(2 * snapshotEvery * housekeeping)
		synctest.Wait()
		b.store.mu.Lock()
		before := b.store.rev
		b.store.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		if before == 0 || b.store.rev != before {
			t.Errorf("%d writes, then %d more", before, b.store.rev-before)
		}
	})
}

// consult is an attended transfer: Anna talks with a customer in c1, asks Boris in c2, and hands over.
func consult(merge string) []Event {
	events := lineEvents("c1: dial 101", "c1: bridge 101", "c2: dial 102 dir=internal from=101", "c2: bridge 102", merge)
	last := "c1"
	if strings.HasPrefix(merge, "c1") {
		last = "c2"
	}
	events = append(events, lineEvents(last+": hangup 101", last+": hangup")...)
	for i := range events {
		events[i].ID = fmt.Sprint("e", i)
		events[i].At = time.Now().Add(time.Duration(i) * time.Second)
	}
	return events
}

func (b *bundle) view(call, user string) (v View, ok bool) {
	c, ok := b.feed.call("acme", "office:"+call)
	if !ok {
		return v, false
	}
	return c.For(user)
}

func TestMergeEndsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, merge := range []string{"c2: merge into=c1", "c1: merge into=c2"} {
		for seed := range uint64(20) {
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, newMemLog(), &memStore{})
				defer b.stop()
				events := consult(merge)
				if seed > 0 {
					r := rand.New(rand.NewPCG(seed, 0))
					r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				}
				for _, e := range events {
					if _, err := b.Emit(t.Context(), "acme", "office", []Event{e, e}); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				_, into, _ := strings.Cut(merge, "into=")
				v, ok := b.view(into, "u2")
				if !ok || v.State != Ended || *v.Outcome != Answered || v.PhoneRaw != "89991112233" || v.Direction != Inbound {
					data, _ := json.Marshal(v)
					t.Errorf("%s, order %d: Boris's card %s", merge, seed, data)
				}
			})
		}
	}
}

func TestSecondMergeWithoutIDsMovesItsCardsToo(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		for _, n := range []string{"1", "2"} {
			b.emit("a"+n+": dial 101", "b"+n+": dial 102", "a"+n+": merge into=b"+n)
			synctest.Wait()
			if v, ok := b.view("b"+n, "u1"); !ok || v.State != Ringing {
				t.Errorf("merge %s: Anna's card %+v %v", n, v, ok)
			}
		}
	})
}

func TestWhoAnsweredIsWhoTookItWhileItRang(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102", "bridge 101", "transfer 101 to=102", "bridge 102", "hangup")
		synctest.Wait()
		for user, want := range map[string]string{"u1": "Anna", "u2": "Boris"} {
			if v, _ := b.view("c1", user); v.AnsweredBy == nil || v.AnsweredBy.Name != want {
				t.Errorf("%s sees %+v", user, v.AnsweredBy)
			}
		}
		// Somebody answered before, and then the call rings at two: Anna takes it from Boris.
		b.emit("c2: dial 103", "c2: bridge 103", "c2: hangup 103", "c2: dial 101 102", "c2: bridge 101")
		synctest.Wait()
		if v, _ := b.view("c2", "u2"); v.AnsweredBy == nil || v.AnsweredBy.Name != "Anna" {
			t.Errorf("Boris sees %+v", v.AnsweredBy)
		}
	})
}

func TestClientThatIsBackKeepsItsClaim(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 101")
		synctest.Wait()
		claim := func(id, client string) Reply {
			return b.do("u1", Command{ID: id, Client: client, Action: "claim", Call: "office:c1", What: ClaimResult})
		}
		wantCode(t, claim("1", "tab1"), "")
		b.ClientGone("acme", "u1", "tab1")
		time.Sleep(time.Second)
		b.ClientHere("acme", "u1", "tab1")
		time.Sleep(time.Minute)
		wantCode(t, claim("2", "tab2"), CodeTaken)
	})
}
