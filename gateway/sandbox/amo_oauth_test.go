package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway/sandbox"
	"ringcast/static"
	"ringcast/widget"
	"ringcast/widget/widgettest"
)

const (
	clientID = "6f0b7b5c-1d0e-4d0a-9d8e-0c7f8a3c1a11"
	redirect = "https://gw.example.com:8443/oauth"
)

type pair struct {
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// exchange asks for tokens: kind is "code" or "refresh_token". change makes something wrong of a good request.
func exchange(t *testing.T, amo http.Handler, kind, what string, change ...string) (*httptest.ResponseRecorder, pair) {
	t.Helper()
	body := map[string]string{
		"client_id": clientID, "client_secret": amoConfig().ClientSecret, "redirect_uri": redirect, kind: what,
		"grant_type": map[string]string{"code": "authorization_code", "refresh_token": "refresh_token"}[kind],
	}
	for i := 0; i < len(change); i += 2 {
		body[change[i]] = change[i+1]
	}
	written, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	w := ask(amo, "", "POST", "/oauth2/access_token", string(written))
	var p pair
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return w, p
}

func tokens(t *testing.T, amo *sandbox.Amo) pair {
	t.Helper()
	code, err := amo.Code(clientID)
	if err != nil {
		t.Fatal(err)
	}
	w, p := exchange(t, amo, "code", code)
	if w.Code != 200 || p.Type != "Bearer" || p.Expires != 86400 || p.Access == "" || p.Refresh == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return p
}

// bear sends a request with an access token.
func bear(amo http.Handler, token, method, path, body string, header ...string) *httptest.ResponseRecorder {
	return ask(amo, "", method, path, body, append(header, "Authorization", "Bearer "+token)...)
}

func TestAmoConsentLeadsBackWithACode(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	press := func(user, answer string) (*httptest.ResponseRecorder, url.Values) {
		form := url.Values{"client_id": {clientID}, "state": {"s & t"}, "user": {user}, "answer": {answer}}
		w := ask(amo, "", "POST", "/oauth", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return w, to.Query()
	}
	if w := ask(amo, "", "GET", "/oauth?mode=popup&state=s+%26+t&client_id="+clientID, ""); w.Code != 200 || !strings.Contains(w.Body.String(), `value="s &amp; t"`) || !strings.Contains(w.Body.String(), "oauth__allow") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := ask(amo, "", "GET", "/oauth?user=99999&client_id="+clientID, ""); strings.Contains(w.Body.String(), "oauth__allow") {
		t.Error("who is no administrator is asked")
	}
	if w := ask(amo, "", "GET", "/oauth?client_id=other", ""); w.Code != 400 {
		t.Errorf("an unknown integration: %d", w.Code)
	}
	w, query := press(anna, "allow")
	if w.Code != 302 || !strings.HasPrefix(w.Header().Get("Location"), redirect+"?") || query.Get("state") != "s & t" ||
		query.Get("referer") != "acme.test" || query.Get("client_id") != clientID {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Location"))
	}
	if w, _ := exchange(t, amo, "code", query.Get("code")); w.Code != 200 {
		t.Errorf("the code: %d %s", w.Code, w.Body)
	}
	if _, query := press(anna, "deny"); query.Get("error") != "access_denied" || query.Has("code") {
		t.Errorf("refused: %v", query)
	}
	if w, _ := press(boris, "allow"); w.Code != 403 {
		t.Errorf("no administrator: %d", w.Code)
	}
}

func TestAmoRefusesTokens(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	fresh := func() string {
		code, err := amo.Code(clientID)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	for name, c := range map[string]struct {
		kind, what string
		change     []string
		status     int
		hint       string
	}{
		"another secret":         {"code", fresh(), []string{"client_secret", "x"}, 401, ""},
		"another redirect URI":   {"code", fresh(), []string{"redirect_uri", "https://evil.example.com"}, 401, ""},
		"another integration":    {"code", fresh(), []string{"client_id", "x"}, 401, ""},
		"no integration":         {"code", fresh(), []string{"client_id", ""}, 400, "Check the `client_id` parameter"},
		"no kind":                {"code", fresh(), []string{"grant_type", "password"}, 400, "Check the `grant_type` parameter"},
		"a made-up code":         {"code", "x", nil, 400, "Cannot decrypt the authorization code"},
		"a made-up refresh":      {"refresh_token", "x", nil, 401, "Cannot decrypt the refresh token"},
		"an access token for it": {"refresh_token", tokens(t, amo).Access, nil, 401, "Cannot decrypt the refresh token"},
	} {
		w, p := exchange(t, amo, c.kind, c.what, c.change...)
		if hint, _ := at(t, w, "hint").(string); w.Code != c.status || hint != c.hint || p.Access != "" || at(t, w, "detail") == "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	code := fresh()
	if w, _ := exchange(t, amo, "code", code); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if w, _ := exchange(t, amo, "code", code); w.Code != 400 || at(t, w, "hint") != "Authorization code has been revoked" {
		t.Errorf("a code's second use: %d %s", w.Code, w.Body)
	}
	form := url.Values{"client_id": {clientID}, "client_secret": {amoConfig().ClientSecret}, "redirect_uri": {redirect}, "grant_type": {"authorization_code"}, "code": {fresh()}}
	if w := ask(amo, "", "POST", "/oauth2/access_token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded"); w.Code != 200 {
		t.Errorf("as a form: %d %s", w.Code, w.Body)
	}
}

func TestAmoTokensLiveAsLongAsDocumented(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	cfg := amoConfig()
	cfg.RateLimit, cfg.Clock = -1, func() time.Time { return clock }
	amo := newCRM(t, cfg)
	code, err := amo.Code(clientID)
	if err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(20*time.Minute + time.Second)
	if w, _ := exchange(t, amo, "code", code); at(t, w, "hint") != "Authorization code has expired" {
		t.Errorf("an old code: %s", w.Body)
	}
	p := tokens(t, amo)
	clock = clock.Add(24 * time.Hour)
	if w := bear(amo, p.Access, "GET", "/api/v4/account", ""); w.Code != 200 {
		t.Errorf("a day old: %d %s", w.Code, w.Body)
	}
	clock = clock.Add(time.Second)
	if w := bear(amo, p.Access, "GET", "/api/v4/account", ""); w.Code != 401 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("older: %d %s", w.Code, w.Body)
	}
	_, p = exchange(t, amo, "refresh_token", p.Refresh)
	clock = clock.AddDate(0, 3, 0)
	_, next := exchange(t, amo, "refresh_token", p.Refresh)
	if next.Access == "" {
		t.Fatal("a refresh token of three months is refused")
	}
	clock = clock.AddDate(0, 3, 0).Add(time.Second)
	if w, _ := exchange(t, amo, "refresh_token", next.Refresh); w.Code != 401 || at(t, w, "hint") != "Token has expired" {
		t.Errorf("an older one: %d %s", w.Code, w.Body)
	}
}

// TestAmoRefreshTokenIsGoodUntilTheNextPairIsUsed: who lost the answer may ask again, who did not may not.
func TestAmoRefreshTokenIsGoodUntilTheNextPairIsUsed(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	first := tokens(t, amo)
	_, lost := exchange(t, amo, "refresh_token", first.Refresh)
	w, second := exchange(t, amo, "refresh_token", first.Refresh)
	if w.Code != 200 || second.Refresh == lost.Refresh {
		t.Fatalf("asked again: %d %s", w.Code, w.Body)
	}
	if w := bear(amo, second.Access, "GET", "/api/v4/account", ""); w.Code != 200 {
		t.Fatal(w.Body)
	}
	for _, old := range []string{first.Refresh, lost.Refresh} {
		if w, _ := exchange(t, amo, "refresh_token", old); w.Code != 401 || at(t, w, "hint") != "Token has been revoked" {
			t.Errorf("after the new pair was used: %d %s", w.Code, w.Body)
		}
	}
	if w, _ := exchange(t, amo, "refresh_token", second.Refresh); w.Code != 200 {
		t.Errorf("the pair in use: %d %s", w.Code, w.Body)
	}
}

func TestAmoRevokedIntegration(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	p := tokens(t, amo)
	code, err := amo.Code(clientID)
	if err != nil {
		t.Fatal(err)
	}
	amo.Revoke(clientID)
	if w := bear(amo, p.Access, "GET", "/api/v4/account", ""); w.Code != 401 {
		t.Errorf("its access token: %d", w.Code)
	}
	if w, _ := exchange(t, amo, "refresh_token", p.Refresh); w.Code != 401 {
		t.Errorf("its refresh token: %d", w.Code)
	}
	if w, _ := exchange(t, amo, "code", code); w.Code != 400 {
		t.Errorf("its code: %d", w.Code)
	}
	if w := bear(amo, tokens(t, amo).Access, "GET", "/api/v4/account", ""); w.Code != 200 {
		t.Errorf("installed again: %d", w.Code)
	}
	requests := amo.Requests()
	if last := requests[len(requests)-1]; last.Client != clientID || last.Status != 200 || last.User != 0 || requests[0].Path != "/oauth2/access_token" {
		t.Errorf("recorded: %+v", last)
	}
}

// hooks is an integration's server.
func hooks(t *testing.T) (srv *httptest.Server, got chan *http.Request) {
	got = make(chan *http.Request, 1)
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r
		w.WriteHeader(http.StatusTeapot) // nobody looks
	}))
	t.Cleanup(srv.Close)
	return srv, got
}

