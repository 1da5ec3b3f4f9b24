package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var ivan = &Contact{ID: "1001", Type: "contact", Name: "Ivan Petrov", URL: "https://acme.amocrm.ru/contacts/detail/1001"}

// fakeCRM knows a caller after a while, and notes whom it notifies.
type fakeCRM struct {
	took  time.Duration
	found Found
	err   error
	fails int // so many questions, with err

	mu       sync.Mutex
	asked    []string
	now, max int // questions under way
	recalls  bool
	notified []string
}

func (f *fakeCRM) Find(ctx context.Context, phone Number) (Found, error) {
	f.mu.Lock()
	f.asked = append(f.asked, phone.E164)
	f.now++
	f.max = max(f.max, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if !wait(ctx, f.took) {
		return Found{}, context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		return Found{}, f.err
	}
	return f.found, nil
}

func (f *fakeCRM) Recall(Number) (Found, bool) {
	if f.recalls {
		return f.found, true
	}
	return Found{}, false
}

func (f *fakeCRM) Notify(ctx context.Context, phone Number, users []string) error {
	f.mu.Lock()
	f.notified = append(f.notified, fmt.Sprint(phone.E164, users))
	f.mu.Unlock()
	if !wait(ctx, f.took) {
		return context.Cause(ctx)
	}
	return f.err
}

func (f *fakeCRM) expect(t *testing.T, what string, got *[]string, want ...string) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(*got, want) {
		t.Errorf("%s %q, want %q", what, *got, want)
	}
	*got = nil
}

// inCRM runs a test in a bubble with a gateway where acme has a CRM and the other account none.
func inCRM(t *testing.T, crm *fakeCRM, lookup, notify bool, test func(t *testing.T, b *bundle)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Log: newMemLog(), Store: &memStore{}, Directory: directory()}
		if lookup {
			cfg.Finders = func(account string) Finder {
				if account == "acme" {
					return crm
				}
				return nil
			}
		}
		if notify {
			cfg.Notifiers = func(account string) Notifier {
				if account == "acme" {
					return crm
				}
				return nil
			}
		}
		b := beginConfig(t, cfg, func(*Gateway) {})
		defer b.stop()
		test(t, b)
	})
}

// contacts are a tab's messages: the event, and the name of who calls.
func (b *bundle) contacts(user string) *contactTab {
	b.t.Helper()
	tab := &contactTab{t: b.t}
	_, stop, err := b.Subscribe("acme", user, "", tab.take)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(stop)
	return tab
}

type contactTab struct {
	t   *testing.T
	mu  sync.Mutex
	got []string
}

func (c *contactTab) take(m Message) {
	var v View
	if err := json.Unmarshal(m.Call, &v); err != nil {
		c.t.Error(err)
	}
	name := "-"
	if v.Contact != nil {
		name = v.Contact.Name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, string(m.Event)+" "+name)
}

func (c *contactTab) expect(want ...string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, want) {
		c.t.Errorf("the tab got %q, want %q", c.got, want)
	}
	c.got = nil
}

func TestCardGoesOutWithoutTheCRMAndIsBroughtUpToDate(t *testing.T) {
	for _, took := range []time.Duration{50 * time.Millisecond, 3 * time.Second} {
		t.Run(took.String(), func(t *testing.T) {
			crm := &fakeCRM{took: took, found: Found{Contact: ivan}}
			inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
				tab := b.contacts("u1")
				began := time.Now()
				b.emit("dial 101")
				if waited := time.Since(began); waited > 0 {
					t.Errorf("the event waited %v for the CRM", waited)
				}
				tab.expect("call.dial -")
				pass(2 * took)
				if took > callerTime {
					pass(took)
				}
				tab.expect("call.update Ivan Petrov")
				b.emit("bridge 101", "hangup")
				tab.expect("call.bridge Ivan Petrov", "call.hangup Ivan Petrov")
				if took < callerTime {
					crm.expect(t, "asked", &crm.asked, "+79991112233")
				}
			})
		})
	}
}

func TestCardHasTheContactAtOnceThatTheMemoryHas(t *testing.T) {
	crm := &fakeCRM{found: Found{Contact: ivan}, recalls: true}
	inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
		tab := b.contacts("u1")
		b.emit("dial 101")
		tab.expect("call.dial Ivan Petrov")
		crm.expect(t, "asked", &crm.asked)
	})
}

