package sandbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// These tests are about numbers that are clicked, and about what users are told when something fails.

// dialConfig is an account where everybody has a number of his own: one that was dialled a moment ago is not dialled again.
func dialConfig() sandbox.AmoConfig {
	cfg := crmConfig()
	cfg.Contacts = nil
	for i := range 12 {
		phones := fmt.Sprintf("8 (900) 555-01-%02d доб. 7, +7 800 200-00-00", i)
		cfg.Contacts = append(cfg.Contacts, sandbox.AmoContact{ID: int64(1000 + i), Name: fmt.Sprint("Contact ", i), Phones: []string{phones}, Responsible: 88888})
	}
	cfg.Contacts[2].Leads = []int64{3001}
	cfg.Companies = append(cfg.Companies, sandbox.AmoCompany{ID: 2002, Name: "Lamps & Sons", Phones: []string{"+7 (495) 100-20-40"}, Responsible: 88888})
	return cfg
}

// clicked lists the numbers that the gateway was asked to call.
func (s *stage) clicked() []string {
	commands, _, _ := s.gateway.seen()
	numbers := []string{}
	for _, c := range commands {
		if c["action"] == "call" {
			numbers = append(numbers, fmt.Sprint(c["to"]))
		}
	}
	return numbers
}

func TestWidgetClickToCall(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	t.Run("Everywhere", func(t *testing.T) { testClickEverywhere(t, newStageOf(browser, t, dialConfig())) })
	t.Run("EachFailureIsExplained", func(t *testing.T) { testClickFailures(t, newStageOf(browser, t, dialConfig())) })
	t.Run("ShownAtOnce", func(t *testing.T) { testClickShown(t, newStageOf(browser, t, dialConfig())) })
	t.Run("WithoutAConnection", func(t *testing.T) { testClickOffline(t, newStage(browser, t)) })
}

// In the lists and cards of contacts and companies, and in the card of a lead, whose people have numbers.
func testClickEverywhere(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	var want []string
	for _, at := range []struct{ page, number string }{
		{"/contacts/list/", "89005550100"},
		{"/companies/list/", "+74951002030"},
		{"/contacts/detail/1001", "89005550101"},
		{"/companies/detail/2002", "+74951002040"},
		{"/leads/detail/3001", "89005550102"},
	} {
		b.text(`APP.router.navigate('` + at.page + `', {trigger: true})`)
		b.wait(`location.pathname === '` + at.page + `' && document.querySelector('.phone')`)
		s.click2call(b)
		want = append(want, at.number)
		s.until(t, at.page, func() bool { return slices.Equal(s.clicked(), want) })
		b.wait(`!document.querySelector('.phone-menu')`)
	}
	b.want(`__sandbox.toasts.filter((toast) => toast.kind === 'error').length`, "0")
}

// click2call clicks the first number of a page, and where there is a menu the widget in it.
func (s *stage) click2call(b *tab) {
	b.t.Helper()
	b.text(`document.querySelector('.phone').click()`)
	b.text(`[...document.querySelectorAll('.phone-menu button')].filter(({ textContent }) => textContent === 'Call with Ringcast').forEach((button) => button.click())`)
}

func testClickFailures(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	b.wait(`document.querySelectorAll('.list .phone').length === 12`)
	for i, failure := range []struct{ code, says string }{
		{"pbx_offline", "not connected to Ringcast.*administrator"},
		{"not_registered", "Switch it on"},
		{"busy", "Finish your call"},
		{"rejected", "declined"},
		{"not_permitted", "extension.*administrator"},
		{"bad_number", "“[+]?[0-9]+” is not a number"},
		{"timeout", "Look at your phone"},
		{"too_many", "Wait a minute"},
		{"unavailable", "in a minute"},
		{"internal", "went wrong"},
		{"a_new_one", "code a_new_one"},
	} {
		s.gateway.refuse("call", failure.code)
		b.text(fmt.Sprintf(`document.querySelectorAll('.list .phone')[%d].click()`, i))
		b.wait(fmt.Sprintf(`__sandbox.toasts.length === %d`, i+1))
		b.want(fmt.Sprintf(`(({kind, header, text}) => kind + ' ' + header + ' ' + /^<p data-at=.*>.*%s.*<.p>$/.test(text))(__sandbox.toasts[%d])`, failure.says, i), "error Calls by Ringcast true")
		b.wait(`!document.querySelector('.ringcast-card')`)
		b.click(".toast__close")
	}
	// The CRM never shows an error again that was closed: the next failure of the same kind is another one.
	s.gateway.refuse("call", "busy")
	b.text(`document.querySelectorAll('.list .phone')[11].click()`)
	b.wait(`document.querySelector('.toast') && /Finish your call/.test(document.querySelector('.toast').textContent)`)
	b.picture("dial-failure")
	if n := len(s.amo.Notifications()); n != 0 {
		t.Errorf("%d of them are stored: they are about this tab's clicks", n)
	}
}

