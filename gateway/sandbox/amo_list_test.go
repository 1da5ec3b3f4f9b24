package sandbox_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// These tests are about the call list: who gets into it from the CRM's lists, and how it is called.

func listConfig() sandbox.AmoConfig {
	cfg := amoConfig()
	cfg.RateLimit = -1
	cfg.Settings = map[string]any{"behaviour": `{"interval":3,"result":"never","notify":"never"}`}
	cfg.Companies = []sandbox.AmoCompany{
		{ID: 2001, Name: "Petrov & Sons", Phones: []string{"+7 495 100-20-30"}, Responsible: 88888},
		{ID: 2002, Name: "Silent Ltd", Responsible: 88888},
	}
	cfg.Leads = []sandbox.AmoLead{
		{ID: 3001, Name: "A hundred chairs", Responsible: 88888}, {ID: 3002, Name: hostileName, Responsible: 88888},
		{ID: 3003, Name: "Nobody's lamps", Responsible: 88888},
	}
	cfg.Contacts = []sandbox.AmoContact{
		{ID: 1001, Name: "Ivan Petrov", Phones: []string{"+7 900 555-01-11"}, CompanyID: 2001, Leads: []int64{3001}, Responsible: 88888},
		{ID: 1002, Name: "Maria Sidorova", Phones: []string{"8 (900) 555-02-22", "+7 495 123-00-00"}, Leads: []int64{3001}, Responsible: 88888},
		{ID: 1003, Name: hostileName, Phones: []string{"+7 900 555-03-33"}, Leads: []int64{3002}, Responsible: 88888},
		{ID: 1004, Name: "Pavel Chekhov", Responsible: 88888},
		{ID: 1005, Name: "Petrov's secretary", Phones: []string{"8-900-555-01-11"}, Responsible: 88888},
		{ID: 1006, Name: rtlName, Phones: []string{"+7 900 555-06-66"}, Responsible: 88888},
		{ID: 1007, Name: strings.Repeat("W", 500), Phones: []string{"+7 900 555-07-77"}, Responsible: 88888},
	}
	return cfg
}

const (
	listRows   = `[...document.querySelectorAll('.ringcast-row')].map((row) => row.querySelector('.ringcast-row__name').textContent).join('|')`
	listStates = `[...document.querySelectorAll('.ringcast-row')].map((row) => row.dataset.state).join()`
	listNews   = `document.querySelector('.ringcast-list__news').textContent`
	listWhy    = `document.querySelector('.ringcast-list__why').textContent`
	listShown  = `document.querySelector('.ringcast-list') && !document.querySelector('.ringcast-list').hidden`
)

func listDo(what string) string { return `.ringcast-list [data-do="` + what + `"]` }

// listed opens the list of contacts and puts some into the call list.
func (s *stage) listed(t *testing.T, user string, ids ...int) *tab {
	t.Helper()
	b := s.open(t, user, "/contacts/list/")
	b.pick(ids...)
	b.more("ringcast")
	b.wait(fmt.Sprintf(`document.querySelectorAll('.ringcast-row').length === %d`, len(ids)))
	return b
}

// answering makes the gateway reply to the next dials with this call.
func (s *stage) answering(id string) {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	s.gateway.replies["call"] = object{"call": id}
}

// dialled waits for so many dials, and returns the numbers.
func (s *stage) dialled(t *testing.T, n int) []string {
	t.Helper()
	s.until(t, fmt.Sprintf("%d dials", n), func() bool { return len(s.gateway.asked("call")) >= n })
	numbers := []string{}
	for _, c := range s.gateway.asked("call") {
		numbers = append(numbers, fmt.Sprint(c["to"]))
	}
	return numbers
}

// dialTo is an outgoing call.
func dialTo(id, number string, over object) object {
	c := call(object{"id": id, "direction": "outbound", "outgoing": true, "phone": number, "phone_raw": number})
	for key, value := range over {
		c[key] = value
	}
	return c
}

// rings, talks and ends are what becomes of a call that the list has made.
func (s *stage) rings(user, id, number string) {
	s.gateway.tell(user, "call.dial", dialTo(id, number, nil))
}