func TestAContactIsAskedForOncePerCall(t *testing.T) {
	crm := &fakeCRM{took: time.Millisecond}
	inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
		b.emit("dial 101", "dial 102")
		pass(time.Second)
		b.emit("bridge 101", "hangup")
		pass(time.Second)
		crm.expect(t, "asked", &crm.asked, "+79991112233")
		b.callers.mu.Lock()
		defer b.callers.mu.Unlock()
		if n := len(b.callers.calls); n > 0 {
			t.Errorf("%d calls are remembered after their end", n)
		}
	})
}

func TestColleaguesAndWithheldNumbersAreNotLookedUp(t *testing.T) {
	crm := &fakeCRM{}
	inCRM(t, crm, true, true, func(t *testing.T, b *bundle) {
		b.emit("c2: dial 102 dir=internal from=101", "c3: dial 101 from=anonymous", "c4: dial 101 from=112")
		if _, err := b.Emit(t.Context(), "other", "office", lineEvents("dial 101")); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		crm.expect(t, "asked", &crm.asked)
	})
}

func TestLateContactOfAnEndedCallIsDropped(t *testing.T) {
	crm := &fakeCRM{took: 5 * time.Second, found: Found{Contact: ivan}}
	inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
		tab := b.contacts("u1")
		b.emit("dial 101", "hangup")
		tab.expect("call.dial -", "call.hangup -")
		pass(time.Minute)
		tab.expect()
	})
}

func TestQuestionThatFailsIsAskedAgain(t *testing.T) {
	const asked = "+79991112233"
	for name, of := range map[string]struct {
		fails     int
		meanwhile func(t *testing.T, b *bundle)
		times     int // the CRM is asked again
		who       string
	}{
		"OneBadAnswer":    {1, nil, 1, "Ivan Petrov"},
		"TheCRMIsMending": {callerTries - 1, nil, callerTries - 1, "Ivan Petrov"},
		"TheCRMIsDown":    {1000, nil, callerTries - 1, "-"},
		"TheCallIsOver":   {1, func(_ *testing.T, b *bundle) { b.emit("hangup") }, 0, "-"},
		"TheContactCame": {1, func(t *testing.T, b *bundle) {
			if err := b.setContact(t.Context(), "acme", "office:c1", &Contact{ID: "7", Type: "contact", Name: "Boris"}); err != nil {
				t.Error(err)
			}
		}, 0, "Boris"},
		"TheCRMIsDisconnected": {1, func(_ *testing.T, b *bundle) {
			b.cfg.Finders = func(string) Finder { return nil }
			b.emit("bridge 101")
		}, 0, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			crm := &fakeCRM{found: Found{Contact: ivan}, err: errors.New("bad gateway"), fails: of.fails}
			inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
				b.emit("dial 101")
				pass(callerAgain / 2)
				crm.expect(t, "asked", &crm.asked, asked)
				if of.meanwhile != nil {
					of.meanwhile(t, b)
				}
				pass(callerAgain)
				crm.expect(t, "asked soon", &crm.asked, slices.Repeat([]string{asked}, min(of.times, 1))...)
				pass(time.Hour)
				crm.expect(t, "asked later", &crm.asked, slices.Repeat([]string{asked}, max(of.times-1, 0))...)
				call, _ := b.feed.call("acme", "office:c1")
				if who := call.Contact; who == nil && of.who != "-" || who != nil && who.Name != of.who {
					t.Errorf("the contact is %+v, want %s", who, of.who)
				}
			})
		})
	}
}

func TestBurstOfCallsIsBoundedAndOthersGoOn(t *testing.T) {
	crm := &fakeCRM{took: 2 * time.Second, found: Found{Contact: ivan}}
	inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
		var lines []string
		for i := range 3 * maxAtOnce {
			lines = append(lines, fmt.Sprintf("b%d: dial 101", i))
		}
		began := time.Now()
		b.emit(lines...)
		b.emit("last: dial 102")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("events waited %v", waited)
		}
		pass(10 * time.Second)
		b.callers.mu.Lock()
		if q := b.callers.questions; q.all != 0 || len(q.busy) != 0 || len(q.waiting) != 0 {
			t.Errorf("still counted: %+v", q)
		}
		b.callers.mu.Unlock()

		lines = append(lines, "last: dial 102")
		for _, line := range lines {
			call, _, _ := strings.Cut(line, ": ")
			if c, ok := b.feed.call("acme", "office:"+call); !ok || c.Contact == nil {
				t.Errorf("%s has no contact", call)
			}
		}
		if crm.max > maxAtOnce || len(crm.asked) > 2*len(lines) { // late answers are asked for twice
			t.Errorf("%d questions at once, %d in all", crm.max, len(crm.asked))
		}
	})
}

