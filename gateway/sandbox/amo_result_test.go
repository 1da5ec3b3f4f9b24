package sandbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// These tests are about the window after a talk. The account has a caller for each row of the rule that says what a
// call is linked to.

const (
	hostileName = `<img src=x onerror="window.hacked=1">"'</option><script>window.hacked=2</script>`
	rtlName     = "שירות לקוחות של החברה הגדולה"
)

var endlessName = strings.Repeat("Lopado\u00adtemacho\u00adselacho ", 20) + strings.Repeat("W", 60)

func resultConfig() sandbox.AmoConfig {
	cfg := amoConfig()
	cfg.RateLimit = -1
	cfg.Companies = []sandbox.AmoCompany{{ID: 2001, Name: "Petrov & Sons", Phones: []string{"+7 495 100-20-30"}, Responsible: 88888}}
	cfg.Leads = []sandbox.AmoLead{
		{ID: 3001, Name: "A hundred chairs", Responsible: 88888}, {ID: 3002, Name: "Old lamps", Status: sandbox.AmoStatusWon, Responsible: 88888},
		{ID: 3003, Name: "Kitchen", Responsible: 88888}, {ID: 3004, Name: "Wardrobe", Responsible: 88888},
		{ID: 3005, Name: hostileName, Responsible: 88888}, {ID: 3006, Name: endlessName, Responsible: 88888},
	}
	cfg.Customers = []sandbox.AmoCustomer{{ID: 4001, Name: "The Sidorovs", Responsible: 88888}}
	cfg.Contacts = []sandbox.AmoContact{
		{ID: 1001, Name: "Ivan Petrov", Phones: []string{"+7 900 555-01-11"}, CompanyID: 2001, Leads: []int64{3001, 3002}, Responsible: 88888},
		{ID: 1002, Name: "Maria Sidorova", Phones: []string{"8 (900) 555-02-22"}, Customers: []int64{4001}, Responsible: 88888},
		{ID: 1003, Name: hostileName, Phones: []string{"+7 900 555 66 66"}, Leads: []int64{3005, 3002}, Responsible: 88888},
		{ID: 1004, Name: "Pavel Chekhov", Phones: []string{"+7 900 555-04-44"}, CompanyID: 2001, Leads: []int64{3003, 3004}, Responsible: 88888},
		{ID: 1005, Name: endlessName, Phones: []string{"+7 900 555-05-55"}, Leads: []int64{3006}, Responsible: 88888},
		{ID: 1006, Name: rtlName, Phones: []string{"+7 900 555-05-55"}, Responsible: 88888},
	}
	return cfg
}

// resultStage is a stage with that account.
type resultStage struct{ *stage }

// resultTab is a page of it, with a result window.
type resultTab struct{ *tab }

func newResultStage(browser context.Context, t *testing.T, change func(*sandbox.AmoConfig)) *resultStage {
	t.Helper()
	cfg := resultConfig()
	if change != nil {
		change(&cfg)
	}
	return &resultStage{newStageOf(browser, t, cfg)}
}

const (
	resultShown   = `document.querySelector('.ringcast-result')`
	noResult      = `!document.querySelector('.ringcast-result')`
	resultLink    = `document.querySelector('.ringcast-result [data-field="link"] select').value`
	resultFoot    = `document.querySelector('.ringcast-result__error').textContent`
	strangerPhone = "+79990000001"
)

// talk is a call with a talk, from its ringing to its end.
func (s *resultStage) talk(user string, over object) {
	step := func(event string, more object) {
		c := call(over)
		for key, value := range more {
			c[key] = value
		}
		s.gateway.tell(user, event, c)
	}
	step("call.dial", nil)
	step("call.bridge", object{"state": "talking"})
	step("call.hangup", object{"state": "ended", "outcome": "answered", "talk_seconds": 65})
}

func resultField(name string) string {
	return fmt.Sprintf(`.ringcast-result [data-field=%q] :is(input, select, textarea)`, name)
}

// write types into a field of the window.
func (b *resultTab) write(field, text string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(resultField(field)), text)); err != nil {
		b.t.Fatalf("write into %s: %v", field, err)
	}
}

