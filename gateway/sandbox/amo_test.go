package sandbox_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"ringcast/gateway/sandbox"
	"ringcast/static"
	"ringcast/widget"
)

func newAmo(t testing.TB) *sandbox.Amo {
	t.Helper()
	cfg := amoConfig()
	cfg.RateLimit = -1
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return amo
}

// ask sends a request as the page of a user would; a body goes as JSON.
func ask(amo http.Handler, user, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://acme.test"+path, strings.NewReader(body))
	r.Header.Set("X-Sandbox-User", user)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	amo.ServeHTTP(w, r)
	return w
}

// at reads a value from a JSON answer by its path, such as "_embedded.contacts.0.id".
func at(t *testing.T, w *httptest.ResponseRecorder, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	for part := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[part]
		case []any:
			if i := int(part[0] - '0'); i < len(node) {
				v = node[i]
			} else {
				v = nil
			}
		default:
			return nil
		}
	}
	return v
}

func TestAmoFindsContacts(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	for query, want := range map[string]string{
		"9005550111": "Ivan Petrov", "9005550222": "Maria Sidorova", "4951230000": "Maria Sidorova", "sidor": "Maria Sidorova",
	} {
		w := ask(amo, anna, "GET", "/api/v4/contacts?query="+query, "")
		if got := at(t, w, "_embedded.contacts.0.name"); w.Code != 200 || got != want || w.Header().Get("Content-Type") != "application/hal+json" {
			t.Errorf("%s: %d %v %s", query, w.Code, got, w.Header())
		}
	}
	w := ask(amo, anna, "GET", "/api/v4/contacts?query=9005550111", "")
	if got := at(t, w, "_embedded.contacts.0.custom_fields_values.0.values.0.value"); got != "+7 900 555-01-11" {
		t.Errorf("the number is %v: it must be as it was typed", got)
	}
	if w := ask(amo, anna, "GET", "/api/v4/contacts?query=9999999999", ""); w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("nobody: %d %q, want 204 and nothing", w.Code, w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/contacts/1001", ""); at(t, w, "name") != "Ivan Petrov" {
		t.Errorf("by id: %d %s", w.Code, w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/contacts?limit=1&page=2", ""); at(t, w, "_embedded.contacts.0.id") != 1002.0 || at(t, w, "_links.next.href") == nil {
		t.Errorf("page 2: %s", w.Body)
	}
}

func TestAmoRefusesWhatTheRealOneRefuses(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	const notes = "/api/v4/contacts/1001/notes"
	for name, c := range map[string]struct {
		user, method, path, body string
		status                   int
		path400                  string // of the first validation error
	}{
		"nobody signed in":        {"", "GET", "/api/v4/contacts", "", 401, ""},
		"an unknown user":         {"7", "GET", "/api/v4/contacts", "", 401, ""},
		"a page too large":        {anna, "GET", "/api/v4/contacts?limit=251", "", 400, "limit"},
		"no such contact":         {anna, "GET", "/api/v4/contacts/7", "", 404, ""},
		"a note for nobody":       {anna, "POST", "/api/v4/contacts/7/notes", `[{"note_type":"common","params":{"text":"x"}}]`, 404, ""},
		"a note outside a list":   {anna, "POST", notes, `{"note_type":"common"}`, 400, ""},
		"no notes":                {anna, "POST", notes, `[]`, 400, ""},
		"a note without a text":   {anna, "POST", notes, `[{"note_type":"common","params":{}}]`, 400, "params.text"},
		"a null text":             {anna, "POST", notes, `[{"note_type":"common","params":{"text":null}}]`, 400, "params.text"},
		"an unknown kind":         {anna, "POST", notes, `[{"note_type":"shout","params":{"text":"x"}}]`, 400, "note_type"},
		"half a document":         {anna, "POST", notes, `[{"note_type":`, 400, ""},
		"another user's inbox":    {anna, "POST", "/ajax/v1/inbox/add/", `{"user":99999,"type":"call","text":"x"}`, 403, ""},
		"a call without a text":   {anna, "POST", "/ajax/v1/inbox/add/", `{"user":88888,"type":"call"}`, 400, ""},
		"an event for nobody":     {anna, "POST", "/api/v2/events", `{"add":[{"type":"phone_call","phone_number":"1","users":[7]}]}`, 400, ""},
		"an event of no kind":     {anna, "POST", "/api/v2/events", `{"add":[{"phone_number":"1"}]}`, 400, ""},
		"another's integration":   {anna, "GET", "/ajax/v2/integrations/other/disposable_token", "", 400, ""},
		"a token for other pages": {anna, "GET", "/ajax/v2/integrations/" + amoConfig().ClientID + "/disposable_token", "", 400, ""},
	} {
		w := ask(amo, c.user, c.method, c.path, c.body)
		if w.Code != c.status || w.Header().Get("Content-Type") != "application/problem+json" || at(t, w, "detail") == "" {
			t.Errorf("%s: %d %s %s, want %d", name, w.Code, w.Header().Get("Content-Type"), w.Body, c.status)
		}
		if c.path400 != "" && c.path400 != "limit" && at(t, w, "validation-errors.0.errors.0.path") != c.path400 {
			t.Errorf("%s: %s, want the path %s", name, w.Body, c.path400)
		}
	}
	if w := ask(amo, anna, "POST", notes, `[]`, "Content-Type", "text/plain"); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("not JSON: %d", w.Code)
	}
	if n := amo.Notes(); len(n) > 0 {
		t.Errorf("refused notes were kept: %+v", n)
	}
}

