package sandbox_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// These tests are about who calls, looked up in the CRM, and about the CRM's stored notifications.

const (
	bidi  = "\u202eאיוואן\u202c <b>gpj.exe"
	olgas = "+79005550333" // two contacts and a company have it
	acme  = "+74951112233" // a company's own
	agent = "99999"        // Boris, who sees his own contacts only
)

func callersConfig() sandbox.AmoConfig {
	cfg := amoConfig()
	cfg.Users[1].Rights = map[string]sandbox.AmoRights{"contacts": {View: "M"}}
	cfg.Companies = []sandbox.AmoCompany{
		{ID: 2001, Name: "Petrov & Sons", Phones: []string{"+7 495 100-20-30"}, Responsible: 88888},
		{ID: 2002, Name: "Acme", Phones: []string{"8 (495) 111-22-33 доб. 1"}, Responsible: 99999},
		{ID: 2003, Name: "Olga's", Phones: []string{olgas}, Responsible: 88888},
	}
	cfg.Leads = []sandbox.AmoLead{
		{ID: 3001, Name: "A hundred chairs", Responsible: 88888},
		{ID: 3002, Name: "Old lamps", Status: sandbox.AmoStatusWon, Responsible: 99999},
	}
	cfg.Customers = []sandbox.AmoCustomer{{ID: 4001, Name: "The Petrovs", Responsible: 88888}}
	cfg.Contacts = append(cfg.Contacts,
		sandbox.AmoContact{ID: 1004, Name: "Olga Older", Phones: []string{"79005550333"}, Responsible: 88888},
		sandbox.AmoContact{ID: 1005, Name: "Olga Newer", Phones: []string{"8 900 5550333"}, Responsible: 88888},
		sandbox.AmoContact{ID: 1006, Name: bidi, Phones: []string{"+7 900 555-07-77"}, Responsible: 88888},
		sandbox.AmoContact{ID: 1007, Name: strings.Repeat("\U0001F600", 500), Phones: []string{"+7 900 555-08-88"}, Responsible: 88888},
		sandbox.AmoContact{ID: 1008, Name: "9005559999 in the name", Phones: []string{"+7 900 000-00-00"}, Responsible: 88888},
	)
	cfg.Contacts[0].CompanyID, cfg.Contacts[0].Leads, cfg.Contacts[0].Customers = 2001, []int64{3001, 3002}, []int64{4001}
	return cfg
}

// three opens three tabs of a user; the first leads.
func (s *stage) three(t *testing.T, user string) []*tab {
	t.Helper()
	return []*tab{s.open(t, user, "/leads/"), s.open(t, user, "/leads/"), s.open(t, user, "/contacts/list/")}
}

// asked lists what the widget asked of the API since the start, without what the page itself needs: the group, and
// whether by number or by ids.
func (s *stage) asked() []string {
	list := []string{}
	for _, r := range s.amo.Requests() {
		group, ok := strings.CutPrefix(r.Path, "/api/v4/")
		switch {
		case !ok || r.Method != http.MethodGet:
		case strings.Contains(r.Query, "query="):
			list = append(list, group+" by number")
		case strings.Contains(r.Query, "filter"):
			list = append(list, group+" by id")
		}
	}
	slices.Sort(list)
	return list
}

func (s *stage) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	if got := s.asked(); !slices.Equal(got, want) {
		t.Errorf("the CRM was asked for %q, want %q", got, want)
	}
}

// stored waits for so many notifications.
func (s *stage) stored(t *testing.T, n int) []sandbox.AmoNotification {
	t.Helper()
	s.until(t, fmt.Sprintf("%d stored notifications", n), func() bool { return len(s.amo.Notifications()) >= n })
	return s.amo.Notifications()
}

const kind = `document.querySelector('.ringcast-card') && document.querySelector('.ringcast-card').dataset.kind`

func named(name string) string { return fmt.Sprintf(`%s && %s === %q`, card, cardName, name) }

func TestCallersInTheSandbox(t *testing.T) {
	t.Parallel()
	onStages(t, map[string]func(*testing.T, *stage){
		"EverythingOfACallerInFourRequests": testCallerWhole,
		"SeveralHaveTheNumber":              testCallerSeveral,
		"TheCompanysOwnNumber":              testCallerCompany,
		"TheNumberInAnotherFieldIsNobody":   testCallerElsewhere,
		"WhoMayNotSeeTheContactSeesNoName":  testCallerRights,
		"TheCRMRefusesAndIsAskedOnceMore":   testCallerRefused,
		"TheCRMHangs":                       testCallerHangs,
		"TheTabThatAsksIsClosed":            testCallerTabClosed,
	})
}

