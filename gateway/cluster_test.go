package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// takeOver is within which a partition has another owner after a kill (design §2).
const takeOver = 5 * time.Second

func TestKilledOwnerIsReplacedWithinFiveSeconds(t *testing.T) {
	inFleet(t, 4, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		s := other.open("u1", "")
		owner.emit("dial 101")
		owner.kill()
		if took := other.send("bridge 101"); took > takeOver {
			t.Errorf("taken over after %v", took)
		}
		s.expect("dial ringing", "bridge talking")
		time.Sleep(beatEvery)
		for _, p := range other.Partitions() {
			if !p.Mine || p.Owner != other.name || p.Generation == 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestOwnerThatLeavesHandsOverAtOnce(t *testing.T) {
	inFleet(t, 4, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.emit("dial 101")
		owner.stop()
		if took := other.send("bridge 101"); took > 100*time.Millisecond {
			t.Errorf("taken over after %v", took)
		}
		if _, err := owner.Emit(t.Context(), "acme", "office", lineEvents("hangup")); CodeOf(err) != CodeDraining {
			t.Errorf("who has left says %v", err)
		}
	})
}

// Who takes over has the most at once, and who leaves the fewest: unless it says before that it leaves, that looks like
// work to share, and it is handed some back.
func TestNodeThatLeavesSaysSoBeforeItHandsOver(t *testing.T) {
	inFleet(t, 4, 2, func(t *testing.T, f *fleet) {
		owner, _ := f.owner()
		handed, moved := owner.own(), map[string]bool{}
		f.shared.mu.Lock()
		before := len(f.shared.log)
		f.shared.mu.Unlock()
		owner.stop()
		f.shared.mu.Lock()
		defer f.shared.mu.Unlock()
		said := false
		for _, v := range f.shared.log[before:] {
			var h heartbeat
			var l lease
			switch {
			case v.Key == keyNode+owner.name && v.Data != nil:
				if err := json.Unmarshal(v.Data, &h); err != nil {
					t.Error(err)
				}
				said = !h.Ready
			case strings.HasPrefix(v.Key, keyLease):
				if err := json.Unmarshal(v.Data, &l); err != nil {
					t.Error(err)
				}
				if moved[v.Key] = true; l.Node == owner.name {
					t.Errorf("%s is handed back", v.Key)
				}
				if !said {
					t.Errorf("%s is handed over by a node that does not say that it leaves", v.Key)
				}
			}
		}
		if len(moved) != handed {
			t.Errorf("%d of %d were handed over", len(moved), handed)
		}
	})
}

func TestEmitWhileTheOwnerLeavesIsNotRefused(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		var work sync.WaitGroup
		end := make(chan struct{})
		for i := range 4 {
			n := []*node{owner, other}[i%2]
			work.Go(func() {
				for j := range 1000 {
					select {
					case <-end:
						return
					case <-time.After(time.Millisecond):
					}
					if _, err := n.Emit(t.Context(), "acme", "office", lineEvents(fmt.Sprintf("k%d-%d: dial 101", i, j))); err != nil && (n == other || CodeOf(err) != CodeDraining) {
						t.Errorf("on %s: %v", n.name, err)
						return
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		owner.stop()
		time.Sleep(100 * time.Millisecond)
		close(end)
		work.Wait()
	})
}

func TestJoiningNodesGetTheirShareOneByOne(t *testing.T) {
	inFleet(t, 8, 1, func(t *testing.T, f *fleet) {
		first := f.nodes[0]
		f.log.mu.Lock()
		f.log.onAppend = func(Entry) error { // a take-over takes its time
			time.Sleep(50 * time.Millisecond)
			return nil
		}
		f.log.mu.Unlock()
		for want := 2; want <= 3; want++ {
			f.start()
			for range 1000 {
				served := 0
				for _, n := range f.nodes {
					served += n.own()
				}
				if served < 7 {
					t.Fatalf("%d of 8 partitions are served", served)
				}
				time.Sleep(10 * time.Millisecond)
			}
			for _, n := range f.nodes {
				if own := n.own(); own > (8+want-1)/want || own < 8/want {
					t.Errorf("%s owns %d of 8, with %d nodes", n.name, own, want)
				}
			}
		}
		generations := first.Partitions()
		time.Sleep(time.Minute)
		if now := first.Partitions(); !slices.Equal(now, generations) {
			t.Errorf("there is no rest: %v, then %v", generations, now)
		}
		first.stop()
		time.Sleep(100 * time.Millisecond)
		for _, n := range f.nodes {
			if own := n.own(); own != 4 {
				t.Errorf("%s was left %d of 8", n.name, own)
			}
		}
	})
}

func TestNodeThatCannotRenewStepsDownBeforeItIsReplaced(t *testing.T) {
	inFleet(t, 4, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		p := owner.partition("acme")
		owner.shared.sever()
		cut := time.Now()
		var down, up time.Duration
		for up == 0 && time.Since(cut) < 10*time.Second {
			if down == 0 && !owner.Partitions()[p].Mine {
				down = time.Since(cut)
			}
			if other.Partitions()[p].Mine {
				up = time.Since(cut)
			}
			time.Sleep(time.Millisecond)
		}
		if down == 0 || up == 0 || down >= up || up > takeOver {
			t.Errorf("down after %v, the other up after %v", down, up)
		}
		if other.own() != 4 {
			t.Errorf("the other owns %d of 4", other.own())
		}
		other.emit("dial 101")
		owner.shared.mend() // it comes back and gets a share again
		time.Sleep(takeOver)
		f.settle()
		for i, n := range f.nodes {
			n.emit(fmt.Sprintf("again%d: dial 101", i))
		}
	})
}

func TestStoreThatIsAwayForAllComesBackToTheSameOwners(t *testing.T) {
	inFleet(t, 4, 2, func(t *testing.T, f *fleet) {
		f.shared.breaks(errStore)
		time.Sleep(10 * time.Second)
		for _, n := range f.nodes {
			if n.own() != 0 {
				t.Errorf("%s owns %d partitions, and nobody knows who is alive", n.name, n.own())
			}
		}
		f.shared.breaks(nil)
		time.Sleep(takeOver)
		f.settle()
		f.nodes[0].emit("dial 101")
		f.nodes[1].emit("bridge 101")
	})
}

func TestSharedStoreThatLostEverythingIsFilledAgain(t *testing.T) {
	inFleet(t, 4, 2, func(t *testing.T, f *fleet) {
		f.shared.breaks(errStore)
		f.shared.mu.Lock()
		f.shared.memStore.mu.Lock()
		f.shared.data, f.shared.rev = nil, 0 // the revisions begin anew, lower than any lease has been
		f.shared.memStore.mu.Unlock()
		f.shared.mu.Unlock()
		f.shared.breaks(nil)
		time.Sleep(takeOver)
		f.settle()
		f.nodes[0].emit("dial 101")
		f.nodes[1].emit("bridge 101")
	})
}

// pause makes it look as if the node had been stopped for so long and went on this instant: nothing of it has
// run, and no heartbeat was written.
func (n *node) pause(d time.Duration) {
	n.cluster.renewed.Add(int64(-d))
}

func TestPausedOwnerThatWakesUpNeitherTakesNorDials(t *testing.T) {
	for _, beatFirst := range []bool{false, true} { // whether its next heartbeat is faster than the command
		t.Run(fmt.Sprint("beat first ", beatFirst), func(t *testing.T) {
			inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
				owner, other := f.owner()
				o := owner.seats[0].owner.Load()
				owner.pause(10 * time.Second)
				if beatFirst {
					if err := owner.cluster.sendBeat(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := owner.command(t.Context(), o, Command{Account: "acme", User: "u1", ID: "k1", Action: "call", To: "+79991112233"}); !errors.Is(err, errElsewhere) {
					t.Errorf("a command: %v", err)
				}
				if _, err := owner.Gateway.emit(t.Context(), o, "acme", "office", lineEvents("dial 101")); !errors.Is(err, errElsewhere) {
					t.Errorf("an event: %v", err)
				}
				if err := (sink{owner.links["acme"][0], o}).Emit(t.Context(), lineEvents("dial 101")); CodeOf(err) != CodeUnavailable {
					t.Errorf("an event of its PBX link: %v", err)
				}
				if len(owner.pbx.dialed) != 0 || f.log.contains("call.dial") || f.log.contains("command") {
					t.Errorf("dialed %v, in the log: %d records", owner.pbx.dialed, f.log.records())
				}
				other.send("dial 101")
			})
		})
	}
}

func TestOwnerPausedBetweenIntentAndDialDoesNotDial(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		f.log.mu.Lock()
		f.log.afterAll = func(e Entry) error {
			if strings.Contains(string(e.Data), `"command"`) {
				owner.pause(10 * time.Second)
			}
			return nil
		}
		f.log.mu.Unlock()
		cmd := Command{ID: "k1", Action: "call", To: "+79991112233"}
		wantCode(t, owner.do("u1", cmd), CodePBXOffline)
		f.log.mu.Lock()
		f.log.afterAll = nil
		f.log.mu.Unlock()
		owner.kill()
		other.send("dial 101")
		wantCode(t, other.do("u1", cmd), CodeTimeout)
		if len(owner.pbx.dialed)+len(other.pbx.dialed) != 0 {
			t.Errorf("dialed %v and %v", owner.pbx.dialed, other.pbx.dialed)
		}
	})
}

// usurp has a node take the lease of a partition behind its owner's back, who hears nothing more of the shared
// store until the returned function is called, but for the time being takes itself for alive.
func (f *fleet) usurp(owner, by *node, partition int) (restore func()) {
	f.t.Helper()
	hang := make(chan struct{})
	owner.shared.hang.Store(&hang)
	if _, err := by.cluster.write(f.t.Context(), partition, by.name, owner.Partitions()[partition].Generation); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
	for pause := appendPause; pause < time.Second && !by.Partitions()[partition].Mine; pause *= 2 {
		time.Sleep(pause) // its fence met an append of the owner's
	}
	if !owner.Partitions()[partition].Mine || !by.Partitions()[partition].Mine {
		f.t.Fatal("not both of them take themselves for the owner")
	}
	return func() {
		owner.shared.hang.Store(nil)
		close(hang)
	}
}

func TestEventAtAnOwnerThatWasFencedOffIsTakenByTheNext(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		s := other.open("u1", "")
		restore := f.usurp(owner, other, 0)
		var wg sync.WaitGroup
		wg.Go(func() { owner.emit("dial 101") })
		synctest.Wait()
		if owner.Partitions()[0].Mine {
			t.Error("the old owner goes on")
		}
		restore() // and now it learns whom to ask
		wg.Wait()
		s.expect("dial ringing")
	})
}

