package sandbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// The card of a call in the page of the pretend amoCRM, in a real browser.

const (
	ivans    = "+79005550111"
	shared   = "+79005550444" // two contacts have it
	nobodys  = "+79990000009"
	longName = "\u202eمحمد <b onclick=alert(1)>\"'&amp;" // and a lot more
)

func cardConfig() sandbox.AmoConfig {
	cfg := amoConfig()
	cfg.RateLimit = -1 // the page's own requests count, too
	cfg.Companies = []sandbox.AmoCompany{{ID: 2001, Name: "Petrov & Sons", Responsible: 88888}}
	cfg.Leads = []sandbox.AmoLead{{ID: 3001, Name: "A hundred chairs", Responsible: 88888}}
	cfg.Contacts[0].CompanyID, cfg.Contacts[0].Leads = 2001, []int64{3001}
	cfg.Contacts = append(cfg.Contacts,
		sandbox.AmoContact{ID: 1011, Name: "Olga Older", Phones: []string{shared}, CompanyID: 2001, Responsible: 88888},
		sandbox.AmoContact{ID: 1012, Name: "Olga Newer", Phones: []string{shared}, Responsible: 99999},
		sandbox.AmoContact{ID: 1013, Name: longName + strings.Repeat("مرحبا ", 80), Phones: []string{"+7 900 555-05-55"}, Responsible: 88888},
	)
	return cfg
}

func inTalk(over object) object {
	c := call(object{"state": "talking", "answered_at": time.Now().UTC().Format(time.RFC3339)})
	for k, v := range over {
		c[k] = v
	}
	return c
}

func atEnd(over object) object {
	c := call(object{"state": "ended", "outcome": "answered", "talk_seconds": 65})
	for k, v := range over {
		c[k] = v
	}
	return c
}

func team() []object {
	return []object{
		colleague(anna, "Anna Orlova", "101", nil), colleague(boris, "Boris Lvov", "102", object{"busy": true}),
		colleague("77777", "Clara Adler", "103", nil), colleague("66666", "Dmitri Volkov", "104", object{"online": false, "away": true}),
		colleague("55555", "Emil Berg", "105", object{"online": false}),
	}
}

// deed is the button of a card.
func deed(name string) string { return ".ringcast-card__" + name }

func shownDeeds(b *tab) string {
	return b.text(`[...document.querySelectorAll('.ringcast-card [data-deed]')].filter((e) => e.getClientRects().length).map((e) => e.dataset.deed).join()`)
}

func part(name string) string {
	return fmt.Sprintf(`document.querySelector('.ringcast-card__%s').textContent`, name)
}

const state = `(document.querySelector('.ringcast-card') || { dataset: {} }).dataset.state`

// asks waits for a command of an action and returns it.
func (s *stage) asks(t *testing.T, action string, n int) object {
	t.Helper()
	s.until(t, "the command "+action, func() bool { return len(s.gateway.asked(action)) >= n })
	return s.gateway.asked(action)[n-1]
}

func TestCardInTheSandbox(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	for name, run := range map[string]func(*testing.T, *stage){
		"FromTheRingToTheEnd":                   testCardLife,
		"FailuresAreSaidOnTheCard":              testCardFailure,
		"WhatIsNotPermittedIsNotOfferedAgain":   testCardNotPermitted,
		"InternalCallShowsTheColleague":         testCardInternal,
		"SeveralHaveTheNumber":                  testCardSeveral,
		"NewContactAndDealFromTheCard":          testCardCreate,
		"WhatIsTypedOutlivesTheCall":            testCardCreateOutlives,
		"TransferToAColleague":                  testCardTransfer,
		"ConsultationIsKeptOverAReload":         testCardConsult,
		"ParkedCallSaysWhere":                   testCardParked,
		"DialledNumberIsShownAtOnce":            testCardDialled,
		"OpensTheCallersCardAtTheAnswer":        testCardOpens,
		"NothingOpensOverUnsavedWork":           testCardOpensNot,
		"NamesThatAreScriptsOrLongOrTurnAround": testCardNames,
	} {
		t.Run(name, func(t *testing.T) { run(t, newStageOf(browser, t, cardConfig())) })
	}
}