func TestNotificationsInTheSandbox(t *testing.T) {
	t.Parallel()
	onStages(t, map[string]func(*testing.T, *stage){
		"FourTabsOneSearchTwoNotificationsOneResult": func(t *testing.T, s *stage) {
			s.gateway.share()
			testNotifiedTabs(t, s)
		},
		"TabsWithAConnectionEach":                testNotifiedTabs,
		"RecordingComesAfterTheTalk":             testNotifiedRecording,
		"RecordingThatIsAScriptIsNoLink":         testNotifiedHostileRecording,
		"HoldTransferAndElsewhereTellNothingNew": testNotifiedOnce,
		"HostileNamesAreText":                    testNotifiedHostile,
		"OutgoingCallIsToldAfterTheTalk":         testNotifiedOutgoing,
	})
}

// onStages runs each with a stage of its own, one after another in one browser.
func onStages(t *testing.T, tests map[string]func(*testing.T, *stage)) {
	t.Helper()
	browser := browsertest.New(t)
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(t, newStageOf(browser, t, callersConfig())) })
	}
}

func testCallerWhole(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(named("Ivan Petrov"))
	s.wantAsked(t, "companies by id", "companies by number", "contacts by number", "leads by id")
	n := s.stored(t, 1)[0]
	want := `<p>Ivan Petrov, Petrov &amp; Sons is calling. <a class="js-navigate-link" href="/contacts/detail/1001">Open the card</a></p>`
	if n.Text != want || n.Duration != "" || n.Link != "" || *n.Element != (sandbox.AmoElement{ID: 1001, Type: "contact"}) {
		t.Errorf("stored is %+v", n)
	}
}

func testCallerSeveral(t *testing.T, s *stage) {
	change, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, s.url+"/api/v4/contacts", strings.NewReader(`[{"id":1005,"name":"Olga Changed"}]`))
	if err != nil {
		t.Fatal(err)
	}
	change.Header.Set("Content-Type", "application/json")
	change.Header.Set("X-Sandbox-User", anna)
	answer, err := http.DefaultClient.Do(change)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": olgas, "phone_raw": olgas}))
	b.wait(named("Olga Changed"))
	b.picture("crm-several")
	if n := s.stored(t, 1)[0]; *n.Element != (sandbox.AmoElement{ID: 1005, Type: "contact"}) {
		t.Errorf("stored is %+v", n)
	}
}

func testCallerCompany(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": acme, "phone_raw": "84951112233"}))
	b.wait(named("Acme"))
	if n := s.stored(t, 1)[0]; *n.Element != (sandbox.AmoElement{ID: 2002, Type: "company"}) || !strings.Contains(n.Text, `href="/companies/detail/2002"`) {
		t.Errorf("stored is %+v", n)
	}
}

func testCallerElsewhere(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": "+79005559999", "phone_raw": "89005559999"}))
	b.wait(kind + ` === 'unknown'`)
}

func testCallerRights(t *testing.T, s *stage) {
	a, b := s.open(t, anna, "/leads/"), s.open(t, agent, "/leads/")
	found := object{"id": "1001", "type": "contact", "name": "Ivan Petrov", "url": s.url + "/contacts/detail/1001"} // with the integration's rights
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:5", "contact": found}))
	s.gateway.tell(agent, "call.dial", call(object{"id": "office:6", "contact": found}))
	a.wait(named("Ivan Petrov"))
	b.wait(kind + ` === 'unknown'`)
	for _, n := range s.stored(t, 2) {
		if strings.Contains(n.Text+n.Header+n.From, "Petrov") != (n.User == 88888) || (n.Element != nil) != (n.User == 88888) {
			t.Errorf("stored is %+v", n)
		}
	}
	s.gateway.tell(agent, "call.bridge", call(object{"id": "office:6", "contact": found, "state": "talking"}))
	s.gateway.tell(agent, "call.hangup", call(object{"id": "office:6", "contact": found, "state": "ended", "outcome": "answered"}))
	b.wait(`document.querySelector('.ringcast-result')`)
	b.want(`document.body.innerHTML.includes('Petrov') || document.body.innerHTML.includes('detail/1001')`, "false")
}

