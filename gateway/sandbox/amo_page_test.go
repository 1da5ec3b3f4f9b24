package sandbox_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// These tests run the zip's own files in the page of the pretend amoCRM, in a real browser, against a fake gateway.
// With SCREENSHOTS=dir in the environment each leaves pictures there.

const (
	card     = `document.querySelector('.ringcast-card')`
	cardName = `document.querySelector('.ringcast-card__name').textContent`
	noCard   = `!document.querySelector('.ringcast-card')`
)

func TestWidgetInTheSandbox(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	for name, run := range map[string]func(*testing.T, *stage){
		"KnownCaller":                         testKnownCaller,
		"UnknownCaller":                       testUnknownCaller,
		"CallerNamedLikeAScriptStaysText":     testCallerNamedLikeAScript,
		"AnsweredElsewhere":                   testAnsweredElsewhere,
		"TwoTabsOneNotificationOneResult":     testTwoTabs,
		"ClickToCall":                         testClickToCall,
		"NavigationKeepsOneSocket":            testNavigation,
		"ReloadInTheMiddleOfATalk":            testReload,
		"ConnectionLost":                      testConnectionLost,
		"AnotherSecretIsToldAndGivenUp":       testWrongSecret,
		"DisabledWidgetLeavesNothingBehind":   testDisabled,
		"ConsentFillsTheRequiredField":        testConsent,
		"OnlyTheUserConcernedSeesTheCall":     testTwoUsers,
		"UnknownCallerBecomesAContactByClick": testNewContact,
	} {
		t.Run(name, func(t *testing.T) { run(t, newStage(browser, t)) })
	}
}

func testKnownCaller(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card + ` && ` + cardName + ` === 'Ivan Petrov'`)
	b.want(`document.querySelector('.ringcast-card__link').getAttribute('href')`, "/contacts/detail/1001")
	b.want(`APP.sdk.getCallingStatus()`, "false")
	b.wait(`__sandbox.toasts.length === 1`)
	b.picture("ringing")

	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking", "answered_at": "2026-01-01T10:00:05.000Z"}))
	b.wait(`APP.sdk.getCallingStatus()`)
	b.wait(`/00:0[1-9]/.test(document.querySelector('.ringcast-card__clock').textContent)`)
	b.picture("talking")
	b.click(".ringcast-card__link")
	b.wait(`location.pathname === '/contacts/detail/1001' && document.querySelector('.feed__empty')`)

	s.gateway.tell(anna, "call.hold", call(object{"state": "held", "answered_at": "2026-01-01T10:00:05.000Z"}))
	b.wait(`document.querySelector('.ringcast-card[data-state="held"]') && APP.sdk.getCallingStatus()`)
	b.click(".ringcast-card__hangup")
	s.until(t, "the hang-up", func() bool {
		commands, _, _ := s.gateway.seen()
		return len(commands) == 1 && commands[0]["action"] == "hangup" && commands[0]["call"] == "office:1"
	})
	s.gateway.tell(anna, "call.hangup", call(object{"state": "ended", "outcome": "answered", "talk_seconds": 65}))
	b.wait(`!APP.sdk.getCallingStatus()`)
	b.wait(`document.querySelector('.ringcast-result')`)
	b.wait(noCard)
	b.want(`[...document.querySelectorAll('.ringcast-result dd')].map((dd) => dd.textContent).join()`, "+7 900 555-01-11,01:05")
	b.click(".ringcast-result__save")
	b.wait(`document.querySelector('.ringcast-result__error').textContent`)
	if err := chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(".ringcast-result textarea"), "Wants the offer by Friday.\nCall back.")); err != nil {
		t.Fatal(err)
	}
	b.picture("result")
	b.click(".ringcast-result__save")
	b.wait(`!document.querySelector('.ringcast-result') && document.querySelector('.note__text')`)
	b.picture("note")
	notes := s.amo.Notes()
	if len(notes) != 1 || notes[0].Entity != 1001 || notes[0].Author != 88888 || notes[0].Text != "Wants the offer by Friday.\nCall back." {
		t.Errorf("notes are %+v", notes)
	}
	b.want(`__sandbox.callingStatus.join()`, "true,false")

	stored := s.amo.Notifications()
	if len(stored) != 1 || stored[0].User != 88888 || stored[0].From != "+7 900 555-01-11" || stored[0].To != "Anna Orlova" ||
		stored[0].Element == nil || *stored[0].Element != (sandbox.AmoElement{ID: 1001, Type: "contact"}) {
		t.Errorf("stored notifications are %+v", stored)
	}
}

