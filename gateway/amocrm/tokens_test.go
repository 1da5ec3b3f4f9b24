package amocrm

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
)

const askTokens = "POST " + boxHost + tokenPath

func TestRefreshRacedByFiftyRequestsIsOne(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		first := w.connected(ours())
		nodes := []*node{first, w.node(ours())}
		w.passes(25 * time.Hour) // nobody runs, so the token has expired
		w.net.count("")
		var wait sync.WaitGroup
		tokens := make([]string, 50)
		for i := range tokens {
			wait.Go(func() {
				access, err := nodes[i%2].Access(t.Context(), "acme")
				if err != nil {
					t.Error(err)
				}
				tokens[i] = access.Token
			})
		}
		wait.Wait()
		for _, token := range tokens {
			if token != tokens[0] || token == "" {
				t.Error("they got different tokens")
			}
		}
		if asked := w.net.count(askTokens); asked != 1 {
			t.Errorf("%d refreshes, want one", asked)
		}
		first.wantAccess("acme")
	})
}

func TestFiftyRequestsWithARejectedTokenAreOneRefresh(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.passes(time.Hour)
		old := n.wantAccess("acme").Token
		w.net.count("")
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				n.Rejected(t.Context(), "acme", old)
				if access, err := n.Access(t.Context(), "acme"); err != nil || access.Token == old {
					t.Errorf("the rejected token again, or %v", err)
				}
			})
		}
		wait.Wait()
		if asked := w.net.count(askTokens); asked != 1 {
			t.Errorf("%d refreshes, want one", asked)
		}
	})
}

func TestIdleAccountIsKeptAlive(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours()).runs()
		for range 100 { // longer than a refresh token lives
			w.passes(24 * time.Hour)
			w.net.count("")
			n.wantAccess("acme")
			if w.net.count(askTokens) != 0 {
				t.Fatal("somebody had to wait for a refresh")
			}
		}
	})
}

func TestLostAnswerOfARefresh(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.passes(25 * time.Hour)
		w.amo.Fail(sandbox.AmoFault{Pattern: "POST " + tokenPath, Failure: sandbox.AmoLose, Times: 1})
		w.net.count("")
		err := n.wantNone("acme", nil)
		for range 100 {
			n.wantNone("acme", nil)
		}
		if asked := w.net.count(askTokens); asked != 1 || strings.Contains(err.Error(), "def50200") {
			t.Errorf("it hammers, %d times, or tells a secret: %v", asked, err)
		}
		w.passes(2 * time.Second)
		n.wantAccess("acme") // by the old refresh token, which is good until the new pair is used
		n.wantState("acme", StateConnected)
	})
}

func TestTheTokenBeforeIsTriedOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		err := n.update(t.Context(), "acme", func(_ *record, s *secrets) (bool, error) { // of a pair that never came to be used
			s.Previous, s.Refresh = s.Refresh, "lost"
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.passes(25 * time.Hour)
		w.net.count("")
		n.wantAccess("acme")
		if asked := w.net.count(askTokens); asked != 2 {
			t.Errorf("%d requests, want one with each", asked)
		}
	})
}

func TestStoreThatFailsWhileANewPairComes(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		old := n.wantAccess("acme").Token
		w.passes(25 * time.Hour)
		release := w.amo.Hang("POST " + tokenPath)
		landed := make(chan string)
		go func() {
			access, _ := n.Access(t.Context(), "acme")
			landed <- access.Token
		}()
		w.passes(time.Second)
		w.store.breaks(http.ErrServerClosed)
		release()
		w.passes(5 * time.Second)
		select {
		case token := <-landed:
			t.Fatalf("a token was used that is not in the store: %v", token == old)
		default:
		}
		w.store.breaks(nil)
		if token := <-landed; token == "" || token == old {
			t.Error("the new pair is lost")
		}
	})
}