func TestCRMThatAnswersNoQuestionNotifiesAllTheSame(t *testing.T) {
	crm := &fakeCRM{took: time.Hour}
	inCRM(t, crm, true, true, func(t *testing.T, b *bundle) {
		var lines []string
		for i := range maxAtOnce {
			lines = append(lines, fmt.Sprintf("b%d: dial 101 dir=outbound", i))
		}
		b.emit(lines...)
		b.emit("dial 102")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u2]")
	})
}

// TestNotificationsThatHadToWaitAreSent: the CRM hangs with as many as it is sent at once, one after the other. Of the
// calls that ring meanwhile, and do nothing else, it hears in their order as soon as it can, and of no others.
func TestNotificationsThatHadToWaitAreSent(t *testing.T) {
	crm := &fakeCRM{took: 9 * time.Second}
	inCRM(t, crm, false, true, func(t *testing.T, b *bundle) {
		var putOff []string
		b.cfg.Metrics.PutOff = func(account, what string) { putOff = append(putOff, account+" "+what) }
		for i := range maxAtOnce {
			b.emit(fmt.Sprintf("b%d: dial 101", i))
			pass(10 * time.Millisecond)
		}
		for i, call := range []string{"one", "gone", "two", "taken", "three"} {
			b.emit(fmt.Sprintf("%s: dial 102 from=+7999000000%d", call, i))
		}
		pass(5 * time.Second)
		b.emit("gone: hangup", "taken: bridge 102")
		crm.expect(t, "notified", &crm.notified, slices.Repeat([]string{"+79991112233[u1]"}, maxAtOnce)...)
		if !slices.Equal(putOff, slices.Repeat([]string{"acme notify"}, 5)) {
			t.Errorf("put off %q", putOff)
		}
		pass(5 * time.Second)
		crm.expect(t, "notified", &crm.notified, "+79990000000[u2]", "+79990000002[u2]", "+79990000004[u2]")
		pass(10 * time.Second)
		b.callers.mu.Lock()
		defer b.callers.mu.Unlock()
		if n := b.callers.notices; n.all != 0 || len(n.busy) != 0 || len(n.waiting) != 0 {
			t.Errorf("still counted: %+v", n)
		}
	})
}

// TestCallsThatEndDoNotWait: what waits for the CRM is never more than there are calls.
func TestCallsThatEndDoNotWait(t *testing.T) {
	crm := &fakeCRM{took: time.Hour}
	inCRM(t, crm, true, true, func(t *testing.T, b *bundle) {
		var dials, ends []string
		for i := range 2 * maxAtOnce {
			dials, ends = append(dials, fmt.Sprintf("b%d: dial 101", i)), append(ends, fmt.Sprintf("b%d: hangup", i))
		}
		expect := func(calls int) {
			t.Helper()
			synctest.Wait()
			b.callers.mu.Lock()
			defer b.callers.mu.Unlock()
			for _, s := range []slots{b.callers.questions, b.callers.notices} {
				if n := len(s.waiting["acme"]); n != calls || len(s.waiting) > calls {
					t.Errorf("%s: %d calls of %d accounts wait, want %d", s.what, n, len(s.waiting), calls)
				}
			}
		}
		b.emit(dials...)
		expect(maxAtOnce)
		b.emit(ends[maxAtOnce+1:]...)
		expect(1)
		b.emit(ends[:maxAtOnce+1]...)
		expect(0)
	})
}

// TestFullNodeKeepsNoAccountWaiting: what one account frees is for those that the node has kept waiting as well.
func TestFullNodeKeepsNoAccountWaiting(t *testing.T) {
	t.Parallel()
	s := newSlots("find")
	for i := range maxLookups {
		if !s.take(fmt.Sprint("busy", i%(maxLookups/maxAtOnce))) {
			t.Fatalf("no slot after %d", i)
		}
	}
	for _, call := range []callKey{{"busy0", "no slot"}, {"quiet", "1"}, {"quiet", "over"}, {"quiet", "2"}} {
		if s.take(call.account) {
			t.Fatalf("%s has a slot beyond the node's", call.account)
		}
		s.wait(&errand{call: call})
	}
	s.drop(callKey{"quiet", "over"})
	for _, want := range []string{"1", "2"} {
		s.free("busy1")
		if e := s.next(); e == nil || e.call != (callKey{"quiet", want}) {
			t.Errorf("%+v goes next, want call %s", e, want)
		}
		if e := s.next(); e != nil {
			t.Errorf("%+v goes without a slot", e)
		}
	}
	s.free("busy1")
	if e := s.next(); e != nil {
		t.Errorf("%+v goes though its account has too much under way", e)
	}
	s.free("busy0")
	if e := s.next(); e == nil || e.call.account != "busy0" || len(s.waiting) > 0 {
		t.Errorf("%+v went last, %d accounts wait", e, len(s.waiting))
	}
}

