package sandbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

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
		"UnknownCaller":                       testUnknownCaller,
		"NavigationKeepsOneSocket":            testNavigation,
		"ReloadInTheMiddleOfATalk":            testReload,
		"DisabledWidgetLeavesNothingBehind":   testDisabled,
		"ConsentFillsTheRequiredField":        testConsent,
		"OnlyTheUserConcernedSeesTheCall":     testTwoUsers,
		"UnknownCallerBecomesAContactByClick": testNewContact,
	} {
		t.Run(name, func(t *testing.T) { run(t, newStage(browser, t)) })
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
