package amocrm

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	toAcme   = Access{BaseURL: "https://acme.amocrm.ru", Integration: "ours", Token: "good"}
	toGlobex = Access{BaseURL: "https://globex.amocrm.ru", Integration: "ours", Token: "good"}
	toKommo  = Access{BaseURL: "https://acme.kommo.com", Integration: "ours", Token: "good"}
	toKommo2 = Access{BaseURL: "https://globex.kommo.com", Integration: "ours", Token: "good"}
)

// departures note when requests went.
type departures struct {
	mu sync.Mutex
	at []time.Duration
}

// send sends n requests at once, each answered after took.
func (a *departures) send(t *testing.T, l *Limiter, to Access, urgent bool, n int, took time.Duration) *sync.WaitGroup {
	t.Helper()
	began, wg := time.Now(), &sync.WaitGroup{}
	for range n {
		wg.Go(func() {
			w, err := l.enter(t.Context(), to, urgent)
			if err != nil {
				t.Error(err)
				return
			}
			a.mu.Lock()
			a.at = append(a.at, time.Since(began))
			a.mu.Unlock()
			time.Sleep(took)
			l.leave(w, nil)
		})
	}
	return wg
}

// most is how many went within any second.
func (a *departures) most() (most int) {
	for i := range a.at {
		n := 0
		for _, at := range a.at[i:] {
			if at-a.at[i] < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestNeverMoreThanTheLimitWithinAnySecond(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits Limits
		to     []Access
		each   int // of a second
	}{
		"integration": {Limits{}, []Access{toAcme}, 6}, // and one is kept for what is urgent
		"account":     {Limits{Integration: 10, Account: 12}, []Access{toAcme, {BaseURL: toAcme.BaseURL, Integration: "other", Token: "good"}}, 11},
		"process":     {Limits{}, []Access{toKommo, toKommo2}, 6},
		"short":       {Limits{Second: 10 * time.Millisecond}, []Access{toAcme}, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, a := NewLimiter(c.limits), &departures{}
				var all []*sync.WaitGroup
				for _, to := range c.to {
					all = append(all, a.send(t, l, to, false, 30, 0))
				}
				for _, wg := range all {
					wg.Wait()
				}
				if most := a.most(); most != c.each {
					t.Errorf("%d went within a second, want %d: %v", most, c.each, a.at)
				}
			})
		})
	}
}

func TestAccountsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, a, b := NewLimiter(Limits{}), &departures{}, &departures{}
		crowd := a.send(t, l, toAcme, false, 30, 0)
		b.send(t, l, toGlobex, false, 6, 0).Wait()
		if b.at[5] != 0 {
			t.Errorf("another account's waited: %v", b.at)
		}
		crowd.Wait()
	})
}

func TestUrgentGoesBeforeTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, backlog, urgent := NewLimiter(Limits{}), &departures{}, &departures{}
		crowd := backlog.send(t, l, toAcme, false, 30, 0)
		synctest.Wait()
		urgent.send(t, l, toAcme, true, 1, 0).Wait()
		if urgent.at[0] != 0 {
			t.Errorf("it waited %v", urgent.at)
		}
		urgent.send(t, l, toAcme, true, 6, 0).Wait() // all that there is of the next second
		if last := urgent.at[6]; last > time.Second {
			t.Errorf("one waited %v", last)
		}
		crowd.Wait()
	})
}

// TestSlowAnswersDoNotBunchUp: when a request arrived there nobody knows, so its place is its own until a second after
// the answer.
func TestSlowAnswersDoNotBunchUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, a := NewLimiter(Limits{}), &departures{}
		a.send(t, l, toAcme, false, 12, 700*time.Millisecond).Wait()
		if a.at[6] != 1700*time.Millisecond {
			t.Errorf("the seventh went after %v", a.at[6])
		}
	})
}

func TestTooLongAQueueIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, a := NewLimiter(Limits{}), &departures{}
		crowd := a.send(t, l, toAcme, false, 41, 0)
		synctest.Wait()
		_, err := l.enter(t.Context(), toAcme, false)
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.RetryAfter != patience || refusal.Sent {
			t.Errorf("got %#v", err)
		}
		crowd.Wait()
	})
}

func TestWhoStopsWaitingLeavesNoGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, a := NewLimiter(Limits{Integration: 2}), &departures{}
		a.send(t, l, toAcme, false, 1, 0).Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := l.enter(ctx, toAcme, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		a.send(t, l, toAcme, false, 1, 0).Wait()
		if a.at[1] != 700*time.Millisecond || len(l.waiting) != 0 {
			t.Errorf("it went after %v, %d wait", a.at[1], len(l.waiting))
		}
	})
}