func TestRefusalOfAnEarlierTermIsForgotten(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		cmd := Command{ID: "k1", Action: "call", To: "+79991112233"}
		owner.pbx.state = "retrying"
		wantCode(t, owner.do("u1", cmd), CodePBXOffline)
		restore := f.usurp(owner, other, 0)
		restore()
		synctest.Wait()
		dialed := other.do("u1", cmd)
		f.usurp(other, owner, 0)()
		synctest.Wait()
		if again := owner.do("u1", cmd); !dialed.OK || again != dialed || len(other.pbx.dialed) != 1 {
			t.Errorf("%+v, and from the owner before, who is it again, %+v", dialed, again)
		}
	})
}

func TestOwnerWhoseLeaseWasTakenBehindItsBackIsFencedOff(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		s := owner.open("u1", "")
		owner.emit("dial 101")
		restore := f.usurp(owner, other, 0)
		dial := owner.do("u1", Command{ID: "k1", Action: "call", To: "+79991112233"})
		if len(owner.pbx.dialed) != 0 {
			t.Errorf("the old owner dialed: %+v", dial)
		}
		if owner.Partitions()[0].Mine {
			t.Error("the old owner goes on")
		}
		other.emit("bridge 101")
		restore()
		owner.send("hangup")
		s.expect("dial ringing", "bridge talking", "hangup ended answered")
	})
}