// choose chooses in a list of the window, or sets a field that cannot be typed into.
func (b *resultTab) choose(field, value string) {
	b.t.Helper()
	b.text(fmt.Sprintf(`(() => {
		const field = document.querySelector(%q);
		field.value = %q;
		field.dispatchEvent(new Event('change', { bubbles: true }));
	})()`, resultField(field), value))
	b.want(fmt.Sprintf(`document.querySelector(%q).value`, resultField(field)), value)
}

// beside is what is said beside a field.
func beside(field string) string {
	return fmt.Sprintf(`document.querySelector('.ringcast-result [data-field="%s"] .ringcast-result__wrong').textContent`, field)
}

func (b *resultTab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		if err := chromedp.Do(b.ctx, chromedp.KeyEvent(key)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *resultTab) save() {
	b.t.Helper()
	b.click(".ringcast-result__save")
}

// posts counts the requests of a path that write.
func (s *resultStage) posts(path string) int {
	n := 0
	for _, r := range s.amo.Requests() {
		if r.Method == "POST" && r.Path == path {
			n++
		}
	}
	return n
}

func runResultTests(t *testing.T, tests map[string]func(*testing.T, *resultStage)) {
	t.Helper()
	t.Parallel()
	browser := browsertest.New(t)
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(t, newResultStage(browser, t, nil)) })
	}
}

func TestResultWindow(t *testing.T) {
	runResultTests(t, map[string]func(*testing.T, *resultStage){
		"OneDeal":                         testResultOneDeal,
		"Customer":                        testResultCustomer,
		"Company":                         testResultCompany,
		"ContactWithSeveral":              testResultSeveral,
		"UnknownCaller":                   testResultUnknown,
		"NewDealOfAContact":               testResultNewDeal,
		"WithheldNumber":                  testResultWithheld,
		"OutgoingCall":                    testResultOutgoing,
		"CallersNamedLikeScriptsStayText": testResultHostile,
		"LongAndRightToLeftNamesOn360px":  testResultNarrow,
		"TheCRMDidNotSayWhoCalls":         testResultUnclear,
	})
}

func TestResultWindowLosesNothing(t *testing.T) {
	runResultTests(t, map[string]func(*testing.T, *resultStage){
		"PartialFailureMakesOneDeal":     testResultPartial,
		"RefusalsStandBesideTheirFields": testResultRefusals,
		"TwoTalksTwoWindows":             testResultQueue,
		"ACallMeanwhileIsNotHidden":      testResultCallMeanwhile,
		"NothingThrowsTextAwayUnasked":   testResultAsks,
		"TwoTalksWithOneStrangerOneDeal": testResultStrangerTwice,
		"ClosedDuringASearchIsGone":      testResultClosedInSearch,
	})
}

func TestResultWindowComesBack(t *testing.T) {
	runResultTests(t, map[string]func(*testing.T, *resultStage){
		"ReloadWhileItSavesMakesOneDeal": testResultLostAnswer,
		"DraftSurvivesAReload":           testResultDraft,
		"DisabledAndEnabledAgain":        testResultDisabled,
		"TalkThatEndsDuringTheReload":    testResultReload,
	})
}

func TestResultWindowWhereAndWhen(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	behave := func(value string) func(*sandbox.AmoConfig) {
		return func(cfg *sandbox.AmoConfig) { cfg.Settings = map[string]any{"behaviour": value} }
	}
	for name, c := range map[string]struct {
		change func(*sandbox.AmoConfig)
		run    func(*testing.T, *resultStage)
	}{
		"OnlyUnknownCallers":   {behave(`{"result":"unknown"}`), testResultOnlyUnknown},
		"Never":                {behave(`{"result":"never"}`), testResultNever},
		"NoDealForNewContacts": {behave(`{"lead":false}`), testResultContactOnly},
		"Kommo":                {func(cfg *sandbox.AmoConfig) { cfg.Platform = sandbox.KommoPlatform }, testResultOneDeal},
	} {
		t.Run(name, func(t *testing.T) { c.run(t, newResultStage(browser, t, c.change)) })
	}
}