// answered sends a request that is answered so, and returns what the sender is told.
func answered(t *testing.T, l *Limiter, to Access, answer *Error) *Error {
	t.Helper()
	w, err := l.enter(t.Context(), to, false)
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal
	}
	if err != nil {
		t.Fatal(err)
	}
	l.leave(w, answer)
	return answer
}

func TestTooManyRequestsPauseLongerEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Limits{})
		for want := time.Second; want <= 64*time.Second; want *= 2 {
			told := answered(t, l, toAcme, &Error{Status: http.StatusTooManyRequests})
			if least := min(want, time.Minute); told.RetryAfter < least || told.RetryAfter > least*5/4 {
				t.Fatalf("pause of %v, want %v", told.RetryAfter, least)
			}
			if answered(t, l, toGlobex, nil) != nil {
				t.Fatal("another account is stopped, too")
			}
			if told.RetryAfter <= patience { // the next one waits
				continue
			}
			if held := answered(t, l, toAcme, nil); held == nil || held.Status != http.StatusTooManyRequests || held.RetryAfter != told.RetryAfter {
				t.Fatalf("sent in a pause of %v: %v", told.RetryAfter, held)
			}
			time.Sleep(told.RetryAfter)
		}
		if told := answered(t, l, toAcme, nil); told != nil {
			t.Fatal(told)
		}
		if told := answered(t, l, toAcme, &Error{Status: http.StatusTooManyRequests}); told.RetryAfter > 2*time.Second {
			t.Errorf("a pause of %v after it worked", told.RetryAfter)
		}
	})
}

func TestOneGoesAheadAfterAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, a := NewLimiter(Limits{}), &departures{}
		told := answered(t, l, toAcme, &Error{Status: http.StatusTooManyRequests})
		a.send(t, l, toAcme, false, 5, 300*time.Millisecond).Wait()
		if a.at[0] != told.RetryAfter || a.at[1] != told.RetryAfter+300*time.Millisecond || a.at[4] != a.at[1] {
			t.Errorf("after %v they went at %v", told.RetryAfter, a.at)
		}
	})
}

func TestABanStopsThePlatform(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Limits{})
		ban := func() *Error { return &Error{Status: http.StatusForbidden, ban: true} }
		told := answered(t, l, toAcme, ban())
		if told.RetryAfter < time.Minute || told.RetryAfter > 75*time.Second {
			t.Fatalf("a ban of %v", told.RetryAfter)
		}
		if held := answered(t, l, toGlobex, nil); held == nil || held.Status != http.StatusForbidden || held.RetryAfter != told.RetryAfter {
			t.Errorf("another account of the platform: %v", held)
		}
		if answered(t, l, toKommo, nil) != nil {
			t.Error("the other platform is stopped, too")
		}
		for to, stopped := range map[Access]bool{toAcme: true, toGlobex: true, toKommo: false} {
			if until, why := l.Stopped(to.BaseURL, to.Integration); (why != nil) != stopped || stopped && time.Until(until) != told.RetryAfter {
				t.Errorf("the operator is told of %s: %v, %v", to.BaseURL, until, why)
			}
		}
		time.Sleep(told.RetryAfter)
		if told = answered(t, l, toGlobex, ban()); told.RetryAfter < 2*time.Minute {
			t.Errorf("a second ban of %v", told.RetryAfter)
		}
		time.Sleep(told.RetryAfter)
		if answered(t, l, toGlobex, nil) != nil {
			t.Error("it does not end")
		}
		if _, why := l.Stopped(toGlobex.BaseURL, toGlobex.Integration); why != nil {
			t.Errorf("the operator is still told %v", why)
		}
	})
}

// TestForbiddenIsNoBan: an answer that says why is the account's affair.
func TestForbiddenIsNoBan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Limits{})
		answered(t, l, toAcme, &Error{Status: http.StatusForbidden, Title: "Forbidden"})
		if answered(t, l, toAcme, nil) != nil {
			t.Error("it stops the account")
		}
	})
}

func TestPlatformOfAnAddress(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://acme.amocrm.ru": "amocrm", "https://acme.kommo.com": "kommo", "https://acme.amocrm.com": "kommo", "http://127.0.0.1:99": "127.0.0.1:99",
		"https://kommo.com.example.com": "kommo.com.example.com",
	} {
		if got := platformOf(base); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
}