func TestAmoInstallsFromServerToServer(t *testing.T) {
	t.Parallel()
	srv, got := hooks(t)
	cfg := amoConfig()
	cfg.Domain, cfg.RedirectURI, cfg.UninstallURI = "acme.amocrm.ru", srv.URL+"/oauth", srv.URL+"/gone?x=1"
	amo := newCRM(t, cfg)
	if err := amo.Install(t.Context(), clientID); err != nil {
		t.Fatal(err)
	}
	query := (<-got).URL.Query()
	if query.Get("referer") != "acme.amocrm.ru" || query.Get("from_widget") != "1" || query.Has("state") {
		t.Errorf("%v", query)
	}
	w, p := exchange(t, amo, "code", query.Get("code"), "redirect_uri", cfg.RedirectURI)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := amo.Uninstall(t.Context(), clientID); err != nil {
		t.Fatal(err)
	}
	r := <-got
	mac := hmac.New(sha256.New, []byte(cfg.ClientSecret))
	_, _ = mac.Write([]byte(clientID + "|12345678"))
	if query := r.URL.Query(); query.Get("signature") != hex.EncodeToString(mac.Sum(nil)) || query.Get("client_uuid") != clientID ||
		query.Get("account_id") != "12345678" || query.Get("x") != "1" || r.UserAgent() != "amoService-oAuth-Code-Sender/1.0" {
		t.Errorf("%v %s", query, r.UserAgent())
	}
	if w := bear(amo, p.Access, "GET", "/api/v4/account", ""); w.Code != 401 {
		t.Errorf("after it: %d", w.Code)
	}
}