func TestEventsAreTakenOnEveryNode(t *testing.T) {
	inFleet(t, 1, 3, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		s := owner.open("u1", "")
		events := lineEvents("dial 101 199", "bridge 101")
		events[0].ID, events[1].ID = "e1", "e2"
		if r, err := other.Emit(t.Context(), "acme", "office", events); err != nil || r.Accepted != 2 || !slices.Equal(r.Unknown, []string{"199"}) {
			t.Errorf("%+v, %v", r, err)
		}
		for _, n := range f.nodes {
			if r, err := n.Emit(t.Context(), "acme", "office", events); err != nil || r.Accepted != 0 || r.Duplicates != 2 {
				t.Errorf("again: %+v, %v", r, err)
			}
		}
		if _, err := other.Emit(t.Context(), "nobody", "office", events); CodeOf(err) != CodeNotFound {
			t.Errorf("unknown account: %v", err)
		}
		f.log.mu.Lock()
		f.log.maxEntry = 2000
		f.log.mu.Unlock()
		big := lineEvents("big: dial 101")
		big[0].Line = strings.Repeat("1", 3000)
		_, err := other.Emit(t.Context(), "acme", "office", big)
		if _, here := owner.Emit(t.Context(), "acme", "office", big); CodeOf(err) != CodeTooLarge || err.Error() != here.Error() {
			t.Errorf("too large: %v, and at the owner: %v", err, here)
		}
		s.expect("dial ringing", "bridge talking")
	})
}