func (s *stage) talks(user, id, number string) {
	s.gateway.tell(user, "call.bridge", dialTo(id, number, object{"state": "talking"}))
}

func (s *stage) ends(user, id, number, outcome string, talk int) {
	s.gateway.tell(user, "call.hangup", dialTo(id, number, object{"state": "ended", "outcome": outcome, "talk_seconds": talk}))
}

func TestCallListInTheSandbox(t *testing.T) {
	t.Parallel()
	stages(t, listConfig(), map[string]func(*testing.T, *stage){
		"Contacts":                    testListContacts,
		"Companies":                   testListCompanies,
		"Leads":                       testListLeads,
		"OrderByDraggingAndKeys":      testListOrder,
		"TemplateThatDoesNotLoad":     testListNoTemplate,
		"DarkNarrowAndFolded":         testListDark,
		"BellWithoutACall":            testListBell,
		"DisabledLeavesNothingBehind": testListDisabled,
	})
}

func TestCallListAtWorkInTheSandbox(t *testing.T) {
	t.Parallel()
	stages(t, listConfig(), map[string]func(*testing.T, *stage){
		"ReachedBusyNoAnswer":          testListRun,
		"PauseSkipClear":               testListPauseSkipClear,
		"ReloadInTheMiddle":            testListReload,
		"TwoTabs":                      testListTwoTabs,
		"RefusedIsExplained":           testListRefused,
		"OpensTheContactAndNeverTwice": testListOpens,
	})
}

func TestCallListWaitsForTheResultInTheSandbox(t *testing.T) {
	t.Parallel()
	cfg := listConfig()
	cfg.Settings = map[string]any{"behaviour": `{"interval":3,"result":"always","notify":"never"}`}
	testListResult(t, newStageOf(browsertest.New(t), t, cfg))
}

func TestCallListOfFiveHundredInTheSandbox(t *testing.T) {
	t.Parallel()
	cfg := listConfig()
	cfg.Contacts = crowd(510)
	testListLarge(t, newStageOf(browsertest.New(t), t, cfg))
}

// stages runs tests in one browser, each on a stage of its own.
func stages(t *testing.T, cfg sandbox.AmoConfig, tests map[string]func(*testing.T, *stage)) {
	t.Helper()
	browser := browsertest.New(t)
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(t, newStageOf(browser, t, cfg)) })
	}
}

func testListContacts(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	b.want(`Boolean(`+listShown+`)`, "false")
	b.pick(1001, 1002, 1003, 1004, 1005, 1006, 1007)
	b.more("ringcast")
	b.wait(`document.querySelectorAll('.ringcast-row').length === 5`)
	b.want(listRows, strings.Join([]string{"Ivan Petrov", "Maria Sidorova", hostileName, rtlName, strings.Repeat("W", 255)}, "|"))
	b.want(listNews, "Added: 5. In the list already: 1. No phone number, not added: 1 (Pavel Chekhov).")
	b.want(`document.querySelectorAll('.ringcast-list img, .ringcast-list script').length + ' ' + window.hacked`, "0 undefined")
	b.want(`[...document.querySelectorAll('.ringcast-row__about')].map((a) => a.textContent + ' ' + a.getAttribute('href')).join()`, "Petrov & Sons /companies/detail/2001")
	b.want(`[...document.querySelectorAll('.ringcast-row__phones option')].map((o) => o.value).join('|')`, "8(900) 555-02-22|+7 495 123-00-00") // of a cell the CRM takes the first space away
	b.want(`document.querySelector('.ringcast-list__rows').scrollWidth <= document.querySelector('.ringcast-list__rows').clientWidth`, "true")
	b.picture("list-contacts")

	// Whose other number is chosen is called there.
	b.text(`(() => {
		const choice = document.querySelector('.ringcast-row__phones');
		choice.value = '+7 495 123-00-00';
		choice.dispatchEvent(new Event('change', { bubbles: true }));
	})()`)
	b.click(`.ringcast-row[data-key="contact:1001"] [data-do="grip"]`)
	b.do("hover", hover(`.ringcast-row[data-key="contact:1001"]`))
	b.click(`.ringcast-row[data-key="contact:1001"] [data-do="remove"]`)
	b.wait(`document.querySelectorAll('.ringcast-row').length === 4`)
	b.click(listDo("start"))
	if got := s.dialled(t, 1); !slices.Equal(got, []string{"+74951230000"}) {
		t.Errorf("dialled %q", got)
	}

	// Again the same: all are there already, and that is said.
	b.more("ringcast")
	b.wait(`/^Added: 1\. In the list already: 5\./.test(` + listNews + `)`)
	b.click(`.ringcast-row__name`)
	b.wait(`location.pathname === '/contacts/detail/1002'`)
	b.wait(`document.querySelectorAll('.ringcast-row').length === 5 && ` + listShown)
	s.ends(anna, "office:dialled", "+74951230000", "busy", 0)
}