// TestAmoWaitsThreeSecondsForAnInstallation, and gives it up then.
func TestAmoWaitsThreeSecondsForAnInstallation(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }))
	defer srv.Close()
	defer close(free)
	cfg := amoConfig()
	cfg.Domain, cfg.RedirectURI = "acme.amocrm.ru", srv.URL
	start := time.Now()
	if err := newCRM(t, cfg).Install(t.Context(), clientID); err == nil || time.Since(start) < 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestAmoHooksOfTheSettingsWindow(t *testing.T) {
	t.Parallel()
	srv, got := hooks(t)
	cfg := amoConfig()
	cfg.WidgetZip = widgettest.Pack(t, widget.Config{URL: "https://gw.example.com", ClientJS: static.ClientJS})
	cfg.Domain, cfg.RedirectURI, cfg.UninstallURI, cfg.Hooks, cfg.NotInstalled = "acme.amocrm.ru", srv.URL+"/oauth", srv.URL+"/gone", true, true
	amo := newCRM(t, cfg)
	for _, c := range []struct{ status, path string }{{"installed", "/oauth"}, {"installed", ""}, {"install", "/gone"}, {"install", ""}} {
		if w := ask(amo, anna, "POST", "/ajax/widgets/edit", `{"code":"ringcast","status":"`+c.status+`","settings":{"consent":"yes"}}`); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		path := ""
		select {
		case r := <-got:
			path = r.URL.Path
		default:
		}
		if path != c.path {
			t.Errorf("%s: %q was called, want %q", c.status, path, c.path)
		}
	}
}