func TestConcurrentEventsGoTogetherToTheOwner(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		_, other := f.owner()
		var requests atomic.Int32
		f.net.mu.Lock()
		f.net.onRequest = func(_, _ string, data []byte) error {
			if kind(data[0]) == kindEmit {
				requests.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}
		f.net.mu.Unlock()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { other.emit(fmt.Sprintf("k%d: dial 101", i)) })
		}
		wg.Wait()
		if n := f.log.records(); n != 201 || requests.Load() > 5 { // and the fence
			t.Errorf("%d records by %d requests", n, requests.Load())
		}
	})
}

func TestLostAnswerIsUnavailableAndTheRepeatIsKnown(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		_, other := f.owner()
		f.net.mu.Lock()
		f.net.onAnswer = func(string, string, []byte) error { return errCut }
		f.net.mu.Unlock()
		events := lineEvents("dial 101")
		events[0].ID = "e1"
		begun := time.Now()
		if _, err := other.Emit(t.Context(), "acme", "office", events); CodeOf(err) != CodeUnavailable || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		f.net.mu.Lock()
		f.net.onAnswer = nil
		f.net.mu.Unlock()
		if r, err := other.Emit(t.Context(), "acme", "office", events); err != nil || r.Duplicates != 1 {
			t.Errorf("the repeat: %+v, %v", r, err)
		}
	})
}

func TestNothingHangsOnANodeThatDoesNotAnswer(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		frozen := make(chan struct{})
		f.net.mu.Lock()
		owner.peers.frozen = frozen
		f.net.mu.Unlock()
		begun := time.Now()
		if _, err := other.Emit(t.Context(), "acme", "office", lineEvents("dial 101")); CodeOf(err) != CodeUnavailable || time.Since(begun) > routeTime {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		begun = time.Now()
		wantCode(t, other.do("u1", Command{ID: "k1", Action: "call", To: "+79991112233"}), CodeTimeout)
		if time.Since(begun) > commandTimeout {
			t.Errorf("a command was answered after %v", time.Since(begun))
		}
		f.net.mu.Lock()
		owner.peers.frozen = nil
		f.net.mu.Unlock()
		close(frozen)
	})
}

