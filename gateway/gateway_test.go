package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a running gateway for one test. Tests run in a synctest bubble: time passes when nothing
// else can happen.
type bundle struct {
	*Gateway
	t     *testing.T
	log   *memLog
	store *memStore
	stop  func()
}

func directory() *Accounts {
	return NewAccounts(
		Account{ID: "acme", Region: "RU", Users: []User{
			{ID: "u1", Name: "Anna", Extensions: []string{"101"}},
			{ID: "u2", Name: "Boris", Extensions: []string{"102"}},
			{ID: "u3", Name: "Clara"},
		}},
		Account{ID: "other", Users: []User{{ID: "u1", Name: "Olga", Extensions: []string{"101"}}}},
	)
}

func begin(t *testing.T, log Log, store *memStore, attach ...PBX) *bundle {
	t.Helper()
	return beginLogged(t, nil, log, store, attach...)
}

func beginLogged(t *testing.T, logger *slog.Logger, log Log, store *memStore, attach ...PBX) *bundle {
	t.Helper()
	return beginConfig(t, Config{Log: log, Store: store, Directory: directory(), Logger: logger}, func(g *Gateway) {
		for _, p := range attach {
			g.Attach("acme", "office", p)
		}
	})
}

func beginConfig(t *testing.T, cfg Config, attach func(g *Gateway)) *bundle {
	t.Helper()
	g := New(cfg)
	attach(g)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-g.Ready()
	mem, _ := cfg.Log.(*memLog)
	store, _ := cfg.Store.(*memStore)
	b := &bundle{Gateway: g, t: t, log: mem, store: store}
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return b
}

// inGateway runs a test in a bubble with a gateway on a fresh log.
func inGateway(t *testing.T, test func(t *testing.T, b *bundle)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, newMemLog(), &memStore{})
		defer b.stop()
		test(t, b)
	})
}

// emit posts events given as lines; "c7: dial 101" is of another call than c1.
func (b *bundle) emit(lines ...string) Result {
	b.t.Helper()
	r, err := b.Emit(b.t.Context(), "acme", "office", lineEvents(lines...))
	if err != nil {
		b.t.Fatalf("emit %q: %v", lines, err)
	}
	return r
}

func lineEvents(lines ...string) []Event {
	var events []Event
	for _, line := range lines {
		call, rest, ok := strings.Cut(line, ": ")
		if !ok {
			call, rest = "c1", line
		}
		e := ev(0, rest)
		e.Call, e.At, e.ID, e.People = call, time.Time{}, "", nil
		events = append(events, e)
	}
	return events
}

// tab is a session: what it was told, in order.
type tab struct {
	b     *bundle
	hello Hello
	stop  func()
	mu    sync.Mutex
	got   []string
	last  string
}

func (b *bundle) open(user, cursor string) *tab {
	b.t.Helper()
	synctest.Wait() // the feed has come up to what was emitted
	s := &tab{b: b}
	hello, stop, err := b.Subscribe("acme", user, cursor, s.take)
	if err != nil {
		b.t.Fatalf("subscribe: %v", err)
	}
	s.hello, s.stop, s.last = hello, stop, hello.Cursor
	for _, m := range hello.Missed {
		s.take(m)
	}
	return s
}

func (s *tab) take(m Message) {
	var v View
	if err := json.Unmarshal(m.Call, &v); err != nil {
		s.b.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s %s", strings.TrimPrefix(string(m.Event), "call."), v.State)
	if v.Outcome != nil {
		line += " " + string(*v.Outcome)
	}
	if _, call, _ := strings.Cut(v.ID, ":"); call != "c1" {
		line = call + ": " + line
	}
	s.got, s.last = append(s.got, line), m.Cursor
}

func (s *tab) expect(want ...string) {
	s.b.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.got, want) {
		s.b.t.Errorf("the tab got %q, want %q", s.got, want)
	}
	s.got = nil
}

func TestOnlyTheUsersOwnCallsReachATab(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		anna, boris := b.open("u1", ""), b.open("u2", "")
		b.emit("dial 101 102", "bridge 101", "hangup")
		anna.expect("dial ringing", "bridge talking", "hangup ended answered")
		boris.expect("dial ringing", "bridge ended elsewhere") // what comes later is none of his business
		b.emit("c2: dial 102")
		anna.expect()
		boris.expect("c2: dial ringing")
	})
}