func testCardLife(t *testing.T, s *stage) {
	s.gateway.present(team()...)
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(named("Ivan Petrov"))
	b.want(`[...document.querySelectorAll('.ringcast-card dd')].map((e) => e.textContent).join('|')`, "Petrov & Sons|A hundred chairs|Anna Orlova")
	b.want(`[...document.querySelectorAll('.ringcast-card a')].map((e) => e.getAttribute('href')).join()`, "/companies/detail/2001,/leads/detail/3001,/contacts/detail/1001")
	b.want(part("state"), "Incoming call")
	if got := shownDeeds(b); got != "answer,hangup" {
		t.Errorf("while it rings the buttons are %s", got)
	}
	b.want(`document.querySelector('`+deed("hangup")+`').textContent`, "Decline")
	b.picture("card-ringing")
	b.click(deed("answer"))
	if got := s.asks(t, "answer", 1); got["call"] != "office:1" {
		t.Errorf("answered %v", got["call"])
	}

	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	b.wait(state + ` === 'talking' && /^00:0[1-9]$/.test(` + part("clock") + `)`)
	if got := shownDeeds(b); got != "hold,mute,transfer,park,hangup" {
		t.Errorf("while they talk the buttons are %s", got)
	}
	b.picture("card-talking")
	b.click(deed("mute"))
	b.wait(`document.querySelector('` + deed("mute") + `[aria-pressed="true"]')`)
	b.click(deed("hold"))
	s.asks(t, "hold", 1)
	s.gateway.tell(anna, "call.hold", inTalk(object{"state": "held"}))
	b.wait(state + ` === 'held' && /^00:0[1-9]$/.test(` + part("clock") + `) && ` + part("total") + ` > ` + part("clock"))
	b.picture("card-held")

	held := b.text(part("clock"))
	b.reload()
	b.wait(state + ` === 'held' && APP.sdk.getCallingStatus()`)
	if after := b.text(part("clock")); after < held {
		t.Errorf("on hold for %s, after a reload for %q", held, after)
	}
	b.want(`document.querySelector('`+deed("mute")+`').getAttribute('aria-pressed')`, "true")
	b.click(deed("hold"))
	s.asks(t, "unhold", 1)
	s.gateway.tell(anna, "call.unhold", inTalk(nil))
	b.wait(state + ` === 'talking' && ` + part("total") + ` === ''`)

	b.click(deed("hangup"))
	if got := s.asks(t, "hangup", 1); got["call"] != "office:1" {
		t.Errorf("hung up %v", got["call"])
	}
	s.gateway.tell(anna, "call.hangup", atEnd(nil))
	b.wait(state + ` === 'ended' && ` + part("clock") + ` === '01:05'`)
	b.want(`__sandbox.callingStatus.join()`, "true,false")
	if got := shownDeeds(b); got != "" {
		t.Errorf("when it is over the buttons are %s", got)
	}
	b.picture("card-ended")
	b.wait(noCard)
	b.want(`document.querySelector('.ringcast-deck__box').hidden`, "true")
	b.want(`Object.keys(localStorage).filter((key) => /marks/.test(key)).length`, "0")
}

func testCardFailure(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(state + ` === 'talking'`)
	release := s.gateway.hold("hold")
	s.gateway.refuse("hold", "rejected")
	b.click(deed("hold"))
	b.wait(`[...document.querySelectorAll('.ringcast-card [data-deed]')].every((e) => e.disabled || e.hidden)`)
	release()
	b.wait(part("trouble") + ` === 'The phone or the PBX refused this.'`)
	b.wait(`!document.querySelector('` + deed("hold") + `').disabled && document.activeElement === document.querySelector('` + deed("hold") + `')`)
	b.wait(`__sandbox.toasts.some((toast) => toast.kind === 'error')`)
	b.picture("card-failure")
	s.gateway.refuse("hold", "")
	b.click(deed("hold"))
	b.wait(part("trouble") + ` === ''`)
}

func testCardNotPermitted(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.refuse("answer", "not_permitted")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card)
	for _, next := range []string{"office:2", "office:3"} { // one call may have a reason of its own
		b.click(deed("answer"))
		b.wait(`document.querySelector('` + deed("answer") + `').hidden`)
		id := b.text(`document.querySelector('.ringcast-card').dataset.call`)
		s.gateway.tell(anna, "call.hangup", call(object{"id": id, "state": "ended", "outcome": "elsewhere"}))
		b.wait(noCard)
		s.gateway.tell(anna, "call.dial", call(object{"id": next}))
		b.wait(card)
	}
	if got := shownDeeds(b); got != "hangup" {
		t.Errorf("on the third call the buttons are %s", got)
	}
}