func testUnknownCaller(t *testing.T, s *stage) {
	b := s.open(t, boris, "/contacts/list/")
	s.gateway.tell(boris, "call.dial", call(object{"phone": "+79990000001", "phone_raw": "89990000001", "extension": "102"}))
	b.wait(`document.querySelector('.ringcast-card[data-kind="unknown"]')`)
	b.click(".ringcast-card__create")
	b.want(`document.querySelector('.ringcast-create__full').getAttribute('href')`, "/contacts/add/?phone=%2B79990000001")
	b.wait(`__sandbox.toasts.length === 1`)
	b.picture("unknown")
	if n := s.amo.Notifications()[0]; n.From != "" || n.Element != nil || !strings.Contains(n.Text, "/contacts/add/?phone=%2B79990000001") {
		t.Errorf("the notification offers no new contact: %+v", n)
	}
	s.gateway.tell(boris, "call.bridge", call(object{"phone": "+79990000001", "state": "talking"}))
	s.gateway.tell(boris, "call.hangup", call(object{"phone": "+79990000001", "state": "ended", "outcome": "answered", "talk_seconds": 7}))
	b.wait(`/incoming leads/i.test(document.querySelector('.ringcast-result__fate').textContent)`)
	b.click(".ringcast-result__cancel")
	b.wait(`!document.querySelector('.ringcast-result') && ` + noCard)
}

func testNewContact(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": "+79990000002"}))
	b.wait(`document.querySelector('.ringcast-card[data-kind="unknown"]')`)
	b.click(".ringcast-card__create")
	b.click(".ringcast-create__full")
	b.wait(`document.querySelector('#phone') && document.querySelector('#phone').value === '+79990000002'`)
	b.want(`new URLSearchParams(location.search).get('user')`, anna)
	if err := chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#name"), "New Customer")); err != nil {
		t.Fatal(err)
	}
	b.click(".save")
	b.wait(`/contacts.detail/.test(location.pathname)`)
	s.gateway.tell(anna, "call.bridge", call(object{"phone": "+79990000002", "state": "talking"}))
	s.gateway.tell(anna, "call.hangup", call(object{"phone": "+79990000002", "state": "ended", "outcome": "answered"}))
	b.wait(`document.querySelector('.ringcast-result__who a')`)
	b.want(`document.querySelector('.ringcast-result__who a').textContent`, "New Customer")
}

func testCallerNamedLikeAScript(t *testing.T, s *stage) {
	const evil = `<img src=x onerror="window.hacked=1">`
	b := s.open(t, anna, "/contacts/list/")
	s.gateway.tell(anna, "call.dial", call(object{"phone": "+79005556666", "line": evil}))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": "+79990000003", "name": evil}))
	b.wait(`document.querySelectorAll('.ringcast-card').length === 2 && __sandbox.toasts.length === 2`)
	b.wait(cardName + ` === '` + evil + `'`)
	s.gateway.tell(anna, "call.bridge", call(object{"phone": "+79005556666", "state": "talking"}))
	s.gateway.tell(anna, "call.hangup", call(object{"phone": "+79005556666", "state": "ended", "outcome": "answered"}))
	b.wait(`document.querySelector('.ringcast-result__who a')`)
	b.want(`document.querySelector('.ringcast-result__who a').textContent`, evil)
	b.picture("attack")
	b.want(`document.querySelectorAll('.ringcast img, .toast img').length + ' ' + window.hacked`, "0 undefined")
}