func (s *watchedStore) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func TestNodeKilledWhileItRenews(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.connected(ours())
		killed, other := w.node(ours()), w.node(ours())
		w.passes(25 * time.Hour)
		release := w.amo.Hang("POST " + tokenPath)
		go func() { _, _ = killed.Access(t.Context(), "acme") }()
		w.passes(time.Millisecond)
		w.net.count("")
		start := time.Now()
		got := make(chan error)
		go func() {
			_, err := other.Access(t.Context(), "acme")
			got <- err
		}()
		w.passes(time.Second)
		if w.net.count(askTokens) != 0 {
			t.Error("two nodes renew at once")
		}
		killed.end() // its request ends, and it writes nothing
		release()
		if err := <-got; err != nil || time.Since(start) > leaseTime+2*leaseLook {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestRevokedIntegrationIsLeftAloneUntilItIsInstalledAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours()).runs()
		key := n.PBXKey("acme", "main")
		w.amo.Revoke(boxClient)
		token, err := n.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		n.Rejected(t.Context(), "acme", token.Token)
		n.wantNone("acme", ErrDisconnected)
		a := n.wantState("acme", StateDisconnected)
		if !strings.Contains(a.Reason, "Token has been revoked") {
			t.Errorf("the reason is %q", a.Reason)
		}
		w.net.count("")
		for range 1000 {
			n.wantNone("acme", ErrDisconnected)
		}
		w.passes(30 * 24 * time.Hour)
		if asked := w.net.count(""); asked != 0 {
			t.Errorf("the CRM was asked %d times more", asked)
		}
		if lines := strings.Count(w.log.String(), "does not let the integration in any more"); lines != 1 {
			t.Errorf("%d lines tell it, want one:\n%s", lines, w.log)
		}
		link, ok := n.Link("acme")
		if !ok || !strings.HasPrefix(link, "https://www.amocrm.ru/oauth?client_id="+boxClient) {
			t.Errorf("the link that mends it is %q", link)
		}
		n.install()
		n.wantAccess("acme")
		if n.PBXKey("acme", "main") != key || len(key) != 40 || len(n.All()) != 1 {
			t.Errorf("it did not come back as it was: %+v", n.All())
		}
	})
}

func TestTokensThatAreRefusedAsSoonAsTheyAreGiven(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.passes(time.Hour)
		w.net.count("")
		for range 20 {
			if access, err := n.Access(t.Context(), "acme"); err == nil {
				n.Rejected(t.Context(), "acme", access.Token)
			}
		}
		n.wantNone("acme", ErrDisconnected)
		if asked := w.net.count(askTokens); asked != 1 {
			t.Errorf("%d refreshes, want one", asked)
		}
	})
}

func TestWrongSecretIsMendedInTheConfiguration(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(acmesOwn())
		w.amo.NewSecret(boxClient, "another")
		w.passes(25 * time.Hour)
		n.wantNone("acme", ErrDisconnected)
		n.stop()
		w.node(acmesOwn()).wantNone("acme", ErrDisconnected)
		mended := acmesOwn()
		mended.Secrets = []string{"another", boxSecret}
		n = w.node(mended)
		n.wantAccess("acme")
		n.wantState("acme", StateConnected)
	})
}

func TestSecretsInRotation(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		in := ours()
		in.Secrets = []string{"not-yet", boxSecret}
		n := w.connected(in)
		w.passes(25 * time.Hour)
		n.wantAccess("acme")
		w.amo.NewSecret(boxClient, "not-yet")
		w.passes(25 * time.Hour)
		n.wantAccess("acme")
	})
}

func TestCRMThatIsDownIsAskedEverMoreSeldom(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours()).runs()
		w.net.cut(true)
		w.passes(25 * time.Hour)
		w.net.count("")
		for range 24 * 60 {
			w.passes(time.Minute)
			n.wantNone("acme", nil)
		}
		if asked := w.net.count(askTokens); asked < 100 || asked > 300 { // every five minutes or so
			t.Errorf("asked %d times in a day", asked)
		}
		n.wantState("acme", StateConnected)
		w.net.cut(false)
		w.passes(10 * time.Minute)
		n.wantAccess("acme")
	})
}