func TestAmoMovesToAnotherSubdomain(t *testing.T) {
	t.Parallel()
	cfg := amoConfig()
	cfg.BaseURL = "http://acme.test"
	amo := newCRM(t, cfg)
	p := tokens(t, amo)
	amo.Move("http://new.test", "new.amocrm.ru", "new")
	if w := bear(amo, p.Access, "GET", "/api/v4/account", ""); w.Code != 401 {
		t.Errorf("the API at the old address: %d", w.Code)
	}
	if w, _ := exchange(t, amo, "refresh_token", p.Refresh); w.Code != 404 {
		t.Errorf("tokens at the old address: %d", w.Code)
	}
	for header, value := range map[string]string{"X-Refresh-Token": p.Refresh, "Authorization": "Bearer " + p.Access} {
		path := map[bool]string{true: "/oauth2/account/current/subdomain", false: "/oauth2/account/subdomain"}[header == "X-Refresh-Token"]
		w := ask(amo, "", "GET", path, "", header, value)
		if w.Code != 200 || at(t, w, "id") != 12345678.0 || at(t, w, "subdomain") != "new" || at(t, w, "domain") != "new.amocrm.ru" || at(t, w, "top_level_domain") != "ru" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if w := ask(amo, "", "GET", path, "", header, "x"); w.Code != 401 {
			t.Errorf("%s, made up: %d", path, w.Code)
		}
	}
	r := httptest.NewRequest("GET", "http://new.test/api/v4/account", nil)
	r.Header.Set("Authorization", "Bearer "+p.Access)
	w := httptest.NewRecorder()
	amo.ServeHTTP(w, r)
	if w.Code != 200 || at(t, w, "subdomain") != "new" {
		t.Errorf("the API at the new address: %d %s", w.Code, w.Body)
	}
}

func TestAmoLongLivedTokens(t *testing.T) {
	t.Parallel()
	clock := time.Now()
	cfg := amoConfig()
	cfg.Clock = func() time.Time { return clock }
	if _, err := newCRM(t, cfg).LongLivedToken(clientID, time.Hour); err == nil {
		t.Error("an integration that is not private has one")
	}
	cfg.Private = true
	amo := newCRM(t, cfg)
	token, err := amo.LongLivedToken(clientID, 5*365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	clock = clock.AddDate(4, 0, 0)
	if w := bear(amo, token, "GET", "/api/v4/account", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	clock = clock.AddDate(2, 0, 0)
	if w := bear(amo, token, "GET", "/api/v4/account", ""); w.Code != 401 {
		t.Errorf("later: %d %s", w.Code, w.Body)
	}
}

func TestAmoBearersRights(t *testing.T) {
	t.Parallel()
	cfg := crmConfig()
	cfg.Users[1].Rights = map[string]sandbox.AmoRights{"contacts": {View: "M"}}
	cfg.Integrations = []sandbox.AmoIntegration{{ID: "other", Secret: "s", RedirectURI: redirect, Scopes: []string{"crm"}}}
	amo := newCRM(t, cfg)
	private := cfg
	private.Private = true
	insider := newCRM(t, private)
	token := tokens(t, amo).Access
	code, err := amo.Code("other")
	if err != nil {
		t.Fatal(err)
	}
	_, other := exchange(t, amo, "code", code, "client_id", "other", "client_secret", "s")
	for name, c := range map[string]struct {
		amo         http.Handler
		token, path string
		as          string
		status      int
	}{
		"everything":                {amo, token, "/api/v4/contacts/1001", "", 200},
		"as Boris":                  {amo, token, "/api/v4/contacts/1001", boris, 404},
		"as Boris, his own":         {amo, token, "/api/v4/contacts/1002", boris, 200},
		"as nobody":                 {amo, token, "/api/v4/contacts/1002", "7", 403},
		"users":                     {amo, token, "/api/v4/users", "", 403},
		"users, made in it":         {insider, tokens(t, insider).Access, "/api/v4/users?limit=250&with=role,phone_number", "", 200},
		"a user, made in it":        {insider, tokens(t, insider).Access, "/api/v4/users/99999", "", 200},
		"users, made in it, Boris":  {insider, tokens(t, insider).Access, "/api/v4/users", boris, 403},
		"another account's":         {insider, token, "/api/v4/account", "", 401},
		"no token":                  {amo, "", "/api/v4/account", "", 401},
		"the page's own services":   {amo, token, "/sandbox/list/leads", "", 401},
		"without the scope for it":  {amo, other.Access, "/api/v2/events", "", 403},
		"with the scope for it":     {amo, token, "/api/v2/events", "", 404}, // it is there for POST alone
		"the other one's own scope": {amo, other.Access, "/api/v4/leads/pipelines", "", 200},
	} {
		header := []string{}
		if c.as != "" {
			header = append(header, "X-Context-User-ID", c.as)
		}
		if w := bear(c.amo, c.token, "GET", c.path, "", header...); w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.status)
		}
	}
	w := ask(amo, boris, "GET", "/api/v4/users", "")
	if w.Code != 403 {
		t.Errorf("the page of who is no administrator: %d", w.Code)
	}
	if w := ask(amo, anna, "GET", "/api/v4/users", ""); at(t, w, "_embedded.users.1.rights.contacts.view") != "M" || at(t, w, "_embedded.users.0.rights.is_admin") != true {
		t.Errorf("%s", w.Body)
	}
	if w := bear(amo, token, "GET", "/api/v4/account?with=users_groups,version", "", "X-Context-User-ID", boris); at(t, w, "current_user_id") != 99999.0 || at(t, w, "version") != 12.0 {
		t.Errorf("%s", w.Body)
	}
	if list := amo.Requests(); list[len(list)-1].As != boris {
		t.Errorf("recorded: %+v", list[len(list)-1])
	}
}