func testResultOneDeal(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	b.want(resultLink, "lead:3001")
	b.want(`document.querySelector('.ringcast-result__who a').textContent`, "Ivan Petrov")
	b.want(`document.querySelector('.ringcast-result__who a').getAttribute('href')`, "/contacts/detail/1001")
	b.want(`[...document.querySelectorAll('.ringcast-result dd')].map((dd) => dd.textContent).join()`, "+7 900 555-01-11,01:05")
	b.want(`[...document.querySelector('.ringcast-result [data-field="link"] select').options].map((o) => o.value).join()`,
		"lead:3001,company:2001,contact:1001,deal:1001,new")
	b.want(`document.querySelector('.ringcast-result__recording').hidden`, "true")

	// The recording becomes known a moment later; only a link of the web is played.
	ended := object{"state": "ended", "outcome": "answered", "talk_seconds": 65}
	ended["recording"] = "javascript:alert(1)"
	s.gateway.tell(anna, "call.update", call(ended))
	ended["recording"] = "https://rec.example.com/1.mp3"
	s.gateway.tell(anna, "call.update", call(ended))
	b.wait(`!document.querySelector('.ringcast-result__recording').hidden`)
	b.want(`document.querySelector('.ringcast-result audio').outerHTML.match(/src="[^"]*"|preload="[^"]*"/g).sort().join(' ')`,
		`preload="none" src="https://rec.example.com/1.mp3"`)

	// The window stays where it is when the CRM goes to another page.
	b.write("note", "Wants the offer by Friday.\nCall back.")
	b.navigate("/contacts/list/")
	b.picture("result-deal")
	b.save()
	b.wait(noResult)
	notes := s.amo.Notes()
	if len(notes) != 1 || notes[0].Kind != "leads" || notes[0].Entity != 3001 || notes[0].Text != "Wants the offer by Friday.\nCall back." {
		t.Errorf("notes are %+v", notes)
	}
	b.want(`Object.keys(localStorage).filter((key) => key.includes('draft.')).length`, "0")
}

func testResultCustomer(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": "+79005550222"})
	b.wait(resultShown)
	b.want(resultLink, "customer:4001")
	b.write("note", "Renews")
	b.picture("result-customer")
	b.press("\x1b")
	b.click(".ringcast-result__back")
	b.save()
	b.wait(noResult)
	if notes := s.amo.Notes(); len(notes) != 1 || notes[0].Kind != "customers" || notes[0].Entity != 4001 {
		t.Errorf("notes are %+v", notes)
	}
}

func testResultCompany(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, boris, "/leads/")}
	s.talk(boris, object{"phone": "+74951002030", "extension": "102"})
	b.wait(resultShown)
	b.want(resultLink, "company:2001")
	b.want(`document.querySelector('.ringcast-result').classList.contains('ringcast_dark')`, "true")
	b.write("note", "The office moves")
	b.picture("result-company-dark")
	b.save()
	b.wait(noResult)
	if notes := s.amo.Notes(); len(notes) != 1 || notes[0].Kind != "companies" || notes[0].Entity != 2001 {
		t.Errorf("notes are %+v", notes)
	}

	s.talk(boris, object{"id": "office:2", "phone": "+74951002030", "extension": "102"})
	b.wait(resultShown)
	b.choose("link", "deal:company:2001")
	b.write("deal", "New desks")
	b.save()
	b.wait(noResult)
	if leads := s.amo.Leads(); len(leads) != 7 || leads[6].Name != "New desks" || len(s.amo.Contacts()) != 6 {
		t.Errorf("leads %+v, contacts %+v", leads, s.amo.Contacts())
	}
}

