package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
)

// aCall is one as it should be sent; more goes before what it has.
func aCall(phone, more string) string {
	return `[{` + more + `"direction":"inbound","phone":"` + phone + `","duration":65,"source":"Ringcast","uniq":"c1"}]`
}

func TestAmoLogsCallsWhereTheyBelong(t *testing.T) {
	t.Parallel()
	cfg := crmConfig()
	// Besides 1001, who has a lead and a customer: one with an active lead, one with a customer, one with two leads.
	cfg.Leads = append(cfg.Leads, sandbox.AmoLead{ID: 3003, Name: "Third", Responsible: 88888}, sandbox.AmoLead{ID: 3004, Name: "Fourth", Responsible: 88888})
	cfg.Contacts = append(cfg.Contacts,
		sandbox.AmoContact{ID: 1004, Name: "Lead", Phones: []string{"+380 (44) 123-45-67"}, Leads: []int64{3002, 3003}, Responsible: 88888},
		sandbox.AmoContact{ID: 1005, Name: "Customer", Phones: []string{"0441234568"}, Customers: []int64{4001}, Leads: []int64{3002}, Responsible: 88888},
		sandbox.AmoContact{ID: 1006, Name: "Two leads", Phones: []string{"441234569", ""}, Leads: []int64{3003, 3004}, Responsible: 88888},
	)
	amo := newCRM(t, cfg)
	token := tokens(t, amo).Access
	for phone, want := range map[string]struct {
		kind string
		id   float64
	}{
		"+79005550111": {"contact", 1001}, "89005550222": {"contact", 1002}, "+74951002030": {"company", 2001},
		"0441234567": {"lead", 3003}, "+380441234568": {"customer", 4001}, "441234569": {"contact", 1006},
	} {
		w := bear(amo, token, "POST", "/api/v4/calls", aCall(phone, `"request_id":"r",`))
		if w.Code != 200 || at(t, w, "_embedded.calls.0.entity_type") != want.kind || at(t, w, "_embedded.calls.0.entity_id") != want.id ||
			at(t, w, "_embedded.calls.0.request_id") != "r" || at(t, w, "_embedded.calls.0._embedded.entity.id") != want.id || at(t, w, "_total_items") != 1.0 {
			t.Errorf("%s: %d %s", phone, w.Code, w.Body)
		}
	}
	// The last ten digits, and not fewer.
	for _, phone := range []string{"+79995550111", "5550111", "+380441234569", "101", "", "anonymous"} {
		w := bear(amo, token, "POST", "/api/v4/calls", aCall(phone, ""))
		if w.Code != 400 || phone != "" && (at(t, w, "errors.0.title") != "Entity not found" || at(t, w, "_total_items") != 0.0) {
			t.Errorf("%s: %d %s", phone, w.Code, w.Body)
		}
	}
	if n := len(amo.Calls()); n != 6 {
		t.Errorf("%d calls are kept", n)
	}
}