func TestAmoLimitsOfIntegrations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := amoConfig()
		cfg.AccountLimit = 10
		cfg.Integrations = []sandbox.AmoIntegration{{ID: "other", Secret: "s", RedirectURI: redirect}}
		amo := newCRM(t, cfg)
		token := tokens(t, amo).Access
		code, err := amo.Code("other")
		if err != nil {
			t.Fatal(err)
		}
		_, other := exchange(t, amo, "code", code, "client_id", "other", "client_secret", "s")
		codes := func(token string, n int) map[int]int {
			codes := map[int]int{}
			for range n {
				w := bear(amo, token, "GET", "/api/v4/account", "")
				codes[w.Code]++
				if w.Code == 403 && w.Header().Get("Content-Type") != "text/html" {
					t.Errorf("a ban has a problem document: %s", w.Body)
				}
			}
			return codes
		}
		if got := codes(token, 8); got[200] != 7 || got[429] != 1 {
			t.Errorf("one integration: %v", got)
		}
		if got := codes(other.Access, 5); got[200] != 3 || got[429] != 2 {
			t.Errorf("another, within the account's limit: %v", got)
		}
		if w := ask(amo, anna, "GET", "/api/v4/account", ""); w.Code != 200 {
			t.Errorf("a page: %d", w.Code)
		}
		time.Sleep(time.Second)
		if got := codes(token, 40); got[200] != 7 || got[403] == 0 {
			t.Errorf("who does not heed it: %v", got)
		}
		time.Sleep(5 * time.Second)
		if got := codes(token, 1); got[403] != 1 {
			t.Errorf("five seconds later: %v", got)
		}
		time.Sleep(5 * time.Second)
		if got := codes(token, 1); got[200] != 1 {
			t.Errorf("ten seconds later: %v", got)
		}
	})
}

// TestKommoCountsByAddress: two integrations on one address share one limit.
func TestKommoCountsByAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := amoConfig()
		cfg.Platform = sandbox.KommoPlatform
		cfg.Integrations = []sandbox.AmoIntegration{{ID: "other", Secret: "s", RedirectURI: redirect}}
		amo := newCRM(t, cfg)
		code, err := amo.Code("other")
		if err != nil {
			t.Fatal(err)
		}
		_, other := exchange(t, amo, "code", code, "client_id", "other", "client_secret", "s")
		codes := map[int]int{}
		for _, token := range []string{tokens(t, amo).Access, other.Access} {
			for range 5 {
				codes[bear(amo, token, "GET", "/api/v4/account", "").Code]++
			}
		}
		if codes[200] != 7 || codes[429] != 3 {
			t.Errorf("%v", codes)
		}
	})
}

func FuzzAmoTokens(f *testing.F) {
	f.Add(`{"client_id":"` + clientID + `","grant_type":"refresh_token","refresh_token":"x"}`)
	f.Add(`{"client_id":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		if w := ask(newAmo(t), "", "POST", "/oauth2/access_token", body); w.Code < 400 || w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