func testListCompanies(t *testing.T, s *stage) {
	b := s.open(t, anna, "/companies/list/")
	b.pick(2001, 2002)
	b.more("ringcast")
	b.wait(`document.querySelectorAll('.ringcast-row').length === 1`)
	b.want(listNews, "Added: 1. No phone number, not added: 1 (Silent Ltd).")
	b.want(`document.querySelector('.ringcast-row__name').getAttribute('href')`, "/companies/detail/2001")
	b.pick(2001)
	b.more("ringcast")
	b.wait(`__sandbox.toasts.some((toast) => toast.kind === 'error' && /No phone number, not added: 1 \(Silent Ltd\)/.test(toast.text))`)
}

func testListLeads(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/list/")
	b.pick(3001, 3002, 3003)
	b.more("ringcast")
	b.wait(`document.querySelectorAll('.ringcast-row').length === 3`)
	b.want(listRows, "Ivan Petrov|Maria Sidorova|"+hostileName)
	b.want(`[...document.querySelectorAll('.ringcast-row__about')].map((a) => a.textContent + ' ' + a.getAttribute('href')).join('|')`,
		"A hundred chairs /leads/detail/3001|A hundred chairs /leads/detail/3001|"+hostileName+" /leads/detail/3002")
	b.want(listNews, "Added: 3. No phone number, not added: 1 (Nobody's lamps).")
	b.want(`document.querySelectorAll('.ringcast-list img').length + ' ' + window.hacked`, "0 undefined")
	b.picture("list-leads")

	s.amo.Refuse("GET /api/v4/leads", 500, "")
	b.more("ringcast")
	b.wait(`__sandbox.toasts.some((toast) => toast.kind === 'error' && /did not tell the phone numbers/.test(toast.text))`)
	b.want(`document.querySelectorAll('.ringcast-row').length`, "3")
}

func testListOrder(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001, 1002, 1003)
	const names = "Ivan Petrov|Maria Sidorova|" + hostileName
	b.want(listRows, names)
	b.drag(`.ringcast-row[data-key="contact:1001"] [data-do="grip"]`, 90, "list-drag")
	b.wait(listRows + ` === 'Maria Sidorova|' + ` + fmt.Sprintf("%q", hostileName) + ` + '|Ivan Petrov'`)
	b.want(`JSON.parse(localStorage.getItem('ringcast.12345678.88888.list')).entries.map(({ id }) => id).join()`, "1002,1003,1001")

	// With the keyboard, and the grip keeps the focus.
	b.text(`document.querySelector('.ringcast-row[data-key="contact:1001"] [data-do="grip"]').focus()`)
	for range 2 {
		b.text(`document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp', altKey: true, bubbles: true, cancelable: true }))`)
	}
	b.want(listRows, names)
	b.want(`document.activeElement.closest('.ringcast-row').dataset.key`, "contact:1001")
	b.reload()
	b.wait(listRows + ` === ` + fmt.Sprintf("%q", names))

	// The order is what is called.
	b.click(listDo("start"))
	if got := s.dialled(t, 1); got[0] != "+79005550111" {
		t.Errorf("dialled %q", got)
	}
	s.ends(anna, "office:dialled", "+79005550111", "busy", 0)
}