func TestAnotherAccountsSameExtensionHearsNothing(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		var heard int
		_, stop, err := b.Subscribe("other", "u1", "", func(Message) { heard++ })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		b.emit("dial 101")
		synctest.Wait()
		if heard != 0 {
			t.Errorf("another account's user got %d messages", heard)
		}
	})
}

func TestUnknownExtensionIsRecordedAndNamed(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		r := b.emit("dial 199", "dial 101 199")
		if r.Accepted != 2 || !slices.Equal(r.Unknown, []string{"199"}) {
			t.Errorf("%+v", r)
		}
	})
}

func TestUnknownAccount(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		_, err := b.Emit(b.t.Context(), "nobody", "office", lineEvents("dial 101"))
		if CodeOf(err) != CodeNotFound {
			t.Errorf("%v", err)
		}
	})
}

func TestHello(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		first := b.open("u1", "")
		if first.hello.Resumed || first.hello.Reason != "new" || len(first.hello.Calls) != 0 {
			t.Errorf("%+v", first.hello)
		}
		b.emit("dial 101", "c2: dial 101 102", "c2: bridge 102")
		first.expect("dial ringing", "c2: dial ringing", "c2: bridge ended elsewhere")

		second := b.open("u1", "")
		if len(second.hello.Calls) != 1 || second.hello.Calls[0].ID != "office:c1" {
			t.Errorf("snapshot %+v", second.hello.Calls)
		}
		resumed := b.open("u1", first.hello.Cursor)
		if !resumed.hello.Resumed || resumed.hello.Cursor != first.hello.Cursor || len(resumed.hello.Calls) != 0 {
			t.Errorf("%+v", resumed.hello)
		}
		resumed.expect("dial ringing", "c2: dial ringing", "c2: bridge ended elsewhere")
		again := b.open("u1", first.last)
		again.expect()
		b.emit("bridge 101")
		again.expect("bridge talking")

		for cursor, reason := range map[string]string{
			"rubbish": "foreign", "e2.1.0": "epoch", "e1.zzzz.0": "future", strings.Repeat("x", 9000): "foreign",
		} {
			if s := b.open("u1", cursor); s.hello.Resumed || s.hello.Reason != reason {
				t.Errorf("cursor %.20q: %+v, want a reset for %q", cursor, s.hello, reason)
			}
		}
	})
}

func TestEvictedCursorIsAResetNeverAPart(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		for i := range ringCount + 10 {
			b.emit(fmt.Sprintf("k%d: dial 101", i))
		}
		synctest.Wait()
		if old := b.open("u1", s.hello.Cursor); old.hello.Resumed || old.hello.Reason != "evicted" || len(old.hello.Calls) != ringCount+10 {
			t.Errorf("resumed %v, reason %q, %d calls", old.hello.Resumed, old.hello.Reason, len(old.hello.Calls))
		}
		if idle := b.open("u2", s.hello.Cursor); !idle.hello.Resumed {
			t.Errorf("a user who missed nothing was reset: %+v", idle.hello)
		}
	})
}

func TestRepeatedEventIsKeptOnce(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		events := lineEvents("dial 101", "bridge 101")
		events[0].ID, events[1].ID = "e1", "e2"
		for range 2 {
			if _, err := b.Emit(t.Context(), "acme", "office", events); err != nil {
				t.Fatal(err)
			}
		}
		r, err := b.Emit(t.Context(), "acme", "office", slices.Concat(events, lineEvents("hangup")))
		if err != nil || r.Accepted != 1 || r.Duplicates != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		s.expect("dial ringing", "bridge talking", "hangup ended answered")
	})
}