func testCardInternal(t *testing.T, s *stage) {
	s.gateway.present(team()...)
	b := s.open(t, boris, "/leads/")
	over := object{
		"id": "office:9", "direction": "internal", "phone": nil, "phone_raw": "103", "extension": "102", "line": "",
		"peer": object{"user": "77777", "name": "Clara Adler", "extension": "103"},
	}
	s.gateway.tell(boris, "call.dial", call(over))
	b.wait(named("Clara Adler"))
	b.want(`document.querySelector('.ringcast-card__avatar i').dataset.presence`, "online")
	b.want(part("state"), "Internal call")
	b.picture("card-internal-dark")
	changed := team()
	changed[2]["busy"] = true
	s.gateway.present(changed...)
	b.wait(`document.querySelector('.ringcast-card__avatar i').dataset.presence === 'busy'`)
}

func testCardSeveral(t *testing.T, s *stage) {
	s.gateway.share()
	b := s.open(t, anna, "/leads/")
	other := s.open(t, anna, "/contacts/list/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": shared}))
	other.wait(`/^Olga/.test(` + cardName + `)`)
	b.wait(`/^Olga/.test(` + cardName + `)`)
	first := b.text(cardName)
	b.click(deed("others"))
	b.wait(`document.querySelectorAll('.ringcast-pick__one').length === 2`)
	b.picture("card-matches")
	b.click(`.ringcast-pick__one[aria-pressed="false"]`)
	for _, each := range []*tab{b, other} {
		each.wait(cardName + ` !== ` + fmt.Sprintf("%q", first))
		each.wait(`document.querySelector('.ringcast-card__link').getAttribute('href') === '/contacts/detail/101' + (` + cardName + ` === 'Olga Older' ? 1 : 2)`)
	}
	chosen := b.text(cardName)
	s.gateway.tell(anna, "call.bridge", inTalk(object{"phone": shared}))
	s.gateway.tell(anna, "call.hangup", atEnd(object{"phone": shared}))
	const who = `(document.querySelector('.ringcast-result__who') || { textContent: '' }).textContent`
	s.until(t, "the result window", func() bool { return b.text(who)+other.text(who) != "" })
	if got := b.text(who) + other.text(who); !strings.Contains(got, chosen) {
		t.Errorf("the result window is about %q, chosen was %q", got, chosen)
	}
}

func testCardCreate(t *testing.T, s *stage) {
	s.gateway.share()
	b := s.open(t, anna, "/leads/")
	other := s.open(t, anna, "/contacts/list/")
	s.gateway.tell(anna, "call.dial", inTalk(object{"phone": nobodys, "name": "Wrong \"Name\" <b>"}))
	other.wait(kind + ` === 'unknown'`)
	b.wait(kind + ` === 'unknown'`)
	b.click(deed("create"))
	b.wait(`document.activeElement.name === 'name'`)
	b.want(`document.activeElement.value`, `Wrong "Name" <b>`)
	b.want(`document.querySelector('.ringcast-create__full').getAttribute('href')`, "/contacts/add/?phone=%2B79990000009")
	b.picture("card-create")
	b.enter(`.ringcast-create [name="name"]`, " ")
	b.click(".ringcast-create [type=submit]")
	b.wait(`document.querySelector('.ringcast-create [name="name"][aria-invalid]')`)

	b.enter(`.ringcast-create [name="name"]`, "Nina New")
	accept := s.amo.Refuse("POST /api/v4/leads/complex", 400, `{"title":"Bad Request","status":400,"detail":"Request validation failed",
		"validation-errors":[{"request_id":"0","errors":[{"code":"NotSupportedChoice","path":"_embedded.contacts.0.name","detail":"No such name, please."}]}]}`)
	b.click(".ringcast-create [type=submit]")
	b.wait(`document.querySelector('.ringcast-create [name="name"]').closest('.ringcast-field').querySelector('em').textContent === 'No such name, please.'`)
	b.picture("card-create-refused")
	accept()
	// A call's change must not take away what was typed.
	s.gateway.tell(anna, "call.hold", inTalk(object{"phone": nobodys, "state": "held"}))
	b.wait(state + ` === 'held'`)
	b.want(`document.querySelector('.ringcast-create [name="name"]').value.trim()`, "Nina New")
	b.click(".ringcast-create [type=submit]")
	for _, each := range []*tab{b, other} {
		each.wait(named("Nina New"))
		each.wait(`[...document.querySelectorAll('.ringcast-card dd')].some((e) => /Call from/.test(e.textContent))`)
		each.want(`String(document.querySelector('.ringcast-create'))`, "null")
	}
	b.click(deed("link"))
	b.wait(`/contacts.detail/.test(location.pathname) && /Nina New/.test(document.body.textContent)`)
}