func testAnsweredElsewhere(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card)
	s.gateway.tell(anna, "call.bridge", call(object{"state": "ended", "outcome": "elsewhere", "answered_by": object{"name": "Boris"}}))
	b.wait(noCard)
	b.want(`document.querySelector('.ringcast-deck__box').hidden`, "true")
	b.want(`__sandbox.callingStatus.join()`, "")
}

func testTwoTabs(t *testing.T, s *stage) {
	first, second := s.open(t, anna, "/leads/"), s.open(t, anna, "/contacts/list/")
	s.gateway.tell(anna, "call.dial", call(nil))
	for _, b := range []*tab{first, second} {
		b.wait(card)
		b.wait(`__sandbox.toasts.length === 1`)
	}
	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking"}))
	for _, b := range []*tab{first, second} {
		b.wait(`APP.sdk.getCallingStatus()`)
	}
	s.gateway.tell(anna, "call.hangup", call(object{"state": "ended", "outcome": "answered", "talk_seconds": 3}))
	for _, b := range []*tab{first, second} {
		b.wait(noCard)
	}
	const windows = `document.querySelectorAll('.ringcast-result').length`
	s.until(t, "a result window", func() bool { return first.text(windows)+second.text(windows) != "00" })
	if got := first.text(windows) + second.text(windows); got != "01" && got != "10" {
		t.Errorf("windows in the tabs: %s", got)
	}
	_, claims, _ := s.gateway.seen()
	if stored := s.amo.Notifications(); len(stored) != 1 || !slices.Equal(claims, []string{"office:1 notify", "office:1 notify_end", "office:1 result"}) {
		t.Errorf("%d stored notifications, claims %q", len(stored), claims)
	}
}

func testClickToCall(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	commands := func() []string {
		list, _, _ := s.gateway.seen()
		sent := []string{}
		for _, c := range list {
			sent = append(sent, fmt.Sprint(c["action"], " ", c["to"]))
		}
		return sent
	}
	b.wait(`document.querySelectorAll('.list .phone').length === 4`)
	// In a list a click dials at once; a double click dials once.
	if err := chromedp.Do(b.ctx, chromedp.DoubleClick(chromedp.CSS("tbody tr:nth-child(2) .phone:nth-child(2)"))); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the command", func() bool { return len(commands()) > 0 })

	// In a card there is a menu, captioned by the widget.
	b.click(`tbody a[href="/contacts/detail/1001"]`)
	b.click(".card .phone")
	b.wait(`document.querySelector('.phone-menu button').textContent === 'Call with Ringcast'`)
	b.picture("click-to-call")
	b.click(".phone-menu button")
	s.until(t, "the second command", func() bool { return len(commands()) > 1 })
	if got := commands(); !slices.Equal(got, []string{"call +74951230000", "call +79005550111"}) {
		t.Errorf("commands are %q", got)
	}

	s.gateway.refuse("call", "not_registered")
	b.click(`.menu a[href="/contacts/list/"]`)
	b.wait(`document.querySelectorAll('.list .phone').length === 4`)
	b.click("tbody tr:nth-child(3) .phone")
	b.wait(`__sandbox.toasts.some((toast) => toast.kind === 'error' && /not connected to the PBX/.test(toast.text))`)
	b.picture("refused")
}

func testNavigation(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card)
	for i, path := range []string{"/contacts/list/", "/contacts/detail/1001", "/contacts/add/", "/leads/"} {
		b.text(`APP.router.navigate('` + path + `', {trigger: true})`)
		b.wait(fmt.Sprintf(`__sandbox.loads === %d && location.pathname === '%s'`, i+2, path))
	}
	b.want(`document.querySelectorAll('.ringcast-deck').length + ' ' + document.querySelectorAll('link[data-ringcast][href*="style.css"]').length + ' ' + document.querySelectorAll('.ringcast-card').length`, "1 1 1")
	b.want(`new URLSearchParams(location.search).get('user')`, anna)
	if _, _, opened := s.gateway.seen(); opened != 1 {
		t.Errorf("%d sockets were opened, want 1", opened)
	}
}

