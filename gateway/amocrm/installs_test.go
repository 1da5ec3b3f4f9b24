package amocrm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

func TestInstallCallIsAnsweredBeforeTheCRMIsAsked(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		release := w.amo.Hang("POST " + tokenPath)
		start := time.Now()
		if res := n.install(); res.Code != http.StatusOK || time.Since(start) != 0 {
			t.Errorf("answered %d after %v", res.Code, time.Since(start))
		}
		n.wantState("acme", "")
		release()
		synctest.Wait()
		a := n.wantState("acme", StateConnected)
		if want := (Installation{
			Account: "acme", Integration: "ours", Platform: PlatformAmoCRM, ClientID: boxClient, BaseURL: "https://" + boxHost, AccountID: boxNumber,
			Admin: "88888", State: StateConnected, Since: a.Since, Renewed: a.Renewed,
		}); a != want {
			t.Errorf("installed as %+v", a)
		}
		n.wantAccess("acme")
		if access := n.wantAccess("acme"); access.ClientID != boxClient || access.Integration != boxClient {
			t.Errorf("access %+v", access)
		}
		if w.store.keys(keyArrivals) != 0 {
			t.Error("the code stays in the store")
		}
	})
}

func TestAccountIsKnownToOtherNodesAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		other := w.node(ours()).runs()
		before := other.changes.Load()
		n := w.connected(ours())
		synctest.Wait()
		other.wantState("acme", StateConnected)
		if other.changes.Load() != before+1 {
			t.Errorf("it was told %d times", other.changes.Load()-before)
		}
		if installs := other.Verifiable(); len(installs) != 1 || installs[0].AccountID != boxNumber || installs[0].Account != "acme" {
			t.Errorf("verifiable are %+v", installs)
		}
		if key := other.PBXKey("acme", "main"); key == "" || key != n.PBXKey("acme", "main") || key == n.PBXKey("acme", "second") || n.PBXKey("nobody", "main") != "" {
			t.Error("the PBX's key is not the same everywhere")
		}
		w.passes(25 * time.Hour) // a renewal is no news
		if other.wantAccess("acme"); other.changes.Load() != before+1 {
			t.Error("a renewal is told as a change")
		}
	})
}

func TestNamesOfInstalledAccounts(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		for _, c := range []struct {
			id        int64
			subdomain string
			want      string
		}{
			{1, "globex", "globex"}, {2, "globex", "amo-2"}, {3, "taken", "amo-3"}, {4, "ringcast", "amo-4"}, {5, "UPPER", "amo-5"}, {6, "ours", "amo-6"},
			{1, "renamed", "globex"},
		} {
			info := AccountInfo{ID: c.id, Subdomain: c.subdomain}
			got, err := n.connect(t.Context(), n.integrations["ours"], &arrival{BaseURL: "https://x.amocrm.ru"}, info, pair{})
			if err != nil || got != c.want {
				t.Errorf("%d, %s: %q %v, want %q", c.id, c.subdomain, got, err, c.want)
			}
		}
	})
}

func TestHostileReferer(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		kommo := ours()
		kommo.ID, kommo.Platform, kommo.ClientID = "kommo", PlatformKommo, "another"
		own := acmesOwn()
		own.ID, own.Account, own.ClientID = "acme", "acme", "third"
		n := w.node(ours(), kommo, own)
		for _, referer := range []string{
			"", "evil.example.com", "evil.example.com/.amocrm.ru", "evil.example.com#.amocrm.ru", "evil.example.com?.amocrm.ru", "acme.amocrm.ru@evil.example.com",
			"acme.amocrm.ru.evil.example.com", "acmeamocrm.ru", ".amocrm.ru", "amocrm.ru", "a.b.amocrm.ru", "acme.amocrm.ru:8443", "https://acme.amocrm.ru",
			"acme.amocrm.ru/", "acme.amocrm.ru\n", "acme.amocrm.ru%00", "ACME.AMOCRM.RU", "acmе.amocrm.ru", "127.0.0.1", "[::1]", "localhost", "-a.amocrm.ru",
			"acme.kommo.com", strings.Repeat("a", 64) + ".amocrm.ru", strings.Repeat("a", 9000),
		} {
			if res := n.install("referer", referer); res.Code == http.StatusOK {
				t.Errorf("referer %q was taken", referer)
			}
			w.passes(time.Second)
		}
		for client, referer := range map[string]string{"another": boxHost, "third": "evil.amocrm.ru", "fourth": boxHost} {
			if res := n.install("client_id", client, "referer", referer); res.Code != http.StatusForbidden {
				t.Errorf("client_id %s from %s was answered %d", client, referer, res.Code)
			}
		}
		if asked := w.net.count(""); asked != 0 {
			t.Errorf("%d requests went out", asked)
		}
	})
}