func testListRun(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001, 1002, 1003)
	s.answering("office:1")
	b.click(listDo("start"))
	s.dialled(t, 1)
	s.rings(anna, "office:1", "+79005550111")
	b.wait(listStates + ` === 'dialling,waiting,waiting'`)
	b.picture("list-dialling")
	s.talks(anna, "office:1", "+79005550111")
	b.wait(listStates + ` === 'talking,waiting,waiting'`)
	b.wait(`document.querySelector('.ringcast-list__clock').textContent >= '00:01'`)
	b.picture("list-talking")
	s.ends(anna, "office:1", "+79005550111", "answered", 65)
	b.wait(`/Next call in [123] s/.test(document.querySelector('.ringcast-list__what').textContent)`)
	b.want(`document.querySelector('.ringcast-row__state').textContent`, "Reached 01:05")
	b.picture("list-next")

	s.answering("office:2")
	b.click(listDo("now"))
	s.dialled(t, 2)
	s.rings(anna, "office:2", "89005550222")
	b.text(hurry)
	s.answering("office:3")
	s.ends(anna, "office:2", "89005550222", "busy", 0)
	s.dialled(t, 3)
	s.rings(anna, "office:3", "+79005550333")
	s.ends(anna, "office:3", "+79005550333", "missed", 0)
	b.wait(listStates + ` === 'reached,busy,missed'`)
	b.wait(`/end of the list/.test(` + listWhy + `)`)
	b.want(`document.querySelector('.ringcast-list__count').textContent`, "3 of 3, 1 reached")
	b.picture("list-finished")

	s.answering("office:4")
	b.click(listDo("again"))
	if got := s.dialled(t, 4); !slices.Equal(got, []string{"+79005550111", "89005550222", "+79005550333", "89005550222"}) {
		t.Errorf("dialled %q", got)
	}
	s.rings(anna, "office:4", "89005550222")
	s.ends(anna, "office:4", "89005550222", "answered", 5)
	b.wait(listStates + `.startsWith('reached,reached,')`)
}

func testListPauseSkipClear(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001, 1002, 1003)
	s.answering("office:1")
	b.click(listDo("start"))
	s.dialled(t, 1)
	s.rings(anna, "office:1", "+79005550111")
	b.wait(`!document.querySelector('` + listDo("hang_up") + `').hidden`)
	b.click(listDo("skip"))
	s.until(t, "the hang-up", func() bool { return len(s.gateway.asked("hangup")) == 1 })
	s.ends(anna, "office:1", "+79005550111", "cancelled", 0)
	b.wait(listStates + ` === 'skipped,waiting,waiting'`)
	b.click(listDo("pause"))
	b.wait(`!document.querySelector('` + listDo("start") + `').hidden`)

	// A colleague calls meanwhile: nothing is dialled before he is gone.
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:8"}))
	b.click(listDo("start"))
	b.wait(`/another call/.test(` + listWhy + `)`)
	b.picture("list-paused")
	s.gateway.tell(anna, "call.hangup", call(object{"id": "office:8", "state": "ended", "outcome": "missed"}))
	b.wait(`!document.querySelector('.ringcast-card[data-state="ringing"]')`)
	s.answering("office:2")
	b.click(listDo("start"))
	s.dialled(t, 2)
	s.rings(anna, "office:2", "89005550222")
	s.talks(anna, "office:2", "89005550222")
	b.wait(listStates + ` === 'skipped,talking,waiting'`)

	// Clearing asks first, and leaves the call alone.
	b.click(listDo("clear"))
	b.picture("list-clear")
	b.click(listDo("clear_no"))
	b.want(`document.querySelectorAll('.ringcast-row').length`, "3")
	b.click(listDo("clear"))
	b.click(listDo("clear_yes"))
	b.wait(`!(` + listShown + `)`)
	b.want(`APP.sdk.getCallingStatus()`, "true")
	if n := len(s.gateway.asked("hangup")); n != 1 {
		t.Errorf("%d hang-ups, want 1", n)
	}
	s.ends(anna, "office:2", "89005550222", "answered", 5)

	// The CRM's switch shows it empty, with a word of how to fill it.
	b.click(".menu__phone")
	b.wait(listShown + ` && /Tick contacts/.test(document.querySelector('.ringcast-list__hint').textContent)`)
	b.picture("list-empty")
	b.click(".menu__phone")
	b.wait(`!(` + listShown + `)`)
}