func testReload(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	answered := time.Now().Add(-2 * time.Minute).UTC().Format(time.RFC3339)
	s.gateway.tell(anna, "call.dial", call(nil))
	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking", "answered_at": answered}))
	b.wait(`APP.sdk.getCallingStatus()`)
	if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	b.wait(`window.APP && APP.sdk.getCallingStatus()`)
	b.wait(`/^02:/.test(document.querySelector('.ringcast-card__clock').textContent)`)
	b.want(`__sandbox.toasts.length`, "0")
}

func testConnectionLost(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	_ = s.gateway.srv.Listener.Close() // nobody gets in any more; httptest closes it again
	s.gateway.cut()
	b.wait(`__sandbox.toasts.length === 1`)
	b.want(`__sandbox.toasts[0].kind`, "error")
	if got := b.text(`__sandbox.toasts[0].text`); !regexp.MustCompile(`127\.0\.0\.1:\d+ is lost.*administrator`).MatchString(got) {
		t.Errorf("the user is told %q", got)
	}
	b.want(`document.querySelector('.ringcast-sign').textContent`, "No connection to telephony")
	b.picture("lost")
}

func testWrongSecret(t *testing.T, s *stage) {
	s.gateway.secret = "another secret"
	ctx, cancel := chromedp.NewContext(s.browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate(s.url+"/leads/?user="+anna)); err != nil {
		t.Fatal(err)
	}
	b.wait(`window.__sandbox && __sandbox.toasts.length === 1`)
	if got := b.text(`__sandbox.toasts[0].text`); !strings.Contains(got, "secret key") {
		t.Errorf("the user is told %q", got)
	}
}

func testDisabled(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking"}))
	b.wait(`APP.sdk.getCallingStatus()`)
	b.text(`__sandbox.widgets.setActive('ringcast', false)`)
	b.want(`document.querySelectorAll('[class*=ringcast], [data-ringcast]').length + ' ' + APP.sdk.getCallingStatus()`, "0 false")
	s.until(t, "the socket to close", func() bool {
		s.gateway.mu.Lock()
		defer s.gateway.mu.Unlock()
		return len(s.gateway.socks) == 0
	})
	b.text(`__sandbox.widgets.setActive('ringcast', true)`)
	b.wait(card + ` && APP.sdk.getCallingStatus()`)
}

func testConsent(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	b.text(`document.body.insertAdjacentHTML('beforeend', '<div id="modal-body"><input type="hidden" name="consent" value=""></div>')`)
	b.text(`(window.changes = 0, require('jquery')('#modal-body').on('change', '[name=consent]', () => window.changes++), __sandbox.widgets.openSettings('ringcast', require('jquery')('#modal-body')))`)
	b.wait(`document.querySelector('.ringcast-consent input')`)
	b.text(`document.querySelector('.ringcast-consent input').click()`)
	b.want(`document.querySelector('[name=consent]').value + ' ' + (window.changes > 0)`, "yes true")
	b.text(`document.querySelector('.ringcast-consent input').click()`)
	b.want(`document.querySelector('[name=consent]').value`, "")
}

func testTwoUsers(t *testing.T, s *stage) {
	a, b := s.open(t, anna, "/leads/"), s.open(t, boris, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	s.gateway.tell(boris, "call.dial", call(object{
		"id": "office:9", "direction": "internal", "phone": nil, "phone_raw": "101", "peer": object{"user": anna, "name": "Anna", "extension": "101"},
	}))
	a.wait(card + ` && ` + cardName + ` === 'Ivan Petrov'`)
	b.wait(card + ` && ` + cardName + ` === 'Anna'`)
	b.picture("internal-dark")
	b.want(`document.querySelectorAll('.ringcast-card').length`, "1")
	a.wait(`__sandbox.toasts.length === 1`)
	b.want(`__sandbox.toasts.length`, "0")
}