func TestWaitingEventsGoTogetherInOneAppend(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		var appends int
		release := make(chan struct{})
		b.log.mu.Lock()
		b.log.onAppend = func(Entry) error {
			if appends++; appends == 1 {
				<-release
			}
			return nil
		}
		b.log.mu.Unlock()
		var wg sync.WaitGroup
		wg.Go(func() { b.emit("dial 101") })
		synctest.Wait() // its append is in flight
		for i := range 99 {
			wg.Go(func() { b.emit(fmt.Sprintf("k%d: dial 101", i)) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if appends != 2 || b.log.records() != 100 {
			t.Errorf("%d appends, %d records", appends, b.log.records())
		}
	})
}

func TestSomebodyElseWroteFirst(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		b.emit("dial 101")
		// Another writer ends the call behind the owner's back.
		c := fold(ev(0, "dial 101"), ev(1, "hangup:no_answer"))
		c.Account, c.ID, c.Version = "acme", "office:c1", 9
		data, err := encodeEntry(&Record{Account: "acme", At: time.Now(), Event: EventHangup, Users: []string{"u1"}, Call: &c})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.log.Append(t.Context(), Entry{ID: "x", Data: data}, 1); err != nil {
			t.Fatal(err)
		}
		b.emit("bridge 101") // comes too late, and must be folded over the other's end
		s.expect("dial ringing", "hangup ended missed")
	})
}

func TestAppendWhoseAnswerWasLostIsKeptOnce(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		b.log.mu.Lock()
		b.log.afterAll = func(Entry) error {
			b.log.afterAll = nil
			return errors.New("the answer was lost")
		}
		b.log.mu.Unlock()
		b.emit("dial 101")
		b.emit("bridge 101")
		s.expect("dial ringing", "bridge talking")
		if n := b.log.records(); n != 2 {
			t.Errorf("%d records", n)
		}
	})
}

func TestFullLogIsUnavailableAndNothingIsTaken(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		full := true
		b.log.mu.Lock()
		b.log.onAppend = func(Entry) error {
			if full {
				return ErrLogFull
			}
			return nil
		}
		b.log.mu.Unlock()
		_, err := b.Emit(t.Context(), "acme", "office", lineEvents("dial 101"))
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeUnavailable || e.RetryAfter == 0 {
			t.Errorf("%v", err)
		}
		full = false
		if r := b.emit("dial 101"); r.Accepted != 1 {
			t.Errorf("%+v", r)
		}
		s.expect("dial ringing")
	})
}

func TestRequestLargerThanAGroupIsRefusedAlone(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.log.maxEntry = 2000
		huge := lineEvents("dial 101")
		huge[0].Line = strings.Repeat("x", 3000)
		if _, err := b.Emit(t.Context(), "acme", "office", huge); CodeOf(err) != CodeTooLarge {
			t.Errorf("%v", err)
		}
		var wg sync.WaitGroup
		for i := range 20 { // together more than a group: cut between requests
			wg.Go(func() { b.emit(fmt.Sprintf("k%d: dial 101", i)) })
		}
		wg.Wait()
		if n := b.log.records(); n != 20 {
			t.Errorf("%d records", n)
		}
	})
}

func TestRestartRebuildsLiveCallsAndResumes(t *testing.T) {
	t.Parallel()
	for _, purge := range []bool{false, true} {
		t.Run(fmt.Sprintf("purge=%v", purge), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, store := newMemLog(), &memStore{}
				b := begin(t, log, store)
				idle, anna := b.open("u2", ""), b.open("u1", "")
				b.emit("dial 101", "c2: dial 101")
				first := b.open("u1", "")
				b.emit("bridge 101")
				anna.expect("dial ringing", "c2: dial ringing", "bridge talking")
				if purge {
					time.Sleep(resumeWindow + 2*time.Minute) // and housekeeping with it
					b.emit("c3: dial 101 102", "c3: hangup")
					time.Sleep(resumeWindow + 2*time.Minute)
				}
				b.stop()

				b = begin(t, log, store)
				defer b.stop()
				s := b.open("u1", "")
				if len(s.hello.Calls) != 2 || s.hello.Calls[0].State != Talking || s.hello.Calls[1].State != Ringing {
					t.Errorf("after the restart: %+v", s.hello.Calls)
				}
				if back := b.open("u1", first.hello.Cursor); purge {
					if back.hello.Resumed || back.hello.Reason != "evicted" {
						t.Errorf("resumed from a purged log: %+v", back.hello)
					}
				} else {
					back.expect("bridge talking")
				}
				if back := b.open("u2", idle.hello.Cursor); !purge && !back.hello.Resumed {
					t.Errorf("an idle user was reset: %+v", back.hello)
				}
				b.emit("bridge 101", "hangup")
				s.expect("hangup ended answered") // the bridge was known
			})
		})
	}
}