func TestBaseURLOfASandbox(t *testing.T) {
	t.Parallel()
	in := ours()
	in.BaseURLs = []string{"http://127.0.0.1:8081", "http://127.0.0.1:8082"}
	for host, want := range map[string]string{"127.0.0.1:8081": in.BaseURLs[0], "127.0.0.1:8082": in.BaseURLs[1], "127.0.0.1:8083": "", boxHost: ""} {
		if got, err := in.base(host, false); got != want || (err == nil) != (want != "") {
			t.Errorf("%s is at %q, %v", host, got, err)
		}
	}
	if at := in.authorizeURL("s"); !strings.HasPrefix(at, "http://127.0.0.1:8081/oauth?") {
		t.Error(at)
	}
}

func TestLinkOfTheOperator(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		own := acmesOwn()
		other := ours()
		other.ClientID = "other-client"
		n := w.node(own, other)
		stateOf := func(id string) string {
			link, ok := n.Link(id)
			u, err := url.Parse(link)
			if !ok || err != nil {
				t.Fatalf("the link of %s: %q", id, link)
			}
			return u.Query().Get("state")
		}
		state := stateOf("acme")
		back := func(state, client string) *httptest.ResponseRecorder {
			return n.get(n.ServeRedirect, url.Values{"code": {w.code()}, "referer": {boxHost}, "client_id": {client}, "state": {state}})
		}
		signature := state[strings.LastIndexByte(state, '.')+1:]
		for name, forged := range map[string]string{
			"nothing of ours":        "x",
			"no signature":           strings.TrimSuffix(state, signature),
			"another's signature":    strings.TrimSuffix(state, signature) + strings.Repeat("A", len(signature)),
			"for another account":    strings.Replace(state, "acme", "ours", 1),
			"longer":                 strings.Replace(state, "acme.", "acme.9", 1),
			"of another integration": stateOf("ours"),
			"very long":              strings.Repeat("a.", 2000),
		} {
			if res := back(forged, boxClient); res.Code != http.StatusUnauthorized {
				t.Errorf("%s: answered %d %s", name, res.Code, res.Body)
			}
		}
		w.passes(2 * time.Hour)
		if res := back(state, boxClient); res.Code != http.StatusUnauthorized {
			t.Errorf("after two hours: %d", res.Code)
		}
		if w.net.count("") != 0 {
			t.Error("requests went out")
		}
		res := back(stateOf("acme"), boxClient)
		if res.Code != http.StatusOK || !strings.Contains(res.Body.String(), "as the account <b>acme</b>") || res.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("answered %d %s", res.Code, res.Body)
		}
		n.wantAccess("acme")
		denied := n.get(n.ServeRedirect, url.Values{"error": {"access_denied"}, "referer": {boxHost}, "state": {stateOf("acme")}})
		if !strings.Contains(denied.Body.String(), "Nothing was changed") {
			t.Errorf("refused: %s", denied.Body)
		}
		n.wantState("acme", StateConnected)
	})
}

func TestTokensForAnotherAccount(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		byNumber, bySubdomain := acmesOwn(), acmesOwn()
		byNumber.AccountID = 999
		bySubdomain.BaseURLs, bySubdomain.Domain = []string{"https://globex.amocrm.ru"}, "globex.amocrm.ru"
		w.net.set("globex.amocrm.ru", w.amo) // as if it gave acme's tokens there
		for name, c := range map[string]struct {
			in      Integration
			referer string
		}{"by its number": {byNumber, boxHost}, "by its subdomain": {bySubdomain, "globex.amocrm.ru"}} {
			n := w.node(c.in)
			n.install("referer", c.referer)
			n.wantState("acme", StateWaiting)
			n.wantNone("acme", ErrDisconnected)
			if !strings.Contains(w.log.String(), errOtherAccount.Error()) {
				t.Errorf("%s: the log does not tell:\n%s", name, w.log)
			}
			w.log.Reset()
			n.stop()
		}
	})
}