func TestCommandsGoToWhoHoldsTheLink(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		cmd := Command{ID: "k1", Action: "call", To: "8 (999) 111-22-33"}
		first, again := other.do("u1", cmd), owner.do("u1", cmd)
		if !first.OK || first != again || len(owner.pbx.dialed) != 1 || len(other.pbx.dialed) != 0 {
			t.Errorf("%+v, %+v; dialed %v and %v", first, again, owner.pbx.dialed, other.pbx.dialed)
		}
		other.emit("dial 101 102")
		if err := other.feed.wait(t.Context(), f.end(0)); err != nil { // the owner may not have read of it yet
			t.Fatal(err)
		}
		if r := other.do("u2", Command{ID: "k2", Action: "hangup", Call: "office:c1"}); !r.OK || len(owner.pbx.did) != 1 {
			t.Errorf("%+v %+v, hung up %v", r, r.Error, owner.pbx.did)
		}
		wantCode(t, other.do("u1", Command{ID: "k3", Action: "hangup", Call: "office:c9"}), CodeNotFound)
		wantCode(t, other.do("u1", Command{ID: "k4", Action: "call", To: "call me"}), CodeBadNumber)
		if other.Links()[0].State().State != "elsewhere" || owner.Links()[0].State().State != "connected" {
			t.Errorf("the links are %v and %v", other.Links()[0].State(), owner.Links()[0].State())
		}
	})
}

func TestCommandIsRefusedAtOnceWhenNobodyHoldsTheLink(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.kill()
		begun := time.Now()
		wantCode(t, other.do("u1", Command{ID: "k1", Action: "call", To: "+79991112233"}), CodePBXOffline)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestDialWithAnotherGenerationIsRefused(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, _ := f.owner()
		data, err := json.Marshal(Command{Account: "acme", User: "u1", ID: "k1", Action: "call", To: "+79991112233"})
		if err != nil {
			t.Fatal(err)
		}
		q := question{kind: kindCommand, generation: owner.Partitions()[0].Generation - 1, within: routeTime}
		if answer := owner.answer(t.Context(), q.frame(data)); string(answer) != string(rune(answerElsewhere)) || len(owner.pbx.dialed) != 0 {
			t.Errorf("answer %q, dialed %v", answer, owner.pbx.dialed)
		}
	})
}

func TestDialIsDoneOnceThroughATakeOver(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		done := Command{ID: "k1", Action: "call", To: "+79991112233"}
		first := other.do("u1", done)
		begun := Command{ID: "k2", Action: "call", To: "+79991112244"}
		owner.pbx.hold = make(chan struct{}) // the PBX does not answer any more
		var wg sync.WaitGroup
		wg.Go(func() {
			if r := other.do("u1", begun); r.OK {
				t.Errorf("%+v", r)
			}
		})
		synctest.Wait()
		owner.kill()
		wg.Wait()
		other.send("dial 101")
		if again := other.do("u1", done); again != first {
			t.Errorf("%+v, and from the next owner %+v", first, again)
		}
		wantCode(t, other.do("u1", begun), CodeTimeout)
		if len(owner.pbx.dialed) != 2 || len(other.pbx.dialed) != 0 {
			t.Errorf("dialed %d times, and %d times by the next owner", len(owner.pbx.dialed), len(other.pbx.dialed))
		}
	})
}

func TestEverybodySeesAllOnceAndInOrderThroughTakeOvers(t *testing.T) {
	inFleet(t, 4, 3, func(t *testing.T, f *fleet) {
		watcher := f.nodes[2]
		s := watcher.open("u1", "")
		var want []string
		n := 0
		work := func(by *node, count int) {
			for range count {
				n++
				by.send(fmt.Sprintf("k%d: dial 101", n), fmt.Sprintf("k%d: hangup", n))
				want = append(want, fmt.Sprintf("k%d: dial ringing", n), fmt.Sprintf("k%d: hangup ended missed", n))
			}
		}
		for round := range 6 {
			for _, by := range f.nodes {
				work(by, 5)
			}
			for _, victim := range f.nodes {
				if victim == watcher {
					continue
				}
				if round%2 == 0 {
					victim.kill()
				} else {
					victim.stop()
				}
				break
			}
			work(watcher, 5)
			f.start()
			work(f.nodes[0], 5)
			f.settle()
		}
		late := f.nodes[len(f.nodes)-1].open("u1", s.hello.Cursor)
		if late.hello.Resumed {
			late.expect(want...)
		} else if late.hello.Reason != "evicted" {
			t.Errorf("%+v", late.hello)
		}
		s.expect(want...)
	})
}
