package amocrm

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway/sandbox"
)

// fleet is a node with so many accounts whose tokens are due.
func (w *world) fleet(accounts int) *node {
	w.t.Helper()
	n := w.node(ours())
	for i := range accounts {
		name := fmt.Sprint("a", i)
		w.net.set(name+".amocrm.ru", w.amo)
		err := n.update(w.t.Context(), name, func(r *record, s *secrets) (bool, error) {
			*r = record{Integration: "ours", ClientID: boxClient, BaseURL: "https://" + name + ".amocrm.ru", AccountID: int64(i + 1), State: StateConnected, Since: now()}
			s.pair = pair{Access: "old", Refresh: fmt.Sprint("refresh-", i), Issued: now().Add(-24 * time.Hour), Expires: now()}
			return true, nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return n
}

// TestManyAccountsAreRenewedWithinTheLimits: an address that asks too fast is shut out.
func TestManyAccountsAreRenewedWithinTheLimits(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		const accounts = 60
		w.fleet(accounts).runs()
		w.passes(30 * time.Second)
		if most := w.net.most(); most > 7 {
			t.Errorf("%d requests within a second", most)
		}
		if asked := w.net.count("POST "); asked != accounts {
			t.Errorf("%d requests for %d accounts", asked, accounts)
		}
	})
}

// TestBanStopsAllAccountsTokens and the API: each that asks for itself would make it longer.
func TestBanStopsAllAccountsTokens(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		defer w.amo.Fail(sandbox.AmoFault{Pattern: "POST " + tokenPath, Failure: sandbox.AmoBan})()
		n := w.fleet(60).runs()
		w.passes(50 * time.Second)
		if asked := w.net.count(""); asked > 7 {
			t.Errorf("%d requests after the CRM has shut this address out", asked)
		}
		client := NewClient(ClientConfig{
			Tokens: &keys{base: "https://" + boxHost, tokens: []string{"good"}}, Limiter: n.door.limiter, Transport: w.net, Logger: discard(),
		})
		defer client.Close()
		var held *Error
		err := client.Do(t.Context(), "acme", Request{Method: http.MethodGet, Path: accountPath}, nil)
		if asked := w.net.count(""); !errors.As(err, &held) || held.RetryAfter == 0 || asked != 0 {
			t.Errorf("the API was asked %d times: %v", asked, err)
		}
	})
}

// TestInstallationsOfOneSecondAreAllKept, though somebody else makes up codes all the time: the CRM's server calls once.
func TestInstallationsOfOneSecondAreAllKept(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		w.net.set("a.amocrm.ru", w.amo)
		guess := func(i int) { n.install("code", fmt.Sprint("guessed-", i), "referer", "a.amocrm.ru") }
		for i := range 120 {
			guess(i)
			w.passes(time.Second / 2)
		}
		const customers = 5
		for i := range customers {
			name := fmt.Sprint("customer", i)
			amo, err := sandbox.NewAmo(sandbox.AmoConfig{
				Account: int64(100 + i), Subdomain: name, BaseURL: "https://" + name + ".amocrm.ru", Logger: discard(),
				ClientID: boxClient, ClientSecret: boxSecret, RedirectURI: boxHook, Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna", Admin: true}},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.net.set(name+".amocrm.ru", amo)
			code, err := amo.Code(boxClient)
			if res := n.install("code", code, "referer", name+".amocrm.ru"); err != nil || res.Code != http.StatusOK {
				t.Errorf("%s is answered %d %s, %v", name, res.Code, res.Body, err)
			}
		}
		for i := range 60 {
			guess(200 + i)
			w.passes(time.Second / 2)
		}
		for i := range customers {
			n.wantState(fmt.Sprint("customer", i), StateConnected)
		}
	})
}

// TestCodesThatAreNotKeptTakeNobodysTurn: somebody repeats codes that another node has.
func TestCodesThatAreNotKeptTakeNobodysTurn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.net.set("a.amocrm.ru", w.amo)
		one, other := w.node(ours()), w.node(ours())
		for i := range maxArrivalsAt {
			one.install("code", fmt.Sprint("guessed-", i), "referer", "a.amocrm.ru")
			for range 20 {
				other.install("code", fmt.Sprint("guessed-", i), "referer", "a.amocrm.ru")
			}
		}
		code, err := w.amo.Code(boxClient)
		if err != nil {
			t.Fatal(err)
		}
		other.install("code", code, "referer", boxHost)
		w.passes(5 * time.Second)
		other.wantState("acme", StateConnected)
	})
}

// TestWhatNobodyAsksForIsForgotten: strangers say of which account a code is, and each has limits of its own.
func TestWhatNobodyAsksForIsForgotten(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		l := NewLimiter(Limits{})
		const strangers = 10_000
		for i := range strangers {
			pass, err := l.enter(t.Context(), Access{BaseURL: fmt.Sprintf("https://s%d.amocrm.ru", i)}, false)
			if err != nil {
				t.Fatal(err)
			}
			var answer *Error
			if i%2 == 0 {
				answer = &Error{Status: http.StatusTooManyRequests}
			}
			l.leave(pass, answer)
			w.passes(time.Minute)
		}
		if gates := len(l.gates); gates > 100 {
			t.Errorf("%d limits are known", gates)
		}
	})
}

// TestOperatorsLinkGoesPastStrangersCodes, however many of them wait for a CRM that is away.
func TestOperatorsLinkGoesPastStrangersCodes(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		lift := w.amo.Refuse("POST "+tokenPath, http.StatusBadGateway, "")
		refused := 0
		for i := range 2 * maxArrivals {
			if n.install("code", fmt.Sprint("guessed-", i), "referer", fmt.Sprintf("s%d.amocrm.ru", i)).Code != http.StatusOK {
				refused++
			}
			w.passes(time.Second / 10)
		}
		if refused != maxArrivals {
			t.Errorf("%d strangers were refused, want %d", refused, maxArrivals)
		}
		answered := make(chan *httptest.ResponseRecorder, 1)
		go func() {
			answered <- n.get(n.ServeRedirect, url.Values{"code": {w.code()}, "referer": {boxHost}, "state": {n.state("ours", time.Now())}})
		}()
		synctest.Wait()
		lift()
		if res := <-answered; res.Code != http.StatusOK && res.Code != http.StatusAccepted {
			t.Errorf("the administrator is answered %d %s", res.Code, res.Body)
		}
		w.passes(time.Minute)
		n.wantAccess("acme")
	})
}

// TestRestOfARenewalStartsNothing: each request of the API in a token's last hour asked the store.
func TestRestOfARenewalStartsNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.passes(23*time.Hour + 30*time.Minute)
		w.net.cut(true)
		n.wantToken("acme")
		synctest.Wait()
		before := w.store.reads()
		for range 100 {
			n.wantToken("acme")
			synctest.Wait()
		}
		if reads := w.store.reads() - before; reads != 0 {
			t.Errorf("the store was read %d times", reads)
		}
	})
}

// wantToken checks that there is an access, whatever it is worth.
func (n *node) wantToken(account string) {
	n.world.t.Helper()
	if access, err := n.Access(n.world.t.Context(), account); err != nil || access.Token == "" {
		n.world.t.Errorf("no access: %v", err)
	}
}