func testCallerRefused(t *testing.T, s *stage) {
	for _, group := range []string{"contacts", "companies"} {
		s.amo.Refuse("GET /api/v4/"+group, http.StatusTooManyRequests, "")
	}
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": olgas, "phone_raw": olgas}))
	b.wait(`document.querySelectorAll('.ringcast-card[data-kind="unclear"]').length === 2`)
	b.want(`/could not be looked up/.test(document.querySelector(".ringcast-card").textContent)`, "true")
	b.picture("crm-unclear")
	s.stored(t, 2)
	if got := s.asked(); len(got) > 6 { // a search is two, and the second caller's first was not begun
		t.Errorf("after the CRM had refused it was asked again and again: %q", got)
	}
	for _, n := range s.amo.Notifications() {
		if strings.Contains(n.Text, "/contacts/add/") {
			t.Errorf("a new contact is offered though there may be one: %+v", n)
		}
	}
}

func testCallerHangs(t *testing.T, s *stage) {
	release := s.amo.Hang("GET /api/v4/contacts")
	defer release()
	b := s.open(t, anna, "/leads/")
	began := time.Now()
	s.gateway.tell(anna, "call.dial", call(nil))
	s.stored(t, 1) // the notification does not wait for the name
	if waited := time.Since(began); waited > 4*time.Second {
		t.Errorf("the notification waited %v", waited)
	}
	b.wait(kind + ` === 'unclear'`)
	if waited := time.Since(began); waited > 9*time.Second {
		t.Errorf("the search was given up after %v", waited)
	}
}

func testNotifiedTabs(t *testing.T, s *stage) {
	tabs := s.three(t, anna)
	s.gateway.tell(anna, "call.dial", call(nil))
	for _, b := range tabs {
		b.wait(named("Ivan Petrov"))
	}
	late := s.open(t, anna, "/leads/")
	late.wait(named("Ivan Petrov"))
	s.wantAsked(t, "companies by id", "companies by number", "contacts by number", "leads by id")
	s.stored(t, 1)

	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking"}))
	tabs = append(tabs, late)
	for _, b := range tabs {
		b.wait(`APP.sdk.getCallingStatus()`)
	}
	s.gateway.tell(anna, "call.hangup", call(object{"state": "ended", "outcome": "answered", "talk_seconds": 65, "recording": "https://pbx.example/r?id=1&x=2"}))
	n := s.stored(t, 2)[1]
	if n.Duration != "01:05" || n.Link != "https://pbx.example/r?id=1&x=2" || n.Header != "Answered call: +7 900 555-01-11" ||
		n.From != "+7 900 555-01-11" || n.To != "Anna Orlova" || *n.Element != (sandbox.AmoElement{ID: 1001, Type: "contact"}) {
		t.Errorf("stored is %+v", n)
	}
	windows := ""
	for _, b := range tabs {
		b.wait(noCard + ` && !APP.sdk.getCallingStatus()`)
		windows += b.text(`document.querySelectorAll('.ringcast-result').length`)
	}
	if strings.Count(windows, "1") != 1 || strings.Count(windows, "0") != 3 {
		t.Errorf("result windows in the four tabs: %s", windows)
	}
	if stored := s.amo.Notifications(); len(stored) != 2 {
		t.Errorf("%d stored notifications", len(stored))
	}
}

func testCallerTabClosed(t *testing.T, s *stage) {
	s.gateway.share()
	release := s.amo.Hang("GET /api/v4/contacts")
	tabs := s.three(t, anna)
	first, others := tabs[0], tabs[1:]
	s.gateway.tell(anna, "call.dial", call(nil))
	for _, b := range others {
		b.wait(kind + ` === 'looking'`)
	}
	asked := func(times int) func() bool {
		return func() bool {
			got := s.asked()
			return len(slices.DeleteFunc(got, func(what string) bool { return what != "contacts by number" })) == times
		}
	}
	s.until(t, "the first tab to ask", asked(1))
	first.close()
	s.until(t, "its successor to ask", asked(2))
	release()
	for _, b := range others {
		b.wait(named("Ivan Petrov"))
	}
	if !asked(2)() {
		t.Errorf("the CRM was asked for %q", s.asked())
	}
}

func testNotifiedRecording(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	s.stored(t, 1)
	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking"}))
	over := object{"state": "ended", "outcome": "answered", "talk_seconds": 3661}
	s.gateway.tell(anna, "call.hangup", call(over))
	b.wait(noCard)
	if stored := s.amo.Notifications(); len(stored) != 1 {
		t.Errorf("the recording was not waited for: %+v", stored)
	}
	over["recording"] = "https://pbx.example/'\"><script>/1.mp3"
	s.gateway.tell(anna, "call.update", call(over))
	n := s.stored(t, 2)[1]
	if n.Link != "https://pbx.example/%27%22%3E%3Cscript%3E/1.mp3" || !strings.Contains(n.Text, "1:01:01") {
		t.Errorf("stored is %+v", n)
	}
	b.picture("crm-talk")
}

