package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
)

// crmConfig is an account with everything linked: a contact with a company, two leads and a customer, and a
// company with a number of its own.
func crmConfig() sandbox.AmoConfig {
	cfg := amoConfig()
	cfg.RateLimit = -1
	cfg.Companies = []sandbox.AmoCompany{{ID: 2001, Name: "Petrov & Sons", Phones: []string{"+7 495 100-20-30"}, Responsible: 88888}}
	cfg.Leads = []sandbox.AmoLead{
		{ID: 3001, Name: "A hundred chairs", Price: 120000, Responsible: 88888},
		{ID: 3002, Name: "Old lamps", Status: sandbox.AmoStatusWon, Responsible: 99999},
	}
	cfg.Customers = []sandbox.AmoCustomer{{ID: 4001, Name: "The Petrovs", Responsible: 88888}}
	cfg.Contacts[0].CompanyID, cfg.Contacts[0].Leads, cfg.Contacts[0].Customers = 2001, []int64{3001, 3002}, []int64{4001}
	return cfg
}

func newCRM(t testing.TB, cfg sandbox.AmoConfig) *sandbox.Amo {
	t.Helper()
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return amo
}

func TestAmoLinksAreIdsAndNothingMore(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	w := ask(amo, anna, "GET", "/api/v4/contacts?query=9005550111&with=leads,customers", "")
	for path, want := range map[string]any{
		"_embedded.contacts.0._embedded.companies.0.id": 2001.0, "_embedded.contacts.0._embedded.leads.1.id": 3002.0,
		"_embedded.contacts.0._embedded.customers.0.id": 4001.0, "_embedded.contacts.0._embedded.companies.0.name": nil,
	} {
		if got := at(t, w, path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if w := ask(amo, anna, "GET", "/api/v4/contacts?query=9005550111", ""); at(t, w, "_embedded.contacts.0._embedded.leads") != nil {
		t.Errorf("leads that nobody asked for: %s", w.Body)
	}
	w = ask(amo, anna, "GET", "/api/v4/leads?filter[id][]=3002&filter[id][]=7&with=contacts", "")
	if at(t, w, "_embedded.leads.0.status_id") != 142.0 || at(t, w, "_embedded.leads.0._embedded.contacts.0.id") != 1001.0 || at(t, w, "_embedded.leads.1") != nil {
		t.Errorf("leads by id: %s", w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/companies?query=4951002030", ""); at(t, w, "_embedded.companies.0.name") != "Petrov & Sons" {
		t.Errorf("a company by its number: %s", w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/leads/3001", ""); at(t, w, "custom_fields_values") != nil || at(t, w, "price") != 120000.0 {
		t.Errorf("a lead: %s", w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/contacts?order[id]=desc&limit=1", ""); at(t, w, "_embedded.contacts.0.id") != 1003.0 {
		t.Errorf("order: %s", w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/nothing", ""); w.Code != 404 {
		t.Errorf("an unknown path: %d", w.Code)
	}
}

func TestAmoLeadsComplex(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	w := ask(amo, anna, "POST", "/api/v4/leads/complex", `[
		{"name":"New deal","request_id":"c1","_embedded":{"contacts":[{"name":"Olga","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"+79995550000","enum_code":"WORK"}]}]}]}},
		{"name":"Another","_embedded":{"contacts":[{"id":1002}],"companies":[{"name":"Sidorov"}]}}]`)
	if w.Code != 200 || at(t, w, "0.request_id.0") != "c1" || at(t, w, "0.company_id") != nil || at(t, w, "0.merged") != false ||
		at(t, w, "1.contact_id") != 1002.0 || at(t, w, "1.request_id.0") != "1" || at(t, w, "1.company_id") == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	leads, contacts := amo.Leads(), amo.Contacts()
	if len(leads) != 4 || leads[2].Name != "New deal" || len(contacts) != 4 || !slices.Equal(contacts[3].Leads, []int64{leads[2].ID}) ||
		contacts[1].Company != "Sidorov" || !slices.Equal(contacts[3].Phones, []string{"+79995550000"}) {
		t.Errorf("leads %+v, contacts %+v", leads, contacts)
	}
}

func TestAmoTasksAndNotes(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	w := ask(amo, anna, "POST", "/api/v4/tasks", `[{"text":"Call back","complete_till":1790000000,"entity_id":3001,"entity_type":"leads","task_type_id":2,"responsible_user_id":99999}]`)
	if w.Code != 200 || at(t, w, "_embedded.tasks.0.request_id") != "0" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := sandbox.AmoTask{ID: amo.Tasks()[0].ID, Text: "Call back", Type: 2, Till: time.Unix(1790000000, 0), Kind: "leads", Entity: 3001, Responsible: 99999, Author: 88888, CreatedAt: amo.Tasks()[0].CreatedAt}
	if got := amo.Tasks()[0]; got != want {
		t.Errorf("the task is %+v", got)
	}
	if w := ask(amo, anna, "GET", "/api/v4/tasks?filter[entity_type]=leads&filter[entity_id][]=3001", ""); at(t, w, "_embedded.tasks.0.text") != "Call back" {
		t.Errorf("tasks of the lead: %s", w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/tasks?filter[entity_id][]=3002", ""); w.Code != 204 {
		t.Errorf("tasks of another lead: %d %s", w.Code, w.Body)
	}
	for path, item := range map[string]string{
		"/api/v4/leads/notes": `"entity_id":3001,`, "/api/v4/companies/2001/notes": ``, "/api/v4/customers/4001/notes": ``,
	} {
		if w := ask(amo, anna, "POST", path, `[{`+item+`"note_type":"common","params":{"text":"x"}}]`); w.Code != 200 || at(t, w, "_embedded.notes.0.entity_id") == nil {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if notes := amo.Notes(); len(notes) != 3 {
		t.Errorf("notes are %+v", notes)
	}
	for path, status := range map[string]int{"leads/3001/notes": 200, "leads/notes": 200, "leads/3002/notes": 204, "contacts/notes": 204} {
		if w := ask(amo, anna, "GET", "/api/v4/"+path, ""); w.Code != status {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, status)
		}
	}
}

func TestAmoChangesContacts(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	w := ask(amo, anna, "PATCH", "/api/v4/contacts", `[{"id":1002,"custom_fields_values":[{"field_code":"PHONE","values":[{"value":"1"},{"value":"2"}]}],"_embedded":{"companies":[{"id":2001}]}}]`)
	if c := amo.Contacts()[1]; w.Code != 200 || c.Name != "Maria Sidorova" || !slices.Equal(c.Phones, []string{"1", "2"}) || c.CompanyID != 2001 {
		t.Errorf("%s: %+v", w.Body, c)
	}
}

func TestAmoRefusesBadWrites(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	for body, c := range map[string]struct{ path, code, field string }{
		`[{"text":"x","complete_till":"1790000000"}]`:                          {"tasks", "InvalidType", "complete_till"},
		`[{"text":"x","complete_till":1.5}]`:                                   {"tasks", "InvalidType", "complete_till"},
		`[{"complete_till":1}]`:                                                {"tasks", "FieldMissing", "text"},
		`[{"text":"x"}]`:                                                       {"tasks", "FieldMissing", "complete_till"},
		`[{"text":"x","complete_till":1,"task_type_id":"1"}]`:                  {"tasks", "InvalidType", "task_type_id"},
		`[{"text":"x","complete_till":1,"task_type_id":77}]`:                   {"tasks", "NotSupportedChoice", "task_type_id"},
		`[{"text":"x","complete_till":1,"entity_id":7,"entity_type":"leads"}]`: {"tasks", "NotSupportedChoice", "entity_id"},
		`[{"text":"x","complete_till":1,"entity_id":3001}]`:                    {"tasks", "FieldMissing", "entity_type"},
		`[{"name":null}]`:                                                      {"contacts", "InvalidType", "name"},
		`[{"name":"x","custom_fields_values":[{"field_code":"PHONE","values":[{"value":8999}]}]}]`: {"contacts", "InvalidType", "custom_fields_values.0.values.0.value"},
		`[{"name":"x","custom_fields_values":[{"field_code":"PHONE","values":[{"value":""}]}]}]`:   {"contacts", "FieldMissing", "custom_fields_values.0.values.0.value"},
		`[{"name":"x","custom_fields_values":[{"field_code":"SHOE","values":[{"value":"1"}]}]}]`:   {"contacts", "NotSupportedChoice", "custom_fields_values.0.field_code"},
		`[{"name":"x","price":"10"}]`:                                         {"leads", "InvalidType", "price"},
		`[{"name":"x","_embedded":{"contacts":[{"id":7}]}}]`:                  {"leads", "NotSupportedChoice", "_embedded.contacts.0.id"},
		`[{"name":"x","_embedded":{"contacts":[{"name":"a"},{"name":"b"}]}}]`: {"leads/complex", "InvalidCount", "_embedded.contacts"},
		`[{"name":"x","_embedded":{"contacts":[{"id":7}]}},{"name":"y"}]`:     {"leads/complex", "NotSupportedChoice", "_embedded.contacts.0.id"},
		`[{"note_type":"common","params":{"text":"x"}}]`:                      {"leads/notes", "FieldMissing", "entity_id"},
		`[{"entity_id":"3001","note_type":"common","params":{"text":"x"}}]`:   {"leads/notes", "InvalidType", "entity_id"},
		`[{"request_id":"mine","name":1}]`:                                    {"companies", "InvalidType", "name"},
		`[` + strings.Repeat(`{"name":"x"},`, 50) + `{"name":"x"}]`:           {"leads/complex", "", ""},
	} {
		w := ask(amo, anna, "POST", "/api/v4/"+c.path, body)
		if w.Code != 400 || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", c.path, body, w.Code, w.Body)
			continue
		}
		if c.code == "" {
			continue
		}
		if at(t, w, "validation-errors.0.errors.0.code") != c.code || at(t, w, "validation-errors.0.errors.0.path") != c.field || at(t, w, "validation-errors.0.errors.1") != nil {
			t.Errorf("%s %s: %s", c.path, body, w.Body)
		}
	}
	if len(amo.Leads()) != 2 || len(amo.Contacts()) != 3 || len(amo.Tasks()) != 0 || len(amo.Notes()) != 0 {
		t.Error("something that was refused was kept")
	}
	if w := ask(amo, anna, "POST", "/api/v4/companies", `[{"request_id":"mine","name":1}]`); at(t, w, "validation-errors.0.request_id") != "mine" {
		t.Errorf("the item is named %s", w.Body)
	}
}

func TestAmoShowsOnlyWhatTheUserMaySee(t *testing.T) {
	t.Parallel()
	cfg := crmConfig()
	cfg.Users[1].Rights = map[string]sandbox.AmoRights{
		"contacts": {View: "M", Add: "D"}, "leads": {View: "D", Add: "D"}, "companies": {Edit: "D"}, "tasks": {Add: "D"},
	}
	amo := newCRM(t, cfg)
	const newContact = `[{"name":"x"}]`
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v4/contacts?query=9005550111", "", 204}, // Anna's
		{"GET", "/api/v4/contacts/1001", "", 404},
		{"GET", "/api/v4/contacts/1001/notes", "", 404},
		{"GET", "/api/v4/contacts/1002/notes", "", 204},       // it has none
		{"GET", "/api/v4/contacts?query=9005550222", "", 200}, // his own
		{"GET", "/api/v4/leads", "", 204},
		{"POST", "/api/v4/contacts", newContact, 403},
		{"POST", "/api/v4/leads/complex", `[{"name":"x"}]`, 403},
		{"POST", "/api/v4/contacts/1001/notes", `[{"note_type":"common","params":{"text":"x"}}]`, 404},
		{"POST", "/api/v4/companies/2001/notes", `[{"note_type":"common","params":{"text":"x"}}]`, 403},
		{"POST", "/api/v4/tasks", `[{"text":"x","complete_till":1}]`, 403},
		{"PATCH", "/api/v4/companies", `[{"id":2001,"name":"x"}]`, 403},
	} {
		if w := ask(amo, boris, c.method, c.path, c.body); w.Code != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, w.Code, w.Body, c.status)
		}
	}
	if w := ask(amo, anna, "POST", "/api/v4/contacts", newContact); w.Code != 200 {
		t.Errorf("Anna: %d %s", w.Code, w.Body)
	}
}

// TestAmoTooManyRequests: the eighth request of a second is refused, and who goes on is shut out.
func TestAmoTooManyRequests(t *testing.T) {
	t.Parallel()
	cfg := crmConfig()
	cfg.RateLimit = 0
	amo := newCRM(t, cfg)
	codes := map[int]int{}
	for range 40 {
		codes[ask(amo, anna, "GET", "/api/v4/contacts", "").Code]++
	}
	if codes[200] != 7 || codes[429] != 10 || codes[403] != 23 {
		t.Errorf("answers: %v", codes)
	}
	if w := ask(amo, boris, "GET", "/api/v4/contacts", ""); w.Code != 200 {
		t.Errorf("another user: %d", w.Code)
	}
	if n := len(amo.Requests()); n != 41 || amo.Requests()[40].User != 99999 || amo.Requests()[0].Path != "/api/v4/contacts" {
		t.Errorf("%d requests are recorded", n)
	}
}

func TestAmoFaultsThatTestsOrder(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	lift := amo.Refuse("GET /api/v4/contacts", 402, "")
	if w := ask(amo, anna, "GET", "/api/v4/contacts", ""); w.Code != 402 || at(t, w, "title") != "Payment Required" {
		t.Errorf("refused: %d %s", w.Code, w.Body)
	}
	if w := ask(amo, anna, "GET", "/api/v4/companies", ""); w.Code != 200 {
		t.Errorf("another request: %d", w.Code)
	}
	lift()
	lift()
	if w := ask(amo, anna, "GET", "/api/v4/contacts", ""); w.Code != 200 {
		t.Errorf("after it: %d", w.Code)
	}
	release := amo.Hang("/api/")
	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- ask(amo, anna, "GET", "/api/v4/leads", "") }()
	select {
	case <-answer:
		t.Fatal("a request that was to hang was answered")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if w := <-answer; w.Code != 200 {
		t.Errorf("released: %d", w.Code)
	}
}

// TestAmoRefusesAConfigThatMakesNoSense: links that lead nowhere, and what there is not.
func TestAmoRefusesAConfigThatMakesNoSense(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*sandbox.AmoConfig){
		"lead":    func(c *sandbox.AmoConfig) { c.Contacts[1].Leads = []int64{7} },
		"company": func(c *sandbox.AmoConfig) { c.Contacts[1].CompanyID = 7 },
		"twice":   func(c *sandbox.AmoConfig) { c.Leads[1].ID = 3001 },
		"no id":   func(c *sandbox.AmoConfig) { c.Companies[0].ID = 0 },

		"platform":        func(c *sandbox.AmoConfig) { c.Platform, c.Lang = "bitrix24", "en" },
		"language":        func(c *sandbox.AmoConfig) { c.Lang = "de" },
		"user's language": func(c *sandbox.AmoConfig) { c.Users[0].Lang = "de" },
	} {
		cfg := crmConfig()
		spoil(&cfg)
		if _, err := sandbox.NewAmo(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAmoAccount(t *testing.T) {
	t.Parallel()
	w := ask(newCRM(t, crmConfig()), boris, "GET", "/api/v4/account?with=task_types,is_api_filter_enabled", "")
	if at(t, w, "current_user_id") != 99999.0 || at(t, w, "_embedded.task_types.1.name") != "Meeting" || at(t, w, "is_api_filter_enabled") != true {
		t.Errorf("%s", w.Body)
	}
}

// TestAmoWithoutFilters: who relies on filter[…] gets all there is.
func TestAmoWithoutFilters(t *testing.T) {
	t.Parallel()
	cfg := crmConfig()
	amo := newCRM(t, cfg)
	cfg.NoFilter = true
	without := newCRM(t, cfg)
	if w := ask(without, anna, "GET", "/api/v4/account?with=is_api_filter_enabled", ""); at(t, w, "is_api_filter_enabled") != false {
		t.Errorf("%s", w.Body)
	}
	const leads = "/api/v4/leads?filter[id][]=3001"
	if w := ask(amo, anna, "GET", leads, ""); strings.Contains(w.Body.String(), "Old lamps") {
		t.Errorf("%s", w.Body)
	}
	if w := ask(without, anna, "GET", leads, ""); !strings.Contains(w.Body.String(), "Old lamps") {
		t.Errorf("%s", w.Body)
	}
}

func FuzzAmoWrites(f *testing.F) {
	for _, seed := range []string{
		`[{"text":"x","complete_till":1,"entity_id":3001,"entity_type":"leads"}]`, `[{"name":"x","_embedded":{"contacts":[{"id":1001}],"companies":[{"name":"y"}]}}]`,
		`[{"entity_id":3001,"note_type":"call_in","params":{"uniq":"1","source":"s","phone":"2","duration":3}}]`, `[{"id":1001,"custom_fields_values":null}]`, `[null]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		amo := newCRM(t, crmConfig())
		for _, path := range []string{"tasks", "contacts", "companies", "leads", "customers", "leads/complex", "leads/notes", "companies/2001/notes"} {
			for _, method := range []string{http.MethodPost, http.MethodPatch} {
				if w := ask(amo, anna, method, "/api/v4/"+path, body); w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
				}
			}
		}
	})
}