func testListReload(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001, 1002)
	s.answering("office:1")
	b.click(listDo("start"))
	s.dialled(t, 1)
	s.rings(anna, "office:1", "+79005550111")
	s.talks(anna, "office:1", "+79005550111")
	b.wait(listStates + ` === 'talking,waiting'`)
	b.reload()
	b.wait(listStates + ` === 'talking,waiting'`)
	b.text(hurry)
	s.answering("office:2")
	s.ends(anna, "office:1", "+79005550111", "answered", 30)
	if got := s.dialled(t, 2); !slices.Equal(got, []string{"+79005550111", "89005550222"}) {
		t.Errorf("dialled %q", got)
	}
	s.ends(anna, "office:2", "89005550222", "busy", 0)
	b.wait(listStates + ` === 'reached,busy'`)
}

func testListTwoTabs(t *testing.T, s *stage) {
	s.gateway.share()
	first := s.listed(t, anna, 1001, 1002, 1003)
	second := s.open(t, anna, "/leads/")
	second.wait(`document.querySelectorAll('.ringcast-row').length === 3`)
	s.answering("office:1")
	first.click(listDo("start"))
	s.dialled(t, 1)
	s.rings(anna, "office:1", "+79005550111")
	for _, b := range []*tab{first, second} {
		b.wait(listStates + ` === 'dialling,waiting,waiting'`)
	}

	// Paused in the one, the other does not go on.
	second.click(listDo("pause"))
	s.ends(anna, "office:1", "+79005550111", "missed", 0)
	for _, b := range []*tab{first, second} {
		b.wait(listStates + ` === 'missed,waiting,waiting' && !document.querySelector('` + listDo("start") + `').hidden`)
	}

	// The tab that dials is closed in the middle of a talk: the other takes over.
	s.answering("office:2")
	first.click(listDo("start"))
	s.dialled(t, 2)
	s.rings(anna, "office:2", "89005550222")
	s.talks(anna, "office:2", "89005550222")
	second.wait(listStates + ` === 'missed,talking,waiting'`)
	first.close()
	second.text(hurry)
	s.answering("office:3")
	s.ends(anna, "office:2", "89005550222", "answered", 8)
	if got := s.dialled(t, 3); !slices.Equal(got, []string{"+79005550111", "89005550222", "+79005550333"}) {
		t.Errorf("dialled %q", got)
	}
	s.ends(anna, "office:3", "+79005550333", "busy", 0)
	second.wait(listStates + ` === 'missed,reached,busy'`)
}

func testListRefused(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001, 1002)
	s.gateway.refuse("call", "not_registered")
	b.click(listDo("start"))
	b.wait(`/not connected to the PBX/.test(` + listWhy + `)`)
	b.want(listStates, "waiting,waiting")
	b.picture("list-refused")
	s.gateway.refuse("call", "")
	b.click(listDo("skip"))
	b.click(listDo("start"))
	if got := s.dialled(t, 2); got[1] != "89005550222" {
		t.Errorf("dialled %q", got)
	}
	s.ends(anna, "office:dialled", "89005550222", "busy", 0)
}

// Without a call there is no card: the bell is found where the CRM's telephone opens the list.
func testListBell(t *testing.T, s *stage) {
	const menu = `document.querySelector('.ringcast-list .ringcast-bell__menu')`
	b, other := s.open(t, anna, "/leads/"), s.open(t, anna, "/leads/")
	for _, tab := range []*tab{b, other} {
		tab.click(".menu__phone")
		tab.wait(listShown + ` && ` + menu)
		tab.text(`require('jquery')('.ringcast-list').remove().length`) // as the CRM's navigation may
		tab.navigate("/contacts/list/")
		tab.wait(listShown)
	}
	b.click(".ringcast-list .ringcast-bell__button")
	b.wait(`!` + menu + `.hidden && ` + menu + `.querySelector('[name=sound]').checked`)
	b.picture("list-bell")
	b.click(`.ringcast-list .ringcast-bell [name=sound]`)
	for _, tab := range []*tab{b, other} {
		tab.wait(`[...document.querySelectorAll('.ringcast-bell [name=sound]')].every((box) => !box.checked)`)
	}
	b.click(listDo("fold") + ".ringcast-list__fold")
	b.wait(menu + `.hidden`)
}