func TestLinkOfAnInstalledAccountIsForNoOther(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		err := n.update(t.Context(), "globex", func(r *record, _ *secrets) (bool, error) {
			*r = record{Integration: "ours", ClientID: boxClient, AccountID: 7, BaseURL: "https://globex.amocrm.ru", State: StateDisconnected}
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		res := n.get(n.ServeRedirect, url.Values{"code": {w.code()}, "referer": {boxHost}, "state": {n.state("globex", time.Now())}})
		if res.Code != http.StatusBadGateway || !strings.Contains(res.Body.String(), "the link was for globex") {
			t.Errorf("answered %d %s", res.Code, res.Body)
		}
		n.wantState("globex", StateDisconnected)
	})
}

func TestUninstallHook(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		sign := func(secret, text string) string {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(text))
			return hex.EncodeToString(mac.Sum(nil))
		}
		account := fmt.Sprint(boxNumber)
		good := sign(boxSecret, boxClient+"|"+account)
		hook := func(client, account, signature string) int {
			return n.get(n.ServeUninstall, url.Values{"client_uuid": {client}, "account_id": {account}, "signature": {signature}}).Code
		}
		for name, forged := range map[string][3]string{
			"none":                  {boxClient, account, ""},
			"of another account":    {boxClient, account, sign(boxSecret, boxClient+"|7")},
			"by another secret":     {boxClient, account, sign("guessed", boxClient+"|"+account)},
			"in capitals":           {boxClient, account, strings.ToUpper(good)},
			"too long":              {boxClient, account, good + "00"},
			"for an unknown client": {"nobody", account, good},
			"boundary moved":        {boxClient + "|1", account[1:], good},
		} {
			if status := hook(forged[0], forged[1], forged[2]); status != http.StatusForbidden {
				t.Errorf("%s: answered %d", name, status)
			}
		}
		n.wantState("acme", StateConnected)
		n.wantAccess("acme")
		if status := hook(boxClient, "7", sign(boxSecret, boxClient+"|7")); status != http.StatusNoContent {
			t.Errorf("an account that is not known: %d", status)
		}
		if status := hook(boxClient, account, good); status != http.StatusNoContent {
			t.Errorf("the good one was answered %d", status)
		}
		n.wantState("acme", StateUninstalled)
		n.wantNone("acme", ErrDisconnected)
		if len(n.Verifiable()) != 0 {
			t.Error("its widget is still believed")
		}
		w.net.count("")
		n.runs()
		w.passes(48 * time.Hour)
		if asked := w.net.count(""); asked != 0 {
			t.Errorf("the CRM was asked %d times more", asked)
		}
		n.install()
		n.wantAccess("acme")
	})
}

func TestSecretsAtRest(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		w.passes(25 * time.Hour)
		token := n.wantAccess("acme").Token
		written := w.store.all()
		h := n.held["acme"]
		for name, secret := range map[string]string{
			"access token": token, "refresh token": h.Refresh, "the one before": h.Previous, "code": "def50200", "client_secret": boxSecret, "PBX key": n.PBXKey("acme", "main"),
		} {
			if secret == "" || strings.Contains(written, secret) || strings.Contains(w.log.String(), secret) {
				t.Errorf("the %s stands in the store or in the log", name)
			}
		}
		n.stop()

		w.key = []byte(strings.Repeat("x", 32)) // somebody lost the key
		lost := w.node(ours())
		a := lost.wantState("acme", StateDisconnected)
		if !strings.Contains(a.Reason, "a key that is not configured any more") {
			t.Errorf("the reason is %q", a.Reason)
		}
		lost.wantNone("acme", ErrDisconnected)
	})
}