func TestAmoEvents(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	w := ask(amo, anna, "POST", "/api/v2/events", `{"add":[
		{"type":"phone_call","phone_number":"8 900 555 01 11","users":[99999]},
		{"type":"phone_call","phone_number":"+79990000000"}]}`)
	if w.Code != 200 || at(t, w, "_embedded.items.0.element_id") != 1001.0 || at(t, w, "_embedded.items.1.element_id") != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	users := []int64{}
	for _, n := range amo.Notifications() {
		users = append(users, n.User)
	}
	// Without users an event goes to everybody, as documented.
	if len(users) != 3 || users[0] != 99999 || users[1] != 88888 || users[2] != 99999 {
		t.Errorf("notified: %v", users)
	}
}

func TestAmoTellsAllTabsOfTheUserAndNobodyElse(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	srv := httptest.NewServer(amo)
	defer srv.Close()
	defer srv.CloseClientConnections()
	// next reads what a page is told next.
	open := func(user string) (next func() string) {
		conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(srv.URL, "http", "ws", 1)+"/sandbox/stream?user="+user, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		t.Cleanup(func() { _ = conn.Close() })
		return func() string {
			for {
				_, push, err := conn.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(push), `"kind":"online"`) { // comes whenever somebody comes or goes
					return string(push)
				}
			}
		}
	}
	tabs := []func() string{open(anna), open(anna), open(boris)}
	for _, user := range []string{anna, boris} {
		if w := ask(amo, user, "POST", "/ajax/v1/inbox/add/", `{"user":`+user+`,"type":"call","text":"for `+user+`"}`); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}
	for i, user := range []string{anna, anna, boris} {
		if e := tabs[i](); !strings.Contains(e, `"kind":"notification"`) || !strings.Contains(e, "for "+user) {
			t.Errorf("tab %d of %s got %s", i, user, e)
		}
	}
}