func TestIdleUsersOldCursorResumesAfterPurgeAndRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		b := begin(t, log, store)
		b.emit("dial 101", "hangup")
		synctest.Wait()
		anna := b.open("u1", "")
		for i := range 3 {
			b.emit(fmt.Sprintf("k%d: dial 102", i), fmt.Sprintf("k%d: hangup", i))
			time.Sleep(resumeWindow)
		}
		b.stop()
		if len(log.entries) > 3 {
			t.Fatalf("nothing was purged: %d entries", len(log.entries))
		}
		b = begin(t, log, store)
		defer b.stop()
		if back := b.open("u1", anna.hello.Cursor); !back.hello.Resumed {
			t.Errorf("reset for %q", back.hello.Reason)
		}
	})
}

func TestCallsThatEndedAreKnownAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		b := begin(t, log, store)
		b.emit("dial 101", "bridge 101", "hangup")
		for i := range 3 { // long enough for the log to forget the call
			b.emit(fmt.Sprintf("k%d: dial 102", i), fmt.Sprintf("k%d: hangup", i))
			time.Sleep(resumeWindow)
		}
		b.stop()
		if n := len(log.entries); n > 3 {
			t.Fatalf("%d entries were not purged", n)
		}
		b = begin(t, log, store)
		s := b.open("u1", "")
		b.emit("dial 101", "recording rec=https://rec.example/1.mp3")
		s.expect("update ended answered") // the dial is late: no ghost of it
		time.Sleep(rememberCalls + time.Hour)
		b.stop()
		for key := range store.data {
			if strings.HasPrefix(key, keyEnded) {
				t.Errorf("%s is kept for ever", key)
			}
		}
	})
}

func TestSnapshotsDoNotPileUp(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		for i := range 20 {
			b.emit(fmt.Sprintf("k%d: dial 101", i))
			time.Sleep(snapshotEvery * housekeeping)
		}
		synctest.Wait()
		if n := len(b.store.data); n > 4 { // head, live calls, users
			t.Errorf("%d keys in the store", n)
		}
	})
}

func TestEventIDsAreKnownAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), &memStore{}
		events := lineEvents("dial 101")
		events[0].ID = "e1"
		for want := range 2 {
			b := begin(t, log, store)
			r, err := b.Emit(t.Context(), "acme", "office", events)
			if err != nil || r.Duplicates != want {
				t.Errorf("start %d: %+v, %v", want, r, err)
			}
			b.stop()
		}
	})
}

func TestEventsOfACallThatWasNeverDialledGoAfter30Seconds(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		b.emit("bridge 101")
		time.Sleep(undialledLife + 2*housekeeping)
		b.emit("dial 101")
		s.expect("dial ringing") // of a call that begins anew: the bridge is forgotten

		b.emit("c2: bridge 101")
		time.Sleep(10 * time.Second)
		b.emit("c2: dial 101")
		synctest.Wait()
		s.expect("c2: dial talking")
	})
}

func TestLiveEndsWhatEndedUnseen(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		s := b.open("u1", "")
		b.emit("dial 101", "c2: dial 101", "c2: bridge 101", "c3: dial 101")
		time.Sleep(time.Second)
		if err := b.live(t.Context(), b.seats[0].owner.Load(), "acme", "office", []string{"c3"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.mu.Lock()
		slices.Sort(s.got)
		s.mu.Unlock()
		s.expect("c2: bridge talking", "c2: dial ringing", "c2: hangup ended answered", "c3: dial ringing", "dial ringing", "hangup ended missed")
	})
}

func TestMergeMovesTheLegs(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		// A customer talks with Anna, who consults Boris and hands the customer over.
		boris := b.open("u2", "")
		b.emit("dial 101", "bridge 101", "c2: dial 102 dir=internal from=101", "c2: bridge 102", "c2: merge into=c1", "hangup 101")
		boris.expect("c2: dial ringing", "c2: bridge talking", "c2: transfer ended transferred", "transfer talking")
		v, ok := func() (View, bool) { c, _ := b.feed.call("acme", "office:c1"); return c.For("u2") }()
		if !ok || v.PhoneRaw != "89991112233" || v.State != Talking {
			t.Errorf("Boris sees %+v", v)
		}
	})
}