// The call ends, and the card's time is over, while the CRM is asked and while somebody reads why it refused.
func testCardCreateOutlives(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.bridge", inTalk(object{"phone": nobodys}))
	b.wait(kind + ` === 'unknown'`)
	b.click(deed("create"))
	b.enter(`.ringcast-create [name="name"]`, "Nina New")
	accept := s.amo.Refuse("POST /api/v4/leads/complex", 400, `{"title":"Bad Request","status":400,"detail":"Request validation failed"}`)
	b.click(".ringcast-create [type=submit]")
	s.gateway.tell(anna, "call.hangup", atEnd(object{"phone": nobodys, "outcome": "transferred"}))
	b.wait(`document.querySelector('.ringcast-create__error').textContent && ` + state + ` === 'ended'`)
	b.text(hurry)
	b.text(`setTimeout(() => { window.waited = true; }, 8000)`)
	b.wait(`window.waited`)
	b.want(`document.querySelector('.ringcast-create [name="name"]').value`, "Nina New")
	if got := shownDeeds(b); got != "" {
		t.Errorf("of a call that is over the buttons are %s", got)
	}
	b.picture("card-create-outlives")
	accept()
	b.click(".ringcast-create [type=submit]")
	b.wait(noCard)
}

func testCardTransfer(t *testing.T, s *stage) {
	s.gateway.present(team()...)
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(named("Ivan Petrov"))
	b.click(deed("transfer"))
	const people = `[...document.querySelectorAll('.ringcast-transfer__people b')].map((e) => e.textContent).join()`
	b.wait(people + ` === 'Clara Adler,Boris Lvov,Dmitri Volkov,Emil Berg'`)
	b.want(`document.activeElement.closest('.ringcast-transfer') !== null`, "true")
	b.picture("card-transfer")
	b.enter(".ringcast-transfer input", "volk")
	b.wait(people + ` === 'Dmitri Volkov'`)
	b.do("Escape", chromedp.KeyEvent("\u001b"))
	b.wait(`!document.querySelector('.ringcast-transfer') && document.activeElement === document.querySelector('` + deed("transfer") + `')`)

	b.click(deed("transfer"))
	b.click(`[data-extension="103"]`)
	s.gateway.refuse("transfer", "busy")
	b.click(`.ringcast-transfer [data-way="transfer"]`)
	b.wait(part("trouble") + ` === 'The phone is busy.' && document.querySelector('.ringcast-transfer input').value === '103'`)
	s.gateway.refuse("transfer", "")
	b.click(`.ringcast-transfer [data-way="transfer"]`)
	b.wait(`!document.querySelector('.ringcast-transfer')`)
	if got := s.asks(t, "transfer", 2); got["to"] != "103" || got["attended"] == true {
		t.Errorf("the transfer is %v", got)
	}
	b.click(deed("transfer"))
	b.enter(".ringcast-transfer input", "8 (999) 123-45-67\r")
	if got := s.asks(t, "transfer", 3); got["to"] != "89991234567" {
		t.Errorf("the transfer is to %v", got["to"])
	}

	// A colleague's extension is his as it is, and his row stays under the mouse when he or others come and go.
	staff := append(team(), colleague("44444", "Gleb Extra", "10-3", object{"online": false}))
	s.gateway.present(staff...)
	b.wait(`!document.querySelector('.ringcast-transfer')`) // the one before is done
	b.click(deed("transfer"))
	b.wait(`document.querySelector('.ringcast-transfer__people [data-extension="10-3"]')`)
	b.do("hover", hover(`.ringcast-transfer__people [data-extension="10-3"]`))
	b.text(`(window.row = document.querySelector('.ringcast-transfer__people [data-extension="10-3"]'), window.at = row.getBoundingClientRect().top)`)
	staff[5]["online"], staff[2]["busy"] = true, true
	s.gateway.present(staff...)
	b.wait(`document.querySelector('.ringcast-transfer__people [data-extension="10-3"]').dataset.presence === 'online'`)
	b.want(`row.isConnected && row.getBoundingClientRect().top === at`, "true")
	b.click(`[data-extension="10-3"]`)
	b.click(`.ringcast-transfer [data-way="transfer"]`)
	if got := s.asks(t, "transfer", 4); got["to"] != "10-3" {
		t.Errorf("10-3 was picked, the transfer is to %v", got["to"])
	}
}

