package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// longCalls makes calls that are so long together that the log has no room for them in one entry.
func (b *bundle) longCalls(count int, kind string) {
	b.t.Helper()
	for i := range count {
		events := lineEvents(fmt.Sprintf("k%d: %s", i, kind))
		events[0].Line = strings.Repeat("1", 1000)
		if _, err := b.Emit(b.t.Context(), "acme", "office", events); err != nil {
			b.t.Fatal(err)
		}
	}
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	b.log.maxEntry = 10_000
}

func (b *bundle) wantNoneLive() {
	b.t.Helper()
	synctest.Wait()
	b.feed.live("acme", func(c *Call) { b.t.Errorf("%s is live", c.ID) })
}

func TestLongCallsAreEndedByAgeAFewAtATime(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.longCalls(endAtOnce, "dial 199") // at nobody's desk
		time.Sleep(longestLife + time.Minute)
		b.wantNoneLive()
	})
}

func TestLongCallsThatThePBXHasNoMoreAreEndedAFewAtATime(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.longCalls(endAtOnce, "dial 101")
		if err := b.live(t.Context(), b.seats[0].owner.Load(), "acme", "office", nil, time.Now().Add(time.Second)); err != nil {
			t.Error(err)
		}
		b.wantNoneLive()
	})
}

func TestTextThatIsNoUTF8IsTheSameOnEveryNode(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		events := lineEvents("dial 101", "bridge 101")
		for i := range events {
			events[i].Call, events[i].ID = "c\xff\xfe", fmt.Sprint("e\xff", i)
		}
		if _, err := owner.Emit(t.Context(), "acme", "office", events[:1]); err != nil {
			t.Fatal(err)
		}
		owner.stop()
		other.send("k2: dial 101")
		if r, err := other.Emit(t.Context(), "acme", "office", events); err != nil || r.Duplicates != 1 || r.Accepted != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		synctest.Wait()
		calls := 0
		other.feed.live("acme", func(*Call) { calls++ })
		if calls != 2 {
			t.Errorf("%d calls", calls)
		}
		o := other.seats[0].owner.Load()
		if err := other.live(t.Context(), o, "acme", "office", []string{"c\xff\xfe", "k2"}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, n := range []string{"c\ufffd", "k2"} {
			if v, ok := other.view(n, "u1"); !ok || v.State == Ended {
				t.Errorf("%q: %v, %+v", n, ok, v)
			}
		}
	})
}