func testListNoTemplate(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	b.text(`(() => {
		const { open } = XMLHttpRequest.prototype;
		XMLHttpRequest.prototype.open = function (method, url, ...rest) {
			return open.call(this, method, String(url).replace('/templates/', '/nowhere/'), ...rest);
		};
	})()`)
	b.text(hurry)
	b.pick(1001)
	b.more("ringcast")
	b.wait(`__sandbox.toasts.some((toast) => toast.kind === 'error' && /call list cannot be shown/.test(toast.text))`)
	b.want(`Boolean(`+listShown+`)`, "false")
	b.want(`__sandbox.errors.splice(0).length`, "2") // the page complains of the files, and rightly
}

func testListDark(t *testing.T, s *stage) {
	b := s.listed(t, boris, 1001, 1002, 1003, 1006)
	s.answering("office:1")
	b.click(listDo("start"))
	s.dialled(t, 1)
	s.rings(boris, "office:1", "+79005550111")
	b.wait(`document.querySelector('.ringcast-card')`)
	b.picture("list-dark")
	b.do("a telephone's width", chromedp.EmulateViewport(360, 740))
	const inside = `(({ left, right, top, bottom }) => left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight)(document.querySelector('.ringcast-list').getBoundingClientRect())`
	b.want(inside, "true")
	b.picture("list-narrow")
	const apart = `((list, deck) => list.bottom <= deck.top)(document.querySelector('.ringcast-list').getBoundingClientRect(), document.querySelector('.ringcast-card').getBoundingClientRect())`
	b.want(apart, "true")
	b.click(".ringcast-list__fold")
	b.wait(`/00:\d\d Ivan Petrov/.test(document.querySelector('.ringcast-list__brief').textContent)`)
	b.picture("list-folded")
	b.reload()
	b.wait(`document.querySelector('.ringcast-list_folded')`)
	s.ends(boris, "office:1", "+79005550111", "busy", 0)
}

func testListDisabled(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001)
	b.wait(`document.querySelector('.menu__phone')`)
	b.text(`__sandbox.widgets.setActive('ringcast', false)`)
	b.want(`document.querySelectorAll('[class*=ringcast], .menu__phone').length`, "0")
	b.text(`__sandbox.widgets.setActive('ringcast', true)`)
	b.wait(`document.querySelectorAll('.ringcast-row').length === 1`)
}

// The window after a talk opens in the tab that is looked at: the tab that dials waits for it all the same.
func testListResult(t *testing.T, s *stage) {
	s.gateway.share()
	first := s.listed(t, anna, 1001, 1002)
	s.answering("office:1")
	first.click(listDo("start"))
	s.dialled(t, 1)
	first.hide()
	second := s.open(t, anna, "/leads/")
	s.rings(anna, "office:1", "+79005550111")
	s.talks(anna, "office:1", "+79005550111")
	second.wait(listStates + ` === 'talking,waiting'`)
	s.ends(anna, "office:1", "+79005550111", "answered", 30)
	second.wait(`document.querySelector('.ringcast-result')`)
	second.wait(`document.querySelector('.ringcast-list').dataset.phase === 'held'`)
	second.picture("list-held")
	second.click(".ringcast-result__cancel")
	second.wait(`document.querySelector('.ringcast-list').dataset.phase === 'gap'`)
	if n := len(s.gateway.asked("call")); n != 1 {
		t.Errorf("%d dials while the window was open", n)
	}
	s.answering("office:2")
	first.text(hurry)
	s.dialled(t, 2)
	s.ends(anna, "office:2", "89005550222", "busy", 0)
}