func testResultSeveral(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": "+79005550444", "direction": "outbound"})
	b.wait(resultShown)
	b.want(resultLink, "contact:1004")
	b.choose("link", "lead:3004")
	b.want(`document.querySelector('.ringcast-result__open').getAttribute('href')`, "/leads/detail/3004")
	b.click(".ringcast-result__switch")
	b.write("text", "Measure the corridor")
	b.choose("type", "2")
	b.choose("due", "three")
	b.picture("result-task")
	b.save()
	b.wait(noResult)
	day := time.Now().AddDate(0, 0, 3)
	want := time.Date(day.Year(), day.Month(), day.Day(), 23, 59, 0, 0, time.Local)
	tasks := s.amo.Tasks()
	if len(tasks) != 1 || tasks[0].Kind != "leads" || tasks[0].Entity != 3004 || tasks[0].Type != 2 || tasks[0].Text != "Measure the corridor" ||
		tasks[0].Responsible != 88888 || !tasks[0].Till.Equal(want) {
		t.Errorf("tasks are %+v, wanted one till %v", tasks, want)
	}
	if len(s.amo.Notes()) != 0 {
		t.Errorf("notes that nobody wrote: %+v", s.amo.Notes())
	}
}

func testResultUnknown(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(resultShown)
	b.want(`document.querySelector('.ringcast-result__who').textContent`, "+7 999 000-00-01")
	b.want(`/not in the CRM/.test(document.querySelector('.ringcast-result__hint').textContent) && /incoming leads/.test(document.querySelector('.ringcast-result__fate').textContent)`, "true")
	b.save()
	b.wait(resultFoot)
	b.write("contact", "Olga Berg")
	b.write("deal", "Twelve tables")
	b.press("\r") // is no wish to save
	b.write("note", "Saw us at the fair.")
	b.click(".ringcast-result__switch")
	b.write("text", "Send the catalogue")
	b.choose("due", "own")
	at := time.Now().Add(49 * time.Hour).Truncate(time.Minute)
	b.choose("at", at.Format("2006-01-02T15:04"))
	b.picture("result-unknown")
	if n := s.posts("/api/v4/leads/complex"); n != 0 {
		t.Errorf("saved before it was wished: %d", n)
	}
	b.text(`document.querySelector('` + `.ringcast-result textarea').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 13, which: 13, ctrlKey: true, bubbles: true }))`)
	b.wait(noResult)
	leads, contacts, notes, tasks := s.amo.Leads(), s.amo.Contacts(), s.amo.Notes(), s.amo.Tasks()
	lead, contact := leads[len(leads)-1], contacts[len(contacts)-1]
	if len(leads) != 7 || lead.Name != "Twelve tables" || len(contacts) != 7 || contact.Name != "Olga Berg" || len(contact.Phones) != 1 || contact.Phones[0] != strangerPhone {
		t.Errorf("leads %+v, contacts %+v", leads, contacts)
	}
	if len(notes) != 1 || notes[0].Kind != "leads" || notes[0].Entity != lead.ID || len(tasks) != 1 || tasks[0].Entity != lead.ID || !tasks[0].Till.Equal(at) {
		t.Errorf("notes %+v, tasks %+v, wanted the task at %v", notes, tasks, at)
	}
	if s.posts("/api/v4/contacts") != 0 || s.posts("/api/v4/leads/complex") != 1 {
		t.Error("contact and deal are made by one request")
	}
	s.until(t, "the gateway to be told the result", func() bool { return len(s.gateway.asked("result")) == 1 })
	told := s.gateway.asked("result")[0]
	if entity, _ := told["entity"].(map[string]any); told["call"] != "office:1" || told["text"] != "Saw us at the fair." || entity["type"] != "lead" || entity["id"] != fmt.Sprint(lead.ID) {
		t.Errorf("the gateway was told %+v", told)
	}
}

func testResultNewDeal(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	b.choose("link", "deal:1001")
	b.want(`document.querySelector('`+resultField("deal")+`').placeholder`, "Call: Ivan Petrov")
	b.text(`(() => { const save = document.querySelector('.ringcast-result__save'); save.click(); save.click(); })()`)
	b.wait(noResult)
	leads := s.amo.Leads()
	if n := s.posts("/api/v4/leads/complex"); n != 1 || len(leads) != 7 || leads[6].Name != "Call: Ivan Petrov" || len(s.amo.Contacts()) != 6 {
		t.Errorf("%d requests, leads %+v", n, leads)
	}
}