func testCardConsult(t *testing.T, s *stage) {
	s.gateway.present(team()...)
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(named("Ivan Petrov"))
	b.click(deed("transfer"))
	b.click(`[data-extension="103"]`)
	b.click(`.ringcast-transfer [data-way="consult"]`)
	if got := s.asks(t, "transfer", 1); got["attended"] != true || got["call"] != "office:1" {
		t.Errorf("the consultation is %v", got)
	}
	s.gateway.tell(anna, "call.hold", inTalk(object{"state": "held"}))
	b.wait(part("note") + ` === 'You are asking Clara Adler. The caller is waiting.'`)
	if got := shownDeeds(b); got != "complete,cancel,hangup" {
		t.Errorf("while somebody is asked the buttons are %s", got)
	}
	b.picture("card-consult")
	b.reload()
	b.wait(state + ` === 'held' && !document.querySelector('` + deed("complete") + `').hidden`)
	b.click(deed("cancel"))
	s.asks(t, "cancel", 1)
	b.wait(part("note") + ` === ''`)
	s.gateway.tell(anna, "call.unhold", inTalk(nil))
	b.wait(`!document.querySelector('` + deed("transfer") + `').hidden`)

	// The colleague who is asked has a card of his own and hangs up: the caller waits on.
	b.click(deed("transfer"))
	b.click(`[data-extension="103"]`)
	b.click(`.ringcast-transfer [data-way="consult"]`)
	s.asks(t, "transfer", 2)
	s.gateway.tell(anna, "call.hold", inTalk(object{"state": "held"}))
	aside := object{
		"id": "office:7", "direction": "internal", "outgoing": true, "phone": nil, "phone_raw": "103", "line": "",
		"peer": object{"user": "77777", "name": "Clara Adler", "extension": "103"},
	}
	s.gateway.tell(anna, "call.dial", call(aside))
	b.wait(`document.querySelectorAll('.ringcast-card').length === 2`)
	b.picture("card-consult-two")
	aside["state"], aside["outcome"] = "ended", "missed"
	s.gateway.tell(anna, "call.hangup", call(aside))
	b.wait(part("note") + ` === '' && !document.querySelector('` + deed("hold") + `').hidden`)
}

func testCardParked(t *testing.T, s *stage) {
	s.gateway.replies["park"] = object{"slot": "701"}
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(state + ` === 'talking'`)
	b.click(deed("park"))
	b.wait(part("note") + ` === 'Parked. Dial 701 to take the call back.'`)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "transferred"}))
	b.wait(state + ` === 'ended'`)
	b.want(part("note"), "Parked. Dial 701 to take the call back.")
	b.text(hurry)
	b.wait(noCard)
}

func testCardDialled(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	s.gateway.replies["call"] = object{"call": "office:5"}
	release := s.gateway.hold("call")
	b.wait(`document.querySelectorAll('.list .phone').length > 3`)
	b.click("tbody tr:nth-child(1) .phone")
	b.wait(part("state") + ` === 'Dialling…'`)
	b.picture("card-dialling")
	release()
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:5", "direction": "outbound", "outgoing": true}))
	b.wait(`document.querySelectorAll('.ringcast-card').length === 1 && ` + part("state") + ` === 'Calling'`)
	if got := shownDeeds(b); got != "hangup" {
		t.Errorf("of a call that is being dialled the buttons are %s", got)
	}
	s.gateway.refuse("call", "bad_number")
	b.click("tbody tr:nth-child(2) .phone")
	b.wait(`__sandbox.toasts.some((toast) => toast.kind === 'error') && document.querySelectorAll('.ringcast-card').length === 1`)
}

func openingStage(t *testing.T, s *stage) *stage {
	t.Helper()
	cfg := cardConfig()
	cfg.Settings = map[string]any{"behaviour": `{"open":true,"lead":false,"result":"never"}`}
	return newStageOf(s.browser, t, cfg)
}

func testCardOpens(t *testing.T, s *stage) {
	s = openingStage(t, s)
	s.gateway.share()
	b := s.open(t, anna, "/leads/")
	b.hide()
	front := s.open(t, anna, "/contacts/list/")
	s.gateway.tell(anna, "call.dial", call(nil))
	front.wait(named("Ivan Petrov"))
	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	front.wait(`location.pathname === '/contacts/detail/1001'`)
	b.want(`location.pathname`, "/leads/")
	front.want(`__sandbox.loads > 1`, "true") // and the page was not loaded anew
}