func TestAmoMintsRealDisposableTokens(t *testing.T) {
	t.Parallel()
	cfg := amoConfig()
	w := ask(newAmo(t), boris, "GET", "/ajax/v2/integrations/"+cfg.ClientID+"/disposable_token", "", "X-Requested-With", "XMLHttpRequest")
	token, _ := at(t, w, "token").(string)
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(cfg.ClientSecret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer("http://acme.test"), jwt.WithAudience("https://gw.example.com"))
	if err != nil || !parsed.Valid {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if claims["user_id"] != 99999.0 || claims["account_id"] != 12345678.0 || claims["client_uuid"] != cfg.ClientID || claims["subdomain"] != "acme" {
		t.Errorf("claims are %v", claims)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life != (30 * time.Minute).Seconds() {
		t.Errorf("it lives for %v s", life)
	}
}

func TestAmoPage(t *testing.T) {
	t.Parallel()
	amo := newAmo(t)
	for _, path := range []string{"/leads/", "/contacts/list/", "/contacts/detail/1001", "/contacts/add/"} {
		w := ask(amo, "", "GET", path+"?user=99999&lang=ru", "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<title>Boris Lvov</title>") || !strings.Contains(w.Body.String(), `lang="ru"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	cfg := amoConfig()
	cfg.Users[1].Lang = "uk"
	if w := ask(newCRM(t, cfg), "", "GET", "/leads/?user=99999", ""); !strings.Contains(w.Body.String(), `lang="uk"`) {
		t.Errorf("a user with a language of his own: %s", w.Body)
	}
	if w := ask(amo, "", "GET", "/leads/?user=7", ""); w.Code != 404 {
		t.Errorf("an unknown user's page: %d", w.Code)
	}
	if w := ask(amo, "", "GET", "/?user=99999", ""); w.Header().Get("Location") != "/leads/?user=99999" {
		t.Errorf("the root leads to %q", w.Header().Get("Location"))
	}
}

// TestUserNamedLikeAScriptDoesNotRun: the page carries names in its own HTML.
func TestUserNamedLikeAScriptDoesNotRun(t *testing.T) {
	t.Parallel()
	cfg := amoConfig()
	cfg.Users[0].Name = `</script><script>alert(1)</script>`
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(amo, "", "GET", "/leads/", ""); strings.Contains(w.Body.String(), "<script>alert") {
		t.Errorf("%s", w.Body)
	}
}

func TestAmoServesTheWidget(t *testing.T) {
	t.Parallel()
	cfg := amoConfig()
	var archive bytes.Buffer
	if err := widget.Build(&archive, widget.Config{URL: "https://gw.example.com", ClientJS: static.ClientJS}); err != nil {
		t.Fatal(err)
	}
	cfg.WidgetZip = archive.Bytes()
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{
		"script.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8", "images/logo.png": "image/png", "i18n/ru.json": "application/json",
	} {
		w := ask(amo, "", "GET", "/widget/ringcast/"+name+"?v=1", "")
		if w.Code != 200 || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: %d %s", name, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/widget/ringcast/none.js", "/widget/other/script.js", "/widget/ringcast/../../amo.go"} {
		if w := ask(amo, "", "GET", path, ""); w.Code == 200 {
			t.Errorf("%s is served", path)
		}
	}
	if w := ask(amo, anna, "POST", "/ajax/widgets/list", `{"area":"llist"}`); at(t, w, "widgets.0.init_once") != true {
		t.Errorf("%s", w.Body)
	}
}

func TestAmoRefusesBrokenWidgets(t *testing.T) {
	t.Parallel()
	pack := func(files ...string) []byte {
		var out bytes.Buffer
		zw := zip.NewWriter(&out)
		for i := 0; i < len(files); i += 2 {
			f, err := zw.Create(files[i])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(f, files[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for name, archive := range map[string][]byte{
		"not an archive":   []byte("PK"),
		"empty":            pack(),
		"in a folder":      pack("widget/manifest.json", "{}", "widget/script.js", ""),
		"no JSON":          pack("manifest.json", "{", "script.js", ""),
		"nothing but that": pack("manifest.json", `{"widget":{"version":"1","locale":["ru"]},"locations":["everywhere"]}`, "script.js", ""),
		"a bomb":           pack("manifest.json", strings.Repeat("0", 11<<20)),
	} {
		cfg := amoConfig()
		cfg.WidgetZip = archive
		if _, err := sandbox.NewAmo(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzAmoAPI(f *testing.F) {
	for _, seed := range []string{
		`[{"note_type":"common","params":{"text":"x"}}]`, `[{"name":"x","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"1"}]}]}]`,
		`{"add":[{"type":"phone_call","phone_number":"1","users":["88888",99999]}]}`, `{"user":88888,"type":"call","text":"x","element":{"id":1}}`, `[null]`, `null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		amo := newAmo(t)
		for _, path := range []string{"/api/v4/contacts/1001/notes", "/api/v4/contacts", "/api/v2/events", "/ajax/v1/inbox/add/"} {
			if w := ask(amo, anna, "POST", path, body); w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}