func testResultHostile(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": "+79005556666", "recording": `https://rec.example.com/"onerror="window.hacked=3`})
	b.wait(resultShown)
	b.want(`document.querySelector('.ringcast-result__who a').textContent`, hostileName)
	b.want(resultLink, "lead:3005")
	b.choose("link", "deal:1003")
	b.click(".ringcast-result__switch")
	b.save()
	b.wait(beside("text"))
	b.picture("result-hostile")
	b.write("text", "x")
	b.save()
	b.wait(noResult)
	b.want(`document.querySelectorAll('.ringcast-result img, .ringcast-result script').length + ' ' + window.hacked`, "0 undefined")
}

func testResultNarrow(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(360, 640)); err != nil {
		t.Fatal(err)
	}
	s.talk(anna, object{"phone": "+79005550555"})
	b.wait(resultShown)
	b.click(".ringcast-result__switch")
	b.wait(`document.activeElement === document.querySelector('` + resultField("text") + `')`)
	b.picture("result-narrow")
	b.want(`(() => {
		const { left, right, top, bottom } = document.querySelector('.ringcast-result').getBoundingClientRect();
		const save = document.querySelector('.ringcast-result__save').getBoundingClientRect();
		return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight && save.bottom <= innerHeight && document.querySelector('.ringcast-result').scrollWidth <= innerWidth;
	})()`, "true")
	b.want(`document.querySelectorAll('.ringcast-result optgroup').length`, "2")
}

func testResultUnclear(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	mend := s.amo.Refuse("GET /api/v4/", 500, "")
	s.talk(anna, nil)
	b.wait(resultShown)
	b.write("note", "Half known")
	b.save()
	b.wait(resultFoot)
	b.click(".ringcast-result__again")
	b.wait(`/not answered/.test(` + resultFoot + `)`)
	b.picture("result-unclear")
	mend()
	b.click(".ringcast-result__again")
	b.wait(resultLink + ` === 'lead:3001'`)
	b.want(`document.querySelector('`+resultField("note")+`').value + `+resultFoot, "Half known")
	b.save()
	b.wait(noResult)
	if notes := s.amo.Notes(); len(notes) != 1 || notes[0].Entity != 3001 {
		t.Errorf("notes are %+v", notes)
	}
}

func testResultWithheld(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": nil, "phone_raw": ""})
	b.wait(resultShown)
	b.want(`/withheld/.test(document.querySelector('.ringcast-result__hint').textContent) + document.querySelector('.ringcast-result__fate').textContent`, "true")
	b.write("contact", "Somebody")
	b.save()
	b.wait(noResult)
	if contacts := s.amo.Contacts(); len(contacts) != 7 || contacts[6].Name != "Somebody" || len(contacts[6].Phones) != 0 {
		t.Errorf("contacts are %+v", contacts)
	}
}

func testResultOutgoing(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"direction": "outbound", "phone": strangerPhone})
	b.wait(resultShown)
	b.want(`document.querySelector('.ringcast-result dt').textContent + document.querySelector('.ringcast-result__fate').textContent`, "Outgoing call")
}

func testResultContactOnly(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(resultShown)
	b.write("note", "Wrong number, she says")
	b.save()
	b.wait(noResult)
	contacts, notes := s.amo.Contacts(), s.amo.Notes()
	if len(s.amo.Leads()) != 6 || len(contacts) != 7 || contacts[6].Name != "+7 999 000-00-01" || len(notes) != 1 || notes[0].Kind != "contacts" || notes[0].Entity != contacts[6].ID {
		t.Errorf("leads %+v, contacts %+v, notes %+v", s.amo.Leads(), contacts, notes)
	}
}

func testResultOnlyUnknown(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	s.talk(anna, object{"id": "office:2", "phone": strangerPhone})
	b.wait(resultShown)
	b.want(`document.querySelector('.ringcast-result__who').textContent`, "+7 999 000-00-01")
	b.click(".ringcast-result__cancel")
	b.wait(noResult + ` && ` + noCard)
}

func testResultNever(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(card)
	b.wait(noCard) // by then the window would be there
	b.want(noResult, "true")
}