// Before the gateway has answered there is a card, under the name of the row; it goes when nothing comes of it.
func testClickShown(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	b.wait(`document.querySelectorAll('.list .phone').length === 12`)
	s.gateway.refuse("call", "not_registered")
	release := s.gateway.hold("call")
	b.text(`document.querySelectorAll('.list .phone')[3].click()`)
	b.wait(card + ` && ` + cardName + ` === 'Contact 3'`)
	b.want(`document.querySelectorAll('.list .phone')[3].click() || document.querySelectorAll('.ringcast-card').length`, "1")
	b.picture("dialling")
	release()
	b.wait(noCard)
	b.wait(`__sandbox.toasts.length === 1`)
	if got := s.clicked(); len(got) != 1 {
		t.Errorf("a double click dialled %q", got)
	}
}

func testClickOffline(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	s.before(b, hurry)
	b.wait(`document.querySelectorAll('.list .phone').length === 4`)
	s.gateway.away()
	b.text(`document.querySelector('.list .phone').click()`)
	b.wait(`__sandbox.toasts.some(({ text }) => /If your phone does not ring, dial from it/.test(text))`)
}

// away is a gateway that went down.
func (g *fakeGateway) away() {
	_ = g.srv.Listener.Close() // httptest closes it again
	g.cut()
}

func TestWidgetErrors(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	t.Run("ConnectionLostIsToldOnceInThreeTabs", func(t *testing.T) { testLostInThreeTabs(t, newStage(browser, t)) })
	t.Run("RefusalIsToldOnceInThreeTabs", func(t *testing.T) { testRefusedInThreeTabs(t, newStage(browser, t)) })
	t.Run("WhoHasNoExtensionIsLeftInPeace", func(t *testing.T) { testNoExtension(t, newSettingsStage(browser, t, nil)) })
}

func testLostInThreeTabs(t *testing.T, s *stage) {
	tabs := s.three(t, anna)
	for _, b := range tabs {
		s.before(b, hurry)
	}
	s.gateway.away()
	for _, b := range tabs {
		b.wait(`__sandbox.toasts.length === 1 && document.querySelector('.ringcast-sign').textContent`)
		b.want(`__sandbox.toasts[0].kind + ' ' + /127\.0\.0\.1:\d+ is lost.*Ask your telephony administrator/.test(__sandbox.toasts[0].text)`, "error true")
		b.want(noLine, "No connection to telephony")
	}
	tabs[2].picture("lost-once")
	// A page that is opened anew in the same outage has the sign, and says nothing.
	if err := chromedp.Do(tabs[1].ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	tabs[1].wait(`window.__sandbox && document.querySelector('.ringcast-sign') && document.querySelector('.ringcast-sign').textContent`)
	if list := s.amo.Notifications(); len(list) != 1 || list[0].Type != "error" || list[0].Header != "Calls by Ringcast" {
		t.Errorf("stored: %+v", list)
	}
}

func testRefusedInThreeTabs(t *testing.T, s *stage) {
	s.gateway.secret = "another secret"
	var tabs []*tab
	for range 3 {
		tabs = append(tabs, s.visit(s.browser, t, anna, "/leads/"))
	}
	for _, b := range tabs {
		b.wait(`__sandbox.statuses.includes('error') && document.querySelector('.ringcast-sign').textContent`)
	}
	tabs[2].wait(`document.querySelectorAll('.toast').length <= 1`)
	s.until(t, "the stored notification", func() bool { return len(s.amo.Notifications()) > 0 })
	if list := s.amo.Notifications(); len(list) != 1 || !strings.Contains(list[0].Text, "secret key") {
		t.Errorf("stored: %+v", list)
	}
}

func testNoExtension(t *testing.T, s *settingsStage) {
	s.settings.set(func() { s.settings.empty = true })
	b := s.visit(s.browser, t, dina, "/settings/widgets/")
	b.wait(`document.querySelector('.ringcast-deck')`)
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(fmt.Sprintf(checked, "good"))
	b.contains(checkLines, "note You have no extension yourself, so the widget shows you no calls")
	b.want(`__sandbox.toasts.length + document.querySelector('.ringcast-sign').textContent + __sandbox.statuses.join()`, "0")

	// He who has one by the settings, and none by the gateway, is told.
	told := s.visit(s.browser, t, boris, "/leads/")
	told.wait(`__sandbox.toasts.length === 1`)
	told.contains(`__sandbox.toasts[0].text`, "list of users")
}
