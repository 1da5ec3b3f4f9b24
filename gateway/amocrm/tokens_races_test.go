package amocrm

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestInstalledAgainWhileItRenews(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n, other := w.connected(ours()), w.node(ours())
		w.passes(25 * time.Hour)
		release := w.amo.Hang("POST " + tokenPath)
		got := make(chan string)
		go func() {
			access, _ := n.Access(t.Context(), "acme")
			got <- access.Token
		}()
		w.passes(time.Millisecond)
		newest := pair{Access: "a", Refresh: "r", Issued: now(), Expires: now().Add(24 * time.Hour)}
		info := AccountInfo{ID: boxNumber, Subdomain: "acme"}
		if _, err := other.connect(t.Context(), other.integrations["ours"], &arrival{BaseURL: "https://" + boxHost}, info, newest); err != nil {
			t.Fatal(err)
		}
		release()
		if token := <-got; token != "a" {
			t.Error("what the renewal brought stands over what the installation did")
		}
	})
}

func TestRemovedWhileItRenews(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n, other := w.connected(ours()), w.node(ours())
		w.passes(25 * time.Hour)
		release := w.amo.Hang("POST " + tokenPath)
		got := make(chan error)
		go func() {
			_, err := n.Access(t.Context(), "acme")
			got <- err
		}()
		w.passes(time.Millisecond)
		if err := other.remove(t.Context(), other.All()[0]); err != nil {
			t.Fatal(err)
		}
		release()
		if err := <-got; err == nil {
			t.Error("there is access again")
		}
		n.wantState("acme", StateUninstalled)
	})
}

// TestRedirectOfTheCRMIsNotFollowed holds that a secret does not go where an answer says.
func TestRedirectOfTheCRMIsNotFollowed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.passes(25 * time.Hour)
		w.net.set(boxHost, http.RedirectHandler("https://evil.example.com/", http.StatusTemporaryRedirect))
		n.wantNone("acme", nil)
		n.install()
		synctest.Wait()
		if asked := w.net.count("evil.example.com"); asked != 0 {
			t.Errorf("%d requests went to where the answer said", asked)
		}
		n.wantState("acme", StateConnected)
	})
}

func TestBanIsRespected(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours()).runs()
		w.net.set(boxHost, http.HandlerFunc(func(res http.ResponseWriter, _ *http.Request) { res.WriteHeader(http.StatusForbidden) }))
		w.passes(23*time.Hour + 30*time.Minute) // the renewal ahead of time has met it
		w.net.count("")
		w.passes(time.Hour)
		if asked := w.net.count(""); asked == 0 || asked > 7 {
			t.Errorf("asked %d times in an hour", asked)
		}
		w.net.set(boxHost, w.amo)
		w.passes(20 * time.Minute)
		n.wantAccess("acme")
	})
}