// TestCallThatEndsWithoutItsCRMIsForgotten: the account was disconnected meanwhile.
func TestCallThatEndsWithoutItsCRMIsForgotten(t *testing.T) {
	crm := &fakeCRM{}
	inCRM(t, crm, true, false, func(t *testing.T, b *bundle) {
		b.emit("dial 101")
		synctest.Wait()
		b.cfg.Finders = func(string) Finder { return nil }
		b.emit("hangup")
		synctest.Wait()
		b.callers.mu.Lock()
		defer b.callers.mu.Unlock()
		if n := len(b.callers.calls); n > 0 {
			t.Errorf("%d calls are remembered after their end", n)
		}
	})
}

func TestStopEndsTheQuestions(t *testing.T) {
	crm := &fakeCRM{took: time.Hour}
	inCRM(t, crm, true, true, func(t *testing.T, b *bundle) {
		for i := range 2 * maxAtOnce { // the second half waits
			b.emit(fmt.Sprintf("b%d: dial 101", i))
		}
		pass(time.Second)
		began := time.Now()
		b.stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("stopping took %v", took)
		}
		if len(crm.asked) > 2*maxAtOnce || len(crm.notified) > maxAtOnce { // the first ones, after callerTime once more
			t.Errorf("%d questions, %d notifications", len(crm.asked), len(crm.notified))
		}
	})
}

func TestThoseWithoutATabAreNotified(t *testing.T) {
	crm := &fakeCRM{}
	inCRM(t, crm, false, true, func(t *testing.T, b *bundle) {
		b.SetPresence("acme", "u1", Here{Online: true})
		b.emit("dial 101 102")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u2]")
		b.emit("dial 102") // the queue tries again
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified)
		b.SetPresence("acme", "u1", Here{})
		b.emit("dial 101")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u1]")
	})
}

func TestTelephonesThatRingTogetherAreOneNotification(t *testing.T) {
	crm := &fakeCRM{}
	inCRM(t, crm, false, true, func(t *testing.T, b *bundle) {
		b.emit("dial 101")
		pass(50 * time.Millisecond)
		b.emit("dial 102")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u1 u2]")
	})
}

// TestWhoseTelephoneStoppedIsNotifiedWhenItRingsAgain: a queue rings its members for moments, again and again.
func TestWhoseTelephoneStoppedIsNotifiedWhenItRingsAgain(t *testing.T) {
	crm := &fakeCRM{}
	inCRM(t, crm, false, true, func(t *testing.T, b *bundle) {
		b.emit("dial 101 102")
		pass(notifyAfter / 2)
		b.emit("hangup 101")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u2]")
		b.emit("dial 101")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u1]")
	})
}

func TestNobodyIsNotifiedTwiceOfACall(t *testing.T) {
	crm := &fakeCRM{}
	inCRM(t, crm, false, true, func(t *testing.T, b *bundle) {
		claim := func(user, client string) Code {
			synctest.Wait()
			cmd := Command{Account: "acme", User: user, Client: client, ID: client, Action: "claim", Call: "office:c1", What: ClaimNotify, Done: true}
			if reply := b.Command(t.Context(), cmd); !reply.OK {
				return reply.Error.Code
			}
			return ""
		}
		b.emit("dial 101 102")
		if code := claim("u1", "tab"); code != "" { // his tab was open a moment ago, and has seen to it
			t.Fatalf("claim: %s", code)
		}
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified, "+79991112233[u2]")
		if code := claim("u2", "tab2"); code != CodeTaken { // he opens one now
			t.Errorf("a tab may notify as well: %q", code)
		}
		b.callers.mu.Lock()
		clear(b.callers.calls) // as after another node has taken the account over
		b.callers.mu.Unlock()
		b.emit("dial 101 102")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified)
	})
}

func TestWhoAnsweredOrCallsIsNotNotified(t *testing.T) {
	crm := &fakeCRM{err: errors.New("the CRM is down")}
	inCRM(t, crm, false, true, func(t *testing.T, b *bundle) {
		b.emit("dial 101", "bridge 101")
		b.emit("c2: dial 102 dir=outbound from=102")
		b.emit("c3: dial 102 dir=internal from=101")
		b.emit("c4: dial 102", "c4: hangup")
		b.emit("c5: dial 102 from=anonymous")
		pass(time.Second)
		crm.expect(t, "notified", &crm.notified)
	})
}