func TestRenamedSubdomain(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(*world, *node){
		"found by the renewal": func(w *world, _ *node) { w.passes(25 * time.Hour) },
		"found by a 401":       func(w *world, n *node) { n.Rejected(w.t.Context(), "acme", n.held["acme"].Access) },
		"told by the widget":   func(w *world, n *node) { n.Moved("acme", "https://renamed.amocrm.ru"); w.passes(time.Second) },
	} {
		for _, in := range []Integration{ours(), acmesOwn()} {
			t.Run(name+", "+in.ID, func(t *testing.T) {
				t.Parallel()
				inWorld(t, func(t *testing.T, w *world) {
					n := w.connected(in)
					w.net.set("renamed.amocrm.ru", w.amo)
					w.net.set("api-b.amocrm.ru", w.amo)
					w.amo.Move("https://"+boxHost, "api-b.amocrm.ru", "acme") // of which the tokens tell
					w.passes(25 * time.Hour)
					n.wantAccess("acme")
					w.amo.Move("https://renamed.amocrm.ru", "", "renamed")
					find(w, n)
					if access := n.wantAccess("acme"); access.BaseURL != "https://renamed.amocrm.ru" {
						t.Errorf("it is looked for at %s", access.BaseURL)
					}
					if a := n.wantState("acme", StateConnected); a.BaseURL != "https://renamed.amocrm.ru" {
						t.Errorf("it is told to be at %s", a.BaseURL)
					}
				})
			})
		}
	}
}

func TestMovedToWhereItIsNot(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.net.set("evil.amocrm.ru", http.NotFoundHandler())
		w.net.count("")
		for _, base := range []string{"https://evil.example.com", "http://" + boxHost, "https://x." + boxHost, "https://evil.amocrm.ru"} {
			n.Moved("acme", base)
			w.passes(2 * movedPace)
		}
		if a := n.wantState("acme", StateConnected); a.BaseURL != "https://"+boxHost {
			t.Errorf("moved to %s", a.BaseURL)
		}
		if asked := w.net.count(""); asked != 1 { // the account that there might be
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestLongLivedToken(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		private, err := sandbox.NewAmo(sandbox.AmoConfig{
			Account: boxNumber, Subdomain: "acme", BaseURL: "https://" + boxHost, ClientID: boxClient, ClientSecret: boxSecret, RedirectURI: boxHook,
			Private: true, Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna", Admin: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.net.set(boxHost, private)
		longLived := func() string {
			token, err := private.LongLivedToken(boxClient, 5*365*24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		in := acmesOwn()
		in.Token = longLived()
		n := w.node(in).runs()
		if access := n.wantAccess("acme"); access.Token != in.Token {
			t.Errorf("access %+v", access)
		}
		n.wantState("acme", StateConnected)
		if _, ok := n.Link("acme"); ok {
			t.Error("there is a link, which would mend nothing")
		}
		private.Revoke(boxClient)
		n.Rejected(t.Context(), "acme", in.Token)
		w.passes(time.Second)
		n.wantNone("acme", ErrDisconnected)
		n.wantState("acme", StateDisconnected)
		w.net.count("")
		w.passes(24 * time.Hour)
		if asked := w.net.count(""); asked > 24 {
			t.Errorf("asked %d times in a day", asked)
		}
		n.stop()
		if strings.Contains(w.store.all(), in.Token) {
			t.Error("the token is in the store")
		}
		in.Token = longLived()
		n = w.node(in).runs()
		n.wantAccess("acme")
		n.wantState("acme", StateConnected)
	})
}

func TestLongLivedTokenOfAnotherAccount(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		in := acmesOwn()
		in.AccountID = 999
		code := w.code()
		p, err := w.node().door.byCode(t.Context(), &in, in.BaseURLs[0], code)
		if err != nil {
			t.Fatal(err)
		}
		in.Token = p.Access
		n := w.node(in).runs()
		n.wantNone("acme", ErrDisconnected)
		n.wantState("acme", StateDisconnected)
	})
}