func TestAmoKeepsWhatACallSays(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	w := bear(amo, token, "POST", "/api/v4/calls", `[{"direction":"outbound","phone":"+79005550222","duration":0,"source":"Ringcast","uniq":"u","link":"https://gw.example.com/r.mp3",
		"call_result":"Will think","call_status":4,"call_responsible":99999,"responsible_user_id":99999,"created_by":88888,"created_at":1790000000,"updated_at":1790000001,"updated_by":88888}]`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	c := amo.Calls()[0]
	for name, ok := range map[string]bool{
		"where": c.Via == sandbox.AmoViaCalls && c.Kind == "contacts" && c.Entity == 1002 && c.ID != 0, "who": c.User == 99999 && c.Author == 88888 && c.Responsible == "Boris Lvov",
		"what": c.Direction == "outbound" && c.Phone == "+79005550222" && c.Duration == 0 && c.Source == "Ringcast" && c.Uniq == "u" && c.Result == "Will think" && c.Status == 4,
		"link": c.Link == "https://gw.example.com/r.mp3", "when": c.CreatedAt.Equal(time.Unix(1790000000, 0)),
	} {
		if !ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if w := bear(amo, token, "POST", "/api/v4/calls", aCall("+79005550222", `"call_responsible":"Call centre",`)); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if c := amo.Calls()[1]; c.Responsible != "Call centre" || c.Author != 0 || c.User != 88888 {
		t.Errorf("%+v", c)
	}
	w = bear(amo, token, "GET", "/api/v4/contacts/1002/notes?filter[note_type][]=call_out&filter[note_type][]=common", "")
	if at(t, w, "_embedded.notes.0.params.uniq") != "u" || at(t, w, "_embedded.notes.0.params.call_responsible") != 99999.0 || at(t, w, "_embedded.notes.1") != nil {
		t.Errorf("read back: %d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "GET", "/api/v4/contacts/notes?filter[note_type]=call_in&filter[entity_id]=1002", ""); at(t, w, "_embedded.notes.0.params.uniq") != "c1" {
		t.Errorf("read back of all: %d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "GET", "/api/v4/contacts/1001/notes?filter[note_type][]=call_in", ""); w.Code != 204 {
		t.Errorf("another contact's: %d", w.Code)
	}
}

func TestAmoRefusesBadCalls(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	good := map[string]any{"direction": "inbound", "phone": "+79005550111", "duration": 1, "source": "s", "uniq": "u", "link": "https://x", "call_result": "r", "call_status": 4, "call_responsible": 88888}
	send := func(name string, value any) *httptest.ResponseRecorder {
		item := map[string]any{name: value}
		for n, v := range good {
			if n != name {
				item[n] = v
			}
		}
		if value == nil && name[0] == '-' {
			delete(item, name)
			delete(item, name[1:])
		}
		body, err := json.Marshal([]any{item})
		if err != nil {
			t.Fatal(err)
		}
		return bear(amo, token, "POST", "/api/v4/calls", string(body))
	}
	if w := send("note", ""); at(t, w, "validation-errors.0.errors.0.code") != "NotExpected" {
		t.Errorf("a field that is none: %s", w.Body)
	}
	for _, name := range []string{"direction", "phone", "duration", "source"} {
		if w := send("-"+name, nil); w.Code != 400 || at(t, w, "validation-errors.0.errors.0.code") != "FieldMissing" || at(t, w, "validation-errors.0.errors.0.path") != name {
			t.Errorf("without %s: %d %s", name, w.Code, w.Body)
		}
	}
	for name := range good {
		if w := send(name, nil); w.Code != 400 || at(t, w, "validation-errors.0.errors.0.code") != "InvalidType" || at(t, w, "validation-errors.0.errors.0.path") != name {
			t.Errorf("%s null: %d %s", name, w.Code, w.Body)
		}
	}
	for _, c := range []struct {
		name  string
		value any
		code  string
	}{
		{"direction", "in", "NotSupportedChoice"}, {"duration", "65", "InvalidType"}, {"duration", -1, "NotSupportedChoice"}, {"phone", 79005550111, "InvalidType"},
		{"call_status", 9, "NotSupportedChoice"}, {"call_status", "4", "InvalidType"}, {"call_responsible", 7, "NotSupportedChoice"}, {"call_responsible", true, "InvalidType"},
		{"responsible_user_id", 7, "NotSupportedChoice"}, {"created_by", "88888", "InvalidType"}, {"created_at", 1.5, "InvalidType"},
	} {
		if w := send(c.name, c.value); w.Code != 400 || at(t, w, "validation-errors.0.errors.0.code") != c.code {
			t.Errorf("%s %v: %d %s", c.name, c.value, w.Code, w.Body)
		}
	}
	if w := bear(amo, token, "GET", "/api/v4/calls", ""); w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
	if n := len(amo.Calls()); n != 0 {
		t.Errorf("%d refused calls are kept", n)
	}
}

// TestAmoTakesThePartOfABatchThatItCan: the rest is told by request_id.
func TestAmoTakesThePartOfABatchThatItCan(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	item := func(id, phone string) string {
		return `{"request_id":"` + id + `","direction":"inbound","phone":"` + phone + `","duration":1,"source":"s"}`
	}
	w := bear(amo, tokens(t, amo).Access, "POST", "/api/v4/calls", `[`+item("a", "+79005550111")+`,`+item("b", "+79990000000")+`]`)
	if w.Code != 200 || at(t, w, "_embedded.calls.0.request_id") != "a" || at(t, w, "errors.0.request_id") != "b" || at(t, w, "errors.1") != nil || len(amo.Calls()) != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAmoCallNotesByAnIntegration(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	w := bear(amo, token, "POST", "/api/v4/leads/3001/notes", `[{"note_type":"call_in","created_by":99999,"responsible_user_id":99999,"is_need_to_trigger_digital_pipeline":false,
		"params":{"uniq":"u","duration":5,"source":"s","phone":"+7","link":"https://x","call_result":"Fine","call_status":4,"call_responsible":"Boris"}}]`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if c := amo.Calls()[0]; c.Via != sandbox.AmoViaNotes || c.Kind != "leads" || c.Entity != 3001 || c.Author != 99999 || c.Responsible != "Boris" || c.Direction != "inbound" || c.Duration != 5 {
		t.Errorf("%+v", c)
	}
	id := at(t, w, "_embedded.notes.0.id")
	if w := bear(amo, token, "PATCH", "/api/v4/leads/notes", fmt.Sprintf(`[{"id":%.0f,"params":{"link":"https://y","duration":6}}]`, id)); w.Code != 200 {
		t.Fatalf("changed: %d %s", w.Code, w.Body)
	}
	if c := amo.Calls(); len(c) != 1 || c[0].Link != "https://y" || c[0].Duration != 6 || c[0].Result != "Fine" {
		t.Errorf("changed: %+v", c)
	}
	if w := bear(amo, token, "PATCH", fmt.Sprintf("/api/v4/leads/3001/notes/%.0f", id), `{"note_type":"call_in","params":{"call_result":"Better"}}`); w.Code != 200 || at(t, w, "id") != id || amo.Calls()[0].Result != "Better" {
		t.Errorf("changed alone: %d %s", w.Code, w.Body)
	}
	for body, status := range map[string]int{
		`[{"note_type":"call_in","params":{"uniq":"u","duration":5,"source":"s","phone":"+7","link":null}}]`: 400,
		`[{"note_type":"call_in","params":{"duration":5,"source":"s","phone":"+7"}}]`:                        400,
	} {
		if w := bear(amo, token, "POST", "/api/v4/leads/3001/notes", body); w.Code != status {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := bear(amo, token, "PATCH", "/api/v4/leads/notes", `[{"id":7,"params":{}}]`); w.Code != 404 {
		t.Errorf("no such note: %d", w.Code)
	}
}

// sip is one for unsorted as it should be sent.
func sip(uniq string) string {
	return `[{"request_id":"r","source_uid":"pbx-1","source_name":"Ringcast","created_at":1790000000,
		"metadata":{"from":"+79990000000","phone":"+79990000000","called_at":1790000000,"duration":65,"link":"https://x/1.mp3","service_code":"ringcast","uniq":"` + uniq + `","is_call_event_needed":true,"call_responsible":99999},
		"_embedded":{"leads":[{"name":"Call from +79990000000"}],"contacts":[{"name":"+79990000000","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"+79990000000"}]}]}],"companies":[]}}]`
}

func TestAmoUnsorted(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	const list = "/api/v4/leads/unsorted?filter[category][]=sip"
	if w := bear(amo, token, "GET", list, ""); w.Code != 204 {
		t.Errorf("nothing yet: %d %s", w.Code, w.Body)
	}
	w := bear(amo, token, "POST", "/api/v4/leads/unsorted/sip", sip("u1"))
	uid, _ := at(t, w, "_embedded.unsorted.0.uid").(string)
	if w.Code != 200 || uid == "" || at(t, w, "_embedded.unsorted.0.request_id") != "r" || at(t, w, "_embedded.unsorted.0._embedded.leads.0.id") == nil || at(t, w, "_embedded.unsorted.0.account_id") != 12345678.0 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "POST", "/api/v4/leads/unsorted/sip", sip("u2")); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if w := bear(amo, token, "GET", list+"&order[created_at]=desc", ""); at(t, w, "_embedded.unsorted.0.metadata.uniq") != "u1" || at(t, w, "_embedded.unsorted.1.metadata.from") != "+79990000000" {
		t.Errorf("%s", w.Body)
	}
	if w := bear(amo, token, "GET", "/api/v4/leads/unsorted?filter[category][]=forms", ""); w.Code != 204 {
		t.Errorf("another category: %d", w.Code)
	}
	if w := bear(amo, token, "GET", "/api/v4/leads/unsorted/"+uid, ""); at(t, w, "category") != "sip" {
		t.Errorf("one: %d %s", w.Code, w.Body)
	}
	// What waits is not found, neither by search nor for the next call.
	if w := bear(amo, token, "GET", "/api/v4/contacts?query=9990000000", ""); w.Code != 204 {
		t.Errorf("its contact: %d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "POST", "/api/v4/calls", aCall("+79990000000", "")); w.Code != 400 {
		t.Errorf("the next call: %d %s", w.Code, w.Body)
	}
	if c := amo.Calls(); len(c) != 2 || c[0].Via != sandbox.AmoViaUnsorted || c[0].ID != 0 || c[0].Phone != "+79990000000" || c[0].Responsible != "Boris Lvov" {
		t.Errorf("%+v", c)
	}
	w = bear(amo, token, "POST", "/api/v4/leads/unsorted/"+uid+"/accept", `{"user_id":99999,"status_id":102}`)
	if w.Code != 200 || at(t, w, "_embedded.leads.0.id") == nil || at(t, w, "pipeline_id") != 1.0 {
		t.Fatalf("accepted: %d %s", w.Code, w.Body)
	}
	leads, contacts := amo.Leads(), amo.Contacts()
	lead, contact := leads[len(leads)-1], contacts[len(contacts)-1]
	if lead.Name != "Call from +79990000000" || lead.Status != 102 || lead.Responsible != 99999 || !slices.Equal(contact.Leads, []int64{lead.ID}) || !slices.Equal(contact.Phones, []string{"+79990000000"}) {
		t.Errorf("lead %+v, contact %+v", lead, contact)
	}
	if c := amo.Calls()[0]; c.Kind != "leads" || c.Entity != lead.ID {
		t.Errorf("its call: %+v", c)
	}
	if w := bear(amo, token, "POST", "/api/v4/calls", aCall("+79990000000", "")); at(t, w, "_embedded.calls.0.entity_type") != "lead" {
		t.Errorf("the next call: %d %s", w.Code, w.Body)
	}
	other := amo.Unsorted()[1]
	if other.State != sandbox.AmoWaiting || other.Call.Uniq != "u2" || !other.Logged || other.Contact.Name != "+79990000000" || other.SourceUID != "pbx-1" {
		t.Errorf("%+v", other)
	}
	if w := bear(amo, token, "DELETE", "/api/v4/leads/unsorted/"+other.UID+"/decline", `{"user_id":88888}`); w.Code != 200 || amo.Unsorted()[1].State != sandbox.AmoDeclined {
		t.Errorf("declined: %d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "POST", "/api/v4/leads/unsorted/"+other.UID+"/accept", `[]`); w.Code != 404 {
		t.Errorf("accepted after that: %d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "GET", "/api/v4/leads/unsorted/summary", ""); at(t, w, "accepted") != 1.0 || at(t, w, "declined") != 1.0 || at(t, w, "total") != 2.0 {
		t.Errorf("%s", w.Body)
	}
}

func TestAmoRefusesBadUnsorted(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	good := sip("u")
	for _, c := range []struct{ old, by, code, path string }{
		{`"source_uid":"pbx-1",`, ``, "FieldMissing", "source_uid"},
		{`"source_name":"Ringcast"`, `"source_name":null`, "InvalidType", "source_name"},
		{`"called_at":1790000000,`, ``, "FieldMissing", "metadata.called_at"},
		{`"duration":65`, `"duration":"65"`, "InvalidType", "metadata.duration"},
		{`"link":"https://x/1.mp3"`, `"link":null`, "InvalidType", "metadata.link"},
		{`"call_responsible":99999`, `"call_responsible":7`, "NotSupportedChoice", "metadata.call_responsible"},
		{`"uniq"`, `"unique"`, "NotExpected", "metadata.unique"},
		{`"request_id":"r"`, `"pipeline_id":7`, "NotSupportedChoice", "pipeline_id"},
		{`"leads":[`, `"leads":[{"name":"two"},`, "InvalidCount", "_embedded.leads"},
	} {
		w := bear(amo, token, "POST", "/api/v4/leads/unsorted/sip", strings.Replace(good, c.old, c.by, 1))
		if w.Code != 400 || at(t, w, "validation-errors.0.errors.0.code") != c.code || at(t, w, "validation-errors.0.errors.0.path") != c.path {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
	}
	if n := len(amo.Unsorted()) + len(amo.Calls()); n > 0 {
		t.Errorf("%d that were refused are kept", n)
	}
	cfg := crmConfig()
	cfg.NoUnsorted = true
	off := newCRM(t, cfg)
	w := bear(off, tokens(t, off).Access, "POST", "/api/v4/leads/unsorted/sip", good)
	if w.Code < 400 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("switched off: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"account", "leads/pipelines"} {
		w := bear(off, tokens(t, off).Access, "GET", "/api/v4/"+path, "")
		if at(t, w, "is_unsorted_on") == true || at(t, w, "_embedded.pipelines.0.is_unsorted_on") == true {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}

// TestAmoRefusesDoublesInUnsorted, as its documentation says, where a test wants it; otherwise they are there to see.
func TestAmoRefusesDoublesInUnsorted(t *testing.T) {
	t.Parallel()
	for _, refuse := range []bool{true, false} {
		cfg := crmConfig()
		cfg.RefuseDoubles = refuse
		amo := newCRM(t, cfg)
		token := tokens(t, amo).Access
		codes := []int{}
		for _, uniq := range []string{"u1", "u1", "u2"} {
			codes = append(codes, bear(amo, token, "POST", "/api/v4/leads/unsorted/sip", sip(uniq)).Code)
		}
		if want := map[bool][]int{true: {200, 400, 200}, false: {200, 200, 200}}[refuse]; !slices.Equal(codes, want) {
			t.Errorf("refuse %v: %v", refuse, codes)
		}
	}
}

// TestAmoTakesTheOfficialLibrarysNulls: amocrm-api-php sends them for the names of custom fields that it does not use.
func TestAmoTakesTheOfficialLibrarysNulls(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	w := bear(amo, tokens(t, amo).Access, "POST", "/api/v4/contacts", `[{"name":"x","custom_fields_values":[{"field_id":null,"field_code":"PHONE","values":[{"value":"+7","enum_id":null,"enum_code":null}]}]}]`)
	if contacts := amo.Contacts(); w.Code != 200 || !slices.Equal(contacts[len(contacts)-1].Phones, []string{"+7"}) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAmoListsNotesInOrder(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	for _, uniq := range []string{"a", "b", "c"} {
		body := strings.Replace(aCall("+79005550111", ""), `"c1"`, `"`+uniq+`"`, 1)
		if w := bear(amo, token, "POST", "/api/v4/calls", body); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}
	const notes = "/api/v4/contacts/1001/notes?filter[note_type][]=call_in&limit=1&order[id]=desc"
	if w := bear(amo, token, "GET", notes, ""); at(t, w, "_embedded.notes.0.params.uniq") != "c" || at(t, w, "_links.next.href") == nil {
		t.Errorf("%s", w.Body)
	}
	soon := time.Now().Add(time.Hour).Unix()
	for filter, status := range map[string]int{"from": 204, "to": 200} {
		if w := bear(amo, token, "GET", fmt.Sprintf("%s&filter[updated_at][%s]=%d", notes, filter, soon), ""); w.Code != status {
			t.Errorf("%s: %d %s", filter, w.Code, w.Body)
		}
	}
}

func TestAmoMergesContacts(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	if w := bear(amo, token, "POST", "/api/v4/calls", aCall("+79005550111", "")); w.Code != 200 {
		t.Fatal(w.Body)
	}
	amo.Merge(1001, 1002)
	amo.Merge(1001, 1002)
	if w := bear(amo, token, "GET", "/api/v4/contacts/1001", ""); w.Code != 404 {
		t.Errorf("the one that is gone: %d", w.Code)
	}
	w := bear(amo, token, "GET", "/api/v4/contacts?query=9005550111&with=leads,customers", "")
	if at(t, w, "_embedded.contacts.0.id") != 1002.0 || at(t, w, "_embedded.contacts.0._embedded.leads.1.id") != 3002.0 || at(t, w, "_embedded.contacts.0._embedded.companies.0.id") != 2001.0 {
		t.Errorf("its number: %s", w.Body)
	}
	if c := amo.Calls()[0]; c.Entity != 1002 {
		t.Errorf("its call: %+v", c)
	}
}

func TestAmoEventsAreRecorded(t *testing.T) {
	t.Parallel()
	amo := newCRM(t, crmConfig())
	token := tokens(t, amo).Access
	if w := bear(amo, token, "POST", "/api/v2/events", `{"add":[{"type":"phone_call","phone_number":"+79005550111","users":[99999,"88888"]}]}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := bear(amo, token, "POST", "/api/v2/events/", `{"add":[{"type":"phone_call","phone_number":"+7"}]}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := amo.Events()
	if len(e) != 2 || !slices.Equal(e[0].Users, []int64{99999, 88888}) || e[0].Everybody || e[0].Client != clientID || !e[1].Everybody || len(e[1].Users) != 2 {
		t.Errorf("%+v", e)
	}
	if w := bear(amo, token, "POST", "/api/v2/events", "add[0][type]=phone_call&add[0][phone_number]=%2B79005550111&add[0][users][]=99999&add[1][type]=phone_call&add[1][phone_number]=1&add[1][users][0]=88888",
		"Content-Type", "application/x-www-form-urlencoded"); w.Code != 200 || at(t, w, "_embedded.items.1.phone_number") != "1" {
		t.Errorf("as a form: %d %s", w.Code, w.Body)
	}
	if e := amo.Events(); len(e) != 4 || !slices.Equal(e[2].Users, []int64{99999}) || e[2].Everybody || e[3].Phone != "1" {
		t.Errorf("as a form: %+v", e)
	}
}

func FuzzAmoCalls(f *testing.F) {
	f.Add(aCall("+79005550111", ""))
	f.Add(sip("u"))
	f.Add(`[{"metadata":null}]`)
	f.Add(`{"user_id":88888}`)
	f.Fuzz(func(t *testing.T, body string) {
		amo := newCRM(t, crmConfig())
		for _, path := range []string{"calls", "leads/unsorted/sip", "leads/unsorted/x/accept"} {
			if w := ask(amo, anna, http.MethodPost, "/api/v4/"+path, body); w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}