func testListOpens(t *testing.T, s *stage) {
	b := s.listed(t, anna, 1001, 1002)
	b.click(".ringcast-list__switch")
	s.answering("office:1")
	b.click(listDo("start"))
	b.wait(`location.pathname === '/contacts/detail/1001'`)
	s.rings(anna, "office:1", "+79005550111")
	b.navigate("/leads/")
	b.wait(`location.pathname === '/leads/'`)
	s.talks(anna, "office:1", "+79005550111")
	b.wait(listStates + ` === 'talking,waiting'`)
	b.reload()
	b.wait(listStates + ` === 'talking,waiting'`)
	b.want(`location.pathname`, "/leads/")
	b.want(`document.querySelector('`+listDo("open")+`').checked`, "true")
	s.ends(anna, "office:1", "+79005550111", "answered", 5)
}

func crowd(n int) []sandbox.AmoContact {
	people := make([]sandbox.AmoContact, n)
	for i := range people {
		people[i] = sandbox.AmoContact{ID: int64(5000 + i), Name: fmt.Sprintf("Person %d", i), Phones: []string{fmt.Sprintf("+7 900 %07d", i)}, Responsible: 88888}
	}
	return people
}

func testListLarge(t *testing.T, s *stage) {
	b := s.open(t, anna, "/contacts/list/")
	b.wait(`document.querySelectorAll('.list__check').length === 510`)
	b.click(".list__all")
	b.more("ringcast")
	b.wait(`document.querySelectorAll('.ringcast-row').length === 100`)
	b.want(`document.querySelector('.ringcast-list__count').textContent`, "500")
	b.want(listNews, "Added: 500. Not added: 10. The list holds 500.")
	s.answering("office:1")
	b.click(listDo("start"))
	s.dialled(t, 1)
	s.rings(anna, "office:1", "+79000000000")
	b.wait(`document.querySelector('.ringcast-row').dataset.state === 'dialling'`)
	b.picture("list-large")
	s.ends(anna, "office:1", "+79000000000", "busy", 0)
	b.wait(`document.querySelector('.ringcast-row').dataset.state === 'busy'`)
	b.click(listDo("pause"))
	// The CRM's navigation may take the panel out of the page with all that jQuery knows of it.
	b.text(`require('jquery')('.ringcast-list').remove()`)
	b.navigate("/leads/")
	b.wait(`document.querySelectorAll('.ringcast-row').length === 100`)
	for _, rows := range []int{200, 300, 400, 500} {
		b.text(`document.querySelector('.ringcast-list__rows').scrollTop = 1e6`)
		b.wait(fmt.Sprintf(`document.querySelectorAll('.ringcast-row').length === %d`, rows))
	}
	b.want(`document.querySelector('.ringcast-row:last-child .ringcast-row__name').textContent`, "Person 499")
}

// drag takes an element with the mouse and lets it go some pixels lower, where a picture is taken before.
func (b *tab) drag(selector string, down float64, picture string) {
	b.t.Helper()
	var x, y float64
	at := b.text(`(({ left, top, width, height }) => (left + width / 2) + ' ' + (top + height / 2))(document.querySelector('` + selector + `').getBoundingClientRect())`)
	if _, err := fmt.Sscan(at, &x, &y); err != nil {
		b.t.Fatal(err)
	}
	send := func(kind input.DispatchMouseEventType, y float64, buttons int64) {
		b.t.Helper()
		b.do("the mouse", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: x, Y: y, Button: input.MouseButtonLeft, Buttons: buttons, ClickCount: 1})
			return err
		}))
	}
	send(input.DispatchMouseEventTypeMousePressed, y, 1)
	for step := 1.0; step <= 6; step++ {
		send(input.DispatchMouseEventTypeMouseMoved, y+down*step/6, 1)
	}
	b.picture(picture)
	send(input.DispatchMouseEventTypeMouseReleased, y+down, 0)
}

// hover puts the mouse over an element.
func hover(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		box, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`(({ left, top, width, height }) => [left + width / 2, top + height / 2])(document.querySelector('`+selector+`').getBoundingClientRect())`))
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, target, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: box[0], Y: box[1]})
		return err
	})
}