func testCardOpensNot(t *testing.T, s *stage) {
	s = openingStage(t, s)
	b := s.open(t, anna, "/contacts/detail/1002")
	b.wait(`document.querySelector('.card')`)
	ring := func(id, path string) {
		s.gateway.tell(anna, "call.dial", call(object{"id": id}))
		b.wait(fmt.Sprintf(`document.querySelector('[data-call="%s"] .ringcast-card__name').textContent === 'Ivan Petrov'`, id))
		s.gateway.tell(anna, "call.bridge", inTalk(object{"id": id}))
		b.wait(fmt.Sprintf(`document.querySelector('[data-call="%s"]').dataset.state === 'talking'`, id))
		b.want(`location.pathname`, path)
		s.gateway.tell(anna, "call.hangup", atEnd(object{"id": id, "outcome": "elsewhere"})) // leaves no card
		b.wait(noCard)
	}
	const here = "/contacts/detail/1002"
	b.text(`document.querySelector('.card').insertAdjacentHTML('beforeend', '<input id="edited" value="as it was"><textarea id="begun"></textarea>')`)
	b.text(`document.querySelector('#edited').value = 'changed'`)
	ring("office:11", here)
	b.text(`document.querySelector('#edited').value = 'as it was'`)
	b.text(`document.querySelector('#begun').focus()`)
	ring("office:12", here)
	b.text(`document.querySelector('#begun').blur()`)
	b.text(`(new (require('lib/components/base/modal'))({ init: ($body) => $body.trigger('modal:loaded').html('<p>A window of the CRM</p>') }), 0)`)
	ring("office:13", here)
	b.text(`document.querySelectorAll('.modal').forEach((e) => e.remove())`)
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:14"}))
	b.wait(named("Ivan Petrov"))
	s.gateway.tell(anna, "call.bridge", inTalk(object{"id": "office:14"}))
	b.wait(`location.pathname === '/contacts/detail/1001'`)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"id": "office:14", "outcome": "elsewhere"}))
	b.wait(noCard)

	// Work is not in cards alone; what was searched for is none.
	b.navigate("/leads/")
	b.text(`document.body.insertAdjacentHTML('beforeend', '<div id="work" style="position:fixed;top:80px;left:300px"><div class="list-search"><input id="sought"></div><input id="quick"><iframe></iframe></div>')`)
	b.text(`document.querySelector('#sought').value = document.querySelector('#quick').value = 'A long new lead'`)
	ring("office:15", "/leads/")
	b.text(`document.querySelector('#quick').value = ''`)
	b.text(`document.querySelector('#work iframe').focus()`)
	b.wait(`document.activeElement.tagName === 'IFRAME'`)
	ring("office:16", "/leads/")
	b.text(`document.querySelector('#work iframe').remove()`)
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:17"}))
	b.wait(named("Ivan Petrov"))
	s.gateway.tell(anna, "call.bridge", inTalk(object{"id": "office:17"}))
	b.wait(`location.pathname === '/contacts/detail/1001'`)
}

func testCardNames(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": "+79005550555", "line": `"><script>window.hacked=1</script>`}))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": "+79005556666"}))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:3", "phone": nobodys, "name": strings.Repeat("wide", 125)}))
	b.wait(`document.querySelectorAll('.ringcast-card').length === 3 && ` + kind + ` === 'known'`)
	b.wait(`/محمد/.test(` + cardName + `)`)
	b.want(`document.querySelectorAll('.ringcast-card b, .ringcast-card img, .ringcast-card script').length + ' ' + window.hacked`, "0 undefined")
	b.want(`document.querySelector('.ringcast-card__name').title === `+cardName, "true")
	widths := b.text(`[...document.querySelectorAll('.ringcast-card')].map((e) => e.scrollWidth <= e.clientWidth && e.querySelector('.ringcast-card__name').offsetHeight < 30).join()`)
	if widths != "true,true,true" {
		t.Errorf("names fit into one line of their cards: %s", widths)
	}
	b.picture("card-names")
	if !slices.Contains([]string{"rtl"}, b.text(`getComputedStyle(document.querySelector('.ringcast-card__name')).direction`)) {
		t.Error("a right-to-left name is not shown from the right")
	}
}