func TestKeysInRotation(t *testing.T) {
	t.Parallel()
	before, after := []byte(strings.Repeat("1", 32)), []byte(strings.Repeat("2", 32))
	old, err := NewSealer(before)
	if err != nil {
		t.Fatal(err)
	}
	both, err := NewSealer(after, before)
	if err != nil {
		t.Fatal(err)
	}
	next, err := NewSealer(after)
	if err != nil {
		t.Fatal(err)
	}
	sealed := old.Seal([]byte("token"), "amocrm.installs.acme")
	if plain, err := both.Open(sealed, "amocrm.installs.acme"); err != nil || string(plain) != "token" {
		t.Errorf("%q %v", plain, err)
	}
	if _, err := next.Open(sealed, "amocrm.installs.acme"); err == nil {
		t.Error("opened without its key")
	}
	if _, err := old.Open(sealed, "amocrm.installs.globex"); err == nil {
		t.Error("opened at another account")
	}
	if plain, err := next.Open(both.Seal([]byte("token"), "p"), "p"); err != nil || string(plain) != "token" {
		t.Errorf("the first key does not seal: %v", err)
	}
	if !both.signed("text", old.sign("text")) || next.signed("text", old.sign("text")) || old.signed("other", old.sign("text")) {
		t.Error("links are not signed by key")
	}
	for _, keys := range [][][]byte{nil, {nil}, {after, {}}} {
		if _, err := NewSealer(keys...); err == nil {
			t.Errorf("keys %q were taken", keys)
		}
	}
}

func TestCodeOfANodeThatWasKilled(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		killed := w.node(ours())
		release := w.amo.Hang("POST " + tokenPath)
		killed.install()
		killed.end()
		synctest.Wait()
		release()
		other := w.node(ours()).runs()
		other.wantState("acme", "")
		w.passes(3 * time.Minute)
		other.wantAccess("acme")
		if w.store.keys(keyArrivals) != 0 {
			t.Error("the code stays in the store")
		}
	})
}

func TestCRMThatFailsRightAfterTheExchange(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		lift := w.amo.Refuse("GET "+accountPath, http.StatusInternalServerError, "")
		n.install()
		w.passes(30 * time.Minute) // longer than the code lives; the pair is there already
		n.wantState("acme", "")
		lift()
		w.passes(10 * time.Minute)
		n.wantAccess("acme")
	})
}

func TestRefusedCodeChangesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.connected(ours())
		for range 3 {
			n.install("code", "guessed")
		}
		w.passes(time.Hour)
		n.wantAccess("acme")
		if w.store.keys(keyArrivals) != 0 {
			t.Error("codes pile up")
		}
	})
}

func TestStrangersCodesAreFew(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		for i := range 1000 {
			n.install("code", fmt.Sprint("guessed-", i))
		}
		if asked := w.net.count(""); asked > 7 { // or the CRM would shut this address out
			t.Errorf("%d requests went out at once", asked)
		}
	})
}

func TestCodeComesTwice(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		release := w.amo.Hang("POST " + tokenPath)
		code := w.code()
		first, second := n.install("code", code), n.install("code", code)
		if first.Code != http.StatusOK || second.Code != http.StatusTooManyRequests {
			t.Errorf("answered %d and %d", first.Code, second.Code)
		}
		release()
		synctest.Wait()
		n.wantAccess("acme")
	})
}

func TestScopeThatIsMissing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(ours())
		w.amo.Refuse("GET "+accountPath, http.StatusForbidden, "")
		n.install()
		if n.wantState("acme", ""); !strings.Contains(w.log.String(), "give it the scope crm") {
			t.Errorf("the log does not tell:\n%s", w.log)
		}
	})
}

func FuzzRedirect(f *testing.F) {
	f.Add("code=a&referer=acme.amocrm.ru&from_widget=1")
	f.Add("code=a&referer=acme.amocrm.ru@evil.example.com&state=a.b.c.d")
	f.Add("client_uuid=" + boxClient + "&account_id=1&signature=00")
	f.Fuzz(func(t *testing.T, query string) {
		sealer, err := NewSealer([]byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		net := &network{}
		n, err := NewInstalls(InstallsConfig{
			Store: newWatchedStore(), Sealer: sealer, Integrations: []Integration{ours()}, Taken: func(string) bool { return false },
			Changed: func() {}, Client: &http.Client{Transport: net}, Logger: discard(),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, serve := range []gateway.HandlerFunc{n.ServeRedirect, n.ServeUninstall} {
			req := httptest.NewRequest(http.MethodGet, "/oauth", nil)
			req.URL.RawQuery = query + "&from_widget=1"
			_ = serve(httptest.NewRecorder(), req)
		}
		n.end()
		n.Close()
		for _, asked := range net.asked {
			host, _, _ := strings.Cut(strings.TrimPrefix(asked, "POST "), "/")
			if PlatformAmoCRM.subdomainAt(host) == "" {
				t.Errorf("%q made it ask %s", query, asked)
			}
		}
	})
}