func testNotifiedHostileRecording(t *testing.T, s *stage) {
	s.open(t, anna, "/leads/")
	over := object{"state": "ended", "outcome": "answered", "talk_seconds": 5, "recording": "javascript:window.hacked=1"}
	s.gateway.tell(anna, "call.dial", call(nil))
	s.stored(t, 1)
	s.gateway.tell(anna, "call.hangup", call(over))
	if n := s.stored(t, 2)[1]; n.Link != "" || strings.Contains(n.Text, "javascript") {
		t.Errorf("stored is %+v", n)
	}
}

func testNotifiedOnce(t *testing.T, s *stage) {
	s.gateway.share()
	tabs := []*tab{s.open(t, anna, "/leads/"), s.open(t, anna, "/leads/")}
	s.gateway.tell(anna, "call.dial", call(nil))
	s.stored(t, 1)
	for _, step := range []object{
		{"state": "talking"}, {"state": "held"}, {"state": "talking"}, {"state": "ended", "outcome": "transferred", "talk_seconds": 9},
		{"state": "ringing"}, {"state": "ended", "outcome": "elsewhere"}, // it comes back, and another takes it
	} {
		s.gateway.tell(anna, "call.update", call(step))
	}
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": olgas, "phone_raw": olgas}))
	s.stored(t, 2)
	for _, b := range tabs {
		b.wait(`document.querySelectorAll('.ringcast-card').length === 1`)
	}
	s.gateway.tell(anna, "call.hangup", call(object{"id": "office:2", "phone": olgas, "phone_raw": olgas, "state": "ended", "outcome": "missed"}))
	for _, b := range tabs {
		b.wait(noCard)
	}
	if stored := s.amo.Notifications(); len(stored) != 2 {
		t.Errorf("stored are %+v", stored)
	}
	if _, claims, _ := s.gateway.seen(); slices.Contains(claims, "office:1 notify_end") || slices.Contains(claims, "office:2 notify_end") {
		t.Errorf("claims are %q", claims)
	}
}

func testNotifiedHostile(t *testing.T, s *stage) {
	cfg := callersConfig()
	cfg.Users[0].Name = "<b>Anna</b>"
	s = newStageOf(s.browser, t, cfg)
	b := s.open(t, anna, "/leads/")
	for i, phone := range []string{"+79005556666", "+79005550777", "+79005550888"} {
		id := fmt.Sprint("office:", i)
		s.gateway.tell(anna, "call.dial", call(object{"id": id, "phone": phone, "phone_raw": phone, "phone_display": "<b>\u202e" + phone + "</b>"}))
		s.stored(t, 2*i+1)
		s.gateway.tell(anna, "call.hangup", call(object{
			"id": id, "phone": phone, "phone_raw": phone, "phone_display": "<b>\u202e" + phone + "</b>",
			"state": "ended", "outcome": "answered", "talk_seconds": 5, "recording": "https://pbx.example/1",
		}))
		s.stored(t, 2*i+2)
		b.text(`document.querySelectorAll('.ringcast-result .modal-body__close, .modal-body__close').forEach((button) => button.click())`)
	}
	for _, n := range s.amo.Notifications() {
		all := n.Header + n.Text + n.From + n.To
		if strings.ContainsAny(all, "\u202e\u202c") || strings.Contains(all, "<img") || strings.Contains(all, "<b>") || len([]rune(n.Text)) > 400 {
			t.Errorf("stored is %+v", n)
		}
		if strings.Contains(all, "א") && !strings.Contains(all, "\u2068א") {
			t.Errorf("a name that runs to the left is not kept apart: %+v", n)
		}
	}
	b.wait(`__sandbox.toasts.length >= 6`)
	b.want(`document.querySelectorAll('.toast img, .toast b, .toast script, .ringcast img').length + ' ' + window.hacked`, "0 undefined")
	b.picture("crm-hostile")
}

func testNotifiedOutgoing(t *testing.T, s *stage) {
	s.open(t, anna, "/leads/")
	out := object{"direction": "outbound", "outgoing": true}
	s.gateway.tell(anna, "call.dial", call(out))
	out["state"], out["outcome"], out["talk_seconds"], out["recording"] = "ended", "answered", 7, "https://pbx.example/1"
	s.gateway.tell(anna, "call.hangup", call(out))
	n := s.stored(t, 1)[0]
	if n.Header != "Outgoing call: +7 900 555-01-11" || n.From != "Anna Orlova" || n.To != "+7 900 555-01-11" || n.Duration != "00:07" {
		t.Errorf("stored is %+v", n)
	}
	if len(s.amo.Notifications()) != 1 {
		t.Errorf("stored are %+v", s.amo.Notifications())
	}
}
